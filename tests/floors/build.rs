//! Links the floor of a start without the C library and its start-up, and the floor of computing with the object code that
//! the guest has.

use std::path::Path;

include!("../compute/object.rs");

fn main() {
    for argument in ["-nostartfiles", "-nostdlib", "-Wl,--build-id=none", "-Wl,-z,norelro"] {
        println!("cargo::rustc-link-arg-bin=start-floor={argument}");
    }
    link_kernels(Path::new("../compute/kernels.rs"), "compute-floor");
    println!("cargo::rerun-if-changed=build.rs");
}
