//! The outer connection: the client authenticates, forwards its agent, and requests a target.
//!
//! It does not carry the user's session in plaintext: that is in the inner connection, inside one
//! of its channels.

mod connection;
mod front;
#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod people_tests;
mod programs;
#[cfg(test)]
mod real_ssh_tests;
mod serving;
mod stream;
mod target;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connection::OuterConnection;

pub(crate) use stream::ClientStream;

use super::authentication::{Authenticated, Unauthenticated, authenticate};
use super::caller::Caller;
use super::host_certificate::MintError;
use super::key_rounds::Fit;
use super::leg::Leg;
use super::node::{self, Authenticator, HostCaller, NodeVerifier};
use super::peers;
use super::people_client::PersonClient;
use super::policy_monitor::PolicyMonitor;
use super::refusal::{self, Origin, Refusal, SHUTTING_DOWN};
use super::services::OuterServices;
use super::sign_in::{PersonVerifier, SignInPlace};
use super::verifier::ByKey;
use crate::access::{Identity, SignIn};
use crate::audit::{AuditEvent, ForeignSerial, Party};
use crate::cert::PresentedKey;
use crate::metrics::Layer;
use crate::model::{ConnectionId, Login, Serial, chain};
use crate::net::{
    ConnectionGuard, ConnectionLimiter, LimitExceeded, QueueOwner, Rejected, canonical,
};
use crate::wire::auth::Offer;
use crate::wire::{DisconnectReason, ServerConfig, Transport};

/// How many bytes a log line about an unauthenticated client counts for.
const LINE: usize = 256;

/// Serves one client until it leaves or `shutdown` ends it. The tasks of the connections inside are
/// spawned on `tasks`.
pub(crate) async fn serve<S: ClientStream>(
    services: Arc<OuterServices>,
    stream: S,
    address: SocketAddr,
    mut admission: ConnectionGuard,
    shutdown: CancellationToken,
    tasks: TaskTracker,
) {
    let _open = services.metrics.connection(Layer::Outer);
    let began = Instant::now();
    let Some(config) = server_config(&services, &stream, address.ip()).await else {
        return;
    };
    // Keystrokes must not be delayed to be sent together. If the option cannot be set, only latency
    // suffers.
    let _slower = stream.send_at_once();
    let transport = Transport::server(Arc::clone(&config));
    let mut leg = Leg::with(&services.compute, stream, transport);
    let id = ConnectionId::new();
    let authenticated = tokio::select! {
        result = async {
            admission.turn().await;
            identify(&services, &mut leg, address, id).await
        } => result,
        () = admission.displaced() => {
            let Rejected { excess, courtesy, door } = admission.into_turned_away();
            let refusal = refused(&services, &door, excess, address, id, None);
            let Some(_until_told) = courtesy else { return };
            return say_goodbye(&mut leg, &refusal, id).await;
        }
        () = shutdown.cancelled() => {
            return leg.disconnect(DisconnectReason::ByApplication, SHUTTING_DOWN).await;
        }
    };
    let (authenticated, person) = match authenticated {
        Ok(authenticated) => authenticated,
        Err(failure) => {
            report(&services, address, id, &failure);
            return leg.reproach(&failure.ended).await;
        }
    };
    let Authenticated { verdict, mut auth } = authenticated;
    let metrics = &services.metrics;
    metrics.client_authentication.observe(began.elapsed());
    let name = verdict.name();
    let mut out = Vec::new();
    if let Err(excess) = admission.authenticated(&name) {
        let user = Some(name);
        let refusal = refused(&services, admission.door(), excess, address, id, user);
        auth.reject(Some(&refusal.text(id)), &mut out);
        // A client that is gone reads no refusal, so the error is ignored.
        leg.send_all(&mut out).ok();
        return say_goodbye(&mut leg, &refusal, id).await;
    }
    auth.accept(&mut out);
    if let Authenticator::Person(identity) = &verdict {
        tell_success(&services, identity, address, id);
    }
    if let Err(error) = leg.send_all(&mut out) {
        tracing::debug!(%error, "the client left");
        return;
    }
    match verdict {
        Authenticator::Person(identity) => {
            let caller = Caller {
                identity: *identity,
                address,
                person,
            };
            serve_person(services, (caller, id), (leg, config), shutdown, tasks).await;
        }
        Authenticator::Host(host) => {
            let caller = HostCaller::new(*host, address, id);
            node::serve(services, caller, leg, shutdown, tasks).await;
        }
        Authenticator::Peer(peer) => {
            peers::serve(services, peer, (address, id), leg, shutdown, tasks).await;
        }
    }
}

/// Serves a person who has authenticated.
async fn serve_person<S: ClientStream>(
    services: Arc<OuterServices>,
    (caller, id): (Caller, ConnectionId),
    shown: (Leg<S>, Arc<ServerConfig>),
    shutdown: CancellationToken,
    tasks: TaskTracker,
) {
    let watched = watch(&services, &caller, id);
    let account = services.budget.account(caller.identity.name());
    OuterConnection::new(services, (caller, id), account, shown, shutdown, tasks)
        .run(watched)
        .await;
}

/// Watches whether the client may stay.
fn watch(services: &OuterServices, caller: &Caller, id: ConnectionId) -> PolicyMonitor {
    let origin = Origin {
        client: caller.address,
        connection: id,
        user: Some(caller.identity.name().to_owned()),
        login: None,
        target: None,
    };
    PolicyMonitor::new(&services.policy, caller.identity.clone(), origin)
}

/// Runs the authentication of a client: who it is, and how to ask about the person.
async fn identify<S: ClientStream>(
    services: &OuterServices,
    leg: &mut Leg<S>,
    address: SocketAddr,
    id: ConnectionId,
) -> Result<(Authenticated<Authenticator>, Option<PersonClient>), Unauthenticated> {
    let grace = services.settings.now().login_grace;
    let name = id.to_string();
    let by_certificate = |offer: &Offer| judge(services, address, offer);
    let nodes = services.nodes.as_ref().map(|nodes| &nodes.client);
    let peers = services.peers.as_ref().map(|parts| parts.peers.clone());
    let others = (nodes, peers);
    let Some(people) = services.people.clone() else {
        let mut verifier = NodeVerifier::new(ByKey::new(by_certificate), others, id, address);
        let authenticated = authenticate(leg, &name, grace, None, &mut verifier).await?;
        return Ok((authenticated, None));
    };
    let place = SignInPlace {
        people,
        connection: id,
        client: address,
        reached: services.inner.router.reached(),
        policy: services.inner.policy.clone(),
        clock: services.inner.clock,
    };
    let verifier = PersonVerifier::new(by_certificate, place);
    let mut verifier = NodeVerifier::new(verifier, others, id, address);
    let authenticated = authenticate(leg, &name, grace, None, &mut verifier).await?;
    Ok((authenticated, verifier.into_people().into_person()))
}

/// Audits a successful authentication.
fn tell_success(
    services: &OuterServices,
    identity: &Identity,
    client: SocketAddr,
    id: ConnectionId,
) {
    services.audit.emit_or_log(&AuditEvent::AuthSuccess {
        leg: Party::Client,
        user: identity.name().to_owned(),
        login: None,
        client_addr: client,
        serial: identity.serial().and_then(Serial::new),
        fingerprint: identity.fingerprint().to_string(),
        sign_in: identity.sign_in().map(SignIn::id),
        connection: Some(id),
    });
}

/// Sends the reason to a client above a limit of the listener, if its connection permits that.
pub(crate) async fn turn_away<S: ClientStream>(
    services: Arc<OuterServices>,
    stream: S,
    address: SocketAddr,
    away: Rejected,
) {
    let Rejected {
        excess,
        courtesy,
        door,
    } = away;
    let id = ConnectionId::new();
    let refusal = refused(&services, &door, excess, address, id, None);
    let Some(_until_told) = courtesy else { return };
    let Some(config) = server_config(&services, &stream, address.ip()).await else {
        return;
    };
    let mut leg = Leg::new(stream, Transport::server(config));
    say_goodbye(&mut leg, &refusal, id).await;
}

/// Sends the reason to a client above a limit of the listener, as a disconnect.
async fn say_goodbye<S: ClientStream>(leg: &mut Leg<S>, refusal: &Refusal, id: ConnectionId) {
    leg.disconnect(
        DisconnectReason::TooManyConnections,
        &refusal.disconnect_text(id),
    )
    .await;
}

/// The refusal of a client above a limit of the listener; a flood of them is audited in summary.
fn refused(
    services: &OuterServices,
    door: &ConnectionLimiter,
    excess: LimitExceeded,
    address: SocketAddr,
    id: ConnectionId,
    user: Option<String>,
) -> Refusal {
    services.metrics.turned_away.add(excess.metric(), 1);
    let refusal = refusal::crowded_out(excess);
    let Some(unaudited) = door.audit(excess, address.ip()) else {
        return refusal;
    };
    let audited = refusal.after_unaudited(unaudited);
    tracing::warn!(client = %address, reason = audited.reason, "{}", audited.message);
    services.audit.emit_or_log(&audited.event(Origin {
        client: address,
        connection: id,
        user,
        login: None,
        target: None,
    }));
    refusal
}

/// The listener presents itself under its configured names and under the address that the client has
/// connected to, because the client may know only that one. Without a certificate, no text of the
/// proxy would be trusted by the client, so none is sent.
async fn server_config(
    services: &OuterServices,
    stream: &impl ClientStream,
    client: IpAddr,
) -> Option<Arc<ServerConfig>> {
    match listener_config(services, stream, client).await {
        Ok(config) => Some(config),
        Err(error) => {
            tracing::error!(error = %chain(&error), "cannot make the listener's host certificate");
            None
        }
    }
}

async fn listener_config(
    services: &OuterServices,
    stream: &impl ClientStream,
    client: IpAddr,
) -> Result<Arc<ServerConfig>, MintError> {
    let mut names = services.settings.now().listener_names.clone();
    let address = stream.local_addr().map_err(MintError::Address)?.ip();
    names.push(canonical(address).to_string().parse()?);
    names.sort();
    names.dedup();
    services
        .certificates
        .server_config(&QueueOwner::from(client), names)
        .await
}

/// The user name of the outer connection is the login at the host, if the client is configured so
/// (`%r@PROXY`): a certificate without this login is accepted only if the client has none with it.
fn judge(
    services: &OuterServices,
    address: SocketAddr,
    offer: &Offer,
) -> Result<(Identity, Fit), Refusal> {
    let PresentedKey::Certificate(certificate) = &offer.key else {
        return Err(refusal::plain_key(&offer.key));
    };
    let certificate = services.auth.admit(certificate, address)?;
    let fit = match offer.user.parse::<Login>() {
        Ok(login) if !certificate.allows_login(&login) => Fit::Spare,
        Ok(_) | Err(_) => Fit::Good,
    };
    Ok((Identity::new(certificate), fit))
}

fn report(
    services: &OuterServices,
    address: SocketAddr,
    id: ConnectionId,
    failure: &Unauthenticated,
) {
    let Some(refusal) = &failure.refusal else {
        // Any client can repeat this, so the lines in the program's log are limited too.
        if services.audit.admits_line(address.ip(), LINE) {
            tracing::info!(client = %address, reason = %failure.ended, "left without authenticating");
        }
        return;
    };
    if services.audit.admits_line(address.ip(), LINE) {
        tracing::info!(client = %address, reason = refusal.reason, ended = %failure.ended, "not authenticated");
    }
    let offered = failure.offered.as_ref();
    services.audit.emit_or_log(&AuditEvent::AuthFailure {
        leg: refusal.leg,
        reason: refusal.reason,
        message: refusal.message.clone(),
        client_addr: address,
        user: offered.and_then(|key| Some(key.certificate()?.key_id().to_owned())),
        login: None,
        serial: offered.and_then(|key| Some(ForeignSerial(key.certificate()?.serial()))),
        fingerprint: offered.map(|key| key.fingerprint().to_string()),
        connection: Some(id),
    });
}
