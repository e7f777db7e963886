//! Returns from `main` with status 42.
#![no_std]
#![no_main]

ukvm_runtime::program! { main = main; }

async fn main() -> u8 {
    42
}
