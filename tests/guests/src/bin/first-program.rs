//! A TCP server that sends back what it receives: the first program of the README, to the letter.
#![no_std]
#![no_main]

use embedded_io_async::{Read, Write};
use ukvm_runtime::net::{self, Stack, TcpOptions};
use ukvm_runtime::{println, task};

ukvm_runtime::program! { main = main; net service; }

async fn main() {
    let options = net::options();
    let stack = Stack::open("service", options.config).expect("a network device");
    let listener = stack.listen(options.port.unwrap_or(7), TcpOptions::default()).expect("a port");
    println!("ready");
    loop {
        let (mut stream, peer) = listener.accept().await;
        println!("hello, {peer}");
        task::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
        });
    }
}
