//! Kill the proxy at any instant: everything that the user saw is in the recording.

use crate::support::{World, programs};

const MIB: usize = 1 << 20;

#[test]
fn sigkill_in_the_middle_of_a_stream() {
    let world = World::new();
    let mut session = world
        .ssh()
        .args(["db1", "head -c 300000000 /dev/urandom"])
        .start();
    let mut seen = session.read(3 * MIB);
    world.kill_proxy();
    let rest = session.finish();
    seen.extend(&rest.stdout);
    assert_eq!(rest.code(), 255, "{}", rest.stderr);
    assert!(seen.len() < 300_000_000, "the proxy was killed too late");

    let recording = world.recording();
    let stored = world.exported(&recording, "stdout");
    assert!(
        stored.starts_with(&seen),
        "the user saw {} bytes, the recording has {}",
        seen.len(),
        stored.len()
    );
    assert_eq!(recording["state"], "recovered");
}

#[test]
fn sigkill_in_a_terminal() {
    let world = World::new();
    // The messages of both `ssh` programs about the lost connection are not data of the host.
    let ssh = programs::path("ssh").display().to_string();
    let quiet = format!(
        "ProxyCommand={ssh} -F {} %r@127.0.0.1 -s proxy:%h:%p 2>/dev/null",
        world.dir().join("outer").display(),
    );
    let inner = world.dir().join("inner").display().to_string();
    let mut terminal = world
        .program("bash")
        .args(["-c", "exec \"$@\" 2>/dev/null", "bash"])
        .args([&ssh, "-F", &inner, "-tt", "-o", &quiet])
        .args(["db1", "while :; do seq 1 500; done"])
        .in_terminal(24, 80);
    for _ in 0..5 {
        terminal.expect("\n499");
    }
    world.kill_proxy();
    let (code, shown) = terminal.finish();
    assert_eq!(code, Some(255));
    let stored = world.exported(&world.recording(), "stdout");
    assert!(
        stored.starts_with(&shown),
        "the terminal showed {} bytes, the recording has {}",
        shown.len(),
        stored.len()
    );
}
