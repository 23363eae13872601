//! The host certificate leg: the identity of the host.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use crate::support::recordings::text;
use crate::support::service::{host_with_keys_of, that_leads_to, that_says};
use crate::support::{HostKey, World};

use super::Refusal;

/// If a host presents this, the connection is refused after dialling, before data of the user is
/// sent.
fn refused(shown: HostKey, says: &[&str]) {
    let world = World::with().node("db1", shown).start();
    let outcome = world.run("db1", "true");
    Refusal {
        leg: "host-certificate",
        says,
        dials: true,
    }
    .check(&world, &outcome);
    let log = world.node().log();
    assert!(!log.contains("Accepted"), "{log}");
}

#[test]
fn a_plain_host_key() {
    refused(
        HostKey::Plain,
        &["remote host presented a public key, expected a host certificate"],
    );
}

#[test]
fn a_certificate_of_another_authority() {
    refused(HostKey::Stranger, &["not a trusted CA key"]);
}

#[test]
fn a_certificate_of_type_user() {
    refused(HostKey::UserType, &["user certificate"]);
}

#[test]
fn an_expired_certificate() {
    refused(HostKey::Expired, &["expired"]);
}

#[test]
fn a_certificate_with_another_name() {
    refused(HostKey::Named("elsewhere"), &["db1", "elsewhere"]);
}

#[test]
fn a_host_key_that_is_too_short() {
    refused(
        HostKey::Short,
        &[
            "the host's RSA key has 1024 bits, at least 2048 are required",
            "hint: use the host's Ed25519 key",
        ],
    );
}

/// A type of host key that is newer than this program.
#[test]
fn a_host_key_of_an_unknown_kind() {
    const YOUNG: &str = "ssh-mldsa44-ed25519@openssh.com";
    let (port, _) = that_says(host_with_keys_of(YOUNG), true);
    let world = World::with()
        .node("db1", HostKey::Certified)
        .foreign_node("young", port)
        .start();
    let outcome = world.run("young", "true");
    let says = format!("no common host key, the peer offers {YOUNG}");
    Refusal {
        leg: "proxy",
        says: &[
            &says,
            "hint: rproxy does not know this kind of key: on young, add an Ed25519 host key",
        ],
        dials: false,
    }
    .check(&world, &outcome);
    let refusals = world.refusals();
    assert_eq!(text(&refusals[0], "reason"), "no-common-algorithm");
}

/// A port at which something other than SSH answers is dialled once, and its first line is quoted.
#[test]
fn a_port_that_speaks_something_else() {
    for (words, stays, quoted) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            false,
            "HTTP/1.1 400 Bad Request",
        ),
        (
            b"220 mail.example.com ESMTP\r\n",
            true,
            "220 mail.example.com ESMTP",
        ),
        (
            b"\x15\x03\x01\x1b]0;x\x07",
            false,
            "\\u{15}\\u{3}\\u{1}\\u{1b}]0;x\\u{7}",
        ),
    ] {
        let (port, count) = that_says(words, stays);
        let world = World::with()
            .node("db1", HostKey::Certified)
            .foreign_node("web1", port)
            // A proxy that waits for more data, or dials again, exceeds the test's time limit.
            .settings("upstream: { connect_timeout: 10m }")
            .start();
        let outcome = world.run("web1", "true");
        let says = format!("web1 (127.0.0.1:{port}) is no SSH server: it answers \"{quoted}\"");
        Refusal {
            leg: "proxy",
            says: &[&says, "hint: correct the port"],
            dials: false,
        }
        .check(&world, &outcome);
        assert_eq!(text(&world.refusals()[0], "reason"), "not-ssh");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

/// An address that leads to the proxy presents the proxy's key: the proxy does not connect to
/// itself.
#[test]
fn the_proxy_behind_another_port() {
    let address: Arc<OnceLock<SocketAddr>> = Arc::default();
    let leads_to = Arc::clone(&address);
    let port = that_leads_to(move || *leads_to.get().expect("the proxy listens"));
    let world = World::with()
        .node("db1", HostKey::Certified)
        .foreign_node("front", port)
        .start();
    address.set(world.address()).expect("it is set once");
    let outcome = world.run("front", "true");
    Refusal {
        leg: "proxy",
        says: &["front is this proxy, which does not connect to itself"],
        dials: false,
    }
    .check(&world, &outcome);
    assert_eq!(text(&world.refusals()[0], "reason"), "own-listener");
}
