//! `recording.mode: strict`: no recording, no session.

use crate::support::World;
use crate::support::recordings::{file, text};

/// The directory for recordings is replaced by a file while the proxy runs.
#[test]
fn no_session_without_a_place_to_record() {
    let world = World::new();
    world.run("db1", "true").success();
    break_recordings(&world);

    let ran = world.dir().join("ran");
    let outcome = world.run("db1", &format!("touch {}", ran.display()));
    assert_ne!(outcome.code(), 0);
    assert!(outcome.stderr.contains("rproxy: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("record"), "{}", outcome.stderr);
    assert!(!ran.exists(), "the command has run unrecorded");
    let failed: Vec<_> = world
        .audit()
        .into_iter()
        .filter(|event| event["event"] == "recording.failed")
        .collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["session_ended"], true);
    assert!(
        text(&failed[0], "error").contains("recordings"),
        "{failed:#?}"
    );
}

/// The same in best-effort mode: the session goes on, and the gap is audited.
#[test]
fn best_effort_goes_on_and_audits_the_gap() {
    let world = World::with()
        .settings("recording:\n  mode: best_effort")
        .start();
    world.run("db1", "true").success();
    let before = world.audit().len();
    break_recordings(&world);
    let outcome = world.run("db1", "echo unrecorded").success();
    assert_eq!(outcome.text(), "unrecorded\n");
    let audit = world.audit();
    assert!(
        audit[before..]
            .iter()
            .any(|event| event["event"] == "recording.failed" && event["session_ended"] == false),
        "{audit:#?}"
    );
}

/// The disk is full in the middle: relaying stops, the user reads why, and what the user saw is
/// recorded.
#[test]
fn a_full_disk_ends_the_session() {
    let world = World::with().file_size_limit(4096).start();
    let outcome = world.run("db1", "head -c 200000000 /dev/urandom");
    assert_ne!(outcome.code(), 0);
    assert!(outcome.stdout.len() < 200_000_000);
    assert!(outcome.stderr.contains("rproxy: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("record"), "{}", outcome.stderr);
    let recording = world.recording();
    let stored = world.exported(&recording, "stdout");
    assert!(
        stored.starts_with(&outcome.stdout),
        "the user saw {} bytes, the recording has {}",
        outcome.stdout.len(),
        stored.len()
    );
}

fn break_recordings(world: &World) {
    let recording = world.finished_recording();
    let dir = file(&recording).parent().expect("a file is in a directory");
    assert!(dir.starts_with(world.data()), "{}", dir.display());
    std::fs::remove_dir_all(dir).expect("the test's own directory");
    std::fs::write(dir, "in the way").expect("a writable directory");
}
