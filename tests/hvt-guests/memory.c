/* Boot information and the register values at entry, all memory up to its end, and the pages that are not the
   guest's. */
#include "cpu.h"
#include "lib.h"

NO_DEVICES;

/* Not initialised in the file: must be zero. */
static uint8_t zeros[300000];

static void probe(const char *name, uint64_t address) {
    struct caught read = try_read(address);
    print("%s at 0x%lx: read ", name, address);
    if (read.count == 0)
        print("goes on");
    else
        print("traps %lu error 0x%lx cr2 0x%lx", read.vector, read.error, read.cr2);
    struct caught write = try_write(address);
    if (write.count == 0)
        print(", write goes on\n");
    else
        print(", write traps %lu error 0x%lx cr2 0x%lx\n", write.vector, write.error, write.cr2);
}

static uint64_t noise(uint64_t address) {
    return (address ^ 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
}

int main(const struct boot_info *boot) {
    print("mem_size %lu\n", boot->mem_size);
    bool before = boot->kernel_end <= (uint64_t)_end && boot->kernel_end > 0x100000;
    print("kernel_end %s\n", before ? "before the bss ends" : "wrong");
    print("manifest of %lu at 0x%lx, version %lu\n", (uint64_t)boot->manifest->entries, (uint64_t)boot->manifest,
          (uint64_t)boot->manifest->version);
    print("features 0x%lx 0x%lx ring 0x%lx\n", (uint64_t)boot->host_features, (uint64_t)boot->guest_features,
          (uint64_t)boot->net_ring);
    print("entry: stack %lu below the end, boot info at 0x%lx, other registers 0x%lx\n", boot->mem_size - entry_rsp,
          (uint64_t)boot, entry_registers);

    for (size_t i = 0; i < sizeof zeros; i++)
        if (zeros[i] != 0)
            fail("the bss is not zero");
    /* The stack is in the last 64 KiB. */
    uint64_t end = boot->mem_size - 65536, words = 0;
    for (uint64_t at = (uint64_t)_end; at < end; at += 1024, words++) {
        uint64_t *word = (uint64_t *)at;
        if (*word != 0)
            fail("fresh memory is not zero");
        *word = noise(at);
    }
    for (uint64_t at = (uint64_t)_end; at < end; at += 1024)
        if (*(uint64_t *)at != noise(at))
            fail("memory does not keep what is written");
    *(volatile uint64_t *)(boot->mem_size - 8) = words;
    print("all of it is writable\n");

    probe("zero page", 0);
    probe("zero page's end", 0xfff);
    probe("descriptors", 0x1000);
    probe("tables", 0x2000);
    probe("below the boot page", 0xffff);
    probe("boot page", 0x10000);
    probe("below the image", 0xff000);
    probe("behind the end", boot->mem_size);
    return 0;
}
