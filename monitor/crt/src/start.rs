//! The entry point: from the kernel's stack to `main`.
//!
//! The program is a static position-independent executable: the kernel puts it at a random address, and it relocates itself.
//! Sources: System V ABI, x86-64 supplement, section 3.4 (process initialisation); System V ABI, chapter 5 (dynamic section).

use crate::thread::PAGE;
use crate::{call, environment, thread};
#[cfg(not(test))]
use core::arch::global_asm;
use core::ptr;
#[cfg(not(test))]
use libc::c_char;
use libc::{Elf64_Phdr, c_int};

/// `DT_RELA`, `DT_RELASZ`: the relocations and their bytes.
const RELA: usize = 7;
const RELA_SIZE: usize = 8;
/// `R_X86_64_RELATIVE`: the program's address is added.
const RELATIVE: u32 = 8;
/// What ends a process whose start fails, as a shell has it for a program that cannot run.
const CANNOT_RUN: c_int = 127;

/// The main thread's variables and control block: far more than the standard library has.
#[repr(C, align(64))]
struct MainThread([u8; 2048]);

static mut MAIN_THREAD: MainThread = MainThread([0; 2048]);

/// `Elf64_Rela`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Relocation {
    offset: usize,
    info: u64,
    addend: usize,
}

#[cfg(not(test))]
global_asm!(
    ".pushsection .text.ukvm_crt_start,\"ax\",@progbits",
    ".globl _start",
    ".type _start,@function",
    ".hidden _DYNAMIC",
    ".hidden __ehdr_start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "lea rsi, [rip + _DYNAMIC]",
    "lea rdx, [rip + __ehdr_start]",
    "and rsp, -16",
    "call {start}",
    "ud2",
    ".popsection",
    start = sym start,
);

#[cfg(not(test))]
unsafe extern "C" {
    /// Made by the compiler: it prepares the standard library and calls the program's own.
    fn main(count: c_int, arguments: *const *const c_char) -> c_int;
    /// The linker's: functions that run before `main`.
    static __init_array_start: [Initialiser; 0];
    static __init_array_end: [Initialiser; 0];
}

#[cfg(not(test))]
type Initialiser = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// What the kernel has put on the stack: a count, arguments, a null, the environment, a null, the auxiliary vector.
#[cfg(not(test))]
unsafe extern "C" fn start(stack: *const usize, dynamic: *const [usize; 2], base: usize) -> ! {
    // SAFETY: this is the first that is done, with the program's own dynamic section and address.
    unsafe { relocate(dynamic, base) };
    // SAFETY: the kernel's stack begins with the number of arguments.
    let count = unsafe { *stack };
    let arguments = stack.wrapping_add(1).cast::<*const c_char>();
    let variables = arguments.wrapping_add(count + 1);
    let mut end = variables;
    // SAFETY: the environment ends with a null.
    while !unsafe { *end }.is_null() {
        end = end.wrapping_add(1);
    }
    // SAFETY: behind it is the auxiliary vector; both live as long as the process.
    unsafe { environment::install(variables, end.wrapping_add(1).cast()) };
    // SAFETY: the program is relocated, and this is its only thread.
    unsafe { prepare(base) };
    let (first, last) = (&raw const __init_array_start, &raw const __init_array_end);
    let (mut next, last) = (first.cast::<Initialiser>(), last.cast::<Initialiser>());
    while next < last {
        // SAFETY: the linker has put functions between the two places.
        let initialise = unsafe { *next };
        initialise(count as c_int, arguments, variables);
        next = next.wrapping_add(1);
    }
    // SAFETY: the thread is furnished, which is all that it needs.
    let status = unsafe { main(count as c_int, arguments) };
    thread::exit_process(status)
}

/// Adds the program's address to each word that has to have it.
///
/// # Safety
///
/// To be called once, with the program's own dynamic section and address, before anything that has such words.
unsafe fn relocate(dynamic: *const [usize; 2], base: usize) {
    let (mut table, mut size) = (0, 0);
    let mut entry = dynamic;
    loop {
        // SAFETY: the section ends with an entry of zeroes.
        match unsafe { *entry } {
            [0, _] => break,
            [RELA, address] => table = address,
            [RELA_SIZE, bytes] => size = bytes,
            _ => {}
        }
        entry = entry.wrapping_add(1);
    }
    let relocations = ptr::with_exposed_provenance::<Relocation>(base + table);
    for index in 0..size / size_of::<Relocation>() {
        // SAFETY: the linker has put so many of them there.
        let Relocation { offset, info, addend } = unsafe { *relocations.wrapping_add(index) };
        if info as u32 != RELATIVE {
            thread::exit_process(CANNOT_RUN);
        }
        // SAFETY: the linker wants a word of the program, which is writable so far, to be changed.
        unsafe { ptr::with_exposed_provenance_mut::<usize>(base + offset).write(base + addend) };
    }
}

/// Seals what relocation has written, and gives the main thread its variables.
///
/// # Safety
///
/// The program is at `base`, relocated, and has one thread.
unsafe fn prepare(base: usize) {
    let headers = ptr::with_exposed_provenance::<Elf64_Phdr>(environment::auxiliary(libc::AT_PHDR));
    let random = ptr::with_exposed_provenance::<usize>(environment::auxiliary(libc::AT_RANDOM));
    // SAFETY: the kernel puts 16 random bytes there; the lowest byte of a canary is 0, so that no string contains it.
    let canary = unsafe { random.read_unaligned() } & !0xff;
    thread::describe(ptr::null(), 0, 0, 1, 0, canary);
    for index in 0..environment::auxiliary(libc::AT_PHNUM) {
        // SAFETY: the kernel says that the program has so many headers there.
        let header = unsafe { &*headers.wrapping_add(index) };
        let (address, total) = (header.p_vaddr as usize, header.p_memsz as usize);
        match header.p_type {
            libc::PT_TLS => thread::describe(
                ptr::with_exposed_provenance(base + address),
                header.p_filesz as usize,
                total,
                header.p_align as usize,
                address,
                canary,
            ),
            libc::PT_GNU_RELRO => {
                let start = (base + address) & !(PAGE - 1);
                let length = ((base + address + total) & !(PAGE - 1)).saturating_sub(start);
                let arguments = [start, length, libc::PROT_READ as usize, 0, 0, 0];
                // SAFETY: the linker says that nobody writes there after the relocation.
                if call::error(unsafe { call::raw(libc::SYS_mprotect, arguments) }).is_some() {
                    thread::exit_process(CANNOT_RUN);
                }
            }
            _ => {}
        }
    }
    let memory = (&raw mut MAIN_THREAD).cast::<u8>();
    // SAFETY: the memory is zeroed, and the main thread's for ever.
    let control = unsafe { thread::furnish(memory, size_of::<MainThread>()) };
    let set = control.map(|control| {
        // From arch/x86/include/uapi/asm/prctl.h.
        const ARCH_SET_FS: usize = 0x1002;
        // SAFETY: the block is what is to be at the thread pointer.
        unsafe { call::raw(libc::SYS_arch_prctl, [ARCH_SET_FS, control.expose_provenance(), 0, 0, 0, 0]) }
    });
    if set != Some(0) {
        thread::exit_process(CANNOT_RUN);
    }
}
