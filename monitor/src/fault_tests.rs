use super::*;
use crate::layout::{Rights, Wishes};

/// A guest with one page of code and one of data.
fn guest() -> (Layout, Memory) {
    let wishes = Wishes {
        memory: 8 << 20,
        span: 0..0x2000,
        pages: vec![(0..0x1000, Rights::EXECUTE), (0x1000..0x2000, Rights::WRITE)],
        movable: true,
        alignment: PAGE,
        info: 1,
        rings: PAGE,
        stack: 4 * PAGE,
        mappings: Vec::new(),
    };
    let layout = Layout::new(&wishes, |below| below / 3).unwrap();
    let memory = Memory::new(layout.memory).unwrap();
    (layout, memory)
}

fn code(layout: &Layout) -> u64 {
    layout.virtual_address(layout.image.start)
}

fn report(fault: Fault, change: impl FnOnce(&mut kvm_regs, &Layout, &Memory)) -> FaultReport {
    let (layout, memory) = guest();
    let mut general = kvm_regs { rip: code(&layout), ..Default::default() };
    change(&mut general, &layout, &memory);
    FaultReport::new(
        fault,
        Registers { general, cr2: 0 },
        &layout,
        &memory,
        |_| Some("data".into()),
        |address| (address < 0x1000).then(|| ("function".to_owned(), address)),
    )
}

fn page_fault(error: u64, address: impl Fn(&Layout) -> u64) -> String {
    let (layout, _) = guest();
    let fault = Fault::Exception { vector: 14, error, address: address(&layout) };
    report(fault, |_, _, _| ()).sentence
}

#[test]
fn a_page_fault_is_named_by_what_it_hit() {
    assert_eq!(page_fault(4, |_| 8), "it read a null pointer (page fault at 0x8)");
    assert!(
        page_fault(6, |layout| layout.virtual_address(layout.stack.start) - 8)
            .starts_with("its stack overflowed")
    );
    // No guard: that page is mapped.
    assert!(
        page_fault(7, |layout| layout.virtual_address(layout.stack.start) - 8)
            .starts_with("it wrote to read-only memory")
    );
    assert!(page_fault(7, code).starts_with("it wrote to read-only memory"));
    assert!(
        page_fault(0x15, |layout| code(layout) + PAGE).starts_with("it executed memory that is not code")
    );
    assert!(page_fault(4, |_| 1 << 46).starts_with("it read memory that is not mapped"));
    assert!(page_fault(5, |layout| layout.slide + PAGE).starts_with("it read memory of the monitor"));
}

#[test]
fn an_instruction_that_is_not_for_guests_is_named() {
    for (bytes, vector, sentence) in [
        ([0x0f, 0x05, 0x90], 6, "it executed syscall, but a unikernel has no operating system to call"),
        ([0xf4, 0x90, 0x90], 13, "it executed hlt (#GP)"),
        ([0x0f, 0x01, 0xc1], 13, "it executed vmcall (#GP)"),
        ([0x90, 0x90, 0x90], 6, "it executed an undefined instruction (#UD)"),
    ] {
        let fault = Fault::Exception { vector, error: 0, address: 0 };
        let report = report(fault, |_, layout, memory| memory.write(layout.image.start, &bytes).unwrap());
        assert_eq!(report.sentence, sentence);
    }
    // As software KVM shows it.
    let fault = Fault::Exception { vector: 14, error: 0x14, address: 0 };
    let report = report(fault, |registers, layout, memory| {
        memory.write(layout.image.start, &[0x0f, 0x05]).unwrap();
        (registers.rip, registers.rcx) = (0, code(layout) + 2);
    });
    assert!(report.sentence.contains("executed syscall"), "{}", report.sentence);
}

#[test]
fn callers_are_found_by_their_frames() {
    let report = report(Fault::TripleFault, |registers, layout, memory| {
        let frames = [(0x100, 0x200, 0x40), (0x200, 0x300, 0x50), (0x300, 0, 0)];
        for (at, next, caller) in frames {
            let place = layout.stack.start + at;
            let next = if next == 0 { 0 } else { layout.virtual_address(layout.stack.start + next) };
            memory.set_word(place, next).unwrap();
            memory.set_word(place + 8, if caller == 0 { 0 } else { code(layout) + caller }).unwrap();
        }
        registers.rip += 0x30;
        registers.rbp = layout.virtual_address(layout.stack.start + 0x100);
    });
    let offsets: Vec<_> = report.callers.iter().map(|caller| caller.symbol.clone().unwrap().1).collect();
    assert_eq!(offsets, [0x30, 0x40, 0x50]);
    let text = report.to_string();
    assert!(text.starts_with("guest fault: its exception could not be delivered (triple fault)\n"), "{text}");
    assert!(text.contains("function+0x40"), "{text}");
}

#[test]
fn frames_that_lead_nowhere_end_the_list() {
    for (next, caller) in [(0x100, 0x40), (0x80, 0x40), (0xffff_ffff, 0x40)] {
        let report = report(Fault::TripleFault, |registers, layout, memory| {
            let frame = layout.stack.start + 0x100;
            memory.set_word(frame, layout.virtual_address(layout.stack.start + next)).unwrap();
            memory.set_word(frame + 8, code(layout) + caller).unwrap();
            registers.rbp = layout.virtual_address(frame);
        });
        assert_eq!(report.callers.len(), 2);
    }
    for rbp in [0, 1, u64::MAX, u64::MAX - 7, 1 << 63] {
        assert_eq!(report(Fault::TripleFault, |registers, _, _| registers.rbp = rbp).callers.len(), 1);
    }
}

#[test]
fn what_lies_outside_the_program_has_no_name() {
    let report = report(Fault::Unrunnable { reason: 1 }, |registers, _, _| registers.rip = 0x10);
    assert_eq!(report.callers, [Caller { address: 0x10, link_address: None, symbol: None }]);
    assert!(report.to_string().ends_with("at 0x10 (not in the program)"));
}

#[test]
fn any_registers_make_a_report() {
    let (layout, _) = guest();
    let stack = layout.virtual_address(layout.stack.start);
    // A caller that would be before the first byte of the image, and numbers near every edge.
    let edges =
        [0, 1, 7, 8, PAGE, layout.slide, code(&layout), stack, u64::MAX - 7, u64::MAX, 1 << 47, 1 << 63];
    let edges = edges.iter().flat_map(|&edge| [edge, edge.wrapping_sub(1), edge.wrapping_sub(8)]);
    let edges: Vec<u64> = edges.chain([stack + 4 * PAGE, stack + 4 * PAGE - 16]).collect();
    for &one in &edges {
        for &other in &edges {
            for (vector, error) in [(14, 0x10), (14, 2), (13, 0), (6, 0)] {
                let fault = Fault::Exception { vector, error, address: other };
                let report = report(fault, |registers, layout, memory| {
                    (registers.rip, registers.rcx, registers.rsp, registers.rbp) = (one, other, other, stack);
                    memory.write(layout.stack.start, &one.to_le_bytes()).unwrap();
                    memory.write(layout.stack.start + 8, &other.to_le_bytes()).unwrap();
                });
                assert!(report.callers.len() <= 1 + MAX_CALLERS && !report.to_string().is_empty());
            }
        }
    }
}
