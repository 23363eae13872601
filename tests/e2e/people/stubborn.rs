//! Agents that refuse what others do: certificates, lifetimes, certain hosts, a key that they lack.

use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::support::agent::Agent;
use crate::support::agent_messages::{FAILURE, framed, read_message};
use crate::support::recordings::text;
use crate::support::{ClientOutcome, World, keys};

/// RFC 9987: requests that add a key, without and with constraints.
const ADD: u8 = 17;
const ADD_CONSTRAINED: u8 = 25;

/// What an agent refuses.
type Refuses = fn(&[u8]) -> bool;

/// An agent that passes requests on to another one, but for those that it refuses. It serves as long as the
/// test runs.
fn stubborn(world: &World, name: &str, refuses: Refuses) -> PathBuf {
    let path = world.dir().join(name);
    let listener = UnixListener::bind(&path).expect("a short path");
    let behind = world.agent().socket.clone();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = UnixStream::connect(&behind).expect("the agent runs");
            std::thread::spawn(move || serve(near, far, refuses));
        }
    });
    path
}

fn serve(mut near: UnixStream, mut far: UnixStream, refuses: Refuses) {
    while let Some(request) = read_message(&mut near) {
        let answer = match refuses(&request) {
            true => vec![FAILURE],
            false => {
                far.write_all(&framed(&request)).expect("the agent runs");
                let Some(answer) = read_message(&mut far) else {
                    return;
                };
                answer
            }
        };
        if near.write_all(&framed(&answer)).is_err() {
            return;
        }
    }
}

fn names_a_certificate(request: &[u8]) -> bool {
    let name = b"-cert-v01@openssh.com";
    request.windows(name.len()).any(|window| window == name)
}

/// `login --add` with this agent.
fn add(world: &World, socket: &Path) -> ClientOutcome {
    let ssh = world.asking_ssh("alice").env("SSH_AUTH_SOCK", socket);
    ssh.args(["-A", "login", "--add"]).run()
}

/// As `KeePassXC` and GNOME Keyring refuse certificates, and the agents of Windows lifetimes.
#[test]
fn an_agent_that_takes_no_certificate_is_told_so_and_needs_none() {
    let world = World::with().signed_in().start();
    let ways: [(&str, Refuses); 3] = [
        ("certificates", |request| {
            [ADD, ADD_CONSTRAINED].contains(&request[0]) && names_a_certificate(request)
        }),
        ("lifetimes", |request| request[0] == ADD_CONSTRAINED),
        ("everything", |request| {
            [ADD, ADD_CONSTRAINED].contains(&request[0])
        }),
    ];
    for (name, refuses) in ways {
        let socket = stubborn(&world, name, refuses);
        let outcome = add(&world, &socket);
        assert_eq!(outcome.code(), 1, "{name}: {}", outcome.text());
        for words in [
            "your agent does not take a certificate with a lifetime",
            "hosts can be reached without it",
            "cert > ~/.ssh/id_ed25519-cert.pub",
        ] {
            assert!(outcome.stderr.contains(words), "{name}: {}", outcome.stderr);
        }
        // What it took stays without its other half nowhere: the agent has its one key.
        let listed = world.program("ssh-add").arg("-l").run().success().text();
        assert_eq!(listed.lines().count(), 1, "{name}: {listed}");
        let ssh = world.ssh().env("SSH_AUTH_SOCK", &socket);
        assert_eq!(
            ssh.args(["db1", "echo in"]).run().success().text(),
            "in\n",
            "{name}"
        );
    }
}

/// Nothing is asked of the agent for which it would have to hold a certificate.
#[test]
fn an_agent_that_signs_with_no_certificate() {
    let world = World::with().signed_in().start();
    let socket = stubborn(&world, "bare", |request| {
        // The data to sign names one, the key to sign with does not.
        let key = request.get(5..).unwrap_or_default();
        names_a_certificate(&key[..key.len().min(40)])
    });
    let ssh = world.ssh().env("SSH_AUTH_SOCK", socket);
    assert_eq!(ssh.args(["db1", "echo in"]).run().success().text(), "in\n");
}

/// The outer `ssh` signs with a file, and the agent that it forwards has another key.
#[test]
fn a_key_file_that_the_agent_does_not_hold() {
    let world = World::with().signed_in().start();
    let agent = Agent::start(&world.children, &world.dir().join("other"));
    let other = world.dir().join("otherkey");
    keys::generate(&other);
    agent.add(&other);
    for file in ["outer", "inner"] {
        let path = world.dir().join(file);
        let lines = std::fs::read_to_string(&path).expect("the harness wrote it");
        let key = format!(
            "IdentitiesOnly yes\nIdentityFile {}\n",
            world.user.key.display()
        );
        let lines = lines.replace("IdentityFile none\n", &key);
        std::fs::write(&path, lines).expect("a writable directory");
    }
    let run = || {
        let ssh = world.ssh().env("SSH_AUTH_SOCK", &agent.socket);
        ssh.args(["db1", "echo in"]).run()
    };
    let outcome = run();
    assert_eq!(outcome.code(), 255, "{}", outcome.text());
    assert!(outcome.stderr.contains("ssh-add"), "{}", outcome.stderr);
    assert_eq!(text(&world.refusals()[0], "reason"), "agent-without-key");
    agent.add_bare(&world.user.key);
    assert_eq!(run().success().text(), "in\n");
}

/// `ssh-add -h`: the agent signs for the proxy, and for a host only with a certificate that it holds.
#[test]
fn a_key_for_certain_hosts_needs_its_certificate_in_the_agent() {
    let world = World::with().signed_in().start();
    let agent = Agent::start(&world.children, &world.dir().join("bound"));
    let known_hosts = world.dir().join("known_hosts").display().to_string();
    let bind = || {
        let hosts = [
            "-H",
            &known_hosts,
            "-h",
            "127.0.0.1",
            "-h",
            "db1",
            "-h",
            "127.0.0.1>db1",
        ];
        agent.ssh_add(&hosts, &world.user.key);
    };
    let run = || {
        let ssh = world.ssh().env("SSH_AUTH_SOCK", &agent.socket);
        ssh.args(["db1", "echo in"]).run()
    };
    bind();
    let outcome = run();
    assert_eq!(outcome.code(), 255, "{}", outcome.text());
    for words in ["rproxy: client: ", "ssh-add -h", " cert > "] {
        assert!(
            outcome.stderr.contains(words),
            "{words}: {}",
            outcome.stderr
        );
    }
    assert_eq!(text(&world.refusals()[0], "reason"), "agent-refused");
    world.certificate_file();
    bind();
    agent.forget_bare(&world.user.key);
    assert_eq!(run().success().text(), "in\n");
}
