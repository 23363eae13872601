//! Answers the requests about hosts. This is the only way in from other processes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::context::{Context, EnrolmentParts, Unavailable};
use super::heartbeat;
use super::host::{HostConnection, ProvedHostKey};
use super::joining;
use super::pace::Pace;
use super::proving::{self, admitted};
use super::refusal::Refused;
use super::settings::EnrolmentSettings;
use super::tunnels::{self, TunnelOwners};
use crate::ipc::{
    ConnectionSlot, ConnectionTable, NodesAnswer, NodesQuestion, NodesRequest, SeenSessions,
};
use crate::model::ConnectionId;
use crate::sys::clock::monotonic;

/// Decides about hosts. All requests of all processes are answered by one.
#[derive(Debug)]
pub struct EnrolmentService {
    context: Context,
    seen: SeenSessions,
    pub(super) table: ConnectionTable<HostConnection>,
    pace: Pace,
    owners: TunnelOwners,
    /// When what is over was last removed, by the monotonic clock.
    swept: Mutex<Duration>,
}

/// How often what is over is removed. It counts for nothing before that.
const SWEEP: Duration = Duration::from_secs(60);
/// For how long a token is remembered after its time, in seconds, so that a host is told that it has expired.
const REMEMBERED: u64 = 7 * 24 * 60 * 60;
/// For how long it is remembered that a node was removed, in seconds: no process that asks for changes is away
/// for as long.
const REMOVAL_REMEMBERED: u64 = 30 * 24 * 60 * 60;
/// How many wrong tokens and passwords are remembered: more are those of an attacker who would fill the disk.
const MOST_ATTEMPTS: u64 = 1_000_000;

impl EnrolmentService {
    /// A service with these parts.
    #[must_use]
    pub fn new(parts: EnrolmentParts) -> Self {
        Self {
            context: Context::new(parts),
            seen: SeenSessions::default(),
            table: ConnectionTable::default(),
            pace: Pace::default(),
            owners: TunnelOwners::default(),
            swept: Mutex::new(monotonic()),
        }
    }

    /// Answers a request of a process. It waits for the state and for a CA's key, so it has a thread of its own.
    /// `caller` is the number of the process, which no other process has while it runs.
    #[must_use]
    pub fn answer(&self, caller: u64, request: &NodesRequest) -> NodesAnswer {
        let now = monotonic();
        self.tick(now);
        let answer = self
            .decide(caller, request, now)
            .unwrap_or_else(|unavailable| {
                tracing::error!("cannot decide about a host: {unavailable}");
                Refused::unavailable().into()
            });
        let meters = &self.context.meters;
        match (&answer, &request.ask) {
            (NodesAnswer::Refused(_), _) => meters.node_refusals.add(1),
            (NodesAnswer::Installation(_), NodesQuestion::Heartbeat(_)) => {
                meters.node_heartbeats.add(1);
            }
            _ => {}
        }
        answer
    }

    /// Takes other settings from now on.
    pub fn replace_settings(&self, settings: EnrolmentSettings) {
        self.context.replace_settings(settings);
    }

    /// The id under which the tunnels to a process are in the state, as long as the process runs.
    #[must_use]
    pub fn proxy_of(&self, caller: u64) -> Uuid {
        self.owners.of(caller)
    }

    /// The process has exited, and nothing that it has asked is being answered: what is known about its
    /// connections is forgotten, and its tunnels have ended. It waits for the state, as [`Self::answer`] does.
    /// Without that, the tunnels are removed some minutes later.
    pub fn forget(&self, caller: u64) {
        self.table.forget_caller(caller);
        if let Err(unavailable) = self.owners.forget(&self.context, caller) {
            tracing::error!("cannot write down that tunnels have ended: {unavailable}");
        }
    }

    /// Another process answers from now on: the tunnels are reported to that one, under other ids. It waits for
    /// the state.
    pub fn hand_over(&self) {
        if let Err(unavailable) = self.owners.forget_all(&self.context) {
            tracing::error!("cannot write down that tunnels are reported elsewhere: {unavailable}");
        }
    }

    /// What has to happen once a minute, also while no host asks for anything. `now` is a moment of the monotonic
    /// clock. It waits for the state, as [`Self::answer`] does.
    pub fn tick(&self, now: Duration) {
        if let Err(unavailable) = self.sweep(now) {
            tracing::error!("cannot remove what is over from the state: {unavailable}");
        }
    }

    /// Removes what is over, once a minute.
    fn sweep(&self, now: Duration) -> Result<(), Unavailable> {
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_sub(*swept) < SWEEP {
                return Ok(());
            }
            *swept = now;
        }
        self.table.sweep(now);
        let state = &self.context.state;
        let forgotten = self.context.now().saturating_sub(REMEMBERED);
        state.tokens().forget_before(forgotten)?;
        state.attempts().keep(MOST_ATTEMPTS)?;
        let forgotten = self.context.now().saturating_sub(REMOVAL_REMEMBERED);
        state.nodes().forget_removals_before(forgotten)?;
        self.owners.sweep(&self.context, &self.table)
    }

    fn decide(
        &self,
        caller: u64,
        request: &NodesRequest,
        now: Duration,
    ) -> Result<NodesAnswer, Unavailable> {
        let connection = request.connection;
        if request.ask == NodesQuestion::Close {
            self.end(caller, connection)?;
            return Ok(NodesAnswer::Noted);
        }
        let unknown = || HostConnection::new(caller, request);
        let what = what(&request.ask);
        let is_proof = matches!(request.ask, NodesQuestion::Prove(_));
        let slot = match is_proof {
            true => self.table.find_or_begin(caller, connection, now, unknown),
            false => self.table.find(caller, connection, now),
        };
        let Some(slot) = slot else {
            let refused = match is_proof {
                true => Refused::busy(),
                false => Refused::not_proved(),
            };
            return Ok(self.context.refuse(&unknown(), what, refused));
        };
        self.ask_in_turn(&slot, caller, request, now)
    }

    /// Answers a request about a connection, after those that came before it. The connection may have ended
    /// meanwhile.
    pub(super) fn ask_in_turn(
        &self,
        slot: &ConnectionSlot<HostConnection>,
        caller: u64,
        request: &NodesRequest,
        now: Duration,
    ) -> Result<NodesAnswer, Unavailable> {
        let mut host = slot.lock();
        if host.client != request.client {
            // One connection has one client: the process lies, or confuses two.
            drop(host);
            self.end(caller, request.connection)?;
            let (unknown, what) = (HostConnection::new(caller, request), what(&request.ask));
            let refused = Refused::replayed();
            return Ok(self.context.refuse(&unknown, what, refused));
        }
        let answer = self.ask(&mut host, &request.ask, now);
        slot.note(host.is_node);
        answer
    }

    fn ask(
        &self,
        host: &mut HostConnection,
        question: &NodesQuestion,
        now: Duration,
    ) -> Result<NodesAnswer, Unavailable> {
        let context = &self.context;
        let key = match question {
            NodesQuestion::Prove(proof) => {
                return proving::prove(context, &self.seen, host, proof);
            }
            _ => host.proved.clone(),
        };
        let Some(key) = key else {
            let refused = Refused::not_proved();
            return Ok(context.refuse(host, what(question), refused));
        };
        if let Some(refused) = self.too_often(&key, question, now)? {
            return Ok(context.refuse(host, what(question), refused));
        }
        match question {
            NodesQuestion::Join { token, report } => {
                joining::join(context, host, &key, (token, report))
            }
            NodesQuestion::Heartbeat(report) => {
                heartbeat::answer(context, host, &key, (report, false))
            }
            NodesQuestion::Tunnel(true) => tunnels::open(context, &self.owners, host, &key),
            NodesQuestion::Tunnel(false) => {
                tunnels::close(context, host)?;
                Ok(NodesAnswer::Noted)
            }
            // The others are answered before a key is needed.
            NodesQuestion::Successors | NodesQuestion::Prove(_) | NodesQuestion::Close => {
                Ok(match admitted(context, &key)? {
                    Ok(_) => NodesAnswer::Successors(context.issuer.successors()),
                    Err(refused) => context.refuse(host, "successors", refused),
                })
            }
        }
    }

    /// Refuses what a node asks more often than it has reason to.
    fn too_often(
        &self,
        key: &ProvedHostKey,
        question: &NodesQuestion,
        now: Duration,
    ) -> Result<Option<Refused>, Unavailable> {
        let writes = matches!(
            question,
            NodesQuestion::Join { .. } | NodesQuestion::Heartbeat(_) | NodesQuestion::Tunnel(true)
        );
        if !writes {
            return Ok(None);
        }
        let fingerprint = key.fingerprint.to_string();
        let node = self.context.state.nodes().by_fingerprint(&fingerprint)?;
        let is_admitted = node.is_none_or(|node| self.pace.admits(node.id, now));
        Ok((!is_admitted).then(|| Refused::too_often(what(question))))
    }

    /// A connection has ended: what was known about it is forgotten, its signatures count no longer, and its
    /// tunnel has ended.
    fn end(&self, caller: u64, connection: ConnectionId) -> Result<(), Unavailable> {
        let Some(slot) = self.table.end(caller, connection) else {
            return Ok(());
        };
        let mut host = slot.lock();
        if let Some(session) = host.session.take() {
            self.seen.end(&session);
        }
        // What waits for its turn finds nothing proved.
        host.proved = None;
        tunnels::close(&self.context, &mut host)
    }
}

/// What is asked, as the audit log names it.
fn what(question: &NodesQuestion) -> &'static str {
    match question {
        NodesQuestion::Prove(_) => "prove",
        NodesQuestion::Join { .. } => "join",
        NodesQuestion::Heartbeat(_) => "heartbeat",
        NodesQuestion::Tunnel(_) => "tunnel",
        NodesQuestion::Successors => "successors",
        NodesQuestion::Close => "close",
    }
}
