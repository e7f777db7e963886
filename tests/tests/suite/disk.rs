//! Block devices.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use ukvm_abi::request::Status;
use ukvm_tests::files::{self, call, checksum, noise};
use ukvm_tests::run::{Finished, Run};
use ukvm_tests::suite::Need;
use ukvm_tests::user::{Devices, NOBODY, in_private_mounts, set_mode};

ukvm_tests::tests! {
    a_disk_is_read_and_written_where_it_should_be;
    a_long_request_moves_megabytes;
    discard_and_zeroes;
    requests_outside_the_disk_or_its_blocks;
    a_guest_cannot_write_what_it_may_only_read;
    several_disks_go_by_name_and_by_order;
    a_disk_by_descriptor;
    a_missing_disk;
    a_directory_or_another_file_as_a_disk;
    a_size_that_is_no_multiple_of_the_block_size;
    a_disk_in_use;
    readers_share_a_disk;
    a_disk_that_this_user_may_not_use .needs(&[Need::Root]);
    a_host_block_device .needs(&[Need::Root, Need::Loop, Need::Program("losetup")])
        .not_in_rig("its kernel has no loop devices");
    a_full_host_is_an_error_for_the_guest .needs(&[Need::Root]);
    an_image_of_many_gigabytes;
}

fn ok(operation: &str, bytes: &[u8]) -> String {
    format!("{operation} ok {} {:016x}\n", bytes.len(), checksum(bytes))
}

fn failed(operation: &str, status: Status) -> String {
    format!("{operation} status {} 0\n", status as u32)
}

fn done(operation: &str, value: usize) -> String {
    format!("{operation} status 0 {value}\n")
}

fn disk(image: &Path, name: &str, operations: &[&str]) -> Finished {
    let option = format!("{name}={}", image.display());
    Run::guest("disk").option("--disk", option).args(operations).finish().status(0)
}

fn a_disk_is_read_and_written_where_it_should_be() {
    let directory = files::directory();
    let mut content = noise(1, 64 << 10);
    let image = files::file(directory.path(), "a.img", &content);
    let operations = ["2:read:0:512", "2:read:65024:512", "2:write:1024:1536", "2:flush", "2:read:0:65536"];
    let ended = disk(&image, "scratch", &operations);
    let before = ok(operations[0], &content[..512]) + &ok(operations[1], &content[65024..]);
    content[1024..2560].fill(3);
    let after = done(operations[2], 1536) + &done(operations[3], 0) + &ok(operations[4], &content);
    let _ = ended.prints(&(before + &after)).quietly();
    assert!(std::fs::read(&image).expect("the image") == content, "the image is not what was written");
}

fn a_long_request_moves_megabytes() {
    let directory = files::directory();
    let content = noise(2, 8 << 20);
    let image = files::file(directory.path(), "a.img", &content);
    // As long as the device says that it may be: at least a megabyte.
    let info = disk(&image, "data", &["1:info"]).text();
    let transfer: usize =
        info.trim_end().rsplit(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    assert!(transfer >= 1 << 20, "{info}");
    let length = transfer.min(4 << 20);
    let operation = format!("1:read:1048576:{length}");
    let ended = disk(&image, "data", &[&operation]);
    let _ = ended.prints(&ok(&operation, &content[1 << 20..][..length])).quietly();
}

fn discard_and_zeroes() {
    let directory = files::directory();
    let mut content = noise(3, 1 << 20);
    let image = files::file(directory.path(), "a.img", &content);
    let operations = ["2:zero:4096:8192", "2:discard:524288:65536", "2:flush", "2:read:0:524288"];
    content[4096..12288].fill(0);
    let text = done(operations[0], 8192)
        + &done(operations[1], 65536)
        + &done(operations[2], 0)
        + &ok(operations[3], &content[..524_288]);
    let _ = disk(&image, "scratch", &operations).prints(&text).quietly();
    let after = std::fs::read(&image).expect("the image");
    assert_eq!(after.len(), content.len());
    assert!(after[..524_288] == content[..524_288] && after[589_824..] == content[589_824..]);
}

fn requests_outside_the_disk_or_its_blocks() {
    let directory = files::directory();
    let content = noise(4, 8192);
    let image = files::file(directory.path(), "a.img", &content);
    let cases = [
        ("2:read:8192:512", Status::OutOfRange),
        ("2:read:7680:1024", Status::OutOfRange),
        ("2:write:8192:512", Status::OutOfRange),
        ("2:write:18446744073709551104:512", Status::OutOfRange),
        ("2:read:18446744073709551104:1024", Status::OutOfRange),
        ("2:discard:0:16384", Status::OutOfRange),
        ("2:zero:0:9223372036854775808", Status::OutOfRange),
        ("2:discard:512:18446744073709551104", Status::OutOfRange),
        ("2:read:1:512", Status::Invalid),
        ("2:read:0:100", Status::Invalid),
        ("2:write:0:511", Status::Invalid),
        ("2:zero:100:512", Status::Invalid),
    ];
    let operations: Vec<&str> = cases.iter().map(|case| case.0).collect();
    let text: String = cases.iter().map(|(operation, status)| failed(operation, *status)).collect();
    let _ = disk(&image, "scratch", &operations).prints(&text);
    assert!(std::fs::read(&image).expect("the image") == content, "a refused request changed the image");
}

fn a_guest_cannot_write_what_it_may_only_read() {
    let directory = files::directory();
    let content = noise(5, 8192);
    let image = files::file(directory.path(), "a.img", &content);
    let operations = ["1:write:0:512", "1:discard:0:512", "1:zero:0:512", "1:read:0:512"];
    let text = failed(operations[0], Status::ReadOnly)
        + &failed(operations[1], Status::ReadOnly)
        + &failed(operations[2], Status::ReadOnly)
        + &ok(operations[3], &content[..512]);
    let option = format!("data={},ro", image.display());
    Run::guest("disk").option("--disk", option).args(operations).finish().status(0).prints(&text);
    assert!(std::fs::read(&image).expect("the image") == content, "a read-only image changed");
}

fn several_disks_go_by_name_and_by_order() {
    let directory = files::directory();
    let contents: Vec<Vec<u8>> = (6..9).map(|seed| noise(seed, 4096)).collect();
    let images: Vec<String> = ["a=b.img", "b.img", "c.img,ro"]
        .iter()
        .zip(&contents)
        .map(|(name, content)| files::file(directory.path(), name, content).display().to_string())
        .collect();
    let operations = ["1:read:0:4096", "2:read:0:4096", "3:read:0:4096"];
    // The named one takes its place, the others those that are left, in order. A path with a slash before the '=' has no name.
    let run = Run::guest("disk")
        .option("--disk", &images[0])
        .option("--disk", format!("data={}", images[1]))
        .option("--disk", format!("third={},ro", images[2]));
    let text =
        ok(operations[0], &contents[1]) + &ok(operations[1], &contents[0]) + &ok(operations[2], &contents[2]);
    run.args(operations).finish().status(0).prints(&text).quietly();
}

fn a_disk_by_descriptor() {
    let directory = files::directory();
    let content = noise(9, 4096);
    let image = files::file(directory.path(), "a.img", &content);
    let file = OpenOptions::new().read(true).write(true).open(&image).expect("the image");
    let inherited = nix::unistd::dup(&file).expect("a descriptor that children inherit");
    let option = format!("scratch=fd:{}", inherited.as_raw_fd());
    let run = Run::guest("disk").option("--disk", option);
    let operations = ["2:read:0:4096", "2:write:512:512"];
    let text = ok(operations[0], &content) + &done(operations[1], 512);
    run.args(operations).finish().status(0).prints(&text).quietly();
    let mut block = [0; 512];
    file.read_exact_at(&mut block, 512).expect("the image");
    assert_eq!(block, [2; 512]);
    let _ = Run::guest("disk").option("--disk", "fd:987").finish().refuses(66, &["fd:987"]);
}

fn a_missing_disk() {
    let run = Run::guest("disk").option("--disk", "/nowhere/data.img");
    let _ = run.finish().refuses(66, &["/nowhere/data.img", "does not exist"]);
}

fn a_directory_or_another_file_as_a_disk() {
    let directory = files::directory();
    let _ = Run::guest("disk").option("--disk", directory.path()).finish().refuses(78, &["directory"]);
    let _ = Run::guest("disk").option("--disk", "/dev/zero").finish().refuses(78, &["/dev/zero"]);
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let _ = Run::guest("disk").option("--disk", &fifo).finish().refuses(78, &["fifo"]);
}

fn a_size_that_is_no_multiple_of_the_block_size() {
    let directory = files::directory();
    for size in [1, 511, 513, 100_000] {
        let image = files::sparse(directory.path(), "odd.img", size);
        let _ = Run::guest("disk").option("--disk", &image).finish().refuses(78, &["odd.img", "512"]);
    }
}

fn a_disk_in_use() {
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    let option = format!("scratch={}", image.display());
    // It waits for somebody to read its first line.
    let (_reader, full) = files::full_pipe();
    let writer =
        Run::guest("disk").option("--disk", &option).args(["2:info", "2:read:0:512"]).stdout(full).start();
    // It cannot say that it has started: the lock tells.
    let other = File::open(&image).expect("the image");
    let started = std::time::Instant::now();
    while other.try_lock_shared().is_ok() {
        other.unlock().expect("a lock of ours");
        assert!(started.elapsed().as_secs() < 60, "the image is not locked");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let _ = Run::guest("disk").option("--disk", &option).finish().refuses(78, &["a.img", "in use"]);
    let read_only = format!("data={},ro", image.display());
    let _ = Run::guest("disk").option("--disk", &read_only).finish().refuses(78, &["a.img", "in use"]);
    drop(writer);
    // The lock goes with its holder, even if that is killed.
    let _ = disk(&image, "scratch", &["2:info"]);
    // The same image twice in one command line.
    let run = Run::guest("disk").options(["--disk", &option, "--disk", &read_only]);
    let _ = run.finish().refuses(78, &["a.img", "in use"]);
}

fn readers_share_a_disk() {
    let directory = files::directory();
    let image = files::file(directory.path(), "a.img", &noise(10, 4096));
    let option = format!("{},ro", image.display());
    let run = Run::guest("disk")
        .option("--disk", format!("data={option}"))
        .option("--disk", format!("third={option}"));
    let operations = ["1:read:0:4096", "3:read:0:4096"];
    let content = noise(10, 4096);
    let text = ok(operations[0], &content) + &ok(operations[1], &content);
    run.args(operations).finish().status(0).prints(&text).quietly();
}

fn a_disk_that_this_user_may_not_use() {
    in_private_mounts(Devices::Open, |mounts| {
        let image = files::file(&mounts.scratch, "a.img", &noise(11, 4096));
        let run = |name: &str, option: &str| {
            let run = Run::elf(mounts.guest("disk")).monitor(&mounts.monitor).user(NOBODY);
            run.option("--disk", format!("{name}{}{option}", image.display())).finish()
        };
        set_mode(&image, 0o600);
        let _ = run("", ",ro").refuses(77, &["a.img", "permission"]);
        set_mode(&image, 0o644);
        let _ = run("scratch=", "").refuses(77, &["a.img", "permission", ",ro"]);
        // A disk that the program only reads needs no more than that.
        let _ = run("data=", "").status(0).quietly();
        let _ = run("", ",ro").status(0).quietly();
    });
}

fn a_host_block_device() {
    let directory = files::directory();
    let content = noise(12, 1 << 20);
    let image = files::file(directory.path(), "a.img", &content);
    let output = call("losetup", &["--show", "--find", image.to_str().expect("a path in UTF-8")]);
    let device = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let operations = ["2:info", "2:read:0:4096", "2:write:4096:4096", "2:flush"];
    let outcome = std::panic::catch_unwind(|| disk(Path::new(&device), "scratch", &operations));
    let _ = call("losetup", &["--detach", &device]);
    let text = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).text();
    assert!(text.starts_with("2:info flags 1 of 1048576 in 512 "), "{text}");
    assert!(text.contains(&ok(operations[1], &content[..4096])), "{text}");
    assert!(std::fs::read(&image).expect("the image")[4096..8192] == [9; 4096]);
}

fn a_full_host_is_an_error_for_the_guest() {
    in_private_mounts(Devices::Open, |mounts| {
        let image = mounts.image_on_a_full_host();
        let operations = ["2:write:0:262144", "2:read:0:512"];
        let ended = disk(&image, "scratch", &operations);
        let text = ended.text();
        assert!(text.starts_with(&failed(operations[0], Status::NoSpace)), "{text}");
        assert!(text.contains("2:read:0:512 ok 512 "), "the guest did not go on: {text}");
    });
}

fn an_image_of_many_gigabytes() {
    let directory = files::directory();
    // Most file systems hold a sparse file of 4 TiB.
    let size = 4_u64 << 40;
    let image = files::sparse(directory.path(), "a.img", size);
    let last = size - 512;
    let operations = ["2:info".to_owned(), format!("2:write:{last}:512"), format!("2:read:{last}:512")];
    let operations: Vec<&str> = operations.iter().map(String::as_str).collect();
    let text = disk(&image, "scratch", &operations).text();
    assert!(text.starts_with(&format!("2:info flags 1 of {size} in 512 ")), "{text}");
    let file = File::open(&image).expect("the image");
    let mut block = [0; 512];
    file.read_exact_at(&mut block, last).expect("the image");
    assert_eq!(block, [(last / 512 + 1) as u8; 512]);
}
