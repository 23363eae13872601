//! Hosts that join, what is known of them, and who is told of changes.

use uuid::Uuid;

use super::{node, token};
use crate::ca::NodeKeys;
use crate::model::{DataDir, Label, NodeId, TunnelRule};
use crate::state::testing::{NOW, on_both, on_both_places};
use crate::state::{
    Heartbeat, JoinedNode, Joining, NODE_OFFLINE_AFTER, NodeCertificate, NodeChange, NodeCounts,
    NodeLock, OpenTunnel, ProxyRow, State, StateError, records,
};
use crate::sys::clock::Clock;

/// Has a host join that nothing stands in the way of.
fn joined(state: &State, name: &str) -> JoinedNode {
    let node = node(name);
    let token = token(&node.id.to_string(), 1);
    state.tokens().put(&token).unwrap();
    let joining = state.nodes().join(&node, &token.hash, NOW).unwrap();
    assert_eq!(joining, Joining::Joined(node.id));
    let joined = state.nodes().by_name(name).unwrap().unwrap();
    let expected = JoinedNode {
        token: token.id,
        ..node
    };
    assert_eq!(joined, expected);
    joined
}

fn lock(reason: Option<&str>) -> NodeLock {
    NodeLock {
        at: NOW + 5,
        by: "root".to_owned(),
        reason: reason.map(str::to_owned),
    }
}

/// The changes after this one: their numbers, and the names of the nodes that are left.
fn changes(state: &State, after: u64, limit: usize) -> Vec<(u64, Option<String>)> {
    let changes = state.nodes().changes_since(after, limit).unwrap();
    let name = |change: NodeChange| (change.number, change.now.map(|node| node.name));
    changes.into_iter().map(name).collect()
}

#[test]
fn a_token_is_found_by_its_hash_until_its_time_is_over_or_it_is_used_up() {
    on_both(|state| {
        let tokens = state.tokens();
        let two = token("two", 2);
        let other = token("other", 1);
        tokens.put(&two).unwrap();
        tokens.put(&other).unwrap();
        assert_eq!(tokens.find("two", NOW).unwrap().as_ref(), Some(&two));
        assert_eq!(tokens.list().unwrap().len(), 2);
        assert_eq!(tokens.find("two", two.expires).unwrap(), None);
        assert_eq!(tokens.find("three", NOW).unwrap(), None);
        for name in ["a", "b"] {
            let joining = state.nodes().join(&node(name), "two", NOW).unwrap();
            assert!(matches!(joining, Joining::Joined(_)), "{joining:?}");
        }
        assert_eq!(tokens.find("two", NOW).unwrap(), None);
        assert_eq!(tokens.by_hash_any("two").unwrap().unwrap().uses, 0);
        let joining = state.nodes().join(&node("c"), "two", NOW).unwrap();
        assert_eq!(joining, Joining::TokenSpent);
        let joining = state.nodes().join(&node("c"), "other", other.expires);
        assert_eq!(joining.unwrap(), Joining::TokenSpent);
        assert_eq!(tokens.by_hash_any("other").unwrap().unwrap().uses, 1);
        assert_eq!(state.nodes().list().unwrap().len(), 2);
        // It is remembered for a while, to say why it is refused.
        tokens.forget_before(two.expires).unwrap();
        assert_eq!(tokens.list().unwrap().len(), 2);
        tokens.forget_before(two.expires + 1).unwrap();
        assert_eq!(tokens.list().unwrap(), []);
        tokens.put(&two).unwrap();
        assert!(tokens.remove(two.id).unwrap());
        assert!(!tokens.remove(two.id).unwrap());
        assert_eq!(tokens.by_hash_any("two").unwrap(), None);
    });
}

#[test]
fn a_name_belongs_to_one_node_and_a_refusal_spends_no_token() {
    on_both(|state| {
        let nodes = state.nodes();
        let web = JoinedNode {
            names: vec!["web1".to_owned(), "www".to_owned()],
            ..node("web1")
        };
        state.tokens().put(&token("t", 3)).unwrap();
        nodes.join(&web, "t", NOW).unwrap();
        let thief = JoinedNode {
            names: vec!["other".to_owned(), "WWW".to_owned()],
            ..node("other")
        };
        let change = nodes.last_change().unwrap();
        let joining = nodes.join(&thief, "t", NOW).unwrap();
        assert_eq!(joining, Joining::NameTaken("WWW".to_owned()));
        assert_eq!(state.tokens().find("t", NOW).unwrap().unwrap().uses, 2);
        assert_eq!(nodes.last_change().unwrap(), change);
        assert_eq!(nodes.by_fingerprint(&thief.fingerprint).unwrap(), None);
        // A token that is none says nothing of names.
        let joining = nodes.join(&thief, "none", NOW).unwrap();
        assert_eq!(joining, Joining::TokenSpent);
        for name in ["web1", "www", "WEB1"] {
            assert_eq!(nodes.by_name(name).unwrap().unwrap().id, web.id, "{name}");
        }
        // A name is free when its node has another one.
        let renamed = JoinedNode {
            name: "web2".to_owned(),
            names: vec!["web2".to_owned()],
            ..web.clone()
        };
        nodes.join(&renamed, "t", NOW).unwrap();
        assert_eq!(nodes.by_name("www").unwrap(), None);
        let joining = nodes.join(&thief, "t", NOW).unwrap();
        assert_eq!(joining, Joining::Joined(thief.id));
        assert_eq!(state.tokens().find("t", NOW).unwrap(), None);
    });
}

#[test]
fn a_host_key_that_returns_is_the_same_node() {
    on_both(|state| {
        let nodes = state.nodes();
        let first = joined(state, "db1");
        let certificate = NodeCertificate {
            serial: u64::MAX,
            begins: NOW,
            expires: NOW + 60,
            authority: "SHA256:ca".to_owned(),
        };
        assert!(nodes.set_certificate(first.id, &certificate).unwrap());
        nodes.lock("db1", &lock(None)).unwrap().unwrap();
        state.tokens().put(&token("again", 2)).unwrap();
        let again = JoinedNode {
            names: vec!["db1".to_owned(), "db1.example.com".to_owned()],
            fingerprint: first.fingerprint.clone(),
            tunnel: TunnelRule::Required,
            joined: NOW + 9,
            heartbeat: None,
            ..node("db1")
        };
        let joining = nodes.join(&again, "again", NOW).unwrap();
        assert_eq!(joining, Joining::Returned(first.id));
        let found = nodes.by_name("db1.example.com").unwrap().unwrap();
        let expected = JoinedNode {
            id: first.id,
            joined: first.joined,
            certificate: Some(certificate),
            lock: Some(lock(None)),
            heartbeat: first.heartbeat.clone(),
            token: found.token,
            ..again
        };
        assert_eq!(found, expected);
        assert_ne!(found.token, first.token);
        assert_eq!(state.tokens().find("again", NOW).unwrap().unwrap().uses, 1);
        assert_eq!(nodes.list().unwrap(), [expected]);
    });
}

#[test]
fn what_a_node_reports_is_known_and_told_only_if_it_is_dialled_or_named_otherwise() {
    on_both(|state| {
        let nodes = state.nodes();
        let db = joined(state, "db1");
        let number = nodes.last_change().unwrap();
        let heartbeat = Heartbeat {
            at: NOW + 60,
            client: "203.0.113.7".to_owned(),
            sshd: "OpenSSH_9.2p1 Debian-2+deb12u3".to_owned(),
            uptime: 77,
            clock_ahead: -3,
            addresses: vec!["10.0.0.5".to_owned()],
            keeps_tunnel: true,
            user_cas: vec!["SHA256:u".to_owned()],
            host_cas: vec!["SHA256:h".to_owned()],
            certificate: Some(u64::MAX),
            revocations: Some(17),
            problem: Some("sshd -t fails".to_owned()),
        };
        let report = |labels: &[Label], address: &str, port| {
            let told = nodes.heartbeat(db.id, &heartbeat, labels, address, port);
            assert!(told.unwrap());
        };
        report(&db.labels, &db.address, db.port);
        assert_eq!(changes(state, number, 9), []);
        let found = nodes.of_id(db.id).unwrap().unwrap();
        assert_eq!(found.heartbeat.as_ref(), Some(&heartbeat));
        let labels = ["env=test".parse().unwrap(), "role=".parse().unwrap()];
        let mut number = number;
        for (labels, address, port) in [
            (&labels[..], "10.0.0.5", 22),
            (&labels, "10.0.0.6", 22),
            (&labels, "10.0.0.6", 2222),
        ] {
            report(labels, address, port);
            let [change] = &nodes.changes_since(number, 9).unwrap()[..] else {
                panic!("one change")
            };
            let now = change.now.as_ref().unwrap();
            assert_eq!(
                (&now.labels[..], &now.address[..], now.port),
                (labels, address, port)
            );
            assert!(change.number > number);
            number = change.number;
            report(labels, address, port);
            assert_eq!(changes(state, number, 9), []);
        }
        let nobody = nodes.heartbeat(NodeId::new(), &heartbeat, &labels, "10.0.0.7", 22);
        assert!(!nobody.unwrap());
        assert_eq!(nodes.last_change().unwrap(), number);
        let certificate = NodeCertificate {
            serial: 1,
            begins: 1,
            expires: 2,
            authority: String::new(),
        };
        assert!(!nodes.set_certificate(NodeId::new(), &certificate).unwrap());
    });
}

#[test]
fn a_node_is_locked_unlocked_and_removed_by_any_of_its_names() {
    on_both(|state| {
        let nodes = state.nodes();
        let db = joined(state, "db1");
        let proxy = Uuid::now_v7();
        nodes.open_tunnel(db.id, proxy, NOW).unwrap();
        for reason in [Some("stolen"), None] {
            assert_eq!(nodes.lock("DB1", &lock(reason)).unwrap(), Some(db.id));
            let found = nodes.by_name("db1").unwrap().unwrap();
            assert_eq!(found.lock, Some(lock(reason)));
        }
        let refused = nodes.open_tunnel(db.id, proxy, NOW).unwrap_err();
        assert!(matches!(refused, StateError::NoSuchNode), "{refused}");
        // A certificate that was asked for before it was locked.
        let certificate = NodeCertificate {
            serial: 1,
            begins: NOW,
            expires: NOW + 60,
            authority: "SHA256:ca".to_owned(),
        };
        assert!(!nodes.set_certificate(db.id, &certificate).unwrap());
        let number = nodes.last_change().unwrap();
        assert_eq!(changes(state, 0, 9), [(number, Some("db1".to_owned()))]);
        for _ in 0..2 {
            assert_eq!(nodes.unlock("db1").unwrap(), Some(db.id));
            assert_eq!(nodes.by_name("db1").unwrap().unwrap(), db);
        }
        assert_eq!(nodes.changes_since(number, 9).unwrap().len(), 1);
        // Each number is a change that a reader finds.
        assert_eq!(nodes.last_change().unwrap(), number + 1);
        assert_eq!(nodes.remove("db1").unwrap(), Some(db.id));
        assert_eq!(nodes.list().unwrap(), []);
        assert_eq!(nodes.tunnels().unwrap(), []);
        let number = nodes.last_change().unwrap();
        assert_eq!(changes(state, 0, 9), [(number, None)]);
        assert_eq!(nodes.remove("db1").unwrap(), None);
        assert_eq!(nodes.unlock("db1").unwrap(), None);
        assert_eq!(nodes.lock("db1", &lock(None)).unwrap(), None);
        assert_eq!(nodes.last_change().unwrap(), number);
        nodes.forget_removals_before(NOW).unwrap();
        assert_eq!(changes(state, 0, 9).len(), 1);
        nodes.forget_removals_before(NOW + 1).unwrap();
        assert_eq!(changes(state, 0, 9), []);
        // The host may join again, as another node.
        assert_ne!(joined(state, "db1").id, db.id);
    });
}

#[test]
fn changes_come_in_pages_and_none_is_missed() {
    on_both(|state| {
        let nodes = state.nodes();
        for name in ["a", "b", "c", "d", "e"] {
            joined(state, name);
        }
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(changes(state, 0, 2), [(1, some("a")), (2, some("b"))]);
        // What changes between two pages comes later, as it is then.
        nodes.lock("b", &lock(None)).unwrap();
        nodes.lock("d", &lock(None)).unwrap();
        nodes.remove("c").unwrap();
        assert_eq!(changes(state, 2, 2), [(5, some("e")), (6, some("b"))]);
        assert_eq!(changes(state, 6, 2), [(7, some("d")), (8, None)]);
        assert_eq!(changes(state, 8, 2), []);
    });
}

#[test]
fn nodes_are_counted_by_their_last_heartbeat() {
    on_both(|state| {
        let nodes = state.nodes();
        let counts = |online, offline, locked| NodeCounts {
            online,
            offline,
            locked,
        };
        assert_eq!(nodes.count(NOW).unwrap(), counts(0, 0, 0));
        let all = ["a", "b", "c"].map(|name| joined(state, name));
        let over = NOW + NODE_OFFLINE_AFTER;
        assert_eq!(nodes.count(over - 1).unwrap(), counts(3, 0, 0));
        assert_eq!(nodes.count(over).unwrap(), counts(0, 3, 0));
        // The clock was ahead when they were heard of.
        let before = NOW - NODE_OFFLINE_AFTER;
        assert_eq!(nodes.count(before + 1).unwrap(), counts(3, 0, 0));
        assert_eq!(nodes.count(before).unwrap(), counts(0, 3, 0));
        assert!(!all[0].is_online(before) && all[0].is_online(before + 1));
        let heartbeat = Heartbeat {
            at: NOW + 1,
            ..Heartbeat::default()
        };
        for node in &all[1..] {
            let told = nodes.heartbeat(node.id, &heartbeat, &node.labels, "10.0.0.5", 22);
            assert!(told.unwrap());
        }
        nodes.lock("c", &lock(None)).unwrap();
        assert_eq!(nodes.count(over).unwrap(), counts(1, 1, 1));
        let online = nodes.list().unwrap();
        let online: Vec<_> = online.iter().map(|node| node.is_online(over)).collect();
        assert_eq!(online, [false, true, true], "a locked one may be online");
        let mut silent = node("d");
        silent.heartbeat = None;
        assert!(!silent.is_online(NOW));
    });
}

#[test]
fn the_newest_tunnel_of_a_node_is_used_and_then_the_one_before_it() {
    on_both(|state| {
        let nodes = state.nodes();
        let (db, web) = (joined(state, "db1"), joined(state, "web1"));
        let [here, there] = [Uuid::now_v7(), Uuid::now_v7()];
        let older = nodes.open_tunnel(db.id, here, NOW).unwrap();
        let newer = nodes.open_tunnel(db.id, there, NOW + 1).unwrap();
        assert!(newer > older);
        let others = nodes.open_tunnel(web.id, here, NOW + 2).unwrap();
        let used = || nodes.tunnel_of(db.id).unwrap();
        let tunnel = used().unwrap();
        assert_eq!(
            (tunnel.node, tunnel.proxy, tunnel.since, tunnel.generation),
            (db.id, there, NOW + 1, newer)
        );
        let generations = || {
            let tunnels = nodes.tunnels().unwrap();
            tunnels.iter().map(|one| one.generation).collect::<Vec<_>>()
        };
        assert_eq!(generations(), [newer, older, others]);
        assert_eq!(nodes.count_tunnelled().unwrap(), 2);
        // Another node cannot end it.
        nodes.close_tunnel(web.id, newer).unwrap();
        assert_eq!(used().unwrap().generation, newer);
        nodes.close_tunnel(db.id, newer).unwrap();
        assert_eq!(used().unwrap().generation, older);
        // One that others have taken for ended comes back in its place.
        nodes.restore_tunnel(&tunnel).unwrap();
        nodes.restore_tunnel(&tunnel).unwrap();
        assert_eq!(used(), Some(tunnel));
        assert_eq!(generations(), [newer, older, others]);
        nodes
            .restore_tunnel(&OpenTunnel {
                node: NodeId::new(),
                generation: newer + 1_000,
                ..tunnel
            })
            .unwrap();
        assert_eq!(generations().len(), 3, "that node is not there");
        nodes.close_tunnel(db.id, newer).unwrap();
        nodes.close_tunnels_of(here).unwrap();
        assert_eq!((used(), generations()), (None, Vec::new()));
        let nobody = nodes.open_tunnel(NodeId::new(), here, NOW).unwrap_err();
        assert!(matches!(nobody, StateError::NoSuchNode), "{nobody}");
        // Tunnels that have ended without a word do not pile up.
        let opened: Vec<_> = (0..40)
            .map(|_| nodes.open_tunnel(db.id, here, NOW).unwrap())
            .collect();
        let kept: Vec<_> = opened.iter().rev().take(16).copied().collect();
        assert_eq!(generations(), kept);
    });
}

#[test]
fn a_proxy_that_is_gone_takes_its_tunnels_with_it() {
    on_both(|state| {
        let (nodes, proxies) = (state.nodes(), state.proxies());
        let db = joined(state, "db1");
        let proxy = |seen| ProxyRow {
            id: Uuid::now_v7(),
            address: "10.0.0.1:3022".to_owned(),
            key: "ssh-ed25519 AAAA".to_owned(),
            seen,
        };
        let [mut first, second] = [proxy(NOW), proxy(NOW + 9)];
        proxies.announce(&first).unwrap();
        proxies.announce(&second).unwrap();
        first.seen = NOW + 10;
        first.address = String::new();
        proxies.announce(&first).unwrap();
        assert_eq!(proxies.list().unwrap(), [first.clone(), second.clone()]);
        let stranger = Uuid::now_v7();
        for id in [first.id, second.id, stranger] {
            nodes.open_tunnel(db.id, id, NOW).unwrap();
        }
        let left = || {
            let tunnels = nodes.tunnels().unwrap();
            tunnels.iter().map(|one| one.proxy).collect::<Vec<_>>()
        };
        // A tunnel to a proxy that has not announced itself yet stays for a while.
        proxies.forget_before(NOW).unwrap();
        assert_eq!(left(), [stranger, second.id, first.id]);
        proxies.forget_before(NOW + 10).unwrap();
        assert_eq!(left(), [first.id]);
        assert_eq!(proxies.list().unwrap(), [first.clone()]);
        proxies.remove(first.id).unwrap();
        assert_eq!((left(), proxies.list().unwrap()), (vec![], vec![]));
    });
}

/// What rotations of the CAs' keys wait for.
#[test]
fn what_nodes_have_of_the_cas_keys_is_what_they_have_reported() {
    on_both_places(|place| {
        let directory = crate::sys::fs::private_tempdir();
        let data_dir = DataDir::new(directory.path());
        let seen_at = |now| {
            let records = records(Ok(place.clone()), &data_dir, Clock::Fixed(now));
            records.nodes.node_keys().unwrap()
        };
        assert_eq!(seen_at(NOW), [], "there is no state");
        let state = State::open(place, Clock::Fixed(NOW)).unwrap();
        assert_eq!(seen_at(NOW), []);
        let node = joined(&state, "db1");
        let report = |serial| {
            let heartbeat = Heartbeat {
                at: NOW + 60,
                user_cas: vec!["SHA256:u".to_owned()],
                host_cas: vec!["SHA256:h".to_owned(), "SHA256:i".to_owned()],
                certificate: Some(serial),
                ..Heartbeat::default()
            };
            let nodes = state.nodes();
            assert!(
                nodes
                    .heartbeat(node.id, &heartbeat, &[], "10.0.0.5", 22)
                    .unwrap()
            );
        };
        let certificate = NodeCertificate {
            serial: 7,
            begins: NOW,
            expires: NOW + 60,
            authority: "SHA256:h".to_owned(),
        };
        state
            .nodes()
            .set_certificate(node.id, &certificate)
            .unwrap();
        report(7);
        let expected = NodeKeys {
            name: "db1".to_owned(),
            heard: NOW + 60,
            is_online: true,
            is_locked: false,
            user_cas: vec!["SHA256:u".to_owned()],
            host_cas: vec!["SHA256:h".to_owned(), "SHA256:i".to_owned()],
            certificate: Some("SHA256:h".to_owned()),
        };
        assert_eq!(seen_at(NOW + 61), [expected]);
        // The host has not installed the last certificate.
        report(6);
        state.nodes().lock("db1", &lock(None)).unwrap();
        let later = &seen_at(NOW + 60 + NODE_OFFLINE_AFTER)[0];
        assert_eq!(later.certificate, None);
        assert_eq!((later.is_online, later.is_locked), (false, true));
    });
}
