//! Two processes: the monitor holds the ports, the worker talks to the network. What becomes of one when
//! the other ends.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::World;

/// Whether there is such a process, and it is not only waiting to be buried.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The sockets of a process, as the kernel numbers them.
fn sockets(pid: u32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let links = entries
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links
        .map(|link| link.to_string_lossy().into_owned())
        .collect()
}

/// SIGKILL for the monitor: nobody could stop the worker any more, so it ends its sessions as at any end,
/// and itself.
#[test]
fn the_worker_ends_in_order_when_the_monitor_is_killed() {
    let world = World::new();
    let mut session = world.ssh().args(["db1", "echo here; sleep 60"]).start();
    assert_eq!(session.read(5), b"here\n");
    let worker = world.worker_pid();
    world.kill_monitor();
    let outcome = session.finish();
    assert_eq!(outcome.code(), 255);
    assert!(
        outcome.stderr.contains("rproxy: proxy: shutting down"),
        "{}",
        outcome.stderr
    );
    world.eventually("the worker has ended", || (!lives(worker)).then_some(()));
    assert_eq!(world.recording()["state"], "complete");
    let audit = world.audit();
    let stopped = audit
        .iter()
        .find(|event| event["event"] == "server.stopped");
    assert_eq!(stopped.expect("audited")["reason"], "monitor-gone");
}

/// The worker is killed, or crashes: there is no proxy then, and the service manager learns so.
#[test]
fn the_monitor_says_so_when_the_worker_is_killed() {
    let world = World::new();
    let worker = i32::try_from(world.worker_pid())
        .ok()
        .and_then(Pid::from_raw);
    kill_process(worker.expect("it runs"), Signal::KILL).expect("it runs");
    assert_eq!(world.proxy_end(), Some(1));
    let log = world.proxy_log();
    assert!(
        log.contains(
            "rproxy: the proxy does not run any more\n  caused by: the worker ended by signal 9"
        ),
        "{log}"
    );
}

/// What strangers send is read by the worker: the monitor has the listener and no connection.
#[test]
fn the_monitor_touches_no_connection() {
    let world = World::new();
    let before = sockets(world.proxy_pid());
    let mut session = world.ssh().args(["db1", "cat"]).start();
    world.eventually("a session", || {
        world
            .audit()
            .iter()
            .any(|event| event["event"] == "session.start")
            .then_some(())
    });
    assert_eq!(sockets(world.proxy_pid()), before);
    session.stdin = None;
    session.finish().success();
}

/// Somebody types it by hand.
#[test]
fn a_worker_without_a_monitor_says_what_it_is_for() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rproxy"))
        .arg("worker")
        .arg("--data-dir=/nonexistent")
        .env("RPROXY_CONFIG", "/dev/null")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("this command is for rproxy serve, which starts it"),
        "{said}"
    );
}
