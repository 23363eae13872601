//! The auth process dies, or the program is replaced, while a person is being asked: what was asked is
//! forgotten, and the person is asked anew.

use rustix::process::Signal;

use crate::support::terminal::Terminal;
use crate::support::{PersonAnswers, World};

/// What the person reads.
const ANEW: &str = "The proxy was restarted meanwhile: please answer once more.";

fn world() -> World {
    World::with().people().own_program().start()
}

/// A person who has an account and is signed out.
fn signed_out(world: &World) -> PersonAnswers {
    let account = world.sign_up("alice", &world.invite("alice"));
    world.asking_ssh("alice").arg("logout").run().success();
    account
}

fn upgrade(world: &World) {
    let before = world.events("server.upgraded").len();
    world.signal_proxy(Signal::USR2);
    world.eventually("an upgrade", || {
        (world.events("server.upgraded").len() > before).then_some(())
    });
}

/// Answers the question for the password, up to that for the code.
fn password(account: &PersonAnswers, terminal: &mut Terminal) {
    let typed = format!("{}\r", account.password);
    terminal.answer_hidden("password for alice: ", &typed);
    terminal.expect("code for alice: ");
}

/// A person who is at the question for the code meanwhile signs in after all.
fn signs_in(interrupt: impl Fn(&World)) {
    let world = world();
    let account = signed_out(&world);
    let authenticator = account.authenticator.as_ref().expect("one was set up");
    let mut terminal = world.asking_ssh("alice").arg("status").in_terminal(24, 80);
    password(&account, &mut terminal);
    interrupt(&world);
    let code = format!("{}\r", authenticator.code());
    terminal.type_in(&code);
    terminal.expect(ANEW);
    password(&account, &mut terminal);
    // It was not looked at before.
    terminal.type_in(&code);
    terminal.expect("alice is signed in until");
    assert_eq!(terminal.finish().0, Some(0));
}

#[test]
fn who_is_asked_while_the_auth_process_dies_is_asked_anew() {
    signs_in(World::kill_auth);
}

#[test]
fn who_is_asked_during_an_upgrade_is_asked_anew() {
    signs_in(upgrade);
}

/// Nothing of a sign-up was stored: it begins anew, and the invitation is valid.
#[test]
fn a_sign_up_begins_anew() {
    let world = world();
    let invitation = world.invite("alice");
    let mut terminal = world.asking_ssh("signup").in_terminal(60, 120);
    let begin = |terminal: &mut Terminal| {
        terminal.expect("rproxy example.test: invitation: ");
        terminal.type_in(&format!("{invitation}\r"));
        for question in ["new password: ", "the same again: "] {
            terminal.answer_hidden(question, "a long and dull password\r");
        }
        terminal.expect("otpauth://");
        let uri = terminal.expect("\r\n");
        terminal.expect("code for alice: ");
        crate::support::one_time::CodeGenerator::scan(&uri)
    };
    let first = begin(&mut terminal);
    upgrade(&world);
    terminal.type_in(&format!("{}\r", first.code()));
    terminal.expect(ANEW);
    let second = begin(&mut terminal);
    terminal.type_in(&format!("{}\r", second.code()));
    terminal.expect("press Enter when you have stored them: ");
    terminal.type_in("\r");
    terminal.expect("you are alice");
    assert_eq!(terminal.finish().0, Some(0));
    assert_eq!(world.events("invitation.spent").len(), 1);
}

/// A connection from before an upgrade that is signed in changes its password after it, and has
/// certificates.
#[test]
fn a_command_begins_anew() {
    let world = world();
    let account = world.sign_up("alice", &world.invite("alice"));
    let mut session = world.shell();
    let mut terminal = world
        .asking_ssh("alice")
        .args(["-t", "passwd"])
        .in_terminal(24, 80);
    let answer = |terminal: &mut Terminal| {
        terminal.expect("password for alice: ");
        terminal.type_in(&format!("{}\r", account.password));
        for question in ["new password: ", "the same again: "] {
            terminal.expect(question);
            terminal.type_in("another long and dull password\r");
        }
    };
    terminal.expect("Choose a password");
    upgrade(&world);
    answer(&mut terminal);
    terminal.expect(ANEW);
    assert_eq!(world.events("password.changed").len(), 0);
    answer(&mut terminal);
    terminal.expect("the password is changed");
    assert_eq!(terminal.finish().0, Some(0));
    session.type_in("echo still $((40 + 2))\r");
    session.expect("still 42");
    world.run("db1", "true").success();
}
