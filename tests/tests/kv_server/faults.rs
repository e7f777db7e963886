//! The store on disks that fail, that are full, and that hold something else.

use crate::disk::{Disk, Faults};
use embassy_futures::block_on;
use kv_server::command::Command;
use kv_server::device::DeviceError;
use kv_server::reply::Reply;
use kv_server::store::{OpenError, Options, Store};
use ukvm_tests::random::Random;

/// Few pages of the store are in memory, and it is not checked when it is opened.
const OPTIONS: Options = Options { cache: 256 << 10, small: 0, transaction: 4 << 20, check: false };

fn open(disk: &Disk) -> Result<Store<Disk>, OpenError> {
    block_on(Store::open(disk.clone(), OPTIONS))
}

fn ask(store: &Store<Disk>, command: &Command) -> Reply {
    if let Some(reply) = store.query(command) {
        return reply;
    }
    block_on(store.transact(&[command])).pop().expect("an answer")
}

fn set(store: &Store<Disk>, key: &str, value: &[u8]) -> Reply {
    ask(store, &Command::Set(key.into(), value.into()))
}

fn get(store: &Store<Disk>, key: &str) -> Reply {
    ask(store, &Command::Get(key.into()))
}

fn bulk(value: &[u8]) -> Reply {
    Reply::Bulk(value.into())
}

/// Whether it is an error that begins so.
fn refuses(reply: &Reply, start: &str) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with(start))
}

fn empty(size: usize) -> Disk {
    Disk::with(vec![0; size])
}

#[test]
fn failed_writes_are_tried_again_and_reads_go_on() {
    let failures = [
        Faults { write: Some(DeviceError::Failed), ..Faults::default() },
        Faults { write: Some(DeviceError::NoSpace), ..Faults::default() },
        Faults { flush: Some(DeviceError::Failed), ..Faults::default() },
    ];
    for faults in failures {
        let disk = empty(4 << 20);
        let store = open(&disk).expect("an empty disk");
        assert_eq!(set(&store, "a", b"1"), Reply::OK);
        disk.fail(faults);
        for _ in 0..3 {
            assert!(refuses(&set(&store, "a", b"2"), "MISCONF "), "{faults:?}");
            assert_eq!(get(&store, "a"), bulk(b"1"), "{faults:?}");
        }
        // What is on the disk now is a store still.
        let other = open(&Disk::with(disk.image())).expect("a store");
        assert!([bulk(b"1"), bulk(b"2")].contains(&get(&other, "a")));
        disk.fail(Faults::default());
        assert_eq!(set(&store, "b", b"3"), Reply::OK);
        assert_eq!(get(&store, "b"), bulk(b"3"));
        // All that was to be durable when the disk failed was written again: none of it is only what the host had forgotten.
        for seed in 0..20 {
            let image = disk.crashed(disk.now(), &mut Random::new(seed));
            let crashed = open(&Disk::with(image)).expect("a store");
            assert_eq!(get(&crashed, "a"), bulk(b"2"), "{faults:?}");
            assert_eq!(get(&crashed, "b"), bulk(b"3"), "{faults:?}");
        }
        assert_eq!(block_on(store.close()), Ok(()));
        assert_eq!(get(&open(&disk).expect("a store"), "b"), bulk(b"3"));
    }
}

#[test]
fn what_cannot_be_read_fails_alone() {
    let disk = empty(8 << 20);
    let store = open(&disk).expect("an empty disk");
    let value = Random::new(1).bytes(50_000);
    for number in 0..40 {
        assert_eq!(set(&store, &format!("key {number}"), &value), Reply::OK);
    }
    disk.fail(Faults { read: Some(DeviceError::Failed), ..Faults::default() });
    let failed = (0..40)
        .filter(|number| refuses(&get(&store, &format!("key {number}")), "ERR the disk cannot be read"))
        .count();
    assert!(failed > 0);
    disk.fail(Faults::default());
    for number in 0..40 {
        assert_eq!(get(&store, &format!("key {number}")), bulk(&value));
    }
    // A part of the disk is lost: what is in front of it is not.
    disk.fail(Faults { behind: Some(3 << 20), ..Faults::default() });
    let keys: Vec<String> = (0..40).map(|number| format!("key {number}")).collect();
    let there = keys.iter().filter(|key| get(&store, key) == bulk(&value)).count();
    assert!((5..40).contains(&there), "{there}");
    disk.fail(Faults::default());
    assert_eq!(get(&store, "key 39"), bulk(&value));
    // Where nothing can be written, a read that fails is no end of the others.
    for _ in 0..3 {
        disk.fail(Faults { read_after: Some(0), write: Some(DeviceError::Failed), ..Faults::default() });
        let failed = keys.iter().filter(|key| get(&store, key) != bulk(&value)).count();
        assert_eq!(failed, 0);
        assert!(refuses(&set(&store, "new", b"0"), "MISCONF "));
    }
    disk.fail(Faults::default());
    assert_eq!(set(&store, "new", b"1"), Reply::OK);
}

#[test]
fn a_full_disk_takes_deletions_and_then_values_again() {
    // A length that redb does not come to by doubling.
    let disk = empty(2_500_000 / 4096 * 4096);
    let store = open(&disk).expect("an empty disk");
    let value = Random::new(2).bytes(3000);
    let mut keys = 0;
    loop {
        match set(&store, &format!("key {keys}"), &value) {
            Reply::OK => keys += 1,
            reply => {
                assert!(refuses(&reply, "OOM "), "{reply:?}");
                break;
            }
        }
    }
    assert!(keys > 300, "{keys} of 600");
    // There may be room elsewhere in the tree.
    let mut others = vec![b"number".to_vec()];
    let next = loop {
        let next = format!("more {}", others.len()).into_bytes();
        if ask(&store, &Command::Set(next.clone(), value.clone())) != Reply::OK {
            break next;
        }
        others.push(next);
    };
    // In one transaction those that have room are done.
    let commands = [
        Command::Set(next, value.clone()),
        Command::Delete(vec![b"key 0".into(), b"none".into()]),
        Command::Add(b"number".into(), 1),
        Command::Get(b"key 1".into()),
    ];
    let replies = block_on(store.transact(&commands.each_ref()));
    assert!(refuses(&replies[0], "OOM "), "{replies:?}");
    assert!(refuses(&replies[2], "OOM ") || replies[2] == Reply::Integer(1), "{replies:?}");
    assert_eq!((&replies[1], &replies[3]), (&Reply::Integer(1), &bulk(&value)));
    assert!(!ask(&store, &Command::Delete(others)).is_error());
    for key in 1..keys {
        assert_eq!(ask(&store, &Command::Delete(vec![format!("key {key}").into()])), Reply::Integer(1));
    }
    assert_eq!(ask(&store, &Command::Count), Reply::Integer(0));
    for key in 0..keys / 2 {
        assert_eq!(set(&store, &format!("key {key}"), &value), Reply::OK);
    }
}

#[test]
fn what_does_not_fit_stops_nothing_smaller() {
    let disk = empty(2_500_000 / 4096 * 4096);
    let store = open(&disk).expect("an empty disk");
    // With what must be left for deleting there is no room for this one.
    let large = vec![1; 1 << 20];
    for round in 0..20 {
        assert!(refuses(&set(&store, "large", &large), "OOM "), "{round}");
        assert_eq!(set(&store, &format!("small {round}"), b"1"), Reply::OK);
    }
    // Nor in one transaction with others.
    let commands = [
        Command::Set(b"a".into(), b"1".into()),
        Command::Set(b"large".into(), large),
        Command::Set(b"b".into(), b"2".into()),
        Command::Add(b"number".into(), 1),
    ];
    let replies = block_on(store.transact(&commands.each_ref()));
    assert_eq!((&replies[0], &replies[2], &replies[3]), (&Reply::OK, &Reply::OK, &Reply::Integer(1)));
    assert!(refuses(&replies[1], "OOM the disk is full"), "{replies:?}");
    assert_eq!(get(&store, "b"), bulk(b"2"));
}

#[test]
fn a_transaction_takes_no_more_memory_than_it_may() {
    let small: Vec<Vec<u8>> = (0..24).map(|number| format!("key {number:02} a").into()).collect();
    // Leaves of the tree have small values beside large ones, and are written whole.
    let fill = |most| {
        let disk = empty(64 << 20);
        let options = Options { transaction: most, ..OPTIONS };
        let store = block_on(Store::open(disk.clone(), options)).expect("an empty disk");
        for key in &small {
            assert_eq!(ask(&store, &Command::Set(key.clone(), b"0".into())), Reply::OK);
        }
        for number in 0..small.len() {
            assert_eq!(set(&store, &format!("key {number:02} b"), &[7; 300_000]), Reply::OK);
        }
        (disk, store)
    };
    let count = |disk: &Disk, store: &Store<Disk>, round| {
        let commands: Vec<Command> = small.iter().map(|key| Command::Add(key.clone(), 1)).collect();
        let replies = block_on(store.transact(&commands.iter().collect::<Vec<_>>()));
        assert!(replies.iter().all(|reply| *reply == Reply::Integer(round)), "{replies:?}");
        disk.take_unflushed()
    };
    let (disk, store) = fill(usize::MAX);
    let _ = disk.take_unflushed();
    assert!(count(&disk, &store, 1) > 4 << 20, "the test must need more than it allows");
    let most = 2 << 20;
    let (disk, store) = fill(most);
    let in_use = (64 << 20) / (8 << 10);
    for round in 1..5 {
        assert!(count(&disk, &store, round) <= most + in_use + 4096);
    }
    // What is too much for one command is refused, and nothing of it is done.
    let reply = ask(&store, &Command::Delete(small.clone()));
    assert!(refuses(&reply, "OOM the command changes too much at once: name fewer keys"), "{reply:?}");
    assert_eq!(ask(&store, &Command::Exists(small.clone())), Reply::Integer(24));
    assert_eq!(ask(&store, &Command::Delete(small[..2].to_vec())), Reply::Integer(2));
    assert_eq!(get(&store, "key 07 b"), bulk(&[7; 300_000]));
}

#[test]
fn a_checked_store_opens_as_fast_after_a_crash() {
    let disk = empty(16 << 20);
    let store = open(&disk).expect("an empty disk");
    for number in 0..30 {
        assert_eq!(set(&store, &format!("key {number}"), &[3; 100_000]), Reply::OK);
    }
    drop(store);
    let unchecked = Disk::with(disk.image());
    let _ = open(&unchecked).expect("a store");
    let before = unchecked.take_read();
    for options in [Options { check: true, ..OPTIONS }, Options { small: u64::MAX, ..OPTIONS }] {
        let _ = disk.take_read();
        let store = block_on(Store::open(disk.clone(), options)).expect("a store");
        assert!(disk.take_read() > 3_000_000, "all of it is read");
        // What the disk has now is what a crash would leave.
        let image = disk.image();
        drop(store);
        let crashed = Disk::with(image);
        let store = open(&crashed).expect("a store");
        let read = crashed.take_read();
        assert!(read < before + 100_000, "{read} bytes rather than {before}");
        assert_eq!(get(&store, "key 29"), bulk(&[3; 100_000]));
    }
}

#[test]
fn other_disks_are_refused() {
    assert!(matches!(open(&empty(1 << 19)), Err(OpenError::Small(_))));
    let size = 4 << 20;
    for place in [0, 511, 4096, 100_000, (1 << 20) - 1, size - (1 << 20), size - 1] {
        let mut image = vec![0; size];
        image[place] = 1;
        let disk = Disk::with(image.clone());
        assert!(matches!(open(&disk), Err(OpenError::Foreign)), "{place}");
        assert!(disk.image() == image, "{place}");
    }
    let disk = empty(size);
    let store = open(&disk).expect("an empty disk");
    for number in 0..100 {
        assert_eq!(set(&store, &format!("key {number}"), &[7; 20_000]), Reply::OK);
    }
    let image = disk.image();
    let short = Disk::with(image[..1 << 20].to_vec());
    assert!(matches!(open(&short), Err(OpenError::Short { .. })));
    assert!(short.image() == image[..1 << 20]);
    // It has its place on a larger one.
    let mut larger = image.clone();
    larger.resize(2 * size, 0);
    let larger = Disk::with(larger);
    let store = open(&larger).expect("a larger disk");
    assert_eq!(get(&store, "key 99"), bulk(&[7; 20_000]));
    let mut newer = image;
    newer[8] = 2;
    let checksum = crc32(&newer[..20]);
    newer[20..24].copy_from_slice(&checksum.to_le_bytes());
    assert!(matches!(open(&Disk::with(newer)), Err(OpenError::Version(2))));
}

/// CRC-32 as of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[test]
fn a_checked_store_is_sound_or_refused() {
    let disk = empty(2 << 20);
    let store = open(&disk).expect("an empty disk");
    let mut random = Random::new(5);
    for number in 0..200 {
        assert_eq!(set(&store, &format!("key {number}"), &random.bytes(1000)), Reply::OK);
    }
    let values: Vec<Reply> = (0..200).map(|number| get(&store, &format!("key {number}"))).collect();
    let sound = disk.image();
    let (mut refused, mut opened) = (0, 0);
    for round in 0..100 {
        // All at once, and page by page.
        let options = Options { small: if round % 2 == 0 { u64::MAX } else { 0 }, check: true, ..OPTIONS };
        let mut image = sound.clone();
        let place = random.below(image.len() / 512) * 512;
        let noise = random.bytes(512);
        image[place..place + 512].copy_from_slice(&noise);
        let disk = Disk::with(image.clone());
        match block_on(Store::open(disk.clone(), options)) {
            Ok(store) => {
                opened += 1;
                for (number, value) in values.iter().enumerate() {
                    assert_eq!(&get(&store, &format!("key {number}")), value, "sector {}", place / 512);
                }
            }
            Err(OpenError::Damaged(_) | OpenError::Foreign) => {
                refused += 1;
                assert!(disk.image() == image, "a damaged store was written to");
            }
            Err(other) => panic!("sector {}: {other}", place / 512),
        }
    }
    assert!(refused > 10 && opened > 10, "{refused} were refused and {opened} opened");
}

#[test]
fn what_was_done_once_is_not_done_again() {
    let disk = empty(8 << 20);
    // Without any page in memory, so that each step reads.
    let options = Options { cache: 0, ..OPTIONS };
    let store = block_on(Store::open(disk.clone(), options)).expect("an empty disk");
    let mut random = Random::new(9);
    let keys: Vec<Vec<u8>> = (0..200).map(|key| format!("key {key}").into()).collect();
    for some in keys.chunks(50) {
        let commands: Vec<Command> = some
            .iter()
            .flat_map(|key| {
                [
                    Command::Set([key, &b" "[..]].concat(), vec![7; 2000]),
                    Command::Set(key.clone(), b"0".into()),
                ]
            })
            .collect();
        assert!(
            block_on(store.transact(&commands.iter().collect::<Vec<_>>()))
                .iter()
                .all(|reply| *reply == Reply::OK)
        );
    }
    // For each key: how often it was counted up, and how often that may have been.
    let mut counts = vec![(0, 0); keys.len()];
    let (mut done, mut failed) = (0, 0);
    for _ in 0..400 {
        let some: Vec<usize> = (0..1 + random.below(4)).map(|_| random.below(keys.len())).collect();
        let commands: Vec<Command> = some.iter().map(|&key| Command::Add(keys[key].clone(), 1)).collect();
        // Opens it anew, if it must be.
        assert_ne!(ask(&store, &Command::Count), Reply::Nil);
        // One of the next reads fails, wherever in a transaction that is.
        disk.fail(Faults { read_after: Some(random.below(100)), ..Faults::default() });
        let replies = block_on(store.transact(&commands.iter().collect::<Vec<_>>()));
        for (key, reply) in some.into_iter().zip(replies) {
            counts[key].1 += 1;
            if let Reply::Integer(count) = reply {
                assert!((counts[key].0 + 1..=counts[key].1).contains(&count), "{count} {:?}", counts[key]);
                counts[key] = (count, count);
                done += 1;
            } else {
                assert!(refuses(&reply, "ERR the disk cannot be read"), "{reply:?}");
                failed += 1;
            }
        }
        disk.fail(Faults::default());
    }
    assert!(done > 50 && failed > 20, "{done} {failed}");
    for (key, (least, most)) in keys.iter().zip(counts) {
        let Reply::Bulk(value) = ask(&store, &Command::Get(key.clone())) else { panic!("a key is lost") };
        let value: i64 = String::from_utf8_lossy(&value).parse().expect("a number");
        assert!((least..=most).contains(&value), "{value} {least} {most}");
    }
}
