use super::*;

fn wishes(memory: u64) -> Wishes {
    Wishes {
        memory,
        span: 0..0x9000,
        pages: vec![
            (0..0x2000, Rights::READ),
            (0x2000..0x5000, Rights::EXECUTE),
            (0x6000..0x7000, Rights::READ),
            (0x7000..0x9000, Rights::WRITE),
        ],
        movable: true,
        alignment: PAGE,
        info: 5000,
        rings: 53248,
        stack: 0,
        mappings: Vec::new(),
    }
}

fn fixed(span: Range<u64>, memory: u64) -> Wishes {
    let pages = vec![(span.clone(), Rights::WRITE)];
    Wishes { span, pages, movable: false, ..wishes(memory) }
}

/// A small generator, so that failures can be repeated (Marsaglia's xorshift64).
fn generator(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

fn check(wishes: &Wishes, layout: &Layout) {
    let mut end = LOWEST;
    for area in &layout.areas {
        assert!(area.gpa.start >= end, "{layout:#x?}");
        assert!(area.gpa.start.is_multiple_of(PAGE) && area.gpa.end.is_multiple_of(PAGE));
        assert!(!(area.rights.write && area.rights.execute));
        end = area.gpa.end;
    }
    assert!(end <= wishes.memory);
    let mut end = layout.tables.end;
    for (range, size) in layout.mappings.iter().zip(&wishes.mappings) {
        assert_eq!(range.end - range.start, *size);
        if *size > 0 {
            assert!(range.start >= end + LARGE_PAGE && range.start.is_multiple_of(LARGE_PAGE));
            let address = layout.virtual_address(range.start);
            assert_eq!(layout.translate(address, 1, false), None, "it is no memory for requests");
            end = range.end;
        }
    }
    assert_eq!((layout.mappings.len(), layout.end()), (wishes.mappings.len(), end));
    assert!(layout.slide.is_multiple_of(LARGE_PAGE));
    assert!(layout.virtual_address(layout.end()) <= VIRTUAL_END);
    assert!(layout.small_heap.end == wishes.memory || layout.small_heap.end.is_multiple_of(LARGE_PAGE));
    assert!(layout.small_heap.end - layout.small_heap.start >= SMALL_HEAP);
    let mapped = |gpa: u64| layout.areas.iter().any(|area| area.gpa.contains(&gpa));
    for guard in [layout.stack.start - 1, layout.stack.end, layout.info.start - 1, layout.rings.end] {
        assert!(!mapped(guard), "{guard:#x} in {layout:#x?}");
    }
    assert_eq!(layout.virtual_address(layout.image.start), layout.bias.wrapping_add(wishes.span.start));
    assert_eq!(layout.tables.start, layout.memory);
    assert!(layout.info.start.is_multiple_of(FAULT_GROUP), "what is touched first is one group");
}

#[test]
fn every_random_layout_keeps_the_rules() {
    let mut random = generator(0x1234_5678_9abc_def1);
    for _ in 0..5000 {
        let memory = (2 << 20) + random(1 << 16) * PAGE;
        let mappings = (0..random(4)).map(|_| random(3) * random(1 << 18) * PAGE).collect();
        let wishes = Wishes { mappings, ..wishes(memory) };
        let layout = Layout::new(&wishes, &mut random).unwrap();
        check(&wishes, &layout);
    }
}

#[test]
fn places_are_random_at_page_granularity() {
    let mut random = generator(7);
    let mut places: Vec<u64> =
        (0..1000).map(|_| Layout::new(&wishes(64 << 20), &mut random).unwrap().bias).collect();
    places.sort_unstable();
    places.dedup();
    assert!(places.len() > 990, "{}", places.len());
    assert!(places.iter().any(|place| !(place - LOWEST).is_multiple_of(LARGE_PAGE)));
}

#[test]
fn without_randomness_the_layout_is_always_the_same() {
    let layout = Layout::new(&wishes(64 << 20), |_| 0).unwrap();
    assert_eq!(layout.slide, 0);
    assert_eq!(layout.image, 0x1_0000..0x1_9000);
    assert_eq!(layout.stack, 0x1_a000..0x11_a000);
    assert_eq!(layout.info, 0x12_0000..0x12_2000);
    assert_eq!(layout.clock, 0x12_2000..0x12_3000);
    assert_eq!(layout.rings.start, 0x12_3000);
}

#[test]
fn an_image_moves_by_multiples_of_its_alignment() {
    let mut random = generator(17);
    for alignment in [1 << 12, 1 << 14, 1 << 21] {
        let wishes = Wishes { alignment, ..wishes(64 << 20) };
        for _ in 0..100 {
            let layout = Layout::new(&wishes, &mut random).unwrap();
            check(&wishes, &layout);
            assert!(layout.bias.is_multiple_of(alignment));
        }
    }
}

#[test]
fn a_fixed_image_stays_where_it_is() {
    for span in [0x1_0000..0x2_0000, 0x1_2000..0x2_0000, 0x40_0000..0x41_0000] {
        let wishes = fixed(span.clone(), 64 << 20);
        let layout = Layout::new(&wishes, generator(3)).unwrap();
        check(&wishes, &layout);
        assert_eq!((layout.image.clone(), layout.bias, layout.slide), (span, 0, 0));
    }
}

#[test]
fn the_least_memory_is_said_and_is_enough() {
    let aligned = Wishes { alignment: LARGE_PAGE, ..wishes(PAGE) };
    let fixed = [fixed(0x40_0000..0x50_0000, PAGE), fixed(1 << 40..(1 << 40) + PAGE, PAGE)];
    for base in [wishes(PAGE), aligned].into_iter().chain(fixed) {
        let Err(LayoutError::TooSmall { needed }) = Layout::new(&base, |_| 0) else { panic!("it fitted") };
        let enough = Wishes { memory: needed, ..base.clone() };
        for seed in 1..100 {
            check(&enough, &Layout::new(&enough, generator(seed)).unwrap());
        }
        assert!(Layout::new(&Wishes { memory: needed - (1 << 20), ..base }, |_| 0).is_err());
    }
}

#[test]
fn a_stack_out_of_range_is_refused() {
    let wishes = Wishes { stack: MAX_STACK + 1, ..wishes(64 << 20) };
    assert_eq!(Layout::new(&wishes, |_| 0), Err(LayoutError::Stack(MAX_STACK + 1)));
}

#[test]
fn only_what_the_guest_may_use_itself_is_a_buffer() {
    let layout = Layout::new(&wishes(64 << 20), generator(11)).unwrap();
    let at = |gpa: u64| layout.virtual_address(gpa);
    let image = layout.image.start;
    assert_eq!(layout.translate(at(image), 0x5000, false), Some(image), "two areas in a row");
    assert_eq!(layout.translate(at(image), 0x5001, false), None, "the gap after them");
    assert_eq!(layout.translate(at(image), 1, true), None);
    assert_eq!(layout.translate(at(image + 0x7000), 0x2000, true), Some(image + 0x7000));
    assert_eq!(layout.translate(at(image + 0x6ff8), 16, true), None, "its start is read-only");
    assert_eq!(layout.translate(at(layout.stack.start - 1), 2, false), None, "the guard page");
    assert_eq!(layout.translate(at(layout.info.start), 8, true), None);
    assert_eq!(layout.translate(at(0), 1, false), None);
    let end = layout.memory;
    assert_eq!(layout.translate(at(end - 8), 8, true), Some(end - 8));
    assert_eq!(layout.translate(at(end - 8), 9, true), None);
    assert_eq!(layout.translate(at(end), 0, false), None);
    for address in [0, u64::MAX, layout.slide.wrapping_sub(1)] {
        assert_eq!(layout.translate(address, 1, false), None);
        assert_eq!(layout.translate(at(end - 8), address | 1 << 63, false), None);
    }
    let heap = layout.small_heap.start;
    assert_eq!(layout.translate(at(heap), end - heap, true), Some(heap), "both heaps");
}

#[test]
fn two_slots_back_an_ordinary_program() {
    let layout = Layout::new(&wishes(64 << 20), generator(13)).unwrap();
    let image = layout.image.start;
    assert_eq!(layout.slots(), [(image..image + 0x7000, false), (image + 0x7000..layout.tables.end, true)]);
}

#[test]
fn sizes_read_as_they_are_typed() {
    assert_eq!([0, 512, 4096, 3 << 20, 2 << 30].map(size), ["0", "512 bytes", "4K", "3M", "2G"]);
}
