//! Strings that are not UTF-8 are recorded byte for byte, with stock `ssh`, stock `sshd` and the
//! defaults.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::Value;

use crate::support::recordings::text;
use crate::support::{World, keys};

/// A script that the command contains only as bytes that are not UTF-8: `echo 12345`.
fn hidden_script() -> Vec<u8> {
    let script: Vec<u8> = (0xa0..=0xa9).collect();
    let decoder = b"' | tr '\\240-\\251' 'echo 12345' | sh";
    [b"export LC_ALL=C; printf %s '", &script[..], decoder].concat()
}

fn exported(world: &World, recording: &Value) -> Vec<Value> {
    let lines = keys::tool(world.rproxy().args([
        "recordings",
        "export",
        "--format=json",
        text(recording, "id"),
    ]));
    let line = |line| serde_json::from_str(line).expect("JSON");
    lines.lines().map(line).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_command_that_is_no_text_is_in_the_recording() {
    let world = World::new();
    let command = hidden_script();
    let outcome = world
        .ssh()
        .arg("db1")
        .arg(OsStr::from_bytes(&command))
        .run()
        .success();
    assert_eq!(outcome.text(), "12345\n", "the bytes arrived and ran");

    let recording = world.finished_recording();
    assert_eq!(world.exported(&recording, "command"), command);
    assert_eq!(recording["command_hex"], hex(&command));
    let header = exported(&world, &recording).remove(0);
    assert_eq!(header["command_hex"], hex(&command));
    let readable = String::from_utf8_lossy(&command).into_owned();
    assert_eq!(
        header["command"], readable,
        "people read as much as there is"
    );

    // The audit log has the bytes too.
    world.run("db1", "true").success();
    let starts = |event: &Value| event["event"] == "session.start";
    let [odd, plain] = [0, 1].map(|number| {
        let mut starts = world.audit().into_iter().filter(starts);
        starts.nth(number).expect("two sessions have begun")
    });
    assert_eq!(odd["command"], readable, "{odd:#}");
    assert_eq!(odd["command_hex"], hex(&command));
    assert_eq!(
        (&plain["command"], &plain["command_hex"]),
        (&"true".into(), &Value::Null)
    );
}

#[test]
fn an_environment_and_a_terminal_that_are_no_text_are_in_the_recording() {
    let world = World::new();
    let (value, term) = (b"C\xa0\xff\n", b"x\xfeterm");
    world
        .ssh()
        .args(["-tt", "-o", "SendEnv=LC_ODD", "db1", "true"])
        .env("LC_ODD", OsStr::from_bytes(value))
        .env("TERM", OsStr::from_bytes(term))
        .run()
        .success();

    let recording = world.finished_recording();
    let expected = [b"LC_ODD=", &value[..], b"\0"].concat();
    assert_eq!(world.exported(&recording, "environment"), expected);
    let lines = exported(&world, &recording);
    assert_eq!(lines[0]["term_hex"], hex(term));
    let request = |name: &str| {
        let is_it = |line: &&Value| line["request"]["name"] == name;
        let found = lines.iter().find(is_it).expect("a request of that name");
        found["request"]["fields"].clone()
    };
    assert_eq!(request("env")["value_hex"], hex(value));
    assert_eq!(request("pty-req")["term_hex"], hex(term));
}
