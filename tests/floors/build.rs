//! Links without the C library and its start-up.

fn main() {
    for argument in ["-nostartfiles", "-nostdlib", "-Wl,--build-id=none", "-Wl,-z,norelro"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
