/* Floating point: x87 and SSE2, scalar and packed, checked by their bits; and that hypercalls and traps keep the
   registers. */
#include "cpu.h"
#include "lib.h"

NO_DEVICES;

/* The rest of the guest does without these instructions. */
#define SSE __attribute__((noinline, target("sse2")))

static uint64_t wrong;

static void check(const char *what, uint64_t value, uint64_t expected) {
    bool right = value == expected;
    print("%s 0x%lx%s\n", what, value, right ? "" : " IS WRONG");
    wrong += !right;
}

/* 1 + 1/4 + 1/9 + ..., which goes to pi^2/6. */
SSE static uint64_t basel(void) {
    double sum = 0;
    for (uint64_t i = 1; i <= 100000; i++)
        sum += 1.0 / ((double)i * (double)i);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return bits;
}

SSE static uint64_t roots(void) {
    double sum = 0, root;
    for (uint64_t i = 1; i <= 10000; i++) {
        __asm__ volatile("sqrtsd %1, %0" : "=x"(root) : "x"((double)i));
        sum += root;
    }
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return bits;
}

SSE static uint64_t singles(void) {
    typedef float vector __attribute__((vector_size(16)));
    vector x = {1, 2, 3, 4}, sum = {0};
    for (unsigned i = 0; i < 1000; i++) {
        sum += x / (vector){3, 5, 7, 11};
        x = x * (vector){1.001f, 0.999f, 1.0f, 1.0001f} + (vector){0, 1, 0.5f, 0.25f};
    }
    uint64_t bits[2];
    memcpy(bits, &sum, sizeof bits);
    return bits[0] ^ bits[1];
}

SSE static uint64_t integers(void) {
    typedef uint32_t vector __attribute__((vector_size(16)));
    vector x = {1, 2, 3, 4}, sum = {0};
    for (unsigned i = 0; i < 1000; i++) {
        sum ^= x + (x >> 7);
        x = (x << 3) + (vector){5, 7, 11, 13};
    }
    uint64_t bits[2];
    memcpy(bits, &sum, sizeof bits);
    return bits[0] ^ bits[1];
}

/* 1 + 1/2 + 1/3 + ... in 80 bits; the mantissa is checked. */
static uint64_t harmonic(void) {
    long double sum = 0;
    for (int i = 1; i <= 10000; i++)
        sum += 1.0L / i;
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return bits;
}

static uint64_t root_of_two(void) {
    long double value = 2;
    __asm__("fsqrt" : "+t"(value));
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#define EACH(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
#define LOAD(i) "movups " #i "*16(%%rsi), %%xmm" #i "\n\t"
#define STORE(i) "movups %%xmm" #i ", " #i "*16(%%rdi)\n\t"
static uint64_t before[32], after[32];

/* Fills the registers, makes a hypercall and a trap, and looks at them again. The stack of the x87 has pi twice in
   the end. */
static void keep(void) {
    static struct walltime block;
    uint32_t mxcsr, eax = (uint32_t)(uint64_t)&block;
    uint16_t control;
    for (unsigned i = 0; i < 32; i++)
        before[i] = (i + 1) * 0x9e3779b97f4a7c15;
    catch_traps = true;
    __asm__ volatile("fninit\n\tfldpi\n\t" EACH(LOAD) "outl %%eax, %%dx\n\t" TRAPS("ud2") "\n\t" EACH(STORE)
                     "fldpi\n\tfucompp\n\tfnstsw %%ax\n\tstmxcsr %1\n\tfnstcw %2"
                     : "+a"(eax), "=m"(mxcsr), "=m"(control)
                     : "S"(before), "D"(after), "d"(CALL_PORT + CALL_WALLTIME)
                     : "memory");
    catch_traps = false;
    check("registers differ", (uint64_t)(memcmp(before, after, sizeof before) != 0), 0);
    /* C3 alone: both are equal. */
    check("pi against pi", eax & 0x4500, 0x4000);
    /* Without the flags of what was computed before. */
    check("mxcsr", mxcsr & ~0x3fu, 0x1f80);
    check("control word", control, 0x37f);
    check("traps", caught.count, 1);
}

int main(const struct boot_info *boot) {
    (void)boot;
    check("basel", basel(), 0x3ffa519be5fbb345);
    check("roots", roots(), 0x412458b8eb1be224);
    check("singles", singles(), 0x01ad482a03021f96);
    check("integers", integers(), 0x3e30c30d2c9a69a2);
    check("harmonic", harmonic(), 0x9c9a08c96f15c991);
    check("root of two", root_of_two(), 0xb504f333f9de6484);
    keep();
    return wrong == 0 ? 0 : 1;
}
