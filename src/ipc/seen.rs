//! Which connection a session id was first used for. A signature covers its session id, so one that
//! was passed on for one connection is of no use for another, and of none once that one has ended.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ssh_key::HashAlg;

use crate::model::ConnectionId;
use crate::sys::clock::monotonic;

/// How long a session id is remembered.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// Most session ids that are remembered.
const MAX_SESSIONS: usize = 65_536;

/// The hash of a session id. Session ids are as long as their hash; others would be an attempt to fill
/// memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionDigest(Vec<u8>);

impl SessionDigest {
    /// The hash of this session id.
    #[must_use]
    pub fn of(session: &[u8]) -> Self {
        Self(HashAlg::Sha256.digest(session))
    }
}

/// A connection of a process: processes number theirs by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOwner {
    /// The number of the process.
    pub caller: u64,
    /// The connection, as the process numbers it.
    pub connection: ConnectionId,
}

/// The session ids of the last hour. Only those with a verified signature are remembered.
#[derive(Debug, Default)]
pub struct SeenSessions(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    /// The connection; `None` once it has ended.
    of: HashMap<SessionDigest, Option<SessionOwner>>,
    /// The oldest first.
    order: VecDeque<(Duration, SessionDigest)>,
}

impl SeenSessions {
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this session is the connection's. It becomes so if it is new.
    #[must_use]
    pub fn is_of(&self, session: &SessionDigest, owner: SessionOwner) -> bool {
        self.is_of_at(session, owner, monotonic())
    }

    fn is_of_at(&self, session: &SessionDigest, owner: SessionOwner, now: Duration) -> bool {
        let mut sessions = self.lock();
        sessions.forget(now);
        if let Some(first) = sessions.of.get(session) {
            return *first == Some(owner);
        }
        sessions.order.push_back((now, session.clone()));
        sessions.of.insert(session.clone(), Some(owner));
        true
    }

    /// The connection of this session has ended: its signatures count no longer.
    pub fn end(&self, session: &SessionDigest) {
        if let Some(owner) = self.lock().of.get_mut(session) {
            *owner = None;
        }
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

    fn owner() -> SessionOwner {
        SessionOwner {
            caller: 1,
            connection: ConnectionId::new(),
        }
    }

    #[test]
    fn a_session_is_of_one_connection_for_an_hour() {
        let seen = SeenSessions::default();
        let (first, second) = (owner(), owner());
        let is_of = |session: &[u8], owner, seconds: u64| {
            let at = Duration::from_secs(1_000 + seconds);
            seen.is_of_at(&SessionDigest::of(session), owner, at)
        };
        assert!(is_of(b"session", first, 0));
        assert!(is_of(b"session", first, 3_600));
        assert!(!is_of(b"session", second, 3_600));
        assert!(is_of(b"another", second, 3_600));
        assert!(is_of(b"session", second, 3_601));
    }

    /// Another process may number its connections in the same way.
    #[test]
    fn a_session_is_of_one_process() {
        let seen = SeenSessions::default();
        let first = owner();
        let other = SessionOwner { caller: 2, ..first };
        let session = SessionDigest::of(b"session");
        assert!(seen.is_of(&session, first));
        assert!(!seen.is_of(&session, other));
    }

    #[test]
    fn a_session_ends_with_its_connection() {
        let seen = SeenSessions::default();
        let (first, session) = (owner(), SessionDigest::of(b"session"));
        assert!(seen.is_of(&session, first));
        seen.end(&session);
        assert!(!seen.is_of(&session, first));
        assert!(!seen.is_of(&session, owner()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let seen = SeenSessions::default();
        for number in 0..=MAX_SESSIONS {
            let session = SessionDigest::of(&number.to_be_bytes());
            assert!(seen.is_of_at(&session, owner(), Duration::ZERO));
        }
        let sessions = seen.lock();
        assert_eq!(sessions.of.len(), MAX_SESSIONS);
        assert_eq!(sessions.order.len(), MAX_SESSIONS);
    }
}
