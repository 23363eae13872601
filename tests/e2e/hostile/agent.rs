//! Hostile and slow agents, forwarded by an honest `ssh` that itself uses another agent: rproxy
//! closes the connection of each in time, with a message for its user, and frees its memory.

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use signature::Signer;
use ssh_encoding::Encode;
use ssh_key::{Algorithm, Certificate, PrivateKey};

use crate::jump;
use crate::support::agent_messages::{
    EXTENSION, EXTENSION_RESPONSE, FAILURE, REQUEST_IDENTITIES, SIGN_REQUEST, SIGN_RESPONSE,
    SUCCESS, framed, listing, read_message, signed_data,
};
use crate::support::client::Live;
use crate::support::hostile::string;
use crate::support::recordings::text;
use crate::support::{World, keys, programs};

use super::Bystander;

/// How long the proxy waits for an agent in these worlds.
const GRACE: &str = "login_grace_time: 20s";

/// What an agent does at one request. It answers all other requests correctly.
#[derive(Clone, Copy, Debug)]
enum Does {
    Nothing,
    HangsUp,
    /// The first half of a correct answer.
    HangsUpInTheMiddle,
    /// A correct answer, one byte per second.
    Dawdles,
    /// These bytes.
    Says(&'static [u8]),
    /// 10,000 identities in one answer.
    ListsACrowd,
    /// 2,000 identities that the test does not need, and the right one.
    ListsMany,
    /// Answers without end.
    Floods,
    Refuses,
    /// Refuses the extension, although it lists it among the extensions that it supports.
    RefusesToBeBound,
    /// A valid signature by another key.
    SignsWithAnotherKey,
    /// A valid signature over other data.
    SignsSomethingElse,
    /// A valid signature with the name of another algorithm.
    NamesAnotherAlgorithm,
    /// Answers correctly.
    IsHonest,
}

/// One agent: at which request it misbehaves, how, the message to its user, and the reason in the
/// audit log.
struct Case {
    at: u8,
    does: Does,
    says: &'static str,
    reason: &'static str,
}

const fn case(at: u8, does: Does, says: &'static str, reason: &'static str) -> Case {
    Case {
        at,
        does,
        says,
        reason,
    }
}

const CASES: &[Case] = &[
    case(
        REQUEST_IDENTITIES,
        Does::Nothing,
        "agent has not",
        "agent-timeout",
    ),
    case(EXTENSION, Does::Nothing, "agent has not", "agent-timeout"),
    case(
        SIGN_REQUEST,
        Does::Nothing,
        "agent has not",
        "agent-timeout",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::Dawdles,
        "agent has not",
        "agent-timeout",
    ),
    case(
        SIGN_REQUEST,
        Does::Dawdles,
        "agent has not",
        "agent-timeout",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::HangsUp,
        "closed its channel",
        "agent-failed",
    ),
    case(
        EXTENSION,
        Does::HangsUp,
        "closed its channel",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::HangsUp,
        "closed its channel",
        "agent-failed",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::HangsUpInTheMiddle,
        "closed its channel",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::HangsUpInTheMiddle,
        "closed its channel",
        "agent-failed",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::Says(b"\0\0\0\x05ninth"),
        "unknown type 110",
        "agent-failed",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::Says(b"\0\0\0\x05\x0c\xff\xff\xff\xff"),
        "at most 2048",
        "agent-failed",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::Says(b"\0\0\0\x05\x0c\0\0\0\x01"),
        "malformed",
        "agent-failed",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::Says(b"\0\0\0\0"),
        "malformed",
        "agent-failed",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::Says(b"\x7f\xff\xff\xff\x0c"),
        "too long",
        "agent-failed",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::Says(b"\0\0\0\x01\x06"),
        "does not answer the request",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::Says(b"\0\0\0\x01\x06"),
        "does not answer the request",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::Says(b"\0\0\0\x05\x0c\0\0\0\0"),
        "does not answer the request",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::Says(b"\0\0\0\x05\x0e\0\0\0\0"),
        "something other than a signature",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::Says(b"\0\x04\0\x01\x0e"),
        "too long",
        "agent-failed",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::ListsACrowd,
        "the agent lists 10000 identities, at most 2048",
        "agent-failed",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::Floods,
        "forwarded agent",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::Floods,
        "refused to sign",
        "agent-refused",
    ),
    case(
        REQUEST_IDENTITIES,
        Does::Refuses,
        "forwarded agent",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::Refuses,
        "refused to sign",
        "agent-refused",
    ),
    // The agent supports the extension, and fails it.
    case(
        EXTENSION,
        Does::Says(b"\0\0\0\x01\x1c"),
        "refused to be bound",
        "agent-unbound",
    ),
    case(
        EXTENSION,
        Does::RefusesToBeBound,
        "refused to be bound",
        "agent-unbound",
    ),
    case(
        EXTENSION,
        Does::Says(b"\0\0\0\x05\x0c\0\0\0\0"),
        "does not answer the request",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::SignsWithAnotherKey,
        "does not verify",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::SignsSomethingElse,
        "does not verify",
        "agent-failed",
    ),
    case(
        SIGN_REQUEST,
        Does::NamesAnotherAlgorithm,
        "something other than a signature",
        "agent-failed",
    ),
];

/// Unusual answers that work.
const HARMLESS: &[Case] = &[
    case(0, Does::IsHonest, "", ""),
    case(REQUEST_IDENTITIES, Does::ListsMany, "", ""),
    // An agent that supports no extensions holds no keys that need them.
    case(EXTENSION, Does::Refuses, "", ""),
];

/// An agent that holds one key and its certificate.
struct Liar {
    key: PrivateKey,
    certificate: Vec<u8>,
    at: u8,
    does: Does,
}

impl Liar {
    /// Serves every connection to a new socket; it ends with the test's process.
    fn start(world: &World, name: &str, case: &Case) -> String {
        let path = world.dir().join(format!("{name}.sock"));
        let listener = UnixListener::bind(&path).expect("a short path");
        let certificate = keys::with_suffix(&world.user.key, "-cert.pub");
        let certificate = Certificate::read_file(&certificate).expect("a certificate");
        let liar = Arc::new(Self {
            key: PrivateKey::read_openssh_file(&world.user.key).expect("a key"),
            certificate: certificate.to_bytes().expect("a certificate has bytes"),
            at: case.at,
            does: case.does,
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let liar = Arc::clone(&liar);
                std::thread::spawn(move || stream.map(|stream| liar.serve(stream)));
            }
        });
        path.display().to_string()
    }

    /// Answers until one side closes the connection.
    fn serve(&self, mut stream: UnixStream) {
        // `ssh` first binds the agent that it forwards to its own session, and waits for the
        // answer.
        let mut is_bound = false;
        while let Some(request) = read_message(&mut stream) {
            let honest = self.answer(&request);
            let is_of_ssh = request[0] == EXTENSION && !is_bound;
            is_bound |= is_of_ssh;
            let misbehaves = request[0] == self.at && !is_of_ssh;
            let goes_on = if misbehaves {
                self.misbehave(&mut stream, &request, &honest)
            } else {
                stream.write_all(&framed(&honest)).is_ok()
            };
            if !goes_on {
                return;
            }
        }
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        match request[0] {
            REQUEST_IDENTITIES => listing(&[&self.certificate]),
            SIGN_REQUEST => self.signature(&self.key, &signed_data(request)),
            EXTENSION => vec![SUCCESS],
            _ => vec![FAILURE],
        }
    }

    fn signature(&self, key: &PrivateKey, data: &[u8]) -> Vec<u8> {
        let signature: ssh_key::Signature = key.try_sign(data).expect("a key that can sign");
        let blob = signature.encode_vec().expect("a signature has bytes");
        [vec![SIGN_RESPONSE], string(&blob)].concat()
    }

    /// `false` to close the connection.
    fn misbehave(&self, stream: &mut UnixStream, request: &[u8], honest: &[u8]) -> bool {
        let whole = framed(honest);
        let answer = match self.does {
            // In the end the proxy closes the connection.
            Does::Nothing => return read_message(stream).is_some(),
            Does::HangsUp => return false,
            Does::HangsUpInTheMiddle => {
                let _gone = stream.write_all(&whole[..whole.len() / 2]);
                return false;
            }
            Does::Dawdles => {
                return whole.iter().all(|byte| {
                    std::thread::sleep(Duration::from_secs(1));
                    stream.write_all(&[*byte]).is_ok()
                });
            }
            Does::Floods => {
                while stream.write_all(&framed(&[FAILURE]).repeat(1000)).is_ok() {}
                return false;
            }
            Does::Says(bytes) => bytes.to_vec(),
            Does::ListsACrowd => framed(&listing(&vec![&self.certificate[..8]; 10_000])),
            Does::ListsMany => {
                let mut many = vec![&self.certificate[..20]; 2000];
                many.push(&self.certificate);
                framed(&listing(&many))
            }
            Does::Refuses => framed(&[FAILURE]),
            // RFC 9987, 3.8.1
            Does::RefusesToBeBound if request.ends_with(&string(b"query")) => framed(
                &[
                    vec![EXTENSION_RESPONSE],
                    string(b"query"),
                    string(b"session-bind@openssh.com"),
                ]
                .concat(),
            ),
            Does::RefusesToBeBound => framed(&[FAILURE]),
            Does::SignsWithAnotherKey => {
                let other = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519);
                let other = other.expect("a new key");
                framed(&self.signature(&other, &signed_data(request)))
            }
            Does::SignsSomethingElse => framed(&self.signature(&self.key, b"something else")),
            Does::NamesAnotherAlgorithm => {
                let blob = [string(b"rsa-sha2-512"), string(&[1; 64])].concat();
                framed(&[vec![SIGN_RESPONSE], string(&blob)].concat())
            }
            Does::IsHonest => whole,
        };
        stream.write_all(&answer).is_ok()
    }
}

/// With ProxyCommand, the outer `ssh` forwards the agent.
fn by_command(world: &World, name: &str, agent: &str) -> Live {
    let outer = world.dir().join(format!("{name}.outer"));
    let file = |name: &str| fs::read_to_string(world.dir().join(name)).expect("it is there");
    let honest = file("outer");
    let forwarding = format!("ForwardAgent {agent}\n");
    let changed = honest.replace("ForwardAgent yes\n", &forwarding);
    assert_ne!(honest, changed);
    fs::write(&outer, changed).expect("a writable directory");
    let inner = world.dir().join(format!("{name}.inner"));
    let usual = world.dir().join("outer").display().to_string();
    let changed = file("inner").replace(&usual, &outer.display().to_string());
    fs::write(&inner, changed).expect("a writable directory");
    let ssh = world.program("ssh").arg("-F").arg(&inner);
    ssh.args(["db1", "echo in"]).start()
}

/// With ProxyJump, the inner `ssh` forwards it.
fn by_jump(world: &World, name: &str, agent: &str) -> Live {
    let usual = fs::read_to_string(jump::config(world)).expect("it is there");
    let config = world.dir().join(format!("{name}.jump"));
    let text = format!("Host db*\nForwardAgent {agent}\n{usual}");
    fs::write(&config, text).expect("a writable directory");
    let ssh = world
        .program_at(&programs::path("ssh"))
        .arg("-F")
        .arg(&config);
    ssh.args(["db1", "echo in"]).start()
}

/// Runs all cases at the same time, and checks how each ends.
fn try_all(way: fn(&World, &str, &str) -> Live) {
    let world = World::with().proxy_setting(GRACE).start();
    let all = CASES.iter().chain(HARMLESS);
    let running: Vec<(&Case, Live)> = all
        .enumerate()
        .map(|(number, case)| {
            let name = format!("a{number}");
            let agent = Liar::start(&world, &name, case);
            (case, way(&world, &name, &agent))
        })
        .collect();
    let mut expected = Vec::new();
    // A connection that the proxy does not time out lasts until the test's time limit.
    for (case, live) in running {
        let what = format!("{} at {}", format_args!("{:?}", case.does), case.at);
        let outcome = live.finish();
        if case.reason.is_empty() {
            assert_eq!(outcome.code(), 0, "{what}: {}", outcome.stderr);
            assert_eq!(outcome.text(), "in\n", "{what}");
            continue;
        }
        assert_eq!(outcome.code(), 255, "{what}: {}", outcome.stderr);
        assert_eq!(outcome.text(), "", "{what}");
        for said in ["rproxy: client: ", case.says, "hint: "] {
            assert!(
                outcome.stderr.contains(said),
                "{what}, no {said:?}: {}",
                outcome.stderr
            );
        }
        expected.push(case.reason);
    }
    let mut audited: Vec<String> = world
        .eventually("every refusal is audited", || {
            let refusals = world.refusals_so_far();
            (refusals.len() >= expected.len()).then_some(refusals)
        })
        .iter()
        .inspect(|event| assert_eq!(text(event, "leg"), "client", "{event:#}"))
        .map(|event| text(event, "reason").to_owned())
        .collect();
    audited.sort_unstable();
    expected.sort_unstable();
    assert_eq!(audited, expected);
    assert_eq!(world.recordings().len(), HARMLESS.len());
    // No connection to the host is left, and the host has accepted no other logins.
    world.eventually("the host is left alone", || {
        let log = world.node().log();
        let ways = [
            "Connection closed by",
            "Connection reset by",
            "Received disconnect from",
        ];
        let ended: usize = ways.iter().map(|way| log.matches(way).count()).sum();
        (ended >= world.node().connections()).then_some(())
    });
    let accepted = world.node().log().matches("Accepted publickey").count();
    assert_eq!(accepted, HARMLESS.len());
}

#[test]
fn agents_forwarded_to_the_proxy() {
    try_all(by_command);
}

#[test]
fn agents_forwarded_by_a_jump() {
    try_all(by_jump);
}

/// A session of another connection goes on meanwhile, and the proxy has freed its memory.
#[test]
fn agents_that_flood() {
    let world = World::with().proxy_setting(GRACE).start();
    let bystander = Bystander::start(&world);
    for (number, does) in [Does::Floods, Does::ListsACrowd, Does::ListsMany]
        .into_iter()
        .enumerate()
    {
        let name = format!("a{number}");
        let agent = Liar::start(&world, &name, &case(REQUEST_IDENTITIES, does, "", ""));
        let outcome = by_command(&world, &name, &agent).finish();
        let is_harmless = matches!(does, Does::ListsMany);
        assert_eq!(outcome.code() == 0, is_harmless, "{}", outcome.stderr);
    }
    bystander.unharmed();
}
