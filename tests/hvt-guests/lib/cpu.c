#include "cpu.h"

#include "lib.h"

uint64_t entry_rsp, entry_registers;
uint64_t trap_at, trap_next;
volatile bool catch_traps;
volatile struct caught caught;

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* A 64-bit task state segment (SDM 3A, 9.7) without an I/O permission map. */
static struct {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, map;
} __attribute__((packed)) tss;
_Static_assert(sizeof tss == 104, "the processor fixes the size");

/* Null, code (selector 8), data (0x10), and two entries for the task state segment (0x18). */
static uint64_t gdt[5] = {0, 0x00af99000000ffff, 0x00cf93000000ffff, 0, 0};
struct gate idt[VECTORS];
const struct pointer gdt_pointer = {sizeof gdt - 1, (uint64_t)gdt};
const struct pointer idt_pointer = {sizeof idt - 1, (uint64_t)idt};

static uint8_t stacks[2][16384] __attribute__((aligned(16)));

/* The stack of a vector: a second one for NMI and double fault, the interrupted one for breakpoints, the first for
   all others. */
static uint8_t stack_of(unsigned vector) {
    return vector == 2 || vector == 8 ? 2 : vector == 3 ? 0 : 1;
}

void make_tables(void) {
    extern uint8_t trap_stubs[][16];
    uint64_t base = (uint64_t)&tss;
    tss.map = sizeof tss;
    for (unsigned i = 0; i < 2; i++)
        tss.ist[i] = (uint64_t)&stacks[i][sizeof stacks[i]];
    gdt[3] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[4] = base >> 32;
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        uint64_t stub = (uint64_t)trap_stubs[vector];
        idt[vector] = (struct gate){
            .offset_low = (uint16_t)stub,
            .offset_middle = (uint16_t)(stub >> 16),
            .offset_high = (uint32_t)(stub >> 32),
            .selector = 8,
            .stack = stack_of(vector),
            .type = 0x8e,
        };
    }
}

static const char *stack_name(const struct trap *trap) {
    for (unsigned i = 0; i < 2; i++) {
        uint64_t from = (uint64_t)stacks[i];
        if ((uint64_t)trap >= from && (uint64_t)trap < from + sizeof stacks[i])
            return i == 0 ? "stack 1" : "stack 2";
    }
    return "the interrupted stack";
}

/* The registers of a trap as a tender takes them with HALT. */
static struct {
    uint64_t cr2, error, rip, cs, rflags, rsp, ss;
    uint8_t rest[512 - 56];
} cookie;

/* Called by the stubs. */
void trap(struct trap *trap) {
    uint64_t cr2;
    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    /* A fault is told at the instruction, a trap behind it. */
    bool expected = trap->rip == trap_at || trap->rip == trap_next;
    if (catch_traps && expected) {
        caught = (struct caught){caught.count + 1, trap->vector, trap->error, cr2};
        trap->rip = trap_next;
        return;
    }
    /* Of the flags only those that no arithmetic sets; RF differs between processors. */
    print("trap: vector %lu error 0x%lx cr2 0x%lx cs 0x%lx ss 0x%lx rflags 0x%lx on %s\n", trap->vector, trap->error,
          trap->vector == 14 ? cr2 : 0, trap->cs, trap->ss, trap->rflags & ~0x108d5ul, stack_name(trap));
    print("trap: rip 0x%lx %s\n", trap->rip, expected ? "as expected" : "is another instruction");
    cookie.cr2 = cr2;
    cookie.error = trap->error;
    cookie.rip = trap->rip;
    cookie.cs = trap->cs;
    cookie.rflags = trap->rflags;
    cookie.rsp = trap->rsp;
    cookie.ss = trap->ss;
    halt(255, &cookie);
}

static struct caught stop_catching(void) {
    catch_traps = false;
    return caught;
}

static void start_catching(void) {
    caught = (struct caught){0};
    catch_traps = true;
}

struct caught try_read(uint64_t address) {
    uint8_t byte = 0;
    start_catching();
    __asm__ volatile(TRAPS("movb (%1), %0") : "+r"(byte) : "r"(address) : "memory");
    return stop_catching();
}

struct caught try_write(uint64_t address) {
    start_catching();
    __asm__ volatile(TRAPS("movb $0, (%0)") : : "r"(address) : "memory");
    return stop_catching();
}
