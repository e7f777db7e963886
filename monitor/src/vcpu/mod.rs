//! The virtual processor: its first state, and why it stopped.

pub mod cpuid;
pub mod state;

use crate::error::{Error, ErrorKind, remedy};
use crate::paging::{KERNEL_CODE, STUB_PORT, Tables, VECTORS};
use kvm_bindings::{
    KVM_EXIT_FAIL_ENTRY, KVM_EXIT_HLT, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_INTR, KVM_EXIT_IO, KVM_EXIT_IO_OUT,
    KVM_EXIT_MEMORY_FAULT, KVM_EXIT_MMIO, KVM_EXIT_SHUTDOWN, Msrs, kvm_msr_entry, kvm_regs, kvm_sregs,
};
use kvm_ioctls::{Kvm, SyncReg, VcpuExit, VcpuFd, VmFd};
use std::io;

/// The time stamp counter's model-specific register (AMD64 APM, volume 2, section 13.2.4).
const MSR_TSC: u32 = 0x10;

/// A virtual processor.
#[derive(Debug)]
pub struct Vcpu {
    fd: VcpuFd,
    /// Whether the guest may use AVX and its like.
    xsave: bool,
    /// Whether a guest that sets AC in its flags has its alignment checked.
    alignment_checks: bool,
    /// Whether the run structure has the registers after each run.
    tells_registers: bool,
}

/// Why the guest stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It wrote a value to an I/O port.
    Out {
        /// The port.
        port: u16,
        /// Bytes of the value: 1, 2 or 4.
        width: u8,
        /// The value.
        value: u32,
    },
    /// An exception with this vector has reached its stub.
    Exception(u8),
    /// It used an I/O port in another way: by `IN`, or by an instruction on a string.
    Port {
        /// The port.
        port: u16,
        /// Bytes of one access.
        width: u8,
        /// `OUTS` rather than `IN` or `INS`.
        write: bool,
    },
    /// It touched a guest-physical address where there is no memory, or wrote to read-only memory.
    Physical {
        /// The address.
        gpa: u64,
        /// Whether it wrote.
        write: bool,
    },
    /// The host cannot provide the memory at an address.
    Unbacked {
        /// The guest-physical address, where KVM tells it.
        gpa: Option<u64>,
    },
    /// A signal came.
    Interrupted,
    /// An exception could not be delivered.
    TripleFault,
    /// It halted, which it cannot without a hole in its confinement.
    Halted,
    /// KVM could not carry on.
    Internal {
        /// KVM's reason or suberror.
        reason: u64,
    },
}

impl Vcpu {
    /// Makes the processor in `vm`, and gives it its first state. `software`: as [`is_software_kvm`](cpuid::is_software_kvm) says;
    /// `highest`: one past the highest physical address.
    ///
    /// # Errors
    ///
    /// Where KVM refuses a step.
    pub fn new(
        kvm: &Kvm,
        vm: &VmFd,
        tables: &Tables,
        registers: &kvm_regs,
        software: bool,
        highest: u64,
    ) -> Result<Self, Error> {
        let failed = |what: &str, error: kvm_ioctls::Error| {
            let remedy = remedy(error.errno());
            Error::new(ErrorKind::NoKvm, format!("KVM cannot {what}: {error}; {remedy}"))
        };
        let fd = vm.create_vcpu(0).map_err(|error| failed("create a virtual processor", error))?;
        let xsave = cpuid::set_up(kvm, &fd, software, highest)?;
        if xsave {
            enable_extended_state(&fd).map_err(|error| failed("enable AVX", error))?;
        }
        let mut vcpu = Self { fd, xsave, alignment_checks: true, tells_registers: false };
        vcpu.go_on(tables, registers, [0; 2]);
        Ok(vcpu)
    }

    /// Whether KVM is to tell the registers with each run from the next one on, which costs each run a little and spares the calls that
    /// ask for them.
    pub fn tell_registers(&mut self, tell: bool) {
        if tell != self.tells_registers {
            for kind in [SyncReg::Register, SyncReg::SystemRegister] {
                if tell {
                    self.fd.set_sync_valid_reg(kind);
                } else {
                    self.fd.clear_sync_valid_reg(kind);
                }
            }
            self.tells_registers = tell;
        }
    }

    /// Has alignment never be checked, whatever the guest's flags say: for one that believes to have CR0.AM clear.
    pub fn ignore_alignment(&mut self) {
        self.alignment_checks = false;
    }

    /// Has the guest go on in ring 3 with these general registers and these bases of FS and GS.
    pub fn go_on(&mut self, tables: &Tables, registers: &kvm_regs, [fs, gs]: [u64; 2]) {
        // KVM takes them from the run structure at the next run (Linux, virt/kvm/api.rst, section 6.74): a call for each would cost
        // more.
        let synced = self.fd.sync_regs_mut();
        synced.sregs = state::system_registers(tables, self.xsave);
        (synced.sregs.fs.base, synced.sregs.gs.base) = (fs, gs);
        if !self.alignment_checks {
            synced.sregs.cr0 &= !state::ALIGNMENT_MASK;
        }
        synced.regs = *registers;
        self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
        self.fd.set_sync_dirty_reg(SyncReg::Register);
    }

    /// Runs the guest until it stops.
    ///
    /// # Errors
    ///
    /// Where the host fails to run it.
    pub fn run(&mut self) -> io::Result<Exit> {
        let value = match self.fd.run() {
            Ok(VcpuExit::IoOut(_, data)) => {
                data.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
            }
            Ok(_) => 0,
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {
                return Ok(Exit::Interrupted);
            }
            Err(error) if error.errno() == libc::EFAULT => return Ok(self.unbacked()),
            Err(error) => return Err(io::Error::from_raw_os_error(error.errno())),
        };
        Ok(self.exit(value))
    }

    /// What the run structure says, `value` being what an `OUT` carried.
    fn exit(&mut self, value: u32) -> Exit {
        let run = self.fd.get_kvm_run();
        match run.exit_reason {
            KVM_EXIT_IO => {
                // SAFETY: KVM has filled this member of the union, as the exit reason says.
                let io = unsafe { run.__bindgen_anon_1.io };
                let write = u32::from(io.direction) == KVM_EXIT_IO_OUT;
                let vector = io.port.wrapping_sub(STUB_PORT);
                match (io.port, io.size, io.count) {
                    (_, 1, 1) if write && vector < u16::from(VECTORS) && self.in_stub() => {
                        Exit::Exception(vector as u8)
                    }
                    (port, width @ 1..=4, 1) if write => Exit::Out { port, width, value },
                    (port, width, _) => Exit::Port { port, width, write },
                }
            }
            KVM_EXIT_MMIO => {
                // SAFETY: as above, for this exit reason.
                let mmio = unsafe { run.__bindgen_anon_1.mmio };
                Exit::Physical { gpa: mmio.phys_addr, write: mmio.is_write != 0 }
            }
            KVM_EXIT_INTR => Exit::Interrupted,
            KVM_EXIT_SHUTDOWN => Exit::TripleFault,
            KVM_EXIT_HLT => Exit::Halted,
            KVM_EXIT_INTERNAL_ERROR => {
                // SAFETY: as above, for this exit reason.
                let internal = unsafe { run.__bindgen_anon_1.internal };
                Exit::Internal { reason: internal.suberror.into() }
            }
            KVM_EXIT_FAIL_ENTRY => {
                // SAFETY: as above, for this exit reason.
                let entry = unsafe { run.__bindgen_anon_1.fail_entry };
                Exit::Internal { reason: entry.hardware_entry_failure_reason }
            }
            reason => Exit::Internal { reason: reason.into() },
        }
    }

    /// What the run structure says of memory that the host cannot provide (Linux, `virt/kvm/api.rst`, `KVM_CAP_MEMORY_FAULT_INFO`).
    fn unbacked(&mut self) -> Exit {
        let run = self.fd.get_kvm_run();
        // Older kernels leave here why the guest stopped before.
        if run.exit_reason != KVM_EXIT_MEMORY_FAULT {
            return Exit::Unbacked { gpa: None };
        }
        // SAFETY: KVM has filled this member of the union, as the exit reason says.
        let fault = unsafe { run.__bindgen_anon_1.memory_fault };
        Exit::Unbacked { gpa: Some(fault.gpa) }
    }

    /// Whether the processor runs a stub. The guest can write to the stubs' ports, too, but only at privilege level 3.
    fn in_stub(&self) -> bool {
        let system = if self.tells_registers { Ok(self.fd.sync_regs().sregs) } else { self.fd.get_sregs() };
        system.is_ok_and(|system| system.cs.selector == KERNEL_CODE)
    }

    /// The general and the system registers.
    ///
    /// # Errors
    ///
    /// What KVM says.
    pub fn registers(&self) -> io::Result<(kvm_regs, kvm_sregs)> {
        if self.tells_registers {
            let synced = self.fd.sync_regs();
            return Ok((synced.regs, synced.sregs));
        }
        let failed = |error: kvm_ioctls::Error| io::Error::from_raw_os_error(error.errno());
        Ok((self.fd.get_regs().map_err(failed)?, self.fd.get_sregs().map_err(failed)?))
    }

    /// What the guest's time stamp counter reads now.
    ///
    /// # Errors
    ///
    /// What KVM says.
    pub fn tsc(&self) -> io::Result<u64> {
        let entry = kvm_msr_entry { index: MSR_TSC, ..Default::default() };
        let mut msrs =
            Msrs::from_entries(&[entry]).map_err(|error| io::Error::other(format!("{error:?}")))?;
        match self.fd.get_msrs(&mut msrs) {
            Ok(1) => Ok(msrs.as_slice().first().map_or(0, |entry| entry.data)),
            Ok(_) => Err(io::Error::other("KVM does not tell the guest's time stamp counter")),
            Err(error) => Err(io::Error::from_raw_os_error(error.errno())),
        }
    }

    /// The rate of the guest's time stamp counter in kHz.
    ///
    /// # Errors
    ///
    /// What KVM says.
    pub fn tsc_khz(&self) -> io::Result<u32> {
        self.fd.get_tsc_khz().map_err(|error| io::Error::from_raw_os_error(error.errno()))
    }

    /// The byte that makes `KVM_RUN` return at once while it is not 0 (Linux, `virt/kvm/api.rst`, section 5).
    pub fn immediate_exit(&mut self) -> *mut u8 {
        &raw mut self.fd.get_kvm_run().immediate_exit
    }
}

/// Lets the guest use all the extended state that KVM supports for it, by XCR0.
fn enable_extended_state(fd: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    const X87_SSE_AVX: u64 = 7;
    const AVX_512: u64 = 0xe0;
    let mut xcrs = fd.get_xcrs()?;
    for value in [X87_SSE_AVX | AVX_512, X87_SSE_AVX] {
        xcrs.nr_xcrs = 1;
        if let Some(first) = xcrs.xcrs.first_mut() {
            first.value = value;
        }
        if fd.set_xcrs(&xcrs).is_ok() {
            return Ok(());
        }
    }
    // Not even AVX: the x87 and SSE state of the reset value remains.
    Ok(())
}
