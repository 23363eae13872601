//! The login at a host: one authentication with the certificate that the user authenticated with,
//! signed by the user's agent, and the host's further questions.

use std::mem;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ssh_key::Certificate;
use ssh_key::public::KeyData;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::established::Upstream;
use crate::access::LoginPermit;
use crate::agent::SignFlags;
use crate::cert;
use crate::model::HostAddress;
use crate::net::QueueSlot;
use crate::ssh::agent::{AgentError, ForwardedAgent};
use crate::ssh::conversation::Conversation;
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::refusal::{self, Refusal};
use crate::wire::Transport;
use crate::wire::auth::{Challenge, ClientAuth, ClientAuthEvent, certificate_algorithms};

/// How long a connection may stay unauthenticated at a host while the user or the user's agent
/// delays it and other connections wait for the slot.
pub(crate) const TURN_LIMIT: Duration = Duration::from_secs(15);
/// The same limit while the user is being asked.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How often to check whether another connection waits for the slot while an agent is slow.
const TURN_CHECK: Duration = Duration::from_secs(1);

/// What a login at a host is waiting for.
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

/// The forwarded agent, and which of its keys signs.
pub(crate) struct Signer<'a> {
    pub(crate) agent: &'a mut ForwardedAgent,
    /// The key's blob in the agent's list.
    pub(crate) key: &'a [u8],
}

/// Authenticates at the host as the permit says, for at most `grace`. The agent gets exactly one
/// signature request; the host's other questions are passed to the user. The slot in the host's
/// queue is freed when this ends, with any result.
///
/// # Errors
/// The refusal for the user.
pub(crate) async fn authenticate<S>(
    upstream: &mut Upstream<S>,
    permit: &LoginPermit,
    signer: Signer<'_>,
    conversation: &mut Conversation<'_>,
    grace: Duration,
) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let turn = upstream.turn.take();
    let awaited = Awaited::default();
    let certificate = permit.credential();
    let certificate =
        certificate.ok_or_else(|| refusal::certificate_not_minted(&"none was asked for"))?;
    let certificate = certificate.certificate();
    let signs_with_sha1 = upstream.config.signs_with_sha1;
    let Upstream { leg, algorithm, .. } = upstream;
    let session_id = leg.transport.session_id().unwrap_or_default().to_vec();
    let login = permit.login().as_str();
    let blob = certificate_blob(certificate)?;
    let (first, host_bound) = offer(&leg.transport, certificate, signs_with_sha1);
    let mut attempt = Attempt {
        auth: ClientAuth::new(session_id, login, &first, blob, host_bound),
        leg,
        permit,
        certificate,
        signer,
        conversation,
        awaited: &awaited,
        signs_with_sha1,
        algorithm,
        out: Vec::new(),
    };
    tokio::select! {
        result = timeout(grace, attempt.run()) => match result {
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

/// Ends when a slot has been held for too long and others wait for it. Users get more time to
/// answer than an agent to sign.
async fn overdue(turn: Option<&QueueSlot<HostAddress>>, awaited: &Awaited) {
    let began = Instant::now();
    tokio::time::sleep(TURN_LIMIT).await;
    while turn.is_none_or(|turn| !turn.is_awaited())
        || (awaited.is(Awaited::USER) && began.elapsed() < ANSWER_LIMIT)
    {
        tokio::time::sleep(TURN_CHECK).await;
    }
}

/// The algorithm of the publickey offer, and the host key that it is bound to. Agents with
/// destination-constrained keys (`ssh-add -h`) sign only bound requests.
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

/// A login in progress.
struct Attempt<'a, 'c, S> {
    leg: &'a mut Leg<S>,
    permit: &'a LoginPermit,
    /// What the host is shown.
    certificate: &'a Certificate,
    signer: Signer<'a>,
    conversation: &'a mut Conversation<'c>,
    awaited: &'a Awaited,
    signs_with_sha1: bool,
    /// The signature algorithm.
    algorithm: &'a mut String,
    auth: ClientAuth,
    /// The packets to send next.
    out: Vec<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Attempt<'_, '_, S> {
    async fn run(&mut self) -> Result<(), Refusal> {
        self.bind_agent().await?;
        self.auth.start(&mut self.out);
        let mut knows_extensions = false;
        loop {
            let sent = self.leg.send_all(&mut self.out);
            sent.map_err(|error| self.broke(&error))?;
            let event = self.leg.next().await;
            let payload = match event.map_err(|error| self.broke(&error))? {
                LegEvent::Packet(payload) => payload,
                LegEvent::HostKey(_) | LegEvent::Established => continue,
            };
            // The host sends its extensions before any other message, and that is rarely before it
            // is asked something.
            if !mem::replace(&mut knows_extensions, true) {
                let (algorithm, host_bound) =
                    offer(&self.leg.transport, self.certificate, self.signs_with_sha1);
                self.auth.offer(&algorithm, host_bound);
                *self.algorithm = algorithm;
            }
            let event = self.auth.on_packet(&payload, &mut self.out);
            match event.map_err(|error| self.broke(&error))? {
                ClientAuthEvent::Nothing => {}
                ClientAuthEvent::Banner(text) => {
                    let shown = self.conversation.banner(text).await;
                    shown
                        .map_err(|error| refusal::second_factor_unanswered(self.permit, &error))?;
                }
                ClientAuthEvent::Sign { data } => self.sign(&data).await?,
                ClientAuthEvent::Success => return Ok(()),
                ClientAuthEvent::Questions(challenge) => self.ask(&challenge).await?,
                ClientAuthEvent::Failure { .. }
                    if self.auth.can_interact() && self.conversation.can_ask() =>
                {
                    self.invite().await?;
                }
                ClientAuthEvent::Failure { methods, partial } => {
                    return Err(self.refused(&methods, partial));
                }
            }
        }
    }

    /// Binds the agent to the host.
    async fn bind_agent(&mut self) -> Result<(), Refusal> {
        if let Some(binding) = self.leg.transport.session_binding() {
            self.awaited.set(Awaited::AGENT);
            let bound = self.signer.agent.bind(binding).await;
            bound.map_err(|error| refusal::agent_failed(&error))?;
            self.awaited.set(Awaited::HOST);
        }
        Ok(())
    }

    async fn sign(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let flags = SignFlags::for_algorithm(self.algorithm);
        self.awaited.set(Awaited::AGENT);
        let Signer { agent, key } = &mut self.signer;
        let signature = agent.sign(key, data, flags).await;
        let is_bare = self.permit.identity().certificate().is_none();
        let signature = signature.map_err(|error| match error {
            AgentError::Refused if is_bare => refusal::agent_refused_bare_key(),
            error => refusal::agent_failed(&error),
        })?;
        self.awaited.set(Awaited::HOST);
        self.auth
            .signed(&signature, &mut self.out)
            .map_err(|error| refusal::agent_lied(&error))
    }

    /// Passes the host's questions on, and the user's answers back.
    async fn ask(&mut self, challenge: &Challenge) -> Result<(), Refusal> {
        self.awaited.set(Awaited::USER);
        let answers = tokio::select! {
            answers = self.conversation.ask(challenge) => answers,
            // The host sends nothing until it is answered, unless it disconnects.
            said = self.leg.next() => return Err(self.spoke_out_of_turn(said)),
        };
        let answers =
            answers.map_err(|error| refusal::second_factor_unanswered(self.permit, &error))?;
        self.awaited.set(Awaited::HOST);
        let packet = self.auth.answer(&answers);
        let packet = packet.map_err(|error| self.broke(&error))?;
        let sent = self.leg.transport.send(&packet);
        sent.map_err(|error| self.broke(&LegError::from(error)))
    }

    /// The key is accepted and not enough: informs the user's ssh, then asks the host for its
    /// questions.
    async fn invite(&mut self) -> Result<(), Refusal> {
        self.awaited.set(Awaited::USER);
        let invited = tokio::select! {
            invited = self.conversation.invite() => invited,
            said = self.leg.next() => return Err(self.spoke_out_of_turn(said)),
        };
        invited.map_err(|error| refusal::second_factor_unanswered(self.permit, &error))?;
        self.awaited.set(Awaited::HOST);
        // The caller has checked that the host can be asked.
        let _can = self.auth.interact(&mut self.out);
        Ok(())
    }

    fn broke(&self, error: &dyn std::error::Error) -> Refusal {
        refusal::host_login_failed(self.permit, &error)
    }

    fn spoke_out_of_turn(&self, said: Result<LegEvent, LegError>) -> Refusal {
        let error = said.err().unwrap_or(LegError::Closed);
        self.broke(&error)
    }

    /// The host's final refusal.
    fn refused(&self, methods: &[String], partial: bool) -> Refusal {
        if self.conversation.was_asked() {
            return refusal::answers_refused(self.permit);
        }
        if partial {
            return refusal::second_factor_wanted(self.permit, methods);
        }
        let extensions = self.leg.transport.peer_extensions();
        let needs_sha1 = self.certificate.algorithm().is_rsa()
            && !self.signs_with_sha1
            && !extensions.takes_rsa_with_sha2();
        refusal::certificate_refused(self.permit, needs_sha1)
    }
}

/// The certificate in wire format. A certificate that verified encodes to exactly the bytes that
/// were signed.
pub(crate) fn certificate_blob(certificate: &Certificate) -> Result<Vec<u8>, Refusal> {
    cert::certificate_blob(certificate)
        .map_err(|error| refusal::not_encoded("the certificate", &error))
}

/// A public key in wire format.
pub(crate) fn key_blob(key: &KeyData) -> Result<Vec<u8>, Refusal> {
    let key = ssh_key::PublicKey::from(key.clone());
    key.to_bytes()
        .map_err(|error| refusal::not_encoded("the key", &error))
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::net::{HandshakeQueue, QueueOwner};
    use crate::ssh::testing::agent::{self, OnSign};
    use crate::ssh::testing::host::{HostSaw, MemoryDial, OnKey, TestHost};
    use crate::ssh::testing::{DB1, GRACE, MAX_STARTING, SshFixture, memory_channel};

    /// How a login went.
    struct Run {
        result: Result<(), Refusal>,
        took: Duration,
        host: HostSaw,
        /// How often the agent was asked to sign.
        asked: usize,
        /// What the host said that the user has not been asked.
        banners: Vec<String>,
    }

    impl Run {
        fn reason(&self) -> &'static str {
            self.result.as_ref().expect_err("it is refused").reason
        }
    }

    /// Connects to a host that takes keys so.
    async fn connect(
        proxy: &SshFixture,
        host: TestHost,
    ) -> (Upstream<DuplexStream>, JoinHandle<HostSaw>) {
        let dial = MemoryDial::default();
        let far = dial.next_stream();
        let host = tokio::spawn(async move { host.serve(far).await.0 });
        let dialler = proxy.dialler(dial);
        let permit = proxy.permit("db1:22");
        let plan = dialler.find(&permit).await.unwrap();
        (dialler.connect(&permit, &plan).await.unwrap(), host)
    }

    async fn log_in_at(
        proxy: &SshFixture,
        (mut upstream, host): (Upstream<DuplexStream>, JoinHandle<HostSaw>),
        on_sign: OnSign,
    ) -> Run {
        let (stream, far) = memory_channel();
        let holder = tokio::spawn(agent::serve(far, Some(proxy.alice.clone()), on_sign));
        let mut agent = ForwardedAgent::new(stream, proxy.metrics.clone());
        let key = proxy.alice.public_key().to_bytes().unwrap();
        let signer = Signer {
            agent: &mut agent,
            key: &key,
        };
        let permit = proxy.login_permit("db1:22");
        let mut conversation = Conversation::with_nobody();
        let began = Instant::now();
        let result = authenticate(&mut upstream, &permit, signer, &mut conversation, GRACE).await;
        let took = began.elapsed();
        assert!(
            upstream.turn.is_none(),
            "the turn is over, whatever came of it"
        );
        drop((upstream, agent));
        let asked = match on_sign {
            OnSign::IsSilent => 0,
            _ => holder.await.unwrap(),
        };
        Run {
            result,
            took,
            host: host.await.unwrap(),
            asked,
            banners: conversation.banners().map(str::to_owned).collect(),
        }
    }

    async fn log_in(on_key: OnKey, on_sign: OnSign) -> Run {
        let proxy = SshFixture::new();
        let host = TestHost::certified(&proxy.host_ca.key, |_| {}).on_key(on_key);
        let connected = connect(&proxy, host).await;
        log_in_at(&proxy, connected, on_sign).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_agent_signs_once_for_the_login_of_the_permit() {
        let run = log_in(OnKey::Accepts, OnSign::Signs).await;
        run.result.unwrap();
        assert_eq!(run.host.login.as_deref(), Some("deploy"));
        assert_eq!(
            (run.host.let_in, run.host.signatures, run.asked),
            (true, 1, 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_want_the_key_costs_no_signature() {
        let run = log_in(OnKey::Rejects, OnSign::Signs).await;
        assert_eq!((run.reason(), run.asked), ("host-refused", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_agent_does_not_sign_never_reaches_the_host() {
        for (on_sign, reason) in [
            (OnSign::Refuses, "agent-refused"),
            (OnSign::Lies, "agent-failed"),
        ] {
            let run = log_in(OnKey::Accepts, on_sign).await;
            assert_eq!(run.reason(), reason);
            assert_eq!(
                (run.asked, run.host.signatures, run.host.let_in),
                (1, 0, false)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_for_too_long_is_named() {
        let run = log_in(OnKey::IsSilent, OnSign::Signs).await;
        assert_eq!(
            (run.reason(), run.took),
            ("host-authentication-timeout", GRACE)
        );
        let run = log_in(OnKey::Accepts, OnSign::IsSilent).await;
        assert_eq!((run.reason(), run.took), ("agent-timeout", GRACE));
    }

    /// An agent may be slow as long as no other connection waits for the place at the host.
    #[tokio::test(start_paused = true)]
    async fn an_agent_that_dawdles_gives_its_turn_to_those_who_wait() {
        let proxy = SshFixture::new();
        let host = TestHost::certified(&proxy.host_ca.key, |_| {});
        let (mut upstream, host) = connect(&proxy, host).await;
        let queue = HandshakeQueue::at_hosts(MAX_STARTING);
        let alice = QueueOwner::Person("alice".to_owned());
        let mut turns = Vec::new();
        for _ in 0..MAX_STARTING {
            turns.push(queue.turn(DB1, &alice).await.unwrap());
        }
        upstream.turn = turns.pop();
        let waiting = {
            let queue = queue.clone();
            tokio::spawn(async move { queue.turn(DB1, &alice).await.map(drop) })
        };
        let run = log_in_at(&proxy, (upstream, host), OnSign::IsSilent).await;
        assert_eq!(run.reason(), "agent-timeout");
        let in_time = TURN_LIMIT..=TURN_LIMIT + TURN_CHECK;
        assert!(in_time.contains(&run.took), "{:?}", run.took);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_factor_that_nobody_can_give_is_named() {
        for (on_key, hint) in [
            (OnKey::Asks("Code: "), "with ProxyJump nobody can be asked"),
            (OnKey::WantsPassword, "and no passwords"),
        ] {
            let run = log_in(on_key, OnSign::Signs).await;
            assert_eq!(run.reason(), "second-factor");
            let text = run.result.unwrap_err().text("ID");
            assert!(text.contains(hint), "{text}");
            assert_eq!((run.host.signatures, run.host.let_in), (1, false));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hosts_banner_is_kept_for_a_user_who_reads_it_later() {
        let proxy = SshFixture::new();
        let mut host = TestHost::certified(&proxy.host_ca.key, |_| {});
        host.banner = Some("authorised use only");
        let connected = connect(&proxy, host).await;
        let run = log_in_at(&proxy, connected, OnSign::Signs).await;
        run.result.unwrap();
        assert_eq!(run.banners, ["authorised use only\n"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hangs_up_is_the_reason() {
        let proxy = SshFixture::new();
        let host = TestHost::certified(&proxy.host_ca.key, |_| {}).on_key(OnKey::IsSilent);
        let (upstream, host) = connect(&proxy, host).await;
        host.abort();
        let gone = tokio::spawn(async { HostSaw::default() });
        let run = log_in_at(&proxy, (upstream, gone), OnSign::Signs).await;
        assert_eq!(run.reason(), "host-authentication");
    }
}
