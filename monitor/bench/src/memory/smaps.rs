//! What a process has of the machine's memory, from `/proc`.

use crate::error::Error;
use std::fs;

/// What a process has but the guest's memory, by mapping.
pub(super) const PARTS: [&str; 6] = [
    "code",
    "constants",
    "data and what was relocated",
    "heap and the like",
    "stack",
    "shared with the kernel",
];

/// What a process has of the machine's memory (PSS), in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// All but the guest's memory.
    pub(crate) own: u64,
    /// The same by mapping, as [`PARTS`] has them.
    pub(super) parts: [u64; PARTS.len()],
    /// The guest's memory.
    pub(crate) guest: u64,
}

/// What a process has. `name` is for the error.
pub(crate) fn of(process: u32, name: &str) -> Result<Usage, Error> {
    let file = format!("/proc/{process}/smaps");
    match fs::read_to_string(file) {
        Ok(text) if !text.is_empty() => Ok(parse(&text)),
        Ok(_) => Err(Error::program(format!("{name} ended while its memory was looked at; start again"))),
        Err(error) => Err(Error::host(format!(
            "the memory of {name} cannot be looked at ({error}); measure as the user who starts it, with /proc mounted"
        ))),
    }
}

/// Adds up the mappings. The first line of each tells what it is, the last its flags; `nr` is that of `MAP_NORESERVE`.
fn parse(smaps: &str) -> Usage {
    let mut usage = Usage::default();
    let (mut head, mut pss, mut anonymous) = ("", 0, 0);
    for line in smaps.lines() {
        if let Some(value) = line.strip_prefix("Pss:") {
            pss = kibibytes(value);
        } else if let Some(value) = line.strip_prefix("Anonymous:") {
            anonymous = kibibytes(value).min(pss);
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            if flags.split_whitespace().any(|flag| flag == "nr") {
                usage.guest += pss;
                continue;
            }
            usage.own += pss;
            let [code, constants, data, heap, stack, kernel] = &mut usage.parts;
            // Address, rights, offset, device, inode, and behind them a name.
            let mut words = head.split_whitespace().skip(1);
            let (rights, name) = (words.next().unwrap_or(""), words.nth(3).unwrap_or(""));
            match name {
                "[stack]" => *stack += pss,
                "[heap]" | "" => *heap += pss,
                _ if !name.starts_with('/') => *kernel += pss,
                _ => {
                    // Of a file those pages are anonymous that were written to.
                    *data += anonymous;
                    *(if rights.contains('x') { code } else { constants }) += pss - anonymous;
                }
            }
        } else if line.split_whitespace().next().is_some_and(|word| !word.ends_with(':')) {
            head = line;
            (pss, anonymous) = (0, 0);
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
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00401000-00409000 r--p 00001000 fe:00 1 /bin/ukvm-run
Pss:                  24 kB
Anonymous:             8 kB
VmFlags: rd mr mw me
7e0000000000-7e0000003000 rw-s 00000000 00:10 1030 anon_inode:kvm-vcpu:0
Pss:                   8 kB
Anonymous:             0 kB
VmFlags: rd wr sh mr
7e0000010000-7e0000014000 rw-p 00000000 00:00 0
Pss:                  16 kB
Anonymous:            16 kB
VmFlags: rd wr mr mw me
7f0000000000-7f0004000000 rw-p 00000000 00:00 0
Pss:                 100 kB
VmFlags: rd wr mr mw me nr hg
7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0 [stack]
Pss:                  12 kB
VmFlags: rd wr mr mw me gd ac
";
        let parts = [4, 16, 8, 16, 12, 8].map(|kibibytes| kibibytes << 10);
        assert_eq!(parse(smaps), Usage { own: parts.iter().sum(), parts, guest: 100 << 10 });
        assert_eq!(parse(""), Usage::default());
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(available().unwrap() > 1 << 20);
    }
}
