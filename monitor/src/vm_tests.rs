use super::*;
use crate::config::DEFAULT_MEMORY;

#[test]
fn memory_is_what_is_wanted_where_that_is_possible() {
    const HOST: u64 = 16 << 30;
    let size = |wanted: Option<u64>, least: u64| {
        possible_size(wanted.unwrap_or(DEFAULT_MEMORY.max(least)), least, HOST)
    };
    assert_eq!(size(None, 0).ok(), Some(DEFAULT_MEMORY));
    assert_eq!(size(None, 1 << 30).ok(), Some(1 << 30));
    assert_eq!(size(Some((5 << 20) + 1), 0).ok(), Some((5 << 20) + PAGE));
    assert_eq!(size(Some(HOST), 1).ok(), Some(HOST));
    for (wanted, least, words) in [
        (Some(HOST + 1), 0, "17179869185 bytes of guest memory is more than the host's 16G"),
        (Some(u64::MAX), 0, "is more than the host's 16G: use a smaller --mem"),
        (Some(1 << 20), 3 << 20, "1M of memory is too little: the program asks for 3M, so use --mem 3M"),
        (
            None,
            u64::MAX,
            "the program asks for 18446744073709551615 bytes of memory, more than the host's 16G",
        ),
        (Some(1), u64::MAX - 4096, "more than the host's 16G: run it on a larger host"),
    ] {
        let error = size(wanted, least).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.kind(), ErrorKind::BadConfig);
    }
}
