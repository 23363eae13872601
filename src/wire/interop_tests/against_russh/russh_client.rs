//! The server role against russh's client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use ::russh::keys::PrivateKeyWithHashAlg;
use ::russh::keys::PublicKeyOrCertificate;
use ::russh::keys::agent::AgentIdentity;
use ::russh::{ChannelMsg, Names, client};
use ssh_encoding::Decode;

use super::*;
use crate::cert::OfferError;
use crate::wire::auth::{AuthLimits, Offer, ServerAuth, ServerAuthEvent};

/// Takes one key or certificate of the host, and counts key exchanges.
struct KnownHost {
    host: Vec<u8>,
    exchanges: Arc<AtomicU32>,
}

impl client::Handler for KnownHost {
    type Error = ::russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let blob = match shown.certificate() {
            Some(certificate) => certificate.to_bytes(),
            None => shown.public_key().to_bytes(),
        };
        Ok(blob.expect("encodes") == self.host)
    }

    async fn kex_done(
        &mut self,
        _secret: Option<&[u8]>,
        names: &Names,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        assert!(names.strict_kex(), "{names:?}");
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Signs in the way of its login; russh's own way with a certificate knows no hash for RSA.
struct Signing<'a>(&'a LoginMethod);

impl ::russh::Signer for Signing<'_> {
    type Error = ::russh::AgentAuthError;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        mut request: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        assert_eq!(hash, self.0.hash());
        let signature = self.0.sign(&request);
        signature.encode(&mut request).expect("short");
        Ok(request)
    }
}

/// How the login ended for the server.
fn admit<S: Read + Write>(driver: &mut Driver<S>) -> Result<Offer, OfferError> {
    let mut packet = driver.packet(&[message::SERVICE_REQUEST]);
    let session_id = driver.transport.session_id().expect("established");
    let host_key = driver.transport.host_key_blob().expect("shown");
    let (session_id, host_key) = (session_id.to_vec(), host_key.to_vec());
    let mut auth = ServerAuth::new(session_id, host_key, AuthLimits::default());
    loop {
        let mut answers = Vec::new();
        let verdict = match auth.on_packet(&packet, &mut answers).expect("well-formed") {
            ServerAuthEvent::Nothing => None,
            ServerAuthEvent::Query(_) => {
                auth.accept_query(&mut answers);
                None
            }
            ServerAuthEvent::Attempt(offer, _) => {
                auth.accept(&mut answers);
                Some(Ok(offer))
            }
            ServerAuthEvent::Refused { reason, .. } => {
                auth.reject(None, &mut answers);
                Some(Err(reason))
            }
            ServerAuthEvent::Interactive { .. } | ServerAuthEvent::Answers(_) => {
                panic!("nobody is asked here")
            }
        };
        for answer in answers {
            driver.transport.send(&answer).expect("sends");
        }
        driver.flush();
        if let Some(verdict) = verdict {
            return verdict;
        }
        packet = driver.packet(&[50]);
    }
}

/// One session, whose command sends back what it gets.
fn echo<S: Read + Write>(driver: &mut Driver<S>) {
    let channel = accept_session(driver, 64 << 20);
    driver.packet(&[98]);
    let success = Payload::new(99).u32(channel);
    driver.transport.send(&success.0).expect("sends");
    loop {
        let packet = driver.packet(&[94, 96]);
        if packet[0] == 96 {
            break;
        }
        let data = Vec::<u8>::decode(&mut &packet[5..]).expect("string");
        let data = Payload::new(94).u32(channel).string(data);
        driver.transport.send(&data.0).expect("sends");
    }
    let status = Payload::new(98)
        .u32(channel)
        .string("exit-status")
        .byte(0)
        .u32(STATUS);
    for payload in [
        status,
        Payload::new(96).u32(channel),
        Payload::new(97).u32(channel),
    ] {
        driver.transport.send(&payload.0).expect("sends");
    }
    driver.packet(&[97]);
}

/// russh's side: logs in and has `sent` come back; whether it was let in.
async fn visit(
    config: client::Config,
    known: KnownHost,
    stream: UnixStream,
    login: &LoginMethod,
    sent: &[u8],
) -> bool {
    let stream = tokio::net::UnixStream::from_std(stream).expect("a stream");
    let mut session = client::connect_stream(Arc::new(config), stream, known)
        .await
        .expect("a connection");
    let key = Arc::new(login.key.clone());
    let outcome = match &login.certificate {
        None => {
            let best = session.best_supported_rsa_hash().await.expect("asked");
            assert_eq!(best, Some(Some(HashAlg::Sha512)));
            let key = PrivateKeyWithHashAlg::new(key, login.hash());
            session.authenticate_publickey(USER, key).await
        }
        Some(certificate) if login.hash().is_some() => {
            let (certificate, signer) = (certificate.clone(), &mut Signing(login));
            session
                .authenticate_certificate_with(USER, certificate, login.hash(), signer)
                .await
                .map_err(|error| panic!("{error}"))
        }
        Some(certificate) => {
            session
                .authenticate_openssh_cert(USER, key, certificate.clone())
                .await
        }
    };
    if !outcome.expect("an answer").success() {
        return false;
    }
    let mut channel = session.channel_open_session().await.expect("a channel");
    channel.exec(true, "cat").await.expect("sent");
    let (mut echoed, mut status, mut written) = (Vec::new(), None, 0);
    loop {
        while written < sent.len() && written - echoed.len() < IN_FLIGHT {
            let end = sent.len().min(written + CHUNK);
            let data = sent[written..end].to_vec();
            channel.data_bytes(data).await.expect("sent");
            written = end;
            if written == sent.len() {
                channel.eof().await.expect("sent");
            }
        }
        match channel.wait().await {
            Some(ChannelMsg::Data { data }) => echoed.extend_from_slice(&data),
            Some(ChannelMsg::ExitStatus { exit_status }) => status = Some(exit_status),
            Some(_) => {}
            None => break,
        }
    }
    assert!(echoed == sent, "{} of {} bytes", echoed.len(), sent.len());
    assert_eq!(status, Some(STATUS));
    drop(channel);
    // Our server hangs up when the channel is closed from both sides.
    let _ended: Result<(), ::russh::Error> = session.await;
    true
}

/// A connection from its beginning to its end: what was offered, and how often keys were exchanged.
fn connect(
    ours: ServerConfig,
    theirs: client::Config,
    login: &LoginMethod,
    sent: &[u8],
) -> (Result<Offer, OfferError>, u32) {
    let exchanges = Arc::new(AtomicU32::new(0));
    let known = KnownHost {
        host: ours.host_keys[0].blob().to_vec(),
        exchanges: Arc::clone(&exchanges),
    };
    let (stream, other) = streams();
    let offer = thread::scope(|scope| {
        let server = scope.spawn(move || {
            let mut driver = Driver::new(Transport::server(Arc::new(ours)), stream);
            let offer = admit(&mut driver);
            if offer.is_ok() {
                echo(&mut driver);
            }
            offer
        });
        let admitted = run(visit(theirs, known, other, login, sent));
        let offer = server.join().expect("the server's side");
        assert_eq!(admitted, offer.is_ok());
        offer
    });
    (offer, exchanges.load(Ordering::Relaxed))
}

fn plain_server() -> ServerConfig {
    ServerConfig::new(vec![HostKey::new(ed25519(), None).expect("usable")])
}

#[test]
fn russh_accepts_each_algorithm_of_our_server() {
    let pairs = common(&Algorithms::default());
    assert!(pairs.len() >= 25, "{} in common", pairs.len());
    for pair in pairs {
        eprintln!("{}", pair.name);
        let ours = ServerConfig {
            algorithms: pair.ours,
            ..plain_server()
        };
        let theirs = client::Config {
            preferred: pair.russh,
            ..client::Config::default()
        };
        let (offer, _) = connect(ours, theirs, &LoginMethod::any(), b"there and back");
        offer.expect("admitted");
    }
}

#[test]
fn russh_verifies_each_kind_of_host_key_of_ours() {
    for (key, certificate, way) in host_keys(SignatureAlgorithm::ALL) {
        eprintln!("{way:?}, certified: {}", certificate.is_some());
        let algorithm = Algorithm::new(way.name()).expect("known");
        let wanted = Cow::Owned(vec![algorithm]);
        let mut preferred = Preferred::DEFAULT;
        if certificate.is_some() {
            preferred.host_key_certificates = wanted;
        } else {
            preferred.key = wanted;
        }
        let theirs = client::Config {
            preferred,
            ..client::Config::default()
        };
        let host_key = HostKey::new(key, certificate).expect("usable");
        let ours = ServerConfig::new(vec![host_key]);
        let (offer, _) = connect(ours, theirs, &LoginMethod::any(), b"there and back");
        offer.expect("admitted");
    }
}

#[test]
fn russh_logs_in_with_each_kind_of_key() {
    for login in LoginMethod::all(&ed25519()) {
        let theirs = client::Config::default();
        let (offer, _) = connect(plain_server(), theirs, &login, b"there and back");
        let offer = offer.unwrap_or_else(|error| panic!("{}: {error}", login.algorithm()));
        assert_eq!(offer.algorithm, login.algorithm());
        assert_eq!(offer.blob, login.blob());
        assert_eq!(offer.user, USER);
    }
}

/// russh's own way with an RSA certificate announces SHA-1, and would sign with SHA-512.
#[test]
fn a_certificate_that_russh_announces_with_sha1_is_refused() {
    let keys = ways(SignatureAlgorithm::LEGACY);
    let (key, way) = keys.into_iter().next().expect("an RSA key");
    let login = LoginMethod {
        certificate: Some(user_certificate(&key, &ed25519())),
        key,
        way,
    };
    let (offer, _) = connect(plain_server(), client::Config::default(), &login, b"");
    let announced = way.certificate_name().to_owned();
    assert_eq!(offer, Err(OfferError::Algorithm(announced)));
}

#[test]
fn keys_change_under_load_with_a_russh_client() {
    for (n, pair) in common(&Algorithms::default()).into_iter().enumerate() {
        // Every other time russh asks for new keys, every other time we do.
        let theirs = client::Config {
            preferred: pair.russh,
            limits: russh_limits(n % 2 == 0),
            ..client::Config::default()
        };
        let ours = ServerConfig {
            algorithms: pair.ours,
            rekey: our_limits(n % 2 == 1),
            ..plain_server()
        };
        let (offer, exchanges) = connect(ours, theirs, &LoginMethod::any(), &mebibyte());
        offer.expect("admitted");
        assert!(exchanges > 4, "{}: {exchanges} exchanges", pair.name);
    }
}
