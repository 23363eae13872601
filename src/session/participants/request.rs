//! What a person asks for who wants to join, and the answer.

use std::net::SocketAddr;

use serde::Serialize;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::queue::Participation;
use crate::access::JoinMode;
use crate::model::{ConnectionId, SessionId};

/// Asks a live connection to let somebody join.
pub(in crate::session) type JoinSender = mpsc::Sender<JoinRequest>;

/// A person who may join: the policy has been asked.
#[derive(Clone, Debug)]
pub struct Joiner {
    /// Whose identity.
    pub user: String,
    /// The address of their client.
    pub client: SocketAddr,
    /// Their own connection to the proxy.
    pub connection: ConnectionId,
    /// What they may do.
    pub mode: JoinMode,
    /// The line of the policy that allows it.
    pub rule: String,
}

/// A request to join a session.
#[derive(Debug)]
pub struct JoinRequest {
    /// Which one.
    pub session: SessionId,
    /// Who.
    pub joiner: Joiner,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Participation, JoinRefusal>>,
}

/// Why nobody, or nobody more, joins a session.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum JoinRefusal {
    /// It ends, or has ended.
    #[error("the session has ended")]
    Ended,
    /// It has no terminal.
    #[error("the session has no terminal: only sessions with a terminal can be joined")]
    NoTerminal,
    /// It is not recorded: then nothing would say who typed, and nobody knows what its terminal shows.
    #[error("the session is not recorded, and so nobody can join it")]
    NotRecorded,
    /// There are as many participants as there may be.
    #[error("as many people have joined the session as there may be")]
    Full,
    /// Others are just joining the same connection.
    #[error("too many people are joining at the same time: try again")]
    Busy,
    /// That somebody joins could not be audited or recorded, and so nobody does.
    #[error("the proxy cannot write its audit log")]
    Unaudited,
}

/// A participant, for people who look who is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParticipantRow {
    /// Whose identity.
    pub user: String,
    /// `observe` or `type`.
    pub mode: &'static str,
}
