//! A UDP echo service on port 7 that at the same time reads its disk all the time and, with the argument `flood` behind those
//! of the network, writes to the console without end. At the shutdown notice it exits with 3.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use ukvm_runtime::block::Disk;
use ukvm_runtime::net::{Options, Stack, UdpSocket};
use ukvm_runtime::{console, println, shutdown, task};

ukvm_runtime::program! { main = main; net lan; block data; }

async fn main() -> u8 {
    let (options, others) = Options::parse(ukvm_runtime::args()).expect("arguments of the network");
    let stack = Stack::open("lan", options.config).expect("the network");
    let socket = UdpSocket::bind(&stack, 7).expect("a free port");
    let disk = Disk::open("data").expect("the disk");
    println!("serving");
    drop(task::spawn(async move {
        let mut buffer = vec![0; 4096];
        loop {
            disk.read(0, &mut buffer).await.expect("the disk reads");
        }
    }));
    if others.contains(&"flood") {
        drop(task::spawn(async {
            loop {
                console::write_all(&[b'#'; 4096]).await;
            }
        }));
    }
    drop(task::spawn(async move {
        let mut buffer = vec![0; 1500];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.expect("a packet");
            socket.send_to(&buffer[..length], peer).await.expect("a packet sent");
        }
    }));
    shutdown::requested().await;
    3
}
