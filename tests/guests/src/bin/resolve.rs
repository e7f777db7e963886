//! Looks up the names among its arguments, once it has an address, and prints what it finds.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ukvm_runtime::net::{IpAddress, Options, Stack};
use ukvm_runtime::{args, print, println};

ukvm_runtime::program! { main = main; net service; }

async fn main() {
    let (options, names) = Options::parse(args()).expect("arguments of the network");
    let stack = Stack::open("service", options.config).expect("a network device");
    stack.configured().await;
    show("servers", &stack.dns_servers());
    for name in names {
        match stack.resolve(name).await {
            Ok(addresses) => show(name, &addresses),
            Err(error) => println!("{name}: {error}"),
        }
    }
}

fn show(what: &str, addresses: &[IpAddress]) {
    print!("{what}:");
    addresses.iter().for_each(|address| print!(" {address}"));
    println!();
}
