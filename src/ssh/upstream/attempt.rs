//! One attempt at an address: dial, wait for an SSH server, exchange keys, judge the host's key.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::dial::Dial;
use super::hostkey::HostKeys;
use crate::access::{HostWay, Route};
use crate::cert::VerifiedHost;
use crate::metrics::{Metrics, Step};
use crate::model::HostAddress;
use crate::net::RecentlyReachable;
use crate::ssh::compute::ComputeQueue;
use crate::ssh::identify::{NoServer, identified};
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::refusal::Refusal;
use crate::ssh::settings::CurrentSettings;
use crate::ssh::tunnels::TunnelPatience;
use crate::wire::{ClientConfig, DisconnectReason, Transport};

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum UpstreamFailure {
    /// The address does not accept connections; another address of the host may.
    Dial(LegError),
    /// The address accepts connections, and no SSH server identifies itself.
    NoServer(NoServer),
    /// The key exchange failed.
    Handshake(LegError),
    /// The key exchange succeeded, and the host is refused.
    Refused(Refusal),
}

/// How long an address may take to be dialled. A tunnel of a host that has an address too leaves time for
/// that, and is not waited for.
fn patience(
    route: &Route,
    address: HostAddress,
    (now, deadline): (Instant, Instant),
) -> TunnelPatience {
    match (route.way, address) {
        (HostWay::TunnelOrDirect(_), HostAddress::Tunnel(_)) => TunnelPatience {
            deadline: now + deadline.saturating_duration_since(now) / 2,
            awaits_tunnel: false,
        },
        _ => TunnelPatience::from(deadline),
    }
}

/// What an attempt at a host's address needs.
#[derive(Debug)]
pub(crate) struct Attempts<D> {
    dial: D,
    keys: HostKeys,
    settings: CurrentSettings,
    reachable: RecentlyReachable,
    compute: ComputeQueue,
    metrics: Arc<Metrics>,
}

impl<D: Dial> Attempts<D> {
    /// Attempts dial with `dial`; `keys` decides about host keys.
    #[must_use]
    pub(crate) fn new(
        dial: D,
        keys: HostKeys,
        settings: CurrentSettings,
        compute: ComputeQueue,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            dial,
            keys,
            settings,
            reachable: RecentlyReachable::default(),
            compute,
            metrics,
        }
    }

    /// Dials an address once; returns the connection and the verified host.
    pub(super) async fn once(
        &self,
        route: &Route,
        config: &Arc<ClientConfig>,
        address: HostAddress,
        deadline: Instant,
    ) -> Result<(Leg<D::Stream>, VerifiedHost), UpstreamFailure> {
        let began = Instant::now();
        let stream = self
            .dial
            .dial(address, patience(route, address, (began, deadline)))
            .await
            .map_err(UpstreamFailure::Dial)?;
        let dialled = Instant::now();
        let steps = &self.metrics.host_connect;
        steps.observe(Step::Dial, dialled - began);
        let transport = Transport::client(Arc::clone(config));
        let mut leg = Leg::with(&self.compute, stream, transport);
        let handshake = async {
            identified(&mut leg).await.map_err(|error| match error {
                NoServer::Leg(error) => UpstreamFailure::Handshake(error),
                other => UpstreamFailure::NoServer(other),
            })?;
            self.handshake(route, &mut leg).await
        };
        let handshake = timeout_at(deadline, handshake).await;
        if leg.transport.peer_ident().is_some() {
            self.reachable.note(address, Instant::now());
        }
        match handshake {
            Ok(Ok(host)) => {
                steps.observe(Step::Handshake, dialled.elapsed());
                Ok((leg, host))
            }
            Ok(Err(failure)) => Err(failure),
            Err(_elapsed) => {
                let limit = self.settings.now().connect_timeout;
                Err(UpstreamFailure::Handshake(LegError::Timeout(limit)))
            }
        }
    }

    /// Whether a host that refuses connections may be restarting its sshd. The time limit for that
    /// begins with the first refusal.
    pub(super) fn may_be_restarting(&self, address: HostAddress) -> bool {
        self.reachable.may_be_restarting(address, Instant::now())
    }

    async fn handshake<S>(
        &self,
        route: &Route,
        leg: &mut Leg<S>,
    ) -> Result<VerifiedHost, UpstreamFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut host = None;
        loop {
            match leg.next().await {
                Ok(LegEvent::HostKey(blob)) => match self.keys.judge(route, &blob) {
                    Ok(verified) => {
                        host = Some(verified);
                        leg.transport
                            .accept_host_key()
                            .map_err(|error| UpstreamFailure::Handshake(error.into()))?;
                    }
                    Err(no) => {
                        leg.disconnect(DisconnectReason::HostKeyNotVerifiable, &no.message)
                            .await;
                        return Err(UpstreamFailure::Refused(no));
                    }
                },
                Ok(LegEvent::Established) => {
                    return host.ok_or(UpstreamFailure::Handshake(LegError::Closed));
                }
                Ok(LegEvent::Packet(_)) => {
                    return Err(UpstreamFailure::Handshake(LegError::Closed));
                }
                Err(error) => return Err(UpstreamFailure::Handshake(error)),
            }
        }
    }
}
