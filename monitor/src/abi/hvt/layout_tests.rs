use super::*;
use crate::fault::{Fault, FaultReport, Registers};
use crate::memory::Memory;
use crate::paging::Tables;
use kvm_bindings::kvm_regs;

const RINGS: [Option<RingPlace>; 3] = [None, Some(RingPlace::Inside), Some(RingPlace::Above)];

fn segment(pages: Range<u64>, rights: Option<Rights>) -> Segment {
    Segment { address: pages.start, file_offset: 0, file_size: 1, pages, rights }
}

/// As Solo5's linker scripts have them: the last before `.bss` is read-only.
fn segments() -> Vec<Segment> {
    vec![
        segment(0x10_0000..0x10_4000, Some(Rights::EXECUTE)),
        segment(0x10_4000..0x10_6000, Some(Rights::READ)),
        segment(0x10_6000..0x10_7000, Some(Rights::WRITE)),
        segment(0x10_8000..0x10_9000, Some(Rights::READ)),
    ]
}

fn area(gpa: Range<u64>, rights: Rights) -> Area {
    Area { gpa, rights }
}

/// What holds of every layout.
fn check(layout: &Layout) {
    let mut end = INFO;
    for Area { gpa, rights } in &layout.areas {
        assert!(gpa.start >= end && gpa.start < gpa.end, "{layout:#x?}");
        assert!(gpa.start.is_multiple_of(PAGE) && gpa.end.is_multiple_of(PAGE));
        assert!(!(rights.write && rights.execute));
        end = gpa.end;
    }
    assert_eq!(end, layout.memory);
    assert_eq!((layout.slide, layout.bias, layout.tables.start), (0, 0, layout.memory));
    assert_eq!((layout.small_heap.start, layout.small_heap.end), (layout.image.end, layout.heap.start));
    assert_eq!(layout.heap.end, (layout.stack.end - GRANULE).max(layout.heap.start));
    assert_eq!(layout.stack.end, layout.rings.start);
    assert!(layout.memory.is_multiple_of(GRANULE) && layout.memory <= MAX_MEMORY);
    let (_, behind) = Memory::with_tail(PAGE, layout.tables.end - layout.tables.start).unwrap();
    Tables::new(layout, behind, false).expect("the tables have room");
}

#[test]
fn memory_is_whole_granules() {
    assert_eq!(memory_size(None), Ok(512 << 20));
    for (wanted, size) in
        [(0, 2), (1, 2), (2, 2), (3, 2), (4, 4), (5, 4), (63, 62), (64, 64), (4095, 4094), (4096, 4096)]
    {
        assert_eq!(memory_size(Some(wanted << 20)), Ok(size << 20), "{wanted}");
    }
    assert_eq!(memory_size(Some((4 << 20) + 1)), Ok(4 << 20));
    let error = memory_size(Some((4 << 30) + 1)).unwrap_err();
    let sentence =
        "a Solo5 guest has at most 4G of memory, and 4294967297 bytes are too much: use a smaller --mem";
    assert_eq!(error.to_string(), sentence);
    assert!(memory_size(Some(u64::MAX)).is_err());
}

#[test]
fn a_guest_without_ring_has_all_of_its_memory() {
    let layout = lay_out(&segments(), 64 << 20, None).unwrap();
    check(&layout);
    assert_eq!(layout.memory, 64 << 20);
    assert_eq!((layout.image.clone(), layout.info.clone()), (0x10_0000..0x10_9000, 0x1_0000..0x1_4000));
    assert_eq!(layout.stack, 0x10_9000..64 << 20);
    assert!(layout.rings.is_empty() && layout.clock.is_empty() && layout.mappings.is_empty());
    let expected = [
        area(0x1_0000..0x10_0000, Rights::READ),
        area(0x10_0000..0x10_4000, Rights::EXECUTE),
        area(0x10_4000..0x10_6000, Rights::READ),
        area(0x10_6000..0x10_7000, Rights::WRITE),
        area(0x10_7000..0x10_8000, Rights::WRITE),
        area(0x10_8000..0x10_9000, Rights::READ),
        area(0x10_9000..64 << 20, Rights::WRITE),
    ];
    assert_eq!(layout.areas, expected);
}

#[test]
fn a_ring_lies_inside_the_memory_or_above_it() {
    let inside = lay_out(&segments(), 64 << 20, Some(RingPlace::Inside)).unwrap();
    assert_eq!((inside.memory, inside.stack.end), (64 << 20, 62 << 20));
    assert_eq!(inside.rings, 62 << 20..64 << 20);
    let above = lay_out(&segments(), 64 << 20, Some(RingPlace::Above)).unwrap();
    assert_eq!((above.memory, above.stack.end), (66 << 20, 64 << 20));
    assert_eq!(above.rings, 64 << 20..66 << 20);
    let highest = lay_out(&segments(), MAX_MEMORY, Some(RingPlace::Above)).unwrap();
    assert_eq!((highest.memory, highest.stack.end), (4 << 30, 4094 << 20));
    for layout in [inside, above, highest] {
        check(&layout);
        assert_eq!(layout.areas.last(), Some(&area(layout.rings.clone(), Rights::WRITE)));
    }
}

#[test]
fn memory_that_is_too_small_is_refused_with_what_suffices() {
    let needs = |end, memory, ring| lay_out(&[segment(0x10_0000..end, Some(Rights::READ))], memory, ring);
    for ring in RINGS {
        for end in [0x10_1000, 0x20_0000, 0x20_1000, 0x1000_0000, (4 << 30) - GRANULE - PAGE] {
            for memory in [2 << 20, 4 << 20, 128 << 20] {
                let Err(LayoutError::TooSmall { needed }) = needs(end, memory, ring) else { continue };
                assert!(needed > memory);
                assert!(needs(end, needed - GRANULE, ring).is_err(), "{end:#x} {ring:?}");
                check(&needs(end, needed, ring).unwrap());
            }
        }
    }
    let error = needs(0x20_1000, 2 << 20, None).unwrap_err();
    assert_eq!(error.to_string(), "the guest needs at least 4M of memory: use --mem 4M");
    let error = needs(0x10_1000, 2 << 20, Some(RingPlace::Inside)).unwrap_err();
    assert_eq!(error, LayoutError::TooSmall { needed: 4 << 20 });
    assert!(needs(0x10_1000, 2 << 20, Some(RingPlace::Above)).is_ok());
    check(&needs(MAX_MEMORY, MAX_MEMORY, None).unwrap());
    for ring in [RingPlace::Inside, RingPlace::Above] {
        let error = needs(MAX_MEMORY, MAX_MEMORY, Some(ring)).unwrap_err();
        let sentence = "the program leaves no room for the net ring below 4G: use --no-net-ring";
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn pages_without_rights_are_not_mapped() {
    let mut segments = segments();
    segments[1].rights = None;
    let layout = lay_out(&segments, 4 << 20, None).unwrap();
    assert_eq!(layout.translate(0x10_4000, 1, false), None);
    assert_eq!(layout.translate(0x10_3fff, 2, false), None);
    assert_eq!(layout.translate(0x10_6000, 1, true), Some(0x10_6000));
}

#[test]
fn only_what_the_guest_writes_to_is_in_slots_that_can_be_written() {
    let layout = lay_out(&segments(), 64 << 20, Some(RingPlace::Inside)).unwrap();
    let expected = [
        // The boot information with the text and what follows it.
        (0x1_0000..0x10_6000, false),
        (0x10_6000..0x10_8000, true),
        (0x10_8000..0x10_9000, false),
        (0x10_9000..layout.tables.end, true),
    ];
    assert_eq!(layout.slots(), expected);
    let high = lay_out(&[segment(0x80_0000..0x80_1000, Some(Rights::EXECUTE))], 64 << 20, None).unwrap();
    let expected = [
        (0x1_0000..0x10_0000, false),
        (0x10_0000..0x80_0000, true),
        (0x80_0000..0x80_1000, false),
        (0x80_1000..high.tables.end, true),
    ];
    assert_eq!(high.slots(), expected);
}

#[test]
fn any_segments_leave_room_for_their_tables() {
    for ring in [None, Some(RingPlace::Inside)] {
        for (size, step) in [
            (PAGE, 2 * PAGE),
            (PAGE, GRANULE),
            (GRANULE, GRANULE),
            (GRANULE + PAGE, 3 * GRANULE),
            (PAGE, 31 << 20),
        ] {
            for rights in [None, Some(Rights::EXECUTE)] {
                for first in [PLACE.start, 0x1f_f000, 0x4000_0000 - PAGE] {
                    let starts = (0..100).map(|number| first + number * step);
                    let segments: Vec<Segment> =
                        starts.map(|start| segment(start..start + size, rights)).collect();
                    check(&lay_out(&segments, MAX_MEMORY, ring).unwrap());
                }
            }
        }
    }
    // All of it in 4 KiB pages.
    let all = PLACE.start..512 << 20;
    check(&lay_out(&[segment(all, Some(Rights::EXECUTE))], 512 << 20, None).unwrap());
}

/// The report of a page fault at `address` with RSP at `rsp`, in a guest whose RBP is the first of two frames.
fn report(error: u64, address: u64, rsp: u64) -> FaultReport {
    let layout = lay_out(&segments(), 4 << 20, None).unwrap();
    let memory = Memory::new(layout.memory).unwrap();
    let top = layout.stack.end;
    for (frame, next, caller) in [(top - 0x100, top - 0x80, 0x10_0123), (top - 0x80, 0, 0)] {
        memory.set_word(frame, next).unwrap();
        memory.set_word(frame + 8, caller).unwrap();
    }
    let general = kvm_regs { rip: 0x10_0042, rbp: top - 0x100, rsp, ..Default::default() };
    let fault = Fault::Exception { vector: 14, error, address };
    let name = |address| Some(("name".to_owned(), address - 0x10_0000));
    FaultReport::new(fault, Registers { general, cr2: address }, &layout, &memory, |_| None, name)
}

#[test]
fn a_fault_report_finds_the_stack_and_what_was_hit() {
    let found = report(7, 0x10_8ff8, 0x30_0000);
    assert_eq!(found.sentence, "it wrote to read-only memory (page fault at 0x108ff8)");
    let callers: Vec<_> =
        found.callers.iter().map(|caller| (caller.link_address, caller.symbol.clone())).collect();
    let caller = |address: u64| (Some(address), Some(("name".to_owned(), address - 0x10_0000)));
    assert_eq!(callers, [caller(0x10_0042), caller(0x10_0123)]);
    // The stack has gone down through all memory.
    let sentence = report(7, 0x10_8ff8, 0x10_8ff8).sentence;
    assert_eq!(sentence, "it wrote to read-only memory (page fault at 0x108ff8, close to its stack pointer)");
    assert_eq!(report(4, 8, 0).sentence, "it read a null pointer (page fault at 0x8)");
    let sentence = report(0x15, 0x20_0000, 0).sentence;
    assert_eq!(sentence, "it executed memory that is not code (page fault at 0x200000)");
    assert_eq!(
        report(6, 0x40_0000, 0).sentence,
        "it wrote to memory that is not mapped (page fault at 0x400000)"
    );
}
