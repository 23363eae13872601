//! Refusals: the user reads which leg failed and what to do, the audit log has one event, and there
//! is no recording.

mod agent;
mod client;
mod host;
mod persist;
mod target;

use crate::support::recordings::text;
use crate::support::{ClientOutcome, World};

/// The expected contents of a refusal.
struct Refusal<'a> {
    /// The leg, as the audit event names it.
    leg: &'a str,
    /// Texts that the user reads.
    says: &'a [&'a str],
    /// Whether the host has been dialled by then.
    dials: bool,
}

impl Refusal<'_> {
    /// Checks a refused attempt through the proxy, the only one in its world so far.
    fn check(&self, world: &World, outcome: &ClientOutcome) {
        assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
        self.check_traces(world, outcome);
    }

    /// Checks the results of every refusal, whatever the client's exit code.
    fn check_traces(&self, world: &World, outcome: &ClientOutcome) {
        assert_eq!(outcome.text(), "");
        let Some(sentence) = outcome
            .stderr
            .lines()
            .find(|line| line.contains("rproxy: "))
        else {
            panic!("no word from rproxy: {}", outcome.stderr);
        };
        for fragment in self.says {
            assert!(
                outcome.stderr.contains(fragment),
                "no {fragment:?} in: {}",
                outcome.stderr
            );
        }

        let refusals = world.refusals();
        let [event] = refusals.as_slice() else {
            panic!("one audit event for {sentence:?}, not {refusals:#?}");
        };
        assert_eq!(text(event, "leg"), self.leg, "{event:#}");
        for field in ["code", "event", "message"] {
            assert!(!text(event, field).is_empty(), "{event:#}");
        }

        let recordings = world.recording_files();
        assert!(recordings.is_empty(), "recorded: {recordings:?}");
        let connections = world.node().connections();
        assert_eq!(
            connections > 0,
            self.dials,
            "{connections} connections to the host"
        );
    }
}
