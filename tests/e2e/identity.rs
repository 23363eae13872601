//! Where the user's key and certificate are, and the user's identity on each leg.

use crate::support::{Holds, World, programs};

/// The agent holds the key alone, as GNOME Keyring and gpg-agent do; the certificate is a file.
#[test]
fn certificate_from_a_file_key_in_the_agent() {
    let world = World::with().holds(Holds::BareKey).start();
    let outcome = world.run("db1", "echo hello").success();
    assert_eq!(outcome.text(), "hello\n");
}

/// Stock `sshd` gets the user's own certificate, so its log names the user.
#[test]
fn sshd_logs_the_person() {
    let world = World::new();
    world.run("db1", "true").success();
    let log = world.node().log();
    assert!(log.contains("ED25519-CERT"), "{log}");
    assert!(log.contains("ID alice"), "{log}");
}

/// The ProxyCommand and the trusted CA exactly as in the README, without any `ssh_config`.
#[test]
fn by_hand_with_stock_tools_only() {
    let world = World::new();
    let trust = format!(
        "-F none -o StrictHostKeyChecking=yes -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null",
        world.dir().join("known_hosts").display()
    );
    let proxy_command = format!(
        "ssh {trust} -o ForwardAgent=yes -p {} %r@127.0.0.1 -s proxy:%h:%p",
        world.port()
    );
    let outcome = world
        .program("ssh")
        .args(trust.split(' '))
        .args(["-o", "ForwardAgent=yes", "-o"])
        .arg(format!("ProxyCommand={proxy_command}"))
        .arg(format!("{}@db1", crate::support::world::login()))
        .arg("echo by hand")
        .run()
        .success();
    assert_eq!(outcome.text(), "by hand\n");
}

/// `egress_addrs`: stock sshd accepts the certificate through the proxy, and refuses it from the
/// user's address. PROTOCOL.certkeys, source-address.
#[test]
fn nobody_walks_around_the_proxy() {
    let world = World::with()
        .proxy_setting("egress_addrs: [127.0.0.1/32]")
        .start();
    // The user is at 127.0.0.2, the proxy at 127.0.0.1.
    let around = world
        .direct_ssh()
        .args(["-b", "127.0.0.2", "db1", "true"])
        .run();
    assert_eq!(around.code(), 255, "{}", around.stderr);
    assert!(
        around.stderr.contains("Permission denied"),
        "{}",
        around.stderr
    );

    let from = format!(
        "ProxyCommand={} -b 127.0.0.2 -F {} %r@127.0.0.1 -s proxy:%h:%p",
        programs::path("ssh").display(),
        world.dir().join("outer").display(),
    );
    let through = world.ssh().args(["-o", &from, "db1", "echo through"]).run();
    assert_eq!(through.success().text(), "through\n");
}
