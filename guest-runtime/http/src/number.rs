//! Numbers of decimal digits, as lengths, positions and dates have them.

/// A number of decimal digits, at least one, and nothing else; the largest there is where they say more than that.
pub(crate) fn parse(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |value: u64, digit: &u8| value.saturating_mul(10).saturating_add((digit - b'0').into());
    Some(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_number() {
        for (digits, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("+1", None),
            ("-1", None),
            (" 1", None),
            ("1a", None),
        ] {
            assert_eq!(parse(digits.as_bytes()), number, "{digits}");
        }
    }
}
