//! A sign-in that ends takes the live connections along that were made with it, and says why.

use crate::support::World;
use crate::support::recordings::text;

/// What a user at a shell reads when this has happened.
fn ended_by(world: &World, act: impl FnOnce()) -> String {
    let mut terminal = world.shell();
    act();
    terminal.expect("rproxy: ");
    let read = terminal.expect("\r\n");
    let (code, _) = terminal.finish();
    assert_eq!(code, Some(255), "{read}");
    let end = world.session_end();
    assert_eq!(text(&end, "reason"), "sign-in-ended", "{end}");
    read
}

#[test]
fn a_lock_ends_a_live_session_and_keeps_the_user_out() {
    let world = World::with().signed_in().start();
    let read = ended_by(&world, || {
        world.users_do(&["lock", "alice", "--reason=left the company"]);
    });
    assert!(read.contains("locked"), "{read}");
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    // What is unlocked has to sign in again.
    world.users_do(&["unlock", "alice"]);
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    let mut terminal = world.asking_ssh_to("db1", "echo here").in_terminal(24, 80);
    world.account().answer(&mut terminal);
    terminal.expect("here");
}

#[test]
fn other_logins_end_a_live_session_and_the_sign_in_goes_on() {
    let world = World::with().signed_in().start();
    let mut terminal = world.shell();
    world.users_do(&["set", "alice", "--logins=another"]);
    terminal.expect("rproxy: ");
    let read = terminal.expect("\r\n");
    assert!(read.contains("the policy has changed"), "{read}");
    assert_eq!(terminal.finish().0, Some(255), "{read}");
    assert_eq!(world.run("db1", "true").code(), 255);
    world.users_do(&["set", "alice", "--all-logins"]);
    // Without a question.
    world.run("db1", "true").success();
    assert_eq!(world.events("user.changed").len(), 2);
    assert!(world.events("sign_in.ended").is_empty());
}

#[test]
fn a_logout_ends_a_live_session() {
    let world = World::with().signed_in().start();
    let read = ended_by(&world, || {
        let out = world.asking_ssh("alice").arg("logout").run().success();
        assert!(out.text().contains("1 sign-in has ended"), "{}", out.text());
    });
    assert!(read.contains("you have logged out"), "{read}");
}

/// Old credentials are gone, and the invitation leads to new ones.
#[test]
fn a_reset_ends_a_live_session() {
    let world = World::with().signed_in().start();
    let mut invitation = String::new();
    let read = ended_by(&world, || invitation = world.reset("alice"));
    assert!(read.contains("reset"), "{read}");
    assert_eq!(world.run("db1", "true").code(), 255);
    world.sign_up_silently_by("alice", &invitation, &world.user);
    world.run("db1", "true").success();
}

#[test]
fn a_user_who_is_removed_is_out() {
    let world = World::with().signed_in().start();
    let read = ended_by(&world, || {
        world.users_do(&["rm", "alice"]);
    });
    assert!(read.contains("removed"), "{read}");
}

/// The other connections end; the sign-in that has changed the password stays.
#[test]
fn a_changed_password_ends_the_other_sign_ins() {
    let world = World::with().signed_in().start();
    let account = world.account();
    let mut terminal = world
        .asking_ssh("alice")
        .args(["-t", "passwd"])
        .in_terminal(24, 80);
    terminal.expect("password for alice: ");
    terminal.type_in(&format!("{}\r", account.password));
    for question in ["new password: ", "the same again: "] {
        terminal.expect(question);
        terminal.type_in("another long and dull password\r");
    }
    let (code, shown) = terminal.finish();
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&shown));
    assert!(
        !String::from_utf8_lossy(&shown).contains("dull"),
        "a password is shown"
    );
    assert_eq!(world.events("password.changed").len(), 1);
}
