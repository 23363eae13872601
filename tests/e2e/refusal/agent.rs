//! The forwarded agent: the proxy can only log in to the host with the user's own signature.

use crate::support::{Holds, World};

use super::Refusal;

#[test]
fn no_agent_is_forwarded() {
    let world = World::with().without_forwarding().start();
    let outcome = world.run("db1", "true");
    Refusal {
        leg: "client",
        says: &["agent forwarding required"],
        dials: false,
    }
    .check(&world, &outcome);
}

#[test]
fn there_is_no_agent() {
    let world = World::with().holds(Holds::NoAgent).start();
    let outcome = world.run("db1", "true");
    Refusal {
        leg: "client",
        says: &["agent forwarding required"],
        dials: false,
    }
    .check(&world, &outcome);
}

/// Key and certificate are files; the agent that is forwarded is empty.
#[test]
fn the_agent_lacks_the_key() {
    let world = World::with().holds(Holds::Nothing).start();
    let outcome = world.run("db1", "true");
    Refusal {
        leg: "client",
        says: &["agent does not hold the key", "ssh-add"],
        dials: false,
    }
    .check(&world, &outcome);
}
