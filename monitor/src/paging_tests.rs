use super::*;
use crate::layout::{Area, Rights, VIRTUAL_END, Wishes};
use std::collections::BTreeMap;

/// A small generator, so that failures can be repeated (Marsaglia's xorshift64).
fn generator(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

/// A page's rights, as the processor sees them at the end of its walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    gpa: u64,
    size: u64,
    user: bool,
    writable: bool,
    executable: bool,
}

/// What the processor finds: pages by virtual address.
fn walk(tables: &Tables) -> BTreeMap<u64, Page> {
    fn descend(
        tables: &Tables,
        table: u64,
        base: u64,
        shift: u32,
        above: Page,
        found: &mut BTreeMap<u64, Page>,
    ) {
        for index in 0..512 {
            let entry = tables.get(table, index).unwrap();
            if entry & PRESENT == 0 {
                assert_eq!(entry, 0);
                continue;
            }
            let address = base | index << shift;
            let leaf = shift == 12 || entry & LARGE != 0;
            assert!(entry & ACCESSED != 0 && (entry & DIRTY != 0) == leaf, "{entry:#x}");
            let page = Page {
                gpa: entry & ADDRESS,
                size: 1 << shift,
                user: above.user && entry & USER != 0,
                writable: above.writable && entry & WRITABLE != 0,
                executable: above.executable && entry & NO_EXECUTE == 0,
            };
            if leaf {
                assert!(shift == 12 || shift == 21 && page.gpa.is_multiple_of(LARGE_PAGE));
                found.insert(address, page);
            } else {
                let own = tables.gpa..tables.gpa + tables.memory.size();
                assert!(own.contains(&page.gpa), "a table outside the monitor's memory");
                descend(tables, page.gpa - tables.gpa, address, shift - 9, page, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    let all = Page { gpa: 0, size: 0, user: true, writable: true, executable: true };
    descend(tables, tables.root() - tables.gpa, 0, 39, all, &mut found);
    found
}

/// Everything that is mapped is what the layout says, and the monitor's own three pages.
fn check(layout: &Layout) {
    let behind = Memory::with_tail(PAGE, layout.tables.end - layout.tables.start).unwrap().1;
    let tables = Tables::new(layout, behind, false).unwrap_or_else(|error| panic!("{error}: {layout:#x?}"));
    assert!(tables.next <= tables.memory.size(), "{layout:#x?}");
    assert!(tables.gpa >= layout.memory, "the tables lie outside the guest's memory");
    let found = walk(&tables);
    let mut pages = found.iter();
    let system = [(0, false, true), (1, true, false), (2, true, false)];
    for (number, writable, executable) in system {
        let (address, page) = pages.next().unwrap();
        assert_eq!(*address, layout.slide + SYSTEM.start + number * PAGE);
        let gpa = tables.gpa + number * PAGE;
        assert_eq!(*page, Page { gpa, size: PAGE, user: false, writable, executable });
    }
    let mut next = pages.next();
    let disks = layout.mappings.iter().map(|gpa| Area { gpa: gpa.clone(), rights: Rights::READ });
    for area in layout.areas.iter().cloned().chain(disks) {
        let mut at = area.gpa.start;
        while at < area.gpa.end {
            let (address, page) = next.unwrap_or_else(|| panic!("{at:#x} is missing in {layout:#x?}"));
            assert_eq!((*address, page.gpa), (layout.virtual_address(at), at), "{layout:#x?}");
            let Rights { write, execute } = area.rights;
            assert_eq!((page.user, page.writable, page.executable), (true, write, execute));
            assert!(!(page.writable && page.executable));
            at += page.size;
            next = pages.next();
        }
        assert_eq!(at, area.gpa.end);
    }
    assert_eq!(next, None);
}

/// An image of some segments with gaps between them, from `start` on.
fn image(start: u64, random: &mut impl FnMut(u64) -> u64) -> Vec<(Range<u64>, Rights)> {
    let mut pages = Vec::new();
    let mut at = start;
    for _ in 0..1 + random(6) {
        let length = match random(8) {
            0 => 1 + random(3000),
            1 => 512,
            _ => 1 + random(20),
        } * PAGE;
        let rights = [Rights::READ, Rights::WRITE, Rights::EXECUTE][random(3) as usize];
        pages.push((at..at + length, rights));
        at += length + [0, PAGE, 100 * PAGE, LARGE_PAGE, 1 << 30][random(5) as usize];
    }
    pages
}

#[test]
fn every_layout_is_mapped_exactly() {
    let mut random = generator(0x9e37_79b9_7f4a_7c15);
    for round in 0..200 {
        let movable = random(2) == 0;
        let start = match (movable, random(4)) {
            (true, _) => random(1 << 20) * PAGE,
            (false, 0) => crate::layout::LOWEST + random(20) * PAGE,
            (false, 1) => (1 << 30) - random(600) * PAGE,
            (false, 2) => (1 << 39) - (1 << 22) + random(2000) * PAGE,
            (false, _) => 0x40_0000,
        };
        let pages = image(start, &mut random);
        let mut wishes = Wishes {
            memory: PAGE,
            span: start..pages.last().unwrap().0.end,
            pages,
            movable,
            alignment: [PAGE, 1 << 16, LARGE_PAGE][random(3) as usize],
            info: 1 + random(5 * LARGE_PAGE),
            rings: 53248,
            stack: [0, PAGE, 1 << 21, 1 << 25][random(4) as usize],
            mappings: (0..random(3)).map(|_| random(3) * random(1 << 19) * PAGE).collect(),
        };
        let Err(crate::layout::LayoutError::TooSmall { needed }) = Layout::new(&wishes, |_| 0) else {
            panic!()
        };
        wishes.memory = needed + [0, random(2000) * PAGE, 1 << 30, 3 << 30][random(4) as usize];
        // At either end of the addresses, and where a slide crosses from one table of each level to the next.
        let slide = match round % 5 {
            0 => VIRTUAL_END,
            1 => (1 << 39) - LARGE_PAGE * random(4),
            2 => (1 << 30) * random(100) - (LARGE_PAGE * random(4)).min(1 << 29) * u64::from(round > 5),
            _ => random(VIRTUAL_END),
        } / LARGE_PAGE;
        let mut drawn = 0;
        let draw = |below: u64| {
            drawn += 1;
            // The image's shift comes first, then the slide.
            if drawn == 1 { random(below) } else { slide.min(below - 1) }
        };
        check(&Layout::new(&wishes, draw).unwrap());
    }
}

#[test]
fn more_memory_than_one_table_of_the_third_level_maps() {
    let wishes = Wishes {
        memory: (1 << 39) + PAGE,
        span: 0..PAGE,
        pages: vec![(0..PAGE, Rights::EXECUTE)],
        movable: true,
        alignment: PAGE,
        info: 1,
        rings: 53248,
        stack: 0,
        mappings: Vec::new(),
    };
    // From the end of one to the start of the next but one.
    check(&Layout::new(&wishes, |below| ((1 << 39) / LARGE_PAGE - 1).min(below - 1)).unwrap());
}
