//! Security keys that sign through a browser (`webauthn-sk-ecdsa-sha2-nistp256@openssh.com`), with
//! stock `sshd`, which verifies such signatures from 8.4 on. No stock agent makes them, so the
//! tests have their own agent.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::Arc;

use ssh_key::PublicKey;

use crate::support::agent_messages::{
    EXTENSION, FAILURE, REQUEST_IDENTITIES, SIGN_REQUEST, SIGN_RESPONSE, SUCCESS, framed, listing,
    read_message, signed_data,
};
use crate::support::browser::Browser;
use crate::support::hostile::{offer_as, string};
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{World, keys, programs};

const SK_CERTIFICATE: &str = "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com";
const WEBAUTHN_CERTIFICATE: &str = "webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com";

/// An agent with one such key and its certificate.
struct Authenticator {
    browser: Browser,
    /// The callers for which its browser signs; for others the key signs by itself.
    signs_for: For,
    certificate: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Everybody,
    /// Only for hosts to which the agent is forwarded.
    Forwarded,
}

impl Authenticator {
    /// A new key, with a certificate of the proxy's for the user's own login.
    fn new(world: &World, name: &str, signs_for: For, change: fn(&mut Browser)) -> Self {
        let browser = Browser::new();
        let public = world.dir().join(format!("{name}.pub"));
        let line = PublicKey::from(browser.public())
            .to_openssh()
            .expect("a key");
        std::fs::write(&public, line + "\n").expect("a writable directory");
        let certificate = world.dir().join(format!("{name}-cert.pub"));
        keys::tool(
            world
                .rproxy()
                .args(["auth", "sign", "--user=alice", "--logins", &login()])
                .arg("--public-key")
                .arg(&public)
                .arg("--out")
                .arg(&certificate),
        );
        let certificate = ssh_key::Certificate::read_file(&certificate).expect("a certificate");
        Self {
            browser: browser.with(change),
            signs_for,
            certificate: certificate.to_bytes().expect("a certificate has bytes"),
        }
    }

    /// Serves every connection to a new socket; it ends with the test's process.
    fn start(self, world: &World, name: &str) -> String {
        let path = world.dir().join(format!("{name}.sock"));
        let listener = UnixListener::bind(&path).expect("a short path");
        let agent = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let agent = Arc::clone(&agent);
                std::thread::spawn(move || stream.map(|stream| agent.serve(stream)));
            }
        });
        path.display().to_string()
    }

    fn serve(&self, mut stream: UnixStream) {
        let mut is_forwarded = false;
        while let Some(request) = read_message(&mut stream) {
            let answer = match request[0] {
                REQUEST_IDENTITIES => listing(&[&self.certificate]),
                SIGN_REQUEST => {
                    let data = signed_data(&request);
                    let is_browser = self.signs_for == For::Everybody || is_forwarded;
                    let signature = match is_browser {
                        true => self.browser.sign(&data),
                        false => self.browser.sign_plainly(&data),
                    };
                    [vec![SIGN_RESPONSE], string(&signature)].concat()
                }
                // The last field of session-bind@openssh.com says whether the connection is
                // forwarded.
                EXTENSION => {
                    is_forwarded |= request.last() == Some(&1);
                    vec![SUCCESS]
                }
                _ => vec![FAILURE],
            };
            if stream.write_all(&framed(&answer)).is_err() {
                return;
            }
        }
    }
}

/// OpenSSH's client takes such signatures from its agent from 10.3 on.
fn client_takes_them() -> bool {
    let version = Command::new(programs::path("ssh")).arg("-V").output();
    let said = version.expect("ssh runs").stderr;
    let said = String::from_utf8_lossy(&said).into_owned();
    let number = said.trim_start_matches("OpenSSH_").split(['p', ' ', ',']);
    let mut parts = number.take(1).flat_map(|number| number.split('.'));
    let mut part = || parts.next().and_then(|part| part.parse().ok());
    let version: (Option<u32>, Option<u32>) = (part(), part());
    version >= (Some(10), Some(3))
}

/// The login at the host, and, if the client is new enough, those at the proxy too.
#[test]
fn a_browser_signs_for_the_host() {
    let world = World::new();
    let mut ways = vec![For::Forwarded];
    ways.extend(client_takes_them().then_some(For::Everybody));
    let count = ways.len();
    for signs_for in ways {
        let name = format!("{signs_for:?}");
        let agent = Authenticator::new(&world, &name, signs_for, |_| {}).start(&world, &name);
        let ssh = world.ssh().env("SSH_AUTH_SOCK", &agent);
        let outcome = ssh.args(["db1", "echo in"]).run().success();
        assert_eq!(outcome.text(), "in\n", "{signs_for:?}");
    }
    let log = world.node().log();
    let accepted = log
        .lines()
        .filter(|line| line.contains("Accepted publickey") && line.contains("ECDSA-SK-CERT"));
    assert_eq!(accepted.count(), count, "{log}");
    assert!(log.contains("ID alice"), "{log}");
}

/// Both legs of a client that names the signature's algorithm, or the key's.
#[test]
fn a_browser_signs_for_the_proxy() {
    let world = World::new();
    let key = Authenticator::new(&world, "key", For::Everybody, |_| {});
    for algorithm in [SK_CERTIFICATE, WEBAUTHN_CERTIFICATE] {
        let offer = |browser: &Browser| {
            offer_as(
                world.address(),
                &login(),
                algorithm,
                &key.certificate,
                |data| browser.sign(data),
            )
        };
        let verdict = offer(&key.browser);
        assert!(verdict.accepted, "{algorithm}: {}", verdict.said);
        let replayed = key.browser.clone().with(|browser| {
            browser.client_data =
                |_| b"{\"type\":\"webauthn.get\",\"challenge\":\"\",\"origin\":\"x\"}".to_vec();
        });
        let verdict = offer(&replayed);
        assert!(!verdict.accepted, "{algorithm}");
        assert!(
            verdict.said.contains("made for something else"),
            "{}",
            verdict.said
        );
        let untouched = key.browser.clone().with(|browser| browser.flags = 0);
        let verdict = offer(&untouched);
        assert!(!verdict.accepted, "{algorithm}");
        assert!(verdict.said.contains("without a touch"), "{}", verdict.said);
    }
}

/// A browser's signature of other data is not passed on: the host does not get it.
#[test]
fn a_browser_that_signs_something_else_is_not_believed() {
    let world = World::new();
    let change = |browser: &mut Browser| browser.client_data = |_| b"{}".to_vec();
    let agent = Authenticator::new(&world, "key", For::Forwarded, change).start(&world, "key");
    let ssh = world.ssh().env("SSH_AUTH_SOCK", &agent);
    let outcome = ssh.args(["db1", "echo in"]).run();
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("made for something else"),
        "{}",
        outcome.stderr
    );
    let refusals = world.refusals();
    assert_eq!(
        text(&refusals[0], "reason"),
        "agent-failed",
        "{refusals:#?}"
    );
    assert_eq!(world.node().log().matches("Accepted publickey").count(), 0);
}
