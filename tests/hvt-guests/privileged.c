/* Executes an instruction that only a kernel may: which one is the argument. Where it goes on, it prints RAX (with
   RDX above it for RDMSR). A trap that the guest gets is reported by its handler. */
#include "cpu.h"
#include "lib.h"

NO_DEVICES;

#define DO(name, before, instruction)                                                                                  \
    static uint64_t name(void) {                                                                                       \
        static uint64_t words[4];                                                                                      \
        uint64_t value = 0;                                                                                            \
        __asm__ volatile(before "\n\t" TRAPS(instruction)                                                              \
                         : "+a"(value)                                                                                 \
                         : "D"(words), "S"(words)                                                                      \
                         : "rcx", "rdx", "r8", "memory", "cc");                                                        \
        return value;                                                                                                  \
    }
#define RDMSR(name, msr)                                                                                               \
    static uint64_t name(void) {                                                                                       \
        uint32_t low = 0, high = 0;                                                                                    \
        __asm__ volatile(TRAPS("rdmsr") : "+a"(low), "=d"(high) : "c"(msr) : "memory");                                \
        return (uint64_t)high << 32 | low;                                                                             \
    }
#define WRMSR(name, msr, value)                                                                                        \
    static uint64_t name(void) {                                                                                       \
        uint64_t bits = (value);                                                                                       \
        __asm__ volatile(TRAPS("wrmsr") : : "c"(msr), "a"((uint32_t)bits), "d"((uint32_t)(bits >> 32)) : "memory");    \
        return 0;                                                                                                      \
    }

RDMSR(rdmsr_fs, 0xc0000100)
RDMSR(rdmsr_gs, 0xc0000101)
RDMSR(rdmsr_kernel_gs, 0xc0000102)
RDMSR(rdmsr_efer, 0xc0000080)
RDMSR(rdmsr_tsc, 0x10)
RDMSR(rdmsr_apic_base, 0x1b)
RDMSR(rdmsr_unknown, 0x12345678)
WRMSR(wrmsr_fs, 0xc0000100, 0x123456789a)
WRMSR(wrmsr_fs_not_canonical, 0xc0000100, 0x8000000000000000)
WRMSR(wrmsr_gs, 0xc0000101, 0x123456789a)
WRMSR(wrmsr_efer, 0xc0000080, 0x500)
WRMSR(wrmsr_efer_off, 0xc0000080, 0)
WRMSR(wrmsr_unknown, 0x12345678, 0)
WRMSR(wrmsr_lstar, 0xc0000082, 0x100000)
DO(hlt, "", "hlt")
DO(cli, "", "cli")
DO(sti, "", "sti")
DO(read_cr0, "", "movq %%cr0, %%rax")
DO(read_cr2, "", "movq %%cr2, %%rax")
DO(read_cr3, "", "movq %%cr3, %%rax")
DO(read_cr4, "", "movq %%cr4, %%rax")
DO(read_cr8, "", "movq %%cr8, %%rax")
DO(read_dr7, "", "movq %%dr7, %%rax")
DO(write_cr0_same, "movl $0x80010021, %%eax", "movq %%rax, %%cr0")
DO(write_cr0, "movl $0x80010031, %%eax", "movq %%rax, %%cr0")
DO(write_cr0_unpaged, "movl $1, %%eax", "movq %%rax, %%cr0")
DO(write_cr2, "movl $0x1234, %%eax", "movq %%rax, %%cr2; movq %%cr2, %%rax")
DO(write_cr3_same, "movl $0x2000, %%eax", "movq %%rax, %%cr3")
DO(write_cr3, "movl $0x100000, %%eax", "movq %%rax, %%cr3")
DO(write_cr4_same, "movl $0x620, %%eax", "movq %%rax, %%cr4")
DO(write_cr4, "movl $0x10620, %%eax", "movq %%rax, %%cr4")
DO(write_cr8, "", "movq %%rax, %%cr8")
DO(write_dr7, "movl $0x400, %%eax", "movq %%rax, %%dr7")
DO(clts, "", "clts")
DO(lmsw, "movl $0x21, %%eax", "lmsw %%ax")
DO(smsw, "", "smsw %%rax")
DO(invlpg, "", "invlpg (%%rdi)")
DO(wbinvd, "", "wbinvd")
DO(invd, "", "invd")
DO(swapgs, "", "swapgs")
DO(rdpmc, "xorl %%ecx, %%ecx", "rdpmc")
DO(xsetbv, "movl $7, %%eax; xorl %%edx, %%edx; xorl %%ecx, %%ecx", "xsetbv")
DO(rdtsc, "", "rdtsc")
DO(cpuid, "pushq %%rbx; xorl %%ecx, %%ecx", "cpuid; popq %%rbx")
DO(sgdt, "", "sgdt (%%rdi); movq 2(%%rdi), %%rax")
DO(sidt, "", "sidt (%%rdi); movq 2(%%rdi), %%rax")
DO(str, "", "str %%rax")
DO(sldt, "", "sldt %%rax")
DO(lldt, "", "lldt %%ax")
DO(ltr_again, "movl $0x18, %%eax", "ltr %%ax")
DO(lgdt_far, "movabsq $0x8000000000000000, %%rax", "lgdt (%%rax)")
DO(mov_fs, "movl $0x10, %%eax", "movl %%eax, %%fs")
DO(mov_gs_null, "", "movl %%eax, %%gs")
DO(read_selectors, "movl %%cs, %%eax; shlq $16, %%rax; movl %%ss, %%ecx; orq %%rcx, %%rax", "nop")
DO(pushf, "pushfq; popq %%rax; andl $0x3f7100, %%eax", "nop")
DO(popf_if, "pushfq; orq $0x200, (%%rsp); popfq; pushfq; popq %%rax; andl $0x200, %%eax", "nop")
DO(int_0x80, "", "int $0x80")
DO(syscall, "movq $0x1234, %%r8", "syscall")
DO(sysret, "leaq 1f(%%rip), %%rcx", "sysretq; 1:")
DO(vmcall, "", "vmcall")
DO(vmmcall, "", "vmmcall")
DO(monitor, "movq %%rdi, %%rax; xorl %%ecx, %%ecx; xorl %%edx, %%edx", "monitor %%rax, %%ecx, %%edx")
DO(in_0x60, "", "inb $0x60, %%al")
DO(out_0x80, "", "outb %%al, $0x80")
DO(in_cmos, "", "inb $0x71, %%al")
DO(out_reset, "movl $6, %%eax; movl $0xcf9, %%edx", "outb %%al, %%dx")
DO(out_pci, "movl $0x80000000, %%eax; movl $0xcf8, %%edx", "outl %%eax, %%dx")
DO(out_ffff, "movl $0xffff, %%edx", "outb %%al, %%dx")
DO(insb, "movl $0x60, %%edx", "insb")
DO(outsb, "movl $0x80, %%edx", "outsb")
DO(rep_outsb, "movl $0x80, %%edx; movl $16, %%ecx", "rep outsb")
DO(far_return_null, "pushq $0; leaq 1f(%%rip), %%rax; pushq %%rax", "lretq; 1:")
DO(far_return_user, "pushq $0x2b; leaq 1f(%%rip), %%rax; pushq %%rax", "lretq; 1:")
DO(iretq, "movq %%rsp, %%rcx; pushq $0x10; pushq %%rcx; pushq $2; pushq $8; pushq $1f", "iretq; 1:")

static const struct {
    const char *name;
    uint64_t (*execute)(void);
} instructions[] = {
    {"rdmsr-fs", rdmsr_fs},
    {"rdmsr-gs", rdmsr_gs},
    {"rdmsr-kernel-gs", rdmsr_kernel_gs},
    {"rdmsr-efer", rdmsr_efer},
    {"rdmsr-tsc", rdmsr_tsc},
    {"rdmsr-apic-base", rdmsr_apic_base},
    {"rdmsr-unknown", rdmsr_unknown},
    {"wrmsr-fs", wrmsr_fs},
    {"wrmsr-fs-not-canonical", wrmsr_fs_not_canonical},
    {"wrmsr-gs", wrmsr_gs},
    {"wrmsr-efer", wrmsr_efer},
    {"wrmsr-efer-off", wrmsr_efer_off},
    {"wrmsr-unknown", wrmsr_unknown},
    {"wrmsr-lstar", wrmsr_lstar},
    {"hlt", hlt},
    {"cli", cli},
    {"sti", sti},
    {"read-cr0", read_cr0},
    {"read-cr2", read_cr2},
    {"read-cr3", read_cr3},
    {"read-cr4", read_cr4},
    {"read-cr8", read_cr8},
    {"read-dr7", read_dr7},
    {"write-cr0-same", write_cr0_same},
    {"write-cr0", write_cr0},
    {"write-cr0-unpaged", write_cr0_unpaged},
    {"write-cr2", write_cr2},
    {"write-cr3-same", write_cr3_same},
    {"write-cr3", write_cr3},
    {"write-cr4-same", write_cr4_same},
    {"write-cr4", write_cr4},
    {"write-cr8", write_cr8},
    {"write-dr7", write_dr7},
    {"clts", clts},
    {"lmsw", lmsw},
    {"smsw", smsw},
    {"invlpg", invlpg},
    {"wbinvd", wbinvd},
    {"invd", invd},
    {"swapgs", swapgs},
    {"rdpmc", rdpmc},
    {"xsetbv", xsetbv},
    {"rdtsc", rdtsc},
    {"cpuid", cpuid},
    {"sgdt", sgdt},
    {"sidt", sidt},
    {"str", str},
    {"sldt", sldt},
    {"lldt", lldt},
    {"ltr-again", ltr_again},
    {"lgdt-not-canonical", lgdt_far},
    {"mov-fs", mov_fs},
    {"mov-gs-null", mov_gs_null},
    {"read-selectors", read_selectors},
    {"pushf", pushf},
    {"popf-if", popf_if},
    {"int-0x80", int_0x80},
    {"syscall", syscall},
    {"sysret", sysret},
    {"vmcall", vmcall},
    {"vmmcall", vmmcall},
    {"monitor", monitor},
    {"in-0x60", in_0x60},
    {"out-0x80", out_0x80},
    {"in-cmos", in_cmos},
    {"out-reset", out_reset},
    {"out-pci", out_pci},
    {"out-0xffff", out_ffff},
    {"insb", insb},
    {"outsb", outsb},
    {"rep-outsb", rep_outsb},
    {"lretq-null", far_return_null},
    {"lretq-user", far_return_user},
    {"iretq", iretq},
};

int main(const struct boot_info *boot) {
    (void)boot;
    const char *name = argument(0);
    for (unsigned i = 0; i < sizeof instructions / sizeof *instructions; i++) {
        if (!equal(instructions[i].name, name))
            continue;
        print("before %s\n", name);
        uint64_t value = instructions[i].execute();
        print("%s went on, rax 0x%lx\n", name, value);
        return 0;
    }
    fail("no such instruction");
}
