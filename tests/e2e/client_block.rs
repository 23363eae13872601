//! `rproxy config`: stock ssh with nothing but the printed or installed block.

use crate::support::client::ClientCommand;
use crate::support::{ClientOutcome, World, keys};

/// A configuration that has only the block; there is no `~/.ssh`, because `ssh` would read it.
fn block(world: &World, args: &[&str]) -> String {
    let proxy = format!("--proxy={}", world.address());
    keys::tool(world.rproxy().arg("config").arg(proxy).args(args))
}

fn ssh<'w>(world: &'w World, file: &str) -> ClientCommand<'w> {
    world
        .program("ssh")
        .args(["-o", "BatchMode=yes", "-F"])
        .arg(world.dir().join(file))
}

/// A name that was typed in upper case is the same host; `--login` is the account there.
#[test]
fn a_host_is_reached_in_upper_case_and_under_the_login_of_the_block() {
    let world = World::new();
    let login = crate::support::world::login();
    let text = block(&world, &[&format!("--login={login}")]);
    assert!(text.contains(&format!("    User {login}\n")), "{text}");
    std::fs::write(world.dir().join("block"), text).unwrap();
    let outcome = ssh(&world, "block").args(["DB1", "id -un"]).run().success();
    assert_eq!(outcome.text().trim_end(), login);
}

fn session(world: &World, file: &str) -> ClientOutcome {
    ssh(world, file).args(["db1", "echo through"]).run()
}

/// `ssh_config(5)`, `KnownHostsCommand`: no file names the trusted CA, only the block does.
#[test]
fn a_session_works_with_the_block_alone() {
    let world = World::new();
    std::fs::write(world.dir().join("block"), block(&world, &[])).unwrap();
    let outcome = session(&world, "block").success();
    assert_eq!(outcome.text(), "through\n");
    assert_eq!(outcome.stderr, "", "nothing was learned or asked");
}

/// The installed block uses its known-hosts file, for the proxy and for the host.
#[test]
fn a_session_works_with_the_installed_block() {
    let world = World::new();
    let ssh_dir = format!("--ssh-dir={}", world.dir().join("dot-ssh").display());
    block(&world, &["--install", &ssh_dir]);
    let outcome = session(&world, "dot-ssh/config").success();
    assert_eq!(outcome.text(), "through\n");
    assert_eq!(outcome.stderr, "");
    let known_hosts = world.dir().join("dot-ssh/rproxy/example.test.known_hosts");
    assert_eq!(
        std::fs::read_to_string(&known_hosts).unwrap(),
        block(&world, &["--known-hosts"])
    );
    std::fs::write(&known_hosts, "").unwrap();
    let refused = session(&world, "dot-ssh/config");
    assert_eq!(refused.code(), 255, "the file is what is trusted");
}

/// `ssh_config(5)`, `IdentityFile` and `CertificateFile`: the certificate need not be in the agent.
#[test]
fn key_and_certificate_are_offered_from_files() {
    let world = World::with().holds(crate::support::Holds::BareKey).start();
    let key = world.user.key.display().to_string();
    let identity = format!("--identity={key}");
    let certificate = format!("--certificate={key}-cert.pub");
    let text = block(&world, &[&identity, &certificate]);
    std::fs::write(world.dir().join("block"), text).unwrap();
    assert_eq!(session(&world, "block").success().text(), "through\n");
}
