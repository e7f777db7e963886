//! Files that are almost right: never a panic, and never a place outside the memory.

use super::boot::BootBlock;
use super::builder::Builder;
use super::image::{Image, PLACE};
use super::layout::{RingPlace, lay_out};
use crate::elf::builder::file_of;
use crate::memory::Memory;
use std::os::unix::fs::FileExt;
use vmm_sys_util::tempfile::TempFile;

/// Opens, lays out and loads the file, as a run does.
fn try_all(file: &TempFile, memory: &mut Memory) -> bool {
    let image = match Image::open(file.as_path()) {
        Ok(image) => image,
        Err(error) => {
            let sentence = error.to_string();
            assert!(sentence.contains([';', ':']) && !sentence.ends_with('.'), "{sentence}");
            assert!(!sentence.contains(|c: char| c.is_control()), "{sentence:?}");
            return false;
        }
    };
    let mut end = PLACE.start;
    for segment in image.segments() {
        let pages = &segment.pages;
        assert!(pages.start >= end && pages.end > pages.start && pages.end <= PLACE.end, "{pages:x?}");
        assert!(pages.start.is_multiple_of(4096) && pages.end.is_multiple_of(4096), "{pages:x?}");
        assert!(segment.address >= pages.start && segment.address + segment.file_size <= pages.end);
        assert!(!segment.rights.is_some_and(|rights| rights.write && rights.execute));
        end = pages.end;
    }
    assert!(image.manifest().devices.len() <= 63);
    let Ok(layout) = lay_out(image.segments(), memory.size(), Some(RingPlace::Inside)) else {
        assert!(end > memory.size() - (2 << 20));
        return true;
    };
    assert!(layout.translate(image.entry(), 1, false).is_some());
    image.load(memory).unwrap();
    let boot = BootBlock::new(image.notes(), &[], &[]).unwrap();
    boot.write(memory, &layout, 1).unwrap();
    let _ = image.symbols().find(image.entry());
    true
}

/// Has the file tried with each of `wrong` at each place, `N` bytes at a time.
fn change<const N: usize>(wrong: impl Fn([u8; N]) -> Vec<[u8; N]>) {
    let mut memory = Memory::new(8 << 20).unwrap();
    let bytes = Builder::new().build();
    let file = file_of(&bytes);
    assert!(try_all(&file, &mut memory), "as it is");
    for (index, chunk) in bytes.as_chunks::<N>().0.iter().enumerate() {
        let at = (index * N) as u64;
        for wrong in wrong(*chunk) {
            file.as_file().write_all_at(&wrong, at).unwrap();
            try_all(&file, &mut memory);
        }
        file.as_file().write_all_at(chunk, at).unwrap();
    }
}

#[test]
fn any_byte_may_be_wrong() {
    change(|[byte]| [!byte, byte ^ 1, byte ^ 0x80, byte.wrapping_add(4)].map(|wrong| [wrong]).to_vec());
}

#[test]
fn any_word_may_be_wrong() {
    let words =
        [0, 1, 0xfff, 0x10_0000, 0x10_1000, 1 << 32, 1 << 47, i64::MAX as u64, 1 << 63, u64::MAX - 4095];
    change(|_| words.iter().chain(&[u64::MAX]).map(|word| word.to_le_bytes()).collect());
}

#[test]
fn the_file_may_end_anywhere() {
    let mut memory = Memory::new(8 << 20).unwrap();
    let length = Builder::new().build().len() as u64;
    let file = file_of(&Builder::new().build());
    for length in (0..length).rev() {
        file.as_file().set_len(length).unwrap();
        assert!(!try_all(&file, &mut memory), "the manifest is its end: {length:#x}");
    }
}
