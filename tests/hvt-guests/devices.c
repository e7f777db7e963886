/* Prints what the manifest says about its devices: a block device and a network device that share a name. */
#include "ethernet.h"
#include "lib.h"

DEVICES(2, {.name = "both", .type = DEVICE_BLOCK}, {.name = "both", .type = DEVICE_NET});

int main(const struct boot_info *boot) {
    const struct device *block = entry(device(DEVICE_BLOCK, "both")), *net = entry(device(DEVICE_NET, "both"));
    print("entries %lu, the first %s\n", (uint64_t)boot->manifest->entries,
          entry(0)->type == DEVICE_RESERVED && entry(0)->name[0] == 0 ? "is reserved" : "is not reserved");
    print("block %lu: capacity %lu block size %lu\n", (uint64_t)(block - entry(0)), block->block.capacity,
          (uint64_t)block->block.block_size);
    print("net %lu, ", (uint64_t)(net - entry(0)));
    print_net("both", net);
    return 0;
}
