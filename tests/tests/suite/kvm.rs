//! The KVM device: missing, not permitted, something else, another path, a descriptor.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use ukvm_tests::files;
use ukvm_tests::run::Run;
use ukvm_tests::suite::Need;
use ukvm_tests::user::{Devices, NOBODY, in_private_mounts};

ukvm_tests::tests! {
    no_kvm;
    a_file_that_is_not_kvm;
    kvm_that_this_user_may_not_open .needs(&[Need::Root]);
    kvm_by_another_path;
    kvm_by_a_descriptor;
    an_ordinary_user_runs_a_guest .needs(&[Need::Root]);
}

fn no_kvm() {
    let _ = Run::guest("status").option("--kvm", "/nowhere/kvm").finish().refuses(69, &["/nowhere/kvm"]);
}

fn a_file_that_is_not_kvm() {
    let directory = files::directory();
    let file = files::file(directory.path(), "kvm", b"nothing");
    let name = file.to_str().expect("a path in UTF-8");
    let _ = Run::guest("status").option("--kvm", name).finish().refuses(69, &[name]);
    let _ = Run::guest("status").option("--kvm", "/dev/null").finish().refuses(69, &["/dev/null"]);
    let _ = Run::guest("status").option("--kvm", directory.path()).finish().refuses(69, &["KVM"]);
    let null = File::open("/dev/null").expect("/dev/null");
    let inherited = nix::unistd::dup(&null).expect("a descriptor that children inherit");
    let option = format!("fd:{}", inherited.as_raw_fd());
    let number = inherited.as_raw_fd().to_string();
    let _ = Run::guest("status").option("--kvm", option).finish().refuses(69, &[&number, "KVM"]);
    // Standard input is the console's.
    let _ = Run::guest("status").option("--kvm", "fd:0").finish().refuses(64, &["fd:0"]);
}

fn kvm_that_this_user_may_not_open() {
    in_private_mounts(Devices::Closed, |mounts| {
        let run = Run::elf(mounts.guest("status")).monitor(&mounts.monitor).user(NOBODY);
        let _ = run.finish().refuses(69, &["/dev/kvm", "permission denied", "group"]);
    });
}

fn kvm_by_another_path() {
    let directory = files::directory();
    let link = directory.path().join("another");
    std::os::unix::fs::symlink("/dev/kvm", &link).expect("a link");
    Run::guest("status").option("--kvm", &link).args(["3"]).finish().status(3).quietly();
}

fn kvm_by_a_descriptor() {
    let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm").expect("/dev/kvm");
    let inherited = nix::unistd::dup(&kvm).expect("a descriptor that children inherit");
    let option = format!("fd:{}", inherited.as_raw_fd());
    Run::guest("status").option("--kvm", &option).args(["3"]).finish().status(3).quietly();
    // It is open in this process only.
    let _ = Run::guest("status").option("--kvm", "fd:987").finish().refuses(66, &["fd:987"]);
    for text in ["fd:", "fd:x", "fd:-1"] {
        let _ = Run::guest("status").option("--kvm", text).finish().refuses(64, &["--kvm"]);
    }
}

fn an_ordinary_user_runs_a_guest() {
    in_private_mounts(Devices::Open, |mounts| {
        let run = Run::elf(mounts.guest("status")).monitor(&mounts.monitor).user(NOBODY);
        run.args(["3"]).finish().status(3).quietly();
    });
}
