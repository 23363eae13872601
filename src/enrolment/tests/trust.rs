//! What a process that is controlled by an attacker can ask, and a host that lies.

use super::house::{NodeHouse, installed, named, reason, report};
use crate::cert::testing::{CertSpec, ed25519};
use crate::ipc::{NodesAnswer, NodesQuestion, SignedProof};
use crate::model::ConnectionId;

#[test]
fn a_signature_counts_for_its_session_user_and_key_only() {
    let house = NodeHouse::new();
    let host = house.host();
    let right = host.proof();
    let other = ed25519().public_key().to_bytes().unwrap();
    let changes: [&dyn Fn(&mut SignedProof); 6] = [
        &|proof| proof.session.push(0),
        &|proof| proof.key.clone_from(&other),
        &|proof| proof.signature = vec![0; 64],
        &|proof| proof.signature.clear(),
        &|proof| proof.host_key = vec![1; 32],
        &|proof| proof.algorithm = "ssh-rsa".to_owned(),
    ];
    for change in changes {
        let mut proof = right.clone();
        change(&mut proof);
        let answer = host.ask(NodesQuestion::Prove(proof));
        assert_eq!(reason(answer), "bad-signature");
    }
    // A user's signature is none of a host.
    let answer = host.ask(NodesQuestion::Prove(host.proof_as("alice")));
    assert_eq!(reason(answer), "bad-signature");
    assert_eq!(house.refused(), ["bad-signature"; 7]);
    assert_eq!(host.prove(), NodesAnswer::Proved(None));
}

#[test]
fn a_signature_counts_for_one_connection() {
    let house = NodeHouse::new();
    let first = house.joined("db1");
    let mut second = house.host_with(first.key.clone());
    second.session.clone_from(&first.session);
    assert_eq!(reason(second.prove()), "key-replayed");
    // Nor in another process, which may number its connections in the same way.
    let mut elsewhere = house.host_with(first.key.clone());
    elsewhere.caller = 2;
    elsewhere.connection = first.connection;
    elsewhere.session.clone_from(&first.session);
    assert_eq!(reason(elsewhere.prove()), "key-replayed");
    // Nor when the connection has ended.
    assert_eq!(first.ask(NodesQuestion::Close), NodesAnswer::Noted);
    assert_eq!(reason(first.prove()), "key-replayed");
    assert_eq!(house.refused(), ["key-replayed"; 3]);
}

#[test]
fn nothing_is_answered_about_a_connection_that_has_proved_nothing() {
    let house = NodeHouse::new();
    let token = house.token();
    let node = house.joined("db1");
    let mut host = house.host();
    let ask_all = |host: &super::house::HouseHost<'_>| {
        for question in [
            NodesQuestion::Heartbeat(report()),
            NodesQuestion::Tunnel(true),
            NodesQuestion::Tunnel(false),
            NodesQuestion::Successors,
        ] {
            assert_eq!(reason(host.ask(question)), "not-proved");
        }
        assert_eq!(reason(host.join(&token, &named("db2"))), "not-proved");
    };
    ask_all(&host);
    // The node's connection, of another process.
    host.caller = 2;
    host.connection = node.connection;
    ask_all(&host);
    // After a failed proof.
    let failed = house.host();
    let mut proof = failed.proof();
    proof.signature = vec![0; 64];
    failed.ask(NodesQuestion::Prove(proof));
    ask_all(&failed);
    assert_eq!(house.state.tokens().list().unwrap()[0].uses, 1);
}

#[test]
fn a_connection_has_one_client() {
    let house = NodeHouse::new();
    let mut host = house.joined("db1");
    host.address = "10.0.0.99:1".parse().unwrap();
    assert_eq!(reason(host.heartbeat(&report())), "key-replayed");
    // It has lost its proof by that.
    assert_eq!(reason(host.heartbeat(&report())), "not-proved");
}

#[test]
fn a_host_cannot_become_another_node() {
    let house = NodeHouse::new();
    let victim = house.joined("db1");
    let host = house.joined("web1");
    // It reports the victim's name and address.
    let mut lies = named("db1");
    lies.addresses = vec!["10.0.0.5".to_owned()];
    let answer = installed(host.heartbeat(&lies));
    assert_eq!(answer.name, "web1");
    assert_eq!(house.node("db1").fingerprint, victim.fingerprint());
    assert_eq!(house.node("web1").names, ["web1"]);
    // It has seen a proof of the victim.
    let replayed = host.ask(NodesQuestion::Prove(victim.proof()));
    assert_eq!(reason(replayed), "key-replayed");
    // A token gives no name that another node has.
    let token = house.token();
    assert_eq!(reason(host.join(&token, &named("db1"))), "name-taken");
    let mut both = named("web1");
    both.names.push("db1.example.com".to_owned());
    assert_eq!(reason(host.join(&token, &both)), "name-taken");
    assert_eq!(house.cas.issued(), 2);
}

#[test]
fn a_certificate_is_no_host_key_here() {
    let house = NodeHouse::new();
    let host = house.host();
    let certificate = CertSpec::host(&host.key).sign(&ed25519());
    let (key, algorithm) = (
        certificate.to_bytes().unwrap(),
        "ssh-ed25519-cert-v01@openssh.com",
    );
    let request = crate::cert::proof::public_key_request("join", algorithm, &key, None, true);
    let data = crate::cert::proof::signed_data(&host.session, &request);
    let signature = ::signature::Signer::try_sign(host.key.key_data(), &data).unwrap();
    let proof = SignedProof {
        session: host.session.clone(),
        algorithm: algorithm.to_owned(),
        signature: ssh_encoding::Encode::encode_vec(&signature).unwrap(),
        key,
        host_key: Vec::new(),
    };
    assert_eq!(reason(host.ask(NodesQuestion::Prove(proof))), "unfit-key");
}

#[test]
fn after_a_restart_the_same_proof_counts_again() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    let restarted = house.later(1);
    let mut again = restarted.host_with(host.key.clone());
    again.connection = host.connection;
    again.session.clone_from(&host.session);
    assert_eq!(reason(again.heartbeat(&report())), "not-proved");
    assert_eq!(again.proved().unwrap().name, "db1");
    installed(again.heartbeat(&report()));
}

#[test]
fn a_process_that_has_exited_leaves_nothing() {
    let house = NodeHouse::new();
    let host = house.joined("db1");
    house.service.forget(1);
    assert_eq!(reason(host.heartbeat(&report())), "not-proved");
}

#[test]
fn successors_are_for_any_host_that_has_proved_a_key() {
    let house = NodeHouse::new();
    house.cas.rotate();
    let host = house.host();
    host.proved();
    let answer = host.ask(NodesQuestion::Successors);
    assert!(matches!(answer, NodesAnswer::Successors(lines) if lines.len() == 1));
    let mut unknown = house.host();
    unknown.connection = ConnectionId::new();
    assert_eq!(reason(unknown.ask(NodesQuestion::Successors)), "not-proved");
}
