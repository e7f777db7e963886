/* Thread-local storage: two blocks, the FS base set to the one and the other, which hypercalls and traps must keep. */
#include "cpu.h"
#include "lib.h"

NO_DEVICES;

static __thread uint64_t initialised = 0x1122334455667788ul;
static __thread uint64_t zero;

struct block {
    uint8_t data[64];
    /* The variant of x86-64: variables end where FS points, and there is the pointer itself. */
    struct block *self;
};
static struct block blocks[2] __attribute__((aligned(64)));

static struct block *fs_base(void) {
    struct block *self;
    __asm__ volatile("movq %%fs:0, %0" : "=r"(self));
    return (struct block *)((uint8_t *)self - offsetof(struct block, self));
}

static void use(struct block *block) {
    set_fs_base((uint64_t)&block->self);
    if (fs_base() != block)
        fail("FS does not point to the block");
}

int main(const struct boot_info *boot) {
    (void)boot;
    extern const uint8_t tls_image[];
    /* One 8-byte variable with a value, one without. */
    for (unsigned i = 0; i < 2; i++) {
        memcpy(blocks[i].data + sizeof blocks[i].data - 16, tls_image, 8);
        blocks[i].self = (struct block *)&blocks[i].self;
    }
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 2; i++) {
            use(&blocks[i]);
            if (initialised != 0x1122334455667788ul + round || zero != round * (i + 1))
                fail("a variable is not this block's");
            initialised++;
            zero += i + 1;
            walltime();
            if (fs_base() != &blocks[i])
                fail("a hypercall changes FS");
            catch_traps = true;
            __asm__ volatile(TRAPS("ud2") : : : "memory");
            catch_traps = false;
            if (fs_base() != &blocks[i])
                fail("a trap changes FS");
        }
        print("round %lu\n", (uint64_t)round);
    }
    print("traps %lu\n", caught.count);
    return 0;
}
