//! What is refused, and in which words.

use super::builder::*;
use super::*;
use crate::error::{Error, ErrorKind};
use linux_loader::elf::{self, Elf64_Phdr};
use ukvm_abi::manifest::DeviceKind;
use vmm_sys_util::tempdir::TempDir;

/// The class and the sentence behind the path.
fn sentence(result: Result<Image, ElfError>) -> (ErrorKind, String) {
    let error = result.expect_err("it should have been refused");
    let path = format!("{} ", error.path.display());
    let error = Error::from(error);
    (error.kind(), error.to_string().strip_prefix(&path).unwrap().to_owned())
}

/// Asserts that the valid file, changed, is refused as bad with a sentence that begins so.
#[track_caller]
fn refused(change: impl FnOnce(&mut Builder), expected: &str) {
    let mut builder = Builder::new();
    change(&mut builder);
    let (kind, sentence) = sentence(builder.open());
    assert!(sentence.starts_with(expected), "expected: {expected}\nbut got: {sentence}");
    assert_eq!(kind, ErrorKind::BadElf);
    assert!(!sentence.ends_with('.') && sentence.contains([';', ':']), "{sentence}");
}

#[test]
fn a_valid_file_says_what_it_is() {
    let image = Builder::new().open().unwrap();
    assert!(image.is_pie());
    assert_eq!(image.entry(), 0x1000);
    assert_eq!(image.span(), 0..0x5000);
    assert_eq!(image.alignment(), 0x1000);
    assert_eq!(image.segments().len(), 3);
    let device = |kind, access, optional, name: &str, features| Declared {
        kind,
        access,
        optional,
        name: name.into(),
        features,
    };
    let manifest = Manifest {
        abi_version: 1,
        min_memory: 16 << 20,
        stack_size: 1 << 20,
        devices: vec![
            device(DeviceKind::Net, Access::Read, true, "service", 0x181),
            device(DeviceKind::Block, Access::Write, false, "data", 0),
        ],
    };
    assert_eq!(image.manifest(), &manifest);
}

#[test]
fn pages_are_disjoint_and_relro_is_sealed() {
    let image = Builder::new().open().unwrap();
    let pages = [
        (0..0x1000, Rights::READ),
        (0x1000..0x2000, Rights::EXECUTE),
        (0x2000..0x3000, Rights::READ),
        (0x3000..0x5000, Rights::WRITE),
    ];
    assert_eq!(image.pages(), pages);
}

#[test]
fn relro_leaves_its_last_page_if_something_follows_in_it() {
    let pages = |start: u64, size: u64| {
        let mut builder = Builder::new();
        builder.headers[RELRO].p_vaddr = start;
        builder.headers[RELRO].p_memsz = size;
        let pages = builder.open().unwrap().pages();
        pages.into_iter().skip(1).find(|(_, rights)| *rights == Rights::READ).map(|(pages, _)| pages)
    };
    assert_eq!(pages(0x2000, 0), None);
    assert_eq!(pages(0x2000, 0xfff), None);
    assert_eq!(pages(0x2000, 0x1fff), Some(0x2000..0x3000));
    assert_eq!(pages(0x2010, 0xff0), Some(0x2000..0x3000), "it begins in the segment's first page");
    assert_eq!(pages(0x3000, 0x1000), Some(0x3000..0x4000));
    assert_eq!(pages(0x2000, 0x3000), Some(0x2000..0x5000), "to the end of the segment's last page");
    refused(|b| b.headers[RELRO].p_vaddr = 0x3010, "has a RELRO range at 0x3010");
    refused(|b| b.headers[RELRO].p_memsz = 0x3001, "has a RELRO range at 0x2000");
    refused(|b| b.headers[RELRO].p_memsz = u64::MAX, "has a RELRO range at 0x2000");
    refused(|b| b.headers[RELRO].p_vaddr = 0x1000, "has a RELRO range at 0x1000");
}

#[test]
fn a_program_at_fixed_addresses_is_accepted_above_the_lowest() {
    let image = Builder::fixed(0x1_0000).open().unwrap();
    assert!(!image.is_pie());
    assert_eq!(image.span(), 0x1_0000..0x1_5000);
    let (_, text) = sentence(Builder::fixed(0xf000).open());
    assert!(text.starts_with("has a segment at 0xf000, below 0x10000, the lowest"), "{text}");
}

#[test]
fn what_is_not_a_readable_file() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| sentence(Image::open(&directory.as_path().join(name)));
    assert_eq!(at("none"), (ErrorKind::MissingFile, "does not exist; check the path".into()));
    let of = |path: &str| sentence(Image::open(Path::new(path)));
    assert_eq!(of("/proc/version/none").0, ErrorKind::MissingFile, "a file is no directory");
    assert_eq!(
        at("."),
        (ErrorKind::BadElf, "is a directory, not a regular file; name a unikernel's ELF file".into())
    );
    assert!(of("/dev/zero").1.starts_with("is a character device, not"));
    let fifo = directory.as_path().join("fifo");
    let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: the name is a string ended by NUL that lives until the call returns.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert!(at("fifo").1.starts_with("is a FIFO, not"), "and it does not wait for a writer");
    let _socket = std::os::unix::net::UnixListener::bind(directory.as_path().join("socket")).unwrap();
    assert!(at("socket").1.starts_with("is a socket or"));
    assert_eq!(
        Defect::of_open(std::io::Error::from_raw_os_error(libc::EACCES)).kind(),
        ErrorKind::NoPermission
    );
    assert_eq!(Defect::of_open(std::io::Error::from_raw_os_error(libc::EIO)).kind(), ErrorKind::HostIo);
}

#[test]
fn what_is_not_an_elf_file_or_cut_short() {
    let of = |bytes: &[u8]| {
        let (kind, sentence) = sentence(open_bytes(bytes));
        assert_eq!(kind, ErrorKind::BadElf);
        sentence
    };
    assert_eq!(of(b""), "is empty; build it again");
    assert!(of(b"#!/bin/sh\n").starts_with("is not an ELF file"));
    assert!(of(b"\x7fEL").starts_with("is not an ELF file"));
    assert!(of(b"\x7fELF").starts_with("is truncated: its file header ends at byte 64"));
    let whole = Builder::new().build();
    assert!(
        of(&whole[..63]).starts_with("is truncated: its file header ends at byte 64 and the file at byte 63")
    );
    assert!(of(&whole[..0x100]).starts_with("is truncated: its program header table ends"));
    assert!(of(&whole[..0x210]).starts_with("is truncated: its note segment ends"));
    assert!(of(&whole[..0x510]).starts_with("is truncated: its segment data ends"));
}

#[test]
fn headers_of_another_kind() {
    refused(|b| b.header.e_ident[4] = 1, "is a 32-bit program");
    refused(|b| b.header.e_ident[4] = 9, "is not a valid ELF file: its EI_CLASS is 0x9");
    refused(|b| b.header.e_ident[5] = 2, "is a big-endian program");
    refused(|b| b.header.e_ident[5] = 0, "is not a valid ELF file: its EI_DATA is 0x0");
    refused(|b| b.header.e_ident[6] = 0, "is not a valid ELF file: its EI_VERSION is 0x0");
    refused(|b| b.header.e_version = 2, "is not a valid ELF file: its e_version is 0x2");
    refused(|b| b.header.e_machine = elf::EM_AARCH64, "is built for aarch64, not for x86_64");
    refused(|b| b.header.e_machine = 9999, "is built for machine number 9999, not");
    refused(|b| b.header.e_type = elf::ET_REL, "is an object file");
    refused(|b| b.header.e_type = elf::ET_CORE, "is a core dump");
    refused(|b| b.header.e_type = 0, "is not a valid ELF file: its e_type is 0x0");
    refused(|b| b.header.e_ehsize = 52, "is not a valid ELF file: its e_ehsize is 0x34");
    refused(|b| b.header.e_phentsize = 32, "is not a valid ELF file: its e_phentsize is 0x20");
    refused(|b| b.header.e_phoff = u64::MAX, "is truncated: its program header table");
    let mut bytes = Builder::new().build();
    bytes[56..58].copy_from_slice(&[0xff, 0xff]);
    assert!(sentence(open_bytes(&bytes)).1.contains("its e_phnum is 0xffff"));
    bytes[56..58].copy_from_slice(&[0, 0]);
    assert!(sentence(open_bytes(&bytes)).1.starts_with("has no loadable segment"));
}

#[test]
fn programs_that_are_no_unikernels() {
    let no_note = |b: &mut Builder| b.set_notes(&[(b"GNU\0", 3, &[7; 20])], 4);
    refused(no_note, "is an ordinary program, not a ukvm unikernel: it has no ukvm note;");
    refused(|b| b.headers[NOTE].p_type = elf::PT_NULL, "is an ordinary program, not a ukvm unikernel");
    refused(|b| b.set_notes(&[(b"ukvm\0", 2, &[7; 20])], 4), "is an ordinary program, not a ukvm unikernel");
    refused(
        |b| {
            no_note(b);
            b.add(elf::PT_INTERP, 0, 0x421, 11);
        },
        "is an ordinary program, dynamically linked, not a ukvm unikernel",
    );
    let interpreter = |b: &mut Builder| b.add(elf::PT_INTERP, 0, 0x421, 11).p_flags = 4;
    refused(interpreter, "is dynamically linked: it asks for the interpreter libc.so.6; link it statically");
    refused(
        |b| b.dynamic.insert(0, (elf::DT_NEEDED, 1)),
        "is dynamically linked: it needs the shared library libc.so.6; link it statically",
    );
    refused(
        |b| {
            b.strings = b"\0\x1b[31m\0";
            b.dynamic.insert(0, (elf::DT_NEEDED, 1));
        },
        "is dynamically linked: it needs the shared library \u{fffd}[31m;",
    );
    refused(
        |b| b.dynamic.insert(0, (elf::DT_NEEDED, u64::MAX)),
        "is dynamically linked: it needs the shared library (without a name);",
    );
    refused(|b| b.add(elf::PT_TLS, 0x2000, 0, 8).p_flags = 0, "has thread-local variables");
    assert!({
        let mut b = Builder::new();
        b.add(elf::PT_TLS, 0x2000, 0, 0);
        b.open().is_ok()
    });
    refused(|b| b.headers[STACK].p_flags = 7, "asks for an executable stack");
}

#[test]
fn notes_and_manifests() {
    let at = ukvm_abi::note::PREFIX_SIZE;
    refused(|b| b.notes[4] = 0xff, "has a malformed note segment: the note at byte 0x200");
    refused(|b| b.notes[0..4].fill(0xff), "has a malformed note segment: the note at byte 0x200");
    refused(|b| b.headers[NOTE].p_filesz += 3, "has a malformed note segment: the note at byte 0x29c");
    refused(|b| b.headers[NOTE].p_filesz = 0x200_0000, "is truncated: its note segment");
    refused(
        |b| {
            let header = b.headers[NOTE];
            b.headers.push(header);
        },
        "has more than one ukvm note",
    );
    refused(
        |b| b.notes[at] = 2,
        "was built for version 2 of the ukvm ABI, and this ukvm-run knows versions up to 1; update ukvm-run",
    );
    refused(|b| b.notes[at] = 0, "has a manifest for version 0");
    refused(|b| b.notes[at + 4] = 39, "has a manifest whose entries are too small");
    refused(|b| b.notes[at + 8] = 65, "declares 65 devices, and at most 64 are possible");
    refused(|b| b.notes[at + 8] = 3, "has a manifest that is shorter than it says");
    refused(|b| b.notes[at + 32] = 4, "requires features that this ukvm-run does not have (0x4)");
    refused(
        |b| b.notes[at + 40] = 9,
        "declares a device of a kind that this ukvm-run does not know (the device with handle 1)",
    );
    refused(
        |b| b.notes[at + 44] = 8,
        "declares a device with flags that this ukvm-run does not know (the device with handle 1)",
    );
    refused(|b| b.notes[at + 48] = b'/', "declares a device with a name that is not");
    refused(
        |b| b.notes.copy_within(at + 40..at + 88, at + 88),
        "declares two devices of the same kind and name (the second has handle 2)",
    );
}

#[test]
fn our_note_is_found_among_others() {
    let manifest = Builder::new().notes[ukvm_abi::note::PREFIX_SIZE..].to_vec();
    for align in [4, 8] {
        let mut builder = Builder::new();
        builder.set_notes(
            &[(b"GNU\0", 3, &[1; 17]), (b"", 0, b""), (b"ukvm\0", 1, &manifest), (b"GNU\0", 5, &[])],
            align,
        );
        assert_eq!(builder.open().unwrap().manifest().devices.len(), 2, "{align}");
    }
    let mut builder = Builder::new();
    builder.set_notes(&[(b"GNU\0", 3, &[1; 17]), (b"ukvm\0", 1, &manifest)], 4);
    let size = builder.headers[NOTE].p_filesz;
    builder.headers[NOTE] = Elf64_Phdr { p_filesz: 36, ..builder.headers[NOTE] };
    builder.add(elf::PT_NOTE, 0, NOTES + 36, size - 36);
    assert!(builder.open().is_ok(), "in a segment of its own");
}

#[test]
fn tests_are_listed_by_their_names() {
    let open = |notes: &[(&[u8], u32, &[u8])]| {
        let mut builder = Builder::new();
        builder.set_notes(notes, 4);
        let file = file_of(&builder.build());
        tests(file.as_path()).map_err(|error| error.to_string())
    };
    let (plain, odd) = (b"\0\0\0\0b::one\0\0\0", b"\x03\0\0\0a\0slow\0overflow\0");
    assert_eq!(open(&[(b"ukvm\0", 1, &[])]), Ok(None));
    assert_eq!(open(&[(b"ukvm\0", 2, &[0; 7])]), Ok(Some(Vec::new())));
    let declared = |name: &str, ignored: Option<&str>, panics: Option<&str>| DeclaredTest {
        name: name.into(),
        ignored: ignored.map(Into::into),
        panics: panics.map(Into::into),
    };
    assert_eq!(
        open(&[(b"ukvm\0", 2, plain), (b"GNU\0", 2, &[1]), (b"ukvm\0", 2, odd)]),
        Ok(Some(vec![declared("a", Some("slow"), Some("overflow")), declared("b::one", None, None)]))
    );
    for bad in [&plain[..10], b"\0\0\0\0a\x1b\0\0\0", b"\0\0\0\0a\0\n\0\0"] {
        let refused = open(&[(b"ukvm\0", 2, bad)]).unwrap_err();
        assert!(refused.contains("declares a test in a way that is not known here; build it"), "{refused}");
    }
}

#[test]
fn segments_that_cannot_be_loaded() {
    let remove = |b: &mut Builder| b.headers.retain(|header| header.p_type != elf::PT_LOAD);
    refused(remove, "has no loadable segment");
    refused(
        |b| b.headers.iter_mut().take(3).for_each(|header| (header.p_filesz, header.p_memsz) = (0, 0)),
        "has no loadable segment",
    );
    refused(|b| b.headers.swap(READ, WRITE), "is not a valid ELF file: its segment at 0x1000 comes after");
    refused(|b| b.headers[TEXT].p_memsz = 0x2000, "has segments at 0x1000 and 0x2000 that overlap");
    refused(
        |b| b.headers[READ].p_memsz = 0x1001,
        "has segments at 0x0 and 0x1000 that overlap or share a page",
    );
    refused(
        |b| b.headers[TEXT].p_vaddr = 0x800,
        "has segments at 0x0 and 0x800 that overlap or share a page",
    );
    refused(|b| b.headers[WRITE].p_vaddr = 0x1000, "has segments at 0x1000 and 0x1000 that overlap");
    refused(|b| b.headers[WRITE].p_memsz = u64::MAX, "has a segment at 0x2000 that wraps around");
    refused(
        |b| b.headers[WRITE].p_vaddr = 0xffff_ffff_8000_0000,
        "has a segment at 0xffffffff80000000 that ends above",
    );
    refused(|b| b.headers[WRITE].p_memsz = 1 << 62, "has a segment at 0x2000 that ends above 0x7f0000000000");
    refused(|b| b.headers[WRITE].p_memsz = 1 << 46, "takes 0x400000002000 bytes of addresses");
    refused(|b| b.headers[WRITE].p_align = 48, "has a segment at 0x2000 that is misaligned");
    refused(
        |b| b.headers[WRITE].p_align = 0x1000,
        "has a segment at 0x2000 that is misaligned (file offset 0x450, alignment 0x1000)",
    );
    refused(|b| b.headers[WRITE].p_align = 1 << 63, "has a segment at 0x2000 that is misaligned");
    refused(
        |b| (b.headers[READ].p_offset, b.headers[READ].p_align, b.headers[READ].p_filesz) = (0, 4 << 20, 1),
        "has a segment at 0x0 that is misaligned",
    );
    refused(
        |b| b.headers[TEXT].p_memsz = 15,
        "has a segment at 0x1000 that is larger in the file than in memory",
    );
    refused(|b| b.headers[TEXT].p_offset = u64::MAX - 15, "is truncated: its segment data");
    refused(|b| b.headers[TEXT].p_flags = 7, "has a segment at 0x1000 that is both writable and executable");
    for entry in [0, 0xfff, 0x1010, 0x2000, u64::MAX] {
        refused(|b| b.header.e_entry = entry, &format!("has its entry point at {entry:#x}, outside"));
    }
}

#[test]
fn alignment_is_the_strictest_of_the_segments() {
    let mut builder = Builder::new();
    for align in [0, 1, 16] {
        builder.headers[TEXT].p_align = align;
        assert_eq!(builder.open().unwrap().alignment(), 0x1000);
    }
    builder.headers[READ].p_offset = 0;
    builder.headers[READ].p_align = 2 << 20;
    builder.dynamic = vec![(elf::DT_NULL, 0)];
    assert_eq!(builder.open().unwrap().alignment(), 2 << 20);
}

#[test]
fn dynamic_sections_that_cannot_be_followed() {
    let set = |b: &mut Builder, tag: i64, to: u64| {
        b.dynamic.iter_mut().filter(|entry| entry.0 == tag).for_each(|entry| entry.1 = to);
    };
    let drop_tag = |b: &mut Builder, tag: i64| b.dynamic.retain(|entry| entry.0 != tag);
    let invalid = "is not a valid ELF file: its";
    refused(
        |b| b.headers[DYNAMIC].p_vaddr = 0x4000,
        &format!("{invalid} dynamic section at 0x4000 is not in"),
    );
    refused(
        |b| b.headers[DYNAMIC].p_filesz = 0x70,
        &format!("{invalid} dynamic section is not ended by DT_NULL"),
    );
    refused(
        |b| {
            let header = b.headers[DYNAMIC];
            b.headers.push(header);
        },
        "has more than one PT_DYNAMIC",
    );
    refused(|b| b.dynamic.insert(0, (elf::DT_RELA, 0)), "has more than one DT_RELA");
    refused(|b| set(b, elf::DT_RELAENT, 16), &format!("{invalid} DT_RELAENT is 0x10"));
    refused(|b| drop_tag(b, elf::DT_RELAENT), &format!("{invalid} dynamic section has no DT_RELAENT"));
    refused(|b| drop_tag(b, elf::DT_RELASZ), &format!("{invalid} dynamic section has no DT_RELASZ"));
    refused(|b| drop_tag(b, elf::DT_RELA), &format!("{invalid} dynamic section has no DT_RELA"));
    refused(|b| set(b, elf::DT_RELASZ, 25), &format!("{invalid} DT_RELASZ is 0x19"));
    refused(|b| set(b, elf::DT_RELASZ, 24 << 30), "has a relocation table of");
    refused(|b| set(b, elf::DT_RELASZ, 2400), &format!("{invalid} relocation table at 0x180 is not in"));
    refused(|b| set(b, elf::DT_RELA, u64::MAX - 7), &format!("{invalid} relocation table at"));
    refused(|b| set(b, 37, 4), &format!("{invalid} DT_RELRENT is 0x4"));
    for (tag, value, name) in [
        (elf::DT_TEXTREL, 0, "DT_TEXTREL"),
        (30, 4, "DF_TEXTREL"),
        (elf::DT_REL, 0x180, "DT_REL"),
        (0x6000_0011, 0x180, "packed for Android"),
        (0x4000_0026, 0x180, "DT_CREL"),
    ] {
        refused(
            |b| b.dynamic.insert(0, (tag, value)),
            &format!("has relocations in a form that is not supported ({name})"),
        );
    }
    refused(
        |b| b.dynamic.splice(0..0, [(elf::DT_JMPREL, 0x180), (elf::DT_PLTRELSZ, 48)]).for_each(drop),
        "has relocations in a form that is not supported (DT_JMPREL that is not DT_RELA)",
    );
}

#[test]
fn relocations_that_need_a_dynamic_linker_or_hit_other_things() {
    for (kind, name) in [
        (1, "R_X86_64_64"),
        (6, "R_X86_64_GLOB_DAT"),
        (7, "R_X86_64_JUMP_SLOT"),
        (18, "R_X86_64_TPOFF64"),
        (36, "R_X86_64_TLSDESC"),
        (37, "R_X86_64_IRELATIVE"),
        (42, "R_X86_64_REX_GOTPCRELX"),
        (77, "number 77"),
    ] {
        let expected = format!("has a relocation of type {name}, and only R_X86_64_RELATIVE");
        refused(|b| b.rela[1][1] = kind, &expected);
        refused(
            |b| {
                b.dynamic = vec![
                    (elf::DT_JMPREL, 0x180),
                    (elf::DT_PLTRELSZ, 48),
                    (elf::DT_PLTREL, elf::DT_RELA as u64),
                    (elf::DT_NULL, 0),
                ];
                b.rela[1][1] = kind;
            },
            &expected,
        );
    }
    // Text, read-only data, across both ends of the writable segment, nowhere.
    for address in [0x1000, 0x100, 0x1ffc, 0x47f9, 0x10_0000, u64::MAX - 3] {
        let expected = format!("has a relocation at {address:#x}, which is not in a writable segment");
        refused(|b| b.rela[1][0] = address, &expected);
        if address & 1 == 0 {
            refused(|b| b.relr[0] = address, &expected);
        }
    }
    refused(|b| b.relr[0] = 3, "is not a valid ELF file: its DT_RELR table begins with a bitmap");
    refused(|b| b.relr = vec![0x4760, u64::MAX], "has a relocation at 0x4800, which is not");
}
