//! A stack that gets its address from a DHCP server, and one whose address somebody else has. The server is a program on the other
//! stack, so that its messages take the way of all datagrams.

mod world;

use embedded_io_async::{Read, Write};
use smoltcp::wire::{
    ArpPacket, ArpRepr, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame,
    EthernetProtocol, Ipv4Packet, UdpPacket,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use ukvm_net_stack::{
    Config, Configuration, IpAddress, Ipv4Address, Offloads, TcpError, TcpOptions, TcpStream, UdpError,
    UdpSocket,
};
use world::{World, endpoint, mac, now, sleep, spawn};

const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const NONE: [Ipv4Address; 0] = [];
const BROADCAST: &str = "255.255.255.255:68";

/// What the client has asked.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    kind: DhcpMessageType,
    /// The address that it has.
    own: Ipv4Address,
    requested: Option<Ipv4Address>,
    server: Option<Ipv4Address>,
    at: Duration,
}

/// A server that gives one address, until it is told otherwise.
struct Server {
    address: Ipv4Address,
    /// In seconds.
    lease: u32,
    is_silent: bool,
    asked: Vec<Asked>,
}

type Shared = Rc<RefCell<Server>>;

impl Server {
    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let packet = DhcpPacket::new_checked(message).unwrap();
        let question = DhcpRepr::parse(&packet).unwrap();
        assert_eq!(question.client_hardware_address, EthernetAddress(mac(1)));
        assert_eq!(question.client_identifier, Some(EthernetAddress(mac(1))));
        self.asked.push(Asked {
            kind: question.message_type,
            own: question.client_ip,
            requested: question.requested_ip,
            server: question.server_identifier,
            at: now(),
        });
        if question.message_type != DhcpMessageType::Decline {
            let name = packet.options().find(|option| option.kind == 12).map(|option| option.data);
            assert_eq!(name, Some(&b"guest"[..]));
        }
        let own = if question.client_ip.is_unspecified() {
            question.requested_ip
        } else {
            Some(question.client_ip)
        };
        let kind = match question.message_type {
            _ if self.is_silent => return None,
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if own == Some(self.address) => DhcpMessageType::Ack,
            DhcpMessageType::Request => DhcpMessageType::Nak,
            _ => return None,
        };
        let [a, b, c, d] = self.lease.to_be_bytes();
        let answer = DhcpRepr {
            message_type: kind,
            your_ip: if kind == DhcpMessageType::Nak { Ipv4Address::UNSPECIFIED } else { self.address },
            server_identifier: Some(SERVER),
            client_ip: Ipv4Address::UNSPECIFIED,
            requested_ip: None,
            client_identifier: None,
            parameter_request_list: None,
            max_size: None,
            subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
            router: Some(SERVER),
            additional_options: &[
                DhcpOption { kind: 51, data: &[a, b, c, d] },
                DhcpOption { kind: 6, data: &[9, 9, 9, 9] },
                DhcpOption { kind: 15, data: b"example.org" },
            ],
            ..question
        };
        let mut bytes = vec![0; answer.buffer_len()];
        answer.emit(&mut DhcpPacket::new_unchecked(bytes.as_mut_slice())).unwrap();
        Some(bytes)
    }
}

/// A world whose stack 1 asks for an address, and whose stack 0 has a server that gives 10.0.0.50.
fn world() -> (World, Shared) {
    world_with(&[])
}

/// The same, whose stack 0 has other addresses as well.
fn world_with(others: &'static [&'static str]) -> (World, Shared) {
    world_where(others, |_| {})
}

/// The same, whose stack 1 is told more.
fn world_where(others: &'static [&'static str], tell: fn(&mut Config)) -> (World, Shared) {
    let world = World::with(|side, config| {
        if side == 1 {
            config.addresses.clear();
            config.dhcp = true;
            config.host_name = Some("guest".into());
            tell(config);
        } else {
            config
                .addresses
                .extend(others.iter().map(|text| text.parse::<ukvm_net_stack::IpCidr>().unwrap()));
        }
    });
    let server = Server { address: address(50), lease: 100, is_silent: false, asked: Vec::new() };
    let server = Rc::new(RefCell::new(server));
    let socket = UdpSocket::bind(&world.stacks[0], 67).unwrap();
    let shared = server.clone();
    spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
            let answer = shared.borrow_mut().answer(&buffer[..length]);
            if let Some(answer) = answer {
                socket.send_to(&answer, endpoint(BROADCAST)).await.unwrap();
            }
        }
    });
    (world, server)
}

fn address(host: u8) -> Ipv4Address {
    Ipv4Address::new(10, 0, 0, host)
}

/// The IPv4 addresses that are in use.
fn v4(configuration: &Configuration) -> Vec<Ipv4Address> {
    let v4 = |address| if let IpAddress::Ipv4(address) = address { Some(address) } else { None };
    configuration.addresses.iter().filter_map(|cidr| v4(cidr.address())).collect()
}

/// Waits for the address that the server gives first; how long that took.
fn configured(world: &mut World) -> Duration {
    let (stack, start) = (world.stacks[1].clone(), now());
    world.run(async move { stack.configured().await });
    now() - start
}

/// Waits for the next change.
fn changed(world: &mut World, known: &Configuration) -> Configuration {
    let (stack, known) = (world.stacks[1].clone(), known.clone());
    world.run(async move { stack.changed(&known).await })
}

/// A connection from stack 1 to an echo server on stack 0.
fn connection(world: &mut World) -> TcpStream {
    let listener = world.stacks[0].listen(7, TcpOptions::default()).unwrap();
    spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await;
            spawn(async move {
                let mut buffer = [0; 100];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let stack = world.stacks[1].clone();
    world.run(async move {
        let mut stream =
            TcpStream::connect(&stack, endpoint("10.0.0.1:7"), TcpOptions::default()).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        stream
    })
}

fn kinds(server: &Shared) -> Vec<DhcpMessageType> {
    server.borrow().asked.iter().map(|asked| asked.kind).collect()
}

/// Has `check` see all frames of stack 1.
fn watch(world: &mut World, mut check: impl FnMut(&EthernetFrame<&[u8]>) + 'static) {
    world.tap = Box::new(move |side, frame| {
        if side == 1 {
            check(&EthernetFrame::new_checked(&frame[..]).unwrap());
        }
        vec![frame]
    });
}

/// Sender and target of an ARP packet.
fn arp(frame: &EthernetFrame<&[u8]>) -> Option<(Ipv4Address, Ipv4Address)> {
    if frame.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    let ArpRepr::EthernetIpv4 { source_protocol_addr, target_protocol_addr, .. } =
        ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).unwrap()).unwrap()
    else {
        panic!("another kind of ARP");
    };
    Some((source_protocol_addr, target_protocol_addr))
}

#[test]
fn an_address_and_all_that_goes_with_it() {
    let (mut world, server) = world();
    assert_eq!(v4(&world.stacks[1].configuration()), NONE);
    let took = configured(&mut world);
    assert!((Duration::from_millis(100)..Duration::from_millis(110)).contains(&took), "{took:?}");
    let configuration = world.stacks[1].configuration();
    assert_eq!(v4(&configuration), [address(50)]);
    let lease = configuration.lease.clone().unwrap();
    assert_eq!((lease.server, lease.gateway()), (SERVER, Some(SERVER)));
    assert_eq!(lease.duration, Some(Duration::from_secs(100)));
    assert_eq!(lease.domain.as_deref(), Some("example.org"));
    assert_eq!(world.stacks[1].dns_servers(), [IpAddress::v4(9, 9, 9, 9)]);
    let stream = connection(&mut world);
    assert_eq!(stream.local_endpoint().unwrap().addr, address(50).into());
    // What is elsewhere goes through the gateway: to its hardware address.
    let passed_on = Rc::new(RefCell::new(0));
    let count = passed_on.clone();
    watch(&mut world, move |frame| {
        if frame.ethertype() == EthernetProtocol::Ipv4
            && Ipv4Packet::new_checked(frame.payload()).unwrap().dst_addr() == Ipv4Address::new(8, 8, 8, 8)
        {
            assert_eq!(frame.dst_addr(), EthernetAddress(mac(0)));
            *count.borrow_mut() += 1;
        }
    });
    let socket = UdpSocket::bind(&world.stacks[1], 0).unwrap();
    world.run(async move {
        socket.send_to(b"far", endpoint("8.8.8.8:53")).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(*passed_on.borrow(), 1);
    use DhcpMessageType::{Discover, Request};
    assert_eq!(kinds(&server), [Discover, Request]);
}

#[test]
fn questions_are_complete_whatever_the_device_completes() {
    let offloads = Offloads { checksum: true, ..Offloads::default() };
    let mut world = World::with_offloads(offloads, |_, config| config.dhcp = true);
    let checked = Rc::new(RefCell::new(0));
    let count = checked.clone();
    watch(&mut world, move |frame| {
        if frame.ethertype() == EthernetProtocol::Ipv4 {
            let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
            let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
            assert_eq!((datagram.src_port(), datagram.dst_port()), (68, 67));
            assert!(datagram.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into()));
            assert_eq!(
                (packet.src_addr(), packet.dst_addr()),
                (Ipv4Address::UNSPECIFIED, Ipv4Address::BROADCAST)
            );
            assert_eq!(frame.dst_addr(), EthernetAddress::BROADCAST);
            // BOOTP's length at least, which some insist on.
            assert!(datagram.payload().len() >= 300);
            *count.borrow_mut() += 1;
        }
    });
    world.run(sleep(Duration::from_secs(10)));
    assert!(*checked.borrow() >= 3);
}

#[test]
fn a_lease_is_held_without_anybody_noticing() {
    let (mut world, server) = world();
    configured(&mut world);
    let before = world.stacks[1].configuration();
    let mut stream = connection(&mut world);
    world.run(sleep(Duration::from_secs(1000)));
    assert_eq!(world.stacks[1].configuration(), before);
    world.run(async move {
        stream.write_all(b"still").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
    });
    let server = server.borrow();
    let renewals = &server.asked[2..];
    assert!((20..=23).contains(&renewals.len()), "{renewals:?}");
    for asked in renewals {
        assert_eq!((asked.kind, asked.own), (DhcpMessageType::Request, address(50)));
        assert_eq!((asked.requested, asked.server), (None, None));
    }
}

#[test]
fn a_server_that_comes_late_is_found() {
    let (mut world, server) = world();
    server.borrow_mut().is_silent = true;
    world.run(sleep(Duration::from_secs(40)));
    assert!((5..=7).contains(&server.borrow().asked.len()), "{:?}", server.borrow().asked);
    server.borrow_mut().is_silent = false;
    assert!(configured(&mut world) < Duration::from_secs(60));
}

#[test]
fn an_address_of_somebody_else_is_declined_and_another_taken() {
    let (mut world, server) = world_with(&["10.0.0.50/24"]);
    let never_in_use = Rc::new(RefCell::new(true));
    let free = never_in_use.clone();
    watch(&mut world, move |frame| {
        if arp(frame).is_some_and(|(sender, _)| sender == address(50)) {
            *free.borrow_mut() = false;
        }
    });
    let shared = server.clone();
    spawn(async move {
        while kinds(&shared).last() != Some(&DhcpMessageType::Decline) {
            sleep(Duration::from_millis(1)).await;
        }
        shared.borrow_mut().address = address(51);
    });
    let took = configured(&mut world);
    assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&took), "{took:?}");
    assert_eq!(v4(&world.stacks[1].configuration()), [address(51)]);
    assert!(*never_in_use.borrow());
    use DhcpMessageType::{Decline, Discover, Request};
    assert_eq!(kinds(&server), [Discover, Request, Decline, Discover, Request]);
    let server = server.borrow();
    let declined = &server.asked[2];
    assert_eq!((declined.requested, declined.server), (Some(address(50)), Some(SERVER)));
    assert!(declined.own.is_unspecified());
}

#[test]
fn an_address_may_be_used_before_it_is_known_to_be_free() {
    let (mut world, server) = world_where(&[], |config| config.dhcp_at_once = true);
    let took = configured(&mut world);
    assert!(took < Duration::from_millis(10), "{took:?}");
    assert_eq!(v4(&world.stacks[1].configuration()), [address(50)]);
    drop(connection(&mut world));
    assert_eq!(kinds(&server), [DhcpMessageType::Discover, DhcpMessageType::Request]);

    // It is checked all the same.
    let (mut world, server) = world_where(&["10.0.0.50/24"], |config| config.dhcp_at_once = true);
    configured(&mut world);
    let shared = server.clone();
    world.run(async move {
        while kinds(&shared).last() != Some(&DhcpMessageType::Decline) {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(v4(&world.stacks[1].configuration()).is_empty());
}

#[test]
fn when_a_lease_ends_all_that_was_on_its_address_ends() {
    let (mut world, server) = world();
    configured(&mut world);
    let bound = world.stacks[1].configuration();
    let mut stream = connection(&mut world);
    let mut writer = connection_to_idle(&mut world);
    let socket = UdpSocket::bind(&world.stacks[1], 0).unwrap();
    server.borrow_mut().is_silent = true;
    let start = now();
    let lost = changed(&mut world, &bound);
    assert!(now() - start <= Duration::from_secs(100));
    assert!(now() - start > Duration::from_secs(99));
    assert_eq!((v4(&lost), lost.lease), (NONE.to_vec(), None));
    assert_eq!(world.stacks[1].dns_servers().len(), 0);
    // Nothing leaves from the address any more, whoever was on it.
    watch(&mut world, |frame| {
        assert!(arp(frame).is_none_or(|(sender, _)| sender != address(50)));
        if frame.ethertype() == EthernetProtocol::Ipv4 {
            assert_ne!(Ipv4Packet::new_checked(frame.payload()).unwrap().src_addr(), address(50));
        }
    });
    world.run(async move {
        assert_eq!(stream.read(&mut [0; 5]).await, Err(TcpError::Reset));
        assert_eq!(writer.write_all(b"hello").await, Err(TcpError::Reset));
        assert_eq!(stream.local_endpoint(), None);
        assert_eq!(socket.send_to(b"hello", endpoint("10.0.0.1:7")).await, Err(UdpError::Unreachable));
        drop((stream, writer));
        sleep(Duration::from_secs(30)).await;
    });
    assert_eq!(world.stacks[1].connections(), 0);
    server.borrow_mut().is_silent = false;
    world.tap = Box::new(|_, frame| vec![frame]);
    configured(&mut world);
    assert_eq!(v4(&world.stacks[1].configuration()), [address(50)]);
}

/// Another connection, to a server that never reads.
fn connection_to_idle(world: &mut World) -> TcpStream {
    let listener = world.stacks[0].listen(9, TcpOptions::default()).unwrap();
    spawn(async move {
        let _kept = listener.accept().await;
        sleep(Duration::from_secs(1000)).await;
    });
    let stack = world.stacks[1].clone();
    world.run(async move {
        TcpStream::connect(&stack, endpoint("10.0.0.1:9"), TcpOptions::default()).await.unwrap()
    })
}

#[test]
fn a_refusal_leads_to_a_new_address() {
    let (mut world, server) = world();
    configured(&mut world);
    let bound = world.stacks[1].configuration();
    server.borrow_mut().address = address(60);
    let lost = changed(&mut world, &bound);
    assert_eq!(v4(&lost), NONE);
    let start = now();
    configured(&mut world);
    assert!(now() - start < Duration::from_millis(110));
    assert_eq!(v4(&world.stacks[1].configuration()), [address(60)]);
}

#[test]
fn after_the_link_was_down_the_lease_is_asked_for() {
    let (mut world, server) = world();
    configured(&mut world);
    world.run(sleep(Duration::from_secs(10)));
    world.wires[1].set_link(false);
    assert!(!world.stacks[1].configuration().is_link_up);
    world.run(sleep(Duration::from_secs(5)));
    world.wires[1].set_link(true);
    let before = world.stacks[1].configuration();
    world.run(sleep(Duration::from_secs(1)));
    assert_eq!(world.stacks[1].configuration(), before);
    let asked = server.borrow().asked.last().cloned().unwrap();
    assert_eq!(
        (asked.kind, asked.requested, asked.server),
        (DhcpMessageType::Request, Some(address(50)), None)
    );
    assert!(asked.own.is_unspecified());
    // In another network, where the address is somebody else's.
    server.borrow_mut().address = address(70);
    world.wires[1].set_link(false);
    world.wires[1].set_link(true);
    world.run(sleep(Duration::from_secs(1)));
    assert_eq!(v4(&world.stacks[1].configuration()), [address(70)]);
}

#[test]
fn a_static_address_is_used_at_once_and_announced_when_nobody_has_it() {
    let mut world = World::new();
    let sent = Rc::new(RefCell::new(Vec::new()));
    let list = sent.clone();
    let start = now();
    watch(&mut world, move |frame| {
        if let Some((sender, target)) = arp(frame).filter(|(_, target)| *target == address(2)) {
            list.borrow_mut().push(((now() - start).as_millis(), sender, target));
        }
    });
    let peer = UdpSocket::bind(&world.stacks[0], 7).unwrap();
    let socket = UdpSocket::bind(&world.stacks[1], 0).unwrap();
    world.run(async move {
        socket.send_to(b"now", endpoint("10.0.0.1:7")).await.unwrap();
        peer.recv_from(&mut [0; 3]).await.unwrap();
        assert!(now() - start < Duration::from_millis(1));
        sleep(Duration::from_secs(10)).await;
    });
    let sent = sent.borrow();
    assert_eq!(sent.len(), 5, "{sent:?}");
    assert_eq!(sent[0], (0, Ipv4Address::UNSPECIFIED, address(2)));
    assert_eq!(sent[1], (100, address(2), address(2)));
    assert_eq!(sent[4].1, address(2));
}

#[test]
fn a_static_address_of_somebody_else_is_given_up_and_the_others_work() {
    let mut world = World::new();
    world.run(sleep(Duration::from_millis(50)));
    world.restart(1, same_address);
    let before = world.stacks[1].configuration();
    assert_eq!(v4(&before), [address(1)]);
    let after = changed(&mut world, &before);
    assert_eq!(v4(&after), NONE);
    assert_eq!(after.conflicts.len(), 1);
    assert_eq!(
        after.conflicts[0].to_string(),
        "10.0.0.1 is in use by 02:00:00:00:00:01, so it is not used here: give one of the two another address"
    );
    let peer = UdpSocket::bind(&world.stacks[0], 7).unwrap();
    let socket = UdpSocket::bind(&world.stacks[1], 0).unwrap();
    world.run(async move {
        assert_eq!(socket.send_to(b"v4", endpoint("10.0.0.9:7")).await, Err(UdpError::Unreachable));
        socket.send_to(b"v6", endpoint("[fd00::1]:7")).await.unwrap();
        peer.recv_from(&mut [0; 2]).await.unwrap();
        sleep(Duration::from_secs(200)).await;
    });
    // Who had it first keeps it.
    assert_eq!(v4(&world.stacks[0].configuration()), [address(1)]);
    assert_eq!(v4(&world.stacks[1].configuration()), NONE);
}

#[test]
fn who_has_an_address_that_was_given_up_reaches_the_others() {
    let mut world = World::new();
    world.run(sleep(Duration::from_millis(50)));
    world.restart(1, |side, config| {
        same_address(side, config);
        config.addresses.push("10.0.0.7/24".parse().unwrap());
    });
    world.run(sleep(Duration::from_secs(1)));
    assert_eq!(v4(&world.stacks[1].configuration()), [address(7)]);
    let owner = UdpSocket::bind(&world.stacks[0], 7).unwrap();
    let socket = UdpSocket::bind(&world.stacks[1], 7).unwrap();
    let answered = Rc::new(RefCell::new(false));
    let done = answered.clone();
    spawn(async move {
        owner.send_to(b"hello", endpoint("10.0.0.7:7")).await.unwrap();
        let (_, peer) = socket.recv_from(&mut [0; 5]).await.unwrap();
        socket.send_to(b"hello", peer).await.unwrap();
        owner.recv_from(&mut [0; 5]).await.unwrap();
        *done.borrow_mut() = true;
    });
    world.run(sleep(Duration::from_secs(1)));
    assert!(*answered.borrow());
}

/// Gives both stacks the address of the first.
fn same_address(_: usize, config: &mut Config) {
    config.addresses[0] = "10.0.0.1/24".parse().unwrap();
}

#[test]
fn of_two_that_start_together_one_gets_the_address_in_the_end() {
    let mut world = World::with(same_address);
    world.run(sleep(Duration::from_secs(1)));
    assert!(world.stacks.iter().all(|stack| stack.configuration().conflicts.len() == 1));
    world.run(sleep(Duration::from_secs(600)));
    let holders = world.stacks.iter().filter(|stack| v4(&stack.configuration()) == [address(1)]);
    assert_eq!(holders.count(), 1);
}

#[test]
fn an_address_that_is_held_is_defended() {
    let mut world = World::new();
    world.run(sleep(Duration::from_secs(10)));
    let sent = Rc::new(RefCell::new(Vec::new()));
    let list = sent.clone();
    watch(&mut world, move |frame| list.borrow_mut().extend(arp(frame)));
    let thief = |sender: [u8; 4], target: [u8; 4]| {
        let start = [&[255; 6][..], &[2, 0, 0, 0, 0, 99], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
        [&start[..], &[2, 0, 0, 0, 0, 99], &sender, &[0; 6], &target].concat()
    };
    for _ in 0..100 {
        world.inject(1, thief([10, 0, 0, 2], [10, 0, 0, 2]));
    }
    world.rest();
    assert_eq!(*sent.borrow(), [(address(2), address(2))]);
    sent.borrow_mut().clear();
    // Who asks first is told.
    world.inject(1, thief([0; 4], [10, 0, 0, 2]));
    world.rest();
    assert_eq!(*sent.borrow(), [(address(2), Ipv4Address::UNSPECIFIED)]);
    assert_eq!(v4(&world.stacks[1].configuration()), [address(2)]);
    let peer = UdpSocket::bind(&world.stacks[0], 7).unwrap();
    let socket = UdpSocket::bind(&world.stacks[1], 0).unwrap();
    world.run(async move {
        socket.send_to(b"mine", endpoint("10.0.0.1:7")).await.unwrap();
        peer.recv_from(&mut [0; 4]).await.unwrap();
    });
}
