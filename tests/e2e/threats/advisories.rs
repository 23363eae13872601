//! Advisories about programs of this kind, by their names.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::recorded;
use crate::support::double::Peer;
use crate::support::payload::{Payload, USERAUTH_SUCCESS};
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{HostKey, World};

/// A key that was offered but did not sign gives no identity.
#[test]
fn cve_2024_45337_the_key_that_signs_counts() {
    let world = World::new();
    let mallory = world.another_user("mallory");
    let mut client = Peer::connect(world.address());
    client.ask_for_authentication();
    client.offer(&login(), &world.user.key);
    client.offer(&login(), &mallory.key);
    client.offer(&login(), &world.user.key);
    client.prove(&login(), &mallory.key);
    client.expect(&[USERAUTH_SUCCESS]);
    let event = world.eventually("the login is audited", || {
        let mut events = world.audit();
        events.retain(|event| event["event"] == "auth.success");
        events.pop()
    });
    assert_eq!(text(&event, "user"), "mallory");
}

/// An offered key is not a login (also CVE-2023-43652).
#[test]
fn cve_2023_43660_an_offer_is_no_login() {
    let world = World::new();
    // A user who signs in has done that, with a login of its own.
    let logins = || world.events("auth.success").len();
    let before = logins();
    let mut client = Peer::connect(world.address());
    client.ask_for_authentication();
    client.offer(&login(), &world.user.key);
    client.send(&Payload::open("session", 0, 1 << 20, 1 << 15));
    client.end();
    assert_eq!(logins(), before, "{:#?}", world.audit());
}

/// The proxy does not accept a client's claim about its address, and sends no such claim to hosts.
#[test]
fn teleport_14_1_2_a_header_of_the_proxy_protocol() {
    let world = World::new();
    let mut stream = TcpStream::connect(world.address()).expect("the proxy listens");
    stream
        .write_all(b"PROXY TCP4 192.0.2.77 127.0.0.1 1 22\r\nSSH-2.0-x\r\n")
        .expect("a socket");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap_or_default();
    world.eventually("the client is given up", || {
        world
            .proxy_log()
            .contains("left without authenticating")
            .then_some(())
    });
    assert!(!world.proxy_log().contains("192.0.2.77"));
    let audit = std::fs::read_to_string(world.data().join("audit.jsonl")).expect("the audit log");
    assert!(!audit.contains("192.0.2.77"), "{audit}");
}

/// The proxy does not connect to its own machine or to the metadata service, unless the inventory
/// lists them.
#[test]
fn ghsa_hw4x_mcx5_9q36_addresses_that_are_not_dialled() {
    let world = World::new();
    // The proxy's own port is the only one that would answer there.
    let port = world.port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
    ];
    for (count, host) in (1..).zip(hosts) {
        let target = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let outcome = world.ssh_by(&format!("proxy:{target}"), host, "true");
        assert_eq!(outcome.code(), 255, "{target}: {}", outcome.stderr);
        let said = outcome.stderr;
        assert!(said.contains("rproxy: proxy: "), "{target}: {said}");
        assert_eq!(world.refusals().len(), count, "{target}");
    }
    assert_eq!(world.node().connections(), 0);
}

/// A host that sends other files than were asked for: the client's `scp` refuses them, and the
/// recording has the host's attempt.
#[test]
fn cve_2019_6111_names_that_nobody_asked_for() {
    const SENT: &str = "C0644 5 planted\nevil\n\0";
    let world = World::with()
        .tuned_node(
            "db1",
            HostKey::Certified,
            "ForceCommand printf 'C0644 5 planted\\nevil\\n\\000'; cat >/dev/null\n",
        )
        .start();
    let inner = world.dir().join("inner").display().to_string();
    let outcome = world
        .program("scp")
        .args(["-O", "-F", &inner, "db1:asked", "."])
        .run();
    assert_ne!(outcome.code(), 0);
    assert!(!world.dir().join("planted").exists());
    let recording = world.finished_recording();
    // The data that the host sent before `scp` closed the connection.
    let tried = world.exported(&recording, "stdout");
    assert!(tried.starts_with(b"C0644 5 planted\n"), "{tried:?}");
    assert!(SENT.as_bytes().starts_with(&tried), "{tried:?}");
    assert_eq!(text(&recording, "command"), "scp -f asked");
}

/// The proxy serves neither recordings of other users nor files of its own.
#[test]
fn ghsa_c9v7_wmwj_vf6x_files_of_the_proxy() {
    let world = World::new();
    world.run("db1", "echo private").success();
    let path = crate::support::recordings::file(&world.finished_recording()).to_owned();
    let outer = world.dir().join("outer").display().to_string();
    for program in ["sftp", "scp"] {
        let outcome = world
            .program(program)
            .args([
                "-F",
                &outer,
                &format!("127.0.0.1:{}", path.display()),
                "stolen",
            ])
            .run();
        assert_ne!(outcome.code(), 0, "{program}");
    }
    let outcome = world.outer_ssh().args(["127.0.0.1", "id"]).run();
    assert_eq!(outcome.text(), "");
    assert!(
        outcome.stderr.contains("there is no shell here"),
        "{}",
        outcome.stderr
    );
    assert!(!world.dir().join("stolen").exists());
    recorded(&world, b"", b"private\n", b"");
}
