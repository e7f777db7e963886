/* What the runtime's library for C offers, each function once: prints what it finds, for the test to compare. */
#include <ukvm.h>

UKVM_PROGRAM(4 << 20, 256 << 10, UKVM_NET("wire"), UKVM_BLOCK("disk", UKVM_WRITABLE), UKVM_BLOCK("fixed", UKVM_OPTIONAL));

static void print_number(const char *what, int64_t number)
{
    char text[32], *at = text + sizeof text;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    *--at = '\0';
    *--at = '\n';
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        *--at = '-';
    ukvm_print(what);
    ukvm_print(" ");
    ukvm_print(at);
}

static void print_string(const char *what, const char *text)
{
    ukvm_print(what);
    ukvm_print(" ");
    ukvm_print(text == NULL ? "NULL" : text);
    ukvm_print("\n");
}

static void heap(void)
{
    unsigned char *a = malloc(100), *b = calloc(10, 10);
    memset(a, 7, 100);
    bool zero = true;
    for (int i = 0; i < 100; i++)
        zero &= b[i] == 0;
    a = realloc(a, 1 << 20);
    bool kept = true;
    for (int i = 0; i < 100; i++)
        kept &= a[i] == 7;
    print_number("aligned", ((uintptr_t)a | (uintptr_t)b) % 16 == 0);
    print_number("zero", zero);
    print_number("kept", kept);
    free(a);
    free(b);
    free(NULL);
    /* A leak would end the memory. */
    for (int i = 0; i < 100000; i++)
        free(malloc(4096));
    print_number("too much", malloc(SIZE_MAX) == NULL && calloc(SIZE_MAX / 2, 3) == NULL && malloc((size_t)1 << 40) == NULL);
}

static void disks(void)
{
    int disk = ukvm_disk_open("disk"), fixed = ukvm_disk_open("fixed");
    static unsigned char block[512], other[512];
    print_number("size", (int64_t)ukvm_disk_size(disk));
    print_number("block size", (int64_t)ukvm_disk_block_size(disk));
    print_number("read-only", ukvm_disk_is_read_only(disk) + 10 * ukvm_disk_is_read_only(fixed));
    memcpy(block, "written by C", 12);
    print_number("write", ukvm_disk_write(disk, 512, block, sizeof block));
    print_number("flush", ukvm_disk_flush(disk));
    print_number("read", ukvm_disk_read(disk, 512, other, sizeof other));
    print_number("same", memcmp(block, other, sizeof block) == 0);
    print_string("unaligned", ukvm_error(ukvm_disk_read(disk, 1, block, sizeof block)));
    print_string("outside", ukvm_error(ukvm_disk_write(disk, ukvm_disk_size(disk), block, sizeof block)));
    print_string("fixed", ukvm_error(ukvm_disk_write(fixed, 0, block, sizeof block)));
    print_string("unknown", ukvm_error(ukvm_disk_open("none")));
    print_string("no number", ukvm_error(ukvm_disk_flush(99)));
    print_number("close", ukvm_close(fixed));
    print_string("closed", ukvm_error(ukvm_disk_write(fixed, 0, block, sizeof block)));
    print_string("another kind", ukvm_error(ukvm_tcp_listen(disk, 80)));
}

static void clocks(void)
{
    uint64_t before = ukvm_monotonic(), wall = ukvm_wall();
    ukvm_sleep(20 * 1000 * 1000);
    uint64_t slept = ukvm_monotonic() - before;
    print_number("slept", slept >= 20 * 1000 * 1000);
    print_number("wall", ukvm_wall() > wall && wall > (uint64_t)1700000000 * 1000000000);
    unsigned char random[64] = {0}, again[64] = {0};
    ukvm_random(random, sizeof random);
    ukvm_random(again, sizeof again);
    print_number("random", memcmp(random, again, sizeof random) != 0);
}

/* A client and a server: connects to `host` and sends back what comes from there, until that ends. */
static void network(const char *host)
{
    int wire = ukvm_net_open("wire");
    print_string("again", ukvm_error(ukvm_net_open("wire")));
    int connection = ukvm_tcp_connect(wire, host, 7777);
    if (connection < 0) {
        print_string("connect", ukvm_error(connection));
        return;
    }
    static unsigned char buffer[2000];
    ptrdiff_t length;
    int64_t all = 0;
    while ((length = ukvm_tcp_read(connection, buffer, sizeof buffer)) > 0) {
        all += length;
        if (ukvm_tcp_write(connection, buffer, (size_t)length) < 0)
            ukvm_panic("it cannot be written");
    }
    print_number("bytes", all);
    print_number("end", length);
    print_number("close", ukvm_close(connection));
    print_string("closed", ukvm_error(ukvm_close(connection)));
    int idle = ukvm_tcp_connect(wire, host, 7777);
    print_number("limit", ukvm_tcp_limit(idle, 50 * 1000 * 1000));
    print_string("late", ukvm_error((int)ukvm_tcp_read(idle, buffer, sizeof buffer)));
    print_string("refused", ukvm_error(ukvm_tcp_connect(wire, host, 7778)));
    print_number("port", ukvm_net_port(wire, 80));
    print_string("network", ukvm_error(ukvm_close(wire)));
    int listener = ukvm_tcp_listen(wire, 80);
    print_string("in use", ukvm_error(ukvm_tcp_listen(wire, 80)));
    ukvm_print("waiting\n");
    int stopped = ukvm_tcp_accept(listener);
    print_string("accept", ukvm_error(stopped));
    print_number("stopping", ukvm_stopping());
}

int main(int count, char **arguments)
{
    print_number("arguments", count);
    print_string("last", arguments[count - 1]);
    print_number("NULL behind", arguments[count] == NULL);
    print_string("HOME", ukvm_env("HOME"));
    print_string("NONE", ukvm_env("NONE"));
    char line[16] = "";
    size_t length = ukvm_console_read(line, sizeof line - 1);
    ukvm_console_write(line, length);
    print_number("input ends", ukvm_console_read(line, sizeof line) == 0);
    heap();
    disks();
    clocks();
    if (strlen(arguments[count - 1]) > 5)
        network(arguments[count - 1]);
    return 300;
}
