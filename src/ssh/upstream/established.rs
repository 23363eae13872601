//! A connection to a host that was verified.

use std::net::SocketAddr;
use std::sync::Arc;

use super::dial::HostStream;
use crate::cert::VerifiedHost;
use crate::model::HostAddress;
use crate::net::QueueSlot;
use crate::ssh::leg::Leg;
use crate::wire::signature::SignatureAlgorithm;
use crate::wire::{ClientConfig, Legacy, Negotiated};

/// A connection to a host that was verified. `S` is the stream that was dialled.
#[derive(Debug)]
pub(crate) struct Upstream<S = HostStream> {
    pub(crate) leg: Leg<S>,
    pub(crate) host: VerifiedHost,
    pub(crate) address: HostAddress,
    /// Its own end: the address and port that the host's sshd sees, where there are some.
    pub(crate) egress: Option<SocketAddr>,
    pub(super) config: Arc<ClientConfig>,
    /// The signature algorithm of the user's key.
    pub(super) algorithm: String,
    /// The slot in the host's queue of unauthenticated connections; it is freed after the
    /// authentication.
    pub(super) turn: Option<QueueSlot<HostAddress>>,
}

impl<S> Upstream<S> {
    /// The weak algorithms that were negotiated, each once.
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
