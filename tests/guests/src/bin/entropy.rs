//! Takes random numbers in every way there is, and prints them.
#![no_std]
#![no_main]

use ukvm_runtime::{entropy, println};

ukvm_runtime::program! { main = main; }

async fn main() {
    let (mut first, mut second, mut third) = ([0; 32], [0; 32], [0; 32]);
    entropy::fill(&mut first);
    entropy::fill(&mut second);
    getrandom_03::fill(&mut third).expect("random numbers from the runtime");
    println!("{first:02x?}\n{second:02x?}\n{third:02x?}");
}
