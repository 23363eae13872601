//! The client leg: refusals about the user's identity.

use crate::support::hostile;
use crate::support::{Certificate, Holds, Issuer, World, keys};

use super::Refusal;

/// In a world whose user has this certificate, one login is refused on the client leg.
fn refused(certificate: Certificate, says: &[&str]) {
    let world = World::with().certificate(certificate).start();
    let outcome = world.run("db1", "true");
    Refusal {
        leg: "client",
        says,
        dials: false,
    }
    .check(&world, &outcome);
}

fn made(arguments: &'static [&'static str]) -> Certificate {
    Certificate {
        issuer: Issuer::UserAuthority(arguments),
        principals: None,
    }
}

#[test]
fn an_expired_certificate() {
    refused(made(&["-V", "-2d:-1d"]), &["expired"]);
}

#[test]
fn a_certificate_that_is_not_valid_yet() {
    refused(made(&["-V", "+1d:+2d"]), &["not yet valid"]);
}

#[test]
fn a_certificate_of_another_authority() {
    let stranger = Certificate {
        issuer: Issuer::Stranger,
        principals: None,
    };
    refused(stranger, &["not a trusted CA key"]);
}

#[test]
fn a_key_that_is_too_short() {
    let world = World::with()
        .user_key(&["-t", "rsa", "-b", "1024"])
        .certificate(made(&[]))
        .start();
    let outcome = world.run("db1", "true");
    Refusal {
        leg: "client",
        says: &[
            "has an RSA key of 1024 bits, at least 2048 are required",
            "make a new key: ssh-keygen -t ed25519",
        ],
        dials: false,
    }
    .check(&world, &outcome);
}

#[test]
fn a_certificate_of_type_host() {
    refused(made(&["-h"]), &["host certificate"]);
}

/// The login is known when the inner connection authenticates. The host is being dialled by then,
/// and the user does not log in to it.
#[test]
fn a_certificate_without_the_login_among_its_principals() {
    let world = World::with()
        .certificate(Certificate {
            issuer: Issuer::Rproxy,
            principals: Some("somebody-else".to_owned()),
        })
        .start();
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rproxy: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("principal"), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("somebody-else"),
        "{}",
        outcome.stderr
    );
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(refusals[0]["leg"], "client", "{refusals:#?}");
    assert!(world.recording_files().is_empty());
    let log = world.node().log();
    assert!(!log.contains("publickey"), "{log}");
}

/// PROTOCOL.certkeys: an unknown critical option means that the certificate is refused.
#[test]
fn a_certificate_with_an_unknown_critical_option() {
    refused(
        made(&["-O", "critical:frobnicate@example.test=yes"]),
        &["critical option", "frobnicate@example.test"],
    );
}

/// PROTOCOL.certkeys: the signature key may not be a certificate. Stock `ssh` cannot offer such a
/// certificate.
#[test]
fn a_certificate_whose_signature_key_is_a_certificate() {
    let world = World::new();
    let login = crate::support::world::login();
    let key = &world.user.key;
    let nested = hostile::nested_certificate(key);
    let verdict = hostile::offer(world.address(), &login, key, &nested);
    assert!(!verdict.accepted);
    assert!(verdict.said.contains("rproxy: "), "{}", verdict.said);
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(refusals[0]["leg"], "client", "{refusals:#?}");
    assert_eq!(world.node().connections(), 0);

    // The same bytes with the user's own valid certificate are accepted: so the refusal has no
    // other reason.
    let path = keys::with_suffix(key, "-cert.pub");
    let good = ssh_key::Certificate::read_file(&path).expect("a certificate");
    let good = good.to_bytes().expect("a certificate has bytes");
    let verdict = hostile::offer(world.address(), &login, key, &good);
    assert!(verdict.accepted, "{}", verdict.said);
}

/// Agents offer plain keys before the certificate, so the user reads the reason only if no accepted
/// key follows.
#[test]
fn a_key_without_a_certificate() {
    let world = World::with().holds(Holds::BareKey).start();
    world.forget_certificate();
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    let told = &outcome.stderr;
    for said in [
        "rproxy: client: a plain key was offered (SHA256:",
        "  hint: get a certificate for it; on the proxy: rproxy auth sign --user",
        "  id: ",
    ] {
        assert_eq!(told.matches(said).count(), 1, "{said} in {told}");
    }
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(refusals[0]["reason"], "not-a-certificate", "{refusals:#?}");
    assert_eq!(world.node().connections(), 0);
    assert!(world.recording_files().is_empty());
}

/// The same on the inner connection, whose messages `ssh` shows whatever the ProxyCommand prints.
#[test]
fn a_key_without_a_certificate_on_the_inner_connection() {
    let world = World::new();
    let bare = world.dir().join("bare");
    keys::generate(&bare);
    let outcome = world
        .ssh()
        .args(["-o", "IdentityAgent=none", "-i"])
        .arg(&bare)
        .args(["db1", "true"])
        .run();
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    let said = "rproxy: client: a plain key was offered";
    let told = &outcome.stderr;
    assert_eq!(told.matches(said).count(), 1, "{told}");
    assert_eq!(world.refusals().len(), 1, "{:#?}", world.refusals());
}

/// A login succeeds whatever other keys the agent holds.
#[test]
fn keys_that_were_passed_over_are_not_told_of_when_a_login_succeeds() {
    let world = World::with().holds(Holds::Nothing).start();
    let agent = world.agent();
    for name in ["bare1", "bare2"] {
        let key = world.dir().join(name);
        keys::generate(&key);
        agent.add_bare(&key);
    }
    let login = crate::support::world::login();
    world.add_certificate("expired", &login, &["-V", "-2d:-1d"]);
    world.add_certificate("host", "db1", &["-h"]);
    let stranger = world.dir().join("stranger");
    let authority = world.dir().join("stranger_ca");
    keys::generate(&stranger);
    keys::generate(&authority);
    keys::sign(&authority, "stranger", &login, &[], &stranger);
    agent.add(&stranger);
    agent.add(&world.user.key);
    let outcome = world.run("db1", "echo in").success();
    assert_eq!(
        (outcome.text().as_str(), outcome.stderr.as_str()),
        ("in\n", "")
    );
    let audit = world.audit();
    let refused = audit.iter().find(|event| event["event"] == "auth.failure");
    assert!(refused.is_none(), "{refused:#?}");

    // Without the valid certificate, the user reads the most informative reason, once.
    agent.ssh_add(&["-d"], &world.user.key);
    for suffix in ["", ".pub", "-cert.pub"] {
        std::fs::remove_file(keys::with_suffix(&world.user.key, suffix)).expect("it is there");
    }
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    let told = &outcome.stderr;
    assert_eq!(told.matches("rproxy: ").count(), 1, "{told}");
    assert!(told.contains("expired"), "{told}");
    assert_eq!(world.refusals().len(), 1, "{:#?}", world.refusals());
}

/// Two certificates with different key ids in one agent: the one that has the login is used,
/// whichever comes first, with ProxyCommand and ProxyJump.
#[test]
fn of_two_certificates_the_one_with_the_login_is_taken() {
    let world = World::with()
        .certificate(Certificate {
            issuer: Issuer::Rproxy,
            principals: Some("somebody-else".to_owned()),
        })
        .start();
    let login = crate::support::world::login();
    world.add_certificate("alice-ops", &login, &[]);
    let outcome = world.run("db1", "echo in").success();
    assert_eq!(
        (outcome.text().as_str(), outcome.stderr.as_str()),
        ("in\n", "")
    );
    let jump = crate::jump::config(&world);
    let outcome = world
        .program("ssh")
        .args(["-F", &jump, "-A", "db1", "echo in"])
        .run()
        .success();
    assert_eq!(
        (outcome.text().as_str(), outcome.stderr.as_str()),
        ("in\n", "")
    );
    for recording in world.recordings() {
        assert_eq!(recording["user"], "alice-ops", "{recording:#}");
    }

    // A client that names another login to the proxy reads what to do.
    let command = format!(
        "ProxyCommand={} -F {} somebody-else@127.0.0.1 -s proxy:%h:%p",
        crate::support::programs::path("ssh").display(),
        world.dir().join("outer").display(),
    );
    let outcome = world.ssh().args(["-o", &command, "db1", "true"]).run();
    assert_eq!(outcome.code(), 255);
    let hint = format!(
        "on your machine: name the login to the proxy too, so that it takes the one with it: \
         `ssh -J {login}@127.0.0.1:3023`, or `%r@127.0.0.1` in ProxyCommand"
    );
    assert!(outcome.stderr.contains(&hint), "{}", outcome.stderr);
    assert_eq!(
        outcome.stderr.matches("rproxy: ").count(),
        1,
        "{}",
        outcome.stderr
    );
}

/// A certificate that lacks the user name of the outer connection is accepted if no other follows,
/// however many other keys the agent has.
#[test]
fn the_name_told_to_the_proxy_need_not_be_a_login() {
    let world = World::with().holds(Holds::Nothing).start();
    for number in 0..15 {
        let key = world.dir().join(format!("bare{number}"));
        keys::generate(&key);
        world.agent().add_bare(&key);
    }
    world.agent().add(&world.user.key);
    let command = format!(
        "ProxyCommand={} -F {} nobody-here@127.0.0.1 -s proxy:%h:%p",
        crate::support::programs::path("ssh").display(),
        world.dir().join("outer").display(),
    );
    let outcome = world
        .ssh()
        .args(["-o", &command, "db1", "echo in"])
        .run()
        .success();
    assert_eq!(
        (outcome.text().as_str(), outcome.stderr.as_str()),
        ("in\n", "")
    );
}

/// The inner connection authenticates another user than the outer one.
#[test]
fn a_different_identity_on_the_inner_leg() {
    let world = World::new();
    let other = world.another_user("mallory");
    world.inner_user(&other);
    let outcome = world.run("db1", "true");
    let refusals = world.refusals();
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("rproxy: "), "{}", outcome.stderr);
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(refusals[0]["leg"], "client", "{refusals:#?}");
    assert!(world.recording_files().is_empty());
    assert!(
        !world.node().log().contains("Accepted"),
        "{}",
        world.node().log()
    );
}
