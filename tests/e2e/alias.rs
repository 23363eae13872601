//! `HostKeyAlias`: the user's `ssh` checks another name of the host than the one that it requests
//! from the proxy. `ssh_config(5)`.

use crate::jump;
use crate::support::client::ClientCommand;
use crate::support::{HostKey, World, keys};

/// A name of the host's own certificate, which the inventory does not have.
const OWN: &str = "ledger.internal";

fn world() -> World {
    World::with()
        .node("db1", HostKey::Named("db1,ledger.internal"))
        .start()
}

fn with_alias<'w>(ssh: ClientCommand<'w>, alias: &str) -> ClientCommand<'w> {
    ssh.args(["-o", &format!("HostKeyAlias={alias}")])
}

/// The node's name in the inventory works at once, also with the cluster's name behind it, and by
/// whatever name the host was requested.
#[test]
fn the_inventorys_names_hold_however_the_host_is_asked_for() {
    let world = world();
    let port = world.node().port.to_string();
    for alias in ["db1", "db1.example.test"] {
        for asked in ["db1", "db1.example.test", "DB1"] {
            let ssh = with_alias(world.ssh(), alias);
            ssh.args([asked, "true"]).run().success();
        }
        let ssh = with_alias(world.ssh(), alias);
        ssh.args(["-p", &port, "127.0.0.1", "true"]).run().success();
    }
    let other = with_alias(world.ssh(), "db2.example.test");
    let other = other.args(["db1", "true"]).run();
    assert_eq!(other.code(), 255, "{}", other.text());
    let says = "Host key verification failed";
    assert!(other.stderr.contains(says), "{}", other.stderr);
}

/// The other names of the host's certificate work once the proxy has seen it, with ProxyCommand and
/// ProxyJump, for as long as the certificate has them.
#[test]
fn names_of_the_hosts_own_certificate_hold_once_it_was_seen() {
    let world = world();
    let config = jump::config(&world);
    let by_command = |alias: &str| with_alias(world.ssh(), alias).args(["db1", "true"]).run();
    let by_jump = |alias: &str| {
        let ssh = world.program("ssh").args(["-F", &config, "-A"]);
        with_alias(ssh, alias).args(["db1", "true"]).run()
    };
    let unknown = "Host key verification failed";
    let first = by_command(OWN);
    assert_eq!(first.code(), 255, "{}", first.stderr);
    assert!(first.stderr.contains(unknown), "{}", first.stderr);
    world.run("db1", "true").success();
    by_command(OWN).success();
    by_jump(OWN).success();
    by_jump("db1").success();

    // The next certificate does not have this name: a connection that uses it is refused, and later
    // connections are not shown the name.
    let key = world.dir().join("db1/host_key");
    keys::tool(world.rproxy().args([
        "auth",
        "sign",
        "--host=db1",
        "--overwrite",
        &format!("--public-key={}.pub", key.display()),
        &format!("--out={}-cert.pub", key.display()),
    ]));
    world.node().reload(&world.children);
    let lost = by_command(OWN);
    assert_eq!(lost.code(), 255, "{}", lost.stderr);
    let says =
        "rproxy: host certificate: remote host's certificate is no longer for ledger.internal";
    assert!(lost.stderr.contains(says), "{}", lost.stderr);
    assert!(
        lost.stderr.contains("hint: connect again"),
        "{}",
        lost.stderr
    );
    world.run("db1", "true").success();
    let after = by_command(OWN);
    assert_eq!(after.code(), 255, "{}", after.stderr);
    assert!(after.stderr.contains(unknown), "{}", after.stderr);
    by_jump("db1.example.test").success();
}
