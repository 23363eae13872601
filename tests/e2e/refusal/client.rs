//! The client leg: who the user is.

use crate::support::hostile;
use crate::support::{Certificate, Issuer, World};

use super::Refusal;

/// A world whose user has this certificate tries once and is turned away on the client leg.
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
fn a_certificate_of_type_host() {
    refused(made(&["-h"]), &["host certificate"]);
}

/// The login is known when the inner connection authenticates; the host is being dialled by then,
/// and hears nothing of the user.
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

/// PROTOCOL.certkeys: the signature key may not be a certificate. Stock ssh cannot even offer one.
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

    // The same bytes with the user's own good certificate are accepted: the refusal is not about
    // this client's manners.
    let path = crate::support::keys::with_suffix(key, "-cert.pub");
    let good = ssh_key::Certificate::read_file(&path).expect("a certificate");
    let good = good.to_bytes().expect("a certificate has bytes");
    let verdict = hostile::offer(world.address(), &login, key, &good);
    assert!(verdict.accepted, "{}", verdict.said);
}

/// A plain key is refused in silence, because every agent offers the plain key before the
/// certificate; ssh itself says that nothing was accepted.
#[test]
fn a_key_without_a_certificate() {
    let world = World::with().holds(crate::support::Holds::BareKey).start();
    world.forget_certificate();
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("Permission denied (publickey)"));
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(refusals[0]["reason"], "not-a-certificate", "{refusals:#?}");
    assert_eq!(world.node().connections(), 0);
    assert!(world.recording_files().is_empty());
}

/// The inner connection comes from somebody else than the outer one.
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
