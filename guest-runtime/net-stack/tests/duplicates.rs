//! IPv6 addresses that others have, or want to have.

mod world;

use smoltcp::wire::Ipv6Address;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use ukvm_net_stack::{IpAddress, TcpOptions, TcpStream};
use world::icmpv6::{Message, ROUTER, advertisement, prefix};
use world::{World, endpoint, mac, sleep, spawn};

const OTHER: [u8; 6] = [2, 0, 0, 0, 7, 7];
const ALL_NODES: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const STACK: Ipv6Address = Ipv6Address::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

fn group(target: Ipv6Address) -> Ipv6Address {
    let [.., a, b, c] = target.octets();
    Ipv6Address::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Another host asks whether somebody has `target`, as it wants to have it.
fn question(target: Ipv6Address) -> Message {
    let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
    body.extend(target.octets());
    let destination = group(target);
    let [.., a, b, c] = target.octets();
    Message {
        from_mac: OTHER,
        to_mac: [0x33, 0x33, 0xff, a, b, c],
        source: Ipv6Address::UNSPECIFIED,
        destination,
        hop_limit: 255,
        body,
    }
}

/// Another host says that it has `target`.
fn answer(target: Ipv6Address) -> Message {
    let mut body = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    body.extend(target.octets());
    body.extend([2, 1]);
    body.extend(OTHER);
    let to_mac = [0x33, 0x33, 0, 0, 0, 1];
    Message { from_mac: OTHER, to_mac, source: target, destination: ALL_NODES, hop_limit: 255, body }
}

fn has(world: &World, address: Ipv6Address) -> bool {
    world.stacks[1].addresses().iter().any(|cidr| cidr.address() == IpAddress::from(address))
}

#[test]
fn every_address_is_asked_for_serves_meanwhile_and_is_claimed_then() {
    let mut world = World::new();
    let sent = world.watch(1);
    let listener = world.stacks[1].listen(7, TcpOptions::default()).unwrap();
    let stack = world.stacks[0].clone();
    world.run(async move {
        spawn(async move { drop(listener.accept().await) });
        TcpStream::connect(&stack, endpoint("[fd00::2]:7"), TcpOptions::default()).await.unwrap();
    });
    assert!(world::now() < Duration::from_millis(1010), "{:?}", world::now());
    world.run(sleep(Duration::from_secs(2)));
    let messages: Vec<_> = sent.borrow().iter().filter(|frame| frame[20] == 58).cloned().collect();
    let link_local: Ipv6Address = "fe80::ff:fe00:2".parse().unwrap();
    for address in [STACK, link_local] {
        let target = address.octets();
        let questions: Vec<_> =
            messages.iter().filter(|frame| frame[54] == 135 && frame[62..78] == target).collect();
        assert_eq!(questions.len(), 1);
        assert_eq!(questions[0][22..38], [0; 16]);
        assert_eq!(questions[0][38..54], group(address).octets());
        // It names no hardware address.
        assert_eq!((questions[0].len(), questions[0][21]), (78, 255));
        let claim = messages.iter().rfind(|frame| frame[54] == 136 && frame[62..78] == target).unwrap();
        assert_eq!((claim[58], &claim[38..54]), (0x20, &ALL_NODES.octets()[..]));
        assert_eq!(claim[80..86], mac(1));
    }
}

#[test]
fn an_address_that_another_host_has_is_given_up_and_told_of() {
    for message in [answer(STACK), question(STACK)] {
        let mut world = World::new();
        world.inject(1, message.to_frame());
        let stack = world.stacks[1].clone();
        let known = stack.configuration();
        let now = world.run(async move { stack.changed(&known).await });
        let [conflict] = now.conflicts[..] else { panic!("{now:?}") };
        assert_eq!((conflict.address, conflict.other), (STACK.into(), OTHER));
        assert!(!has(&world, STACK));
        // The others stay.
        assert_eq!(world.stacks[1].addresses().len(), 2);
        let sent = world.watch(1);
        world.inject(1, question(STACK).to_frame());
        world.run(sleep(Duration::from_secs(3)));
        let claimed = sent.borrow().iter().any(|frame| frame[20] == 58 && frame[62..78] == STACK.octets());
        assert!(!claimed, "it is claimed although it was given up");
        // It is tried again after a minute, and used if the other has gone.
        world.run(sleep(Duration::from_millis(57_500)));
        world.inject(1, answer(STACK).to_frame());
        world.run(sleep(Duration::from_secs(3)));
        assert!(!has(&world, STACK));
        world.run(sleep(Duration::from_secs(62)));
        assert!(has(&world, STACK) && world.stacks[1].configuration().conflicts.is_empty());
    }
}

#[test]
fn who_repeats_that_an_address_is_taken_changes_nothing() {
    let mut world = World::new();
    let changes = Rc::new(RefCell::new(Vec::new()));
    let (stack, seen) = (world.stacks[1].clone(), changes.clone());
    spawn(async move {
        let mut known = stack.configuration();
        loop {
            known = stack.changed(&known).await;
            seen.borrow_mut().push(known.conflicts.clone());
        }
    });
    world.inject(1, answer(STACK).to_frame());
    // Not when it is asked about again, after a minute.
    for second in 0..58 {
        world.run(sleep(Duration::from_secs(1)));
        for message in [answer(STACK), question(STACK)] {
            let from_mac = [2, 0, 0, 0, 8, second];
            world.inject(1, Message { from_mac, ..message }.to_frame());
        }
    }
    world.run(sleep(Duration::from_secs(1)));
    let seen = changes.take();
    let [conflicts] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(conflicts[0].other, OTHER);
    assert!(!has(&world, STACK));
    world.run(sleep(Duration::from_secs(4)));
    assert!(has(&world, STACK), "the next question was put off");
}

#[test]
fn what_proves_nothing_takes_no_address() {
    type Change = fn(&mut Message);
    let changes: [(&str, Message, Change); 7] = [
        ("its own question that came back", question(STACK), |message| message.from_mac = mac(1)),
        ("a question that passed a router", question(STACK), |message| message.hop_limit = 254),
        ("a question to all", question(STACK), |message| message.destination = ALL_NODES),
        ("a question from nobody with a hardware address", question(STACK), |message| {
            message.body.extend([1, 1]);
            message.body.extend(OTHER);
        }),
        ("an answer that passed a router", answer(STACK), |message| message.hop_limit = 254),
        ("an answer for another address", answer(STACK), |message| message.body[23] ^= 1),
        ("an answer that is cut short", answer(STACK), |message| message.body.truncate(20)),
    ];
    for (why, mut message, change) in changes {
        let mut world = World::new();
        change(&mut message);
        world.inject(1, message.to_frame());
        world.run(sleep(Duration::from_millis(500)));
        assert!(has(&world, STACK), "{why}");
    }
    // Once it is verified, an answer of another is no proof either.
    let mut world = World::new();
    world.run(sleep(Duration::from_secs(2)));
    world.inject(1, answer(STACK).to_frame());
    world.run(sleep(Duration::from_secs(2)));
    assert!(has(&world, STACK));
}

#[test]
fn an_address_that_is_in_use_here_is_defended() {
    let mut world = World::new();
    world.run(sleep(Duration::from_secs(2)));
    let sent = world.watch(1);
    world.inject(1, question(STACK).to_frame());
    world.run(sleep(Duration::from_millis(1)));
    let sent = sent.borrow();
    assert_eq!(sent.len(), 1);
    let defence = &sent[0];
    assert_eq!((defence[54], defence[58]), (136, 0x20));
    assert_eq!(defence[22..38], STACK.octets());
    assert_eq!(defence[38..54], ALL_NODES.octets());
    assert_eq!(defence[62..78], STACK.octets());
}

#[test]
fn an_advertised_prefix_gives_another_address_where_one_is_taken_but_not_for_ever() {
    let mut world = World::with(|side, config| config.slaac = side == 1);
    let network = prefix("2001:db8::", 64, 0xc0, u32::MAX, u32::MAX);
    let own = |world: &World| {
        world.stacks[1].addresses().iter().find_map(|cidr| match cidr.address() {
            IpAddress::Ipv6(address) if address.segments()[..2] == [0x2001, 0xdb8] => Some(address),
            _ => None,
        })
    };
    let mut seen = Vec::new();
    for _ in 0..3 {
        world.inject(1, advertisement(ROUTER, 0, 1800, &[&network]).to_frame());
        world.run(sleep(Duration::from_millis(1)));
        let address = own(&world).expect("an address");
        assert!(!seen.contains(&address));
        seen.push(address);
        world.inject(1, answer(address).to_frame());
        world.run(sleep(Duration::from_millis(1)));
    }
    assert_eq!(seen[0], "2001:db8::ff:fe00:2".parse::<Ipv6Address>().unwrap());
    world.inject(1, advertisement(ROUTER, 0, 1800, &[&network]).to_frame());
    world.run(sleep(Duration::from_secs(2)));
    assert_eq!(own(&world), None);
}
