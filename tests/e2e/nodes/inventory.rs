//! Nodes that have joined, as administrators and users see them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::World;
use crate::support::recordings::text;

/// What `nodes ls` says, from the first heartbeat to the lost ones.
#[test]
fn a_node_is_online_until_three_heartbeats_are_missing() {
    let world = World::with().moving_clock().start();
    let host = world.joined_host("web1", &["--labels=env=prod"]);
    let node = world.listed_node("web1").expect("it has joined");
    assert_eq!(text(&node, "state"), "online");
    let seen = chrono::DateTime::parse_from_rfc3339(text(&node, "last_seen"));
    let seen = u64::try_from(seen.expect("a time").timestamp()).expect("after 1970");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.as_ref().map_or(0, Duration::as_secs);
    assert!((now - 120..=now).contains(&seen), "{node}");
    assert_eq!(
        text(&node, "address"),
        format!("127.0.0.1:{}", host.sshd.port)
    );
    assert_eq!(node["labels"], serde_json::json!(["env=prod"]));
    assert!(!node["certificate_expires"].is_null(), "{node}");
    assert_eq!(text(&node, "sshd"), "OpenSSH_9.2p1 Debian-2");

    world.set_clock(seen + 120);
    let state = || {
        let node = world.listed_node("web1").expect("it is there");
        text(&node, "state").to_owned()
    };
    assert_eq!(state(), "online");
    world.set_clock(seen + 180);
    assert_eq!(state(), "offline");
    world.heartbeat(&host);
    assert_eq!(state(), "online");
}

/// A user reaches it by its name, as a host of the configuration; it goes when it is removed.
#[test]
fn a_node_is_a_host_like_others_until_it_is_removed() {
    let world = World::new();
    let host = world.joined_host("web1", &["--labels=env=prod"]);
    let outcome = world.eventually("a session at the node", || {
        let outcome = world.run("web1", "echo hello");
        (outcome.code() == 0).then_some(outcome)
    });
    assert_eq!(outcome.text(), "hello\n");
    assert_eq!(host.sshd.connections(), 1);
    let listed = world.outer_ssh().args(["127.0.0.1", "ls"]).run().success();
    for name in ["web1", "db1"] {
        assert!(listed.text().contains(name), "{}", listed.text());
    }
    // By its label alone, too.
    assert_eq!(world.run("env=prod", "echo hello").text(), "hello\n");

    world.about_nodes(&["rm", "web1"]);
    world.eventually("the node is gone", || {
        let outcome = world.run("web1", "true");
        (outcome.code() == 255).then_some(())
    });
    assert_eq!(world.listed_node("web1"), None);
    let outcome = world.heartbeat_as(&host, &host.report());
    super::assert_refused(&world, &outcome, "not-joined", "no node has this host key");
}

/// A name that the configuration has since it was read again is taken: the process that lets hosts join reads
/// it again too.
#[test]
fn a_name_that_a_reload_has_brought_is_taken() {
    let world = World::new();
    let host = world.new_host("web7");
    let token = world.node_token(&["--uses=1000"]);
    world.reconfigure(|text| {
        text.replace(
            "\nnodes:\n",
            "\nnodes:\n  - { name: web7, addr: 127.0.0.1 }\n",
        )
    });
    let refused = world.eventually("web7 is a name of the configuration", || {
        let outcome = world.join_as(&host, &token, &host.report());
        if outcome.code() == 0 {
            world.about_nodes(&["rm", "web7"]);
            return None;
        }
        Some(outcome)
    });
    super::assert_refused(&world, &refused, "name-taken", "web7");
}

/// Its labels count for the roles as those of the configuration do, also when they change.
#[test]
fn a_node_that_changes_its_labels_is_used_by_others() {
    let world = World::with()
        .settings(
            "roles: [{ name: web, allow: [{ labels: { role: web } }] }]\n\
             users: [{ name: alice, roles: [web] }]",
        )
        .start();
    let host = world.joined_host("web1", &[]);
    let denied = world.run("web1", "true");
    assert_eq!(denied.code(), 255, "{}", denied.text());
    let mut report = host.report();
    report.labels = vec!["role=web".to_owned()];
    world.heartbeat_as(&host, &report).success();
    world.eventually("a session at the node", || {
        let outcome = world.run("web1", "true");
        (outcome.code() == 0).then_some(())
    });
}
