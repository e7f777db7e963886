//! Guest and monitor, both honest, in any order: what goes through the rings against plain queues.

use crate::words::{Words, choose};
use arbitrary::Unstructured;
use std::collections::VecDeque;
use ukvm_abi::request::{Completion, Request, Status};
use ukvm_abi::ring::{GuestRing, MonitorRing, Shape};

/// Both ends, and what must be in the rings.
struct Pair<'a> {
    shape: Shape,
    guest: GuestRing<&'a Words>,
    monitor: MonitorRing<&'a Words>,
    submitted: u64,
    /// The numbers of the requests that are submitted, taken, and completed; the notice's is apart while it waits.
    queued: VecDeque<u64>,
    under_way: Vec<u64>,
    completed: VecDeque<u64>,
    notice: Option<u64>,
    had_notice: bool,
    reaped: Vec<u64>,
}

fn request(number: u64) -> Request {
    Request::from_words(std::array::from_fn(|i| number.rotate_left(i as u32 * 7) ^ i as u64))
}

fn completion(number: u64) -> Completion {
    Completion {
        user_data: request(number).user_data,
        status: Status::Invalid as u32 ^ number as u32,
        value: !number,
    }
}

impl Pair<'_> {
    fn submit(&mut self) {
        let room = self.queued.len() < self.shape.submission_entries() as usize;
        assert_eq!(self.guest.submit(&request(self.submitted)), Ok(room));
        if room {
            self.queued.push_back(self.submitted);
            self.submitted += 1;
        }
    }

    /// The monitor takes a request, if docs/abi.md says that it does: with it, those under way and the completions that wait are
    /// at most one less than the ring holds.
    fn take(&mut self) -> Option<u64> {
        let most = self.shape.completion_entries() as usize - 1;
        let room = self.under_way.len() + self.completed.len() < most;
        let expected = if room { self.queued.pop_front() } else { None };
        assert_eq!(self.monitor.take(), Ok(expected.map(request)));
        self.under_way.extend(expected);
        expected
    }

    /// The monitor completes the request under way at this place.
    fn post(&mut self, place: usize) {
        if !self.under_way.is_empty() {
            let number = self.under_way.remove(place % self.under_way.len());
            self.monitor.post(&completion(number));
            self.completed.push_back(number);
        }
    }

    /// The monitor takes a request, and it is the one for the shutdown notice.
    fn take_notice(&mut self) {
        if !self.had_notice && self.take().is_some() {
            self.had_notice = true;
            self.monitor.reserve_notice();
            self.notice = self.under_way.pop();
        }
    }

    fn post_notice(&mut self) {
        if let Some(number) = self.notice.take() {
            self.monitor.post_notice(&completion(number));
            self.completed.push_back(number);
        }
    }

    fn reap(&mut self) {
        let expected = self.completed.pop_front();
        assert_eq!(self.guest.take(), Ok(expected.map(completion)));
        self.reaped.extend(expected);
    }

    fn check(&mut self) {
        assert_eq!(self.guest.queued() as usize, self.queued.len());
        assert_eq!(self.monitor.unreaped(), Ok(self.completed.len() as u32));
    }

    /// Until all is done: whatever was before, nothing is stuck.
    fn finish(mut self) {
        self.post_notice();
        for _ in 0..self.submitted + 1 {
            self.reap();
            self.take();
            self.post(0);
        }
        self.reap();
        assert_eq!(self.guest.queued(), 0);
        self.reaped.sort_unstable();
        assert!(self.reaped.into_iter().eq(0..self.submitted), "each once");
    }
}

/// Lets both ends do what `data` says.
///
/// # Panics
///
/// Where something goes through the rings otherwise than through a queue.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((shape, start)) = choose(&mut input) else { return };
    let words = Words::new(shape, start);
    let mut pair = Pair {
        shape,
        guest: GuestRing::after(&words, shape, start),
        monitor: MonitorRing::after(&words, shape, start),
        submitted: 0,
        queued: VecDeque::new(),
        under_way: Vec::new(),
        completed: VecDeque::new(),
        notice: None,
        had_notice: false,
        reaped: Vec::new(),
    };
    while !input.is_empty() {
        let Ok(event) = input.arbitrary::<u8>() else { break };
        match event % 16 {
            0..5 => pair.submit(),
            5..9 => drop(pair.take()),
            9..11 => pair.post(usize::from(event >> 4)),
            11..14 => pair.reap(),
            14 => pair.take_notice(),
            _ => pair.post_notice(),
        }
        pair.check();
    }
    pair.finish();
}

/// Rings of several sizes that are used in turns, filled to the brim, and left with the notice alone.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let turn = [0, 5, 9, 11];
    let fill = [0; 40].into_iter().chain([5; 40]).chain([9; 40]).chain([11; 40]);
    vec![
        [0x00, 3].into_iter().chain(turn.repeat(20)).collect(),
        [0x05, 20].into_iter().chain(fill.clone()).chain(fill).collect(),
        [0x01, 0].into_iter().chain([0, 14]).chain([0, 5, 9, 0, 5, 15, 11]).chain(turn.repeat(8)).collect(),
    ]
}
