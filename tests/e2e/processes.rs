//! Three processes: the monitor holds the ports, the worker talks to the network, the auth process has the
//! CAs' keys. What happens to one of them when another exits.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::children::may_look_into;
use crate::support::{World, keys, skipped};

/// Whether there is such a process, and it is not a zombie.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The sockets of a process, by their inode numbers.
fn sockets(pid: u32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let links = entries
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links
        .map(|link| link.to_string_lossy().into_owned())
        .collect()
}

/// SIGKILL for the monitor: the worker could not be stopped any more, so it closes its sessions in
/// the usual way, and exits.
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

/// The worker is killed, or crashes: the monitor exits with a failure, so that the service manager
/// restarts the proxy.
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

/// The worker reads what clients send: the monitor has the listener and no connection.
#[test]
fn the_monitor_touches_no_connection() {
    let world = World::new();
    if !may_look_into(world.proxy_pid()) {
        return;
    }
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

/// The private half of a CA's key, 32 bytes, from its file.
fn seed(world: &World, name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(world.data().join("ca").join(name)).expect("a key file");
    let key = ssh_key::PrivateKey::from_openssh(text).expect("a key");
    let pair = key.key_data().ed25519().expect("the default kind");
    pair.private.to_bytes().to_vec()
}

/// Whether these bytes are anywhere in the memory of a process.
fn has_in_memory(pid: u32, wanted: &[u8]) -> bool {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("a child of ours");
    maps.lines()
        .filter(|line| line.contains(" rw"))
        .any(|line| {
            let range = line
                .split_whitespace()
                .next()
                .and_then(|range| range.split_once('-'));
            let (from, to) = range.expect("proc(5)");
            let number = |text| u64::from_str_radix(text, 16).expect("proc(5)");
            let (from, to) = (number(from), number(to));
            let mut bytes = vec![0; usize::try_from(to - from).expect("it fits")];
            // Some mappings, as those of the kernel, cannot be read.
            let count = memory.read_at(&mut bytes, from).unwrap_or(0);
            bytes[..count]
                .windows(wanted.len())
                .any(|part| part == wanted)
        })
}

/// A mistake in code that reads hostile input does not reveal the CAs' keys: the process that reads
/// has them neither in its memory nor open, nor has the process that starts it. Sessions work all the
/// same, because the auth process signs the host certificates.
#[test]
fn the_worker_has_no_authority() {
    let world = World::new();
    world.run("db1", "true").success();
    let (monitor, worker, auth) = (world.proxy_pid(), world.worker_pid(), world.auth_pid());
    if !may_look_into(monitor) {
        return;
    }
    let host = seed(&world, "host_ca");
    assert!(has_in_memory(auth, &host), "the test finds what is there");
    // It signs with the host CA's key alone.
    let user = seed(&world, "user_ca");
    assert!(!has_in_memory(auth, &user), "user_ca in the auth process");
    for (name, seed) in [("user_ca", user), ("host_ca", host)] {
        for pid in [worker, monitor] {
            assert!(!has_in_memory(pid, &seed), "{name} in {pid}");
        }
    }
}

/// During a rotation, too: it has the key that signs, and not the other one.
#[test]
fn the_auth_process_has_the_key_that_signs() {
    let world = World::new();
    if !may_look_into(world.proxy_pid()) {
        return;
    }
    world.stop_proxy();
    for phase in ["init", "update_clients", "update_servers"] {
        let phase = format!("--phase={phase}");
        keys::tool(
            world
                .rproxy()
                .args(["auth", "rotate", "--type=host", &phase]),
        );
    }
    let (old, new) = (seed(&world, "host_ca"), seed(&world, "host_ca_new"));
    world.restart_proxy();
    let auth = world.auth_pid();
    assert!(has_in_memory(auth, &new), "the new key signs");
    assert!(!has_in_memory(auth, &old), "the old key does not");
}

/// Even if the service manager or an administrator has enabled core dumps for all processes, these
/// processes write none, because their memory holds keys and sessions; and their memory does not
/// get into swap.
#[test]
fn memory_is_neither_dumped_nor_swapped() {
    let world = World::new();
    world.run("db1", "true").success();
    let (monitor, worker, auth) = (world.proxy_pid(), world.worker_pid(), world.auth_pid());
    let file = |pid: u32, name: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("it runs")
    };
    for pid in [monitor, worker, auth] {
        let limits = file(pid, "limits");
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file"));
        let numbers: Vec<_> = core
            .expect("proc(5)")
            .split_whitespace()
            .filter(|word| *word == "0")
            .collect();
        assert_eq!(numbers.len(), 2, "{limits}");
    }
    let is_locked = [monitor, auth].map(|pid| {
        let status = file(pid, "status");
        let locked = status.lines().find(|line| line.starts_with("VmLck:"));
        locked.is_some_and(|line| !line.contains("\t       0 kB"))
    });
    match is_locked {
        [true, true] => assert!(!world.proxy_log().contains("memory cannot be locked")),
        [false, false] => {
            world.logged("memory cannot be locked");
            skipped::cannot("memory cannot be locked without a limit here");
        }
        [monitor, auth] => panic!("locked: the monitor {monitor}, the auth process {auth}"),
    }
}

/// A person starts the worker by hand.
#[test]
fn a_worker_without_a_monitor_says_what_it_is_for() {
    for command in ["worker", "web-service", "auth-service"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_rproxy"))
            .arg(command)
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
}
