use super::*;

/// The header of a message and the question for `host.example` behind it.
const QUESTION_END: usize = 30;
/// A pointer to the question's name.
const ASKED: &[u8] = &[0xc0, 12];

fn address(owner: &[u8], last: u8) -> Vec<u8> {
    [owner, &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]].concat()
}

/// A record of a kind that nobody has asked for.
fn other(data: &[u8]) -> Vec<u8> {
    let [high, low] = (data.len() as u16).to_be_bytes();
    [ASKED, &[0, 16, 0, 1, 0, 0, 0, 60, high, low], data].concat()
}

/// What an answer with these records is taken for.
fn answer(records: &[Vec<u8>]) -> Option<Answer> {
    let name = Name::new("host.example").unwrap();
    let query = Query { id: 7, name: &name, kind: Kind::V4 };
    let mut message = query.to_bytes();
    assert_eq!(message.len(), QUESTION_END);
    message[2] |= 0x80;
    message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    message.extend(records.concat());
    query.answer(&message)
}

fn found(last: u8) -> Option<Answer> {
    Some(Answer::Addresses(vec![IpAddress::v4(192, 0, 2, last)]))
}

#[test]
fn so_many_pointers_are_followed_for_a_name_and_no_more() {
    // Behind the header of a record, a chain in which each leads to the one before, and the first to the question's name.
    let start = QUESTION_END + 12;
    for (length, expected) in [
        (1, found(1)),
        (MOST_POINTERS - 1, found(1)),
        (MOST_POINTERS, Some(Answer::Addresses(vec![]))),
        (5000, Some(Answer::Addresses(vec![]))),
    ] {
        let mut chain = ASKED.to_vec();
        for index in 1..length {
            chain.extend((0xc000 | (start + 2 * (index - 1)) as u16).to_be_bytes());
        }
        let last = (0xc000 | (start + 2 * (length - 1)) as u16).to_be_bytes();
        assert_eq!(answer(&[other(&chain), address(&last, 1)]), expected, "{length}");
    }
}

#[test]
fn so_many_records_are_looked_at_and_no_more() {
    for (before, expected) in [(MOST_RECORDS - 1, found(1)), (MOST_RECORDS, Some(Answer::Addresses(vec![])))]
    {
        let mut records = vec![other(&[]); before];
        records.push(address(ASKED, 1));
        assert_eq!(answer(&records), expected, "{before}");
    }
}

#[test]
fn case_does_not_count_and_names_end_where_they_say() {
    let name = |text: &str| Name::new(text).unwrap().0;
    assert_eq!(answer(&[address(&name("HOST.Example"), 1)]), found(1));
    for another in ["host.example.org", "host", "hostexample", "host.exampl"] {
        assert_eq!(answer(&[address(&name(another), 1)]), Some(Answer::Addresses(vec![])), "{another}");
    }
    // One byte more than a name may have: labels of 63, and one that fills up.
    let long = [vec![vec![63; 64]; 3].concat(), vec![62; 63], vec![0]].concat();
    assert_eq!(long.len(), LONGEST_NAME + 1);
    assert_eq!(Name::read(&[], &long), None);
    let longest = [vec![vec![63; 64]; 3].concat(), vec![61; 62], vec![0]].concat();
    assert_eq!(Name::read(&[], &longest), Some(Name(longest)));
}
