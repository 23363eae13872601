//! What a person types that is not what was asked for.

use crate::support::recordings::text;
use crate::support::terminal::Terminal;
use crate::support::{PersonAnswers, SignUp, World};

/// A person who has an account and is signed out.
fn signed_out() -> (World, PersonAnswers) {
    let world = World::with().people().start();
    let account = world.sign_up("alice", &world.invite("alice"));
    log_out(&world);
    (world, account)
}

fn log_out(world: &World) {
    world.asking_ssh("alice").arg("logout").run().success();
}

/// `ssh` to the proxy at a terminal, which asks once.
fn asks(world: &World) -> Terminal {
    let ssh = world.asking_ssh("alice");
    ssh.args(["-o", "NumberOfPasswordPrompts=1", "status"])
        .in_terminal(24, 80)
}

/// The right answers work at once.
fn signs_in(world: &World, account: &PersonAnswers) {
    let mut terminal = asks(world);
    account.answer(&mut terminal);
    terminal.expect("alice is signed in until");
    assert_eq!(terminal.finish().0, Some(0));
}

/// Plain `ssh NAME@PROXY`, at a terminal and as a program calls it.
#[test]
fn no_command_shows_the_help() {
    let world = World::with().signed_in().start();
    let mut terminal = world.asking_ssh("alice").in_terminal(24, 80);
    terminal.expect("rproxy example.test: you are alice");
    terminal.expect("To log in to a host:");
    assert_eq!(terminal.finish().0, Some(0));
    // Without one, it would be taken for a shell.
    let outcome = world.asking_ssh("alice").run();
    assert_eq!(outcome.code(), 255, "{}", outcome.text());
    assert!(outcome.stderr.contains("help"), "{}", outcome.stderr);
}

/// Enter, and nothing else: that guesses nothing, and nobody has to wait for it.
#[test]
fn empty_answers_are_wrong_and_do_not_count() {
    let (world, account) = signed_out();
    for _ in 0..3 {
        let ssh = world.asking_ssh("alice").arg("status");
        let mut terminal = ssh.in_terminal(24, 80);
        for _ in 0..3 {
            terminal.answer_hidden("password for alice: ", "\r");
            terminal.expect("code for alice: ");
            terminal.type_in("\r");
            terminal.expect("the password or the code is wrong");
        }
        assert_eq!(terminal.finish().0, Some(255));
    }
    assert_eq!(world.events("sign_in.throttled").len(), 0);
    signs_in(&world, &account);
}

/// Who thinks better of it, at either question.
#[test]
fn what_is_broken_off_does_not_count() {
    let (world, account) = signed_out();
    for _ in 0..2 {
        let mut terminal = asks(&world);
        terminal.expect("password for alice: ");
        drop(terminal);
        // The connection breaks between the two answers.
        let mut terminal = asks(&world);
        terminal.answer_hidden("password for alice: ", "not this one at all\r");
        terminal.expect("code for alice: ");
        drop(terminal);
    }
    signs_in(&world, &account);
    assert_eq!(world.events("sign_in.failed").len(), 0);
}

/// The invitation is spent when everything is answered, and not before.
#[test]
fn a_sign_up_that_is_broken_off_begins_anew() {
    let world = World::with().people().start();
    let invitation = world.invite("alice");
    let at_terminal = || world.asking_ssh("signup").in_terminal(60, 120);
    drop(SignUp::begin(at_terminal(), "alice", &invitation));
    let mut sign_up = SignUp::begin(at_terminal(), "alice", &invitation);
    let first = sign_up.set_up();
    assert_ne!(sign_up.terminal.interrupt().0, Some(0));
    let account = World::sign_up_at(at_terminal(), "alice", &invitation);
    assert_eq!(world.events("invitation.spent").len(), 1);
    // What was shown first is worth nothing.
    log_out(&world);
    let mut terminal = asks(&world);
    terminal.answer_hidden("password for alice: ", &format!("{}\r", account.password));
    terminal.expect("code for alice: ");
    terminal.type_in(&format!("{}\r", first.code()));
    terminal.expect("the password or the code is wrong");
    signs_in(&world, &account);
}

/// A terminal passes on a line of 4 KiB at most, and `ssh` the beginning of it.
#[test]
fn answers_that_are_too_long() {
    let (world, account) = signed_out();
    let long = "x".repeat(4_000);
    let mut terminal = asks(&world);
    terminal.answer_hidden("password for alice: ", &format!("{long}\r"));
    terminal.expect("code for alice: ");
    terminal.type_in(&format!("{long}\r"));
    terminal.expect("the password or the code is wrong");
    let failed = world.events("sign_in.failed").pop().expect("it is audited");
    assert!(failed.to_string().len() < 1_000, "{failed}");
    signs_in(&world, &account);
    // The proxy's own questions say how long an answer can be.
    let ssh = world.asking_ssh("alice").args(["-t", "passwd"]);
    let mut terminal = ssh.in_terminal(24, 80);
    terminal.expect("password for alice: ");
    terminal.type_in(&format!("{long}\r"));
    terminal.expect("an answer has at most");
    terminal.expect("password for alice: ");
    terminal.type_in("\u{3}");
    assert_ne!(terminal.finish().0, Some(0));
    assert_eq!(world.events("password.changed").len(), 0);
}

/// Signs up with this password, at a world without codes.
fn choose(terminal: &mut Terminal, password: &str) {
    for question in ["new password: ", "the same again: "] {
        terminal.answer_hidden(question, &format!("{password}\r"));
    }
}

/// A password is the bytes that were typed: letters of any script, each of which counts as one character.
#[test]
fn passwords_are_not_ascii_only() {
    let world = World::with().people_with("off").start();
    let mut terminal = world.asking_ssh("signup").in_terminal(60, 120);
    terminal.expect("invitation: ");
    terminal.type_in(&format!("{}\r", world.invite("alice")));
    choose(&mut terminal, "größerälö");
    terminal.expect("a password has at least 12 characters, this one has 9");
    choose(&mut terminal, "пароль, größer, 密码");
    terminal.expect("you are alice");
    assert_eq!(terminal.finish().0, Some(0));
    log_out(&world);
    // The same letters, of which one is made of two characters.
    for (password, says) in [
        ("пароль, gro\u{308}ßer, 密码", "the password is wrong"),
        ("пароль, größer, 密码", "alice is signed in until"),
    ] {
        let mut terminal = asks(&world);
        terminal.answer_hidden("password for alice: ", &format!("{password}\r"));
        terminal.expect(says);
    }
}

/// A terminal that sends another encoding: all its letters would count as the same one.
#[test]
fn a_password_that_is_no_utf_8_is_refused() {
    let world = World::with().people_with("off").start();
    let mut terminal = world.asking_ssh("signup").in_terminal(60, 120);
    terminal.expect("invitation: ");
    terminal.type_in(&format!("{}\r", world.invite("alice")));
    for question in ["new password: ", "the same again: "] {
        terminal.answer_hidden(question, "");
        // "password" in KOI8-R.
        terminal.type_bytes(b"\xd0\xc1\xd2\xcf\xcc\xd8 \xd0\xc1\xd2\xcf\xcc\xd8\r");
    }
    terminal.expect("is not UTF-8");
    terminal.expect("new password: ");
    assert_eq!(world.events("invitation.spent").len(), 0);
}

/// The picture does not fit: the terminal is told how wide it has to be, and the URI is on a line of its own.
#[test]
fn a_terminal_of_forty_columns_signs_up_by_the_uri() {
    let world = World::with().people().start();
    let invitation = world.invite("alice");
    let ssh = world.asking_ssh("signup").env("LC_ALL", "C.UTF-8");
    let terminal = ssh.in_terminal(20, 40);
    let mut sign_up = SignUp::begin(terminal, "alice", &invitation);
    let before = sign_up.terminal.expect("otpauth://");
    let pictured = before.lines().filter(|line| line.contains('\u{2588}'));
    let width = pictured
        .map(|line| line.trim_end_matches('\r').chars().count())
        .max();
    let width = width.expect("a picture");
    assert!(width > 40, "{width}");
    assert!(before.contains(&format!("{width} columns")), "{before}");
    let uri = sign_up.terminal.expect("\r\n");
    let authenticator = crate::support::one_time::CodeGenerator::scan(&uri);
    sign_up.answer_code(&authenticator.code());
    sign_up.recovery_codes();
    sign_up.finish();
    let begun = world.events("sign_in.begun").pop().expect("a sign-in");
    assert_eq!(text(&begun, "user"), "alice");
}
