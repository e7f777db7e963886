//! Solo5 hvt guests that do what they may not: a trap that their own handler reports, or a fault report and status 139.

use ukvm_tests::run::{Finished, Run};
use ukvm_tests::suite::in_rig;

ukvm_tests::tests! {
    exceptions_go_to_the_guests_own_handlers;
    exceptions_are_fixed_up_by_iretq;
    exceptions_without_a_handler_are_the_end;
    the_stack_of_a_handler_is_its_own;
    the_zero_page_is_nobodys;
    what_is_no_text_is_not_executed;
    text_and_constants_are_read_only;
    a_stack_that_runs_down_is_stopped;
    instructions_of_a_kernel_that_are_carried_out;
    instructions_of_a_kernel_that_fault_in_the_guest;
    instructions_of_a_kernel_that_are_named;
    instructions_that_processors_differ_about;
    ports_that_nothing_is_behind;
    calls_that_there_are_not;
    calls_with_memory_that_is_not_the_guests;
    calls_at_the_edge_of_what_is_right;
    a_port_of_a_call_in_another_width;
}

/// The run of `guest` with the argument `way`, up to where it says so.
fn run(guest: &str, way: &str) -> Finished {
    let ended = Run::hvt(guest).args([way]).finish();
    let text = ended.text();
    assert!(text.starts_with(&format!("before {way}\n")), "{guest} {way}: {text:?}; {}", ended.errors);
    ended
}

/// The guest's handler has reported this trap, at the instruction that raised it where `at` says so, and aborted.
fn trap(guest: &str, way: &str, what: &str, at: bool) {
    let ended = run(guest, way).status(255).quietly();
    let text = ended.text();
    let place = if at { "as expected" } else { "is another instruction" };
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.len() == 3 && lines[1] == format!("trap: {what}") && lines[2].ends_with(place),
        "{guest} {way}: {text}"
    );
}

/// The trap as a guest is told it on stack 1, with the segments that it has chosen.
fn on_stack_1(vector: u8, error: u32, cr2: u64) -> String {
    format!("vector {vector} error {error:#x} cr2 {cr2:#x} cs 0x8 ss 0x10 rflags 0x2 on stack 1")
}

/// A fault report that has these words, after what the guest printed.
fn fault(guest: &str, way: &str, words: &[&str]) {
    let before = format!("before {way}\n");
    let _ = run(guest, way)
        .status(139)
        .prints(&before)
        .says(&["ukvm-run: guest fault: ", "rip", "rsp"])
        .says(words);
}

/// It went on, with this in RAX.
fn goes_on(guest: &str, way: &str, rax: u64) {
    let text = format!("before {way}\n{way} went on, rax {rax:#x}\n");
    run(guest, way).status(0).prints(&text).quietly();
}

fn exceptions_go_to_the_guests_own_handlers() {
    for (way, vector, error, cr2) in [
        ("divide", 0, 0, 0),
        ("divide-overflow", 0, 0, 0),
        ("ud2", 6, 0, 0),
        ("page-read", 14, 0, 0x20),
        ("page-write", 14, 2, 0x9008),
        ("page-far", 14, 0, 0x7fff_ffff_f000),
        ("page-upper", 14, 0, 0xffff_ffff_ffff_f000),
        ("general-protection", 13, 0, 0),
        ("selector", 13, 0x3a8, 0),
        // The emulated processor of the rig does not tell accesses to the stack from others.
        ("stack-segment", if in_rig() { 13 } else { 12 }, 0, 0),
        ("x87", 16, 0, 0),
    ] {
        trap("exceptions", way, &on_stack_1(vector, error, cr2), true);
    }
    if in_rig() {
        // Its emulated processor raises no exception of SSE arithmetic.
        run("exceptions", "simd").status(1).prints("before simd\nsimd raised nothing\n").quietly();
    } else {
        trap("exceptions", "simd", &on_stack_1(19, 0, 0), true);
    }
    // A breakpoint is a trap: the guest goes on behind it. Its gate names no stack.
    let on_its_own = "vector 3 error 0x0 cr2 0x0 cs 0x8 ss 0x10 rflags 0x2 on the interrupted stack";
    trap("exceptions", "int3", on_its_own, true);
    // The trap flag works behind the instruction that follows the one that sets it.
    let flags = "vector 1 error 0x0 cr2 0x0 cs 0x8 ss 0x10 rflags 0x102 on stack 1";
    trap("exceptions", "single-step", flags, false);
}

fn exceptions_are_fixed_up_by_iretq() {
    let text = "divide: 1 trap, vector 0 error 0x0, and went on\n\
                divide-overflow: 1 trap, vector 0 error 0x0, and went on\n\
                int3: 1 trap, vector 3 error 0x0, and went on\n\
                ud2: 1 trap, vector 6 error 0x0, and went on\n\
                page-read: 1 trap, vector 14 error 0x0 cr2 0x20, and went on\n\
                page-write: 1 trap, vector 14 error 0x2 cr2 0x9008, and went on\n\
                page-far: 1 trap, vector 14 error 0x0 cr2 0x7ffffffff000, and went on\n\
                page-upper: 1 trap, vector 14 error 0x0 cr2 0xfffffffffffff000, and went on\n\
                general-protection: 1 trap, vector 13 error 0x0, and went on\n\
                selector: 1 trap, vector 13 error 0x3a8, and went on\n";
    Run::hvt("exceptions").args(["all"]).finish().status(0).prints(text).quietly();
}

fn exceptions_without_a_handler_are_the_end() {
    // A gate that is not there raises another exception, which has a double fault's handler on a stack of its own.
    let double = "vector 8 error 0x0 cr2 0x0 cs 0x8 ss 0x10 rflags 0x2 on stack 2";
    trap("exceptions", "no-gate", double, true);
    trap("exceptions", "double-fault", double, true);
    // Where there is no table at all, what happened first is told.
    fault("exceptions", "triple-fault", &["ud2", "triple_fault+"]);
    fault("exceptions", "no-vector", &["it executed int"]);
}

fn the_stack_of_a_handler_is_its_own() {
    trap("exceptions", "no-stack", &on_stack_1(14, 2, 0x8008), true);
}

fn the_zero_page_is_nobodys() {
    trap("null", "read", &on_stack_1(14, 0, 0), true);
    trap("null", "write", &on_stack_1(14, 2, 8), true);
    trap("null", "jump", &on_stack_1(14, 0, 0), true);
}

fn what_is_no_text_is_not_executed() {
    // In the image it is what a tender's own page rights stop; elsewhere the guest's handler has it.
    for place in ["data", "rodata"] {
        fault("nx-data", place, &["it executed memory that is not code"]);
    }
    for place in ["bss", "stack", "heap", "boot"] {
        let ended = run("nx-data", place).status(255).quietly();
        let text = ended.text();
        assert!(text.contains("\ntrap: vector 14 error 0x1 cr2 0x"), "{place}: {text}");
        assert!(!text.contains("was executed"), "{place}: {text}");
    }
}

fn text_and_constants_are_read_only() {
    let ended = Run::hvt("write-text").finish().status(139).prints("before\n");
    let _ = ended.says(&["guest fault: it wrote to read-only memory", "main+"]);
    let ended = Run::hvt("write-rodata").finish().status(139).prints("before 1\n");
    let _ = ended.says(&["guest fault: it wrote to read-only memory", "main+"]);
}

fn a_stack_that_runs_down_is_stopped() {
    fault("stack-guard", "bare", &["it wrote to read-only memory", "close to its stack pointer"]);
    // Page tables of the guest's own are not loaded, and that is said.
    fault("stack-guard", "guard", &["mov of a control register", "to cr3", "not carried out"]);
}

fn instructions_of_a_kernel_that_are_carried_out() {
    for (way, rax) in [
        ("rdmsr-fs", 0),
        ("rdmsr-gs", 0),
        ("rdmsr-kernel-gs", 0),
        ("rdmsr-efer", 0x500),
        ("wrmsr-fs", 0),
        ("wrmsr-gs", 0),
        ("wrmsr-efer", 0),
        ("cli", 0),
        ("sti", 0),
        ("read-cr0", 0x8001_0021),
        ("read-cr2", 0),
        ("read-cr3", 0x2000),
        ("read-cr4", 0x620),
        ("read-cr8", 0),
        ("write-cr0-same", 0x8001_0021),
        ("write-cr0", 0x8001_0031),
        ("write-cr2", 0x1234),
        ("write-cr3-same", 0x2000),
        ("write-cr4-same", 0x620),
        ("write-cr8", 0),
        ("clts", 0),
        ("invlpg", 0),
        ("wbinvd", 0),
        ("swapgs", 0),
        ("lldt", 0),
        ("mov-fs", 0x10),
        ("mov-gs-null", 0),
        ("iretq", 0),
    ] {
        goes_on("privileged", way, rax);
    }
}

fn instructions_of_a_kernel_that_fault_in_the_guest() {
    for (way, error) in
        [("wrmsr-fs-not-canonical", 0), ("ltr-again", 0x18), ("lgdt-not-canonical", 0), ("lretq-null", 0)]
    {
        trap("privileged", way, &on_stack_1(13, error, 0), true);
    }
}

fn instructions_of_a_kernel_that_are_named() {
    for (way, what) in [
        ("rdmsr-tsc", "rdmsr (0x10)"),
        ("rdmsr-apic-base", "rdmsr (0x1b)"),
        ("rdmsr-unknown", "rdmsr (0x12345678)"),
        ("wrmsr-efer-off", "wrmsr (0x0 to 0xc0000080)"),
        ("wrmsr-unknown", "wrmsr (0x0 to 0x12345678)"),
        ("wrmsr-lstar", "wrmsr (0x100000 to 0xc0000082)"),
        ("read-dr7", "mov of a debug register"),
        ("write-dr7", "mov of a debug register"),
        ("write-cr0-unpaged", "mov of a control register (0x1 to cr0)"),
        ("write-cr3", "mov of a control register (0x100000 to cr3)"),
        ("write-cr4", "mov of a control register (0x10620 to cr4)"),
        ("lmsw", "lmsw"),
        ("xsetbv", "xsetbv"),
        ("int-0x80", "int"),
        ("sysret", "sysret"),
        ("lretq-user", "lret (to privilege level 3)"),
    ] {
        let what = format!("it executed {what}, an instruction of kernels that is not carried out");
        fault("privileged", way, &[&what]);
    }
    fault("privileged", "hlt", &["it halted (hlt)", "no interrupts"]);
}

/// What these do depends on the processor, or on the KVM. Whatever it is, it stays the guest's affair.
fn instructions_that_processors_differ_about() {
    for way in [
        "invd",
        "smsw",
        "sgdt",
        "sidt",
        "str",
        "sldt",
        "read-selectors",
        "pushf",
        "popf-if",
        "rdtsc",
        "cpuid",
        "rdpmc",
        "monitor",
        "vmcall",
        "vmmcall",
        "syscall",
    ] {
        let ended = run("privileged", way);
        match ended.code() {
            Some(0) => assert!(ended.text().contains(&format!("{way} went on, rax ")), "{}", ended.text()),
            Some(255) => assert!(ended.text().contains("\ntrap: vector "), "{way}: {}", ended.text()),
            _ => drop(ended.status(139).says(&["guest fault: it "])),
        }
    }
}

fn ports_that_nothing_is_behind() {
    for (way, what) in [
        ("in-0x60", "it read 1 byte(s) from I/O port 0x60"),
        ("out-0x80", "it wrote 1 byte(s) to I/O port 0x80"),
        ("in-cmos", "it read 1 byte(s) from I/O port 0x71"),
        ("out-reset", "it wrote 1 byte(s) to I/O port 0xcf9"),
        ("out-pci", "it wrote 4 byte(s) to I/O port 0xcf8"),
        ("insb", "I/O port 0x60"),
        ("outsb", "I/O port 0x80"),
        ("rep-outsb", "I/O port 0x80"),
    ] {
        fault("privileged", way, &[what]);
    }
    // It lies at the very end of the processor's I/O bitmap, where some say that it is no port and others that it is protected.
    let ended = run("privileged", "out-0xffff").status(139);
    assert!(ended.errors.contains("0xffff") || ended.errors.contains("it executed out"), "{}", ended.errors);
}

fn calls_that_there_are_not() {
    fault("bad-calls", "call-0", &["hypercall 0", "does not have"]);
    fault("bad-calls", "call-9", &["I/O port 0x509"]);
    fault("bad-calls", "call-255", &["I/O port 0x5ff"]);
    // Calls and the doorbell of devices that the guest has not declared.
    for (way, number) in [("block-write", 4), ("block-read", 5), ("net-write", 6), ("net-read", 7)] {
        fault("bad-calls", way, &[&format!("hypercall {number}"), "without a device for it"]);
    }
    fault("bad-calls", "kick", &["I/O port 0x600"]);
}

fn calls_with_memory_that_is_not_the_guests() {
    for (way, what) in [
        ("puts-at-end", "8 bytes at 0x1ffffff8"),
        ("puts-across-end", "16 bytes at 0x1ffffff8"),
        ("puts-behind-end", "1 bytes at 0x20000000"),
        ("puts-far", "1 bytes at 0x10000000000"),
        ("puts-wrap", "16 bytes at 0xfffffffffffffff8"),
        ("puts-huge", "9223372036854775808 bytes at 0x"),
        ("puts-all", "18446744073709551615 bytes at 0x"),
        ("puts-empty-behind-end", "0 bytes at 0x20000000"),
        ("puts-zero-page", "16 bytes at 0x0"),
        ("puts-tables", "32768 bytes at 0x1000"),
        ("block-at-end", "8 bytes at 0x1ffffff8"),
        ("block-across-end", "8 bytes at 0x1ffffffc"),
        ("block-behind-end", "8 bytes at 0x20000000"),
        ("block-far", "8 bytes at 0xfffffffc"),
        ("block-zero", "8 bytes at 0x0"),
        ("block-in-tables", "8 bytes at 0x2000"),
        // What the guest may not write, a call does not write for it.
        ("block-in-boot", "8 bytes at 0x10000"),
        ("block-in-text", "8 bytes at 0x100"),
        ("cookie-at-end", "512 bytes at 0x1ffffe00"),
        ("cookie-across-end", "512 bytes at 0x1ffffff8"),
        ("cookie-wraps", "512 bytes at 0xfffffffffffffff7"),
    ] {
        fault("bad-calls", way, &[&format!("it gave a hypercall memory that it may not use: {what}")]);
    }
}

fn calls_at_the_edge_of_what_is_right() {
    for (way, printed) in [
        ("puts-before-end", "the end\n"),
        ("puts-empty", ""),
        ("puts-read-only", "constant\n"),
        ("block-unaligned", "time is known\n"),
    ] {
        let text = format!("before {way}\n{printed}{way} went on\n");
        run("bad-calls", way).status(0).prints(&text).quietly();
    }
    // The text may be printed: what comes out are its bytes.
    let ended = run("bad-calls", "puts-text").status(0).quietly();
    let (before, after) = ("before puts-text\n".len(), "puts-text went on\n".len());
    assert_eq!(ended.output.len(), before + 16 + after, "{}", ended.text());
    run("bad-calls", "cookie-in-memory").status(0).prints("before cookie-in-memory\n").quietly();
}

fn a_port_of_a_call_in_another_width() {
    for (way, what) in [
        ("out-8", "wrote 1 byte(s) to I/O port 0x502"),
        ("out-16", "wrote 2 byte(s) to I/O port 0x502"),
        ("in-8", "read 1 byte(s) from I/O port 0x502"),
        ("in-32", "read 4 byte(s) from I/O port 0x502"),
    ] {
        fault("bad-calls", way, &[what]);
    }
    // As good as a plain one, with a word of the memory for the address: here of a block that names other memory, or nothing.
    let _ = run("bad-calls", "outs").status(139).says(&["guest fault: "]);
}
