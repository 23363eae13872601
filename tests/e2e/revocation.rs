//! Revocation: connections of a revoked certificate are closed within a second, and new ones are
//! refused.

use std::process::Command;

use chrono::{DateTime, TimeDelta};
use serde_json::Value;

use crate::support::recordings::text;
use crate::support::{ClientOutcome, HostKey, World, keys};

fn revoke(world: &World, args: &[&str]) -> String {
    keys::tool(world.rproxy().args(["auth", "revoke", "--yes"]).args(args))
}

/// The inventory's entry for a key id.
fn issued(world: &World, key_id: &str) -> Value {
    let listed = keys::tool(world.rproxy().args(["auth", "ls", "--format=json"]));
    let all: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    let entry = all.into_iter().find(|entry| entry["key_id"] == key_id);
    entry.unwrap_or_else(|| panic!("{key_id} is in the inventory"))
}

/// The refusals of revoked certificates, as soon as there are this many.
fn refusals(world: &World, count: usize) -> Vec<Value> {
    world.eventually("refusals in the audit log", || {
        let mut found = world.refusals_so_far();
        found.retain(|event| event["reason"] == "certificate-revoked");
        (found.len() >= count).then_some(found)
    })
}

fn time(value: &Value) -> DateTime<chrono::FixedOffset> {
    DateTime::parse_from_rfc3339(text(value, "time")).expect("RFC 3339")
}

/// The last revocation.
fn last_revocation(world: &World) -> Value {
    let lines = std::fs::read_to_string(world.data().join("revoked.jsonl"));
    let lines = lines.expect("something is revoked");
    let last = lines.lines().last().expect("something is revoked");
    serde_json::from_str(last).expect("JSON")
}

fn check_refused(outcome: &ClientOutcome, says: &str) {
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
}

/// A revoked serial ends a live session within a second, with the reason on the user's terminal,
/// and the certificate is refused for new ones.
#[test]
fn a_revoked_serial_ends_a_live_session() {
    let world = World::new();
    let mut terminal = world.shell();
    let serial = text(&issued(&world, "alice"), "serial").to_owned();
    revoke(&world, &["--serial", &serial, "--reason", "laptop stolen"]);
    terminal.expect("rproxy: client: certificate revoked: laptop stolen");
    let (code, _) = terminal.finish();
    assert_eq!(code, Some(255));

    let revoked = time(&last_revocation(&world));
    for event in refusals(&world, 1) {
        let taken = time(&event) - revoked;
        assert!(taken < TimeDelta::seconds(1), "{taken}: {event:#}");
        assert_eq!(text(&event, "leg"), "client");
        assert_eq!(text(&event, "user"), "alice");
    }
    let recording = world.finished_recording();
    assert_eq!(text(&recording, "state"), "complete");
    let end = world.eventually("the session's end is audited", || {
        let is_end = |event: &Value| event["event"] == "session.end";
        world.audit().into_iter().find(is_end)
    });
    assert_eq!(text(&end, "reason"), "certificate-revoked");

    check_refused(
        &world.run("db1", "true"),
        "rproxy: client: certificate revoked: laptop stolen",
    );
}

/// The same by the certificate's file, for a command without a terminal; sessions of other users go
/// on.
#[test]
fn only_the_revoked_have_to_go() {
    let world = World::new();
    let mut live = world.ssh().args(["db1", "echo begins; sleep 1000"]).start();
    assert_eq!(live.read(7), b"begins\n");
    revoke(&world, &["--key-id", "mallory", "--unknown"]);
    let other = world.run("db1", "echo still welcome").success();
    assert_eq!(other.text(), "still welcome\n");

    let certificate = keys::with_suffix(&world.user.key, "-cert.pub");
    let certificate = certificate.to_str().expect("a plain path");
    revoke(&world, &["--certificate", certificate]);
    let outcome = live.finish();
    check_refused(&outcome, "rproxy: client: certificate revoked\r\n  hint: ");
}

/// A host certificate can be revoked too: sessions to the host are closed, and new ones are
/// refused.
#[test]
fn a_revoked_host_is_talked_to_no_more() {
    let world = World::new();
    let mut terminal = world.shell();
    let serial = text(&issued(&world, "db1"), "serial").to_owned();
    revoke(&world, &["--serial", &serial, "--reason", "reinstalled"]);
    let text = "rproxy: host certificate: remote host's certificate revoked: reinstalled";
    terminal.expect(text);
    assert_eq!(terminal.finish().0, Some(255));
    check_refused(&world.run("db1", "true"), text);
    let legs = refusals(&world, 2);
    assert!(legs.iter().all(|event| event["leg"] == "host-certificate"));
}

/// A connection without a session, such as that of a control master, is closed too.
#[test]
fn an_idle_connection_ends_too() {
    let world = World::new();
    let live = world.outer_ssh().args(["-N", "127.0.0.1"]).start();
    world.eventually("the client is in", || {
        let audit = world.audit();
        audit
            .into_iter()
            .find(|event| event["event"] == "auth.success")
    });
    revoke(&world, &["--key-id", "alice", "--reason", "left"]);
    check_refused(&live.finish(), "certificate revoked: left");
}

/// `RevokedKeys` of stock sshd reads what `auth krl` writes.
#[test]
fn stock_sshd_goes_by_the_list() {
    let lists = tempfile::tempdir().expect("a temporary directory");
    let list = lists.path().join("krl");
    let setting = format!("RevokedKeys {}\n", list.display());
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, &setting)
        .start();
    let publish = || {
        let out = format!("--out={}", list.display());
        keys::tool(world.rproxy().args(["auth", "krl", &out]));
    };
    publish();
    world.direct_ssh().args(["db1", "true"]).run().success();
    revoke(&world, &["--key-id", "alice"]);
    publish();
    let refused = world.direct_ssh().args(["db1", "true"]).run();
    assert_eq!(refused.code(), 255, "{}", refused.stderr);
    let log = world.node().log();
    assert!(log.contains("revoked"), "{log}");
}

/// Many commands at once: every line is whole, no version and no serial is given twice.
#[test]
fn commands_at_once_corrupt_nothing() {
    const EACH: usize = 6;
    let world = World::new();
    let key = keys::with_suffix(&world.user.key, ".pub");
    let start = |number: usize| -> Vec<Command> {
        let mut revoke = world.rproxy();
        revoke.args(["auth", "revoke", "--yes", "--unknown"]);
        revoke.args(["--key-id", &format!("person{number}")]);
        let mut sign = world.rproxy();
        sign.args(["auth", "sign", "--logins=root"])
            .arg(format!("--user=user{number}"))
            .arg(format!("--public-key={}", key.display()))
            .arg(format!(
                "--out={}",
                world.dir().join(format!("c{number}")).display()
            ));
        let mut krl = world.rproxy();
        krl.args(["auth", "krl"])
            .arg(format!("--out={}", world.dir().join("krl").display()));
        vec![revoke, sign, krl]
    };
    let running: Vec<_> = (0..EACH)
        .flat_map(start)
        .map(|mut command| std::thread::spawn(move || keys::tool(&mut command)))
        .collect();
    for command in running {
        command.join().expect("the command succeeds");
    }
    let read = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(world.data().join(name)).expect("it is there");
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("whole lines")
    };
    let versions: Vec<_> = read("revoked.jsonl")
        .iter()
        .map(|r| r["version"].clone())
        .collect();
    assert_eq!(versions, (1..=EACH).collect::<Vec<_>>());
    let mut serials: Vec<_> = read("issued.jsonl")
        .iter()
        .filter(|r| r["type"] == "user" || r["type"] == "host")
        .map(|r| r["serial"].to_string())
        .collect();
    let count = serials.len();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), count);
    assert!(count >= EACH);
    let listed = Command::new("ssh-keygen")
        .args(["-Q", "-l", "-f"])
        .arg(world.dir().join("krl"))
        .output()
        .expect("ssh-keygen runs");
    assert!(listed.status.success(), "{listed:?}");
}

/// Without the lost line, the user whom it revoked could log in again.
#[test]
fn damaged_or_missing_revocations_keep_the_proxy_from_starting() {
    let world = World::new();
    revoke(&world, &["--unknown", "--key-id=mallory"]);
    revoke(&world, &["--unknown", "--key-id=trudy"]);
    let config = world.dir().join("again.yaml");
    let data = world.dir().join("copy");
    let file = data.join("revoked.jsonl");
    let text = std::fs::read_to_string(world.dir().join("data/revoked.jsonl")).unwrap();
    keys::tool(
        Command::new("cp")
            .arg("-a")
            .args([world.dir().join("data"), data.clone()]),
    );
    // As an earlier version leaves it, which has no state.
    std::fs::remove_file(data.join("state.db")).unwrap();
    std::fs::write(
        &config,
        format!(
            "data_dir: {}\nproxy_service:\n  listen_addr: 127.0.0.1:0\n",
            data.display()
        ),
    )
    .unwrap();
    let fails = |args: &[&str]| {
        let output = crate::support::proxy::rproxy(&config).args(args).output();
        let output = output.expect("it starts");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (damaged, why) in [
        (Some(text.replacen("key_id", "kex_id", 1)), "line 1 of "),
        (
            Some(text.lines().next().unwrap().to_owned() + "\n"),
            "an old copy",
        ),
        (None, "is missing"),
    ] {
        match damaged {
            Some(damaged) => std::fs::write(&file, damaged).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        for args in [&["serve"][..], &["auth", "krl", "--out=-"]] {
            let told = fails(args);
            assert!(
                told.contains(why) && told.contains("from a backup"),
                "{told}"
            );
        }
    }
}

/// Two proxies would use the same serials, and each would miss requests that the other gets.
#[test]
fn a_second_proxy_on_one_data_directory_says_so_and_stops() {
    let world = World::new();
    let config = world.dir().join("second.yaml");
    let data = world.dir().join("data").display().to_string();
    let text = format!("data_dir: {data}\nproxy_service:\n  listen_addr: 127.0.0.1:0\n");
    std::fs::write(&config, text).unwrap();
    let output = crate::support::proxy::rproxy(&config).arg("serve").output();
    let output = output.expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains(&data) && told.contains("another rproxy serve"),
        "{told}"
    );
    world.run("db1", "true").success();
}

/// `auth status` asks the hosts, and reports a revoked host certificate, in text and in JSON.
#[test]
fn a_revoked_host_is_shown_as_revoked() {
    let world = World::with()
        .node("db1", HostKey::Certified)
        .node("db2", HostKey::Certified)
        .start();
    let shown = || {
        let text = keys::tool(world.rproxy().args(["auth", "status"]));
        let json = keys::tool(world.rproxy().args(["auth", "status", "--format=json"]));
        let json: Value = serde_json::from_str(&json).expect("JSON");
        (text, json["nodes"].clone())
    };
    let (before, nodes) = shown();
    assert!(!before.contains("revoked"), "{before}");
    assert_eq!(nodes[1]["revoked"], false, "{nodes:#}");

    let serial = text(&issued(&world, "db2"), "serial").to_owned();
    revoke(&world, &["--serial", &serial, "--reason", "disk sold"]);
    let (after, nodes) = shown();
    assert!(
        after.contains("  problem: the host is revoked: disk sold\n"),
        "{after}"
    );
    assert!(after.contains("rproxy host setup"), "{after}");
    assert_eq!(nodes[0]["revoked"], false, "{nodes:#}");
    assert_eq!(nodes[0]["problem"], Value::Null, "{nodes:#}");
    assert_eq!(nodes[1]["revoked"], true, "{nodes:#}");
    assert_eq!(nodes[1]["problem"], "the host is revoked: disk sold");
    assert_eq!(nodes[1]["host_certificate"]["serial"], serial);

    keys::tool(
        world
            .rproxy()
            .args(["auth", "unrevoke", "--yes", "--serial", &serial]),
    );
    assert!(!shown().0.contains("revoked"));
}
