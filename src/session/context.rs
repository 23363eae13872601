//! What is known of a connection before its sessions are recorded.

use std::net::SocketAddr;

use crate::access::LoginPermit;
use crate::model::{ClusterName, ConnectionId};
use crate::wire::auth::{Challenge, ForeignText};

/// Who, where, what: the part of a recording's header that is the same for a whole connection.
#[derive(Clone, Debug)]
pub struct SessionContext {
    /// The connection.
    pub connection: ConnectionId,
    /// This installation.
    pub cluster: ClusterName,
    /// Who may log in where.
    pub permit: LoginPermit,
    /// The client's address.
    pub client: SocketAddr,
    /// The address that was dialled.
    pub host_address: SocketAddr,
    /// The host presented a plain key, and the configuration admits it.
    pub insecure_host_key: bool,
    /// Weak algorithms that the connection to the host began with.
    pub legacy_algorithms: Vec<&'static str>,
    /// What was said before; it stands in the recording of the first session.
    pub said: Vec<EarlyText>,
}

/// What a user read, or was asked, before there was a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarlyText {
    /// The operator's own banner.
    Greeting(String),
    /// A banner of the host.
    Banner(ForeignText),
    /// Questions of the host. Answers are not kept.
    Asked(Challenge),
}
