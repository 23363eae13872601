//! The codec against a real ssh-agent and against arbitrary bytes.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ::signature::{Signer as _, Verifier as _};
use proptest::prelude::*;
use ssh_encoding::Encode as _;
use ssh_key::{LineEnding, PrivateKey, Signature};
use tempfile::TempDir;

use super::*;
use crate::cert::SignatureError;
use crate::cert::testing::{CertSpec, KEY_TYPES, ed25519, keys};
use crate::wire::auth::{AuthError, ClientAuth, ClientAuthEvent, certificate_algorithms};

/// A real ssh-agent in a directory of its own; it ends with the test.
struct LocalAgent {
    dir: TempDir,
    child: Child,
    stream: UnixStream,
    decoder: ReplyDecoder,
}

impl LocalAgent {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let mut child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh-agent is missing: install the package openssh-client");
        let deadline = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => {
                    child.kill().unwrap();
                    panic!("ssh-agent does not listen: {error}");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self {
            dir,
            child,
            stream,
            decoder: ReplyDecoder::default(),
        }
    }

    fn write_key(&self, name: &str, key: &PrivateKey) {
        let path = self.dir.path().join(name);
        write(&path, &key.to_openssh(LineEnding::LF).unwrap());
    }

    fn add(&self, args: &[&str]) {
        let output = Command::new("ssh-add")
            .args(args)
            .current_dir(self.dir.path())
            .env("SSH_AUTH_SOCK", self.dir.path().join("agent"))
            .output()
            .unwrap();
        assert!(output.status.success(), "ssh-add {args:?}: {output:?}");
    }

    fn ask(&mut self, request: &[u8]) -> AgentReply {
        self.stream.write_all(request).unwrap();
        loop {
            if let Some(reply) = self.decoder.next_reply().unwrap() {
                return reply;
            }
            let mut chunk = [0; 100];
            let length = match self.stream.read(&mut chunk) {
                // A signal ends a read that has a time limit.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other.unwrap(),
            };
            assert_ne!(length, 0, "ssh-agent hung up");
            self.decoder.feed(&chunk[..length]).unwrap();
        }
    }
}

impl Drop for LocalAgent {
    fn drop(&mut self) {
        // It may have died by itself, which its test has then noticed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn write(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What is added is listed, signs, and is gone when its time is over.
#[test]
fn a_real_agent_takes_a_key_and_its_certificate_for_a_time() {
    let mut agent = LocalAgent::start();
    let key = ed25519();
    let pair = key.key_data().ed25519().unwrap().to_bytes();
    let cert = CertSpec::user(&key).sign(&ed25519());
    let blobs = [
        cert.to_bytes().unwrap(),
        key.public_key().to_bytes().unwrap(),
    ];
    for certificate in [Some(blobs[0].as_slice()), None] {
        let request = add_identity(&pair, certificate, "for a time", 600);
        // Its first bytes are its length.
        assert_eq!(
            request.len(),
            4 + u32::from_be_bytes(*request.first_chunk().unwrap()) as usize
        );
        assert_eq!(expect_success(agent.ask(&request)), Ok(()));
    }
    let listed = expect_identities(agent.ask(&request_identities())).unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|one| (&one.blob, &*one.comment))
        .collect();
    assert_eq!(
        listed,
        [(&blobs[0], "for a time"), (&blobs[1], "for a time")]
    );
    for blob in &blobs {
        let signed = agent.ask(&sign_request(blob, b"data", SignFlags::NONE));
        let signed = expect_signature(signed).unwrap();
        let signature = Signature::try_from(signed.as_slice()).unwrap();
        key.public_key()
            .key_data()
            .verify(b"data", &signature)
            .unwrap();
    }
    // A lifetime is one: this one is over at once.
    let request = add_identity(
        &ed25519().key_data().ed25519().unwrap().to_bytes(),
        None,
        "",
        1,
    );
    assert_eq!(expect_success(agent.ask(&request)), Ok(()));
    let begun = Instant::now();
    while expect_identities(agent.ask(&request_identities()))
        .unwrap()
        .len()
        > 2
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "it stays");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_real_agent_lists_and_signs_with_keys_and_certificates() {
    let mut agent = LocalAgent::start();
    let none = agent.ask(&request_identities());
    assert_eq!(expect_identities(none), Ok(Vec::new()));

    let ca = ed25519();
    for (key, (kind, bits)) in keys().iter().zip(KEY_TYPES) {
        let name = format!("{kind}{bits}");
        agent.write_key(&name, key);
        let cert = CertSpec::user(key).sign(&ca);
        let cert_file = agent.dir.path().join(format!("{name}-cert.pub"));
        write(&cert_file, &cert.to_openssh().unwrap());
        agent.add(&["-q", &name]);
        let blobs = [
            key.public_key().to_bytes().unwrap(),
            cert.to_bytes().unwrap(),
        ];

        let listed = expect_identities(agent.ask(&request_identities())).unwrap();
        for blob in &blobs {
            let found = listed.iter().find(|identity| identity.blob == *blob);
            assert_eq!(found.unwrap().comment, name);
        }

        let flags = match kind {
            "rsa" => vec![
                (SignFlags::RSA_SHA2_256, "rsa-sha2-256"),
                (
                    SignFlags::for_algorithm("rsa-sha2-512-cert-v01@openssh.com"),
                    "rsa-sha2-512",
                ),
            ],
            _ => vec![(SignFlags::NONE, "")],
        };
        for (blob, (flags, algorithm)) in
            blobs.iter().flat_map(|b| flags.iter().map(move |f| (b, f)))
        {
            let request = sign_request(blob, b"what is signed", *flags);
            let signature = expect_signature(agent.ask(&request)).unwrap();
            let signature = Signature::try_from(signature.as_slice()).unwrap();
            key.public_key()
                .key_data()
                .verify(b"what is signed", &signature)
                .unwrap();
            assert!(algorithm.is_empty() || signature.algorithm().as_str() == *algorithm);
        }
    }

    let unknown = ed25519().public_key().to_bytes().unwrap();
    let refused = agent.ask(&sign_request(&unknown, b"x", SignFlags::NONE));
    assert_eq!(expect_signature(refused), Err(AgentError::Refused));
}

/// `ssh-add -h` makes the agent check the session binding and read the request that it signs, so
/// this holds both against OpenSSH.
#[test]
fn a_destination_constrained_key_signs_for_its_destination_only() {
    let mut agent = LocalAgent::start();
    let (key, host, other_host) = (ed25519(), ed25519(), ed25519());
    agent.write_key("key", &key);
    let host_line = |name: &str, host: &PrivateKey| {
        format!("{name} {}\n", host.public_key().to_openssh().unwrap())
    };
    let known_hosts = host_line("db1", &host) + &host_line("db2", &other_host);
    write(&agent.dir.path().join("known_hosts"), &known_hosts);
    agent.add(&["-q", "-H", "known_hosts", "-h", "db1", "key"]);

    let session_id = [7_u8; 32];
    let host_blob = host.public_key().to_bytes().unwrap();
    let sign = |agent: &mut LocalAgent, bound_to: &PrivateKey| {
        let bound_to = bound_to.public_key().to_bytes().unwrap();
        let blob = key.public_key().to_bytes().unwrap();
        let mut client = ClientAuth::new(
            session_id.to_vec(),
            "deploy",
            "ssh-ed25519",
            blob.clone(),
            Some(bound_to),
        );
        let data = data_to_sign(&mut client, "ssh-ed25519", &blob);
        let reply = agent.ask(&sign_request(&blob, &data, SignFlags::NONE));
        expect_signature(reply).map(|signature| client.signed(&signature, &mut Vec::new()).unwrap())
    };
    assert_eq!(
        sign(&mut agent, &host),
        Err(AgentError::Refused),
        "not bound yet"
    );

    let forged = sign_session(&other_host, &session_id);
    let bind = session_bind(&host_blob, &session_id, &forged, false);
    assert_eq!(expect_success(agent.ask(&bind)), Err(AgentError::Refused));

    let signature = sign_session(&host, &session_id);
    let bind = session_bind(&host_blob, &session_id, &signature, false);
    assert_eq!(expect_success(agent.ask(&bind)), Ok(()));
    assert_eq!(sign(&mut agent, &host), Ok(()));
    assert_eq!(sign(&mut agent, &other_host), Err(AgentError::Refused));
}

/// For a host that takes nothing but SHA-1: flags 0, and only what was asked for counts.
#[test]
fn a_real_agent_signs_with_sha1_where_the_algorithm_says_so() {
    let mut agent = LocalAgent::start();
    let (rsa, other) = (&keys()[4], ed25519());
    let cert = CertSpec::user(rsa).sign(&other);
    agent.write_key("rsa", rsa);
    write(
        &agent.dir.path().join("rsa-cert.pub"),
        &cert.to_openssh().unwrap(),
    );
    agent.add(&["-q", "rsa"]);
    let algorithm = certificate_algorithms(&cert, None, true);
    assert_eq!(algorithm, "ssh-rsa-cert-v01@openssh.com");
    let blob = cert.to_bytes().unwrap();
    let mut signed = |flags: SignFlags, change: usize| {
        let mut client = ClientAuth::new(vec![7; 32], "deploy", &algorithm, blob.clone(), None);
        let data = data_to_sign(&mut client, &algorithm, &blob);
        let reply = agent.ask(&sign_request(&blob, &data, flags));
        let mut signature = expect_signature(reply).unwrap();
        let last = signature.len() - 1;
        signature[last - change] ^= u8::from(change > 0);
        let mut out = Vec::new();
        let result = client.signed(&signature, &mut out);
        assert_eq!(result.is_ok(), !out.is_empty(), "only a good one is sent");
        result
    };
    let flags = SignFlags::for_algorithm(&algorithm);
    assert_eq!(flags, SignFlags::NONE);
    assert_eq!(signed(flags, 0), Ok(()));
    let forged = signed(flags, 3);
    assert_eq!(
        forged,
        Err(AuthError::WrongSignature(SignatureError::Wrong))
    );
    let better = signed(SignFlags::RSA_SHA2_256, 0);
    assert_eq!(better, Err(AuthError::WrongSignatureFormat(algorithm)));
}

fn sign_session(host: &PrivateKey, session_id: &[u8]) -> Vec<u8> {
    let signature: Signature = host.key_data().try_sign(session_id).unwrap();
    signature.encode_vec().unwrap()
}

/// Leads a client up to the data that it wants signed, as a server would.
fn data_to_sign(client: &mut ClientAuth, algorithm: &str, blob: &[u8]) -> Vec<u8> {
    let string = crate::cert::testing::string;
    let mut out = Vec::new();
    client.start(&mut out);
    let accept = [vec![6], string(b"ssh-userauth")].concat();
    client.on_packet(&accept, &mut out).unwrap();
    let ok = [vec![60], string(algorithm.as_bytes()), string(blob)].concat();
    match client.on_packet(&ok, &mut out).unwrap() {
        ClientAuthEvent::Sign { data } => data,
        other => panic!("nothing to sign: {other:?}"),
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    crate::cert::testing::string(message)
}

fn decode(bytes: &[u8]) -> Result<Option<AgentReply>, AgentError> {
    let mut decoder = ReplyDecoder::default();
    decoder.feed(bytes)?;
    decoder.next_reply()
}

#[test]
fn impossible_replies_are_refused() {
    let too_long = u32::try_from(MAX_REPLY + 1).unwrap().to_be_bytes();
    assert_eq!(decode(&too_long), Err(AgentError::TooLong));
    assert_eq!(decode(&framed(&[])), Err(AgentError::Malformed));
    assert_eq!(decode(&framed(&[5, 0])), Err(AgentError::Malformed));
    assert_eq!(decode(&framed(&[99])), Err(AgentError::UnknownType(99)));
    assert_eq!(
        decode(&framed(&[12, 0, 0, 0, 1])),
        Err(AgentError::Malformed)
    );
    assert_eq!(
        decode(&framed(&[12, 0xff, 0xff, 0xff, 0xff])),
        Err(AgentError::TooManyIdentities(u32::MAX))
    );
    assert_eq!(
        decode(&framed(&[14, 0, 0, 0, 9, 1])),
        Err(AgentError::Malformed)
    );
    assert_eq!(decode(&framed(&[30])), Ok(Some(AgentReply::Failure)));
}

#[test]
fn unsolicited_bytes_do_not_pile_up() {
    let mut decoder = ReplyDecoder::default();
    let chunk = vec![0; 64 * 1024];
    let refused = (0..100).find(|_| decoder.feed(&chunk).is_err());
    assert_eq!(refused, Some(5));
}

#[test]
fn replies_to_another_question_are_refused() {
    let signature = AgentReply::Signature(vec![1]);
    let identities = AgentReply::Identities(Vec::new());
    assert_eq!(
        expect_identities(signature.clone()),
        Err(AgentError::WrongReply)
    );
    assert_eq!(expect_signature(identities), Err(AgentError::WrongReply));
    assert_eq!(
        expect_signature(AgentReply::Success),
        Err(AgentError::WrongReply)
    );
    assert_eq!(expect_success(signature), Err(AgentError::WrongReply));
    assert_eq!(
        expect_success(AgentReply::ExtensionFailure),
        Err(AgentError::Refused)
    );
}

#[test]
fn comments_that_are_not_utf8_are_kept_readable() {
    let body = [&[12, 0, 0, 0, 1][..], &framed(b"key"), &framed(b"a\xffb")].concat();
    let Ok(Some(AgentReply::Identities(identities))) = decode(&framed(&body)) else {
        panic!("not a list");
    };
    assert_eq!(identities[0].comment, "a\u{fffd}b");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..16)) {
        let mut decoder = ReplyDecoder::default();
        for chunk in chunks {
            if decoder.feed(&chunk).is_err() {
                break;
            }
            while let Ok(Some(_)) = decoder.next_reply() {}
        }
    }

    #[test]
    fn any_message_is_survived(kind in prop_oneof![Just(12_u8), Just(14), Just(5), any::<u8>()], body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let message = [&[kind], body.as_slice()].concat();
        let direct = AgentReply::parse(&message).map(Some);
        prop_assert_eq!(decode(&framed(&message)), direct);
    }

    #[test]
    fn replies_survive_any_cut(identities in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..50), ".{0,20}"), 0..8), cut in 1..40_usize) {
        let count = u32::try_from(identities.len()).unwrap();
        let mut body = vec![12];
        body.extend(count.to_be_bytes());
        for (blob, comment) in &identities {
            body.extend(framed(blob));
            body.extend(framed(comment.as_bytes()));
        }
        let stream = [framed(&body), framed(&[6])].concat();
        let mut decoder = ReplyDecoder::default();
        let mut replies = Vec::new();
        for chunk in stream.chunks(cut) {
            decoder.feed(chunk).unwrap();
            while let Some(reply) = decoder.next_reply().unwrap() {
                replies.push(reply);
            }
        }
        let expected = identities
            .into_iter()
            .map(|(blob, comment)| AgentIdentity { blob, comment })
            .collect();
        prop_assert_eq!(replies, vec![AgentReply::Identities(expected), AgentReply::Success]);
    }
}
