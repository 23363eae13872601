//! Faults of hosts: one run of the doctor, with a host for each fault.

use std::io::Write;
use std::net::TcpListener;

use super::{Findings, doctor};
use crate::support::ports::free_port;
use crate::support::service::{host_with_keys_of, that_says};
use crate::support::{HostKey, World, clock, keys};

#[test]
fn each_fault_of_a_host_is_found_and_its_fix_named() {
    let web = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let web_port = web.local_addr().expect("it is bound").port();
    let closed = free_port();
    let young_keys = "ssh-mldsa44-ed25519@openssh.com";
    let (young_port, _) = that_says(host_with_keys_of(young_keys), true);
    let world = World::with()
        .node("db1", HostKey::Certified)
        .node("plain", HostKey::Plain)
        .node("stranger", HostKey::Stranger)
        .node("expired", HostKey::Expired)
        .node("ending", HostKey::Ending)
        .node("other", HostKey::Named("elsewhere"))
        .node("usertype", HostKey::UserType)
        .node("short", HostKey::Short)
        .node("revoked", HostKey::Certified)
        .tuned_node("no-ca", HostKey::Certified, "TrustedUserCAKeys none\n")
        .node("late", HostKey::Certified)
        .node("early", HostKey::Certified)
        .foreign_node("down", closed)
        .foreign_node("web", web_port)
        .foreign_node("young", young_port)
        .start();
    let node = |name: &str| {
        let mut nodes = world.nodes().iter();
        nodes
            .find(|node| node.name == name)
            .expect("a node of that name")
    };
    for (name, seconds) in [("late", -7_200), ("early", 7_200)] {
        let library = clock::wrong_by(seconds, world.dir());
        node(name).stop();
        node(name).start_again_with(&world.children, |sshd| sshd.env("LD_PRELOAD", &library));
    }
    let issued = keys::tool(world.rproxy().args(["auth", "ls", "--format", "json"]));
    let issued: Vec<serde_json::Value> = serde_json::from_str(&issued).expect("a list");
    let revoked = issued.iter().find(|one| one["key_id"] == "revoked");
    let serial = revoked.expect("it was signed")["serial"].to_string();
    keys::tool(world.rproxy().args([
        "auth",
        "revoke",
        "--yes",
        "--serial",
        serial.trim_matches('"'),
    ]));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = web.accept().expect("the doctor looks");
        stream
            .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            .expect("it reads");
    });

    let found = Findings::of(doctor(&world, |text| {
        let nowhere = "  - { name: nowhere, addr: \"rproxy-test.invalid:22\" }\n";
        text.replacen("nodes:\n", &format!("nodes:\n{nowhere}"), 1)
    }));
    server.join().expect("somebody connected");

    found.ok("node-host-key", "db1");
    found.ok("node-user-ca", "db1");
    // It announces the distribution's package, or is new enough.
    found.ok("node-version", "db1");
    found.error("node-name", "nowhere", &["nodes[].addr", "DNS"]);
    found.error("node-port", "down", &["on down: start sshd", "firewall"]);
    found.error("node-ssh", "web", &["port"]);
    let quoted = r#"is no SSH server: it answers \"HTTP/1.0 400 Bad Request\""#;
    assert!(found.all.contains(quoted), "{}", found.all);
    found.error("node-ssh", "young", &[]);
    let quoted = format!("no common host key, the peer offers {young_keys}");
    assert!(found.all.contains(&quoted), "{}", found.all);
    found.error(
        "node-host-key",
        "short",
        &["ssh-keygen -A", "rproxy auth sign --host=short"],
    );
    assert!(found.all.contains("RSA key has 1024 bits"), "{}", found.all);
    found.error(
        "node-host-key",
        "plain",
        &["on the proxy: rproxy auth sign --host=plain", "on plain: "],
    );
    found.error(
        "node-host-key",
        "stranger",
        &["rproxy auth sign --host=stranger"],
    );
    found.error(
        "node-host-key",
        "expired",
        &["renew", "rproxy auth sign --host=expired"],
    );
    found.warning("node-host-key", "ending", &["rproxy auth sign --host"]);
    found.error(
        "node-host-key",
        "other",
        &["rproxy auth sign --host=other,elsewhere"],
    );
    found.error("node-host-key", "usertype", &["HostCertificate"]);
    found.error("node-host-key", "revoked", &["new key"]);
    found.error(
        "node-user-ca",
        "no-ca",
        &["TrustedUserCAKeys", "rproxy host setup"],
    );
    found.error("node-clock", "late", &["on late: set the clock"]);
    found.error("node-clock", "early", &["on early: set the clock"]);
    assert!(
        found.all.contains("behind") && found.all.contains("ahead"),
        "{}",
        found.all
    );
}

/// User certificates have another address than the one that the host sees: every login is refused.
#[test]
fn egress_addresses_that_hosts_do_not_see_are_found() {
    let world = World::new();
    let with = |network: &str| {
        Findings::of(doctor(&world, |text| {
            let egress = format!("proxy_service:\n  egress_addrs: [{network}]\n");
            text.replacen("proxy_service:\n", &egress, 1)
        }))
    };
    let found = with("203.0.113.10/32");
    found.error(
        "node-egress",
        "db1",
        &["on db1: ", "on the proxy: ", "egress_addrs"],
    );
    found.warning("egress", "203.0.113.10/32", &["egress_addrs"]);
    let found = with("127.0.0.1/32");
    found.ok("node-egress", "db1");
    found.ok("egress", "127.0.0.1/32");
}

/// During a rotation, a host that lacks the new key is first a warning, and later an error.
#[test]
fn a_host_that_lacks_the_key_of_a_rotation_is_found() {
    let world = World::new();
    let rotate = |phase: &str| {
        let phase = format!("--phase={phase}");
        keys::tool(
            world
                .rproxy()
                .args(["auth", "rotate", "--type=user", "--force", &phase]),
        )
    };
    rotate("init");
    let found = Findings::of(doctor(&world, |text| text));
    found.warning("node-user-ca", "db1", &["before the next phase"]);
    rotate("update_clients");
    let found = Findings::of(doctor(&world, |text| text));
    found.error("node-user-ca", "db1", &["TrustedUserCAKeys"]);
}

/// Of a host that has joined, the doctor says what the proxy knows of it. Behind a tunnel, it is not dialled.
#[test]
fn hosts_that_have_joined_are_judged_by_what_they_report() {
    let world = World::new();
    let _near = world.joined_host("near", &[]);
    let far = world.joined_host("far", &["--tunnel=required"]);
    let found = Findings::of(doctor(&world, |text| text));
    for check in [
        "node-report",
        "node-certificate",
        "node-ssh",
        "node-host-key",
        "node-user-ca",
    ] {
        found.ok(check, "near");
    }
    found.error("node-tunnel", "far", &["rproxy-tunnel"]);
    let _tunnel = world.tunnel(&far);
    world.tunnels_opened(1);
    let mut report = far.report();
    report.clock_ahead = -4_000;
    report.more.push("problem sshd -t: bad line 7".to_owned());
    world.heartbeat_as(&far, &report).success();
    let found = Findings::of(doctor(&world, |text| text));
    found.ok("node-tunnel", "far");
    found.warning("node-clock", "far", &["set the clock"]);
    found.warning("node-problem", "far", &["correct that on far"]);
    let is_dialled =
        |one: &serde_json::Value| one["check"] == "node-ssh" && one["subject"] == "far";
    assert!(!found.list.iter().any(is_dialled), "{}", found.all);
    assert_eq!(far.sshd.connections(), 0, "nobody has asked it");
}
