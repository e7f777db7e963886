//! The sessions that clients may resume.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use rustls::server::StoresServerSessions;
use spin::Mutex;

/// How many sessions are kept; a client gets two in each handshake.
const MOST: usize = 1024;

/// The memory that all of them take, in bytes: each has its ticket twice, of 32 bytes; its keys, and a server's name of up to 253 bytes, in
/// a vector that grew to 512; and what an allocator and two collections keep for it.
pub(crate) const SESSIONS_MEMORY: usize = MOST * 1024;

/// Sessions by the ticket that the client has, each good for once: so many as there is room for, the oldest of which goes.
///
/// The keys of a session are here alone, and not in the ticket: there is none that would open all of them.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_ticket: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The tickets in the order in which they came; may name some that are gone.
    order: VecDeque<Vec<u8>>,
}

impl core::fmt::Debug for Kept {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // These are secrets.
        f.debug_struct("Kept").field("count", &self.by_ticket.len()).finish_non_exhaustive()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, ticket: Vec<u8>, session: Vec<u8>) -> bool {
        let mut kept = self.0.lock();
        if kept.order.len() == MOST
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.by_ticket.remove(&oldest);
        }
        kept.order.push_back(ticket.clone());
        kept.by_ticket.insert(ticket, session);
        true
    }

    fn get(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().by_ticket.get(ticket).cloned()
    }

    fn take(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().by_ticket.remove(ticket)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(number: usize) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn a_session_is_good_for_once() {
        let sessions = Sessions::default();
        assert!(sessions.can_cache() && sessions.put(ticket(1), ticket(2)));
        assert_eq!(sessions.get(&ticket(1)), Some(ticket(2)));
        assert_eq!(sessions.take(&ticket(1)), Some(ticket(2)));
        assert_eq!((sessions.take(&ticket(1)), sessions.get(&ticket(1))), (None, None));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let sessions = Sessions::default();
        for number in 0..MOST + 3 {
            sessions.put(ticket(number), ticket(number));
            if number == 1 {
                sessions.take(&ticket(1));
            }
        }
        let kept = sessions.0.lock();
        assert!(kept.by_ticket.len() <= MOST && kept.order.len() == MOST);
        assert!(!kept.by_ticket.contains_key(&ticket(2)) && kept.by_ticket.contains_key(&ticket(3)));
    }
}
