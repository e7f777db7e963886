use super::super::builder::*;
use super::*;
use linux_loader::elf::{self as bits, ET_DYN};
use vm_memory::Bytes;

fn bytes(memory: &Memory, range: Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    memory.at(range).unwrap().read_slice(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_valid_file_says_what_it_is() {
    let image = Builder::new().open().unwrap();
    assert_eq!(image.entry(), 0x10_0004);
    let segment = |number: u64, rights| Segment {
        pages: 0x10_0000 + number * 0x1000..0x10_1000 + number * 0x1000,
        address: 0x10_0000 + number * 0x1000,
        file_offset: 0x340 + number * 16,
        file_size: 16,
        rights: Some(rights),
    };
    let expected = [segment(0, Rights::EXECUTE), segment(1, Rights::READ), segment(2, Rights::WRITE)];
    assert_eq!(image.segments(), expected, "segments without data do not count");
    assert_eq!(image.manifest().devices.len(), 2);
    assert_eq!(image.symbols().find(0x10_0004), None);
    assert!(!image.was_cut());
}

#[test]
fn fields_that_do_not_count_may_have_any_value() {
    let mut builder = Builder::new();
    builder.header.e_ident[7..].fill(0xff);
    builder.header.e_flags = u32::MAX;
    (builder.header.e_shoff, builder.header.e_shnum, builder.header.e_shstrndx) = (1 << 60, 9, 10);
    for header in &mut builder.headers {
        header.p_paddr = u64::MAX;
    }
    // A segment without data: whatever else it says.
    let empty = &mut builder.headers[EMPTY];
    (empty.p_flags, empty.p_align, empty.p_offset, empty.p_memsz) = (7, 3, u64::MAX, u64::MAX);
    builder.headers[BSS].p_vaddr = u64::MAX;
    builder.open().unwrap();
}

#[test]
fn what_is_not_for_hvt_is_refused() {
    refused(
        |b| b.header.e_type = ET_DYN,
        "is position-independent, and a Solo5 hvt unikernel has fixed addresses (ET_EXEC); link it with Solo5's \
         toolchain",
    );
    refused(|b| b.header.e_machine = 183, "is built for aarch64, not for x86_64; build it for x86_64");
    refused(|b| b.header.e_ehsize = 63, "is not a valid ELF file: its e_ehsize is 0x3f; build it again");
    refused(
        |b| b.header.e_phentsize = 32,
        "is not a valid ELF file: its e_phentsize is 0x20; build it again",
    );
    refused(|b| b.header.e_version = 2, "is not a valid ELF file: its e_version is 0x2; build it again");
    refused(
        |b| b.header.e_phoff = 0x400,
        "is truncated: its program header table ends at byte 1584 and the file at byte 1224; build or copy it again",
    );
    refused(
        |b| b.headers[TEXT..=WRITE].iter_mut().for_each(|header| header.p_filesz = 0),
        "has no loadable segment; link it into an executable",
    );
}

#[test]
fn execution_starts_in_code() {
    for entry in [0, 0xf_ffff, 0x10_1000, 0x10_2000, 0x10_b000, u64::MAX] {
        refused(
            |b| b.header.e_entry = entry,
            &format!(
                "has its entry point at {entry:#x}, outside its executable segments; link it with an entry point \
                 (_start)"
            ),
        );
    }
    let mut builder = Builder::new();
    builder.header.e_entry = 0x10_0fff;
    assert!(builder.open().is_ok(), "to the end of its page");
}

#[test]
fn segments_lie_in_their_place() {
    let place = |address| {
        format!(
            "has a segment at {address} that is not inside 0x100000 to 0x100000000, the addresses for a Solo5 hvt \
             unikernel; link it with Solo5's toolchain"
        )
    };
    refused(|b| b.headers[TEXT].p_vaddr = 0xf_f000, &place("0xff000"));
    refused(|b| b.headers[TEXT].p_vaddr = 0, &place("0x0"));
    refused(|b| b.headers[TEXT].p_align = 0x20_0000, &place("0x100000"));
    refused(|b| b.headers[WRITE].p_memsz = 0xffef_e001, &place("0x102000"));
    refused(|b| b.headers[WRITE].p_vaddr = 1 << 32, &place("0x100000000"));
    refused(|b| b.headers[WRITE].p_align = 1 << 63, &place("0x102000"));
    for (address, size) in [(u64::MAX, 16), (u64::MAX - 0xfff, 0x1000), (0x10_2000, u64::MAX)] {
        refused(
            |b| (b.headers[WRITE].p_vaddr, b.headers[WRITE].p_memsz) = (address, size),
            &format!(
                "has a segment at {address:#x} that wraps around the end of the address space; build it again"
            ),
        );
    }
    let mut builder = Builder::new();
    builder.headers[WRITE].p_memsz = 0xffef_e000;
    assert_eq!(builder.open().unwrap().segments()[2].pages.end, 1 << 32, "to the last byte");
}

#[test]
fn segments_keep_their_alignment() {
    let misaligned = |align| {
        format!(
            "has a segment at 0x102000 that is misaligned (file offset 0x360, alignment {align:#x}); build it again"
        )
    };
    for align in [0, 3, 0x1001, 1, 8, 0x800] {
        refused(|b| b.headers[WRITE].p_align = align, &misaligned(align));
    }
    let mut builder = Builder::new();
    (builder.headers[WRITE].p_align, builder.headers[WRITE].p_memsz) = (1, 0x1000);
    assert!(builder.open().is_ok(), "whole pages of themselves");
    (builder.headers[WRITE].p_align, builder.headers[WRITE].p_vaddr) = (0x20_0000, 0x20_0008);
    assert_eq!(builder.open().unwrap().segments()[2].pages, 0x20_0000..0x40_0000);
    refused(
        |b| (b.headers[WRITE].p_align, b.headers[WRITE].p_vaddr) = (0x800, 0x10_2800),
        "has a segment at 0x102800 that is misaligned (file offset 0x360, alignment 0x800); build it again",
    );
}

#[test]
fn segments_are_in_order_and_apart() {
    refused(
        |b| b.headers.swap(TEXT, READ),
        "is not a valid ELF file: its segment at 0x100000 comes after one with a higher address; build it again",
    );
    let overlap = |second| {
        format!(
            "has segments at 0x101000 and {second} that overlap or share a page; link it with -z separate-code"
        )
    };
    refused(|b| b.headers[READ].p_memsz = 0x1001, &overlap("0x102000"));
    refused(|b| b.headers[WRITE].p_vaddr = 0x10_1010, &overlap("0x101010"));
    refused(|b| b.headers[WRITE].p_vaddr = 0x10_1000, &overlap("0x101000"));
    refused(
        |b| (b.headers[WRITE].p_align, b.headers[WRITE].p_vaddr) = (0x4000, 0x10_3000),
        "has segments at 0x101000 and 0x103000 that overlap or share a page; link it with -z separate-code",
    );
}

#[test]
fn segments_have_their_data() {
    refused(
        |b| b.headers[WRITE].p_memsz = 15,
        "has a segment at 0x102000 that is larger in the file than in memory; build it again",
    );
    refused(
        |b| (b.headers[WRITE].p_filesz, b.headers[WRITE].p_memsz) = (0x1000, 0x1000),
        "is truncated: its segment data ends at byte 4960 and the file at byte 1224; build or copy it again",
    );
    refused(
        |b| b.headers[WRITE].p_offset = u64::MAX,
        "is truncated: its segment data ends at byte 18446744073709551631 and the file at byte 1224; build or copy \
         it again",
    );
}

#[test]
fn rights_are_those_of_the_file_without_both_writing_and_executing() {
    let (r, w, x) = (bits::PF_R, bits::PF_W, bits::PF_X);
    for flags in [w | x, r | w | x] {
        refused(
            |b| b.headers[WRITE].p_flags = flags,
            "has a segment at 0x102000 that is both writable and executable; link code and data into separate \
             segments",
        );
    }
    for (flags, rights) in [
        (0, None),
        (r, Some(Rights::READ)),
        (w, Some(Rights::WRITE)),
        (r | w, Some(Rights::WRITE)),
        (x, Some(Rights::EXECUTE)),
        (r | x, Some(Rights::EXECUTE)),
    ] {
        let mut builder = Builder::new();
        builder.headers[WRITE].p_flags = flags;
        assert_eq!(builder.open().unwrap().segments()[2].rights, rights, "{flags}");
    }
}

#[test]
fn bytes_go_to_their_addresses() {
    let mut builder = Builder::new();
    (builder.headers[WRITE].p_vaddr, builder.headers[WRITE].p_memsz) = (0x10_2008, 0x100);
    let mut memory = Memory::new(2 << 20).unwrap();
    builder.open().unwrap().load(&mut memory).unwrap();
    assert_eq!(bytes(&memory, 0x10_0000..0x10_0011), [[0xcc; 16].as_slice(), &[0]].concat());
    assert_eq!(bytes(&memory, 0x10_100e..0x10_1011), [0xdd, 0xdd, 0]);
    assert_eq!(bytes(&memory, 0x10_2006..0x10_200a), [0, 0, 0xee, 0xee]);
    assert_eq!(bytes(&memory, 0x10_2016..0x10_201a), [0xee, 0xee, 0, 0]);
    for (range, place) in [(0..0x10_0000, "below the image"), (0x10_2018..2 << 20, "above it")] {
        assert!(bytes(&memory, range).iter().all(|&byte| byte == 0), "nothing {place}");
    }
}

#[test]
fn large_segments_that_do_not_change_come_from_the_file() {
    let size = 0x2_0000_u64;
    let mut file = Builder::new();
    for (index, address) in [(READ, 0x20_0000), (WRITE, 0x30_0000)] {
        let header = &mut file.headers[index];
        (header.p_vaddr, header.p_offset) = (address, 0x1000);
        (header.p_filesz, header.p_memsz) = (size + 5, size + 5);
    }
    let mut content = file.build();
    content.resize(0x1000, 0);
    content.extend((0..size + 5).map(|at| (at % 251) as u8));
    let mut memory = Memory::new(4 << 20).unwrap();
    open_bytes(&content).unwrap().load(&mut memory).unwrap();
    for address in [0x20_0000, 0x30_0000] {
        let loaded = bytes(&memory, address..address + 0x2_0006);
        assert_eq!(loaded[..0x2_0005], content[0x1000..]);
        assert_eq!(loaded[0x2_0005], 0);
    }
    assert!(memory.is_file_page(0x20_0000) && memory.is_file_page(0x21_ffff));
    assert!(!memory.is_file_page(0x22_0000), "the last page is not whole");
    assert!(!memory.is_file_page(0x30_0000), "it is written to");
}

#[test]
fn memory_that_is_too_small_is_left_alone() {
    let mut memory = Memory::new(0x10_2000).unwrap();
    let error = Builder::new().open().unwrap().load(&mut memory).unwrap_err();
    assert!(matches!(error.defect(), Defect::DoesNotFit { image: 0x3000, at: 0x10_0000, memory: 0x10_2000 }));
    assert_eq!(bytes(&memory, 0x10_0000..0x10_0001), [0]);
}

#[test]
fn a_file_that_shrinks_after_it_was_opened_is_truncated() {
    let file = crate::elf::builder::file_of(&Builder::new().build());
    let image = Image::open(file.as_path()).unwrap();
    file.as_file().set_len(0x368).unwrap();
    assert!(image.was_cut());
    let error = image.load(&mut Memory::new(2 << 20).unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("is truncated: its segment data ends at byte 880 and the file at byte 872"),
        "{error}"
    );
}

#[test]
fn other_programs_have_other_sentences() {
    let error = Image::open(Path::new("/nonexistent/app.hvt")).unwrap_err();
    assert_eq!(error.to_string(), "/nonexistent/app.hvt does not exist; check the path");
    assert!(open_bytes(b"#!/bin/sh\n").unwrap_err().starts_with("is not an ELF file"));
    let ours = crate::elf::builder::Builder::fixed(0x40_0000).build();
    assert!(open_bytes(&ours).unwrap_err().starts_with("has no Solo5 ABI note"));
}
