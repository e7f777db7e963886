/* A unikernel in C: counts its visitors on a disk, and greets each over HTTP.
 *
 *     ukvm-run --net service=tap0 --disk visits=visits.img greeter.elf -- --ip 10.0.0.2/24
 *
 * The disk is any file of a block or more; without one the count begins anew at each start.
 */
#include <ukvm.h>

UKVM_PROGRAM(8 << 20, 0, UKVM_NET("service"), UKVM_BLOCK("visits", UKVM_WRITABLE | UKVM_OPTIONAL));

/* Writes `number` in decimal before `end`, and gives where it begins. */
static char *decimal(char *end, uint64_t number)
{
    do
        *--end = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return end;
}

static int fail(const char *what, int error)
{
    ukvm_print("greeter: ");
    ukvm_print(what);
    ukvm_print(": ");
    ukvm_print(ukvm_error(error));
    ukvm_print("\n");
    return 1;
}

/* Whether the empty line has come that ends a request's head. */
static bool is_whole(const char *request, size_t length)
{
    for (size_t at = 0; at + 4 <= length; at++)
        if (memcmp(request + at, "\r\n\r\n", 4) == 0)
            return true;
    return false;
}

/* Answers a connection's one request, if it comes within ten seconds. */
static void serve(int connection, uint64_t visit)
{
    ukvm_tcp_limit(connection, (uint64_t)10 * 1000 * 1000 * 1000);
    char request[1024];
    size_t length = 0;
    while (!is_whole(request, length) && length < sizeof request) {
        ptrdiff_t read = ukvm_tcp_read(connection, request + length, sizeof request - length);
        if (read <= 0)
            return;
        length += (size_t)read;
    }
    char digits[20], *end = digits + sizeof digits, *number = decimal(end, visit);
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nhello, visitor ";
    ukvm_tcp_write(connection, answer, sizeof answer - 1);
    ukvm_tcp_write(connection, number, (size_t)(end - number));
    ukvm_tcp_write(connection, "\n", 1);
}

int main(int count, char **arguments)
{
    (void)count, (void)arguments;
    int disk = ukvm_disk_open("visits");
    size_t size = disk < 0 ? sizeof(uint64_t) : ukvm_disk_block_size(disk);
    uint64_t *visits = calloc(1, size);
    if (visits == NULL)
        return fail("its block", UKVM_NO_MEMORY);
    int error = disk < 0 ? 0 : ukvm_disk_read(disk, 0, visits, size);
    if (error < 0)
        return fail("the disk", error);

    int network = ukvm_net_open("service");
    if (network < 0)
        return fail("the network", network);
    int port = ukvm_net_port(network, 80), listener = ukvm_tcp_listen(network, (uint16_t)port);
    if (listener < 0)
        return fail("its port", listener);
    ukvm_print("greeter: ready\n");
    for (;;) {
        int connection = ukvm_tcp_accept(listener);
        if (connection == UKVM_STOPPING)
            return 0;
        if (connection < 0)
            return fail("a connection", connection);
        ++*visits;
        if (disk >= 0 && (error = ukvm_disk_write(disk, 0, visits, size)) == 0)
            error = ukvm_disk_flush(disk);
        if (error < 0)
            fail("the disk", error);
        serve(connection, *visits);
        ukvm_close(connection);
    }
}
