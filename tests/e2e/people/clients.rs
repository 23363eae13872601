//! Clients other than OpenSSH's sign in, each in its own order of proofs.

use crate::interop_clients::trust_in_putty;
use crate::support::others::{others, python, script};
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{SignUp, World, programs};

/// How often a user has signed in by answers.
fn sign_ins(world: &World) -> usize {
    world.events("sign_in.begun").len()
}

/// PuTTY offers each key once, before the questions: it signs up with an invitation, signs in, and goes on to
/// hosts through itself.
#[test]
fn plink_signs_up_and_in_and_goes_on() {
    let Some(plink) = others("plink") else {
        return;
    };
    let world = World::with().people().start();
    trust_in_putty(&world);
    let port = world.port().to_string();
    let to_proxy = |user: &str, more: &[&str]| {
        let plink = world
            .program_at(&plink)
            .args(["-noshare", "-no-antispoof", "-P", &port]);
        plink.args(["-l", user]).args(more).arg("127.0.0.1")
    };
    let terminal = to_proxy("signup", &["-t"]).in_terminal(60, 160);
    let mut sign_up = SignUp::begin(terminal, "alice", &world.invite("alice"));
    let authenticator = sign_up.set_up();
    sign_up.recovery_codes();
    sign_up.finish();
    to_proxy("alice", &["-batch"]).arg("logout").run().success();

    let refused = to_proxy("alice", &["-batch"]).arg("status").run();
    assert_ne!(refused.code(), 0, "{}", refused.text());

    let mut terminal = to_proxy("alice", &[]).arg("login").in_terminal(24, 160);
    terminal.answer_hidden("password for alice: ", "a long and dull password\r");
    terminal.expect("code for alice: ");
    terminal.type_in(&format!("{}\r", authenticator.code()));
    terminal.expect("signed in as alice until");
    assert_eq!(terminal.finish().0, Some(0));
    assert_eq!(sign_ins(&world), 2);

    // `-batch`: a question would be a refusal.
    let outer = format!(
        "{} -batch -noshare -A -P {port} -l {} -s 127.0.0.1 proxy:db1:22",
        programs::path("plink").display(),
        login(),
    );
    let outcome = world
        .program_at(&plink)
        .args(["-batch", "-noshare", "-l", &login(), "-proxycmd", &outer])
        .args(["db1", "echo in; exit 7"])
        .run();
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    assert_eq!(outcome.text(), "in\n");
    assert_eq!(text(&world.finished_recording(), "user"), "alice");
}

/// The key first, as most clients do, and the questions first.
#[test]
fn paramiko_in_both_orders() {
    let Some(python) = python("paramiko") else {
        return;
    };
    let world = World::with().signed_in().start();
    let run = |order: &str, password: &str| {
        let answers = ["name=alice".to_owned(), format!("password={password}")];
        world
            .program_at(&python)
            .arg(script("paramiko_signs_in.py"))
            .args([&world.port().to_string(), &login()])
            .arg(&world.user.key)
            .args([order, "db1:22", "echo in; exit 7"])
            .args(answers)
            .run()
    };
    for (order, left) in [("key", "keyboard-interactive"), ("questions", "publickey")] {
        world.asking_ssh("alice").arg("logout").run().success();
        let before = sign_ins(&world);
        let outcome = run(order, &world.account().password);
        assert_eq!(outcome.code(), 7, "{order}: {}", outcome.stderr);
        assert_eq!(outcome.text(), "in\n", "{order}");
        assert!(
            outcome.stderr.contains(&format!("left {left}")),
            "{}",
            outcome.stderr
        );
        assert_eq!(sign_ins(&world), before + 1, "{order}");
    }
    // Answers that no terminal would send.
    world.asking_ssh("alice").arg("logout").run().success();
    for length in [4096, 100_000] {
        let outcome = run("key", &"x".repeat(length));
        assert_ne!(outcome.code(), 0, "{}", outcome.text());
    }
    let mut terminal = world.asking_ssh_to("db1", "echo here").in_terminal(24, 80);
    world.account().answer(&mut terminal);
    terminal.expect("here");
}

#[test]
fn asyncssh_signs_in_with_a_key_and_a_code() {
    let Some(python) = python("asyncssh") else {
        return;
    };
    let world = World::with().people().start();
    let account = world.sign_up("alice", &world.invite("alice"));
    world.asking_ssh("alice").arg("logout").run().success();
    let authenticator = account.authenticator.expect("one was set up");
    let run = |answers: &[String]| {
        let known_hosts = world.dir().join("known_hosts");
        world
            .program_at(&python)
            .arg(script("asyncssh_signs_in.py"))
            .args([&world.port().to_string(), "alice"])
            .args([&world.user.key, &known_hosts])
            .arg("status")
            .args(answers)
            .run()
            .success()
    };
    let password = format!("password={}", account.password);
    let asked = run(&[password, format!("code={}", authenticator.code())]);
    assert!(
        asked.text().contains("alice is signed in until"),
        "{}",
        asked.text()
    );
    assert!(asked.stderr.contains("questions"), "{}", asked.stderr);
    // Nothing is left to ask.
    let silent = run(&[]);
    assert!(
        silent.text().contains("alice is signed in until"),
        "{}",
        silent.text()
    );
    assert!(!silent.stderr.contains("questions"), "{}", silent.stderr);
    assert_eq!(sign_ins(&world), 2);
}
