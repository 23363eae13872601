//! The server's side: requests in, offers to be judged, answers out.

use super::message::{self, AuthRequest, Method, PublicKeyRequest};
use super::{Answers, AuthError, Challenge, Methods};
use crate::cert::proof::{SignedRequest, VerifiedRequest, read_offer};
use crate::cert::{OfferError, PresentedKey};

/// Requests of any kind before the connection ends: accepted queries do not count as failures, so
/// something else must bound them.
const MAX_REQUESTS: u32 = 1024;
/// Times that a client may be sent round its keys once more.
const MAX_ROUNDS: u32 = 4;
/// Proofs that may be right and not enough: two orders of a key and answers, and some more.
const MAX_STEPS: u32 = 4;
/// Refused queries until the end, where they are no failures.
const MAX_QUERIES: u32 = 64;

/// How much a client may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthLimits {
    /// Failed requests until the end, as sshd's `MaxAuthTries`. A first `none` is free. Where questions are
    /// possible, so are 64 refused queries in a row: a client comes to the questions only after the
    /// last of its keys.
    pub max_attempts: u32,
}

impl Default for AuthLimits {
    /// An agent offers many keys before the right one: more than sshd's 6.
    fn default() -> Self {
        Self { max_attempts: 20 }
    }
}

/// A public key as a client offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The user name of the request.
    pub user: String,
    /// The public key algorithm that the request names; it fits the key.
    pub algorithm: String,
    /// The key's encoding as it was sent.
    pub blob: Vec<u8>,
    /// The key, decoded. Nothing about a certificate has been checked.
    pub key: PresentedKey,
    /// Whether the request names our host key (`publickey-hostbound-v00@openssh.com`).
    pub host_bound: bool,
}

/// What a packet led to.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerAuthEvent {
    /// Handled inside.
    Nothing,
    /// The client asks whether it may sign with this key: judge it, then [`ServerAuth::accept_query`]
    /// or [`ServerAuth::reject`]. Nothing is proven by a query.
    Query(Offer),
    /// The signature is verified: with this key, the named algorithm, this session, and our host key
    /// if host-bound. Judge the key, then [`ServerAuth::accept`] or [`ServerAuth::reject`].
    Attempt(Offer, Box<VerifiedRequest>),
    /// The offer cannot be used: call [`ServerAuth::reject`], with a text or without.
    Refused {
        /// The user name of the request.
        user: String,
        /// The key's encoding as it was sent.
        blob: Vec<u8>,
        /// Whether it came with a signature, or was a query.
        signed: bool,
        /// Why.
        reason: OfferError,
    },
    /// The client wants to be asked: [`ServerAuth::ask`], or [`ServerAuth::reject`]. Only where
    /// [`ServerAuth::allow`] or [`ServerAuth::require_more`] has admitted it. Nothing is proven by it.
    Interactive {
        /// The user name of the request.
        user: String,
    },
    /// The answers to the latest [`ServerAuth::ask`], one for each question: judge them, for as long as
    /// that takes, then [`ServerAuth::ask`] again, [`ServerAuth::require_key`],
    /// [`ServerAuth::accept`] if a signature came before, or [`ServerAuth::reject`].
    Answers(Answers),
}

/// User authentication, server side, for one connection.
#[derive(Debug)]
pub struct ServerAuth {
    session_id: Vec<u8>,
    host_key_blob: Vec<u8>,
    limits: AuthLimits,
    user: Option<String>,
    requests: u32,
    failures: u32,
    /// Refused queries that do not count as failures.
    queries: u32,
    /// The client has been told which methods there are.
    knows_methods: bool,
    /// Times that the client was sent round its keys.
    rounds: u32,
    /// Times that a proof was right and not enough.
    steps: u32,
    methods: Methods,
    /// Refused queries are no failures.
    forgives_queries: bool,
    /// A signature was verified and is not enough.
    is_proven: bool,
    /// What every client reads before its first request is answered.
    greeting: Option<String>,
    state: ServerAuthState,
}

#[derive(Debug)]
enum ServerAuthState {
    /// Waiting for the first request of the service `ssh-userauth`.
    Service,
    /// Waiting for a request, or for the service to be asked for again.
    Request,
    /// Waiting for the caller's judgement.
    Judgement(Pending),
    /// Waiting for as many answers.
    Asked(usize),
    /// Success was sent.
    Accepted,
}

#[derive(Debug)]
enum Pending {
    Query { algorithm: String, blob: Vec<u8> },
    Attempt,
    Refused { signed: bool },
    Interactive,
    Answers,
}

impl ServerAuth {
    /// `session_id` is the hash of the first key exchange, `host_key_blob` the host key or certificate
    /// that we presented in it.
    #[must_use]
    pub fn new(session_id: Vec<u8>, host_key_blob: Vec<u8>, limits: AuthLimits) -> Self {
        Self {
            session_id,
            host_key_blob,
            limits,
            user: None,
            requests: 0,
            failures: 0,
            queries: 0,
            knows_methods: false,
            rounds: 0,
            steps: 0,
            methods: Methods::PUBLIC_KEY,
            forgives_queries: false,
            is_proven: false,
            greeting: None,
            state: ServerAuthState::Service,
        }
    }

    /// Has every client read this text before its first request is answered, as sshd's `Banner`. Control
    /// characters are taken out.
    pub fn greet(&mut self, text: &str) {
        self.greeting = Some(text.to_owned());
    }

    /// Sets the methods that are admitted from now on; without this call, only public keys. Answers alone
    /// never authenticate a client.
    pub fn allow(&mut self, methods: Methods) {
        self.methods = methods;
        self.forgives_queries |= methods.keyboard_interactive;
    }

    /// From now on refused queries are no failures: the client has more keys than attempts.
    pub fn forgive_queries(&mut self) {
        self.forgives_queries = true;
    }

    /// Takes one upper-layer packet; packets to send are pushed on `out`.
    ///
    /// # Errors
    /// The connection must end: a malformed or misplaced message, a changed user name, too many
    /// failures, or a packet handed in before the last offer was answered.
    pub fn on_packet(
        &mut self,
        payload: &[u8],
        out: &mut Vec<Vec<u8>>,
    ) -> Result<ServerAuthEvent, AuthError> {
        let (&number, body) = payload.split_first().ok_or(AuthError::Malformed)?;
        match (&self.state, number) {
            (ServerAuthState::Accepted, _) => Err(AuthError::Finished),
            (ServerAuthState::Judgement(_), _) => Err(AuthError::Unanswered),
            // Some clients (paramiko) ask for the service before each attempt, and sshd says yes
            // each time.
            (
                ServerAuthState::Service | ServerAuthState::Request | ServerAuthState::Asked(_),
                message::SERVICE_REQUEST,
            ) => self.on_service(body, out),
            // A client may leave questions unanswered and try something else (RFC 4256 section 3.1).
            (ServerAuthState::Request | ServerAuthState::Asked(_), message::REQUEST) => {
                self.on_request(body, out)
            }
            (&ServerAuthState::Asked(count), message::INFO_RESPONSE) => {
                self.count_request()?;
                let answers = Answers::parse(body, count)?;
                self.state = ServerAuthState::Judgement(Pending::Answers);
                Ok(ServerAuthEvent::Answers(answers))
            }
            _ => Err(AuthError::Unexpected(number)),
        }
    }

    /// Answers a [`ServerAuthEvent::Query`]: the client may sign.
    pub fn accept_query(&mut self, out: &mut Vec<Vec<u8>>) {
        match std::mem::replace(&mut self.state, ServerAuthState::Request) {
            ServerAuthState::Judgement(Pending::Query { algorithm, blob }) => {
                out.push(message::pk_ok(&algorithm, &blob));
            }
            other => self.state = other,
        }
    }

    /// Answers a [`ServerAuthEvent::Attempt`]: the user is authenticated. After
    /// [`ServerAuth::require_more`], which a signature has come before, also
    /// [`ServerAuthEvent::Answers`] or a [`ServerAuthEvent::Interactive`]. Anything else that waits for an
    /// answer is rejected: nothing leads to success without a verified signature.
    pub fn accept(&mut self, out: &mut Vec<Vec<u8>>) {
        if self.can_accept() {
            self.state = ServerAuthState::Accepted;
            out.push(vec![message::SUCCESS]);
        } else {
            self.reject(None, out);
        }
    }

    /// Whether [`ServerAuth::accept`] authenticates the user now.
    #[must_use]
    pub fn can_accept(&self) -> bool {
        match &self.state {
            ServerAuthState::Judgement(Pending::Attempt) => true,
            ServerAuthState::Judgement(Pending::Answers | Pending::Interactive) => self.is_proven,
            _ => false,
        }
    }

    /// Answers any offer: no. A banner, if given, reaches the user first.
    pub fn reject(&mut self, banner: Option<&str>, out: &mut Vec<Vec<u8>>) {
        let ServerAuthState::Judgement(pending) = &self.state else {
            return;
        };
        let is_query = matches!(
            pending,
            Pending::Query { .. } | Pending::Refused { signed: false }
        );
        if let Some(text) = banner {
            self.banner(text, out);
        }
        self.state = ServerAuthState::Request;
        match is_query && self.forgives_queries {
            true => self.queries += 1,
            false => self.failures += 1,
        }
        out.push(message::failure(self.methods, false));
    }

    /// Answers a [`ServerAuthEvent::Query`], or a refused one: not now. Says "partial success", at
    /// which clients of OpenSSH, and no others that are known, offer all their keys again, each after
    /// those that they have not offered yet: a key that comes a second time is followed by no new one.
    /// The count of failures begins anew. `false`, and nothing is sent, where that cannot be: no query
    /// waits for an answer, or the client was sent round too often.
    #[must_use]
    pub fn postpone(&mut self, out: &mut Vec<Vec<u8>>) -> bool {
        let waits = matches!(
            self.state,
            ServerAuthState::Judgement(Pending::Query { .. } | Pending::Refused { .. })
        );
        if !waits || self.rounds >= MAX_ROUNDS {
            return false;
        }
        self.rounds += 1;
        self.begin_again(out);
        true
    }

    /// Answers a [`ServerAuthEvent::Attempt`]: the key is right and is not enough. From now on only
    /// these methods are admitted. `false`, and nothing is sent, where no verified signature waits for
    /// an answer, or after too many proofs that were not enough.
    #[must_use]
    pub fn require_more(&mut self, methods: Methods, out: &mut Vec<Vec<u8>>) -> bool {
        let waits = matches!(self.state, ServerAuthState::Judgement(Pending::Attempt));
        let goes_on = waits && self.step(methods, out);
        self.is_proven |= goes_on;
        goes_on
    }

    /// Answers [`ServerAuthEvent::Answers`]: they are right, and a key has to prove itself. From now on
    /// only public keys are admitted, and only a [`ServerAuthEvent::Attempt`] leads to success. `false`,
    /// and nothing is sent, where no answers wait to be judged, or after too many proofs that were not
    /// enough.
    #[must_use]
    pub fn require_key(&mut self, out: &mut Vec<Vec<u8>>) -> bool {
        let waits = matches!(self.state, ServerAuthState::Judgement(Pending::Answers));
        let goes_on = waits && self.step(Methods::PUBLIC_KEY, out);
        self.is_proven &= !goes_on;
        goes_on
    }

    /// Answers a [`ServerAuthEvent::Interactive`] or [`ServerAuthEvent::Answers`] with questions, or with
    /// a text alone. Anything else that waits for an answer is rejected.
    pub fn ask(&mut self, challenge: &Challenge, out: &mut Vec<Vec<u8>>) {
        if matches!(
            self.state,
            ServerAuthState::Judgement(Pending::Interactive | Pending::Answers)
        ) {
            self.state = ServerAuthState::Asked(challenge.prompts.len());
            out.push(challenge.encode());
        } else {
            self.reject(None, out);
        }
    }

    /// Shows the user a text; possible at any time before success (RFC 4252 section 5.4). Control
    /// characters are taken out.
    pub fn banner(&mut self, text: &str, out: &mut Vec<Vec<u8>>) {
        if !matches!(
            self.state,
            ServerAuthState::Service | ServerAuthState::Accepted
        ) {
            out.push(message::banner(text));
        }
    }

    /// As [`ServerAuth::banner`], for a text of a host as [`ClientAuthEvent::Banner`] has it: its line
    /// ends stay as they are, and none is added.
    ///
    /// [`ClientAuthEvent::Banner`]: super::ClientAuthEvent::Banner
    pub fn pass_on_banner(&mut self, text: &str, out: &mut Vec<Vec<u8>>) {
        if !matches!(
            self.state,
            ServerAuthState::Service | ServerAuthState::Accepted
        ) {
            out.push(message::foreign_banner(text));
        }
    }

    /// Whether no further request will be read, so that the connection should be disconnected.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.failures >= self.limits.max_attempts
            || self.queries >= MAX_QUERIES
            || self.requests >= MAX_REQUESTS
    }

    /// What was proved is right and not enough.
    fn step(&mut self, methods: Methods, out: &mut Vec<Vec<u8>>) -> bool {
        if self.steps >= MAX_STEPS {
            return false;
        }
        self.steps += 1;
        self.allow(methods);
        self.begin_again(out);
        true
    }

    /// "Partial success", after which the counts begin anew.
    fn begin_again(&mut self, out: &mut Vec<Vec<u8>>) {
        (self.failures, self.queries) = (0, 0);
        self.state = ServerAuthState::Request;
        out.push(message::failure(self.methods, true));
    }

    fn on_service(
        &mut self,
        body: &[u8],
        out: &mut Vec<Vec<u8>>,
    ) -> Result<ServerAuthEvent, AuthError> {
        self.count_request()?;
        let name = message::parse_service(body)?;
        if name != message::USERAUTH {
            return Err(AuthError::UnknownService(name));
        }
        self.state = ServerAuthState::Request;
        out.push(message::service(message::SERVICE_ACCEPT));
        Ok(ServerAuthEvent::Nothing)
    }

    fn on_request(
        &mut self,
        body: &[u8],
        out: &mut Vec<Vec<u8>>,
    ) -> Result<ServerAuthEvent, AuthError> {
        self.count_request()?;
        let request = AuthRequest::parse(body)?;
        if request.service != message::CONNECTION {
            return Err(AuthError::UnknownService(request.service));
        }
        if *self.user.get_or_insert_with(|| request.user.clone()) != request.user {
            return Err(AuthError::UserChanged);
        }
        self.state = ServerAuthState::Request;
        if let Some(greeting) = self.greeting.take() {
            self.banner(&greeting, out);
        }
        match request.method {
            Method::PublicKey(offered) if self.methods.public_key => {
                Ok(self.on_public_key(request.user, offered))
            }
            Method::KeyboardInteractive if self.methods.keyboard_interactive => {
                self.state = ServerAuthState::Judgement(Pending::Interactive);
                Ok(ServerAuthEvent::Interactive { user: request.user })
            }
            // How clients ask which methods there are (RFC 4252 section 5.2).
            Method::None if !std::mem::replace(&mut self.knows_methods, true) => {
                out.push(message::failure(self.methods, false));
                Ok(ServerAuthEvent::Nothing)
            }
            Method::None | Method::Other | Method::PublicKey(_) | Method::KeyboardInteractive => {
                self.fail(out);
                Ok(ServerAuthEvent::Nothing)
            }
        }
    }

    fn on_public_key(&mut self, user: String, offered: PublicKeyRequest) -> ServerAuthEvent {
        let (blob, signed) = (offered.blob.clone(), offered.signature.is_some());
        match self.examine(user.clone(), offered) {
            Ok((offer, None)) => {
                self.state = ServerAuthState::Judgement(Pending::Query {
                    algorithm: offer.algorithm.clone(),
                    blob: offer.blob.clone(),
                });
                ServerAuthEvent::Query(offer)
            }
            Ok((offer, Some(proof))) => {
                self.state = ServerAuthState::Judgement(Pending::Attempt);
                ServerAuthEvent::Attempt(offer, Box::new(proof))
            }
            Err(reason) => {
                self.state = ServerAuthState::Judgement(Pending::Refused { signed });
                ServerAuthEvent::Refused {
                    user,
                    blob,
                    signed,
                    reason,
                }
            }
        }
    }

    fn examine(
        &self,
        user: String,
        offered: PublicKeyRequest,
    ) -> Result<(Offer, Option<VerifiedRequest>), OfferError> {
        let PublicKeyRequest {
            algorithm,
            blob,
            host_key,
            signature,
        } = offered;
        let (_scheme, key) = read_offer(&algorithm, &blob)?;
        if host_key.as_ref().is_some_and(|k| *k != self.host_key_blob) {
            return Err(OfferError::OtherHostKey);
        }
        let offer = Offer {
            user,
            algorithm,
            blob,
            key,
            host_bound: host_key.is_some(),
        };
        let Some(signature) = signature else {
            return Ok((offer, None));
        };
        let request = SignedRequest {
            session: self.session_id.clone(),
            user: offer.user.clone(),
            algorithm: offer.algorithm.clone(),
            key: offer.blob.clone(),
            host_key,
            signature,
        };
        Ok((offer, Some(request.verify()?)))
    }

    fn count_request(&mut self) -> Result<(), AuthError> {
        if self.is_exhausted() {
            return Err(AuthError::TooManyAttempts);
        }
        self.requests += 1;
        Ok(())
    }

    fn fail(&mut self, out: &mut Vec<Vec<u8>>) {
        self.failures += 1;
        out.push(message::failure(self.methods, false));
    }
}
