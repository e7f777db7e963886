//! The floor of a start: the least that any monitor must ask of KVM to get one byte out of a guest in ring 3.
//!
//! Opens `/dev/kvm`, makes a virtual machine with one slot of 64 MiB and one vCPU, sets the registers, runs to the first
//! exit, writes the byte to standard output and exits. No C library, no CPUID, no interrupt controller; one page of guest
//! memory is touched.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::ptr;

const OPEN: usize = 2;
const WRITE: usize = 1;
const MMAP: usize = 9;
const IOCTL: usize = 16;
const EXIT_GROUP: usize = 231;

const READ_WRITE: usize = 2;
const CLOSE_ON_EXEC: usize = 0o2_000_000;
const PROT_READ_WRITE: usize = 3;
const MAP_SHARED: usize = 1;
/// Private, anonymous, no reserve.
const MAP_MEMORY: usize = 0x4022;

// The numbers of <linux/kvm.h>.
const KVM_CREATE_VM: usize = 0xae01;
const KVM_GET_VCPU_MMAP_SIZE: usize = 0xae04;
const KVM_CREATE_VCPU: usize = 0xae41;
const KVM_SET_USER_MEMORY_REGION: usize = 0x4020_ae46;
const KVM_RUN: usize = 0xae80;
const KVM_SET_REGS: usize = 0x4090_ae82;
const KVM_SET_SREGS: usize = 0x4138_ae84;
const KVM_EXIT_IO: u32 = 2;

/// The guest's memory, as `ukvm-run` has it by default.
const MEMORY: usize = 64 << 20;
/// The guest's code in its only page, behind the entries of the page tables.
const CODE: u64 = 0x800;
/// `mov al, 'x'`; `out 0x10, al`.
const PROGRAM: [u8; 4] = [0xb0, b'x', 0xe6, 0x10];

#[repr(C)]
#[derive(Clone, Copy)]
struct Segment {
    base: u64,
    limit: u32,
    selector: u16,
    kind: u8,
    present: u8,
    dpl: u8,
    db: u8,
    s: u8,
    l: u8,
    g: u8,
    avl: u8,
    unusable: u8,
    padding: u8,
}

const CODE_SEGMENT: Segment = Segment {
    base: 0,
    limit: u32::MAX,
    selector: 0x33,
    kind: 0xb,
    present: 1,
    dpl: 3,
    db: 0,
    s: 1,
    l: 1,
    g: 1,
    avl: 0,
    unusable: 0,
    padding: 0,
};
const DATA_SEGMENT: Segment = Segment { selector: 0x2b, kind: 3, db: 1, l: 0, ..CODE_SEGMENT };

#[repr(C)]
struct Table {
    base: u64,
    limit: u16,
    padding: [u16; 3],
}

/// `struct kvm_sregs`.
#[repr(C)]
struct SystemRegisters {
    segments: [Segment; 8],
    gdt: Table,
    idt: Table,
    cr0: u64,
    cr2: u64,
    cr3: u64,
    cr4: u64,
    cr8: u64,
    efer: u64,
    apic_base: u64,
    interrupts: [u64; 4],
}

/// `struct kvm_regs`: RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, R8 to R15, RIP, RFLAGS.
type Registers = [u64; 18];

/// `struct kvm_userspace_memory_region`.
#[repr(C)]
struct Slot {
    slot: u32,
    flags: u32,
    guest: u64,
    size: u64,
    host: u64,
}

const TASK_SEGMENT: Segment =
    Segment { limit: 0x67, selector: 0x40, dpl: 0, s: 0, l: 0, g: 0, ..CODE_SEGMENT };
const NO_TABLE: Table = Table { base: 0, limit: 0, padding: [0; 3] };

/// The state that ring 3 in 64-bit mode needs; whole, so that nothing is put together at run time.
static SYSTEM: SystemRegisters = SystemRegisters {
    segments: [
        CODE_SEGMENT,
        DATA_SEGMENT,
        DATA_SEGMENT,
        DATA_SEGMENT,
        DATA_SEGMENT,
        DATA_SEGMENT,
        TASK_SEGMENT,
        Segment { unusable: 1, present: 0, ..TASK_SEGMENT },
    ],
    gdt: NO_TABLE,
    idt: NO_TABLE,
    cr0: 0x8005_0033,
    cr2: 0,
    cr3: 0,
    cr4: 0x620,
    cr8: 0,
    efer: 0xd00,
    apic_base: 0xfee0_0900,
    interrupts: [0; 4],
};
/// RIP and RFLAGS with IOPL 3.
static REGISTERS: Registers =
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (1 << 30 | 2 << 21) + CODE, 0x3002];

const _: () = assert!(size_of::<SystemRegisters>() == 0x138);
const _: () = assert!(size_of::<Registers>() == 0x90);

global_asm!(
    ".globl _start",
    "_start:",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start,
);

/// A system call with up to six arguments.
///
/// # Safety
///
/// The arguments are what the call takes; every pointer among them is to live memory of the size that it needs.
unsafe fn call(number: usize, arguments: [usize; 6]) -> usize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: the kernel takes these registers and changes RAX, RCX and R11 only; what else it does is the caller's to know.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
        )
    };
    result
}

fn exit(status: usize) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { asm!("syscall", in("rax") EXIT_GROUP, in("rdi") status, options(noreturn)) }
}

/// The result of a system call, or the end of the program with `step` as its status.
fn checked(result: usize, step: usize) -> usize {
    if result > usize::MAX - 4096 { exit(step) } else { result }
}

extern "C" fn start() -> ! {
    // SAFETY: the path is a C string that lives for ever.
    let kvm = unsafe { call(OPEN, [c"/dev/kvm".as_ptr().addr(), READ_WRITE | CLOSE_ON_EXEC, 0, 0, 0, 0]) };
    let kvm = checked(kvm, 1);
    // SAFETY: the call takes a number.
    let vm = checked(unsafe { call(IOCTL, [kvm, KVM_CREATE_VM, 0, 0, 0, 0]) }, 2);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let memory = unsafe { call(MMAP, [0, MEMORY, PROT_READ_WRITE, MAP_MEMORY, usize::MAX, 0]) };
    let memory = checked(memory, 3);
    let slot = Slot { slot: 0, flags: 0, guest: 0, size: MEMORY as u64, host: memory as u64 };
    // SAFETY: `slot` is a live structure of the type that the call takes.
    checked(unsafe { call(IOCTL, [vm, KVM_SET_USER_MEMORY_REGION, (&raw const slot).addr(), 0, 0, 0]) }, 4);

    // One page is the table of each level: entry 0 leads back to it, and so does entry 1; entry 2 is a large page at 0.
    // Present, writable, user, accessed, dirty; large.
    let page = ptr::with_exposed_provenance_mut::<u64>(memory);
    for (index, entry) in [0x67_u64, 0x67, 0xe7].into_iter().enumerate() {
        // SAFETY: the three words lie in the page that was mapped above.
        unsafe { page.wrapping_add(index).write(entry) };
    }
    // SAFETY: the code's four bytes lie in the same page.
    unsafe { page.wrapping_byte_add(CODE as usize).cast::<[u8; 4]>().write(PROGRAM) };

    // SAFETY: the call takes a number.
    let vcpu = checked(unsafe { call(IOCTL, [vm, KVM_CREATE_VCPU, 0, 0, 0, 0]) }, 5);
    // SAFETY: the call takes nothing.
    let size = checked(unsafe { call(IOCTL, [kvm, KVM_GET_VCPU_MMAP_SIZE, 0, 0, 0, 0]) }, 6);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let run = checked(unsafe { call(MMAP, [0, size, PROT_READ_WRITE, MAP_SHARED, vcpu, 0]) }, 7);
    // SAFETY: `SYSTEM` is a structure of the type that the call takes.
    checked(unsafe { call(IOCTL, [vcpu, KVM_SET_SREGS, (&raw const SYSTEM).addr(), 0, 0, 0]) }, 8);
    // SAFETY: `REGISTERS` is a structure of the type that the call takes.
    checked(unsafe { call(IOCTL, [vcpu, KVM_SET_REGS, (&raw const REGISTERS).addr(), 0, 0, 0]) }, 9);
    // SAFETY: the call takes nothing.
    checked(unsafe { call(IOCTL, [vcpu, KVM_RUN, 0, 0, 0, 0]) }, 10);

    let run = ptr::with_exposed_provenance::<u8>(run);
    // SAFETY: the mapping begins with `struct kvm_run`, whose exit reason is at offset 8.
    let reason = unsafe { run.wrapping_add(8).cast::<u32>().read_volatile() };
    if reason != KVM_EXIT_IO {
        exit(11);
    }
    // SAFETY: for this exit, the data's offset is at 40 (direction, size, port, count, then the offset).
    let offset = unsafe { run.wrapping_add(40).cast::<u64>().read_volatile() };
    // SAFETY: the byte lies in the run mapping, where KVM put it.
    checked(unsafe { call(WRITE, [1, run.wrapping_add(offset as usize).addr(), 1, 0, 0, 0]) }, 12);
    exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(99)
}
