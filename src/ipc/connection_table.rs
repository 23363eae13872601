//! What a service knows about the connections of calling processes, such as which keys have proved themselves.
//! Their number is bounded, and so is the life of those whose client has not proved who it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::ConnectionId;

/// Most connections of one calling process whose client is a stranger.
const MAX_STRANGERS: usize = 4_096;
/// Most connections of one calling process whose client is known.
const MAX_KNOWN: usize = 65_536;
/// How long a client may be a stranger.
const LIFE: Duration = Duration::from_secs(5 * 60);

/// What is known about one connection.
#[derive(Debug)]
pub struct ConnectionSlot<T> {
    began: Duration,
    is_known: AtomicBool,
    about: Mutex<T>,
}

impl<T> ConnectionSlot<T> {
    fn new(began: Duration, about: T) -> Self {
        Self {
            began,
            is_known: AtomicBool::new(false),
            about: Mutex::new(about),
        }
    }

    /// Waits until the last request about the connection is answered.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether it is known who the client is, when a request is answered: only strangers are forgotten
    /// after a while.
    pub fn note(&self, is_known: bool) {
        self.is_known.store(is_known, Ordering::Relaxed);
    }

    fn is_over(&self, now: Duration) -> bool {
        !self.is_known.load(Ordering::Relaxed) && now.saturating_sub(self.began) >= LIFE
    }
}

type OfCaller<T> = HashMap<ConnectionId, Arc<ConnectionSlot<T>>>;

/// The connections of all callers, which are told apart by numbers. `now` is a moment of the monotonic clock
/// in all functions.
#[derive(Debug)]
pub struct ConnectionTable<T>(Mutex<HashMap<u64, OfCaller<T>>>);

impl<T> Default for ConnectionTable<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> ConnectionTable<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, OfCaller<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known about a connection, if it has begun and is not over.
    #[must_use]
    pub fn find(
        &self,
        caller: u64,
        connection: ConnectionId,
        now: Duration,
    ) -> Option<Arc<ConnectionSlot<T>>> {
        let table = self.lock();
        let slot = table.get(&caller)?.get(&connection)?;
        (!slot.is_over(now)).then(|| Arc::clone(slot))
    }

    /// The same; it begins with `new` if there is none. `None` if the caller has too many.
    #[must_use]
    pub fn find_or_begin(
        &self,
        caller: u64,
        connection: ConnectionId,
        now: Duration,
        new: impl FnOnce() -> T,
    ) -> Option<Arc<ConnectionSlot<T>>> {
        let mut table = self.lock();
        let of_caller = table.entry(caller).or_default();
        if let Some(slot) = of_caller.get(&connection)
            && !slot.is_over(now)
        {
            return Some(Arc::clone(slot));
        }
        if of_caller.len() >= MAX_STRANGERS {
            of_caller.retain(|_, slot| !slot.is_over(now));
            let known = of_caller.values();
            let known = known.filter(|slot| slot.is_known.load(Ordering::Relaxed));
            let known = known.count();
            if of_caller.len() - known >= MAX_STRANGERS || known >= MAX_KNOWN {
                return None;
            }
        }
        let slot = Arc::new(ConnectionSlot::new(now, new()));
        of_caller.insert(connection, Arc::clone(&slot));
        Some(slot)
    }

    /// Forgets what is known about clients that have been strangers for too long.
    pub fn sweep(&self, now: Duration) {
        for of_caller in self.lock().values_mut() {
            of_caller.retain(|_, slot| !slot.is_over(now));
        }
    }

    /// What is known about all connections, also about those that are over.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ConnectionSlot<T>>> {
        let table = self.lock();
        table.values().flat_map(HashMap::values).cloned().collect()
    }

    /// The connection has ended; what was known about it.
    #[must_use]
    pub fn end(&self, caller: u64, connection: ConnectionId) -> Option<Arc<ConnectionSlot<T>>> {
        self.lock().get_mut(&caller)?.remove(&connection)
    }

    /// The process has exited.
    pub fn forget_caller(&self, caller: u64) {
        self.lock().remove(&caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    fn begin(table: &ConnectionTable<u8>, caller: u64, seconds: u64) -> bool {
        let new = table.find_or_begin(caller, ConnectionId::new(), at(seconds), || 7);
        new.is_some()
    }

    #[test]
    fn a_connection_is_its_callers_and_a_stranger_has_five_minutes() {
        let table = ConnectionTable::default();
        let connection = ConnectionId::new();
        assert!(table.find(1, connection, at(0)).is_none());
        let slot = table.find_or_begin(1, connection, at(0), || 7).unwrap();
        *slot.lock() += 1;
        assert!(table.find(2, connection, at(0)).is_none());
        assert_eq!(*table.find(1, connection, at(299)).unwrap().lock(), 8);
        assert!(table.find(1, connection, at(300)).is_none());
        // Who is known stays.
        slot.note(true);
        table.sweep(at(300_000));
        assert!(table.find(1, connection, at(300_000)).is_some());
        // It begins once, and anew when it is over.
        let again = |seconds| {
            table
                .find_or_begin(1, connection, at(seconds), || 7)
                .unwrap()
        };
        assert_eq!(*again(300_000).lock(), 8);
        slot.note(false);
        assert_eq!(*again(300_000).lock(), 7);
        assert_eq!(table.all().len(), 1);
        assert!(table.end(1, connection).is_some());
        assert!(table.all().is_empty());
        assert!(table.end(1, connection).is_none());
        assert!(table.find(1, connection, at(300_000)).is_none());
        again(0);
        table.forget_caller(1);
        assert!(table.find(1, connection, at(0)).is_none());
    }

    #[test]
    fn a_caller_has_a_bounded_number_of_strangers() {
        let table = ConnectionTable::default();
        for _ in 0..MAX_STRANGERS {
            assert!(begin(&table, 1, 0));
        }
        assert!(!begin(&table, 1, 299));
        assert!(begin(&table, 2, 299));
        // Those that are over make room.
        assert!(begin(&table, 1, 300));
        assert_eq!(table.lock()[&1].len(), 1);
        table.sweep(at(600));
        assert_eq!(table.lock()[&1].len(), 0);
    }

    #[test]
    fn a_caller_has_a_bounded_number_of_known_clients() {
        let table = ConnectionTable::default();
        let add = |count| {
            let known = (0..count).map(|_| {
                let slot = ConnectionSlot::new(at(0), 7);
                slot.note(true);
                (ConnectionId::new(), Arc::new(slot))
            });
            table.lock().entry(1).or_default().extend(known);
        };
        add(MAX_KNOWN - 1);
        assert!(begin(&table, 1, 0));
        add(1);
        assert!(!begin(&table, 1, 0));
        assert!(begin(&table, 2, 0));
    }
}
