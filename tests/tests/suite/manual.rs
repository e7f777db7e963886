//! The manual and the completions of `ukvm-run`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use ukvm_tests::files;
use ukvm_tests::run::Run;
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    man_shows_the_pages .needs(&[Need::Program("man")]).not_in_rig("nothing of it is on a KVM");
    bash_completes_words .needs(&[Need::Program("bash")]).not_in_rig("nothing of it is on a KVM");
    other_shells_have_the_same_options .not_in_rig("nothing of it is on a KVM");
}

/// The options in the help.
fn options() -> BTreeSet<String> {
    let help = Run::bare().options(["--help"]).finish().status(0).text();
    let lines = help.lines().take_while(|line| *line != "Examples:");
    let words = lines.flat_map(|line| line.split([' ', ',', '=']).filter(|word| word.starts_with("--")));
    let found: BTreeSet<_> = words.filter(|word| word.len() > 2).map(str::to_owned).collect();
    assert!(found.len() > 15, "{found:?}");
    found
}

/// The page as people see it.
fn shown(page: &Path) -> String {
    let output = Command::new("man")
        .args(["--warnings=w", "-l"])
        .arg(page)
        .envs([("MANPAGER", "cat"), ("MANWIDTH", "100"), ("LC_ALL", "C.UTF-8"), ("MANROFFOPT", "-c")])
        .output()
        .expect("man");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    // Bold letters are overstruck.
    let mut plain = String::new();
    for letter in text.chars() {
        if letter == '\u{8}' {
            let _ = plain.pop();
        } else {
            plain.push(letter);
        }
    }
    plain
}

fn man_shows_the_pages() {
    let directory = files::directory();
    let pages = ukvm_manual::write_pages(directory.path()).expect("the pages");
    let names: Vec<_> = pages.iter().filter_map(|page| page.file_name()?.to_str()).collect();
    assert_eq!(names, ["ukvm-run.1", "ukvm-run-attach.1"]);
    let text = shown(&pages[0]);
    for option in options() {
        assert!(text.contains(&option), "no {option} in\n{text}");
    }
    for line in [
        "NAME\n       ukvm-run - Run a unikernel",
        "SYNOPSIS\n       ukvm-run [OPTIONS] APP.ELF [--] [ARGS]...\n\n       ukvm-run attach PATH\n",
        "\nEXAMPLES\n       ukvm-run hello.elf 3 ",
        "\nEXIT STATUS\n",
        "       74 the host failed          77 not permitted\n",
        "[default: 5s]",
        "\nSEE ALSO\n       ukvm-run-attach(1)\n",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    let text = shown(&pages[1]);
    for line in
        ["ukvm-run-attach - Join the console", "       ukvm-run attach PATH\n", "Ctrl-]", "ukvm-run(1)"]
    {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}

/// What bash offers for the last of these words.
fn completed(script: &Path, words: &[&str], directory: &Path) -> BTreeSet<String> {
    // As bash itself calls the function that is registered for the program.
    let line = "source \"$1\"; shift; spec=$(complete -p ukvm-run); spec=${spec#* -F }; \
                COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                ${spec%% *} \"$1\" \"${@: -1}\" \"${@: -2:1}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", line, "bash"])
        .arg(script)
        .args(words)
        .current_dir(directory)
        .output()
        .expect("bash");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn completions() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = files::directory();
    let written = ukvm_manual::write_completions(directory.path()).expect("the completions");
    (directory, written)
}

fn bash_completes_words() {
    let (directory, written) = completions();
    let here = files::directory();
    let _ = files::file(here.path(), "app.elf", b"");
    let offered = |words: &[&str]| completed(&written[0], &[&["ukvm-run"], words].concat(), here.path());
    let set = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(offered(&["--rep"]), set(&["--report"]));
    assert_eq!(offered(&["--net"]), set(&["--net", "--net-ring"]));
    assert!(offered(&["--"]).is_superset(&options()));
    assert!(offered(&["--report", ""]).contains("app.elf"));
    assert!(offered(&["at"]).contains("attach"));
    drop(directory);
}

fn other_shells_have_the_same_options() {
    let (_directory, written) = completions();
    let names: Vec<_> = written.iter().filter_map(|file| file.file_name()?.to_str()).collect();
    assert_eq!(names, ["ukvm-run.bash", "_ukvm-run", "ukvm-run.fish"]);
    let [_, zsh, fish] = &written[..] else { panic!("{written:?}") };
    let (zsh, fish) = (std::fs::read_to_string(zsh), std::fs::read_to_string(fish));
    let (zsh, fish) = (zsh.expect("a script"), fish.expect("a script"));
    for option in options() {
        assert!(zsh.contains(&option), "no {option} for zsh");
        assert!(fish.contains(&format!("-l {} ", &option[2..])), "no {option} for fish");
    }
}
