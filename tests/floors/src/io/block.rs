//! Reads a file as the guest reads its disk.

use io_uring::{IoUring, opcode, types};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;
use ukvm_hosted::block::Disk;
use ukvm_hosted::time::monotonic;

include!("../../../io/phases.rs");

/// Reads a file, phase by phase.
pub(crate) fn read(path: &str, direct: bool, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let flags = if direct { libc::O_DIRECT } else { 0 };
    let disk = Disk::of(OpenOptions::new().read(true).custom_flags(flags).open(path)?)?;
    let mut phases = Vec::new();
    for name in names {
        let phase = Phase::parse(name)
            .ok_or_else(|| format!("`{name}` is no phase; write one like random-4096-32"))?;
        phases.push((phase, (0..phase.depth).map(|_| aligned(phase.size)).collect::<Vec<_>>()));
    }
    // As the guest does.
    let (mut memory, start) = aligned(WARM_CHUNK);
    for _ in 0..WARM_PASSES {
        for offset in (0..disk.len()).step_by(WARM_CHUNK) {
            disk.read(offset, &mut memory[start..start + WARM_CHUNK])?;
        }
    }
    println!("ready");
    for (phase, mut buffers) in phases {
        // Several at once are worth it only where a read waits.
        let count = if direct && phase.depth > 1 {
            by_ring(disk.file(), phase, disk.len(), &mut buffers)?
        } else {
            one_by_one(&disk, phase, &mut buffers)?
        };
        println!("{} {count}", phase.name);
    }
    Ok(())
}

fn one_by_one(disk: &Disk, phase: Phase<'_>, buffers: &mut [(Vec<u8>, usize)]) -> io::Result<u64> {
    let mut offsets = phase.offsets(disk.len());
    let mut watch = Watch::start(monotonic);
    // Into one buffer after the other, as the guest has it.
    for place in (0..buffers.len()).cycle() {
        let (memory, start) = &mut buffers[place];
        disk.read(offsets.next().unwrap_or(0), &mut memory[*start..*start + phase.size])?;
        if !watch.goes_on() {
            break;
        }
    }
    Ok(watch.count)
}

fn by_ring(
    file: &File,
    phase: Phase<'_>,
    length: u64,
    buffers: &mut [(Vec<u8>, usize)],
) -> Result<u64, Box<dyn Error>> {
    let mut offsets = phase.offsets(length);
    let mut ring: IoUring =
        IoUring::builder().setup_single_issuer().build(phase.depth.next_power_of_two() as u32)?;
    ring.submitter().register_files(&[file.as_raw_fd()])?;
    let mut watch = Watch::start(monotonic);
    let mut waiting: Vec<usize> = (0..buffers.len()).collect();
    let mut under_way = 0;
    let mut goes_on = true;
    while goes_on || under_way > 0 {
        if goes_on {
            for place in waiting.drain(..) {
                let (memory, start) = &mut buffers[place];
                let address = memory[*start..].as_mut_ptr();
                let read = opcode::Read::new(types::Fixed(0), address, phase.size as u32)
                    .offset(offsets.next().unwrap_or(0))
                    .build()
                    .user_data(place as u64);
                // SAFETY: the buffer is there until the loop has seen the completion of every read, and nobody touches it.
                unsafe { ring.submission().push(&read) }?;
                under_way += 1;
            }
        }
        ring.submit_and_wait(1)?;
        for completion in ring.completion() {
            if completion.result() != phase.size as i32 {
                return Err(format!("a read of {} bytes gave {}", phase.size, completion.result()).into());
            }
            under_way -= 1;
            waiting.push(completion.user_data() as usize);
            goes_on &= watch.goes_on();
        }
    }
    Ok(watch.count)
}
