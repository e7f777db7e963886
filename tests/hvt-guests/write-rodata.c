/* Writes to its own constants. */
#include "lib.h"

NO_DEVICES;

static const uint64_t constant[2] = {1, 2};

int main(const struct boot_info *boot) {
    (void)boot;
    uint64_t *word = (uint64_t *)constant;
    /* The compiler must not know that these are constants. */
    __asm__("" : "+r"(word));
    print("before %lu\n", word[0]);
    word[0] = 3;
    __asm__ volatile("" : : : "memory");
    print("the constants were written\n");
    return 0;
}
