//! The client's side: one key offered, one signature from outside.

use ssh_encoding::Decode as _;

use super::AuthError;
use super::algorithm::Scheme;
use super::message;
use crate::cert::{PresentedKey, SignatureError, check_signature};
use crate::wire::signature::{BadSignature, SignatureAlgorithm};

/// Most banners of one server.
const MAX_BANNERS: u32 = 16;

/// Longest banner that is shown, in bytes; the rest is cut.
const MAX_BANNER: usize = 8 * 1024;

/// What a packet led to.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientAuthEvent {
    /// Handled inside.
    Nothing,
    /// A text for the user, without control characters; at most 8 KiB, at most 16 of them.
    Banner(String),
    /// The server would take this key: have `data` signed, then call [`ClientAuth::signed`].
    Sign {
        /// What the signature must cover.
        data: Vec<u8>,
    },
    /// Authenticated.
    Success,
    /// The key was refused, or was not enough (`partial`). Nothing further is tried.
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
/// sends exactly one signature.
#[derive(Debug)]
pub struct ClientAuth {
    session_id: Vec<u8>,
    user: String,
    algorithm: String,
    blob: Vec<u8>,
    host_key: Option<Vec<u8>>,
    banners: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    ServiceRequested,
    Queried,
    Signing,
    Signed,
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
            state: State::Start,
        }
    }

    /// Asks for the service `ssh-userauth`; once.
    pub fn start(&mut self, out: &mut Vec<Vec<u8>>) {
        if self.state == State::Start {
            self.state = State::ServiceRequested;
            out.push(message::service(message::SERVICE_REQUEST));
        }
    }

    /// Offers the key as this algorithm and bound to this host key instead, as the server's extensions
    /// have it. They come before its answer to [`ClientAuth::start`] (RFC 8308 section 2.4), not before
    /// that is sent. Without effect once the key has been offered.
    pub fn offer(&mut self, algorithm: &str, host_bound: Option<Vec<u8>>) {
        if matches!(self.state, State::Start | State::ServiceRequested) {
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
            (State::Finished, _) => Err(AuthError::Finished),
            (State::Start, _) => Err(AuthError::Unexpected(number)),
            (_, message::BANNER) => self.on_banner(body),
            (State::ServiceRequested, message::SERVICE_ACCEPT) => self.on_service(body, out),
            (State::Queried, message::PK_OK) => self.on_pk_ok(body),
            (State::Queried | State::Signed, message::FAILURE) => self.on_failure(body),
            (State::Signed, message::SUCCESS) if body.is_empty() => {
                self.state = State::Finished;
                Ok(ClientAuthEvent::Success)
            }
            (State::Signed, message::SUCCESS) => Err(AuthError::Malformed),
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
        if self.state != State::Signing {
            return Err(AuthError::Finished);
        }
        self.state = State::Finished;
        let mut request = self.request(true);
        self.check(signature_blob, &request)?;
        message::put_string(&mut request, signature_blob);
        out.push(request);
        self.state = State::Signed;
        Ok(())
    }

    fn on_banner(&mut self, body: &[u8]) -> Result<ClientAuthEvent, AuthError> {
        self.banners += 1;
        if self.banners > MAX_BANNERS {
            return Err(AuthError::BannerFlood);
        }
        let (mut text, _language) =
            message::parse(body, |r| Ok((Vec::<u8>::decode(r)?, Vec::<u8>::decode(r)?)))?;
        text.truncate(MAX_BANNER);
        let text = message::printable(&String::from_utf8_lossy(&text));
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
        self.state = State::Queried;
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
        self.state = State::Signing;
        Ok(ClientAuthEvent::Sign {
            data: message::signed_data(&self.session_id, &self.request(true)),
        })
    }

    fn on_failure(&mut self, body: &[u8]) -> Result<ClientAuthEvent, AuthError> {
        let (methods, partial) =
            message::parse(body, |r| Ok((String::decode(r)?, bool::decode(r)?)))?;
        self.state = State::Finished;
        Ok(ClientAuthEvent::Failure {
            methods: methods
                .split(',')
                .filter(|name| !name.is_empty())
                .map(message::printable)
                .collect(),
            partial,
        })
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

    /// For hosts that know no better; whoever chose the algorithm allowed it.
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
