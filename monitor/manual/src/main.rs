//! `ukvm-manual man DIR`, `ukvm-manual completions DIR`: writes the files, and names them.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let files: Vec<PathBuf> = match &words[..] {
        [what, directory] if what == "man" => ukvm_manual::write_pages(Path::new(directory))?,
        [what, directory] if what == "completions" => ukvm_manual::write_completions(Path::new(directory))?,
        _ => bail!("usage: ukvm-manual man|completions DIR"),
    };
    for file in files {
        println!("{}", file.display());
    }
    Ok(())
}
