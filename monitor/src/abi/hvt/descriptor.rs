//! Entries of the tables that a program for privilege level 0 makes: segment descriptors and gates.
//!
//! Source: AMD64 Architecture Programmer's Manual, volume 2, sections 4.7 and 4.8, and 8.2 for the exceptions.

/// An 8-byte segment descriptor, or the first half of a system descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor(pub u64);

impl Descriptor {
    const fn bit(self, number: u32) -> bool {
        self.0 >> number & 1 != 0
    }

    /// The segment can be used (P).
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.bit(47)
    }

    /// The privilege level (DPL).
    #[must_use]
    pub const fn privilege(self) -> u8 {
        (self.0 >> 45 & 3) as u8
    }

    /// A code segment (S, and the type's bit 3).
    #[must_use]
    pub const fn is_code(self) -> bool {
        self.bit(44) && self.bit(43)
    }

    /// A code segment for 64-bit mode (L, and no D).
    #[must_use]
    pub const fn is_64_bit(self) -> bool {
        self.bit(53) && !self.bit(54)
    }

    /// A data segment that can be written, as a stack must be.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.bit(44) && !self.bit(43) && self.bit(41)
    }

    /// A data segment, or a code segment that can be read.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.bit(44) && (!self.bit(43) || self.bit(41))
    }

    /// A 64-bit TSS that no processor uses.
    #[must_use]
    pub const fn is_available_task(self) -> bool {
        self.0 >> 40 & 0x1f == 9
    }

    /// The same TSS, in use.
    #[must_use]
    pub const fn busy(self) -> Self {
        Self(self.0 | 1 << 41)
    }

    /// The lower 32 bits of the base.
    #[must_use]
    pub const fn base(self) -> u64 {
        self.0 >> 16 & 0xff_ffff | self.0 >> 32 & 0xff00_0000
    }

    /// The highest offset, in bytes.
    #[must_use]
    pub const fn limit(self) -> u64 {
        let limit = self.0 & 0xffff | self.0 >> 32 & 0xf_0000;
        if self.bit(55) { limit << 12 | 0xfff } else { limit }
    }
}

/// A 16-byte gate of the IDT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The code segment.
    pub selector: u16,
    /// The number of the stack in the TSS, 1 to 7; 0: the current one.
    pub stack: u8,
    /// A trap gate, which leaves interrupts on, rather than an interrupt gate.
    pub trap: bool,
    /// Where the handler starts.
    pub offset: u64,
}

impl Gate {
    /// The gate in these bytes, if it can be used.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Option<Self> {
        let [o0, o1, s0, s1, stack, attributes, o2, o3, o4, o5, o6, o7, ..] = bytes;
        // Present, and the type with the bit before it, which is 0; the privilege level between them is for outer levels.
        let trap = match attributes & 0x9f {
            0x8e => false,
            0x8f => true,
            _ => return None,
        };
        Some(Self {
            selector: u16::from_le_bytes([s0, s1]),
            stack: stack & 7,
            trap,
            offset: u64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
        })
    }
}
