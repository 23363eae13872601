//! Foreign hosts, and stock `sshd` with each algorithm: our client's role.
//!
//! `tests/interop/README.md` lists what each of them can do.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::interop_clients::{algorithm_options, first_line};
use crate::support::children::Running;
use crate::support::others::{others, python, script};
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{HostKey, World, keys, ports, programs};

/// One host for each algorithm, which supports no other.
#[test]
fn sshd_with_each_algorithm() {
    let sets = algorithm_options();
    let mut builder = World::with();
    for (number, options) in sets.iter().enumerate() {
        builder = builder.tuned_node(&format!("db{number}"), HostKey::Certified, options);
    }
    let world = builder.start();
    for (number, options) in sets.iter().enumerate() {
        let outcome = world
            .ssh()
            .args([&format!("db{number}"), "cat; exit 7"])
            .stdin("there and back")
            .run();
        assert_eq!(outcome.code(), 7, "{options}: {}", outcome.stderr);
        assert_eq!(outcome.text(), "there and back", "{options}");
    }
}

/// Host keys of each type, with a certificate.
#[test]
fn sshd_with_each_kind_of_host_key() {
    let kinds: [(&str, &'static [&'static str]); 5] = [
        ("p256", &["-t", "ecdsa", "-b", "256"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("p521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa2048", &["-t", "rsa", "-b", "2048"]),
        ("rsa4096", &["-t", "rsa", "-b", "4096"]),
    ];
    let world = kinds
        .iter()
        .fold(World::with(), |world, (name, kind)| {
            world.node(name, HostKey::CertifiedAs(kind))
        })
        .start();
    for (name, _) in kinds {
        let outcome = world.run(name, "echo in").success();
        assert_eq!(outcome.text(), "in\n", "{name}");
    }
}

/// New keys every megabyte, on all legs, requested by each side.
#[test]
fn keys_change_all_the_time() {
    let limit = "RekeyLimit 1M\n";
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, limit)
        .start();
    let sent = crate::bulk::random(12 << 20);
    let outcome = world
        .ssh()
        .args(["-o", "RekeyLimit=1500K", "db1", "cat"])
        .stdin(sent.clone())
        .run()
        .success();
    assert!(
        outcome.stdout == sent,
        "what came back is not what was sent"
    );
}

/// An `AsyncSSH` host: it presents a certificate and checks ours.
#[test]
fn asyncssh_host() {
    let Some(python) = python("asyncssh") else {
        return;
    };
    let port = ports::free_port();
    let world = World::with()
        .node("db1", HostKey::Certified)
        .foreign_node("async1", port)
        .start();
    let _server = start_asyncssh(&world, &python, "async1", port, &[]);
    speaks_and_listens(&world, "async1");
}

/// A host that announces that it accepts RSA keys with SHA-1 only: they sign with SHA-1 if the
/// configuration permits it.
#[test]
fn asyncssh_host_that_knows_no_better_than_sha1() {
    let Some(python) = python("asyncssh") else {
        return;
    };
    let port = ports::free_port();
    let world = World::with()
        .node("db1", HostKey::Certified)
        .user_key(&["-t", "rsa", "-b", "2048"])
        .foreign_node("old1", port)
        .legacy_algorithms("old1", "ssh-rsa")
        .start();
    let _server = start_asyncssh(&world, &python, "old1", port, &["ssh-rsa"]);

    let outcome = world.run("old1", "anything");
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    assert_eq!(outcome.text(), "command: anything\n");
    let events = world.audit();
    let start = events
        .iter()
        .find(|event| event["event"] == "session.start");
    let start = start.expect("a session");
    assert_eq!(start["legacy_algorithms"], serde_json::json!(["ssh-rsa"]));
}

/// Starts an `AsyncSSH` host with a certificate for its name, which trusts the user CA.
fn start_asyncssh(
    world: &World,
    python: &Path,
    name: &str,
    port: u16,
    signatures: &[&str],
) -> Running {
    let mut server = world.children.spawn(
        Command::new(python)
            .arg(script("asyncssh_server.py"))
            .arg(world.host_key(name))
            .arg(trusted_users(world))
            .arg(port.to_string())
            .args(signatures)
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    );
    first_line(server.child.stdout.take().expect("it is piped"));
    server
}

/// dropbear has no host certificates, and the user reads that. If plain keys are accepted, dropbear
/// does not accept the user's certificate, and the user reads that.
#[test]
fn dropbear_host() {
    let Some(dropbear) = others("dropbear") else {
        return;
    };
    let port = ports::free_port();
    let start = |world: &World| -> Running {
        let key = world.dir().join("dropbear_host_key");
        keys::tool(
            Command::new(programs::path("dropbearkey"))
                .args(["-t", "ed25519", "-f"])
                .arg(&key),
        );
        let running = world.children.spawn(
            Command::new(&dropbear)
                .args(["-F", "-E", "-s", "-p", &format!("127.0.0.1:{port}"), "-r"])
                .arg(&key)
                .args(["-P", "/dev/null"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        await_port(world, port);
        running
    };
    refused(port, &start);
}

/// tinysshd is like dropbear in this. It serves one connection on its standard input and output, as
/// under inetd; here the test accepts for it.
#[test]
fn tinyssh_host() {
    let Some(tinysshd) = others("tinysshd") else {
        return;
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a port").port();
    let start = |world: &World| -> Running {
        let keys_dir = world.dir().join("tinyssh_keys");
        keys::tool(Command::new(programs::path("tinysshd-makekey")).arg(&keys_dir));
        let listener = listener.try_clone().expect("a socket");
        let mut command = Command::new(&tinysshd);
        command.arg(keys_dir);
        // Exits when its only client disconnects.
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("the proxy dials");
            let other = stream.try_clone().expect("a socket");
            command
                .stdin(OwnedFd::from(stream))
                .stdout(OwnedFd::from(other))
                .stderr(Stdio::null())
                .status()
                .expect("tinysshd runs");
        });
        world
            .children
            .spawn(&mut Command::new(programs::path("true")))
    };
    refused(port, &start);
}

/// The user CA's key, in a file.
pub(crate) fn trusted_users(world: &World) -> PathBuf {
    let authority = keys::tool(world.rproxy().args(["auth", "export", "--type=user"]));
    let trusted = world.dir().join("trusted_users");
    std::fs::write(&trusted, authority).expect("a writable directory");
    trusted
}

/// A host that prints its command on both outputs, sends its input back and exits with 7: all of
/// that reaches the client and is recorded.
pub(crate) fn speaks_and_listens(world: &World, name: &str) {
    let outcome = world.ssh().args([name, "anything"]).stdin("typed\n").run();
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    let expected = "typed\ncommand: anything\n";
    assert_eq!(outcome.text(), expected);
    assert!(outcome.stderr.contains("to stderr"), "{}", outcome.stderr);
    let recording = world.finished_recording();
    assert_eq!(world.exported(&recording, "stdout"), expected.as_bytes());
    assert_eq!(world.exported(&recording, "stdin"), b"typed\n");
}

/// A host that supports no certificates: the proxy refuses its key, or, if plain keys are accepted,
/// the host refuses the user's certificate.
pub(crate) fn refused(port: u16, start: &dyn Fn(&World) -> Running) {
    for checks_host_keys in [true, false] {
        let mut builder = World::with()
            .node("db1", HostKey::Certified)
            .foreign_node("drop1", port);
        if !checks_host_keys {
            builder = builder.auth_setting("proxy_checks_host_keys: no");
        }
        let world = builder.start();
        let _host = start(&world);
        let outcome = world.run("drop1", "true");
        assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
        let refusals = world.refusals();
        let (field, value, said) = match checks_host_keys {
            true => ("leg", "host-certificate", "host certificate".to_owned()),
            false => (
                "reason",
                "host-refused",
                format!("drop1 does not let {} in with this certificate", login()),
            ),
        };
        assert_eq!(text(&refusals[0], field), value, "{refusals:#?}");
        assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
    }
}

/// Waits until a program listens at the port.
pub(crate) fn await_port(world: &World, port: u16) {
    world.eventually("the host listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port))
            .ok()
            .map(drop)
    });
}
