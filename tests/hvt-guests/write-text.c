/* Writes to its own text. */
#include "lib.h"

NO_DEVICES;

int main(const struct boot_info *boot) {
    (void)boot;
    print("before\n");
    *(volatile uint8_t *)main = 0xc3;
    print("the text was written\n");
    return 0;
}
