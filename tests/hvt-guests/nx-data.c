/* Executes a `ret` in the memory that the argument names: what is no text must not be executable. */
#include "lib.h"

NO_DEVICES;

#define RET 0xc3

static uint8_t data[16] = {RET};
static const uint8_t rodata[16] = {RET};
static uint8_t bss[16];

int main(const struct boot_info *boot) {
    const char *what = argument(0);
    uint8_t stack[16] = {RET};
    uint8_t *heap = (uint8_t *)(boot->mem_size / 2);
    const uint8_t *code = NULL;
    bss[0] = RET;
    if (equal(what, "data"))
        code = data;
    else if (equal(what, "rodata"))
        code = rodata;
    else if (equal(what, "bss"))
        code = bss;
    else if (equal(what, "stack"))
        code = stack;
    else if (equal(what, "heap")) {
        *heap = RET;
        code = heap;
    } else if (equal(what, "boot"))
        /* Whatever is there: it may not even be fetched. */
        code = (const uint8_t *)boot;
    else
        fail("no such memory");
    print("before %s\n", what);
    __asm__ volatile("call *%0" : : "r"(code) : "memory");
    print("%s was executed\n", what);
    return 0;
}
