//! The manual and the shells' completions of `ukvm-run`, made of the definition of its command line.

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The program.
const NAME: &str = "ukvm-run";

/// Writes the pages of the manual to `directory`, which is made if there is none, and gives their paths.
///
/// # Errors
///
/// Where they cannot be written.
pub fn write_pages(directory: &Path) -> Result<Vec<PathBuf>> {
    make(directory)?;
    let mut program = ukvm::cli::command();
    program.build();
    let actions: Vec<_> = program.get_subcommands().cloned().collect();
    let name_of = |action: &Command| format!("{NAME}-{}", action.get_name());
    let names: Vec<_> = actions.iter().map(name_of).collect();
    let mut pages = Vec::new();
    let mut write = |command, name: &str, others: &[String]| {
        let path = directory.join(format!("{name}.1"));
        let page = page(command, name, others).and_then(|page| fs::write(&path, page));
        page.with_context(|| format!("{} cannot be written", path.display()))?;
        pages.push(path);
        anyhow::Ok(())
    };
    write(program, NAME, &names)?;
    for (action, name) in actions.into_iter().zip(&names) {
        write(action, name, &[NAME.to_owned()])?;
    }
    Ok(pages)
}

/// Writes what bash, zsh and fish need to complete its command line to `directory`, which is made if there is none, and gives their
/// paths.
///
/// # Errors
///
/// Where they cannot be written.
pub fn write_completions(directory: &Path) -> Result<Vec<PathBuf>> {
    make(directory)?;
    let write = |shell| {
        clap_complete::generate_to(shell, &mut ukvm::cli::command(), NAME, directory)
            .with_context(|| format!("nothing can be written to {}", directory.display()))
    };
    [Shell::Bash, Shell::Zsh, Shell::Fish].into_iter().map(write).collect()
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("{} cannot be created", directory.display()))
}

/// A page in the form of man(7). What follows the options in the help comes in sections of its own.
fn page(command: Command, name: &str, others: &[String]) -> io::Result<Vec<u8>> {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let rest = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let manual = Man::new(command).title(name).source(format!("ukvm {version}")).manual("ukvm");

    let mut page = Vec::new();
    manual.render_title(&mut page)?;
    let mut text = Roff::new();
    text.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
    text.control("SH", ["SYNOPSIS"]);
    for line in usage.trim_start_matches("Usage:").lines().map(str::trim) {
        let (program, arguments) = line.split_once(' ').unwrap_or((line, ""));
        text.control("PP", []).text([bold(program), roman(" "), italic(arguments)]);
    }
    let (description, sections) = sections(&rest);
    if !description.is_empty() {
        text.control("SH", ["DESCRIPTION"]);
        for paragraph in description.split("\n\n") {
            text.control("PP", []).text([roman(paragraph.replace('\n', " "))]);
        }
    }
    text.to_writer(&mut page)?;
    manual.render_options_section(&mut page)?;
    let mut text = Roff::new();
    for (heading, lines) in sections {
        text.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
        for line in lines {
            text.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        text.control("fi", []);
    }
    text.control("SH", ["SEE ALSO"]);
    text.text([roman(others.iter().map(|other| format!("{other}(1)")).collect::<Vec<_>>().join(", "))]);
    text.to_writer(&mut page)?;
    Ok(page)
}

/// What comes before the first heading, and the lines behind each: a heading stands at the left and ends with a colon.
fn sections(text: &str) -> (String, Vec<(&str, Vec<&str>)>) {
    let (mut before, mut sections) = (Vec::new(), Vec::<(&str, Vec<&str>)>::new());
    for line in text.lines() {
        match (line.strip_suffix(':').filter(|heading| !heading.starts_with(' ')), sections.last_mut()) {
            (Some(heading), _) => sections.push((heading, Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => before.push(line),
        }
    }
    for (_, lines) in &mut sections {
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
    }
    (before.join("\n"), sections)
}
