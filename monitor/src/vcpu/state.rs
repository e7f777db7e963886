//! The registers with which the guest starts: 64-bit mode at privilege level 3.
//!
//! Sources: AMD64 Architecture Programmer's Manual, volume 2, sections 3.1 (control registers) and 14.6 (long mode), and the
//! System V ABI's x86-64 supplement, section 3.4.1 (state at process start).

use crate::paging::{GDT_SIZE, IDT_SIZE, TASK, TSS_SIZE, Tables, USER_CODE, USER_DATA};
use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};

/// PE, MP, ET, NE, WP, AM, PG.
const CR0: u64 = 0x8005_0033;
/// PAE, OSFXSR, OSXMMEXCPT.
const CR4: u64 = 0x620;
/// OSXSAVE.
const CR4_OSXSAVE: u64 = 1 << 18;
/// LME, LMA, NXE; never SCE, since `syscall` enters ring 0.
const EFER: u64 = 0xd00;
/// IOPL 3 and the bit that is always 1; interrupts are off.
const RFLAGS: u64 = 0x3002;

/// In CR0: AM, with which a guest that sets AC in its flags is told of misaligned accesses.
pub const ALIGNMENT_MASK: u64 = 1 << 18;

/// System registers for `tables`. `xsave` says whether the guest may use AVX and its like.
#[must_use]
pub fn system_registers(tables: &Tables, xsave: bool) -> kvm_sregs {
    let code = kvm_segment {
        limit: u32::MAX,
        selector: USER_CODE,
        type_: 0xb, // execute, read, accessed
        present: 1,
        dpl: 3,
        s: 1,
        l: 1,
        g: 1,
        ..Default::default()
    };
    let data = kvm_segment { selector: USER_DATA, type_: 3, l: 0, db: 1, ..code };
    kvm_sregs {
        cs: code,
        ds: data,
        es: data,
        fs: data,
        gs: data,
        ss: data,
        tr: kvm_segment {
            base: tables.tss(),
            limit: u32::from(TSS_SIZE) - 1,
            selector: TASK,
            type_: 0xb, // busy 64-bit TSS
            present: 1,
            ..Default::default()
        },
        ldt: kvm_segment { unusable: 1, ..Default::default() },
        gdt: kvm_dtable { base: tables.gdt(), limit: GDT_SIZE - 1, ..Default::default() },
        idt: kvm_dtable { base: tables.idt(), limit: IDT_SIZE - 1, ..Default::default() },
        cr0: CR0,
        cr3: tables.root(),
        cr4: if xsave { CR4 | CR4_OSXSAVE } else { CR4 },
        efer: EFER,
        // The reset value of the local APIC's base: enabled, bootstrap processor (volume 2, section 16.3.1). There is
        // no APIC behind it.
        apic_base: 0xfee0_0900,
        ..Default::default()
    }
}

/// General registers: `boot_info` in RDI, the stack as after a call.
#[must_use]
pub fn registers(entry: u64, stack_top: u64, boot_info: u64) -> kvm_regs {
    kvm_regs { rip: entry, rsp: stack_top - 8, rdi: boot_info, rflags: RFLAGS, ..Default::default() }
}
