//! Certificates that users keep, by `cert` or `login --add`: at the proxy they are worth what their sign-in is.

use crate::support::World;
use crate::support::agent::Agent;
use crate::support::client::ClientCommand;
use crate::support::keys;
use crate::support::recordings::text;

/// An agent that holds a certificate of `cert`, and not the bare key.
fn certified(world: &World, name: &str) -> Agent {
    world.certificate_file();
    let agent = Agent::start(&world.children, &world.dir().join(name));
    agent.add(&world.user.key);
    agent.forget_bare(&world.user.key);
    agent
}

fn ssh<'w>(world: &'w World, agent: &Agent) -> ClientCommand<'w> {
    world.ssh().env("SSH_AUTH_SOCK", &agent.socket)
}

/// With the roles that the state gives the user; a lock, as when a laptop with the file is lost, ends it.
#[test]
fn a_certificate_opens_hosts_and_ends_with_its_sign_in() {
    let world = World::with().signed_in().start();
    let first = certified(&world, "first");
    let outcome = ssh(&world, &first).args(["db1", "echo in"]).run();
    assert_eq!(outcome.success().text(), "in\n");
    let recording = world.finished_recording();
    assert_eq!(text(&recording, "user"), "alice");
    let mut session = ssh(&world, &first)
        .args(["-tt", "db1", "echo rea''dy; cat"])
        .in_terminal(24, 80);
    session.expect("ready");

    world.asking_ssh("alice").arg("logout").run().success();
    session.expect("your sign-in has ended: you have logged out");
    assert_eq!(session.finish().0, Some(255));
    let refused = |agent: &Agent| {
        let outcome = ssh(&world, agent).args(["db1", "true"]).run();
        assert_eq!(outcome.code(), 255, "{}", outcome.text());
        let says = "the sign-in that this certificate was made for has ended";
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    };
    refused(&first);

    let mut terminal = world.asking_ssh("alice").arg("login").in_terminal(24, 80);
    world.account().answer(&mut terminal);
    terminal.expect("signed in as alice until");
    // It was made for the sign-in before.
    refused(&first);
    let second = certified(&world, "second");
    let mut session = ssh(&world, &second)
        .args(["-tt", "db1", "echo rea''dy; cat"])
        .in_terminal(24, 80);
    session.expect("ready");
    world.users_do(&["lock", "alice", "--reason=laptop lost"]);
    session.expect("your sign-in has ended: your account here is locked");
    assert_eq!(session.finish().0, Some(255));
    refused(&second);
}

/// The agent is left with the key that `login --add` has made, which is registered nowhere.
#[test]
fn a_certificate_in_the_agent_is_enough() {
    let world = World::with().signed_in().start();
    world.put_certificate_into_agent();
    let agent = world.agent();
    agent.forget_bare(&world.user.key);
    assert_eq!(world.run("db1", "echo in").success().text(), "in\n");
    let listed = world.asking_ssh("alice").arg("help").run().success().text();
    assert!(listed.contains("logout"), "{listed}");
    let keys = keys::with_suffix(&world.user.key, "-cert.pub");
    assert!(!keys.exists());
}
