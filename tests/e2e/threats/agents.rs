//! T10: agents whose keys are bound to hosts, need a confirmation, or are many.

use std::path::Path;

use crate::support::agent::Agent;
use crate::support::recordings::text;
use crate::support::{HostKey, World, keys, programs};

/// `ssh-add -h`: the key signs for the proxy, and through it for the hosts that it is bound to.
#[test]
fn t10_a_key_for_certain_hosts() {
    let world = World::with()
        .node("db1", HostKey::Certified)
        .node("db2", HostKey::Certified)
        .start();
    // `ssh-add` adds the certificate beside the key.
    world.certificate_file();
    let agent = Agent::start(&world.children, &world.dir().join("bound"));
    let known_hosts = world.dir().join("known_hosts").display().to_string();
    // The destinations: the proxy, the hosts as the user's `ssh` sees them, and one of them as the
    // next hop: with ProxyCommand from the proxy, with ProxyJump from the host as `ssh` sees it.
    agent.ssh_add(
        &[
            "-H",
            &known_hosts,
            "-h",
            "127.0.0.1",
            "-h",
            "db1",
            "-h",
            "db2",
            "-h",
            "127.0.0.1>db1",
            "-h",
            "db1>db1",
        ],
        &world.user.key,
    );
    // `ssh` would sign with the bare key, but the request names the certificate: the agent refuses
    // that.
    agent.forget_bare(&world.user.key);
    let run = |host: &str| {
        let client = world.ssh().env("SSH_AUTH_SOCK", &agent.socket);
        client.args([host, "echo in"]).run()
    };
    assert_eq!(run("db1").success().text(), "in\n");
    let client = world.program("ssh").env("SSH_AUTH_SOCK", &agent.socket);
    let jump = crate::jump::config(&world);
    let jumped = client.args(["-F", &jump, "-A", "db1", "echo in"]).run();
    assert_eq!(jumped.success().text(), "in\n");
    let refused = run("db2");
    assert_eq!(refused.code(), 255, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("rproxy: client: "),
        "{}",
        refused.stderr
    );
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(text(&refusals[0], "target"), "db2:22");
    let second = world.nodes().last().expect("there are two");
    assert!(
        !second.log().contains("Accepted publickey"),
        "{}",
        second.log()
    );
}

/// `ssh-add -c`: the user is asked once for each of the three logins, and a denial is a refusal.
#[test]
fn t10_a_key_that_asks_first() {
    let world = World::new();
    let dir = world.dir();
    let (asked, answer) = (dir.join("asked"), dir.join("answer"));
    let ask = executable(
        &dir.join("ask"),
        &format!(
            "#!/bin/sh\necho x >> {}\ntest -e {}\n",
            asked.display(),
            answer.display()
        ),
    );
    let agent = Agent::start_with(&world.children, &dir.join("asking"), |command| {
        command
            .env("SSH_ASKPASS", &ask)
            .env("SSH_ASKPASS_REQUIRE", "force")
    });
    agent.ssh_add(&["-c"], &world.user.key);
    let run = || {
        let client = world.ssh().env("SSH_AUTH_SOCK", &agent.socket);
        client.args(["db1", "echo in"]).run()
    };
    let questions = || std::fs::read_to_string(&asked).map_or(0, |text| text.lines().count());
    std::fs::write(&answer, "yes").expect("a writable directory");
    assert_eq!(run().success().text(), "in\n");
    assert_eq!(questions(), 3);
    std::fs::remove_file(&answer).expect("it is there");
    assert_eq!(run().code(), 255);
    assert_eq!(world.node().log().matches("Accepted publickey").count(), 1);
}

/// A dozen unknown keys come before the right one: the proxy finds it, and the host sees no other.
#[test]
fn t10_an_agent_with_many_keys() {
    let world = World::new();
    let agent = Agent::start(&world.children, &world.dir().join("many"));
    for number in 0..12 {
        let key = world.dir().join(format!("other{number}"));
        keys::generate(&key);
        agent.add(&key);
    }
    agent.add(&world.user.key);
    let client = world.ssh().env("SSH_AUTH_SOCK", &agent.socket);
    let outcome = client.args(["db1", "echo in"]).run().success();
    assert_eq!(outcome.text(), "in\n");
    let log = world.node().log();
    assert!(!log.contains("Failed publickey"), "{log}");
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
}

fn executable(path: &Path, script: &str) -> std::path::PathBuf {
    programs::put_script(script, path);
    path.to_owned()
}
