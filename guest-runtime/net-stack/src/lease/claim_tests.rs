use super::*;
use alloc::vec::Vec;

const ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 0, 5);
const OTHER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 9]);
const NOBODY: Ipv4Address = Ipv4Address::UNSPECIFIED;

fn seconds(seconds: f64) -> Instant {
    Instant::from_micros((seconds * 1e6) as i64)
}

/// Shows a claim an ARP packet of `OTHER`.
fn look(claim: &mut Claim, now: Instant, sender: Ipv4Address, target: Ipv4Address) -> Verdict {
    claim.look(now, OTHER, sender, target, &mut Random::new([2; 32]))
}

/// Lets time pass until `end`; what was sent, and when in milliseconds.
fn pass(claim: &mut Claim, end: Instant) -> Vec<(i64, Notice)> {
    let mut random = Random::new([1; 32]);
    let mut sent = Vec::new();
    while let Some(next) = claim.deadline().filter(|next| *next <= end) {
        sent.extend(claim.poll(next, &mut random).map(|notice| (next.total_millis(), notice)));
    }
    sent
}

#[test]
fn three_questions_and_two_announcements() {
    for source in [Source::Config, Source::Lease] {
        let mut claim = Claim::new(ADDRESS, source, Instant::ZERO);
        assert_eq!(claim.is_in_use(), source == Source::Config);
        let sent = pass(&mut claim, seconds(60.0));
        assert!(claim.is_in_use());
        assert_eq!(claim.deadline(), None);
        let notices: Vec<Notice> = sent.iter().map(|(_, notice)| *notice).collect();
        use Notice::{Announcement, Probe};
        assert_eq!(notices, [Probe, Announcement, Probe, Probe, Announcement]);
        let times: Vec<i64> = sent.iter().map(|(time, _)| *time).collect();
        assert_eq!(times[..2], [0, 100]);
        assert!((1000..=2000).contains(&(times[2] - times[0])), "{times:?}");
        assert!((1000..=2000).contains(&(times[3] - times[2])), "{times:?}");
        assert_eq!(times[4] - times[3], 2000);
    }
}

#[test]
fn a_leased_address_is_used_once_the_first_question_had_no_answer() {
    let mut claim = Claim::new(ADDRESS, Source::Lease, Instant::ZERO);
    pass(&mut claim, seconds(0.099));
    assert!(!claim.is_in_use());
    pass(&mut claim, seconds(0.1));
    assert!(claim.is_in_use());
}

#[test]
fn who_answers_before_the_last_question_was_there_first() {
    for (source, when) in
        [(Source::Config, 0.0), (Source::Lease, 0.05), (Source::Config, 3.0), (Source::Lease, 3.0)]
    {
        let mut claim = Claim::new(ADDRESS, source, Instant::ZERO);
        pass(&mut claim, seconds(when));
        assert_eq!(look(&mut claim, seconds(when), ADDRESS, NOBODY), Verdict::Lost);
        assert!(!claim.is_in_use());
        assert_eq!(claim.lost_to(), Some(OTHER));
        assert_eq!(look(&mut claim, seconds(when), ADDRESS, NOBODY), Verdict::Nothing);
    }
}

#[test]
fn a_static_address_is_tried_again_and_used_when_it_is_free() {
    let mut claim = Claim::new(ADDRESS, Source::Config, Instant::ZERO);
    pass(&mut claim, seconds(0.01));
    look(&mut claim, seconds(0.01), ADDRESS, NOBODY);
    for _ in 0..3 {
        let before = claim.deadline().unwrap();
        assert_eq!(pass(&mut claim, before), [(before.total_millis(), Notice::Probe)]);
        assert!(!claim.is_in_use());
        assert_eq!(look(&mut claim, before, ADDRESS, NOBODY), Verdict::Lost);
        let pause = claim.deadline().unwrap() - before;
        assert!(pause >= Duration::from_secs(60) && pause <= Duration::from_secs(90), "{pause}");
    }
    let next = claim.deadline().unwrap();
    assert_eq!(pass(&mut claim, next + Duration::from_secs(20)).len(), 5);
    assert!(claim.is_in_use());
    assert_eq!(claim.lost_to(), None);
}

#[test]
fn a_leased_address_is_given_back_when_the_other_insists() {
    let mut claim = Claim::new(ADDRESS, Source::Lease, Instant::ZERO);
    pass(&mut claim, seconds(60.0));
    assert_eq!(look(&mut claim, seconds(60.0), ADDRESS, ADDRESS), Verdict::Defend);
    assert_eq!(look(&mut claim, seconds(70.0), ADDRESS, ADDRESS), Verdict::Defend);
    assert_eq!(look(&mut claim, seconds(79.9), ADDRESS, ADDRESS), Verdict::Lost);
}

#[test]
fn a_static_address_is_kept_without_a_flood() {
    let mut claim = Claim::new(ADDRESS, Source::Config, Instant::ZERO);
    pass(&mut claim, seconds(60.0));
    let verdicts =
        (0..2000).map(|step| look(&mut claim, seconds(60.0 + f64::from(step) / 100.0), ADDRESS, NOBODY));
    assert_eq!(verdicts.filter(|verdict| *verdict == Verdict::Defend).count(), 2);
    assert!(claim.is_in_use());
}

#[test]
fn who_asks_whether_it_is_free_is_told() {
    let mut claim = Claim::new(ADDRESS, Source::Config, Instant::ZERO);
    assert_eq!(look(&mut claim, Instant::ZERO, NOBODY, ADDRESS), Verdict::Reply);
    assert!(claim.is_in_use());
    assert_eq!(look(&mut claim, Instant::ZERO, NOBODY, Ipv4Address::new(10, 0, 0, 6)), Verdict::Nothing);
    assert_eq!(look(&mut claim, Instant::ZERO, Ipv4Address::new(10, 0, 0, 6), ADDRESS), Verdict::Nothing);
    // Two that were given the same address at the same time leave it to neither.
    let mut claim = Claim::new(ADDRESS, Source::Lease, Instant::ZERO);
    pass(&mut claim, Instant::ZERO);
    assert_eq!(look(&mut claim, Instant::ZERO, NOBODY, ADDRESS), Verdict::Lost);
}

#[test]
fn another_link_is_asked_anew_while_the_address_is_used() {
    for source in [Source::Config, Source::Lease] {
        let mut claim = Claim::new(ADDRESS, source, Instant::ZERO);
        pass(&mut claim, seconds(60.0));
        claim.restart(seconds(60.0));
        assert!(claim.is_in_use());
        assert_eq!(pass(&mut claim, seconds(60.1)).len(), 2);
        assert_eq!(look(&mut claim, seconds(60.2), ADDRESS, NOBODY), Verdict::Lost);
    }
}
