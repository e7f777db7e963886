//! What the monitor tells the guest at its first instruction.
//!
//! The guest starts at the ELF entry point in 64-bit mode at privilege level 3, with the virtual address of a [`BootInfo`] in
//! RDI, RSP as after a `CALL` (RSP + 8 is a multiple of 16), RFLAGS with IF clear and IOPL 3, all other general registers 0, and the
//! x87 and SSE control words at their reset values for 64-bit programs (0x37F and 0x1F80). Relocations are applied and RELRO is sealed.
//!
//! The boot information and everything that it points to, the rings and the stack excepted, is read-only for the guest.

use crate::manifest::MAX_NAME;

/// The boot information. All addresses are the guest's virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BootInfo {
    /// The bytes of this structure; a newer monitor has more than this crate knows.
    pub size: u32,
    /// The [ABI version](crate::ABI_VERSION) of the monitor.
    pub abi_version: u32,
    /// Features of the monitor, all bits 0 so far.
    pub features: u64,
    /// Seed for the guest's random number generator, from the host's.
    pub seed: [u8; 32],
    /// Lowest and one past the highest address of the loaded image.
    pub image: Range,
    /// The stack, without its guard pages.
    pub stack: Range,
    /// Free memory in 4 KiB pages, a little, below the heap; what fits here costs no 2 MiB page.
    pub small_heap: Range,
    /// Free memory in 2 MiB pages: the rest of the guest's memory. Zeroed.
    pub heap: Range,
    /// The program's arguments without its own name: strings, each ended by a NUL.
    pub arguments: Range,
    /// How many arguments there are.
    pub argument_count: u64,
    /// The environment: strings `NAME=VALUE`, each ended by a NUL.
    pub environment: Range,
    /// How many variables there are.
    pub environment_count: u64,
    /// The devices, an array of [`DeviceInfo`] in the manifest's order.
    pub devices: Range,
    /// How many devices there are.
    pub device_count: u32,
    /// The bytes from one [`DeviceInfo`] to the next; a newer monitor has more than this crate knows.
    pub device_size: u32,
    /// The [rings](crate::ring) of the first vCPU.
    pub rings: Range,
    /// Entries of its submission ring.
    pub submission_entries: u32,
    /// Entries of its completion ring.
    pub completion_entries: u32,
    /// The [clock page](crate::clock).
    pub clock: u64,
    /// What the console is: see [`CONSOLE_INPUT_TERMINAL`] and the like.
    pub console_flags: u64,
    /// The added value of every address in the image: 0 for a program with fixed addresses.
    pub load_bias: u64,
    /// All of the guest's memory in bytes, as `--mem` gave it.
    pub memory_size: u64,
}

/// In [`BootInfo::console_flags`]: input comes from a terminal.
pub const CONSOLE_INPUT_TERMINAL: u64 = 1;
/// In [`BootInfo::console_flags`]: output goes to a terminal.
pub const CONSOLE_OUTPUT_TERMINAL: u64 = 2;

/// A range of virtual addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Range {
    /// Its first byte.
    pub start: u64,
    /// Its bytes.
    pub length: u64,
}

/// What a device turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DeviceInfo {
    /// The number of a [`DeviceKind`](crate::manifest::DeviceKind).
    pub kind: u32,
    /// [`DEVICE_PRESENT`], [`DEVICE_READ_ONLY`].
    pub flags: u32,
    /// The name from the manifest, padded with NUL.
    pub name: [u8; MAX_NAME],
    /// Features of the device, all bits 0 so far.
    pub features: u64,
    /// Block: its size in bytes, a multiple of the block size, below 2^63.
    pub capacity: u64,
    /// Block: the unit in bytes of offsets and lengths, a power of two, at least 512.
    pub block_size: u32,
    /// Block: the most bytes that a request may move.
    pub max_transfer: u32,
    /// Net: the hardware address.
    pub mac: [u8; 6],
    /// Net: the most bytes of a frame's payload behind its Ethernet header, 68 to 65521.
    pub mtu: u16,
}

/// In [`DeviceInfo::flags`]: a host device is bound to it. Only an optional device can lack this.
pub const DEVICE_PRESENT: u32 = 1;
/// In [`DeviceInfo::flags`]: a block device that cannot be written.
pub const DEVICE_READ_ONLY: u32 = 2;

const _: () =
    assert!(size_of::<BootInfo>() == 240, "docs/abi.md states the layout: a change is a new ABI version");
const _: () =
    assert!(size_of::<DeviceInfo>() == 72, "docs/abi.md states the layout: a change is a new ABI version");
const _: () = assert!(core::mem::offset_of!(BootInfo, image) == 48, "docs/abi.md states the layout");
const _: () = assert!(core::mem::offset_of!(BootInfo, device_count) == 176, "docs/abi.md states the layout");
const _: () = assert!(core::mem::offset_of!(BootInfo, load_bias) == 224, "docs/abi.md states the layout");
