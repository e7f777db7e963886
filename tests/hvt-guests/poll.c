/* Polls without network devices for the nanoseconds that the first argument is, as often as the second says. */
#include "lib.h"

NO_DEVICES;

int main(const struct boot_info *boot) {
    (void)boot;
    uint64_t timeout = (uint64_t)number(argument(0)), times = (uint64_t)number(argument(1));
    for (uint64_t i = 0; i < times; i++) {
        uint64_t start = monotonic();
        struct poll block = poll_for(timeout);
        uint64_t waited = monotonic() - start;
        print("poll: ready %ld set 0x%lx after %lu\n", (int64_t)block.ready, block.ready_set, waited);
        if (waited + waited / 1000 < timeout)
            fail("a poll returns before its timeout");
    }
    return 0;
}
