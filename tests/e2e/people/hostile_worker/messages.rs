//! Services that have something else to give, and messages that are none of a worker's.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rproxy::ipc::{
    BrowserQuestion, BrowserRequest, CallError, CallRefusal, FileAnswer, FilePurpose, FileRequest,
    MAX_MESSAGE, MessageSocket, SecretText, SigningAnswer, SigningRequest,
};
use ssh_key::PublicKey;
use ssh_key::certificate::{Builder, CertType};

use super::scene::{Scene, WorkerAttack};
use crate::support::taken_worker::{TakenWorker, new_key, refused};
use crate::support::{keys, programs};

const MALFORMED: (&str, &str) = ("call.refused", "malformed");
const NOT_SIGNED: (&str, &str) = ("call.refused", "not-signed");
const NOT_ALLOWED: (&str, &str) = ("call.refused", "not-allowed");

pub(super) const ATTACKS: &[WorkerAttack] = &[
    WorkerAttack {
        tries: "a user certificate from the service for host certificates",
        prepare: |_| {
            Box::new(|scene| {
                let (user, host) = (authority(scene, "user"), authority(scene, "host"));
                for (signer, named) in [(&user, &user), (&host, &host), (&host, &user)] {
                    let data = unsigned(CertType::User, 3_600, named);
                    is_not_signed(&scene.worker, signer, data);
                }
            })
        },
        leaves: NOT_SIGNED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a host certificate that outlives the attack",
        prepare: |_| {
            Box::new(|scene| {
                let host = authority(scene, "host");
                for seconds in [2 * 3_600, 365 * 86_400, u64::from(u32::MAX)] {
                    let data = unsigned(CertType::Host, seconds, &host);
                    is_not_signed(&scene.worker, &host, data);
                }
            })
        },
        leaves: NOT_SIGNED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a signature of something else by a CA's key",
        prepare: |_| {
            Box::new(|scene| {
                let host = authority(scene, "host");
                let file = b"SSHSIG\0\0\0\x04file\0\0\0\0\0\0\0\x06sha512".to_vec();
                for data in [file, Vec::new(), vec![0; 20_000]] {
                    is_not_signed(&scene.worker, &host, data);
                }
            })
        },
        leaves: NOT_SIGNED,
        gains: &[],
    },
    WorkerAttack {
        tries: "the state, the CAs' keys and other files",
        prepare: |_| {
            Box::new(|scene| {
                let data = scene.world.data();
                let crooked = data.join("recordings/../audit.jsonl");
                let files = [
                    "state.db",
                    "state.db-wal",
                    "issued.jsonl",
                    "ca/user_ca",
                    "ca/host_ca",
                ];
                let files = files.map(|name| data.join(name)).into_iter();
                let others = ["/etc/shadow", "/proc/self/mem", "/proc/1/environ", ""];
                let files = files.chain([crooked]).chain(others.map(Into::into));
                for file in files {
                    is_not_opened(&scene.worker, &file, FilePurpose::Read);
                    is_not_opened(&scene.worker, &file, FilePurpose::Append);
                }
                let config = scene.world.dir().join("rproxy.yaml");
                is_not_opened(&scene.worker, &config, FilePurpose::Append);
            })
        },
        leaves: NOT_ALLOWED,
        gains: &[],
    },
    WorkerAttack {
        tries: "the link of a browser, where there is no identity provider",
        prepare: |_| {
            Box::new(|scene| {
                let returned = BrowserQuestion::Returned {
                    state: SecretText::new("state".to_owned()),
                    code: Some(SecretText::new("code".to_owned())),
                    error: None,
                    iss: None,
                };
                let opened = BrowserQuestion::Open {
                    ticket: SecretText::new("ticket".to_owned()),
                };
                for ask in [opened, returned] {
                    let client = scene.address().ip();
                    let answer = scene.worker.call(&BrowserRequest { client, ask });
                    let forbidden = CallRefusal::Forbidden;
                    assert!(
                        matches!(&answer, Err(CallError::Refused(why)) if *why == forbidden),
                        "{answer:?}"
                    );
                }
            })
        },
        leaves: NOT_ALLOWED,
        gains: &[],
    },
    WorkerAttack {
        tries: "to tell which CAs all other workers trust",
        prepare: |_| {
            Box::new(|scene| {
                let own = new_key().public_key().to_openssh().expect("a key");
                let keys = format!(
                    "{{\"keys\":{{\"user\":[\"{own}\"],\"host\":[\"{own}\"],\"signs\":\"{own}\"}}}}"
                );
                assert!(scene.worker.say(keys.as_bytes(), &[]));
            })
        },
        leaves: NOT_ALLOWED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a call in the name of another process",
        prepare: |scene| {
            let client = scene.signed_in(&scene.person());
            let pid = scene.world.auth_pid();
            Box::new(move |scene| {
                let request = format!(
                    "\"request\":{{\"people\":{{\"connection\":\"{}\",\"client\":\"{}\",\"user\":\
                     \"{}x\",\"ask\":{{\"certificate\":{{\"login\":\"root\",\"target\":\"db1\"}}}}}}}}",
                    client.id, client.client, client.user
                );
                let from = format!("\"from\":{{\"kind\":\"worker\",\"pid\":{pid}}}");
                let (id, until) = ("\"id\":1", format!("\"deadline_ms\":{}", u64::MAX));
                // As the monitor passes it on: nobody understands it.
                let forged = format!("{{\"call\":{{{from},\"call\":{{{id},{until},{request}}}}}}}");
                assert_eq!(scene.worker.ask(&forged), "");
                // A call that says who makes it is one of the worker all the same.
                let claimed = format!("{{\"call\":{{{from},{id},{until},{request}}}}}");
                let answer = scene.worker.ask(&claimed);
                assert!(answer.contains("user-changed"), "{answer}");
            })
        },
        leaves: ("people.refused", "user-changed"),
        gains: &[],
    },
    WorkerAttack {
        tries: "the orders of the monitor",
        prepare: |_| {
            Box::new(|scene| {
                for order in [
                    "\"retire\"",
                    "\"end\"",
                    "\"drain\"",
                    "\"reload\"",
                    "\"ping\"",
                    "{\"start_auth\":{\"version\":4}}",
                    "{\"exited\":{\"kind\":\"worker\",\"pid\":1}}",
                ] {
                    assert_eq!(scene.worker.ask(order), "", "{order}");
                }
            })
        },
        leaves: MALFORMED,
        gains: &[],
    },
    WorkerAttack {
        tries: "what is no message, or one of no service",
        prepare: |_| {
            Box::new(|scene| {
                let deep = "[".repeat(60_000);
                let call = |request: &str| {
                    format!("{{\"call\":{{\"id\":1,\"deadline_ms\":1,\"request\":{request}}}}}")
                };
                for message in [
                    "nothing".to_owned(),
                    "\0\u{1}\u{2}".to_owned(),
                    deep,
                    "{\"call\":7}".to_owned(),
                    call("{\"secrets\":\"all\"}"),
                    call("{\"people\":{}}"),
                    call("{\"signing\":{\"sign\":{\"key\":\"\",\"data\":\"zz\"}}}"),
                ] {
                    assert_eq!(scene.worker.ask(&message), "");
                }
            })
        },
        leaves: MALFORMED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a message that is too long",
        prepare: |_| {
            Box::new(|scene| {
                scene.worker.shout(&vec![b'['; MAX_MESSAGE + 1]);
                // The monitor listens all the same.
                let checked = scene.worker.call(&SigningRequest::Check);
                assert!(matches!(checked, Ok((SigningAnswer::Key(Some(_)), _))));
            })
        },
        leaves: ("call.refused", "too-long"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a request that is longer than its service takes",
        prepare: |scene| {
            let client = scene.signed_in(&scene.person());
            Box::new(move |scene| {
                let (id, client, user) = (client.id, client.client, &client.user);
                let answer = "x".repeat(50_000);
                let answer = scene.worker.ask(&format!(
                    "{{\"call\":{{\"id\":1,\"deadline_ms\":{},\"request\":{{\"people\":{{\
                     \"connection\":\"{id}\",\"client\":\"{client}\",\"user\":\"{user}\",\
                     \"ask\":{{\"answer\":[\"{answer}\"]}}}}}}}}}}",
                    u64::MAX
                ));
                assert!(answer.ends_with("{\"refused\":\"forbidden\"}}"), "{answer}");
            })
        },
        leaves: MALFORMED,
        gains: &[],
    },
    WorkerAttack {
        tries: "calls whose answer hangs",
        prepare: |_| {
            Box::new(|scene| {
                let call = b"{\"call\":{\"id\":1,\"deadline_ms\":18446744073709551615,\
                    \"request\":{\"signing\":\"check\"}}}";
                let lingering = lingering();
                let file = std::fs::File::open("/dev/zero").expect("Linux");
                for answers in [lingering.as_fd(), file.as_fd()] {
                    assert!(scene.worker.say(call, &[answers]));
                }
                assert!(scene.worker.say(call, &[]), "without a socket");
                drop((lingering, file));
                // One that takes no more, and one that nobody reads.
                let (full, _unread) = MessageSocket::pair().expect("sockets");
                while full.send(&[0; 1_000], &[]).is_ok() {}
                assert!(scene.worker.say(call, &[full.as_fd()]));
                let (gone, closed) = MessageSocket::pair().expect("sockets");
                drop(gone);
                assert!(scene.worker.say(call, &[closed.as_fd()]));
                let checked = scene.worker.call(&SigningRequest::Check);
                assert!(matches!(checked, Ok((SigningAnswer::Key(Some(_)), _))));
            })
        },
        leaves: MALFORMED,
        gains: &[],
    },
];

/// The public key of one of the CAs.
fn authority(scene: &Scene, kind: &str) -> PublicKey {
    let kind = format!("--type={kind}");
    let exported = keys::tool(scene.world.rproxy().args(["auth", "export", &kind]));
    let line = exported.lines().next().unwrap_or_default();
    let at = line.find("ssh-ed25519 ").expect("the default kind");
    PublicKey::from_openssh(&line[at..]).expect("a key")
}

/// A certificate as its signer sees it, by this CA.
fn unsigned(kind: CertType, seconds: u64, authority: &PublicKey) -> Vec<u8> {
    let now = chrono::Utc::now().timestamp();
    let now = u64::try_from(now).expect("after 1970");
    let subject = new_key().public_key().key_data().clone();
    let mut builder = Builder::new(vec![1; 32], subject, now - 1, now + seconds).expect("times");
    builder.cert_type(kind).expect("a kind");
    builder.key_id("root").expect("a key id");
    builder.valid_principal("root").expect("a principal");
    let other = new_key();
    let bytes = builder
        .sign(&other)
        .expect("a key that can sign")
        .to_bytes();
    let bytes = bytes.expect("a certificate has bytes");
    let own = other.public_key().to_bytes().expect("a key has bytes");
    let at = bytes.windows(own.len()).rposition(|part| part == own);
    let blob = authority.to_bytes().expect("a key has bytes");
    let length = u32::try_from(blob.len()).expect("short").to_be_bytes();
    [&bytes[..at.expect("its CA") - 4], &length, &blob].concat()
}

fn is_not_signed(worker: &TakenWorker, key: &PublicKey, data: Vec<u8>) {
    let key = key.clone();
    let (answer, _) = worker
        .call(&SigningRequest::Sign { key, data })
        .expect("an answer");
    assert!(matches!(answer, SigningAnswer::Refused(_)), "{answer:?}");
}

fn is_not_opened(worker: &TakenWorker, file: &Path, purpose: FilePurpose) {
    let path = file.as_os_str().to_owned();
    let (answer, files) = worker
        .call(&FileRequest { path, purpose })
        .expect("an answer");
    assert!(
        matches!(answer, FileAnswer::Failed(_)),
        "{}",
        file.display()
    );
    assert!(files.is_empty(), "{}", file.display());
}

/// A TCP socket whose last holder waits, when it closes it, until the other side has read everything.
fn lingering() -> OwnedFd {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound");
    let socket = std::net::TcpStream::connect(address).expect("it listens");
    let linger = Some(std::time::Duration::from_secs(5));
    rustix::net::sockopt::set_socket_linger(&socket, linger).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    while std::io::Write::write(&mut &socket, &[0; 65_536]).is_ok() {}
    // Connected and never read: the listener goes with the test.
    std::mem::forget(listener);
    socket.into()
}

#[test]
fn services_give_what_they_are_for() {
    super::withstands(ATTACKS);
}

/// With the sandbox, the worker sees no other process: what holds the CAs' keys cannot be dumped, and what
/// it has open is out of reach for its own account.
#[test]
fn the_auth_process_cannot_be_read() {
    let Some(scene) = Scene::new() else { return };
    let world = &scene.world;
    let auth = world.auth_pid();
    // As the account of the proxy, without root's capabilities.
    for what in ["mem", "environ", "maps"] {
        let file = format!("/proc/{auth}/{what}");
        let mut read = std::process::Command::new(programs::path("setpriv"));
        let read = read
            .args([
                "--bounding-set=-all",
                "--inh-caps=-all",
                "dd",
                "count=1",
                "of=/dev/null",
            ])
            .arg(format!("if={file}"))
            .output()
            .expect("setpriv runs");
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(!read.status.success(), "{file} can be read: {said}");
        assert!(said.contains("Permission denied"), "{said}");
    }
    let refusal = scene.client("alice").certificate("root");
    assert_eq!(refused(refusal).reason, "not-signed-in");
}
