//! The monitor's end of the rings, while the guest writes anything anywhere.

use crate::words::{Words, choose};
use arbitrary::Unstructured;
use ukvm_abi::request::{Completion, Request};
use ukvm_abi::ring::{
    COMPLETION_HEAD, COMPLETION_TAIL, HEADER_SIZE, MonitorRing, SUBMISSION_HEAD, SUBMISSION_TAIL, Shape,
    SharedWords,
};

/// The monitor's end, and what must hold of it.
struct Monitor<'a> {
    shape: Shape,
    words: &'a Words,
    ring: MonitorRing<&'a Words>,
    /// Requests taken, completions posted, and the completion head that the monitor last believed.
    taken: u32,
    posted: u32,
    believed: u32,
    /// Requests under way, the shutdown notice apart.
    under_way: Vec<Request>,
    notice: Option<Request>,
    had_notice: bool,
}

impl<'a> Monitor<'a> {
    fn take(&mut self) -> Option<Request> {
        let (tail, head) = (self.words.cell(SUBMISSION_TAIL).get(), self.words.cell(COMPLETION_HEAD).get());
        let at = HEADER_SIZE + (self.taken % self.shape.submission_entries()) as usize * Request::WORDS * 8;
        let entry = Request::from_words(std::array::from_fn(|i| self.words.load_u64_acquire(at + i * 8)));
        match self.ring.take() {
            Ok(Some(request)) => {
                assert_eq!(request, entry, "the entry at its own index, whatever the guest says of it");
                assert!((1..=self.shape.submission_entries()).contains(&tail.wrapping_sub(self.taken)));
                self.believed = head;
                self.taken = self.taken.wrapping_add(1);
                assert_eq!(self.words.cell(SUBMISSION_HEAD).get(), self.taken);
                self.under_way.push(request);
                Some(request)
            }
            Ok(None) => None,
            Err(corrupt) => {
                let (field, value) = (corrupt.field, corrupt.value);
                assert!([(SUBMISSION_TAIL, tail), (COMPLETION_HEAD, head)].contains(&(field, value)));
                None
            }
        }
    }

    fn post(&mut self, place: usize, value: u64) {
        if !self.under_way.is_empty() {
            let request = self.under_way.remove(place % self.under_way.len());
            self.write(&request, value, MonitorRing::post);
        }
    }

    fn take_notice(&mut self) {
        if !self.had_notice && self.take().is_some() {
            self.had_notice = true;
            self.ring.reserve_notice();
            self.notice = self.under_way.pop();
        }
    }

    fn post_notice(&mut self, value: u64) {
        if let Some(request) = self.notice.take() {
            self.write(&request, value, MonitorRing::post_notice);
        }
    }

    /// Posts a completion, which must get to its own entry and to none that the guest has not said to have taken.
    fn write(&mut self, request: &Request, value: u64, post: fn(&mut MonitorRing<&'a Words>, &Completion)) {
        let entries = self.shape.completion_entries();
        assert!(self.posted.wrapping_sub(self.believed) < entries, "a completion would be lost");
        let completion = Completion { user_data: request.user_data, status: value as u32, value };
        post(&mut self.ring, &completion);
        let submissions = self.shape.submission_entries() as usize * Request::WORDS * 8;
        let at = HEADER_SIZE + submissions + (self.posted % entries) as usize * Completion::WORDS * 8;
        let words = std::array::from_fn(|i| self.words.load_u64_acquire(at + i * 8));
        assert_eq!(Completion::from_words(words), completion);
        self.posted = self.posted.wrapping_add(1);
        assert_eq!(self.words.cell(COMPLETION_TAIL).get(), self.posted);
    }

    fn look(&mut self) {
        let head = self.words.cell(COMPLETION_HEAD).get();
        match self.ring.unreaped() {
            Ok(unreaped) => {
                assert_eq!(unreaped, self.posted.wrapping_sub(head));
                assert!(unreaped <= self.shape.completion_entries());
                self.believed = head;
            }
            Err(corrupt) => assert_eq!((corrupt.field, corrupt.value), (COMPLETION_HEAD, head)),
        }
    }
}

/// Lets the guest write and the monitor act as `data` says. The monitor goes on after it has found an index corrupt, as one
/// that did not end its guest would.
///
/// # Panics
///
/// Where the monitor panics, takes more than it may, or loses a completion.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((shape, start)) = choose(&mut input) else { return };
    let words = Words::new(shape, start);
    let mut monitor = Monitor {
        shape,
        words: &words,
        ring: MonitorRing::after(&words, shape, start),
        taken: start,
        posted: start,
        believed: start,
        under_way: Vec::new(),
        notice: None,
        had_notice: false,
    };
    while !input.is_empty() {
        if step(&mut input, &mut monitor).is_err() {
            break;
        }
        assert!(monitor.under_way.len() < shape.completion_entries() as usize);
    }
}

fn step(input: &mut Unstructured<'_>, monitor: &mut Monitor<'_>) -> arbitrary::Result<()> {
    let words = monitor.words;
    let event = input.arbitrary::<u8>()?;
    let rest = event >> 4;
    match event % 16 {
        // An honest guest's steps, and more than these.
        0..3 => words.cell(SUBMISSION_TAIL).set(words.cell(SUBMISSION_TAIL).get().wrapping_add(rest.into())),
        3..5 => words.cell(COMPLETION_HEAD).set(words.cell(COMPLETION_HEAD).get().wrapping_add(rest.into())),
        // Any other value: in the indices, which tell the monitor something, or anywhere.
        5 => words.cell([SUBMISSION_TAIL, COMPLETION_HEAD][usize::from(rest & 1)]).set(input.arbitrary()?),
        6 => {
            let index = [monitor.taken, monitor.posted][usize::from(rest >> 1 & 1)];
            let field = [SUBMISSION_TAIL, COMPLETION_HEAD][usize::from(rest & 1)];
            words.cell(field).set(index.wrapping_add(input.arbitrary::<i8>()? as u32));
        }
        7 => {
            let place = usize::from(input.arbitrary::<u16>()?) % words.len();
            words.cell(place * 4).set(input.arbitrary()?);
        }
        8..11 => drop(monitor.take()),
        11..13 => monitor.post(rest.into(), input.arbitrary::<u16>()?.into()),
        13 => monitor.take_notice(),
        14 => monitor.post_notice(input.arbitrary::<u16>()?.into()),
        _ => monitor.look(),
    }
    Ok(())
}

/// A guest that is honest, one that jumps ahead, and one that goes back.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let turn = [0x10, 0x08, 0x0b, 7, 0, 0x13, 0x0f];
    let many = [0x20, 0x08, 0x08, 0x08, 0x0d, 0x0b, 1, 0, 0x0b, 2, 0, 0x0e, 3, 0, 0x23];
    vec![
        [0x00, 3].into_iter().chain(turn.repeat(12)).collect(),
        [0x05, 9].into_iter().chain(many.repeat(12)).collect(),
        [0x05, 0].into_iter().chain(turn).chain([0x06, 0x7f, 0x08, 0x16, 0xff, 0x0f]).chain(turn).collect(),
    ]
}
