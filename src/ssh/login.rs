//! The login at a host: one authentication with the certificate that the user authenticated with,
//! signed by the user's agent, and what the host asks besides.

use std::error::Error as _;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ssh_key::Certificate;
use tokio::time::{Instant, timeout};

use super::agent::{AgentError, ForwardedAgent};
use super::conversation::{Conversation, Unanswered};
use super::fair_queue::QueueSlot;
use super::leg::{LegError, LegEvent};
use super::refusal::Refusal;
use super::upstream::Upstream;
use crate::access::LoginPermit;
use crate::agent::SignFlags;
use crate::audit::Party;
use crate::cert;
use crate::model::format_duration;
use crate::wire::Transport;
use crate::wire::auth::{AuthError, ClientAuth, ClientAuthEvent, certificate_algorithms};

/// How long a connection may stay unauthenticated at a host while its user, or the user's agent,
/// keeps it waiting.
pub(crate) const TURN_LIMIT: Duration = Duration::from_secs(15);
/// The same while the user is asked.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How often to look whether somebody waits for the turn of an agent that dawdles.
const TURN_CHECK: Duration = Duration::from_secs(1);
/// What to do about an agent that does not do what it should.
const CHECK_AGENT: &str = "on your machine, check the agent: ssh-add -L";

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
    let late = |limit: Duration, others: &str| {
        let limit = format_duration(limit);
        let text = format!("the host's questions were not answered within {limit}{others}");
        Refusal::new(Party::Client, "second-factor-timeout", text)
            .hint("log in again and answer sooner")
    };
    tokio::select! {
        result = timeout(grace, attempt) => match result {
            Ok(result) => result,
            Err(_elapsed) if awaited.is(Awaited::AGENT) => Err(agent_silent(grace)),
            Err(_elapsed) if awaited.is(Awaited::USER) => Err(late(grace, "")),
            Err(_elapsed) => {
                let error = LegError::Timeout(grace);
                Err(refused(permit, "host-authentication-timeout", &error))
            }
        },
        () = overdue(turn.as_ref(), &awaited) => match awaited.is(Awaited::USER) {
            true => Err(late(ANSWER_LIMIT, " and others wait for this host")),
            false => Err(Refusal::new(
                Party::Client,
                "agent-timeout",
                format!("your agent has not signed within {} and others wait for this host", format_duration(TURN_LIMIT)),
            ).hint("confirm or touch the key sooner")),
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
    let broke = |error: &dyn std::error::Error| refused(permit, "host-authentication", error);
    let leg = &mut upstream.leg;
    let certificate = permit.identity().certificate().certificate();
    let signs_with_sha1 = upstream.config.signs_with_sha1;
    if let Some(binding) = leg.transport.session_binding() {
        awaited.set(Awaited::AGENT);
        agent
            .bind(binding)
            .await
            .map_err(|error| agent_failed(&error))?;
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
                shown.map_err(|error| unanswered(permit, &error.into()))?;
            }
            ClientAuthEvent::Sign { data } => {
                let flags = SignFlags::for_algorithm(&algorithm);
                awaited.set(Awaited::AGENT);
                let signature = agent
                    .sign(key, &data, flags)
                    .await
                    .map_err(|error| agent_failed(&error))?;
                awaited.set(Awaited::HOST);
                auth.signed(&signature, &mut out)
                    .map_err(|error| agent_lied(&error))?;
            }
            ClientAuthEvent::Success => return Ok(()),
            ClientAuthEvent::Questions(challenge) => {
                awaited.set(Awaited::USER);
                let answers = tokio::select! {
                    answers = conversation.ask(&challenge) => {
                        answers.map_err(|error| unanswered(permit, &error))?
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
                invited.map_err(|error| unanswered(permit, &error))?;
                awaited.set(Awaited::HOST);
                let _was_asked_above = auth.interact(&mut out);
            }
            ClientAuthEvent::Failure { methods, partial } => {
                if partial || conversation.was_asked() {
                    return Err(wants_more(permit, &methods, conversation));
                }
                let extensions = leg.transport.peer_extensions();
                let needs_sha1 = certificate.algorithm().is_rsa()
                    && !upstream.config.signs_with_sha1
                    && !extensions.takes_rsa_with_sha2();
                return Err(rejected(permit, needs_sha1));
            }
        }
    }
}

/// The certificate as it goes over the wire. A certificate that verified encodes to the very bytes
/// that were signed.
pub(crate) fn certificate_blob(certificate: &Certificate) -> Result<Vec<u8>, Refusal> {
    cert::certificate_blob(certificate).map_err(|error| {
        Refusal::new(
            Party::Proxy,
            "internal",
            format!("cannot encode the certificate: {error}"),
        )
    })
}

/// The certificate's key as the wire has it.
pub(crate) fn key_blob(certificate: &Certificate) -> Result<Vec<u8>, Refusal> {
    let key = ssh_key::PublicKey::from(certificate.public_key().clone());
    key.to_bytes().map_err(|error| {
        Refusal::new(
            Party::Proxy,
            "internal",
            format!("cannot encode the key: {error}"),
        )
    })
}

fn refused(permit: &LoginPermit, reason: &'static str, error: &dyn std::error::Error) -> Refusal {
    let host = &permit.route().target.host;
    Refusal::new(
        Party::HostAuthentication,
        reason,
        format!("cannot log in at {host}: {error}"),
    )
}

fn rejected(permit: &LoginPermit, needs_sha1: bool) -> Refusal {
    let (login, host) = (permit.login(), &permit.route().target.host);
    if needs_sha1 {
        return Refusal::new(
            Party::HostAuthentication,
            "host-refused",
            format!(
                "{host} does not let {login} in with this certificate, and does not say that it takes RSA keys but with SHA-1 (ssh-rsa)"
            ),
        )
        .hint(format!(
            "use an Ed25519 or ECDSA key, or update sshd on {host}; if neither is possible, on the proxy, in its configuration at the entry of {host} in nodes: legacy_algorithms: [ssh-rsa]"
        ));
    }
    Refusal::new(
        Party::HostAuthentication,
        "host-refused",
        format!("{host} does not let {login} in with this certificate"),
    )
    .hint(format!(
        "on {host}: the file of TrustedUserCAKeys must hold what `rproxy auth export --type=user` prints on the proxy, and the account {login} must exist; the log of its sshd says why. If it says nothing of the kind, on the proxy: `rproxy doctor`, which tells whether `egress_addrs` or a clock that is off is the reason"
    ))
}

/// The key was right, and is not enough.
fn wants_more(
    permit: &LoginPermit,
    methods: &[String],
    conversation: &Conversation<'_>,
) -> Refusal {
    let (login, host) = (permit.login(), &permit.route().target.host);
    let refusal = |text: String| Refusal::new(Party::HostAuthentication, "second-factor", text);
    let asks = methods
        .iter()
        .any(|method| method == "keyboard-interactive");
    if conversation.was_asked() {
        return refusal(format!(
            "{host} takes the certificate of {login}, and not what was answered to its questions"
        ))
        .hint(format!(
            "log in again; the log of sshd on {host} says what is wrong with the answers"
        ));
    }
    let named = methods.iter().take(8).map(String::as_str);
    let named = named.collect::<Vec<_>>().join(", ");
    let text = format!(
        "{host} takes the certificate of {login}, and wants a second factor besides ({named})"
    );
    refusal(text).hint(match asks {
        true => format!(
            "with ProxyJump nobody can be asked before the session: use ProxyCommand, which `rproxy config` prints on the proxy; or on {host}, in sshd_config: AuthenticationMethods publickey"
        ),
        false => format!(
            "the proxy passes on questions of keyboard-interactive, and no passwords: on {host}, set AuthenticationMethods publickey,keyboard-interactive, or publickey alone"
        ),
    })
}

/// The host has asked, and the user's ssh has not answered.
fn unanswered(permit: &LoginPermit, error: &Unanswered) -> Refusal {
    let host = &permit.route().target.host;
    let text = format!(
        "{host} takes the certificate and wants a second factor besides, and the client did not answer: {error}"
    );
    Refusal::new(Party::Client, "second-factor", text)
        .hint("on your machine: log in from a terminal, without BatchMode and with KbdInteractiveAuthentication")
}

/// An agent that does not do what it should. This is the user's side of the connection.
pub(crate) fn agent_failed(error: &AgentError) -> Refusal {
    let (reason, hint) = match error {
        AgentError::NoKey => (
            "agent-without-key",
            "on your machine, load it into the agent: ssh-add KEY (the certificate may stay in CertificateFile)",
        ),
        AgentError::Refused => (
            "agent-refused",
            "was it asked to confirm, or constrained to other hosts?",
        ),
        AgentError::Unbound => (
            "agent-unbound",
            "is it locked? on your machine, unlock it: ssh-add -X",
        ),
        AgentError::Io(_) | AgentError::Closed | AgentError::Codec(_) => {
            ("agent-failed", CHECK_AGENT)
        }
    };
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text.push_str(&format!(": {source}"));
    }
    Refusal::new(Party::Client, reason, text).hint(hint)
}

/// An agent that does not answer in time.
pub(crate) fn agent_silent(limit: Duration) -> Refusal {
    let limit = format_duration(limit);
    let text = format!("the forwarded agent has not answered within {limit}");
    Refusal::new(Party::Client, "agent-timeout", text).hint(CHECK_AGENT)
}

/// A signature that is none. Nothing of it went to the host.
fn agent_lied(error: &AuthError) -> Refusal {
    let mut text = format!("the forwarded agent's answer is not the signature asked for: {error}");
    if let Some(source) = error.source() {
        text.push_str(&format!(": {source}"));
    }
    Refusal::new(Party::Client, "agent-failed", text).hint(CHECK_AGENT)
}
