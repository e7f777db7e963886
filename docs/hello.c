/* A whole guest without the runtime crate: writes a line to the console and exits with status 7. docs/abi.md
 * explains each number. To build it:
 *
 *     cc -O2 -ffreestanding -fPIE -fno-stack-protector -nostdlib -static-pie \
 *         -Wl,-z,noexecstack,-z,separate-code,--no-dynamic-linker docs/hello.c -o hello.elf
 */
#include <stdint.h>

/* The note: owner "ukvm", type 1, and a manifest without devices. */
__attribute__((section(".note.ukvm"), used, aligned(4)))
static const struct {
    uint32_t owner_size, descriptor_size, type;
    char owner[8];
    uint32_t abi_version, header_size, device_count, device_size;
    uint64_t min_memory, stack_size, features;
} __attribute__((packed)) note = {5, 40, 1, "ukvm", 1, 40, 0, 48, 0, 0, 0};

static uint64_t load64(uintptr_t at) { return *(volatile uint64_t *)at; }
static uint32_t load32(uintptr_t at) { return *(volatile uint32_t *)at; }
static void store64(uintptr_t at, uint64_t value) { *(volatile uint64_t *)at = value; }
static void store32(uintptr_t at, uint32_t value) { *(volatile uint32_t *)at = value; }

static void doorbell(uint32_t value)
{
    __asm__ volatile("outl %0, %w1" : : "a"(value), "d"(0x7500) : "memory");
}

static const char line[] = "hello from C\n";

/* The monitor starts a guest as if it had called a function with one argument. */
void _start(uintptr_t boot_info)
{
    uintptr_t rings = load64(boot_info + 184);
    uintptr_t request = rings + 4096;
    uintptr_t completion = request + load32(boot_info + 200) * 64ul;

    store64(request + 0, 1);                    /* opcode 1: ConsoleWrite; flags 0; device 0: system */
    store64(request + 8, 42);                   /* user data */
    store64(request + 16, (uintptr_t)line);     /* address */
    store64(request + 24, sizeof line - 1);     /* length; the rest of a fresh entry is zero */
    store64(rings + 8, UINT64_MAX);             /* deadline: none */
    store32(rings + 0, 1);                      /* submission tail, after the entry */
    do
        doorbell(0);                            /* Enter */
    while (load32(rings + 192) == 0);           /* completion tail */

    int right = load64(completion + 0) == 42 && load32(completion + 8) == 0;
    store32(rings + 64, 1);                     /* completion head: it is taken */
    doorbell(1 | (right ? 7 : 1) << 8);         /* Exit */
    __builtin_unreachable();
}
