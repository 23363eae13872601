//! Hosts that join: tokens, names, labels, and what they get.

use std::time::Duration;

use super::house::{NodeHouse, certificate, installed, line, named, reason, refusal, report};
use crate::cert::testing::{ed25519, keys, ssh_keygen};
use crate::enrolment::IssuesForHosts as _;
use crate::enrolment::testing::node;
use crate::ipc::{NodeReport, NodesAnswer, NodesQuestion};
use crate::model::TunnelRule;
use crate::state::{JoinedNode, Joining};
use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

#[test]
fn a_host_joins_and_gets_what_it_needs() {
    let house = NodeHouse::new();
    let token = house.token_with(|new| {
        new.labels = vec!["env=prod".parse().unwrap()];
        new.tunnel = TunnelRule::Allowed;
    });
    let host = house.host();
    assert_eq!(host.proved(), None);
    let wanted = NodeReport {
        names: vec!["DB1".to_owned(), "db.example.com".to_owned()],
        labels: vec!["os=debian".to_owned()],
        addresses: vec!["127.0.0.1".to_owned(), "10.0.0.5".to_owned()],
        port: 2222,
        ..report()
    };
    let installation = installed(host.join(&token, &wanted));
    assert_eq!(installation.name, "db1");
    assert_eq!(installation.tunnel, TunnelRule::Allowed);
    assert!(installation.warnings.is_empty(), "{installation:?}");
    let keys = house.cas.keys();
    assert_eq!(installation.host_cas, [line(&keys.signs)]);
    assert_eq!(installation.user_cas, [line(&keys.user[0])]);
    let issued = certificate(&installation);
    assert_eq!(issued.key_id(), "db1");
    assert_eq!(
        issued.valid_principals(),
        ["db1", "db", "db1.example.com", "db.example.com"]
    );
    assert_eq!(issued.public_key(), host.key.public_key().key_data());
    let extension = |name: &str| issued.extensions().get(name).cloned();
    assert_eq!(
        extension("node-id@rproxy"),
        Some(installation.id.to_string())
    );
    assert_eq!(extension("node-name@rproxy").as_deref(), Some("db1"));
    assert_eq!(extension("cluster@rproxy").as_deref(), Some("example.com"));
    assert_eq!(extension("role@rproxy").as_deref(), Some("node"));
    let node = house.node("db");
    assert_eq!((node.id, node.names.len()), (installation.id, 2));
    assert_eq!((node.address.as_str(), node.port), ("10.0.0.5", 2222));
    assert_eq!(node.fingerprint, host.fingerprint());
    assert_eq!(
        super::super::labels::texts(&node.labels),
        ["env=prod", "os=debian"]
    );
    let stored = node.certificate.unwrap();
    assert_eq!(stored.serial, issued.serial());
    assert_eq!(
        house.audit.names(),
        ["token.added", "node.joined", "node.certificate"]
    );
    let logged = format!("{:?}", house.audit.0.lock().unwrap());
    assert!(!logged.contains(&token[4..]), "{logged}");
    let known = host.proved().unwrap();
    assert_eq!((known.id, known.name.as_str()), (installation.id, "db1"));
    // What ssh-keygen reads is what sshd reads.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("host-cert.pub");
    let text = installation.certificate.unwrap();
    write_whole(&file, text.as_bytes(), PRIVATE_FILE, Replace::Refuse).unwrap();
    let listing = ssh_keygen(directory.path(), &["-L", "-f", "host-cert.pub"]);
    assert!(listing.contains("host certificate"), "{listing}");
}

#[test]
fn every_kind_of_host_key_joins() {
    let house = NodeHouse::new();
    for (number, key) in keys().iter().enumerate() {
        let host = house.host_with(key.clone());
        host.proved();
        let name = format!("db{number}");
        let installation = installed(host.join(&house.token(), &named(&name)));
        let issued = certificate(&installation);
        assert_eq!(issued.public_key(), key.public_key().key_data());
    }
}

#[test]
fn a_token_that_is_not_right_is_refused_in_words() {
    let house = NodeHouse::new();
    let host = house.host();
    host.proved();
    let unknown = format!("rpt_{}", "0".repeat(40));
    for token in ["", "hello", "rpt_", &unknown, &"x".repeat(4_096), "\0\n"] {
        let refused = refusal(host.join(token, &named("db1")));
        assert_eq!(refused.reason, "token-unknown", "{token:?}");
        assert!(refused.hint.is_some());
    }
    let spent = house.token();
    installed(host.join(&spent, &named("db1")));
    let second = house.host();
    second.proved();
    assert_eq!(reason(second.join(&spent, &named("db2"))), "token-spent");
    let expired = house.token_with(|new| new.ttl = Duration::from_secs(60));
    let house = house.later(60);
    let third = house.host();
    third.proved();
    assert_eq!(reason(third.join(&expired, &named("db3"))), "token-expired");
    assert_eq!(house.refused(), ["token-expired"]);
    assert!(house.state.nodes().by_name("db3").unwrap().is_none());
}

#[test]
fn of_many_at_once_as_many_join_as_the_token_has_uses() {
    for (uses, joined) in [(1, 1), (5, 5)] {
        let house = NodeHouse::new();
        let token = house.token_with(|new| new.uses = uses);
        let answers: Vec<NodesAnswer> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|number| {
                    let (house, token) = (&house, &token);
                    scope.spawn(move || {
                        let host = house.host();
                        host.proved();
                        host.join(token, &named(&format!("db{number}")))
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let (right, wrong): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .partition(|answer| matches!(answer, NodesAnswer::Installation(_)));
        assert_eq!(right.len(), joined);
        for answer in wrong {
            assert_eq!(reason(answer), "token-spent");
        }
        assert_eq!(house.state.nodes().list().unwrap().len(), joined);
        assert_eq!(house.refused().len(), 16 - joined, "each is audited");
    }
}

#[test]
fn wrong_tokens_are_counted_by_address_and_right_ones_are_never_delayed() {
    let house = NodeHouse::new();
    let host = house.host();
    host.proved();
    let wrong = format!("rpt_{}", "1".repeat(40));
    for _ in 0..10 {
        assert_eq!(reason(host.join(&wrong, &named("db1"))), "token-unknown");
    }
    assert_eq!(reason(host.join(&wrong, &named("db1"))), "too-many-tries");
    let mut elsewhere = house.host();
    elsewhere.address = "10.0.0.78:50000".parse().unwrap();
    elsewhere.proved();
    assert_eq!(
        reason(elsewhere.join(&wrong, &named("db1"))),
        "token-unknown"
    );
    installed(host.join(&house.token(), &named("db1")));
    let house = house.later(61);
    let host = house.host();
    host.proved();
    assert_eq!(reason(host.join(&wrong, &named("db2"))), "token-unknown");
}

#[test]
fn a_token_gives_only_its_names() {
    let house = NodeHouse::new();
    let token = house.token_with(|new| {
        new.names = vec!["db1".to_owned(), "db2".to_owned()];
        new.uses = 3;
    });
    let (first, second, third) = (house.host(), house.host(), house.host());
    for host in [&first, &second, &third] {
        host.proved();
    }
    for wanted in [&["web1"][..], &["db1", "web1"], &["db"]] {
        let mut wanted_names = report();
        wanted_names.names = wanted.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(reason(first.join(&token, &wanted_names)), "token-names");
    }
    // Without a wish, the first that is free.
    assert_eq!(installed(first.join(&token, &report())).name, "db1");
    assert_eq!(reason(second.join(&token, &named("db1"))), "name-taken");
    assert_eq!(installed(second.join(&token, &report())).name, "db2");
    assert_eq!(reason(third.join(&token, &report())), "name-taken");
    // What was refused has cost no use.
    let tokens = house.state.tokens().list().unwrap();
    assert_eq!(tokens[0].uses, 1);
}

#[test]
fn names_of_others_are_refused() {
    let house = NodeHouse::new();
    house.joined("db1");
    let token = house.token();
    let host = house.host();
    host.proved();
    for name in [
        "db1",
        "DB1",
        "db1.example.com",
        "db1.EXAMPLE.com.",
        "proxy",
        "proxy.example.com",
        "example.com",
        "localhost",
        "static",
        "static.internal",
        "static.example.com",
    ] {
        assert_eq!(
            reason(host.join(&token, &named(name))),
            "name-taken",
            "{name}"
        );
    }
    for name in [
        "10.0.0.5",
        "::1",
        "127.1",
        "env=prod",
        "a b",
        "",
        "db*",
        "a\u{1b}[31m",
        "db1\u{200b}",
        &"n".repeat(4_096),
    ] {
        let refused = refusal(host.join(&token, &named(name)));
        assert_eq!(refused.reason, "name-invalid", "{name:?}");
        assert!(refused.message.len() < 256, "{refused:?}");
        assert!(crate::model::text::is_printable(&refused.message));
    }
    assert_eq!(reason(host.join(&token, &report())), "name-missing");
    let mut many = report();
    many.names = vec!["a".to_owned(); 17];
    assert_eq!(reason(host.join(&token, &many)), "report-invalid");
    installed(host.join(&token, &named("db2")));
}

#[test]
fn labels_of_the_token_cannot_be_overridden() {
    let house = NodeHouse::new();
    let token = house.token_with(|new| new.labels = vec!["env=test".parse().unwrap()]);
    let host = house.host();
    host.proved();
    for label in ["env=prod", "ENV=prod"] {
        let mut wanted = named("db1");
        wanted.labels = vec![label.to_owned()];
        assert_eq!(reason(host.join(&token, &wanted)), "label-forced");
    }
    for label in ["prod", "=x", "a b=c", "a=\u{1b}[31m", &"k=v".repeat(4_096)] {
        let mut wanted = named("db1");
        wanted.labels = vec![label.to_owned()];
        assert_eq!(reason(host.join(&token, &wanted)), "label-invalid");
    }
    let mut wanted = named("db1");
    wanted.labels = (0..65).map(|number| format!("l{number}=v")).collect();
    assert_eq!(reason(host.join(&token, &wanted)), "report-invalid");
    assert!(house.state.nodes().list().unwrap().is_empty());
    wanted.labels = vec!["env=test".to_owned(), "os=debian".to_owned()];
    installed(host.join(&token, &wanted));
}

/// The answer may have been lost: the host joins again with the same token.
#[test]
fn a_host_can_join_twice_with_the_token_that_it_has_used() {
    let house = NodeHouse::new();
    let token = house.token();
    let host = house.host();
    host.proved();
    let first = installed(host.join(&token, &named("db1")));
    let again = house.host_with(host.key.clone());
    again.proved();
    let second = installed(again.join(&token, &named("db1")));
    assert_eq!((second.id, second.name.as_str()), (first.id, "db1"));
    assert_eq!(second.certificate, None, "the first may be on its way");
    // It says that it has none, when there was time for an answer; in a heartbeat, time to install one.
    let house = house.later(10);
    let again = house.host_with(host.key.clone());
    again.proved();
    assert_eq!(installed(again.heartbeat(&report())).certificate, None);
    let third = installed(again.join(&token, &report()));
    certificate(&third);
    assert_eq!(reason(again.join(&token, &named("db2"))), "token-spent");
}

/// The process ended when the host was in the state, and nothing else was done.
#[test]
fn a_join_that_was_cut_is_audited_and_completed_by_the_next_one() {
    let house = NodeHouse::new();
    let token = house.token();
    let host = house.host();
    let hash = house.state.tokens().list().unwrap()[0].hash.clone();
    let cut = JoinedNode {
        key: line(host.key.public_key()),
        fingerprint: host.fingerprint(),
        ..node("db1")
    };
    let joining = house.state.nodes().join(&cut, &hash, house.now).unwrap();
    assert_eq!(joining, Joining::Joined(cut.id));
    host.proved();
    let installation = installed(host.join(&token, &named("db1")));
    assert_eq!(installation.id, cut.id);
    certificate(&installation);
    assert_eq!(
        house.audit.names(),
        ["token.added", "node.returned", "node.certificate"]
    );
    host.join(&token, &named("db1"));
    assert_eq!(house.audit.names().len(), 3);
}

#[test]
fn the_same_key_returns_as_the_same_node() {
    let house = NodeHouse::new();
    let first = house.joined("db1");
    let id = house.node("db1").id;
    house.admin().lock("db1", None).unwrap();
    let token = house.token_with(|new| new.labels = vec!["env=prod".parse().unwrap()]);
    let again = house.host_with(first.key.clone());
    assert_eq!(reason(again.prove()), "node-locked");
    assert_eq!(reason(first.join(&token, &named("db9"))), "node-locked");
    house.admin().unlock("db1").unwrap();
    let returned = installed(first.join(&token, &named("db9")));
    assert_eq!(returned.id, id);
    assert_eq!(certificate(&returned).key_id(), "db9");
    assert_eq!(house.state.nodes().list().unwrap().len(), 1);
    assert!(house.audit.names().contains(&"node.returned"));
    // The name is free again, for another key.
    let other = house.joined("db1");
    assert_ne!(other.fingerprint(), first.fingerprint());
    // And another key does not get the name of a node.
    let thief = house.host_with(ed25519());
    thief.proved();
    let token = house.token();
    assert_eq!(reason(thief.join(&token, &named("db9"))), "name-taken");
}

#[test]
fn what_is_revoked_does_not_join() {
    let house = NodeHouse::new();
    let host = house.host();
    host.proved();
    let revoke = |what: String| house.cas.revoked.lock().unwrap().insert(what);
    revoke(host.fingerprint());
    assert_eq!(
        reason(host.join(&house.token(), &named("db1"))),
        "key-revoked"
    );
    let again = house.host_with(host.key.clone());
    assert_eq!(reason(again.prove()), "key-revoked");
    let other = house.joined("db2");
    revoke("db2".to_owned());
    assert_eq!(reason(other.heartbeat(&report())), "key-revoked");
    assert_eq!(reason(other.ask(NodesQuestion::Successors)), "key-revoked");
}

#[test]
fn a_ca_that_does_not_sign_costs_no_token() {
    let house = NodeHouse::new();
    let token = house.token();
    let host = house.host();
    host.proved();
    *house.cas.is_away.lock().unwrap() = true;
    assert_eq!(reason(host.join(&token, &named("db1"))), "certificate");
    *house.cas.is_away.lock().unwrap() = false;
    let installation = installed(host.join(&token, &named("db1")));
    assert_eq!(certificate(&installation).key_id(), "db1");
}
