//! Files that are no unikernel, or a broken one: one sentence, and the status 65 (66 where there is none).

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use ukvm_tests::artifacts::{artifacts, guest};
use ukvm_tests::elf::{self, Elf};
use ukvm_tests::files;
use ukvm_tests::run::Run;
use ukvm_tests::suite::Need;
use ukvm_tests::user::{Devices, NOBODY, in_private_mounts};

ukvm_tests::tests! {
    a_missing_file;
    what_is_not_a_regular_file;
    an_empty_file;
    a_file_that_is_not_elf;
    a_file_that_this_user_may_not_read .needs(&[Need::Root]);
    another_class_byte_order_or_machine;
    an_object_file_and_a_core_dump;
    a_dynamically_linked_program;
    an_ordinary_linux_program;
    a_file_cut_anywhere;
    bad_program_headers;
    a_segment_that_is_writable_and_executable;
    segments_that_overlap;
    segments_that_wrap_around;
    a_segment_in_the_upper_half;
    a_segment_that_exceeds_the_memory;
    an_entry_point_outside_the_text;
    no_segments_at_all;
    any_byte_of_the_headers_may_be_wrong;
}

/// The good guest that the others are made from.
fn good() -> Elf {
    Elf::read(&guest("status"))
}

fn refused(elf: &Elf, status: i32, words: &[&str]) {
    let directory = files::directory();
    let path = elf.save(directory.path());
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
    let ended = Run::elf(&path).finish().refuses(status, words);
    // What is refused when it is to be run is refused when it is looked at.
    if status == 65 {
        let _ = ended.says(&[name]);
        let _ = Run::elf(&path).options(["--inspect"]).finish().refuses(status, words);
    }
}

fn a_missing_file() {
    let _ = Run::elf("/nowhere/at-all.elf").finish().refuses(66, &["/nowhere/at-all.elf", "does not exist"]);
    // A file where a directory should be.
    let _ = Run::elf(guest("status").join("more.elf")).finish().refuses(66, &["more.elf", "does not exist"]);
}

fn what_is_not_a_regular_file() {
    let directory = files::directory();
    let _ = Run::elf(directory.path()).finish().refuses(65, &["directory"]);
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    // It must not wait for somebody to write to it.
    let _ = Run::elf(&fifo).finish().refuses(65, &["regular file"]);
    let _ = Run::elf("/dev/zero").finish().refuses(65, &["regular file"]);
}

fn an_empty_file() {
    refused(&Elf(Vec::new()), 65, &["empty"]);
}

fn a_file_that_is_not_elf() {
    refused(&Elf(b"#!/bin/sh\nexit 0\n".to_vec()), 65, &["not an ELF file"]);
    refused(&Elf(vec![0; 1 << 16]), 65, &["not an ELF file"]);
    refused(&good().put(0, b"\x7fFLE"), 65, &["not an ELF file"]);
}

fn a_file_that_this_user_may_not_read() {
    in_private_mounts(Devices::Open, |mounts| {
        let path = files::file(&mounts.scratch, "secret.elf", &good().0);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("permissions");
        let run = Run::elf(&path).monitor(&mounts.monitor).user(NOBODY);
        let _ = run.finish().refuses(77, &["secret.elf", "permission denied"]);
    });
}

fn another_class_byte_order_or_machine() {
    refused(&good().put(elf::EI_CLASS, &[1]), 65, &["32-bit"]);
    refused(&good().put(elf::EI_DATA, &[2]), 65, &["big-endian"]);
    // EM_AARCH64, EM_RISCV, EM_386 and a number without a name.
    for (machine, name) in [(183_u16, "aarch64"), (243, "RISC-V"), (3, "386"), (9999, "9999")] {
        refused(&good().put(elf::E_MACHINE, &machine.to_le_bytes()), 65, &["x86_64", name]);
    }
}

fn an_object_file_and_a_core_dump() {
    refused(&good().put(elf::E_TYPE, &[1, 0]), 65, &["object file"]);
    refused(&good().put(elf::E_TYPE, &[4, 0]), 65, &["core dump"]);
}

fn a_dynamically_linked_program() {
    let elf = good();
    // A header that nobody needs becomes one that names an interpreter: GNU_STACK.
    let spare = elf.headers(0x6474_e551)[0];
    let place = elf.0.len() as u64;
    let mut elf = elf
        .put(spare, &elf::PT_INTERP.to_le_bytes())
        .put(spare + elf::P_OFFSET, &place.to_le_bytes())
        .put(spare + elf::P_FILESZ, &28_u64.to_le_bytes());
    elf.0.extend_from_slice(b"/lib64/ld-linux-x86-64.so.2\0");
    refused(&elf, 65, &["dynamically linked", "ld-linux", "statically"]);
}

fn an_ordinary_linux_program() {
    // The monitor itself is one, static; the shell is another, dynamic.
    let static_one = artifacts().monitor.clone();
    let words = ["not a ukvm unikernel", "ukvm note", "without an operating system"];
    let _ = Run::elf(static_one).finish().refuses(65, &words);
    let shell = Path::new("/bin/sh").canonicalize().expect("a shell");
    let _ = Run::elf(shell).finish().refuses(65, &words).says(&["dynamically linked"]);
}

fn a_file_cut_anywhere() {
    let elf = good();
    let directory = files::directory();
    let path = directory.path().join("cut.elf");
    // What lies behind the last loaded byte is symbols and sections, which nothing needs.
    let end = |at: &usize| elf.u64_at(at + elf::P_OFFSET) + elf.u64_at(at + elf::P_FILESZ);
    let needed = elf.headers(elf::PT_LOAD).iter().map(end).max().unwrap_or_default() as usize;
    let mut lengths = vec![1, 3, 4, 15, 16, 63, 64, 65, 119, 120, needed / 2, needed - 1];
    lengths.extend((1..20).map(|i| needed * i / 20));
    for length in lengths {
        std::fs::write(&path, &elf.0[..length]).expect("a file");
        let ended = Run::elf(&path).finish().refuses(65, &["cut.elf"]);
        if length > 64 {
            let _ = ended.says(&["truncated"]);
        }
    }
    std::fs::write(&path, &elf.0[..needed]).expect("a file");
    Run::elf(&path).args(["4"]).finish().status(4).quietly();
}

fn bad_program_headers() {
    let elf = good();
    refused(&elf.clone().put(elf::E_PHENTSIZE, &[32, 0]), 65, &["e_phentsize"]);
    refused(&elf.clone().put(elf::E_PHNUM, &[0, 0]), 65, &[]);
    refused(&elf.clone().put(elf::E_PHNUM, &[0xff, 0xff]), 65, &[]);
    refused(&elf.clone().put(elf::E_PHOFF, &u64::MAX.to_le_bytes()), 65, &[]);
    refused(&elf.clone().put(elf::E_PHOFF, &(1_u64 << 40).to_le_bytes()), 65, &["truncated"]);
    let load = elf.segment(1);
    // Larger in the file than in memory; beyond the end of the file; an offset that wraps.
    let size = elf.u64_at(load + elf::P_MEMSZ);
    refused(&elf.clone().put(load + elf::P_FILESZ, &(size + 1).to_le_bytes()), 65, &[]);
    let last = elf.headers(elf::PT_LOAD).pop().expect("a segment");
    let far = elf.0.len() as u64 + 4096;
    let aligned = far - far % 4096 + elf.u64_at(last + elf::P_OFFSET) % 4096;
    refused(&elf.clone().put(last + elf::P_OFFSET, &aligned.to_le_bytes()), 65, &["truncated"]);
    refused(&elf.clone().put(last + elf::P_OFFSET, &u64::MAX.to_le_bytes()), 65, &[]);
    // An alignment that is no power of two; address and offset that do not agree.
    refused(&elf.clone().put(load + elf::P_ALIGN, &3_u64.to_le_bytes()), 65, &["align"]);
    let address = elf.u64_at(load + elf::P_VADDR);
    refused(&elf.clone().put(load + elf::P_VADDR, &(address + 8).to_le_bytes()), 65, &[]);
}

fn a_segment_that_is_writable_and_executable() {
    let elf = good();
    let text = elf.segment(1);
    refused(&elf.clone().put(text + elf::P_FLAGS, &[7]), 65, &["writable and executable"]);
}

fn segments_that_overlap() {
    let elf = good();
    let loads = elf.headers(elf::PT_LOAD);
    let (first, second) = (loads[0], loads[1]);
    // The first reaches to the end of the second.
    let end = elf.u64_at(second + elf::P_VADDR) + elf.u64_at(second + elf::P_MEMSZ);
    let size = end - elf.u64_at(first + elf::P_VADDR);
    refused(&elf.clone().put(first + elf::P_MEMSZ, &size.to_le_bytes()), 65, &["overlap"]);
}

fn segments_that_wrap_around() {
    let elf = good();
    let last = elf.headers(elf::PT_LOAD).pop().expect("a segment");
    for size in [u64::MAX, u64::MAX - 0xffff, 0_u64.wrapping_sub(elf.u64_at(last + elf::P_VADDR))] {
        refused(&elf.clone().put(last + elf::P_MEMSZ, &size.to_le_bytes()), 65, &["segment"]);
    }
    let offset = elf.u64_at(last + elf::P_VADDR) % 4096;
    let top = 0xffff_ffff_ffff_f000 + offset;
    refused(&elf.put(last + elf::P_VADDR, &top.to_le_bytes()), 65, &["segment"]);
}

fn a_segment_in_the_upper_half() {
    let elf = good();
    let last = elf.headers(elf::PT_LOAD).pop().expect("a segment");
    let address = 0xffff_8000_0000_0000 + elf.u64_at(last + elf::P_VADDR) % 4096;
    refused(&elf.put(last + elf::P_VADDR, &address.to_le_bytes()), 65, &["segment"]);
}

fn a_segment_that_exceeds_the_memory() {
    let elf = good();
    let last = elf.headers(elf::PT_LOAD).pop().expect("a segment");
    // 1 GiB of zeroes does not fit into 64 MiB, but into 2 GiB.
    let elf = elf.put(last + elf::P_MEMSZ, &(1_u64 << 30).to_le_bytes());
    refused(&elf, 78, &["memory", "--mem"]);
    let directory = files::directory();
    let path = elf.save(directory.path());
    Run::elf(path).option("--mem", "2G").args(["6"]).finish().status(6).quietly();
}

fn an_entry_point_outside_the_text() {
    for entry in [0_u64, 0x10, 1 << 40, u64::MAX] {
        refused(&good().put(elf::E_ENTRY, &entry.to_le_bytes()), 65, &["entry"]);
    }
}

fn no_segments_at_all() {
    let mut elf = good();
    for load in elf.headers(elf::PT_LOAD) {
        elf = elf.put(load, &0_u32.to_le_bytes());
    }
    refused(&elf, 65, &[]);
}

/// Whatever a byte of the headers or of the note is, the answer is a status of ours and at most one sentence.
fn any_byte_of_the_headers_may_be_wrong() {
    let elf = good();
    let directory = files::directory();
    let path = directory.path().join("wrong.elf");
    let headers = 64 + 56 * usize::from(elf.0[elf::E_PHNUM]);
    let places = (0..headers).step_by(3).chain((elf.note()..elf.note() + 60).step_by(4));
    for (place, change) in places.zip([0x01, 0x80, 0xff].into_iter().cycle()) {
        let mut bytes = elf.0.clone();
        bytes[place] ^= change;
        File::create(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, &bytes))
            .expect("a file");
        let ended = Run::elf(&path).options(["--inspect"]).finish();
        match ended.code() {
            Some(0) => {
                let _ = ended.quietly();
            }
            _ => {
                let _ = ended.refuses(65, &["wrong.elf"]);
            }
        }
    }
}
