use super::super::builder::*;
use super::*;
use crate::bind::bind;
use crate::config::{DiskConfig, DiskSource, NetConfig, NetSource};
use crate::elf::builder::file_of;
use crate::elf::header;

/// What [`is_solo5`] says of the valid file, changed.
fn of_solo5(change: impl FnOnce(&mut Builder)) -> bool {
    let mut builder = Builder::new();
    change(&mut builder);
    let file = ElfFile::open(file_of(&builder.build()).as_path()).unwrap();
    let headers = header::read_program_headers(&file, &header::read(&file).unwrap()).unwrap();
    is_solo5(&file, &headers)
}

fn put(bytes: &mut [u8], at: usize, from: &[u8]) {
    bytes[at..at + from.len()].copy_from_slice(from);
}

/// Asserts that the valid file with this manifest is refused with this sentence.
#[track_caller]
fn manifest_refused(manifest: &[u8], expected: &str) {
    refused(|b| b.set_manifest(manifest), expected);
}

fn parse(entries: &[[u8; 104]]) -> Manifest {
    Manifest::parse(manifest(entries)).unwrap()
}

#[test]
fn a_unikernel_of_solo5_is_known_by_its_notes() {
    assert!(of_solo5(|_| ()));
    assert!(of_solo5(|b| b.abi[20] = 6), "whatever it is built for");
    assert!(of_solo5(|b| b.headers[MANIFEST_NOTE].p_type = 0), "one note suffices");
    assert!(of_solo5(|b| b.headers[OPENBSD_NOTE].p_filesz = 11), "another's note is bad");
    let without = |b: &mut Builder, change: fn(&mut linux_loader::elf::Elf64_Phdr)| {
        b.headers[ABI_NOTE..=MANIFEST_NOTE].iter_mut().for_each(change);
    };
    assert!(!of_solo5(|b| without(b, |header| header.p_type = 0)), "no such segments");
    assert!(!of_solo5(|b| without(b, |header| header.p_filesz = 19)), "too short for a header");
    assert!(!of_solo5(|b| without(b, |header| header.p_offset = u64::MAX)), "not in the file");
    assert!(!of_solo5(|b| [&mut b.abi, &mut b.manifest].iter_mut().for_each(|note| note[16] = b'6')));
    assert!(!of_solo5(|b| [&mut b.abi, &mut b.manifest].iter_mut().for_each(|note| note[0] = 7)));
}

#[test]
fn another_target_or_version_is_refused_with_what_to_build() {
    for (target, name) in [
        (2, "spt, a Linux process that seccomp confines"),
        (3, "virtio, a whole virtual machine such as QEMU's"),
        (4, "muen, the Muen separation kernel"),
        (5, "genode, the Genode framework"),
        (6, "xen, the Xen hypervisor"),
        (0, "target number 0, which this ukvm-run does not know"),
        (7, "target number 7, which this ukvm-run does not know"),
    ] {
        let rest = "and ukvm-run runs those for hvt; build it for hvt (MirageOS: mirage configure -t hvt)";
        refused(|b| b.abi[20] = target, &format!("is a Solo5 unikernel for {name}, {rest}"));
    }
    for (version, remedy) in [
        (0, "build it with Solo5 0.8 or later"),
        (1, "build it with Solo5 0.8 or later"),
        (3, "update ukvm-run"),
    ] {
        let what = "of Solo5's hvt ABI, and this ukvm-run knows version 2";
        refused(|b| b.abi[24] = version, &format!("was built for version {version} {what}; {remedy}"));
    }
    let mut builder = Builder::new();
    put(&mut builder.abi, 28, &[0xff; 8]);
    assert!(builder.open().is_ok(), "the rest is reserved");
}

#[test]
fn each_note_begins_a_segment_of_its_own() {
    let missing = |note| {
        format!(
            "has no Solo5 {note} note that begins a note segment; link it with Solo5's toolchain, 0.8 or later"
        )
    };
    refused(|b| b.headers[ABI_NOTE].p_type = 0, &missing("ABI"));
    refused(|b| b.headers[MANIFEST_NOTE].p_type = 0, &missing("manifest"));
    refused(|b| b.headers[ABI_NOTE].p_filesz = 19, &missing("ABI"));
    refused(|b| b.abi[0] = 5, &missing("ABI"));
    refused(|b| b.abi[17] = 1, &missing("ABI"));
    refused(|b| b.manifest[8] = 0, &missing("manifest"));
    // One segment for both, of which only the first note is looked at.
    refused(
        |b| {
            b.headers[OPENBSD_NOTE].p_filesz += 36;
            b.headers[ABI_NOTE].p_type = 0;
        },
        &missing("ABI"),
    );
    let mut builder = Builder::new();
    builder.headers.swap(ABI_NOTE, MANIFEST_NOTE);
    assert!(builder.open().is_ok(), "in any order");
    // The first counts: the second is bad.
    let mut builder = Builder::new();
    let second = linux_loader::elf::Elf64_Phdr { p_filesz: 21, ..builder.headers[ABI_NOTE] };
    builder.headers.insert(MANIFEST_NOTE, second);
    assert!(builder.open().is_ok());
    builder.headers.swap(ABI_NOTE, MANIFEST_NOTE);
    assert!(builder.open().unwrap_err().starts_with("has a malformed note segment"));
}

#[test]
fn a_note_has_a_possible_size() {
    let short = |at| {
        format!(
            "has a malformed note segment: the note at byte {at} of the file runs past its end; build it again"
        )
    };
    refused(|b| b.headers[OPENBSD_NOTE].p_filesz = 11, &short("0x300"));
    refused(|b| b.headers[ABI_NOTE].p_filesz = 35, &short("0x318"));
    refused(|b| b.headers[MANIFEST_NOTE].p_filesz -= 1, &short("0x370"));
    for size in [0, 7, 33, u32::MAX] {
        refused(
            |b| put(&mut b.abi, 4, &size.to_le_bytes()),
            &format!("has a Solo5 ABI note of {size} bytes, and 8 to 32 are possible; build it again"),
        );
    }
    for size in [0, 11, 6669, u32::MAX] {
        refused(
            |b| put(&mut b.manifest, 4, &size.to_le_bytes()),
            &format!(
                "has a Solo5 manifest note of {size} bytes, and 12 to 6668 are possible; build it again"
            ),
        );
    }
    let mut builder = Builder::new();
    builder.abi[4] = 8;
    assert!(builder.open().is_ok(), "the reserved words may be missing");
    let mut builder = Builder::new();
    builder.headers[MANIFEST_NOTE].p_filesz += 100;
    assert!(builder.open().is_ok(), "a segment may be longer than its note");
    let mut bytes = Builder::new().build();
    bytes.pop();
    assert!(open_bytes(&bytes).unwrap_err().starts_with("is truncated: its Solo5 note ends at byte"));
    refused(
        |b| b.headers[ABI_NOTE].p_offset = u64::MAX,
        "is truncated: its note segment ends at byte 18446744073709551635 and the file at byte 1224; build or \
         copy it again",
    );
}

#[test]
fn a_manifest_has_a_version_and_whole_entries() {
    let good = manifest(&[entry(b"service", 2)]);
    let change = |at: usize, from: &[u8]| {
        let mut bytes = good.clone();
        put(&mut bytes, at, from);
        bytes
    };
    let version = |version, remedy| {
        format!("has a Solo5 manifest of version {version}, and this ukvm-run knows version 1; {remedy}")
    };
    manifest_refused(&change(0, &[0]), &version(0, "build it again"));
    manifest_refused(&change(0, &[2]), &version(2, "update ukvm-run"));
    let count = |count: u32| {
        format!(
            "has a Solo5 manifest with {count} entries, and 1 to 64 are possible, the first of which is reserved; \
             declare at most 63 devices"
        )
    };
    manifest_refused(&change(4, &[0]), &count(0));
    manifest_refused(&change(4, &[65]), &count(65));
    manifest_refused(&change(4, &[0xff; 4]), &count(u32::MAX));
    let size = |size, entries, expected| {
        format!(
            "has a Solo5 manifest of {size} bytes, and its {entries} entries take {expected}; build it again"
        )
    };
    manifest_refused(&change(4, &[1]), &size(216, 1, 112));
    manifest_refused(&change(4, &[3]), &size(216, 3, 320));
    manifest_refused(&good[..215], &size(215, 2, 216));
    manifest_refused(&good[..8], &size(8, 2, 216));
}

#[test]
fn a_manifest_has_entries_that_can_be_attached() {
    let first = "has a Solo5 manifest that does not begin with the reserved entry; build it again";
    let change = |at: usize, from: &[u8]| {
        let mut bytes = manifest(&[entry(b"service", 2), entry(b"data", 1)]);
        put(&mut bytes, at, from);
        bytes
    };
    manifest_refused(&change(8 + 68, &[1]), first);
    manifest_refused(&change(8, b"x"), first);
    for handle in 1..3 {
        let at = 8 + handle * 104;
        manifest_refused(
            &change(at, &[b'x'; 68]),
            &format!(
                "declares a device with a name of more than 67 bytes (the device with handle {handle}); rename it"
            ),
        );
        // A NUL before the last byte does not make up for it.
        manifest_refused(
            &change(at + 67, b"x"),
            &format!(
                "declares a device with a name of more than 67 bytes (the device with handle {handle}); rename it"
            ),
        );
    }
    for handle in 0..3 {
        for attached in [1, 0x80] {
            manifest_refused(
                &change(8 + handle * 104 + 96, &[attached]),
                &format!(
                    "has a Solo5 manifest that says of the device with handle {handle} that it is attached already; \
                     build it again"
                ),
            );
        }
    }
}

#[test]
fn devices_keep_their_order_and_names() {
    assert_eq!(parse(&[]).devices(), []);
    let long = [b'a'; 67];
    let strange = b"a\x1b[31m\xff ";
    let manifest = parse(&[entry(&long, 1), entry(strange, 2), entry(b"", 1)]);
    let names: Vec<&[u8]> = manifest.devices().iter().map(|device| &device.name[..]).collect();
    assert_eq!(names, [&long[..], strange, b""]);
    let declared = manifest.declared().unwrap();
    assert_eq!((declared.abi_version, declared.min_memory, declared.stack_size), (2, 0, 0));
    let device =
        |kind, access, name: &str| Declared { kind, access, optional: false, name: name.into(), features: 0 };
    let expected = [
        device(DeviceKind::Block, Access::Unsaid, &"a".repeat(67)),
        device(DeviceKind::Net, Access::Read, "a\u{fffd}[31m\u{fffd} "),
        device(DeviceKind::Block, Access::Unsaid, ""),
    ];
    assert_eq!(declared.devices, expected);
}

#[test]
fn there_may_be_63_devices() {
    let entries: Vec<[u8; 104]> = (0..64).map(|number| entry(format!("net{number}").as_bytes(), 2)).collect();
    let mut builder = Builder::new();
    builder.set_manifest(&manifest(&entries[..63]));
    let image = builder.open().unwrap();
    assert_eq!(image.manifest().devices.len(), 63);
    assert_eq!(image.manifest().devices[62].name, "net62");
    assert_eq!(image.notes().devices().len(), 63);
    manifest_refused(
        &manifest(&entries),
        "has a Solo5 manifest note of 6772 bytes, and 12 to 6668 are possible; build it again",
    );
}

#[test]
fn an_unknown_type_is_kept_until_somebody_must_serve_it() {
    let manifest = parse(&[entry(b"service", 2), entry(b"bell\x07", 0x4000_0001)]);
    assert_eq!(manifest.devices()[1].kind, 0x4000_0001);
    let expected = "declares a device 'bell\u{fffd}' of type 0x40000001, which this ukvm-run does not know; declare it as \
                    BLOCK_BASIC or NET_BASIC, or update ukvm-run";
    assert_eq!(sentence(&manifest.declared().unwrap_err()), expected);
    manifest_refused(&super::super::builder::manifest(&[entry(b"bell\x07", 0x4000_0001)]), expected);
}

#[test]
fn what_the_file_has_for_a_device_is_found() {
    let (mut net, mut block) = (entry(b"service", 2), entry(b"data", 1));
    put(&mut net, 72, &[2, 0, 0, 0, 0, 9, 1, 2]);
    put(&mut block, 80, &[0, 16]);
    let manifest = parse(&[net, block, entry(b"other", 2), entry(b"more", 1)]);
    let found: Vec<_> = manifest.devices().iter().map(|device| (device.mac, device.block_size)).collect();
    assert_eq!(found, [(Some([2, 0, 0, 0, 0, 9]), None), (None, Some(4096)), (None, None), (None, None)]);
}

fn net(name: &str, mac: Option<[u8; 6]>) -> NetConfig {
    NetConfig { name: Some(name.into()), source: NetSource::Tap(name.into()), mac }
}

#[test]
fn the_users_address_comes_before_that_of_the_file() {
    let mut with = entry(b"service", 2);
    put(&mut with, 72, &[2, 0, 0, 0, 0, 9]);
    let mut second = with;
    second[0] = b'S';
    let manifest = parse(&[with, second, entry(b"other", 2)]);
    let nets = vec![net("service", None), net("Service", Some([2; 6])), net("other", None)];
    let mut bindings = bind(&manifest.declared().unwrap(), nets, vec![]).unwrap();
    manifest.preset(&mut bindings);
    let macs = bindings.iter().map(|binding| match binding {
        Binding::Net(config) => config.mac,
        other => panic!("{other:?}"),
    });
    assert_eq!(macs.collect::<Vec<_>>(), [Some([2, 0, 0, 0, 0, 9]), Some([2; 6]), None]);
}

#[test]
fn a_disk_is_what_the_user_gives() {
    // A net and a block device may have one name.
    let manifest = parse(&[entry(b"data", 2), entry(b"data", 1)]).declared().unwrap();
    for read_only in [false, true] {
        let source = DiskSource::Path("data.img".into());
        let disk =
            DiskConfig { name: Some("data".into()), source, read_only, direct: false, block_size: None };
        match &bind(&manifest, vec![net("data", None)], vec![disk]).unwrap()[..] {
            [Binding::Net(_), Binding::Disk { config, may_map: false }] => {
                assert_eq!(config.read_only, read_only)
            }
            other => panic!("{other:?}"),
        }
    }
    let error = bind(&manifest, vec![net("data", None)], vec![]).unwrap_err().to_string();
    assert_eq!(error, "the program needs the block device 'data': add --disk data=PATH");
}
