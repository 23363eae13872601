//! Hostile peers: each ends its own connection, with a reason in the log, and no other connection is disturbed.

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

/// How much memory the attacks may leave behind in all, in KiB.
const MEMORY: u64 = 128 * 1024;

/// An honest session that runs while others misbehave.
struct Bystander<'w> {
    world: &'w World,
    session: Live,
    memory: u64,
}

impl<'w> Bystander<'w> {
    /// Starts it, and sees that it works.
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

    /// It goes on as before, its recording is whole, the proxy takes new sessions and has kept its
    /// memory.
    fn unharmed(mut self) {
        self.speak();
        let outcome = self.session.finish().success();
        assert_eq!(outcome.text(), "");
        let fresh = self.world.run("db1", "echo alive").success();
        assert_eq!(fresh.text(), "alive\n");
        // What the sessions of others wrote is sealed when their users have left, not before.
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
