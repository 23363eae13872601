//! What a process that is controlled by an attacker can ask.

use super::house::{House, HouseKey, PASSWORD, questions, reason, signed_in};
use crate::cert::testing::ed25519;
use crate::ipc::{PeopleAnswer, PeopleQuestion};
use crate::people::RequiredFactor;

fn house() -> (House, HouseKey) {
    let house = House::new(RequiredFactor::Off);
    let client = house.client("signup");
    client.begin();
    client.answer(&[&house.invite("alice")]);
    client.answer(&[PASSWORD, PASSWORD]);
    signed_in(client.prove());
    let key = client.key;
    (house, key)
}

#[test]
fn a_signature_counts_for_its_session_user_and_key_only() {
    let (house, key) = house();
    let client = house.client_with("root", key.clone());
    let right = client.proof();
    let other = ed25519().public_key().to_bytes().unwrap();
    let mut wrong = Vec::new();
    let mut change = |change: &dyn Fn(&mut crate::ipc::SignedProof)| {
        let mut proof = right.clone();
        change(&mut proof);
        wrong.push(proof);
    };
    change(&|proof| proof.session.push(0));
    change(&|proof| proof.key.clone_from(&other));
    change(&|proof| proof.signature = vec![0; 64]);
    change(&|proof| proof.signature.clear());
    change(&|proof| proof.host_key = vec![1; 32]);
    change(&|proof| proof.algorithm = "ssh-rsa".to_owned());
    for proof in wrong {
        let answer = client.ask(PeopleQuestion::Prove(proof));
        assert_eq!(reason(answer), "bad-signature");
    }
    signed_in(client.ask(PeopleQuestion::Prove(right)));
    let names = house.audit.names();
    assert_eq!(names[names.len() - 6..], ["people.refused"; 6]);
}

#[test]
fn a_signature_counts_for_one_connection() {
    let (house, key) = house();
    let first = house.client_with("root", key.clone());
    signed_in(first.prove());
    // The same connection may say it again, after a restart of either process.
    signed_in(first.prove());
    let second = house.client_with("root", key);
    let answer = second.ask(PeopleQuestion::Prove(first.proof()));
    assert_eq!(reason(answer), "key-replayed");
    assert_eq!(reason(second.certificate("postgres")), "not-signed-in");
    assert_eq!(house.audit.names().last(), Some(&"people.refused"));
}

#[test]
fn the_user_name_and_the_address_of_a_connection_stay() {
    let (house, key) = house();
    for change in [
        |client: &mut super::house::HouseClient<'_>| client.user = "other".to_owned(),
        |client: &mut super::house::HouseClient<'_>| {
            client.address = "192.0.2.9:9".parse().unwrap();
        },
    ] {
        let mut client = house.client_with("root", key.clone());
        signed_in(client.prove());
        change(&mut client);
        assert_eq!(reason(client.certificate("postgres")), "user-changed");
        // What was known about it is gone.
        assert_eq!(reason(client.certificate("postgres")), "not-signed-in");
    }
}

#[test]
fn answers_without_questions_count_for_nothing() {
    let (house, key) = house();
    let client = house.client_with("root", key);
    for answers in [&[][..], &[PASSWORD], &[PASSWORD, PASSWORD]] {
        assert_eq!(reason(client.answer(answers)), "out-of-turn");
    }
    let client = house.client("alice");
    client.begin();
    assert_eq!(reason(client.answer(&["alice", PASSWORD])), "out-of-turn");
    assert_eq!(reason(client.answer(&[PASSWORD])), "out-of-turn");
}

#[test]
fn a_connection_that_was_closed_is_forgotten() {
    let (house, key) = house();
    let client = house.client_with("root", key);
    signed_in(client.prove());
    assert_eq!(client.ask(PeopleQuestion::Close), PeopleAnswer::Closed);
    assert_eq!(reason(client.certificate("postgres")), "not-signed-in");
    signed_in(client.prove());
    house.service.forget_caller(1);
    assert_eq!(reason(client.certificate("postgres")), "not-signed-in");
}

#[test]
fn right_answers_of_one_connection_are_of_no_use_to_another() {
    let (house, _) = house();
    let first = house.client("alice");
    first.begin();
    questions(first.answer(&[""]));
    assert_eq!(first.answer(&[PASSWORD]), PeopleAnswer::ProveKey);
    let second = house.client("alice");
    assert_eq!(second.prove(), PeopleAnswer::AskFirst);
    assert_eq!(house.fingerprints_of("alice").len(), 1);
}
