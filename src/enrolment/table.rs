//! The connections of hosts, by calling process. Their number is bounded, and so is the life of those that have
//! not proved a key of a node.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ssh_key::{Fingerprint, PublicKey};

use crate::ipc::{NodesRequest, SessionDigest};
use crate::model::{ConnectionId, NodeId};

/// A tunnel that is written down.
#[derive(Clone, Copy, Debug)]
pub(super) struct RegisteredTunnel {
    pub(super) node: NodeId,
    pub(super) generation: u64,
}

/// Most connections of one calling process whose host is no node.
const MAX_STRANGERS: usize = 4_096;
/// Most connections of one calling process whose host is a node.
const MAX_PRESENT: usize = 65_536;
/// How long a host has until it is a node.
const LIFE: Duration = Duration::from_secs(5 * 60);

/// What is known about a connection.
#[derive(Debug)]
pub(super) struct HostConnection {
    pub(super) caller: u64,
    pub(super) connection: ConnectionId,
    pub(super) client: SocketAddr,
    /// The session id that its proofs are for.
    pub(super) session: Option<SessionDigest>,
    /// The host key that has proved itself.
    pub(super) proved: Option<ProvedHostKey>,
    /// Its tunnel, while it is open.
    pub(super) tunnel: Option<RegisteredTunnel>,
    /// Whether its host is a node.
    pub(super) is_node: bool,
}

/// A host key that has proved itself.
#[derive(Clone, Debug)]
pub(super) struct ProvedHostKey {
    pub(super) key: PublicKey,
    pub(super) fingerprint: Fingerprint,
}

impl HostConnection {
    pub(super) fn new(caller: u64, request: &NodesRequest) -> Self {
        Self {
            caller,
            connection: request.connection,
            client: request.client,
            session: None,
            proved: None,
            tunnel: None,
            is_node: false,
        }
    }
}

/// A connection in the table.
#[derive(Debug)]
pub(super) struct HostSlot {
    began: Duration,
    is_present: AtomicBool,
    host: Mutex<HostConnection>,
}

impl HostSlot {
    /// Waits until the last request about it is answered.
    pub(super) fn lock(&self) -> MutexGuard<'_, HostConnection> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether its host is a node, when a request is answered.
    pub(super) fn note(&self, host: &HostConnection) {
        self.is_present.store(host.is_node, Ordering::Relaxed);
    }

    fn is_over(&self, now: Duration) -> bool {
        !self.is_present.load(Ordering::Relaxed) && now.saturating_sub(self.began) >= LIFE
    }
}

type OfCaller = HashMap<ConnectionId, Arc<HostSlot>>;

/// The connections of all callers.
#[derive(Debug, Default)]
pub(super) struct HostTable(Mutex<HashMap<u64, OfCaller>>);

impl HostTable {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, OfCaller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known about a connection. `now` is a moment of the monotonic clock.
    pub(super) fn find(
        &self,
        caller: u64,
        connection: ConnectionId,
        now: Duration,
    ) -> Option<Arc<HostSlot>> {
        let table = self.lock();
        let slot = table.get(&caller)?.get(&connection)?;
        (!slot.is_over(now)).then(|| Arc::clone(slot))
    }

    /// The same; it begins if it is new. `None` if the caller has too many.
    pub(super) fn find_or_begin(
        &self,
        caller: u64,
        request: &NodesRequest,
        now: Duration,
    ) -> Option<Arc<HostSlot>> {
        let mut table = self.lock();
        let of_caller = table.entry(caller).or_default();
        if let Some(slot) = of_caller.get(&request.connection)
            && !slot.is_over(now)
        {
            return Some(Arc::clone(slot));
        }
        if of_caller.len() >= MAX_STRANGERS {
            of_caller.retain(|_, slot| !slot.is_over(now));
            let present = of_caller.values();
            let present = present.filter(|slot| slot.is_present.load(Ordering::Relaxed));
            let present = present.count();
            if of_caller.len() - present >= MAX_STRANGERS || present >= MAX_PRESENT {
                return None;
            }
        }
        let slot = Arc::new(HostSlot {
            began: now,
            is_present: AtomicBool::new(false),
            host: Mutex::new(HostConnection::new(caller, request)),
        });
        of_caller.insert(request.connection, Arc::clone(&slot));
        Some(slot)
    }

    /// Forgets hosts that have not become nodes in time.
    pub(super) fn sweep(&self, now: Duration) {
        for of_caller in self.lock().values_mut() {
            of_caller.retain(|_, slot| !slot.is_over(now));
        }
    }

    /// The connection has ended; what was known about it.
    pub(super) fn end(&self, caller: u64, connection: ConnectionId) -> Option<Arc<HostSlot>> {
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
    use crate::ipc::NodesQuestion;

    fn request() -> NodesRequest {
        NodesRequest {
            connection: ConnectionId::new(),
            client: "203.0.113.7:50000".parse().unwrap(),
            ask: NodesQuestion::Successors,
        }
    }

    #[test]
    fn a_connection_is_its_callers_and_a_stranger_has_five_minutes() {
        let table = HostTable::default();
        let request = request();
        let connection = request.connection;
        let at = |seconds: u64| Duration::from_secs(1_000 + seconds);
        assert!(table.find(1, connection, at(0)).is_none());
        let slot = table.find_or_begin(1, &request, at(0)).unwrap();
        assert!(table.find(2, connection, at(0)).is_none());
        assert!(table.find(1, connection, at(299)).is_some());
        assert!(table.find(1, connection, at(300)).is_none());
        // A node stays.
        slot.is_present.store(true, Ordering::Relaxed);
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
        let table = HostTable::default();
        let at = |seconds: u64| Duration::from_secs(1_000 + seconds);
        for _ in 0..MAX_STRANGERS {
            assert!(table.find_or_begin(1, &request(), at(0)).is_some());
        }
        assert!(table.find_or_begin(1, &request(), at(299)).is_none());
        assert!(table.find_or_begin(2, &request(), at(299)).is_some());
        // Those that are over make room.
        assert!(table.find_or_begin(1, &request(), at(300)).is_some());
        assert_eq!(table.lock()[&1].len(), 1);
    }
}
