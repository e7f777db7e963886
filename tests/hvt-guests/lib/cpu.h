/* The guest's own segments, task register and trap handlers. */
#pragma once

#include "hvt.h"

/* What a trap leaves on the stack: general registers saved by the stub, then what the processor pushed. */
struct trap {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* The stack pointer at the first instruction, and the bits that were set in any other general register except RDI. */
extern uint64_t entry_rsp, entry_registers;

/* An instruction that is expected to trap: the handler knows its address, and the one to go on at. `instruction` must
   be one only. */
#define TRAPS(instruction) "movq $771f, trap_at\n\tmovq $772f, trap_next\n771:\t" instruction "\n772:"
extern uint64_t trap_at, trap_next;

/* Whether the handler notes a trap of an instruction marked with TRAPS and goes on behind it, instead of reporting
   and aborting. */
extern volatile bool catch_traps;
/* What was caught. */
struct caught {
    uint64_t count, vector, error, cr2;
};
extern volatile struct caught caught;

/* Reads and writes a byte, and gives what was caught, with `count` 0 where nothing was. */
struct caught try_read(uint64_t address);
struct caught try_write(uint64_t address);

/* Sets the FS base by its MSR. */
static inline void set_fs_base(uint64_t base) {
    __asm__ volatile("wrmsr" : : "c"(0xc0000100), "a"((uint32_t)base), "d"((uint32_t)(base >> 32)) : "memory");
}

/* A gate of the interrupt descriptor table (SDM 3A, 7.14.1). */
struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};
#define VECTORS 32
extern struct gate idt[VECTORS];
