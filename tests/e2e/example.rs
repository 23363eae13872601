//! An end-to-end case to start from: copy it to a file of its own, and add a `mod` line to `main.rs`.
//!
//! A [`World`] is a proxy, hosts with stock `sshd` and users with agents, in a directory and on
//! ports of its own. The files of `support/world` have its methods, by topic; [`World::with`]
//! changes what it starts with. When the `World` is dropped, all its processes end, and their logs
//! are printed if the test fails.

use crate::support::World;
use crate::support::recordings::text;

#[test]
fn a_session_is_relayed_recorded_and_audited() {
    // A host `db1`, and alice, whose agent has her certificate.
    let world = World::new();

    // Runs the system's `ssh` through the proxy until it exits.
    let outcome = world.run("db1", "echo hello; exit 3");
    assert_eq!((outcome.code(), outcome.text().as_str()), (3, "hello\n"));

    // The proxy writes these after the user has seen the end: wait for the event, never for a fixed
    // time.
    let recording = world.finished_recording();
    assert_eq!(world.exported(&recording, "stdout"), b"hello\n");
    let end = world.session_end();
    assert_eq!(text(&end, "recording"), "complete");
    assert_eq!(end["exit_status"], 3);
}
