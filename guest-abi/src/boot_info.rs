//! What the monitor tells the guest at its first instruction.
//!
//! The guest starts at the ELF entry point in 64-bit mode at privilege level 3, with the virtual address of a [`BootInfo`] in
//! RDI, RSP as after a `CALL` (RSP + 8 is a multiple of 16), RFLAGS with IF clear and IOPL 3, all other general registers 0, and the
//! x87 and SSE control words at their reset values for 64-bit programs (0x37F and 0x1F80). Relocations are applied and RELRO is sealed.
//!
//! The boot information and everything that it points to, the rings and the stack excepted, is read-only for the guest.

use crate::bytes::put;
use crate::manifest::MAX_NAME;

/// The boot information. All addresses are the guest's virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BootInfo {
    /// The bytes of this structure; a newer monitor has more than this crate knows.
    pub size: u32,
    /// The [ABI version](crate::ABI_VERSION) of the monitor.
    pub abi_version: u32,
    /// Features of the monitor: [`QUIET_SENDS`].
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

/// In [`BootInfo::features`]: the monitor knows the flag [`QUIET`](crate::request::QUIET).
pub const QUIET_SENDS: u64 = 1;

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
    /// Features of the device that are in use: for a network device those of [`net`](crate::net), for a disk [`DEVICE_MAPPED`].
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
    /// Block, with [`DEVICE_MAPPED`] only: the virtual address at which all of its bytes can be read; else 0.
    pub mapping: u64,
}

impl BootInfo {
    /// The bytes of both heaps.
    #[must_use]
    pub const fn heap_size(&self) -> u64 {
        self.small_heap.length.saturating_add(self.heap.length)
    }

    /// The structure's bytes, as they lie in the guest's memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; size_of::<Self>()] {
        // Destructured, so that a new field cannot be left out.
        let Self {
            size,
            abi_version,
            features,
            seed,
            image,
            stack,
            small_heap,
            heap,
            arguments,
            argument_count,
            environment,
            environment_count,
            devices,
            device_count,
            device_size,
            rings,
            submission_entries,
            completion_entries,
            clock,
            console_flags,
            load_bias,
            memory_size,
        } = *self;
        let two = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let words = [
            image.start,
            image.length,
            stack.start,
            stack.length,
            small_heap.start,
            small_heap.length,
            heap.start,
            heap.length,
            arguments.start,
            arguments.length,
            argument_count,
            environment.start,
            environment.length,
            environment_count,
            devices.start,
            devices.length,
            two(device_count, device_size),
            rings.start,
            rings.length,
            two(submission_entries, completion_entries),
            clock,
            console_flags,
            load_bias,
            memory_size,
        ];
        let mut bytes = [0; size_of::<Self>()];
        put(&mut bytes, 0, &two(size, abi_version).to_le_bytes());
        put(&mut bytes, 8, &features.to_le_bytes());
        put(&mut bytes, 16, &seed);
        for (index, word) in words.into_iter().enumerate() {
            put(&mut bytes, 48 + index * 8, &word.to_le_bytes());
        }
        bytes
    }
}

impl DeviceInfo {
    /// The structure's bytes, as they lie in the guest's memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; size_of::<Self>()] {
        let Self { kind, flags, name, features, capacity, block_size, max_transfer, mac, mtu, mapping } =
            *self;
        let mut bytes = [0; size_of::<Self>()];
        put(&mut bytes, 0, &kind.to_le_bytes());
        put(&mut bytes, 4, &flags.to_le_bytes());
        put(&mut bytes, 8, &name);
        put(&mut bytes, 40, &features.to_le_bytes());
        put(&mut bytes, 48, &capacity.to_le_bytes());
        put(&mut bytes, 56, &block_size.to_le_bytes());
        put(&mut bytes, 60, &max_transfer.to_le_bytes());
        put(&mut bytes, 64, &mac);
        put(&mut bytes, 70, &mtu.to_le_bytes());
        put(&mut bytes, 72, &mapping.to_le_bytes());
        bytes
    }
}

/// In [`DeviceInfo::flags`]: a host device is bound to it. Only an optional device can lack this.
pub const DEVICE_PRESENT: u32 = 1;
/// In [`DeviceInfo::flags`]: a block device that cannot be written.
pub const DEVICE_READ_ONLY: u32 = 2;

/// In [`DeviceInfo::features`]: the bytes of a block device appear in the guest's memory, at [`DeviceInfo::mapping`]. Monitors that
/// do not set this have a [`DeviceInfo`] that may end before that field.
pub const DEVICE_MAPPED: u64 = 1;

const _: () =
    assert!(size_of::<BootInfo>() == 240, "docs/abi.md states the layout: a change is a new ABI version");
const _: () =
    assert!(size_of::<DeviceInfo>() == 80, "docs/abi.md states the layout: it grows at its end only");
const _: () = assert!(core::mem::offset_of!(BootInfo, image) == 48, "docs/abi.md states the layout");
const _: () = assert!(core::mem::offset_of!(BootInfo, device_count) == 176, "docs/abi.md states the layout");
const _: () = assert!(core::mem::offset_of!(BootInfo, load_bias) == 224, "docs/abi.md states the layout");
const _: () = assert!(core::mem::offset_of!(DeviceInfo, mtu) == 70, "docs/abi.md states the layout");
const _: () = assert!(core::mem::offset_of!(DeviceInfo, mapping) == 72, "docs/abi.md states the layout");

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn each_field_of_the_boot_information_is_at_its_offset() {
        let range = |start: u64| Range { start, length: start + 1 };
        let info = BootInfo {
            size: 1,
            abi_version: 2,
            features: 3,
            seed: [4; 32],
            image: range(10),
            stack: range(20),
            small_heap: range(30),
            heap: range(40),
            arguments: range(50),
            argument_count: 52,
            environment: range(60),
            environment_count: 62,
            devices: range(70),
            device_count: 72,
            device_size: 73,
            rings: range(80),
            submission_entries: 82,
            completion_entries: 83,
            clock: 90,
            console_flags: 91,
            load_bias: 92,
            memory_size: 93,
        };
        let bytes = info.to_bytes();
        let u32_at = |at: usize| crate::bytes::u32_at(&bytes, at).unwrap();
        let u64_at = |at: usize| crate::bytes::u64_at(&bytes, at).unwrap();
        assert_eq!(u32_at(offset_of!(BootInfo, size)), 1);
        assert_eq!(u32_at(offset_of!(BootInfo, abi_version)), 2);
        assert_eq!(u64_at(offset_of!(BootInfo, features)), 3);
        assert_eq!(bytes[offset_of!(BootInfo, seed)..][..32], [4; 32]);
        for (offset, start) in [
            (offset_of!(BootInfo, image), 10),
            (offset_of!(BootInfo, stack), 20),
            (offset_of!(BootInfo, small_heap), 30),
            (offset_of!(BootInfo, heap), 40),
            (offset_of!(BootInfo, arguments), 50),
            (offset_of!(BootInfo, environment), 60),
            (offset_of!(BootInfo, devices), 70),
            (offset_of!(BootInfo, rings), 80),
        ] {
            assert_eq!((u64_at(offset), u64_at(offset + 8)), (start, start + 1));
        }
        assert_eq!(u64_at(offset_of!(BootInfo, argument_count)), 52);
        assert_eq!(u64_at(offset_of!(BootInfo, environment_count)), 62);
        assert_eq!(u32_at(offset_of!(BootInfo, device_count)), 72);
        assert_eq!(u32_at(offset_of!(BootInfo, device_size)), 73);
        assert_eq!(u32_at(offset_of!(BootInfo, submission_entries)), 82);
        assert_eq!(u32_at(offset_of!(BootInfo, completion_entries)), 83);
        assert_eq!(u64_at(offset_of!(BootInfo, clock)), 90);
        assert_eq!(u64_at(offset_of!(BootInfo, console_flags)), 91);
        assert_eq!(u64_at(offset_of!(BootInfo, load_bias)), 92);
        assert_eq!(u64_at(offset_of!(BootInfo, memory_size)), 93);
    }

    #[test]
    fn each_field_of_a_device_is_at_its_offset() {
        let device = DeviceInfo {
            kind: 1,
            flags: 2,
            name: [3; MAX_NAME],
            features: 4,
            capacity: 5,
            block_size: 6,
            max_transfer: 7,
            mac: [8; 6],
            mtu: 9,
            mapping: 10,
        };
        let bytes = device.to_bytes();
        assert_eq!(bytes[offset_of!(DeviceInfo, kind)], 1);
        assert_eq!(bytes[offset_of!(DeviceInfo, flags)], 2);
        assert_eq!(bytes[offset_of!(DeviceInfo, name)..][..MAX_NAME], [3; MAX_NAME]);
        assert_eq!(bytes[offset_of!(DeviceInfo, features)], 4);
        assert_eq!(bytes[offset_of!(DeviceInfo, capacity)], 5);
        assert_eq!(bytes[offset_of!(DeviceInfo, block_size)], 6);
        assert_eq!(bytes[offset_of!(DeviceInfo, max_transfer)], 7);
        assert_eq!(bytes[offset_of!(DeviceInfo, mac)..][..6], [8; 6]);
        assert_eq!(bytes[offset_of!(DeviceInfo, mtu)], 9);
        assert_eq!(bytes[offset_of!(DeviceInfo, mapping)], 10);
    }
}
