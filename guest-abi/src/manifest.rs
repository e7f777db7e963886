//! The manifest: what a guest needs before it can start.
//!
//! It is the descriptor of the guest's [`note`](crate::note): a header of [`HEADER_SIZE`] bytes, then the devices.
//!
//! | offset | size | header field |
//! |---|---|---|
//! | 0 | 4 | [ABI version](crate::ABI_VERSION) that the guest was built for |
//! | 4 | 4 | bytes of this header, at least 40 |
//! | 8 | 4 | number of devices, at most [`MAX_DEVICES`] |
//! | 12 | 4 | bytes of each device's entry, at least 48 |
//! | 16 | 8 | least guest memory in bytes; 0: any |
//! | 24 | 8 | stack in bytes; 0: the monitor's default |
//! | 32 | 8 | features that the guest requires, all bits 0 so far |
//!
//! | offset | size | field of a device's entry |
//! |---|---|---|
//! | 0 | 4 | [kind](DeviceKind) |
//! | 4 | 4 | flags, see [`WRITABLE`] and [`OPTIONAL`] |
//! | 8 | 32 | name in ASCII letters, digits, `-`, `_`, `.`, padded with NUL |
//! | 40 | 8 | features that the guest can make use of: for a network device see [`net`](crate::net), for others 0 so far |

use crate::bytes::{put, u32_at, u64_at};

/// The bytes of the header in this version of the contract.
pub const HEADER_SIZE: usize = 40;
/// The bytes of a device's entry in this version of the contract.
pub const DEVICE_SIZE: usize = 48;
/// The most devices that a guest can declare.
pub const MAX_DEVICES: usize = 64;
/// The most bytes of a device's name.
pub const MAX_NAME: usize = 32;

/// Flag of a block device: the guest writes to it, so it must not be bound read-only.
pub const WRITABLE: u32 = 1;
/// Flag of any device: the guest can run without it.
pub const OPTIONAL: u32 = 2;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum DeviceKind {
    /// A network device that carries Ethernet frames.
    Net = 1,
    /// A block device.
    Block = 2,
}

/// A device that the guest declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// What it is.
    pub kind: DeviceKind,
    /// [`WRITABLE`], [`OPTIONAL`].
    pub flags: u32,
    /// Its name, unique among the devices of its kind.
    pub name: &'a str,
    /// Features that the guest can make use of; those that a monitor does not know, it ignores. For a network device see
    /// [`net`](crate::net), for others 0 so far.
    pub features: u64,
}

/// The manifest as a guest's source states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest<'a> {
    /// Least guest memory in bytes; 0: any.
    pub min_memory: u64,
    /// Stack in bytes; 0: the monitor's default.
    pub stack_size: u64,
    /// The devices; a device's handle is its index here plus 1.
    pub devices: &'a [Device<'a>],
}

impl Manifest<'_> {
    /// Writes the manifest to `to[at..]`, and fails the build where a name is not legal.
    pub(crate) const fn encode_at(&self, to: &mut [u8], at: usize) {
        assert!(self.devices.len() <= MAX_DEVICES, "a manifest declares at most 64 devices");
        put(to, at, &crate::ABI_VERSION.to_le_bytes());
        put(to, at + 4, &(HEADER_SIZE as u32).to_le_bytes());
        put(to, at + 8, &(self.devices.len() as u32).to_le_bytes());
        put(to, at + 12, &(DEVICE_SIZE as u32).to_le_bytes());
        put(to, at + 16, &self.min_memory.to_le_bytes());
        put(to, at + 24, &self.stack_size.to_le_bytes());
        let mut i = 0;
        while i < self.devices.len() {
            let device = &self.devices[i];
            let entry = at + HEADER_SIZE + i * DEVICE_SIZE;
            assert!(is_name(device.name.as_bytes()), "a device's name is 1 to 32 of A-Z a-z 0-9 - _ .");
            put(to, entry, &(device.kind as u32).to_le_bytes());
            put(to, entry + 4, &device.flags.to_le_bytes());
            put(to, entry + 8, device.name.as_bytes());
            put(to, entry + 40, &device.features.to_le_bytes());
            i += 1;
        }
    }
}

/// Whether `name` is a legal name of a device.
#[must_use]
pub const fn is_name(name: &[u8]) -> bool {
    let mut i = 0;
    while i < name.len() {
        if !(name[i].is_ascii_alphanumeric() || matches!(name[i], b'-' | b'_' | b'.')) {
            return false;
        }
        i += 1;
    }
    !name.is_empty() && name.len() <= MAX_NAME
}

/// Why the bytes of a manifest are not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// It is shorter than its header or than the devices that the header counts.
    Truncated,
    /// The guest was built for this version of the contract, which is newer than [`ABI_VERSION`](crate::ABI_VERSION), or 0.
    Version(u32),
    /// The header or an entry states a size below the least.
    BadSize,
    /// It counts this many devices, more than [`MAX_DEVICES`].
    TooManyDevices(u32),
    /// It requires features, by these bits, that do not exist.
    UnknownFeatures(u64),
    /// The device with this index has a kind that does not exist.
    UnknownKind(u32),
    /// The device with this index has flags that do not exist.
    UnknownFlags(u32),
    /// The device with this index has a name that is not legal.
    BadName(u32),
    /// The device with this index has the kind and name of an earlier one.
    Duplicate(u32),
}

/// A checked view of a manifest's bytes.
#[derive(Clone, Copy, Debug)]
pub struct ManifestView<'a> {
    bytes: &'a [u8],
    header_size: usize,
    device_size: usize,
    count: usize,
}

impl<'a> ManifestView<'a> {
    /// Checks `bytes`, the descriptor of a guest's note.
    ///
    /// # Errors
    ///
    /// A [`ManifestError`] where it is not a manifest that this version of the contract can serve.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ManifestError> {
        use ManifestError::{BadSize, TooManyDevices, Truncated, UnknownFeatures, Version};
        // The version comes first: a newer manifest may differ in all the rest.
        let version = u32_at(bytes, 0).ok_or(Truncated)?;
        if version == 0 || version > crate::ABI_VERSION {
            return Err(Version(version));
        }
        let header_size = u32_at(bytes, 4).ok_or(Truncated)? as usize;
        let count = u32_at(bytes, 8).ok_or(Truncated)?;
        let device_size = u32_at(bytes, 12).ok_or(Truncated)? as usize;
        if header_size < HEADER_SIZE || device_size < DEVICE_SIZE {
            return Err(BadSize);
        }
        if count as usize > MAX_DEVICES {
            return Err(TooManyDevices(count));
        }
        let count = count as usize;
        let end = device_size.checked_mul(count).and_then(|all| all.checked_add(header_size));
        if end.is_none_or(|end| end > bytes.len()) {
            return Err(Truncated);
        }
        let view = Self { bytes, header_size, device_size, count };
        match u64_at(bytes, 32).ok_or(Truncated)? {
            0 => {}
            features => return Err(UnknownFeatures(features)),
        }
        for index in 0..count {
            let device = view.device(index)?;
            if (0..index)
                .any(|i| view.device(i).is_ok_and(|d| d.kind == device.kind && d.name == device.name))
            {
                return Err(ManifestError::Duplicate(index as u32));
            }
        }
        Ok(view)
    }

    /// The version of the contract that the guest was built for.
    #[must_use]
    pub fn abi_version(&self) -> u32 {
        u32_at(self.bytes, 0).unwrap_or(0)
    }

    /// Least guest memory in bytes; 0: any.
    #[must_use]
    pub fn min_memory(&self) -> u64 {
        u64_at(self.bytes, 16).unwrap_or(0)
    }

    /// Stack in bytes; 0: the monitor's default.
    #[must_use]
    pub fn stack_size(&self) -> u64 {
        u64_at(self.bytes, 24).unwrap_or(0)
    }

    /// The devices in their order; a device's handle is its place here plus 1.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = Device<'a>> + use<'a> {
        let view = *self;
        // `parse` has read each of them without an error.
        (0..self.count).map(move |index| {
            view.device(index).unwrap_or(Device { kind: DeviceKind::Net, flags: 0, name: "", features: 0 })
        })
    }

    fn device(&self, index: usize) -> Result<Device<'a>, ManifestError> {
        let at = self.header_size + index * self.device_size;
        let number = index as u32;
        let kind = match u32_at(self.bytes, at).ok_or(ManifestError::Truncated)? {
            1 => DeviceKind::Net,
            2 => DeviceKind::Block,
            _ => return Err(ManifestError::UnknownKind(number)),
        };
        let flags = u32_at(self.bytes, at + 4).ok_or(ManifestError::Truncated)?;
        let legal = match kind {
            DeviceKind::Net => OPTIONAL,
            DeviceKind::Block => OPTIONAL | WRITABLE,
        };
        if flags & !legal != 0 {
            return Err(ManifestError::UnknownFlags(number));
        }
        let field = self.bytes.get(at + 8..at + 8 + MAX_NAME).ok_or(ManifestError::Truncated)?;
        let length = field.iter().position(|&byte| byte == 0).unwrap_or(MAX_NAME);
        let (name, padding) = field.split_at(length);
        let features = u64_at(self.bytes, at + 40).ok_or(ManifestError::Truncated)?;
        match core::str::from_utf8(name) {
            Ok(text) if is_name(name) && padding.iter().all(|&byte| byte == 0) => {
                Ok(Device { kind, flags, name: text, features })
            }
            _ => Err(ManifestError::BadName(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note;

    const MANIFEST: Manifest<'_> = Manifest {
        min_memory: 16 << 20,
        stack_size: 0,
        devices: &[
            Device {
                kind: DeviceKind::Net,
                flags: OPTIONAL,
                name: "service",
                features: 0x8000_0000_0000_0181,
            },
            Device {
                kind: DeviceKind::Block,
                flags: WRITABLE,
                name: "a-name-of-thirty-two-characters.",
                features: 0,
            },
        ],
    };
    static NOTE: [u8; note::size(2)] = note::encode(&MANIFEST);

    fn descriptor() -> [u8; HEADER_SIZE + 2 * DEVICE_SIZE] {
        let mut bytes = [0; HEADER_SIZE + 2 * DEVICE_SIZE];
        bytes.copy_from_slice(&NOTE[note::PREFIX_SIZE..]);
        bytes
    }

    #[test]
    fn what_a_guest_states_is_what_the_monitor_reads() {
        let bytes = descriptor();
        let view = ManifestView::parse(&bytes).unwrap();
        assert_eq!((view.abi_version(), view.min_memory(), view.stack_size()), (1, 16 << 20, 0));
        assert!(view.devices().eq(MANIFEST.devices.iter().copied()));
    }

    #[test]
    fn a_manifest_cut_anywhere_is_refused() {
        let bytes = descriptor();
        for length in 0..bytes.len() {
            assert!(ManifestView::parse(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn each_lie_has_its_name() {
        let change = |at: usize, to: u8| {
            let mut bytes = descriptor();
            bytes[at] = to;
            ManifestView::parse(&bytes).map(|_| ())
        };
        assert_eq!(change(0, 2), Err(ManifestError::Version(2)));
        assert_eq!(change(0, 0), Err(ManifestError::Version(0)));
        assert_eq!(change(4, 39), Err(ManifestError::BadSize));
        assert_eq!(change(8, 65), Err(ManifestError::TooManyDevices(65)));
        assert_eq!(change(8, 3), Err(ManifestError::Truncated));
        assert_eq!(change(12, 47), Err(ManifestError::BadSize));
        assert_eq!(change(32, 1), Err(ManifestError::UnknownFeatures(1)));
        assert_eq!(change(40, 9), Err(ManifestError::UnknownKind(0)));
        assert_eq!(change(44, 1), Err(ManifestError::UnknownFlags(0)));
        assert_eq!(change(48, b'/'), Err(ManifestError::BadName(0)));
        assert_eq!(change(48, 0), Err(ManifestError::BadName(0)));
    }

    #[test]
    fn an_entry_may_grow() {
        let mut bytes = [0; HEADER_SIZE + 2 * (DEVICE_SIZE + 16)];
        let old = descriptor();
        bytes[..HEADER_SIZE].copy_from_slice(&old[..HEADER_SIZE]);
        bytes[12] = (DEVICE_SIZE + 16) as u8;
        for i in 0..2 {
            let (from, to) = (HEADER_SIZE + i * DEVICE_SIZE, HEADER_SIZE + i * (DEVICE_SIZE + 16));
            bytes[to..to + DEVICE_SIZE].copy_from_slice(&old[from..from + DEVICE_SIZE]);
        }
        assert!(ManifestView::parse(&bytes).unwrap().devices().eq(MANIFEST.devices.iter().copied()));
    }
}
