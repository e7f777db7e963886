//! Names to addresses, with scripted servers: stack 0 asks, stack 1 answers.

mod world;

use embedded_io_async::{Read, Write};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use ukvm_net_stack::{IpAddress, ResolveError, TcpOptions, UdpMetadata, UdpSocket};
use world::{World, now, sleep, spawn};

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// A pointer to the question's name, which is always at the same place.
const ASKED: &[u8] = &[0xc0, 12];

/// A question as a server reads it.
#[derive(Clone, Debug)]
struct Question {
    bytes: Vec<u8>,
    /// The name in text form.
    name: String,
    kind: u16,
}

impl Question {
    fn new(bytes: &[u8]) -> Self {
        let (mut at, mut labels) = (12, Vec::new());
        while bytes[at] != 0 {
            let end = at + 1 + usize::from(bytes[at]);
            labels.push(String::from_utf8(bytes[at + 1..end].to_vec()).unwrap());
            at = end;
        }
        assert_eq!(bytes[2..12], [1, 0, 0, 1, 0, 0, 0, 0, 0, 0], "one question that asks for recursion");
        assert_eq!(bytes[at + 3..], [0, 1], "of the Internet class");
        let kind = u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]);
        Self { bytes: bytes.to_vec(), name: labels.join("."), kind }
    }

    /// The answer with this code and these records.
    fn answer(&self, code: u8, records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[2] = 0x81;
        bytes[3] = 0x80 | code;
        bytes[7] = records.len() as u8;
        bytes.extend(records.concat());
        bytes
    }
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 60]);
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn a(owner: &[u8], last: u8) -> Vec<u8> {
    record(owner, A, &[192, 0, 2, last])
}

fn aaaa(owner: &[u8], last: u8) -> Vec<u8> {
    record(owner, AAAA, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
}

/// Stack 0 asks the servers 10.0.0.2 and then 10.0.0.3, which are both stack 1.
fn world() -> World {
    World::with(|side, config| {
        if side == 0 {
            config.dns_servers = ["10.0.0.2", "10.0.0.3"].map(|text| text.parse().unwrap()).to_vec();
            config.gateway_v4 = Some("10.0.0.2".parse().unwrap());
        } else {
            config.addresses.push("10.0.0.3/24".parse().unwrap());
        }
    })
}

/// What a server was asked: when, from which port, with which number, and where.
type Log = Rc<RefCell<Vec<(Duration, UdpMetadata, Question)>>>;

/// Serves with what `answers` yields for a question that came to the server whose address ends like this.
fn serve(world: &World, answers: impl Fn(u8, &Question) -> Vec<Vec<u8>> + 'static) -> Log {
    let socket = UdpSocket::bind(&world.stacks[1], 53).unwrap();
    let log = Log::default();
    let seen = log.clone();
    spawn(async move {
        let mut buffer = [0; 600];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let question = Question::new(&buffer[..length]);
            seen.borrow_mut().push((now(), peer, question.clone()));
            let Some(IpAddress::Ipv4(server)) = peer.local_address else { panic!("over IPv4") };
            for answer in answers(server.octets()[3], &question) {
                socket.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    log
}

/// What the stack makes of `host`, and how long that took.
fn resolve(world: &mut World, host: &str) -> (Result<Vec<String>, ResolveError>, Duration) {
    let (stack, host, start) = (world.stacks[0].clone(), host.to_owned(), now());
    let result = world.run(async move { stack.resolve(&host).await });
    (result.map(|addresses| addresses.iter().map(ToString::to_string).collect()), now() - start)
}

fn at_once(took: Duration) -> bool {
    took < Duration::from_millis(2)
}

#[test]
fn both_kinds_of_addresses_are_asked_for_at_once() {
    let mut world = world();
    let log = serve(&world, |_, question| match question.kind {
        A => vec![question.answer(0, &[a(ASKED, 1), a(ASKED, 2)])],
        _ => vec![question.answer(0, &[aaaa(ASKED, 1)])],
    });
    // There is no way to the IPv6 network.
    let (result, took) = resolve(&mut world, "Host.Example.");
    assert_eq!(result.unwrap(), ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    assert!(at_once(took), "{took:?}");
    assert_eq!(resolve(&mut world, "host.example").0.unwrap().len(), 3);
    let log = log.borrow();
    let asked: Vec<_> = log.iter().map(|(_, _, question)| (&*question.name, question.kind)).collect();
    assert_eq!(asked[..2], [("Host.Example", AAAA), ("Host.Example", A)]);
    let ports = log.iter().map(|(_, peer, _)| peer.endpoint.port).collect::<std::collections::BTreeSet<_>>();
    let numbers =
        log.iter().map(|(_, _, question)| &question.bytes[..2]).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((ports.len(), numbers.len()), (2, 4), "a port for each call, a number for each question");
}

#[test]
fn ipv6_comes_first_where_there_is_a_way() {
    let mut world = World::with(|side, config| {
        if side == 0 {
            config.dns_servers.push("10.0.0.2".parse().unwrap());
            config.gateway_v4 = Some("10.0.0.2".parse().unwrap());
            config.gateway_v6 = Some("fd00::2".parse().unwrap());
        }
    });
    serve(&world, |_, question| match question.kind {
        A => vec![question.answer(0, &[a(ASKED, 1)])],
        _ => vec![question.answer(0, &[aaaa(ASKED, 1)])],
    });
    assert_eq!(resolve(&mut world, "host.example").0.unwrap(), ["2001:db8::1", "192.0.2.1"]);
}

#[test]
fn aliases_are_followed_in_any_order_but_not_in_circles() {
    let mut world = world();
    serve(&world, |_, question| {
        let (middle, end) = (name("middle.example"), name("END.example"));
        let records = match (&*question.name, question.kind) {
            (_, AAAA) => vec![record(ASKED, CNAME, &middle)],
            ("circle.example", _) => vec![record(ASKED, CNAME, &middle), record(&middle, CNAME, ASKED)],
            ("self.example", _) => vec![record(ASKED, CNAME, ASKED)],
            // An address of somebody else's.
            ("other.example", _) => vec![a(&end, 9)],
            _ => {
                vec![a(&name("end.EXAMPLE"), 7), record(&middle, CNAME, &end), record(ASKED, CNAME, &middle)]
            }
        };
        vec![question.answer(0, &records)]
    });
    assert_eq!(resolve(&mut world, "alias.example").0.unwrap(), ["192.0.2.7"]);
    for bad in ["circle.example", "self.example"] {
        let (result, took) = resolve(&mut world, bad);
        assert_eq!(result, Err(ResolveError::NoAnswer));
        assert!(took < Duration::from_millis(10), "{took:?}");
    }
    assert_eq!(resolve(&mut world, "other.example").0, Err(ResolveError::NotFound));
}

#[test]
fn a_server_that_does_not_answer_or_cannot_say_is_followed_by_the_next() {
    let mut world = world();
    serve(&world, |server, question| match (server, &*question.name) {
        (2, "silent.example") => vec![],
        (2, _) => vec![question.answer(SERVER_FAILURE, &[])],
        (_, _) if question.kind == A => vec![question.answer(0, &[a(ASKED, 1)])],
        _ => vec![question.answer(0, &[])],
    });
    let (result, took) = resolve(&mut world, "silent.example");
    assert_eq!(result.unwrap(), ["192.0.2.1"]);
    assert!((1.0..1.01).contains(&took.as_secs_f64()), "{took:?}");
    let (result, took) = resolve(&mut world, "failing.example");
    assert_eq!(result.unwrap(), ["192.0.2.1"]);
    assert!(at_once(took), "{took:?}");
}

#[test]
fn names_without_an_address_are_told_from_servers_without_an_answer() {
    let mut world = world();
    let log = serve(&world, |_, question| match &*question.name {
        "nowhere.example" => vec![question.answer(NO_SUCH_NAME, &[])],
        "empty.example" => vec![question.answer(0, &[])],
        _ => vec![],
    });
    for name in ["nowhere.example", "empty.example"] {
        let (result, took) = resolve(&mut world, name);
        assert!(result == Err(ResolveError::NotFound) && at_once(took), "{name}: {result:?}, {took:?}");
    }
    log.borrow_mut().clear();
    let (result, took) = resolve(&mut world, "silent.example");
    assert_eq!(result, Err(ResolveError::NoAnswer));
    assert!((14.0..14.01).contains(&took.as_secs_f64()), "{took:?}");
    // Two questions in three rounds to two servers.
    assert_eq!(log.borrow().len(), 12);
    let mut world = World::new();
    assert_eq!(resolve(&mut world, "host.example").0, Err(ResolveError::NoServer));
}

#[test]
fn one_kind_of_addresses_is_enough_where_the_other_stays_unanswered() {
    let mut world = world();
    serve(&world, |_, question| match question.kind {
        A => vec![question.answer(0, &[a(ASKED, 1)])],
        _ => vec![],
    });
    let (result, took) = resolve(&mut world, "host.example");
    assert_eq!(result.unwrap(), ["192.0.2.1"]);
    assert!((1.0..1.01).contains(&took.as_secs_f64()), "{took:?}");
}

#[test]
fn what_does_not_answer_the_question_is_not_taken_for_an_answer() {
    let mut world = world();
    serve(&world, |_, question| {
        let right = question.answer(0, &[if question.kind == A { a(ASKED, 1) } else { aaaa(ASKED, 1) }]);
        let poison = if question.kind == A { a(ASKED, 66) } else { aaaa(ASKED, 0x66) };
        let mut bad = Vec::new();
        let mut wrong = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut message = question.answer(0, std::slice::from_ref(&poison));
            change(&mut message);
            bad.push(message);
        };
        wrong(&|message| message[1] ^= 1);
        wrong(&|message| message[13] ^= 1);
        // Another kind, another class, no question, two questions, not an answer, another operation.
        let kind = 12 + name(&question.name).len() + 1;
        wrong(&|message| message[kind] ^= 3);
        wrong(&|message| message[kind + 2] ^= 3);
        wrong(&|message| message[5] = 0);
        wrong(&|message| message[5] = 2);
        wrong(&|message| message[2] &= 0x7f);
        wrong(&|message| message[2] |= 0x10);
        wrong(&|message| message.truncate(11));
        wrong(&|message| message.truncate(20));
        wrong(&|message| message.clear());
        bad.push(right);
        bad
    });
    let (result, took) = resolve(&mut world, "host.example");
    assert_eq!(result.unwrap(), ["192.0.2.1", "2001:db8::1"]);
    assert!(at_once(took), "{took:?}");
}

#[test]
fn answers_from_elsewhere_are_not_heard() {
    let mut world = world();
    let log = serve(&world, |_, _| vec![]);
    let forger = UdpSocket::bind(&world.stacks[1], 54).unwrap();
    let seen = log.clone();
    spawn(async move {
        loop {
            sleep(Duration::from_millis(10)).await;
            for (_, peer, question) in seen.take() {
                let forged = question.answer(0, &[a(ASKED, 66)]);
                forger.send_to(&forged, peer.endpoint).await.unwrap();
            }
        }
    });
    assert_eq!(resolve(&mut world, "host.example").0, Err(ResolveError::NoAnswer));
}

#[test]
fn answers_whose_lengths_lie_are_the_next_servers_business() {
    type Lie = fn(&Question) -> Vec<u8>;
    let lies: [(&str, Lie); 8] = [
        ("more records than there are", |question| {
            let mut message = question.answer(0, &[a(ASKED, 66)]);
            message[6] = 0xff;
            message
        }),
        ("data that leads out", |question| {
            let mut message = question.answer(0, &[a(ASKED, 66)]);
            let length = message.len();
            message[length - 5] = 200;
            message
        }),
        ("an address of five bytes", |question| question.answer(0, &[record(ASKED, A, &[192, 0, 2, 66, 1])])),
        ("an address of no bytes", |question| question.answer(0, &[record(ASKED, A, &[])])),
        ("cut short", |question| {
            let mut message = question.answer(0, &[a(ASKED, 66)]);
            message.truncate(message.len() - 3);
            message
        }),
        ("a label that leads out", |question| question.answer(0, &[vec![63, b'x']])),
        ("a label of a kind that is none", |question| question.answer(0, &[a(&[0x80, 0], 66)])),
        ("a name without an end", |question| question.answer(0, &[vec![1; 60]])),
    ];
    for (why, lie) in lies {
        let mut world = world();
        serve(&world, move |server, question| match (server, question.kind) {
            (2, _) => vec![lie(question)],
            (_, A) => vec![question.answer(0, &[a(ASKED, 1)])],
            _ => vec![question.answer(0, &[])],
        });
        let (result, took) = resolve(&mut world, "host.example");
        assert_eq!(result, Ok(vec!["192.0.2.1".to_owned()]), "{why}");
        assert!(at_once(took), "{why}: {took:?}");
    }
}

#[test]
fn pointers_that_go_round_or_forward_lead_nowhere() {
    for pointer in [&[0xc0, 0xff][..], &[0xff, 0xff], &[1, b'x', 0xc0, 30], &[0xc0, 2]] {
        let mut world = world();
        serve(&world, move |_, question| {
            let at = question.bytes.len() as u8;
            let to_itself = [0xc0, at];
            let records = [a(pointer, 66), aaaa(pointer, 66), a(&to_itself, 66), aaaa(&to_itself, 66)];
            vec![question.answer(0, &records)]
        });
        let (result, took) = resolve(&mut world, "host.example");
        assert!(result.is_err(), "{pointer:?}: {result:?}");
        assert!(took < Duration::from_millis(20), "{took:?}");
    }
}

#[test]
fn what_does_not_fit_a_datagram_comes_over_tcp() {
    let mut world = world();
    serve(&world, |_, question| {
        let mut message = question.answer(0, &[]);
        message[2] |= 2;
        vec![message]
    });
    let listener = world.stacks[1].listen(53, TcpOptions::default()).unwrap();
    spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await;
            let mut length = [0; 2];
            stream.read_exact(&mut length).await.unwrap();
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut bytes).await.unwrap();
            let question = Question::new(&bytes);
            let records: Vec<_> = match question.kind {
                A => (1..=250).map(|last| a(ASKED, last)).collect(),
                _ => vec![],
            };
            let answer = question.answer(0, &records);
            stream.write_all(&(answer.len() as u16).to_be_bytes()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
            stream.close().await.unwrap();
        }
    });
    let (result, took) = resolve(&mut world, "host.example");
    let addresses = result.unwrap();
    assert_eq!((addresses.len(), &*addresses[63]), (64, "192.0.2.64"));
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_server_that_ends_the_stream_early_is_followed_by_the_next() {
    let mut world = world();
    serve(&world, |server, question| {
        let mut message =
            question.answer(0, &[if question.kind == A { a(ASKED, 1) } else { aaaa(ASKED, 1) }]);
        message[2] |= if server == 2 { 2 } else { 0 };
        vec![message]
    });
    let listener = world.stacks[1].listen(53, TcpOptions::default()).unwrap();
    spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await;
            stream.write_all(&[0xff, 0xff, 1, 2, 3]).await.unwrap();
            drop(stream);
        }
    });
    let (result, took) = resolve(&mut world, "host.example");
    assert_eq!(result.unwrap().len(), 2);
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn an_address_stands_for_itself_and_what_is_no_name_is_not_asked_for() {
    let mut world = world();
    let log = serve(&world, |_, _| vec![]);
    assert_eq!(resolve(&mut world, "192.0.2.1").0.unwrap(), ["192.0.2.1"]);
    assert_eq!(resolve(&mut world, "2001:db8::1").0.unwrap(), ["2001:db8::1"]);
    let long_label = "x".repeat(64);
    let long_name = ["x".repeat(63), "x".repeat(63), "x".repeat(63), "x".repeat(62)].join(".");
    for bad in ["", ".", "..", "a..b", ".a", "a b", "a\0b", "größe.example", &long_label, &long_name] {
        assert_eq!(resolve(&mut world, bad).0, Err(ResolveError::BadName), "{bad}");
    }
    assert!(log.borrow().is_empty());
    let longest = ["x".repeat(63), "x".repeat(63), "x".repeat(63), "x".repeat(61)].join(".");
    assert_eq!(resolve(&mut world, &longest).0, Err(ResolveError::NoAnswer));
}

#[test]
fn nothing_is_left_of_a_call_that_is_given_up() {
    let mut world = world();
    let log = serve(&world, |_, _| vec![]);
    let stack = world.stacks[0].clone();
    world.run(async move {
        let mut call = Box::pin(stack.resolve("host.example"));
        std::future::poll_fn(|context| {
            assert!(call.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(call);
        sleep(Duration::from_secs(20)).await;
    });
    assert_eq!(log.borrow().len(), 2);
    assert_eq!(world.rest(), None);
}
