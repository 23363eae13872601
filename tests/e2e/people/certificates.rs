//! The certificate that a host sees of a person who has signed in.

use std::path::Path;

use crate::support::{HostKey, World, clock, keys, programs};

/// A world whose hosts know the proxy's address, and tell a session what has authenticated it.
fn world() -> World {
    World::with()
        .signed_in()
        .proxy_setting("egress_addrs: [127.0.0.1]")
        .tuned_node("db1", HostKey::Certified, "ExposeAuthInfo yes\n")
        .start()
}

/// The certificate that the host has seen, as a line of a file.
fn seen(world: &World) -> String {
    let outcome = world.run("db1", "cat $SSH_USER_AUTH").success();
    let text = outcome.text();
    let line = text.trim().strip_prefix("publickey ");
    line.unwrap_or_else(|| panic!("no certificate in {text:?}"))
        .to_owned()
}

/// What `ssh-keygen -L` says about it, in lines without blanks around them.
fn described(world: &World, certificate: &str) -> Vec<String> {
    let file = world.dir().join("seen-cert.pub");
    std::fs::write(&file, certificate).expect("a writable directory");
    let mut keygen = std::process::Command::new(programs::path("ssh-keygen"));
    let text = keys::tool(keygen.args(["-L", "-f"]).arg(&file));
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// The line after the one that begins like this.
fn after<'a>(lines: &'a [String], title: &str) -> &'a [String] {
    let at = lines.iter().position(|line| line.starts_with(title));
    let at = at.unwrap_or_else(|| panic!("no {title} in {lines:?}"));
    &lines[at + 1..]
}

/// `ssh` to the host past the proxy, with the certificate that the host has seen.
fn direct(world: &World, certificate: &Path, arguments: &[&str]) -> crate::support::ClientOutcome {
    let certificate = format!("CertificateFile={}", certificate.display());
    world
        .direct_ssh()
        .args(["-o", &certificate])
        .args(arguments)
        .args(["127.0.0.1", "echo in"])
        .run()
}

#[test]
fn it_is_for_one_login_five_minutes_and_the_proxys_address() {
    let world = world();
    let certificate = seen(&world);
    let lines = described(&world, &certificate);
    let login = crate::support::world::login();
    assert_eq!(
        after(&lines, "Principals:")[..2],
        [login, "Critical Options:".to_owned()]
    );
    let address = after(&lines, "Critical Options:");
    assert_eq!(address[0], "source-address 127.0.0.1/32");
    let validity = lines
        .iter()
        .find_map(|line| line.strip_prefix("Valid: from "));
    let (from, to) = validity
        .and_then(|line| line.split_once(" to "))
        .expect("a validity");
    let time = |text: &str| {
        let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S");
        time.expect("a time of ssh-keygen")
    };
    let minutes = (time(to) - time(from)).num_minutes();
    // It begins earlier than it was made, for hosts whose clocks are behind.
    assert!((5..=10).contains(&minutes), "{minutes} minutes: {lines:?}");
    // A second connection has one of its own.
    assert_ne!(seen(&world), certificate);
    let ledger = keys::tool(
        world
            .rproxy()
            .args(["auth", "ls", "--format=json", "--connections"]),
    );
    assert!(ledger.contains("\"alice\""), "{ledger}");
}

#[test]
fn it_opens_the_host_from_nowhere_else_and_under_no_other_login() {
    let world = world();
    let certificate = seen(&world);
    let file = world.dir().join("seen-cert.pub");
    std::fs::write(&file, certificate).expect("a writable directory");
    // From the proxy's address, within its five minutes, it would be of use: nobody gets it.
    assert_eq!(direct(&world, &file, &[]).text(), "in\n");
    for arguments in [&["-b", "127.0.0.7"][..], &["-l", "daemon"]] {
        let outcome = direct(&world, &file, arguments);
        assert_eq!(outcome.code(), 255, "{arguments:?}: {}", outcome.text());
        assert!(
            outcome.stderr.contains("Permission denied"),
            "{}",
            outcome.stderr
        );
    }
    // The key alone opens nothing.
    let outcome = world.direct_ssh().args(["127.0.0.1", "echo in"]).run();
    assert_eq!(outcome.code(), 255, "{}", outcome.text());
}

/// The same certificate, at a host whose clock is six minutes ahead: the five minutes are over there.
#[test]
fn when_its_time_is_over_it_opens_nothing() {
    let world = world();
    let certificate = seen(&world);
    let file = world.dir().join("seen-cert.pub");
    std::fs::write(&file, certificate).expect("a writable directory");
    for (seconds, code) in [(240, 0), (360, 255)] {
        let library = clock::wrong_by(seconds, world.dir());
        let host = world.node();
        host.stop();
        host.start_again_with(&world.children, |sshd| sshd.env(clock::PRELOAD, &library));
        let outcome = direct(&world, &file, &[]);
        assert_eq!(outcome.code(), code, "{seconds}: {}", outcome.stderr);
    }
    assert!(world.node().log().contains("Certificate invalid: expired"));
}
