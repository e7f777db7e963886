/* Ends as an abort does: without a cookie, or with one that tells registers, by the argument `cookie`. */
#include "lib.h"

NO_DEVICES;

int main(const struct boot_info *boot) {
    (void)boot;
    static uint64_t cookie[64] = {0x1000, 2, 0x123456, 8, 2, 0x1ffff0, 0x10};
    print("abort\n");
    halt(255, equal(argument(0), "cookie") ? cookie : NULL);
}
