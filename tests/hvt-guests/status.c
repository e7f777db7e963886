/* Ends with the status that the first argument is. */
#include "lib.h"

NO_DEVICES;

int main(const struct boot_info *boot) {
    (void)boot;
    print("status %s\n", argument(0));
    return (int)number(argument(0));
}
