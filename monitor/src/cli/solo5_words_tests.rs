use super::*;
use crate::fault::{FaultReport, Registers};
use std::io;
use std::path::Path;

#[track_caller]
fn says(error: impl Into<Error>, words: &str) {
    assert_eq!(failure(&error.into()), words);
}

fn defect(defect: Defect) -> String {
    failure(&ElfError::new(Path::new("a.hvt"), defect).into())
}

#[test]
fn a_bad_file_is_told_by_the_fragment_and_our_sentence() {
    assert_eq!(defect(Defect::Missing), "Could not open: a.hvt does not exist; check the path");
    for (fragment, defects) in [
        ("Could not open", vec![Defect::Permission, Defect::Host(io::ErrorKind::Other.into())]),
        (
            "invalid or unsupported executable",
            vec![
                Defect::NotElf,
                Defect::Empty,
                Defect::Machine(3),
                Defect::Solo5Position,
                Defect::NoSegments,
            ],
        ),
        ("No Solo5 ABI information found", vec![Defect::Solo5NoNote("ABI"), Defect::OrdinaryProgram]),
        ("No Solo5 manifest found", vec![Defect::Solo5NoNote("manifest")]),
        ("not for the solo5-hvt target", vec![Defect::Solo5Target(2)]),
        ("unsupported ABI version", vec![Defect::Solo5Version(1)]),
        (
            "note does not fall within valid size",
            vec![Defect::Solo5NoteSize { note: "ABI", size: 1, sizes: 8..=32 }, Defect::MalformedNote(0)],
        ),
        (
            "Solo5 manifest is invalid",
            vec![
                Defect::Solo5ManifestVersion(2),
                Defect::Solo5ManifestCount(0),
                Defect::Solo5FirstEntry,
                Defect::Solo5Name(1),
                Defect::Solo5Attached(1),
            ],
        ),
        ("e_entry does not fall within", vec![Defect::Entry(0)]),
        ("segment requests WRITE and EXEC permissions", vec![Defect::WritableAndExecutable(0)]),
        ("segments are not in ascending order", vec![Defect::Unsorted(0)]),
        (
            "segment falls outside of valid range",
            vec![
                Defect::Solo5Place { address: 0, place: 1..2 },
                Defect::Overlap(0, 1),
                Defect::WrapsAround(0),
            ],
        ),
        (
            "segment is not aligned with architectural page size",
            vec![Defect::Misaligned { address: 1, offset: 0, align: 3 }],
        ),
        ("segment is outside of memory range", vec![Defect::DoesNotFit { image: 1, at: 2, memory: 3 }]),
    ] {
        for one in defects {
            let sentence = format!("a.hvt {one}");
            let words = defect(one);
            assert!(words.starts_with(fragment), "{words}");
            assert!(words.ends_with(&format!(": {sentence}")), "{words}");
        }
    }
}

#[test]
fn devices_that_do_not_fit() {
    let missing = |kind, option| BindError::Missing { kind, name: "data".into(), option, value: "X" };
    says(
        missing("block device", "--disk"),
        "block device 'data' declared but not attached. All declared devices must be attached: add --block:data=PATH",
    );
    says(
        missing("network device", "--net"),
        "network device 'data' declared but not attached. All declared devices must be attached: add --net:data=IFACE",
    );
    says(
        BindError::Unknown { kind: "network device", name: "x".into(), declared: "none".into() },
        "Invalid option: network device 'x': Resource not declared in manifest, which declares none",
    );
    says(
        SizeError::Partial { label: "d".into(), capacity: 5120, unit: 4096 },
        "Backing storage size must be block aligned: disk `d` has 5120 bytes, which is no multiple of its block size \
         4096: enlarge it, for example with `truncate -s 8192 d`",
    );
    says(
        SizeError::Empty("d".into()),
        "Backing storage must be at least 1 block in size: disk `d` is empty: give it a size, for example with \
         `truncate -s 64M d`",
    );
    says(
        SizeError::Sector { label: "d".into(), size: 512, least: 4096 },
        "Block size must be a multiple of 2 greater than or equal 512: disk `d` cannot have sectors of 512 bytes: use a \
         power of two from 4096 to 32768",
    );
    says(
        LayoutError::TooSmall { needed: 6 << 20 },
        "the guest is outside of memory range: it needs at least 6M: use --mem=6",
    );
    assert!(failure(&LayoutError::TooLarge(5 << 30).into()).contains("exceeds the max size"));
    says(
        Error::new(ErrorKind::MissingFile, "disk `d` does not exist"),
        "Could not open: disk `d` does not exist",
    );
    says(Error::new(ErrorKind::NoKvm, "no KVM"), "no KVM");
}

#[test]
fn only_a_guests_own_status_is_not_1() {
    let report = |fault| {
        Cause::Fault(Box::new(FaultReport {
            fault,
            sentence: "it did".into(),
            registers: Registers::default(),
            callers: Vec::new(),
        }))
    };
    for own in [0, 1, 64, 255] {
        assert_eq!((status(&Cause::Exit(own)), end(&Cause::Exit(own))), (own, None));
    }
    for (cause, words) in [
        (Cause::Signal(libc::SIGTERM), "Exiting on signal 15"),
        (Cause::Signal(libc::SIGINT), "Exiting on signal 2"),
        (Cause::OutputClosed, "the reader of the console has gone"),
        (Cause::Failed(Error::new(ErrorKind::HostIo, "the host failed")), "the host failed"),
        (
            report(Fault::Port { port: 1, width: 1, write: true }),
            "Invalid guest port access: guest fault: it did\n",
        ),
        (report(Fault::Hypercall(9)), "Invalid guest hypercall: guest fault: "),
        (report(Fault::Access { address: 0, length: 1 }), "Invalid guest access: "),
        (report(Fault::NetRing { index: "x", value: 1 }), "Invalid guest access: "),
        (report(Fault::Physical { gpa: 0, write: true }), "host/guest translation fault: "),
        (report(Fault::Halted { vector: 13 }), "unhandled exit: "),
        (report(Fault::TripleFault), "unhandled exit: "),
        (report(Fault::Unrunnable { reason: 1 }), "internal error exit: "),
    ] {
        assert_eq!(status(&cause), 1, "{cause:?}");
        let said = end(&cause).unwrap();
        assert!(said.starts_with(words), "{said}");
    }
}
