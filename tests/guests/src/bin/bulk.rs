//! Much data over TCP, compared byte by byte with what it should be: [`PATTERN`] bytes of noise, again and again.
//!
//! - Port 1: takes data, and answers its end with the number of bytes, as 8 bytes; if one is wrong, with a reset.
//! - Port 2: takes a number of bytes, as 8 bytes, and sends as many.
//! - Port 3: as port 1, but does not read before a datagram came to UDP port 7.
//! - UDP port 7: sends back what it gets.
//!
//! Its network is the device `lan`, or `plain`, which leaves nothing to the host and takes nothing from it.
//!
//! At the shutdown notice it exits with 3, after a line with the counters of the stack.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use test_guests::noise;
use ukvm_runtime::abi::boot_info::DEVICE_PRESENT;
use ukvm_runtime::net::{Stack, TcpOptions, TcpStream, UdpSocket};
use ukvm_runtime::{device, net, println, shutdown, task, time};

ukvm_runtime::program! { main = main; net lan: optional; net plain: plain, optional; }

/// The bytes after which the data repeats itself: a prime, so that no buffer's size divides it.
const PATTERN: usize = 1_000_003;
const SEED: u64 = 1;

async fn main() -> u8 {
    let config = net::options().config;
    let stack = Stack::open("lan", config.clone()).or_else(|_| Stack::open("plain", config));
    let stack = stack.expect("a network device");
    let options = TcpOptions { receive_buffer: 1 << 20, send_buffer: 1 << 20, ..TcpOptions::default() };
    // Twice, so that a piece from anywhere is in one piece.
    let pattern = noise(SEED, PATTERN);
    let pattern: Rc<[u8]> = [&pattern[..], &pattern[..]].concat().into();
    let go = Rc::new(Cell::new(false));
    for port in 1..=3 {
        let listener = stack.listen(port, options).expect("a free port");
        let (pattern, go) = (pattern.clone(), go.clone());
        drop(task::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await;
                let (pattern, go) = (pattern.clone(), go.clone());
                drop(task::spawn(async move {
                    while port == 3 && !go.get() {
                        time::sleep(Duration::from_millis(1)).await;
                    }
                    match port {
                        2 => send(stream, &pattern).await,
                        _ => take(stream, &pattern).await,
                    }
                }));
            }
        }));
    }
    let socket = UdpSocket::bind(&stack, 7).expect("a free port");
    drop(task::spawn(async move {
        let mut buffer = vec![0; 1500];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.expect("a packet");
            go.set(true);
            let _ = socket.send_to(&buffer[..length], peer).await;
        }
    }));
    let in_use = device::all().find(|(_, info)| info.flags & DEVICE_PRESENT != 0);
    println!("serving with {:#x}", in_use.map_or(0, |(_, info)| info.features));
    shutdown::requested().await;
    println!("{:?}", stack.counters());
    3
}

async fn take(mut stream: TcpStream, pattern: &[u8]) {
    let mut buffer: Vec<u8> = vec![0; 256 << 10];
    let mut total = 0_usize;
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(length) if buffer[..length] == pattern[total % PATTERN..][..length] => total += length,
            _ => return stream.abort(),
        }
    }
    let _ = stream.write_all(&(total as u64).to_le_bytes()).await;
    let _ = stream.close().await;
}

async fn send(mut stream: TcpStream, pattern: &[u8]) {
    let mut length = [0; 8];
    if stream.read_exact(&mut length).await.is_err() {
        return stream.abort();
    }
    let length = u64::from_le_bytes(length) as usize;
    let mut total = 0;
    while total < length {
        let piece = (length - total).min(PATTERN);
        match stream.write(&pattern[total % PATTERN..][..piece]).await {
            Ok(sent) => total += sent,
            Err(_) => return,
        }
    }
    let _ = stream.close().await;
}
