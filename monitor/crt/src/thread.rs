//! Threads: the control block at the thread pointer, `errno` and keys in it, and new threads.
//!
//! A thread's memory is one mapping: a guard page, the stack, its copy of the program's thread-local variables, its control block.
//! "ELF Handling For Thread-Local Storage" (Drepper), section 3, variant II, says where the variables are.

use crate::call::{error, raw};
use core::arch::asm;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use libc::{c_char, c_int, pthread_attr_t, pthread_key_t, pthread_t, size_t};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Keys that a program can have: Rust's standard library takes one for all its variables' destructors.
const KEYS: usize = 8;
/// How often destructors that set values again are run again: POSIX's `_POSIX_THREAD_DESTRUCTOR_ITERATIONS`.
const ROUNDS: usize = 4;
/// Bytes of a stack whose size nobody gives.
const USUAL_STACK: usize = 2 << 20;
/// The kernel's bits for a thread of this process, its thread pointer given.
const THREAD: c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS;

type Destructor = unsafe extern "C" fn(*mut c_void);
type Start = extern "C" fn(*mut c_void) -> *mut c_void;

/// What is at the thread pointer. The System V ABI fixes the first word; compilers look for the canary where it is.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Control {
    this: *mut Self,
    unused: [usize; 4],
    canary: usize,
    errno: c_int,
    mapping: (*mut c_void, usize),
    start: Option<Start>,
    argument: *mut c_void,
    values: [*mut c_void; KEYS],
}

const _: () = assert!(core::mem::offset_of!(Control, canary) == 0x28, "compilers look for it there");

/// The variables that each thread gets a copy of: where they are in the program, and how many bytes.
static IMAGE: AtomicUsize = AtomicUsize::new(0);
static IMAGE_SIZE: AtomicUsize = AtomicUsize::new(0);
/// Bytes from the variables to the thread pointer, zeroed ones included.
static BELOW: AtomicUsize = AtomicUsize::new(0);
static ALIGNMENT: AtomicUsize = AtomicUsize::new(16);
static CANARY: AtomicUsize = AtomicUsize::new(0);

/// What a key's values are destroyed by: a function, [`PLAIN`] for nothing, 0 where the key is free.
static DESTRUCTORS: [AtomicUsize; KEYS] = [const { AtomicUsize::new(0) }; KEYS];
const PLAIN: usize = 1;

/// Notes the variables of the program: `size` bytes at `image` whose link-time address is `address`, and `total` with the zeroed
/// ones. `canary` is a random number.
pub(crate) fn describe(
    image: *const u8,
    size: usize,
    total: usize,
    alignment: usize,
    address: usize,
    canary: usize,
) {
    let alignment = alignment.max(1);
    IMAGE.store(image.expose_provenance(), Ordering::Relaxed);
    IMAGE_SIZE.store(size, Ordering::Relaxed);
    BELOW.store(below(total, alignment, address), Ordering::Relaxed);
    ALIGNMENT.store(alignment.max(16), Ordering::Relaxed);
    CANARY.store(canary, Ordering::Relaxed);
}

/// Bytes from the first variable to the thread pointer, which is aligned: the first one's address keeps its remainder.
const fn below(total: usize, alignment: usize, address: usize) -> usize {
    total + (address.wrapping_neg().wrapping_sub(total) & (alignment - 1))
}

/// Makes a control block and variables at the end of `memory`; `None` where they do not fit.
///
/// # Safety
///
/// The memory is zeroed, valid for writes, and stays a thread's for as long as that lives.
pub(crate) unsafe fn furnish(memory: *mut u8, length: usize) -> Option<*mut Control> {
    let alignment = ALIGNMENT.load(Ordering::Relaxed);
    let below = BELOW.load(Ordering::Relaxed);
    let end = memory.addr().checked_add(length)?;
    let at = end.checked_sub(size_of::<Control>())? & !(alignment - 1);
    let first = at.checked_sub(below).filter(|first| *first >= memory.addr())?;
    let image = ptr::with_exposed_provenance::<u8>(IMAGE.load(Ordering::Relaxed));
    // SAFETY: both ends lie in the caller's memory, as checked above; the image is the program's own.
    unsafe {
        ptr::copy_nonoverlapping(image, memory.with_addr(first), IMAGE_SIZE.load(Ordering::Relaxed));
    };
    let control = memory.with_addr(at).cast::<Control>();
    // SAFETY: the block lies in the caller's memory, aligned.
    unsafe {
        control.write(Control {
            this: control,
            unused: [0; 4],
            canary: CANARY.load(Ordering::Relaxed),
            errno: 0,
            mapping: (ptr::null_mut(), 0),
            start: None,
            argument: ptr::null_mut(),
            values: [ptr::null_mut(); KEYS],
        });
    };
    Some(control)
}

/// This thread's control block.
fn current() -> *mut Control {
    let control: *mut Control;
    // SAFETY: the thread pointer leads to a control block, whose first word is its own address.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) control, options(nostack, preserves_flags, readonly, pure));
    };
    control
}

/// The place of this thread's `errno`.
#[cfg(not(test))]
pub(crate) fn errno() -> *mut c_int {
    // SAFETY: the control block lives as long as its thread; only its place is taken.
    unsafe { &raw mut (*current()).errno }
}

/// The place of this thread's `errno`: a test has the host's C library.
#[cfg(test)]
pub(crate) fn errno() -> *mut c_int {
    // SAFETY: the call has no preconditions.
    unsafe { libc::__errno_location() }
}

/// Ends the process.
pub(crate) fn exit_process(status: c_int) -> ! {
    loop {
        // SAFETY: the call takes a number and does not return.
        unsafe { raw(libc::SYS_exit_group, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn __errno_location() -> *mut c_int {
    errno()
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn pthread_self() -> pthread_t {
    current().addr() as pthread_t
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn pthread_attr_init(attributes: *mut pthread_attr_t) -> c_int {
    // SAFETY: the caller's pointer is to attributes that it may write: more than a word.
    unsafe { attributes.cast::<usize>().write(0) };
    0
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn pthread_attr_setstacksize(attributes: *mut pthread_attr_t, size: size_t) -> c_int {
    // SAFETY: as in `pthread_attr_init`.
    unsafe { attributes.cast::<usize>().write(size) };
    0
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn pthread_attr_destroy(_attributes: *mut pthread_attr_t) -> c_int {
    0
}

/// All threads are from the start what this asks for.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn pthread_detach(_thread: pthread_t) -> c_int {
    0
}

/// Names the calling thread, whichever is meant: Rust's standard library has each name itself.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn pthread_setname_np(_thread: pthread_t, name: *const c_char) -> c_int {
    let arguments = [libc::PR_SET_NAME as usize, name.addr(), 0, 0, 0, 0];
    // SAFETY: the caller's pointer is to a string.
    error(unsafe { raw(libc::SYS_prctl, arguments) }).unwrap_or(0)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the caller's pointer is null or to attributes that were initialised.
    let wanted = unsafe { attributes.cast::<usize>().as_ref() }.copied().unwrap_or(0);
    let stack = if wanted == 0 { USUAL_STACK } else { wanted };
    let below = BELOW.load(Ordering::Relaxed) + ALIGNMENT.load(Ordering::Relaxed) + size_of::<Control>();
    let Some(length) =
        stack.checked_add(below + PAGE).and_then(|length| length.checked_next_multiple_of(PAGE))
    else {
        return libc::EINVAL;
    };
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
    let mapped = unsafe { raw(libc::SYS_mmap, [0, length, rights as usize, kind as usize, usize::MAX, 0]) };
    if let Some(number) = error(mapped) {
        return if number == libc::ENOMEM { libc::EAGAIN } else { number };
    }
    let give_up = |number| {
        // SAFETY: the mapping was made above, and nobody uses it.
        unsafe { raw(libc::SYS_munmap, [mapped, length, 0, 0, 0, 0]) };
        number
    };
    // SAFETY: the page is the lowest of the new mapping.
    if let Some(number) = error(unsafe { raw(libc::SYS_mprotect, [mapped, PAGE, 0, 0, 0, 0]) }) {
        return give_up(number);
    }
    let memory = ptr::with_exposed_provenance_mut::<u8>(mapped);
    // SAFETY: the mapping is new, zeroed, and the thread's from now on.
    let Some(control) = (unsafe { furnish(memory.wrapping_add(PAGE), length - PAGE) }) else {
        return give_up(libc::EINVAL);
    };
    // SAFETY: the block was made above, and no thread has it yet.
    let block = unsafe { &mut *control };
    block.mapping = (memory.cast(), length);
    block.start = Some(start);
    block.argument = argument;
    let top = (control.addr() - BELOW.load(Ordering::Relaxed)) & !15;
    let result: usize;
    // SAFETY: the new thread runs on the new stack, with the new control block, and never comes back here; for the old
    // one this is a system call.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, fs:[0]",
            "call {run}",
            "ud2",
            "2:",
            run = sym run,
            inlateout("rax") libc::SYS_clone as usize => result,
            in("rdi") THREAD as usize, in("rsi") top, in("rdx") 0, in("r10") 0, in("r8") control,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    match error(result) {
        None => {
            // SAFETY: the caller's pointer is to a place for it.
            unsafe { *thread = control.addr() as pthread_t };
            0
        }
        Some(number) => give_up(number),
    }
}

/// What a new thread runs, to its end.
unsafe extern "C" fn run(control: *mut Control) -> ! {
    // SAFETY: the block is this thread's own.
    let block = unsafe { &*control };
    let (start, argument, mapping) = (block.start, block.argument, block.mapping);
    if let Some(start) = start {
        start(argument);
    }
    // SAFETY: the thread does nothing more but end.
    unsafe { destroy_values(control) };
    let all = u64::MAX;
    let block = [libc::SIG_SETMASK as usize, (&raw const all).addr(), 0, crate::wrappers::SIGNAL_SET, 0, 0];
    // A handler would run on the stack that goes.
    // SAFETY: the set is live.
    unsafe { raw(libc::SYS_rt_sigprocmask, block) };
    // SAFETY: nothing of the thread is used after its memory has gone: what is left are two system calls in registers.
    unsafe {
        asm!(
            "syscall",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "ud2",
            exit = const libc::SYS_exit,
            in("rax") libc::SYS_munmap, in("rdi") mapping.0, in("rsi") mapping.1,
            options(noreturn),
        )
    }
}

/// Runs the destructors of a thread's values.
///
/// # Safety
///
/// The thread is about to end.
unsafe fn destroy_values(control: *mut Control) {
    for _ in 0..ROUNDS {
        let mut any = false;
        for (key, destructor) in DESTRUCTORS.iter().enumerate() {
            // SAFETY: the block is this thread's own; no reference outlives the statement.
            let value = unsafe { (*control).values.get_mut(key).map(core::mem::take) };
            let destructor = destructor.load(Ordering::Acquire);
            if let Some(value) = value.filter(|value| !value.is_null())
                && destructor > PLAIN
            {
                any = true;
                // SAFETY: what is neither 0 nor PLAIN is the function that `pthread_key_create` was given.
                let destructor: Destructor = unsafe { core::mem::transmute(destructor) };
                // SAFETY: the function was given for values of this key.
                unsafe { destructor(value) };
            }
        }
        if !any {
            return;
        }
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn pthread_key_create(key: *mut pthread_key_t, destructor: Option<Destructor>) -> c_int {
    let destructor = destructor.map_or(PLAIN, |function| function as *const () as usize);
    for (number, place) in DESTRUCTORS.iter().enumerate() {
        if place.compare_exchange(0, destructor, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // SAFETY: the caller's pointer is to a place for it.
            unsafe { *key = number as pthread_key_t };
            return 0;
        }
    }
    libc::EAGAIN
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn pthread_key_delete(key: pthread_key_t) -> c_int {
    match DESTRUCTORS.get(key as usize) {
        Some(place) => {
            place.store(0, Ordering::Release);
            0
        }
        None => libc::EINVAL,
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn pthread_setspecific(key: pthread_key_t, value: *const c_void) -> c_int {
    // SAFETY: the block is this thread's own; the reference ends with the statement.
    match unsafe { (*current()).values.get_mut(key as usize) } {
        Some(place) => {
            *place = value.cast_mut();
            0
        }
        None => libc::EINVAL,
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn pthread_getspecific(key: pthread_key_t) -> *mut c_void {
    // SAFETY: the block is this thread's own; the reference ends with the statement.
    unsafe { (*current()).values.get(key as usize) }.copied().unwrap_or(ptr::null_mut())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_lie_below_the_thread_pointer_at_their_alignment() {
        assert_eq!(below(0, 1, 0), 0);
        assert_eq!(below(8, 8, 0x1000), 8);
        assert_eq!(below(9, 8, 0x1000), 16);
        // A first address that is no multiple keeps its remainder: 0x1010 - 0x1000 = 16 of 64.
        assert_eq!((64 - below(40, 64, 0x1010) % 64) % 64, 0x10);
        assert!(below(40, 64, 0x1010) >= 40);
    }

    #[test]
    fn what_is_too_small_is_not_furnished() {
        let mut memory = [0_u64; 64];
        // SAFETY: the memory is zeroed, and no thread has it.
        let control = unsafe { furnish(memory.as_mut_ptr().cast(), 512) };
        assert!(control.is_some_and(|control| control.addr() % 16 == 0));
        // SAFETY: as above.
        assert!(unsafe { furnish(memory.as_mut_ptr().cast(), size_of::<Control>() / 2) }.is_none());
    }
}
