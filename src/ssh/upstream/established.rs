//! A connection to a host that has proved who it is.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::cert::VerifiedHost;
use crate::net::QueueSlot;
use crate::ssh::leg::Leg;
use crate::wire::signature::SignatureAlgorithm;
use crate::wire::{ClientConfig, Legacy, Negotiated};

/// A connection to a host that has proved who it is. `S` is what was dialled.
#[derive(Debug)]
pub(crate) struct Upstream<S = TcpStream> {
    pub(crate) leg: Leg<S>,
    pub(crate) host: VerifiedHost,
    pub(crate) address: SocketAddr,
    pub(super) config: Arc<ClientConfig>,
    /// The name under which the user's key has signed.
    pub(super) algorithm: String,
    /// The right to be unauthenticated there; it ends with the authentication.
    pub(super) turn: Option<QueueSlot<SocketAddr>>,
}

impl<S> Upstream<S> {
    /// The weak algorithms that were agreed upon, each once.
    pub(crate) fn legacy_algorithms(&self) -> Vec<&'static str> {
        let negotiated = self.leg.transport.negotiated();
        let mut names: Vec<_> = negotiated
            .map(Negotiated::legacy)
            .unwrap_or_default()
            .into_iter()
            .map(Legacy::name)
            .collect();
        let ssh_rsa = SignatureAlgorithm::RsaSha1;
        if self.algorithm == ssh_rsa.certificate_name() && !names.contains(&ssh_rsa.name()) {
            names.push(ssh_rsa.name());
        }
        names
    }
}
