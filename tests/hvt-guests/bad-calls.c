/* Makes the call that the argument names. There are no devices, so that calls of devices do not exist, and no ring. */
#include "lib.h"

NO_DEVICES;

static struct puts hello = {"", 0};

static void puts_of(uint64_t data, uint64_t len) {
    hello = (struct puts){(const void *)data, len};
    call(CALL_PUTS, &hello);
}

/* HALT with a cookie of which `bytes` are in memory. */
static void cookie_at_end(uint64_t bytes) {
    halt(0, (const void *)(boot->mem_size - bytes));
}

static void call_0(void) { call(0, &hello); }
static void call_9(void) { call(9, &hello); }
static void call_255(void) { call(255, &hello); }
static void call_block_write(void) { block_write(1, 0, &hello, 512); }
static void call_block_read(void) { block_read(1, 0, &hello, 512); }
static void call_net_write(void) {
    struct net_io block = {1, &hello, 60, -1};
    call(CALL_NET_WRITE, &block);
}
static void call_net_read(void) {
    struct net_io block = {1, &hello, 60, -1};
    call(CALL_NET_READ, &block);
}
static void kick(void) { out32(0x600, 0); }
static void out_8(void) { __asm__ volatile("outb %%al, %%dx" : : "a"(&hello), "d"(0x502) : "memory"); }
static void out_16(void) { __asm__ volatile("outw %%ax, %%dx" : : "a"(&hello), "d"(0x502) : "memory"); }
static void in_8(void) { __asm__ volatile("inb %%dx, %%al" : : "d"(0x502) : "rax", "memory"); }
static void in_32(void) { __asm__ volatile("inl %%dx, %%eax" : : "d"(0x502) : "rax", "memory"); }
static void outs(void) {
    const void *from = &hello;
    __asm__ volatile("outsl" : "+S"(from) : "d"(0x502) : "memory");
}
/* The last 8 bytes of the memory are free: the stack starts below. */
static void puts_before_end(void) {
    memcpy((void *)(boot->mem_size - 8), "the end\n", 8);
    puts_of(boot->mem_size - 8, 7);
    print("\n");
}
static void puts_at_end(void) {
    memcpy((void *)(boot->mem_size - 8), "the end\n", 8);
    puts_of(boot->mem_size - 8, 8);
}
static void puts_across_end(void) { puts_of(boot->mem_size - 8, 16); }
static void puts_behind_end(void) { puts_of(boot->mem_size, 1); }
static void puts_far(void) { puts_of(1ull << 40, 1); }
static void puts_wrap(void) { puts_of(~0ull - 7, 16); }
static void puts_huge(void) { puts_of((uint64_t)&hello, 1ull << 63); }
static void puts_all(void) { puts_of((uint64_t)&hello, ~0ull); }
static void puts_read_only(void) {
    static const struct puts constant = {"constant\n", 9};
    call(CALL_PUTS, (void *)&constant);
}
static void puts_empty(void) { puts_of((uint64_t)&hello, 0); }
static void puts_empty_behind_end(void) { puts_of(boot->mem_size, 0); }
static void puts_zero_page(void) { puts_of(0, 16); }
static void puts_tables(void) { puts_of(0x1000, 0x8000); }
static void puts_text(void) { puts_of(0x100000, 16); }
static void block_at_end(void) { call(CALL_WALLTIME, (void *)(boot->mem_size - 8)); }
static void block_across_end(void) { call(CALL_WALLTIME, (void *)(boot->mem_size - 4)); }
static void block_behind_end(void) { call(CALL_WALLTIME, (void *)boot->mem_size); }
static void block_far(void) { call(CALL_WALLTIME, (void *)0xfffffffcull); }
static void block_zero(void) { call(CALL_WALLTIME, NULL); }
static void block_in_tables(void) { call(CALL_WALLTIME, (void *)0x2000); }
static void block_in_boot(void) { call(CALL_WALLTIME, boot); }
static void block_in_text(void) { call(CALL_WALLTIME, (void *)main); }
static void block_unaligned(void) {
    uint8_t bytes[16] = {0};
    uint64_t time;
    call(CALL_WALLTIME, bytes + 3);
    memcpy(&time, bytes + 3, 8);
    print("time %s\n", time > 1500000000000000000 ? "is known" : "is wrong");
}
static void cookie_in_memory(void) { cookie_at_end(513); }
static void cookie_at_the_end(void) { cookie_at_end(512); }
static void cookie_across_end(void) { cookie_at_end(8); }
static void cookie_wraps(void) { halt(0, (const void *)(~0ull - 8)); }

static const struct {
    const char *name;
    void (*make)(void);
} calls[] = {
    {"call-0", call_0},
    {"call-9", call_9},
    {"call-255", call_255},
    {"block-write", call_block_write},
    {"block-read", call_block_read},
    {"net-write", call_net_write},
    {"net-read", call_net_read},
    {"kick", kick},
    {"out-8", out_8},
    {"out-16", out_16},
    {"in-8", in_8},
    {"in-32", in_32},
    {"outs", outs},
    {"puts-before-end", puts_before_end},
    {"puts-at-end", puts_at_end},
    {"puts-across-end", puts_across_end},
    {"puts-behind-end", puts_behind_end},
    {"puts-far", puts_far},
    {"puts-wrap", puts_wrap},
    {"puts-huge", puts_huge},
    {"puts-all", puts_all},
    {"puts-read-only", puts_read_only},
    {"puts-empty", puts_empty},
    {"puts-empty-behind-end", puts_empty_behind_end},
    {"puts-zero-page", puts_zero_page},
    {"puts-tables", puts_tables},
    {"puts-text", puts_text},
    {"block-at-end", block_at_end},
    {"block-across-end", block_across_end},
    {"block-behind-end", block_behind_end},
    {"block-far", block_far},
    {"block-zero", block_zero},
    {"block-in-tables", block_in_tables},
    {"block-in-boot", block_in_boot},
    {"block-in-text", block_in_text},
    {"block-unaligned", block_unaligned},
    {"cookie-in-memory", cookie_in_memory},
    {"cookie-at-end", cookie_at_the_end},
    {"cookie-across-end", cookie_across_end},
    {"cookie-wraps", cookie_wraps},
};

int main(const struct boot_info *boot) {
    (void)boot;
    const char *name = argument(0);
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (!equal(calls[i].name, name))
            continue;
        print("before %s\n", name);
        calls[i].make();
        print("%s went on\n", name);
        return 0;
    }
    fail("no such call");
}
