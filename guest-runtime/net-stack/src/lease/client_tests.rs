use super::*;
use alloc::vec::Vec;
use core::time::Duration as Time;
use smoltcp::wire::Ipv4Cidr;

const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const OTHER: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
const ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 0, 5);

fn at(seconds: f64) -> Instant {
    Instant::from_micros((seconds * 1e6) as i64)
}

fn client() -> Client {
    Client::new(Instant::ZERO, Random::new([3; 32]))
}

fn grant(address: Ipv4Address, duration: Option<u64>) -> Grant {
    let lease = Lease {
        address: Ipv4Cidr::new(address, 24),
        server: Ipv4Address::UNSPECIFIED,
        duration: duration.map(Time::from_secs),
        routes: Vec::new(),
        dns_servers: Vec::new(),
        domain: None,
        host_name: None,
        mtu: None,
    };
    Grant { lease, renewal: None, rebinding: None }
}

fn answer(client: &Client, kind: Kind, server: Option<Ipv4Address>) -> Answer {
    let grant = (kind != Kind::Nak).then(|| grant(ADDRESS, Some(1000)));
    Answer { kind, transaction: client.transaction, server, grant }
}

/// Lets time pass until `end`; what was sent, and when.
fn pass(client: &mut Client, end: Instant) -> Vec<(Instant, Question)> {
    let mut sent = Vec::new();
    while let Some(next) = client.deadline().filter(|next| *next <= end) {
        sent.extend(client.poll(next).map(|question| (next, question)));
    }
    sent
}

/// Has the client asked, until it has sent what `server` is to answer.
fn offered(client: &mut Client, now: Instant, server: Ipv4Address) -> Question {
    assert_eq!(client.poll(now).unwrap().kind, DhcpMessageType::Discover);
    assert!(client.receive(now, answer(client, Kind::Offer, Some(server))));
    client.poll(now).unwrap()
}

/// A client with a lease of so many seconds since `now`.
fn bound_for(now: Instant, duration: Option<u64>, renewal: Option<u64>, rebinding: Option<u64>) -> Client {
    let mut client = Client::new(now, Random::new([3; 32]));
    offered(&mut client, now, SERVER);
    let mut answer = answer(&client, Kind::Ack, Some(SERVER));
    answer.grant = Some(Grant {
        renewal: renewal.map(Time::from_secs),
        rebinding: rebinding.map(Time::from_secs),
        ..grant(ADDRESS, duration)
    });
    assert!(client.receive(now, answer));
    client.is_free();
    client
}

fn bound(duration: u64) -> Client {
    bound_for(Instant::ZERO, Some(duration), None, None)
}

fn kinds(sent: &[(Instant, Question)]) -> Vec<DhcpMessageType> {
    sent.iter().map(|(_, question)| question.kind).collect()
}

#[test]
fn nobody_answers() {
    let mut client = client();
    let sent = pass(&mut client, at(400.0));
    assert!(kinds(&sent).iter().all(|kind| *kind == DhcpMessageType::Discover));
    let waits: Vec<f64> =
        sent.windows(2).map(|pair| (pair[1].0 - pair[0].0).total_micros() as f64 / 1e6).collect();
    for (wait, expected) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]) {
        assert!((expected * 0.75..=expected * 1.25).contains(wait), "{waits:?}");
    }
    assert!(waits.iter().any(|wait| wait.fract() > 0.01), "all at whole seconds: {waits:?}");
    // From the third on the answer may be a broadcast; seconds count.
    assert_eq!(
        sent.iter().take(3).map(|(_, question)| question.broadcast).collect::<Vec<_>>(),
        [false, false, true]
    );
    assert_eq!(sent[0].1.seconds, 0);
    assert!((15..40).contains(&sent[5].1.seconds), "{}", sent[5].1.seconds);
    assert!(sent.iter().all(|(_, question)| question.transaction == sent[0].1.transaction));
}

#[test]
fn an_address_is_offered_asked_for_and_given() {
    let mut client = client();
    let request = offered(&mut client, Instant::ZERO, SERVER);
    assert_eq!(request.kind, DhcpMessageType::Request);
    assert_eq!((request.requested, request.server, request.to), (Some(ADDRESS), Some(SERVER), None));
    assert!(request.own.is_unspecified());
    assert!(client.receive(at(0.1), answer(&client, Kind::Ack, Some(SERVER))));
    assert_eq!(client.lease(), None, "it is not known to be free yet");
    assert_eq!(client.to_check().unwrap().server, SERVER);
    client.is_free();
    assert_eq!(client.lease().unwrap().address.address(), ADDRESS);
    assert_eq!(pass(&mut client, at(400.0)), []);
}

#[test]
fn of_several_offers_the_first_counts_and_only_its_server_has_a_say() {
    let mut client = client();
    offered(&mut client, Instant::ZERO, SERVER);
    assert!(!client.receive(Instant::ZERO, answer(&client, Kind::Offer, Some(OTHER))));
    assert!(!client.receive(Instant::ZERO, answer(&client, Kind::Nak, Some(OTHER))));
    assert!(!client.receive(Instant::ZERO, answer(&client, Kind::Ack, Some(OTHER))));
    assert!(client.receive(Instant::ZERO, answer(&client, Kind::Ack, Some(SERVER))));
}

#[test]
fn answers_to_something_else_are_left_alone() {
    let mut client = client();
    client.poll(Instant::ZERO);
    let mut other = answer(&client, Kind::Offer, Some(SERVER));
    other.transaction ^= 1;
    assert!(!client.receive(Instant::ZERO, other));
    assert!(!client.receive(Instant::ZERO, answer(&client, Kind::Offer, None)), "an offer of nobody");
    assert!(
        !client.receive(Instant::ZERO, answer(&client, Kind::Ack, Some(SERVER))),
        "nothing was asked for"
    );
    assert!(!client.receive(Instant::ZERO, answer(&client, Kind::Nak, Some(SERVER))));
    assert!(client.receive(Instant::ZERO, answer(&client, Kind::Offer, Some(SERVER))));
    client.poll(Instant::ZERO);
    assert!(!client.receive(Instant::ZERO, answer(&client, Kind::Nak, None)), "a refusal of nobody");
    assert!(client.receive(Instant::ZERO, answer(&client, Kind::Ack, None)));
    assert_eq!(client.to_check().unwrap().server, SERVER, "it is the one that was asked");
    assert!(!client.receive(Instant::ZERO, answer(&client, Kind::Ack, Some(SERVER))), "it has answered");
}

#[test]
fn a_server_that_offers_and_falls_silent_is_left() {
    let mut client = client();
    offered(&mut client, Instant::ZERO, SERVER);
    let sent = pass(&mut client, at(25.0));
    use DhcpMessageType::{Discover, Request};
    assert_eq!(kinds(&sent)[..4], [Request, Request, Request, Discover]);
    assert!((11.0..19.0).contains(&(sent[3].0.total_millis() as f64 / 1000.0)), "{sent:?}");
}

#[test]
fn refusals_in_a_row_are_not_answered_at_once() {
    let mut client = client();
    let mut now = Instant::ZERO;
    let mut waits = Vec::new();
    for _ in 0..10 {
        let asked = client.deadline().unwrap().max(now);
        waits.push((asked - now).secs());
        now = asked;
        offered(&mut client, now, SERVER);
        assert!(client.receive(now, answer(&client, Kind::Nak, Some(SERVER))));
    }
    assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 64, 64]);
}

#[test]
fn a_lease_is_renewed_at_half_its_time_by_its_server() {
    let mut client = bound(1000);
    let deadline = client.deadline().unwrap();
    assert!((437.5..=500.0).contains(&(deadline.total_micros() as f64 / 1e6)), "{deadline}");
    let request = client.poll(deadline).unwrap();
    assert_eq!((request.kind, request.own, request.to), (DhcpMessageType::Request, ADDRESS, Some(SERVER)));
    assert_eq!((request.requested, request.server), (None, None));
    assert!(!client.receive(deadline, answer(&client, Kind::Nak, Some(OTHER))), "it was not asked");
    assert!(client.receive(deadline + Duration::from_millis(5), answer(&client, Kind::Ack, Some(SERVER))));
    assert!(client.lease().is_some(), "it stays in use");
    let next = client.deadline().unwrap();
    assert!(next >= deadline + Duration::from_millis(437_500) && next <= deadline + Duration::from_secs(500));
}

#[test]
fn with_no_answer_any_server_is_asked_and_then_the_lease_is_over() {
    let mut client = bound(1000);
    let sent = pass(&mut client, at(1010.0));
    let (renewing, rebinding): (Vec<_>, Vec<_>) = sent
        .iter()
        .filter(|(_, question)| !question.own.is_unspecified())
        .partition(|(_, question)| question.to.is_some());
    assert!((2..=6).contains(&renewing.len()), "{sent:?}");
    assert!((2..=4).contains(&rebinding.len()), "{sent:?}");
    assert!(renewing.iter().all(|(time, _)| *time < at(875.0)));
    assert!(rebinding.iter().all(|(time, _)| *time >= at(820.0) && *time < at(1000.0)));
    // Not more often than once a minute (less the spread), but for the step from one to the other.
    assert!(renewing.windows(2).all(|pair| pair[1].0 - pair[0].0 >= Duration::from_secs(45)), "{sent:?}");
    assert_eq!(client.lease(), None);
    let (time, question) = sent.iter().find(|(_, question)| question.own.is_unspecified()).unwrap();
    assert_eq!((*time, question.kind), (at(1000.0), DhcpMessageType::Discover));
}

#[test]
fn a_short_lease_survives_a_lost_frame() {
    let mut client = bound_for(Instant::ZERO, Some(12), Some(3), Some(6));
    let sent = pass(&mut client, at(11.9));
    let times: Vec<f64> = sent.iter().map(|(time, _)| time.total_millis() as f64 / 1000.0).collect();
    assert_eq!(times[0], 3.0);
    assert!(times.iter().filter(|time| **time < 6.0).count() >= 2, "{times:?}");
    assert!(times.iter().filter(|time| **time >= 6.0).count() >= 2, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 0.7 || pair[1] == 6.0), "{times:?}");
}

#[test]
fn times_that_contradict_each_other_are_not_followed() {
    for (renewal, rebinding, expected) in [
        (Some(10), Some(20), (10.0..=10.0, 20.0..=20.0)),
        (Some(10), None, (10.0..=10.0, 820.0..=875.0)),
        (None, Some(300), (281.25..=300.0, 300.0..=300.0)),
        (Some(20), Some(10), (20.0..=20.0, 820.0..=875.0)),
        (Some(2000), Some(3000), (437.5..=500.0, 820.0..=875.0)),
        (Some(0), Some(0), (437.5..=500.0, 820.0..=875.0)),
        (None, Some(0), (437.5..=500.0, 820.0..=875.0)),
        (None, Some(1), (437.5..=500.0, 820.0..=875.0)),
        (Some(1), Some(20), (9.375..=20.0, 20.0..=20.0)),
        (Some(1), None, (437.5..=500.0, 820.0..=875.0)),
        (Some(900), Some(950), (900.0..=900.0, 950.0..=950.0)),
    ] {
        let client = bound_for(Instant::ZERO, Some(1000), renewal, rebinding);
        let State::Bound(held) = &client.state else { panic!("{:?}", client.state) };
        let seconds = |time: Option<Instant>| time.unwrap().total_micros() as f64 / 1e6;
        assert!(expected.0.contains(&seconds(held.renew)), "{renewal:?} {rebinding:?}: {held:?}");
        assert!(expected.1.contains(&seconds(held.rebind)), "{renewal:?} {rebinding:?}: {held:?}");
        assert_eq!(held.expire, Some(at(1000.0)));
    }
    assert_eq!(bound_for(Instant::ZERO, None, None, None).deadline(), None, "for ever");
    assert_eq!(bound_for(Instant::ZERO, None, Some(1), Some(2)).deadline(), None);
    let client = bound_for(Instant::ZERO, Some(1), None, None);
    assert!(client.deadline().unwrap() > Instant::ZERO, "not at once, for ever");
}

#[test]
fn a_refused_renewal_ends_the_lease() {
    let mut client = bound(1000);
    let now = client.deadline().unwrap();
    client.poll(now);
    assert!(client.receive(now, answer(&client, Kind::Nak, Some(SERVER))));
    assert_eq!(client.lease(), None);
    assert_eq!(client.poll(now).unwrap().kind, DhcpMessageType::Discover);
}

#[test]
fn any_server_may_answer_when_all_are_asked() {
    let mut client = bound(1000);
    let State::Bound(held) = client.state.clone() else { panic!() };
    let now = held.rebind.unwrap();
    let question = client.poll(now).unwrap();
    assert_eq!((question.to, question.own), (None, ADDRESS));
    assert!(client.receive(now, answer(&client, Kind::Ack, Some(OTHER))));
    assert_eq!(client.lease().unwrap().server, OTHER);
}

#[test]
fn a_server_that_gives_another_address_has_it_checked() {
    let mut client = bound(1000);
    let now = client.deadline().unwrap();
    client.poll(now);
    let other = Answer { grant: Some(grant(OTHER, Some(1000))), ..answer(&client, Kind::Ack, Some(SERVER)) };
    assert!(client.receive(now, other));
    assert_eq!(client.lease(), None);
    assert_eq!(client.to_check().unwrap().address.address(), OTHER);
}

#[test]
fn an_address_that_somebody_else_has_is_declined() {
    let mut client = client();
    offered(&mut client, Instant::ZERO, SERVER);
    let asked = client.transaction;
    client.receive(Instant::ZERO, answer(&client, Kind::Ack, Some(SERVER)));
    let decline = client.decline(at(0.01)).unwrap();
    assert_eq!(decline.kind, DhcpMessageType::Decline);
    assert_eq!((decline.requested, decline.server, decline.to), (Some(ADDRESS), Some(SERVER), None));
    assert!(decline.own.is_unspecified());
    assert_ne!(decline.transaction, asked);
    assert_eq!(client.deadline(), Some(at(10.01)));
    assert_eq!(client.decline(at(0.02)), None, "once");
    // As well when it turns out later.
    let mut client = bound(1000);
    assert!(client.decline(at(100.0)).is_some());
    assert_eq!((client.lease(), client.deadline()), (None, Some(at(110.0))));
}

#[test]
fn after_the_link_was_down_the_lease_is_asked_for() {
    let mut client = bound(1000);
    client.link(at(10.0), false);
    assert_eq!(pass(&mut client, at(100.0)), []);
    client.link(at(100.0), true);
    assert!(client.lease().is_some(), "it is used meanwhile");
    let question = client.poll(at(100.0)).unwrap();
    assert_eq!((question.kind, question.requested), (DhcpMessageType::Request, Some(ADDRESS)));
    assert_eq!((question.server, question.to), (None, None));
    assert!(question.own.is_unspecified());
    let mut refused = bound(1000);
    refused.link(at(10.0), true);
    refused.poll(at(10.0));
    assert!(refused.receive(at(10.0), answer(&refused, Kind::Nak, Some(OTHER))), "it is another network");
    assert_eq!(refused.lease(), None);
    assert!(client.receive(at(100.0), answer(&client, Kind::Ack, Some(SERVER))));
    assert_eq!(client.state, bound_state(&client));
    assert!(client.deadline().unwrap() > at(537.0));
}

fn bound_state(client: &Client) -> State {
    let State::Bound(held) = &client.state else { panic!("{:?}", client.state) };
    State::Bound(held.clone())
}

#[test]
fn after_the_link_was_down_and_with_no_answer_the_lease_holds_as_long_as_it_did() {
    let mut client = bound(1000);
    client.link(at(100.0), false);
    client.link(at(101.0), true);
    let sent = pass(&mut client, at(400.0));
    assert_eq!(sent.len(), MOST_REBOOTS as usize);
    assert!(client.lease().is_some());
    assert!(client.deadline().unwrap() <= at(500.0));
    pass(&mut client, at(1000.0));
    assert_eq!(client.lease(), None);
}

#[test]
fn nothing_is_asked_while_the_link_is_down() {
    let mut client = client();
    client.link(Instant::ZERO, false);
    assert_eq!(client.deadline(), None);
    assert_eq!(client.poll(at(100.0)), None);
    client.link(at(200.0), true);
    assert_eq!(client.poll(at(200.0)).unwrap().kind, DhcpMessageType::Discover);
}

#[test]
fn a_lease_ends_on_time_even_if_its_check_does_not() {
    let mut client = client();
    offered(&mut client, Instant::ZERO, SERVER);
    client.receive(Instant::ZERO, answer(&client, Kind::Ack, Some(SERVER)));
    assert_eq!(client.deadline(), Some(at(1000.0)));
    assert_eq!(client.poll(at(1000.0)).unwrap().kind, DhcpMessageType::Discover);
}
