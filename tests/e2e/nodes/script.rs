//! A whole Debian as a host, with OpenSSH and nothing of ours: one command makes it a node, and one removes
//! everything again.
//!
//! `tests/join_script` has everything that goes wrong.

use std::process::Stdio;

use serde_json::Value;

use super::debian::DebianHost;
use crate::support::World;
use crate::support::terminal::Terminal;

fn a_fresh_debian_joins_and_leaves(suite: &str) {
    let world = World::new();
    let Some(mut host) = DebianHost::new(&world.children, suite) else {
        return;
    };
    let fresh = host.etc();
    host.start_sshd(&world.children);
    let options = ["--address=127.0.0.1", "--label=rack=r7"];
    host.joins(&world, &["--names=db9", "--labels=env=prod"], &options);
    let version = world.run("db9", "cat /etc/debian_version").success().text();
    assert_eq!(version, host.shell("cat /etc/debian_version"));
    let node = world.eventually("the node is online", || {
        world
            .listed_node("db9")
            .filter(|node| node["state"] == "online")
    });
    assert_eq!(node["labels"], serde_json::json!(["env=prod", "rack=r7"]));
    assert_eq!(node["problem"], Value::Null, "{node}");

    let joined = host.etc();
    assert_ne!(joined, fresh);
    let (is_done, said) = host.run(&["sh", "/root/join.sh"], "");
    assert!(is_done && said.contains("nothing to change"), "{said}");
    let line = host.shell("sed -n 's/.*root //p' /etc/cron.d/rproxy");
    host.shell(&line.replace(" --later", ""));
    assert_eq!(host.etc(), joined, "the second run, and what cron runs");
    world.run("db9", "true").success();

    let (is_done, said) = host.run(&["sh", "/etc/ssh/rproxy/node.sh", "--leave", "--yes"], "");
    assert!(is_done, "{said}");
    assert_eq!(host.etc(), fresh);
    host.has_its_sshd(&world.children);
    assert_ne!(world.run("db9", "true").code(), 0);
    world.about_nodes(&["rm", "db9"]);
    assert!(world.listed_node("db9").is_none());
}

#[test]
fn a_fresh_debian_joins_by_one_command() {
    a_fresh_debian_joins_and_leaves("bookworm");
}

#[test]
fn a_host_with_the_newest_openssh_joins_by_one_command() {
    a_fresh_debian_joins_and_leaves("sid");
}

/// Debian's unit makes what sshd needs to look at its configuration, and removes it when sshd stops: where
/// sshd is started for each connection, it is not there.
#[test]
fn a_host_whose_sshd_is_not_running_joins() {
    let world = World::new();
    for suite in ["bookworm", "sid"] {
        let Some(host) = DebianHost::new(&world.children, suite) else {
            return;
        };
        host.shell("rmdir /run/sshd");
        let names = format!("--names={suite}");
        host.joins(&world, &[&names], &["--address=127.0.0.1"]);
        assert_eq!(host.shell("ls -bd /run/sshd*"), "/run/sshd\n");
    }
}

/// Whoever types the token, and changes their mind: it is not shown, and the terminal shows what comes after it.
#[test]
fn a_token_that_is_typed_is_not_shown() {
    let world = World::new();
    let Some(host) = DebianHost::new(&world.children, "bookworm") else {
        return;
    };
    let fresh = host.etc();
    host.gets_script(&world);
    let mut shell = host.command("sh");
    shell.args(["-c", "trap : INT; sh /root/join.sh --yes; echo $?; stty -a"]);
    let mut terminal = Terminal::start(&world.children, shell, 24, 80);
    terminal.answer_hidden("Token: ", "rpt_typed");
    terminal.type_in("\u{3}");
    let (_, shown) = terminal.finish();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(!shown.contains("rpt_typed"), "{shown}");
    assert!(shown.contains("130") && shown.contains(" echo "), "{shown}");
    assert_eq!(host.etc(), fresh);
}

/// A token that demands a tunnel: the script keeps it, and the proxy reaches the host by nothing else.
#[test]
fn a_host_behind_its_tunnel_is_reached() {
    let world = World::new();
    let Some(mut host) = DebianHost::new(&world.children, "bookworm") else {
        return;
    };
    let fresh = host.etc();
    host.start_sshd(&world.children);
    host.joins(&world, &["--names=db9", "--tunnel=required"], &[]);
    assert!(
        host.shell("cat /etc/cron.d/rproxy")
            .contains("node.sh tunnel")
    );
    let mut tunnel = host.command("sh");
    tunnel
        .args(["/etc/ssh/rproxy/node.sh", "tunnel"])
        .stdin(Stdio::null());
    let mut tunnel = world.children.spawn(&mut tunnel);
    let from = world.run("db9", "echo $SSH_CONNECTION").success().text();
    assert!(from.starts_with("127.0.0.1 "), "{from}");
    let (is_done, said) = host.run(&["sh", "/etc/ssh/rproxy/node.sh", "--leave", "--yes"], "");
    assert!(is_done, "{said}");
    tunnel.wait();
    assert_eq!(host.etc(), fresh);
}
