//! Agents of every kind hold the key that a person signs in with: they need to hold no certificate.

use std::path::Path;
use std::process::Command;

use crate::support::agent::Agent;
use crate::support::{World, keys, programs, skipped};

/// Signs up and logs in to a host with this agent.
fn sign_up_with(world: &World, socket: &Path) {
    let invitation = world.invite("alice");
    world.sign_up_through("alice", &invitation, socket);
    let outcome = world
        .ssh()
        .env("SSH_AUTH_SOCK", socket)
        .args(["db1", "echo in"])
        .run();
    assert_eq!(outcome.success().text(), "in\n");
}

/// The nineteen others are not registered: the proxy does not count them as attempts.
#[test]
fn an_agent_with_twenty_keys() {
    let world = World::with().people().start();
    let agent = crowded(&world);
    world.sign_up("alice", &world.invite("alice"));
    agent.add_bare(&world.user.key);
    let outcome = world
        .ssh()
        .env("SSH_AUTH_SOCK", &agent.socket)
        .args(["db1", "echo in"])
        .run();
    assert_eq!(outcome.success().text(), "in\n");
}

/// The first one that `ssh` signs with is registered, and no other.
#[test]
fn a_sign_up_with_twenty_keys() {
    let world = World::with().people().start();
    let agent = crowded(&world);
    agent.add_bare(&world.user.key);
    sign_up_with(&world, &agent.socket);
    assert_eq!(world.events("key.registered").len(), 1);
}

/// An agent with nineteen keys that are not the user's.
fn crowded(world: &World) -> Agent {
    let agent = Agent::start(&world.children, &world.dir().join("many"));
    for number in 0..19 {
        let key = world.dir().join(format!("other{number}"));
        keys::generate(&key);
        agent.add_bare(&key);
    }
    agent
}

/// `IdentitiesOnly` with a key file, and no certificate anywhere: sign-up, sign-in, and a host.
#[test]
fn a_key_file_and_identities_only() {
    let world = World::with().people().start();
    let key = world.user.key.display().to_string();
    let file = [
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "IdentityFile=none",
        "-i",
        &key,
    ];
    let invitation = world.invite("alice");
    // No agent has a part in it before the host is asked.
    let ssh = world.asking_ssh("signup").args(file);
    let terminal = ssh.env("SSH_AUTH_SOCK", "").in_terminal(60, 120);
    let account = World::sign_up_at(terminal, "alice", &invitation);
    world.asking_ssh("alice").arg("logout").run().success();
    let mut terminal = world
        .asking_ssh("alice")
        .args(file)
        .env("SSH_AUTH_SOCK", "")
        .arg("login")
        .in_terminal(24, 80);
    account.answer(&mut terminal);
    terminal.expect("signed in as alice until");
    assert_eq!(terminal.finish().0, Some(0));
    let outcome = world.ssh().args(file).args(["db1", "echo in"]).run();
    assert_eq!(outcome.success().text(), "in\n");
}

#[test]
fn gpg_agent() {
    let (Some(gpg), Some(gpg_agent)) = (programs::other("gpg"), programs::other("gpg-agent"))
    else {
        return skipped::lacks("gpg-agent");
    };
    let world = World::with().people().start();
    let home = world.dir().join("gnupg");
    private_directory(&home);
    let run =
        |arguments: &[&str]| keys::tool(Command::new(&gpg).env("GNUPGHOME", &home).args(arguments));
    run(&[
        "--batch",
        "--quiet",
        "--pinentry-mode=loopback",
        "--passphrase=",
        "--quick-generate-key",
        "alice",
        "ed25519",
        "auth",
        "never",
    ]);
    let listed = run(&["-K", "--with-colons", "--with-keygrip"]);
    let grip = listed.lines().find_map(|line| line.strip_prefix("grp:"));
    let grip = grip.expect("a key").trim_matches(':');
    std::fs::write(home.join("sshcontrol"), format!("{grip}\n")).expect("a writable directory");
    // The one that gpg has started knows nothing of ssh.
    keys::tool(
        Command::new(programs::path("gpgconf"))
            .env("GNUPGHOME", &home)
            .args(["--kill", "gpg-agent"]),
    );
    // It is told to end, and removes its sockets then, whosever they are by that time.
    let before = home.join("S.gpg-agent");
    world.eventually("gpg's own agent ends", || (!before.exists()).then_some(()));
    // It goes to the background, in the process group of the shell.
    let script = format!(
        "{} --homedir {} --daemon --no-detach --enable-ssh-support; exec sleep 600",
        gpg_agent.display(),
        home.display()
    );
    let mut shell = Command::new("/bin/sh");
    let socket = home.join("S.gpg-agent.ssh");
    let agent = Agent::of(&world.children, &socket, shell.args(["-c", &script]));
    sign_up_with(&world, &agent.socket);
}

/// Its agent holds no certificates; it runs without a screen, with a keyring whose password is empty.
#[test]
fn gnome_keyring() {
    let (Some(daemon), Some(bus)) = (
        programs::other("gnome-keyring-daemon"),
        programs::other("dbus-run-session"),
    ) else {
        return skipped::lacks("gnome-keyring");
    };
    let world = World::with().people().start();
    let home = world.dir().join("gnome");
    private_directory(&home);
    let script = format!(
        "printf '\\n' | exec {} --foreground --unlock --components=ssh,secrets --control-directory={}",
        daemon.display(),
        home.display()
    );
    let mut session = Command::new(bus);
    session
        .args(["--", "/bin/sh", "-c", &script])
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home);
    let agent = Agent::of(&world.children, &home.join("ssh"), &mut session);
    agent.add_bare(&world.user.key);
    sign_up_with(&world, &agent.socket);
}

fn private_directory(path: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().mode(0o700).create(path);
    made.expect("a writable directory");
}
