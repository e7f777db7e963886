//! `cargo xtask c`: the runtime as a static library for programs in C, with its header and the compiler's flags.

use crate::cargo;
use anyhow::{Context, Result, ensure};
use cbindgen::{Builder, Config, Language};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use ukvm_abi::manifest::{DEVICE_SIZE, DeviceKind, HEADER_SIZE, OPTIONAL, WRITABLE};
use ukvm_abi::{ABI_VERSION, net, note};

/// What the compiler needs to make a unikernel: no C library, position-independent, W^X, relocations sealed at the start; a fault's report
/// walks the frames.
const FLAGS: &str = "\
-ffreestanding -fPIE -fno-stack-protector -fno-omit-frame-pointer
-nostartfiles -nostdlib -static-pie
-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,-z,text,--no-dynamic-linker,--build-id=none
-Wl,--undefined=_start,--gc-sections
";

/// The modules that the header is made of, in its order.
const MODULES: [&str; 8] = ["program", "console", "system", "error", "object", "block", "net", "heap"];

fn package() -> PathBuf {
    cargo::root().join("guest-runtime/c")
}

/// Where everything is put: `c` in the target directory.
#[must_use]
pub fn directory() -> PathBuf {
    cargo::target_directory().join("c")
}

/// Makes the library `libukvm.a`, the header `ukvm.h` and the compiler's arguments `flags`, and gives the directory that they are in.
///
/// # Errors
///
/// Where cargo fails, or a file cannot be written.
pub fn build() -> Result<PathBuf> {
    let directory = directory();
    fs::create_dir_all(&directory).with_context(|| format!("{} cannot be created", directory.display()))?;
    let library = cargo::build_static_library(&cargo::root().join("guest-runtime"), "ukvm-c")?;
    fs::copy(&library, directory.join("libukvm.a"))
        .with_context(|| format!("{} cannot be copied", library.display()))?;
    // As GCC reads its files of arguments ("Overall Options", @file): quoted, with a backslash before quotes and itself.
    let here = directory.to_str().context("the path of the target directory is not Unicode")?;
    let here = here.replace('\\', r"\\").replace('"', r#"\""#);
    let flags = format!("{FLAGS}\"-I{here}\" \"-L{here}\" -lukvm\n");
    for (name, text) in [("ukvm.h", header()?), ("flags", flags)] {
        let file = directory.join(name);
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(directory)
}

/// Builds the program `source` with the library that [`build`] has made.
///
/// # Errors
///
/// Where the compiler is missing or fails.
pub fn compile(source: &Path, program: &Path) -> Result<()> {
    let mut flags = OsString::from("@");
    flags.push(directory().join("flags"));
    let status = Command::new("cc")
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"])
        .arg(source)
        .arg(flags)
        .arg("-o")
        .arg(program)
        .stdin(Stdio::null())
        .status()
        .context("the C compiler cc cannot be started: install gcc")?;
    ensure!(status.success(), "cc fails to build {}", source.display());
    Ok(())
}

/// The header: declarations from the library's sources, and the macros for a program's own declaration.
fn header() -> Result<String> {
    let macros = fs::read_to_string(package().join("header.h")).context("the header's macros")?;
    let owner = String::from_utf8_lossy(&note::OWNER).trim_end_matches('\0').to_owned();
    let macros = [
        ("WRITABLE", WRITABLE.to_string()),
        ("OPTIONAL", OPTIONAL.to_string()),
        ("NET", (DeviceKind::Net as u32).to_string()),
        ("BLOCK", (DeviceKind::Block as u32).to_string()),
        ("FEATURES", format!("{:#x}", net::ALL)),
        ("SECTION", note::SECTION.to_owned()),
        ("OWNER_SIZE", note::OWNER.len().to_string()),
        ("OWNER", owner),
        ("TYPE", note::TYPE.to_string()),
        ("ABI_VERSION", ABI_VERSION.to_string()),
        ("HEADER_SIZE", HEADER_SIZE.to_string()),
        ("DEVICE_SIZE", DEVICE_SIZE.to_string()),
    ]
    .iter()
    .fold(macros, |text, (name, value)| text.replace(&format!("@{name}@"), value));

    let mut config = Config {
        language: Language::C,
        cpp_compat: true,
        usize_is_size_t: true,
        // These alone are there without a C library (C11, section 4).
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(String::from).into(),
        header: Some(
            "/* The runtime of ukvm for programs in C. Made from the library's sources: change those. */"
                .into(),
        ),
        include_guard: Some("UKVM_H".into()),
        after_includes: Some(format!("\n{}", macros.trim_end())),
        ..Config::default()
    };
    config.function.no_return = Some("__attribute__((noreturn))".into());
    // The program's own, of whichever form.
    config.export.exclude.push("main".into());
    let mut builder = Builder::new().with_config(config);
    for module in MODULES {
        builder = builder.with_src(package().join("src").join(module).with_extension("rs"));
    }
    let mut text = Vec::new();
    builder.generate().context("the header of the C library")?.write(&mut text);
    // The heading that Rust wants above what a caller must see to, which in C is nothing special.
    Ok(String::from_utf8_lossy(&text).replace(" * # Safety\n *\n", ""))
}
