/* Waits for frames on two network devices, and says for each frame which device had it. The first argument is how
   many frames it waits for, the second how many nanoseconds it waits at most for each. */
#include "ethernet.h"
#include "lib.h"

DEVICES(2, {.name = "service", .type = DEVICE_NET}, {.name = "second", .type = DEVICE_NET});

static uint8_t frame[65536];

int main(const struct boot_info *boot) {
    (void)boot;
    const uint64_t handles[] = {device(DEVICE_NET, "service"), device(DEVICE_NET, "second")};
    uint64_t frames = (uint64_t)number(argument(0)), timeout = (uint64_t)number(argument(1));
    print("ready\n");
    while (frames > 0) {
        struct poll block = poll_for(timeout);
        print("poll: ready %ld set 0x%lx\n", (int64_t)block.ready, block.ready_set);
        if (block.ready_set == 0) {
            print("nothing came\n");
            return 1;
        }
        /* As long as the frame is not read, a poll returns at once and tells the same device again. */
        if ((poll_for(timeout).ready_set & block.ready_set) != block.ready_set)
            fail("a device is no longer ready before it was read");
        for (unsigned i = 0; i < 2; i++) {
            uint64_t len = sizeof frame;
            if ((block.ready_set >> handles[i] & 1) == 0)
                continue;
            if (net_read(handles[i], frame, &len) != OK)
                fail("a ready device has no frame");
            print("handle %lu %s: %lu bytes\n", handles[i], entry(handles[i])->name, len);
            frames -= frames > 0;
        }
    }
    return 0;
}
