//! The runtime: guests that check themselves.

use ukvm_tests::files;
use ukvm_tests::run::Run;

ukvm_tests::tests! {
    tasks_timers_and_the_ring_under_load;
    the_c_functions_that_compilers_call;
    random_numbers_through_every_crate;
    a_disk_through_the_ecosystems_traits;
    code_that_waits_without_await;
    reads_that_block_beside_others;
}

fn tasks_timers_and_the_ring_under_load() {
    let _ = Run::guest("executor").finish().status(0).quietly();
}

fn the_c_functions_that_compilers_call() {
    let _ = Run::guest("mem-functions").finish().status(0).quietly();
}

fn random_numbers_through_every_crate() {
    let _ = Run::guest("random").finish().status(0).quietly();
}

fn a_disk_through_the_ecosystems_traits() {
    let directory = files::directory();
    for size in [64 << 10, 1 << 20] {
        let image = files::sparse(directory.path(), "a.img", size);
        let _ = Run::guest("disk-traits").option("--disk", &image).finish().status(0).quietly();
    }
}

fn code_that_waits_without_await() {
    let text =
        "main goes on\nthe task has ended\nin time: true\nbefore the end of main's wait: true\nturns: true\n";
    Run::guest("waits-inside").finish().status(0).prints(text).quietly();
}

fn reads_that_block_beside_others() {
    let directory = files::directory();
    let numbers: Vec<u8> = (0..1_u64 << 17).flat_map(u64::to_le_bytes).collect();
    let image = files::file(directory.path(), "a.img", &numbers);
    for options in ["", ",direct"] {
        let disk = format!("{}{options}", image.display());
        let ended = Run::guest("blocking-reads").option("--disk", disk).finish().status(0);
        let _ = ended.prints("all reads agree\n");
    }
}
