//! The conversations that go on, by caller and connection. Their number and their life are bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::conversation::{Conversation, Stage};
use crate::ipc::PeopleRequest;
use crate::model::ConnectionId;

/// Most conversations of one calling process that are not signed in.
const MAX_ASKING: usize = 4_096;
/// Most connections of one calling process that are signed in.
const MAX_PRESENT: usize = 65_536;
/// How long a client has until it is signed in.
const LIFE: Duration = Duration::from_secs(5 * 60);

/// A conversation in the table.
#[derive(Debug)]
pub(super) struct Slot {
    began: Duration,
    is_present: AtomicBool,
    conversation: Mutex<Conversation>,
}

impl Slot {
    /// Waits until the last request about it is answered.
    pub(super) fn lock(&self) -> MutexGuard<'_, Conversation> {
        self.conversation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the person is signed in, when a request is answered.
    pub(super) fn note(&self, conversation: &Conversation) {
        let is_present = matches!(conversation.stage, Stage::SignedIn(_));
        self.is_present.store(is_present, Ordering::Relaxed);
    }

    fn is_over(&self, now: Duration) -> bool {
        !self.is_present.load(Ordering::Relaxed) && now.saturating_sub(self.began) >= LIFE
    }
}

/// The conversations of all callers.
#[derive(Debug, Default)]
pub(super) struct ConversationTable(Mutex<HashMap<u64, HashMap<ConnectionId, Arc<Slot>>>>);

impl ConversationTable {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, HashMap<ConnectionId, Arc<Slot>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conversation about a connection, if it has begun and is not over. `now` is a moment of the
    /// monotonic clock.
    pub(super) fn find(
        &self,
        caller: u64,
        connection: ConnectionId,
        now: Duration,
    ) -> Option<Arc<Slot>> {
        let table = self.lock();
        let slot = table.get(&caller)?.get(&connection)?;
        (!slot.is_over(now)).then(|| Arc::clone(slot))
    }

    /// The same; it begins if there is none. `None` if the caller has too many.
    pub(super) fn find_or_begin(
        &self,
        caller: u64,
        request: &PeopleRequest,
        now: Duration,
    ) -> Option<Arc<Slot>> {
        let mut table = self.lock();
        let of_caller = table.entry(caller).or_default();
        if let Some(slot) = of_caller.get(&request.connection)
            && !slot.is_over(now)
        {
            return Some(Arc::clone(slot));
        }
        if of_caller.len() >= MAX_ASKING {
            of_caller.retain(|_, slot| !slot.is_over(now));
            let present = of_caller.values();
            let present = present.filter(|slot| slot.is_present.load(Ordering::Relaxed));
            let present = present.count();
            if of_caller.len() - present >= MAX_ASKING || present >= MAX_PRESENT {
                return None;
            }
        }
        let slot = Arc::new(Slot {
            began: now,
            is_present: AtomicBool::new(false),
            conversation: Mutex::new(Conversation::new(caller, request)),
        });
        of_caller.insert(request.connection, Arc::clone(&slot));
        Some(slot)
    }

    /// Wipes what is known about clients that have not signed in in time.
    pub(super) fn sweep(&self, now: Duration) {
        for of_caller in self.lock().values_mut() {
            of_caller.retain(|_, slot| !slot.is_over(now));
        }
    }

    /// The connection has ended; what was known about it.
    pub(super) fn end(&self, caller: u64, connection: ConnectionId) -> Option<Arc<Slot>> {
        self.lock().get_mut(&caller)?.remove(&connection)
    }

    /// The process has exited.
    pub(super) fn forget_caller(&self, caller: u64) {
        self.lock().remove(&caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::PeopleQuestion;

    fn request() -> PeopleRequest {
        PeopleRequest {
            connection: ConnectionId::new(),
            client: "203.0.113.7:50000".parse().unwrap(),
            user: "alice".to_owned(),
            waited: 0,
            ask: PeopleQuestion::Begin,
        }
    }

    #[test]
    fn a_conversation_is_its_callers_and_lasts_five_minutes() {
        let table = ConversationTable::default();
        let request = request();
        let connection = request.connection;
        let at = |seconds: u64| Duration::from_secs(1_000 + seconds);
        assert!(table.find(1, connection, at(0)).is_none());
        let slot = table.find_or_begin(1, &request, at(0)).unwrap();
        assert!(table.find(2, connection, at(0)).is_none());
        assert!(table.find(1, connection, at(299)).is_some());
        assert!(table.find(1, connection, at(300)).is_none());
        // A person who is signed in stays.
        slot.is_present.store(true, Ordering::Relaxed);
        assert!(table.find(1, connection, at(300_000)).is_some());
        table.sweep(at(300_000));
        assert!(table.find(1, connection, at(300_000)).is_some());
        table.end(1, connection);
        assert!(table.find(1, connection, at(0)).is_none());
        table.find_or_begin(1, &request, at(0)).unwrap();
        table.forget_caller(1);
        assert!(table.find(1, connection, at(0)).is_none());
    }

    #[test]
    fn a_caller_has_a_bounded_number_of_them() {
        let table = ConversationTable::default();
        let at = |seconds: u64| Duration::from_secs(1_000 + seconds);
        for _ in 0..MAX_ASKING {
            assert!(table.find_or_begin(1, &request(), at(0)).is_some());
        }
        assert!(table.find_or_begin(1, &request(), at(299)).is_none());
        assert!(table.find_or_begin(2, &request(), at(299)).is_some());
        // Those that are over make room.
        assert!(table.find_or_begin(1, &request(), at(300)).is_some());
        assert_eq!(table.lock()[&1].len(), 1);
        table.sweep(at(600));
        assert_eq!(table.lock()[&1].len(), 0);
    }
}
