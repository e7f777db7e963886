//! The tests by topic. A module per topic, each with its list `TESTS`.

mod abi;
mod arithmetic;
mod aslr;
mod attach;
mod backpressure;
mod bad_elf;
mod block_paths;
mod c;
mod clock;
mod concurrency;
mod config_file;
mod console;
mod cron;
mod crowd;
mod disk;
mod documentation;
mod exit_status;
mod faults;
mod hosted;
mod https;
mod hvt;
mod hvt_devices;
mod hvt_elf;
mod hvt_faults;
mod inspect_report;
mod kv;
mod kv_faults;
mod kvm;
mod lease;
mod lifecycle;
mod manifest;
mod manual;
mod memory;
mod names;
mod net;
mod network_setups;
mod offloads;
mod options;
mod project;
mod runner;
mod runtime;
mod scan;
mod services;
mod signals;
mod site;
mod site_load;
mod slaac;
mod storage;
mod terminal;
mod test_programs;

use ukvm_tests::suite::Test;

/// All tests.
pub(crate) fn all() -> impl Iterator<Item = &'static Test> {
    [
        abi::TESTS,
        arithmetic::TESTS,
        aslr::TESTS,
        attach::TESTS,
        backpressure::TESTS,
        bad_elf::TESTS,
        block_paths::TESTS,
        c::TESTS,
        clock::TESTS,
        concurrency::TESTS,
        config_file::TESTS,
        console::TESTS,
        cron::TESTS,
        crowd::TESTS,
        disk::TESTS,
        documentation::TESTS,
        exit_status::TESTS,
        faults::TESTS,
        hosted::TESTS,
        https::TESTS,
        hvt::TESTS,
        hvt_devices::TESTS,
        hvt_elf::TESTS,
        hvt_faults::TESTS,
        inspect_report::TESTS,
        kv::TESTS,
        kv_faults::TESTS,
        kvm::TESTS,
        lease::TESTS,
        lifecycle::TESTS,
        manifest::TESTS,
        manual::TESTS,
        memory::TESTS,
        names::TESTS,
        net::TESTS,
        network_setups::TESTS,
        offloads::TESTS,
        options::TESTS,
        project::TESTS,
        runner::TESTS,
        runtime::TESTS,
        scan::TESTS,
        services::TESTS,
        signals::TESTS,
        site::TESTS,
        site_load::TESTS,
        slaac::TESTS,
        storage::TESTS,
        terminal::TESTS,
        test_programs::TESTS,
    ]
    .into_iter()
    .flatten()
}
