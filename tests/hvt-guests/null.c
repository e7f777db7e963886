/* Touches the zero page: `read`, `write`, or `jump`. The guest's own handler reports it. */
#include "cpu.h"
#include "lib.h"

NO_DEVICES;

int main(const struct boot_info *boot) {
    (void)boot;
    const char *how = argument(0);
    uint64_t null = 0;
    __asm__("" : "+r"(null));
    print("before %s\n", how);
    if (equal(how, "read"))
        __asm__ volatile(TRAPS("movq (%0), %%rax") : : "r"(null) : "rax", "memory");
    else if (equal(how, "write"))
        __asm__ volatile(TRAPS("movq %%rax, 8(%0)") : : "r"(null) : "memory");
    else
        __asm__ volatile("movq $0, trap_at\n\tcall *%0" : : "r"(null) : "memory");
    print("%s of the zero page went on\n", how);
    return 0;
}
