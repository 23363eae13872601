//! Foreign clients, and stock `ssh` with each algorithm: our server's role on both legs.
//!
//! `tests/interop/README.md` lists what each of them can do.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use rproxy::wire::{Algorithms, Cipher, Kex, Mac};

use crate::support::agent::Agent;
use crate::support::double::Peer;
use crate::support::others::{found, others, python, script};
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{Holds, HostKey, World, keys, programs};

/// The algorithms of this type (`kex`, `cipher`, `mac`) that `ssh` supports too.
pub(crate) fn known_to_ssh(kind: &str, names: &[&'static str]) -> Vec<&'static str> {
    let known = keys::tool(Command::new(programs::path("ssh")).args(["-Q", kind]));
    let is_known = |name: &&'static str| known.lines().any(|line| line == *name);
    names.iter().copied().filter(is_known).collect()
}

/// The algorithms that clients are offered.
pub(crate) fn key_exchanges() -> Vec<&'static str> {
    let offered = Algorithms::for_clients().kex;
    let names: Vec<_> = offered.into_iter().map(Kex::name).collect();
    known_to_ssh("kex", &names)
}

pub(crate) fn ciphers() -> Vec<&'static str> {
    let names: Vec<_> = Cipher::ALL.iter().map(|cipher| cipher.name()).collect();
    known_to_ssh("cipher", &names)
}

pub(crate) fn macs() -> Vec<&'static str> {
    let names: Vec<_> = Mac::ALL.iter().map(|mac| mac.name()).collect();
    known_to_ssh("mac", &names)
}

/// Sets of options with which each algorithm that clients are offered is used at least once.
pub(crate) fn algorithm_options() -> Vec<String> {
    let (exchanges, ciphers, macs) = (key_exchanges(), ciphers(), macs());
    assert!(exchanges.len() >= 6 && ciphers.len() == 6 && macs.len() == 4);
    let mut sets: Vec<String> = exchanges
        .iter()
        .zip(ciphers.iter().cycle())
        .map(|(kex, cipher)| format!("KexAlgorithms {kex}\nCiphers {cipher}\n"))
        .collect();
    sets.extend(
        macs.iter()
            .map(|mac| format!("Ciphers aes128-ctr\nMACs {mac}\n")),
    );
    sets
}

/// Each algorithm on the outer and, at the same time, on the inner leg.
#[test]
fn openssh_with_each_algorithm_on_both_legs() {
    let world = World::new();
    for options in algorithm_options() {
        for file in ["inner", "outer"] {
            let path = world.dir().join(file);
            let text = std::fs::read_to_string(&path).expect("the client's configuration");
            let changed = world.dir().join(format!("{file}.tuned"));
            let outer = world.dir().join("outer").display().to_string();
            // The inner configuration names the outer one.
            let text = text.replace(&format!("-F {outer} "), &format!("-F {outer}.tuned "));
            std::fs::write(changed, format!("{options}{text}")).expect("a writable directory");
        }
        let outcome = world
            .program("ssh")
            .arg("-v")
            .arg("-F")
            .arg(world.dir().join("inner.tuned"))
            .args(["db1", "cat; exit 7"])
            .stdin("there and back")
            .run();
        assert_eq!(outcome.code(), 7, "{options}: {}", outcome.stderr);
        assert_eq!(outcome.text(), "there and back", "{options}");
        for name in options.split_whitespace().skip(1).step_by(2) {
            assert!(
                outcome.stderr.contains(name),
                "{name} was not used: {}",
                outcome.stderr
            );
        }
    }
}

/// OpenSSH with the smallest `RekeyLimit`, on both sides of the proxy: the proxy accepts that many
/// key exchanges.
#[test]
fn openssh_that_changes_keys_all_the_time() {
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, "RekeyLimit 16K\n")
        .start();
    for limit in ["RekeyLimit=16", "RekeyLimit=16K", "RekeyLimit=1G 1s"] {
        let outcome = world
            .ssh()
            .args(["-o", limit, "db1", "cat"])
            .stdin(vec![b'x'; 1_000_000])
            .run()
            .success();
        assert_eq!(outcome.stdout.len(), 1_000_000, "{limit}");
    }
}

/// Compression on both legs.
#[test]
fn openssh_with_compression() {
    let world = World::new();
    let outcome = world
        .ssh()
        .args(["-v", "-C", "db1", "head -c 3000000 /dev/zero; cat"])
        .stdin(vec![b'x'; 1_000_000])
        .run()
        .success();
    assert_eq!(outcome.stdout.len(), 4_000_000);
    assert!(
        outcome.stderr.contains("compression: zlib@openssh.com"),
        "{}",
        outcome.stderr
    );
}

/// Users' keys of each type, on all legs: outer, inner, and signed by the agent for the host.
#[test]
fn users_with_each_kind_of_key() {
    let kinds: [&'static [&'static str]; 5] = [
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "rsa", "-b", "4096"],
    ];
    std::thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || {
                let world = World::with().user_key(kind).start();
                let outcome = world.run("db1", "echo in").success();
                assert_eq!(outcome.text(), "in\n", "{kind:?}");
            });
        }
    });
}

/// paramiko on both legs, with its own agent forwarding, and sftp.
#[test]
fn paramiko_on_both_legs() {
    let Some(python) = python("paramiko") else {
        return;
    };
    let world = World::new();
    let outcome = run_client(&world, &python, "paramiko_client.py", &[]);
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    assert_eq!(outcome.text(), "hello from the host\n");
    assert!(outcome.stderr.contains("sftp "), "{}", outcome.stderr);
    assert_recorded(&world);
}

/// paramiko with an agent, as Fabric and others use it: it tries one key after the other, and asks for
/// the service before each.
#[test]
fn paramiko_with_an_agent_that_holds_several_keys() {
    let Some(python) = python("paramiko") else {
        return;
    };
    let world = World::with().holds(Holds::Nothing).start();
    let agent = Agent::start(&world.children, &world.dir().join("crowded"));
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = world.dir().join(kind);
        keys::generate_as(&key, &["-t", kind]);
        agent.add(&key);
    }
    agent.add(&world.user.key);
    let outcome = world
        .program_at(&python)
        .env("SSH_AUTH_SOCK", &agent.socket)
        .arg(script("paramiko_agent_client.py"))
        .arg(world.port().to_string())
        .arg(login())
        .args(["db1:22", "echo hello from the host; exit 7"])
        .run();
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    assert_eq!(outcome.text(), "hello from the host\n");
    let failures = world.audit();
    let failed = |event: &&serde_json::Value| text(event, "event") == "auth.failure";
    assert_eq!(failures.iter().find(failed), None);
}

/// `AsyncSSH` on both legs: it checks both host certificates against the CA.
#[test]
fn asyncssh_on_both_legs() {
    let Some(python) = python("asyncssh") else {
        return;
    };
    let world = World::new();
    let known_hosts = world.dir().join("known_hosts").display().to_string();
    let outcome = run_client(&world, &python, "asyncssh_client.py", &[&known_hosts]);
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    assert_eq!(outcome.text(), "hello from the host\n");
    assert!(outcome.stderr.contains("sftp "), "{}", outcome.stderr);
    assert_recorded(&world);
}

fn run_client(
    world: &World,
    python: &Path,
    name: &str,
    more: &[&str],
) -> crate::support::ClientOutcome {
    world
        .program_at(python)
        .arg(script(name))
        .arg(world.port().to_string())
        .arg(login())
        .arg(&world.user.key)
        .args(more)
        .args(["db1:22", "echo hello from the host; exit 7"])
        .run()
}

/// The command, and the sftp session after it.
fn assert_recorded(world: &World) {
    world.eventually("both sessions are recorded", || {
        let recordings = world.recordings();
        let complete = |kind: &str| {
            recordings
                .iter()
                .any(|one| text(one, "kind") == kind && one["state"] == "complete")
        };
        (complete("exec") && complete("subsystem")).then_some(())
    });
}

/// plink on both legs: a key with its certificate in one file, the agent from `SSH_AUTH_SOCK`, host
/// certificates checked against the CA.
#[test]
fn plink_on_both_legs() {
    let Some(plink) = others("plink") else {
        return;
    };
    let world = World::new();
    let (outer, options) = putty(&world);
    let outcome = world
        .program_at(&plink)
        .args(options.split(' '))
        .args(["-noshare", "-proxycmd", &outer, "db1", "cat; exit 7"])
        .stdin("typed\n")
        .run();
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    assert_eq!(outcome.text(), "typed\n");
}

/// Prepares PuTTY's programs: the plink that makes the outer connection, and the options of all.
fn putty(world: &World) -> (String, String) {
    let key = world.dir().join("key.ppk");
    let certificate = keys::with_suffix(&world.user.key, "-cert.pub");
    keys::tool(
        Command::new(programs::path("puttygen"))
            .arg(&world.user.key)
            .arg("--certificate")
            .arg(&certificate)
            .args(["-O", "private", "-o"])
            .arg(&key),
    );
    trust_in_putty(world);
    let options = format!("-batch -i {} -l {}", key.display(), login());
    let outer = format!(
        "{} {options} -noshare -A -P {} -s 127.0.0.1 proxy:db1:22",
        programs::path("plink").display(),
        world.port()
    );
    (outer, options)
}

/// pscp with either protocol, there and back.
#[test]
fn pscp_on_both_legs() {
    let (Some(pscp), Some(_plink)) = (others("pscp"), others("plink")) else {
        return;
    };
    let world = World::new();
    let (outer, options) = putty(&world);
    let dir = world.dir().display().to_string();
    let sent = crate::support::service::bytes();
    std::fs::write(world.dir().join("sent"), &sent).expect("a writable directory");
    for protocol in ["-sftp", "-scp"] {
        let there = format!("db1:{dir}/there{protocol}");
        let back = format!("{dir}/back{protocol}");
        for (from, to) in [(format!("{dir}/sent"), &there), (there.clone(), &back)] {
            world
                .program_at(&pscp)
                .args(options.split(' '))
                .args([protocol, "-q", "-proxycmd", &outer, &from, to])
                .run()
                .success();
        }
        let received = std::fs::read(&back).expect("it was copied");
        assert!(received == sent, "{protocol}");
    }
}

/// The file that PuTTY's "trusted host certification CAs" dialogue writes.
pub(crate) fn trust_in_putty(world: &World) {
    let line = std::fs::read_to_string(world.dir().join("known_hosts")).expect("known_hosts");
    let blob = line
        .split_whitespace()
        .find(|word| word.starts_with("AAAA"))
        .expect("the CA's key");
    let dir = world.dir().join(".putty/sshhostcas");
    std::fs::create_dir_all(&dir).expect("a writable directory");
    let text = format!("PublicKey={blob}\nValidity=*\n");
    std::fs::write(dir.join("authority"), text).expect("a writable directory");
}

/// Clients that do not support host certificates find no common host key algorithm, and report
/// that.
#[test]
fn clients_without_host_certificates_end_cleanly() {
    let world = World::new();
    let before = world.proxy_log().len();
    if let Some(dbclient) = others("dbclient") {
        let outcome = world
            .program_at(&dbclient)
            .args(["-y", "-y", "-p", &world.port().to_string()])
            .arg(format!("{}@127.0.0.1", login()))
            .arg("true")
            .run();
        assert_ne!(outcome.code(), 0);
        assert!(outcome.stderr.contains("hostkey"), "{}", outcome.stderr);
    }
    if curl_with_sftp().is_some() {
        let outcome = curl(&world, world.port(), &world.user.key, "/etc/hostname");
        assert_ne!(outcome.code(), 0);
    }
    let tried = usize::from(others("dbclient").is_some()) + usize::from(curl_with_sftp().is_some());
    world.eventually("each is in the log", || {
        let log = world.proxy_log();
        let told = log.get(before..)?.matches("no common host key").count();
        (told == tried).then_some(())
    });
    world.run("db1", "true").success();
}

/// dropbear's client and libssh2 against our transport with a plain host key, which no listener of
/// ours presents: this shows that they work with our transport.
#[test]
fn clients_without_certificates_speak_with_our_transport() {
    let world = World::new();
    let key = world.dir().join("plain_host_key");
    keys::generate(&key);
    if let Some(dbclient) = others("dbclient") {
        let user = dropbear_key(&world);
        let (outcome, command) = serve_once(&key, |port| {
            world
                .program_at(&dbclient)
                .args(["-y", "-y", "-i"])
                .arg(&user)
                .args(["-p", &port.to_string(), "me@127.0.0.1", "a command"])
                .run()
        });
        assert_eq!(command, "a command");
        assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
        assert_eq!(outcome.text(), "from our server\n");
    }
    if curl_with_sftp().is_some() {
        let user = world.dir().join("curl_key");
        keys::generate_as(&user, &["-t", "rsa", "-b", "2048", "-m", "PEM"]);
        let (outcome, command) = serve_once(&key, |port| curl(&world, port, &user, "/x"));
        assert_eq!(command, "sftp", "{}", outcome.stderr);
        // Our server does not support sftp: it closes the session.
        assert_ne!(outcome.code(), 0);
    }
}

/// A server of ours that accepts one session, answers with text and ends it with status 7.
fn serve_once<T: Send>(key: &Path, client: impl FnOnce(u16) -> T) -> (T, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a port").port();
    std::thread::scope(|scope| {
        let server = scope.spawn(move || {
            let (stream, _) = listener.accept().expect("the client connects");
            let mut host: Peer<TcpStream> = Peer::host(stream, key);
            host.welcome();
            let channel = host.accept_session(1 << 20, 1 << 15);
            let command = host.accept_start(channel);
            let data =
                crate::support::payload::Payload::data(channel.recipient, b"from our server\n");
            host.send(&data);
            host.exit(channel, 7);
            host.end();
            command
        });
        let outcome = client(port);
        (outcome, server.join().expect("the server is content"))
    })
}

/// A key in dropbear's own format.
fn dropbear_key(world: &World) -> PathBuf {
    let path = world.dir().join("dropbear_key");
    keys::tool(
        Command::new(programs::path("dropbearkey"))
            .args(["-t", "ed25519", "-f"])
            .arg(&path),
    );
    path
}

fn curl_with_sftp() -> Option<PathBuf> {
    let path = others("curl")?;
    let version = keys::tool(Command::new(&path).arg("--version"));
    found(
        "curl with libssh2",
        (version.contains("libssh2/") && version.contains(" sftp")).then_some(path),
    )
}

fn curl(world: &World, port: u16, key: &Path, path: &str) -> crate::support::ClientOutcome {
    world
        .program("curl")
        .args(["-sS", "--insecure", "--max-time", "20", "--user", "me:"])
        .arg("--key")
        .arg(key)
        .arg("--pubkey")
        .arg(keys::with_suffix(key, ".pub"))
        .arg(format!("sftp://127.0.0.1:{port}{path}"))
        .run()
}

/// The first line that a child prints.
pub(crate) fn first_line(output: impl Read) -> String {
    let mut line = String::new();
    let read = BufReader::new(output).read_line(&mut line);
    read.expect("a readable pipe");
    line.trim().to_owned()
}
