//! The client's side: one key is offered, one signature comes from outside, and the server may ask
//! questions after it.

use ssh_encoding::Decode as _;
use zeroize::Zeroizing;

use super::message;
use super::{Answers, AuthError, Challenge, ForeignText};
use crate::cert::{PresentedKey, Scheme, SignatureError, check_signature};
use crate::wire::signature::{BadSignature, SignatureAlgorithm};

/// Most banners of one server.
const MAX_BANNERS: u32 = 16;

/// Most bytes of all banners of one server that are shown; the rest is cut. OpenSSH's own tests want
/// 100,000 of them.
const MAX_BANNER: usize = 128 * 1024;

/// Most challenges of one server, over all attempts.
const MAX_CHALLENGES: u32 = 32;

/// How often a server may be asked to ask again.
const MAX_TRIES: u32 = 6;

/// What a packet led to.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientAuthEvent {
    /// Handled inside.
    Nothing,
    /// A text for the user, without control characters other than line ends and tabs; at most 128 KiB
    /// in all, at most 16 of them.
    Banner(ForeignText),
    /// The server asks: [`ClientAuth::answer`] is to follow.
    Questions(Challenge),
    /// The server would take this key: have `data` signed, then call [`ClientAuth::signed`].
    Sign {
        /// What the signature must cover.
        data: Vec<u8>,
    },
    /// Authenticated.
    Success,
    /// The key was refused, or was not enough (`partial`), or the answers were wrong. Where the server
    /// names `keyboard-interactive` after it has taken the key, [`ClientAuth::interact`] can follow;
    /// otherwise nothing further is tried.
    Failure {
        /// The methods that the server names.
        methods: Vec<String>,
        /// The key was right, but the server wants more.
        partial: bool,
    },
}

/// User authentication, client side, for one connection.
///
/// It asks first whether the key would do, so that a security key is touched for something, and
/// sends exactly one signature. Questions are taken only from a server that has said that the key is
/// right and is not enough: a host that has accepted no key gets no answers that it could pass on.
#[derive(Debug)]
pub struct ClientAuth {
    session_id: Vec<u8>,
    user: String,
    algorithm: String,
    blob: Vec<u8>,
    host_key: Option<Vec<u8>>,
    banners: u32,
    /// Bytes of banners that may still be shown.
    banner_left: usize,
    challenges: u32,
    tries: u32,
    state: ClientAuthState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientAuthState {
    Start,
    ServiceRequested,
    Queried,
    Signing,
    Signed,
    /// The key was taken, and the server wants to ask.
    Partial,
    /// The server was requested to ask its questions.
    Interacting,
    /// It has asked so many questions.
    Asked(usize),
    Finished,
}

impl ClientAuth {
    /// `algorithm` is the public key algorithm to present (`ssh-ed25519-cert-v01@openssh.com`,
    /// `rsa-sha2-512-cert-v01@openssh.com`), `blob` the key or certificate. `host_bound` is the host
    /// key that the server presented, if the server announced `publickey-hostbound@openssh.com`.
    #[must_use]
    pub fn new(
        session_id: Vec<u8>,
        user: &str,
        algorithm: &str,
        blob: Vec<u8>,
        host_bound: Option<Vec<u8>>,
    ) -> Self {
        Self {
            session_id,
            user: user.to_owned(),
            algorithm: algorithm.to_owned(),
            blob,
            host_key: host_bound,
            banners: 0,
            banner_left: MAX_BANNER,
            challenges: 0,
            tries: 0,
            state: ClientAuthState::Start,
        }
    }

    /// Asks for the service `ssh-userauth`; once.
    pub fn start(&mut self, out: &mut Vec<Vec<u8>>) {
        if self.state == ClientAuthState::Start {
            self.state = ClientAuthState::ServiceRequested;
            out.push(message::service(message::SERVICE_REQUEST));
        }
    }

    /// Offers the key as this algorithm and bound to this host key instead, as the server's extensions
    /// have it. They come before its answer to [`ClientAuth::start`] (RFC 8308 section 2.4), not before
    /// that is sent. Without effect once the key has been offered.
    pub fn offer(&mut self, algorithm: &str, host_bound: Option<Vec<u8>>) {
        if matches!(
            self.state,
            ClientAuthState::Start | ClientAuthState::ServiceRequested
        ) {
            algorithm.clone_into(&mut self.algorithm);
            self.host_key = host_bound;
        }
    }

    /// Takes one upper-layer packet; packets to send are pushed on `out`.
    ///
    /// # Errors
    /// The connection must end: the server sends what has no place here, reports success without a
    /// signature, asks for anything but a signature with the offered key, or floods.
    pub fn on_packet(
        &mut self,
        payload: &[u8],
        out: &mut Vec<Vec<u8>>,
    ) -> Result<ClientAuthEvent, AuthError> {
        let (&number, body) = payload.split_first().ok_or(AuthError::Malformed)?;
        match (self.state, number) {
            (ClientAuthState::Finished, _) => Err(AuthError::Finished),
            (ClientAuthState::Start, _) => Err(AuthError::Unexpected(number)),
            (_, message::BANNER) => self.on_banner(body),
            (ClientAuthState::ServiceRequested, message::SERVICE_ACCEPT) => {
                self.on_service(body, out)
            }
            (ClientAuthState::Queried, message::PK_OK) => self.on_pk_ok(body),
            (
                ClientAuthState::Queried | ClientAuthState::Signed | ClientAuthState::Interacting,
                message::FAILURE,
            ) => self.on_failure(body),
            (ClientAuthState::Interacting, message::INFO_REQUEST) => self.on_challenge(body),
            (ClientAuthState::Signed | ClientAuthState::Interacting, message::SUCCESS)
                if body.is_empty() =>
            {
                self.state = ClientAuthState::Finished;
                Ok(ClientAuthEvent::Success)
            }
            (ClientAuthState::Signed | ClientAuthState::Interacting, message::SUCCESS) => {
                Err(AuthError::Malformed)
            }
            (_, message::SUCCESS) => Err(AuthError::TrivialSuccess),
            (_, message::PK_OK) => Err(AuthError::DifferentRequest),
            _ => Err(AuthError::Unexpected(number)),
        }
    }

    /// Takes the signature over the data of [`ClientAuthEvent::Sign`] and sends it, once.
    ///
    /// # Errors
    /// It is not a signature of the offered algorithm or does not verify with the offered key (the
    /// signer is not trusted); nothing is sent then, and the authentication is over.
    pub fn signed(
        &mut self,
        signature_blob: &[u8],
        out: &mut Vec<Vec<u8>>,
    ) -> Result<(), AuthError> {
        if self.state != ClientAuthState::Signing {
            return Err(AuthError::Finished);
        }
        self.state = ClientAuthState::Finished;
        let mut request = self.request(true);
        self.check(signature_blob, &request)?;
        message::put_string(&mut request, signature_blob);
        out.push(request);
        self.state = ClientAuthState::Signed;
        Ok(())
    }

    /// Whether [`ClientAuth::interact`] has a use now.
    #[must_use]
    pub fn can_interact(&self) -> bool {
        self.state == ClientAuthState::Partial && self.tries < MAX_TRIES
    }

    /// Requests the questions of the server, by keyboard-interactive (RFC 4256). `false`, and
    /// nothing is sent, if [`ClientAuth::can_interact`] is `false`.
    #[must_use]
    pub fn interact(&mut self, out: &mut Vec<Vec<u8>>) -> bool {
        let can = self.can_interact();
        if can {
            self.tries += 1;
            self.state = ClientAuthState::Interacting;
            out.push(message::interactive_request(&self.user));
        }
        can
    }

    /// The packet that answers [`ClientAuthEvent::Questions`], one answer for each question.
    ///
    /// # Errors
    /// Nothing was asked, or another number of questions.
    pub fn answer(&mut self, answers: &Answers) -> Result<Zeroizing<Vec<u8>>, AuthError> {
        if self.state != ClientAuthState::Asked(answers.len()) {
            return Err(AuthError::Finished);
        }
        self.state = ClientAuthState::Interacting;
        Ok(answers.encode())
    }

    fn on_challenge(&mut self, body: &[u8]) -> Result<ClientAuthEvent, AuthError> {
        self.challenges += 1;
        if self.challenges > MAX_CHALLENGES {
            return Err(AuthError::EndlessQuestions);
        }
        let challenge = Challenge::parse(body)?;
        self.state = ClientAuthState::Asked(challenge.prompts.len());
        Ok(ClientAuthEvent::Questions(challenge))
    }

    fn on_banner(&mut self, body: &[u8]) -> Result<ClientAuthEvent, AuthError> {
        self.banners += 1;
        if self.banners > MAX_BANNERS {
            return Err(AuthError::BannerFlood);
        }
        let (text, _language) =
            message::parse(body, |r| Ok((Vec::<u8>::decode(r)?, Vec::<u8>::decode(r)?)))?;
        let text = ForeignText::new(text, self.banner_left);
        self.banner_left -= text.sent().len();
        Ok(ClientAuthEvent::Banner(text))
    }

    fn on_service(
        &mut self,
        body: &[u8],
        out: &mut Vec<Vec<u8>>,
    ) -> Result<ClientAuthEvent, AuthError> {
        let name = message::parse_service(body)?;
        if name != message::USERAUTH {
            return Err(AuthError::UnknownService(name));
        }
        self.state = ClientAuthState::Queried;
        out.push(self.request(false));
        Ok(ClientAuthEvent::Nothing)
    }

    fn on_pk_ok(&mut self, body: &[u8]) -> Result<ClientAuthEvent, AuthError> {
        let (algorithm, blob) =
            message::parse(body, |r| Ok((Vec::<u8>::decode(r)?, Vec::<u8>::decode(r)?)))
                .ok()
                .ok_or(AuthError::DifferentRequest)?;
        if algorithm != self.algorithm.as_bytes() || blob != self.blob {
            return Err(AuthError::DifferentRequest);
        }
        self.state = ClientAuthState::Signing;
        Ok(ClientAuthEvent::Sign {
            data: message::signed_data(&self.session_id, &self.request(true)),
        })
    }

    fn on_failure(&mut self, body: &[u8]) -> Result<ClientAuthEvent, AuthError> {
        let (methods, partial) =
            message::parse(body, |r| Ok((String::decode(r)?, bool::decode(r)?)))?;
        let mut methods = methods.split(',').filter(|name| !name.is_empty());
        // The signature has been taken if that was said of it, or led to questions before.
        let is_taken = match self.state {
            ClientAuthState::Signed => partial,
            state => state == ClientAuthState::Interacting,
        };
        let asks = methods
            .clone()
            .any(|name| name == super::methods::KEYBOARD_INTERACTIVE);
        self.state = match is_taken && asks {
            true => ClientAuthState::Partial,
            false => ClientAuthState::Finished,
        };
        let methods = methods.by_ref().map(message::printable).collect();
        Ok(ClientAuthEvent::Failure { methods, partial })
    }

    fn request(&self, signed: bool) -> Vec<u8> {
        let host_key = self.host_key.as_deref();
        message::public_key_request(&self.user, &self.algorithm, &self.blob, host_key, signed)
    }

    fn check(&self, signature_blob: &[u8], request: &[u8]) -> Result<(), AuthError> {
        let key = PresentedKey::decode(&self.blob).map_err(AuthError::Key)?;
        let data = message::signed_data(&self.session_id, request);
        if self.algorithm == SignatureAlgorithm::RsaSha1.certificate_name() {
            return self.check_sha1(&key, &data, signature_blob);
        }
        let signature = Scheme::from_name(&self.algorithm)
            .filter(|scheme| scheme.fits(&key))
            .and_then(|scheme| scheme.read_signature(signature_blob))
            .ok_or_else(|| AuthError::WrongSignatureFormat(self.algorithm.clone()))?;
        check_signature(key.key_data(), &data, &signature).map_err(AuthError::WrongSignature)
    }

    /// For old hosts; the configuration has allowed this algorithm.
    fn check_sha1(
        &self,
        key: &PresentedKey,
        data: &[u8],
        signature_blob: &[u8],
    ) -> Result<(), AuthError> {
        match SignatureAlgorithm::RsaSha1.verify(key.key_data(), data, signature_blob) {
            Ok(()) => Ok(()),
            Err(BadSignature::DoesNotFit) => Err(AuthError::WrongSignature(SignatureError::Wrong)),
            Err(_) => Err(AuthError::WrongSignatureFormat(self.algorithm.clone())),
        }
    }
}
