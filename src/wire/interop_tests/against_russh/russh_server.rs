//! The client role against russh's server.

use std::sync::Arc;
use std::thread;

use ::russh::keys::PublicKey;
use ::russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use ::russh::{Channel, ChannelId};
use ssh_encoding::Decode;
use ssh_key::certificate::CertType;

use super::*;
use crate::wire::auth::{ClientAuth, ClientAuthEvent};

/// A host that admits one key and the certificates of one CA, and whose every command sends
/// back what it gets.
struct TestHost {
    admitted: PublicKey,
    authority: PublicKey,
}

fn verdict(good: bool) -> Auth {
    if good { Auth::Accept } else { Auth::reject() }
}

impl server::Handler for TestHost {
    type Error = ::russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let is_his = key.public_key.key_data() == self.admitted.key_data();
        Ok(verdict(is_his && user == USER))
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        let authority = self.authority.fingerprint(HashAlg::Sha256);
        let is_valid = certificate.validate([&authority]).is_ok();
        let principals = certificate.valid_principals();
        let is_his = certificate.cert_type() == CertType::User
            && principals.iter().any(|principal| principal == user);
        Ok(verdict(is_valid && is_his))
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.data(channel, data.to_vec())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.exit_status_request(channel, STATUS)?;
        session.eof(channel)?;
        session.close(channel)
    }
}

/// What a connection showed.
struct ConnectionFacts {
    /// Name of the host key algorithm, and the key or certificate.
    host_key: (String, Vec<u8>),
    /// Key exchanges that came to their end.
    exchanges: u32,
}

/// Logs in.
fn log_in<S: Read + Write>(driver: &mut Driver<S>, login: &LoginMethod) {
    let extensions = driver.transport.peer_extensions();
    assert!(!extensions.hostbound, "russh knows it now: try it");
    let session_id = driver.transport.session_id().expect("established");
    let (session_id, blob) = (session_id.to_vec(), login.blob());
    let mut auth = ClientAuth::new(session_id, USER, login.algorithm(), blob, None);
    let mut requests = Vec::new();
    auth.start(&mut requests);
    loop {
        for request in std::mem::take(&mut requests) {
            driver.transport.send(&request).expect("sends");
        }
        let packet = driver.packet(&[message::SERVICE_ACCEPT, 51, 52, 53, 60]);
        match auth.on_packet(&packet, &mut requests).expect("well-formed") {
            ClientAuthEvent::Sign { data } => {
                let signature = login.sign(&data);
                auth.signed(&signature, &mut requests).expect("fits");
            }
            ClientAuthEvent::Success => return,
            ClientAuthEvent::Failure { .. } => panic!("{} is refused", login.algorithm()),
            _ => {}
        }
    }
}

/// Has a command send back what it gets, and reads how it ended.
fn echo<S: Read + Write>(driver: &mut Driver<S>, sent: &[u8]) {
    let open = Payload::new(90)
        .string("session")
        .u32(0)
        .u32(64 << 20)
        .u32(32 << 10);
    driver.transport.send(&open.0).expect("sends");
    let confirmation = driver.packet(&[91]);
    let channel = u32::decode(&mut &confirmation[5..]).expect("channel");
    let exec = Payload::new(98)
        .u32(channel)
        .string("exec")
        .byte(1)
        .string("cat");
    driver.transport.send(&exec.0).expect("sends");
    driver.packet(&[99]);
    let mut echoed = Vec::new();
    let mut written = 0;
    while echoed.len() < sent.len() {
        while written < sent.len() && written - echoed.len() < IN_FLIGHT {
            let end = sent.len().min(written + CHUNK);
            let data = Payload::new(94).u32(channel).string(&sent[written..end]);
            driver.transport.send(&data.0).expect("sends");
            written = end;
        }
        let packet = driver.packet(&[94]);
        let data = Vec::<u8>::decode(&mut &packet[5..]).expect("string");
        echoed.extend_from_slice(&data);
    }
    assert!(echoed == sent, "{} of {} bytes", echoed.len(), sent.len());
    let eof = Payload::new(96).u32(channel);
    driver.transport.send(&eof.0).expect("sends");
    let status = driver.packet(&[98]);
    assert!(status.ends_with(&STATUS.to_be_bytes()), "{status:?}");
    driver.packet(&[97]);
}

/// A connection from its beginning to its end.
fn connect(
    ours: ClientConfig,
    theirs: server::Config,
    authority: &PrivateKey,
    login: &LoginMethod,
    sent: &[u8],
) -> ConnectionFacts {
    let host = TestHost {
        admitted: login.key.public_key().clone(),
        authority: authority.public_key().clone(),
    };
    let (stream, other) = streams();
    thread::scope(|scope| {
        scope.spawn(move || {
            run(async {
                let other = tokio::net::UnixStream::from_std(other).expect("a stream");
                let session = server::run_stream(Arc::new(theirs), other, host).await;
                // How it ends is judged on our side.
                let _ended: Result<(), ::russh::Error> = session.expect("a session").await;
            });
        });
        let mut driver = Driver::new(Transport::client(Arc::new(ours)), stream);
        let host_key = match driver.event().expect("protocol").expect("host key") {
            TransportEvent::HostKey { algorithm, blob } => (algorithm, blob),
            other => panic!("{other:?}"),
        };
        driver.transport.accept_host_key().expect("asked");
        match driver.event().expect("protocol").expect("established") {
            TransportEvent::Established => {}
            other => panic!("{other:?}"),
        }
        log_in(&mut driver, login);
        echo(&mut driver, sent);
        ConnectionFacts {
            host_key,
            exchanges: driver.exchanges,
        }
    })
}

fn plain_server() -> server::Config {
    server::Config {
        keys: vec![ed25519()],
        ..server::Config::default()
    }
}

fn everything() -> ClientConfig {
    ClientConfig::default().with_legacy(&all_legacy())
}

#[test]
fn a_russh_server_accepts_each_algorithm() {
    let pairs = common(&everything().algorithms);
    assert!(pairs.len() >= 40, "{} in common", pairs.len());
    for pair in pairs {
        eprintln!("{}", pair.name);
        let ours = ClientConfig {
            algorithms: pair.ours,
            ..ClientConfig::default()
        };
        let theirs = server::Config {
            preferred: pair.russh,
            ..plain_server()
        };
        connect(
            ours,
            theirs,
            &ed25519(),
            &LoginMethod::any(),
            b"there and back",
        );
    }
}

#[test]
fn each_kind_of_host_key_of_russh_is_verified() {
    let both = [SignatureAlgorithm::ALL, SignatureAlgorithm::LEGACY].concat();
    for (key, certificate, way) in host_keys(&both) {
        let wanted = match certificate {
            Some(_) => way.certificate_name(),
            None => way.name(),
        };
        eprintln!("{wanted}");
        let blob = encoded(&key, certificate.as_ref());
        let ours = ClientConfig {
            host_key_algorithms: vec![wanted.to_owned()],
            ..everything()
        };
        let theirs = server::Config {
            keys: vec![key],
            certificates: certificate.into_iter().collect(),
            ..server::Config::default()
        };
        let seen = connect(
            ours,
            theirs,
            &ed25519(),
            &LoginMethod::any(),
            b"there and back",
        );
        assert_eq!(seen.host_key, (wanted.to_owned(), blob));
    }
}

#[test]
fn we_log_in_to_a_russh_server_with_each_kind_of_key() {
    let ca = ed25519();
    for login in LoginMethod::all(&ca) {
        eprintln!("{}", login.algorithm());
        let ours = ClientConfig::default();
        connect(ours, plain_server(), &ca, &login, b"there and back");
    }
}

#[test]
fn keys_change_under_load_with_a_russh_server() {
    let pairs = common(&everything().algorithms);
    for (n, pair) in pairs.into_iter().enumerate() {
        // Every other time the host asks for new keys, every other time we do.
        let theirs = server::Config {
            preferred: pair.russh,
            limits: russh_limits(n % 2 == 0),
            ..plain_server()
        };
        let ours = ClientConfig {
            algorithms: pair.ours,
            rekey: our_limits(n % 2 == 1),
            ..ClientConfig::default()
        };
        let seen = connect(ours, theirs, &ed25519(), &LoginMethod::any(), &mebibyte());
        let exchanges = seen.exchanges;
        assert!(exchanges > 4, "{}: {exchanges} exchanges", pair.name);
    }
}
