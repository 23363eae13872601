//! Which connection a session id was first used for. A signature covers its session id, so one that
//! was passed on for one connection is of no use for another.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ssh_key::HashAlg;

use crate::model::ConnectionId;
use crate::sys::clock::monotonic;

/// How long a session id is remembered.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// Most session ids that are remembered.
const MAX_SESSIONS: usize = 65_536;

/// The session ids of the last hour. Only those with a verified signature are remembered.
#[derive(Debug, Default)]
pub(super) struct SeenSessions(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    of: HashMap<Vec<u8>, ConnectionId>,
    /// The oldest first.
    order: VecDeque<(Duration, Vec<u8>)>,
}

impl SeenSessions {
    /// Whether this session id is the connection's. It becomes so if it is new.
    pub(super) fn is_of(&self, session: &[u8], connection: ConnectionId) -> bool {
        self.is_of_at(session, connection, monotonic())
    }

    fn is_of_at(&self, session: &[u8], connection: ConnectionId, now: Duration) -> bool {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.forget(now);
        // Session ids are as long as their hash; others would be somebody's attempt to fill memory.
        let id = HashAlg::Sha256.digest(session);
        if let Some(first) = sessions.of.get(&id) {
            return *first == connection;
        }
        sessions.order.push_back((now, id.clone()));
        sessions.of.insert(id, connection);
        true
    }
}

impl Sessions {
    fn forget(&mut self, now: Duration) {
        while let Some((since, _)) = self.order.front()
            && (now.saturating_sub(*since) > KEPT || self.order.len() >= MAX_SESSIONS)
        {
            if let Some((_, id)) = self.order.pop_front() {
                self.of.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_of_one_connection_for_an_hour() {
        let seen = SeenSessions::default();
        let (first, second) = (ConnectionId::new(), ConnectionId::new());
        let at = |seconds: u64| Duration::from_secs(1_000 + seconds);
        assert!(seen.is_of_at(b"session", first, at(0)));
        assert!(seen.is_of_at(b"session", first, at(3_600)));
        assert!(!seen.is_of_at(b"session", second, at(3_600)));
        assert!(seen.is_of_at(b"another", second, at(3_600)));
        assert!(seen.is_of_at(b"session", second, at(3_601)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let seen = SeenSessions::default();
        for number in 0..=MAX_SESSIONS {
            assert!(seen.is_of_at(&number.to_be_bytes(), ConnectionId::new(), Duration::ZERO));
        }
        let sessions = seen.0.lock().unwrap();
        assert_eq!(sessions.of.len(), MAX_SESSIONS);
        assert_eq!(sessions.order.len(), MAX_SESSIONS);
    }
}
