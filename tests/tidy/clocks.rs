//! The files that may read a clock, and those that may start a task or a thread.

use std::collections::BTreeSet;
use std::path::Path;

use crate::source::{line_of, product, words};
use crate::tidy::complain;

/// Rooms that are told the time, and what happens after it has passed.
const WITHOUT_CLOCKS: &[&str] = &[
    "access",
    "agent",
    "cert",
    "model",
    "openssh",
    "recording",
    "relay",
    "wire",
];

/// Rooms that run on a runtime: tests stop its clock, and cannot stop the system's.
const ON_A_RUNTIME: &[&str] = &[
    "control",
    "worker",
    "dns",
    "net",
    "session",
    "ssh",
    "web",
    "web_service",
];

/// Files of those rooms that may measure with `std::time::Instant` after all, and why.
const MAY_MEASURE: &[(&str, &str)] = &[
    ("src/control/client.rs", "the client has no runtime"),
    (
        "src/session/recorder.rs",
        "measures how long writing took, for the metrics; nothing is decided by it",
    ),
    (
        "src/ssh/agent.rs",
        "measures how long the agent took, for the metrics; nothing is decided by it",
    ),
    (
        "src/net/limits.rs",
        "counts in minutes, and is told the time by its tests",
    ),
    (
        "src/ssh/outer/mod.rs",
        "measures how long authentication took, for the metrics; nothing is decided by it",
    ),
];

/// Files that start tasks or threads, and what ends them.
const MAY_SPAWN: &[(&str, &str)] = &[
    (
        "src/cli/doctor/child.rs",
        "reads a pipe of a program that runs for a bounded time",
    ),
    (
        "src/cli/fleet.rs",
        "asks several hosts at once, joined before it returns",
    ),
    (
        "src/cli/play/keys.rs",
        "reads the terminal; the process ends with the replay",
    ),
    (
        "src/auth/changes.rs",
        "reads the state as long as the process runs; joined at the end",
    ),
    (
        "src/auth/identity_provider.rs",
        "looks whether the provider can be used, when that is asked for, as long as the process runs",
    ),
    (
        "src/auth/telemetry.rs",
        "looks at the state as long as the process runs; joined at the end",
    ),
    (
        "src/auth/mod.rs",
        "follow the rotation of the CAs and write sums as long as the process runs; joined at the end",
    ),
    (
        "src/monitor/mod.rs",
        "writes sums as long as the event loop runs, on whose runtime it is",
    ),
    (
        "src/auth/thread_pool.rs",
        "work on calls, how many at once is bounded; joined at the end",
    ),
    (
        "src/cli/sessions/watch.rs",
        "reads the control socket; the process ends with the view",
    ),
    (
        "src/cli/signals.rs",
        "waits for signals as long as the process runs",
    ),
    (
        "src/control/server.rs",
        "a thread that the handle of the server joins, and a bounded set of clients",
    ),
    (
        "src/ssh/outer/programs/mod.rs",
        "programs, which the connection's tracker waits for; their times are bounded",
    ),
    (
        "src/ssh/waiting_line.rs",
        "questions off the runtime, a bounded number at a time, with the time limit of a call",
    ),
    (
        "src/ssh/node/front.rs",
        "programs and the report of a tunnel, which the connection's tracker waits for; their times are bounded",
    ),
    (
        "src/ssh/revocation_file.rs",
        "makes the list off the runtime, and is awaited",
    ),
    (
        "src/ssh/peers/client.rs",
        "carries one stream to another proxy, and ends with it",
    ),
    (
        "src/ssh/peers/server.rs",
        "carries one stream of another proxy, and ends with its connection",
    ),
    (
        "src/ssh/asked_connection.rs",
        "one message at the end of a connection, with the time limit of a call",
    ),
    (
        "src/worker/mod.rs",
        "what the worker does as long as it runs",
    ),
    (
        "src/web_service/mod.rs",
        "what the web process does as long as it runs",
    ),
    (
        "src/web_service/published.rs",
        "asks off the runtime, one question at a time, and is awaited",
    ),
    (
        "src/web_service/reload.rs",
        "reads files off the runtime, and is awaited",
    ),
    (
        "src/monitor/link.rs",
        "reads what the monitor says as long as the process runs",
    ),
    (
        "src/worker/reload.rs",
        "reads files off the runtime, and is awaited",
    ),
    (
        "src/worker/revocations.rs",
        "reads files off the runtime, and is awaited",
    ),
    (
        "src/worker/stop.rs",
        "ends the process when the time for draining is over",
    ),
    (
        "src/dns/mod.rs",
        "reads files off the runtime, and is awaited",
    ),
    (
        "src/monitor/children.rs",
        "asks another program whether it would run, for a bounded time",
    ),
    (
        "src/monitor/services.rs",
        "works on one call; how many at once is bounded",
    ),
    (
        "src/monitor/child.rs",
        "reads what a process says until it ends",
    ),
    (
        "src/net/runtimes.rs",
        "asks each runtime whether it runs; aborted when that takes too long",
    ),
    (
        "src/store/threads.rs",
        "syncs recordings, so that no relay waits for the disk; how many at once is bounded",
    ),
    (
        "src/ssh/compute.rs",
        "a key exchange; aborted when its connection is dropped",
    ),
    (
        "src/ssh/expiry_warnings.rs",
        "writes a line of the audit log off the runtime",
    ),
    (
        "src/ssh/host_certificate.rs",
        "asks for a signature off the runtime, and is awaited",
    ),
    (
        "src/ssh/listener.rs",
        "the serving threads, and one task for each client in a set that is joined",
    ),
    (
        "src/ssh/outer/target.rs",
        "the inner connections of a client, in a set that ends with it",
    ),
    (
        "src/sys/log.rs",
        "writes the log as long as the process runs",
    ),
    (
        "src/sys/sandbox/landlock.rs",
        "tries a restriction on a thread of its own, joined at once",
    ),
    (
        "src/web/sign_in.rs",
        "asks the process that has the state, a few at a time; it waits for a limited time",
    ),
    (
        "src/web/probe.rs",
        "looks at files off the runtime; one look at a time",
    ),
    (
        "src/web/server.rs",
        "one task for each client; how many is bounded",
    ),
    (
        "src/sys/account.rs",
        "acts as another account, joined before it returns",
    ),
];

#[test]
fn rules_are_told_the_time() {
    let mut wrong = Vec::new();
    for source in product() {
        if !is_in(&source.path, WITHOUT_CLOCKS) {
            continue;
        }
        for clock in ["Instant", "SystemTime", "Clock", "Utc::now"] {
            if let Some(at) = words(&source.code, clock).next() {
                wrong.push(format!(
                    "{}:{}: {clock}: this room is told the time",
                    source.path.display(),
                    line_of(&source.code, at)
                ));
            }
        }
    }
    complain(&wrong);
}

#[test]
fn a_runtimes_clock_is_used_where_there_is_one() {
    let mut needed = BTreeSet::new();
    let mut wrong = Vec::new();
    for source in product() {
        let measures = names_systems_instant(&source.code);
        if !is_in(&source.path, ON_A_RUNTIME) || !measures {
            continue;
        }
        match listed(MAY_MEASURE, &source.path) {
            Some(name) => {
                needed.insert(name);
            }
            None => wrong.push(format!(
                "{}: std::time::Instant, which tests cannot stop; tokio::time has one that they can",
                source.path.display()
            )),
        }
    }
    wrong.extend(stale(MAY_MEASURE, &needed));
    complain(&wrong);
}

#[test]
fn what_goes_on_beside_is_begun_in_few_places() {
    let mut needed = BTreeSet::new();
    let mut wrong = Vec::new();
    for source in product() {
        let begins = [
            "spawn",
            "spawn_blocking",
            "spawn_local",
            "spawn_on",
            "spawn_scoped",
        ]
        .iter()
        .find_map(|word| {
            words(&source.code, word).find(|at| {
                let before = &source.code[..*at];
                let after = &source.code[at + word.len()..];
                // A program is a child of its own.
                let is_call = after.starts_with('(') && !after.starts_with("()");
                is_call && (before.ends_with("::") || before.ends_with('.'))
            })
        });
        let Some(at) = begins else { continue };
        match listed(MAY_SPAWN, &source.path) {
            Some(name) => {
                needed.insert(name);
            }
            None => wrong.push(format!(
                "{}:{}: begins a task or a thread: who ends it? (MAY_SPAWN)",
                source.path.display(),
                line_of(&source.code, at)
            )),
        }
    }
    wrong.extend(stale(MAY_SPAWN, &needed));
    complain(&wrong);
}

/// Whether code imports or names the standard library's `Instant`.
fn names_systems_instant(code: &str) -> bool {
    words(code, "Instant").any(|at| {
        let before = &code[..at];
        let statement = &before[before.rfind(';').map_or(0, |end| end + 1)..];
        let statement = statement.trim_start();
        statement.starts_with("use std::time::") || before.ends_with("std::time::")
    })
}

fn is_in(file: &Path, rooms: &[&str]) -> bool {
    let room = file.iter().nth(1).and_then(|name| name.to_str());
    room.is_some_and(|room| rooms.contains(&room.trim_end_matches(".rs")))
}

fn listed(list: &'static [(&str, &str)], file: &Path) -> Option<&'static str> {
    list.iter()
        .map(|(name, _)| *name)
        .find(|name| Path::new(name) == file)
}

fn stale(list: &'static [(&str, &str)], needed: &BTreeSet<&str>) -> Vec<String> {
    list.iter()
        .filter(|(name, _)| !needed.contains(name))
        .map(|(name, _)| format!("{name}: needs no exception any more"))
        .collect()
}
