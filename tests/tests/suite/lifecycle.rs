//! Many guests: one after the other and all at once, and nothing is left of them.

use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use ukvm_tests::network::{in_namespace, interfaces};
use ukvm_tests::run::{Run, Running};
use ukvm_tests::suite::{Need, in_rig};

ukvm_tests::tests! {
    a_thousand_in_a_row .needs(&[Need::Network]) .alone();
    a_hundred_at_once .needs(&[Need::Network]) .alone();
}

/// What the host has given away.
#[derive(Debug)]
struct Use {
    /// Bytes of memory that the kernel holds itself: whatever it might keep of a process that has ended, and not what other
    /// processes have.
    memory: u64,
    /// Open files, of all processes.
    files: u64,
    /// This process's children, ended ones that nobody has waited for among them.
    children: usize,
    interfaces: Vec<String>,
}

impl Use {
    fn now() -> Self {
        let memory = std::fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
        let kibibytes = |name: &str| -> u64 {
            let line =
                memory.lines().find_map(|line| line.strip_prefix(name)).expect("a line of /proc/meminfo");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        let others: u64 =
            ["MemFree:", "Buffers:", "Cached:", "AnonPages:", "SReclaimable:"].map(kibibytes).iter().sum();
        let files = std::fs::read_to_string("/proc/sys/fs/file-nr").expect("/proc/sys/fs/file-nr");
        Self {
            memory: kibibytes("MemTotal:").saturating_sub(others) << 10,
            files: files.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number"),
            children: children(),
            interfaces: interfaces(),
        }
    }

    /// Whether nothing is left of `guests` guests that came since, once the kernel had the time to free it.
    fn is_regained(&self, guests: u64) -> bool {
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            let now = Self::now();
            let memory = now.memory.saturating_sub(self.memory);
            let files = now.files.saturating_sub(self.files);
            let gone = now.children <= self.children && now.interfaces == self.interfaces;
            // Of each guest less than a descriptor and 32 KiB; a hundred are too few to tell that from the noise.
            if gone && (guests < 1000 || memory < guests << 15 && files < guests) {
                return true;
            }
            if Instant::now() > give_up {
                println!("{guests} guests later {self:?} is {now:?}");
                return false;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Asserts that nothing is left of the `guests` guests that `run` starts and ends. What is lost each time is a leak; what was
/// lost once, the rest of the machine may have taken meanwhile.
fn assert_nothing_is_left(guests: u64, mut run: impl FnMut()) {
    let regained = (0..3).any(|_| {
        let before = Use::now();
        run();
        before.is_regained(guests)
    });
    assert!(regained, "each {guests} guests leave something behind");
}

fn children() -> usize {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc");
    let lines =
        processes.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    // Behind the name in parentheses, which may hold anything: the state, then the parent.
    lines
        .filter(|line| line.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(&own))
        .count()
}

fn a_thousand_in_a_row() {
    in_namespace(|| {
        // The first few fill the kernel's caches.
        (0..20).for_each(one);
        let guests = if in_rig() { 100 } else { 1000 };
        assert_nothing_is_left(u64::from(guests), || {
            let start = Instant::now();
            (0..guests).for_each(one);
            println!("{guests} guests in a row, each {:?}", start.elapsed() / guests);
        });
    });
}

/// Every way to end, and a TAP now and then.
fn one(number: u32) {
    let _ = match number % 8 {
        0 => Run::guest("boot").option("--net", "tap0").finish().status(0),
        1 => Run::guest("divide-by-zero").finish().status(139),
        2 => Run::guest("outcome").args(["panic"]).finish().status(134),
        _ => Run::guest("status").args(["5"]).finish().status(5),
    };
}

fn a_hundred_at_once() {
    in_namespace(|| assert_nothing_is_left(100, a_hundred));
}

fn a_hundred() {
    let before = interfaces().len();
    let guests: Vec<Running> = (0..100)
        .map(|number| {
            let net = format!("tap{number}");
            Run::guest("mirror").option("--net", net).deadline(Duration::from_secs(60)).start()
        })
        .collect();
    for guest in &guests {
        guest.wait_for("mirroring\n");
    }
    assert_eq!(interfaces().len(), before + 100);
    let own: u64 = guests.iter().map(|guest| memory_beyond_the_guest(guest.pid().as_raw())).sum();
    println!("100 guests at once, {} KiB of memory each beyond the guest's own", (own / 100) >> 10);
    assert!(own / 100 < 1 << 20, "{} bytes of memory each beyond the guest's own", own / 100);
    for guest in &guests {
        guest.signal(Signal::SIGTERM);
    }
    for guest in guests {
        let _ = guest.wait().status(3).prints("mirroring\n");
    }
}

/// The process's memory in bytes less that of its guest, whose mappings are the only ones without a reserve (flag `nr`); what it shares
/// with others counts in parts.
fn memory_beyond_the_guest(process: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps")).expect("a running process");
    let (mut own, mut mapping) = (0, 0);
    for line in text.lines() {
        if let Some(size) = line.strip_prefix("Pss:") {
            mapping = size.trim().trim_end_matches(" kB").parse().expect("kibibytes");
        }
        // The last line of each mapping.
        if let Some(flags) = line.strip_prefix("VmFlags:")
            && !flags.split_whitespace().any(|flag| flag == "nr")
        {
            own += mapping;
        }
    }
    own << 10
}
