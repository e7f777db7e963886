//! The store after crashes of the host: every acknowledged write is there, and nothing that was never written.

use crate::disk::{Disk, Faults, Flushes};
use embassy_futures::block_on;
use embassy_futures::join::{join, join_array};
use kv_server::command::Command;
use kv_server::reply::Reply;
use kv_server::store::{Options, Store};
use kv_server::writer::Writer;
use std::array::from_fn;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use ukvm_tests::random::Random;

/// Bytes of the disk.
const SIZE: usize = 4 << 20;
/// Clients at one time.
const CLIENTS: usize = 6;
/// Keys of each client, and how often it asks for something.
const KEYS: usize = 12;
const REQUESTS: usize = 12;
/// A number that all clients count up.
const COUNTER: &[u8] = b"counter";

/// Disks that live through so many crashes each, of which each is looked at in so many moments.
const SEEDS: u64 = 10;
/// Of the disks that fail now and then, one in so many writes and flushes does.
const FAILS: usize = 30;
const CRASHES: u64 = 4;
const MOMENTS: usize = 5;

/// A value that a key was to have, from when on, and when that was acknowledged.
#[derive(Clone, Debug)]
struct Written {
    value: Option<Vec<u8>>,
    submitted: usize,
    acknowledged: Option<usize>,
}

/// What clients have done, by key, and when they counted.
#[derive(Default)]
struct History {
    keys: RefCell<HashMap<Vec<u8>, Vec<Written>>>,
    counts: RefCell<Vec<Written>>,
}

/// What a store holds.
type Contents = HashMap<Vec<u8>, Vec<u8>>;

/// How a test disk is opened: with a check of all of it, or without.
const fn options(check: bool) -> Options {
    Options { cache: 1 << 20, transaction: 4 << 20, small: 0, check }
}

/// One client, whose keys no other one has.
async fn client(number: usize, seed: u64, disk: &Disk, writer: &Writer, history: &History, fails: bool) {
    let mut random = Random::new(seed * 100 + number as u64);
    for _ in 0..REQUESTS {
        let now = disk.now();
        let mut commands = Vec::new();
        let mut written = Vec::new();
        for _ in 0..1 + random.below(4) {
            let key = format!("key {number} {}", random.below(KEYS)).into_bytes();
            let value = match random.below(8) {
                0 => {
                    commands.push(Command::Add(COUNTER.to_vec(), 1));
                    continue;
                }
                1 | 2 => None,
                3 => Some(random.bytes(20_000)),
                _ => {
                    let length = random.below(3000);
                    Some(random.bytes(length))
                }
            };
            commands.push(match &value {
                Some(value) => Command::Set(key.clone(), value.clone()),
                None => Command::Delete(vec![key.clone()]),
            });
            let mut keys = history.keys.borrow_mut();
            let versions = keys.entry(key.clone()).or_default();
            versions.push(Written { value, submitted: now, acknowledged: None });
            written.push((key, versions.len() - 1));
        }
        let counts = commands.iter().filter(|command| matches!(command, Command::Add(..))).count();
        let first = history.counts.borrow().len();
        let count = Written { value: None, submitted: now, acknowledged: None };
        history.counts.borrow_mut().extend(vec![count; counts]);
        let replies = writer.submit(commands).await;
        // All of them are in one transaction, which is done or not.
        let failed = replies.iter().filter(|reply| reply.is_error()).count();
        assert!(failed == 0 || (fails && failed == replies.len()), "{replies:?}");
        let now = (failed == 0).then(|| disk.now());
        for (key, index) in written {
            history.keys.borrow_mut().get_mut(&key).expect("it was put there")[index].acknowledged = now;
        }
        for count in &mut history.counts.borrow_mut()[first..first + counts] {
            count.acknowledged = now;
        }
    }
}

/// Opens the store on the disk, and lets clients write to it. How many failures of the disk the writer was told of, too.
fn run(disk: &Disk, seed: u64, flushes: Flushes) -> (History, usize) {
    let history = History::default();
    let failures = Cell::new(0);
    // Some disks fail now and then.
    let fails = flushes == Flushes::All && seed % 4 >= 2;
    block_on(async {
        let store = Store::open(disk.clone(), options(false)).await.expect("a sound disk");
        disk.flushes(flushes);
        disk.fail(Faults { one_in: fails.then_some(FAILS), ..Faults::default() });
        let writer = Writer::default();
        let clients = async {
            let clients: [_; CLIENTS] =
                from_fn(|number| client(number, seed, disk, &writer, &history, fails));
            join_array(clients).await;
            writer.close();
        };
        let report = |failure| {
            assert!(fails, "{failure}");
            failures.set(failures.get() + 1);
        };
        join(writer.run(&store, report), clients).await;
        disk.fail(Faults::default());
        // Some live to their end.
        if seed.is_multiple_of(2) {
            store.close().await.expect("a sound disk");
        }
    });
    (history, failures.get())
}

/// What is in the store of an image, or why that cannot be opened.
fn contents(image: Vec<u8>, history: &History, before: &Contents, check: bool) -> Result<Contents, String> {
    let mut contents = Contents::new();
    block_on(async {
        let store =
            Store::open(Disk::with(image), options(check)).await.map_err(|error| error.to_string())?;
        let keys = history.keys.borrow();
        let known: Vec<&[u8]> = keys.keys().map(Vec::as_slice).chain([COUNTER]).collect();
        let older = before.keys().map(Vec::as_slice).filter(|key| !known.contains(key));
        for key in known.iter().copied().chain(older) {
            match store.query(&Command::Get(key.to_vec())) {
                Some(Reply::Bulk(value)) => drop(contents.insert(key.to_vec(), value)),
                Some(Reply::Nil) => {}
                other => return Err(format!("{key:?}: {other:?}")),
            }
        }
        match store.query(&Command::Count) {
            Some(Reply::Integer(count)) if count == contents.len() as i64 => Ok(()),
            other => Err(format!("{} keys are known, and there are {other:?}", contents.len())),
        }
    })?;
    Ok(contents)
}

/// Compares what a crash at `time` has left with what clients were told until then.
fn judge(found: &Contents, before: &Contents, history: &History, time: usize) -> Result<(), String> {
    let keys = history.keys.borrow();
    for (key, versions) in keys.iter() {
        let last = versions.iter().rposition(|version| version.acknowledged.is_some_and(|at| at <= time));
        let possible = versions[last.unwrap_or(0)..].iter().filter(|version| version.submitted <= time);
        let mut possible: Vec<Option<&Vec<u8>>> = possible.map(|version| version.value.as_ref()).collect();
        if last.is_none() {
            possible.push(before.get(key));
        }
        if !possible.contains(&found.get(key)) {
            let length = found.get(key).map(Vec::len);
            return Err(format!(
                "{:?} has {length:?} bytes of the wrong kind",
                key.escape_ascii().to_string()
            ));
        }
    }
    for (key, value) in before {
        if key != COUNTER && !keys.contains_key(key) && found.get(key) != Some(value) {
            return Err(format!("{:?} has changed", key.escape_ascii().to_string()));
        }
    }
    let number = |contents: &Contents| {
        contents
            .get(COUNTER)
            .map_or(0, |value| String::from_utf8_lossy(value).parse::<usize>().expect("a number"))
    };
    let (start, now) = (number(before), number(found));
    let counts = history.counts.borrow();
    let acknowledged = counts.iter().filter(|count| count.acknowledged.is_some_and(|at| at <= time)).count();
    let submitted = counts.iter().filter(|count| count.submitted <= time).count();
    if now < start + acknowledged || now > start + submitted {
        return Err(format!("the counter is {now}, not {start} and {acknowledged} to {submitted} more"));
    }
    Ok(())
}

/// What was found of disks that crashed.
#[derive(Debug, Default)]
struct Findings {
    /// How many moments were looked at.
    looked: usize,
    /// How many failures clients were told of.
    failures: usize,
    /// Disks on which what clients were told is not so.
    broken_promises: Vec<String>,
    /// Disks that have no sound store.
    unsound: Vec<String>,
}

/// Has disks crash, and looks at what is left. Of each disk until something is wrong.
fn crashes(flushes: Flushes) -> Findings {
    let mut findings = Findings::default();
    'disks: for seed in 0..SEEDS {
        // Whatever is between the ends of an empty disk.
        let mut image = Random::new(seed).bytes(SIZE);
        image[..1 << 20].fill(0);
        image[SIZE - (1 << 20)..].fill(0);
        let mut before = Contents::new();
        for crash in 0..CRASHES {
            let seed = seed * CRASHES + crash + 1;
            let disk = Disk::new(image.clone(), seed);
            let (history, failures) = run(&disk, seed, flushes);
            findings.failures += failures;
            let mut random = Random::new(seed);
            let mut after = before.clone();
            for _ in 0..MOMENTS {
                let time = random.below(disk.now() + 1);
                image = disk.crashed(time, &mut random);
                findings.looked += 1;
                let told = |error| format!("seed {seed}, moment {time} of {}: {error}", disk.now());
                let look = |check| {
                    // redb may panic on a database that was not written in the order that it asked for.
                    let look = || contents(image.clone(), &history, &before, check);
                    catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| Err("a panic".into()))
                };
                let found = look(false).and_then(|found| {
                    let checked = look(true)?;
                    if checked == found {
                        Ok(found)
                    } else {
                        Err("a check of all of it changes the store".into())
                    }
                });
                match found {
                    Ok(found) => after = found,
                    Err(error) => {
                        findings.unsound.push(told(error));
                        continue 'disks;
                    }
                }
                if let Err(error) = judge(&after, &before, &history, time) {
                    findings.broken_promises.push(told(error));
                    continue 'disks;
                }
            }
            before = after;
        }
    }
    findings
}

#[test]
fn acknowledged_writes_survive_200_crashes() {
    let findings = crashes(Flushes::All);
    assert!(findings.broken_promises.is_empty() && findings.unsound.is_empty(), "{findings:?}");
    assert_eq!(findings.looked, 200);
    assert!(findings.failures > 50, "{findings:?}");
}

#[test]
fn without_flushes_acknowledged_writes_are_lost() {
    let findings = crashes(Flushes::Never);
    assert!(!findings.broken_promises.is_empty(), "the test must notice lost writes: {findings:?}");
}

#[test]
fn without_flushes_between_groups_stores_are_damaged() {
    let findings = crashes(Flushes::Headers);
    assert!(
        !findings.unsound.is_empty() || !findings.broken_promises.is_empty(),
        "the test must notice what is written too early: {findings:?}"
    );
}
