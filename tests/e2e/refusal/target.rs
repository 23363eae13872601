//! Targets that are refused.

use crate::ca_keys::in_an_agent;
use crate::support::{HostKey, World};

use super::Refusal;

/// `ssh -s PROXY SUBSYSTEM` is refused on the proxy leg, and no host is dialled.
fn refused(world: &World, subsystem: &str, says: &[&str]) {
    let outcome = world.outer_ssh().args(["-s", "127.0.0.1", subsystem]).run();
    assert_ne!(outcome.code(), 0, "{subsystem}: {}", outcome.stderr);
    Refusal {
        leg: "proxy",
        says,
        dials: false,
    }
    .check_traces(world, &outcome);
}

/// One test each, so that one wrong name does not hide another.
macro_rules! malformed {
    ($($test:ident: $subsystem:expr;)*) => {
        $(
            #[test]
            fn $test() {
                refused(&World::new(), $subsystem, &[]);
            }
        )*
    };
}

malformed! {
    a_subsystem_of_another_kind: "sftp";
    a_subsystem_without_a_host: "proxy:";
    a_subsystem_with_a_port_alone: "proxy::22";
    a_port_that_is_no_number: "proxy:db1:ssh";
    a_port_that_is_too_large: "proxy:db1:65536";
    a_port_in_hexadecimal: "proxy:db1:0x16";
    a_host_with_a_space: "proxy:db 1:22";
    a_host_with_a_newline: "proxy:db1\n:22";
    a_host_with_a_wildcard: "proxy:db*:22";
    a_cluster_without_a_name: "proxy:db1:22@";
    two_clusters: "proxy:db1:22@example.test@example.test";
}

#[test]
fn a_subsystem_that_is_too_long() {
    let long = format!("proxy:{}:22", "a".repeat(5000));
    refused(&World::new(), &long, &[]);
}

#[test]
fn another_cluster() {
    refused(
        &World::new(),
        "proxy:db1:22@elsewhere.test",
        &["elsewhere.test"],
    );
}

#[test]
fn a_port_that_is_not_the_nodes() {
    refused(&World::new(), "proxy:db1:2", &[]);
}

#[test]
fn a_label_that_two_nodes_carry() {
    let world = World::with()
        .labelled_node("db1", HostKey::Certified, "{ env: prod }")
        .labelled_node("db2", HostKey::Certified, "{ env: prod }")
        .start();
    refused(&world, "proxy:env=prod:22", &["db1", "db2"]);
}

#[test]
fn an_unknown_node() {
    let world = World::new();
    let outcome = world.run("no-such-host.invalid", "true");
    Refusal {
        leg: "proxy",
        says: &["no-such-host.invalid"],
        dials: false,
    }
    .check(&world, &outcome);
}

/// A name without an address needs no certificate: nothing is signed for it, and the client does
/// not wait for the CA's key.
#[test]
fn an_unknown_node_costs_no_signature() {
    let world = World::with().ca_keys(in_an_agent).start();
    world.run("127.0.0.1", "true");
    world.ca_agent.take().expect("the keys are in one").kill();
    for host in ["no-such-host.invalid", "nor-this-one.invalid"] {
        let outcome = world.run(host, "true");
        assert_eq!(outcome.code(), 255);
        let says = format!("rproxy: proxy: unknown node {host}");
        assert!(outcome.stderr.contains(&says), "{}", outcome.stderr);
    }
    let log = world.proxy_log();
    assert!(!log.contains("cannot make a host certificate"), "{log}");
    // For a host that can be reached, the user reads that the certificate cannot be signed.
    let outcome = world.run("db1", "true");
    let says = "cannot make a host certificate";
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
}
