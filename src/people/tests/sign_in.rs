//! Sign-in of people who have signed up.

use super::house::{House, HouseKey, PASSWORD, prompts, questions, reason, refusal, signed_in};
use crate::cert::testing::ed25519;
use crate::ipc::{PeopleAnswer, PeopleQuestion, SecretText};
use crate::people::RequiredFactor;
use crate::people::totp::OtpSecret;
use crate::state::testing::statements;

/// Alice, signed up and with no sign-in any more: it is the next day.
fn alice(factor: RequiredFactor) -> (House, HouseKey, OtpSecret) {
    let house = House::new(RequiredFactor::Otp);
    let (key, secret) = house.signed_up("alice");
    let house = house.with_factor(factor).later(13 * 3_600);
    (house, key, secret)
}

#[test]
fn a_registered_key_is_asked_for_password_and_code_and_then_not_for_twelve_hours() {
    let (house, key, secret) = alice(RequiredFactor::Otp);
    let client = house.client_with("root", key.clone());
    assert_eq!(client.offer(), PeopleAnswer::Usable);
    assert_eq!(client.prove(), PeopleAnswer::AskFirst);
    assert_eq!(
        prompts(client.begin()),
        [
            "rproxy example.com: password for alice: ",
            "rproxy example.com: code for alice: "
        ]
    );
    let code = secret.code(house.now());
    assert!(signed_in(client.answer(&[PASSWORD, &code])).was_asked);
    for (seconds, is_asked) in [(0, false), (12 * 3_600 - 1, false), (12 * 3_600, true)] {
        let house = house.later(seconds);
        let answer = house.client_with("app", key.clone()).prove();
        match is_asked {
            true => assert_eq!(answer, PeopleAnswer::AskFirst),
            false => assert!(!signed_in(answer).was_asked),
        }
    }
}

#[test]
fn an_unknown_key_is_of_no_use_before_the_answers_and_is_registered_after_them() {
    let (house, _, secret) = alice(RequiredFactor::Otp);
    let client = house.client("alice");
    assert_eq!(client.offer(), PeopleAnswer::Useless);
    assert_eq!(
        prompts(client.begin()),
        ["rproxy example.com: your name [alice]: "]
    );
    let asked = prompts(client.answer(&[""]));
    assert_eq!(asked[0], "rproxy example.com: password for alice: ");
    let answer = client.answer(&[PASSWORD, &secret.code(house.now())]);
    assert_eq!(answer, PeopleAnswer::ProveKey);
    assert_eq!(client.offer(), PeopleAnswer::Usable);
    signed_in(client.prove());
    assert_eq!(house.audit.names(), ["key.registered", "sign_in.begun"]);
    assert!(
        house
            .fingerprints_of("alice")
            .contains(&client.key.fingerprint())
    );
}

#[test]
fn a_name_that_nobody_has_is_asked_the_same() {
    let (house, _, _) = alice(RequiredFactor::Otp);
    for name in ["alice", "bob", "no such name!", "\u{1b}[2J"] {
        let client = house.client("deploy");
        assert_eq!(
            prompts(client.begin()),
            ["rproxy example.com: your name [deploy]: "]
        );
        let asked = questions(client.answer(&[name]));
        assert_eq!(asked.prompts.len(), 2);
        assert!(!asked.prompts[0].text.contains(char::is_control));
        let refused = refusal(client.answer(&["wrong password", "000000"]));
        assert_eq!(refused.reason, "sign-in-wrong");
        assert_eq!(refused.message, "the password or the code is wrong");
        assert!(!refused.is_final);
    }
    let audited = format!("{:?}", house.audit.0.lock().unwrap());
    assert!(
        !audited.contains("bob"),
        "what was typed is in no log: {audited}"
    );
    assert!(!audited.contains("wrong password"));
}

#[test]
fn wrong_answers_are_refused_and_throttled_the_same_for_every_name() {
    let (house, _, secret) = alice(RequiredFactor::Otp);
    for name in ["alice", "bob"] {
        let client = house.client(name);
        for _ in 0..5 {
            client.begin();
            client.answer(&[""]);
            let refused = refusal(client.answer(&["wrong password", "000000"]));
            assert_eq!(refused.reason, "sign-in-wrong");
        }
        client.begin();
        let refused = refusal(client.answer(&[""]));
        assert_eq!(refused.reason, "sign-in-throttled", "{name}");
        assert!(refused.is_final);
        assert!(refused.message.contains("10s"), "{}", refused.message);
    }
    // Right answers do not help before the time.
    let later = house.later(10);
    let client = later.client("alice");
    client.begin();
    client.answer(&[""]);
    let answer = client.answer(&[PASSWORD, &secret.code(later.now())]);
    assert_eq!(answer, PeopleAnswer::ProveKey);
}

#[test]
fn an_attacker_does_not_lock_out_the_key_of_the_person() {
    let (house, key, secret) = alice(RequiredFactor::Otp);
    for number in 0..40_u8 {
        let mut attacker = house.client("alice");
        attacker.address = format!("198.51.100.{number}:1").parse().unwrap();
        attacker.begin();
        attacker.answer(&[""]);
        attacker.answer(&["wrong password", "000000"]);
    }
    let mut client = house.client_with("root", key);
    client.address = "192.0.2.77:1".parse().unwrap();
    client.sign_in(&secret);
}

#[test]
fn a_client_without_a_terminal_is_not_counted() {
    let (house, key, secret) = alice(RequiredFactor::Otp);
    let client = house.client_with("root", key);
    client.prove();
    for _ in 0..20 {
        client.begin();
        assert_eq!(reason(client.answer(&["", ""])), "sign-in-wrong");
    }
    client.sign_in(&secret);
}

#[test]
fn a_code_counts_once_and_clocks_that_differ_are_told() {
    let (house, key, secret) = alice(RequiredFactor::Otp);
    let client = house.client_with("root", key.clone());
    client.prove();
    let answer = |code: &str| {
        client.begin();
        refusal(client.answer(&[PASSWORD, code]))
    };
    let off = answer(&secret.code(house.now() - 180));
    assert_eq!(off.reason, "clock-off");
    assert!(off.message.contains("3 min behind"), "{}", off.message);
    // It is told to those with the right password only.
    client.begin();
    let code = secret.code(house.now() - 180);
    assert_eq!(
        reason(client.answer(&["wrong password", &code])),
        "sign-in-wrong"
    );
    client.sign_in(&secret);
    let second = house.client("alice");
    second.begin();
    second.answer(&[""]);
    let answer = second.answer(&[PASSWORD, &secret.code(house.now())]);
    assert_eq!(reason(answer), "code-spent");
}

#[test]
fn sixteen_at_once_spend_a_code_once() {
    let (house, _, secret) = alice(RequiredFactor::Otp);
    let code = secret.code(house.now());
    let clients: Vec<_> = (0..16_u8)
        .map(|number| {
            let mut client = house.client("alice");
            client.address = format!("203.0.113.{number}:1").parse().unwrap();
            client.begin();
            client.answer(&[""]);
            client
        })
        .collect();
    let right = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(|| client.answer(&[PASSWORD, &code])))
            .collect();
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        answers
            .filter(|answer| *answer == PeopleAnswer::ProveKey)
            .count()
    });
    assert_eq!(right, 1);
}

#[test]
fn a_recovery_code_works_once_in_place_of_a_code() {
    let house = House::new(RequiredFactor::Otp);
    let client = house.client("signup");
    client.begin();
    client.answer(&[&house.invite("alice")]);
    let asked = questions(client.answer(&[PASSWORD, PASSWORD]));
    let secret = super::house::authenticator(&asked);
    let shown = questions(client.answer(&[&secret.code(house.now())])).banner;
    let codes: Vec<_> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .collect();
    assert_eq!(codes.len(), 10);
    client.answer(&[""]);
    client.prove();
    let house = house.later(13 * 3_600);
    let client = house.client_with("root", client.key.clone());
    client.prove();
    for (code, is_right) in [(codes[3], true), (codes[3], false), (codes[4], true)] {
        client.begin();
        let answer = client.answer(&[PASSWORD, code]);
        match is_right {
            true => drop(signed_in(answer)),
            false => assert_eq!(reason(answer), "sign-in-wrong"),
        }
        let person = house.admin().show("alice").unwrap().user.id;
        let which = crate::state::SignInsOf::User(person);
        let logout = crate::ipc::SignInEnd::Logout;
        house
            .state
            .sign_ins()
            .end(&which, logout, house.now())
            .unwrap();
    }
}

#[test]
fn a_locked_person_is_refused_and_the_key_is_of_no_use() {
    let (house, key, secret) = alice(RequiredFactor::Otp);
    let before = house.client_with("root", key.clone());
    before.prove();
    before.begin();
    house.admin().lock("alice", None).unwrap();
    let code = secret.code(house.now());
    assert_eq!(reason(before.answer(&[PASSWORD, &code])), "user-locked");
    let after = house.client_with("root", key);
    assert_eq!(after.offer(), PeopleAnswer::Useless);
    // Only all right answers tell it: of a password alone it is not told whether it is right.
    let next = secret.code(house.now() + 30);
    for wrong in [["wrong password", &next], [PASSWORD, "000000"]] {
        after.begin();
        after.answer(&["alice"]);
        assert_eq!(reason(after.answer(&wrong)), "sign-in-wrong");
    }
}

#[test]
fn a_touched_security_key_is_a_second_factor_where_it_counts() {
    let house = House::new(RequiredFactor::Any);
    let client = house.client_with("signup", HouseKey::security());
    client.begin();
    client.answer(&[&house.invite("alice")]);
    client.answer(&[PASSWORD, PASSWORD]);
    client.answer(&[""]);
    client.answer(&[""]);
    signed_in(client.prove());
    let house = house.later(13 * 3_600);
    for (factor, asked) in [
        (RequiredFactor::Any, 1),
        (RequiredFactor::Webauthn, 1),
        (RequiredFactor::Otp, 2),
        (RequiredFactor::Off, 1),
    ] {
        let house = house.with_factor(factor);
        let client = house.client_with("root", client.key.clone());
        assert_eq!(client.prove(), PeopleAnswer::AskFirst);
        assert_eq!(prompts(client.begin()).len(), asked, "{factor:?}");
    }
    let client = house.client_with("root", client.key.clone());
    client.prove();
    client.begin();
    signed_in(client.answer(&[PASSWORD]));
}

#[test]
fn where_only_security_keys_count_another_key_is_not_enough() {
    let (house, key, secret) = alice(RequiredFactor::Webauthn);
    let client = house.client_with("root", key);
    assert_eq!(client.prove(), PeopleAnswer::AskFirst);
    assert_eq!(reason(client.begin()), "security-key-needed");
    // The password alone registers no new one, and codes of an authenticator do not count.
    let client = house.client_with("alice", HouseKey::security());
    client.begin();
    client.answer(&["alice"]);
    let answer = client.answer(&[PASSWORD, &secret.code(house.now())]);
    assert_eq!(reason(answer), "sign-in-wrong");
}

#[test]
fn a_person_whose_password_has_an_old_hash_gets_a_new_one() {
    let (house, key, secret) = alice(RequiredFactor::Otp);
    let person = house.admin().show("alice").unwrap().user.id;
    let users = house.state.users();
    let today = users.password_hash(person).unwrap().unwrap();
    let old = crate::people::password::Passwords::fast_and_old()
        .hash(PASSWORD)
        .unwrap();
    users.replace_hash(person, &today, &old).unwrap();
    house.client_with("root", key).sign_in(&secret);
    let hash = users.password_hash(person).unwrap().unwrap();
    assert!(hash.contains("m=16,"), "{hash:?}");
    assert_eq!(house.admin().show("alice").unwrap().sign_ins.len(), 1);
}

#[test]
fn a_key_that_is_weak_or_no_plain_key_is_of_no_use() {
    let (house, _, _) = alice(RequiredFactor::Otp);
    let client = house.client("alice");
    let certificate = crate::cert::testing::CertSpec::user(&ed25519()).sign(&ed25519());
    for key in [
        Vec::new(),
        b"ssh-dss".to_vec(),
        certificate.to_bytes().unwrap(),
    ] {
        let answer = client.ask(PeopleQuestion::Key { key });
        assert_eq!(answer, PeopleAnswer::Useless);
    }
}

/// When many people sign in at once, answers wait for their turn, and codes count for the moment at which
/// they were given. No process is believed that they waited for longer than a client may take.
#[test]
fn a_code_counts_for_the_moment_at_which_it_was_given() {
    let (house, key, secret) = alice(RequiredFactor::Otp);
    let house = house.later(3_600);
    for (age, waited, expected) in [
        (200, 0, "clock-off"),
        (200, 200, ""),
        (400, 400, "clock-off"),
    ] {
        let person = house.admin().show("alice").unwrap().user.id;
        let (which, logout) = (
            crate::state::SignInsOf::User(person),
            crate::ipc::SignInEnd::Logout,
        );
        house
            .state
            .sign_ins()
            .end(&which, logout, house.now())
            .unwrap();
        let client = house.client_with("root", key.clone());
        client.prove();
        client.begin();
        let code = secret.code(house.now() - age);
        let answers = [PASSWORD, &code].map(|text| SecretText::new(text.to_owned()));
        let answer = client.ask_after(waited, PeopleQuestion::Answer(answers.into()));
        match expected {
            "" => drop(signed_in(answer)),
            refused => assert!(reason(answer).contains(refused), "{age} {waited}"),
        }
    }
}

/// People who share an address hold none of them up: those with a registered key are counted by it, and
/// invitations are counted by the address, as far as they were wrong.
#[test]
fn many_people_behind_one_address_sign_up_and_sign_in() {
    let house = House::new(RequiredFactor::Otp);
    let names: Vec<_> = (0..40).map(|number| format!("user{number}")).collect();
    let invitations: Vec<_> = names.iter().map(|name| house.invite(name)).collect();
    // Some mistype theirs.
    for _ in 0..10 {
        let client = house.client("signup");
        client.begin();
        assert_eq!(reason(client.answer(&["mistyped"])), "invitation-invalid");
    }
    let signed_up: Vec<_> = std::thread::scope(|scope| {
        let sign_up = |invitation: &String| {
            let client = house.client("signup");
            let secret = client.sign_up(invitation);
            (client.key, secret)
        };
        let threads: Vec<_> = invitations
            .iter()
            .map(|invitation| scope.spawn(move || sign_up(invitation)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let house = house.later(13 * 3_600);
    // Somebody there guesses at many accounts, until the address has to wait.
    for number in 0..60 {
        let client = house.client(&format!("guess{number}"));
        client.begin();
        client.answer(&[""]);
        client.answer(&["wrong password", "000000"]);
    }
    std::thread::scope(|scope| {
        for (key, secret) in &signed_up {
            let house = &house;
            scope.spawn(move || house.client_with("root", key.clone()).sign_in(secret));
        }
    });
}

/// What a sign-in and what a login of a user who is signed in cost the state: statements, and changes, each
/// of which waits for the disk. `benches/README.md` has the numbers too.
#[test]
fn a_login_of_a_user_who_is_signed_in_changes_nothing_in_the_state() {
    let (house, key, secret) = alice(RequiredFactor::Otp);
    let client = house.client_with("root", key.clone());
    let (_, statements, changes) = statements::count(|| {
        client.offer();
        client.sign_in(&secret)
    });
    assert_eq!((statements, changes), (21, 4));
    let client = house.client_with("root", key);
    let (_, statements, changes) = statements::count(|| {
        client.offer();
        signed_in(client.prove());
        client.certificate("postgres")
    });
    assert_eq!((statements, changes), (5, 0));
}
