//! Nodes that report how they are.

use ssh_key::HashAlg;

use super::house::{NodeHouse, TTL, certificate, installed, line, named, reason, report};
use crate::cert::{PresentedKey, check_ca_signature, check_successor};
use crate::enrolment::{IssuesForHosts as _, labels};
use crate::ipc::{NodeReport, NodesAnswer, NodesQuestion};
use crate::state::testing::NOW;
use crate::state::{NodeLock, State};

/// A report of a node whose certificate is the last one.
fn current(house: &NodeHouse, name: &str) -> NodeReport {
    NodeReport {
        certificate: house.node(name).certificate.map(|one| one.serial),
        clock: house.now,
        ..report()
    }
}

#[test]
fn a_heartbeat_is_stored_and_brings_nothing_when_nothing_is_new() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    let answer = installed(host.heartbeat(&NodeReport {
        addresses: vec!["10.0.0.6".to_owned()],
        labels: vec!["os=debian".to_owned()],
        tunnel: true,
        problem: Some("sshd -t: bad\nline".to_owned()),
        // It has joined, and has one name for good.
        names: vec!["web1".to_owned()],
        ..current(&house, "db1")
    }));
    assert_eq!((answer.name.as_str(), answer.certificate), ("db1", None));
    assert!(answer.warnings.is_empty());
    let node = house.node("db1");
    assert_eq!((node.address.as_str(), node.port), ("10.0.0.6", 22));
    assert_eq!(labels::texts(&node.labels), ["os=debian"]);
    let heartbeat = node.heartbeat.unwrap();
    assert_eq!((heartbeat.at, heartbeat.clock_ahead), (NOW, 0));
    assert_eq!(heartbeat.client, "10.0.0.77");
    assert_eq!(heartbeat.problem.as_deref(), Some("sshd -t: bad\\nline"));
    assert!(heartbeat.keeps_tunnel);
    assert_eq!(house.cas.issued(), 1);
}

#[test]
fn a_certificate_is_renewed_at_half_its_life() {
    let house = NodeHouse::new();
    let key = house.joined("db1").key;
    let half = TTL / 2;
    for (later, is_renewed) in [(half - 61, false), (half, true)] {
        let house = house.later(later);
        let host = house.host_with(key.clone());
        host.proved().unwrap();
        let answer = installed(host.heartbeat(&current(&house, "db1")));
        assert_eq!(answer.certificate.is_some(), is_renewed, "after {later} s");
        if is_renewed {
            let issued = certificate(&answer);
            assert_eq!(issued.valid_before(), house.now + TTL);
            assert_eq!(
                house.node("db1").certificate.unwrap().serial,
                issued.serial()
            );
            assert_eq!(house.audit.names(), ["node.certificate"]);
        }
    }
}

/// The clock of the proxy was a year ahead. When it is right again, the node gets a certificate that is valid.
#[test]
fn a_certificate_from_the_future_is_replaced() {
    let house = NodeHouse::new();
    let key = house.later(365 * 86_400).joined("db1").key;
    let future = house.node("db1").certificate.unwrap();
    assert!(future.begins > house.now);
    let house = house.later(0);
    let host = house.host_with(key);
    host.proved().unwrap();
    // To a host whose clock is as far ahead it is valid: it may be the proxy's that is behind.
    let ahead = NodeReport {
        clock: house.now + 365 * 86_400,
        ..current(&house, "db1")
    };
    assert_eq!(installed(host.heartbeat(&ahead)).certificate, None);
    let answer = installed(host.heartbeat(&current(&house, "db1")));
    let issued = certificate(&answer);
    assert!(issued.valid_after() <= house.now);
    assert_eq!(issued.valid_before(), house.now + TTL);
    let again = installed(host.heartbeat(&current(&house, "db1")));
    assert_eq!(again.certificate, None);
}

/// It was off for twice the life of its certificate, and its clock was as well.
#[test]
fn a_host_that_was_off_for_60_days_comes_back_by_its_key() {
    let house = NodeHouse::new();
    let key = house.joined("db1").key;
    let report_of_then = current(&house, "db1");
    house.cas.rotate();
    let house = house.later(60 * 86_400);
    let host = house.host_with(key);
    assert_eq!(host.proved().unwrap().name, "db1");
    let answer = installed(host.heartbeat(&report_of_then));
    let issued = certificate(&answer);
    assert_eq!(issued.valid_before(), house.now + TTL);
    assert_eq!(answer.host_cas.len(), 2);
    let [warning] = answer.warnings.try_into().unwrap();
    assert!(warning.contains("5184000 s behind"), "{warning}");
}

#[test]
fn another_key_of_the_host_ca_brings_a_certificate_at_once() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    let before = house.node("db1").certificate.unwrap().authority;
    house.cas.rotate();
    let answer = installed(host.heartbeat(&current(&house, "db1")));
    certificate(&answer);
    assert_ne!(house.node("db1").certificate.unwrap().authority, before);
    let again = installed(host.heartbeat(&current(&house, "db1")));
    assert_eq!(again.certificate, None);
}

/// Whoever passes the answer on cannot add a key: the host trusts those alone that a key of the host CA names
/// which it trusts already. So a key that it has not reported comes with such a certificate.
#[test]
fn keys_that_are_new_to_a_node_come_with_a_certificate_of_the_host_ca() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    let keys = house.cas.keys();
    let has = |report: NodeReport| {
        let answer = installed(host.heartbeat(&report));
        (answer.user_ca_proofs, answer.successors)
    };
    let fingerprint = |key: &ssh_key::PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
    let (proofs, successors) = has(current(&house, "db1"));
    let [proof] = &proofs[..] else {
        panic!("{proofs:?}");
    };
    assert!(proof.ends_with(&line(&keys.user[0])), "{proof}");
    let PresentedKey::Certificate(proof) = PresentedKey::from_line(proof).unwrap() else {
        panic!("{proof}");
    };
    check_ca_signature(&proof).unwrap();
    assert_eq!(proof.signature_key(), keys.signs.key_data());
    assert_eq!(proof.public_key(), keys.user[0].key_data());
    assert_eq!(proof.valid_principals(), ["user-ca@example.com"]);
    assert_eq!(successors, [""; 0], "no key follows another one");
    let knows = NodeReport {
        user_cas: vec![fingerprint(&keys.user[0])],
        host_cas: vec![fingerprint(&keys.signs)],
        ..current(&house, "db1")
    };
    assert_eq!(has(knows.clone()), (Vec::new(), Vec::new()));
    house.cas.rotate();
    let (proofs, successors) = has(knows);
    assert_eq!((proofs.len(), successors.len()), (0, 1));
    let check = |line: &str| match PresentedKey::from_line(line).unwrap() {
        PresentedKey::Certificate(one) => check_successor(&one, &"example.com".parse().unwrap()),
        PresentedKey::Plain(key) => panic!("{key:?}"),
    };
    check(&successors[0]).unwrap();
    // A key that does not sign is no reason to refuse a node.
    *house.cas.is_away.lock().unwrap() = true;
    let report = NodeReport {
        host_cas: vec![fingerprint(&house.cas.keys().signs)],
        ..current(&house, "db1")
    };
    assert_eq!(has(report), (Vec::new(), Vec::new()));
}

#[test]
fn a_node_that_has_lost_its_certificate_gets_one_every_ten_minutes() {
    let house = NodeHouse::new();
    let key = house.joined("db1").key;
    for (later, issued) in [(0, 1), (539, 1), (540, 2), (541, 2), (1_200, 3)] {
        let house = house.later(later);
        let host = house.host_with(key.clone());
        host.proved();
        for serial in [None, Some(7)] {
            installed(host.heartbeat(&NodeReport {
                certificate: serial,
                ..current(&house, "db1")
            }));
        }
        assert_eq!(house.cas.issued(), issued, "after {later} s");
    }
}

#[test]
fn without_the_cas_key_a_node_is_told_and_stays() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    house.cas.rotate();
    *house.cas.is_away.lock().unwrap() = true;
    let answer = installed(host.heartbeat(&current(&house, "db1")));
    assert_eq!(answer.certificate, None);
    assert!(
        answer.warnings[0].contains("no new certificate"),
        "{answer:?}"
    );
}

#[test]
fn a_wrong_clock_is_told_and_changes_nothing() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    for (clock, ahead) in [
        (NOW + 3_600, 3_600),
        (NOW - 3_600, -3_600),
        (0, -1_800_000_000),
        (u64::MAX, i64::MAX),
    ] {
        let answer = installed(host.heartbeat(&NodeReport {
            clock,
            ..current(&house, "db1")
        }));
        assert_eq!(answer.warnings.len(), 1, "{answer:?}");
        assert_eq!(answer.certificate, None);
        assert_eq!(house.node("db1").heartbeat.unwrap().clock_ahead, ahead);
    }
}

#[test]
fn labels_of_the_token_stay_and_the_node_is_told() {
    let house = NodeHouse::new();
    let token = house.token_with(|new| new.labels = vec!["env=test".parse().unwrap()]);
    let host = house.host();
    host.proved();
    installed(host.join(&token, &named("db1")));
    let answer = installed(host.heartbeat(&NodeReport {
        labels: vec![
            "env=prod".to_owned(),
            "os=debian".to_owned(),
            "no label".to_owned(),
        ],
        ..current(&house, "db1")
    }));
    assert_eq!(answer.warnings.len(), 2);
    assert!(answer.warnings[0].contains("label-forced"), "{answer:?}");
    let node = house.node("db1");
    assert_eq!(labels::texts(&node.labels), ["env=test", "os=debian"]);
    // A host that says nothing keeps what the token says.
    installed(host.heartbeat(&current(&house, "db1")));
    assert_eq!(labels::texts(&house.node("db1").labels), ["env=test"]);
}

#[test]
fn a_locked_or_removed_node_gets_nothing() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    house.admin().lock("db1", Some("stolen")).unwrap();
    for question in [
        NodesQuestion::Heartbeat(report()),
        NodesQuestion::Tunnel(true),
        NodesQuestion::Successors,
    ] {
        assert_eq!(reason(host.ask(question)), "node-locked");
    }
    let token = house.token();
    assert_eq!(reason(host.join(&token, &named("db2"))), "node-locked");
    let tokens = house.state.tokens().list().unwrap();
    assert_eq!(tokens.last().unwrap().uses, 1);
    assert_eq!(house.refused(), ["node-locked"; 4]);
    house.admin().unlock("db1").unwrap();
    installed(host.heartbeat(&report()));
    house.admin().remove("db1").unwrap();
    assert_eq!(reason(host.heartbeat(&report())), "not-joined");
    assert_eq!(reason(host.ask(NodesQuestion::Tunnel(true))), "not-joined");
    assert_eq!(house.cas.issued(), 1);
}

/// An administrator locks or removes a node while the CA signs for it: the certificate goes nowhere.
#[test]
fn a_node_that_is_locked_or_removed_meanwhile_gets_no_certificate() {
    let locks: fn(&State) = |state| {
        let lock = NodeLock {
            at: NOW,
            by: "root".to_owned(),
            reason: None,
        };
        state.nodes().lock("db1", &lock).unwrap().unwrap();
    };
    let removes: fn(&State) = |state| {
        state.nodes().remove("db1").unwrap().unwrap();
    };
    for meanwhile in [locks, removes] {
        let house = NodeHouse::new();
        let key = house.joined("db1").key;
        let house = house.later(TTL / 2);
        let host = house.host_with(key);
        host.proved();
        *house.cas.meanwhile.lock().unwrap() = Some((house.state.clone(), meanwhile));
        let answer = installed(host.heartbeat(&report()));
        assert_eq!(house.cas.issued(), 2);
        assert_eq!(answer.certificate, None);
        let warning = &answer.warnings.join("\n");
        assert!(warning.contains("locked or removed"), "{warning}");
        assert!(!house.audit.names().contains(&"node.certificate"));
        assert!(matches!(host.heartbeat(&report()), NodesAnswer::Refused(_)));
    }
}

#[test]
fn heartbeats_of_one_node_are_bounded() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    let other = house.joined("db2");
    let answers: Vec<_> = (0..100).map(|_| host.heartbeat(&report())).collect();
    let refused = answers.into_iter().skip(60).map(reason);
    assert!(refused.into_iter().all(|reason| reason == "too-often"));
    installed(other.heartbeat(&report()));
    let meters = &house.meters;
    assert_eq!(meters.node_heartbeats.value(), 61);
    assert_eq!(meters.node_refusals.value(), 40);
}
