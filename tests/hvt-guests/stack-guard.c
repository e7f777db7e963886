/* Runs the stack down until something stops it. The ABI has no guard page: with the argument `bare` the stack goes
   down through heap, bss and data to the constants, which are read-only. With `guard` the guest first makes page tables
   of its own, with a page missing below the stack, and loads CR3, which needs a tender that lets it. */
#include "cpu.h"
#include "lib.h"

NO_DEVICES;

#define PRESENT 1
#define WRITABLE 2
#define LARGE 0x80
#define GIB (1ull << 30)
#define MIB2 (1ull << 21)

static uint64_t pml4[512] __attribute__((aligned(4096))), pdpt[512] __attribute__((aligned(4096))), directories[4][512]
    __attribute__((aligned(4096))), pages[512] __attribute__((aligned(4096)));

/* Maps all memory to itself but for the page at `guard`, which is in the last 2 MiB. */
static void load_tables(uint64_t guard) {
    pml4[0] = (uint64_t)pdpt | PRESENT | WRITABLE;
    for (unsigned i = 0; i < 4; i++)
        pdpt[i] = (uint64_t)directories[i] | PRESENT | WRITABLE;
    for (uint64_t at = 0; at < boot->mem_size; at += MIB2)
        directories[at / GIB][at / MIB2 % 512] = at | PRESENT | WRITABLE | LARGE;
    uint64_t last = guard & ~(MIB2 - 1);
    for (unsigned i = 0; i < 512; i++)
        pages[i] = (last + i * 4096) | PRESENT | WRITABLE;
    pages[guard / 4096 % 512] = 0;
    directories[last / GIB][last / MIB2 % 512] = (uint64_t)pages | PRESENT | WRITABLE;
    __asm__ volatile("movq %0, %%cr3" : : "r"(pml4) : "memory");
}

int main(const struct boot_info *boot) {
    print("before %s\n", argument(0));
    if (equal(argument(0), "guard")) {
        uint64_t guard = boot->mem_size - 65536;
        load_tables(guard);
        print("the guard is at 0x%lx\n", guard);
    }
    /* No call: the loop needs nothing but the stack. */
    __asm__ volatile("1:\n\t" TRAPS("pushq $0") "\n\tjmp 1b");
    return 0;
}
