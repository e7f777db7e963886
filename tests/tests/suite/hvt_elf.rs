//! Solo5 unikernels that are broken in one place: one sentence, and the status 65 (78 where the command line can help).

use ukvm_tests::artifacts::hvt_guest;
use ukvm_tests::elf::{self, Elf};
use ukvm_tests::files;
use ukvm_tests::hvt::{ABI, MANIFEST, OTHER_TARGETS};
use ukvm_tests::run::Run;

ukvm_tests::tests! {
    the_good_ones_run;
    another_target;
    another_version_of_the_abi;
    a_note_that_is_missing;
    a_note_that_is_cut_or_of_a_wrong_size;
    another_version_of_the_manifest;
    a_manifest_of_too_few_or_too_many_entries;
    a_manifest_that_its_entries_do_not_fill;
    a_first_entry_that_is_not_reserved;
    a_name_without_an_end;
    a_device_that_is_attached_already;
    a_device_of_an_unknown_type;
    another_machine;
    a_position_independent_executable;
    segments_that_are_writable_and_executable;
    segments_out_of_order;
    segments_that_overlap;
    segments_in_the_wrong_place;
    segments_with_impossible_alignments;
    segments_with_impossible_sizes;
    a_segment_that_exceeds_the_memory;
    an_entry_point_outside_the_text;
    no_segments_at_all;
    a_file_cut_anywhere;
    any_byte_of_headers_and_notes_may_be_wrong;
}

/// The good guest that most others are made from: no devices.
fn good() -> Elf {
    Elf::read(&hvt_guest("status"))
}

/// The same with two devices.
fn with_devices() -> Elf {
    Elf::read(&hvt_guest("devices"))
}

fn refused(elf: &Elf, words: &[&str]) {
    let directory = files::directory();
    let path = elf.save(directory.path());
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
    let _ = Run::elf(&path).finish().refuses(65, words).says(&[name]);
    // What is refused when it is to be run is refused when it is looked at.
    let _ = Run::elf(&path).options(["--inspect"]).finish().refuses(65, words).says(&[name]);
}

fn runs(elf: &Elf) {
    let directory = files::directory();
    let path = elf.save(directory.path());
    Run::elf(path).args(["5"]).finish().status(5).prints("status 5\n").quietly();
}

fn the_good_ones_run() {
    runs(&good());
    // The name of the file says nothing.
    let directory = files::directory();
    let path = files::file(directory.path(), "no-ending", &good().0);
    Run::elf(path).args(["5"]).finish().status(5).quietly();
    runs(&good().with_manifest_of(1));
    // Less than a page, but the text still ends with one.
    runs(&good().with_text_aligned_to(0x800));
}

fn another_target() {
    for (target, name) in OTHER_TARGETS {
        refused(&good().for_target(target), &["Solo5", name, "for hvt", "-t hvt"]);
    }
    for target in [0, 7, u32::MAX] {
        refused(&good().for_target(target), &["Solo5", "hvt"]);
    }
}

fn another_version_of_the_abi() {
    for (version, remedy) in [(1, "0.8 or later"), (3, "update ukvm-run"), (u32::MAX, "update ukvm-run")] {
        let words = [&format!("version {version} of Solo5's hvt ABI"), "version 2", remedy];
        refused(&good().for_abi_version(version), &words);
    }
}

fn a_note_that_is_missing() {
    refused(&good().without_hvt_note(ABI), &["no Solo5 ABI note"]);
    refused(&good().without_hvt_note(MANIFEST), &["no Solo5 manifest note"]);
}

fn a_note_that_is_cut_or_of_a_wrong_size() {
    for kind in [ABI, MANIFEST] {
        for length in [20, 24, 35] {
            refused(&good().with_hvt_note_cut_to(kind, length), &["malformed note segment"]);
        }
        refused(&good().with_hvt_note_cut_to(kind, 11), &["malformed note segment"]);
    }
    // Too short for its name, so that it is nobody's.
    refused(&good().with_hvt_note_cut_to(MANIFEST, 19), &["no Solo5 manifest note"]);
    for size in [0, 7, 33, u32::MAX] {
        let words = ["Solo5 ABI note of", &format!("{size} bytes"), "8 to 32"];
        refused(&good().with_hvt_descriptor_size(ABI, size), &words);
    }
    for size in [0, 11, 6669, u32::MAX] {
        let words = ["Solo5 manifest note of", &format!("{size} bytes"), "12 to 6668"];
        refused(&good().with_hvt_descriptor_size(MANIFEST, size), &words);
    }
    // Possible, but more than there is.
    refused(&good().with_hvt_descriptor_size(MANIFEST, 6668), &["malformed note segment"]);
}

fn another_version_of_the_manifest() {
    refused(&good().with_manifest_version(0), &["manifest of version 0", "version 1"]);
    refused(&good().with_manifest_version(2), &["manifest of version 2", "version 1", "update ukvm-run"]);
}

fn a_manifest_of_too_few_or_too_many_entries() {
    refused(&good().with_manifest_of(0), &["manifest with 0 entries", "1 to 64"]);
    // The note is larger than one may be.
    refused(&good().with_manifest_of(65), &["manifest", "12 to 6668"]);
    refused(&good().with_entry_count(65), &["manifest with 65 entries", "1 to 64", "63 devices"]);
    refused(&good().with_entry_count(u32::MAX), &["manifest with 4294967295 entries"]);
    // 64 are fine, and 63 disks then missing.
    let directory = files::directory();
    let path = good().with_manifest_of(64).save(directory.path());
    let _ = Run::elf(path).finish().refuses(78, &["'d1'", "--disk d1=PATH"]);
}

fn a_manifest_that_its_entries_do_not_fill() {
    refused(&good().with_entry_count(2), &["manifest of 112 bytes", "2 entries take 216"]);
    refused(&with_devices().with_entry_count(2), &["manifest of 320 bytes", "2 entries take 216"]);
}

fn a_first_entry_that_is_not_reserved() {
    refused(&good().without_reserved_entry(), &["reserved entry"]);
    refused(&good().with_named_reserved_entry(), &["reserved entry"]);
}

fn a_name_without_an_end() {
    refused(&with_devices().with_endless_name(2), &["name of more than 67 bytes", "handle 2"]);
}

fn a_device_that_is_attached_already() {
    refused(&with_devices().with_attached_entry(1), &["handle 1", "attached already"]);
}

fn a_device_of_an_unknown_type() {
    for kind in [0, 3, 0x4000_0000, u32::MAX] {
        let words = ["'both'", &format!("{kind:#x}"), "BLOCK_BASIC or NET_BASIC"];
        refused(&with_devices().with_entry_type(1, kind), &words);
    }
}

fn another_machine() {
    refused(&good().for_another_machine(), &["x86_64", "aarch64"]);
}

fn a_position_independent_executable() {
    refused(&good().position_independent(), &["position-independent", "ET_EXEC"]);
}

fn segments_that_are_writable_and_executable() {
    refused(&good().with_executable_data(), &["0x102000", "writable and executable"]);
    refused(&good().with_writable_text(), &["0x100000", "writable and executable"]);
}

fn segments_out_of_order() {
    refused(&good().with_segments_out_of_order(), &["0x100000", "after one with a higher address"]);
}

fn segments_that_overlap() {
    refused(&good().with_overlapping_segments(), &["0x100000", "overlap or share a page"]);
}

/// The same with a number of a segment changed, that at `field` of its header.
fn with(field: usize, segment: usize, value: u64) -> Elf {
    let elf = good();
    let header = elf.headers(elf::PT_LOAD)[segment];
    elf.put(header + field, &value.to_le_bytes())
}

fn segments_in_the_wrong_place() {
    for address in [0, 0x1000, 0xf_f000] {
        let words = [&format!("segment at {address:#x}"), "0x100000 to 0x100000000"];
        refused(&good().with_text_at(address), &words);
    }
    // Above 4 GiB, at the end of the lower half and of everything.
    for address in [0x1_0000_0000, 0x7fff_ffff_f000, 0xffff_ffff_ffff_e000] {
        refused(
            &with(elf::P_VADDR, 2, address),
            &[&format!("segment at {address:#x}"), "0x100000 to 0x100000000"],
        );
    }
}

fn segments_with_impossible_alignments() {
    for alignment in [0, 3, 1, 0x10, 0xfff] {
        refused(&good().with_text_aligned_to(alignment), &["0x100000", "misaligned"]);
    }
    // Rounded down to it, the text would begin at 0.
    for alignment in [2 << 20, 1 << 63] {
        refused(&good().with_text_aligned_to(alignment), &["0x100000", "not inside"]);
    }
}

fn segments_with_impossible_sizes() {
    refused(&with(elf::P_MEMSZ, 1, 1), &["0x101000", "larger in the file than in memory"]);
    for size in [u64::MAX, u64::MAX - 0x10_1000] {
        refused(&with(elf::P_MEMSZ, 1, size), &["0x101000", "wraps around"]);
    }
    refused(&with(elf::P_OFFSET, 1, 1 << 40), &["truncated"]);
    refused(&with(elf::P_OFFSET, 1, u64::MAX), &[]);
}

fn a_segment_that_exceeds_the_memory() {
    // 1 GiB does not fit into the 512 MiB that there are without an option. It covers the bss, which is not looked at.
    let elf = with(elf::P_MEMSZ, 2, 1 << 30);
    let directory = files::directory();
    let path = elf.save(directory.path());
    let _ = Run::elf(&path).finish().refuses(78, &["memory", "--mem"]);
    Run::elf(path).option("--mem", "2G").args(["6"]).finish().status(6).quietly();
}

fn an_entry_point_outside_the_text() {
    for entry in [0, 0x1000, 0xf_f000, 0x10_2000, 1 << 32, u64::MAX] {
        refused(
            &good().put(elf::E_ENTRY, &u64::to_le_bytes(entry)),
            &["entry point", &format!("{entry:#x}")],
        );
    }
}

fn no_segments_at_all() {
    let mut elf = good();
    for header in elf.headers(elf::PT_LOAD) {
        elf = elf.put(header, &0_u32.to_le_bytes());
    }
    refused(&elf, &["no loadable segment"]);
    // The same of segments that have no bytes in the file, which do not count.
    let mut elf = good();
    for header in elf.headers(elf::PT_LOAD) {
        elf = elf.put(header + elf::P_FILESZ, &0_u64.to_le_bytes());
    }
    refused(&elf, &["no loadable segment"]);
}

fn a_file_cut_anywhere() {
    let elf = good();
    let directory = files::directory();
    let path = directory.path().join("cut.hvt");
    // What lies behind the last loaded byte is symbols and sections, which nothing needs.
    let end = |at: &usize| elf.u64_at(at + elf::P_OFFSET) + elf.u64_at(at + elf::P_FILESZ);
    let needed = elf.headers(elf::PT_LOAD).iter().map(end).max().unwrap_or_default() as usize;
    let lengths = [1, 4, 63, 64, 65, 120, needed - 1];
    for length in lengths.into_iter().chain((1..16).map(|i| needed * i / 16)) {
        std::fs::write(&path, &elf.0[..length]).expect("a file");
        let _ = Run::elf(&path).finish().refuses(65, &["cut.hvt"]);
    }
    std::fs::write(&path, &elf.0[..needed]).expect("a file");
    Run::elf(&path).args(["4"]).finish().status(4).quietly();
}

/// Whatever a byte of the headers or notes is, the answer is a status of ours and at most one sentence.
fn any_byte_of_headers_and_notes_may_be_wrong() {
    let elf = with_devices();
    let directory = files::directory();
    let path = directory.path().join("wrong.hvt");
    let headers = 64 + 56 * usize::from(elf.0[elf::E_PHNUM]);
    let notes = [(ABI, 36), (MANIFEST, 32 + 3 * 104)].map(|(kind, size)| {
        let start = elf.hvt_note(kind).start;
        start..start + size
    });
    let places = (0..headers).step_by(5).chain(notes.into_iter().flatten().step_by(5));
    for (place, change) in places.zip([0x01, 0x80, 0xff].into_iter().cycle()) {
        let mut bytes = elf.0.clone();
        bytes[place] ^= change;
        std::fs::write(&path, &bytes).expect("a file");
        // It lacks its devices where nothing else is wrong with it.
        let ended = Run::elf(&path).finish();
        let status = if ended.code() == Some(78) { 78 } else { 65 };
        let _ = ended.refuses(status, &[]);
    }
}
