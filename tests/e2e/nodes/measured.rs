//! What the metrics say of nodes: the numbers of a real proxy, read with stock curl.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::metrics::scrape;
use crate::support::World;

/// What is counted about nodes: online, offline, locked, with a tunnel; heartbeats and refusals.
type NodeFigures = [f64; 6];

const SERIES: [&str; 6] = [
    "rproxy_nodes{state=\"online\"}",
    "rproxy_nodes{state=\"offline\"}",
    "rproxy_nodes{state=\"locked\"}",
    "rproxy_tunnelled_nodes",
    "rproxy_node_heartbeats_total",
    "rproxy_node_refusals_total",
];

/// Waits until the proxy says so. The state is looked at every five seconds.
fn says(world: &World, when: &str, expected: NodeFigures) {
    let mut last = Vec::new();
    let says = world.children.eventually(|| {
        let scrape = scrape(world);
        last = SERIES.map(|series| scrape.get(series).copied()).to_vec();
        (last == expected.map(Some)).then_some(())
    });
    assert!(says.is_some(), "{when}: {last:?} instead of {expected:?}");
}

/// Waits until more hosts were refused than before; how many.
fn refused_more_than(world: &World, before: f64) -> f64 {
    world.eventually("one more is refused", || {
        let count = scrape(world)["rproxy_node_refusals_total"];
        (count > before).then_some(count)
    })
}

#[test]
fn nodes_are_counted_from_the_first_to_the_last_day() {
    let world = World::with()
        .proxy_setting("metrics_listen_addr: 127.0.0.1:0")
        .moving_clock()
        .start();
    says(&world, "without nodes", [0.0; 6]);
    let web = world.joined_host("web1", &["--tunnel=allowed"]);
    let _db = world.joined_host("db9", &[]);
    says(&world, "two have joined", [2.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    world.heartbeat(&web);
    let thief = world.new_host("thief");
    let refused = world.join_as(&thief, "rpt_", &thief.report());
    assert_eq!(refused.code(), 1);
    says(&world, "a thief", [2.0, 0.0, 0.0, 0.0, 1.0, 1.0]);

    // Two tunnels of one node are one node with a tunnel.
    let tunnels = [world.tunnel(&web), world.tunnel(&web)];
    says(&world, "a tunnel", [2.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let [first, second] = tunnels;
    drop(first);
    drop(second);
    says(&world, "it has ended", [2.0, 0.0, 0.0, 0.0, 1.0, 1.0]);

    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.as_ref().map_or(0, Duration::as_secs);
    world.set_clock(now + 3_600);
    world.heartbeat(&web);
    says(&world, "an hour later", [1.0, 1.0, 0.0, 0.0, 2.0, 1.0]);
    world.about_nodes(&["lock", "web1"]);
    says(&world, "one is locked", [0.0, 1.0, 1.0, 0.0, 2.0, 1.0]);
    let report = web.report();
    assert_ne!(world.heartbeat_as(&web, &report).code(), 0);
    let refused = refused_more_than(&world, 1.0);
    world.about_nodes(&["rm", "web1"]);
    world.about_nodes(&["rm", "db9"]);
    says(&world, "none is left", [0.0, 0.0, 0.0, 0.0, 2.0, refused]);
    assert_eq!(world.heartbeat_as(&web, &report).code(), 1);
    refused_more_than(&world, refused);
}
