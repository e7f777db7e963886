//! Files that are almost right: never a panic, and never a place outside the memory.

use super::builder::*;
use super::symbols::Symbols;
use super::*;
use std::os::unix::fs::FileExt;

/// Opens, looks at and loads the file, as a run does.
fn try_all(file: &vmm_sys_util::tempfile::TempFile, memory: &mut Memory) -> bool {
    let image = match Image::open(file.as_path()) {
        Ok(image) => image,
        Err(error) => {
            let sentence = error.to_string();
            assert!(sentence.contains([';', ':']) && !sentence.ends_with('.'), "{sentence}");
            return false;
        }
    };
    let span = image.span();
    assert!(!span.is_empty() && (image.is_pie() || span.start >= crate::layout::LOWEST));
    let mut end = span.start;
    for (pages, rights) in image.pages() {
        assert!(pages.start >= end && pages.end > pages.start && pages.end <= span.end, "{pages:x?}");
        assert!(pages.start.is_multiple_of(4096) && pages.end.is_multiple_of(4096), "{pages:x?}");
        assert!(!(rights.write && rights.execute));
        end = pages.end;
    }
    assert_eq!(end, span.end);
    let bias = if image.is_pie() { image.alignment() } else { 0 };
    if let Err(error) = image.load(memory, 0x1000, bias) {
        assert!(error.to_string().contains("bytes of memory"), "all else was checked before: {error}");
    }
    let symbols = Symbols::read(&image);
    for address in [0, image.entry(), span.end, u64::MAX] {
        let _ = symbols.find(address);
    }
    true
}

fn files() -> [Vec<u8>; 2] {
    [Builder::new(), Builder::fixed(0x40_0000)].map(|mut builder| {
        builder.set_symbols(&[("_ZN5guest4main17h0123456789abcdefE", 2, 0x1000, 8), ("data", 1, 0x2000, 8)]);
        builder.build()
    })
}

#[test]
fn any_byte_may_be_wrong() {
    let mut memory = Memory::new(0x1_0000).unwrap();
    for bytes in files() {
        let file = file_of(&bytes);
        assert!(try_all(&file, &mut memory), "as it is");
        for (at, &byte) in bytes.iter().enumerate() {
            for wrong in [!byte, byte ^ 1, byte ^ 0x80, byte.wrapping_add(4)] {
                file.as_file().write_all_at(&[wrong], at as u64).unwrap();
                try_all(&file, &mut memory);
            }
            file.as_file().write_all_at(&[byte], at as u64).unwrap();
        }
    }
}

#[test]
fn any_word_may_be_wrong() {
    let mut memory = Memory::new(0x1_0000).unwrap();
    for bytes in files() {
        let file = file_of(&bytes);
        for (index, chunk) in bytes.chunks_exact(8).enumerate() {
            for wrong in [0, 1, 0xfff, 1 << 32, 1 << 47, i64::MAX as u64, 1 << 63, u64::MAX - 4095, u64::MAX]
            {
                file.as_file().write_all_at(&wrong.to_le_bytes(), index as u64 * 8).unwrap();
                try_all(&file, &mut memory);
            }
            file.as_file().write_all_at(chunk, index as u64 * 8).unwrap();
        }
    }
}

#[test]
fn the_file_may_end_anywhere() {
    let mut memory = Memory::new(0x1_0000).unwrap();
    for bytes in files() {
        let file = file_of(&bytes);
        for length in (0..bytes.len()).rev() {
            file.as_file().set_len(length as u64).unwrap();
            // Behind the segments there is only the symbol table, which is not needed.
            assert_eq!(try_all(&file, &mut memory), length >= 0x5a0, "{length:#x}");
        }
    }
}
