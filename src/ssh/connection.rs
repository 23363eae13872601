//! One inner connection and its host: from the permit to the relay.
//!
//! The inner handshake and the way to the host run side by side. The host's answer to the user's
//! authentication is known before the user's ssh is accepted, so that a failure reads as a
//! banner with a reason.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::agent::ForwardedAgent;
use super::authentication::{Authenticated, Unauthenticated, authenticate};
use super::bridge::{self, Handoff, RelayLimits};
use super::budget::Share;
use super::channel::{ChannelHandle, ChannelStream};
use super::conversation::Conversation;
use super::dial_plan::DialPlan;
use super::early;
use super::end_reason::EndReason;
use super::endpoint::{AgentOpener, NoAgent};
use super::host_certificate::MintError;
use super::inner_auth;
use super::jump::{Ended, JumpSetup};
use super::leg::Leg;
use super::minting;
use super::people_client::PersonClient;
use super::policy_monitor::PolicyMonitor;
use super::refusal::{self, Origin, Refusal};
use super::scope::Scope;
use super::services::InnerServices;
use super::timers::ConnectionTimers;
use super::upstream::{
    self, Dial, HostDial, Signer, TURN_LIMIT, Upstream, certificate_blob, key_blob,
};
use crate::access::{LoginPermit, Permit, SignIn};
use crate::audit::{AuditEvent, Party};
use crate::metrics::Layer;
use crate::model::{ConnectionId, HostPrincipal, Login, Serial, chain};
use crate::net::QueueOwner;
use crate::session::{EarlyText, Recorder, SessionContext};
use crate::wire::connection::EXIT_REFUSED;
use crate::wire::{DisconnectReason, ServerConfig, Transport};

/// A connection that is permitted and not established yet.
#[derive(Debug)]
pub(crate) struct Connection<D = HostDial> {
    pub(crate) services: Arc<InnerServices<D>>,
    pub(crate) permit: Permit,
    pub(crate) id: ConnectionId,
    /// The client's address.
    pub(crate) client: SocketAddr,
    /// The agent that was forwarded on the outer connection; `None` with ProxyJump, which forwards
    /// no agent there.
    pub(crate) agent: Option<AgentOpener>,
    /// What the outer connection's server presents.
    pub(crate) shown: Arc<ServerConfig>,
    /// Makes certificates for a person who has signed in.
    pub(crate) person: Option<PersonClient>,
    /// The lifetime of the outer connection.
    pub(crate) scope: Scope,
}

/// The way to the host, as far as it goes without the login.
struct Ready<S> {
    upstream: Upstream<S>,
    agent: ForwardedAgent,
    /// The key that the agent signs with.
    agent_key: Vec<u8>,
}

/// A connection that is logged in on both sides. The agent has made its signature.
struct Established<S> {
    permit: LoginPermit,
    upstream: Upstream<S>,
    prelude: Handoff,
    /// What the user has read and was asked.
    said: Vec<EarlyText>,
}

impl<D: Dial> Connection<D> {
    /// Runs the connection until either side is done with it.
    /// `share` is its part of the memory budget.
    pub(crate) async fn run(self, stream: ChannelStream, share: Share) {
        let _open = self.services.metrics.connection(Layer::Inner);
        let terminal = stream.handle();
        let scope = self.scope.clone();
        let found = tokio::select! {
            found = self.find() => found,
            why = last_words(&scope) => {
                if let Some(goodbye) = why.row(self.id).client {
                    let (shown, has_stderr) = (Arc::clone(&self.shown), self.agent.is_some());
                    early::refuse(stream, shown, has_stderr, &goodbye.text).await;
                }
                return;
            }
        };
        let (way, config) = match found {
            Ok(found) => found,
            Err(refusal) => {
                self.refuse(&refusal, None, None);
                let shown = Arc::clone(&self.shown);
                return early::refuse(stream, shown, self.agent.is_some(), &refusal.text(self.id))
                    .await;
            }
        };
        let mut leg = Leg::with(&self.services.compute, stream, Transport::server(config));
        // Boxed: this future is large, and is done early in a connection's life.
        let established = Box::pin(async {
            match &self.agent {
                Some(agent) => self.establish(&mut leg, agent, &way).await,
                None => Box::pin(self.establish_by_jump(&mut leg, &way)).await,
            }
        });
        let established = tokio::select! {
            established = established => established,
            refusal = self.watched().withdrawn() => {
                Err(SetupFailure::Ended(EndReason::Withdrawn(Box::new(refusal))))
            }
            why = last_words(&scope) => Err(SetupFailure::Ended(why)),
        };
        match established {
            Ok(established) => {
                // A channel of ProxyJump has no way to the user's terminal.
                let terminal = self.agent.is_some().then_some(terminal);
                Box::pin(self.relay(leg, established, terminal, share)).await;
            }
            Err(SetupFailure::Client(failure)) => {
                self.report_client(&failure, &terminal);
                leg.reproach(&failure.ended).await;
            }
            Err(SetupFailure::Refused { refusal, login }) => {
                self.refuse(&refusal, login.as_ref(), None);
                let text = refusal.disconnect_text(self.id);
                leg.disconnect(DisconnectReason::NoMoreAuthMethodsAvailable, &text)
                    .await;
            }
            Err(SetupFailure::Ended(why)) => {
                if let Some(goodbye) = why.row(self.id).client {
                    leg.disconnect(goodbye.code, &goodbye.text).await;
                }
            }
        }
    }

    /// Where the target leads, and what the proxy presents to the user's ssh. A target that leads nowhere
    /// is refused before anything is signed for it.
    async fn find(&self) -> Result<(DialPlan, Arc<ServerConfig>), Refusal> {
        let way = self.services.dialler.find(&self.permit).await?;
        let config = self.server_config(&way).await?;
        Ok((way, config))
    }

    /// The names in the certificate that the user's ssh is shown: the name that was asked for, and the
    /// names of the same host that a user may have in `HostKeyAlias`: from the inventory, and from the
    /// host's own certificate as it was seen last.
    fn shown(&self, asked: HostPrincipal, remembered: &[HostPrincipal]) -> Vec<HostPrincipal> {
        let mut names = vec![asked];
        let node = self.permit.route().node.as_ref();
        // A cluster's name need not be part of a host's.
        let listed = node.map(|node| {
            [
                node.clone(),
                format!("{node}.{}", self.services.router.cluster()),
            ]
        });
        let listed = listed.into_iter().flatten();
        let listed = listed.filter_map(|name| name.parse().ok());
        for name in listed.chain(remembered.iter().cloned()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// A host certificate for the name that the user's ssh expects. If the CA does not sign, a certificate from
    /// the cache without the remembered names is used.
    async fn server_config(&self, way: &DialPlan) -> Result<Arc<ServerConfig>, Refusal> {
        let name = &self.permit.route().target.host;
        let whose = QueueOwner::Person(self.permit.identity().name().to_owned());
        let minted = match HostPrincipal::asked(name) {
            Ok(name) => {
                let names = self.shown(name.clone(), &way.remembered);
                let certificates = &self.services.certificates;
                let minted = certificates.server_config(&whose, names).await;
                let names = self.shown(name, &[]);
                minted.or_else(|error| certificates.config_at_hand(&names).ok_or(error))
            }
            Err(error) => Err(MintError::Name(error)),
        };
        minted.map_err(|error| {
            tracing::error!(error = %chain(&error), host = %name, "cannot make a host certificate");
            refusal::host_certificate_not_minted(&error)
        })
    }

    async fn establish(
        &self,
        leg: &mut Leg<ChannelStream>,
        agent: &AgentOpener,
        way: &DialPlan,
    ) -> Result<Established<D::Stream>, SetupFailure> {
        let id = self.id.to_string();
        let ready = self.prepare(agent, way);
        tokio::pin!(ready);
        let mut early = None;
        let mut given_up = false;
        let attempt = {
            let settings = self.services.settings.now();
            let (grace, greeting) = (settings.login_grace, settings.greeting.as_deref());
            let mut verifier = inner_auth::verifier(&self.services, &self.permit, self.client);
            let inner = authenticate(leg, &id, grace, greeting, &mut verifier);
            tokio::pin!(inner);
            let impatience = tokio::time::sleep(grace);
            tokio::pin!(impatience);
            loop {
                tokio::select! {
                    attempt = &mut inner => break attempt.map_err(SetupFailure::Client)?,
                    done = &mut ready, if early.is_none() && !given_up => {
                        early = Some(done);
                        impatience.as_mut().reset(Instant::now() + TURN_LIMIT);
                    }
                    // The host's turn is not held for a slow client; the host is dialled again.
                    () = &mut impatience, if matches!(early, Some(Ok(_))) => {
                        early = None;
                        given_up = true;
                    }
                }
            }
        };
        let Authenticated {
            verdict: permit,
            mut auth,
        } = attempt;
        let result = match early {
            Some(result) => result,
            None if given_up => self.prepare(agent, way).await,
            None => ready.await,
        };
        let mut conversation = Conversation::with(leg, &mut auth);
        let result = match result {
            Ok(mut ready) => {
                let done = self.log_in(&permit, &mut ready, &mut conversation).await;
                done.map(|permit| (permit, ready))
            }
            Err(refusal) => Err(refusal),
        };
        let said = self.said(conversation);
        let mut out = Vec::new();
        match result {
            Ok((permit, ready)) => {
                auth.accept(&mut out);
                // If the client is gone, the relay notices it.
                leg.send_all(&mut out).ok();
                let (prelude, upstream) = (Handoff::default(), ready.upstream);
                Ok(Established {
                    permit,
                    upstream,
                    prelude,
                    said,
                })
            }
            Err(refusal) => {
                auth.reject(Some(&refusal.text(&id)), &mut out);
                // A client that is gone reads no refusal.
                leg.send_all(&mut out).ok();
                Err(SetupFailure::Refused {
                    refusal,
                    login: Some(permit.login().clone()),
                })
            }
        }
    }

    /// Setup with ProxyJump: accepts the user's ssh first, then asks the agent that it forwards.
    async fn establish_by_jump(
        &self,
        leg: &mut Leg<ChannelStream>,
        way: &DialPlan,
    ) -> Result<Established<D::Stream>, SetupFailure> {
        let id = self.id.to_string();
        let settings = self.services.settings.now();
        let (grace, greeting) = (settings.login_grace, settings.greeting.as_deref());
        let mut verifier = inner_auth::verifier(&self.services, &self.permit, self.client);
        let attempt = authenticate(leg, &id, grace, greeting, &mut verifier).await;
        let Authenticated {
            verdict: permit,
            mut auth,
        } = attempt.map_err(SetupFailure::Client)?;
        let mut out = Vec::new();
        auth.accept(&mut out);
        // If the client is gone, that is noticed below.
        leg.send_all(&mut out).ok();
        let mut waiting = JumpSetup::new(leg);
        let mut conversation = Conversation::with_nobody();
        let jump = self.jump(&mut waiting, &permit, &mut conversation, way);
        match jump.await {
            Ok((permit, upstream, prelude)) => Ok(Established {
                permit,
                upstream,
                prelude,
                said: self.said(conversation),
            }),
            Err(Ended::Refused(refusal)) => {
                waiting.refuse(&refusal.text(&id)).await;
                Err(SetupFailure::Refused {
                    refusal,
                    login: Some(permit.login().clone()),
                })
            }
            Err(Ended::Gone(ended)) => Err(SetupFailure::Client(Unauthenticated {
                refusal: None,
                offered: None,
                ended,
            })),
        }
    }

    async fn jump(
        &self,
        waiting: &mut JumpSetup<'_>,
        permit: &LoginPermit,
        conversation: &mut Conversation<'_>,
        way: &DialPlan,
    ) -> Result<(LoginPermit, Upstream<D::Stream>, Handoff), Ended> {
        let stream = waiting.agent().await?;
        let work = async {
            let mut ready = self.prepare_with(stream, way).await?;
            let permit = self.log_in(permit, &mut ready, conversation).await?;
            Ok((permit, ready.upstream))
        };
        let done = waiting.during(work).await;
        for banner in conversation.banners() {
            waiting.say(banner)?;
        }
        let (permit, mut upstream) = done?;
        let prelude = waiting.hand_over(&mut upstream).await?;
        Ok((permit, upstream, prelude))
    }

    async fn prepare(
        &self,
        agent: &AgentOpener,
        way: &DialPlan,
    ) -> Result<Ready<D::Stream>, Refusal> {
        let stream = agent.open().await.map_err(|none| match none {
            NoAgent::Crowded => refusal::too_many_channels(),
            NoAgent::Silent => refusal::agent_not_opened(),
        })?;
        self.prepare_with(stream, way).await
    }

    /// Finds the user's key in the agent, then dials: if the key is missing, the host gets no
    /// connection.
    async fn prepare_with(
        &self,
        stream: ChannelStream,
        way: &DialPlan,
    ) -> Result<Ready<D::Stream>, Refusal> {
        let mut agent = ForwardedAgent::new(stream, Arc::clone(&self.services.metrics));
        let identity = self.permit.identity();
        let certificate = identity.certificate();
        let certificate = certificate.map(|proof| certificate_blob(proof.certificate()));
        let (certificate, key) = (certificate.transpose()?, key_blob(identity.key())?);
        let found = agent.find(certificate.as_deref(), &key);
        let limit = AGENT_LIST_TIMEOUT.min(self.services.settings.now().login_grace);
        let agent_key = tokio::time::timeout(limit, found)
            .await
            .map_err(|_elapsed| refusal::agent_silent(limit))?
            .map_err(|error| refusal::agent_failed(&error))?;
        let upstream = self.services.dialler.connect(&self.permit, way).await?;
        Ok(Ready {
            upstream,
            agent,
            agent_key,
        })
    }

    /// What the user has read before the session begins.
    fn said(&self, conversation: Conversation<'_>) -> Vec<EarlyText> {
        let greeting = self.services.settings.now().greeting.clone();
        let greeting = greeting.map(EarlyText::Greeting).into_iter();
        greeting.chain(conversation.into_said()).collect()
    }

    /// Logs in at the host, which has proved who it is. The returned permit covers every node that the
    /// host turned out to be.
    async fn log_in(
        &self,
        permit: &LoginPermit,
        ready: &mut Ready<D::Stream>,
        conversation: &mut Conversation<'_>,
    ) -> Result<LoginPermit, Refusal> {
        let Ready {
            upstream,
            agent,
            agent_key,
        } = ready;
        let settings = self.services.settings.now();
        let (address, key) = (upstream.address, upstream.host.presented());
        let router = &self.services.router;
        let places = router.places_of(&settings, permit.route(), address, Some(key));
        let permit = permit.clone().also_at(&settings.policy, places);
        let permit = &permit.map_err(|denial| Refusal::from(&denial))?;
        let _still_granted = router
            .judge_login(&settings, permit, address, key)
            .map_err(|denial| Refusal::from(&denial))?;
        let (person, auth) = (self.person.as_ref(), &self.services.auth);
        let permit = minting::with_credential(permit.clone(), address, person, auth);
        let permit = &permit.await?;
        let grace = settings.login_grace;
        let signer = Signer {
            agent,
            key: agent_key,
        };
        let done = upstream::authenticate(upstream, permit, signer, conversation, grace).await;
        let identity = permit.identity();
        if conversation.was_asked() {
            self.services.audit.emit_or_log(&AuditEvent::SecondFactor {
                user: identity.name().to_owned(),
                login: permit.login().to_string(),
                target: permit.route().target.to_string(),
                host_addr: upstream.address,
                client_addr: self.client,
                questions: conversation.questions(),
                accepted: done.is_ok(),
                connection: Some(self.id),
            });
        }
        done?;
        if !upstream.host.is_checked() {
            self.services
                .audit
                .emit_or_log(&AuditEvent::InsecureHostKey {
                    user: identity.name().to_owned(),
                    login: Some(permit.login().to_string()),
                    target: permit.route().target.to_string(),
                    host_addr: upstream.address,
                    fingerprint: upstream.host.fingerprint().to_string(),
                    connection: Some(self.id),
                });
        }
        self.services.audit.emit_or_log(&AuditEvent::AuthSuccess {
            leg: Party::HostAuthentication,
            user: identity.name().to_owned(),
            login: Some(permit.login().to_string()),
            client_addr: self.client,
            serial: permit.credential().and_then(|it| Serial::new(it.serial())),
            fingerprint: identity.fingerprint().to_string(),
            sign_in: identity.sign_in().map(SignIn::id),
            connection: Some(self.id),
        });
        Ok(permit.clone())
    }

    async fn relay(
        &self,
        leg: Leg<ChannelStream>,
        established: Established<D::Stream>,
        terminal: Option<ChannelHandle>,
        share: Share,
    ) {
        let Established {
            permit,
            upstream,
            prelude,
            said,
        } = established;
        let valid_before = permit.identity().valid_before();
        let settings = self.services.settings.now();
        let mut timers =
            ConnectionTimers::new(&settings.time, valid_before, self.services.clock, terminal);
        if let Some(sign_in) = permit.identity().sign_in() {
            timers = timers.with_sign_in(sign_in.until());
        }
        let policy = PolicyMonitor::logged_in(
            &self.services.policy,
            permit.clone(),
            (upstream.address, upstream.host.presented().clone()),
            self.origin(Some(permit.login())),
        );
        let scene = SessionContext {
            connection: self.id,
            cluster: self.services.router.cluster().clone(),
            permit,
            client: self.client,
            host_address: upstream.address,
            egress: upstream.egress,
            insecure_host_key: !upstream.host.is_checked(),
            legacy_algorithms: upstream.legacy_algorithms(),
            said,
        };
        let (seat, inbox) = self
            .services
            .registry
            .enter(&scene, self.services.clock.now());
        let recorder = Recorder::new(
            settings.recording.clone(),
            self.services.audit.clone(),
            Arc::clone(&self.services.metrics),
            self.services.clock,
            scene,
            seat,
        );
        let limits = RelayLimits {
            timers,
            policy,
            scope: self.scope.clone(),
            inbox,
            share,
        };
        let legs = (leg, upstream.leg);
        Box::pin(bridge::run(legs, recorder, prelude, limits)).await;
    }

    fn origin(&self, login: Option<&Login>) -> Origin {
        Origin {
            client: self.client,
            connection: self.id,
            user: Some(self.permit.identity().name().to_owned()),
            login: login.map(Login::to_string),
            target: Some(self.permit.route().target.to_string()),
        }
    }

    /// Until the login, only a revoked certificate can end the connection.
    fn watched(&self) -> PolicyMonitor {
        let user = self.permit.identity().clone();
        PolicyMonitor::new(&self.services.policy, user, self.origin(None))
    }

    /// Audits a refusal; writes it to the user's terminal where no banner can reach the user.
    fn refuse(&self, refusal: &Refusal, login: Option<&Login>, terminal: Option<&ChannelHandle>) {
        tracing::info!(connection = %self.id, reason = refusal.reason, "refused: {}", refusal.message);
        self.services
            .audit
            .emit_or_log(&refusal.event(self.origin(login)));
        if let Some(terminal) = terminal {
            terminal.stderr(&refusal.text(self.id));
            terminal.exit_status(EXIT_REFUSED);
        }
    }

    /// The inner client was not authenticated: it has read the reason as a banner, if there was
    /// one.
    fn report_client(&self, failure: &Unauthenticated, terminal: &ChannelHandle) {
        match &failure.refusal {
            Some(refusal) => self.refuse(refusal, None, None),
            None => {
                let refusal = refusal::inner_connection_ended(&failure.ended);
                self.refuse(&refusal, None, Some(terminal));
            }
        }
    }
}

/// Why the outer connection ended. Returns [`LAST_WORDS`] after the end: a client that is refused
/// hangs up at once, and the refusal has to be audited before its connection is dropped.
async fn last_words(scope: &Scope) -> EndReason {
    let why = scope.ended().await;
    tokio::time::sleep(LAST_WORDS).await;
    why
}

/// How long a connection that lost its client may take to audit why the client was refused.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(500);
/// How long the agent may take to list its keys.
const AGENT_LIST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Why there is no connection to relay.
enum SetupFailure {
    /// The inner client did not authenticate.
    Client(Unauthenticated),
    /// The client's certificate was revoked meanwhile, or the outer connection has ended.
    Ended(EndReason),
    /// The client authenticated, and is refused for another reason.
    Refused {
        refusal: Refusal,
        login: Option<Login>,
    },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::io::DuplexStream;
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::access::Identity;
    use crate::ca::Revoked;
    use crate::cert::PresentedKey;
    use crate::cert::testing::{CertSpec, NOW, ed25519};
    use crate::ipc::{CallError, PeopleAnswer, PeopleQuestion, PeopleRefusal, SignInEnd};
    use crate::ssh::endpoint::AgentRequest;
    use crate::ssh::leg::LegEvent;
    use crate::ssh::testing::agent::{self, OnSign};
    use crate::ssh::testing::client::{SessionSaw, TestRequest, session};
    use crate::ssh::testing::host::{EGRESS, HostSaw, MemoryDial, OnKey, TestHost};
    use crate::ssh::testing::people::MintingPeople;
    use crate::ssh::testing::user::{TestUser, UserSaw};
    use crate::ssh::testing::{CLIENT, SshFixture, memory_channel};
    use crate::wire::HostKey;
    use crate::wire::connection::{Message, exit_status};

    /// Alice on her way to `db1`, with an agent on the outer connection.
    struct InnerFixture {
        proxy: SshFixture,
        dial: MemoryDial,
        identity: Identity,
        person: Option<PersonClient>,
        scope: Scope,
        shutdown: CancellationToken,
    }

    impl InnerFixture {
        fn new() -> Self {
            let shutdown = CancellationToken::new();
            let proxy = SshFixture::new();
            Self {
                identity: proxy.identity(),
                person: None,
                proxy,
                dial: MemoryDial::default(),
                scope: Scope::within(&shutdown),
                shutdown,
            }
        }

        /// Alice has signed in with her key, and gets this when a certificate is made for a login.
        fn signed_in(
            mint: impl Fn(&Minter, &Login) -> Result<PeopleAnswer, CallError> + Send + Sync + 'static,
        ) -> (Self, Arc<MintingPeople>) {
            let inner = Self::new();
            let minter = Minter {
                ca: inner.proxy.user_ca.clone(),
                alice: inner.proxy.alice.clone(),
            };
            let people = MintingPeople::new(move |login| mint(&minter, login));
            let inner = Self {
                identity: inner.proxy.signed_in(|_| {}),
                person: Some(people.person()),
                ..inner
            };
            (inner, people)
        }

        fn alice(&self) -> TestUser {
            TestUser {
                certificate: self
                    .identity
                    .certificate()
                    .map(|_| self.proxy.alices(|_| {})),
                ..self.proxy.user()
            }
        }

        /// The next connection to the host is served so.
        fn host(&self, on_key: OnKey) -> JoinHandle<HostSaw> {
            let host = TestHost::certified(&self.proxy.host_ca.key, |_| {}).on_key(on_key);
            let far = self.dial.next_stream();
            tokio::spawn(async move {
                let (saw, mut leg) = host.serve(far).await;
                if saw.let_in {
                    // It stays until the proxy leaves.
                    while leg.next().await.is_ok() {}
                }
                saw
            })
        }

        /// Begins the connection, with this key in the agent of the outer one; the user's end of it.
        fn start(&self, key: Option<ssh_key::PrivateKey>) -> (JoinHandle<()>, DuplexStream) {
            let (requests, mut asked) = mpsc::channel::<AgentRequest>(1);
            tokio::spawn(async move {
                while let Some(reply) = asked.recv().await {
                    let (stream, far) = memory_channel();
                    tokio::spawn(agent::serve(far, key.clone(), OnSign::Signs));
                    reply.send(Ok(stream)).unwrap();
                }
            });
            self.start_with(Some(AgentOpener { requests }))
        }

        /// The same by ProxyJump, without an agent on the outer connection.
        fn start_jump(&self) -> (JoinHandle<()>, DuplexStream) {
            self.start_with(None)
        }

        fn start_with(&self, agent: Option<AgentOpener>) -> (JoinHandle<()>, DuplexStream) {
            let outer = HostKey::new(ed25519(), None).unwrap();
            let connection = Connection {
                services: Arc::new(self.proxy.inner(self.dial.clone())),
                permit: self.proxy.permit_of(&self.identity, "db1:22"),
                id: ConnectionId::new(),
                client: CLIENT,
                agent,
                shown: Arc::new(ServerConfig::new(vec![outer])),
                person: self.person.clone(),
                scope: self.scope.clone(),
            };
            let (stream, far) = memory_channel();
            (tokio::spawn(connection.run(stream, Share::alone())), far)
        }

        /// Jumps, and has a session asked for these things, with this key in the user's agent.
        async fn jump(
            &self,
            requests: &[TestRequest],
            key: Option<ssh_key::PrivateKey>,
        ) -> SessionSaw {
            let (connection, far) = self.start_jump();
            let (saw, mut leg) = self.alice().log_in(far).await;
            assert!(saw.is_in, "by ProxyJump the user is let in first: {saw:?}");
            let saw = session(&mut leg, requests, key).await;
            drop(leg);
            over(connection).await;
            saw
        }

        /// Has this user log in and leave; what was seen at both ends.
        async fn run(&self, user: TestUser, on_key: OnKey) -> (UserSaw, HostSaw) {
            let host = self.host(on_key);
            let (connection, far) = self.start(Some(self.proxy.alice.clone()));
            let (saw, leg) = user.log_in(far).await;
            drop(leg);
            over(connection).await;
            (saw, host.await.unwrap())
        }

        /// Has alice log in at a host that does not answer, and does this meanwhile; what she saw.
        async fn while_asked(&self, event: impl FnOnce()) -> UserSaw {
            let _host = self.host(OnKey::IsSilent);
            let (connection, far) = self.start(Some(self.proxy.alice.clone()));
            let user = self.alice();
            let user = tokio::spawn(async move { user.log_in(far).await.0 });
            sleep(Duration::from_secs(5)).await;
            event();
            over(connection).await;
            user.await.unwrap()
        }

        fn audited(&self) -> Vec<String> {
            self.proxy.audited_briefly()
        }
    }

    /// What makes certificates for alice.
    struct Minter {
        ca: ssh_key::PrivateKey,
        alice: ssh_key::PrivateKey,
    }

    impl Minter {
        fn certificate(
            &self,
            login: &Login,
            change: impl FnOnce(&mut CertSpec),
        ) -> Result<PeopleAnswer, CallError> {
            let spec = CertSpec::user(&self.alice);
            let spec = spec.with(|spec| spec.principals = vec![login.to_string()]);
            let certificate = spec.with(change).sign(&self.ca);
            Ok(PeopleAnswer::Certificate(certificate.to_openssh().unwrap()))
        }
    }

    async fn over(connection: JoinHandle<()>) {
        let over = timeout(Duration::from_secs(3600), connection).await;
        over.expect("the connection ends").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_is_let_in_once_the_host_has_taken_the_login() {
        let inner = InnerFixture::new();
        let (saw, host) = inner.run(inner.alice(), OnKey::Accepts).await;
        assert!(saw.is_in && host.let_in, "{saw:?}");
        assert_eq!(host.login.as_deref(), Some("deploy"));
        assert_eq!(saw.names(), ["db1", "db1.example.test"]);
        assert_eq!(inner.audited(), ["auth.success"]);
        assert_eq!(inner.dial.dialled().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_signed_in_logs_in_with_the_bare_key_and_a_certificate_for_that_login() {
        let (inner, people) =
            InnerFixture::signed_in(|minter, login| minter.certificate(login, |_| {}));
        let (saw, host) = inner.run(inner.alice(), OnKey::Accepts).await;
        assert!(saw.is_in && host.let_in, "{saw:?}");
        assert_eq!(
            (host.login.as_deref(), host.signatures),
            (Some("deploy"), 1)
        );
        let shown = host.key.as_ref().and_then(PresentedKey::certificate);
        assert_eq!(shown.unwrap().valid_principals(), ["deploy"]);
        let asked = PeopleQuestion::Certificate {
            login: "deploy".parse().unwrap(),
            target: "db1:22".to_owned(),
            through_tunnel: false,
        };
        assert_eq!(people.asked(), [asked]);
        let audited = inner.proxy.audited();
        assert_eq!(audited.len(), 1, "{audited:?}");
        let sign_in = inner.identity.sign_in().unwrap().id().to_string();
        let fingerprint = inner.identity.fingerprint().to_string();
        assert_eq!(audited[0]["event"], "auth.success");
        assert_eq!(audited[0]["sign_in"], sign_in);
        assert_eq!(audited[0]["serial"], "42");
        assert_eq!(audited[0]["fingerprint"], fingerprint);
    }

    /// What is not the certificate that was asked for is not shown to the host, and nothing is signed.
    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_is_not_for_this_login_is_not_used() {
        type Mints = fn(&Minter, &Login) -> Result<PeopleAnswer, CallError>;
        let other_login: Mints = |minter, _| minter.certificate(&"root".parse().unwrap(), |_| {});
        let two_logins: Mints = |minter, login| {
            minter.certificate(login, |spec| spec.principals.push("root".to_owned()))
        };
        let other_person: Mints =
            |minter, login| minter.certificate(login, |spec| spec.key_id = "bob".to_owned());
        let other_key: Mints = |minter, login| {
            let key = ed25519().public_key().key_data().clone();
            minter.certificate(login, |spec| spec.key = key)
        };
        let expired: Mints =
            |minter, login| minter.certificate(login, |spec| spec.validity.1 = NOW);
        let other_authority: Mints = |minter, login| {
            let ca = ed25519();
            let minter = Minter {
                ca,
                alice: minter.alice.clone(),
            };
            minter.certificate(login, |_| {})
        };
        let bare_key: Mints = |minter, _| {
            let line = minter.alice.public_key().to_openssh().unwrap();
            Ok(PeopleAnswer::Certificate(line))
        };
        let nonsense: Mints = |_, _| Ok(PeopleAnswer::Certificate("ssh-rsa x".to_owned()));
        let other_answer: Mints = |_, _| Ok(PeopleAnswer::Usable);
        let no_answer: Mints = |_, _| Err(CallError::HungUp);
        for mint in [
            other_login,
            two_logins,
            other_person,
            other_key,
            expired,
            other_authority,
            bare_key,
            nonsense,
            other_answer,
            no_answer,
        ] {
            let (inner, people) = InnerFixture::signed_in(mint);
            let (saw, host) = inner.run(inner.alice(), OnKey::Accepts).await;
            assert!(!saw.is_in && !host.let_in, "{saw:?}");
            assert_eq!(host.signatures, 0);
            assert_eq!(people.asked().len(), 1);
            assert_eq!(inner.audited(), ["refusal user-certificate-not-minted"]);
            assert!(
                saw.text()
                    .contains("cannot make the certificate for this login"),
                "{saw:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_certificate_is_made_for_another_key_or_a_host_that_is_not_the_one() {
        let (inner, people) =
            InnerFixture::signed_in(|minter, login| minter.certificate(login, |_| {}));
        let other = TestUser {
            key: ed25519(),
            ..inner.alice()
        };
        let (saw, host) = inner.run(other, OnKey::Accepts).await;
        assert!(!saw.is_in && !host.let_in);
        assert_eq!(inner.audited(), ["refusal different-key"]);
        let certified = TestUser {
            certificate: Some(inner.proxy.alices(|_| {})),
            ..inner.alice()
        };
        let (saw, _) = inner.run(certified, OnKey::Accepts).await;
        assert!(
            saw.text().contains("a key without a certificate"),
            "{saw:?}"
        );
        let far = inner.dial.next_stream();
        let host = TestHost::certified(&ed25519(), |_| {});
        let host = tokio::spawn(async move { host.serve(far).await.0 });
        let (connection, far) = inner.start(Some(inner.proxy.alice.clone()));
        let (saw, leg) = inner.alice().log_in(far).await;
        drop(leg);
        over(connection).await;
        assert!(!saw.is_in && !host.await.unwrap().let_in);
        assert_eq!(inner.audited().last().unwrap(), "refusal unknown-authority");
        assert!(people.asked().is_empty(), "{:?}", people.asked());
    }

    #[tokio::test(start_paused = true)]
    async fn what_auth_says_against_a_certificate_the_user_reads() {
        let (inner, _people) = InnerFixture::signed_in(|_, _| {
            Ok(PeopleAnswer::Refused(PeopleRefusal {
                reason: "locked".to_owned(),
                message: "your account here is locked".to_owned(),
                hint: None,
                is_final: true,
            }))
        });
        let (saw, host) = inner.run(inner.alice(), OnKey::Accepts).await;
        assert!(!saw.is_in && host.signatures == 0, "{saw:?}");
        assert!(
            saw.text().contains("your account here is locked"),
            "{saw:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_in_that_ends_before_the_login_ends_the_connection() {
        let (inner, _people) =
            InnerFixture::signed_in(|minter, login| minter.certificate(login, |_| {}));
        let id = inner.identity.sign_in().unwrap().id();
        let end = || inner.proxy.end_sign_in(id, SignInEnd::Logout);
        let saw = inner.while_asked(end).await;
        assert!(!saw.is_in);
        assert!(saw.text().contains("you have logged out"), "{saw:?}");
        assert_eq!(inner.audited(), ["refusal sign-in-ended"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_whom_the_host_refuses_is_not_let_in_and_reads_why() {
        let inner = InnerFixture::new();
        let (saw, host) = inner.run(inner.alice(), OnKey::Rejects).await;
        assert!(!saw.is_in && !host.let_in);
        assert!(saw.text().contains("does not let deploy in"), "{saw:?}");
        assert_eq!(inner.audited(), ["refusal host-refused"]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_key_in_the_agent_nothing_is_dialled() {
        for key in [None, Some(ed25519())] {
            let inner = InnerFixture::new();
            let (connection, far) = inner.start(key);
            let (saw, leg) = inner.alice().log_in(far).await;
            drop(leg);
            over(connection).await;
            assert!(saw.text().contains("does not hold the key"), "{saw:?}");
            assert_eq!(inner.audited(), ["refusal agent-without-key"]);
            assert!(inner.dial.dialled().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_host_asks_the_user_answers() {
        let inner = InnerFixture::new();
        let (saw, host) = inner.run(inner.alice(), OnKey::Asks("Code: ")).await;
        assert!(saw.is_in && host.let_in, "{saw:?}");
        assert_eq!(
            (saw.questions.as_slice(), saw.partial),
            (&["Code: ".to_owned()][..], 1)
        );
        assert_eq!(host.answers, [b"123456"]);
        assert!(
            inner.audited().contains(&"auth.second_factor".to_owned()),
            "{:?}",
            inner.audited()
        );
        let audited = inner.proxy.audited();
        assert!(
            !format!("{audited:?}").contains("123456"),
            "no answer is kept"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_answer_is_the_users_to_correct_and_the_host_decides() {
        let inner = InnerFixture::new();
        let wrong = TestUser {
            answer: "000000",
            ..inner.alice()
        };
        let (saw, host) = inner.run(wrong, OnKey::Asks("Code: ")).await;
        assert!(!saw.is_in && !host.let_in, "{saw:?}");
        assert!(host.answers.iter().all(|answer| answer == b"000000"));
        assert!(saw.text().contains("what was answered"), "{saw:?}");
        assert!(
            inner
                .audited()
                .contains(&"refusal second-factor".to_owned()),
            "{:?}",
            inner.audited()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_of_another_person_or_for_another_login_does_not_do() {
        let inner = InnerFixture::new();
        let key = ed25519();
        let other = CertSpec::user(&key).with(|spec| spec.key_id = "bob".to_owned());
        let bob = TestUser {
            certificate: Some(other.sign(&inner.proxy.user_ca)),
            key,
            ..inner.alice()
        };
        let root = TestUser {
            login: "root",
            ..inner.alice()
        };
        let mut audited = Vec::new();
        for (user, reason) in [
            (bob, "different-identity"),
            (root, "login-not-in-principals"),
        ] {
            let (saw, host) = inner.run(user, OnKey::Accepts).await;
            assert!(!saw.is_in && !host.let_in);
            audited.push(format!("refusal {reason}"));
            assert_eq!(inner.audited(), audited);
        }
    }

    /// The host's place is not held for a client that dawdles: it is dialled again.
    #[tokio::test(start_paused = true)]
    async fn the_host_does_not_wait_for_a_client_that_dawdles() {
        let inner = InnerFixture::new();
        let (first, second) = (inner.host(OnKey::Accepts), inner.host(OnKey::Accepts));
        let (connection, far) = inner.start(Some(inner.proxy.alice.clone()));
        let late = TestUser {
            pause: TURN_LIMIT * 2,
            ..inner.alice()
        };
        let (saw, leg) = late.log_in(far).await;
        assert!(saw.is_in, "{saw:?}");
        let dialled = inner.dial.dialled();
        assert_eq!(dialled.len(), 2);
        assert!(dialled[1].1 - dialled[0].1 >= TURN_LIMIT * 2);
        drop(leg);
        over(connection).await;
        assert!(!first.await.unwrap().let_in && second.await.unwrap().let_in);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_is_revoked_while_the_host_is_asked_is_told_and_ends() {
        let inner = InnerFixture::new();
        let saw = inner
            .while_asked(|| inner.proxy.revoke(Revoked::of_key_id("alice".to_owned())))
            .await;
        assert!(
            saw.text().contains("certificate revoked: stolen"),
            "{saw:?}"
        );
        assert_eq!(inner.audited(), ["refusal certificate-revoked"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_the_one_around_it() {
        let inner = InnerFixture::new();
        let saw = inner
            .while_asked(|| inner.scope.end(EndReason::OuterLeft))
            .await;
        assert!(saw.ended.is_some() && saw.text().is_empty(), "{saw:?}");

        let inner = InnerFixture::new();
        let saw = inner.while_asked(|| inner.shutdown.cancel()).await;
        assert!(
            saw.text()
                .contains("shutting down, connect again in a moment"),
            "{saw:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_host_certificate_the_user_reads_it_before_any_key_exchange() {
        let inner = InnerFixture::new();
        inner.proxy.host_ca.is_broken(true);
        let (connection, far) = inner.start(Some(inner.proxy.alice.clone()));
        let (saw, leg) = inner.alice().log_in(far).await;
        drop(leg);
        over(connection).await;
        assert!(saw.host_key.is_none());
        assert!(
            saw.text().contains("cannot make a host certificate"),
            "{saw:?}"
        );
        assert_eq!(inner.audited(), ["refusal host-certificate-not-minted"]);
        assert!(inner.dial.dialled().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_logs_in_is_audited_and_the_host_let_go() {
        let inner = InnerFixture::new();
        let host = inner.host(OnKey::Accepts);
        let (connection, far) = inner.start(Some(inner.proxy.alice.clone()));
        let silent = TestUser {
            pause: Duration::from_secs(86_400),
            ..inner.alice()
        };
        let user = tokio::spawn(async move { silent.log_in(far).await.0 });
        over(connection).await;
        user.abort();
        assert!(!host.await.unwrap().let_in);
        assert_eq!(inner.audited(), ["refusal inner-connection"]);
    }

    const AGENT_FORWARDING: TestRequest = ("auth-agent-req@openssh.com", None);
    const EXEC: TestRequest = ("exec", Some("id"));

    /// By ProxyJump, the agent that signs is the one of the inner connection, and the host gets none.
    #[tokio::test(start_paused = true)]
    async fn by_proxy_jump_the_session_is_opened_at_the_host_once_the_agent_has_signed() {
        let inner = InnerFixture::new();
        let far = inner.dial.next_stream();
        let host = TestHost::certified(&inner.proxy.host_ca.key, |_| {});
        let host = tokio::spawn(async move {
            let (saw, mut leg) = host.serve(far).await;
            (saw, command(&mut leg).await)
        });
        let key = inner.proxy.alice.clone();
        let saw = inner.jump(&[AGENT_FORWARDING, EXEC], Some(key)).await;
        assert_eq!((&saw.answers[..], saw.status), (&[true, true][..], Some(7)));
        assert_eq!((&saw.stdout[..], saw.stderr.as_str()), (&b"uid=0"[..], ""));
        assert!(saw.opened_agent);
        let (at_host, requests) = host.await.unwrap();
        assert!(at_host.let_in);
        assert_eq!((at_host.signatures, requests), (1, vec!["exec".to_owned()]));
        let audited = inner.audited();
        let expected = ["auth.success", "session.start"];
        for event in expected {
            assert!(
                audited.iter().any(|one| one == event),
                "{event}: {audited:?}"
            );
        }
    }

    /// Runs one command as a host; what its session was asked for.
    async fn command(leg: &mut Leg<DuplexStream>) -> Vec<String> {
        let mut requests = Vec::new();
        let send = |leg: &mut Leg<DuplexStream>, message: &Message| {
            let (head, body) = message.encode();
            leg.transport.send_parts(&head, &body).unwrap();
        };
        let mut recipient = 0;
        while let Ok(event) = leg.next().await {
            let LegEvent::Packet(payload) = event else {
                continue;
            };
            match Message::parse(&payload).unwrap() {
                Message::Open { sender, .. } => {
                    recipient = sender;
                    send(
                        leg,
                        &Message::OpenConfirmation {
                            recipient,
                            sender: 3,
                            window: 1 << 20,
                            max_packet: 1 << 15,
                            data: Bytes::new(),
                        },
                    );
                }
                Message::Request { kind, .. } => {
                    requests.push(kind.as_str().to_owned());
                    let data = Bytes::from_static(b"uid=0");
                    send(leg, &Message::Success { recipient });
                    send(leg, &Message::Data { recipient, data });
                    send(leg, &exit_status(recipient, 7));
                    send(leg, &Message::Close { recipient });
                }
                _ => {}
            }
        }
        requests
    }

    #[tokio::test(start_paused = true)]
    async fn by_proxy_jump_who_has_signed_in_gets_a_certificate_for_the_login_too() {
        let (inner, people) =
            InnerFixture::signed_in(|minter, login| minter.certificate(login, |_| {}));
        let far = inner.dial.next_stream();
        let host = TestHost::certified(&inner.proxy.host_ca.key, |_| {});
        let host = tokio::spawn(async move {
            let (saw, mut leg) = host.serve(far).await;
            (saw, command(&mut leg).await)
        });
        let key = inner.proxy.alice.clone();
        let saw = inner.jump(&[AGENT_FORWARDING, EXEC], Some(key)).await;
        assert_eq!(saw.status, Some(7), "{saw:?}");
        let (at_host, _) = host.await.unwrap();
        assert!(at_host.key.unwrap().certificate().is_some());
        assert_eq!(people.asked().len(), 1);
        let audited = inner.proxy.audited();
        let start = audited
            .iter()
            .find(|event| event["event"] == "session.start");
        let start = start.unwrap();
        let sign_in = inner.identity.sign_in().unwrap().id().to_string();
        assert_eq!(start["sign_in"], sign_in);
        assert_eq!(start["serial"], "42");
        assert_eq!(start["egress_addr"], EGRESS.to_string());
        assert_eq!(
            start["fingerprint"],
            inner.identity.fingerprint().to_string()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn by_proxy_jump_a_session_without_agent_forwarding_reads_why_and_nothing_is_dialled() {
        let inner = InnerFixture::new();
        let saw = inner.jump(&[EXEC], None).await;
        assert_eq!((&saw.answers[..], saw.status), (&[true][..], Some(255)));
        assert!(saw.stderr.contains("-A"), "{saw:?}");
        assert!(!saw.opened_agent);
        assert_eq!(inner.audited(), ["refusal agent-forwarding-required"]);
        assert!(inner.dial.dialled().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn by_proxy_jump_a_refusal_is_told_on_the_sessions_stderr() {
        // The agent does not hold the key: the host gets no connection.
        let inner = InnerFixture::new();
        let saw = inner.jump(&[AGENT_FORWARDING, EXEC], Some(ed25519())).await;
        assert_eq!(saw.status, Some(255));
        assert!(saw.stderr.contains("does not hold the key"), "{saw:?}");
        assert_eq!(inner.audited(), ["refusal agent-without-key"]);
        assert!(inner.dial.dialled().is_empty());

        let inner = InnerFixture::new();
        let host = inner.host(OnKey::Rejects);
        let key = inner.proxy.alice.clone();
        let saw = inner
            .jump(&[AGENT_FORWARDING, EXEC], Some(key.clone()))
            .await;
        assert_eq!(saw.status, Some(255));
        assert!(saw.stderr.contains("does not let deploy in"), "{saw:?}");
        assert!(!host.await.unwrap().let_in);
        assert_eq!(inner.audited(), ["refusal host-refused"]);

        // By ProxyJump there is nobody to ask yet.
        let inner = InnerFixture::new();
        let _host = inner.host(OnKey::Asks("Code: "));
        let saw = inner.jump(&[AGENT_FORWARDING, EXEC], Some(key)).await;
        assert_eq!(saw.status, Some(255));
        assert_eq!(inner.audited().len(), 1, "{:?}", inner.audited());
    }
}
