//! Computing in the guest: floating point in every unit, the allocator.

use ukvm_tests::run::Run;

ukvm_tests::tests! {
    floating_point_computes_as_on_the_host;
    the_heap_keeps_what_it_is_given;
    the_heap_is_nearly_all_of_the_memory;
    asking_for_more_than_there_is_is_a_panic_that_says_so;
}

fn floating_point_computes_as_on_the_host() {
    let ended = Run::guest("arithmetic").finish().status(0).quietly();
    let harmonic: f64 = (1..=1000).fold(0.0, |sum, i| sum + 1.0 / f64::from(i));
    let expected =
        format!("harmonic {:#018x}\nx87 {:#018x}\n", harmonic.to_bits(), std::f64::consts::PI.to_bits());
    let text = ended.text();
    let avx = text.strip_prefix(&expected).unwrap_or_else(|| panic!("{text} instead of {expected}"));
    // The monitor gives the guest AVX wherever the host has it, unless software KVM has the processor trap CPUID.
    if std::arch::is_x86_feature_detected!("avx") && !software_kvm_traps_cpuid() {
        assert_eq!(avx, "AVX works\n");
    } else {
        assert!(avx.starts_with("no AVX"), "{avx}");
    }
}

/// Software KVM answers CPUID itself where the processor can trap it in ring 3 (Intel's CPUID faulting).
fn software_kvm_traps_cpuid() -> bool {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag| flags.split_whitespace().any(|other| other == flag);
    has("cpuid_fault") && !has("vmx") && !has("svm")
}

fn the_heap_keeps_what_it_is_given() {
    Run::guest("heap").args(["churn"]).finish().status(0).prints("500 blocks\n").quietly();
}

fn the_heap_is_nearly_all_of_the_memory() {
    for (size, least) in [("16M", 10), ("64M", 56), ("300M", 285)] {
        let ended = Run::guest("heap").option("--mem", size).args(["all"]).finish().status(0).quietly();
        let text = ended.text();
        let mebibytes: u32 = text.trim_end_matches(" MiB\n").parse().unwrap_or_else(|_| panic!("{text}"));
        assert!(mebibytes >= least, "{mebibytes} MiB of {size}");
    }
}

fn asking_for_more_than_there_is_is_a_panic_that_says_so() {
    Run::guest("heap")
        .args(["too-much"])
        .finish()
        .status(134)
        .prints("asking\n")
        .says(&["ukvm-run: ", "allocation"]);
}
