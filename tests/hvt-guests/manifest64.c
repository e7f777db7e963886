/* Declares as many devices as a manifest can hold, 63 disks `d0` to `d62`; writes its handle to the first sector of
   each, and reads all back. */
#include "lib.h"

#define DISK(digits) {.name = "d" #digits, .type = DEVICE_BLOCK}
#define TEN(tens)                                                                                                      \
    DISK(tens##0), DISK(tens##1), DISK(tens##2), DISK(tens##3), DISK(tens##4), DISK(tens##5), DISK(tens##6),           \
        DISK(tens##7), DISK(tens##8), DISK(tens##9)

DEVICES(63, TEN(), TEN(1), TEN(2), TEN(3), TEN(4), TEN(5), DISK(60), DISK(61), DISK(62));

static uint64_t sector[512 / 8];

int main(const struct boot_info *boot) {
    print("%lu entries\n", (uint64_t)boot->manifest->entries);
    for (uint64_t handle = 1; handle < 64; handle++) {
        const struct device *disk = entry(handle);
        int64_t named = number(disk->name + 1);
        if (disk->type != DEVICE_BLOCK || disk->attached != 1 || named != (int64_t)handle - 1)
            fail("an entry is not what was declared");
        sector[0] = sector[63] = handle;
        if (block_write(handle, 0, sector, sizeof sector) != OK)
            fail("a disk cannot be written");
    }
    for (uint64_t handle = 1; handle < 64; handle++)
        if (block_read(handle, 0, sector, sizeof sector) != OK || sector[0] != handle || sector[63] != handle)
            fail("a disk has another's sector");
    print("handle 0 %s", result(block_read(0, 0, sector, sizeof sector)));
    print(", 64 %s\n", result(block_read(64, 0, sector, sizeof sector)));
    print("63 disks are apart\n");
    return 0;
}
