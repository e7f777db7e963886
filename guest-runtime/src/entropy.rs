//! Random numbers: ChaCha20, seeded by the host at boot.
//!
//! The crate getrandom, in its versions 0.2, 0.3 and 0.4, takes its bytes from here, and with it whatever stands on it. (Versions 0.3
//! and 0.4 need `--cfg getrandom_backend="custom"`, as in this project's `.cargo/config.toml`.)

use crate::local::Local;
use crate::ring::Operation;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use core::num::NonZeroU32;
use core::slice;
use ukvm_abi::request::{Opcode, SYSTEM, Status};

static GENERATOR: Local<Option<ChaCha20Rng>> = Local::new(None);

/// Fills `bytes` with random numbers fit for keys. Never fails, and never waits.
pub fn fill(bytes: &mut [u8]) {
    GENERATOR.with(|generator| {
        generator.get_or_insert_with(|| ChaCha20Rng::from_seed(crate::boot_info().seed)).fill_bytes(bytes);
    });
}

/// Fills `bytes` from the host's own random number generator.
///
/// # Errors
///
/// The [`Status`] with which the monitor refused.
pub async fn request(bytes: &mut [u8]) -> Result<(), Status> {
    Operation::fill(Opcode::Entropy, SYSTEM, bytes, 0).await.map(drop)
}

/// Fresh random numbers from the host become the seed of [`fill`].
///
/// # Errors
///
/// The [`Status`] with which the monitor refused; the generator is then as before.
pub async fn reseed() -> Result<(), Status> {
    let mut seed = [0; 32];
    request(&mut seed).await?;
    GENERATOR.with(|generator| *generator = Some(ChaCha20Rng::from_seed(seed)));
    Ok(())
}

/// What getrandom 0.3 and 0.4 call, by this name, where their back end is `custom`.
///
/// Their result is a `Result<(), Error>` around a number that is not 0, each version with an `Error` of its own; all have
/// the layout of this one.
///
/// # Safety
///
/// `length` bytes at `address` are writable.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(address: *mut u8, length: usize) -> Result<(), NonZeroU32> {
    // SAFETY: the caller keeps the contract of this very function.
    unsafe { fill_at(address, length) };
    Ok(())
}

/// As [`fill`], into memory that may not yet be initialised.
///
/// # Safety
///
/// `length` bytes at `address` are writable.
pub(crate) unsafe fn fill_at(address: *mut u8, length: usize) {
    if length > 0 {
        // SAFETY: the caller says that the bytes are writable.
        unsafe { address.write_bytes(0, length) };
        // SAFETY: the bytes are writable, and initialised by the line above.
        fill(unsafe { slice::from_raw_parts_mut(address, length) });
    }
}
