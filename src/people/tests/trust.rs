//! What a process that is controlled by an attacker can ask.

use super::house::{House, HouseKey, PASSWORD, questions, reason, signed_in};
use crate::cert::testing::ed25519;
use crate::ipc::{OwnCommand, PeopleAnswer, PeopleQuestion};
use crate::people::RequiredFactor;

fn house() -> (House, HouseKey) {
    let house = House::new(RequiredFactor::Off);
    let key = house.signed_up_without_codes("alice");
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
        assert_eq!(reason(client.answer(answers)), "questions-forgotten");
    }
    signed_in(client.prove());
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
    // Its signature counts no longer, on no connection.
    assert_eq!(reason(client.prove()), "key-replayed");
    let again = house.client_with("root", client.key);
    signed_in(again.prove());
    house.service.forget_caller(1);
    assert_eq!(reason(again.certificate("postgres")), "not-signed-in");
}

#[test]
fn a_connection_has_one_session() {
    let (house, key) = house();
    let mut client = house.client_with("root", key);
    signed_in(client.prove());
    client.session = b"another".to_vec();
    assert_eq!(reason(client.prove()), "key-replayed");
    // Another process that numbers a connection in the same way is not this one.
    client.session = client.connection.to_string().into_bytes();
    client.caller = 2;
    assert_eq!(reason(client.prove()), "key-replayed");
    assert_eq!(reason(client.certificate("postgres")), "not-signed-in");
}

#[test]
fn a_name_that_is_too_long_is_not_kept() {
    let (house, _) = house();
    let client = house.client(&"x".repeat(1_025));
    assert_eq!(reason(client.begin()), "long-name");
    questions(house.client(&"x".repeat(1_024)).begin());
}

/// What was asked is forgotten at a restart: the process between is told, and asks anew.
#[test]
fn answers_to_forgotten_questions_are_told_from_others() {
    let (house, _) = house();
    let client = house.client("alice");
    assert_eq!(reason(client.answer(&["alice"])), "questions-forgotten");
    client.begin();
    questions(client.answer(&[""]));
    let later = house.later(1);
    let mut again = later.client("alice");
    again.connection = client.connection;
    let forgotten = super::house::refusal(again.answer(&[PASSWORD]));
    assert_eq!(forgotten.reason, "questions-forgotten");
    assert!(!forgotten.is_final);
    assert_eq!(later.audit.names(), ["people.refused"]);
}

/// Everything that a process is refused is written down.
#[test]
fn every_refusal_is_audited() {
    let (house, key) = house();
    let client = house.client_with("root", key);
    signed_in(client.prove());
    let other = OwnCommand::CertificateFor {
        key: ed25519().public_key().to_bytes().unwrap(),
    };
    assert!(matches!(
        client.own(other.clone()),
        PeopleAnswer::Certificate(_)
    ));
    let fresh = house.client_with("root", client.key.clone());
    signed_in(fresh.prove());
    let bob = house.client("signup");
    bob.begin();
    bob.answer(&[&house.invite("bob")]);
    bob.answer(&[PASSWORD, PASSWORD]);
    signed_in(bob.prove());
    let of_bob = OwnCommand::CertificateFor {
        key: bob.key.blob(),
    };
    let remove = OwnCommand::RemoveKey {
        fingerprint: bob.key.fingerprint(),
    };
    let asks: [(&str, &dyn Fn() -> PeopleAnswer); 7] = [
        ("one-key", &|| {
            // Another proof, or the questions anew, are no other connection.
            signed_in(client.prove());
            signed_in(client.begin());
            client.own(other.clone())
        }),
        ("key-of-another-user", &|| fresh.own(of_bob.clone())),
        ("no-such-key", &|| client.own(remove.clone())),
        ("not-used", &|| client.own(OwnCommand::ChangeSecondFactor)),
        ("out-of-turn", &|| client.answer(&[PASSWORD])),
        ("login-not-allowed", &|| client.certificate("root")),
        ("sign-in-ended", &|| {
            house.admin().lock("alice", None).unwrap();
            client.certificate("postgres")
        }),
    ];
    for (why, ask) in asks {
        let before = house.audit.names().len();
        assert_eq!(reason(ask()), why);
        let after = house.audit.names();
        assert!(
            after[before..].contains(&"people.refused"),
            "{why}: {:?}",
            &after[before..]
        );
    }
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

/// How long an answer takes does not tell whether there is such an account: one password is hashed, also
/// for accounts that have none.
#[test]
fn every_account_costs_one_hash() {
    let house = House::new(RequiredFactor::Otp);
    house.signed_up("alice");
    house.invite("bob");
    house.signed_up("carol");
    house.admin().lock("carol", None).unwrap();
    for account in ["alice", "bob", "carol", "nobody", ""] {
        let client = house.client(account);
        client.begin();
        questions(client.answer(&[""]));
        let before = house.service.hashes();
        let wrong = client.answer(&["not this one at all", "000000"]);
        assert_eq!(reason(wrong), "sign-in-wrong", "{account:?}");
        assert_eq!(house.service.hashes() - before, 1, "{account:?}");
    }
}
