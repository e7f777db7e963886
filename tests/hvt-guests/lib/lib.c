#include "lib.h"

#include <stdarg.h>

const struct boot_info *boot;

/* The note that says which tender this guest is for. */
const struct {
    struct note_header header;
    uint32_t target, version, reserved[2];
} abi_note __attribute__((section(".note.solo5.abi"), used, aligned(4))) = {
    .header = {6, 16, NOTE_ABI, "Solo5"},
    .target = TARGET_HVT,
    .version = ABI_VERSION,
};

void *memset(void *to, int byte, size_t len) {
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(len) : "a"(byte) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t len) {
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(len) : : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t len) {
    const uint8_t *left = a, *right = b;
    for (; len > 0; len--, left++, right++)
        if (*left != *right)
            return *left - *right;
    return 0;
}

void print_bytes(const void *data, uint64_t len) {
    struct puts block = {data, len};
    call(CALL_PUTS, &block);
}

/* A line that is being put together. */
struct line {
    char text[256];
    size_t len;
};

static void append(struct line *line, char c) {
    if (line->len == sizeof line->text) {
        print_bytes(line->text, line->len);
        line->len = 0;
    }
    line->text[line->len++] = c;
}

static void append_number(struct line *line, uint64_t value, unsigned base) {
    char digits[20];
    size_t count = 0;
    do
        digits[count++] = "0123456789abcdef"[value % base];
    while ((value /= base) != 0);
    while (count > 0)
        append(line, digits[--count]);
}

void print(const char *format, ...) {
    struct line line = {.len = 0};
    va_list values;
    va_start(values, format);
    for (; *format != 0; format++) {
        if (*format != '%') {
            append(&line, *format);
            continue;
        }
        if (*++format == 's') {
            for (const char *text = va_arg(values, const char *); *text != 0; text++)
                append(&line, *text);
            continue;
        }
        /* All numbers are long: %lu, %ld, %lx. */
        uint64_t value = va_arg(values, uint64_t);
        format++;
        if (*format == 'd' && (int64_t)value < 0) {
            append(&line, '-');
            value = -value;
        }
        append_number(&line, value, *format == 'x' ? 16 : 10);
    }
    va_end(values);
    print_bytes(line.text, line.len);
}

_Noreturn void halt(int status, const void *cookie) {
    struct halt block = {cookie, status};
    for (;;)
        call(CALL_HALT, &block);
}

_Noreturn void fail(const char *why) {
    print("failed: %s\n", why);
    halt(255, NULL);
}

const char *argument(unsigned n) {
    static char words[4][64];
    const char *at = boot->cmdline;
    for (unsigned i = 0; i < n && *at != 0; i++) {
        while (*at != 0 && *at != ' ')
            at++;
        while (*at == ' ')
            at++;
    }
    size_t len = 0;
    if (n >= sizeof words / sizeof *words)
        fail("too many arguments");
    for (; at[len] != 0 && at[len] != ' ' && len < sizeof words[n] - 1; len++)
        words[n][len] = at[len];
    words[n][len] = 0;
    return words[n];
}

bool equal(const char *a, const char *b) {
    for (; *a == *b; a++, b++)
        if (*a == 0)
            return true;
    return false;
}

int64_t number(const char *text) {
    bool negative = *text == '-';
    int64_t value = 0;
    for (text += negative; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (*text - '0');
    return negative ? -value : value;
}

uint64_t walltime(void) {
    struct walltime block = {0};
    call(CALL_WALLTIME, &block);
    return block.nanoseconds;
}

uint64_t monotonic(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    uint64_t cycles = (uint64_t)high << 32 | low, quotient, remainder;
    /* The product has up to 128 bits; the quotient fits into 64 for 584 years. */
    __asm__("mulq %3\n\tdivq %4"
            : "=&a"(quotient), "=&d"(remainder)
            : "0"(cycles), "r"(1000000000ull), "r"(boot->cpu_cycle_freq));
    return quotient;
}

struct poll poll_for(uint64_t nanoseconds) {
    struct poll block = {.timeout = nanoseconds, .ready_set = ~0ull, .ready = -1};
    call(CALL_POLL, &block);
    return block;
}

const struct device *entry(uint64_t handle) {
    return &boot->manifest->entry[handle];
}

uint64_t device(uint32_t type, const char *name) {
    for (uint64_t i = 1; i < boot->manifest->entries; i++)
        if (entry(i)->type == type && equal(entry(i)->name, name) && entry(i)->attached == 1)
            return i;
    fail("a device is not attached");
}

int32_t block_read(uint64_t handle, uint64_t offset, void *data, uint64_t len) {
    struct block_io block = {handle, offset, data, len, -1};
    call(CALL_BLOCK_READ, &block);
    return block.result;
}

int32_t block_write(uint64_t handle, uint64_t offset, const void *data, uint64_t len) {
    struct block_io block = {handle, offset, (void *)data, len, -1};
    call(CALL_BLOCK_WRITE, &block);
    return block.result;
}

const char *result(int32_t code) {
    switch (code) {
    case OK:
        return "OK";
    case AGAIN:
        return "AGAIN";
    case EINVAL:
        return "EINVAL";
    case EUNSPEC:
        return "EUNSPEC";
    default:
        return "no result";
    }
}
