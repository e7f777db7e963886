//! Serves the sockets of the guests' network stack.

use embedded_io_async::{Read, Write};
use std::error::Error;
use ukvm_hosted::executor::block_on;
use ukvm_net_stack::{Options, Stack, TcpOptions, TcpStream, UdpSocket};

include!("../../../io/sockets.rs");

/// The hardware address, which the guest has too.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Serves UDP or TCP until it is killed.
pub(crate) fn serve(what: &str, tap: &str, options: &[&str]) -> Result<(), Box<dyn Error>> {
    let options = Options::parse_all(options.iter().copied())?;
    let stack = ukvm_hosted::net::open(tap, MAC, &options.config)?;
    println!("ready");
    let is_udp = what == "udp";
    block_on(async move { if is_udp { serve_udp(&stack).await } else { serve_tcp(&stack).await } });
    Ok(())
}
