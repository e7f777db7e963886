/* Answers ARP requests and pings on the network device `service` by hypercalls, as guests do: a poll, and then one read.
     ADDRESS [COUNT]   has this IPv4 address, and ends after COUNT pings, or never
     edges             calls that find nothing or name no device, with their results
     write LEN         writes a frame of so many bytes
     flood COUNT LEN   writes COUNT broadcast frames of LEN bytes, numbered from 0 on behind the header */
#include "ethernet.h"
#include "lib.h"

DEVICES(1, {.name = "service", .type = DEVICE_NET});

static uint8_t frame[65536];
static uint64_t handle;

static void serve(const char *address, uint64_t count) {
    struct responder who = responder(entry(handle), address);
    while (count == 0 || who.echoes < count) {
        if ((poll_for(1000000000).ready_set >> handle & 1) == 0)
            continue;
        uint64_t len = entry(handle)->net.mtu + 14u;
        if (net_read(handle, frame, &len) != OK)
            continue;
        size_t size = answer(&who, frame, len);
        if (size > 0 && net_write(handle, frame, size) != OK)
            fail("a frame cannot be written");
    }
    print("%lu pings answered\n", who.echoes);
}

static void edge(const char *name, uint64_t handle, bool write) {
    uint64_t len = 1234;
    int32_t code = write ? net_write(handle, frame, 60) : net_read(handle, frame, &len);
    print("%s: %s %s, len %lu\n", name, write ? "write" : "read", result(code), len);
}

static void edges(void) {
    while (poll_for(0).ready_set != 0) {
        uint64_t len = sizeof frame;
        net_read(handle, frame, &len);
    }
    edge("nothing there", handle, false);
    for (unsigned write = 0; write < 2; write++) {
        edge("handle 0", 0, write);
        edge("handle 2", 2, write);
        edge("handle 64", 64, write);
        edge("handle 2^32-1", 0xffffffff, write);
    }
}

static void flood(uint64_t count, uint64_t len) {
    broadcast(entry(handle), frame);
    for (uint64_t i = 0; i < count; i++) {
        memcpy(frame + 14, &i, sizeof i);
        if (net_write(handle, frame, len) != OK)
            fail("a frame cannot be written");
    }
    print("%lu frames written\n", count);
}

int main(const struct boot_info *boot) {
    (void)boot;
    const char *what = argument(0);
    handle = device(DEVICE_NET, "service");
    print_net("service", entry(handle));
    if (equal(what, "edges"))
        edges();
    else if (equal(what, "write")) {
        broadcast(entry(handle), frame);
        print("write %s: %s\n", argument(1), result(net_write(handle, frame, (uint64_t)number(argument(1)))));
    } else if (equal(what, "flood"))
        flood((uint64_t)number(argument(1)), (uint64_t)number(argument(2)));
    else
        serve(what, (uint64_t)number(argument(1)));
    return 0;
}
