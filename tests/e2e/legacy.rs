//! Hosts that are too old for the algorithms that rproxy offers by default: SHA-1 and CBC, if the
//! configuration names them.

use serde_json::json;

use crate::support::recordings::text;
use crate::support::{HostKey, World};

/// The only algorithms of such a host's `sshd`.
const OLD: &str = "KexAlgorithms diffie-hellman-group14-sha1
Ciphers aes256-cbc
MACs hmac-sha1
HostKeyAlgorithms ssh-rsa-cert-v01@openssh.com
CASignatureAlgorithms ssh-ed25519
RekeyLimit 1M
";

/// The same with encrypt-then-MAC and another key size.
const LESS_OLD: &str = "KexAlgorithms diffie-hellman-group14-sha1
Ciphers aes192-cbc
MACs hmac-sha1-etm@openssh.com
RekeyLimit 1M
";

const RSA: HostKey = HostKey::CertifiedAs(&["-t", "rsa", "-b", "2048"]);

#[test]
fn named_by_the_configuration_it_is_reached_like_any_other() {
    let world = World::with()
        .tuned_node("old1", RSA, OLD)
        .legacy_algorithms(
            "old1",
            "diffie-hellman-group14-sha1, aes256-cbc, hmac-sha1, ssh-rsa",
        )
        .tuned_node("old2", HostKey::Certified, LESS_OLD)
        .legacy_algorithms(
            "old2",
            "diffie-hellman-group14-sha1, aes128-cbc, aes192-cbc, hmac-sha1-etm@openssh.com",
        )
        .start();
    world.logged("weak: old1 is offered");
    world.logged("weak: old2 is offered");

    let sent = crate::bulk::random(12 << 20);
    for name in ["old1", "old2"] {
        let cat = world
            .ssh()
            .args(["-o", "RekeyLimit=1500K", name, "cat; exit 7"])
            .stdin(sent.clone())
            .run();
        assert_eq!(cat.code(), 7, "{name}: {}", cat.stderr);
        assert!(cat.stdout == sent, "{name}: not what was sent");
    }
    let recordings = world.eventually("both recordings are complete", || {
        let recordings = world.recordings();
        let complete = recordings.iter().all(|one| one["state"] == "complete");
        (recordings.len() == 2 && complete).then_some(recordings)
    });
    for recording in &recordings {
        assert!(world.exported(recording, "stdin") == sent, "{recording}");
        assert!(world.exported(recording, "stdout") == sent, "{recording}");
    }
    assert_eq!(
        used(&world),
        [
            json!([
                "diffie-hellman-group14-sha1",
                "aes256-cbc",
                "hmac-sha1",
                "ssh-rsa"
            ]),
            json!([
                "diffie-hellman-group14-sha1",
                "aes192-cbc",
                "hmac-sha1-etm@openssh.com"
            ]),
        ]
    );
}

#[test]
fn a_host_that_knows_better_is_spoken_with_as_ever() {
    let world = World::with()
        .node("db1", RSA)
        .legacy_algorithms("db1", "diffie-hellman-group14-sha1, aes256-cbc, ssh-rsa")
        .start();
    world.run("db1", "true").success();
    assert_eq!(used(&world), [json!([])]);
}

#[test]
fn not_named_it_is_refused_with_what_to_write() {
    let world = World::with()
        .tuned_node("old1", RSA, OLD)
        .tuned_node("older1", RSA, "KexAlgorithms diffie-hellman-group1-sha1\n")
        .start();
    let outcome = world.run("old1", "true");
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    for said in [
        "no common key exchange, the peer offers diffie-hellman-group14-sha1",
        "no common host key, the peer offers ssh-rsa-cert-v01@openssh.com",
        "no common cipher, the peer offers aes256-cbc",
        "no common MAC, the peer offers hmac-sha1",
        "legacy_algorithms: [diffie-hellman-group14-sha1, ssh-rsa, aes256-cbc, hmac-sha1]",
    ] {
        assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
    }
    let refusals = world.refusals();
    assert_eq!(text(&refusals[0], "reason"), "no-common-algorithm");

    // No entry in the configuration would help here.
    let outcome = world.run("older1", "true");
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("diffie-hellman-group1-sha1")
            && !outcome.stderr.contains("legacy_algorithms"),
        "{}",
        outcome.stderr
    );
}

/// Clients are not offered the algorithms that the configuration names for a host.
#[test]
fn clients_are_never_offered_them() {
    let all = "diffie-hellman-group14-sha1, aes256-cbc, aes192-cbc, aes128-cbc, \
               hmac-sha1-etm@openssh.com, hmac-sha1, ssh-rsa";
    let world = World::with()
        .node("db1", RSA)
        .legacy_algorithms("db1", all)
        .start();
    for (option, kind) in [
        (
            "KexAlgorithms=diffie-hellman-group14-sha1",
            "key exchange method",
        ),
        ("Ciphers=aes256-cbc,aes192-cbc,aes128-cbc", "cipher"),
        (
            "HostKeyAlgorithms=ssh-rsa-cert-v01@openssh.com,ssh-rsa",
            "host key type",
        ),
    ] {
        for ssh in [world.outer_ssh().arg("127.0.0.1"), world.ssh().arg("db1")] {
            let outcome = ssh.args(["-o", option, "true"]).run();
            assert_eq!(outcome.code(), 255, "{option}");
            let said = format!("no matching {kind} found");
            assert!(
                outcome.stderr.contains(&said),
                "{option}: {}",
                outcome.stderr
            );
        }
    }
}

/// The legacy algorithms of each session, in the order of their starts.
fn used(world: &World) -> Vec<serde_json::Value> {
    let starts = world.audit().into_iter();
    starts
        .filter(|event| event["event"] == "session.start")
        .map(|event| event["legacy_algorithms"].clone())
        .collect()
}
