//! What a guest declares against what the command line gives it.

use ukvm_abi::{ABI_VERSION, manifest, note};
use ukvm_tests::artifacts::guest;
use ukvm_tests::elf::Elf;
use ukvm_tests::files;
use ukvm_tests::run::Run;

ukvm_tests::tests! {
    an_abi_from_the_future;
    a_manifest_that_is_not_sound;
    two_notes;
    a_device_that_is_declared_and_not_given;
    a_device_that_is_given_and_not_declared;
    more_devices_than_are_declared;
    a_disk_that_must_be_writable;
    memory_that_is_too_small;
    memory_that_the_guest_asks_for_is_given;
}

fn changed(offset: usize, bytes: &[u8], words: &[&str]) {
    let elf = Elf::read(&guest("disk"));
    let at = elf.manifest() + offset;
    let directory = files::directory();
    let path = elf.put(at, bytes).save(directory.path());
    let _ = Run::elf(&path).finish().refuses(65, words);
    let _ = Run::elf(&path).options(["--inspect"]).finish().refuses(65, words);
}

fn an_abi_from_the_future() {
    let version = (ABI_VERSION + 1).to_string();
    changed(0, &(ABI_VERSION + 1).to_le_bytes(), &["ABI", &version, "update ukvm-run"]);
    changed(0, &u32::MAX.to_le_bytes(), &["ABI"]);
    changed(0, &0_u32.to_le_bytes(), &["ABI"]);
}

fn a_manifest_that_is_not_sound() {
    let device = manifest::HEADER_SIZE;
    changed(4, &39_u32.to_le_bytes(), &["manifest"]);
    changed(8, &65_u32.to_le_bytes(), &["65"]);
    changed(8, &60_u32.to_le_bytes(), &["manifest"]);
    changed(12, &47_u32.to_le_bytes(), &["manifest"]);
    changed(32, &1_u64.to_le_bytes(), &["feature"]);
    changed(device, &9_u32.to_le_bytes(), &["device"]);
    changed(device + 4, &0x80_u32.to_le_bytes(), &["device"]);
    changed(device + 8, b"a/b\0", &["device"]);
    changed(device + 8, &[0], &["device"]);
    // The second device gets the first one's name.
    changed(device + manifest::DEVICE_SIZE + 8, b"data\0\0\0\0", &["device"]);
}

fn two_notes() {
    let elf = Elf::read(&guest("disk"));
    let (start, length) = (elf.note(), note::size(3));
    let mut twice = elf.0[start..start + length].to_vec();
    twice.extend_from_within(..);
    // In a note segment of its own at the end of the file, in the place of the one that is there.
    let mut elf = elf;
    elf.0.resize(elf.0.len().next_multiple_of(8), 0);
    let place = elf.0.len() as u64;
    for header in elf.headers(ukvm_tests::elf::PT_NOTE) {
        elf = elf
            .put(header + ukvm_tests::elf::P_OFFSET, &place.to_le_bytes())
            .put(header + ukvm_tests::elf::P_FILESZ, &(twice.len() as u64).to_le_bytes());
    }
    elf.0.extend_from_slice(&twice);
    let directory = files::directory();
    let _ = Run::elf(elf.save(directory.path())).finish().refuses(65, &["more than one", "note"]);
}

fn a_device_that_is_declared_and_not_given() {
    let _ = Run::guest("mirror").finish().refuses(78, &["lan", "--net lan="]);
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    let _ = Run::guest("blkcopy").option("--disk", &image).finish().refuses(78, &["--disk "]);
}

fn a_device_that_is_given_and_not_declared() {
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    let _ = Run::guest("status").option("--disk", &image).finish().refuses(78, &["--disk", "declares"]);
    let _ = Run::guest("status").option("--net", "tap77").finish().refuses(78, &["--net", "declares"]);
    let named = format!("other={}", image.display());
    let _ = Run::guest("disk").option("--disk", named).finish().refuses(78, &["other", "data", "scratch"]);
}

fn more_devices_than_are_declared() {
    let directory = files::directory();
    let mut run = Run::guest("disk");
    for name in ["a.img", "b.img", "c.img", "d.img"] {
        run = run.option("--disk", files::sparse(directory.path(), name, 1 << 20));
    }
    let _ = run.finish().refuses(78, &["--disk", "data", "scratch", "third"]);
}

fn a_disk_that_must_be_writable() {
    let directory = files::directory();
    let image = files::sparse(directory.path(), "a.img", 1 << 20);
    let option = format!("scratch={},ro", image.display());
    let _ = Run::guest("disk").option("--disk", option).finish().refuses(78, &["scratch", "ro"]);
}

fn memory_that_is_too_small() {
    let directory = files::directory();
    let elf = Elf::read(&guest("status"));
    let at = elf.manifest() + 16;
    let path = elf.put(at, &(100_u64 << 20).to_le_bytes()).save(directory.path());
    let _ = Run::elf(&path).option("--mem", "99M").finish().refuses(78, &["--mem", "100"]);
    Run::elf(&path).option("--mem", "100M").args(["5"]).finish().status(5).quietly();
    let _ = Run::guest("status").option("--mem", "64K").finish().refuses(78, &["--mem"]);
}

fn memory_that_the_guest_asks_for_is_given() {
    let directory = files::directory();
    let elf = Elf::read(&guest("boot"));
    let at = elf.manifest() + 16;
    let path = elf.put(at, &(100_u64 << 20).to_le_bytes()).save(directory.path());
    for (run, memory) in [
        (Run::elf(&path), 100_u64 << 20),
        (Run::guest("boot"), 64 << 20),
        (Run::elf(&path).option("--mem", "1G"), 1 << 30),
    ] {
        let text = run.finish().status(0).quietly().text();
        assert!(text.contains(&format!("memory {memory}\n")), "{text}");
    }
}
