//! Links the guest `compute` with the object code that its floor has.

use std::path::Path;

include!("../compute/object.rs");

fn main() {
    link_kernels(Path::new("../compute/kernels.rs"), "compute");
    println!("cargo::rerun-if-changed=build.rs");
}
