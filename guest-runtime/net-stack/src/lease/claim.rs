//! Whether an IPv4 address is free to use, and stays so (RFC 5227): the state of one address, without I/O and clock.
//!
//! RFC 5227 has a host wait for up to nine seconds before it uses an address. A guest is up within milliseconds, and its user has
//! chosen the address, or a server that has looked for others first. So, as RFC 4429 does for IPv6, an address is used while the
//! questions are still being asked:
//!
//! - A static one at once, a leased one when the first question has had no answer for [`PATIENCE`], or at once where that was chosen.
//! - What is asked names no sender, so that it changes nobody's mind. Only when the first question has had no answer for that time is
//!   the address announced, as an announcement would draw the packets of the one who has it.
//! - Whoever turns up until the last question is answered was there before: the address is given up.
//! - Who turns up later is told whose it is. If that does not help, a leased address is given back for another; a static one is kept,
//!   as otherwise any host on the link could take this one off it by two frames.

use crate::random::Random;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, Ipv4Address};

/// How long to wait for an answer to the first question before an address is announced, and a leased one is used: a hundred times what
/// a host on the same link takes.
const PATIENCE: Duration = Duration::from_millis(100);
/// PROBE_NUM of RFC 5227, section 1.1, and so on.
const QUESTIONS: u8 = 3;
const LEAST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// ANNOUNCE_WAIT: how long to wait for an answer to the last question.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// DEFEND_INTERVAL: how long not to tell others again whose an address is.
const DEFENCE: Duration = Duration::from_secs(10);
/// RATE_LIMIT_INTERVAL: when to try a static address again that somebody else has, at the earliest, and at the latest: two hosts that
/// have taken it from each other must not do so for ever.
const RETRY: Duration = Duration::from_secs(60);
const LATEST_RETRY: Duration = Duration::from_secs(90);

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Config,
    Lease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// So many questions have been asked; it may be announced after the first.
    Asking {
        asked: u8,
        announced: bool,
    },
    Held,
    /// It is this one's.
    Lost(EthernetAddress),
}

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Does anybody have it?
    Probe,
    /// It is mine.
    Announcement,
}

/// What an ARP packet means for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Nothing,
    /// It is given up.
    Lost,
    /// Others are to be told whose it is.
    Defend,
    /// Somebody asks whether it is free, and is to be told that it is not.
    Reply,
}

/// An address that this host wants to use.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) address: Ipv4Address,
    pub(crate) source: Source,
    stage: Stage,
    in_use: bool,
    next: Option<Instant>,
    /// When others were last told whose it is.
    defended: Option<Instant>,
}

impl Claim {
    /// A claim whose first question is due now.
    pub(crate) fn new(address: Ipv4Address, source: Source, now: Instant) -> Self {
        Self {
            address,
            source,
            stage: Stage::Asking { asked: 0, announced: false },
            in_use: source == Source::Config,
            next: Some(now),
            defended: None,
        }
    }

    /// The same, with the address in use.
    pub(crate) fn in_use_at_once(self) -> Self {
        Self { in_use: true, ..self }
    }

    /// Whether the address is used.
    pub(crate) fn is_in_use(&self) -> bool {
        self.in_use
    }

    /// Whose address it is, if that is somebody else.
    pub(crate) fn lost_to(&self) -> Option<EthernetAddress> {
        if let Stage::Lost(other) = self.stage { Some(other) } else { None }
    }

    /// When to be polled at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Does what is due; what is to be sent.
    pub(crate) fn poll(&mut self, now: Instant, random: &mut Random) -> Option<Notice> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        let (notice, stage, wait) = match self.stage {
            Stage::Asking { asked: asked @ 1, announced: false } => {
                self.in_use = true;
                let pause = random.between(LEAST_PAUSE, LONGEST_PAUSE) - PATIENCE;
                (Some(Notice::Announcement), Stage::Asking { asked, announced: true }, Some(pause))
            }
            Stage::Asking { asked: QUESTIONS, .. } => (Some(Notice::Announcement), Stage::Held, None),
            Stage::Asking { asked, announced } => {
                let asked = asked + 1;
                let wait = match asked {
                    1 if !announced => PATIENCE,
                    QUESTIONS => LAST_PATIENCE,
                    _ => random.between(LEAST_PAUSE, LONGEST_PAUSE),
                };
                (Some(Notice::Probe), Stage::Asking { asked, announced }, Some(wait))
            }
            Stage::Lost(_) => {
                let stage = Stage::Asking { asked: 1, announced: false };
                (Some(Notice::Probe), stage, Some(PATIENCE))
            }
            Stage::Held => (None, Stage::Held, None),
        };
        self.stage = stage;
        self.next = wait.map(|wait| now + wait);
        notice
    }

    /// Asks anew, as the link may be another one now. Meanwhile the address is used, if it was.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.stage = Stage::Asking { asked: 0, announced: false };
        self.next = Some(now);
    }

    /// Looks at an ARP packet from `other`, which says that it has the address `sender` and asks for, or tells, `target`.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        other: EthernetAddress,
        sender: Ipv4Address,
        target: Ipv4Address,
        random: &mut Random,
    ) -> Verdict {
        let asks = sender.is_unspecified() && target == self.address;
        if asks && self.in_use {
            return Verdict::Reply;
        }
        // Who asks for it before it is in use was as early as this host; both leave it (RFC 5227, section 2.1.1).
        if sender != self.address && !asks {
            return Verdict::Nothing;
        }
        match self.stage {
            Stage::Lost(_) => Verdict::Nothing,
            Stage::Asking { .. } => self.lose(now, other, random),
            Stage::Held => {
                let was_defended = self.defended.is_some_and(|then| now < then + DEFENCE);
                match (was_defended, self.source) {
                    (false, _) => {
                        self.defended = Some(now);
                        Verdict::Defend
                    }
                    // Not with each frame, or two hosts with the same idea would flood the link.
                    (true, Source::Config) => Verdict::Nothing,
                    (true, Source::Lease) => self.lose(now, other, random),
                }
            }
        }
    }

    fn lose(&mut self, now: Instant, other: EthernetAddress, random: &mut Random) -> Verdict {
        self.stage = Stage::Lost(other);
        self.in_use = false;
        self.next = (self.source == Source::Config).then(|| now + random.between(RETRY, LATEST_RETRY));
        Verdict::Lost
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
