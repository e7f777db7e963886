/* How a program says what it needs. Once in a program, outside of all functions:
 *
 *     UKVM_PROGRAM(16 << 20, 0, UKVM_NET("service"), UKVM_BLOCK("data", UKVM_WRITABLE | UKVM_OPTIONAL));
 *
 * The first number is the least memory in bytes, the second the stack in bytes; 0 leaves either to the monitor. Then come its
 * network and block devices, if any: the names that `--net NAME=TAP` and `--disk NAME=PATH` bind them by.
 */
struct ukvm_device {
    uint32_t kind, flags;
    char name[32];
    uint64_t features;
};

/* The program writes to the disk. */
#define UKVM_WRITABLE @WRITABLE@
/* The program can do without the device. */
#define UKVM_OPTIONAL @OPTIONAL@

#define UKVM_NET(name) {@NET@, 0, name, @FEATURES@}
#define UKVM_BLOCK(name, flags) {@BLOCK@, flags, name, 0}

#define UKVM_PROGRAM(memory, stack, ...)                                                            \
    __attribute__((section("@SECTION@"), used, aligned(4))) static const struct {                 \
        uint32_t owner_size, descriptor_size, type;                                                 \
        char owner[8];                                                                              \
        uint32_t version, header_size, devices, device_size;                                        \
        uint64_t least_memory, stack_size, required;                                                \
        struct ukvm_device device[sizeof((struct ukvm_device[]){__VA_ARGS__}) / sizeof(struct ukvm_device)]; \
    } __attribute__((packed)) ukvm_program = {                                                      \
        @OWNER_SIZE@, @HEADER_SIZE@ + sizeof((struct ukvm_device[]){__VA_ARGS__}), @TYPE@, "@OWNER@",             \
        @ABI_VERSION@, @HEADER_SIZE@, sizeof((struct ukvm_device[]){__VA_ARGS__}) / sizeof(struct ukvm_device), @DEVICE_SIZE@, \
        memory, stack, 0, {__VA_ARGS__}}


#ifdef __cplusplus
extern "C" {
#endif
/* As the C library's. */
void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *a, const void *b, size_t count);
size_t strlen(const char *text);
#ifdef __cplusplus
}
#endif
