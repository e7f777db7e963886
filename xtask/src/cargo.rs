//! Cargo started from within cargo.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The top of the repository.
#[must_use]
pub fn root() -> &'static Path {
    // This package is a directory of the repository.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The directory of the outer workspace's build results: the one that this program was built into, which cargo marks with a
/// `CACHEDIR.TAG`, or else `target`.
#[must_use]
pub fn target_directory() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let is_marked = |directory: &&Path| directory.join("CACHEDIR.TAG").is_file();
    // The directory of one target platform is marked as well, and lies in the one that is looked for.
    let inner = own.ancestors().skip(1).find(is_marked);
    let outer = inner.and_then(Path::parent).filter(is_marked);
    outer.or(inner).map_or_else(|| root().join("target"), Path::to_path_buf)
}

/// A program that cargo built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// The name of the binary target.
    pub name: String,
    /// The manifest of its package.
    pub manifest: PathBuf,
    /// The file.
    pub path: PathBuf,
}

/// Cargo in `directory`, without input.
///
/// It sees nothing of what the outer one, or the user for the outer one, has set in the environment but where to find toolchains and
/// registries: flags for host programs must not reach the guests.
#[must_use]
pub fn command(directory: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(directory).stdin(Stdio::null());
    for name in std::env::vars_os().map(|(name, _)| name).filter(is_for_the_outer_cargo) {
        command.env_remove(name);
    }
    command
}

/// Builds the static library of `package`, which is in `directory`, optimised, and gives its file.
///
/// # Errors
///
/// Where cargo cannot be started or fails, or the package has no such library.
pub fn build_static_library(directory: &Path, package: &str) -> Result<PathBuf> {
    let messages = messages(directory, &["--release", "--package", package, "--lib"], &[])?;
    let library = messages.lines().find_map(static_library);
    library.with_context(|| format!("cargo built no static library of {package}"))
}

/// Builds in `directory` with `arguments` behind `cargo build` and `environment`, and gives the programs in the order of their
/// names. Messages of the compiler go to standard error.
///
/// # Errors
///
/// Where cargo cannot be started or fails.
pub fn build(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Vec<Executable>> {
    let messages = messages(directory, arguments, environment)?;
    let mut programs: Vec<Executable> = messages.lines().filter_map(executable).collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// What `cargo build` says in JSON, a message a line.
fn messages(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
    let mut command = command(directory);
    command
        .args(["build", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .stderr(Stdio::inherit());
    command.envs(environment.iter().copied());
    let output =
        command.output().with_context(|| format!("{} cannot be started", command.get_program().display()))?;
    if !output.status.success() {
        bail!("cargo build {} in {} failed", arguments.join(" "), directory.display());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether an environment variable steers what cargo and rustc do, rather than where they find things.
fn is_for_the_outer_cargo(name: &OsString) -> bool {
    /// Where to find things, how to speak, and how much of the machine to take.
    const KEPT: [&str; 9] = [
        "CARGO_BUILD_JOBS",
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "RUSTUP_",
    ];
    const REMOVED: [&str; 4] = ["CARGO", "RUST", "MAKEFLAGS", "MFLAGS"];
    let name = name.to_string_lossy();
    REMOVED.iter().any(|prefix| name.starts_with(prefix))
        && !KEPT.iter().any(|prefix| name.starts_with(prefix))
}

/// The static library that a line of cargo's messages tells of.
fn static_library(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_library = message.get("target")?.get("kind")?.as_array()?.iter().any(|kind| kind == "staticlib");
    let files = message.get("filenames")?.as_array()?;
    let file = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".a"));
    file.filter(|_| is_library).map(PathBuf::from)
}

/// The program that a line of cargo's messages tells of.
fn executable(line: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(line).ok()?;
    let target = message.get("target")?;
    let is_program = target.get("kind")?.as_array()?.iter().any(|kind| kind == "bin");
    is_program.then_some(())?;
    Some(Executable {
        name: target.get("name")?.as_str()?.to_owned(),
        manifest: message.get("manifest_path")?.as_str()?.into(),
        path: message.get("executable")?.as_str()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_the_outer_cargo_stops_there() {
        for name in [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "RUSTFLAGS",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTDOCFLAGS",
            "MAKEFLAGS",
        ] {
            assert!(is_for_the_outer_cargo(&name.into()), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
            "PATH",
            "HOME",
            "http_proxy",
        ] {
            assert!(!is_for_the_outer_cargo(&name.into()), "{name}");
        }
    }

    #[test]
    fn results_go_to_where_this_came_from() {
        let (own, target) = (std::env::current_exe().unwrap(), target_directory());
        assert!(
            own.starts_with(&target) && !target.ends_with("x86_64-unknown-linux-gnu"),
            "{}",
            target.display()
        );
    }

    #[test]
    fn of_cargos_messages_only_programs_count() {
        let program = r#"{"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","target":{"kind":["bin"],"name":"hello"},"executable":"/t/hello"}"#;
        let expected =
            Executable { name: "hello".into(), manifest: "/a/Cargo.toml".into(), path: "/t/hello".into() };
        assert_eq!(executable(program), Some(expected));
        let library = r#"{"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","target":{"kind":["lib"],"name":"a"},"executable":null}"#;
        let archive = r#"{"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","target":{"kind":["staticlib"],"name":"c"},"filenames":["/t/libc.a"],"executable":null}"#;
        assert_eq!(static_library(archive), Some("/t/libc.a".into()));
        assert_eq!(static_library(library), None);
        for line in [library, archive, r#"{"reason":"build-finished","success":true}"#, "", "nonsense"] {
            assert_eq!(executable(line), None);
        }
    }
}
