/* What all guests of this folder use. A guest defines `main` and its devices; what `main` returns is the exit status.
   */
#pragma once

#include "hvt.h"

int main(const struct boot_info *boot);

/* The boot information, from the first instruction on. */
extern const struct boot_info *boot;
/* The first address behind the guest's image and bss. */
extern uint8_t _end[];

/* Prints with %s, %lu, %ld and %lx, in as few PUTS as the text allows (256 bytes each). */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints bytes by exactly one PUTS. */
void print_bytes(const void *data, uint64_t len);
/* Ends the guest. */
_Noreturn void halt(int status, const void *cookie);
/* Prints why, and ends the guest as an abort does. */
_Noreturn void fail(const char *why);

/* The nth word of the command line, from 0 on; "" where there is none. Valid until the next call with the same n. */
const char *argument(unsigned n);
bool equal(const char *a, const char *b);
/* A decimal number with an optional sign. */
int64_t number(const char *text);

/* Nanoseconds since 1970. */
uint64_t walltime(void);
/* Nanoseconds of the TSC. */
uint64_t monotonic(void);
struct poll poll_for(uint64_t nanoseconds);

/* The handle of a device of the manifest; fails where there is none or the host did not attach it. */
uint64_t device(uint32_t type, const char *name);
const struct device *entry(uint64_t handle);
int32_t block_read(uint64_t handle, uint64_t offset, void *data, uint64_t len);
int32_t block_write(uint64_t handle, uint64_t offset, const void *data, uint64_t len);
/* The word for a result. */
const char *result(int32_t code);

void *memset(void *to, int byte, size_t len);
void *memcpy(void *to, const void *from, size_t len);
int memcmp(const void *a, const void *b, size_t len);
