use super::*;

fn device(kind: DeviceKind, name: &str, writable: bool, optional: bool) -> Declared {
    let access = if writable { Access::Write } else { Access::Read };
    Declared { kind, access, optional, name: name.into(), features: 0 }
}

fn rights(write: bool, execute: bool) -> Rights {
    Rights { write, execute }
}

#[test]
fn a_service_in_full() {
    let manifest = Manifest {
        abi_version: 1,
        min_memory: 128 << 20,
        stack_size: 0,
        devices: vec![
            device(DeviceKind::Net, "service", false, false),
            device(DeviceKind::Block, "data", false, false),
            device(DeviceKind::Block, "scratch", true, true),
        ],
    };
    let pages = [
        (0..0x1000, rights(false, false)),
        (0x1000..0x2_3000, rights(false, true)),
        (0x2_3000..0x2_5000, rights(true, false)),
    ];
    let facts = Facts {
        program: Path::new("a b.elf"),
        kind: "position-independent program",
        abi: "ukvm",
        entry: 0x1234,
        memory: 128 << 20,
        stack: Some(1 << 20),
        manifest: &manifest,
        pages: &pages,
    };
    let expected = "\
a b.elf
  kind     position-independent program
  ABI      ukvm, version 1
  entry    0x1234
  memory   at least 128M; 128M without --mem
  stack    1M

Segments in whole pages, with their rights once it runs:
  0x00000 - 0x01000      4K  r--
  0x01000 - 0x23000    136K  r-x
  0x23000 - 0x25000      8K  rw-

Devices:
  net    service  required
  block  data     only read, required
  block  scratch  read and written, optional

To run it:
  ukvm-run --net tap0 --disk data=data.img,ro --disk scratch=scratch.img 'a b.elf'
";
    assert_eq!(facts.to_string(), expected);
}

#[test]
fn a_program_without_devices() {
    let manifest = Manifest { abi_version: 1, min_memory: 0, stack_size: 64 << 10, devices: Vec::new() };
    let facts = Facts {
        program: Path::new("hello.elf"),
        kind: "fixed-address program",
        abi: "ukvm",
        memory: 64 << 20,
        stack: Some(64 << 10),
        entry: 0x40_0000,
        manifest: &manifest,
        pages: &[],
    };
    let text = facts.to_string();
    for part in [
        "fixed-address program",
        "any; 64M without --mem",
        "stack    64K",
        "It needs no devices.",
        "\n  ukvm-run hello.elf\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn paths_can_be_pasted_into_a_shell() {
    for (path, quoted) in [
        ("target/guests/a-b_1.elf", "target/guests/a-b_1.elf"),
        ("it's.elf", r"'it'\''s.elf'"),
        ("$x;y", "'$x;y'"),
        ("-x", "./-x"),
        ("-x y", "'./-x y'"),
    ] {
        assert_eq!(Quoted(Path::new(path)).to_string(), quoted);
    }
}

#[test]
fn hexadecimal_digits() {
    for (number, digits) in [(0, 1), (15, 1), (16, 2), (0xffff, 4), (u64::MAX, 16)] {
        assert_eq!(hex_digits(number), digits, "{number}");
    }
}

#[test]
fn a_disk_of_which_nobody_knows_whether_it_is_written_to() {
    let mut disk = device(DeviceKind::Block, "data", false, false);
    disk.access = Access::Unsaid;
    let manifest = Manifest { abi_version: 2, min_memory: 0, stack_size: 0, devices: vec![disk] };
    let facts = Facts {
        program: Path::new("app"),
        kind: "fixed-address program",
        abi: "ukvm",
        entry: 0,
        memory: 64 << 20,
        stack: None,
        manifest: &manifest,
        pages: &[],
    };
    let text = facts.to_string();
    assert!(text.contains("\n  block  data  required\n"), "{text}");
    assert!(text.ends_with("\n  ukvm-run --disk data.img app\n"), "{text}");
}
