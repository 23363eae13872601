//! Hostile peers: rproxy closes the connection of each, with a reason in the log, and no other
//! connection is disturbed.

mod agent;
mod client;
mod crowd;
mod host;
mod inner;
mod logs;
mod memory;

pub(crate) use crowd::connect_from;
pub(crate) use inner::Inner;

use std::io::Write;

use serde_json::Value;

use crate::support::World;
use crate::support::client::Live;

/// How much larger the proxy may be after all attacks, in KiB.
const MEMORY: u64 = 128 * 1024;

/// An honest session that runs while others misbehave.
struct Bystander<'w> {
    world: &'w World,
    session: Live,
    memory: u64,
}

impl<'w> Bystander<'w> {
    /// Starts it, and checks that it works.
    fn start(world: &'w World) -> Self {
        let session = world.ssh().args(["db1", "cat"]).start();
        let mut bystander = Self {
            world,
            session,
            memory: 0,
        };
        bystander.speak();
        bystander.memory = world.proxy_memory();
        bystander
    }

    fn speak(&mut self) {
        let stdin = self.session.stdin.as_mut().expect("a session");
        stdin.write_all(b"still here\n").expect("a session");
        assert_eq!(self.session.read(11), b"still here\n");
    }

    /// Checks that the session goes on, that its recording is complete, that the proxy accepts new
    /// sessions, and that its memory has not grown.
    fn unharmed(mut self) {
        self.speak();
        let outcome = self.session.finish().success();
        assert_eq!(outcome.text(), "");
        let fresh = self.world.run("db1", "echo alive").success();
        assert_eq!(fresh.text(), "alive\n");
        // Recordings of other sessions are finished when their users have disconnected.
        let recordings = self.world.eventually("every recording is complete", || {
            let recordings = self.world.recordings();
            let is_complete = |recording: &Value| recording["state"] == "complete";
            recordings.iter().all(is_complete).then_some(recordings)
        });
        let own = recordings
            .iter()
            .find(|recording| recording["command"] == "cat")
            .expect("the recording of the bystander");
        assert!(!self.world.exported(own, "stdout").is_empty());
        let now = self.world.proxy_memory();
        assert!(
            now < self.memory + MEMORY,
            "{} KiB at first, {now} KiB now",
            self.memory
        );
    }
}

/// Runs one attack, and waits until the log says why it ended.
fn attack(world: &World, name: &str, logged: &str, run: impl FnOnce()) {
    let before = world.proxy_log().len();
    run();
    let reason = world.children.eventually(|| {
        let log = world.proxy_log();
        log.get(before..)?.contains(logged).then_some(())
    });
    assert!(
        reason.is_some(),
        "{name}: no {logged:?} in the log after it: {}",
        world.proxy_log().get(before..).unwrap_or_default()
    );
}
