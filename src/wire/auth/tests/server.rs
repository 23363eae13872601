//! The server against clients that lie.

use ::signature::Signer as _;
use proptest::prelude::*;
use ssh_encoding::Encode as _;
use ssh_key::public::{KeyData, SkEd25519};
use ssh_key::{Algorithm, HashAlg, PrivateKey, Signature};

use super::*;
use crate::cert::testing::{CertSpec, blob_signed_by, ed25519, keys, p256, string};
use crate::cert::{KeyError, SignatureError};

#[test]
fn a_signature_counts_for_its_request_only() {
    let key = ed25519();
    type AttemptEdit = fn(&mut Attempt);
    let wrong: [AttemptEdit; 4] = [
        |a| a.session = vec![6; 32],
        |a| a.user = "root".to_owned(),
        |a| a.signed_algorithm = Some("ssh-rsa".to_owned()),
        |a| a.session = SESSION[1..].to_vec(),
    ];
    let mut server = ServerAuth::new(SESSION.to_vec(), HOST_KEY.to_vec(), AuthLimits::default());
    feed(&mut server, &service_request("ssh-userauth"))
        .0
        .unwrap();
    for change in wrong {
        let (event, out) = feed(&mut server, &attempt(&key, change));
        assert_eq!(refusal(event), OfferError::Signature(SignatureError::Wrong));
        assert!(out.is_empty());
        server.reject(None, &mut Vec::new());
    }

    let bound = attempt(&key, |a| a.host_key = Some(b"another host's".to_vec()));
    assert_eq!(
        refusal(feed(&mut server, &bound).0),
        OfferError::OtherHostKey
    );
    server.reject(None, &mut Vec::new());

    // The same signature, but sent as a request that is not bound to the host key.
    let mut unbound = message::public_key_request(
        "deploy",
        "ssh-ed25519",
        &key.public_key().to_bytes().unwrap(),
        None,
        true,
    );
    let bound = attempt(&key, |a| a.host_key = Some(HOST_KEY.to_vec()));
    unbound.extend_from_slice(&bound[bound.len() - (4 + 4 + 11 + 4 + 64)..]);
    assert_eq!(
        refusal(feed(&mut server, &unbound).0),
        OfferError::Signature(SignatureError::Wrong)
    );
    server.reject(None, &mut Vec::new());

    let (event, _) = feed(&mut server, &attempt(&key, |_| {}));
    assert!(matches!(event, Ok(ServerAuthEvent::Attempt(..))));
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_the_reason() {
    let rsa = &keys()[4];
    let rsa_blob = rsa.public_key().to_bytes().unwrap();
    let cert = CertSpec::user(&ed25519())
        .sign(&ed25519())
        .to_bytes()
        .unwrap();
    let p256_blob = p256().public_key().to_bytes().unwrap();
    let nested = blob_signed_by(&cert);
    let cert_name = "ssh-ed25519-cert-v01@openssh.com";
    let mismatch = |name: &str| OfferError::Mismatch(name.to_owned());
    let table = [
        (
            "ssh-rsa",
            &rsa_blob,
            OfferError::Algorithm("ssh-rsa".to_owned()),
        ),
        ("ssh-ed25519", &rsa_blob, mismatch("ssh-ed25519")),
        ("ssh-ed25519", &cert, mismatch("ssh-ed25519")),
        (
            "ecdsa-sha2-nistp384",
            &p256_blob,
            mismatch("ecdsa-sha2-nistp384"),
        ),
        (
            cert_name,
            &nested,
            OfferError::Key(KeyError::NestedCertificate(cert_name.to_owned())),
        ),
    ];
    for (algorithm, blob, reason) in table {
        let mut server = started_server();
        let query = message::public_key_request("deploy", algorithm, blob, None, false);
        let (event, out) = feed(&mut server, &query);
        assert_eq!(refusal(event), reason);
        assert!(out.is_empty());
        let mut out = Vec::new();
        server.reject(Some("no\u{1b}[2J\nreally"), &mut out);
        let banner = [vec![53], string(b"no[2J\r\nreally\r\n"), string(b"")].concat();
        assert_eq!(out, [banner, failure_packet()]);
    }

    let mut server = started_server();
    let sha1_name = attempt(rsa, |a| a.algorithm = "rsa-sha2-512".to_owned());
    let as_256 = replace(&sha1_name, b"rsa-sha2-512", b"rsa-sha2-256", 1);
    assert_eq!(
        refusal(feed(&mut server, &as_256).0),
        OfferError::MalformedSignature,
        "the signature is of the other algorithm"
    );
}

#[test]
fn success_needs_a_verified_signature() {
    let key = ed25519();
    let blob = key.public_key().to_bytes().unwrap();
    let query = message::public_key_request("deploy", "ssh-ed25519", &blob, None, false);
    let mut server = started_server();
    assert!(matches!(
        feed(&mut server, &query).0,
        Ok(ServerAuthEvent::Query(_))
    ));
    let mut out = Vec::new();
    server.accept(&mut out);
    assert_eq!(out, [failure_packet()]);

    server.accept(&mut out);
    assert_eq!(out.len(), 1, "nothing waits for an answer");

    feed(&mut server, &attempt(&key, |_| {})).0.unwrap();
    assert_eq!(
        feed(&mut server, &query).0,
        Err(AuthError::Unanswered),
        "the attempt is to be judged first"
    );
    server.accept_query(&mut out);
    assert_eq!(out.len(), 1, "an attempt is not answered like a query");
    server.accept(&mut out);
    assert_eq!(out.last().unwrap(), &[52]);
    assert_eq!(feed(&mut server, &query).0, Err(AuthError::Finished));
}

#[test]
fn attempts_are_limited_and_a_first_none_is_free() {
    let mut server = started_server();
    let none = request("deploy", "ssh-connection", "none");
    let password = [
        request("deploy", "ssh-connection", "password"),
        vec![0],
        string(b"secret"),
    ]
    .concat();
    for packet in [&none, &password, &password, &none] {
        let (event, out) = feed(&mut server, packet);
        assert_eq!(event, Ok(ServerAuthEvent::Nothing));
        assert_eq!(out, [failure_packet()]);
    }
    assert!(server.is_exhausted());
    assert_eq!(feed(&mut server, &none).0, Err(AuthError::TooManyAttempts));

    let key = ed25519();
    let blob = key.public_key().to_bytes().unwrap();
    let query = message::public_key_request("deploy", "ssh-ed25519", &blob, None, false);
    let mut server = started_server();
    let queries = (0..2000).find(|_| {
        let (event, mut out) = feed(&mut server, &query);
        server.accept_query(&mut out);
        event == Err(AuthError::TooManyAttempts)
    });
    assert_eq!(
        queries,
        Some(1023),
        "accepted queries are bounded too, together with requests of the service"
    );
}

#[test]
fn what_has_no_place_ends_the_connection() {
    assert_eq!(
        feed(&mut server(), &request("deploy", "ssh-connection", "none")).0,
        Err(AuthError::Unexpected(50)),
        "before the service request"
    );
    let other = AuthError::UnknownService("ssh-connection".to_owned());
    assert_eq!(
        feed(&mut server(), &service_request("ssh-connection")).0,
        Err(other)
    );
    assert_eq!(feed(&mut server(), &[]).0, Err(AuthError::Malformed));

    let mut server = started_server();
    for number in [51, 52, 60, 61, 80, 90, 94] {
        let packet = [vec![number], string(b"ssh-userauth")].concat();
        assert_eq!(
            feed(&mut server, &packet).0,
            Err(AuthError::Unexpected(number))
        );
    }
    feed(&mut server, &request("deploy", "ssh-connection", "none"))
        .0
        .unwrap();
    assert_eq!(
        feed(&mut server, &request("root", "ssh-connection", "none")).0,
        Err(AuthError::UserChanged)
    );
    assert_eq!(
        feed(&mut server, &request("deploy", "x", "none")).0,
        Err(AuthError::UnknownService("x".to_owned()))
    );
    let trailing = [attempt(&ed25519(), |_| {}), vec![0]].concat();
    assert_eq!(feed(&mut server, &trailing).0, Err(AuthError::Malformed));
}

/// paramiko asks for the service before each attempt.
#[test]
fn the_service_may_be_asked_for_again_until_success() {
    let key = ed25519();
    let blob = p256().public_key().to_bytes().unwrap();
    let other = message::public_key_request("deploy", "ecdsa-sha2-nistp256", &blob, None, false);
    let mut server = server();
    for _ in 0..2 {
        let (event, out) = feed(&mut server, &service_request("ssh-userauth"));
        assert_eq!(event, Ok(ServerAuthEvent::Nothing));
        assert_eq!(out, [message::service(6)]);
        feed(&mut server, &other).0.unwrap();
        server.reject(None, &mut Vec::new());
    }
    assert_eq!(
        feed(&mut server, &service_request("ssh-connection")).0,
        Err(AuthError::UnknownService("ssh-connection".to_owned()))
    );
    feed(&mut server, &service_request("ssh-userauth"))
        .0
        .unwrap();
    feed(&mut server, &attempt(&key, |_| {})).0.unwrap();
    server.accept(&mut Vec::new());
    assert_eq!(
        feed(&mut server, &service_request("ssh-userauth")).0,
        Err(AuthError::Finished)
    );

    let mut server = started_server();
    let asked = (0..2000).find(|_| {
        feed(&mut server, &service_request("ssh-userauth")).0 == Err(AuthError::TooManyAttempts)
    });
    assert_eq!(asked, Some(1023), "bounded");
}

/// Such a key fits no signature; what is told is its size, also if nothing was asked before.
#[test]
fn a_signature_of_a_key_that_is_too_short_is_refused_for_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", "small"];
    let mut command = std::process::Command::new("ssh-keygen");
    command.args(args).current_dir(directory.path());
    assert!(command.status().unwrap().success());
    let key = PrivateKey::read_openssh_file(directory.path().join("small")).unwrap();
    let cert = CertSpec::user(&key).sign(&ed25519()).to_bytes().unwrap();
    let name = "rsa-sha2-512-cert-v01@openssh.com";
    let mut request = message::public_key_request("deploy", name, &cert, None, true);
    message::put_string(&mut request, b"any");
    let (event, _) = feed(&mut started_server(), &request);
    assert_eq!(refusal(event), OfferError::ShortKey(1024));
}

#[test]
fn security_keys_must_be_touched_and_verified_where_the_ca_says_so() {
    const TOUCHED: u8 = 1;
    const VERIFIED: u8 = 4;
    let token = ed25519();
    let key = KeyData::from(SkEd25519::new(
        token.public_key().key_data().ed25519().copied().unwrap(),
        "ssh:",
    ));
    let certified = |change: fn(&mut CertSpec)| {
        let spec = CertSpec::user(&token)
            .with(|c| c.key = key.clone())
            .with(change);
        spec.sign(&ed25519()).to_bytes().unwrap()
    };
    let cert = certified(|_| {});
    let no_touch = certified(|c| c.extensions.insert(0, "no-touch-required".to_owned()));
    let verify = certified(|c| {
        c.critical = vec![("verify-required".to_owned(), String::new())];
    });
    let plain = key.encode_vec().unwrap();
    let table = [
        (&plain, TOUCHED, None),
        (&plain, 0, Some(OfferError::NoTouch)),
        (&cert, TOUCHED, None),
        (&cert, 0, Some(OfferError::NoTouch)),
        (&no_touch, 0, None),
        (&verify, TOUCHED, Some(OfferError::NotVerified)),
        (&verify, TOUCHED | VERIFIED, None),
        (&verify, VERIFIED, Some(OfferError::NoTouch)),
    ];
    for (blob, flags, refused) in table {
        let name = if *blob == plain {
            Algorithm::SkEd25519.as_str().to_owned()
        } else {
            Algorithm::SkEd25519.to_certificate_type()
        };
        let mut request = message::public_key_request("deploy", &name, blob, None, true);
        let data = message::signed_data(SESSION, &request);
        let signature = sign_like_a_token(&token, flags, &data);
        message::put_string(&mut request, &signature);
        let (event, _) = feed(&mut started_server(), &request);
        match refused {
            None => assert!(
                matches!(event, Ok(ServerAuthEvent::Attempt(..))),
                "{event:?}"
            ),
            Some(reason) => assert_eq!(refusal(event), reason),
        }
    }
}

/// PROTOCOL.u2f: the token signs hashes of the application and the message, flags and a counter.
fn sign_like_a_token(token: &PrivateKey, flags: u8, data: &[u8]) -> Vec<u8> {
    let trailer = [flags, 0, 0, 0, 9];
    let hash = HashAlg::Sha256;
    let signed = [hash.digest(b"ssh:"), trailer.to_vec(), hash.digest(data)].concat();
    let raw: Signature = token.key_data().try_sign(&signed).unwrap();
    let name = string(Algorithm::SkEd25519.as_str().as_bytes());
    [name, string(raw.as_bytes()), trailer.to_vec()].concat()
}

proptest! {
    #[test]
    fn no_bytes_upset_the_server(packets in proptest::collection::vec(hostile_packet(), 0..8)) {
        let mut server = started_server();
        for packet in packets {
            let (event, mut out) = feed(&mut server, &packet);
            prop_assert!(!matches!(event, Ok(ServerAuthEvent::Attempt(..))));
            server.accept(&mut out);
            prop_assert!(out.iter().all(|p| p.first() != Some(&52)));
        }
    }

    #[test]
    fn a_damaged_attempt_is_never_accepted(at in any::<proptest::sample::Index>(), mask in 1..=255_u8) {
        let mut packet = attempt(&ed25519(), |a| a.host_key = Some(HOST_KEY.to_vec()));
        let at = at.index(packet.len());
        // Any other value of the boolean than 0 is the same "true", and signs as "true".
        let boolean = 1 + 4 + 6 + 4 + 14 + 4 + 35;
        prop_assume!(at != boolean);
        packet[at] ^= mask;
        let (event, _) = feed(&mut started_server(), &packet);
        prop_assert!(!matches!(event, Ok(ServerAuthEvent::Attempt(..))));
    }
}

/// A public key request with a signature made over whatever `signed` says.
pub(super) fn attempt(key: &PrivateKey, change: impl FnOnce(&mut Attempt)) -> Vec<u8> {
    let mut attempt = Attempt {
        user: "deploy".to_owned(),
        session: SESSION.to_vec(),
        algorithm: key.algorithm().as_str().to_owned(),
        signed_algorithm: None,
        blob: key.public_key().to_bytes().unwrap(),
        host_key: None,
    };
    change(&mut attempt);
    let Attempt {
        user,
        session,
        algorithm,
        signed_algorithm,
        blob,
        host_key,
    } = attempt;
    let host_key = host_key.as_deref();
    let signed_name = signed_algorithm.as_ref().unwrap_or(&algorithm);
    let signed = message::public_key_request(&user, signed_name, &blob, host_key, true);
    let signature = sign(key, &algorithm, &message::signed_data(&session, &signed));
    let mut request = message::public_key_request("deploy", &algorithm, &blob, host_key, true);
    message::put_string(&mut request, &signature);
    request
}

pub(super) struct Attempt {
    pub(super) user: String,
    session: Vec<u8>,
    algorithm: String,
    signed_algorithm: Option<String>,
    blob: Vec<u8>,
    host_key: Option<Vec<u8>>,
}

fn refusal(event: Result<ServerAuthEvent, AuthError>) -> OfferError {
    match event {
        Ok(ServerAuthEvent::Refused { user, reason, .. }) => {
            assert_eq!(user, "deploy");
            reason
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// Replaces the first `count` occurrences of `from`.
fn replace(bytes: &[u8], from: &[u8], to: &[u8], count: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..count {
        if let Some(at) = out.windows(from.len()).position(|w| w == from) {
            out.splice(at..at + from.len(), to.iter().copied());
        }
    }
    out
}
