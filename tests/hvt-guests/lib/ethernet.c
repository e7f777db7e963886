#include "ethernet.h"

#include "lib.h"

/* Offsets in a frame: Ethernet (14 bytes), then ARP (RFC 826) or IPv4 (RFC 791) without options and ICMP (RFC 792). */
enum {
    TO = 0,
    FROM = 6,
    TYPE = 12,
    ARP = 14,
    ARP_OPERATION = 20,
    ARP_SENDER = 22,
    ARP_TARGET = 32,
    ARP_END = 42,
    IP = 14,
    IP_PROTOCOL = 23,
    IP_SOURCE = 26,
    IP_DESTINATION = 30,
    ICMP = 34,
    ICMP_END = 42,
};

static bool is(const uint8_t *at, const char *bytes, size_t len) {
    return memcmp(at, bytes, len) == 0;
}

static size_t answer_arp(const struct responder *who, uint8_t *frame, size_t len) {
    /* Ethernet, IPv4, 6 and 4 bytes long, request. */
    if (len < ARP_END || !is(frame + ARP, "\0\1\x08\0\6\4\0\1", 8) ||
        memcmp(frame + ARP_TARGET + 6, who->address, 4) != 0)
        return 0;
    memcpy(frame + ARP_TARGET, frame + ARP_SENDER, 10);
    memcpy(frame + ARP_SENDER, who->mac, 6);
    memcpy(frame + ARP_SENDER + 6, who->address, 4);
    frame[ARP_OPERATION + 1] = 2;
    return len;
}

static size_t answer_echo(struct responder *who, uint8_t *frame, size_t len) {
    uint8_t *icmp = frame + ICMP;
    if (len < ICMP_END || frame[IP] != 0x45 || frame[IP_PROTOCOL] != 1 || !is(icmp, "\x08\0", 2) ||
        memcmp(frame + IP_DESTINATION, who->address, 4) != 0)
        return 0;
    /* The sum over the IP header stays what it is when the addresses change places. */
    memcpy(frame + IP_DESTINATION, frame + IP_SOURCE, 4);
    memcpy(frame + IP_SOURCE, who->address, 4);
    /* Type 8 becomes 0: the complement sum grows by as much (RFC 1624). */
    uint32_t sum = ((uint32_t)icmp[2] << 8 | icmp[3]) + 0x0800;
    sum = (sum & 0xffff) + (sum >> 16);
    icmp[0] = 0;
    icmp[2] = (uint8_t)(sum >> 8);
    icmp[3] = (uint8_t)sum;
    who->echoes++;
    return len;
}

size_t answer(struct responder *who, uint8_t *frame, size_t len) {
    if (len < ARP)
        return 0;
    size_t size = is(frame + TYPE, "\x08\x06", 2)   ? answer_arp(who, frame, len)
                  : is(frame + TYPE, "\x08\x00", 2) ? answer_echo(who, frame, len)
                                                    : 0;
    memcpy(frame + TO, frame + FROM, 6);
    memcpy(frame + FROM, who->mac, 6);
    return size;
}

void broadcast(const struct device *device, uint8_t *frame) {
    memset(frame + TO, 0xff, 6);
    memcpy(frame + FROM, device->net.mac, 6);
    memcpy(frame + TYPE, "\x88\xb5", 2);
}

struct responder responder(const struct device *device, const char *address) {
    struct responder who = {.echoes = 0};
    memcpy(who.mac, device->net.mac, 6);
    for (unsigned i = 0; i < 4; i++) {
        who.address[i] = (uint8_t)number(address);
        while (*address != 0 && *address++ != '.')
            ;
    }
    return who;
}

int32_t net_read(uint64_t handle, void *data, uint64_t *len) {
    struct net_io block = {handle, data, *len, -1};
    call(CALL_NET_READ, &block);
    *len = block.len;
    return block.result;
}

int32_t net_write(uint64_t handle, const void *data, uint64_t len) {
    struct net_io block = {handle, (void *)data, len, -1};
    call(CALL_NET_WRITE, &block);
    return block.result;
}

void print_net(const char *name, const struct device *device) {
    const uint8_t *mac = device->net.mac;
    print("%s: mac", name);
    for (unsigned i = 0; i < 6; i++)
        print("%s%lx%lx", i == 0 ? " " : ":", (uint64_t)mac[i] >> 4, (uint64_t)mac[i] & 15);
    print(" mtu %lu\n", (uint64_t)device->net.mtu);
}
