//! With `ControlPersist`, ssh throws away what its ProxyCommand says: the user's own connection says it.

use crate::support::{Outcome, World, programs};

/// `ssh` to `db1` by this ProxyCommand, or by ProxyJump; what it says with and without `ControlPersist`.
fn both(world: &World, options: &[&str]) -> [Outcome; 2] {
    let path = format!("ControlPath={}/%C", world.dir().display());
    let persist = [
        "-o",
        "ControlMaster=auto",
        "-o",
        "ControlPersist=1",
        "-o",
        &path,
    ];
    [&[][..], &persist].map(|persist| {
        let outcome = world.program("ssh").args(options).args(persist);
        outcome.args(["db1", "true"]).run()
    })
}

/// The reason, the hint and the id are told once, and one event is audited, in either case.
fn refused(world: &World, options: &[&str], says: &[&str]) {
    for outcome in both(world, options) {
        let told = &outcome.stderr;
        assert_eq!(outcome.code(), 255, "{told}");
        for said in ["rproxy: ", "  hint: ", "  id: "].iter().chain(says) {
            assert_eq!(told.matches(said).count(), 1, "{said:?} in {told}");
        }
    }
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 2, "{refusals:#?}");
    assert_eq!(world.node().connections(), 0);
}

fn by_command(world: &World, subsystem: &str, says: &[&str]) {
    let command = format!(
        "ProxyCommand={} -F {} %r@127.0.0.1 -s {subsystem}",
        programs::path("ssh").display(),
        world.dir().join("outer").display(),
    );
    let inner = world.dir().join("inner").display().to_string();
    refused(world, &["-F", &inner, "-o", &command], says);
}

#[test]
fn agent_forwarding_that_was_forgotten() {
    let world = World::with().without_forwarding().start();
    by_command(&world, "proxy:%h:%p", &["agent forwarding required"]);
}

#[test]
fn another_cluster() {
    let subsystem = "proxy:%h:%p@elsewhere.test";
    by_command(
        &World::new(),
        subsystem,
        &["elsewhere.test is another cluster"],
    );
}

#[test]
fn a_port_that_is_not_the_nodes() {
    by_command(
        &World::new(),
        "proxy:%h:2",
        &["is not in the inventory, only"],
    );
}

#[test]
fn an_unknown_subsystem() {
    let says = ["unknown subsystem", "-p 3023 %r@127.0.0.1 -s proxy:%h:%p"];
    by_command(&World::new(), "gateway:%h:%p", &says);
}

#[test]
fn no_subsystem() {
    let world = World::new();
    let command = format!(
        "ProxyCommand={} -F {} %r@127.0.0.1",
        programs::path("ssh").display(),
        world.dir().join("outer").display(),
    );
    let inner = world.dir().join("inner").display().to_string();
    let says = [
        "no shell here",
        "  hint: on your machine: ",
        "ssh -o ForwardAgent=yes -p 3023 %r@127.0.0.1 -s proxy:%h:%p",
    ];
    refused(&world, &["-F", &inner, "-o", &command], &says);
}

#[test]
fn a_jump_to_a_port_that_is_not_the_nodes() {
    let world = World::new();
    let jump = crate::jump::config(&world);
    let options = ["-F", &jump, "-A", "-p", "2"];
    refused(&world, &options, &["is not in the inventory, only"]);
}
