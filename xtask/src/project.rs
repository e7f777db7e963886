//! `cargo xtask new`: a project of one's own, outside of this repository.

use crate::{UsageError, cargo, monitor};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// What `cargo xtask new` prints where its arguments make no sense.
const USAGE: &str = "Usage: cargo xtask new PATH [--name NAME]";
/// The file that only cargo-generate reads.
const FOR_CARGO_GENERATE: &str = "cargo-generate.toml";

/// Makes the project that `arguments` describe, with all that it needs to run, and prints what to do next.
///
/// # Errors
///
/// A [`UsageError`] where the arguments make no sense, or where something is there already or cannot be made.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let (path, name) = match words[..] {
        _ if words.len() != arguments.len() => {
            return Err(UsageError("the path is not Unicode: name another".into()).into());
        }
        ["-h" | "--help"] => {
            println!("{USAGE}");
            return Ok(());
        }
        [path] if !path.starts_with('-') => (path, None),
        [path, "--name", name] | ["--name", name, path] => (path, Some(name)),
        _ => return Err(UsageError(USAGE.into()).into()),
    };
    let path = std::path::absolute(path).with_context(|| format!("{path} is no path"))?;
    let own_name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = Name::check(name.unwrap_or(&own_name))?;
    if path.exists() {
        bail!("{} is there already; name a directory that is not", path.display());
    }
    // First what can fail for long.
    let tools = Tools::build()?;
    create(&path, &name, &tools)?;
    println!("\n{} is there. Next:", path.display());
    println!("  cd {}", path.display());
    println!("  cargo run     # then, elsewhere: curl http://127.0.0.1:8080/you");
    println!("  cargo test");
    Ok(())
}

/// The programs that a project is run by.
#[derive(Clone, Debug)]
pub struct Tools {
    /// `ukvm-run`.
    pub monitor: PathBuf,
    /// `ukvm-runner`.
    pub runner: PathBuf,
}

impl Tools {
    /// Builds them.
    ///
    /// # Errors
    ///
    /// Where cargo fails.
    pub fn build() -> Result<Self> {
        Ok(Self { monitor: monitor::build()?, runner: monitor::build_tool("ukvm-runner")? })
    }
}

/// The name of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Checks that cargo and the compiler will take it.
    ///
    /// # Errors
    ///
    /// A [`UsageError`] that says what is wrong with it.
    pub fn check(name: &str) -> Result<Self> {
        /// Crates that are there already, in the language or in the project, and what cargo keeps in its target directories.
        const TAKEN: [&str; 11] = [
            "alloc",
            "build",
            "core",
            "deps",
            "examples",
            "greeting",
            "incremental",
            "proc_macro",
            "std",
            "test",
            "ukvm_runtime",
        ];
        let checked = Self(name.to_owned());
        let of_crate = checked.of_crate();
        let is_legal = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if is_legal && !TAKEN.contains(&of_crate.as_str()) && !is_keyword(&of_crate) {
            return Ok(checked);
        }
        let sentence = format!(
            "'{name}' cannot be the name of a package: add --name NAME, a letter and then letters, digits, - or _"
        );
        Err(UsageError(sentence).into())
    }

    /// The name in source code.
    fn of_crate(&self) -> String {
        self.0.replace('-', "_")
    }
}

/// Whether it cannot be the name of a crate in source code (Rust reference, "Keywords").
fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern \
        false final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static \
        struct super trait true try type typeof unsafe unsized use virtual where while yield";
    KEYWORDS.split_whitespace().any(|keyword| keyword == name)
}

/// Makes the project `name` at `path`, where nothing may be, for this checkout and `tools`.
///
/// # Errors
///
/// Where a file cannot be written.
pub fn create(path: &Path, name: &Name, tools: &Tools) -> Result<()> {
    let unicode = |path: &Path| {
        // It will stand between quotation marks.
        let text =
            path.to_str().filter(|text| !text.contains(['"', '\\']) && !text.contains(char::is_control));
        let sentence =
            || format!("{} cannot be written into a file of cargo's: move the repository", path.display());
        text.map(str::to_owned).with_context(sentence)
    };
    let values = [
        ("{{project-name}}", name.0.clone()),
        ("{{crate_name}}", name.of_crate()),
        ("{{ukvm}}", unicode(cargo::root())?),
        ("{{runner}}", unicode(&tools.runner)?),
        ("{{monitor}}", unicode(&tools.monitor)?),
    ];
    for file in files(&template())? {
        let relative = file.strip_prefix(template())?;
        if relative == Path::new(FOR_CARGO_GENERATE) {
            continue;
        }
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let text = values.iter().fold(text, |text, (placeholder, value)| text.replace(placeholder, value));
        write(&path.join(relative), text.as_bytes())?;
    }
    // The versions that the runtime is tested with.
    let lock = cargo::root().join("guest-runtime/Cargo.lock");
    let versions = fs::read(&lock).with_context(|| format!("{} cannot be read", lock.display()))?;
    write(&path.join("Cargo.lock"), &versions)
}

/// Where the template is.
fn template() -> PathBuf {
    cargo::root().join("guest-runtime/template")
}

/// All files in a directory and those below, in no particular order.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("{} cannot be read", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        match entry.file_type().with_context(unreadable)?.is_dir() {
            true => found.extend(files(&entry.path())?),
            false => found.push(entry.path()),
        }
    }
    Ok(found)
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(file, bytes))
        .with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_built_are_refused() {
        // The last three are modules that the template uses as well.
        for name in ["greeter", "some-service", "a_b", "A9", "http", "net", "request"] {
            assert_eq!(Name::check(name).unwrap(), Name(name.to_owned()));
        }
        for name in [
            "",
            "9lives",
            "-a",
            "_a",
            "a b",
            "a.b",
            "\u{e4}",
            "fn",
            "async",
            "core",
            "proc-macro",
            "ukvm-runtime",
            "build",
            "deps",
            "examples",
            "incremental",
            "greeting",
            "test",
        ] {
            let error = Name::check(name).unwrap_err();
            assert!(error.is::<UsageError>(), "{name}: {error}");
        }
    }
}
