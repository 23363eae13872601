//! The live connections and their sessions, for commands that list, watch or end them.
//!
//! Recorders write and commands read; neither waits for the other longer than it takes to copy a
//! list of pointers. The registry ends nothing itself: it passes commands on to the connections. It
//! has no sockets and no files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

use super::command::SessionCommand;
use super::context::SessionContext;
use super::participants::{JoinRefusal, JoinRequest, JoinSender, ParticipantRow};
use crate::access::Route;
use crate::model::{ConnectionId, HostAddress, Login, SessionId, SessionKind};

/// How many people may be about to join the sessions of one connection.
const MAX_JOINING: usize = 8;

/// How many commands may wait at one connection, which checks for them many times a second.
const MAX_ORDERS: usize = 8;

/// All live connections of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<ConnectionId, Arc<LiveConnection>>>>);

/// A connection that is relayed.
#[derive(Debug)]
pub struct LiveConnection {
    /// Its id.
    pub id: ConnectionId,
    /// The identity: the certificate's key id.
    pub user: String,
    /// The account on the host.
    pub login: String,
    /// What the user asked for.
    pub target: String,
    /// The inventory's name of the host, else the host as it was asked for.
    pub host: String,
    /// The client's address.
    pub client: SocketAddr,
    /// Since when it is relayed.
    pub start: DateTime<Utc>,
    /// Where it leads, as the policy sees it.
    pub route: Route,
    /// The account on the host.
    pub account: Login,
    /// Where the host was reached.
    pub host_address: HostAddress,
    sessions: Mutex<BTreeMap<SessionId, Arc<LiveSession>>>,
    orders: mpsc::Sender<SessionCommand>,
    joining: JoinSender,
    gone: CancellationToken,
}

/// What comes to a connection from outside.
#[derive(Debug)]
pub struct Inbox {
    /// Commands of administrators.
    pub commands: mpsc::Receiver<SessionCommand>,
    /// People who want to join a session.
    pub joining: mpsc::Receiver<JoinRequest>,
}

/// What is known about a session when it begins.
#[derive(Clone, Debug)]
pub(super) struct SessionStart {
    pub(super) id: SessionId,
    pub(super) kind: SessionKind,
    pub(super) command: Option<String>,
    pub(super) pty: bool,
    pub(super) start: DateTime<Utc>,
    pub(super) file: Option<PathBuf>,
}

/// A session that runs: one session channel, or all forwarded channels of a connection.
#[derive(Debug)]
pub struct LiveSession {
    /// Its id.
    pub id: SessionId,
    /// What kind of channel it is.
    pub kind: SessionKind,
    /// The command line, or the subsystem's name.
    pub command: Option<String>,
    /// Whether it has a terminal.
    pub pty: bool,
    /// When it began.
    pub start: DateTime<Utc>,
    /// The path of the recording; `None` if there is none.
    pub file: Option<PathBuf>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    is_incomplete: AtomicBool,
    participants: Mutex<Vec<ParticipantRow>>,
    gone: CancellationToken,
}

impl LiveSession {
    /// Who has joined it, in the order in which they came.
    #[must_use]
    pub fn participants(&self) -> Vec<ParticipantRow> {
        lock(&self.participants).clone()
    }

    pub(super) fn list_participants(&self, rows: Vec<ParticipantRow>) {
        *lock(&self.participants) = rows;
    }

    /// Bytes from the client so far.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes from the host so far.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    /// Whether a part of it could not be recorded.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete.load(Ordering::Relaxed)
    }

    /// Cancelled when the session has ended, its recording is synced, and its end is audited.
    #[must_use]
    pub fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// There is only one writer, so the total can simply be stored.
    pub(super) fn carried(&self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in.store(bytes_in, Ordering::Relaxed);
        self.bytes_out.store(bytes_out, Ordering::Relaxed);
    }

    pub(super) fn misses_something(&self) {
        self.is_incomplete.store(true, Ordering::Relaxed);
    }
}

impl LiveConnection {
    /// Its sessions, oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<LiveSession>> {
        lock(&self.sessions).values().cloned().collect()
    }

    /// Cancelled when the connection has ended.
    #[must_use]
    pub fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Passes a command on. `false` if the connection is about to end, or too many commands wait.
    #[must_use]
    pub fn order(&self, order: SessionCommand) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Passes on that somebody wants to join a session.
    ///
    /// # Errors
    /// The connection is about to end, or too many others wait.
    pub fn join(&self, request: JoinRequest) -> Result<(), JoinRefusal> {
        self.joining.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => JoinRefusal::Busy,
            TrySendError::Closed(_) => JoinRefusal::Ended,
        })
    }
}

impl Registry {
    /// All connections, oldest first.
    #[must_use]
    pub fn connections(&self) -> Vec<Arc<LiveConnection>> {
        lock(&self.0).values().cloned().collect()
    }

    /// The connection with this id.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<Arc<LiveConnection>> {
        lock(&self.0).get(&id).cloned()
    }

    /// The session with this id, and its connection.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<(Arc<LiveConnection>, Arc<LiveSession>)> {
        self.connections().into_iter().find_map(|connection| {
            let session = lock(&connection.sessions).get(&id).cloned()?;
            Some((connection, session))
        })
    }

    /// Lists a connection until its registration is dropped. Also returns what comes to it.
    #[must_use]
    pub fn enter(&self, scene: &SessionContext, start: DateTime<Utc>) -> (Registration, Inbox) {
        let (orders, commands) = mpsc::channel(MAX_ORDERS);
        let (joining, requests) = mpsc::channel(MAX_JOINING);
        let route = scene.permit.route();
        let host = || route.target.host.to_string();
        let connection = Arc::new(LiveConnection {
            id: scene.connection,
            user: scene.permit.identity().name().to_owned(),
            login: scene.permit.login().to_string(),
            target: route.target.to_string(),
            host: route.node.clone().unwrap_or_else(host),
            client: scene.client,
            start,
            route: route.clone(),
            account: scene.permit.login().clone(),
            host_address: scene.host_address,
            sessions: Mutex::default(),
            orders,
            joining,
            gone: CancellationToken::new(),
        });
        lock(&self.0).insert(connection.id, Arc::clone(&connection));
        let registry = self.clone();
        let seat = Registration {
            registry,
            connection,
        };
        let inbox = Inbox {
            commands,
            joining: requests,
        };
        (seat, inbox)
    }
}

/// A connection's place in the registry.
#[derive(Debug)]
pub struct Registration {
    registry: Registry,
    connection: Arc<LiveConnection>,
}

impl Registration {
    /// Lists a session until it leaves, or the registration is dropped.
    pub(super) fn begin(&self, opening: SessionStart) -> SessionRegistration {
        let session = Arc::new(LiveSession {
            id: opening.id,
            kind: opening.kind,
            command: opening.command,
            pty: opening.pty,
            start: opening.start,
            file: opening.file,
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            is_incomplete: AtomicBool::new(false),
            participants: Mutex::default(),
            gone: CancellationToken::new(),
        });
        lock(&self.connection.sessions).insert(session.id, Arc::clone(&session));
        let departed = Some(Departed(session.gone.clone()));
        SessionRegistration {
            connection: Arc::clone(&self.connection),
            session,
            departed,
        }
    }

    /// The connection has ended; disconnects may still be sent to its two sides.
    pub(super) fn leave(&self) {
        lock(&self.registry.0).remove(&self.connection.id);
        self.connection.gone.cancel();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A session's place in the registry.
#[derive(Debug)]
pub(super) struct SessionRegistration {
    connection: Arc<LiveConnection>,
    session: Arc<LiveSession>,
    departed: Option<Departed>,
}

impl SessionRegistration {
    /// Removes the session from the list. The result has to be dropped when the session's end is
    /// audited.
    pub(super) fn leave(mut self) -> Departed {
        let gone = &self.session.gone;
        self.departed
            .take()
            .unwrap_or_else(|| Departed(gone.clone()))
    }
}

/// A session that is not listed any more. Dropping this wakes the tasks that wait for its end.
#[derive(Debug)]
pub(super) struct Departed(CancellationToken);

impl Drop for Departed {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Deref for SessionRegistration {
    type Target = LiveSession;

    fn deref(&self) -> &LiveSession {
        &self.session
    }
}

impl Drop for SessionRegistration {
    fn drop(&mut self) {
        lock(&self.connection.sessions).remove(&self.session.id);
    }
}

/// A panic in another thread cannot leave a map half changed, so a poisoned lock is used as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
