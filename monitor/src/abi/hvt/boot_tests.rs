use super::super::builder::{Builder, entry, manifest};
use super::super::image::Image;
use super::super::layout::{MAX_INFO, RingPlace, lay_out};
use super::*;
use vm_memory::Bytes;

const CYCLES: u64 = 2_345_678_000;

fn image(entries: &[[u8; 104]]) -> Image {
    let mut builder = Builder::new();
    builder.set_manifest(&manifest(entries));
    builder.open().unwrap()
}

fn arguments(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn device(kind: DeviceKind) -> DeviceInfo {
    DeviceInfo {
        kind: kind as u32,
        flags: 1,
        name: [0; 32],
        features: 0xff,
        capacity: 0x0102_0304_0506_0800,
        block_size: 0x1000,
        max_transfer: 1 << 20,
        mac: [2, 3, 4, 5, 6, 7],
        mtu: 1500,
        mapping: 0,
    }
}

/// What lies at 0x10000 in a guest with 64 MiB.
fn written(image: &Image, devices: &[DeviceInfo], words: &[&str], ring: Option<RingPlace>) -> Vec<u8> {
    let block = BootBlock::new(image.notes(), devices, &arguments(words)).unwrap();
    let layout = lay_out(image.segments(), 64 << 20, ring).unwrap();
    let memory = Memory::new(layout.memory).unwrap();
    block.write(&memory, &layout, CYCLES).unwrap();
    let mut bytes = vec![0; 0x4000];
    memory.at(0x1_0000..0x1_4000).unwrap().read_slice(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_guest_without_ring_gets_these_bytes() {
    let bytes = written(&image(&[]), &[], &["--hello", "world"], None);
    #[rustfmt::skip]
    let info = [
        0, 0, 0, 4, 0, 0, 0, 0, // mem_size
        0, 0x30, 0x10, 0, 0, 0, 0, 0, // kernel_end
        0xb0, 0x34, 0xd0, 0x8b, 0, 0, 0, 0, // cpu_cycle_freq
        0xa8, 0, 1, 0, 0, 0, 0, 0, // cmdline
        0x38, 0, 1, 0, 0, 0, 0, 0, // mft
        0, 0, 0, 0, 0, 0, 0, 0, // host_features, guest_features
        0, 0, 0, 0, 0, 0, 0, 0, // net_ring
    ];
    assert_eq!(bytes[..56], info);
    let mut expected = vec![0; 112];
    expected[0] = 1; // version
    expected[4] = 1; // entries
    expected[79] = 0x40; // the type of the first
    assert_eq!(bytes[56..168], expected);
    assert_eq!(&bytes[168..182], b"--hello world\0");
    assert!(bytes[182..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_ring_is_announced_where_it_lies() {
    for (ring, size) in [(RingPlace::Inside, 62_u64 << 20), (RingPlace::Above, 64 << 20)] {
        let bytes = written(&image(&[]), &[], &[], Some(ring));
        assert_eq!(bytes[..8], size.to_le_bytes());
        assert_eq!(bytes[40..48], [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[48..56], size.to_le_bytes());
    }
}

#[test]
fn the_manifest_has_what_is_known_of_the_devices() {
    let mut net = entry(b"service", 2);
    net[72..104].fill(0xaa);
    net[96] = 0;
    let mut block = entry(b"data", 1);
    block[72..104].fill(0xbb);
    block[96] = 0;
    let devices = [device(DeviceKind::Net), device(DeviceKind::Block)];
    let image = image(&[net, block]);
    let bytes = written(&image, &devices, &[], None);
    assert_eq!(bytes[24..32], 0x1_0178_u64.to_le_bytes(), "the command line follows");
    let entries = &bytes[64..376];
    assert_eq!(entries[..104], entry(b"", 0x4000_0000));
    let (net, block) = (&entries[104..208], &entries[208..]);
    assert_eq!(net[..72], entry(b"service", 2)[..72]);
    assert_eq!(net[72..80], [2, 3, 4, 5, 6, 7, 0xdc, 5]);
    assert_eq!(net[80..88], [0xaa; 8]);
    assert_eq!(net[88..96], [0xff; 8], "no descriptor of the host's");
    assert_eq!(net[96..], [1, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa]);
    assert_eq!(block[..72], entry(b"data", 1)[..72]);
    assert_eq!(block[72..88], [0, 8, 6, 5, 4, 3, 2, 1, 0, 0x10, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb]);
    assert_eq!(block[88..96], [0xff; 8]);
    assert_eq!(block[96..], [1, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb]);
}

#[test]
fn words_are_joined_by_one_space_each() {
    for (words, line) in [
        (&[][..], &b"\0"[..]),
        (&[""], b"\0"),
        (&["", ""], b" \0"),
        (&["a", "", "b c", "'d'"], b"a  b c 'd'\0"),
    ] {
        let block = BootBlock::new(image(&[]).notes(), &[], &arguments(words)).unwrap();
        assert_eq!(block.command_line, line);
    }
}

#[test]
fn a_command_line_has_its_limit() {
    let image = image(&[]);
    let line = |bytes: usize| BootBlock::new(image.notes(), &[], &arguments(&["x", &"y".repeat(bytes - 2)]));
    assert_eq!(line(8191).unwrap().command_line.len(), 8192);
    let error = Error::from(line(8192).unwrap_err());
    assert_eq!((error.kind(), error.status()), (ErrorKind::BadConfig, 78));
    assert_eq!(
        error.to_string(),
        "the program's arguments take 8192 bytes, more than the 8191 that Solo5's ABI has room for: give it fewer or \
         shorter ones"
    );
}

#[test]
fn the_most_that_a_guest_can_be_told_has_its_place() {
    let names: Vec<String> = (0..63).map(|number| format!("{number:067}")).collect();
    let entries: Vec<[u8; 104]> = names.iter().map(|name| entry(name.as_bytes(), 2)).collect();
    let devices = vec![device(DeviceKind::Net); 63];
    let bytes = written(&image(&entries), &devices, &[&"z".repeat(8191)], None);
    let end = MAX_INFO as usize;
    assert_eq!(end, 14912);
    assert_eq!(bytes[end - 2..=end], [b'z', 0, 0]);
    assert!(bytes[64 + 63 * 104..].starts_with(names[62].as_bytes()));
}
