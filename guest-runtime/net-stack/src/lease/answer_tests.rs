use super::*;
use alloc::format;
use alloc::vec;

const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const OWN: Ipv4Address = Ipv4Address::new(10, 0, 0, 5);
const SERVER: [u8; 4] = [10, 0, 0, 1];

/// A message of a server to `MAC` about `OWN`, with these options.
fn message(options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; OPTIONS];
    bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&7_u32.to_be_bytes());
    bytes[16..20].copy_from_slice(&OWN.octets());
    bytes[28..34].copy_from_slice(MAC.as_bytes());
    bytes[236..240].copy_from_slice(&MAGIC.to_be_bytes());
    for (code, value) in options {
        bytes.extend([*code, value.len() as u8]);
        bytes.extend(*value);
    }
    bytes.push(option::END);
    bytes
}

const ACK: (u8, &[u8]) = (option::MESSAGE_TYPE, &[5]);
const FROM: (u8, &[u8]) = (option::SERVER, &SERVER);
const HOUR: (u8, &[u8]) = (option::LEASE_TIME, &[0, 0, 14, 16]);
const MASK: (u8, &[u8]) = (option::SUBNET_MASK, &[255, 255, 255, 0]);

fn parse(bytes: &[u8]) -> Option<Answer> {
    Answer::parse(bytes, MAC)
}

/// The lease of an acknowledgement with these options beside the usual ones.
fn lease(options: &[(u8, &[u8])]) -> Lease {
    let all: Vec<(u8, &[u8])> = [ACK, FROM, HOUR, MASK].iter().chain(options).copied().collect();
    parse(&message(&all)).unwrap().grant.unwrap().lease
}

fn routes(options: &[(u8, &[u8])]) -> Vec<String> {
    lease(options).routes.iter().map(|route| format!("{} {}", route.network, route.gateway)).collect()
}

#[test]
fn all_that_a_server_may_say_is_understood() {
    let bytes = message(&[
        ACK,
        FROM,
        HOUR,
        (option::RENEWAL_TIME, &[0, 0, 0, 10]),
        (option::REBINDING_TIME, &[0, 0, 0, 20]),
        MASK,
        (option::ROUTER, &[10, 0, 0, 1, 10, 0, 0, 2]),
        (option::DNS_SERVERS, &[10, 0, 0, 1, 0, 0, 0, 0, 9, 9, 9, 9]),
        (option::HOST_NAME, b"guest\0"),
        (option::DOMAIN, b"example.org."),
        (option::MTU, &[5, 120]),
    ]);
    let answer = parse(&bytes).unwrap();
    assert_eq!((answer.kind, answer.transaction), (Kind::Ack, 7));
    assert_eq!(answer.server, Some(Ipv4Address::from_octets(SERVER)));
    let grant = answer.grant.unwrap();
    assert_eq!(grant.renewal, Some(Duration::from_secs(10)));
    assert_eq!(grant.rebinding, Some(Duration::from_secs(20)));
    let lease = grant.lease;
    assert_eq!(format!("{}", lease.address), "10.0.0.5/24");
    assert_eq!(lease.duration, Some(Duration::from_secs(3600)));
    assert_eq!(lease.gateway(), Some(Ipv4Address::new(10, 0, 0, 1)));
    assert_eq!(lease.routes.len(), 1, "the first router is the one to be preferred");
    let servers: Vec<String> = lease.dns_servers.iter().map(|server| format!("{server}")).collect();
    assert_eq!(servers, ["10.0.0.1", "9.9.9.9"]);
    assert_eq!(lease.host_name.as_deref(), Some("guest"));
    assert_eq!(lease.domain.as_deref(), Some("example.org"));
    assert_eq!(lease.mtu, Some(1400));
}

#[test]
fn what_is_not_for_this_host_is_left_alone() {
    let good = message(&[ACK, FROM, HOUR, MASK]);
    assert!(parse(&good).is_some());
    let changed = |place: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[place] = value;
        parse(&bytes)
    };
    for (place, value, what) in [
        (0, 1, "a question"),
        (1, 6, "another kind of link"),
        (2, 5, "a short hardware address"),
        (28, 4, "another hardware address"),
        (236, 0, "no magic"),
        (242, 1, "a discover"),
        (242, 8, "an inform"),
        (242, 77, "no kind at all"),
    ] {
        assert_eq!(changed(place, value), None, "{what}");
    }
    for length in 0..240 {
        assert_eq!(parse(&good[..length]), None, "{length}");
    }
    assert_eq!(parse(&message(&[FROM, HOUR, MASK])), None, "no kind");
}

#[test]
fn a_message_whose_lengths_lie_is_dropped_whole() {
    for lie in [&[1][..], &[1, 1], &[1, 5, 255, 255, 255, 0], &[121, 255, 24, 1, 2], &[50, 200]] {
        let mut bytes = message(&[ACK, FROM, HOUR, MASK]);
        bytes.pop();
        bytes.extend(lie);
        assert_eq!(parse(&bytes), None, "{lie:?}");
    }
    // An end that is missing is no lie, and what follows the end is nothing.
    let mut bytes = message(&[ACK, FROM, HOUR, MASK]);
    bytes.extend([1, 200]);
    assert!(parse(&bytes).is_some());
    bytes.truncate(bytes.len() - 3);
    assert!(parse(&bytes).is_some());
    bytes.extend([option::PAD, option::PAD]);
    assert!(parse(&bytes).is_some());
}

#[test]
fn options_may_lie_in_other_fields_and_in_pieces() {
    let mut bytes = message(&[ACK, FROM, HOUR, MASK, (option::OVERLOAD, &[3]), (option::ROUTER, &[10, 0])]);
    bytes[BOOT_FILE.start..][..5].copy_from_slice(&[option::ROUTER, 2, 0, 9, option::END]);
    bytes[SERVER_NAME.start..][..7].copy_from_slice(&[option::DNS_SERVERS, 4, 9, 9, 9, 9, option::END]);
    let lease = parse(&bytes).unwrap().grant.unwrap().lease;
    assert_eq!(lease.gateway(), Some(Ipv4Address::new(10, 0, 0, 9)));
    assert_eq!(lease.dns_servers, [Ipv4Address::new(9, 9, 9, 9)]);
    // An option that leaves the field lies.
    bytes[SERVER_NAME.end - 2..SERVER_NAME.end].copy_from_slice(&[12, 4]);
    bytes[SERVER_NAME.start + 6] = option::PAD;
    assert_eq!(parse(&bytes), None);
}

#[test]
fn addresses_that_no_host_can_have_are_not_taken() {
    for (own, taken) in [
        ([0, 0, 0, 0], false),
        ([0, 1, 2, 3], false),
        ([127, 0, 0, 1], false),
        ([224, 0, 0, 1], false),
        ([240, 0, 0, 1], false),
        ([255, 255, 255, 255], false),
        ([10, 0, 0, 0], false),
        ([10, 0, 0, 255], false),
        ([10, 0, 0, 254], true),
    ] {
        let mut bytes = message(&[ACK, FROM, HOUR, MASK]);
        bytes[16..20].copy_from_slice(&own);
        assert_eq!(parse(&bytes).is_some(), taken, "{own:?}");
    }
}

#[test]
fn masks_that_are_none_or_missing_give_way_to_the_class() {
    let prefix = |own: [u8; 4], mask: Option<&[u8]>| {
        let mut options = vec![ACK, FROM, HOUR];
        options.extend(mask.map(|mask| (option::SUBNET_MASK, mask)));
        let mut bytes = message(&options);
        bytes[16..20].copy_from_slice(&own);
        parse(&bytes).map(|answer| answer.grant.unwrap().lease.address.prefix_len())
    };
    assert_eq!(prefix([10, 0, 0, 5], None), Some(8));
    assert_eq!(prefix([172, 16, 0, 5], None), Some(16));
    assert_eq!(prefix([192, 168, 0, 5], None), Some(24));
    assert_eq!(prefix([192, 168, 0, 5], Some(&[255, 0, 255, 0])), Some(24), "holes");
    assert_eq!(prefix([192, 168, 0, 5], Some(&[0, 0, 0, 0])), Some(24), "all the world");
    assert_eq!(prefix([192, 168, 0, 5], Some(&[255, 255, 0])), Some(24), "cut short");
    assert_eq!(prefix([192, 168, 0, 5], Some(&[255, 255, 255, 255])), Some(32));
    assert_eq!(prefix([192, 168, 0, 5], Some(&[255, 255, 255, 254])), Some(31));
    assert_eq!(prefix([192, 168, 0, 4], Some(&[255, 255, 255, 252])), None, "the network's own address");
}

#[test]
fn times_that_mean_something_special_are_understood() {
    let duration = |time: Option<&[u8]>| {
        let mut options = vec![ACK, FROM, MASK];
        options.extend(time.map(|time| (option::LEASE_TIME, time)));
        parse(&message(&options)).map(|answer| answer.grant.unwrap().lease.duration)
    };
    assert_eq!(duration(Some(&[255; 4])), Some(None), "for ever");
    assert_eq!(duration(Some(&[0; 4])), None, "for no time");
    assert_eq!(duration(None), Some(Some(USUAL_DURATION)));
    assert_eq!(duration(Some(&[0, 0, 1])), Some(Some(USUAL_DURATION)), "cut short");
    assert_eq!(duration(Some(&[0, 0, 0, 1])), Some(Some(Duration::from_secs(1))));
}

#[test]
fn classless_routes_count_instead_of_the_others() {
    let router = (option::ROUTER, &[10, 0, 0, 1][..]);
    let old = (option::STATIC_ROUTES, &[192, 168, 5, 0, 10, 0, 0, 2, 1, 2, 3, 4, 10, 0, 0, 3][..]);
    assert_eq!(
        routes(&[router, old]),
        ["0.0.0.0/0 10.0.0.1", "192.168.5.0/24 10.0.0.2", "1.2.3.4/32 10.0.0.3"]
    );
    let new = (option::CLASSLESS_ROUTES, &[12, 172, 31, 10, 0, 0, 7, 0, 10, 0, 0, 6][..]);
    assert_eq!(routes(&[router, old, new]), ["0.0.0.0/0 10.0.0.6", "172.16.0.0/12 10.0.0.7"]);
    // In pieces, as a long list comes.
    let (first, second) = new.1.split_at(5);
    let pieces = [(option::CLASSLESS_ROUTES, first), (option::CLASSLESS_ROUTES, second)];
    assert_eq!(routes(&pieces), ["0.0.0.0/0 10.0.0.6", "172.16.0.0/12 10.0.0.7"]);
    for lie in [&[33, 1, 1, 1, 1, 1, 10, 0, 0, 6][..], &[24, 1, 1], &[0, 10, 0, 0], &[8, 1, 10, 0, 0]] {
        let broken = (option::CLASSLESS_ROUTES, lie);
        assert_eq!(routes(&[router, broken]), ["0.0.0.0/0 10.0.0.1"], "{lie:?}");
    }
    for lie in [&[192, 168, 5, 0, 10, 0, 0][..], &[0, 0, 0, 0, 10, 0, 0, 9]] {
        assert_eq!(routes(&[router, (option::STATIC_ROUTES, lie)]), ["0.0.0.0/0 10.0.0.1"], "{lie:?}");
    }
}

#[test]
fn gateways_that_cannot_be_reached_are_not_taken() {
    for gateway in
        [[10, 0, 1, 1], [10, 0, 0, 5], [10, 0, 0, 255], [10, 0, 0, 0], [0, 0, 0, 0], [224, 0, 0, 1]]
    {
        assert!(routes(&[(option::ROUTER, &gateway)]).is_empty(), "{gateway:?}");
    }
    assert!(routes(&[(option::ROUTER, &[10, 0, 0])]).is_empty());
    let many: Vec<u8> = (0..100).flat_map(|number| [16, 172, number, 10, 0, 0, 9]).collect();
    let pieces: Vec<(u8, &[u8])> = many.chunks(255).map(|piece| (option::CLASSLESS_ROUTES, piece)).collect();
    assert_eq!(routes(&pieces).len(), MOST_ROUTES);
}

#[test]
fn gateways_on_the_link_are_reached_from_an_address_of_its_own() {
    let own = |options: &[(u8, &[u8])]| {
        let mut all = vec![ACK, FROM, HOUR, (option::SUBNET_MASK, &[255; 4][..])];
        all.extend(options);
        let lease = parse(&message(&all)).unwrap().grant.unwrap().lease;
        (format!("{}", lease.address), lease.gateway().map(|gateway| format!("{gateway}")))
    };
    let classless = [32, 10, 0, 0, 1, 0, 0, 0, 0, 0, 10, 0, 0, 1];
    let expected = (String::from("10.0.0.5/29"), Some(String::from("10.0.0.1")));
    assert_eq!(own(&[(option::CLASSLESS_ROUTES, &classless)]), expected);
    assert_eq!(own(&[(option::ROUTER, &[10, 0, 0, 1])]), expected);
    // One step more where the address would be that of all hosts.
    let expected = (String::from("10.0.0.5/29"), Some(String::from("10.0.0.4")));
    assert_eq!(own(&[(option::ROUTER, &[10, 0, 0, 4])]).1, expected.1);
    // Not where half the world would become neighbors.
    assert_eq!(own(&[(option::ROUTER, &[172, 31, 1, 1])]), (String::from("10.0.0.5/32"), None));
    assert_eq!(own(&[]), (String::from("10.0.0.5/32"), None));
}

#[test]
fn networks_on_the_link_shorten_the_prefix_by_no_more_than_they_take() {
    let own = |prefix: u8, network: Ipv4Cidr| {
        let mask = Ipv4Cidr::new(OWN, prefix).netmask().octets();
        let length = network.prefix_len();
        let mut route = vec![length];
        route.extend(&network.address().octets()[..usize::from(length.div_ceil(8))]);
        route.extend([0; 4]);
        let options = [(option::SUBNET_MASK, &mask[..]), (option::CLASSLESS_ROUTES, &route)];
        let mut bytes = message(&[&[ACK, FROM, HOUR][..], &options].concat());
        bytes[16..20].copy_from_slice(&[10, 0, 3, 5]);
        parse(&bytes).unwrap().grant.unwrap().lease.address.prefix_len()
    };
    let network =
        |third: u8, last: u8, length: u8| Ipv4Cidr::new(Ipv4Address::new(10, 0, third, last), length);
    // Those that are in it already.
    for inside in [network(3, 0, 24), network(3, 128, 25), network(3, 255, 32), network(3, 0, 32)] {
        assert_eq!(own(24, inside), 24, "{inside}");
    }
    assert_eq!(own(24, network(2, 0, 24)), 23);
    assert_eq!(own(24, network(0, 0, 22)), 22);
    assert_eq!(own(32, network(3, 0, 24)), 24);
    // A host at the edge could not be a gateway.
    assert_eq!(own(32, network(3, 7, 32)), 28);
}

#[test]
fn names_that_are_none_are_not_taken() {
    for name in [&b"a b"[..], b"", b".", b"a..b", b"\xff", b"<script>", b"x\n", &[b'a'; 64]] {
        assert_eq!(lease(&[(option::HOST_NAME, name)]).host_name, None, "{name:?}");
        assert_eq!(lease(&[(option::DOMAIN, name)]).domain, None, "{name:?}");
    }
    assert_eq!(lease(&[(option::MTU, &[0, 67])]).mtu, None);
    assert_eq!(lease(&[(option::MTU, &[0, 68])]).mtu, Some(68));
    assert_eq!(lease(&[(option::MTU, &[68])]).mtu, None);
}

#[test]
fn a_server_that_refuses_need_not_say_more() {
    let answer = parse(&message(&[(option::MESSAGE_TYPE, &[6]), FROM])).unwrap();
    assert_eq!((answer.kind, answer.grant), (Kind::Nak, None));
    let answer = parse(&message(&[ACK, HOUR, MASK])).unwrap();
    assert_eq!(answer.server, None);
    let broadcast = (option::SERVER, &[255; 4][..]);
    assert_eq!(parse(&message(&[ACK, HOUR, MASK, broadcast])).unwrap().server, None);
}
