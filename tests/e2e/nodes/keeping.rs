//! What goes wrong on a host that has joined: a broken `sshd_config`, full disks, wrong clocks. Whatever it is,
//! the host says so, every file is whole, and its sshd goes on and would start again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::debian::DebianHost;
use crate::support::World;
use crate::support::clock;
use crate::support::recordings::text;

/// The first half of the life of a certificate here, and some seconds.
const HALF: u64 = 21 * 60;
/// After which a host that has not installed its last certificate is given another one.
const AGAIN: u64 = 11 * 60;
/// In seconds.
const YEAR: i64 = 365 * 86_400;

/// Each file that sshd reads is of use to it, nothing is left beside them, and sshd would start.
const CHECK: &str = "\
cd /etc/ssh/rproxy\n\
ssh-keygen -L -f host-cert.pub >/run/shown || echo certificate\n\
ssh-keygen -l -f user_ca.pub >/run/shown || echo user CA\n\
ssh-keygen -Q -f revoked.krl user_ca.pub >/run/shown || echo revocations\n\
awk '{ print $3, $4 }' known_hosts >/run/keys\n\
ssh-keygen -l -f /run/keys >/run/shown || echo known hosts\n\
find /etc -name '*.rproxy-*'\n\
/usr/sbin/sshd -t 2>&1 || true";

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.as_ref().map_or(0, Duration::as_secs)
}

/// A host that has joined as db9, with the clock of the world; `None` where there can be none.
fn joined() -> Option<(World, DebianHost)> {
    let world = World::with()
        .moving_clock()
        .auth_setting("node_ttl: 40m")
        .start();
    let mut host = DebianHost::new(&world.children, "bookworm")?;
    host.has_clock_of(&world);
    host.start_sshd(&world.children);
    let options = ["--address=127.0.0.1", "--label=rack=r7"];
    host.joins(&world, &["--names=db9"], &options);
    is_reached(&world);
    assert_eq!(host.shell(CHECK), "");
    Some((world, host))
}

fn heartbeat(host: &DebianHost) -> (bool, String) {
    host.run(&["sh", "/etc/ssh/rproxy/node.sh", "heartbeat"], "")
}

/// The number of the certificate that is installed.
fn serial(host: &DebianHost) -> String {
    host.shell("ssh-keygen -L -f /etc/ssh/rproxy/host-cert.pub | sed -n 's/^ *Serial: //p'")
}

fn listed(world: &World) -> Value {
    world.listed_node("db9").expect("it has joined")
}

/// It is a host like others: it has no problem, and users reach it.
fn is_well(world: &World, host: &mut DebianHost) {
    let (is_done, said) = heartbeat(host);
    assert!(is_done, "{said}");
    assert_eq!(listed(world)["problem"], Value::Null);
    assert_eq!(host.shell(CHECK), "");
    host.has_its_sshd(&world.children);
    is_reached(world);
}

/// Users reach it, once its sshd has been reloaded.
fn is_reached(world: &World) {
    world.eventually("a session at the host", || {
        (world.run("db9", "true").code() == 0).then_some(())
    });
}

/// Whoever is root there reads that it is locked, and not only that its key is refused.
#[test]
fn a_locked_host_reads_why() {
    let Some((world, mut host)) = joined() else {
        return;
    };
    world.about_nodes(&["lock", "db9"]);
    let (is_done, said) = heartbeat(&host);
    assert!(
        !is_done && said.contains("the node db9 is locked"),
        "{said}"
    );
    assert!(said.contains("rproxy nodes unlock db9"), "{said}");
    world.about_nodes(&["unlock", "db9"]);
    is_well(&world, &mut host);
}

/// The administrator of the host breaks its configuration: a reload would end sshd.
#[test]
fn a_broken_sshd_config_ends_nothing_and_is_told() {
    let Some((world, mut host)) = joined() else {
        return;
    };
    let (before, reloads) = (serial(&host), host.reloads());
    let command = "echo begun; while [ ! -e /run/go ]; do sleep 0.1; done; echo ended";
    let mut session = world.ssh().args(["db9", command]).start();
    assert_eq!(session.read(6), b"begun\n");

    host.shell(
        "cp -p /etc/ssh/sshd_config /root/good && echo NoSuchKeyword yes >>/etc/ssh/sshd_config",
    );
    world.set_clock(now() + HALF);
    let (is_done, said) = heartbeat(&host);
    assert!(!is_done && said.contains("NoSuchKeyword"), "{said}");
    let problem = listed(&world);
    assert!(
        text(&problem, "problem").contains("NoSuchKeyword"),
        "{problem}"
    );
    // What has come is there for when it is mended.
    let renewed = serial(&host);
    assert_ne!(renewed, before);
    let broken = host.shell(CHECK);
    assert!(broken.contains("NoSuchKeyword"), "{broken}");
    assert_eq!(
        broken.lines().count(),
        2,
        "sshd alone is not content: {broken}"
    );
    let (is_done, said) = heartbeat(&host);
    assert!(!is_done && said.contains("NoSuchKeyword"), "{said}");
    assert_eq!(host.reloads(), reloads);
    host.has_its_sshd(&world.children);
    world.run("db9", "true").success();
    host.shell("touch /run/go");
    assert_eq!(session.finish().success().text(), "ended\n");

    host.shell("cp -p /root/good /etc/ssh/sshd_config");
    let (is_done, said) = heartbeat(&host);
    assert!(is_done && said.contains("sshd: reloaded"), "{said}");
    world.eventually("sshd is reloaded", || {
        (host.reloads() == reloads + 1).then_some(())
    });
    // The certificate before has expired.
    world.set_clock(now() + 2 * HALF);
    world.run("db9", "true").success();
    is_well(&world, &mut host);
}

#[test]
fn a_full_disk_keeps_what_is_there_and_is_told() {
    let Some((world, mut host)) = joined() else {
        return;
    };
    host.fill("etc");
    let (before, etc) = (serial(&host), host.etc());
    world.set_clock(now() + HALF);
    let (is_done, said) = heartbeat(&host);
    assert!(
        !is_done && said.contains("cannot write /etc/ssh/rproxy/host-cert.pub"),
        "{said}"
    );
    assert_eq!(host.etc(), etc);
    assert_eq!(host.shell(CHECK), "");
    // The next one tells the proxy. It brings nothing, for ten minutes.
    let (is_done, said) = heartbeat(&host);
    assert!(is_done, "{said}");
    let node = listed(&world);
    assert!(text(&node, "problem").contains("cannot write"), "{node}");

    // Nor is there room for anything else: nothing is reported, rather than half of it.
    host.fill("run");
    world.set_clock(now() + HALF + AGAIN);
    let (is_done, said) = heartbeat(&host);
    assert!(!is_done && said.contains("cannot write /etc"), "{said}");
    host.fill("tmp");
    let (is_done, said) = heartbeat(&host);
    assert!(
        !is_done && said.contains("no room for temporary files"),
        "{said}"
    );
    assert_eq!(host.etc(), etc);
    let node = listed(&world);
    assert_eq!(node["labels"], serde_json::json!(["rack=r7"]));
    host.make_room("run");
    assert_eq!(host.shell(CHECK), "");
    host.has_its_sshd(&world.children);
    world.run("db9", "true").success();

    host.make_room("tmp");
    host.make_room("etc");
    // The certificate that it has kept has expired.
    world.set_clock(now() + HALF + 2 * AGAIN);
    let (is_done, said) = heartbeat(&host);
    assert!(is_done && said.contains("sshd: reloaded"), "{said}");
    assert_ne!(serial(&host), before);
    is_well(&world, &mut host);
}

/// Certificates are valid for a while: with a clock that is wrong by more, the host does not know the proxy.
#[test]
fn a_wrong_clock_on_either_side_is_told_and_changes_nothing() {
    let Some((world, mut host)) = joined() else {
        return;
    };
    let etc = host.etc();
    let refuses = |host: &DebianHost| {
        let (is_done, said) = heartbeat(host);
        assert!(
            !is_done && said.contains("this host's clock says"),
            "{said}"
        );
        assert_eq!(host.etc(), etc);
        assert_eq!(host.shell(CHECK), "");
    };
    for wrong in [YEAR, -YEAR] {
        host.has_clock(&world, &clock::wrong_by(wrong, world.dir()));
        refuses(&host);
    }
    // Wrong by less, the host is told.
    host.has_clock(&world, &clock::wrong_by(1_200, world.dir()));
    let (is_done, said) = heartbeat(&host);
    assert!(is_done && said.contains("ahead of the proxy's"), "{said}");
    assert_eq!(host.etc(), etc);
    host.has_its_sshd(&world.children);

    // The proxy's is wrong, and the host's is right.
    host.has_clock(&world, &clock::wrong_by(0, world.dir()));
    world.set_clock(now() + YEAR.unsigned_abs());
    refuses(&host);
    // Both are: what is issued then is not valid yet when the clocks are right again, and is replaced.
    host.has_clock_of(&world);
    let before = serial(&host);
    let (is_done, said) = heartbeat(&host);
    assert!(is_done, "{said}");
    let future = serial(&host);
    assert_ne!(future, before);
    world.set_clock(now() + 5);
    let (is_done, said) = heartbeat(&host);
    assert!(is_done && said.contains("sshd: reloaded"), "{said}");
    assert_ne!(serial(&host), future);
    is_well(&world, &mut host);
}
