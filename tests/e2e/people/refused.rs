//! Who does not sign in: what is read, and what is audited.

use crate::support::recordings::text;
use crate::support::{PersonAnswers, World};

/// A person who has an account and is signed out.
fn signed_out() -> (World, PersonAnswers) {
    let world = World::with().people().start();
    let account = world.sign_up("alice", &world.invite("alice"));
    world.asking_ssh("alice").arg("logout").run().success();
    (world, account)
}

/// A client that must not ask is told what to type.
#[test]
fn in_batch_mode_the_refusal_says_what_to_type() {
    let (world, _account) = signed_out();
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255);
    let login = crate::support::world::login();
    let command = format!("ssh -p 3023 {login}@127.0.0.1 login");
    assert!(outcome.stderr.contains(&command), "{}", outcome.stderr);
}

#[test]
fn a_wrong_password_or_code_is_refused_with_one_sentence() {
    let (world, account) = signed_out();
    let authenticator = account.authenticator.as_ref().expect("one was set up");
    for (password, code) in [
        ("not this one at all".to_owned(), authenticator.code()),
        (account.password.clone(), "000000".to_owned()),
    ] {
        let mut terminal = world
            .asking_ssh("alice")
            .args(["-o", "NumberOfPasswordPrompts=1", "true"])
            .in_terminal(24, 80);
        terminal.answer_hidden("password for alice: ", &format!("{password}\r"));
        terminal.expect("code for alice: ");
        terminal.type_in(&format!("{code}\r"));
        terminal.expect("the password or the code is wrong");
    }
    let failed = world.eventually("failures are audited", || {
        let failed = world.events("sign_in.failed");
        (failed.len() >= 2).then_some(failed)
    });
    for event in &failed {
        assert_eq!(text(event, "user"), "alice");
        assert_eq!(text(event, "reason"), "sign-in-wrong");
    }
}

#[test]
fn a_code_works_once() {
    let (world, account) = signed_out();
    let mut terminal = world.asking_ssh("alice").arg("status").in_terminal(24, 80);
    account.answer(&mut terminal);
    assert_eq!(terminal.finish().0, Some(0));
    world.asking_ssh("alice").arg("logout").run().success();
    let authenticator = account.authenticator.as_ref().expect("one was set up");
    let mut terminal = world.asking_ssh("alice").arg("status").in_terminal(24, 80);
    terminal.answer_hidden("password for alice: ", &format!("{}\r", account.password));
    terminal.expect("code for alice: ");
    terminal.type_in(&format!("{}\r", authenticator.last_code()));
    terminal.expect("this code was used already");
}

/// What is asked does not tell whether there is such an account.
#[test]
fn an_account_that_does_not_exist_is_asked_the_same() {
    let (world, _account) = signed_out();
    let stranger = world.user_who_holds("stranger", crate::support::Holds::KeyAlone);
    for name in ["alice", "nobody-like-this"] {
        let mut terminal = world
            .asking_ssh(name)
            .env("SSH_AUTH_SOCK", world.dir().join("stranger/agent"))
            .args(["-o", "NumberOfPasswordPrompts=1", "true"])
            .in_terminal(24, 80);
        terminal.expect(&format!("rproxy example.test: your name [{name}]: "));
        terminal.type_in("\r");
        terminal.answer_hidden(&format!("password for {name}: "), "not this one at all\r");
        terminal.expect(&format!("code for {name}: "));
        terminal.type_in("000000\r");
        terminal.expect("the password or the code is wrong");
    }
    drop(stranger);
}
