//! Key exchange in the transport: which message is expected, and what follows from it.
//!
//! ```text
//! Idle ── our KEXINIT ──▶ Proposed ── peer's KEXINIT ──▶ AwaitInit (server) / AwaitReply (client)
//!   ▲                                                       │
//!   │                          AwaitDecision ◀── first reply ┤ (client; until the driver accepts)
//!   └── peer's NEWKEYS ── AwaitNewKeys ◀── our NEWKEYS ──────┘
//! ```
//!
//! If slow steps are deferred, `AwaitStart` comes before `AwaitReply`, `AwaitSecret` after it and
//! `AwaitResponse` after `AwaitInit`.

use std::mem;

use ssh_encoding::{Decode, Reader};

use super::unexpected;
use super::work::{Outcome, Work, Worked};
use super::{
    Directional, EndpointRole, Negotiated, SessionBinding, Transport, TransportEvent,
    TransportPhase, extension,
};
use crate::cert::weak_rsa_bits;
use crate::wire::algorithm::Kex;
use crate::wire::cipher::{Decryptor, Encryptor};
use crate::wire::compression::CompressionState;
use crate::wire::error::{Error, Mismatch, Misuse, Violation};
use crate::wire::hostkey::{HostKey, HostKeyAlgorithm};
use crate::wire::kex::derive::{KeyDerivation, Transcript, Way};
use crate::wire::kex::exchange::{ClientExchange, encode_public, respond};
use crate::wire::kex::init::{
    EXT_INFO_CLIENT, Proposal, STRICT_CLIENT, STRICT_SERVER, negotiate, propose,
};
use crate::wire::kex::secret::SharedSecret;
use crate::wire::message;

/// Where a key exchange stands.
#[derive(Debug)]
pub(super) enum Exchange {
    /// None under way.
    Idle,
    /// Our proposal is out; this is its payload.
    Proposed { ours: Vec<u8> },
    /// Server: agreed, the client's public value is to come.
    AwaitInit(Agreed),
    /// Client: agreed, our public value is out.
    AwaitReply {
        agreed: Agreed,
        half: ClientExchange,
        public: Vec<u8>,
    },
    /// Client: agreed, our public value is being computed.
    AwaitStart(Agreed),
    /// Client: the secret is being computed.
    AwaitSecret(Replied),
    /// Server: our public value and the secret are being computed.
    AwaitResponse {
        agreed: Agreed,
        client_public: Vec<u8>,
    },
    /// Client: all is there, and the driver decides about the host key.
    AwaitDecision(NewKeys),
    /// We use the new keys already; the peer does from its NEWKEYS on.
    AwaitNewKeys {
        opener: Decryptor,
        negotiated: Negotiated,
    },
}

/// Both proposals and their outcome.
#[derive(Debug)]
pub(super) struct Agreed {
    client_init: Vec<u8>,
    server_init: Vec<u8>,
    negotiated: Negotiated,
    /// The peer's next key exchange message was a wrong guess.
    skip_guess: bool,
}

/// A server's reply, and what it replies to.
#[derive(Debug)]
pub(super) struct Replied {
    agreed: Agreed,
    /// Our public value.
    public: Vec<u8>,
    host_key: Vec<u8>,
    server_public: Vec<u8>,
    signature: Vec<u8>,
}

/// Keys that are ready for use.
#[derive(Debug)]
pub(super) struct NewKeys {
    sealer: Encryptor,
    opener: Decryptor,
    negotiated: Negotiated,
}

impl Exchange {
    /// Between our proposal and our NEWKEYS: the layers above must wait.
    pub(super) const fn holds_back(&self) -> bool {
        !matches!(self, Self::Idle | Self::AwaitNewKeys { .. })
    }

    /// Between the peer's proposal and its NEWKEYS: the peer's layers above must wait.
    pub(super) const fn peer_is_in(&self) -> bool {
        !matches!(self, Self::Idle | Self::Proposed { .. })
    }

    pub(super) const fn awaits_decision(&self) -> bool {
        matches!(self, Self::AwaitDecision(_))
    }

    pub(super) const fn awaits_work(&self) -> bool {
        matches!(
            self,
            Self::AwaitStart(_) | Self::AwaitSecret(_) | Self::AwaitResponse { .. }
        )
    }

    /// Whether this message is the wrong guess that is to be ignored.
    pub(super) fn skips(&mut self, number: u8) -> bool {
        let (Self::AwaitInit(agreed) | Self::AwaitReply { agreed, .. }) = self else {
            return false;
        };
        // Only messages of a key exchange method can be guesses.
        (30..50).contains(&number) && mem::take(&mut agreed.skip_guess)
    }
}

impl Transport {
    /// Sends our proposal.
    pub(super) fn propose(&mut self) -> Result<(), Error> {
        let ours = match &self.role {
            EndpointRole::Server(config) => {
                let keys = self.presentable(&config.host_keys);
                propose(
                    &config.algorithms,
                    &[STRICT_SERVER],
                    &offered_host_keys(keys),
                )?
            }
            EndpointRole::Client(config) => {
                let names: Vec<&str> = config
                    .host_key_algorithms
                    .iter()
                    .filter_map(|name| HostKeyAlgorithm::from_name(name))
                    .map(HostKeyAlgorithm::name)
                    .collect();
                propose(
                    &config.algorithms,
                    &[EXT_INFO_CLIENT, STRICT_CLIENT],
                    &names,
                )?
            }
        };
        self.writer.write(&ours, &[])?;
        self.exchange = Exchange::Proposed { ours };
        Ok(())
    }

    pub(super) fn on_proposal(&mut self, payload: &[u8]) -> Result<Option<TransportEvent>, Error> {
        let is_asked_for = matches!(self.exchange, Exchange::Idle);
        if is_asked_for {
            // No honest peer needs new keys before user authentication. Each exchange costs us more than the
            // peer, and what a login depends on must not begin anew beneath it.
            if !self.authenticated {
                return Err(unexpected(message::KEXINIT, "again before authentication"));
            }
            self.propose()?;
        }
        let Exchange::Proposed { ours } = mem::replace(&mut self.exchange, Exchange::Idle) else {
            return Err(unexpected(message::KEXINIT, "during a key exchange"));
        };
        let proposal = Proposal::parse(&ours)?;
        let peer = Proposal::parse(payload)?;
        if !self.is_established() {
            self.on_first_proposal(&peer)?;
        }
        let theirs = payload.to_vec();
        let skip_guess = peer.wrong_guess(&proposal);
        let negotiated = if self.role.is_server() {
            negotiate(&peer, &proposal, true)?
        } else {
            negotiate(&proposal, &peer, false)?
        };
        if is_asked_for {
            self.charge_rekey(negotiated.kex)?;
        }
        if self.role.is_server() {
            self.exchange = Exchange::AwaitInit(Agreed {
                negotiated,
                client_init: theirs,
                server_init: ours,
                skip_guess,
            });
            return Ok(None);
        }
        let agreed = Agreed {
            negotiated,
            client_init: ours,
            server_init: theirs,
            skip_guess,
        };
        let kex = agreed.negotiated.kex;
        if self.defers(kex) {
            self.exchange = Exchange::AwaitStart(agreed);
            self.work = Some(Work::start(kex));
            return Ok(None);
        }
        let started = ClientExchange::start(kex)?;
        self.on_started(agreed, started)?;
        Ok(None)
    }

    fn defers(&self, kex: Kex) -> bool {
        self.defers && kex.is_slow()
    }

    /// Goes on with what was computed elsewhere.
    pub(super) fn go_on(&mut self, worked: Worked) -> Result<Option<TransportEvent>, Error> {
        match (mem::replace(&mut self.exchange, Exchange::Idle), worked.0) {
            (Exchange::AwaitStart(agreed), Outcome::Started(started)) => {
                self.on_started(agreed, started?)?;
                Ok(None)
            }
            (Exchange::AwaitSecret(replied), Outcome::Finished(secret)) => {
                self.on_secret(replied, &secret?)
            }
            (
                Exchange::AwaitResponse {
                    agreed,
                    client_public,
                },
                Outcome::Responded(response),
            ) => {
                let (server_public, secret) = response?;
                self.on_response(agreed, &client_public, &server_public, &secret)
            }
            _ => Err(Misuse::State("other work was asked for").into()),
        }
    }

    /// Client: sends our public value.
    fn on_started(
        &mut self,
        agreed: Agreed,
        (half, public): (ClientExchange, Vec<u8>),
    ) -> Result<(), Error> {
        let mut init = vec![message::KEX_INIT];
        encode_public(&public, &mut init)?;
        self.writer.write(&init, &[])?;
        self.exchange = Exchange::AwaitReply {
            agreed,
            half,
            public,
        };
        Ok(())
    }

    /// A key exchange that the peer asks for, after the first.
    fn charge_rekey(&mut self, kex: Kex) -> Result<(), Error> {
        let bytes = self.writer.usage().bytes + self.reader.usage().bytes;
        self.rekeys.charge(kex, bytes, self.now)
    }

    /// Takes note of what only the first proposal can say.
    fn on_first_proposal(&mut self, peer: &Proposal) -> Result<(), Error> {
        let marker = if self.role.is_server() {
            STRICT_CLIENT
        } else {
            STRICT_SERVER
        };
        self.strict = peer.has(marker);
        self.peer_wants_extensions = self.role.is_server() && peer.has(EXT_INFO_CLIENT);
        // Anything before it could have been slipped in, to make sequence numbers fit what is cut
        // out later (CVE-2023-48795).
        if self.strict && self.reader.sequence() != 1 {
            return Err(unexpected(message::KEXINIT, "after other messages"));
        }
        Ok(())
    }

    /// Server: the host keys that it may show. One that it has shown it keeps for as long as the
    /// connection lives: clients are entitled to hang up on another (some do worse, CVE-2026-60002).
    fn presentable<'k>(&self, keys: &'k [HostKey]) -> impl Iterator<Item = &'k HostKey> {
        let shown = self.host_key.clone();
        keys.iter()
            .filter(move |key| shown.as_deref().is_none_or(|shown| shown == key.blob()))
    }

    pub(super) fn on_kex_init(&mut self, payload: &[u8]) -> Result<Option<TransportEvent>, Error> {
        let Exchange::AwaitInit(agreed) = mem::replace(&mut self.exchange, Exchange::Idle) else {
            return Err(unexpected(message::KEX_INIT, "outside its key exchange"));
        };
        let [client_public] = strings(message::KEX_INIT, payload)?;
        let kex = agreed.negotiated.kex;
        if self.defers(kex) {
            self.work = Some(Work::respond(kex, client_public.clone()));
            self.exchange = Exchange::AwaitResponse {
                agreed,
                client_public,
            };
            return Ok(None);
        }
        let (server_public, secret) = respond(kex, &client_public)?;
        self.on_response(agreed, &client_public, &server_public, &secret)
    }

    /// Server: proves that it holds the host key, and starts to use the new keys.
    fn on_response(
        &mut self,
        agreed: Agreed,
        client_public: &[u8],
        server_public: &[u8],
        secret: &SharedSecret,
    ) -> Result<Option<TransportEvent>, Error> {
        let EndpointRole::Server(config) = &self.role else {
            return Err(unexpected(message::KEX_INIT, "from a server"));
        };
        let config = config.clone();
        let (host_key, algorithm) = self
            .presentable(&config.host_keys)
            .flat_map(|key| key.algorithms().map(move |algorithm| (key, algorithm)))
            .find(|(_, algorithm)| algorithm.name() == agreed.negotiated.host_key)
            .ok_or(Misuse::HostKey("not offered"))?;
        let transcript = self.transcript(&agreed, host_key.blob(), client_public, server_public);
        let hash = transcript.hash(agreed.negotiated.kex, secret)?;
        let signature = host_key.sign(algorithm.signature, hash.as_ref())?;

        let mut reply = vec![message::KEX_REPLY];
        for part in [host_key.blob(), server_public, &signature] {
            encode_public(part, &mut reply)?;
        }
        self.writer.write(&reply, &[])?;
        self.host_key
            .get_or_insert_with(|| host_key.blob().to_vec());
        let keys = self.new_keys(agreed.negotiated, secret, hash.as_ref())?;
        self.use_new_keys(keys)?;
        Ok(None)
    }

    pub(super) fn on_kex_reply(&mut self, payload: &[u8]) -> Result<Option<TransportEvent>, Error> {
        let Exchange::AwaitReply {
            agreed,
            half,
            public,
        } = mem::replace(&mut self.exchange, Exchange::Idle)
        else {
            return Err(unexpected(message::KEX_REPLY, "outside its key exchange"));
        };
        let [host_key, server_public, signature] = strings(message::KEX_REPLY, payload)?;
        let kex = agreed.negotiated.kex;
        let replied = Replied {
            agreed,
            public,
            host_key,
            server_public,
            signature,
        };
        if self.defers(kex) {
            self.work = Some(Work::finish(half, replied.server_public.clone()));
            self.exchange = Exchange::AwaitSecret(replied);
            return Ok(None);
        }
        let secret = half.finish(&replied.server_public)?;
        self.on_secret(replied, &secret)
    }

    /// Client: checks the signature by the server's host key.
    fn on_secret(
        &mut self,
        replied: Replied,
        secret: &SharedSecret,
    ) -> Result<Option<TransportEvent>, Error> {
        let Replied {
            agreed,
            public,
            host_key,
            server_public,
            signature,
        } = replied;
        let algorithm = HostKeyAlgorithm::from_name(&agreed.negotiated.host_key)
            .ok_or(Misuse::State("host key algorithm"))?;
        let key = algorithm.signing_key(&host_key)?;
        // It would fit no signature, which says less.
        if let Some(bits) = weak_rsa_bits(&key) {
            return Err(Mismatch::ShortHostKey(bits).into());
        }
        let transcript = self.transcript(&agreed, &host_key, &public, &server_public);
        let hash = transcript.hash(agreed.negotiated.kex, secret)?;
        algorithm
            .signature
            .verify(&key, hash.as_ref(), &signature)
            .map_err(|_bad| Violation::HostKey("signature over the key exchange incorrect"))?;

        let first = self.host_key.is_none();
        if !first && self.host_key.as_deref() != Some(&host_key) {
            return Err(Violation::HostKey("changed during the connection").into());
        }
        let keys = self.new_keys(agreed.negotiated, secret, hash.as_ref())?;
        if !first {
            self.use_new_keys(keys)?;
            return Ok(None);
        }
        self.host_key = Some(host_key.clone());
        self.binding = Some(SessionBinding {
            host_key: host_key.clone(),
            session_id: hash.as_ref().to_vec(),
            signature,
        });
        self.exchange = Exchange::AwaitDecision(keys);
        Ok(Some(TransportEvent::HostKey {
            algorithm: algorithm.name().to_owned(),
            blob: host_key,
        }))
    }

    /// Client role: the answer to [`TransportEvent::HostKey`]; the key exchange goes on. To refuse, call
    /// [`disconnect`](Self::disconnect) instead.
    ///
    /// # Errors
    /// When no host key waits for an answer.
    pub fn accept_host_key(&mut self) -> Result<(), Error> {
        match mem::replace(&mut self.exchange, Exchange::Idle) {
            Exchange::AwaitDecision(keys) => self.use_new_keys(keys),
            other => {
                self.exchange = other;
                Err(Misuse::State("no host key waits").into())
            }
        }
    }

    fn transcript<'a>(
        &'a self,
        agreed: &'a Agreed,
        host_key: &'a [u8],
        client_public: &'a [u8],
        server_public: &'a [u8],
    ) -> Transcript<'a> {
        let ours = self.role.ident();
        let theirs = self.peer_ident.as_deref().unwrap_or_default();
        let (client_ident, server_ident) = if self.role.is_server() {
            (theirs, ours)
        } else {
            (ours, theirs)
        };
        Transcript {
            client_ident,
            server_ident,
            client_init: &agreed.client_init,
            server_init: &agreed.server_init,
            host_key,
            client_public,
            server_public,
        }
    }

    /// Derives both directions' keys. The first hash is the session's for good.
    fn new_keys(
        &mut self,
        negotiated: Negotiated,
        secret: &SharedSecret,
        hash: &[u8],
    ) -> Result<NewKeys, Error> {
        let (ours, theirs) = self.ways();
        let session_id = self.session_id.get_or_insert_with(|| hash.to_vec());
        let derivation = KeyDerivation {
            kex: negotiated.kex,
            secret,
            hash,
            session_id,
        };
        let (cipher, mac) = (negotiated.cipher, negotiated.mac);
        Ok(NewKeys {
            sealer: derivation.sealer(ours, cipher.of(ours), mac.of(ours))?,
            opener: derivation.opener(theirs, cipher.of(theirs), mac.of(theirs))?,
            negotiated,
        })
    }

    /// The directions of what we send and of what we receive.
    fn ways(&self) -> (Way, Way) {
        if self.role.is_server() {
            (Way::ServerToClient, Way::ClientToServer)
        } else {
            (Way::ClientToServer, Way::ServerToClient)
        }
    }

    /// Sends NEWKEYS and everything from there on under the new keys.
    fn use_new_keys(&mut self, keys: NewKeys) -> Result<(), Error> {
        self.writer.write(&[message::NEWKEYS], &[])?;
        let compression = keys.negotiated.compression.of(self.ways().0);
        let compression = CompressionState::new(compression, self.authenticated);
        self.writer
            .change_keys(keys.sealer, compression, self.strict);
        self.exchange = Exchange::AwaitNewKeys {
            opener: keys.opener,
            negotiated: keys.negotiated,
        };
        if mem::take(&mut self.peer_wants_extensions) {
            self.writer.write(&extension::announce()?, &[])?;
        }
        self.release_held()
    }

    pub(super) fn on_new_keys(&mut self, payload: &[u8]) -> Result<Option<TransportEvent>, Error> {
        let Exchange::AwaitNewKeys { opener, negotiated } =
            mem::replace(&mut self.exchange, Exchange::Idle)
        else {
            return Err(unexpected(message::NEWKEYS, "outside its key exchange"));
        };
        if payload.len() != 1 {
            return Err(Violation::Malformed {
                message: message::NEWKEYS,
                what: "not empty",
            }
            .into());
        }
        let compression = negotiated.compression.of(self.ways().1);
        let compression = CompressionState::new(compression, self.authenticated);
        self.reader.change_keys(opener, compression, self.strict);
        self.negotiated = Some(negotiated);
        self.keyed_at = None;
        if self.is_established() {
            return Ok(None);
        }
        self.phase = TransportPhase::Established;
        Ok(Some(TransportEvent::Established))
    }
}

impl<T: Copy> Directional<T> {
    const fn of(&self, way: Way) -> T {
        match way {
            Way::ClientToServer => self.client_to_server,
            Way::ServerToClient => self.server_to_client,
        }
    }
}

/// Names of what the host keys can be offered as, each once.
fn offered_host_keys<'k>(keys: impl Iterator<Item = &'k HostKey>) -> Vec<&'static str> {
    let mut names = Vec::new();
    for name in keys
        .flat_map(HostKey::algorithms)
        .map(HostKeyAlgorithm::name)
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Reads a message that is so many strings and nothing else.
fn strings<const N: usize>(number: u8, payload: &[u8]) -> Result<[Vec<u8>; N], Error> {
    let malformed = |_error| Violation::Malformed {
        message: number,
        what: "not what its key exchange says",
    };
    let mut reader = payload.get(1..).unwrap_or_default();
    let mut parts = std::array::from_fn(|_| Vec::new());
    for part in &mut parts {
        *part = Vec::decode(&mut reader).map_err(malformed)?;
    }
    reader
        .finish(parts)
        .map_err(|error| malformed(error).into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::BytesMut;
    use ssh_key::PrivateKey;
    use ssh_key::private::Ed25519Keypair;

    use super::*;
    use crate::cert::testing::p256;
    use crate::wire::algorithm::Algorithms;
    use crate::wire::transport::{ClientConfig, ServerConfig};

    fn server_config(seed: u8) -> Arc<ServerConfig> {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
        let key = HostKey::new(key, None).expect("usable");
        Arc::new(ServerConfig::new(vec![key]))
    }

    /// Carries bytes both ways until there are none.
    fn settle(client: &mut Transport, server: &mut Transport) -> Result<(), Error> {
        settle_from(client, server, &mut Default::default())
    }

    /// The same with what has arrived on both sides and waits there.
    fn settle_from(
        client: &mut Transport,
        server: &mut Transport,
        (up, down): &mut (BytesMut, BytesMut),
    ) -> Result<(), Error> {
        while !client.output().is_empty() || !server.output().is_empty() {
            up.unsplit(client.output().split());
            while !matches!(server.receive(up)?, TransportEvent::NeedInput) {}
            down.unsplit(server.output().split());
            loop {
                match client.receive(down)? {
                    TransportEvent::NeedInput => break,
                    TransportEvent::HostKey { .. } => client.accept_host_key()?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    #[test]
    fn another_host_key_in_a_later_exchange_is_refused() {
        for (seed, same) in [(1, true), (2, false)] {
            let mut client = Transport::client(Arc::new(ClientConfig::default()));
            let mut server = Transport::server(server_config(1));
            settle(&mut client, &mut server).expect("handshake");
            server.send(&[message::USERAUTH_SUCCESS]).expect("sends");
            settle(&mut client, &mut server).expect("success");
            // As no server of ours would.
            server.role = EndpointRole::Server(server_config(seed));
            server.host_key = None;
            client.start_rekey().expect("starts");
            let outcome = settle(&mut client, &mut server);
            assert_eq!(outcome.is_ok(), same);
            let refused = matches!(outcome, Err(Error::Violation(Violation::HostKey(_))));
            assert_eq!(refused, !same);
        }
    }

    /// Carries bytes both ways until there are none, and computes what is deferred only when neither side can go on
    /// without it. How often that was.
    fn settle_with_work(client: &mut Transport, server: &mut Transport) -> usize {
        let mut count = 0;
        let mut arrived = <(BytesMut, BytesMut)>::default();
        loop {
            settle_from(client, server, &mut arrived).expect("both keep to the protocol");
            let mut did = false;
            let sides = [
                (&mut *client, &mut arrived.1),
                (&mut *server, &mut arrived.0),
            ];
            for (side, input) in sides {
                let Some(work) = side.take_work() else {
                    continue;
                };
                // Whatever is said meanwhile has to wait.
                side.send(b"\x50later").expect("there is room");
                side.worked(work.run());
                // Nothing new has to arrive for it to go on.
                loop {
                    match side.receive(input).expect("it goes on") {
                        TransportEvent::NeedInput => break,
                        TransportEvent::HostKey { .. } => {
                            side.accept_host_key().expect("it was asked");
                        }
                        _ => {}
                    }
                }
                did = true;
                count += 1;
            }
            if !did {
                return count;
            }
        }
    }

    #[test]
    fn what_is_computed_elsewhere_leads_to_the_same_keys() {
        for (kex, by_client, by_server) in [
            (Kex::DiffieHellmanGroup14Sha256, 2, 1),
            (Kex::Sntrup761X25519Sha512, 2, 1),
            (Kex::Curve25519Sha256, 0, 0),
        ] {
            let algorithms = Algorithms::default().only_kex(kex);
            let mut client = Transport::client(Arc::new(ClientConfig {
                algorithms: algorithms.clone(),
                ..ClientConfig::default()
            }));
            let key = PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]));
            let key = HostKey::new(key, None).expect("usable");
            let mut server = Transport::server(Arc::new(ServerConfig {
                algorithms,
                ..ServerConfig::new(vec![key])
            }));
            client.defer_work();
            server.defer_work();
            let each = by_client + by_server;
            assert_eq!(settle_with_work(&mut client, &mut server), each, "{kex}");
            assert!(client.is_established() && server.is_established(), "{kex}");
            assert_eq!(client.session_id(), server.session_id());
            // And once more, with what waits meanwhile behind it.
            server.send(&[message::USERAUTH_SUCCESS]).expect("sends");
            settle(&mut client, &mut server).expect("success");
            client.start_rekey().expect("starts");
            assert_eq!(settle_with_work(&mut client, &mut server), each, "{kex}");
            assert!(!client.is_rekeying() && !server.is_rekeying(), "{kex}");
            assert_eq!((client.held_back(), server.held_back()), (0, 0));
        }
    }

    #[test]
    fn work_that_nobody_asked_for_ends_the_connection() {
        let mut client = Transport::client(Arc::new(ClientConfig {
            algorithms: Algorithms::default().only_kex(Kex::Sntrup761X25519Sha512),
            ..ClientConfig::default()
        }));
        client.defer_work();
        let mut server = Transport::server(server_config(1));
        settle(&mut client, &mut server).expect("as far as it goes");
        let _other = client.take_work().expect("a public value");
        client.worked(Work::respond(Kex::Curve25519Sha256, vec![9; 32]).run());
        let outcome = client.receive(&mut BytesMut::new());
        assert!(matches!(outcome, Err(Error::Misuse(_))), "{outcome:?}");
    }

    #[test]
    fn a_kind_of_key_is_offered_once() {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]));
        let plain = HostKey::new(key, None).expect("usable");
        let keys = [plain.clone(), plain];
        assert_eq!(offered_host_keys(keys.iter()), ["ssh-ed25519"]);
    }

    /// A client that asks for another kind of key later gets the one that it has seen, or nothing.
    #[test]
    fn a_server_shows_one_host_key_for_as_long_as_the_connection_lives() {
        let config = || {
            let ed25519 = PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]));
            let keys = [ed25519, p256()].map(|key| HostKey::new(key, None).expect("usable"));
            Arc::new(ServerConfig::new(keys.to_vec()))
        };
        let asks = |names: &[&str]| {
            Arc::new(ClientConfig {
                host_key_algorithms: names.iter().map(|name| (*name).to_owned()).collect(),
                ..ClientConfig::default()
            })
        };
        let (first, other) = ("ssh-ed25519", "ecdsa-sha2-nistp256");
        for (later, works) in [(&[other, first][..], true), (&[other], false)] {
            let mut client = Transport::client(asks(&[first]));
            let mut server = Transport::server(config());
            settle(&mut client, &mut server).expect("handshake");
            server.send(&[message::USERAUTH_SUCCESS]).expect("sends");
            settle(&mut client, &mut server).expect("success");
            let shown = server.host_key_blob().expect("shown").to_vec();
            client.role = EndpointRole::Client(asks(later));
            client.start_rekey().expect("starts");
            assert_eq!(settle(&mut client, &mut server).is_ok(), works, "{later:?}");
            assert_eq!(client.host_key_blob(), Some(&*shown));
        }
    }
}
