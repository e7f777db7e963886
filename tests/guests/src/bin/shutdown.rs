//! Waits for the shutdown notice, and then does what its argument says: `obey` exits with 7, `slowly` does so after 300 ms,
//! `ignore` never does, `again` waits for a second notice. `deaf` does not wait for the notice at all.
#![no_std]
#![no_main]

use core::time::Duration;
use ukvm_runtime::{print, shutdown, time};

ukvm_runtime::program! { main = main; }

async fn main() -> u8 {
    let how = ukvm_runtime::args().next().unwrap_or("obey");
    if how == "deaf" {
        print!("ready\n");
        core::future::pending::<()>().await;
    }
    // Asked for before the line, so that the test's signal comes after it.
    let _ = time::timeout(Duration::ZERO, shutdown::requested()).await;
    print!("ready\n");
    shutdown::requested().await;
    print!("asked\n");
    match how {
        "slowly" => time::sleep(Duration::from_millis(300)).await,
        "ignore" => core::future::pending().await,
        _ => {}
    }
    7
}
