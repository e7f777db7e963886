//! Input: one request at a time, into a buffer of its own, so that a reader that goes away loses nothing.

use super::MonitorBuffer;
use crate::local::Local;
use crate::ring;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use ukvm_abi::request::Status;

/// Bytes that one request asks for: a terminal's line (`N_TTY` in Linux keeps as many), a piece of a pipe.
const SIZE: usize = 4096;

static BUFFER: MonitorBuffer<SIZE> = MonitorBuffer::new();
static INPUT: Local<Input> =
    Local::new(Input { start: 0, end: 0, under_way: false, ended: false, waiting: Vec::new() });

struct Input {
    /// Where in the buffer the bytes are that were not yet read.
    start: usize,
    end: usize,
    /// Whether the buffer is the monitor's.
    under_way: bool,
    /// Whether the last request brought the end of input, of which nobody was told yet.
    ended: bool,
    waiting: Vec<Waker>,
}

/// Reads input into `buffer`: at least one byte, as many as there are; 0 at the end of input.
///
/// A failure of the host counts as the end. The monitor's end of input is final: each later call yields 0 as well, after
/// an exit to the monitor.
pub async fn read(buffer: &mut [u8]) -> usize {
    if buffer.is_empty() {
        return 0;
    }
    poll_fn(|context| poll_read(buffer, context)).await
}

fn poll_read(buffer: &mut [u8], context: &Context<'_>) -> Poll<usize> {
    INPUT.with(|input| {
        if core::mem::take(&mut input.ended) {
            return Poll::Ready(0);
        }
        let count = buffer.len().min(input.end - input.start);
        if count > 0 {
            let from = BUFFER.address().wrapping_add(input.start).cast_const();
            // SAFETY: `start..end` is inside the buffer, which is not the monitor's while there are bytes in it.
            unsafe { from.copy_to_nonoverlapping(buffer.as_mut_ptr(), count) };
            input.start += count;
            return Poll::Ready(count);
        }
        if !input.waiting.iter().any(|known| known.will_wake(context.waker())) {
            input.waiting.push(context.waker().clone());
        }
        if !input.under_way {
            input.under_way = true;
            // SAFETY: the static buffer is left alone until the completion.
            unsafe { ring::submit_console_input(BUFFER.address(), SIZE) };
        }
        Poll::Pending
    })
}

/// The monitor has given the buffer back.
pub(crate) fn done(result: Result<u64, Status>) {
    let waiting = INPUT.with(|input| {
        input.under_way = false;
        input.start = 0;
        input.end = SIZE.min(result.unwrap_or(0) as usize);
        input.ended = input.end == 0;
        core::mem::take(&mut input.waiting)
    });
    waiting.into_iter().for_each(Waker::wake);
}
