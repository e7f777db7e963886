//! The ring: wrong requests are answered, pointers checked, and nothing is lost.

use nix::sys::signal::Signal;
use ukvm_abi::request::Status;
use ukvm_tests::files;
use ukvm_tests::network::in_namespace;
use ukvm_tests::run::Run;
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    a_wrong_request_completes_with_an_error_and_the_guest_goes_on;
    a_bad_pointer_completes_with_an_error_and_the_guest_goes_on;
    a_guest_that_submits_anything_harms_only_itself .needs(&[Need::Network]);
    a_full_completion_ring_loses_nothing_and_has_room_for_the_notice;
    arguments_and_environment_arrive;
    random_numbers_differ_in_every_way;
}

fn a_wrong_request_completes_with_an_error_and_the_guest_goes_on() {
    use Status::{BadAddress, BadDevice, BadFlags, Invalid, Ok, UnknownOpcode};
    let ended = Run::guest("requests").finish().status(0).quietly();
    let expected = [
        ("nop", Ok),
        ("opcode 13", UnknownOpcode),
        ("opcode 65535", UnknownOpcode),
        ("device 3", BadDevice),
        ("device max", BadDevice),
        ("absent net", BadDevice),
        ("absent block", BadDevice),
        ("flush of the console", BadDevice),
        ("entropy of a net", BadDevice),
        ("flags", BadFlags),
        ("reserved 0", BadFlags),
        ("reserved 2", BadFlags),
        ("offset of a console write", BadFlags),
        ("address of a nop", BadFlags),
        ("length of a nop", BadFlags),
        ("empty write", Ok),
        ("second notice", Invalid),
    ];
    let text: String =
        expected.iter().map(|(name, status)| format!("{name}: {} 0\n", *status as u32)).collect();
    let _ = ended.prints(&text);
    // The one in this list that no line above has, so that the list of statuses is complete.
    assert_eq!(BadAddress as u32, 4);
}

fn a_bad_pointer_completes_with_an_error_and_the_guest_goes_on() {
    let ended = Run::guest("bad-pointer").finish().status(0).quietly();
    let text = ended.text();
    let (requests, last) = text.trim_end().rsplit_once('\n').expect("lines");
    assert_eq!(last, "and went on");
    assert_eq!(requests.lines().count(), 23);
    for line in requests.lines() {
        assert!(line.ends_with(&format!(": {} 0", Status::BadAddress as u32)), "{line}");
    }
}

/// Whatever it does, the monitor neither crashes nor hangs, and tells what happened.
fn a_guest_that_submits_anything_harms_only_itself() {
    in_namespace(|| {
        let directory = files::directory();
        let data = files::sparse(directory.path(), "data.img", 1 << 20);
        let scratch = files::sparse(directory.path(), "scratch.img", 1 << 20);
        let mut statuses = [0; 256];
        for seed in 0..24 {
            let run = Run::guest("hostile").option("--net", "tap0").option("--disk", &data);
            let run = run.option("--disk", &scratch).input("some input");
            let ended = run.options(["--aslr-seed", &seed.to_string()]).args([seed.to_string()]).finish();
            let told = match ended.code() {
                Some(0) => "",
                Some(139) => "ukvm-run: guest fault: ",
                // It may well overwrite its own memory.
                Some(134) => "ukvm-run: guest panic: ",
                other => panic!("seed {seed}: {other:?}, its errors: {}", ended.errors),
            };
            statuses[ended.code().unwrap_or_default() as usize] += 1;
            let _ = ended.says(&[told]);
        }
        assert!(statuses[0] > 0, "no guest came to its end");
        assert!(statuses[139] > 0, "no guest corrupted its ring");
        assert_eq!(std::fs::metadata(&scratch).expect("the image").len(), 1 << 20);
        assert!(
            std::fs::read(&data).expect("the image").iter().all(|byte| *byte == 0),
            "it wrote where it must not"
        );
    });
}

fn a_full_completion_ring_loses_nothing_and_has_room_for_the_notice() {
    let guest = Run::guest("full-ring").start();
    guest.wait_for("ready\n");
    // So that the ring is full when the signal comes, mostly; the guest itself checks that it is when it takes its first.
    std::thread::sleep(std::time::Duration::from_millis(200));
    guest.signal(Signal::SIGTERM);
    let ended = guest.wait().status(9).quietly();
    let text = ended.text();
    let count: u64 = text
        .strip_prefix("ready\n")
        .and_then(|text| text.strip_suffix(" requests and the notice\n"))
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("{text:?}"));
    assert!(count >= 512, "{count}");
}

fn arguments_and_environment_arrive() {
    Run::guest("environment")
        .options(["--env", "A=1", "--env", "B=a=b c", "--env", "EMPTY=", "--env", "A=2"])
        .args(["one", "", "--three", "-4", "ä ö", "--"])
        .finish()
        .status(0)
        .prints(
            "[one]\n[]\n[--three]\n[-4]\n[ä ö]\n[--]\nA=Some(\"2\")\nB=Some(\"a=b c\")\nEMPTY=Some(\"\")\n",
        )
        .quietly();
    Run::guest("environment").finish().status(0).prints("A=None\nB=None\nEMPTY=None\n").quietly();
}

fn random_numbers_differ_in_every_way() {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let ended = Run::guest("entropy").options(["--no-aslr"]).finish().status(0).quietly();
        for line in ended.text().lines() {
            assert!(line.len() > 100, "{line}");
            assert!(seen.insert(line.to_owned()), "{line} came twice");
        }
    }
    assert_eq!(seen.len(), 9);
}
