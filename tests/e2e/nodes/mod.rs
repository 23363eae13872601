//! Hosts that join by themselves.

mod absence;
mod ansible;
mod at_once;
mod commands;
pub(crate) mod debian;
mod inventory;
mod keeping;
mod measured;
mod peers;
mod rotation;
mod script;
mod stolen_token;
mod taken_host;
mod tunnels;

use serde_json::Value;

use crate::support::recordings::text;
use crate::support::{ClientOutcome, World};

/// Checks that a host reads why it is refused, and nothing else; gives the audit event.
fn assert_refused(world: &World, outcome: &ClientOutcome, reason: &str, said: &str) -> Value {
    assert_eq!(outcome.text(), "", "{}", outcome.stderr);
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    match outcome.code() {
        1 => assert!(outcome.stderr.contains(reason), "{}", outcome.stderr),
        // A node that is locked is not let in with its key.
        code => assert_eq!((code, reason), (255, "node-locked")),
    }
    world.eventually(&format!("{reason} is audited"), || {
        let mut refused = world.events("node.refused");
        refused.retain(|event| text(event, "reason") == reason);
        refused.pop()
    })
}
