//! The peer that has datagrams sent back: a socket of the kernel on the other side of the TAP.

use super::network::{GUEST, HOST, PORT};
use crate::error::Error;
use crate::session::Session;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, recvmmsg, sendmsg, setsockopt, sockopt::RcvBufForce,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Bytes of a datagram: with 8 bytes of UDP, 20 of IPv4 and 14 of Ethernet a frame of 64.
const DATAGRAM: usize = 22;
/// Datagrams that one call sends at most (the kernel's `UDP_MAX_SEGMENTS`), or takes.
const BATCH: usize = 64;
/// After so long a silence the datagrams under way are taken for lost.
const LOST: Duration = Duration::from_millis(20);
/// Bytes that may wait to be received: more than ever are under way.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A peer for one subject.
pub(super) struct Echo {
    socket: UdpSocket,
    /// Looks for answers all the time instead of sleeping: it has a processor of its own.
    spins: bool,
    headers: MultiHeaders<()>,
    /// Datagrams without an answer.
    under_way: usize,
    /// Datagrams that got none.
    pub(super) lost: usize,
}

impl Echo {
    /// A peer whose datagrams do come back.
    pub(super) fn new(spins: bool, session: &Session) -> Result<Self, Error> {
        let socket = UdpSocket::bind((HOST, 0)).and_then(|socket| {
            socket.connect((GUEST, PORT))?;
            socket.set_read_timeout(Some(LOST))?;
            Ok(socket)
        });
        let socket =
            socket.map_err(|error| Error::host(format!("no socket can be made ({error}); start again")))?;
        // Without the right to more, the default holds all that is under way on most machines; what is lost is told.
        let _ = setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER);
        let echo =
            Self { socket, spins, headers: MultiHeaders::preallocate(BATCH, None), under_way: 0, lost: 0 };
        echo.wait_for_the_first(session)?;
        Ok(echo)
    }

    /// Sends one datagram after the other until one comes back, and looks whether it is the same.
    fn wait_for_the_first(&self, session: &Session) -> Result<(), Error> {
        let start = Instant::now();
        let sent: [u8; DATAGRAM] = std::array::from_fn(|index| index as u8);
        let mut answer = [0; 2 * DATAGRAM];
        while start.elapsed() < session.patience {
            if session.is_interrupted() {
                return Err(Error::interrupted());
            }
            // An interface whose other side is just being attached to may refuse it.
            let _ = self.socket.send(&sent);
            match self.socket.recv(&mut answer) {
                Ok(length) if answer.get(..length) == Some(&sent) => return Ok(()),
                Ok(_) => return Err(Error::program("a datagram came back changed; look at the guest io")),
                Err(_) => {}
            }
        }
        Err(Error::program(format!(
            "no datagram came back within {} s; look whether a firewall drops UDP on tap0",
            session.patience.as_secs_f64()
        )))
    }

    /// Keeps `window` datagrams under way for `length` after `warm_up`; the mean time from one answer to the next, in
    /// nanoseconds.
    pub(super) fn measure(
        &mut self,
        window: usize,
        warm_up: Duration,
        length: Duration,
        session: &Session,
    ) -> Result<f64, Error> {
        self.exchange(window, warm_up, session)?;
        let start = Instant::now();
        let count = self.exchange(window, length, session)?;
        let took = start.elapsed();
        self.drain()?;
        if count == 0 {
            return Err(Error::program("datagrams do not come back any more; look at the guest io"));
        }
        Ok(took.as_nanos() as f64 / count as f64)
    }

    /// Keeps `window` datagrams under way, and longer than `length` where the machine was too busy for a single answer; how many
    /// answers there were.
    fn exchange(&mut self, window: usize, length: Duration, session: &Session) -> Result<usize, Error> {
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < if count > 0 { length } else { session.patience } {
            if session.is_interrupted() {
                return Err(Error::interrupted());
            }
            while self.under_way < window {
                self.send((window - self.under_way).min(BATCH))?;
            }
            count += self.receive()?;
        }
        Ok(count)
    }

    fn drain(&mut self) -> Result<(), Error> {
        while self.under_way > 0 {
            self.receive()?;
        }
        Ok(())
    }

    /// Sends datagrams with one call, which the kernel cuts: the peer shall not be what is measured.
    fn send(&mut self, count: usize) -> Result<(), Error> {
        const PAYLOAD: [u8; BATCH * DATAGRAM] = [0x55; BATCH * DATAGRAM];
        let bytes = PAYLOAD.get(..count * DATAGRAM).unwrap_or(&PAYLOAD);
        let segments = [ControlMessage::UdpGsoSegments(&(DATAGRAM as u16))];
        let segments = if count > 1 { &segments[..] } else { &[] };
        let sent =
            sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(bytes)], segments, MsgFlags::empty(), None);
        match sent {
            Ok(_) => {
                self.under_way += count;
                Ok(())
            }
            Err(error) => Err(Error::host(format!("the peer cannot send ({error}); start again"))),
        }
    }

    /// Waits for answers, and takes them; how many.
    fn receive(&mut self) -> Result<usize, Error> {
        let start = Instant::now();
        loop {
            // Of each only that it is there: what is in them was looked at once.
            let mut nowhere: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(&mut [])]);
            let taken = recvmmsg(
                self.socket.as_raw_fd(),
                &mut self.headers,
                nowhere.iter_mut(),
                MsgFlags::MSG_DONTWAIT,
                None,
            );
            match taken {
                Ok(answers) => {
                    let count = answers.count();
                    self.under_way = self.under_way.saturating_sub(count);
                    return Ok(count);
                }
                Err(Errno::EAGAIN) if start.elapsed() > LOST => {
                    self.lost += std::mem::take(&mut self.under_way);
                    return Ok(0);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => {
                    return Err(Error::host(format!("the peer cannot receive ({error}); start again")));
                }
            }
            if self.spins {
                std::hint::spin_loop();
            } else {
                let soon = Timespec { tv_sec: 0, tv_nsec: LOST.subsec_nanos().into() };
                // A signal ends it early, and what else may go wrong goes wrong in the next call.
                let _ = poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&soon));
            }
        }
    }
}
