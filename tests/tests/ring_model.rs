//! The rings under every interleaving of guest and monitor that the memory model of Rust allows, by loom.
//!
//! The indices are atomics. The entries are plain cells, of which loom reports every access that is not ordered with the
//! other side's: that an entry is seen whole rests on the acquire and release of the indices alone. What one index
//! gives away where it is stored without release is shown too, so that these models are known to find it.
//!
//! Each model has few entries, as the orders are many. Where both sides work to the end, the orders in which a thread is
//! interrupted more often than [`PREEMPTIONS`] times are left out, which waiting for the other side is not;
//! `LOOM_MAX_PREEMPTIONS` sets another limit.

use loom::cell::Cell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::thread;
use ukvm_abi::request::{Completion, Request, Status};
use ukvm_abi::ring::{
    COMPLETION_HEAD, COMPLETION_TAIL, GuestRing, HEADER_SIZE, MonitorRing, NEED_ENTER, SUBMISSION_HEAD,
    SUBMISSION_TAIL, Shape, SharedWords,
};

/// How often a run of the long models may take the processor from a thread that could go on. With 3 instead of 2 they take ten
/// times as long.
const PREEMPTIONS: usize = 2;

/// The header fields that the models use.
const FIELDS: [usize; 5] = [SUBMISSION_TAIL, COMPLETION_HEAD, SUBMISSION_HEAD, COMPLETION_TAIL, NEED_ENTER];

/// The rings' memory.
struct Words {
    header: [AtomicU32; FIELDS.len()],
    entries: Vec<Cell<u64>>,
    /// The field that is stored without release, to see that it matters.
    relaxed: Option<usize>,
}

// SAFETY: loom runs one thread at a time, and ends the run at the first access to a cell that is not ordered.
unsafe impl Sync for Words {}

/// One side's way to the memory.
#[derive(Clone)]
struct Shared(Arc<Words>);

impl Shared {
    fn new(shape: Shape, relaxed: Option<usize>) -> Self {
        let entries = (0..(shape.area_size() - HEADER_SIZE) / 8).map(|_| Cell::new(0)).collect();
        Self(Arc::new(Words { header: FIELDS.map(|_| AtomicU32::new(0)), entries, relaxed }))
    }

    fn field(&self, offset: usize) -> &AtomicU32 {
        &self.0.header[FIELDS.iter().position(|&field| field == offset).expect("a field of the models")]
    }
}

impl SharedWords for Shared {
    fn load_u32_acquire(&self, offset: usize) -> u32 {
        self.field(offset).load(Ordering::Acquire)
    }
    fn store_u32_release(&self, offset: usize, value: u32) {
        let ordering = if self.0.relaxed == Some(offset) { Ordering::Relaxed } else { Ordering::Release };
        self.field(offset).store(value, ordering);
    }
    fn load_u64_acquire(&self, offset: usize) -> u64 {
        self.0.entries[(offset - HEADER_SIZE) / 8].get()
    }
    fn store_u64_release(&self, offset: usize, value: u64) {
        self.0.entries[(offset - HEADER_SIZE) / 8].set(value);
    }
}

/// Runs `guest` and `monitor` on rings of this shape in every order.
fn model(
    entries: (u32, u32),
    relaxed: Option<usize>,
    guest: fn(GuestRing<Shared>),
    monitor: fn(MonitorRing<Shared>),
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(move || {
        let shape = Shape::new(entries.0, entries.1).unwrap();
        let memory = Shared::new(shape, relaxed);
        let ring = GuestRing::new(memory.clone(), shape);
        let other = MonitorRing::new(memory, shape);
        let thread = thread::spawn(move || guest(ring));
        monitor(other);
        thread.join().unwrap();
    });
}

/// A request of which every word says its number.
fn request(number: u64) -> Request {
    Request::from_words([number; Request::WORDS])
}

/// Its completion, likewise.
fn completion(request: &Request) -> Completion {
    Completion { user_data: request.user_data, status: Status::Ok as u32, value: !request.user_data }
}

fn submit(ring: &mut GuestRing<Shared>, number: u64) {
    while !ring.submit(&request(number)).unwrap() {
        thread::yield_now();
    }
}

fn reap(ring: &mut GuestRing<Shared>, number: u64) {
    let done = loop {
        match ring.take().unwrap() {
            Some(done) => break done,
            None => thread::yield_now(),
        }
    };
    assert_eq!(done, completion(&request(number)));
}

/// Takes the next request, which must be this one.
fn take(ring: &mut MonitorRing<Shared>, number: u64) -> Request {
    loop {
        match ring.take().unwrap() {
            Some(taken) => {
                assert_eq!(taken, request(number), "whole and in order");
                return taken;
            }
            None => thread::yield_now(),
        }
    }
}

fn serve(ring: &mut MonitorRing<Shared>, number: u64) {
    let taken = take(ring, number);
    ring.post(&completion(&taken));
}

/// Three requests through a ring of two entries: it is full, and its entries are used again.
fn three(relaxed: Option<usize>) {
    let guest = |mut ring: GuestRing<Shared>| {
        for number in 1..=3 {
            submit(&mut ring, number);
        }
        for number in 1..=3 {
            reap(&mut ring, number);
        }
        assert_eq!(ring.take(), Ok(None));
    };
    let monitor = |mut ring: MonitorRing<Shared>| {
        for number in 1..=3 {
            serve(&mut ring, number);
        }
        assert_eq!(ring.take(), Ok(None));
    };
    model((2, 4), relaxed, guest, monitor);
}

/// Three requests, submitted at once, one by one through a completion ring of two entries, of which one is the notice's: each
/// waits until the completion before it has been taken, and the entries are used again.
fn one_by_one(relaxed: Option<usize>) {
    let guest = |mut ring: GuestRing<Shared>| {
        for number in 1..=3 {
            submit(&mut ring, number);
        }
        for number in 1..=3 {
            reap(&mut ring, number);
        }
    };
    let monitor = |mut ring: MonitorRing<Shared>| {
        for number in 1..=3 {
            serve(&mut ring, number);
            assert!(ring.unreaped().unwrap() <= 1, "the other entry is the notice's");
        }
    };
    model((4, 2), relaxed, guest, monitor);
}

#[test]
fn requests_and_completions_arrive_once_whole_and_in_order() {
    three(None);
}

#[test]
fn a_completion_waits_for_room() {
    one_by_one(None);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_submission_tail_without_release_tears_requests() {
    three(Some(SUBMISSION_TAIL));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_submission_head_without_release_has_requests_overwritten() {
    three(Some(SUBMISSION_HEAD));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_completion_tail_without_release_tears_completions() {
    three(Some(COMPLETION_TAIL));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_completion_head_without_release_has_completions_overwritten() {
    one_by_one(Some(COMPLETION_HEAD));
}

/// A guest that does not wait is told that the ring is full or has its request served, never both.
#[test]
fn what_finds_no_room_is_not_submitted() {
    loom::model(|| {
        let shape = Shape::new(2, 8).unwrap();
        let memory = Shared::new(shape, None);
        let mut guest = GuestRing::new(memory.clone(), shape);
        let mut monitor = MonitorRing::new(memory, shape);
        let thread = thread::spawn(move || {
            (1..=4).filter(|&number| guest.submit(&request(number)).unwrap()).collect::<Vec<u64>>()
        });
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.extend(monitor.take().unwrap());
        }
        let submitted = thread.join().unwrap();
        taken.extend(std::iter::from_fn(|| monitor.take().unwrap()));
        assert!(submitted.len() >= 2);
        assert_eq!(taken, submitted.into_iter().map(request).collect::<Vec<_>>());
    });
}

/// The shutdown notice has its entry while others come and go, and is posted when there is no room for anything else.
#[test]
fn the_notice_finds_its_entry_whatever_the_guest_takes() {
    let guest = |mut ring: GuestRing<Shared>| {
        submit(&mut ring, 1);
        submit(&mut ring, 2);
        reap(&mut ring, 2);
        reap(&mut ring, 1);
        submit(&mut ring, 3);
        reap(&mut ring, 3);
    };
    let monitor = |mut ring: MonitorRing<Shared>| {
        let notice = take(&mut ring, 1);
        ring.reserve_notice();
        serve(&mut ring, 2);
        ring.post_notice(&completion(&notice));
        assert!(ring.unreaped().unwrap() <= 2);
        serve(&mut ring, 3);
    };
    model((4, 2), None, guest, monitor);
}

/// A guest that submits and leaves the doorbell alone where need-enter is 0, and a monitor that looks at the ring by itself,
/// sets need-enter and looks once more before it sleeps. Whether the request was seen or the doorbell rung.
fn nobody_sleeps_on_a_request(with_fences: bool) {
    loom::model(move || {
        let order = move || {
            if with_fences {
                fence(Ordering::SeqCst);
            }
        };
        let shape = Shape::new(2, 2).unwrap();
        let memory = Shared::new(shape, None);
        let mut guest = GuestRing::new(memory.clone(), shape);
        let mut monitor = MonitorRing::new(memory.clone(), shape);
        memory.store_u32_release(NEED_ENTER, 0);
        let for_guest = memory.clone();
        let thread = thread::spawn(move || {
            assert!(guest.submit(&request(1)).unwrap());
            order();
            for_guest.load_u32_acquire(NEED_ENTER) != 0
        });
        let mut seen = monitor.take().unwrap();
        if seen.is_none() {
            memory.store_u32_release(NEED_ENTER, 1);
            order();
            seen = monitor.take().unwrap();
        }
        let rung = thread.join().unwrap();
        assert!(seen.is_some() || rung, "the monitor sleeps on a request");
    });
}

/// This version's monitor never clears need-enter; the ABI says how one may.
#[test]
fn a_monitor_may_look_by_itself() {
    nobody_sleeps_on_a_request(true);
}

#[test]
#[should_panic(expected = "the monitor sleeps on a request")]
fn without_full_fences_a_request_is_slept_on() {
    nobody_sleeps_on_a_request(false);
}
