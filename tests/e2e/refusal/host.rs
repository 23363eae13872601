//! The host certificate leg: whom the proxy talks to.

use crate::support::{HostKey, World};

use super::Refusal;

/// A world whose host shows this is refused after dialling, before anything of the user is sent.
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
