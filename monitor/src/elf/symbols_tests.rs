//! Names of functions.

use super::builder::*;
use super::symbols::Symbols;
use linux_loader::elf::{STT_FUNC, STT_OBJECT};

#[test]
fn the_nearest_function_is_named() {
    let mut builder = Builder::new();
    builder.set_symbols(&[
        ("_RNvCs1234_7mycrate3foo", STT_FUNC, 0x1004, 4),
        ("_ZN5guest4main17h0123456789abcdefE", STT_FUNC, 0x1000, 4),
        ("table", STT_OBJECT, 0x1006, 2),
        ("assembly", STT_FUNC, 0x1100, 0),
        ("bad\x1bname", STT_FUNC, 0x1200, 0),
    ]);
    let image = builder.open().unwrap();
    let symbols = Symbols::read(&image);
    let find = |address| symbols.find(address);
    assert_eq!(find(0xfff), None);
    assert_eq!(find(0x1000), Some(("guest::main".into(), 0)));
    assert_eq!(find(0x1003), Some(("guest::main".into(), 3)));
    assert_eq!(find(0x1007), Some(("mycrate::foo".into(), 3)), "an object is no function");
    assert_eq!(find(0x1008), None, "behind its end");
    assert_eq!(find(0x1180), Some(("assembly".into(), 0x80)), "its size is not known");
    assert_eq!(find(0x1200), Some(("bad\u{fffd}name".into(), 0)));
}

#[test]
fn a_stripped_or_damaged_program_has_no_names() {
    let image = Builder::new().open().unwrap();
    assert_eq!(Symbols::read(&image).find(0x1000), None);
    let damaged = |change: fn(&mut Builder)| {
        let mut builder = Builder::new();
        builder.set_symbols(&[("main", STT_FUNC, 0x1000, 4)]);
        change(&mut builder);
        let image = builder.open().unwrap();
        Symbols::read(&image).find(0x1000).map(|(name, _)| name)
    };
    assert_eq!(damaged(|_| ()).as_deref(), Some("main"));
    assert_eq!(damaged(|b| b.header.e_shentsize = 40), None);
    assert_eq!(damaged(|b| b.header.e_shoff = u64::MAX), None);
    assert_eq!(damaged(|b| b.header.e_shnum = 2), None);
    assert_eq!(damaged(|b| b.header.e_shnum = 0xffff), None);
}
