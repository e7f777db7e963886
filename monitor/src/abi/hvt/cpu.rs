//! The virtual processor's privileged state, as an hvt guest believes it to be.
//!
//! The guest runs at privilege level 3 and takes itself for a kernel. Its few privileged instructions trap and are carried out here, on a
//! copy of the state that hvt promises at the start; nothing of it ever reaches the processor but the bases of FS and GS. All
//! other exceptions are *reflected*: the guest goes on in its own handler, on the stack and with the frame that the processor
//! would have given it.
//!
//! Source, if not said otherwise: AMD64 Architecture Programmer's Manual, volume 2, sections 3.1 (control registers), 4.8
//! (descriptors), 8.2 (exceptions), 8.9 (long-mode interrupts) and 12.2.5 (64-bit TSS); volume 3, chapter 4 (instructions).

use super::access::{
    GP, GuestBytes, Raised, Refusal, UD, is_canonical, lower_half, raise, read, unsupported,
};
use super::decode::{self, Decoded, Instruction, MAX_LENGTH, Operand, Segment, register, register_mut};
use super::segments::{PRIVILEGE, Table, is_null};
use crate::memory::PAGE;
use crate::paging::{Frame, USER_CODE, USER_DATA};
use kvm_bindings::kvm_regs;
use std::mem;

/// The state at the start: PE, NE, WP, PG; PAE, OSFXSR, OSXMMEXCPT; LME, LMA.
const CR0: u64 = 0x8001_0021;
const CR4: u64 = 0x620;
const EFER: u64 = 0x500;
/// What CR3 says: the guest never sees a page table.
const CR3: u64 = 0x2000;
const CODE: u16 = 0x08;
const DATA: u16 = 0x10;
const GDTR: Table = Table { base: 0x1000, limit: 23 };

/// The most instructions that are carried out for one trap beside the one that trapped: start-ups have up to five in a row.
const MOST_FOLLOWING: usize = 7;

/// ET: reads as it likes, writes change nothing.
const CR0_ET: u64 = 1 << 4;

/// RFLAGS (section 3.1.6).
const FIXED: u64 = 1 << 1;
pub(super) const TF: u64 = 1 << 8;
pub(super) const IF: u64 = 1 << 9;
pub(super) const IOPL_3: u64 = 3 << 12;
pub(super) const NT: u64 = 1 << 14;
pub(super) const RF: u64 = 1 << 16;
/// Those that are the guest's own, besides CF, PF, AF, ZF, SF, DF, OF, AC and ID. Its IOPL is always 0; the processor has 3.
const OWN: u64 = 0xcd5 | TF | IF | NT | RF | 1 << 18 | 1 << 21;

/// Model-specific registers (appendix A.2).
const MSR_EFER: u32 = 0xc000_0080;
const MSR_FS_BASE: u32 = 0xc000_0100;
const MSR_GS_BASE: u32 = 0xc000_0101;
const MSR_KERNEL_GS_BASE: u32 = 0xc000_0102;

/// An exception that has reached a stub of the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Its vector.
    pub vector: u8,
    /// What the processor pushed.
    pub frame: Frame,
    /// CR2: for a page fault, its address.
    pub cr2: u64,
}

/// Why the guest does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trap {
    /// It executed `hlt`: nothing will ever interrupt it.
    Halted,
    /// It executed a privileged instruction that cannot be carried out.
    Unsupported {
        /// The instruction and what follows, up to 15 bytes.
        bytes: Vec<u8>,
        /// The instruction, and where it matters its operands.
        name: String,
    },
    /// Neither the exception nor a double fault could be delivered: there is no usable gate or stack for them.
    TripleFault,
    /// It used a segment of its program against the segment's rights, at this address.
    Memory(u64),
}

/// The virtual copy of the privileged state.
#[derive(Clone, Debug)]
pub struct VirtualCpu {
    pub(super) gdt: Table,
    pub(super) idt: Table,
    pub(super) task: Table,
    pub(super) code: u16,
    pub(super) stack: u16,
    pub(super) cr2: u64,
    cr8: u64,
    fs_base: u64,
    gs_base: u64,
    kernel_gs_base: u64,
}

impl Default for VirtualCpu {
    fn default() -> Self {
        Self::new()
    }
}

impl VirtualCpu {
    /// The state with which an hvt guest starts.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            gdt: GDTR,
            // Any exception before the guest loads its own is fatal, as on hvt.
            idt: Table { base: 0, limit: 0 },
            task: Table { base: 0, limit: 0 },
            code: CODE,
            stack: DATA,
            cr2: 0,
            cr8: 0,
            fs_base: 0,
            gs_base: 0,
            kernel_gs_base: 0,
        }
    }

    /// The base of FS, below 2^47.
    #[must_use]
    pub const fn fs_base(&self) -> u64 {
        self.fs_base
    }

    /// The base of GS, below 2^47.
    #[must_use]
    pub const fn gs_base(&self) -> u64 {
        self.gs_base
    }

    /// Carries out the privileged instruction that raised `exception`, and those that follow it, or reflects it. `registers` are the general ones at the stub; RIP,
    /// RSP and RFLAGS are taken from the frame. Afterwards the guest goes on with `registers` and the bases of FS and GS.
    ///
    /// It takes the same few steps whatever the guest does.
    ///
    /// # Errors
    ///
    /// Where the guest cannot go on; `registers` are then those at the exception.
    pub fn trap(
        &mut self,
        exception: &Exception,
        registers: &mut kvm_regs,
        memory: &dyn GuestBytes,
    ) -> Result<(), Trap> {
        let Exception { vector, frame, cr2 } = *exception;
        (registers.rip, registers.rsp, registers.rflags) = (frame.rip, frame.rsp, frame.rflags);
        let mut raised = Raised { vector, error: frame.error, cr2 };
        if matches!(vector, UD | GP) {
            let bytes = code(registers.rip, memory);
            let outcome = match decode::decode(&bytes, registers) {
                Some(decoded) => self.step(decoded, registers, memory),
                None => match (vector, decode::mnemonic(&bytes)) {
                    // Software KVM raises #UD for it. What else does is undefined at any privilege level.
                    (GP, Some(_)) | (UD, Some("int")) => unsupported(String::new()),
                    _ => Err(Refusal::Raised(raised)),
                },
            };
            match outcome {
                Ok(next) => {
                    *registers = self.follow(next, registers.rip, memory);
                    registers.rflags = flags(registers.rflags) | IOPL_3;
                    return Ok(());
                }
                Err(Refusal::Halted) => return Err(Trap::Halted),
                Err(Refusal::Unsupported(operands)) => {
                    let mut name = decode::mnemonic(&bytes).unwrap_or_default().to_owned();
                    if !operands.is_empty() {
                        name = format!("{name} ({operands})");
                    }
                    return Err(Trap::Unsupported { bytes, name });
                }
                Err(Refusal::Raised(other)) => raised = other,
            }
        }
        self.reflect(raised, registers, memory)
    }

    /// Carries out an instruction; the registers behind it.
    fn step(
        &mut self,
        decoded: Decoded,
        registers: &kvm_regs,
        memory: &dyn GuestBytes,
    ) -> Result<kvm_regs, Refusal> {
        let mut next = *registers;
        next.rip = registers.rip.wrapping_add(decoded.length);
        next.rflags &= !RF;
        self.carry_out(decoded.instruction, &mut next, memory).map(|()| next)
    }

    /// Carries out privileged instructions that come next, since each would cost a trap of its own. `trapped` is where one did: only
    /// what shares its page can surely be executed. What one of them would raise, it raises when the guest gets there.
    fn follow(&mut self, mut registers: kvm_regs, trapped: u64, memory: &dyn GuestBytes) -> kvm_regs {
        for _ in 0..MOST_FOLLOWING {
            if registers.rip / PAGE != trapped / PAGE || registers.rflags & TF != 0 {
                break;
            }
            let mut bytes = code(registers.rip, memory);
            bytes.truncate((PAGE - registers.rip % PAGE) as usize);
            let next = decode::decode(&bytes, &registers)
                .and_then(|decoded| self.step(decoded, &registers, memory).ok());
            match next {
                Some(next) => registers = next,
                None => break,
            }
        }
        registers
    }

    /// Does what the instruction does, but for the step to the next one. Where it refuses, nothing has changed.
    fn carry_out(
        &mut self,
        instruction: Instruction,
        registers: &mut kvm_regs,
        memory: &dyn GuestBytes,
    ) -> Result<(), Refusal> {
        match instruction {
            Instruction::WriteMsr => self.write_msr(registers)?,
            Instruction::ReadMsr => {
                let value = match registers.rcx as u32 {
                    MSR_EFER => EFER,
                    MSR_FS_BASE => self.fs_base,
                    MSR_GS_BASE => self.gs_base,
                    MSR_KERNEL_GS_BASE => self.kernel_gs_base,
                    index => return unsupported(format!("{index:#x}")),
                };
                (registers.rax, registers.rdx) = (value & 0xffff_ffff, value >> 32);
            }
            Instruction::LoadGlobalTable { address } => self.gdt = table(address, memory)?,
            Instruction::LoadInterruptTable { address } => self.idt = table(address, memory)?,
            Instruction::LoadLocalTable(operand) => {
                let selector = selector(operand, registers, memory)?;
                if !is_null(selector) {
                    return unsupported(format!("{selector:#x}"));
                }
            }
            Instruction::LoadTask(operand) => {
                let selector = selector(operand, registers, memory)?;
                self.task = self.gdt.load_task(selector, memory)?;
            }
            Instruction::FarReturn => {
                let [rip, cs] = pop(registers, memory)?;
                registers.rip = lower_half(rip)?;
                self.code = self.return_segment(cs as u16, memory)?;
            }
            Instruction::InterruptReturn => self.interrupt_return(registers, memory)?,
            Instruction::LoadSegment(segment, operand) => {
                let selector = selector(operand, registers, memory)?;
                self.load_segment(segment, selector, memory)?;
            }
            Instruction::PopSegment(segment) => {
                let [value] = pop(registers, memory)?;
                self.load_segment(segment, value as u16, memory)?;
            }
            Instruction::ReadControl { control, register } => {
                *register_mut(registers, register) = match control {
                    0 => CR0,
                    2 => self.cr2,
                    3 => CR3,
                    4 => CR4,
                    _ => self.cr8,
                };
            }
            Instruction::WriteControl { control, register: number } => {
                self.write_control(control, register(registers, number))?;
            }
            Instruction::Halt => return Err(Refusal::Halted),
            Instruction::DisableInterrupts => registers.rflags &= !IF,
            Instruction::EnableInterrupts => registers.rflags |= IF,
            // TS is 0, and neither caches nor translations are the guest's to manage.
            Instruction::ClearTaskSwitched | Instruction::InvalidatePage | Instruction::WriteBackCaches => {}
            Instruction::SwapGs => mem::swap(&mut self.gs_base, &mut self.kernel_gs_base),
        }
        Ok(())
    }

    fn write_msr(&mut self, registers: &kvm_regs) -> Result<(), Refusal> {
        let index = registers.rcx as u32;
        let value = registers.rdx << 32 | registers.rax & 0xffff_ffff;
        let base = match index {
            MSR_EFER if value == EFER => return Ok(()),
            MSR_FS_BASE => &mut self.fs_base,
            MSR_GS_BASE => &mut self.gs_base,
            MSR_KERNEL_GS_BASE => &mut self.kernel_gs_base,
            _ => return unsupported(format!("{value:#x} to {index:#x}")),
        };
        if !is_canonical(value) {
            return Err(raise(GP, 0));
        }
        // Software KVM gives a guest the lower half only.
        if value >> 47 != 0 {
            return unsupported(format!("{value:#x} to {index:#x}"));
        }
        *base = value;
        Ok(())
    }

    fn write_control(&mut self, control: u8, value: u64) -> Result<(), Refusal> {
        match control {
            0 if (value ^ CR0) & !CR0_ET == 0 => {}
            3 if value == CR3 => {}
            4 if value == CR4 => {}
            2 => self.cr2 = value,
            // The priority below which no interrupt comes; none ever does.
            8 if value < 16 => self.cr8 = value,
            8 => return Err(raise(GP, 0)),
            _ => return unsupported(format!("{value:#x} to cr{control}")),
        }
        Ok(())
    }

    /// Checks the code segment of a gate or a return; the selector to go on with. What the guest reads from its CS means what it
    /// has.
    pub(super) fn code_segment(&self, selector: u16, memory: &dyn GuestBytes) -> Result<u16, Refusal> {
        if selector == USER_CODE {
            return Ok(self.code);
        }
        self.gdt.code_segment(selector, memory).map(|()| selector & !PRIVILEGE)
    }

    /// Checks the code segment of a return, which may not be to another privilege level.
    fn return_segment(&self, selector: u16, memory: &dyn GuestBytes) -> Result<u16, Refusal> {
        if selector & PRIVILEGE != 0 && selector != USER_CODE {
            return unsupported(format!("to privilege level {}", selector & PRIVILEGE));
        }
        self.code_segment(selector, memory)
    }

    /// Checks the segment of a stack; the selector to go on with. What the guest reads from its SS means what it has.
    fn stack_segment(&self, selector: u16, memory: &dyn GuestBytes) -> Result<u16, Refusal> {
        if selector == USER_DATA {
            return Ok(self.stack);
        }
        self.gdt.stack_segment(selector, memory).map(|()| selector)
    }

    /// Only SS is remembered: a guest reads the others from the processor.
    fn load_segment(
        &mut self,
        segment: Segment,
        selector: u16,
        memory: &dyn GuestBytes,
    ) -> Result<(), Refusal> {
        let base = match segment {
            Segment::Ss => {
                self.stack = self.stack_segment(selector, memory)?;
                return Ok(());
            }
            Segment::Ds | Segment::Es => return self.gdt.data_segment(selector, memory).map(|_| ()),
            Segment::Fs | Segment::Gs => self.gdt.data_segment(selector, memory)?,
        };
        // A null selector leaves the base, as it does on this manual's processors.
        match (segment, base) {
            (Segment::Fs, Some(base)) => self.fs_base = base,
            (Segment::Gs, Some(base)) => self.gs_base = base,
            _ => {}
        }
        Ok(())
    }

    fn interrupt_return(&mut self, registers: &mut kvm_regs, memory: &dyn GuestBytes) -> Result<(), Refusal> {
        if registers.rflags & NT != 0 {
            return Err(raise(GP, 0));
        }
        let [rip, cs, rflags, rsp, ss] = pop(registers, memory)?;
        let rip = lower_half(rip)?;
        let code = self.return_segment(cs as u16, memory)?;
        self.stack = self.stack_segment(ss as u16, memory)?;
        self.code = code;
        (registers.rip, registers.rflags, registers.rsp) = (rip, rflags, rsp);
        Ok(())
    }
}

/// RFLAGS as the guest knows them.
pub(super) const fn flags(rflags: u64) -> u64 {
    rflags & OWN | FIXED
}

/// The operand of `lgdt` and `lidt`: limit, then base.
fn table(address: u64, memory: &dyn GuestBytes) -> Result<Table, Refusal> {
    let [l0, l1, b0, b1, b2, b3, b4, b5, b6, b7] = read(address, memory)?;
    let base = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
    if !is_canonical(base) {
        return Err(raise(GP, 0));
    }
    Ok(Table { base, limit: u16::from_le_bytes([l0, l1]).into() })
}

fn selector(operand: Operand, registers: &kvm_regs, memory: &dyn GuestBytes) -> Result<u16, Refusal> {
    match operand {
        Operand::Register(number) => Ok(register(registers, number) as u16),
        Operand::Memory(address) => read(address, memory).map(u16::from_le_bytes),
    }
}

/// Takes words from the stack.
fn pop<const N: usize>(registers: &mut kvm_regs, memory: &dyn GuestBytes) -> Result<[u64; N], Refusal> {
    let mut words = [0; N];
    for word in &mut words {
        *word = u64::from_le_bytes(read(registers.rsp, memory)?);
        registers.rsp = registers.rsp.wrapping_add(8);
    }
    Ok(words)
}

/// The bytes of an instruction, as many as there are before memory that the guest may not read.
fn code(rip: u64, memory: &dyn GuestBytes) -> Vec<u8> {
    let mut bytes = vec![0; MAX_LENGTH];
    if !memory.read(rip, &mut bytes) {
        let in_page = PAGE - rip % PAGE;
        bytes.truncate(in_page as usize);
        if !memory.read(rip, &mut bytes) {
            bytes.clear();
        }
    }
    bytes
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
