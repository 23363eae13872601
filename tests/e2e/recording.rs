//! Recordings: complete, byte-exact, and readable without us.

use std::process::Command;

use serde_json::json;

use crate::support::children::Children;
use crate::support::recordings::{file, lines, said, text};
use crate::support::{World, keys, programs};

/// `zstd -dc FILE | head -1` prints the header of an asciicast v3.
#[test]
fn stock_zstd_shows_the_asciicast_header() {
    let world = World::new();
    world.run("db1", "echo hello").success();
    let recording = world.finished_recording();
    let command = format!(
        "{} -dcq {} | head -n 1",
        programs::path("zstd").display(),
        file(&recording).display()
    );
    let line = keys::tool(Command::new("sh").arg("-c").arg(command));
    let header: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!(header["version"], 3);
    assert_eq!(header["rproxy"]["user"], "alice");
    assert_eq!(header["rproxy"]["session"], recording["id"]);
}

/// Stock asciinema 3 plays what stock zstd unpacks.
#[test]
fn stock_asciinema_plays_it() {
    let world = World::new();
    let mut session = world
        .ssh()
        .args(["-tt", "db1", "echo 'the marker'; exit 2"])
        .in_terminal(24, 80);
    session.expect("the marker");
    assert_eq!(session.finish().0, Some(2));

    let recording = world.finished_recording();
    let command = format!(
        "{} -dcq {} | {} play --speed 100 -",
        programs::path("zstd").display(),
        file(&recording).display(),
        programs::asciinema().display(),
    );
    let mut player = world
        .program("bash")
        .args(["-c", &command])
        .in_terminal(30, 100);
    player.expect("the marker");
    let (code, shown) = player.finish();
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&shown));
}

/// `recordings export` returns every stream byte for byte.
#[test]
fn export_gives_the_streams_back() {
    let world = World::new();
    let sent: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let outcome = world
        .ssh()
        .args([
            "db1",
            "tee /dev/stderr | tr '\\000-\\377' '\\001-\\377\\000'",
        ])
        .env("LC_ALL", "C")
        .stdin(sent.clone())
        .run()
        .success();
    let recording = world.finished_recording();
    assert!(world.exported(&recording, "stdin") == sent);
    assert!(world.exported(&recording, "stderr") == sent);
    assert!(world.exported(&recording, "stdout") == outcome.stdout);
}

/// The listing has the user, the host, the command and the exit status.
#[test]
fn listing_describes_the_session() {
    let world = World::new();
    assert_eq!(world.run("db1", "exit 7").code(), 7);
    let recording = world.finished_recording();
    assert_eq!(text(&recording, "user"), "alice");
    assert_eq!(
        text(&recording, "login"),
        crate::support::world::login().as_str()
    );
    assert!(text(&recording, "host").starts_with("db1"));
    assert_eq!(text(&recording, "kind"), "exec");
    assert_eq!(text(&recording, "command"), "exit 7");
    assert_eq!(recording["exit_status"], 7);
    assert!(text(&recording, "start") <= text(&recording, "end"));
    assert!(file(&recording).ends_with(format!("{}.cast.zst", text(&recording, "id"))));
    for private in world.recording_files() {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&private).expect("a file").permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "{}", private.display());
    }
}

/// A command that was killed by a signal is recorded with the signal.
#[test]
fn exit_signal_is_recorded() {
    let world = World::new();
    assert_eq!(world.run("db1", "kill -KILL $$").code(), 255);
    let recorded = lines(file(&world.finished_recording()));
    assert!(said(&recorded, "k").contains("KILL"), "{recorded:#?}");
    assert_eq!(said(&recorded, "x"), "");
}

/// `rproxy play` shows what was on the screen, by id and by file.
#[test]
fn play_shows_the_session_again() {
    let world = World::new();
    world.run("db1", "echo the marker").success();
    let recording = world.finished_recording();
    for subject in [text(&recording, "id"), text(&recording, "file")] {
        let shown = keys::tool(world.rproxy().args(["play", subject]));
        assert!(shown.contains("the marker"), "{shown}");
    }
}

/// Start and end of a session are audited, with the recording's id.
#[test]
fn sessions_are_audited() {
    let world = World::new();
    world.run("db1", "true").success();
    let recording = world.finished_recording();
    let id = text(&recording, "id");
    let events = world.eventually("the end of the session is audited", || {
        let mut events = world.audit();
        events.retain(|event| event["session"] == id);
        (events.len() >= 2).then_some(events)
    });
    let about: Vec<_> = events.iter().map(|event| text(event, "event")).collect();
    assert_eq!(about, ["session.start", "session.end"], "{events:#?}");
    assert!(world.refusals_so_far().is_empty(), "{events:#?}");
}

/// `session_recording: "off"`: sessions run, nothing is stored, and the audit log records that.
#[test]
fn recording_can_be_off() {
    let world = World::with()
        .auth_setting("session_recording: \"off\"")
        .start();
    let outcome = world.run("db1", "echo unrecorded").success();
    assert_eq!(outcome.text(), "unrecorded\n");
    let start = world.eventually("the session is audited", || {
        let mut events = world.audit().into_iter();
        events.find(|event| event["event"] == "session.start")
    });
    assert!(start["recording"].is_null(), "{start:#}");
    assert!(world.recording_files().is_empty());
    let mut events = world.audit().into_iter();
    let in_force = events.find(|event| event["event"] == "configuration.reloaded");
    let in_force = in_force.expect("the start is audited");
    let off = json!([{ "key": "auth_service.session_recording", "from": "proxy", "to": "off" }]);
    assert_eq!(in_force["weaker"], off, "{in_force:#}");
}

/// The user's `ssh` is killed in the middle: the recording is finished all the same.
#[test]
fn a_client_that_dies_leaves_a_complete_recording() {
    let world = World::new();
    let mut session = world
        .ssh()
        .args(["db1", "echo begun; read -r never"])
        .start();
    assert_eq!(session.read(6), b"begun\n");
    drop(session);
    let recording = world.finished_recording();
    assert_eq!(world.exported(&recording, "stdout"), b"begun\n");
    assert!(recording["exit_status"].is_null(), "{recording:#}");
}

/// The harness itself: a child that never ends does not keep a test from ending.
#[test]
fn a_child_that_hangs_is_killed() {
    let children = Children::new(std::time::Duration::from_millis(200));
    let mut child = children.spawn(Command::new("sleep").arg("1000"));
    assert!(!child.wait().success());
    assert!(children.expired());
}
