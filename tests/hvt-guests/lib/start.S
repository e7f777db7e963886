/* The first instructions, in the order in which guests of Solo5 do it, and the stubs of the trap handlers. */

    .section .text.start, "ax"
    .globl _start
_start:
    /* RDI has the boot information; all other general registers but RSP should be 0. */
    movq %rsp, entry_rsp
    orq %rbx, %rax
    orq %rcx, %rax
    orq %rdx, %rax
    orq %rsi, %rax
    orq %rbp, %rax
    orq %r8, %rax
    orq %r9, %rax
    orq %r10, %rax
    orq %r11, %rax
    orq %r12, %rax
    orq %r13, %rax
    orq %r14, %rax
    orq %r15, %rax
    movq %rax, entry_registers
    movq %rdi, boot

    /* A guest of Solo5 makes its stack canary of two readings of the TSC. */
    rdtsc
    movl %eax, %esi
    rdtsc
    xorl %esi, %eax

    /* No thread-local storage yet. */
    xorl %eax, %eax
    xorl %edx, %edx
    movl $0xc0000100, %ecx
    wrmsr

    /* RSP is 8 below a multiple of 16, as behind a call. */
    pushq %rdi
    call make_tables
    lgdt gdt_pointer(%rip)
    pushq $0x08
    pushq $in_own_segment
    lretq
in_own_segment:
    movl $0x10, %eax
    movl %eax, %ss
    movl %eax, %ds
    movl %eax, %es
    movl $0x18, %eax
    ltr %ax
    lidt idt_pointer(%rip)

    popq %rdi
    pushq $0
    xorl %ebp, %ebp
    call main
    movl %eax, %edi
    xorl %esi, %esi
    call halt

    .text
    .macro stub vector
    .balign 16
    /* The processor pushes an error code for some vectors only: 8, 10 to 14, 17, 21, 29, 30. */
    .if ((0x60227d00 >> \vector) & 1) == 0
    pushq $0
    .endif
    pushq $\vector
    jmp trapped
    .endm

    .balign 16
    .globl trap_stubs
trap_stubs:
    .altmacro
    .set number, 0
    .rept 32
    stub %number
    .set number, number + 1
    .endr

trapped:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    call trap
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq

    .section .note.GNU-stack, "", @progbits
