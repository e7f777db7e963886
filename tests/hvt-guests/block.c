/* A disk `data`, by the first argument:
     info           capacity and block size
     sectors        writes and reads back the first, the last and some sectors between, one at a time
     edges          requests at and beyond the edges, with their results
     bulk           writes, reads and compares 4 MiB by 512-byte requests
     read AT LEN    one request, and the sum of the bytes that it read
     write AT LEN   one request with known bytes
     into PLACE     reads a sector into `text`, `rodata`, `boot`, or to the `end` of memory */
#include "lib.h"

DEVICES(1, {.name = "data", .type = DEVICE_BLOCK});

static uint64_t disk, capacity, block_size;
static uint8_t buffer[1 << 20], other[1 << 20];

/* Bytes that differ between places and between rounds. */
static void fill(uint8_t *to, uint64_t len, uint64_t at, uint64_t round) {
    for (uint64_t i = 0; i < len; i++)
        to[i] = (uint8_t)(((at + i) * 0x9e3779b1 + round * 0x85ebca77) >> 13);
}

static uint64_t sum(const uint8_t *bytes, uint64_t len) {
    uint64_t sum = 0xcbf29ce484222325;
    for (uint64_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3;
    return sum;
}

static void one_sector(uint64_t number, uint64_t round) {
    uint64_t at = number * block_size;
    fill(buffer, block_size, at, round);
    if (block_write(disk, at, buffer, block_size) != OK)
        fail("a sector cannot be written");
    memset(other, 0, block_size);
    if (block_read(disk, at, other, block_size) != OK)
        fail("a sector cannot be read");
    if (memcmp(buffer, other, block_size) != 0)
        fail("a sector is not what was written");
}

static void sectors(void) {
    uint64_t count = capacity / block_size, done = 0, step = count / 16 + 1;
    for (uint64_t i = 0; i < count; i += step, done++)
        one_sector(i, i);
    one_sector(count - 1, count);
    print("%lu sectors of %lu bytes are kept\n", done + 1, block_size);
}

static void edge(const char *name, uint64_t handle, uint64_t offset, uint64_t len) {
    print("%s: read %s", name, result(block_read(handle, offset, buffer, len)));
    print(", write %s\n", result(block_write(handle, offset, buffer, len)));
}

static void edges(void) {
    const uint64_t none = ~0ull;
    block_read(disk, 0, buffer, block_size);
    edge("first block", disk, 0, block_size);
    edge("nothing", disk, 0, 0);
    edge("nothing at the end", disk, capacity - 1, 0);
    edge("nothing behind the end", disk, capacity, 0);
    edge("behind the end", disk, capacity, block_size);
    edge("across the end", disk, capacity - block_size / 2, block_size);
    edge("at 2^64-1", disk, none, block_size);
    edge("offset that wraps", disk, none - block_size + 1, block_size);
    edge("handle 0", 0, 0, block_size);
    edge("handle 2", 2, 0, block_size);
    edge("handle 64", 64, 0, block_size);
    edge("handle 2^32-1", 0xffffffff, 0, block_size);
    edge("handle 2^32+1", 1ull << 32 | 1, 0, block_size);
    block_read(disk, 7, buffer, 100);
    edge("unaligned", disk, 7, 100);
    block_read(disk, 0, buffer, 3 * block_size);
    edge("three blocks", disk, 0, 3 * block_size);
    print("odd address: read %s\n", result(block_read(disk, 0, buffer + 1, block_size)));
}

static void bulk(void) {
    const uint64_t size = 4 << 20, request = 512;
    uint64_t start = monotonic(), wrong = 0;
    if (capacity < size)
        fail("the disk is smaller than 4 MiB");
    for (uint64_t at = 0; at < size; at += request) {
        uint64_t *words = (uint64_t *)buffer;
        for (uint64_t i = 0; i < request / 8; i++)
            words[i] = (at + i) * 0x9e3779b97f4a7c15;
        if (block_write(disk, at, buffer, request) != OK)
            fail("a write failed");
    }
    for (uint64_t at = 0; at < size; at += request) {
        const uint64_t *words = (const uint64_t *)buffer;
        if (block_read(disk, at, buffer, request) != OK)
            fail("a read failed");
        for (uint64_t i = 0; i < request / 8; i++)
            wrong += words[i] != (at + i) * 0x9e3779b97f4a7c15;
    }
    print("4 MiB by 512 bytes: %lu words are wrong\n", wrong);
    print("nanoseconds %lu\n", monotonic() - start);
}

static void one(bool write) {
    uint64_t at = (uint64_t)number(argument(1)), len = (uint64_t)number(argument(2));
    if (len > sizeof buffer)
        fail("too long");
    if (write)
        fill(buffer, len, at, 0);
    int32_t code = write ? block_write(disk, at, buffer, len) : block_read(disk, at, buffer, len);
    print("%s %lu at %lu: %s, sum 0x%lx\n", argument(0), len, at, result(code), sum(buffer, len));
}

static void into(const char *place) {
    void *to = NULL;
    if (equal(place, "text"))
        to = (void *)into;
    else if (equal(place, "rodata"))
        to = (void *)"constant";
    else if (equal(place, "boot"))
        to = (void *)boot;
    else if (equal(place, "end"))
        to = (void *)(boot->mem_size - block_size);
    else
        fail("no such place");
    print("before %s\n", place);
    print("into %s: %s\n", place, result(block_read(disk, 0, to, block_size)));
}

int main(const struct boot_info *boot) {
    (void)boot;
    const char *what = argument(0);
    disk = device(DEVICE_BLOCK, "data");
    capacity = entry(disk)->block.capacity;
    block_size = entry(disk)->block.block_size;
    if (equal(what, "info"))
        print("capacity %lu block size %lu\n", capacity, block_size);
    else if (equal(what, "sectors"))
        sectors();
    else if (equal(what, "edges"))
        edges();
    else if (equal(what, "bulk"))
        bulk();
    else if (equal(what, "read") || equal(what, "write"))
        one(equal(what, "write"));
    else if (equal(what, "into"))
        into(argument(1));
    else
        fail("no such test");
    return 0;
}
