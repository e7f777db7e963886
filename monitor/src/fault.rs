//! What a guest did wrong, told so that its author can find it: the sentence, the registers and who called whom.

use crate::layout::{Layout, SYSTEM};
use crate::memory::{Memory, PAGE};
use crate::paging::Frame;
use kvm_bindings::kvm_regs;
use std::fmt;
use ukvm_abi::doorbell;
use ukvm_abi::ring::{self, Corrupt};

/// The most callers that a report lists.
const MAX_CALLERS: usize = 32;

/// Bits of a page fault's error code (AMD64 APM, volume 2, section 8.4.2).
const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const FETCH: u64 = 16;
/// The instruction's bytes.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// What a guest did that it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It raised an exception.
    Exception {
        /// The exception's vector.
        vector: u8,
        /// Its error code; 0 where it has none.
        error: u64,
        /// For a page fault: the address.
        address: u64,
    },
    /// It used an I/O port in a way that is not the doorbell's.
    Port {
        /// The port.
        port: u16,
        /// Bytes of one access.
        width: u8,
        /// `OUT` rather than `IN`.
        write: bool,
    },
    /// It rang the doorbell with a value that means nothing.
    Doorbell(u32),
    /// It wrote an impossible index into its rings.
    Ring(Corrupt),
    /// Its page tables let it write, or read, where no memory slot does.
    Physical {
        /// The guest-physical address.
        gpa: u64,
        /// Whether it wrote.
        write: bool,
    },
    /// It read a disk in its memory where the host cannot provide the bytes any more.
    Disk {
        /// The device's handle less 1.
        device: usize,
    },
    /// It made a call that its ABI does not have, or not without a device.
    Hypercall(u16),
    /// It named memory that it may not use to a call that cannot say so.
    Access {
        /// The first address.
        address: u64,
        /// Bytes.
        length: u64,
    },
    /// It wrote an impossible index into its net ring.
    NetRing {
        /// Which.
        index: &'static str,
        /// What it wrote.
        value: u32,
    },
    /// It executed an instruction of a kernel that is not carried out for it.
    Privileged {
        /// The vector of the exception that it raised.
        vector: u8,
        /// The instruction.
        name: Box<str>,
    },
    /// It halted, and nothing would ever wake it.
    Halted {
        /// The vector of the exception that the instruction raised.
        vector: u8,
    },
    /// It came to a part of its program that the host cannot provide any more.
    Program,
    /// The processor could not even deliver an exception.
    TripleFault,
    /// KVM could not run an instruction of the guest.
    Unrunnable {
        /// KVM's reason.
        reason: u64,
    },
}

/// A fault with its surroundings.
#[derive(Clone, Debug)]
pub struct FaultReport {
    /// What was done.
    pub fault: Fault,
    /// What it amounts to, in words; no full stop at its end.
    pub sentence: String,
    /// The registers at the faulting instruction.
    pub registers: Registers,
    /// The faulting instruction, then the callers that could be found, the innermost first.
    pub callers: Vec<Caller>,
}

/// The registers that a report shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers {
    /// The general registers; RIP, RSP and RFLAGS are those of the guest, not of the monitor's stubs.
    pub general: kvm_regs,
    /// CR2.
    pub cr2: u64,
}

/// A place in the guest's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its virtual address.
    pub address: u64,
    /// The address that the program was linked with; `None` outside the image.
    pub link_address: Option<u64>,
    /// The function's name and the offset in it, where the program has symbols.
    pub symbol: Option<(String, u64)>,
}

impl Registers {
    /// The registers when an exception's stub stopped: the stub changes none, and the frame has the rest.
    #[must_use]
    pub fn of_exception(mut general: kvm_regs, frame: &Frame, cr2: u64) -> Self {
        (general.rip, general.rsp, general.rflags) = (frame.rip, frame.rsp, frame.rflags);
        Self { general, cr2 }
    }
}

impl FaultReport {
    /// Explains `fault`. `name` is that of a device by its handle less 1; `symbol` names the function at a link-time address.
    #[must_use]
    pub fn new(
        fault: Fault,
        registers: Registers,
        layout: &Layout,
        memory: &Memory,
        name: impl Fn(usize) -> Option<String>,
        symbol: impl Fn(u64) -> Option<(String, u64)>,
    ) -> Self {
        let callers = addresses(&registers.general, layout, memory)
            .enumerate()
            .map(|(depth, address)| {
                let inside = layout.image.contains(&address.wrapping_sub(layout.slide));
                let link_address = inside.then(|| address.wrapping_sub(layout.bias));
                // A return address may be the first of the next function: the call is the byte before it.
                let behind = u64::from(depth > 0);
                let looked_up = link_address.and_then(|at| at.checked_sub(behind));
                let name = looked_up.and_then(&symbol);
                let symbol = name.map(|(name, offset)| (name, offset.saturating_add(behind)));
                Caller { address, link_address, symbol }
            })
            .collect();
        let instruction = instruction(&fault, &registers.general, layout, memory);
        let sentence = match &fault {
            Fault::Disk { device } => lost_disk(&name(*device).unwrap_or_default()),
            fault => sentence(fault, &registers, layout, instruction),
        };
        Self { fault, sentence, registers, callers }
    }
}

/// The faulting instruction and, as far as frame pointers lead, the return addresses.
fn addresses<'a>(
    registers: &kvm_regs,
    layout: &'a Layout,
    memory: &'a Memory,
) -> impl Iterator<Item = u64> + use<'a> {
    let mut frame = registers.rbp;
    let word = |address: u64| {
        let gpa = layout.translate(address, 8, true).filter(|gpa| layout.stack.contains(gpa))?;
        memory.word(gpa).ok()
    };
    let callers = std::iter::from_fn(move || {
        let next = word(frame)?;
        let caller = word(frame.checked_add(8)?)?;
        // Frames lie one above the other: whatever else it is, it is no chain of frames, and might be a circle.
        frame = if next > frame { next } else { 0 };
        (caller != 0).then_some(caller)
    });
    std::iter::once(registers.rip).chain(callers.take(MAX_CALLERS))
}

/// The instruction that a guest may not use and that raised `fault`, if it is a well-known one.
fn instruction(
    fault: &Fault,
    registers: &kvm_regs,
    layout: &Layout,
    memory: &Memory,
) -> Option<&'static str> {
    let bytes = |address| {
        let gpa = layout.translate(address, 3, false)?;
        Some(memory.copy(memory.buffer(gpa, 3)?))
    };
    let address = match *fault {
        Fault::Exception { vector: 6 | 13, .. } => registers.rip,
        // Software KVM lets `syscall` go to the address in LSTAR, which is 0; RCX is where it would return to.
        Fault::Exception { vector: 14, error, address: 0 } if error & FETCH != 0 => {
            let address = registers.rcx.wrapping_sub(2);
            return bytes(address).filter(|code| code.starts_with(&SYSCALL)).map(|_| "syscall");
        }
        _ => return None,
    };
    // Opcodes: AMD64 APM, volume 3, appendix A.
    Some(match bytes(address)?.as_slice() {
        code if code.starts_with(&SYSCALL) => "syscall",
        [0x0f, 0x34, ..] => "sysenter",
        [0xcd, ..] => "int",
        [0xf4, ..] => "hlt",
        [0xfa, ..] => "cli",
        [0xfb, ..] => "sti",
        [0x0f, 0x01, 0xc1] => "vmcall",
        [0x0f, 0x01, 0xd1] => "xsetbv",
        [0x0f, 0x01, 0xd9] => "vmmcall",
        [0x0f, 0x01, ..] => "lgdt, lidt or another system instruction",
        [0x0f, 0x00, ..] => "lldt, ltr or another system instruction",
        [0x0f, 0x20 | 0x22, ..] => "mov of a control register",
        [0x0f, 0x21 | 0x23, ..] => "mov of a debug register",
        [0x0f, 0x30, ..] => "wrmsr",
        [0x0f, 0x32, ..] => "rdmsr",
        [0x0f, 0x0b, ..] => "ud2, which compilers put where the program cannot go on",
        _ => return None,
    })
}

fn lost_disk(name: &str) -> String {
    format!(
        "its disk '{name}' cannot be read any more: the image was truncated while in use, or the host's disk fails"
    )
}

fn sentence(fault: &Fault, registers: &Registers, layout: &Layout, instruction: Option<&str>) -> String {
    match (fault, instruction) {
        (Fault::Exception { .. }, Some("syscall")) => {
            return "it executed syscall, but a unikernel has no operating system to call".to_owned();
        }
        (Fault::Exception { vector, .. }, Some(name)) => {
            let short = if *vector == 6 { "#UD" } else { "#GP" };
            return format!("it executed {name} ({short})");
        }
        _ => {}
    }
    match *fault {
        Fault::Exception { vector: 14, error, address } => page_fault(error, address, registers, layout),
        Fault::Exception { vector, error, .. } => {
            let name = exception_name(vector);
            if error == 0 { name.to_owned() } else { format!("{name}, error code {error:#x}") }
        }
        Fault::Port { port: doorbell::PORT, width, write } => format!(
            "it rang the doorbell with {} of {width} bytes; the doorbell is one OUT of 4 bytes",
            if write { "an OUT" } else { "an IN" },
        ),
        Fault::Port { port, width, write } => {
            let (verb, way) = if write { ("wrote", "to") } else { ("read", "from") };
            format!("it {verb} {width} byte(s) {way} I/O port {port:#x}, which nothing is behind")
        }
        Fault::Doorbell(value) => format!("it rang the doorbell with {value:#x}, which means nothing"),
        Fault::Ring(Corrupt { field, value }) => {
            let index = match field {
                ring::SUBMISSION_TAIL => "submission tail",
                ring::COMPLETION_HEAD => "completion head",
                _ => "index",
            };
            format!("it corrupted its rings: the {index} cannot be {value}")
        }
        Fault::Physical { gpa, write: true } => {
            format!("it wrote to read-only memory (guest-physical address {gpa:#x})")
        }
        Fault::Disk { device } => lost_disk(&format!("number {device}")),
        Fault::Hypercall(number) => {
            format!("it made the hypercall {number}, which its ABI does not have, or not without a device for it")
        }
        Fault::Access { address, length } => {
            format!("it gave a hypercall memory that it may not use: {length} bytes at {address:#x}")
        }
        Fault::NetRing { index, value } => {
            format!("it corrupted its net ring: the {index} cannot be {value}")
        }
        Fault::Privileged { ref name, .. } => {
            format!("it executed {name}, an instruction of kernels that is not carried out for a unikernel")
        }
        Fault::Halted { .. } => "it halted (hlt), and a unikernel has no interrupts that would wake it".to_owned(),
        Fault::Program => "its program cannot be read any more: the file was truncated while in use, or the host's disk fails; \
                           replace a program's file by renaming another, not by writing into it"
            .to_owned(),
        Fault::Physical { gpa, .. } => format!("it read guest-physical address {gpa:#x}, where no memory is"),
        Fault::TripleFault => "its exception could not be delivered (triple fault)".to_owned(),
        Fault::Unrunnable { reason } => {
            format!("KVM cannot run its next instruction (reason {reason})")
        }
    }
}

/// A page fault in words.
fn page_fault(error: u64, address: u64, registers: &Registers, layout: &Layout) -> String {
    let gpa = address.wrapping_sub(layout.slide);
    // Where there is no guard, the page below the stack is mapped.
    let below_stack = error & PRESENT == 0
        && layout
            .stack
            .start
            .checked_sub(PAGE)
            .is_some_and(|guard| (guard..layout.stack.start).contains(&gpa));
    let near_stack = registers.general.rsp.abs_diff(address) < PAGE;
    let verb = match error {
        _ if error & FETCH != 0 => "executed",
        _ if error & WRITE != 0 => "wrote to",
        _ => "read",
    };
    let place = if address < PAGE {
        "a null pointer"
    } else if below_stack {
        return format!("its stack overflowed (page fault at {address:#x})");
    } else if SYSTEM.contains(&gpa) {
        "memory of the monitor"
    } else if error & PRESENT == 0 {
        "memory that is not mapped"
    } else if error & FETCH != 0 {
        "memory that is not code"
    } else if error & WRITE != 0 {
        "read-only memory"
    } else {
        "memory that it may not use"
    };
    let hint = if near_stack && error & FETCH == 0 && !layout.stack.contains(&gpa) && address >= PAGE {
        ", close to its stack pointer"
    } else {
        ""
    };
    format!("it {verb} {place} (page fault at {address:#x}{hint})")
}

/// What an exception means (AMD64 APM, volume 2, table 8-1).
const fn exception_name(vector: u8) -> &'static str {
    match vector {
        0 => "it divided by zero, or the quotient was too large (#DE)",
        1 => "it raised a debug exception, such as a single step (#DB)",
        3 => "it executed a breakpoint instruction (#BP)",
        4 => "it raised an overflow trap (#OF)",
        5 => "it exceeded the bounds of an array (#BR)",
        6 => "it executed an undefined instruction (#UD)",
        7 => "it used a floating-point unit that is not available (#NM)",
        8 => "it raised a double fault (#DF)",
        10 => "it used an invalid task state segment (#TS)",
        11 => "it used a segment that is not present (#NP)",
        12 => "its stack pointer is not an address (#SS)",
        13 => {
            "it executed an instruction that a guest may not use, or used a number that is not an address (#GP)"
        }
        14 => "it raised a page fault (#PF)",
        16 => "it raised an x87 floating-point exception (#MF)",
        17 => "it used an address that is not aligned (#AC)",
        18 => "it raised a machine check (#MC)",
        19 => "it raised an SSE floating-point exception (#XM)",
        21 => "it raised a control-flow protection fault (#CP)",
        _ => "it raised an exception without a name",
    }
}

impl fmt::Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regs = &self.registers.general;
        writeln!(f, "guest fault: {}", self.sentence)?;
        for row in [
            [("rip", regs.rip), ("rsp", regs.rsp), ("rbp", regs.rbp), ("flags", regs.rflags)],
            [("rax", regs.rax), ("rbx", regs.rbx), ("rcx", regs.rcx), ("rdx", regs.rdx)],
            [("rsi", regs.rsi), ("rdi", regs.rdi), ("r8", regs.r8), ("r9", regs.r9)],
            [("r10", regs.r10), ("r11", regs.r11), ("r12", regs.r12), ("r13", regs.r13)],
            [("r14", regs.r14), ("r15", regs.r15), ("cr2", self.registers.cr2), ("", 0)],
        ] {
            for (name, value) in row.into_iter().filter(|(name, _)| !name.is_empty()) {
                write!(f, "  {name:<5} {value:016x}")?;
            }
            writeln!(f)?;
        }
        for (depth, caller) in self.callers.iter().enumerate() {
            let word = if depth == 0 { "at" } else { "by" };
            write!(f, "  {word} {:#x}", caller.address)?;
            match (&caller.symbol, caller.link_address) {
                (Some((name, offset)), _) => write!(f, " {name}+{offset:#x}")?,
                (None, Some(link_address)) => write!(f, " image+{link_address:#x}")?,
                (None, None) => write!(f, " (not in the program)")?,
            }
            if depth + 1 < self.callers.len() {
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod tests;
