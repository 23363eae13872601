//! Signatures that are none, or are not for this connection.

use rproxy::ipc::{PeopleAnswer, PeopleQuestion, SignedProof};
use ssh_key::certificate::{Builder, CertType};

use super::scene::{KnownPerson, Scene, WorkerAttack};
use crate::support::World;
use crate::support::taken_worker::{ClaimedConnection, TakenWorker, refused};

/// What a proof that does not verify leaves.
const BAD: (&str, &str) = ("people.refused", "bad-signature");
/// What one leaves that was made for another connection.
const REPLAYED: (&str, &str) = ("people.refused", "key-replayed");

pub(super) const ATTACKS: &[WorkerAttack] = &[
    WorkerAttack {
        tries: "a public key without a signature",
        prepare: |scene| wrong(scene, |_, proof| proof.signature.clear()),
        leaves: BAD,
        gains: &[],
    },
    WorkerAttack {
        tries: "a signature by a key of the attacker",
        prepare: |scene| {
            wrong(scene, |client, proof| {
                let mut own = client.clone();
                own.key = crate::support::taken_worker::new_key();
                proof.signature = own.proof().signature;
            })
        },
        leaves: BAD,
        gains: &[],
    },
    WorkerAttack {
        tries: "a signature for another session",
        prepare: |scene| wrong(scene, |_, proof| proof.session.reverse()),
        leaves: BAD,
        gains: &[],
    },
    WorkerAttack {
        tries: "a signature for another user name",
        prepare: |scene| {
            wrong(scene, |client, proof| {
                let mut other = client.clone();
                other.user = "root".to_owned();
                *proof = other.proof();
            })
        },
        leaves: BAD,
        gains: &[],
    },
    WorkerAttack {
        tries: "a signature that is bound to another host key",
        prepare: |scene| wrong(scene, |_, proof| proof.host_key = vec![1; 51]),
        leaves: BAD,
        gains: &[],
    },
    WorkerAttack {
        tries: "an algorithm with SHA-1",
        prepare: |scene| wrong(scene, |_, proof| proof.algorithm = "ssh-rsa".to_owned()),
        leaves: BAD,
        gains: &[],
    },
    WorkerAttack {
        tries: "a DSA key",
        prepare: |scene| {
            wrong(scene, |_, proof| {
                proof.algorithm = "ssh-dss".to_owned();
                proof.key = [&[0, 0, 0, 7][..], b"ssh-dss", &[0; 64]].concat();
            })
        },
        leaves: BAD,
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate for the name of another person, signed by the attacker",
        prepare: |scene| {
            let person = scene.person();
            Box::new(move |scene| {
                let client = scene.client(&person.name);
                let answer = client.ask(PeopleQuestion::Prove(with_certificate(&client, &person)));
                assert_eq!(refused(answer).reason, "unfit-key");
            })
        },
        leaves: ("sign_in.failed", "unfit-key"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a signature that was made for another connection",
        prepare: |scene| {
            let person = scene.person();
            let first = scene.signed_in(&person);
            Box::new(move |scene| {
                let second = scene.client_of(&person);
                let answer = second.ask(PeopleQuestion::Prove(first.proof()));
                assert_eq!(refused(answer).reason, "key-replayed");
                refused(second.certificate("root"));
            })
        },
        leaves: REPLAYED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a signature of a connection that has ended",
        prepare: |scene| {
            let person = scene.person();
            let client = scene.signed_in(&person);
            client.close();
            Box::new(move |_| {
                assert_eq!(refused(client.prove()).reason, "key-replayed");
                refused(client.certificate("root"));
            })
        },
        leaves: REPLAYED,
        gains: &[],
    },
    WorkerAttack {
        tries: "two sessions on one connection",
        prepare: |scene| {
            let person = scene.person();
            let mut client = scene.client("root");
            assert_eq!(client.prove(), PeopleAnswer::AskFirst);
            client.key = person.key;
            client.session = b"that of another connection".to_vec();
            Box::new(move |_| assert_eq!(refused(client.prove()).reason, "key-replayed"))
        },
        leaves: REPLAYED,
        gains: &[],
    },
];

/// A proof of a signed-in person's key that was changed like this.
fn wrong(
    scene: &Scene,
    change: fn(&ClaimedConnection, &mut SignedProof),
) -> Box<dyn FnOnce(&Scene)> {
    let client = scene.client_of(&scene.person());
    let mut proof = client.proof();
    change(&client, &mut proof);
    Box::new(move |_| {
        let answer = client.ask(PeopleQuestion::Prove(proof));
        assert_eq!(refused(answer).reason, "bad-signature");
        refused(client.certificate("root"));
    })
}

/// A proof by a certificate, which the client's own key has signed, for a person's name.
fn with_certificate(client: &ClaimedConnection, person: &KnownPerson) -> SignedProof {
    let public = client.key.public_key().key_data().clone();
    let mut builder = Builder::new(vec![1; 32], public, 0, 4_000_000_000).expect("times");
    builder.cert_type(CertType::User).expect("a kind");
    builder.key_id(&person.name).expect("a key id");
    builder.valid_principal("root").expect("a principal");
    let certificate = builder.sign(&client.key).expect("a key that can sign");
    let blob = certificate.to_bytes().expect("a certificate has bytes");
    client.proof_with("ssh-ed25519-cert-v01@openssh.com", blob)
}

#[test]
fn a_signature_counts_for_what_it_was_made_for() {
    super::withstands(ATTACKS);
}

/// After an upgrade two workers run. One that is taken over cannot go on with what the other one's clients
/// have proved, also if it knows everything about them.
#[test]
fn a_worker_cannot_use_the_connections_of_another() {
    let world = World::with().people().own_program().start();
    world.sign_up("alice", &world.invite("alice"));
    // It keeps the first worker alive.
    let _session = world.shell();
    let Some(scene) = Scene::of(world) else {
        return;
    };
    let old = scene.world.worker_pid();
    scene.world.signal_proxy(rustix::process::Signal::USR2);
    let new = scene.world.eventually("a second worker", || {
        let upgraded = !scene.world.events("server.upgraded").is_empty();
        let mut workers = scene.world.workers().into_iter();
        workers.find(|pid| *pid != old).filter(|_| upgraded)
    });
    let other = TakenWorker::of(new).expect("the first one was taken too");
    let client = scene.signed_in(&scene.person());
    let stolen = client.claimed_by(&other);
    assert_eq!(refused(stolen.certificate("root")).reason, "not-signed-in");
    assert_eq!(refused(stolen.prove()).reason, "key-replayed");
    stolen.close();
    // The connection is the first worker's as before.
    let answer = client.certificate("root");
    assert!(matches!(answer, PeopleAnswer::Certificate(_)), "{answer:?}");
    let events = scene.world.events("people.refused");
    let reasons: Vec<_> = events.iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(reasons, ["not-signed-in", "key-replayed"]);
}
