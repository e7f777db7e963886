//! Sends back what it receives, over TCP and UDP (RFC 862), until the host wants it to end.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec;
use core::error::Error;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use ukvm_runtime::net::{Stack, TcpError, TcpListener, TcpOptions, TcpStream, UdpSocket};
use ukvm_runtime::{net, println, shutdown, task};

ukvm_runtime::program! {
    main = main;
    net service;
    min_memory = 8 << 20;
}

/// The port of the echo service (RFC 862).
const PORT: u16 = 7;
/// After how long a silence to ask whether a client is still there: one that is gone would keep its connection for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

async fn main() -> Result<(), Box<dyn Error>> {
    let options = net::options();
    let stack = Stack::open("service", options.config)?;
    let port = options.port.unwrap_or(PORT);
    let options = TcpOptions { keep_alive: Some(KEEP_ALIVE), ..TcpOptions::default() };
    let listener = stack.listen(port, options)?;
    let socket = UdpSocket::bind(&stack, port)?;
    let mtu = stack.mtu();
    drop(task::spawn(async move {
        stack.for_each_address(|address| println!("echo: TCP and UDP port {port} of {address}")).await;
    }));
    drop(task::spawn(serve_tcp(listener)));
    drop(task::spawn(serve_udp(socket, mtu.into())));
    shutdown::requested().await;
    Ok(())
}

async fn serve_tcp(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await;
        drop(task::spawn(echo(stream)));
    }
}

async fn echo(mut stream: TcpStream) -> Result<(), TcpError> {
    let mut buffer = vec![0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.close().await,
            length => stream.write_all(&buffer[..length]).await?,
        }
    }
}

async fn serve_udp(socket: UdpSocket, longest: usize) {
    let mut buffer = vec![0; longest];
    loop {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            // Whom it cannot be sent to, it cannot be sent to: UDP promises nothing.
            let _ = socket.send_to(&buffer[..length], peer).await;
        }
    }
}
