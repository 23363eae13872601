//! Sessions and the log of the host's sshd: what they have in common, and the files in `contrib` that
//! join them. `docs/host-audit.md` describes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::recordings::text;
use crate::support::{World, keys, programs};

/// What sshd has logged about a certificate that it has accepted.
#[derive(Debug, PartialEq, Eq)]
struct Accepted {
    line: String,
    address: String,
    serial: String,
}

/// All of them, oldest first.
fn accepted(world: &World) -> Vec<Accepted> {
    let log = world.node().log();
    log.lines()
        .map(str::trim_end)
        .filter(|line| line.starts_with("Accepted publickey for "))
        .map(|line| {
            let (_, rest) = line.split_once(" from ").expect("an address");
            let (address, rest) = rest.split_once(" port ").expect("a port");
            let (port, _) = rest.split_once(' ').expect("more");
            let (_, serial) = line.rsplit_once("(serial ").expect("a certificate");
            let (serial, _) = serial.split_once(')').expect("its end");
            Accepted {
                line: line.to_owned(),
                address: format!("{address}:{port}"),
                serial: serial.to_owned(),
            }
        })
        .collect()
}

/// What `contrib/host-audit.jq` makes of these files.
fn joined(options: &[&str], files: &[&Path]) -> Vec<Value> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/host-audit.jq");
    let mut jq = Command::new(programs::path("jq"));
    jq.arg("-nRc").args(options).arg("-f").arg(program);
    let lines = keys::tool(jq.args(files));
    let lines = lines.lines().map(serde_json::from_str);
    lines.map(|line| line.expect("a line of JSON")).collect()
}

/// Writes a file in the world's directory.
fn file(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.dir().join(name);
    std::fs::write(&path, text).expect("a writable directory");
    path
}

/// The log of sshd as `journalctl -o json` prints it: each line with the process that wrote it and the
/// time at which it did.
fn journal(lines: &[(&str, u64, i64)]) -> String {
    let entry = |(message, pid, at): &(&str, u64, i64)| {
        let entry = json!({
            "MESSAGE": message,
            "_PID": pid.to_string(),
            "_UID": "0",
            "__REALTIME_TIMESTAMP": (at * 1_000_000).to_string(),
        });
        format!("{entry}\n")
    };
    lines.iter().map(entry).collect()
}

/// When an event was written, in seconds since the epoch.
fn seconds(event: &Value) -> i64 {
    let time = chrono::DateTime::parse_from_rfc3339(text(event, "time"));
    time.expect("a time").timestamp()
}

#[test]
fn a_session_and_the_line_of_sshd_have_serial_and_port_in_common() {
    let world = World::new();
    world.run("db1", "echo hello").success();
    let end = world.session_end();
    let start = world.events("session.start").remove(0);
    let [accepted] = &accepted(&world)[..] else {
        panic!("one login: {}", world.node().log());
    };
    for event in [&start, &end] {
        assert_eq!(text(event, "egress_addr"), accepted.address, "{event}");
        assert_eq!(text(event, "serial"), accepted.serial, "{event}");
    }
    let recording = world.exported_as_json(&world.finished_recording());
    let header = recording.lines().next().expect("a header");
    let header: Value = serde_json::from_str(header).expect("JSON");
    assert_eq!(text(&header, "egress_addr"), accepted.address);
    assert_eq!(text(&header, "serial"), accepted.serial);

    // A second connection has a port of its own, and the same certificate.
    world.run("db1", "echo again").success();
    let audit = world.data().join("audit.jsonl");
    world.eventually("the second session has ended", || {
        (world.events("session.end").len() == 2).then_some(())
    });
    let log = file(&world, "sshd.log", &world.node().log());
    let both = joined(&[], &[&audit, &log]);
    let ports: Vec<_> = both
        .iter()
        .map(|one| {
            let (_, port) = text(one, "egress_addr").rsplit_once(':').expect("a port");
            let found = &one["host"];
            assert_eq!(found["port"].to_string(), port, "{one}");
            assert_eq!(found["key_id"], "alice");
            port.to_owned()
        })
        .collect();
    assert_eq!(ports.len(), 2);
    assert_ne!(ports[0], ports[1]);
}

#[test]
fn a_certificate_for_one_login_is_found_by_its_serial_alone() {
    let world = World::with().signed_in().start();
    for command in ["echo one", "echo two"] {
        world.run("db1", command).success();
    }
    let starts = world.events("session.start");
    let accepted = accepted(&world);
    let serials: Vec<_> = accepted.iter().map(|one| one.serial.as_str()).collect();
    let known: Vec<_> = starts.iter().map(|one| text(one, "serial")).collect();
    assert_eq!(known, serials, "in this order: one after the other");
    assert_ne!(serials[0], serials[1]);

    // NAT has changed the ports.
    let moved = accepted.iter().map(|one| {
        let (_, port) = one.address.rsplit_once(':').expect("a port");
        let line = one.line.replace(&format!(" port {port} "), " port 7 ");
        format!("{line}\r\n")
    });
    let log = file(&world, "sshd.log", &moved.collect::<String>());
    let audit = world.data().join("audit.jsonl");
    let by_port = joined(&[], &[&audit, &log]);
    assert!(
        by_port.iter().all(|one| one["host"].is_null()),
        "{by_port:?}"
    );
    let by_serial = joined(&["--arg", "by", "serial"], &[&audit, &log]);
    assert!(by_serial.iter().all(|one| one["host"]["port"] == 7));
}

/// The audit session comes from the kernel's record about the process that sshd's line is from.
#[test]
fn the_join_gives_the_audit_session_and_believes_no_line_of_another() {
    let world = World::new();
    world.run("db1", "true").success();
    world.session_end();
    let start = world.events("session.start").remove(0);
    let line = accepted(&world).remove(0).line;
    let at = seconds(&start);
    let forged = format!("Invalid user {line}");
    let log = journal(&[
        (&forged, 666, at),
        // The same port and serial an hour later, and an hour ago.
        (&line, 813, at + 3600),
        (&line, 811, at - 3600),
        (&line, 812, at + 2),
    ]);
    let record = |pid: u32, session: u32, at: i64| {
        format!(
            "type=LOGIN msg=audit({at}.123:456): pid={pid} uid=0 old-auid=4294967295 auid=1000 \
             tty=(none) old-ses=4294967295 ses={session} res=1\n"
        )
    };
    let records = record(811, 16, at) + &record(812, 17, at + 2) + &record(812, 9, at - 86_400);
    let audit = world.data().join("audit.jsonl");
    let (log, records) = (
        file(&world, "sshd.json", &log),
        file(&world, "login.log", &records),
    );
    let [one] = &joined(&[], &[&log, &audit, &records])[..] else {
        panic!("one session");
    };
    assert_eq!(text(one, "session"), text(&start, "session"));
    assert_eq!(one["host"]["pid"], 812, "{one}");
    assert_eq!(one["host"]["audit_session"], 17, "{one}");

    // Without a login in the host's log, the session is there, and its host is not.
    let forged = file(&world, "forged.json", &journal(&[(&forged, 666, at)]));
    let [one] = &joined(&[], &[&audit, &forged])[..] else {
        panic!("one session");
    };
    assert!(one["host"].is_null(), "{one}");
}

/// The traditional form of syslog has no year, and OpenSSH 9.8 and later log as `sshd-session`.
#[test]
fn the_join_reads_files_of_syslog() {
    let world = World::new();
    world.run("db1", "true").success();
    world.session_end();
    let start = world.events("session.start").remove(0);
    let line = accepted(&world).remove(0).line;
    let audit = world.data().join("audit.jsonl");
    let time = chrono::DateTime::from_timestamp(seconds(&start), 0).expect("a time");
    let time = time.with_timezone(&chrono::FixedOffset::east_opt(7200).expect("an offset"));
    for (beginning, is_at) in [
        (format!("{} db1 sshd[812]: ", time.to_rfc3339()), true),
        ("Nov 30 16:43:26 db1 sshd-session[812]: ".to_owned(), false),
    ] {
        let log = file(&world, "auth.log", &format!("{beginning}{line}\n"));
        let [one] = &joined(&[], &[&audit, &log])[..] else {
            panic!("one session");
        };
        assert_eq!(one["host"]["pid"], 812, "{one}");
        assert_eq!(!one["host"]["seconds_after"].is_null(), is_at, "{one}");
    }
    let other = "2026-11-30T16:43:26Z db1 sudo[812]: ";
    let log = file(&world, "auth.log", &format!("{other}{line}\n"));
    assert!(joined(&[], &[&audit, &log])[0]["host"].is_null());
}

/// `auditctl -R` would put the rules into the kernel of this machine, so their form is checked here:
/// that of auditctl(8).
#[test]
fn the_rules_for_auditd_are_well_formed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/auditd/rproxy.rules");
    let rules = std::fs::read_to_string(path).expect("a readable file");
    let rules = rules
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut arches = Vec::new();
    for rule in rules {
        let words: Vec<_> = rule.split(' ').collect();
        let mut options = Vec::new();
        for pair in words.chunks(2) {
            let &[option, value] = pair else {
                panic!("{rule}: an option without its value");
            };
            match (option, value.split_once('=')) {
                ("-a", None) => assert_eq!(value, "always,exit"),
                ("-S", None) => assert_eq!(value, "execve,execveat"),
                ("-F", Some(("arch", arch))) => arches.push(arch.to_owned()),
                // `auid!` is what stands before the `=` of `auid!=unset`.
                ("-F", Some((field, value))) => assert_eq!((field, value), ("auid!", "unset")),
                ("-k", None) => assert!(value.len() <= 31, "a key has 31 characters at most"),
                _ => panic!("{rule}: {option} {value}"),
            }
            options.push(option);
        }
        // auditctl takes the numbers of system calls from the architecture before them.
        assert_eq!(options, ["-a", "-F", "-S", "-F", "-k"], "{rule}");
    }
    assert_eq!(arches, ["b64", "b32"]);
}
