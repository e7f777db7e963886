//! What is in guest memory after loading.

use super::builder::*;
use super::*;
use crate::error::ErrorKind;
use linux_loader::elf;
use vm_memory::{Bytes, VolatileMemory};

const GPA: u64 = 0x3000;

fn memory() -> Memory {
    Memory::new(0x1_0000).unwrap()
}

fn words(memory: &Memory, address: u64) -> [u64; 8] {
    let slice = memory.at(GPA + address..GPA + address + 64).unwrap();
    std::array::from_fn(|i| slice.get_ref::<u64>(i * 8).unwrap().load())
}

#[test]
fn a_static_pie_is_relocated_by_its_bias() {
    let bias = 0x5555_0000_0000;
    let (mut memory, image) = (memory(), Builder::new().open().unwrap());
    image.load(&mut memory, GPA, bias).unwrap();
    let expected =
        [0x1008 + bias, 0x2000 + bias, 0x1002 + bias, 0x1003 + bias, 0x74, 0x75, 0x1006 + bias, 0x77];
    assert_eq!(words(&memory, WORDS_ADDRESS), expected);
    assert_eq!(words(&memory, 0x1000)[..3], [0xcccc_cccc_cccc_cccc, 0xcccc_cccc_cccc_cccc, 0]);
    assert_eq!(words(&memory, WORDS_ADDRESS + 64), [0; 8], "bss");
    let mut below = [1; GPA as usize];
    memory.at(0..GPA).unwrap().read_slice(&mut below, 0).unwrap();
    assert_eq!(below, [0; GPA as usize], "nothing is written below the image");
}

#[test]
fn a_bias_may_be_negative() {
    let mut builder = Builder::new();
    for header in &mut builder.headers {
        header.p_vaddr += 0x20_0000;
    }
    builder.header.e_entry += 0x20_0000;
    builder.rela[0] = [WORDS_ADDRESS + 0x20_0000, 8, 0x20_1008];
    builder.rela.truncate(1);
    builder.relr.clear();
    builder.dynamic = builder.tags();
    builder.dynamic.iter_mut().filter(|entry| entry.0 == elf::DT_RELA).for_each(|entry| entry.1 += 0x20_0000);
    let (mut memory, image) = (memory(), builder.open().unwrap());
    image.load(&mut memory, GPA, 0x1_0000_u64.wrapping_sub(0x20_0000)).unwrap();
    assert_eq!(words(&memory, WORDS_ADDRESS)[0], 0x1_1008);
}

#[test]
fn fixed_addresses_stay() {
    let mut builder = Builder::fixed(0x40_0000);
    builder.add(elf::PT_DYNAMIC, 0x40_2000, 0x450, 0x110);
    builder.rela = vec![[0x40_2000 + (WORDS_ADDRESS - DATA_ADDRESS), 8, 0x40_1008], [0, 0, 0]];
    builder.dynamic =
        vec![(elf::DT_RELA, 0x40_0180), (elf::DT_RELASZ, 48), (elf::DT_RELAENT, 24), (elf::DT_NULL, 0)];
    let (mut memory, image) = (memory(), builder.open().unwrap());
    image.load(&mut memory, GPA, 0).unwrap();
    assert_eq!(words(&memory, WORDS_ADDRESS), [0x40_1008, 0x71, 0x1002, 0x1003, 0x74, 0x75, 0x1006, 0x77]);
}

#[test]
fn a_bitmap_reaches_63_words_and_the_next_goes_on_from_there() {
    let mut builder = Builder::new();
    let first = 0x3000;
    // Words 0; 1 and 63; 64 and 126.
    let edges = 1 << 63 | 0b11;
    builder.relr = vec![first, edges, edges];
    builder.rela.clear();
    builder.dynamic = builder.tags();
    let (mut memory, image) = (memory(), builder.open().unwrap());
    image.load(&mut memory, GPA, 0x1000).unwrap();
    let changed: Vec<u64> = (0..200)
        .filter(|i| memory.get_ref::<u64>((GPA + first + i * 8) as usize).unwrap().load() == 0x1000)
        .collect();
    assert_eq!(changed, [0, 1, 63, 64, 126]);
}

#[test]
fn tables_larger_than_a_piece_are_read_to_the_end() {
    let count = 2000_u64;
    let mut builder = Builder::new();
    let mut bytes = builder.build();
    // The table goes behind everything else, in a segment of its own.
    let offset = bytes.len() as u64;
    builder.add(elf::PT_LOAD, 0x10_0000, offset, count * 24).p_align = 16;
    builder.headers.swap(NOTE, 7);
    builder.headers[WRITE].p_memsz = 0x2000 + count * 8;
    builder.headers[RELRO].p_type = elf::PT_NULL;
    builder.dynamic = vec![
        (elf::DT_RELA, 0x10_0000),
        (elf::DT_RELASZ, count * 24),
        (elf::DT_RELAENT, 24),
        (elf::DT_NULL, 0),
    ];
    bytes = builder.build();
    for i in 0..count {
        bytes.extend([0x4000 + i * 8, 8, i].into_iter().flat_map(u64::to_le_bytes));
    }
    let image = open_bytes(&bytes).unwrap();
    let mut memory = Memory::new(0x20_0000).unwrap();
    image.load(&mut memory, 0, 0x1000).unwrap();
    for i in 0..count {
        assert_eq!(memory.get_ref::<u64>((0x4000 + i * 8) as usize).unwrap().load(), i + 0x1000);
    }
}

#[test]
fn memory_that_is_too_small_is_left_alone() {
    let image = Builder::new().open().unwrap();
    let mut memory = Memory::new(0x7000).unwrap();
    for gpa in [GPA, 0x8000, u64::MAX - 0xfff] {
        let error = image.load(&mut memory, gpa, 0).unwrap_err();
        assert_eq!(error.defect().kind(), ErrorKind::BadConfig);
        assert!(error.to_string().contains("takes 20480 bytes of memory"), "{error}");
    }
    assert!(image.load(&mut memory, 0x2000, 0).is_ok());
}

#[test]
fn a_file_that_shrinks_after_it_was_opened_is_truncated() {
    let file = file_of(&Builder::new().build());
    let image = Image::open(file.as_path()).unwrap();
    file.as_file().set_len(0x560).unwrap();
    let error = image.load(&mut memory(), GPA, 0).unwrap_err().to_string();
    assert!(
        error.contains("is truncated: its segment data ends at byte 1440 and the file at byte 1376"),
        "{error}"
    );
}
