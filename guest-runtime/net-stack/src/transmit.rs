//! Frames to be sent, and the buffers for them.

use crate::config::Link;
use crate::connection::zeroed;
use crate::header::{HEADER_SIZE, Work};
use crate::segments::{LONGEST_FRAME, MOST_HEADERS, Run, finish};
use crate::wire::Outgoing;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::wire::ETHERNET_HEADER_LEN;

/// The bytes of a large buffer.
const LARGE: usize = HEADER_SIZE + LONGEST_FRAME;

#[derive(Debug)]
pub(crate) struct Transmit {
    link: Link,
    /// What the link carries, whatever limit its MTU here has.
    full_mtu: u16,
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
    /// How many large buffers may still be made.
    large_left: usize,
    queued: VecDeque<Queued>,
}

/// A frame that waits for the driver.
#[derive(Debug)]
struct Queued {
    buffer: Box<[u8]>,
    /// The bytes of the header and the frame.
    length: usize,
    /// What it is the beginning of.
    run: Option<Run>,
}

impl Transmit {
    pub(crate) fn new(link: &Link) -> Self {
        let mut link = *link;
        if !link.offloads.checksum {
            (link.offloads.tso4, link.offloads.tso6) = (false, false);
        }
        let size = HEADER_SIZE + ETHERNET_HEADER_LEN + usize::from(link.mtu);
        Self {
            small: (0..link.buffers).map(|_| vec![0; size].into()).collect(),
            large: Vec::new(),
            large_left: link.offloads.large_buffers,
            queued: VecDeque::with_capacity(link.buffers),
            full_mtu: link.mtu,
            link,
        }
    }

    /// The most bytes behind the Ethernet header.
    pub(crate) fn mtu(&self) -> usize {
        usize::from(self.link.mtu)
    }

    /// The same where there is no limit but the link's.
    pub(crate) fn full_mtu(&self) -> usize {
        usize::from(self.full_mtu)
    }

    /// Has frames carry no more than `mtu` bytes, or what the link carries, if that is less. Whether that is new.
    pub(crate) fn limit_mtu(&mut self, mtu: u32) -> bool {
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX).min(self.full_mtu);
        core::mem::replace(&mut self.link.mtu, mtu) != mtu
    }

    /// Whether the device completes the checksums of TCP and UDP.
    pub(crate) fn completes_checksums(&self) -> bool {
        self.link.offloads.checksum
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.small.is_empty()
    }

    pub(crate) fn release(&mut self, buffer: Box<[u8]>) {
        let pool = if buffer.len() == LARGE { &mut self.large } else { &mut self.small };
        pool.push(buffer);
    }

    /// How many frames wait for the driver.
    pub(crate) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// Queues a frame of `length` bytes, which `write` makes. `joins`: it comes from the same connection as the last one, right
    /// after it, and may become a part of that.
    pub(crate) fn send<R>(&mut self, length: usize, joins: bool, write: impl FnOnce(&mut [u8]) -> R) -> R {
        if joins && let Some((last, run)) = self.take_joinable(length) {
            return self.send_joining(last, run, length, write);
        }
        // smoltcp asks for a token only where `transmit` said that there is a buffer, and for no more than the MTU.
        let Some(mut buffer) = self.small.pop_if(|buffer| buffer.len() >= HEADER_SIZE + length) else {
            return write(&mut vec![0; length]);
        };
        let frame = &mut buffer[HEADER_SIZE..][..length];
        let result = write(frame);
        let run = Run::begin(frame, &self.link.offloads);
        self.queued.push_back(Queued { buffer, length: HEADER_SIZE + length, run });
        result
    }

    /// Takes the last frame back, in a large buffer, if one of `length` bytes may join it.
    fn take_joinable(&mut self, length: usize) -> Option<(Queued, Run)> {
        let last = self.queued.back()?;
        let run = last.run.filter(|run| run.may_take(last.length - HEADER_SIZE, length))?;
        if last.buffer.len() < LARGE {
            let mut buffer = self.large.pop().or_else(|| self.make_large())?;
            let last = self.queued.back_mut()?;
            buffer[..last.length].copy_from_slice(&last.buffer[..last.length]);
            self.small.push(core::mem::replace(&mut last.buffer, buffer));
        }
        Some((self.queued.pop_back()?, run))
    }

    fn make_large(&mut self) -> Option<Box<[u8]>> {
        self.large_left = self.large_left.checked_sub(1)?;
        zeroed(LARGE).map(Vec::into_boxed_slice)
    }

    /// As [`send`](Self::send), with the frame that it may join. The new one is written where its payload has its place then; its
    /// headers cover the end of the other's payload as long as it takes to look at them.
    fn send_joining<R>(
        &mut self,
        mut last: Queued,
        mut run: Run,
        length: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let start = last.length - run.headers;
        let mut covered = [0; MOST_HEADERS];
        let covered = &mut covered[..run.headers];
        covered.copy_from_slice(&last.buffer[start..last.length]);
        let (before, rest) = last.buffer.split_at_mut(start);
        let frame = &mut rest[..length];
        let result = write(frame);
        let joined = run.join(&mut before[HEADER_SIZE..], frame);
        let mut own = None;
        if !joined && let Some(mut buffer) = self.small.pop() {
            buffer[HEADER_SIZE..][..length].copy_from_slice(frame);
            let run = Run::begin(frame, &self.link.offloads);
            own = Some(Queued { buffer, length: HEADER_SIZE + length, run });
        }
        frame[..covered.len()].copy_from_slice(covered);
        if joined {
            last.length = start + length;
            last.run = Some(run);
        }
        self.queued.push_back(last);
        self.queued.extend(own);
        result
    }

    /// The next frame for the driver, with its header.
    pub(crate) fn take(&mut self) -> Option<Outgoing> {
        let Queued { mut buffer, length, run } = self.queued.pop_front()?;
        let (header, frame) = buffer.split_at_mut(HEADER_SIZE);
        let work = if self.link.offloads.checksum {
            finish(&mut frame[..length - HEADER_SIZE], run)
        } else {
            Work::default()
        };
        header.copy_from_slice(&work.to_bytes());
        Some(Outgoing { buffer, length })
    }
}
