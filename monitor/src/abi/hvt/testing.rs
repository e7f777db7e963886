//! A guest for the tests of its virtual processor: memory, tables, registers.

use super::access::{GP, GuestBytes};
use super::cpu::{Exception, IOPL_3, Trap, VirtualCpu};
use super::decode::MAX_LENGTH;
use super::segments::Table;
use crate::paging::{Frame, USER_CODE, USER_DATA};
use kvm_bindings::kvm_regs;
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// The program's text, which can only be read; data, in which the tables are; a stack and one of the interrupt stack table.
pub(super) const START: u64 = 0x10_0000;
pub(super) const WRITABLE: u64 = 0x10_4000;
pub(super) const END: u64 = 0x11_0000;
pub(super) const PROGRAM: Range<u64> = START..0x10_5000;
pub(super) const GDT: u64 = 0x10_5000;
pub(super) const IDT: u64 = 0x10_6000;
pub(super) const TSS: u64 = 0x10_7000;
pub(super) const STACK: u64 = 0x10_a000;
pub(super) const IST: u64 = 0x10_b008;
pub(super) const HANDLERS: u64 = 0x10_1000;
pub(super) const RIP: u64 = 0x10_0100;

pub(super) const TASK: u16 = 0x18;
pub(super) const CODE_64: u64 = 0x00af_9900_0000_ffff;
pub(super) const DATA_SEGMENT: u64 = 0x00cf_9300_0000_ffff;
pub(super) const PRESENT_BIT: u64 = 1 << 47;
pub(super) const LEVEL_3: u64 = 3 << 45;

/// RFLAGS with which the processor runs the guest: IOPL 3.
pub(super) const RUNNING: u64 = 0x3002;

pub(super) struct Ram {
    pub(super) bytes: RefCell<Vec<u8>>,
    pub(super) accesses: Cell<usize>,
}

impl GuestBytes for Ram {
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        self.accesses.set(self.accesses.get() + 1);
        let memory = self.bytes.borrow();
        let Some(found) = range(address, bytes.len(), START).and_then(|range| memory.get(range)) else {
            return false;
        };
        bytes.copy_from_slice(found);
        true
    }

    fn write(&self, address: u64, bytes: &[u8]) -> bool {
        self.accesses.set(self.accesses.get() + 1);
        let mut memory = self.bytes.borrow_mut();
        let Some(found) = range(address, bytes.len(), WRITABLE).and_then(|range| memory.get_mut(range))
        else {
            return false;
        };
        found.copy_from_slice(bytes);
        true
    }

    fn is_segment(&self, address: u64) -> bool {
        PROGRAM.contains(&address)
    }
}

pub(super) fn range(address: u64, length: usize, lowest: u64) -> Option<Range<usize>> {
    let end = address.checked_add(length as u64).filter(|end| *end <= END)?;
    (address >= lowest).then(|| (address - START) as usize..(end - START) as usize)
}

impl Ram {
    pub(super) fn new() -> Self {
        Self { bytes: RefCell::new(vec![0; (END - START) as usize]), accesses: Cell::new(0) }
    }

    /// Puts bytes anywhere, as a loader does.
    pub(super) fn put(&self, address: u64, bytes: &[u8]) {
        let range = range(address, bytes.len(), START).unwrap();
        self.bytes.borrow_mut()[range].copy_from_slice(bytes);
    }

    pub(super) fn put_words(&self, address: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(address, &bytes);
    }

    pub(super) fn words<const N: usize>(&self, address: u64) -> [u64; N] {
        std::array::from_fn(|index| {
            let mut bytes = [0; 8];
            assert!(self.read(address + index as u64 * 8, &mut bytes));
            u64::from_le_bytes(bytes)
        })
    }

    pub(super) fn put_gate(&self, vector: u8, selector: u16, attributes: u16, offset: u64) {
        let low = offset & 0xffff
            | u64::from(selector) << 16
            | u64::from(attributes) << 32
            | (offset >> 16 & 0xffff) << 48;
        self.put_words(IDT + u64::from(vector) * 16, &[low, offset >> 32]);
    }
}

/// A guest after its start-up: tables loaded, on its stack, about to execute at `RIP`.
pub(super) struct Guest {
    pub(super) cpu: VirtualCpu,
    pub(super) registers: kvm_regs,
    pub(super) ram: Ram,
}

impl Guest {
    /// As it is before its first instruction.
    pub(super) fn fresh() -> Self {
        let registers = kvm_regs { rip: RIP, rsp: STACK, rflags: RUNNING, ..Default::default() };
        Self { cpu: VirtualCpu::new(), registers, ram: Ram::new() }
    }

    pub(super) fn new() -> Self {
        let mut guest = Self::fresh();
        let ram = &guest.ram;
        let task = 0x67 | (TSS & 0xff_ffff) << 16 | 0x89 << 40 | (TSS >> 24 & 0xff) << 56;
        ram.put_words(GDT, &[0, CODE_64, DATA_SEGMENT, task, TSS >> 32]);
        ram.put_words(TSS + 36, &[IST, IST + 0x100]);
        for vector in 0..32 {
            ram.put_gate(vector, 0x08, 0x8e00, handler(vector));
        }
        guest.cpu.gdt = Table { base: GDT, limit: 39 };
        guest.cpu.idt = Table { base: IDT, limit: 511 };
        guest.cpu.task = Table { base: TSS, limit: 103 };
        guest
    }

    /// The exception with this vector at the next instruction.
    pub(super) fn raise(&mut self, vector: u8, error: u64, cr2: u64) -> Result<(), Trap> {
        let kvm_regs { rip, rsp, rflags, .. } = self.registers;
        let frame = Frame { error, rip, cs: USER_CODE.into(), rflags, rsp, ss: USER_DATA.into() };
        // At the stub, these three are the stub's.
        let mut registers = kvm_regs { rip: 0x1008, rsp: 0x2ff0, rflags: 2, ..self.registers };
        self.ram.accesses.set(0);
        let result = self.cpu.trap(&Exception { vector, frame, cr2 }, &mut registers, &self.ram);
        // Of each of the instructions that are carried out at once.
        assert!(self.ram.accesses.get() <= 8 * 10, "{} accesses", self.ram.accesses.get());
        self.registers = registers;
        result
    }

    /// Executes an instruction which traps.
    pub(super) fn execute(&mut self, bytes: &[u8]) -> Result<(), Trap> {
        self.ram.put(self.registers.rip, bytes);
        self.raise(GP, 0, 0)
    }

    /// Executes an instruction which goes to the next one.
    #[track_caller]
    pub(super) fn step(&mut self, bytes: &[u8]) {
        let (rip, code, stack) = (self.registers.rip, self.cpu.code, self.ram.words::<2>(STACK));
        assert_eq!(self.execute(bytes), Ok(()));
        assert_eq!(self.registers.rip, rip + bytes.len() as u64, "it has been reflected");
        assert_eq!((self.cpu.code, self.ram.words(STACK)), (code, stack));
    }

    #[track_caller]
    pub(super) fn unsupported(&mut self, bytes: &[u8], name: &str) {
        let before = (self.registers, format!("{:?}", self.cpu));
        let Err(Trap::Unsupported { bytes: found, name: found_name }) = self.execute(bytes) else {
            panic!("{bytes:02x?} has been carried out");
        };
        assert!(found.starts_with(bytes) && found.len() == MAX_LENGTH, "{found:02x?}");
        assert_eq!(found_name, name);
        assert_eq!((self.registers, format!("{:?}", self.cpu)), before);
    }

    /// Executes an instruction which raises an exception in the guest. What the frame says is checked by other tests.
    #[track_caller]
    pub(super) fn raises(&mut self, bytes: &[u8], vector: u8, error: u64) {
        let (registers, mut cpu) = (self.registers, self.cpu.clone());
        assert_eq!(self.execute(bytes), Ok(()));
        assert_eq!(self.registers.rip, handler(vector), "{bytes:02x?}");
        let frame = self.ram.words::<5>(self.registers.rsp);
        assert_eq!(frame[..4], [error, registers.rip, 8, registers.rflags & !IOPL_3]);
        assert_eq!(frame[4], registers.rsp);
        // Nothing else of the state has changed.
        cpu.cr2 = self.cpu.cr2;
        assert_eq!(format!("{:?}", self.cpu), format!("{cpu:?}"));
        let same = kvm_regs {
            rip: self.registers.rip,
            rsp: self.registers.rsp,
            rflags: self.registers.rflags,
            ..registers
        };
        assert_eq!(self.registers, same);
        (self.cpu, self.registers) = (cpu, registers);
    }
}

pub(super) const fn handler(vector: u8) -> u64 {
    HANDLERS + vector as u64 * 0x40
}

/// A small generator, so that failures can be repeated (Marsaglia's xorshift64).
pub(super) fn generator(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}
