/* Answers ARP requests and pings as `net` does, but through the ring that tenders since 0.11 offer;
   by hypercalls where none is offered.
     ADDRESS [COUNT]   has this IPv4 address, and ends after COUNT pings, or never
     flood COUNT LEN   writes COUNT broadcast frames of LEN bytes, numbered from 0 on behind the header
     bad CASE          breaks the ring's rules: `tail` (more entries than there are), `handle`, `op`, `pointer`, `wrap`,
                       `len`, `head` (of the commits), `kicks` (a million of them) */
#include "ethernet.h"
#include "lib.h"

DEVICES(1, {.name = "service", .type = DEVICE_NET});

#define SLOTS 1024u
#define KICK_PORT 0x600
enum { RING_WRITE = 1, RING_READ = 2 };

struct ring {
    /* The guest's line. */
    uint32_t ent_tail, com_head;
    uint8_t padding0[56];
    /* The host's line. */
    uint32_t ent_head, com_tail, needs_kick;
    uint8_t padding1[52];
    struct {
        uint32_t op, handle;
        uint64_t data;
        uint32_t len, id;
        uint64_t reserved;
    } entries[SLOTS];
    struct {
        uint32_t id;
        int32_t result;
        uint32_t len, reserved;
    } commits[SLOTS];
};
_Static_assert(offsetof(struct ring, ent_head) == 64, "the ABI fixes where the host's indices are");
_Static_assert(offsetof(struct ring, entries) == 128, "the ABI fixes where entries are");
_Static_assert(offsetof(struct ring, commits) == 32896, "the ABI fixes where commits are");
_Static_assert(sizeof(struct ring) == 49280, "the ABI fixes the size");

static struct ring *ring;
static uint64_t handle;
static uint8_t slots[SLOTS][2048];
static uint8_t frame[65536];
static uint32_t next_id;
static uint64_t kicks;

static void kick(void) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring->needs_kick, __ATOMIC_RELAXED) != 0) {
        out32(KICK_PORT, 0);
        kicks++;
    }
}

/* Puts an entry into the ring without looking whether there is room. */
static void put(uint32_t op, uint32_t handle, uint64_t data, uint32_t len) {
    uint32_t tail = ring->ent_tail, slot = tail % SLOTS;
    ring->entries[slot].op = op;
    ring->entries[slot].handle = handle;
    ring->entries[slot].data = data;
    ring->entries[slot].len = len;
    ring->entries[slot].id = next_id++;
    ring->entries[slot].reserved = 0;
    __atomic_store_n(&ring->ent_tail, tail + 1, __ATOMIC_RELEASE);
    kick();
}

static void wait_for_room(void) {
    while (ring->ent_tail - __atomic_load_n(&ring->ent_head, __ATOMIC_ACQUIRE) >= SLOTS - 1)
        __asm__ volatile("pause");
}

/* Nothing tells whether the frame went out. */
static void ring_write(const void *data, uint64_t len) {
    wait_for_room();
    uint8_t *copy = slots[ring->ent_tail % SLOTS];
    memcpy(copy, data, len);
    put(RING_WRITE, (uint32_t)handle, (uint64_t)copy, (uint32_t)len);
}

static int32_t ring_read(uint32_t handle, void *data, uint64_t *len) {
    wait_for_room();
    uint32_t head = ring->com_head, id = next_id;
    put(RING_READ, handle, (uint64_t)data, (uint32_t)*len);
    while (__atomic_load_n(&ring->com_tail, __ATOMIC_ACQUIRE) == head)
        __asm__ volatile("pause");
    if (ring->commits[head % SLOTS].id != id)
        fail("a commit is not of the entry");
    int32_t code = ring->commits[head % SLOTS].result;
    if (code == OK)
        *len = ring->commits[head % SLOTS].len;
    __atomic_store_n(&ring->com_head, head + 1, __ATOMIC_RELEASE);
    return code;
}

static int32_t read(void *data, uint64_t *len) {
    return ring != NULL ? ring_read((uint32_t)handle, data, len) : net_read(handle, data, len);
}

static void write(const void *data, uint64_t len) {
    /* Long frames have no place in the slots, and go by hypercall. */
    if (ring != NULL && len <= sizeof *slots)
        ring_write(data, len);
    else if (net_write(handle, data, len) != OK)
        fail("a frame cannot be written");
}

/* Until the host has taken all entries: a guest that halts at once could lose frames. */
static void drain(void) {
    if (ring != NULL)
        while (__atomic_load_n(&ring->ent_head, __ATOMIC_ACQUIRE) != ring->ent_tail)
            __asm__ volatile("pause");
    print("the ring is empty, and was kicked%s\n", kicks > 0 ? "" : " never");
}

static void serve(const char *address, uint64_t count) {
    struct responder who = responder(entry(handle), address);
    while (count == 0 || who.echoes < count) {
        if ((poll_for(1000000000).ready_set >> handle & 1) == 0)
            continue;
        uint64_t len = entry(handle)->net.mtu + 14u;
        if (read(frame, &len) != OK)
            continue;
        size_t size = answer(&who, frame, len);
        if (size > 0)
            write(frame, size);
    }
    drain();
    print("%lu pings answered\n", who.echoes);
}

static void flood(uint64_t count, uint64_t len) {
    broadcast(entry(handle), frame);
    for (uint64_t i = 0; i < count; i++) {
        memcpy(frame + 14, &i, sizeof i);
        write(frame, len);
    }
    drain();
    print("%lu frames written\n", count);
}

static void bad(const char *what) {
    if (ring == NULL)
        fail("there is no ring");
    broadcast(entry(handle), frame);
    const uint64_t data = (uint64_t)frame;
    if (equal(what, "tail")) {
        __atomic_store_n(&ring->ent_tail, ring->ent_tail + 100000, __ATOMIC_RELEASE);
        kick();
    } else if (equal(what, "handle")) {
        uint64_t len = 100;
        put(RING_WRITE, 77, data, 60);
        print("read of handle 77: %s\n", result(ring_read(77, frame, &len)));
    } else if (equal(what, "op"))
        put(99, (uint32_t)handle, data, 60);
    else if (equal(what, "pointer"))
        put(RING_WRITE, (uint32_t)handle, boot->mem_size - 10, 60);
    else if (equal(what, "wrap"))
        put(RING_WRITE, (uint32_t)handle, ~0ull - 10, 60);
    else if (equal(what, "len"))
        put(RING_WRITE, (uint32_t)handle, data, 0xffffffff);
    else if (equal(what, "head")) {
        uint64_t len = sizeof frame;
        __atomic_store_n(&ring->com_head, ring->com_head + 5000, __ATOMIC_RELEASE);
        put(RING_READ, (uint32_t)handle, data, (uint32_t)len);
    } else if (equal(what, "kicks"))
        for (unsigned i = 0; i < 1000000; i++)
            out32(KICK_PORT, i);
    else
        fail("no such case");
    /* What was wrong is skipped, or ends the guest; if skipped, the ring works on. */
    drain();
    ring_write(frame, 60);
    drain();
    print("%s: went on\n", what);
}

int main(const struct boot_info *boot) {
    handle = device(DEVICE_NET, "service");
    print_net("service", entry(handle));
    ring = (boot->host_features & FEATURE_NET_RING) != 0 ? boot->net_ring : NULL;
    if (ring == NULL)
        print("by calls\n");
    else
        print("by the ring, %s the memory\n", (uint64_t)ring >= boot->mem_size ? "above" : "inside");
    const char *what = argument(0);
    if (equal(what, "flood"))
        flood((uint64_t)number(argument(1)), (uint64_t)number(argument(2)));
    else if (equal(what, "bad"))
        bad(argument(1));
    else
        serve(what, (uint64_t)number(argument(1)));
    return 0;
}
