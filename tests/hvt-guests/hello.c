/* Prints its command line, whole. */
#include "lib.h"

NO_DEVICES;

int main(const struct boot_info *boot) {
    size_t len = 0;
    while (boot->cmdline[len] != 0)
        len++;
    print("Hello from hvt\ncommand line: [%s] %lu bytes\n", boot->cmdline, len);
    return 0;
}
