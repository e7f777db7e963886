//! Dates of HTTP (RFC 9110, section 5.6.7).

use crate::number;
use alloc::string::String;
use core::fmt::Write;

/// The first second that has no date of four digits: 10000-01-01T00:00:00Z.
const YEAR_10000: u64 = 253_402_300_800;

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment, in seconds since 1970-01-01T00:00:00Z, as in `Sun, 06 Nov 1994 08:49:37 GMT`. `None` where the year has more than
/// four digits.
#[must_use]
pub fn format(seconds: u64) -> Option<String> {
    let (year, month, day, hour, minute, second) =
        datealgo::secs_to_datetime(i64::try_from(seconds).ok().filter(|_| seconds < YEAR_10000)?);
    let weekday = WEEKDAYS[usize::from(datealgo::date_to_weekday((year, month, day))) - 1];
    let month = MONTHS[usize::from(month) - 1];
    let mut text = String::with_capacity(29);
    let _ = write!(text, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
    Some(text)
}

/// Reads a date in any of the three forms that a recipient must accept, as seconds since 1970-01-01T00:00:00Z. `None` if it is none,
/// or before 1970.
#[must_use]
pub fn parse(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    let mut rest = text.split([' ', ',', '-', ':']).filter(|word| !word.is_empty());
    let words: [&str; 8] = core::array::from_fn(|_| rest.next().unwrap_or_default());
    if rest.next().is_some() {
        return None;
    }
    let (day, month, year, time) = match words {
        // `Sun, 06 Nov 1994 08:49:37 GMT`, and `Sunday, 06-Nov-94 08:49:37 GMT` of RFC 850.
        [_, day, month, year, hour, minute, second, "GMT"] => (day, month, year, [hour, minute, second]),
        // `Sun Nov  6 08:49:37 1994`, of the C function asctime.
        [_, month, day, hour, minute, second, year, ""] => (day, month, year, [hour, minute, second]),
        _ => return None,
    };
    let month = u8::try_from(MONTHS.iter().position(|&name| name == month)?).ok()? + 1;
    let year = match (year.len(), number(year)?) {
        (4, year) => year,
        // Two digits are the last ones of a year that is not far in the future.
        (2, year @ 70..) => 1900 + year,
        (2, year) => 2000 + year,
        _ => return None,
    };
    let year = i32::from(year);
    let day = u8::try_from(number(day)?).ok()?;
    let [hour, minute, second] = time.map(|word| number(word).and_then(|value| u8::try_from(value).ok()));
    let (hour, minute, second) = (hour?, minute?, second?);
    // A leap second is taken for the one before.
    if !(1..=datealgo::days_in_month(year, month)).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    u64::try_from(datealgo::datetime_to_secs((year, month, day, hour, minute, second.min(59)))).ok()
}

fn number(word: &str) -> Option<u16> {
    number::parse(word.as_bytes())?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06T08:49:37Z, the example of RFC 9110.
    const EXAMPLE: u64 = 784_111_777;

    #[test]
    fn dates_are_written_as_the_standard_has_them() {
        assert_eq!(format(EXAMPLE).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(0).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(951_782_400).unwrap(), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(format(YEAR_10000 - 1).unwrap(), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!((format(YEAR_10000), format(u64::MAX)), (None, None));
    }

    #[test]
    fn all_three_forms_are_read() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(text.as_bytes()), Some(EXAMPLE), "{text}");
        }
        for seconds in (0..YEAR_10000).step_by(86_399 * 1000) {
            assert_eq!(parse(format(seconds).unwrap().as_bytes()), Some(seconds));
        }
        assert_eq!(parse(b"Sat, 31 Dec 2016 23:59:60 GMT"), parse(b"Sat, 31 Dec 2016 23:59:59 GMT"));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Tue, 29 Feb 2001 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"\xff, 06 Nov 1994 08:49:37 GMT"), None);
    }
}
