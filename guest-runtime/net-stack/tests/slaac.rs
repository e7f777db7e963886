//! What a stack makes of router advertisements.

mod world;

use embedded_io_async::{Read, Write};
use smoltcp::wire::Ipv6Address;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use ukvm_net_stack::{IpAddress, TcpOptions, TcpStream, UdpError, UdpSocket};
use world::icmpv6::{Message, ROUTER, advertisement, dns_servers, mtu, prefix};
use world::{World, endpoint, mac, now, sleep, spawn};

/// Both flags of a prefix: its addresses are on the link, and hosts make addresses of it.
const BOTH: u8 = 0xc0;
const FOREVER: u32 = u32::MAX;

/// Stack 1 has an IPv4 address and listens to routers.
fn world() -> World {
    World::with(|side, config| {
        config.addresses.truncate(1);
        config.slaac = side == 1;
    })
}

fn hear(world: &mut World, message: &Message) {
    world.inject(1, message.to_frame());
    world.run(sleep(Duration::from_millis(1)));
}

/// The IPv6 addresses of stack 1, but for the link-local one.
fn addresses(world: &World) -> Vec<String> {
    let all = world.stacks[1].addresses().into_iter();
    all.map(|cidr| cidr.to_string()).filter(|text| text.contains(':') && !text.starts_with("fe80")).collect()
}

fn servers(world: &World) -> Vec<String> {
    world.stacks[1].dns_servers().iter().map(ToString::to_string).collect()
}

/// Frames, and when they were sent.
type Sent = Rc<RefCell<Vec<(Duration, Vec<u8>)>>>;

/// What stack 1 sends from now on.
fn watch(world: &mut World) -> Sent {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let seen = sent.clone();
    world.tap = Box::new(move |side, frame| {
        if side == 1 {
            seen.borrow_mut().push((now(), frame.clone()));
        }
        vec![frame]
    });
    sent
}

fn is_icmpv6(frame: &[u8], kind: u8) -> bool {
    frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == kind
}

#[test]
fn an_advertisement_gives_an_address_a_router_and_dns_servers_at_once() {
    let mut world = world();
    let message = advertisement(
        ROUTER,
        0,
        1800,
        &[
            &prefix("2001:db8:1::", 64, BOTH, 7200, 3600),
            &prefix("2001:db8:2::", 64, 0x40, FOREVER, FOREVER),
            &prefix("2001:db8:3::", 64, 0x80, FOREVER, FOREVER),
            &dns_servers(600, &["2001:db8::53", "fe80::53"]),
        ],
    );
    hear(&mut world, &message);
    // A prefix that is not on the link has no neighbors there; one that is not for addresses gives none.
    assert_eq!(addresses(&world), ["2001:db8:1::ff:fe00:2/64", "2001:db8:2::ff:fe00:2/128"]);
    assert_eq!(servers(&world), ["2001:db8::53", "fe80::53"]);
    // What goes elsewhere goes by the router: the stack asks who that is.
    let sent = watch(&mut world);
    let socket = UdpSocket::bind(&world.stacks[1], 0).unwrap();
    world.run(async move { socket.send_to(b"", endpoint("[2001:db8:ffff::1]:9")).await.unwrap() });
    world.run(sleep(Duration::from_millis(1)));
    let asked: Vec<_> = sent
        .borrow()
        .iter()
        .filter(|(_, frame)| is_icmpv6(frame, 135))
        .map(|(_, f)| f[62..78].to_vec())
        .collect();
    assert!(asked.contains(&ROUTER.octets().to_vec()), "{asked:x?}");
}

#[test]
fn connections_go_on_whatever_is_said_about_what_is_on_the_link() {
    const AUTONOMOUS: u8 = 0x40;
    // The router is stack 0 itself, so that it is reached where nothing is said to be on the link.
    let router: Ipv6Address = "fe80::ff:fe00:1".parse().unwrap();
    let mut world = World::with(|side, config| {
        config.addresses = vec![format!("10.0.0.{}/24", side + 1).parse().unwrap()];
        config.slaac = side == 1;
        if side == 0 {
            config.addresses.push("2001:db8::1/64".parse().unwrap());
        }
    });
    let say = |world: &mut World, flags: u8| {
        let option = prefix("2001:db8::", 64, flags, FOREVER, FOREVER);
        hear(world, &advertisement(router, 0, 1800, &[&option]));
        addresses(world)
    };
    assert_eq!(say(&mut world, AUTONOMOUS), ["2001:db8::ff:fe00:2/128"]);
    world.run(sleep(Duration::from_secs(2)));
    let listener = world.stacks[0].listen(7, TcpOptions::default()).unwrap();
    let stack = world.stacks[1].clone();
    let (mut client, mut server) = world.run(async move {
        let peer = endpoint("[2001:db8::1]:7");
        let client = TcpStream::connect(&stack, peer, TcpOptions::default()).await.unwrap();
        (client, listener.accept().await.0)
    });
    let sent = watch(&mut world);
    // A flag that is set says that it is on the link; one that is not says nothing.
    assert_eq!(say(&mut world, BOTH), ["2001:db8::ff:fe00:2/64"]);
    assert_eq!(say(&mut world, AUTONOMOUS), ["2001:db8::ff:fe00:2/64"]);
    world.run(async move {
        client.write_all(b"hello").await.unwrap();
        server.read_exact(&mut [0; 5]).await.unwrap();
        sleep(Duration::from_secs(2)).await;
    });
    let is_check = |frame: &[u8]| is_icmpv6(frame, 135) && frame[22..38] == [0; 16];
    assert!(!sent.borrow().iter().any(|(_, frame)| is_check(frame)), "the address is checked again");
}

#[test]
fn without_the_option_advertisements_are_not_heard() {
    let mut world = World::new();
    hear(&mut world, &advertisement(ROUTER, 0, 1800, &[&prefix("2001:db8::", 64, BOTH, FOREVER, FOREVER)]));
    assert_eq!(addresses(&world), ["fd00::2/64"]);
}

#[test]
fn what_is_advertised_ends_with_its_lifetime() {
    let mut world = world();
    let options = [
        &prefix("2001:db8::", 64, BOTH, 100, 50)[..],
        &dns_servers(30, &["fd00::53"]),
        &dns_servers(70, &["fd00::54"]),
    ];
    hear(&mut world, &advertisement(ROUTER, 0, 60, &options));
    world.run(sleep(Duration::from_secs(29)));
    assert_eq!(servers(&world), ["fd00::53", "fd00::54"]);
    world.run(sleep(Duration::from_secs(2)));
    assert_eq!(servers(&world), ["fd00::54"]);
    world.run(sleep(Duration::from_secs(68)));
    assert_eq!((addresses(&world).len(), servers(&world).len()), (1, 0));
    world.run(sleep(Duration::from_secs(2)));
    assert_eq!(addresses(&world).len(), 0);
    let socket = UdpSocket::bind(&world.stacks[1], 0).unwrap();
    let sent = world.run(async move { socket.send_to(b"", endpoint("[2001:db8:ffff::1]:9")).await });
    // The link-local address is what is left, and no router to ask for.
    let sent_nothing = watch(&mut world);
    world.run(sleep(Duration::from_secs(2)));
    assert!(sent.is_ok() && sent_nothing.borrow().is_empty());
}

#[test]
fn a_lifetime_of_zero_ends_a_router_and_dns_servers_but_no_address_soon() {
    let mut world = world();
    let options =
        [&prefix("2001:db8::", 64, BOTH, FOREVER, FOREVER)[..], &dns_servers(FOREVER, &["fd00::53"])];
    hear(&mut world, &advertisement(ROUTER, 0, 1800, &options));
    world.run(sleep(Duration::from_secs(10_000_000)));
    assert_eq!((addresses(&world).len(), servers(&world).len()), (1, 1));
    let options = [&prefix("2001:db8::", 64, BOTH, 0, 0)[..], &dns_servers(0, &["fd00::53"])];
    hear(&mut world, &advertisement(ROUTER, 0, 0, &options));
    assert_eq!((addresses(&world).len(), servers(&world).len()), (1, 0));
    // Anyone on the link could say so: the address lives on for two hours, and repetitions do not prolong that.
    world.run(sleep(Duration::from_secs(7100)));
    hear(&mut world, &advertisement(ROUTER, 0, 0, &options));
    assert_eq!(addresses(&world).len(), 1);
    world.run(sleep(Duration::from_secs(110)));
    assert_eq!(addresses(&world).len(), 0);
}

#[test]
fn after_renumbering_the_stack_speaks_from_the_new_address() {
    let mut world = world();
    hear(&mut world, &advertisement(ROUTER, 0, 1800, &[&prefix("2001:db8:1::", 64, BOTH, FOREVER, FOREVER)]));
    let old = prefix("2001:db8:1::", 64, BOTH, 7200, 0);
    let new = prefix("2001:db8:2::", 64, BOTH, FOREVER, FOREVER);
    hear(&mut world, &advertisement(ROUTER, 0, 1800, &[&old, &new]));
    assert_eq!(addresses(&world).len(), 2);
    let sent = watch(&mut world);
    let stack = world.stacks[1].clone();
    spawn(async move {
        // In the network of the old one, so that the longest common prefix speaks for that.
        drop(TcpStream::connect(&stack, endpoint("[2001:db8:1:1::1]:7"), TcpOptions::default()).await);
    });
    world.run(sleep(Duration::from_millis(1)));
    // The router answers the question for its hardware address.
    let router_mac = [2, 0, 0, 0, 9, 1];
    let mut body = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
    body.extend(ROUTER.octets());
    body.extend([2, 1]);
    body.extend(router_mac);
    let answer = Message {
        from_mac: router_mac,
        to_mac: mac(1),
        source: ROUTER,
        destination: "2001:db8:2::ff:fe00:2".parse().unwrap(),
        hop_limit: 255,
        body,
    };
    hear(&mut world, &answer);
    let syn =
        sent.borrow().iter().find(|(_, frame)| frame[12..14] == [0x86, 0xdd] && frame[20] == 6).cloned();
    let (_, syn) = syn.expect("a SYN");
    assert_eq!(&syn[0..6], &router_mac);
    assert_eq!(&syn[22..38], "2001:db8:2::ff:fe00:2".parse::<Ipv6Address>().unwrap().octets());
}

#[test]
fn the_preferred_router_is_used_and_another_when_it_goes() {
    let mut world = world();
    let low: Ipv6Address = "fe80::a".parse().unwrap();
    let high: Ipv6Address = "fe80::b".parse().unwrap();
    let address = prefix("2001:db8::", 64, BOTH, FOREVER, FOREVER);
    let asked = |world: &mut World| {
        let sent = watch(world);
        let socket = UdpSocket::bind(&world.stacks[1], 0).unwrap();
        world.run(async move { socket.send_to(b"", endpoint("[2001:db8:ffff::1]:9")).await.unwrap() });
        world.run(sleep(Duration::from_secs(5)));
        let frames = sent.borrow();
        let question = frames.iter().find(|(_, frame)| is_icmpv6(frame, 135)).expect("a question");
        question.1[77]
    };
    hear(&mut world, &advertisement(low, 0x18, 1800, &[&address]));
    assert_eq!(asked(&mut world), 0xa);
    hear(&mut world, &advertisement(high, 0x08, 1800, &[]));
    assert_eq!(asked(&mut world), 0xb);
    hear(&mut world, &advertisement(high, 0x08, 0, &[]));
    assert_eq!(asked(&mut world), 0xa);
}

#[test]
fn a_smaller_mtu_holds_for_what_is_sent_and_one_that_is_no_good_does_not() {
    let mut world = world();
    let stack = world.stacks[1].clone();
    let socket = UdpSocket::bind(&stack, 0).unwrap();
    let address = prefix("2001:db8::", 64, BOTH, FOREVER, FOREVER);
    let excess = |world: &mut World, advertised: u32| {
        hear(world, &advertisement(ROUTER, 0, 1800, &[&mtu(advertised), &address]));
        let socket = UdpSocket::bind(&world.stacks[1], 0).unwrap();
        world.run(async move { socket.send_to(&[0; 2000], endpoint("[2001:db8::1]:9")).await })
    };
    for (advertised, holds) in
        [(1400, 1400), (1279, 1400), (0, 1400), (9000, 1500), (1280, 1280), (FOREVER, 1500)]
    {
        let longest = holds - 48;
        assert_eq!(excess(&mut world, advertised), Err(UdpError::TooLong(2000 - longest)), "{advertised}");
    }
    // Addresses, routes and sockets are still there.
    assert_eq!(addresses(&world), ["2001:db8::ff:fe00:2/64"]);
    assert!(stack.addresses().iter().any(|cidr| cidr.address() == IpAddress::v4(10, 0, 0, 2)));
    let client = UdpSocket::bind(&world.stacks[0], 0).unwrap();
    let port = socket.port();
    world.run(async move {
        client.send_to(b"hello", (IpAddress::v4(10, 0, 0, 2), port)).await.unwrap();
        assert_eq!(socket.recv_from(&mut [0; 9]).await.unwrap().0, 5);
    });
}

#[test]
fn datagrams_grow_with_the_mtu() {
    let mut world = world();
    for (advertised, longest) in [(1280, 1252), (1500, 1472)] {
        hear(&mut world, &advertisement(ROUTER, 0, 1800, &[&mtu(advertised)]));
        let server = UdpSocket::bind(&world.stacks[0], 7).unwrap();
        let client = UdpSocket::bind(&world.stacks[1], 0).unwrap();
        world.run(async move {
            for _ in 0..2 {
                client.send_to(&vec![0; longest], endpoint("10.0.0.1:7")).await.unwrap();
                assert_eq!(server.recv_from(&mut [0; 1500]).await.unwrap().0, longest);
            }
        });
    }
}

#[test]
fn odd_advertisements_are_not_believed() {
    let good = || {
        advertisement(
            ROUTER,
            0,
            1800,
            &[&prefix("2001:db8::", 64, BOTH, FOREVER, FOREVER), &dns_servers(600, &["fd00::53"])],
        )
    };
    type Change = fn(&mut Message);
    let changes: [(&str, Change); 9] = [
        ("it passed a router", |message| message.hop_limit = 254),
        ("not a link-local source", |message| message.source = "2001:db8::1".parse().unwrap()),
        ("no source", |message| message.source = Ipv6Address::UNSPECIFIED),
        ("another code", |message| message.body[1] = 1),
        ("an option without a length", |message| message.body[17] = 0),
        ("an option that leads out", |message| message.body[17] = 200),
        ("cut short in an option", |message| message.body.truncate(40)),
        ("cut short before the options", |message| message.body.truncate(12)),
        ("a prefix's option that is too small", |message| {
            message.body.truncate(16);
            message.body.extend([3, 1, 64, BOTH, 0, 0, 0, 0]);
        }),
    ];
    for (why, change) in changes {
        let mut world = world();
        let mut message = good();
        change(&mut message);
        hear(&mut world, &message);
        assert!(addresses(&world).is_empty() && servers(&world).is_empty(), "{why}");
    }
    let mut world = world();
    let mut frame = good().to_frame();
    frame[56] ^= 1;
    world.inject(1, frame);
    world.run(sleep(Duration::from_millis(1)));
    assert!(addresses(&world).is_empty(), "a wrong checksum");
    // Intact messages that say what cannot be.
    for (why, option) in [
        ("not 64 bits", prefix("2001:db8::", 48, BOTH, FOREVER, FOREVER)),
        ("more than there are", prefix("2001:db8::", 255, BOTH, FOREVER, FOREVER)),
        ("preferred for longer than valid", prefix("2001:db8::", 64, BOTH, 10, 20)),
        ("valid for no time", prefix("2001:db8::", 64, BOTH, 0, 0)),
        ("link-local", prefix("fe80::", 64, BOTH, FOREVER, FOREVER)),
        ("a group", prefix("ff02::", 64, BOTH, FOREVER, FOREVER)),
        ("nothing", prefix("::", 64, BOTH, FOREVER, FOREVER)),
        ("a DNS server of half an address", vec![25, 2, 0, 0, 0, 0, 1, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0]),
        ("a DNS server that is a group", dns_servers(600, &["ff02::53"])),
    ] {
        hear(&mut world, &advertisement(ROUTER, 0, 1800, &[&option]));
        assert!(addresses(&world).is_empty() && servers(&world).is_empty(), "{why}");
    }
}

#[test]
fn a_flood_of_prefixes_routers_and_servers_is_bounded() {
    let mut world = world();
    for number in 0..200 {
        let router = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, number + 1);
        let prefixes: Vec<_> = (0..20)
            .map(|part| prefix(&format!("2001:db8:{number:x}:{part:x}::"), 64, BOTH, FOREVER, FOREVER))
            .collect();
        let mut options: Vec<&[u8]> = prefixes.iter().map(|option| &option[..]).collect();
        let name = format!("fd00::{number:x}");
        let server = dns_servers(FOREVER, &[&name]);
        options.push(&server);
        hear(&mut world, &advertisement(router, 0, 9000, &options));
    }
    assert_eq!((addresses(&world).len(), servers(&world).len()), (4, 4));
}

#[test]
fn advertised_addresses_leave_room_for_the_others() {
    let mut world = World::with(|side, config| {
        config.addresses = (1..=5).map(|last| format!("10.0.{side}.{last}/24").parse().unwrap()).collect();
        (config.slaac, config.dhcp) = (side == 1, side == 1);
    });
    let prefixes: Vec<_> =
        (1..9).map(|part| prefix(&format!("2001:db8:{part}::"), 64, BOTH, FOREVER, FOREVER)).collect();
    let options: Vec<&[u8]> = prefixes.iter().map(|option| &option[..]).collect();
    hear(&mut world, &advertisement(ROUTER, 0, 1800, &options));
    // Seven, one of which a lease may bring, and the link-local one.
    assert_eq!(addresses(&world), ["2001:db8:1::ff:fe00:2/64"]);
}

#[test]
fn routers_are_asked_for_at_once_and_then_less_and_less_until_one_is_there() {
    let mut world = world();
    let sent = watch(&mut world);
    world.run(sleep(Duration::from_secs(3600)));
    let questions: Vec<_> =
        sent.borrow().iter().filter(|(_, frame)| is_icmpv6(frame, 133)).cloned().collect();
    let first = &questions[0];
    assert!(first.0 <= Duration::from_millis(1001), "{:?}", first.0);
    // The address that it comes from is not verified: the first does not name the hardware, the others do.
    assert_eq!((first.1.len(), questions[1].1.len()), (62, 70));
    assert_eq!(&first.1[..6], [0x33, 0x33, 0, 0, 0, 2]);
    assert_eq!((first.1[21], first.1[22]), (255, 0xfe));
    let waits: Vec<_> = questions.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect();
    for (wait, expected) in waits.iter().zip([4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]) {
        assert!((wait / expected - 1.0).abs() < 0.11, "{waits:?}");
    }
    assert_eq!(waits.len(), 9);
    // A router that is none for other networks does not end it; one that is does.
    hear(&mut world, &advertisement(ROUTER, 0, 0, &[]));
    let before = sent.borrow().len();
    world.run(sleep(Duration::from_secs(4000)));
    assert!(sent.borrow().len() > before);
    hear(&mut world, &advertisement(ROUTER, 0, 9000, &[]));
    let before = sent.borrow().len();
    world.run(sleep(Duration::from_secs(8000)));
    assert_eq!(sent.borrow().len(), before);
}
