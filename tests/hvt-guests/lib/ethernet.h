/* Ethernet as far as a guest needs it to be pinged. */
#pragma once

#include "hvt.h"

/* Who answers. */
struct responder {
    uint8_t mac[6];
    uint8_t address[4]; /* IPv4, in the order in which it is written */
    uint64_t echoes;    /* answered so far */
};

/* The device's own MAC, and the address of dotted decimal text. */
struct responder responder(const struct device *device, const char *address);

/* Turns a frame into the answer to it, in place: to ARP requests for the address and to ICMP echo requests. Gives the
   length of the answer, 0 where there is none. */
size_t answer(struct responder *who, uint8_t *frame, size_t len);

/* Writes the header of a broadcast frame from the device, of a type that nobody answers: for local experiments (IEEE
   802). */
void broadcast(const struct device *device, uint8_t *frame);

/* One call each; `net_read` gives the length of the frame in `len`. */
int32_t net_read(uint64_t handle, void *data, uint64_t *len);
int32_t net_write(uint64_t handle, const void *data, uint64_t len);

/* Prints MAC and MTU. */
void print_net(const char *name, const struct device *device);
