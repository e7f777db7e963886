extern crate std;

use super::*;
use crate::request::Status;
use core::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;

/// Shared memory that is a vector, each half of a `u64` an atomic of its own.
struct Words(Vec<AtomicU32>);

impl Words {
    fn new(shape: Shape) -> Self {
        Self((0..shape.area_size() / 4).map(|_| AtomicU32::new(0)).collect())
    }
}

impl SharedWords for &Words {
    fn load_u32_acquire(&self, offset: usize) -> u32 {
        self.0[offset / 4].load(Ordering::Acquire)
    }
    fn store_u32_release(&self, offset: usize, value: u32) {
        self.0[offset / 4].store(value, Ordering::Release);
    }
    fn load_u64_acquire(&self, offset: usize) -> u64 {
        u64::from(self.load_u32_acquire(offset)) | u64::from(self.load_u32_acquire(offset + 4)) << 32
    }
    fn store_u64_release(&self, offset: usize, value: u64) {
        self.store_u32_release(offset, value as u32);
        self.store_u32_release(offset + 4, (value >> 32) as u32);
    }
}

fn request(user_data: u64) -> Request {
    Request { user_data, ..Request::default() }
}

fn done(request: Request) -> Completion {
    Completion { user_data: request.user_data, status: Status::Ok as u32, value: 0 }
}

#[test]
fn requests_and_completions_keep_their_order_past_every_wrap() {
    let shape = Shape::new(4, 8).unwrap();
    let words = Words::new(shape);
    let (mut guest, mut monitor) = (GuestRing::new(&words, shape), MonitorRing::new(&words, shape));
    let (mut next, mut expected) = (0, 0);
    for round in 0..1000 {
        for _ in 0..=round % 5 {
            next += u64::from(guest.submit(&request(next)).unwrap());
        }
        while let Some(request) = monitor.take().unwrap() {
            monitor.post(&done(request));
        }
        while let Some(completion) = guest.take().unwrap() {
            assert_eq!(completion.user_data, expected);
            expected += 1;
        }
    }
    assert_eq!(next, expected);
    assert!(next > 2000);
}

/// Rings that `index` entries have gone through.
fn after(words: &Words, shape: Shape, index: u32) -> (GuestRing<&Words>, MonitorRing<&Words>) {
    for field in [SUBMISSION_TAIL, COMPLETION_HEAD, SUBMISSION_HEAD, COMPLETION_TAIL] {
        (&words).store_u32_release(field, index);
    }
    (GuestRing::after(words, shape, index), MonitorRing::after(words, shape, index))
}

#[test]
fn full_rings_pass_the_wrap_of_the_indices() {
    let shape = Shape::new(4, 8).unwrap();
    // The wrap comes at every place of a filling.
    for index in u32::MAX - 16..=u32::MAX {
        let words = Words::new(shape);
        let (mut guest, mut monitor) = after(&words, shape, index);
        let (mut next, mut expected) = (0, 0);
        for _ in 0..8 {
            // As many as the completion ring takes: all but the notice's entry.
            for _ in 0..7 {
                if !guest.submit(&request(next)).unwrap() {
                    let taken = monitor.take().unwrap().unwrap();
                    monitor.post(&done(taken));
                    assert_eq!(guest.submit(&request(next)), Ok(true));
                }
                next += 1;
            }
            while let Some(request) = monitor.take().unwrap() {
                monitor.post(&done(request));
            }
            assert_eq!(monitor.unreaped(), Ok(7));
            // The completion ring is full: the submission ring fills up.
            let waiting: Vec<u64> = (next..).take_while(|i| guest.submit(&request(*i)).unwrap()).collect();
            assert_eq!((waiting.len(), monitor.take()), (4, Ok(None)));
            next += 4;
            while let Some(completion) = guest.take().unwrap() {
                assert_eq!(completion.user_data, expected);
                expected += 1;
                if let Some(request) = monitor.take().unwrap() {
                    monitor.post(&done(request));
                }
            }
            assert_eq!((next, guest.queued()), (expected, 0));
        }
    }
}

#[test]
fn impossible_indices_are_found_at_their_wrap() {
    let shape = Shape::new(4, 4).unwrap();
    let words = Words::new(shape);
    let (mut guest, mut monitor) = after(&words, shape, u32::MAX - 1);
    for tail in [3, u32::MAX - 2, 1 << 31] {
        (&words).store_u32_release(SUBMISSION_TAIL, tail);
        assert_eq!(monitor.take(), Err(Corrupt { field: SUBMISSION_TAIL, value: tail }));
    }
    (&words).store_u32_release(SUBMISSION_TAIL, u32::MAX - 1);
    for i in 0..3 {
        assert_eq!(guest.submit(&request(i)), Ok(true));
        let taken = monitor.take().unwrap().unwrap();
        monitor.post(&done(taken));
    }
    assert_eq!(monitor.unreaped(), Ok(3));
    for head in [2, u32::MAX - 2] {
        (&words).store_u32_release(COMPLETION_HEAD, head);
        assert_eq!(monitor.unreaped(), Err(Corrupt { field: COMPLETION_HEAD, value: head }));
    }
    (&words).store_u32_release(COMPLETION_HEAD, 1);
    assert_eq!(monitor.unreaped(), Ok(0));
}

#[test]
fn a_full_submission_ring_refuses_and_loses_nothing() {
    let shape = Shape::new(2, 8).unwrap();
    let words = Words::new(shape);
    let mut guest = GuestRing::new(&words, shape);
    assert_eq!(guest.submit(&request(1)), Ok(true));
    assert_eq!(guest.submit(&request(2)), Ok(true));
    assert_eq!(guest.submit(&request(3)), Ok(false));
    assert_eq!(guest.queued(), 2);
    let mut monitor = MonitorRing::new(&words, shape);
    assert_eq!(monitor.take().unwrap(), Some(request(1)));
    assert_eq!(guest.submit(&request(3)), Ok(true));
    assert_eq!(monitor.take().unwrap(), Some(request(2)));
    assert_eq!(monitor.take().unwrap(), Some(request(3)));
    assert_eq!(monitor.take().unwrap(), None);
}

#[test]
fn a_guest_that_takes_no_completions_has_its_submissions_wait_but_gets_the_notice() {
    let shape = Shape::new(8, 4).unwrap();
    let words = Words::new(shape);
    let (mut guest, mut monitor) = (GuestRing::new(&words, shape), MonitorRing::new(&words, shape));
    for i in 0..8 {
        assert_eq!(guest.submit(&request(i)), Ok(true));
    }
    let notice = monitor.take().unwrap().unwrap();
    monitor.reserve_notice();
    let mut taken = 0;
    while let Some(request) = monitor.take().unwrap() {
        monitor.post(&done(request));
        taken += 1;
    }
    assert_eq!(taken, 3, "one of four entries is the notice's");
    monitor.post_notice(&done(notice));
    assert_eq!(monitor.unreaped(), Ok(4));
    let seen: Vec<u64> = core::iter::from_fn(|| guest.take().unwrap()).map(|c| c.user_data).collect();
    assert_eq!(seen, [1, 2, 3, 0]);
    assert_eq!(monitor.take().unwrap(), Some(request(4)));
}

#[test]
fn requests_under_way_count_as_completions() {
    let shape = Shape::new(8, 4).unwrap();
    let words = Words::new(shape);
    let (mut guest, mut monitor) = (GuestRing::new(&words, shape), MonitorRing::new(&words, shape));
    for i in 0..8 {
        guest.submit(&request(i)).unwrap();
    }
    let under_way: Vec<Request> = core::iter::from_fn(|| monitor.take().unwrap()).collect();
    assert_eq!(under_way.len(), 3);
    monitor.post(&done(under_way[2]));
    assert_eq!(monitor.take().unwrap(), None);
    assert_eq!(guest.take().unwrap().unwrap().user_data, 2);
    assert_eq!(monitor.take().unwrap(), Some(request(3)));
}

#[test]
fn impossible_indices_are_found() {
    let shape = Shape::new(4, 4).unwrap();
    let words = Words::new(shape);
    let mut monitor = MonitorRing::new(&words, shape);
    for tail in [5, 1 << 31, u32::MAX] {
        (&words).store_u32_release(SUBMISSION_TAIL, tail);
        assert_eq!(monitor.take(), Err(Corrupt { field: SUBMISSION_TAIL, value: tail }));
    }
    (&words).store_u32_release(SUBMISSION_TAIL, 1);
    (&words).store_u32_release(COMPLETION_HEAD, 1);
    assert_eq!(monitor.take(), Err(Corrupt { field: COMPLETION_HEAD, value: 1 }));
    (&words).store_u32_release(COMPLETION_HEAD, 0);
    let taken = monitor.take().unwrap().unwrap();
    monitor.post(&done(taken));
    (&words).store_u32_release(COMPLETION_HEAD, 1);
    assert_eq!(monitor.unreaped(), Ok(0));
    (&words).store_u32_release(COMPLETION_HEAD, 0);
    assert_eq!(monitor.unreaped(), Err(Corrupt { field: COMPLETION_HEAD, value: 0 }), "it went back");

    let words = Words::new(shape);
    let mut guest = GuestRing::new(&words, shape);
    (&words).store_u32_release(SUBMISSION_HEAD, 1);
    assert!(guest.submit(&request(0)).is_err());
    (&words).store_u32_release(COMPLETION_TAIL, 5);
    assert!(guest.take().is_err());
}

#[test]
fn both_ends_agree_from_two_threads() {
    let shape = Shape::new(8, 16).unwrap();
    let words = Words::new(shape);
    const REQUESTS: u64 = 100_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut monitor = MonitorRing::new(&words, shape);
            let mut served = 0;
            while served < REQUESTS {
                match monitor.take().unwrap() {
                    Some(request) => {
                        assert_eq!(request.address, request.user_data ^ u64::MAX);
                        monitor.post(&done(request));
                        served += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
        });
        let mut guest = GuestRing::new(&words, shape);
        let (mut next, mut expected) = (0, 0);
        while expected < REQUESTS {
            let mut idle = true;
            let full = Request { address: next ^ u64::MAX, ..request(next) };
            if next < REQUESTS && guest.submit(&full).unwrap() {
                next += 1;
                idle = false;
            }
            while let Some(completion) = guest.take().unwrap() {
                assert_eq!(completion.user_data, expected);
                expected += 1;
                idle = false;
            }
            if idle {
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn the_shape_is_what_the_documents_say() {
    assert_eq!(AREA_SIZE, 4096 + 1024 * 64 + 1024 * 32);
    assert_eq!(Shape::new(3, 4), None);
    assert_eq!(Shape::new(1 << 17, 4), None);
}
