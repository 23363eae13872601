//! The text after `proxy:`, and the host to which it leads.

use crate::support::{HostKey, World};

/// The own cluster's name after `@` changes nothing.
#[test]
fn the_own_cluster_may_be_named() {
    let world = World::new();
    let outcome = world.ssh_by("proxy:%h:%p@example.test", "db1", "echo here");
    assert_eq!(outcome.success().text(), "here\n");
}

/// The proxy uses a node's own port if the client asks for 22, for 0, or for that port.
#[test]
fn the_nodes_own_port_stands() {
    let world = World::new();
    let own = format!("proxy:db1:{}", world.node().port);
    for subsystem in ["proxy:db1:22", "proxy:db1:0", &own] {
        let outcome = world.ssh_by(subsystem, "db1", "echo here");
        assert_eq!(outcome.success().text(), "here\n", "{subsystem}");
    }
}

/// A label finds the one node that carries it.
#[test]
fn a_label_finds_its_node() {
    let world = World::with()
        .labelled_node("db1", HostKey::Certified, "{ env: prod }")
        .labelled_node("db2", HostKey::Certified, "{ env: test }")
        .start();
    let outcome = world.run("env=prod", "echo here").success();
    assert_eq!(outcome.text(), "here\n");
    assert_eq!(world.node().connections(), 1);
}
