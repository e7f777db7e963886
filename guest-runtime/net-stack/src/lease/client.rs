//! The DHCP client: when to ask whom, and what to make of the answers (RFC 2131, figure 5). It does no I/O and has no clock: it is told
//! what came and what time it is, and says what to send.
//!
//! ```text
//!             first offer              ack                 nobody has it
//! Selecting ─────────────▶ Requesting ─────▶ Checking ───────────────────▶ Bound ◀──┐
//!   ▲ ▲ ▲                      │                │                      T1 │   ▲     │ ack
//!   │ │ └──── nak, silence ────┘                │ somebody has it: decline▼   │     │
//!   │ └─────────────────────────────────────────┘       Renewing ─── ack ─┘     │
//!   │                                                    T2 │                   │
//!   ├──────────────── nak, expiry ── Rebinding ◀────────────┴── ack ────────────┤
//!   └──────────────── nak, expiry ── Rebooting ◀── link up ── Bound … ── ack ───┘
//! ```

use super::answer::{Answer, Grant, Kind};
use super::configuration::Lease;
use super::request::Question;
use crate::random::Random;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{DhcpMessageType, Ipv4Address};

/// The first wait for an answer. RFC 2131, section 4.1, has 4 s, for networks of its time; on the link of a virtual machine a server
/// answers within milliseconds, and what is lost is lost because a bridge or the server has just been started.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for an answer (RFC 2131, section 4.1).
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// The least time between two requests for more time, where the lease is long enough for it (RFC 2131, section 4.4.5).
const RENEWAL_WAIT: Duration = Duration::from_secs(60);
/// The least time that a server may name until it is asked for more: it would be asked for ever as often as that.
const LEAST_TIME: Duration = Duration::from_secs(2);
/// How long to keep quiet after an address was declined (RFC 2131, section 3.1).
const AFTER_DECLINE: Duration = Duration::from_secs(10);
/// How often a server is asked for what it has offered before others are.
const MOST_REQUESTS: u32 = 4;
/// How often to ask whether a lease still holds before its own time counts again (RFC 2131, section 3.2).
const MOST_REBOOTS: u32 = 4;
/// From which try on the answer is to be a broadcast, for servers and relays that cannot send to an address that nobody has yet.
const BROADCAST_FROM: u32 = 3;

/// A lease and its times; `None`: never.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    lease: Lease,
    renew: Option<Instant>,
    rebind: Option<Instant>,
    expire: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The link is down, and there is no lease.
    Waiting,
    /// Asking who has an address.
    Selecting,
    /// Asking for the address that was offered.
    Requesting {
        address: Ipv4Address,
        server: Ipv4Address,
    },
    /// It was given, and is not in use yet.
    Checking(Held),
    Bound(Held),
    /// Asking the server that gave it for more time.
    Renewing(Held),
    /// Asking any server for more time.
    Rebinding(Held),
    /// Asking any server whether it still holds.
    Rebooting(Held),
}

/// The client.
#[derive(Debug)]
pub(crate) struct Client {
    state: State,
    transaction: u32,
    /// Since when it has been asking for what it has not got.
    since: Instant,
    /// When it has asked in this state for the first time.
    asked: Instant,
    /// Whether answers are to be broadcasts.
    broadcast: bool,
    /// How often it has asked in this state.
    tries: u32,
    /// When to ask.
    next: Option<Instant>,
    /// Addresses that were refused in a row: naks and declined ones.
    failures: u32,
    random: Random,
}

impl Client {
    /// A client that asks at once.
    pub(crate) fn new(now: Instant, random: Random) -> Self {
        let mut client = Self {
            state: State::Waiting,
            transaction: 0,
            since: now,
            asked: now,
            broadcast: false,
            tries: 0,
            next: None,
            failures: 0,
            random,
        };
        client.enter(State::Selecting, now, now);
        client
    }

    /// The lease that is in use.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound(held) | State::Renewing(held) | State::Rebinding(held) | State::Rebooting(held) => {
                Some(&held.lease)
            }
            _ => None,
        }
    }

    /// The lease that is to be checked before it is used.
    pub(crate) fn to_check(&self) -> Option<&Lease> {
        if let State::Checking(held) = &self.state { Some(&held.lease) } else { None }
    }

    /// When to be polled at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting => None,
            State::Selecting | State::Requesting { .. } => self.next,
            State::Checking(held) => held.expire,
            State::Bound(held) => earliest([held.renew, held.expire, None]),
            State::Renewing(held) => earliest([self.next, held.rebind, held.expire]),
            State::Rebinding(held) | State::Rebooting(held) => earliest([self.next, held.expire, None]),
        }
    }

    /// Does what is due; what is to be sent.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Question> {
        self.pass_time(now);
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        if self.tries == 0 {
            self.asked = now;
        }
        self.broadcast |= self.tries + 1 >= BROADCAST_FROM;
        let kind = DhcpMessageType::Request;
        let (question, wait) = match &self.state {
            State::Waiting | State::Checking(_) | State::Bound(_) => return None,
            State::Selecting => {
                (Question { kind: DhcpMessageType::Discover, ..self.question(now) }, self.wait())
            }
            &State::Requesting { address, server } => {
                let question =
                    Question { kind, requested: Some(address), server: Some(server), ..self.question(now) };
                (question, self.wait())
            }
            State::Rebooting(held) => {
                let requested = Some(held.lease.address.address());
                (Question { kind, requested, ..self.question(now) }, self.wait())
            }
            State::Renewing(held) => {
                let (own, server) = (held.lease.address.address(), held.lease.server);
                let wait = renewal_wait(now, held.renew, held.rebind);
                // Who gave it without saying who it is can only be found among all.
                let to = (!server.is_unspecified()).then_some(server);
                (Question { kind, own, to, broadcast: false, ..self.question(now) }, wait)
            }
            State::Rebinding(held) => {
                let own = held.lease.address.address();
                let wait = renewal_wait(now, held.rebind, held.expire);
                (Question { kind, own, broadcast: false, ..self.question(now) }, wait)
            }
        };
        self.tries += 1;
        self.next = Some(now + self.spread(wait));
        Some(question)
    }

    /// Goes on to the state that is due by time alone.
    fn pass_time(&mut self, now: Instant) {
        let is_due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        let is_silent = is_due(self.next);
        match &self.state {
            State::Checking(held)
            | State::Bound(held)
            | State::Renewing(held)
            | State::Rebinding(held)
            | State::Rebooting(held)
                if is_due(held.expire) =>
            {
                self.enter(State::Selecting, now, now);
            }
            State::Requesting { .. } if is_silent && self.tries >= MOST_REQUESTS => {
                self.enter(State::Selecting, now, now);
            }
            State::Rebooting(held) if is_silent && self.tries >= MOST_REBOOTS => {
                self.state = State::Bound(held.clone());
                self.next = None;
                self.pass_time(now);
            }
            State::Bound(held) | State::Renewing(held) if is_due(held.rebind) => {
                self.enter(State::Rebinding(held.clone()), now, now);
            }
            State::Bound(held) if is_due(held.renew) => {
                self.enter(State::Renewing(held.clone()), now, now);
            }
            _ => {}
        }
    }

    /// Takes a server's answer. Whether it was one to the last question.
    pub(crate) fn receive(&mut self, now: Instant, answer: Answer) -> bool {
        if answer.transaction != self.transaction {
            return false;
        }
        let named = answer.server;
        // Who else but the one that was asked has a say.
        let (asked, is_for_all) = match &self.state {
            State::Waiting | State::Checking(_) | State::Bound(_) => return false,
            State::Selecting => (None, true),
            State::Requesting { server, .. } => (Some(*server), false),
            State::Renewing(held) => (Some(held.lease.server), false),
            State::Rebinding(held) | State::Rebooting(held) => (Some(held.lease.server), true),
        };
        let is_asked = is_for_all
            || asked.is_some_and(|asked| asked.is_unspecified())
            || named.is_none_or(|named| Some(named) == asked);
        match (answer.kind, answer.grant) {
            (Kind::Offer, Some(grant)) if self.state == State::Selecting => {
                // Without it nobody can be told whose offer is taken.
                let Some(server) = named else { return false };
                let address = grant.lease.address.address();
                // The same transaction, so that relays and servers see that it belongs together.
                self.state = State::Requesting { address, server };
                (self.tries, self.next) = (0, Some(now));
                true
            }
            (Kind::Ack, Some(grant)) if is_asked && self.state != State::Selecting => {
                self.accept(grant, named.or(asked));
                true
            }
            // A server must say that it is one to refuse something (RFC 2131, table 3).
            (Kind::Nak, _) if is_asked && named.is_some() && self.state != State::Selecting => {
                self.fail(now, Duration::ZERO);
                true
            }
            _ => false,
        }
    }

    /// An address was given, or given for longer.
    fn accept(&mut self, grant: Grant, server: Option<Ipv4Address>) {
        let Grant { mut lease, renewal, rebinding } = grant;
        lease.server = server.unwrap_or(Ipv4Address::UNSPECIFIED);
        let held = match lease.duration {
            None => Held { lease, renew: None, rebind: None, expire: None },
            Some(duration) => {
                let (renew, rebind) = self.times(duration.into(), renewal, rebinding);
                // The time counts from when it was asked for (RFC 2131, section 4.4.1).
                let at = |time: Duration| Some(self.asked + time);
                Held { renew: at(renew), rebind: at(rebind), expire: at(duration.into()), lease }
            }
        };
        let is_known =
            self.lease().is_some_and(|lease| lease.address.address() == held.lease.address.address());
        self.failures = if is_known { 0 } else { self.failures };
        self.next = None;
        self.state = if is_known { State::Bound(held) } else { State::Checking(held) };
    }

    /// When to ask the same server for more time, and when any: what the server says, if that is before the end, in this order and
    /// not less than [`LEAST_TIME`], else half and seven eighths of the whole (RFC 2131, section 4.4.5), a little less so that hosts
    /// that started together do not ask together for ever.
    fn times(
        &mut self,
        whole: Duration,
        renewal: Option<core::time::Duration>,
        rebinding: Option<core::time::Duration>,
    ) -> (Duration, Duration) {
        let usual = |random: &mut Random, time: Duration| random.between(time - time / 16, time);
        let (renewal, rebinding) = (renewal.map(Duration::from), rebinding.map(Duration::from));
        let rebind = rebinding
            .filter(|&time| {
                (LEAST_TIME..whole).contains(&time) && renewal.is_none_or(|renewal| renewal < time)
            })
            .unwrap_or_else(|| usual(&mut self.random, whole / 8 * 7));
        let renew = renewal
            .filter(|&time| (LEAST_TIME..rebind).contains(&time))
            .unwrap_or_else(|| usual(&mut self.random, (whole / 2).min(rebind)));
        (renew, rebind)
    }

    /// Nobody else has the address: it may be used.
    pub(crate) fn is_free(&mut self) {
        if let State::Checking(held) = &self.state {
            self.state = State::Bound(held.clone());
            self.failures = 0;
        }
    }

    /// Somebody else has the address that was given: what to send.
    pub(crate) fn decline(&mut self, now: Instant) -> Option<Question> {
        let lease = self.to_check().or_else(|| self.lease())?;
        let (address, server) = (lease.address.address(), lease.server);
        let question = Question {
            kind: DhcpMessageType::Decline,
            transaction: self.random.next() as u32,
            seconds: 0,
            own: Ipv4Address::UNSPECIFIED,
            requested: Some(address),
            server: (!server.is_unspecified()).then_some(server),
            broadcast: false,
            to: None,
        };
        self.fail(now, AFTER_DECLINE);
        Some(question)
    }

    /// The device says that frames pass again, or no more.
    pub(crate) fn link(&mut self, now: Instant, is_up: bool) {
        let held = match &self.state {
            State::Bound(held) | State::Renewing(held) | State::Rebinding(held) | State::Rebooting(held) => {
                Some(held.clone())
            }
            _ => None,
        };
        match (is_up, held) {
            // The network may be another one now.
            (true, Some(held)) => self.enter(State::Rebooting(held), now, now),
            (true, None) => self.enter(State::Selecting, now, now),
            // Its time goes on.
            (false, Some(held)) => {
                self.state = State::Bound(held);
                self.next = None;
            }
            (false, None) => {
                self.state = State::Waiting;
                self.next = None;
            }
        }
    }

    /// Starts anew, after `pause` at the earliest, and later each time in a row.
    fn fail(&mut self, now: Instant, pause: Duration) {
        self.failures = self.failures.saturating_add(1);
        let wait = match self.failures {
            1 => Duration::ZERO,
            failures => backoff(failures - 2),
        };
        self.enter(State::Selecting, now, now + wait.max(pause));
    }

    fn enter(&mut self, state: State, now: Instant, next: Instant) {
        self.state = state;
        self.transaction = self.random.next() as u32;
        (self.since, self.tries, self.next) = (now.max(next), 0, Some(next));
        self.broadcast = false;
    }

    /// How long to wait for an answer to what is sent now.
    fn wait(&self) -> Duration {
        backoff(self.tries)
    }

    /// A quarter more or less, so that hosts that started together do not ask together (RFC 2131, section 4.1).
    fn spread(&mut self, wait: Duration) -> Duration {
        self.random.between(wait - wait / 4, wait + wait / 4)
    }

    /// What all questions have in common.
    fn question(&self, now: Instant) -> Question {
        let seconds = if now > self.since { (now - self.since).secs() } else { 0 };
        Question {
            kind: DhcpMessageType::Discover,
            transaction: self.transaction,
            seconds: seconds.min(u64::from(u16::MAX)) as u16,
            own: Ipv4Address::UNSPECIFIED,
            requested: None,
            server: None,
            broadcast: self.broadcast,
            to: None,
        }
    }
}

/// The wait after so many that were in vain.
fn backoff(tries: u32) -> Duration {
    (FIRST_WAIT * 2_u32.saturating_pow(tries.min(16))).min(LONGEST_WAIT)
}

/// Half of what is left until `end`, but not less than a minute, or than a quarter of what there was from `start` on where that is
/// less: with a short lease one lost frame must not be its end.
fn renewal_wait(now: Instant, start: Option<Instant>, end: Option<Instant>) -> Duration {
    let Some(end) = end.filter(|end| *end > now) else { return RENEWAL_WAIT };
    let window = start.filter(|start| *start < end).map_or(RENEWAL_WAIT, |start| end - start);
    let least = RENEWAL_WAIT.min((window / 4).max(FIRST_WAIT));
    ((end - now) / 2).max(least)
}

fn earliest(times: [Option<Instant>; 3]) -> Option<Instant> {
    times.into_iter().flatten().min()
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
