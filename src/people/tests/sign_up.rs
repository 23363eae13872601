//! Sign-up.

use super::house::{
    House, HouseKey, PASSWORD, authenticator, prompts, questions, reason, signed_in,
};
use crate::ipc::PeopleAnswer;
use crate::people::RequiredFactor;
use crate::state::StateError;

#[test]
fn a_person_signs_up_with_an_invitation_and_is_signed_in() {
    let house = House::new(RequiredFactor::Otp);
    let invitation = house.invite("alice");
    let client = house.client("signup");
    // The key is of no use before the answers.
    assert_eq!(client.offer(), PeopleAnswer::Useless);
    assert_eq!(
        prompts(client.begin()),
        ["rproxy example.com: invitation: "]
    );
    let asked = questions(client.answer(&[&invitation.to_lowercase()]));
    assert!(asked.banner.contains("alice"), "{}", asked.banner);
    let texts: Vec<_> = asked
        .prompts
        .iter()
        .map(|it| (it.text.as_str(), it.echo))
        .collect();
    assert_eq!(
        texts,
        [
            ("rproxy example.com: new password: ", false),
            ("rproxy example.com: the same again: ", false)
        ]
    );
    let asked = questions(client.answer(&[PASSWORD, PASSWORD]));
    assert_eq!(
        asked.prompts[0].text,
        "rproxy example.com: code for alice: "
    );
    assert!(asked.banner.contains('\u{2588}'), "a picture");
    let is_control = |c: char| c.is_control() && c != '\n';
    assert!(!asked.banner.contains(is_control));
    let secret = authenticator(&asked);
    let shown = questions(client.answer(&[&secret.code(house.now())]));
    assert_eq!(
        shown
            .banner
            .lines()
            .filter(|line| line.starts_with("  "))
            .count(),
        10
    );
    assert_eq!(client.answer(&[""]), PeopleAnswer::ProveKey);
    assert_eq!(client.offer(), PeopleAnswer::Usable);
    let person = signed_in(client.prove());
    assert_eq!(
        (person.name.as_str(), person.roles),
        ("alice", vec!["dba".to_owned()])
    );
    assert_eq!(person.until, house.now() + 12 * 3_600);
    assert!(person.was_asked);
    assert_eq!(
        house.audit.names(),
        [
            "user.added",
            "invitation.created",
            "invitation.spent",
            "key.registered",
            "sign_in.begun"
        ]
    );
    // The invitation is spent, and so is the code.
    let second = house.client("signup");
    second.begin();
    assert_eq!(reason(second.answer(&[&invitation])), "invitation-invalid");
    let another = house.client_with("root", client.key.clone());
    house
        .state
        .sign_ins()
        .end(
            &crate::state::SignInsOf::Id(person.id),
            crate::ipc::SignInEnd::Logout,
            house.now(),
        )
        .unwrap();
    assert_eq!(another.prove(), PeopleAnswer::AskFirst);
    another.begin();
    let answer = another.answer(&[PASSWORD, &secret.code(house.now())]);
    assert_eq!(reason(answer), "code-spent");
}

#[test]
fn an_invitation_that_is_wrong_or_has_expired_is_refused() {
    let house = House::new(RequiredFactor::Otp);
    let invitation = house.invite("alice");
    let client = house.client("signup");
    for wrong in ["", "alice", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"] {
        client.begin();
        assert_eq!(
            reason(client.answer(&[wrong])),
            "invitation-invalid",
            "{wrong:?}"
        );
    }
    let later = house.later(3_600);
    let client = later.client("signup");
    client.begin();
    assert_eq!(reason(client.answer(&[&invitation])), "invitation-invalid");
    assert_eq!(later.audit.names(), ["sign_in.failed"]);
}

#[test]
fn invitations_cannot_be_guessed_without_end() {
    let house = House::new(RequiredFactor::Otp);
    let client = house.client("signup");
    for _ in 0..50 {
        client.begin();
        assert_eq!(reason(client.answer(&["AAAA"])), "invitation-invalid");
    }
    assert_eq!(reason(client.begin()), "sign-in-throttled");
}

#[test]
fn sixteen_at_once_spend_an_invitation_once() {
    let house = House::new(RequiredFactor::Off);
    let invitation = house.invite("alice");
    let clients: Vec<_> = (0..16_u8)
        .map(|number| {
            let mut client = house.client("signup");
            client.address = format!("203.0.113.{number}:50000").parse().unwrap();
            client.begin();
            client.answer(&[&invitation]);
            assert_eq!(client.answer(&[PASSWORD, PASSWORD]), PeopleAnswer::ProveKey);
            client
        })
        .collect();
    let signed_in = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(|| client.prove()))
            .collect();
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        answers
            .filter(|answer| matches!(answer, PeopleAnswer::SignedIn(_)))
            .count()
    });
    assert_eq!(signed_in, 1);
    assert_eq!(house.fingerprints_of("alice").len(), 1);
}

#[test]
fn a_password_that_is_too_short_or_mistyped_is_asked_for_again() {
    let house = House::new(RequiredFactor::Off);
    let client = house.client("signup");
    client.begin();
    client.answer(&[&house.invite("alice")]);
    let again = questions(client.answer(&["short", "short"]));
    assert!(
        again.banner.contains("at least 12 characters"),
        "{}",
        again.banner
    );
    let again = questions(client.answer(&[PASSWORD, "correct horse batter"]));
    assert!(again.banner.contains("differ"), "{}", again.banner);
    for _ in 0..2 {
        questions(client.answer(&["short", "short"]));
    }
    assert_eq!(reason(client.answer(&["short", "short"])), "too-many-tries");
}

#[test]
fn a_sign_up_that_is_broken_off_stores_nothing() {
    let house = House::new(RequiredFactor::Otp);
    let invitation = house.invite("alice");
    let client = house.client("signup");
    client.begin();
    client.answer(&[&invitation]);
    let secret = authenticator(&questions(client.answer(&[PASSWORD, PASSWORD])));
    questions(client.answer(&[&secret.code(house.now())]));
    client.answer(&[""]);
    let user = house.admin().show("alice").unwrap().user;
    assert!(!user.password && !user.totp);
    assert_eq!(
        client.ask(crate::ipc::PeopleQuestion::Close),
        PeopleAnswer::Closed
    );
    house.client("signup").sign_up(&invitation);
}

#[test]
fn a_wrong_first_code_tells_of_clocks_and_is_asked_for_again() {
    let house = House::new(RequiredFactor::Otp);
    let client = house.client("signup");
    client.begin();
    client.answer(&[&house.invite("alice")]);
    let asked = questions(client.answer(&[PASSWORD, PASSWORD]));
    let secret = authenticator(&asked);
    let again = questions(client.answer(&[&secret.code(house.now() + 240)]));
    assert!(again.banner.contains("4 min ahead"), "{}", again.banner);
    assert_eq!(
        authenticator(&again).to_base32(),
        secret.to_base32(),
        "the same picture"
    );
    for _ in 0..3 {
        questions(client.answer(&["000000000"]));
    }
    assert_eq!(reason(client.answer(&["000000000"])), "too-many-tries");
}

#[test]
fn a_client_that_signs_once_signs_before_it_is_asked() {
    let house = House::new(RequiredFactor::Off);
    let client = house.client("signup");
    assert_eq!(client.prove(), PeopleAnswer::AskFirst);
    client.begin();
    client.answer(&[&house.invite("alice")]);
    assert_eq!(
        signed_in(client.answer(&[PASSWORD, PASSWORD])).name,
        "alice"
    );
    assert_eq!(house.fingerprints_of("alice"), [client.key.fingerprint()]);
}

#[test]
fn the_key_of_another_person_signs_nobody_up_and_spends_nothing() {
    let house = House::new(RequiredFactor::Off);
    let alice = house.client("signup");
    alice.begin();
    alice.answer(&[&house.invite("alice")]);
    alice.answer(&[PASSWORD, PASSWORD]);
    signed_in(alice.prove());
    let invitation = house.invite("bob");
    let bob = house.client_with("signup", alice.key.clone());
    bob.begin();
    bob.answer(&[&invitation]);
    assert_eq!(bob.answer(&[PASSWORD, PASSWORD]), PeopleAnswer::ProveKey);
    assert_eq!(bob.offer(), PeopleAnswer::Useless);
    assert_eq!(reason(bob.prove()), "key-of-another-user");
    let bob = house.client("signup");
    bob.begin();
    questions(bob.answer(&[&invitation]));
}

#[test]
fn where_security_keys_count_only_a_touched_one_completes_it() {
    let house = House::new(RequiredFactor::Webauthn);
    let invitation = house.invite("alice");
    let plain = house.client("signup");
    plain.begin();
    plain.answer(&[&invitation]);
    let shown = questions(plain.answer(&[PASSWORD, PASSWORD]));
    assert!(!shown.banner.contains("otpauth"), "{}", shown.banner);
    assert_eq!(plain.answer(&[""]), PeopleAnswer::ProveKey);
    assert_eq!(reason(plain.offer()), "security-key-needed");
    assert_eq!(reason(plain.prove()), "security-key-needed");
    // Another key of the same client.
    let mut touched = plain;
    touched.key = HouseKey::security();
    assert_eq!(touched.offer(), PeopleAnswer::Usable);
    signed_in(touched.prove());
}

#[test]
fn with_any_factor_an_empty_code_needs_a_security_key() {
    let house = House::new(RequiredFactor::Any);
    let invitation = house.invite("alice");
    for (key, is_enough) in [(house.client("x").key, false), (HouseKey::security(), true)] {
        let client = house.client_with("signup", key);
        client.begin();
        client.answer(&[&invitation]);
        client.answer(&[PASSWORD, PASSWORD]);
        questions(client.answer(&[""]));
        assert_eq!(client.answer(&[""]), PeopleAnswer::ProveKey);
        let answer = client.prove();
        match is_enough {
            true => drop(signed_in(answer)),
            false => assert_eq!(reason(answer), "security-key-needed"),
        }
    }
}

#[test]
fn a_locked_person_cannot_sign_up() -> Result<(), StateError> {
    let house = House::new(RequiredFactor::Off);
    let invitation = house.invite("alice");
    let client = house.client("signup");
    client.begin();
    client.answer(&[&invitation]);
    assert_eq!(client.answer(&[PASSWORD, PASSWORD]), PeopleAnswer::ProveKey);
    house.admin().lock("alice", None).unwrap();
    assert_eq!(reason(client.prove()), "user-locked");
    let client = house.client("signup");
    client.begin();
    assert_eq!(reason(client.answer(&[&invitation])), "user-locked");
    Ok(())
}

#[test]
fn a_common_password_is_refused_and_another_one_is_asked_for() {
    let house = House::new(RequiredFactor::Off);
    let invitation = house.invite("alice");
    let client = house.client("signup");
    client.begin();
    client.answer(&[&invitation]);
    let asked = questions(client.answer(&["1Qaz2wsx3edc", "1Qaz2wsx3edc"]));
    assert!(
        asked.banner.contains("this password is common"),
        "{}",
        asked.banner
    );
    assert_eq!(client.answer(&[PASSWORD, PASSWORD]), PeopleAnswer::ProveKey);
    signed_in(client.prove());
}
