//! Reflection: an exception goes on in the guest's own handler, as if the processor had found its IDT.
//!
//! Source: AMD64 Architecture Programmer's Manual, volume 2, sections 8.2 (exceptions), 8.9 (long-mode interrupts) and
//! 12.2.5 (64-bit TSS).

use super::access::{DF, FETCH, GuestBytes, PF, PRESENT, Raised, USER, lower_half, read};
use super::cpu::{IF, IOPL_3, NT, RF, TF, Trap, VirtualCpu, flags};
use super::descriptor::Gate;
use crate::paging::has_error_code;
use kvm_bindings::kvm_regs;

/// hvt maps nothing below; our own tables do.
const LOWEST: u64 = 0x1_0000;

impl VirtualCpu {
    /// Enters the guest's handler; that of a double fault if it cannot (section 8.2.9).
    pub(super) fn reflect(
        &mut self,
        raised: Raised,
        registers: &mut kvm_regs,
        memory: &dyn GuestBytes,
    ) -> Result<(), Trap> {
        let Raised { vector, mut error, cr2 } = raised;
        if vector == PF {
            if error & PRESENT != 0 && memory.is_segment(cr2) {
                return Err(Trap::Memory(cr2));
            }
            // At privilege level 0, and without no-execute pages.
            error &= !(USER | FETCH);
            if cr2 < LOWEST {
                error &= !PRESENT;
            }
            self.cr2 = cr2;
        }
        self.deliver(vector, error, registers, memory)
            .or_else(|| self.deliver(DF, 0, registers, memory))
            .ok_or(Trap::TripleFault)
    }

    /// Does what the processor does for an exception at privilege level 0 (section 8.9.3). Where it returns `None`, nothing has changed.
    fn deliver(
        &mut self,
        vector: u8,
        error: u64,
        registers: &mut kvm_regs,
        memory: &dyn GuestBytes,
    ) -> Option<()> {
        let at = self.idt.entry(u64::from(vector) * 16, 16)?;
        let gate = Gate::new(read(at, memory).ok()?)?;
        let code = self.code_segment(gate.selector, memory).ok()?;
        let rip = lower_half(gate.offset).ok()?;
        let top = match gate.stack {
            0 => registers.rsp,
            number => self.interrupt_stack(number, memory)?,
        };
        let rflags = flags(registers.rflags);
        let frame = [error, registers.rip, self.code.into(), rflags, registers.rsp, self.stack.into()];
        let words = if has_error_code(vector) { frame.as_slice() } else { frame.get(1..)? };
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let rsp = (top & !15).wrapping_sub(bytes.len() as u64);
        if !memory.write(rsp, &bytes) {
            return None;
        }
        self.code = code;
        registers.rip = rip;
        registers.rsp = rsp;
        let cleared = if gate.trap { TF | NT | RF } else { TF | NT | RF | IF };
        registers.rflags = rflags & !cleared | IOPL_3;
        Some(())
    }

    /// The top of a stack of the interrupt stack table, 1 to 7 (figure 12-8).
    fn interrupt_stack(&self, number: u8, memory: &dyn GuestBytes) -> Option<u64> {
        let at = self.task.entry(28 + u64::from(number) * 8, 8)?;
        read(at, memory).ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
#[path = "reflection_tests.rs"]
mod tests;
