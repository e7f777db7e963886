// Compiles `kernels.rs` into an object file. The build scripts of the guest and of the floor include this, so that the command is
// the same, whatever flags each of them has for the rest of its code.

use std::path::PathBuf;
use std::process::Command;

/// Compiles the kernels into `OUT_DIR`, and links them into the program `binary`.
fn link_kernels(source: &Path, binary: &str) {
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).expect("cargo sets its variables"));
    let object = variable("OUT_DIR").join("kernels.o");
    let status = Command::new(variable("RUSTC"))
        .args(["--edition=2024", "--crate-type=lib", "--emit=obj", "--target=x86_64-unknown-linux-gnu"])
        .args(["-Copt-level=3", "-Ccodegen-units=1", "-Cpanic=abort", "-Crelocation-model=pic", "-Cforce-frame-pointers=yes"])
        // Where a loop lies in its cache line can be worth some percent, and the two programs have different code before it.
        .arg("-Cllvm-args=-align-all-functions=6")
        .arg(source)
        .arg("-o")
        .arg(&object)
        .status()
        .expect("the compiler can be started");
    assert!(status.success(), "the kernels cannot be compiled");
    println!("cargo::rustc-link-arg-bin={binary}={}", object.display());
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed={}", source.with_file_name("object.rs").display());
}
