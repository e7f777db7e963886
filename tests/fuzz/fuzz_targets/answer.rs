#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ukvm_fuzz_targets::answer::run(data));
