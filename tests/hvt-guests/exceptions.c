/* Raises the exception that the argument names, for the guest's own handlers: they print it and abort. With `resume`
   in front, and for the argument `all`, they note it, put RIP behind the instruction, return, and the guest goes on. */
#include "cpu.h"
#include "lib.h"

NO_DEVICES;

#define RAISE(name, before, instruction)                                                                               \
    static void name(void) {                                                                                           \
        uint64_t word[2] = {0};                                                                                        \
        __asm__ volatile(before "\n\t" TRAPS(instruction)                                                              \
                         :                                                                                             \
                         : "D"(word)                                                                                   \
                         : "rax", "rcx", "rdx", "r8", "memory", "cc");                                                 \
    }

RAISE(divide, "xorl %%ecx, %%ecx", "divl %%ecx")
RAISE(divide_overflow, "movl $2, %%edx; movl $1, %%ecx", "divl %%ecx")
RAISE(breakpoint, "", "int3")
RAISE(undefined, "", "ud2")
RAISE(page_read, "movq $0x20, %%rax", "movb (%%rax), %%cl")
RAISE(page_write, "movq $0x9008, %%rax", "movb %%cl, (%%rax)")
RAISE(page_far, "movq $0x7ffffffff000, %%rax", "movb (%%rax), %%cl")
RAISE(page_upper, "movq $-4096, %%rax", "movb (%%rax), %%cl")
RAISE(protection, "movabsq $0x8000000000000000, %%rax", "movb (%%rax), %%cl")
RAISE(selector, "movl $0x3a8, %%eax", "movl %%eax, %%ds")
RAISE(stack_segment, "movq %%rbp, %%r8; movabsq $0x8000000000000000, %%rbp", "movb (%%rbp), %%cl")
RAISE(x87, "movl $0x340, (%%rdi); fninit; fldcw (%%rdi); fldz; fld1; fdiv %%st(1), %%st; jmp 1f; 1:", "fwait")
RAISE(simd, "movl $0x1f00, (%%rdi); ldmxcsr (%%rdi); xorps %%xmm0, %%xmm0", "divps %%xmm0, %%xmm0")
RAISE(single_step, "pushfq; orq $0x100, (%%rsp); popfq", "nop")
RAISE(no_vector, "", "int $0x30")

/* A handler that is not there. */
static void close_gate(unsigned vector) {
    idt[vector].type &= 0x7f;
}

static void no_gate(void) {
    close_gate(6);
    undefined();
}

static void double_fault(void) {
    close_gate(6);
    close_gate(11);
    undefined();
}

static void triple_fault(void) {
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};
    __asm__ volatile("lidt %0" : : "m"(none));
    undefined();
}

/* The stack pointer is at fault, too: only a stack of the handlers' own helps. */
static void no_stack(void) {
    __asm__ volatile("movq $0x8010, %%rsp\n\t" TRAPS("pushq %%rax") : : : "memory");
}

static const struct {
    const char *name;
    void (*raise)(void);
    bool resumes;
} exceptions[] = {
    {"divide", divide, true},
    {"divide-overflow", divide_overflow, true},
    {"int3", breakpoint, true},
    {"ud2", undefined, true},
    {"page-read", page_read, true},
    {"page-write", page_write, true},
    {"page-far", page_far, true},
    {"page-upper", page_upper, true},
    {"general-protection", protection, true},
    {"selector", selector, true},
    {"no-vector", no_vector, false},
    {"stack-segment", stack_segment, false},
    {"x87", x87, false},
    {"simd", simd, false},
    {"single-step", single_step, false},
    {"no-gate", no_gate, false},
    {"double-fault", double_fault, false},
    {"triple-fault", triple_fault, false},
    {"no-stack", no_stack, false},
};
#define COUNT (sizeof exceptions / sizeof *exceptions)

static void resume(const char *name, void (*raise)(void)) {
    caught = (struct caught){0};
    catch_traps = true;
    raise();
    catch_traps = false;
    print("%s: %lu trap, vector %lu error 0x%lx", name, caught.count, caught.vector, caught.error);
    if (caught.vector == 14)
        print(" cr2 0x%lx", caught.cr2);
    print(", and went on\n");
}

int main(const struct boot_info *boot) {
    (void)boot;
    bool all = equal(argument(0), "all"), resuming = equal(argument(0), "resume");
    const char *name = argument(resuming);
    for (unsigned i = 0; i < COUNT; i++) {
        if (all ? !exceptions[i].resumes : !equal(exceptions[i].name, name))
            continue;
        if (all || resuming) {
            resume(exceptions[i].name, exceptions[i].raise);
            continue;
        }
        print("before %s\n", name);
        exceptions[i].raise();
        print("%s raised nothing\n", name);
        return 1;
    }
    return 0;
}
