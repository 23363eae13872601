//! The connection to the host: dial, key exchange, and the host's certificate.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Proxy;
use super::dial_plan::{DialPlan, may_dial, may_enter};
use super::fair_queue::{QueueOwner, QueueSlot};
use super::identify::{NoServer, identified};
use super::leg::{Leg, LegError, LegEvent};
use super::refusal::{self, Refusal};
use super::revocation::admit_host;
use super::route::learn;
use super::{egress, expiry_warnings, own_address};
use crate::access::{Permit, Route};
use crate::cert::{HostPolicy, PresentedKey, VerifiedHost, verify_host};
use crate::metrics::Step;
use crate::wire::signature::SignatureAlgorithm;
use crate::wire::{self, ClientConfig, DisconnectReason, Legacy, Mismatch, Negotiated, Transport};

/// How long one address may take to accept a connection.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest first pause before a host is dialled again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A connection to a host that has proved who it is.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) leg: Leg<TcpStream>,
    pub(crate) host: VerifiedHost,
    pub(crate) address: SocketAddr,
    pub(super) config: Arc<ClientConfig>,
    /// The name under which the user's key has signed.
    pub(super) algorithm: String,
    /// The right to be unauthenticated there; it ends with the authentication.
    pub(super) turn: Option<QueueSlot<SocketAddr>>,
}

impl Upstream {
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

/// Why there is no connection.
enum UpstreamFailure {
    /// It does not accept connections: another address of the host may.
    Dial(LegError),
    /// It accepts them, and no SSH server identifies itself.
    NoServer(NoServer),
    /// The key exchange failed.
    Handshake(LegError),
    /// It is not the host that it should be.
    Refused(Refusal),
}

/// Waits for a turn, dials the permitted route and checks the host's certificate.
///
/// # Errors
/// The refusal for the user: not reachable, not the host it should be, or a host that is denied.
pub(crate) async fn connect(
    proxy: &Proxy,
    permit: &Permit,
    way: &DialPlan,
) -> Result<Upstream, Refusal> {
    let route = permit.route();
    let settings = proxy.settings();
    let config = client_config(proxy, route);
    learn(proxy, &settings).await;
    let mut left = settings.connect_timeout;
    let mut last = LegError::Closed;
    for address in way.addresses.iter().copied() {
        may_dial(proxy, &settings, permit, address)?;
        let person = QueueOwner::Person(permit.identity().name().to_owned());
        let asked = Instant::now();
        let turn = proxy
            .startups
            .turn(address, &person)
            .await
            .map_err(|crowded| refusal::unreachable(route, &crowded))?;
        // The time begins with the turn: who waits in a queue has not been let down by the host.
        let began = Instant::now();
        proxy.metrics.host_turn.observe(began - asked);
        match begin(proxy, route, &config, address, began + left).await {
            Ok((leg, host)) => {
                proxy.remembered.note(address, &host);
                may_enter(proxy, &settings, permit, address, Some(host.presented()))?;
                way.is_as_shown(&host)?;
                expiry_warnings::look(proxy, route, address, &host);
                return Ok(Upstream {
                    leg,
                    host,
                    address,
                    config,
                    algorithm: String::new(),
                    turn: Some(turn),
                });
            }
            Err(UpstreamFailure::Dial(error)) => {
                // What is shown from memory is of the host that is dialled first, and this is not it.
                proxy.remembered.forget(address);
                last = error;
            }
            Err(UpstreamFailure::NoServer(error)) => return Err(refusal::no_server(route, &error)),
            Err(UpstreamFailure::Handshake(LegError::Protocol(wire::Error::Mismatch(
                Mismatch::ShortHostKey(bits),
            )))) => return Err(refusal::short_host_key(route, bits)),
            Err(UpstreamFailure::Handshake(LegError::Protocol(wire::Error::Mismatch(
                Mismatch::Algorithms(lacking),
            )))) => return Err(refusal::nothing_in_common(route, &lacking)),
            Err(UpstreamFailure::Handshake(error)) => {
                return Err(refusal::unreachable(route, &error));
            }
            Err(UpstreamFailure::Refused(no)) => return Err(no),
        }
        left = left.saturating_sub(began.elapsed());
        if left.is_zero() {
            break;
        }
    }
    Err(refusal::unreachable(route, &last))
}

/// One address: dialled again for as long as it drops connections before it says anything, which is
/// what an sshd does that is asked by too many at once; and for a moment where it refuses them though
/// it has answered lately, as during a restart of its sshd.
async fn begin(
    proxy: &Proxy,
    route: &Route,
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    deadline: Instant,
) -> Result<(Leg<TcpStream>, VerifiedHost), UpstreamFailure> {
    let mut pauses = Pauses::default();
    loop {
        let failure = match attempt_at(proxy, route, config, address, deadline).await {
            Ok(begun) => return Ok(begun),
            Err(failure) => failure,
        };
        let is_worth_another = match &failure {
            UpstreamFailure::NoServer(error) => matches!(error, NoServer::TurnedAway(..)),
            UpstreamFailure::Dial(error) => {
                is_refused(error) && proxy.answered.may_be_restarting(address, Instant::now())
            }
            UpstreamFailure::Handshake(_) | UpstreamFailure::Refused(_) => false,
        };
        let pause = pauses.next_pause();
        if !is_worth_another || Instant::now() + pause >= deadline {
            return Err(failure);
        }
        tracing::debug!(host = %address, ?pause, "turned away before a word, will dial again");
        tokio::time::sleep(pause).await;
    }
}

/// Dials an address once.
async fn attempt_at(
    proxy: &Proxy,
    route: &Route,
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    deadline: Instant,
) -> Result<(Leg<TcpStream>, VerifiedHost), UpstreamFailure> {
    let began = Instant::now();
    let stream = dial(proxy, address, deadline)
        .await
        .map_err(UpstreamFailure::Dial)?;
    let dialled = Instant::now();
    let steps = &proxy.metrics.host_connect;
    steps.observe(Step::Dial, dialled - began);
    let transport = Transport::client(Arc::clone(config));
    let mut leg = Leg::with(&proxy.workshop, stream, transport);
    let handshake = async {
        identified(&mut leg).await.map_err(|error| match error {
            NoServer::Leg(error) => UpstreamFailure::Handshake(error),
            other => UpstreamFailure::NoServer(other),
        })?;
        handshake(proxy, route, &mut leg).await
    };
    let handshake = timeout_at(deadline, handshake).await;
    if leg.transport.peer_ident().is_some() {
        proxy.answered.note(address, Instant::now());
    }
    match handshake {
        Ok(Ok(host)) => {
            steps.observe(Step::Handshake, dialled.elapsed());
            Ok((leg, host))
        }
        Ok(Err(failure)) => Err(failure),
        Err(_elapsed) => {
            let limit = proxy.settings().connect_timeout;
            Err(UpstreamFailure::Handshake(LegError::Timeout(limit)))
        }
    }
}

/// Whether nobody listens there.
fn is_refused(error: &LegError) -> bool {
    matches!(error, LegError::Io(error) if error.kind() == ErrorKind::ConnectionRefused)
}

/// How long to wait before a host is dialled again: longer each time, and never the same, so that
/// those who were dropped together do not come back together.
#[derive(Debug, Default)]
struct Pauses {
    taken: u32,
}

impl Pauses {
    fn next_pause(&mut self) -> Duration {
        let longest = FIRST_PAUSE * (1 << self.taken.min(5));
        self.taken += 1;
        longest.mul_f64(rand::random_range(0.5..1.0))
    }
}

async fn dial(
    proxy: &Proxy,
    address: SocketAddr,
    deadline: Instant,
) -> Result<TcpStream, LegError> {
    let deadline = deadline.min(Instant::now() + DIAL_TIMEOUT);
    let settings = proxy.settings();
    let promised = settings.egress.as_ref();
    let stream = timeout_at(deadline, egress::connect(address, promised))
        .await
        .map_err(|_elapsed| LegError::Timeout(DIAL_TIMEOUT))??;
    // Keystrokes must not wait for each other; a failure costs speed only.
    let _slower = stream.set_nodelay(true);
    Ok(stream)
}

/// What the host is offered: more than others are if its node says that it is too old.
fn client_config(proxy: &Proxy, route: &Route) -> Arc<ClientConfig> {
    let settings = proxy.settings();
    let node = route.node.as_deref();
    match node.and_then(|name| settings.inventory.node(name)) {
        Some(node) if !node.legacy.is_empty() => {
            Arc::new(ClientConfig::default().with_legacy(&node.legacy))
        }
        _ => Arc::clone(&proxy.upstream),
    }
}

async fn handshake(
    proxy: &Proxy,
    route: &Route,
    leg: &mut Leg<TcpStream>,
) -> Result<VerifiedHost, UpstreamFailure> {
    let mut host = None;
    loop {
        match leg.next().await {
            Ok(LegEvent::HostKey(blob)) => match judge(proxy, route, &blob) {
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
            Ok(LegEvent::Packet(_)) => return Err(UpstreamFailure::Handshake(LegError::Closed)),
            Err(error) => return Err(UpstreamFailure::Handshake(error)),
        }
    }
}

/// The one place where a host's key is judged.
fn judge(proxy: &Proxy, route: &Route, blob: &[u8]) -> Result<VerifiedHost, Refusal> {
    let trust = proxy.trust.now();
    let policy = HostPolicy {
        trusted: &trust.hosts,
        accept_plain_keys: !proxy.settings().checks_host_keys,
    };
    let key = PresentedKey::decode(blob)
        .map_err(|error| refusal::malformed_host_key(&route.target, &error))?;
    own_address::refuse_key(proxy, route, &key)?;
    let verified = verify_host(&key, policy, &route.names, proxy.clock.unix_seconds());
    let verified = verified.map_err(|error| refusal::bad_host_key(&error))?;
    admit_host(proxy, verified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let mut pauses = Pauses::default();
        let taken: Vec<Duration> = (0..40).map(|_| pauses.next_pause()).collect();
        for (number, pause) in taken.iter().enumerate() {
            let longest = FIRST_PAUSE * (1 << number.min(5));
            assert!(
                *pause >= longest / 2 && *pause < longest,
                "{number}: {pause:?}"
            );
        }
        let mut different = taken.clone();
        different.sort();
        different.dedup();
        assert!(different.len() > 30);
    }
}
