//! The ways of a block request: through the page cache, past it, and without a request.

use nix::sys::signal::Signal;
use std::fs::File;
use std::path::Path;
use ukvm_tests::files::{self, checksum, noise};
use ukvm_tests::run::{Finished, Run};
use ukvm_tests::suite::Need;
use ukvm_tests::user::{Devices, in_private_mounts};

ukvm_tests::tests! {
    random_requests_agree_with_a_copy;
    random_reads_agree_with_the_image;
    reads_without_requests_let_others_run;
    a_mapped_image_that_shrinks_is_a_fault_that_names_the_disk;
    an_image_that_shrinks_is_an_error_of_the_read;
    a_failed_flush_is_an_error_and_so_are_all_later_ones;
    what_a_flush_has_covered_is_there_after_a_loss_of_power;
    a_file_system_without_direct_io .needs(&[Need::Root]);
    a_full_host_is_an_error_of_the_direct_write .needs(&[Need::Root]);
}

/// What `--verbose` says of the ways.
const CACHED: &str = " bytes\n";
const MAPPED: &str = ", read-only, mapped\n";
const QUEUED: &str = ", direct through io_uring\n";
const ONE_BY_ONE: &str = ", direct through a thread\n";

/// The status of a failed request.
const IO: u32 = ukvm_abi::request::Status::Io as u32;

/// `ukvm-run` with the image as the disk `name`, in the way that `options` (behind the path) and `oddity` ask for.
fn run(oddity: Option<&str>, guest: &str, name: &str, image: &Path, options: &str) -> Run {
    let run = Run::guest(guest)
        .options(["--verbose", "--mem", "256M"])
        .option("--disk", format!("{name}={}{options}", image.display()));
    match oddity {
        Some(oddity) => run.odd(oddity),
        None => run,
    }
}

fn random_requests_agree_with_a_copy() {
    let ways = [(None, "", CACHED), (None, ",direct", QUEUED), (Some("no-io-uring"), ",direct", ONE_BY_ONE)];
    for (seed, (oddity, options, way)) in (1..).zip(ways) {
        let directory = files::directory();
        let image = files::file(directory.path(), "a.img", &noise(seed, 32 << 20));
        let arguments = ["write", &seed.to_string(), "25"];
        let ended = run(oddity, "disk-model", "scratch", &image, options).args(arguments);
        let ended = ended.deadline(std::time::Duration::from_secs(120)).finish().status(0).says(&[way]);
        let whole = std::fs::read(&image).expect("the image");
        let _ = ended.prints(&format!("{:016x}\n", checksum(&whole)));
    }
}

fn random_reads_agree_with_the_image() {
    let ways = [
        (None, ",ro", MAPPED),
        (None, ",ro,direct", QUEUED),
        (Some("no-io-uring"), ",direct,ro", ONE_BY_ONE),
    ];
    for (oddity, options, way) in ways {
        let directory = files::directory();
        let image = files::file(directory.path(), "a.img", &noise(7, (4 << 20) + 4096));
        let arguments = ["read", "7", "60"];
        let run = run(oddity, "disk-model", "data", &image, options).args(arguments);
        let _ = run.finish().status(0).says(&[way]);
    }
}

fn reads_without_requests_let_others_run() {
    let directory = files::directory();
    let image = files::file(directory.path(), "a.img", &noise(8, 1 << 20));
    let _ = run(None, "disk-model", "data", &image, ",ro").args(["fair"]).finish().status(0).says(&[MAPPED]);
}

/// How a guest ends that reads from an image before and after it was cut down.
fn shrinks(oddity: Option<&str>, image: &Path, options: &str) -> Finished {
    let mut running = run(oddity, "disk-model", "data", image, options)
        .args(["again", "3145728", "4096"])
        .input_pipe()
        .start();
    running.wait_for("\n");
    File::options().write(true).open(image).and_then(|file| file.set_len(1 << 20)).expect("an image");
    running.send(b"x");
    running.wait()
}

fn a_mapped_image_that_shrinks_is_a_fault_that_names_the_disk() {
    let directory = files::directory();
    let image = files::file(directory.path(), "a.img", &noise(9, 4 << 20));
    let sentence =
        "guest fault: its disk 'data' cannot be read any more: the image was truncated while in use";
    let _ = shrinks(None, &image, ",ro").status(139).says(&[MAPPED, sentence, "rip"]);
}

fn an_image_that_shrinks_is_an_error_of_the_read() {
    let directory = files::directory();
    // What may change, more than is mapped, and ways that never map.
    let ways = [
        (None, 4 << 20, "", ", read-only\n"),
        (None, 2 << 30, ",ro", ", read-only\n"),
        (None, 4 << 20, ",ro,direct", QUEUED),
        (Some("no-io-uring"), 4 << 20, ",ro,direct", ONE_BY_ONE),
    ];
    for (oddity, size, options, way) in ways {
        let image = files::sparse(directory.path(), "a.img", size);
        let ended = shrinks(oddity, &image, options).status(1).says(&[way, "reading"]);
        assert!(ended.text().contains("Io"), "{}", ended.text());
    }
}

fn a_failed_flush_is_an_error_and_so_are_all_later_ones() {
    let ways = [
        ("no-flush", "", CACHED),
        ("no-flush", ",direct", QUEUED),
        ("no-flush,no-io-uring", ",direct", ONE_BY_ONE),
    ];
    for (oddities, options, way) in ways {
        let directory = files::directory();
        let image = files::file(directory.path(), "a.img", &noise(10, 1 << 20));
        let operations = ["2:write:0:4096", "2:flush", "2:flush", "2:read:0:512"];
        let ended = run(Some(oddities), "disk", "scratch", &image, options).args(operations).finish();
        let ended = ended.status(0).says(&[way, "flushing failed"]);
        let text = ended.text();
        let [write, first, second] = ["2:write:0:4096 status 0 4096\n", "2:flush", "2:flush"];
        let start = format!("{write}{first} status {IO} 0\n{second} status {IO} 0\n2:read:0:512 ok 512 ");
        assert!(text.starts_with(&start), "{text}");
    }
}

fn what_a_flush_has_covered_is_there_after_a_loss_of_power() {
    /// Bytes that the guest writes at a time.
    const BLOCK: usize = 4096;
    let ways = [
        ("lost-cache", "", CACHED),
        ("lost-cache", ",direct", QUEUED),
        ("lost-cache,no-io-uring", ",direct", ONE_BY_ONE),
    ];
    for (oddities, options, way) in ways {
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 8 << 20);
        let read = || std::fs::read(&image).expect("the image");
        let mut running = run(Some(oddities), "durable", "scratch", &image, options).input_pipe().start();
        running.wait_for("written\n");
        assert!(
            read().iter().all(|&byte| byte == 0),
            "a write is durable before a flush: this test sees nothing"
        );
        running.send(b"x");
        running.wait_for("flush 12 ");
        running.signal(Signal::SIGKILL);
        let ended = running.wait().says(&[way]);
        let text = ended.text();
        // The last line may be cut off.
        let covered = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let covered = covered.filter_map(|line| line.trim_end().split_once(" covers ")?.1.parse().ok());
        let covered: usize = covered.max().unwrap_or_default();
        assert!(covered > 8, "{text}");
        for (number, block) in (1_u64..).zip(read().chunks(BLOCK)).take(covered) {
            let whole = block.chunks(8).all(|word| *word == number.to_le_bytes());
            assert!(whole, "block {number} of {covered} that a flush covered is lost; {way}");
        }
    }
}

fn a_file_system_without_direct_io() {
    in_private_mounts(Devices::Open, |mounts| {
        let place = mounts.scratch.join("ram");
        std::fs::create_dir(&place).expect("a directory");
        let ramfs = Some("ramfs");
        nix::mount::mount(ramfs, &place, ramfs, nix::mount::MsFlags::empty(), None::<&str>).expect("a ramfs");
        let image = files::file(&place, "a.img", &noise(11, 4096));
        let option = format!("{},direct", image.display());
        let run = Run::elf(mounts.guest("disk")).monitor(&mounts.monitor).option("--disk", option);
        let _ = run.finish().refuses(78, &["a.img", "without direct I/O", "remove `,direct`"]);
    });
}

fn a_full_host_is_an_error_of_the_direct_write() {
    in_private_mounts(Devices::Open, |mounts| {
        let image = mounts.image_on_a_full_host();
        let option = format!("scratch={},direct", image.display());
        let operations = ["2:write:0:262144", "2:read:524288:512"];
        let run = Run::elf(mounts.guest("disk")).monitor(&mounts.monitor).option("--disk", option);
        let ended = run.args(operations).finish();
        // Before Linux 6.6 a tmpfs has no direct I/O.
        if ended.code() == Some(78) {
            let _ = ended.refuses(78, &["a.img", "without direct I/O"]);
            return;
        }
        let text = ended.status(0).text();
        let status = ukvm_abi::request::Status::NoSpace as u32;
        assert!(text.starts_with(&format!("2:write:0:262144 status {status} 0\n")), "{text}");
        assert!(text.contains("2:read:524288:512 ok 512 "), "the guest did not go on: {text}");
    });
}
