//! `ssh -J PROXY HOST`: the host is reached with the agent that the inner connection forwards.

use std::time::{Duration, Instant};

use crate::support::recordings::text;
use crate::support::{ClientOutcome, HostKey, World};

/// Writes a configuration with ProxyJump, and returns its path.
pub(crate) fn config(world: &World) -> String {
    let outer = std::fs::read_to_string(world.dir().join("outer")).expect("the harness wrote it");
    let lines = outer.lines().filter(|line| {
        !["Port ", "ForwardAgent "]
            .iter()
            .any(|word| line.starts_with(word))
    });
    let common: String = lines.map(|line| format!("{line}\n")).collect();
    let path = world.dir().join("jump");
    let port = world.port();
    std::fs::write(
        &path,
        format!("Host db* nowhere*\nProxyJump 127.0.0.1:{port}\nHost *\n{common}"),
    )
    .expect("a writable directory");
    path.display().to_string()
}

fn jump(world: &World, arguments: &[&str]) -> ClientOutcome {
    let config = config(world);
    world
        .program("ssh")
        .args(["-F", &config])
        .args(arguments)
        .run()
}

#[test]
fn a_session() {
    let world = World::new();
    let outcome = jump(&world, &["-A", "db1", "echo out; echo err >&2; exit 7"]);
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    assert_eq!(
        (outcome.text().as_str(), outcome.stderr.as_str()),
        ("out\n", "err\n")
    );
    let recording = world.finished_recording();
    assert_eq!(
        text(&recording, "command"),
        "echo out; echo err >&2; exit 7"
    );
    assert_eq!(world.exported(&recording, "stdout"), b"out\n");
}

#[test]
fn a_terminal() {
    let world = World::new();
    let config = config(&world);
    let mut terminal = world
        .program("ssh")
        .args(["-F", &config, "-A", "-tt", "db1", "stty size; exit 4"])
        .in_terminal(31, 97);
    terminal.expect("31 97");
    assert_eq!(terminal.finish().0, Some(4));
}

/// `ssh` shows no text of a refused channel, so the text comes from a session that ends with 255.
#[test]
fn no_agent() {
    let world = World::new();
    let outcome = jump(&world, &["db1", "echo never"]);
    assert_eq!(outcome.code(), 255);
    assert_eq!(outcome.text(), "");
    assert!(
        outcome.stderr.contains("agent forwarding required"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("-A"), "{}", outcome.stderr);
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(world.node().connections(), 0);
}

/// The host refuses the login after the agent has signed: `ssh` gets the refusal, and its agent's
/// channel is closed, so that `ssh` restores the terminal at once.
#[test]
fn a_host_that_refuses_gives_the_terminal_back_at_once() {
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, "DenyUsers *\n")
        .node("db2", HostKey::Certified)
        .start();
    let time = |destination: &str| {
        let began = Instant::now();
        let outcome = jump(&world, &["-A", destination, "echo"]);
        (outcome, began.elapsed())
    };
    let (outcome, usual) = time("db2");
    outcome.success();
    let (outcome, took) = time("db1");
    assert_eq!(outcome.code(), 255);
    let said = "rproxy: host authentication: ";
    assert_eq!(
        outcome.stderr.matches(said).count(),
        1,
        "{}",
        outcome.stderr
    );
    // If each side waits for the other, this takes ten seconds longer than a session, on any
    // machine.
    assert!(
        took < usual + Duration::from_secs(8),
        "{took:?}, not {usual:?}"
    );
}

#[test]
fn an_unknown_node() {
    let world = World::new();
    let outcome = jump(&world, &["-A", "nowhere1", "echo never"]);
    assert_eq!(outcome.code(), 255);
    assert!(outcome.stderr.contains("nowhere1"), "{}", outcome.stderr);
    assert_eq!(world.refusals().len(), 1);
    assert_eq!(world.node().connections(), 0);
}

#[test]
fn files() {
    let world = World::new();
    let config = config(&world);
    let dir = world.dir().display().to_string();
    std::fs::write(world.dir().join("sent"), crate::support::service::bytes()).expect("writable");
    let stored = |name: &str| std::fs::read(world.dir().join(name)).unwrap_or_default();
    std::fs::write(
        world.dir().join("batch"),
        format!("put {dir}/sent {dir}/by-sftp\n"),
    )
    .expect("writable");
    world
        .program("sftp")
        .args(["-A", "-F", &config, "-b", &format!("{dir}/batch"), "db1"])
        .run()
        .success();
    assert!(stored("by-sftp") == stored("sent"));
    for (name, options) in [("by-scp", &["-A"][..]), ("by-old-scp", &["-A", "-O"])] {
        world
            .program("scp")
            .args(options)
            .args([
                "-q",
                "-F",
                &config,
                &format!("{dir}/sent"),
                &format!("db1:{dir}/{name}"),
            ])
            .run()
            .success();
        assert!(stored(name) == stored("sent"), "{name}");
    }
    assert_eq!(world.recordings().len(), 3);
}

#[test]
fn several_sessions_over_one_connection() {
    let world = World::new();
    let config = config(&world);
    let control = format!("ControlPath={}", world.dir().join("control").display());
    let master = world
        .program("ssh")
        .args(["-F", &config, "-A", "-M", "-o", &control, "db1"])
        .args(["echo ready; read -r line; echo $line"])
        .start();
    let mut master = master;
    assert_eq!(master.read(6), b"ready\n");
    for round in 0..3 {
        let outcome = jump(&world, &["-o", &control, "db1", &format!("echo {round}")]).success();
        assert_eq!(outcome.text(), format!("{round}\n"));
    }
    let stdin = master.stdin.as_mut().expect("it is piped");
    std::io::Write::write_all(stdin, b"end\n").expect("a pipe");
    assert_eq!(master.finish().success().text(), "end\n");
    assert_eq!(world.node().connections(), 1);
    assert_eq!(world.recordings().len(), 4);
}
