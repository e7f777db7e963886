//! Links the optimised `ukvm-run` without the host's C library: `ukvm-crt` takes its place.

use std::path::Path;
use std::{env, fs, io};

/// The archives that Rust's standard library names to the linker.
const LIBRARIES: [&str; 7] = ["c", "dl", "gcc_eh", "m", "pthread", "rt", "util"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(own_start)");
    // Without link-time optimisation the standard library asks for far more than the monitor uses.
    if env::var("PROFILE").as_deref() != Ok("release") {
        return Ok(());
    }
    println!("cargo::rustc-cfg=own_start");
    // Empty ones are found before the host's: what `ukvm-crt` does not have is then an error, rather than a C library in part.
    let directory = env::var("OUT_DIR").map_err(io::Error::other)?;
    for library in LIBRARIES {
        fs::write(Path::new(&directory).join(format!("lib{library}.a")), b"!<arch>\n")?;
    }
    println!("cargo::rustc-link-arg-bin=ukvm-run=-L{directory}");
    for argument in ["-nostartfiles", "-nodefaultlibs"] {
        println!("cargo::rustc-link-arg-bin=ukvm-run={argument}");
    }
    Ok(())
}
