//! Time passes: a host gets another certificate when half of the life of its first one is over, and a host that
//! was off for twice that life comes back by its host key, without a token and without anybody's help. Every
//! clock of the world is moved.

use std::time::Duration;

use serde_json::Value;

use super::debian::DebianHost;
use crate::rotation::{proxy_follows, replace};
use crate::support::recordings::text;
use crate::support::{Holds, JoiningHost, World, keys};
use crate::web::plain;

const DAY: u64 = 86_400;
/// A rotation of both CAs and a host's script take long on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);

/// A host certificate, as the state has it.
#[derive(Debug, PartialEq, Eq)]
struct LastCertificate {
    serial: String,
    begins: u64,
    expires: u64,
}

impl LastCertificate {
    /// The last one of a node.
    fn of(world: &World, name: &str) -> Self {
        let shown = world.about_nodes(&["show", name, "--format=json"]);
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        let certificate = &shown["certificate"];
        let time = |key: &str| {
            let time = chrono::DateTime::parse_from_rfc3339(text(certificate, key));
            let time = time.expect("a time").timestamp();
            u64::try_from(time).expect("after 1970")
        };
        Self {
            serial: text(certificate, "serial").to_owned(),
            begins: time("begins"),
            expires: time("expires"),
        }
    }

    /// When half of its life is over.
    fn half(&self) -> u64 {
        self.begins + (self.expires - self.begins) / 2
    }
}

/// A world whose clock moves. The user's certificate is a file.
fn world() -> World {
    let world = plain().holds(Holds::BareKey).moving_clock();
    world.time_limit(LIMIT).start()
}

/// The same, with a host that has joined by a token that is used up then.
fn world_with_host() -> (World, JoiningHost) {
    let world = world();
    let host = world.joined_host("web1", &[]);
    world.eventually("a session at the node", || {
        (world.run("web1", "true").code() == 0).then_some(())
    });
    (world, host)
}

/// The commands of administrators about the CAs.
fn auth(world: &World, args: &[&str]) -> String {
    keys::tool(world.in_clock(world.rproxy()).arg("auth").args(args))
}

/// Both CAs get other keys, whoever does not know them.
fn rotate_both(world: &World) {
    for kind in ["--type=user", "--type=host"] {
        for phase in ["init", "update_clients", "update_servers", "standby"] {
            let phase = format!("--phase={phase}");
            auth(world, &["rotate", kind, &phase, "--force"]);
        }
        proxy_follows(world);
    }
    let export = auth(world, &["export", "--type=host"]);
    replace(&world.dir().join("known_hosts"), &export);
}

/// The host is what it was when it joined: nobody has let it in again.
fn assert_nobody_has_helped(world: &World, before: &Value) {
    let node = world.listed_node("web1").expect("it is there");
    assert_eq!(node["id"], before["id"]);
    assert_eq!(text(&node, "state"), "online");
    for (event, count) in [("token.added", 1), ("node.joined", 1), ("node.returned", 0)] {
        assert_eq!(world.events(event).len(), count, "{event}");
    }
}

/// Nothing is renewed before; afterwards the host has its new certificate when the first one expires.
#[test]
fn a_host_gets_another_certificate_at_half_life() {
    let (world, host) = world_with_host();
    let first = LastCertificate::of(&world, "web1");
    assert_eq!(host.serial().as_ref(), Some(&first.serial));
    assert!(first.expires - first.begins >= 30 * DAY, "{first:?}");

    world.set_clock(first.half() - 600);
    world.heartbeat(&host);
    assert_eq!(LastCertificate::of(&world, "web1"), first);
    assert_eq!(host.serial().as_ref(), Some(&first.serial));

    world.set_clock(first.half());
    world.heartbeat(&host);
    let second = LastCertificate::of(&world, "web1");
    assert_ne!(second.serial, first.serial);
    assert_eq!(host.serial().as_ref(), Some(&second.serial));
    assert!(second.expires >= first.half() + 30 * DAY, "{second:?}");
    world.heartbeat(&host);
    assert_eq!(LastCertificate::of(&world, "web1"), second, "one is enough");
    let reasons: Vec<_> = world.events("node.certificate");
    let reasons: Vec<_> = reasons.iter().map(|event| text(event, "reason")).collect();
    assert_eq!(reasons, ["joined", "half-life"]);

    // Its sshd shows the new one, as nobody could log in with the first.
    world.set_clock(first.expires + 1);
    world.sign_user_again();
    world.run("web1", "true").success();
}

/// The host certificate has expired for a month. The host knows the proxy, and its key is known.
#[test]
fn a_host_that_was_off_for_60_days_comes_back() {
    let (world, host) = world_with_host();
    let before = world.listed_node("web1").expect("it has joined");
    let first = LastCertificate::of(&world, "web1");
    host.sshd.stop();
    world.set_clock(first.begins + 60 * DAY);
    world.sign_user_again();
    world.start_sshd_again(&host);
    let refused = world.run("web1", "true");
    assert_eq!(refused.code(), 255);
    assert!(refused.stderr.contains("expired"), "{}", refused.stderr);
    let node = world.listed_node("web1").expect("it is kept");
    assert_eq!(text(&node, "state"), "offline");

    world.heartbeat(&host);
    let second = LastCertificate::of(&world, "web1");
    assert_eq!(host.serial(), Some(second.serial));
    assert!(second.expires >= first.begins + 90 * DAY);
    world.run("web1", "true").success();
    assert_nobody_has_helped(&world, &before);
}

/// The same, and both CAs have other keys since: the host follows the successors of the host CA first.
#[test]
fn a_host_that_was_off_for_60_days_and_a_rotation_comes_back() {
    let (world, host) = world_with_host();
    let before = world.listed_node("web1").expect("it has joined");
    let first = LastCertificate::of(&world, "web1");
    host.sshd.stop();
    world.set_clock(first.begins + 30 * DAY);
    rotate_both(&world);
    world.set_clock(first.begins + 60 * DAY);
    world.sign_user_again();
    world.start_sshd_again(&host);
    assert_eq!(world.run("web1", "true").code(), 255);

    let unknown = world.heartbeat_as(&host, &host.report());
    assert_eq!(unknown.code(), 255);
    let stderr = &unknown.stderr;
    assert!(stderr.contains("Host key verification failed"), "{stderr}");
    host.follow_successors(&world);
    world.heartbeat(&host);
    assert_eq!(
        host.serial(),
        Some(LastCertificate::of(&world, "web1").serial)
    );
    world.run("web1", "true").success();
    assert_nobody_has_helped(&world, &before);
}

/// A whole Debian on which the script was run, off for 60 days and a rotation: the first thing that cron runs
/// brings everything, without a token and without a question.
#[test]
fn a_debian_that_was_off_for_60_days_and_a_rotation_comes_back() {
    let world = world();
    let Some(mut host) = DebianHost::new(&world.children, "bookworm") else {
        return;
    };
    host.has_clock_of(&world);
    host.start_sshd(&world.children);
    host.joins(&world, &["--names=web1"], &["--address=127.0.0.1"]);
    world.run("web1", "true").success();
    let before = world.listed_node("web1").expect("it has joined");
    let first = LastCertificate::of(&world, "web1");

    host.stop_sshd();
    world.set_clock(first.begins + 30 * DAY);
    rotate_both(&world);
    world.set_clock(first.begins + 60 * DAY);
    world.sign_user_again();
    host.start_sshd(&world.children);
    assert_eq!(world.run("web1", "true").code(), 255);

    let line = host.shell("sed -n 's/.*root //p' /etc/cron.d/rproxy");
    host.shell(&line.replace(" --later", ""));
    assert_ne!(LastCertificate::of(&world, "web1").serial, first.serial);
    world.run("web1", "true").success();
    assert_nobody_has_helped(&world, &before);
    let node = world.listed_node("web1").expect("it is there");
    assert_eq!(node["problem"], Value::Null, "{node}");
}
