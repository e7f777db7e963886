/* The hvt ABI of Solo5, version 2, as a guest sees it: boot information, manifest and hypercalls. All integers are
   little-endian, all addresses guest-physical, which is also what they are in the guest's own mapping. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_VERSION 1
#define ABI_VERSION 2
#define TARGET_HVT 1

#define NOTE_ABI 0x31494241
#define NOTE_MANIFEST 0x3154464d

/* What precedes the payload of every note. */
struct note_header {
    uint32_t name_size;
    uint32_t size; /* of the payload and the padding before it */
    uint32_t type;
    char name[8];
};

#define DEVICE_BLOCK 1
#define DEVICE_NET 2
#define DEVICE_RESERVED 0x40000000 /* the first entry of each manifest */

struct device {
    char name[68];
    uint32_t type;
    union {
        struct {
            uint64_t capacity; /* bytes */
            uint16_t block_size;
        } block;
        struct {
            uint8_t mac[6];
            uint16_t mtu;
        } net;
        uint8_t bytes[16];
    };
    uint64_t backing;
    uint8_t attached;
    uint8_t padding[7];
};
_Static_assert(sizeof(struct device) == 104, "the ABI fixes the size of an entry");

struct manifest {
    uint32_t version;
    uint32_t entries;
    struct device entry[];
};
_Static_assert(offsetof(struct manifest, entry) == 8, "the ABI fixes where entries start");

/* Puts a note into the guest that declares COUNT devices, each given as `{ .name = "data", .type = DEVICE_BLOCK }`. */
#define DEVICES(COUNT, ...)                                                                                            \
    const struct {                                                                                                     \
        struct note_header header;                                                                                     \
        uint32_t padding;                                                                                              \
        uint32_t version;                                                                                              \
        uint32_t entries;                                                                                              \
        struct device entry[(COUNT) + 1];                                                                              \
    } manifest_note __attribute__((section(".note.solo5.manifest"), used, aligned(8))) = {                             \
        .header = {6, 4 + 8 + sizeof(struct device) * ((COUNT) + 1), NOTE_MANIFEST, "Solo5"},                          \
        .version = MANIFEST_VERSION,                                                                                   \
        .entries = (COUNT) + 1,                                                                                        \
        .entry = {{.type = DEVICE_RESERVED}, __VA_ARGS__},                                                             \
    }
#define NO_DEVICES DEVICES(0, )

struct boot_info {
    uint64_t mem_size;       /* bytes that are the guest's, from 0 on */
    uint64_t kernel_end;     /* behind the last segment with bytes in the file; the bss may lie there */
    uint64_t cpu_cycle_freq; /* of the TSC, in Hz */
    const char *cmdline;
    const struct manifest *manifest;
    /* From here on only with a tender of version 0.11 or later. */
    uint32_t host_features;
    uint32_t guest_features;
    struct ring *net_ring;
};
_Static_assert(sizeof(struct boot_info) == 56, "the ABI fixes the size of the boot information");

#define FEATURE_NET_RING 1u

/* Numbers of hypercalls. */
enum {
    CALL_WALLTIME = 1,
    CALL_PUTS = 2,
    CALL_POLL = 3,
    CALL_BLOCK_WRITE = 4,
    CALL_BLOCK_READ = 5,
    CALL_NET_WRITE = 6,
    CALL_NET_READ = 7,
    CALL_HALT = 8,
};

/* Results of hypercalls. */
enum { OK = 0, AGAIN = 1, EINVAL = 2, EUNSPEC = 3 };

struct walltime {
    uint64_t nanoseconds;
};
struct puts {
    const void *data;
    uint64_t len;
};
struct poll {
    uint64_t timeout; /* nanoseconds from now */
    uint64_t ready_set;
    int32_t ready;
};
struct block_io {
    uint64_t handle;
    uint64_t offset;
    void *data;
    uint64_t len;
    int32_t result;
};
struct net_io {
    uint64_t handle;
    void *data;
    uint64_t len;
    int32_t result;
};
struct halt {
    const void *cookie; /* 512 readable bytes, or null */
    int32_t status;
};

#define CALL_PORT 0x500

/* Writes a word to an I/O port. */
static inline void out32(uint16_t port, uint32_t value) {
    __asm__ volatile("outl %0, %1" : : "a"(value), "d"(port) : "memory");
}

/* A hypercall with the arguments at `block`. */
static inline void call(unsigned number, const void *block) {
    out32((uint16_t)(CALL_PORT + number), (uint32_t)(uintptr_t)block);
}
