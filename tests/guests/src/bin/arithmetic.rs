//! Computes with the x87, SSE and, where the processor and the monitor allow it, AVX, across entries into the monitor.
#![no_std]
#![no_main]

use core::arch::asm;
use core::arch::x86_64::__cpuid;
use core::hint::black_box;
use ukvm_runtime::println;

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut sum = 0.0_f64;
    for i in 1..=1000 {
        sum += 1.0 / f64::from(black_box(i));
    }
    println!("harmonic {:#018x}", sum.to_bits());
    println!("x87 {:#018x}", x87_pi().to_bits());
    let leaf = __cpuid(1);
    let (osxsave, avx) = (leaf.ecx & 1 << 27 != 0, leaf.ecx & 1 << 28 != 0);
    if osxsave && avx {
        avx_across_an_exit();
        println!("AVX works");
    } else {
        println!("no AVX: OSXSAVE {osxsave}, AVX {avx}");
    }
}

fn x87_pi() -> f64 {
    let mut pi = 0.0_f64;
    // SAFETY: stores one double at the address given and leaves the x87 stack as it was.
    unsafe { asm!("fldpi", "fstp qword ptr [{0}]", in(reg) &raw mut pi, out("st(7)") _) };
    pi
}

/// The upper half of a YMM register must live through an exit to the monitor.
fn avx_across_an_exit() {
    let before = [1.5_f64, 2.5, 3.5, 4.5];
    let mut after = [0.0_f64; 4];
    // SAFETY: AVX is enabled; the doorbell's Enter with nothing submitted and a deadline of 0 returns and changes
    // no register.
    unsafe {
        asm!(
            "vmovupd ymm5, [{before}]", "out dx, eax", "vaddpd ymm5, ymm5, ymm5", "vmovupd [{after}], ymm5",
            "vzeroupper",
            before = in(reg) before.as_ptr(), after = in(reg) after.as_mut_ptr(),
            in("dx") ukvm_abi::doorbell::PORT, in("eax") 0, out("ymm5") _,
        );
    }
    assert_eq!(after, [3.0, 5.0, 7.0, 9.0]);
}
