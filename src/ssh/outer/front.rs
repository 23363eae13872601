//! What an outer connection serves: sessions and jumps that lead to a target, and the client's agent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{NotPassed, RefusedKind};
use crate::model::ConnectionId;
use crate::relay::{Habit, Habits, What};
use crate::ssh::budget::Account;
use crate::ssh::caller::Caller;
use crate::ssh::channel::{ChannelStream, EARLY_WINDOW, MAX_PACKET, Terms, WINDOW};
use crate::ssh::endpoint::{AgentOpener, AgentRequest};
use crate::ssh::refusal::{self, Origin, Refusal};
use crate::ssh::scope::Scope;
use crate::ssh::services::OuterServices;
use crate::wire::ServerConfig;
use crate::wire::connection::Breach;

/// Channels that the client may have open on one outer connection at a time. A client that opens one
/// session too many is refused it: its ssh then makes a connection of its own, as with sshd's
/// `MaxSessions`.
pub(super) const MAX_CHANNELS: usize = 64;
/// Further channels on which nothing happens but that the client reads why. ssh makes no connection of
/// its own for `-W`, and on a connection that is about to end it would lead nowhere.
pub(super) const MAX_COURTESIES: usize = 8;
/// Bytes that the client may send on one of those: how an SSH connection begins.
const COURTESY_WINDOW: u32 = 64 * 1024;
/// Channels to the client's agent at a time: each of its own channels may need one.
pub(super) const MAX_AGENTS: usize = 64;
/// What is refused and audited before the connection ends: the audit log is not the client's to fill.
const MAX_REFUSED: u32 = 1_000;
/// How long a session that has asked for nothing yet may take to do so when the connection is to end: it
/// reads why then, where its ssh shows it.
pub(super) const IDLE_SESSION: Duration = Duration::from_secs(1);

/// What is taken on a channel of the client's; a refused one is there for the reason alone.
pub(super) const fn terms(is_refused: bool) -> Terms {
    Terms {
        window: EARLY_WINDOW,
        max_window: match is_refused {
            true => COURTESY_WINDOW,
            false => WINDOW,
        },
        max_packet: MAX_PACKET,
    }
}

/// Everything that the services of one outer connection use.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) services: Arc<OuterServices>,
    pub(super) caller: Caller,
    /// What this connection's server shows.
    pub(super) shown: Arc<ServerConfig>,
    /// What this connection is called in the audit log.
    pub(super) id: ConnectionId,
    /// What the client's person may have held.
    pub(super) account: Account,
    pub(super) agent_opener: AgentOpener,
    /// The client has asked for agent forwarding by the name of RFC 9987.
    pub(super) agent_is_by_rfc: bool,
    /// Channels to the agent that the client has not opened yet.
    pub(super) agents: BTreeMap<u32, AgentRequest>,
    /// How much was refused so far.
    pub(super) refused: u32,
    /// What was refused and does not matter.
    pub(super) habits: Habits,
    /// Why the connection is to end, once it is: its last words, and what new sessions read.
    pub(super) farewell: Option<(String, Refusal)>,
    pub(super) shutdown: CancellationToken,
    /// The life of this connection, which those inside share.
    pub(super) scope: Scope,
    pub(super) tasks: TaskTracker,
}

impl Front {
    /// Why the connection is about to end, if it is.
    pub(super) fn leaving(&self) -> Option<Refusal> {
        let known = self.farewell.as_ref().map(|(_, refusal)| refusal.clone());
        known.or_else(|| self.shutdown.is_cancelled().then(refusal::shutting_down))
    }

    /// Who is refused, for the audit log.
    pub(super) fn origin(&self, id: ConnectionId, target: Option<String>) -> Origin {
        Origin {
            client: self.caller.address,
            connection: id,
            user: Some(self.caller.identity.name().to_owned()),
            login: None,
            target,
        }
    }

    /// Audits what is not served here.
    ///
    /// # Errors
    /// It was too much.
    pub(super) fn audit_refused(&mut self, what: RefusedKind, name: &str) -> Result<(), Breach> {
        let habit = match what {
            RefusedKind::Channel | RefusedKind::Data => Habit::No,
            RefusedKind::ChannelRequest => self.habits.look(What::ChannelRequest, name, None),
            RefusedKind::GlobalRequest => self.habits.look(What::GlobalRequest, name, None),
        };
        match habit {
            Habit::Again => return Ok(()),
            Habit::First => {}
            Habit::No => {
                self.refused += 1;
                if self.refused > MAX_REFUSED {
                    return Err(Breach::TooMuchRefused);
                }
            }
        }
        let not_passed = NotPassed {
            what,
            from: "client",
            name: name.to_owned(),
            detail: None,
            user: self.caller.identity.name().to_owned(),
            login: None,
            target: None,
            client_addr: self.caller.address,
            connection: Some(self.id),
            session: None,
        };
        self.services
            .audit
            .emit_or_log(&not_passed.event(habit == Habit::First));
        Ok(())
    }

    /// The client has opened the channel to its agent that was asked for under this number.
    pub(super) fn agent_opened(&mut self, number: u32, stream: ChannelStream) {
        if let Some(reply) = self.agents.remove(&number) {
            // If the connection inside is gone, the stream is dropped here, which closes the channel.
            let _closed = reply.send(Ok(stream));
        }
    }

    /// The client has not. Dropping the request tells the connection inside.
    pub(super) fn agent_not_opened(&mut self, number: u32, _text: &Bytes) {
        self.agents.remove(&number);
    }
}
