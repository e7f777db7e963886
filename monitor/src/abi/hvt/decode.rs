//! The privileged instructions that a start-up for privilege level 0 contains, found in the bytes at which the guest trapped.
//!
//! The decoder knows 64-bit mode only and is strict: what it does not know in full, it does not know. It takes no prefix but REX, and
//! the operand-size prefix where it changes nothing; no segment override, so that a memory operand's linear address is its
//! effective address.
//!
//! Sources: AMD64 Architecture Programmer's Manual, volume 3, sections 1.2 (prefixes), 1.4 (ModRM and SIB) and 1.7 (RIP-relative
//! addresses), chapter 4 (system instructions), and the opcode maps of appendix A.

use kvm_bindings::kvm_regs;

/// The most bytes of one instruction (volume 3, section 1.1).
pub const MAX_LENGTH: usize = 15;

/// Operand size.
const OPERAND_SIZE: u8 = 0x66;
/// REX prefixes are 0x40 to 0x4f; the low bits extend the operand size and the three register numbers (volume 3, section 1.2.7).
const REX: u8 = 0x40;
const REX_W: u8 = 8;
const REX_R: u8 = 4;
const REX_X: u8 = 2;
const REX_B: u8 = 1;

/// A decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What it does.
    pub instruction: Instruction,
    /// Its bytes: 1 to [`MAX_LENGTH`].
    pub length: u64,
}

/// What an instruction does, with resolved operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `wrmsr`
    WriteMsr,
    /// `rdmsr`
    ReadMsr,
    /// `lgdt`
    LoadGlobalTable {
        /// Where limit and base are.
        address: u64,
    },
    /// `lidt`
    LoadInterruptTable {
        /// Where limit and base are.
        address: u64,
    },
    /// `lldt`
    LoadLocalTable(Operand),
    /// `ltr`
    LoadTask(Operand),
    /// `lretq`
    FarReturn,
    /// `iretq`
    InterruptReturn,
    /// `mov` to a segment register
    LoadSegment(Segment, Operand),
    /// `pop` to a segment register
    PopSegment(Segment),
    /// `mov` from a control register
    ReadControl {
        /// The control register: 0, 2, 3, 4 or 8.
        control: u8,
        /// The general register.
        register: u8,
    },
    /// `mov` to a control register
    WriteControl {
        /// The control register: 0, 2, 3, 4 or 8.
        control: u8,
        /// The general register.
        register: u8,
    },
    /// `hlt`
    Halt,
    /// `cli`
    DisableInterrupts,
    /// `sti`
    EnableInterrupts,
    /// `clts`
    ClearTaskSwitched,
    /// `invlpg`
    InvalidatePage,
    /// `wbinvd`
    WriteBackCaches,
    /// `swapgs`
    SwapGs,
}

/// Where a 16-bit operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The low 16 bits of this general register.
    Register(u8),
    /// At this linear address.
    Memory(u64),
}

/// A segment register that can be loaded with `mov`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// ES
    Es,
    /// SS
    Ss,
    /// DS
    Ds,
    /// FS
    Fs,
    /// GS
    Gs,
}

/// The instruction at the start of `bytes`, if it is one of [`Instruction`]. `registers` are those with which it would run, RIP included.
#[must_use]
pub fn decode(bytes: &[u8], registers: &kvm_regs) -> Option<Decoded> {
    let mut reader = Reader { bytes: bytes.get(..MAX_LENGTH).unwrap_or(bytes), length: 0 };
    let mut opcode = reader.byte()?;
    let sized = opcode == OPERAND_SIZE;
    if sized {
        opcode = reader.byte()?;
    }
    let mut rex = 0;
    if opcode & 0xf0 == REX {
        rex = opcode;
        opcode = reader.byte()?;
    }
    let wide = rex & REX_W != 0;
    let instruction = match (opcode, sized) {
        (0x0f, _) => reader.two_bytes(sized, rex, registers)?,
        (0x8e, _) => {
            let form = reader.form(rex, registers)?;
            Instruction::LoadSegment(segment(form.reg)?, form.operand)
        }
        (0xcb, false) if wide => Instruction::FarReturn,
        (0xcf, false) if wide => Instruction::InterruptReturn,
        (0xf4, false) => Instruction::Halt,
        (0xfa, false) => Instruction::DisableInterrupts,
        (0xfb, false) => Instruction::EnableInterrupts,
        _ => return None,
    };
    Some(Decoded { instruction, length: reader.length })
}

/// The mnemonic of the instruction at the start of `bytes` if it is privileged, loads a segment register, calls an operating system or
/// uses a port, whatever its prefixes. [`decode`] knows some of them.
#[must_use]
pub fn mnemonic(bytes: &[u8]) -> Option<&'static str> {
    // Volume 3, table 1-1: legacy prefixes.
    const PREFIXES: [u8; 11] = [0x66, 0x67, 0x2e, 0x3e, 0x26, 0x64, 0x65, 0x36, 0xf0, 0xf2, 0xf3];
    let mut bytes = bytes;
    while let Some((_, rest)) = bytes.split_first().filter(|(first, _)| PREFIXES.contains(first)) {
        bytes = rest;
    }
    if let Some((_, rest)) = bytes.split_first().filter(|(first, _)| **first & 0xf0 == REX) {
        bytes = rest;
    }
    let extension = |modrm: &u8| modrm >> 3 & 7;
    Some(match bytes {
        [0x0f, 0x00, modrm, ..] if extension(modrm) == 2 => "lldt",
        [0x0f, 0x00, modrm, ..] if extension(modrm) == 3 => "ltr",
        [0x0f, 0x01, modrm @ 0xc0..=0xff, ..] => match modrm {
            0xc8 => "monitor",
            0xc9 => "mwait",
            0xca => "clac",
            0xcb => "stac",
            0xd1 => "xsetbv",
            0xd8..=0xdf => "an instruction of the virtualisation extensions",
            0xf0..=0xf7 => "lmsw",
            0xf8 => "swapgs",
            _ => return None,
        },
        [0x0f, 0x01, modrm, ..] => match extension(modrm) {
            2 => "lgdt",
            3 => "lidt",
            6 => "lmsw",
            7 => "invlpg",
            _ => return None,
        },
        [0x0f, 0x06, ..] => "clts",
        [0x0f, 0x07, ..] => "sysret",
        [0x0f, 0x08, ..] => "invd",
        [0x0f, 0x09, ..] => "wbinvd",
        [0x0f, 0x20 | 0x22, ..] => "mov of a control register",
        [0x0f, 0x21 | 0x23, ..] => "mov of a debug register",
        [0x0f, 0x30, ..] => "wrmsr",
        [0x0f, 0x32, ..] => "rdmsr",
        [0x0f, 0x33, ..] => "rdpmc",
        [0x0f, 0x34, ..] => "sysenter",
        [0x0f, 0x35, ..] => "sysexit",
        [0x0f, 0x38, 0x82, ..] => "invpcid",
        [0x0f, 0xa1, ..] => "pop fs",
        [0x0f, 0xa9, ..] => "pop gs",
        [0x0f, 0xb2, ..] => "lss",
        [0x0f, 0xb4, ..] => "lfs",
        [0x0f, 0xb5, ..] => "lgs",
        [0x6c | 0x6d | 0xe4 | 0xe5 | 0xec | 0xed, ..] => "in",
        [0x6e | 0x6f | 0xe6 | 0xe7 | 0xee | 0xef, ..] => "out",
        [0x8e, ..] => "mov to a segment register",
        [0xca | 0xcb, ..] => "lret",
        [0xcd, ..] => "int",
        [0xcf, ..] => "iret",
        [0xf4, ..] => "hlt",
        [0xfa, ..] => "cli",
        [0xfb, ..] => "sti",
        [0xff, modrm, ..] if extension(modrm) == 3 => "lcall",
        [0xff, modrm, ..] if extension(modrm) == 5 => "ljmp",
        _ => return None,
    })
}

/// The general register with this number, of which the low 4 bits count (volume 3, section 1.4.4).
#[must_use]
pub const fn register_mut(registers: &mut kvm_regs, number: u8) -> &mut u64 {
    match number & 15 {
        0 => &mut registers.rax,
        1 => &mut registers.rcx,
        2 => &mut registers.rdx,
        3 => &mut registers.rbx,
        4 => &mut registers.rsp,
        5 => &mut registers.rbp,
        6 => &mut registers.rsi,
        7 => &mut registers.rdi,
        8 => &mut registers.r8,
        9 => &mut registers.r9,
        10 => &mut registers.r10,
        11 => &mut registers.r11,
        12 => &mut registers.r12,
        13 => &mut registers.r13,
        14 => &mut registers.r14,
        _ => &mut registers.r15,
    }
}

/// The value of the general register with this number.
#[must_use]
pub const fn register(registers: &kvm_regs, number: u8) -> u64 {
    let mut copy = *registers;
    *register_mut(&mut copy, number)
}

/// The segment register with this number (volume 3, table 1-11); CS cannot be loaded so.
const fn segment(number: u8) -> Option<Segment> {
    Some(match number {
        0 => Segment::Es,
        2 => Segment::Ss,
        3 => Segment::Ds,
        4 => Segment::Fs,
        5 => Segment::Gs,
        _ => return None,
    })
}

/// A ModRM byte with what belongs to it.
struct Form {
    /// The register number, or with its low 3 bits the opcode's extension.
    reg: u8,
    operand: Operand,
}

impl Form {
    const fn extension(&self) -> u8 {
        self.reg & 7
    }
}

/// Takes an instruction's bytes one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    /// How many bytes were taken.
    length: u64,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        self.length += 1;
        Some(first)
    }

    /// A displacement of 8 bits, sign-extended.
    fn displacement8(&mut self) -> Option<u64> {
        Some(i64::from(self.byte()? as i8) as u64)
    }

    /// A displacement of 32 bits, sign-extended.
    fn displacement32(&mut self) -> Option<u64> {
        let bytes = [self.byte()?, self.byte()?, self.byte()?, self.byte()?];
        Some(i64::from(i32::from_le_bytes(bytes)) as u64)
    }

    /// What follows the byte 0x0f.
    fn two_bytes(&mut self, sized: bool, rex: u8, registers: &kvm_regs) -> Option<Instruction> {
        Some(match (self.byte()?, sized) {
            // The operand is of 16 bits with any prefix.
            (0x00, _) => {
                let form = self.form(rex, registers)?;
                match form.extension() {
                    2 => Instruction::LoadLocalTable(form.operand),
                    3 => Instruction::LoadTask(form.operand),
                    _ => return None,
                }
            }
            (0x01, false) => {
                let form = self.form(rex, registers)?;
                match (form.extension(), form.operand) {
                    (2, Operand::Memory(address)) => Instruction::LoadGlobalTable { address },
                    (3, Operand::Memory(address)) => Instruction::LoadInterruptTable { address },
                    (7, Operand::Memory(_)) => Instruction::InvalidatePage,
                    (7, Operand::Register(number)) if number & 7 == 0 => Instruction::SwapGs,
                    _ => return None,
                }
            }
            (0x06, false) => Instruction::ClearTaskSwitched,
            (0x09, false) => Instruction::WriteBackCaches,
            (opcode @ (0x20 | 0x22), false) => {
                let form = self.form(rex, registers)?;
                match (form.reg, form.operand) {
                    (control @ (0 | 2 | 3 | 4 | 8), Operand::Register(register)) if opcode == 0x20 => {
                        Instruction::ReadControl { control, register }
                    }
                    (control @ (0 | 2 | 3 | 4 | 8), Operand::Register(register)) => {
                        Instruction::WriteControl { control, register }
                    }
                    _ => return None,
                }
            }
            (0x30, false) => Instruction::WriteMsr,
            (0x32, false) => Instruction::ReadMsr,
            (0xa1, false) => Instruction::PopSegment(Segment::Fs),
            (0xa9, false) => Instruction::PopSegment(Segment::Gs),
            _ => return None,
        })
    }

    /// Takes a ModRM byte, with SIB byte and displacement. None of our instructions has an immediate operand, so the instruction ends here.
    fn form(&mut self, rex: u8, registers: &kvm_regs) -> Option<Form> {
        let extended = |number: u8, bit: u8| if rex & bit == 0 { number } else { number | 8 };
        let modrm = self.byte()?;
        let (mode, rm) = (modrm >> 6, modrm & 7);
        let reg = extended(modrm >> 3 & 7, REX_R);
        if mode == 3 {
            return Some(Form { reg, operand: Operand::Register(extended(rm, REX_B)) });
        }
        let base = |number| register(registers, extended(number, REX_B));
        let mut address = match (mode, rm) {
            (_, 4) => {
                let sib = self.byte()?;
                // Register 4 as index means none; REX.X makes it R12.
                let scaled = match extended(sib >> 3 & 7, REX_X) {
                    4 => 0,
                    index => register(registers, index) << (sib >> 6),
                };
                let base = match sib & 7 {
                    5 if mode == 0 => self.displacement32()?,
                    number => base(number),
                };
                base.wrapping_add(scaled)
            }
            // Relative to the next instruction.
            (0, 5) => {
                let displacement = self.displacement32()?;
                registers.rip.wrapping_add(displacement).wrapping_add(self.length)
            }
            (_, number) => base(number),
        };
        address = match mode {
            1 => address.wrapping_add(self.displacement8()?),
            2 => address.wrapping_add(self.displacement32()?),
            _ => address,
        };
        Some(Form { reg, operand: Operand::Memory(address) })
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
