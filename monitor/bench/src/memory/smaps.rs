//! What a process has of the machine's memory, from `/proc`.

use crate::error::Error;
use std::fs;

/// What a process has of the machine's memory (PSS), in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// All but the guest's memory.
    pub(super) own: u64,
    /// The guest's memory.
    pub(super) guest: u64,
}

/// What a process has. `name` is for the error.
pub(super) fn of(process: u32, name: &str) -> Result<Usage, Error> {
    let file = format!("/proc/{process}/smaps");
    match fs::read_to_string(file) {
        Ok(text) if !text.is_empty() => Ok(parse(&text)),
        Ok(_) => Err(Error::program(format!("{name} ended while its memory was looked at; start again"))),
        Err(error) => Err(Error::host(format!(
            "the memory of {name} cannot be looked at ({error}); measure as the user who starts it, with /proc mounted"
        ))),
    }
}

/// Adds up the mappings. The last line of each tells its flags; `nr` is that of `MAP_NORESERVE`.
fn parse(smaps: &str) -> Usage {
    let mut usage = Usage::default();
    let mut pss = 0;
    for line in smaps.lines() {
        if let Some(value) = line.strip_prefix("Pss:") {
            pss = kibibytes(value);
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            let is_guest = flags.split_whitespace().any(|flag| flag == "nr");
            *(if is_guest { &mut usage.guest } else { &mut usage.own }) += pss;
        }
    }
    usage
}

/// What the machine can give to new programs, in bytes.
pub(super) fn available() -> Result<u64, Error> {
    let read = fs::read_to_string("/proc/meminfo");
    let line = read
        .as_deref()
        .ok()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("MemAvailable:")));
    line.map(kibibytes).ok_or_else(|| Error::host("/proc/meminfo cannot be read; mount /proc"))
}

/// The bytes of a value like `12 kB`.
fn kibibytes(value: &str) -> u64 {
    let number = value.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_told_apart_by_their_flags() {
        let smaps = "\
00400000-00401000 r-xp 00000000 fe:00 1 /bin/ukvm-run
Rss:                   8 kB
Pss:                   4 kB
Pss_Dirty:             4 kB
VmFlags: rd ex mr mw me
7f0000000000-7f0004000000 rw-p 00000000 00:00 0
Pss:                 100 kB
VmFlags: rd wr mr mw me nr hg
7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0 [stack]
Pss:                  12 kB
VmFlags: rd wr mr mw me gd ac
";
        assert_eq!(parse(smaps), Usage { own: 16 << 10, guest: 100 << 10 });
        assert_eq!(parse(""), Usage::default());
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(available().unwrap() > 1 << 20);
    }
}
