//! `ssh HOST COMMAND`: the client gets exactly what `sshd` sent.

use crate::support::World;

/// RFC 4254, 6.10: the exit status is the command's.
#[test]
fn exit_code_is_the_commands() {
    let world = World::new();
    assert_eq!(world.run("db1", "exit 7").code(), 7);
    assert_eq!(world.run("db1", "true").code(), 0);
}

/// ssh(1), EXIT STATUS: 255 if an error occurred, which is what ssh makes of an exit signal.
#[test]
fn death_by_signal_is_no_exit_code() {
    let world = World::new();
    let outcome = world.run("db1", "kill -TERM $$");
    assert_eq!(outcome.code(), 255);
    assert_eq!(outcome.stderr, "", "nobody else has anything to say");
}

/// A table of commands, each once through the proxy and once straight to sshd.
#[test]
fn outcomes_are_those_of_a_direct_connection() {
    let world = World::new();
    let certificate = format!("CertificateFile={}", world.certificate_file().display());
    for command in [
        "true",
        "exit 255",
        "kill -KILL $$",
        "echo out; echo err >&2; exit 3",
        "head -c 3; cat >&2",
        "printf 'no newline'",
        "exec >&-; exec 2>&-; sleep 0.1; exit 5",
        "no-such-command",
        "test -t 0 || echo no terminal",
    ] {
        let proxied = world.ssh().args(["db1", command]).stdin("typed in").run();
        let direct = world
            .direct_ssh()
            .args(["-o", &certificate, "db1", command])
            .stdin("typed in")
            .run();
        assert_eq!(proxied.code(), direct.code(), "{command}");
        assert_eq!(proxied.text(), direct.text(), "{command}");
        assert_eq!(proxied.stderr, direct.stderr, "{command}");
    }
}

/// RFC 4254, 5.2: standard error is a stream of its own.
#[test]
fn standard_error_stays_apart() {
    let world = World::new();
    let outcome = world.run("db1", "echo to out; echo to err >&2").success();
    assert_eq!(outcome.text(), "to out\n");
    assert_eq!(outcome.stderr, "to err\n");
}

/// ssh(1), -T: no terminal is allocated, for a shell either.
#[test]
fn a_shell_without_a_terminal_gets_none() {
    let world = World::new();
    let outcome = world
        .ssh()
        .args(["-T", "db1"])
        .stdin("test -t 0 && echo terminal\nprintf 'plain\\n'\nexit 4\n")
        .run();
    assert_eq!(outcome.code(), 4, "{}", outcome.stderr);
    assert!(
        outcome.text().ends_with("plain\n"),
        "no carriage return, no echo: {:?}",
        outcome.text()
    );
    assert!(!outcome.text().contains("terminal"));
}

/// The end of standard input reaches the command, and its answer still comes back.
#[test]
fn end_of_input_arrives() {
    let world = World::new();
    let outcome = world
        .ssh()
        .args(["db1", "wc -c; echo after"])
        .stdin(vec![b'x'; 100_000])
        .run()
        .success();
    assert_eq!(outcome.text(), "100000\nafter\n");
}

/// `sshd_config(5)`, `AcceptEnv`: sshd decides which variables it takes.
#[test]
fn environment_is_passed_on() {
    let world = World::new();
    let outcome = world
        .ssh()
        .args(["-o", "SendEnv=LC_RPROXY", "-o", "SetEnv=UNWANTED=1"])
        .args(["db1", "echo \"<$LC_RPROXY> <$UNWANTED>\""])
        .env("LC_RPROXY", "blåbär * $HOME")
        .run()
        .success();
    assert_eq!(outcome.text(), "<blåbär * $HOME> <>\n");
}

#[test]
fn many_sessions_one_after_another() {
    let world = World::new();
    for round in 0..12 {
        let outcome = world.run("db1", &format!("echo {round}")).success();
        assert_eq!(outcome.text(), format!("{round}\n"));
    }
    assert_eq!(world.recordings().len(), 12);
}
