//! The rings' memory, for one thread.

use std::cell::Cell;
use ukvm_abi::ring::{
    COMPLETION_HEAD, COMPLETION_TAIL, SUBMISSION_HEAD, SUBMISSION_TAIL, Shape, SharedWords,
};

/// Shared memory that panics at an access that is not inside or not aligned.
pub(crate) struct Words(Vec<Cell<u32>>);

impl Words {
    /// Memory for rings that `index` entries have gone through.
    pub(crate) fn new(shape: Shape, index: u32) -> Self {
        let words = Self(vec![Cell::new(0); shape.area_size() / 4]);
        for field in [SUBMISSION_TAIL, COMPLETION_HEAD, SUBMISSION_HEAD, COMPLETION_TAIL] {
            words.cell(field).set(index);
        }
        words
    }

    pub(crate) fn cell(&self, offset: usize) -> &Cell<u32> {
        assert!(offset.is_multiple_of(4), "{offset}");
        &self.0[offset / 4]
    }

    /// How many 32-bit words there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl SharedWords for &Words {
    fn load_u32_acquire(&self, offset: usize) -> u32 {
        self.cell(offset).get()
    }
    fn store_u32_release(&self, offset: usize, value: u32) {
        self.cell(offset).set(value);
    }
    fn load_u64_acquire(&self, offset: usize) -> u64 {
        assert!(offset.is_multiple_of(8), "{offset}");
        u64::from(self.cell(offset).get()) | u64::from(self.cell(offset + 4).get()) << 32
    }
    fn store_u64_release(&self, offset: usize, value: u64) {
        assert!(offset.is_multiple_of(8), "{offset}");
        self.cell(offset).set(value as u32);
        self.cell(offset + 4).set((value >> 32) as u32);
    }
}

/// The shape and the start that two bytes and a word choose: small rings, and a start near the wrap more often than not.
pub(crate) fn choose(input: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<(Shape, u32)> {
    let sizes = input.arbitrary::<u8>()?;
    let shape = Shape::new(2 << (sizes & 3), 2 << (sizes >> 2 & 3)).expect("powers of two");
    let start = match input.arbitrary::<u8>()? {
        below @ 1..=127 => 0_u32.wrapping_sub(below.into()),
        0 => 0,
        _ => input.arbitrary()?,
    };
    Ok((shape, start))
}
