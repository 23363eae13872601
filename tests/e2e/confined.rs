//! The worker has given up the access that it does not need, and works. The workers of all other
//! tests are confined as well.

use rustix::process::Signal;

use crate::support::recordings::text;
use crate::support::{World, keys, skipped};

/// A field of `/proc/PID/status`, as a number.
fn status(pid: u32, field: &str) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let value = status.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == field).then(|| value.trim().to_owned())
    });
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("proc(5): {field}"))
}

/// The worker's log line about it.
fn confined_by(world: &World) -> String {
    world.logged("confined by ")
}

/// Removes the directory for recordings. A process that may create directories creates it again.
fn lose_recordings(world: &World) {
    let recordings = world.data().join("recordings");
    std::fs::remove_dir_all(recordings).expect("the test's own directory");
}

/// The kernel reports the confinement. That the confinement works is shown by something that the
/// worker can no longer do: create a directory beside `ca/`.
#[test]
fn the_worker_is_confined() {
    let world = World::new();
    world.run("db1", "true").success();
    let (monitor, worker) = (world.proxy_pid(), world.worker_pid());
    assert_eq!(status(worker, "NoNewPrivs"), 1);
    assert_eq!(status(worker, "Seccomp"), 2);
    // A container may have filters of its own.
    let filters = |pid| status(pid, "Seccomp_filters");
    assert!(filters(worker) > filters(monitor));
    let by = confined_by(&world);
    assert!(by.contains(", seccomp"), "{by}");
    if by.contains("no Landlock") {
        return skipped::cannot(&by);
    }
    lose_recordings(&world);
    let outcome = world.run("db1", "true");
    assert_ne!(outcome.code(), 0);
    assert!(outcome.stderr.contains("record"), "{}", outcome.stderr);
}

/// The configuration can turn it off; the log warns about that.
#[test]
fn it_can_be_switched_off() {
    let world = World::with().proxy_setting("sandbox: no").start();
    world.run("db1", "true").success();
    let filters = |pid| status(pid, "Seccomp_filters");
    assert_eq!(filters(world.worker_pid()), filters(world.proxy_pid()));
    world.logged("proxy_service.sandbox is off");
    lose_recordings(&world);
    world.run("db1", "true").success();
}

/// A worker from before an upgrade works with the new monitor: its log is rotated, and a revocation
/// closes its sessions.
#[test]
fn files_are_lent_across_an_upgrade() {
    let world = World::with().own_program().start();
    let mut terminal = world.shell();
    let old = world.worker_pid();
    world.signal_proxy(Signal::USR2);
    world.eventually("an upgrade", || {
        let upgraded = |event: &serde_json::Value| event["event"] == "server.upgraded";
        world.audit().iter().any(upgraded).then_some(())
    });
    assert!(world.workers().contains(&old));

    let log = world.data().join("audit.jsonl");
    std::fs::rename(&log, log.with_extension("1")).expect("our own file");
    world.signal_proxy(Signal::HUP);
    world.eventually("both write to the new file", || {
        // Until one of them has made it, there is none.
        let events = log.exists().then(|| world.audit())?;
        let reloaded = |event: &&serde_json::Value| event["event"] == "configuration.reloaded";
        (events.iter().filter(reloaded).count() == 2).then_some(())
    });

    keys::tool(world.rproxy().args([
        "auth",
        "revoke",
        "--yes",
        "--key-id=alice",
        "--reason=laptop stolen",
    ]));
    terminal.expect("rproxy: client: certificate revoked: laptop stolen");
    assert_eq!(terminal.finish().0, Some(255));
    let ended = world.eventually("the session has ended", || {
        let ended = |event: &serde_json::Value| event["event"] == "session.end";
        world.audit().into_iter().find(ended)
    });
    assert_eq!(text(&ended, "reason"), "certificate-revoked");
}
