//! What the test guests share: the ABI without the runtime in between.
//!
//! A guest that breaks a rule must write the ring and ring the doorbell itself. [`Raw`] takes the rings
//! over; from then on nothing of the runtime that submits requests may be used.
#![no_std]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use ukvm_abi::boot_info::BootInfo;
use ukvm_abi::doorbell::{self, Function};
use ukvm_abi::request::{Completion, Opcode, Request};
use ukvm_abi::ring::{GuestRing, Shape, SharedWords};

include!("../../io/bytes.rs");

/// The ring area as atomics.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    start: u64,
}

impl Area {
    fn u32(&self, offset: usize) -> &'static AtomicU32 {
        // SAFETY: the area is mapped as long as the guest runs, offsets are inside and aligned, and all accesses are atomic.
        unsafe { AtomicU32::from_ptr((self.start as usize + offset) as *mut u32) }
    }

    fn u64(&self, offset: usize) -> &'static AtomicU64 {
        // SAFETY: as above.
        unsafe { AtomicU64::from_ptr((self.start as usize + offset) as *mut u64) }
    }
}

impl SharedWords for Area {
    fn load_u32_acquire(&self, offset: usize) -> u32 {
        self.u32(offset).load(Ordering::Acquire)
    }
    fn store_u32_release(&self, offset: usize, value: u32) {
        self.u32(offset).store(value, Ordering::Release);
    }
    fn load_u64_acquire(&self, offset: usize) -> u64 {
        self.u64(offset).load(Ordering::Acquire)
    }
    fn store_u64_release(&self, offset: usize, value: u64) {
        self.u64(offset).store(value, Ordering::Release);
    }
}

/// The guest's end of the rings and the doorbell.
#[derive(Debug)]
pub struct Raw {
    /// What the monitor said at the start.
    pub boot: &'static BootInfo,
    /// The ring area's words.
    pub area: Area,
    /// The rings.
    pub ring: GuestRing<Area>,
    next: u64,
}

impl Raw {
    /// Takes the rings over from the runtime, which must not have submitted a request.
    pub fn take() -> Self {
        let boot = ukvm_runtime::boot_info();
        let area = Area { start: boot.rings.start };
        assert_eq!(area.load_u32_acquire(ukvm_abi::ring::SUBMISSION_TAIL), 0, "the runtime uses the ring");
        let shape = Shape::new(boot.submission_entries, boot.completion_entries).expect("a legal shape");
        Self { boot, area, ring: GuestRing::new(area, shape), next: 1 << 32 }
    }

    /// Submits a request; the ring must have room.
    pub fn submit(&mut self, request: &Request) {
        assert!(self.ring.submit(request).expect("the monitor's indices are possible"), "the ring is full");
    }

    /// Rings the doorbell for what is submitted, and waits for a completion or the deadline (see
    /// [`DEADLINE`](ukvm_abi::ring::DEADLINE)).
    pub fn enter(&self, deadline: u64) {
        self.ring.set_deadline(deadline);
        ring_doorbell(Function::Enter.encode(0));
    }

    /// The next completion, waited for.
    pub fn wait(&mut self) -> Completion {
        loop {
            if let Some(completion) = self.ring.take().expect("the monitor's indices are possible") {
                return completion;
            }
            self.enter(u64::MAX);
        }
    }

    /// Submits a request and waits for its completion, which must be the next one. The user data is the callee's.
    pub fn call(&mut self, request: &Request) -> Completion {
        self.next += 1;
        let request = Request { user_data: self.next, ..*request };
        self.submit(&request);
        let completion = self.wait();
        assert_eq!(completion.user_data, self.next, "another request completed");
        completion
    }

    /// Writes `text` to the console.
    pub fn print(&mut self, text: &str) {
        let done = self.call(&console_write(text.as_bytes()));
        assert_eq!((done.status, done.value), (0, text.len() as u64), "a console write");
    }

    /// Writes a line to the console.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        let line: String = format!("{text}\n");
        self.print(&line);
    }

    /// Ends the guest.
    pub fn exit(&self, status: u8) -> ! {
        ring_doorbell(Function::Exit.encode(status));
        unreachable!("the doorbell returned from an exit")
    }
}

/// A request that writes `bytes` to the console.
pub fn console_write(bytes: &[u8]) -> Request {
    Request {
        opcode: Opcode::ConsoleWrite as u16,
        address: bytes.as_ptr() as u64,
        length: bytes.len() as u64,
        ..Request::default()
    }
}

/// A request with this opcode and nothing else.
pub fn bare(opcode: Opcode) -> Request {
    Request { opcode: opcode as u16, ..Request::default() }
}

/// Writes `value` to the doorbell.
pub fn ring_doorbell(value: u32) {
    // SAFETY: what the monitor does upon it is what the caller wants; it may write to memory that the guest has lent it.
    unsafe { asm!("out dx, eax", in("dx") doorbell::PORT, in("eax") value) };
}

/// The program's first argument, or nothing.
pub fn argument() -> &'static str {
    ukvm_runtime::args().next().unwrap_or("")
}

/// Executes instructions of which a test wants to see what comes of them. All that is left to the caller is to name every
/// register and every place in memory that they change if they do not fault.
#[macro_export]
macro_rules! execute {
    ($($operand:tt)*) => {
        // SAFETY: these instructions fault, or change at most what the operands name.
        unsafe { core::arch::asm!($($operand)*) }
    };
}
