//! The notes of a program: the manifest in one, tests in others.

use crate::elf;
use ukvm_abi::manifest::{
    Device, DeviceKind, MAX_DEVICES, Manifest, ManifestView, OPTIONAL, WRITABLE, is_name,
};
use ukvm_abi::note;
use ukvm_abi::test::{self, Test};

/// The most bytes of notes that the program which carries them has room for.
const ROOM: usize = 0x180;

/// Reads `data` as a manifest, as a test, and as the notes of a program that is good otherwise.
///
/// # Panics
///
/// Where a manifest is accepted that is not as docs/abi.md has it, or as [`elf::run`] does.
pub fn run(data: &[u8]) {
    let manifest = data.get(1 + note::PREFIX_SIZE..).unwrap_or_default();
    if let Ok(view) = ManifestView::parse(manifest) {
        assert_eq!(view.abi_version(), ukvm_abi::ABI_VERSION);
        let devices: Vec<_> = view.devices().collect();
        assert!(devices.len() <= MAX_DEVICES);
        for (index, device) in devices.iter().enumerate() {
            assert!(is_name(device.name.as_bytes()));
            assert!(device.flags & !(OPTIONAL | WRITABLE) == 0);
            let same = |other: &&Device<'_>| (other.kind, other.name) == (device.kind, device.name);
            assert_eq!(devices.iter().filter(same).count(), 1, "device {index}");
        }
    }
    if let Some(test) = data.get(1 + note::PREFIX_SIZE..).and_then(Test::parse) {
        assert!(test.flags & !(test::IGNORED | test::PANICS) == 0);
        let texts = [test.name, test.reason, test.expected];
        assert!(texts.iter().all(|text| !text.contains('\0')));
    }
    if let Some((align, notes)) = data.split_first() {
        let align = if align & 1 == 0 { 4 } else { 8 };
        elf::run(&elf::with_notes(&notes[..notes.len().min(ROOM)], align));
    }
}

/// A manifest without devices, one with two, one with a note of another kind before it, and one behind a test.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    const NONE: [u8; note::size(0)] = note::encode(&Manifest { min_memory: 0, stack_size: 0, devices: &[] });
    const TWO: [u8; note::size(2)] = note::encode(&Manifest {
        min_memory: 16 << 20,
        stack_size: 1 << 20,
        devices: &[
            Device { kind: DeviceKind::Net, flags: OPTIONAL, name: "service", features: 0x181 },
            Device { kind: DeviceKind::Block, flags: WRITABLE, name: "data", features: 0 },
        ],
    });
    const TEST: Test<'_> =
        Test { flags: test::PANICS, name: "module::name", reason: "", expected: "overflow" };
    const TESTS: [u8; TEST.size()] = TEST.encode();
    let other = [[4, 0, 0, 0], [4, 0, 0, 0], [3, 0, 0, 0], *b"GNU\0", [1, 2, 3, 4]].concat();
    vec![
        [&[0][..], &NONE].concat(),
        [&[0][..], &TWO].concat(),
        [&[0][..], &other, &TWO].concat(),
        [&[0][..], &TESTS, &NONE].concat(),
    ]
}
