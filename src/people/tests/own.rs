//! Commands of people about their own sign-ins and credentials.

use super::house::{
    House, HouseClient, HouseKey, PASSWORD, authenticator, prompts, questions, reason, signed_in,
    text,
};
use crate::audit::{AuditEvent, PersonEvent};
use crate::ipc::{OwnCommand, PeopleAnswer, PeopleQuestion};
use crate::people::RequiredFactor;
use crate::people::totp::OtpSecret;

const NEW_PASSWORD: &str = "another horse battery";

/// Alice's house on the next day.
fn next_day() -> (House, HouseKey, OtpSecret) {
    let house = House::new(RequiredFactor::Otp);
    let (key, secret) = house.signed_up("alice");
    (house.later(13 * 3_600), key, secret)
}

fn signed_in_client<'h>(house: &'h House, key: &HouseKey, secret: &OtpSecret) -> HouseClient<'h> {
    let client = house.client_with("alice", key.clone());
    client.sign_in(secret);
    client
}

#[test]
fn status_and_keys_say_what_there_is() {
    let (house, key, secret) = next_day();
    let client = signed_in_client(&house, &key, &secret);
    let status = text(client.own(OwnCommand::Status));
    for part in [
        "alice",
        &key.fingerprint(),
        "dba",
        "postgres",
        "recovery codes left: 10",
    ] {
        assert!(status.contains(part), "{status}");
    }
    let keys = text(client.own(OwnCommand::Keys));
    assert!(
        keys.contains(&key.fingerprint()) && keys.contains("(this one)"),
        "{keys}"
    );
    assert!(keys.contains("ssh-ed25519"), "{keys}");
}

#[test]
fn a_logout_ends_the_sign_in() {
    let (house, key, secret) = next_day();
    let client = signed_in_client(&house, &key, &secret);
    let told = text(client.own(OwnCommand::Logout { everywhere: false }));
    assert!(told.contains("1 sign-in has ended"), "{told}");
    assert_eq!(reason(client.own(OwnCommand::Status)), "not-signed-in");
    assert_eq!(reason(client.certificate("postgres")), "not-signed-in");
    assert_eq!(
        house.client_with("root", key).prove(),
        PeopleAnswer::AskFirst
    );
    let events = house.audit.0.lock().unwrap();
    let mut ends = events.iter().filter_map(|event| match event {
        AuditEvent::Person(PersonEvent::SignInEnded {
            reason,
            connection,
            client_addr,
            actor: None,
            ..
        }) => Some((*reason, *connection, client_addr.is_some())),
        _ => None,
    });
    assert_eq!(ends.next(), Some(("logout", Some(client.connection), true)));
}

#[test]
fn nothing_is_told_or_done_before_the_sign_in() {
    let (house, key, _) = next_day();
    let client = house.client_with("alice", key.clone());
    client.prove();
    for command in [
        OwnCommand::Status,
        OwnCommand::Keys,
        OwnCommand::Certificate,
        OwnCommand::ChangePassword,
        OwnCommand::Logout { everywhere: true },
        OwnCommand::RemoveKey {
            fingerprint: key.fingerprint(),
        },
    ] {
        assert_eq!(reason(client.own(command)), "not-signed-in");
    }
    assert_eq!(house.fingerprints_of("alice"), [key.fingerprint()]);
    assert_eq!(house.audit.names(), ["people.refused"; 6]);
}

#[test]
fn a_changed_password_ends_the_other_sign_ins() {
    let (house, key, secret) = next_day();
    let client = signed_in_client(&house, &key, &secret);
    let other = house.later(60);
    let second = other.client("alice");
    second.begin();
    second.answer(&[""]);
    second.answer(&[PASSWORD, &secret.code(other.now())]);
    signed_in(second.prove());
    assert_eq!(
        prompts(client.own(OwnCommand::ChangePassword)),
        [
            "rproxy example.com: password for alice: ",
            "rproxy example.com: new password: ",
            "rproxy example.com: the same again: "
        ]
    );
    let again = questions(client.answer(&[PASSWORD, "short", "short"]));
    assert!(again.banner.contains("at least 12"), "{}", again.banner);
    let answer = client.answer(&["wrong password", NEW_PASSWORD, NEW_PASSWORD]);
    assert_eq!(reason(answer), "sign-in-wrong");
    client.own(OwnCommand::ChangePassword);
    let told = text(client.answer(&[PASSWORD, NEW_PASSWORD, NEW_PASSWORD]));
    assert!(told.contains("your other sign-in has ended"), "{told}");
    assert_eq!(house.admin().show("alice").unwrap().sign_ins.len(), 1);
    assert_eq!(reason(second.certificate("postgres")), "sign-in-ended");
    assert!(matches!(
        client.certificate("postgres"),
        PeopleAnswer::Certificate(_)
    ));
    // The old password counts no more.
    let later = house.later(90);
    let client = later.client("alice");
    client.begin();
    client.answer(&[""]);
    let code = secret.code(later.now());
    assert_eq!(reason(client.answer(&[PASSWORD, &code])), "sign-in-wrong");
    client.begin();
    client.answer(&[""]);
    assert_eq!(
        client.answer(&[NEW_PASSWORD, &code]),
        PeopleAnswer::ProveKey
    );
}

#[test]
fn another_authenticator_needs_the_password_and_a_code_of_the_old_one() {
    let (house, key, secret) = next_day();
    signed_in_client(&house, &key, &secret);
    let house = house.later(60);
    let client = house.client_with("alice", key);
    signed_in(client.prove());
    assert_eq!(prompts(client.own(OwnCommand::ChangeSecondFactor)).len(), 2);
    assert_eq!(
        reason(client.answer(&[PASSWORD, "000000"])),
        "sign-in-wrong"
    );
    // The answers to questions that were not asked count for nothing.
    assert_eq!(reason(client.answer(&["000000"])), "out-of-turn");
    client.own(OwnCommand::ChangeSecondFactor);
    let asked = questions(client.answer(&[PASSWORD, &secret.code(house.now())]));
    let new = authenticator(&asked);
    questions(client.answer(&["000000000"]));
    let told = text(client.answer(&[&new.code(house.now())]));
    assert_eq!(
        told.lines().filter(|line| line.starts_with("  ")).count(),
        10
    );
    let later = house.later(60);
    let client = later.client("alice");
    for (code, is_right) in [(&secret, false), (&new, true)] {
        client.begin();
        client.answer(&[""]);
        let answer = client.answer(&[PASSWORD, &code.code(later.now())]);
        assert_eq!(answer == PeopleAnswer::ProveKey, is_right);
    }
}

#[test]
fn a_removed_key_signs_in_no_more() {
    let (house, key, secret) = next_day();
    let client = signed_in_client(&house, &key, &secret);
    let none = OwnCommand::RemoveKey {
        fingerprint: "SHA256:none".to_owned(),
    };
    assert_eq!(reason(client.own(none)), "no-such-key");
    let own = OwnCommand::RemoveKey {
        fingerprint: key.fingerprint(),
    };
    let told = text(client.own(own));
    assert!(told.contains("1 sign-in has ended"), "{told}");
    assert_eq!(reason(client.own(OwnCommand::Status)), "not-signed-in");
    assert_eq!(
        house.client_with("root", key).offer(),
        PeopleAnswer::Useless
    );
}

#[test]
fn a_command_ends_what_was_asked_before() {
    let (house, key, secret) = next_day();
    let client = signed_in_client(&house, &key, &secret);
    client.own(OwnCommand::ChangePassword);
    client.own(OwnCommand::Status);
    let answer = client.answer(&[PASSWORD, NEW_PASSWORD, NEW_PASSWORD]);
    assert_eq!(reason(answer), "out-of-turn");
    assert!(matches!(
        client.ask(PeopleQuestion::Begin),
        PeopleAnswer::SignedIn(_)
    ));
}
