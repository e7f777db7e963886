//! Sends frames back, with nothing around the calls that it takes.

use std::error::Error;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use ukvm_host_net::tap;

include!("../../../io/frames.rs");

/// Bytes of the virtio-net header before each frame.
const HEADER: usize = 10;

/// Sends frames back until it is killed. A TAP has no call for several frames, and io_uring costs more than it saves there; so
/// each is sent back while it is in the cache.
pub(crate) fn echo(name: &str, spins: bool) -> Result<(), Box<dyn Error>> {
    let mut tap: File = tap::attach(name)?;
    rustix::io::ioctl_fionbio(&tap, spins)?;
    println!("ready");
    let mut frame = [0; HEADER + 2048];
    loop {
        let length = match tap.read(&mut frame) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::hint::spin_loop();
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if frame.get_mut(HEADER..length).is_some_and(turn_round) {
            tap.write_all(&frame[..length])?;
        }
    }
}
