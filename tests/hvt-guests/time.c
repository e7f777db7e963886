/* The wall clock, the TSC as a monotonic clock, and whether both agree about how long a poll takes. */
#include "lib.h"

NO_DEVICES;

static const uint64_t timeouts[] = {0, 1, 1000000, 20000000, 100000000};

int main(const struct boot_info *boot) {
    print("walltime %lu\n", walltime());
    print("cycles per second %lu\n", boot->cpu_cycle_freq);
    uint64_t last = monotonic();
    for (unsigned i = 0; i < 1000000; i++) {
        uint64_t now = monotonic();
        if (now < last)
            fail("the monotonic clock goes back");
        last = now;
    }
    print("monotonic\n");
    for (unsigned i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        uint64_t timeout = timeouts[i], wall = walltime(), start = monotonic();
        struct poll block = poll_for(timeout);
        uint64_t waited = monotonic() - start, by_wall = walltime() - wall;
        if (block.ready != 0 || block.ready_set != 0)
            fail("a poll without devices finds one");
        /* The frequency is known to the kilohertz only. */
        if (waited + waited / 1000 < timeout)
            fail("a poll returns before its timeout");
        int64_t apart = (int64_t)(by_wall - waited);
        bool agree = apart < 50000000 && apart > -50000000;
        print("poll %lu: waited %lu, the wall clock %s\n", timeout, waited, agree ? "agrees" : "disagrees");
    }
    return 0;
}
