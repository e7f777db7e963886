//! Disks and network devices of Solo5 hvt guests.

use nix::sys::signal::Signal;
use std::path::Path;
use std::time::Duration;
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::{Finished, Run, Running};
use ukvm_tests::suite::{Need, patience};
use ukvm_tests::user::{Devices, in_private_mounts};
use ukvm_tests::wire::Wire;

ukvm_tests::tests! {
    a_disk_has_its_size;
    sectors_are_kept;
    sectors_of_other_sizes;
    requests_at_the_edges_of_a_disk;
    four_megabytes_by_sectors;
    a_disk_that_may_only_be_read;
    a_request_into_what_is_not_the_guests;
    a_full_host_is_a_result .needs(&[Need::Root]);
    a_block_and_a_net_device_of_one_name .needs(&[Need::Network]);
    pings_by_calls .needs(&[Need::Network, Need::Program("ping")]);
    pings_by_the_ring .needs(&[Need::Network, Need::Program("ping")]);
    frames_come_back_byte_for_byte .needs(&[Need::Network]);
    frames_of_all_sizes_go_out_byte_for_byte .needs(&[Need::Network]);
    results_of_network_calls .needs(&[Need::Network]);
    a_poll_tells_which_device_has_a_frame .needs(&[Need::Network]);
    a_ring_where_it_is_wanted .needs(&[Need::Network]);
    a_ring_that_breaks_the_rules .needs(&[Need::Network]);
    a_guest_that_only_kicks_is_ended .needs(&[Need::Network]);
}

const NET: &str = "service=tap0,mac=02:00:00:00:00:09";
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// The type of frames that nobody answers: for local experiments (IEEE 802).
const EXPERIMENT: u16 = 0x88b5;
const IPV4: u16 = 0x0800;
/// What the guest says first of the device of [`NET`].
const SERVICE: &str = "service: mac 02:00:00:00:00:09 mtu 1500\n";
/// What it says then, where it uses the ring, which lies behind the memory that it is told of.
const RING: &str = "by the ring, above the memory\n";

fn block(image: &Path, option: &str, words: &[&str]) -> Finished {
    Run::hvt("block").option("--disk", format!("data={}{option}", image.display())).args(words).finish()
}

fn a_disk_has_its_size() {
    let directory = files::directory();
    for size in [512, 4096, 1 << 20, 5 << 40] {
        let image = files::sparse(directory.path(), "a.img", size);
        let text = format!("capacity {size} block size 512\n");
        block(&image, "", &["info"]).status(0).prints(&text).quietly();
    }
    let image = files::sparse(directory.path(), "b.img", 513);
    let _ = block(&image, "", &["info"]).refuses(78, &["b.img", "512"]);
}

fn sectors_are_kept() {
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    let text = "17 sectors of 512 bytes are kept\n";
    block(&image, "", &["sectors"]).status(0).prints(text).quietly();
}

fn sectors_of_other_sizes() {
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    for size in [512, 1024, 4096, 32768] {
        let option = format!(",sector={size}");
        let text = format!("capacity 1048576 block size {size}\n");
        block(&image, &option, &["info"]).status(0).prints(&text).quietly();
        let ended = block(&image, &option, &["sectors"]).status(0).quietly();
        assert!(ended.text().ends_with(&format!(" sectors of {size} bytes are kept\n")), "{}", ended.text());
    }
    let image = files::sparse(directory.path(), "b.img", 4608);
    let _ = block(&image, ",sector=4096", &["info"]).refuses(78, &["b.img", "4608", "4096", "truncate"]);
    // Our own ABI tells its guests what the backend says.
    let run = Run::guest("disk").option("--disk", format!("{},sector=4096", image.display()));
    let _ = run.finish().refuses(78, &["Solo5", ",sector="]);
}

fn requests_at_the_edges_of_a_disk() {
    let directory = files::directory();
    let image = files::file(directory.path(), "a.img", &noise(31, 8192));
    let good = ["first block", "nothing", "nothing at the end"];
    let bad = [
        "nothing behind the end",
        "behind the end",
        "across the end",
        "at 2^64-1",
        "offset that wraps",
        "handle 0",
        "handle 2",
        "handle 64",
        "handle 2^32-1",
    ];
    let line = |name: &&str, result: &str| format!("{name}: read {result}, write {result}\n");
    let mut text: String = good.iter().map(|name| line(name, "OK")).collect();
    text.extend(bad.iter().map(|name| line(name, "EINVAL")));
    // Of a handle 32 bits count; requests need be no blocks.
    text.extend(["handle 2^32+1", "unaligned", "three blocks"].iter().map(|name| line(name, "OK")));
    text += "odd address: read OK\n";
    block(&image, "", &["edges"]).status(0).prints(&text).quietly();
    // It writes back what it has read, each time.
    let after = std::fs::read(&image).expect("the image");
    assert!(after == noise(31, 8192), "a refused request, or one elsewhere, has changed the image");
}

fn four_megabytes_by_sectors() {
    let directory = files::directory();
    let image = files::file(directory.path(), "a.img", &noise(32, (4 << 20) + 512));
    let run = Run::hvt("block").option("--disk", &image).args(["bulk"]).deadline(Duration::from_secs(120));
    let ended = run.finish().status(0).quietly();
    assert!(ended.text().starts_with("4 MiB by 512 bytes: 0 words are wrong\n"), "{}", ended.text());
    // Word `i` of the sector at `at`, as the guest makes it.
    let word = |place: usize| (place / 512 * 512 + place % 512 / 8) as u64;
    let mut expected: Vec<u8> = (0..4 << 20)
        .step_by(8)
        .flat_map(|place| word(place).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    expected.extend_from_slice(&noise(32, (4 << 20) + 512)[4 << 20..]);
    assert!(std::fs::read(&image).expect("the image") == expected, "the image is not what was written");
}

fn a_disk_that_may_only_be_read() {
    let directory = files::directory();
    let content = noise(33, 4096);
    let image = files::file(directory.path(), "a.img", &content);
    let text = block(&image, ",ro", &["write", "512", "512"]).status(0).quietly().text();
    assert!(text.starts_with("write 512 at 512: EUNSPEC, sum 0x"), "{text}");
    let text = block(&image, ",ro", &["read", "512", "512"]).status(0).quietly().text();
    // The guest's sum: FNV-1a of 64 bits.
    let sum = content[512..1024]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(text, format!("read 512 at 512: OK, sum {sum:#x}\n"));
    assert!(std::fs::read(&image).expect("the image") == content, "the image has changed");
}

fn a_request_into_what_is_not_the_guests() {
    let directory = files::directory();
    let image = files::file(directory.path(), "a.img", &noise(34, 4096));
    for place in ["text", "rodata", "boot", "end"] {
        let ended = block(&image, "", &["into", place]).status(139).prints(&format!("before {place}\n"));
        let _ = ended.says(&["it gave a hypercall memory that it may not use: 512 bytes at 0x"]);
    }
}

fn a_full_host_is_a_result() {
    in_private_mounts(Devices::Open, |mounts| {
        let image = mounts.image_on_a_full_host();
        let ended = block(&image, "", &["write", "0", "262144"]).status(0);
        assert!(ended.text().starts_with("write 262144 at 0: EUNSPEC, sum 0x"), "{}", ended.text());
        let _ = ended.says(&["a.img", "writing 262144 bytes at 0 failed", "No space left"]);
        let text = block(&image, "", &["read", "524288", "512"]).status(0).quietly().text();
        assert!(text.starts_with("read 512 at 524288: OK"), "{text}");
    });
}

fn a_block_and_a_net_device_of_one_name() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        network::set_mtu("tap0", 9000);
        let directory = files::directory();
        let image = files::sparse(directory.path(), "a.img", 1024);
        let run = Run::hvt("devices").option("--disk", format!("both={}", image.display()));
        let ended = run.option("--net", "both=tap0,mac=02:aa:bb:cc:dd:ee").finish().status(0);
        let text = "entries 3, the first is reserved\n\
                    block 1: capacity 1024 block size 512\n\
                    net 2, both: mac 02:aa:bb:cc:dd:ee mtu 9000\n";
        ended.prints(text).quietly();
    });
}

/// The guest that answers pings to 10.0.0.2 on the TAP that is there.
fn responder(guest: &str) -> Running {
    let running =
        Run::hvt(guest).option("--net", NET).args(["10.0.0.2"]).deadline(Duration::from_secs(120)).start();
    running.wait_for(if guest == "net" { SERVICE } else { RING });
    network::wait_for_link("tap0");
    running
}

/// Pings the guest with these options; none may be lost.
fn ping(options: &[&str]) {
    let wait = patience(Duration::from_secs(2)).as_secs().to_string();
    let output = call("ping", &[options, &["-q", "-n", "-W", &wait, "10.0.0.2"]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(" 0% packet loss"), "{options:?}: {text}");
}

fn pings(guest: &str) {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let running = responder(guest);
        ping(&["-c", "3", "-i", "0.01"]);
        // The largest that is one frame.
        ping(&["-c", "3", "-i", "0.01", "-s", "1472"]);
        ping(&["-f", "-c", "2000"]);
        ping(&["-f", "-c", "500", "-s", "1472"]);
        running.signal(Signal::SIGTERM);
        let ended = running.wait().status(143).quietly();
        assert!(ended.text().starts_with(SERVICE), "{}", ended.text());
    });
}

fn pings_by_calls() {
    pings("net");
}

fn pings_by_the_ring() {
    pings("net-ring");
}

/// An echo request to the guest as a whole frame, or the answer to it, with `length` bytes of data.
fn echo(answer: bool, length: usize) -> Vec<u8> {
    let checksum = |bytes: &[u8]| {
        let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        let sum: u32 = bytes.chunks(2).map(word).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        !((sum & 0xffff) + (sum >> 16)) as u16
    };
    let host = [2, 0, 0, 0, 0, 1];
    let (here, there) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (from, to) = if answer { (there, here) } else { (here, there) };
    let mut ip =
        [&[0x45, 0], &(28 + length as u16).to_be_bytes()[..], &[0, 7, 0, 0, 64, 1, 0, 0], &from, &to]
            .concat();
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let kind = if answer { 0 } else { 8 };
    let mut icmp = [&[kind, 0, 0, 0, 0x12, 0x34, 0, 1][..], &noise(length as u64, length)].concat();
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let ends = if answer { [host, MAC] } else { [MAC, host] };
    [&ends.concat(), &IPV4.to_be_bytes()[..], &ip, &icmp].concat()
}

fn frames_come_back_byte_for_byte() {
    for guest in ["net", "net-ring"] {
        in_namespace(|| {
            // Nobody but the test is on it.
            network::make_tap("tap0", network::TAP_FLAGS, None);
            network::set_up("tap0", true);
            let running = responder(guest);
            let wire = Wire::new("tap0", IPV4);
            for length in [0, 1, 17, 18, 63, 500, 1471, 1472] {
                wire.send(&echo(false, length));
                assert!(wire.receive() == echo(true, length), "{guest}: {length} bytes came back otherwise");
            }
            running.signal(Signal::SIGTERM);
            let _ = running.wait().status(143).quietly();
        });
    }
}

fn frames_of_all_sizes_go_out_byte_for_byte() {
    for guest in ["net", "net-ring"] {
        for length in [22, 60, 61, 1000, 1514] {
            in_namespace(|| {
                network::make_tap("tap0", network::TAP_FLAGS, None);
                network::set_up("tap0", true);
                let wire = Wire::new("tap0", EXPERIMENT);
                let words = ["flood", "40", &length.to_string()];
                let ended = Run::hvt(guest).option("--net", NET).args(words).finish().status(0).quietly();
                assert!(ended.text().ends_with("40 frames written\n"), "{}", ended.text());
                for number in 0..40_u64 {
                    let mut frame =
                        [&[0xff; 6][..], &MAC, &EXPERIMENT.to_be_bytes(), &number.to_le_bytes()].concat();
                    frame.resize(length, 0);
                    assert!(wire.receive() == frame, "{guest}: frame {number} of {length} bytes");
                }
            });
        }
    }
}

fn results_of_network_calls() {
    in_namespace(|| {
        // It is up, and without an IPv6 that looks for routers.
        network::make_tap("tap0", network::TAP_FLAGS, None);
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/tap0/disable_ipv6", "1");
        network::set_up("tap0", true);
        let net = |words: &[&str]| Run::hvt("net").option("--net", NET).args(words).finish().status(0);
        let mut text = format!("{SERVICE}nothing there: read AGAIN, len 1234\n");
        for what in ["read", "write"] {
            for handle in ["0", "2", "64", "2^32-1"] {
                text += &format!("handle {handle}: {what} EINVAL, len 1234\n");
            }
        }
        net(&["edges"]).prints(&text).quietly();
        for (length, result) in
            [("14", "OK"), ("60", "OK"), ("1514", "OK"), ("13", "EINVAL"), ("0", "EINVAL")]
        {
            let _ = net(&["write", length]).prints(&format!("{SERVICE}write {length}: {result}\n"));
        }
    });
}

fn a_poll_tells_which_device_has_a_frame() {
    in_namespace(|| {
        for name in ["tap0", "tap1"] {
            network::make_tap(name, network::TAP_FLAGS, None);
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
            network::set_up(name, true);
        }
        let guest = |frames: &str, timeout: &str| {
            let run = Run::hvt("poll-net").options(["--net", "service=tap0", "--net", "second=tap1"]);
            run.args([frames, timeout]).start()
        };
        let nothing = "ready\npoll: ready 0 set 0x0\nnothing came\n";
        guest("1", "100000000").wait().status(1).prints(nothing).quietly();
        for (name, told) in [
            ("tap0", "set 0x2\nhandle 1 service: 77 bytes\n"),
            ("tap1", "set 0x4\nhandle 2 second: 77 bytes\n"),
        ] {
            let running = guest("1", "60000000000");
            running.wait_for("ready\n");
            network::wait_for_link(name);
            let frame = [&[0xff; 6][..], &MAC, &EXPERIMENT.to_be_bytes(), &[7; 63]].concat();
            Wire::new(name, EXPERIMENT).send(&frame);
            running.wait().status(0).prints(&format!("ready\npoll: ready 1 {told}")).quietly();
        }
    });
}

fn a_ring_where_it_is_wanted() {
    in_namespace(|| {
        network::make_tap("tap0", network::TAP_FLAGS, None);
        network::set_up("tap0", true);
        let guest = |options: &[&str], words: &[&str]| {
            Run::hvt("net-ring").option("--net", NET).options(options).args(words).finish()
        };
        let none = format!("{SERVICE}by calls\nthe ring is empty, and was kicked never\n3 frames written\n");
        guest(&["--no-net-ring"], &["flood", "3", "60"]).status(0).prints(&none).quietly();
        // The guest gives it memory from 10 bytes before the end on. Inside, the ring takes the last 2 MiB.
        for (place, end) in [("inside", "0x1fdffff6"), ("above", "0x1ffffff6")] {
            let ended = guest(&["--net-ring", place], &["flood", "3", "60"]).status(0).quietly();
            assert!(ended.text().starts_with(&format!("{SERVICE}{RING}")), "{}", ended.text());
            let ended = guest(&["--net-ring", place], &["bad", "pointer"]).status(139);
            let _ = ended.says(&[&format!("60 bytes at {end}")]);
        }
    });
}

fn a_ring_that_breaks_the_rules() {
    in_namespace(|| {
        network::make_tap("tap0", network::TAP_FLAGS, None);
        network::set_up("tap0", true);
        let bad = |case: &str| Run::hvt("net-ring").option("--net", NET).args(["bad", case]).finish();
        for (case, what) in [
            ("tail", "it corrupted its net ring: the entries' tail cannot be 100000"),
            ("head", "it corrupted its net ring: the commits' head cannot be 5000"),
            ("pointer", "it gave a hypercall memory that it may not use: 60 bytes at 0x"),
            ("wrap", "it gave a hypercall memory that it may not use: 60 bytes at 0xfffffffffffffff5"),
            ("len", "it gave a hypercall memory that it may not use: 4294967295 bytes at 0x"),
        ] {
            let _ = bad(case).status(139).says(&["guest fault: ", what]);
        }
        // What names nothing is answered, or passed over.
        let text = bad("handle").status(0).quietly().text();
        assert!(
            text.contains("read of handle 77: EINVAL\n") && text.ends_with("handle: went on\n"),
            "{text}"
        );
        let text = bad("op").status(0).quietly().text();
        assert!(text.ends_with("op: went on\n"), "{text}");
    });
}

fn a_guest_that_only_kicks_is_ended() {
    in_namespace(|| {
        network::make_tap("tap0", network::TAP_FLAGS, None);
        network::set_up("tap0", true);
        let run = Run::hvt("net-ring").option("--net", NET).args(["bad", "kicks"]);
        let ended = run.option("--timeout", "500ms").finish().status(124);
        assert!(!ended.text().contains("went on"), "{}", ended.text());
    });
}
