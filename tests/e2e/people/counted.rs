//! The auth process counts, and the worker shows it: each fact once, whatever becomes of either process.

use rustix::process::Signal;

use crate::metrics::{Scrape, scrape};
use crate::support::World;

/// A proxy with metrics at which users sign in.
fn measured() -> World {
    let world = World::with().people();
    world
        .proxy_setting("metrics_listen_addr: 127.0.0.1:0")
        .start()
}

fn counted(world: &World, expected: &[(&str, f64)]) -> Scrape {
    let mut last = Scrape::new();
    world.eventually(&format!("{expected:?}"), || {
        last = scrape(world);
        let is_there = |(series, value): &(&str, f64)| last.get(*series) == Some(value);
        expected.iter().all(is_there).then(|| last.clone())
    })
}

#[test]
fn sign_ins_are_counted_once_whatever_ends() {
    let world = measured();
    let before = scrape(&world);
    assert_eq!(before["rproxy_auth_up"], 1.0);
    assert_eq!(before["rproxy_sign_ins_total{method=\"local\"}"], 0.0);
    assert!(before["rproxy_state_seconds_count{task=\"write\"}"] > 0.0);
    let invitation = world.invite("alice");
    world.sign_up("alice", &invitation);
    world.run("db1", "echo in").success();
    let mut terminal = world.asking_ssh("signup").in_terminal(60, 120);
    terminal.expect("invitation: ");
    terminal.type_in(&format!("{invitation}\r"));
    terminal.expect("the invitation is not valid");
    drop(terminal);
    let after = counted(
        &world,
        &[
            ("rproxy_sign_ins_total{method=\"local\"}", 1.0),
            ("rproxy_sign_ins_total{method=\"key\"}", 1.0),
            ("rproxy_sign_ins_total{method=\"oidc\"}", 0.0),
            ("rproxy_sign_in_refusals_total{reason=\"invitation\"}", 1.0),
            ("rproxy_sign_in_refusals_total{reason=\"answers\"}", 0.0),
            ("rproxy_sign_ins_throttled_total{counter=\"account\"}", 0.0),
            (
                "rproxy_user_certificates_total{purpose=\"connection\"}",
                1.0,
            ),
            ("rproxy_live_sign_ins", 1.0),
            ("rproxy_state_errors_total", 0.0),
            ("rproxy_auth_restarts_total", 0.0),
            (
                "rproxy_auth_audit_events_total{event=\"sign_in.begun\"}",
                1.0,
            ),
            ("rproxy_auth_audit_failures_total", 0.0),
        ],
    );
    assert!(after["rproxy_state_size_bytes"] > 4_096.0, "{after:#?}");
    assert!(after["rproxy_state_age_seconds"] < 60.0, "{after:#?}");

    // It dies: its counters begin at zero, once, and what the state has is still there.
    let started = after["rproxy_auth_start_time_seconds"];
    world.kill_auth();
    let after = counted(
        &world,
        &[
            ("rproxy_auth_up", 1.0),
            ("rproxy_auth_restarts_total", 1.0),
            ("rproxy_sign_ins_total{method=\"local\"}", 0.0),
            ("rproxy_live_sign_ins", 1.0),
        ],
    );
    assert!(after["rproxy_auth_start_time_seconds"] >= started);

    // After an upgrade there are two workers: the new one shows what its auth process has counted.
    let session = world.shell();
    let upgrades = || {
        let events = world.audit();
        let events = events.iter();
        events
            .filter(|event| event["event"] == "server.upgraded")
            .count()
    };
    world.signal_proxy(Signal::USR2);
    world.eventually("an upgrade", || (upgrades() == 1).then_some(()));
    world.run("db1", "echo in").success();
    session.type_in("exit\r");
    assert_eq!(session.finish().0, Some(0));
    counted(
        &world,
        &[
            ("rproxy_sign_ins_total{method=\"key\"}", 1.0),
            (
                "rproxy_user_certificates_total{purpose=\"connection\"}",
                1.0,
            ),
            ("rproxy_auth_restarts_total", 0.0),
            ("rproxy_auth_up", 1.0),
        ],
    );
}
