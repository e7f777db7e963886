/* Looks only at the 40 bytes of boot information that tenders up to 0.10.1 wrote. */
#include "lib.h"

NO_DEVICES;

int main(const struct boot_info *boot) {
    const uint64_t *words = (const uint64_t *)boot;
    const struct manifest *manifest = (const struct manifest *)words[4];
    const char *cmdline = (const char *)words[3];
    print("memory %lu, image ends above 1 MiB: %s, cycles %s\n", words[0], words[1] > 0x100000 ? "yes" : "no",
          words[2] > 1000000 ? "known" : "unknown");
    print("command line [%s]\n", cmdline);
    print("manifest version %lu of %lu, first type 0x%lx\n", (uint64_t)manifest->version, (uint64_t)manifest->entries,
          (uint64_t)manifest->entry[0].type);
    return 0;
}
