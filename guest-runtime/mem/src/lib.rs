//! The C functions that compilers call without being asked: copying, filling and comparing memory.
//!
//! None of them may be written as a plain loop: the compiler would see what it does and call the function itself. The
//! loops are in assembly therefore, and before them come the sizes that need none.
//!
//! Up to 128 bytes are loaded into registers, the last load overlapping the one before, and then stored: so the ranges
//! may overlap. More go by 64 bytes a turn, and from `REP_MIN` on, where the ranges allow it, by `REP MOVSB` or
//! `REP STOSB`, which processors of the last decade (ERMS) carry out by cache lines.

#![no_std]

use core::arch::{asm, naked_asm};

/// From this size on the start-up of a `REP` instruction, some 30 cycles, is made up for.
const REP_MIN: usize = 1024;

// In each function below, by the System V ABI: RDI, RSI, RDX are the arguments, RAX the result; all of xmm0-15, r8-r11 are the
// function's to use, and the direction flag is clear. What every start runs is next to it.

/// Copies `count` bytes; the ranges may overlap.
///
/// # Safety
///
/// The ranges are readable and writable.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.startup.ukvm")]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    naked_asm!(
        ".p2align 6",
        "mov rax, rdi",
        "cmp rdx, 16",
        "jb 20f",
        "cmp rdx, 32",
        "ja 30f",
        // 16 to 32
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        "20:",
        "cmp edx, 8",
        "jae 24f",
        "cmp edx, 4",
        "jae 23f",
        "cmp edx, 1",
        "jb 22f",
        "je 21f",
        // 2, 3
        "movzx ecx, word ptr [rsi]",
        "movzx r8d, byte ptr [rsi + rdx - 1]",
        "mov [rdi], cx",
        "mov [rdi + rdx - 1], r8b",
        "ret",
        "21:",
        "movzx ecx, byte ptr [rsi]",
        "mov [rdi], cl",
        "22:",
        "ret",
        "23:",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "24:",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "30:",
        "cmp rdx, 64",
        "ja 31f",
        // 33 to 64
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "ret",
        "31:",
        "cmp rdx, 128",
        "ja 32f",
        // 65 to 128
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "movups xmm4, [rsi + rdx - 64]",
        "movups xmm5, [rsi + rdx - 48]",
        "movups xmm6, [rsi + rdx - 32]",
        "movups xmm7, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "movups [rdi + rdx - 64], xmm4",
        "movups [rdi + rdx - 48], xmm5",
        "movups [rdi + rdx - 32], xmm6",
        "movups [rdi + rdx - 16], xmm7",
        "ret",
        "32:",
        // More. Does the destination start inside the source? Then from the end backwards.
        "mov rcx, rdi",
        "sub rcx, rsi",
        "je 22b",
        "cmp rcx, rdx",
        "jb 40f",
        // Ranges that are apart may go by REP; the other overlap would make it slow.
        "cmp rdx, {rep_min}",
        "jb 33f",
        "mov rcx, rsi",
        "sub rcx, rdi",
        "cmp rcx, rdx",
        "jb 33f",
        "mov rcx, rdx",
        "rep movsb",
        "ret",
        // Forwards: the last 64 bytes are loaded first and stored last.
        "33:",
        "movups xmm4, [rsi + rdx - 64]",
        "movups xmm5, [rsi + rdx - 48]",
        "movups xmm6, [rsi + rdx - 32]",
        "movups xmm7, [rsi + rdx - 16]",
        "lea r8, [rdi + rdx - 64]",
        "34:",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "add rsi, 64",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "add rdi, 64",
        "cmp rdi, r8",
        "jb 34b",
        "movups [r8], xmm4",
        "movups [r8 + 16], xmm5",
        "movups [r8 + 32], xmm6",
        "movups [r8 + 48], xmm7",
        "ret",
        // Backwards: the first 64 bytes are loaded first and stored last.
        "40:",
        "movups xmm4, [rsi]",
        "movups xmm5, [rsi + 16]",
        "movups xmm6, [rsi + 32]",
        "movups xmm7, [rsi + 48]",
        "41:",
        "movups xmm0, [rsi + rdx - 16]",
        "movups xmm1, [rsi + rdx - 32]",
        "movups xmm2, [rsi + rdx - 48]",
        "movups xmm3, [rsi + rdx - 64]",
        "movups [rdi + rdx - 16], xmm0",
        "movups [rdi + rdx - 32], xmm1",
        "movups [rdi + rdx - 48], xmm2",
        "movups [rdi + rdx - 64], xmm3",
        "sub rdx, 64",
        "cmp rdx, 64",
        "ja 41b",
        "movups [rdi], xmm4",
        "movups [rdi + 16], xmm5",
        "movups [rdi + 32], xmm6",
        "movups [rdi + 48], xmm7",
        "ret",
        rep_min = const REP_MIN,
    )
}

/// Copies `count` bytes.
///
/// # Safety
///
/// The ranges are readable and writable, and do not overlap.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.startup.ukvm")]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    naked_asm!("jmp {memmove}", memmove = sym memmove)
}

/// Fills `count` bytes with the lowest byte of `value`.
///
/// # Safety
///
/// The range is writable.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    naked_asm!(
        ".p2align 6",
        "mov rax, rdi",
        "movzx esi, sil",
        "mov rcx, 0x0101010101010101",
        "imul rcx, rsi",
        "cmp rdx, 16",
        "jae 30f",
        "cmp edx, 8",
        "jae 24f",
        "cmp edx, 4",
        "jae 23f",
        "cmp edx, 1",
        "jb 22f",
        "mov [rdi], cl",
        "je 22f",
        "mov [rdi + rdx - 2], cx",
        "22:",
        "ret",
        "23:",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], ecx",
        "ret",
        "24:",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], rcx",
        "ret",
        "30:",
        "movq xmm0, rcx",
        "punpcklqdq xmm0, xmm0",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm0",
        "cmp rdx, 32",
        "jbe 22b",
        "movups [rdi + 16], xmm0",
        "movups [rdi + rdx - 32], xmm0",
        "cmp rdx, 64",
        "jbe 22b",
        "cmp rdx, {rep_min}",
        "jae 33f",
        // The first and the last 32 bytes are done; whole pieces from there, the last one into what is done.
        "lea r8, [rdi + rdx - 32]",
        "31:",
        "add rdi, 32",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm0",
        "lea r9, [rdi + 32]",
        "cmp r9, r8",
        "jb 31b",
        "ret",
        "33:",
        "mov r8, rax",
        "mov eax, esi",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r8",
        "ret",
        rep_min = const REP_MIN,
    )
}

/// The first difference of two ranges: less than, equal to or greater than 0.
///
/// # Safety
///
/// Both ranges of `count` bytes are readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    let mut at = 0;
    while count - at >= 8 {
        // SAFETY: 8 bytes from `at` on are inside the first range.
        let x = unsafe { a.wrapping_add(at).cast::<u64>().read_unaligned() };
        // SAFETY: 8 bytes from `at` on are inside the second range.
        let y = unsafe { b.wrapping_add(at).cast::<u64>().read_unaligned() };
        if x != y {
            return if x.swap_bytes() < y.swap_bytes() { -1 } else { 1 };
        }
        at += 8;
    }
    while at < count {
        // SAFETY: `at` is inside the first range.
        let x = unsafe { a.wrapping_add(at).read() };
        // SAFETY: `at` is inside the second range.
        let y = unsafe { b.wrapping_add(at).read() };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
        at += 1;
    }
    0
}

/// 0 where two ranges are equal, else another number.
///
/// # Safety
///
/// Both ranges of `count` bytes are readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: the caller keeps the contract of this very function.
    unsafe { memcmp(a, b, count) }
}

/// The bytes before the NUL that ends a string.
///
/// # Safety
///
/// The string is readable up to its NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut left = usize::MAX;
    // SAFETY: `SCASB` reads up to the NUL, no further; the direction flag is clear, as the ABI has it.
    unsafe {
        asm!(
            "repne scasb",
            inout("rdi") text => _,
            inout("rcx") left,
            in("al") 0u8,
            options(nostack, readonly),
        );
    }
    // It counts the NUL as well.
    usize::MAX - left - 1
}
