//! The login at a host: one authentication with the certificate that the user authenticated with,
//! signed by the user's agent, and what the host asks besides.

use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ssh_key::Certificate;
use tokio::time::{Instant, timeout};

use super::agent::ForwardedAgent;
use super::conversation::Conversation;
use super::fair_queue::QueueSlot;
use super::leg::{LegError, LegEvent};
use super::refusal::{self, Refusal};
use super::upstream::Upstream;
use crate::access::LoginPermit;
use crate::agent::SignFlags;
use crate::cert;
use crate::wire::Transport;
use crate::wire::auth::{ClientAuth, ClientAuthEvent, certificate_algorithms};

/// How long a connection may stay unauthenticated at a host while its user, or the user's agent,
/// keeps it waiting.
pub(crate) const TURN_LIMIT: Duration = Duration::from_secs(15);
/// The same while the user is asked.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How often to look whether somebody waits for the turn of an agent that dawdles.
const TURN_CHECK: Duration = Duration::from_secs(1);

/// Whom a login at a host waits for.
#[derive(Debug, Default)]
struct Awaited(AtomicU8);

impl Awaited {
    const HOST: u8 = 0;
    const AGENT: u8 = 1;
    const USER: u8 = 2;

    fn set(&self, whom: u8) {
        self.0.store(whom, Ordering::Relaxed);
    }

    fn is(&self, whom: u8) -> bool {
        self.0.load(Ordering::Relaxed) == whom
    }
}

/// What is signed with: the forwarded agent, and which of its keys.
pub(crate) struct Signer<'a> {
    pub(crate) agent: &'a mut ForwardedAgent,
    /// The key as the agent lists it.
    pub(crate) key: &'a [u8],
}

/// Authenticates at the host as the permit says, for as long as `grace`. The agent is asked for
/// exactly one signature; what else the host wants to know, the user is asked. The connection's turn
/// at the host ends here, whatever comes of it.
///
/// # Errors
/// The refusal for the user.
pub(crate) async fn authenticate(
    upstream: &mut Upstream,
    permit: &LoginPermit,
    signer: Signer<'_>,
    conversation: &mut Conversation<'_>,
    grace: Duration,
) -> Result<(), Refusal> {
    let turn = upstream.turn.take();
    let awaited = Awaited::default();
    let attempt = attempt(upstream, permit, signer, conversation, &awaited);
    tokio::select! {
        result = timeout(grace, attempt) => match result {
            Ok(result) => result,
            Err(_elapsed) if awaited.is(Awaited::AGENT) => Err(refusal::agent_silent(grace)),
            Err(_elapsed) if awaited.is(Awaited::USER) => Err(refusal::answered_too_late(grace, false)),
            Err(_elapsed) => {
                let error = LegError::Timeout(grace);
                Err(refusal::host_login_timed_out(permit, &error))
            }
        },
        () = overdue(turn.as_ref(), &awaited) => match awaited.is(Awaited::USER) {
            true => Err(refusal::answered_too_late(ANSWER_LIMIT, true)),
            false => Err(refusal::agent_late(TURN_LIMIT)),
        },
    }
}

/// Ends when a turn has been held for too long and others wait for it. People need longer to answer
/// than an agent to sign.
async fn overdue(turn: Option<&QueueSlot<SocketAddr>>, awaited: &Awaited) {
    let began = Instant::now();
    tokio::time::sleep(TURN_LIMIT).await;
    while turn.is_none_or(|turn| !turn.is_awaited())
        || (awaited.is(Awaited::USER) && began.elapsed() < ANSWER_LIMIT)
    {
        tokio::time::sleep(TURN_CHECK).await;
    }
}

/// As what the certificate is offered, and bound to which host key: an agent that holds keys for
/// certain hosts only (`ssh-add -h`) signs nothing that is not.
fn offer(
    host: &Transport,
    certificate: &Certificate,
    signs_with_sha1: bool,
) -> (String, Option<Vec<u8>>) {
    let extensions = host.peer_extensions();
    let known = extensions.server_sig_algs.as_deref();
    let algorithm = certificate_algorithms(certificate, known, signs_with_sha1);
    let key = || host.host_key_blob().unwrap_or_default().to_vec();
    (algorithm, extensions.hostbound.then(key))
}

async fn attempt(
    upstream: &mut Upstream,
    permit: &LoginPermit,
    Signer { agent, key }: Signer<'_>,
    conversation: &mut Conversation<'_>,
    awaited: &Awaited,
) -> Result<(), Refusal> {
    let broke = |error: &dyn std::error::Error| refusal::host_login_failed(permit, &error);
    let leg = &mut upstream.leg;
    let certificate = permit.identity().certificate().certificate();
    let signs_with_sha1 = upstream.config.signs_with_sha1;
    if let Some(binding) = leg.transport.session_binding() {
        awaited.set(Awaited::AGENT);
        agent
            .bind(binding)
            .await
            .map_err(|error| refusal::agent_failed(&error))?;
        awaited.set(Awaited::HOST);
    }
    let session_id = leg.transport.session_id().unwrap_or_default().to_vec();
    let login = permit.login().as_str();
    let blob = certificate_blob(certificate)?;
    let (mut algorithm, host_bound) = offer(&leg.transport, certificate, signs_with_sha1);
    let mut auth = ClientAuth::new(session_id, login, &algorithm, blob, host_bound);
    let mut out = Vec::new();
    auth.start(&mut out);
    let mut knows_extensions = false;
    loop {
        leg.send_all(&mut out).map_err(|error| broke(&error))?;
        let payload = match leg.next().await.map_err(|error| broke(&error))? {
            LegEvent::Packet(payload) => payload,
            LegEvent::HostKey(_) | LegEvent::Established => continue,
        };
        // What the host can do it says before anything else, and rarely before it is asked something.
        if !mem::replace(&mut knows_extensions, true) {
            let (other, host_bound) = offer(&leg.transport, certificate, signs_with_sha1);
            auth.offer(&other, host_bound);
            algorithm = other;
            upstream.algorithm.clone_from(&algorithm);
        }
        match auth
            .on_packet(&payload, &mut out)
            .map_err(|error| broke(&error))?
        {
            ClientAuthEvent::Nothing => {}
            ClientAuthEvent::Banner(text) => {
                let shown = conversation.banner(text).await;
                shown.map_err(|error| refusal::second_factor_unanswered(permit, &error))?;
            }
            ClientAuthEvent::Sign { data } => {
                let flags = SignFlags::for_algorithm(&algorithm);
                awaited.set(Awaited::AGENT);
                let signature = agent
                    .sign(key, &data, flags)
                    .await
                    .map_err(|error| refusal::agent_failed(&error))?;
                awaited.set(Awaited::HOST);
                auth.signed(&signature, &mut out)
                    .map_err(|error| refusal::agent_lied(&error))?;
            }
            ClientAuthEvent::Success => return Ok(()),
            ClientAuthEvent::Questions(challenge) => {
                awaited.set(Awaited::USER);
                let answers = tokio::select! {
                    answers = conversation.ask(&challenge) => {
                        answers.map_err(|error| refusal::second_factor_unanswered(permit, &error))?
                    }
                    // The host speaks again when it is answered, or gives up.
                    said = leg.next() => {
                        let error = said.err().unwrap_or(LegError::Closed);
                        return Err(broke(&error));
                    }
                };
                awaited.set(Awaited::HOST);
                let packet = auth.answer(&answers).map_err(|error| broke(&error))?;
                let sent = leg.transport.send(&packet);
                sent.map_err(|error| broke(&LegError::from(error)))?;
            }
            ClientAuthEvent::Failure { .. } if auth.can_interact() && conversation.can_ask() => {
                awaited.set(Awaited::USER);
                let invited = tokio::select! {
                    invited = conversation.invite() => invited,
                    said = leg.next() => {
                        let error = said.err().unwrap_or(LegError::Closed);
                        return Err(broke(&error));
                    }
                };
                invited.map_err(|error| refusal::second_factor_unanswered(permit, &error))?;
                awaited.set(Awaited::HOST);
                let _was_asked_above = auth.interact(&mut out);
            }
            ClientAuthEvent::Failure { methods, partial } => {
                if conversation.was_asked() {
                    return Err(refusal::answers_refused(permit));
                }
                if partial {
                    return Err(refusal::second_factor_wanted(permit, &methods));
                }
                let extensions = leg.transport.peer_extensions();
                let needs_sha1 = certificate.algorithm().is_rsa()
                    && !upstream.config.signs_with_sha1
                    && !extensions.takes_rsa_with_sha2();
                return Err(refusal::certificate_refused(permit, needs_sha1));
            }
        }
    }
}

/// The certificate as it goes over the wire. A certificate that verified encodes to the very bytes
/// that were signed.
pub(crate) fn certificate_blob(certificate: &Certificate) -> Result<Vec<u8>, Refusal> {
    cert::certificate_blob(certificate)
        .map_err(|error| refusal::not_encoded("the certificate", &error))
}

/// The certificate's key as the wire has it.
pub(crate) fn key_blob(certificate: &Certificate) -> Result<Vec<u8>, Refusal> {
    let key = ssh_key::PublicKey::from(certificate.public_key().clone());
    key.to_bytes()
        .map_err(|error| refusal::not_encoded("the key", &error))
}
