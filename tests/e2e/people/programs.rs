//! What a person asks the proxy about their own sign-in.

use crate::support::recordings::text;
use crate::support::{World, keys, programs};

fn ask(world: &World, command: &str) -> String {
    world
        .asking_ssh("alice")
        .arg(command)
        .run()
        .success()
        .text()
}

#[test]
fn programs_answer_and_are_audited() {
    let world = World::with().signed_in().start();
    assert!(ask(&world, "help").contains("rproxy example.test: you are alice"));
    assert!(ask(&world, "status").contains("alice is signed in until"));
    assert!(ask(&world, "login").contains("signed in as alice until"));
    let hosts = ask(&world, "ls");
    let login = crate::support::world::login();
    assert!(hosts.contains("db1") && hosts.contains(&login), "{hosts}");
    let held = world.program("ssh-add").arg("-l").run().success().text();
    let fingerprint = held.split(' ').nth(1).expect("a fingerprint");
    assert!(ask(&world, "keys").contains(fingerprint));
    let run: Vec<_> = world
        .events("program.run")
        .iter()
        .map(|event| text(event, "program").to_owned())
        .collect();
    // The first one is that of the sign-up.
    assert_eq!(run, ["help", "help", "status", "login", "ls", "keys"]);
    // Questions need a terminal, and a command that does not exist is none.
    for (command, code, says) in [
        ("passwd", 1, "ssh -t -p 3023 alice@127.0.0.1 passwd"),
        ("uptime", 127, "ssh -p 3023"),
    ] {
        let outcome = world.asking_ssh("alice").arg(command).run();
        assert_eq!(outcome.code(), code, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
}

/// `ssh NAME@PROXY cert > FILE`: the file is a certificate for the key, and opens the way by itself.
#[test]
fn a_certificate_can_be_kept_in_a_file() {
    let world = World::with().signed_in().start();
    let certificate = ask(&world, "cert");
    assert_eq!(certificate.lines().count(), 1, "{certificate}");
    let file = keys::with_suffix(&world.user.key, "-cert.pub");
    std::fs::write(&file, &certificate).expect("a writable directory");
    let mut keygen = std::process::Command::new(programs::path("ssh-keygen"));
    let described = keys::tool(keygen.args(["-L", "-f"]).arg(&file));
    assert!(described.contains("\"alice\""), "{described}");
    // Where the proxy's address is not known, it opens a host without the proxy too.
    let certificate = format!("CertificateFile={}", file.display());
    let outcome = world
        .direct_ssh()
        .args(["-o", &certificate, "127.0.0.1", "echo in"])
        .run();
    assert_eq!(outcome.success().text(), "in\n");
}

/// `ssh -A NAME@PROXY login --add`: the agent has a certificate, for as long as the sign-in.
#[test]
fn a_certificate_can_be_put_into_the_agent() {
    let world = World::with().signed_in().start();
    let outcome = world
        .asking_ssh("alice")
        .args(["-o", "ForwardAgent=no", "login", "--add"])
        .run();
    assert_eq!(outcome.code(), 1);
    assert!(
        outcome
            .stderr
            .contains("ssh -A -p 3023 alice@127.0.0.1 login --add"),
        "{}",
        outcome.stderr
    );
    let outcome = world
        .asking_ssh("alice")
        .args(["-A", "login", "--add"])
        .run()
        .success();
    assert!(
        outcome
            .text()
            .contains("your agent has a key with a certificate"),
        "{}",
        outcome.text()
    );
    let listed = world.program("ssh-add").arg("-l").run().success().text();
    assert!(
        listed.contains("alice@example.test (ED25519-CERT)"),
        "{listed}"
    );
    assert_eq!(listed.lines().count(), 3, "{listed}");
    world.run("db1", "true").success();
}

/// At a terminal, `mfa` shows another picture, and the code of the new one counts.
#[test]
fn one_time_codes_are_set_up_again_at_a_terminal() {
    let world = World::with().people().start();
    let account = world.sign_up("alice", &world.invite("alice"));
    let mut terminal = world
        .asking_ssh("alice")
        .args(["-t", "mfa"])
        .in_terminal(60, 120);
    terminal.expect("password for alice: ");
    terminal.type_in(&format!("{}\r", account.password));
    let before = account.authenticator.expect("one was set up");
    terminal.expect("code for alice: ");
    terminal.type_in(&format!("{}\r", before.code()));
    terminal.expect("otpauth://");
    let uri = terminal.expect("\r\n");
    let authenticator = crate::support::one_time::CodeGenerator::scan(&uri);
    terminal.expect("code for alice: ");
    terminal.type_in(&format!("{}\r", authenticator.code()));
    world.eventually("it is audited", || {
        (!world.events("second_factor.changed").is_empty()).then_some(())
    });
}
