//! Serves two networks, each with the contents of a disk of its own, over TCP: the program of the page on networks, to the letter.
#![no_std]
#![no_main]

extern crate alloc;

use embedded_io_async::Write;
use ukvm_runtime::block::Disk;
use ukvm_runtime::net::{Config, Stack, TcpOptions};
use ukvm_runtime::{args, println, shutdown, task};

ukvm_runtime::program! {
    main = main;
    net front;
    net back;
    block public;
    block private;
}

async fn main() {
    for (net, disk) in [("front", "public"), ("back", "private")] {
        let prefix = alloc::format!("--{net}=");
        let address = args().find_map(|argument| argument.strip_prefix(&*prefix)).expect("an address");
        let mut config = Config::default();
        config.addresses.push(address.parse().expect("an address and its prefix length"));
        let stack = Stack::open(net, config).expect("a network device");
        let disk = Disk::open(disk).expect("a disk");
        println!("{net}: {address}");
        task::spawn(serve(stack, disk));
    }
    shutdown::requested().await;
}

async fn serve(stack: Stack, disk: Disk) {
    let listener = stack.listen(7, TcpOptions::default()).expect("a port");
    loop {
        let (mut stream, _) = listener.accept().await;
        let mut sector = [0; 512];
        disk.read(0, &mut sector).await.expect("a sector");
        let _ = stream.write_all(&sector).await;
        let _ = stream.close().await;
    }
}
