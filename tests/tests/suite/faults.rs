//! What a guest may not do: the status is 139, the report tells what it was, and what it had printed before is not lost.

use ukvm_tests::run::{Finished, Run};

ukvm_tests::tests! {
    dividing_by_zero;
    reading_null;
    executing_data;
    writing_to_what_is_read_only;
    the_memory_slot_stops_a_write_that_the_page_tables_let_through;
    overflowing_the_stack;
    other_ports_widths_and_directions;
    the_doorbell_with_a_value_that_means_nothing;
    string_instructions_on_ports;
    instructions_of_a_kernel;
    traps;
    instructions_that_may_do_nothing;
    exceptions_of_arithmetic_and_addresses;
    exceptions_that_not_every_processor_raises;
    a_corrupt_ring;
    the_report_names_the_place_in_the_program;
}

fn fault(guest: &str, way: &str) -> Finished {
    Run::guest(guest).args([way]).finish().status(139).says(&["ukvm-run: ", "guest fault: ", "rip", "rsp"])
}

fn fault_after_before(guest: &str, way: &str, words: &[&str]) {
    let _ = fault(guest, way).prints("before").says(words);
}

fn dividing_by_zero() {
    fault_after_before("divide-by-zero", "", &["divided by zero", "#DE"]);
}

fn reading_null() {
    fault_after_before("null-read", "", &["it read", "null", "0x0"]);
    fault_after_before("null-read", "field", &["it read", "null", "0xff8"]);
}

/// The guest prints the address before it uses it; the report must name it.
fn fault_at_the_printed_address(guest: &str, way: &str, words: &[&str]) {
    let ended = fault(guest, way).says(words);
    let address = ended.text().trim().to_owned();
    assert!(address.starts_with("0x"), "{guest} {way}: {address:?}");
    let _ = ended.says(&[&address]);
}

fn executing_data() {
    for place in ["data", "rodata", "stack", "heap"] {
        fault_at_the_printed_address("execute-data", place, &["executed", "not code"]);
    }
    fault_at_the_printed_address("execute-data", "null", &["executed", "null"]);
    fault_at_the_printed_address("execute-data", "wild", &["executed", "not mapped"]);
}

fn writing_to_what_is_read_only() {
    for place in ["text", "rodata", "relro", "boot-info", "clock"] {
        fault_at_the_printed_address("write-protected", place, &["wrote", "read-only"]);
    }
}

/// The second line of defence: the text is behind a read-only memory slot as well.
fn the_memory_slot_stops_a_write_that_the_page_tables_let_through() {
    let ended = Run::guest("write-protected").odd("writable-text").args(["text"]).finish().status(139);
    let _ = ended.says(&["guest fault: it wrote to read-only memory", "guest-physical"]);
    // All else is as it was.
    Run::guest("status").odd("writable-text").args(["3"]).finish().status(3).quietly();
}

fn overflowing_the_stack() {
    fault_after_before("stack-overflow", "", &["stack overflow"]);
}

fn other_ports_widths_and_directions() {
    for (way, words) in [
        ("unknown-port", ["port", "0x3f8"]),
        ("serial-byte", ["port", "0x3f8"]),
        ("immediate", ["port", "0x80"]),
        ("in", ["doorbell", "IN"]),
        ("in-byte", ["doorbell", "IN"]),
        ("in-word", ["doorbell", "IN"]),
        ("in-other", ["port", "0x60"]),
        ("out-byte", ["doorbell", "1 byte"]),
        ("out-word", ["doorbell", "2 byte"]),
        ("overlap", ["port", "0x74fe"]),
    ] {
        fault_after_before("bad-port", way, &words);
    }
    // It lies at the very end of the processor's I/O bitmap, where some say that it is no port and others that it is protected.
    fault_after_before("bad-port", "last-port", &["guest fault"]);
}

fn the_doorbell_with_a_value_that_means_nothing() {
    for (way, value) in
        [("unknown-function", "0xff"), ("stray-argument", "0x100"), ("high-bits", "0x80000001")]
    {
        fault_after_before("bad-port", way, &["doorbell", value]);
    }
}

/// A string instruction may be told as a fault, or be as good as the plain one (the values written are those of an enter).
fn string_instructions_on_ports() {
    for way in ["outsb", "outsd", "rep-outsd", "rep-outsb-other", "insb", "insd", "rep-insd"] {
        fault_or_nothing("bad-port", way);
    }
}

fn fault_or_nothing(guest: &str, way: &str) {
    let ended = Run::guest(guest).args([way]).finish();
    match ended.code() {
        Some(139) => {
            let _ = ended.prints("before").says(&["ukvm-run: ", "guest fault: "]);
        }
        _ => {
            let _ = ended.status(0).prints("before and went on").quietly();
        }
    }
}

fn instructions_of_a_kernel() {
    for way in [
        "syscall",
        "sysenter",
        "sysret",
        "int-0x80",
        "int-8",
        "int-13",
        "ud2",
        "hlt",
        "rdmsr",
        "wrmsr",
        "read-cr0",
        "write-cr0",
        "write-cr3",
        "write-cr4",
        "write-dr7",
        "lgdt",
        "lidt",
        "lldt",
        "ltr",
        "clts",
        "invlpg",
        "swapgs",
        "xsetbv",
        "far-return",
        "iret",
        "kernel-data-segment",
    ] {
        let ended = fault("privileged", way).prints("before");
        // Which exception it is depends on the processor, and there is none where it went to a kernel's entry point that is
        // not there.
        let told = ["(#GP)", "(#UD)", way].iter().any(|word| ended.errors.contains(word));
        assert!(told, "{way}: {}", ended.errors);
    }
}

fn traps() {
    fault_after_before("privileged", "single-step", &["#DB"]);
    fault_after_before("privileged", "icebp", &["#DB"]);
    // A breakpoint's gate is open to programs or not: both tell where it was.
    fault_after_before("privileged", "int3", &["(#"]);
}

fn instructions_that_may_do_nothing() {
    Run::guest("privileged").args(["nested-task"]).finish().status(0).prints("before and went on").quietly();
    // IOPL 3, which allows the first two, gets lost on software KVM.
    for way in ["cli", "sti", "vmcall", "vmmcall", "wbinvd"] {
        fault_or_nothing("privileged", way);
    }
}

fn exceptions_of_arithmetic_and_addresses() {
    for (way, words) in [
        ("x87", &["#MF"][..]),
        ("unaligned-sse", &["#GP"]),
        ("not-canonical", &["#GP"]),
        ("upper-half", &["0xffff800000000000"]),
        ("wild-jump", &["#GP"]),
        ("no-stack", &["page fault at 0xfffffffffffffff8"]),
        ("wild-stack", &["rsp   0000800000000000"]),
        ("debug-without-stack", &["#UD", "rsp   0000000000000000"]),
        ("descriptor-table", &["guest fault: it"]),
    ] {
        fault_after_before("exceptions", way, words);
    }
}

/// A processor emulated by QEMU raises neither.
fn exceptions_that_not_every_processor_raises() {
    fault_or_nothing("exceptions", "alignment");
    fault_or_nothing("exceptions", "sse");
}

fn a_corrupt_ring() {
    for (way, words) in [
        ("tail-ahead", ["ring", "submission tail"]),
        ("tail-far", ["ring", "submission tail"]),
        ("tail-back", ["ring", "submission tail"]),
        ("head-ahead", ["ring", "completion head"]),
        ("head-back", ["ring", "completion head"]),
    ] {
        let _ = fault("corrupt-ring", way).prints("before it").says(&words);
    }
}

/// With the name of the function, or its address in the file, so that it can be looked up whatever the load address was.
fn the_report_names_the_place_in_the_program() {
    let places: Vec<String> = (0..2)
        .map(|_| {
            let ended = fault("divide-by-zero", "");
            let line =
                ended.errors.lines().find(|line| line.trim_start().starts_with("at ")).map(str::to_owned);
            let line = line.unwrap_or_else(|| panic!("no place in {}", ended.errors));
            line.split_whitespace().nth(2).unwrap_or_default().to_owned()
        })
        .collect();
    assert!(places[0].contains("+0x"), "{places:?}");
    assert_eq!(places[0], places[1], "the same place at another load address");
}
