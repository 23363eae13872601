//! What is known about a connection before its sessions are recorded.

use std::net::SocketAddr;

use crate::access::LoginPermit;
use crate::model::{ClusterName, ConnectionId, HostAddress};
use crate::wire::auth::{Challenge, ForeignText};

/// The part of a recording's header that is the same for a whole connection.
#[derive(Clone, Debug)]
pub struct SessionContext {
    /// The connection.
    pub connection: ConnectionId,
    /// The cluster of this installation.
    pub cluster: ClusterName,
    /// The permitted user, login and host.
    pub permit: LoginPermit,
    /// The client's address.
    pub client: SocketAddr,
    /// Where the host was reached.
    pub host_address: HostAddress,
    /// The proxy's end of the connection to the host, which sshd logs as its client's address and
    /// port; `None` through a tunnel.
    pub egress: Option<SocketAddr>,
    /// The host presented a plain key, and the configuration permits that.
    pub insecure_host_key: bool,
    /// Weak algorithms that were negotiated with the host.
    pub legacy_algorithms: Vec<&'static str>,
    /// The texts before the session; they are written to the recording of the first session.
    pub said: Vec<EarlyText>,
}

/// What a user read, or was asked, before the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarlyText {
    /// The banner of the proxy (`banner_file`).
    Greeting(String),
    /// A banner of the host.
    Banner(ForeignText),
    /// Questions of the host. The answers are not stored.
    Asked(Challenge),
}
