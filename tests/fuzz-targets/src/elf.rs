//! A file that may hold any bytes: from opening it to a guest that could start.

#[path = "../../../monitor/src/elf/builder.rs"]
#[allow(dead_code, reason = "the monitor's own tests use the rest")]
#[rustfmt::skip]
mod builder;

use builder::Builder;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use ukvm::elf::symbols::Symbols;
use ukvm::elf::{self, ElfError, Image};
use ukvm::layout::{LOWEST, Layout, Wishes};
use ukvm::memory::{Memory, PAGE};
use ukvm::paging::Tables;
use ukvm_abi::ring::AREA_SIZE;

/// The most memory in bytes that a file gets.
const MEMORY: u64 = 64 << 20;

/// Has `data` opened as a program, laid out and loaded.
///
/// # Panics
///
/// Where it is neither loaded nor refused with a sentence, or where what it asks for breaks what holds of every guest.
pub fn run(data: &[u8]) {
    let file = memfd_create(c"program", MFdFlags::MFD_CLOEXEC).expect("a file in memory");
    let mut file = File::from(file);
    file.write_all(data).expect("the bytes are written");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Ok(Some(tests)) = elf::tests(Path::new(&path)) {
        assert!(tests.iter().all(|test| !test.name.is_empty() && !test.name.contains(char::is_control)));
    }
    match Image::open(Path::new(&path)) {
        Ok(image) => start(&image),
        Err(error) => {
            let sentence = error.to_string();
            assert!(sentence.contains([';', ':']) && !sentence.ends_with('.'), "{sentence}");
            assert!(!sentence.contains(|c: char| c.is_control()), "{sentence:?}");
        }
    }
}

/// What the monitor does with a program before it needs KVM.
fn start(image: &Image) {
    let span = image.span();
    assert!(!span.is_empty() && (image.is_pie() || span.start >= LOWEST));
    let mut end = span.start;
    for (pages, rights) in image.pages() {
        assert!(end <= pages.start && pages.start < pages.end && pages.end <= span.end, "{pages:x?}");
        assert!(pages.start.is_multiple_of(PAGE) && pages.end.is_multiple_of(PAGE), "{pages:x?}");
        assert!(!(rights.write && rights.execute));
        end = pages.end;
    }
    assert_eq!(end, span.end);
    let symbols = Symbols::read(image);
    for address in [0, image.entry(), span.end, u64::MAX] {
        let _ = symbols.find(address);
    }
    let wishes = Wishes {
        memory: MEMORY,
        span,
        pages: image.pages(),
        movable: image.is_pie(),
        alignment: image.alignment(),
        info: 1000,
        rings: AREA_SIZE as u64,
        stack: image.manifest().stack_size,
        mappings: Vec::new(),
    };
    let Ok(layout) = Layout::new(&wishes, |below| below / 3) else { return };
    let mut end = LOWEST;
    for area in &layout.areas {
        assert!(end <= area.gpa.start && area.gpa.end <= MEMORY, "{layout:x?}");
        assert!(!(area.rights.write && area.rights.execute));
        end = area.gpa.end;
    }
    let entry = image.entry().wrapping_add(layout.bias);
    assert!(layout.translate(entry, 1, false).is_some(), "{layout:x?}");
    let size = layout.tables.end - layout.tables.start;
    let (mut memory, behind) = Memory::with_tail(layout.memory, size).expect("memory");
    Tables::new(&layout, behind, false).expect("page tables for what is laid out");
    image.load(&mut memory, layout.image.start, layout.bias).expect("all was checked before");
    let outside = layout.image.start - 8;
    assert_eq!(memory.word(outside).expect("it is inside the memory"), 0, "below the image");
    assert_eq!(memory.word(layout.image.end).expect("it is inside the memory"), 0, "above the image");
}

/// A program for any address with symbols, and one for fixed ones without.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut movable = Builder::new();
    movable.set_symbols(&[("_ZN5guest4main17h0123456789abcdefE", 2, 0x1000, 8), ("data", 1, 0x2000, 8)]);
    vec![movable.build(), Builder::fixed(0x40_0000).build()]
}

/// The seeds' builder, for other targets.
pub(crate) fn with_notes(notes: &[u8], align: usize) -> Vec<u8> {
    let mut builder = Builder::new();
    builder.notes = notes.to_vec();
    builder.headers[builder::NOTE].p_filesz = notes.len() as u64;
    builder.headers[builder::NOTE].p_align = align as u64;
    builder.build()
}
