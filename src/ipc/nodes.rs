//! The service that decides about nodes: hosts that join with a token, report how they are, and get
//! their certificates. It is provided by the process that has the state.
//!
//! A caller can be controlled by an attacker. So a node is known by a signature of its host key, which is
//! passed on as it was made and is verified again, and all that a node says of itself is checked where
//! it is answered.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::people::{SecretText, SignedProof};
use crate::model::{ConnectionId, NodeId, TunnelRule};

/// A request about the host on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesRequest {
    /// The connection, as the caller numbers it.
    pub connection: ConnectionId,
    /// The address of the client.
    pub client: SocketAddr,
    /// What is asked.
    pub ask: NodesQuestion,
}

/// What is asked about the host on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodesQuestion {
    /// The host has signed with its host key, under the user name
    /// [`UserName::JOIN`](crate::model::UserName::JOIN).
    Prove(SignedProof),
    /// The host joins. Only after [`NodesQuestion::Prove`].
    Join {
        /// The token.
        token: SecretText,
        /// How the host is.
        report: NodeReport,
    },
    /// The node says how it is, and asks what is new. Only after [`NodesQuestion::Prove`].
    Heartbeat(NodeReport),
    /// The node has opened its tunnel (`true`) or it has ended. Only after [`NodesQuestion::Prove`].
    Tunnel(bool),
    /// Host certificates of the keys of the host CA, each signed by the key before it: with them a host that
    /// trusts an earlier key finds the one of today. Public.
    Successors,
    /// The connection has ended.
    Close,
}

/// What a host says of itself. Nothing of it is believed before it was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The names that it wants, the most important first.
    pub names: Vec<String>,
    /// Its labels, as `key=value`.
    pub labels: Vec<String>,
    /// The addresses that it has.
    pub addresses: Vec<String>,
    /// The port of its sshd.
    pub port: u16,
    /// What `sshd -V` says.
    pub sshd: String,
    /// For how many seconds it has been up.
    pub uptime: u64,
    /// Its clock, in seconds since the epoch.
    pub clock: u64,
    /// Whether it is set up to keep a tunnel.
    pub tunnel: bool,
    /// The fingerprints of the user CAs that its sshd trusts.
    pub user_cas: Vec<String>,
    /// The fingerprints of the host CAs by which it knows the proxy.
    pub host_cas: Vec<String>,
    /// The serial number of its host certificate.
    pub certificate: Option<u64>,
    /// The number of its revocation list.
    pub revocations: Option<u64>,
    /// What it could not do, such as install what the last answer had.
    pub problem: Option<String>,
}

/// The answer to [`NodesRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodesAnswer {
    /// To [`NodesQuestion::Prove`]: the signature is right. The node with this host key; `None` if there is
    /// none, so that the host can join only.
    Proved(Option<KnownNode>),
    /// To [`NodesQuestion::Join`] and [`NodesQuestion::Heartbeat`]: what the host has to install.
    Installation(NodeInstallation),
    /// To [`NodesQuestion::Successors`]: the certificates, the oldest first, each in one line.
    Successors(Vec<String>),
    /// To [`NodesQuestion::Tunnel`] and [`NodesQuestion::Close`].
    Noted,
    /// It was refused.
    Refused(NodeRefusal),
}

/// A node that has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownNode {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it may open a tunnel.
    pub tunnel: TunnelRule,
}

/// What a node has to have. What it has already is installed again without harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInstallation {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it may, or has to, keep a tunnel.
    pub tunnel: TunnelRule,
    /// Whether it has a tunnel that is open for new sessions, to some proxy.
    #[serde(default)]
    pub has_tunnel: bool,
    /// A new host certificate, in one line; `None` if the one that it has will do.
    pub certificate: Option<String>,
    /// The public keys of the user CA, each in one line: what `TrustedUserCAKeys` has to name.
    pub user_cas: Vec<String>,
    /// The public keys of the host CA, by which the node knows the proxy.
    pub host_cas: Vec<String>,
    /// Certificates in which the host CA names keys of the user CA that the node has not reported, each in one
    /// line with that key behind it. The node trusts no new key without one, because it cannot know who
    /// answers it.
    #[serde(default)]
    pub user_ca_proofs: Vec<String>,
    /// The same for keys of the host CA: one that the node may not know yet, named by the one before it.
    #[serde(default)]
    pub successors: Vec<String>,
    /// What the administrator of the host should know, such as a clock that is wrong.
    pub warnings: Vec<String>,
}

/// Why a host is refused, for the person who reads it there and for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRefusal {
    /// The stable name.
    pub reason: String,
    /// What is read at the host.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl NodeRefusal {
    /// The reason where the connection has not proved a host key, as far as the service remembers. After a
    /// restart it remembers nothing, and another [`NodesQuestion::Prove`] with the proof of before helps; a
    /// tunnel is to be reported again then, too.
    pub const NOT_PROVED: &str = "not-proved";
    /// The reason where no node has the host key.
    pub const NOT_JOINED: &str = "not-joined";
    /// The reason where the node is locked.
    pub const NODE_LOCKED: &str = "node-locked";
    /// The reason where the state or the audit log could not be used: the same question may be answered later.
    pub const UNAVAILABLE: &str = "state-unavailable";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{ServiceRequest, decode, encode};

    #[test]
    fn a_report_fits_and_shows_no_token() {
        let report = NodeReport {
            names: vec!["n".repeat(253); 16],
            labels: vec!["l".repeat(320); 64],
            sshd: "OpenSSH_9.2p1".to_owned(),
            ..NodeReport::default()
        };
        let request = ServiceRequest::from(NodesRequest {
            connection: ConnectionId::new(),
            client: "203.0.113.7:50000".parse().unwrap(),
            ask: NodesQuestion::Join {
                token: SecretText::new("token-of-it".to_owned()),
                report,
            },
        });
        let bytes = encode(&request).unwrap();
        assert!(bytes.len() < request.service().max_request());
        assert_eq!(decode::<ServiceRequest>(&bytes).unwrap(), request);
        let shown = format!("{request:?}");
        assert!(!shown.contains("token-of-it"), "{shown}");
    }
}
