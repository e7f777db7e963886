//! The devices that the program declared, as the monitor found them.

use core::fmt;
use core::mem::MaybeUninit;
use ukvm_abi::boot_info::{DEVICE_PRESENT, DeviceInfo};
use ukvm_abi::manifest::DeviceKind;

/// Why a device cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The program does not declare it.
    NotDeclared {
        /// What it should be.
        kind: DeviceKind,
    },
    /// It is optional, and the monitor was started without it.
    Absent,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDeclared { kind: DeviceKind::Net } => {
                f.write_str("no network device of that name is declared, add it to `program!` as `net NAME;`")
            }
            Self::NotDeclared { kind: DeviceKind::Block } => {
                f.write_str("no block device of that name is declared, add it to `program!` as `block NAME;`")
            }
            Self::Absent => f.write_str(
                "the device is absent, start the monitor with a `--net` or `--disk` option for it",
            ),
        }
    }
}

impl core::error::Error for OpenError {}

/// All devices with their handles, in the order of [`program!`](crate::program).
pub fn all() -> impl Iterator<Item = (u32, DeviceInfo)> {
    let boot_info = crate::boot_info();
    // An older monitor has less than this version knows.
    let size = size_of::<DeviceInfo>().min(boot_info.device_size as usize);
    (0..boot_info.device_count).map(move |index| {
        let address = boot_info.devices.start + u64::from(index) * u64::from(boot_info.device_size);
        let mut info = MaybeUninit::<DeviceInfo>::zeroed();
        // SAFETY: the monitor put `device_count` structures of `device_size` bytes there, in pages that nobody writes any
        // more, and no more than one of either side is copied.
        unsafe { core::ptr::copy_nonoverlapping(address as *const u8, info.as_mut_ptr().cast(), size) };
        // SAFETY: all fields are integers, for which any bytes will do.
        (index + 1, unsafe { info.assume_init() })
    })
}

/// The handle of the device `name`, and what it turned out to be.
///
/// # Errors
///
/// An [`OpenError`] where it is not there.
pub fn find(kind: DeviceKind, name: &str) -> Result<(u32, DeviceInfo), OpenError> {
    let (handle, device) = all()
        .find(|(_, device)| device.kind == kind as u32 && self::name(device) == name)
        .ok_or(OpenError::NotDeclared { kind })?;
    if device.flags & DEVICE_PRESENT == 0 {
        return Err(OpenError::Absent);
    }
    Ok((handle, device))
}

/// The device's name.
pub fn name(device: &DeviceInfo) -> &str {
    let length = device.name.iter().position(|&byte| byte == 0).unwrap_or(device.name.len());
    // The monitor has checked the name; what were not ASCII would match none.
    str::from_utf8(&device.name[..length]).unwrap_or_default()
}
