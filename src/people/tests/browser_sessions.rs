//! People who sign in in a browser. The process that asks may be controlled by an attacker: it knows the
//! tokens that browsers have sent, and what people type there.

use uuid::Uuid;

use super::house::{House, HouseKey, PASSWORD, reason, signed_in, text};
use crate::ipc::{
    BrowserAccount, BrowserHosts, BrowserPasswordQuestion, BrowserPasswordRequest, BrowserSession,
    BrowserSessionAnswer, BrowserSessionQuestion, BrowserSessionRefusal,
    BrowserSessionRefusalKind as Kind, BrowserSessionRequest, OwnCommand, PeopleAnswer, SecretText,
};
use crate::people::RequiredFactor;
use crate::people::totp::OtpSecret;

pub(super) const HERE: &str = "203.0.113.7:50000";
const NEW: &str = "another horse battery";

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

/// A browser without a token.
pub(super) struct Stranger<'h> {
    house: &'h House,
    address: &'h str,
}

impl<'h> Stranger<'h> {
    pub(super) fn at(house: &'h House, address: &'h str) -> Self {
        Self { house, address }
    }

    fn ask(&self, ask: BrowserPasswordQuestion) -> BrowserSessionAnswer {
        let client = self.address.parse().unwrap();
        let request = BrowserPasswordRequest { client, ask };
        self.house.service.answer_password(&request)
    }

    fn try_to(&self, name: &str, password: &str, code: &str) -> BrowserSessionAnswer {
        self.ask(BrowserPasswordQuestion::SignIn {
            name: secret(name),
            password: secret(password),
            code: secret(code),
        })
    }

    pub(super) fn sign_in(&self, name: &str, code: &str) -> SignedIn<'h> {
        match self.try_to(name, PASSWORD, code) {
            BrowserSessionAnswer::SignedIn { token, session } => SignedIn {
                stranger: Stranger::at(self.house, self.address),
                token,
                session,
            },
            other => panic!("{other:?}"),
        }
    }
}

/// A browser with a token.
pub(super) struct SignedIn<'h> {
    stranger: Stranger<'h>,
    token: SecretText,
    session: BrowserSession,
}

impl SignedIn<'_> {
    fn ask(&self, ask: BrowserSessionQuestion) -> BrowserSessionAnswer {
        self.ask_of(self.stranger.house, ask)
    }

    fn ask_of(&self, house: &House, ask: BrowserSessionQuestion) -> BrowserSessionAnswer {
        let client = self.stranger.address.parse().unwrap();
        let token = self.token.clone();
        house
            .service
            .answer_session(&BrowserSessionRequest { client, token, ask })
    }

    fn is_live(&self) -> bool {
        match self.ask(BrowserSessionQuestion::Who) {
            BrowserSessionAnswer::Session(session) => {
                assert_eq!(session, self.session);
                true
            }
            other => {
                assert_eq!(refused(other).kind, Kind::NotSignedIn);
                false
            }
        }
    }

    fn account(&self) -> BrowserAccount {
        match self.ask(BrowserSessionQuestion::Account) {
            BrowserSessionAnswer::Account(account) => *account,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn hosts(&self, after: &str) -> BrowserHosts {
        let after = after.to_owned();
        match self.ask(BrowserSessionQuestion::Hosts { after }) {
            BrowserSessionAnswer::Hosts(hosts) => hosts,
            other => panic!("{other:?}"),
        }
    }

    fn change(&self, password: &str, code: &str, new: &str) -> BrowserSessionAnswer {
        self.stranger.ask(BrowserPasswordQuestion::ChangePassword {
            token: self.token.clone(),
            password: secret(password),
            code: secret(code),
            new: secret(new),
        })
    }
}

fn refused(answer: BrowserSessionAnswer) -> BrowserSessionRefusal {
    match answer {
        BrowserSessionAnswer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// The last event of this name, as it is written.
fn audited(house: &House, name: &str) -> String {
    let events = house.audit.0.lock().unwrap();
    let mut of_name = events
        .iter()
        .rev()
        .filter(|event| event.kind().name() == name);
    serde_json::to_string(of_name.next().unwrap()).unwrap()
}

/// A house with a person who has signed up, some time later, so that the next code is new.
pub(super) fn house_with(name: &str) -> (House, HouseKey, OtpSecret) {
    let house = House::new(RequiredFactor::Otp);
    let (key, authenticator) = house.signed_up(name);
    (house.later(60), key, authenticator)
}

pub(super) fn code(house: &House, authenticator: &OtpSecret) -> String {
    authenticator.code(house.now())
}

#[test]
fn a_person_signs_in_with_name_password_and_code_and_is_told_who_it_is() {
    let (house, _, authenticator) = house_with("alice");
    let stranger = Stranger::at(&house, HERE);
    let browser = stranger.sign_in(" ALICE ", &code(&house, &authenticator));
    assert_eq!(
        (&browser.session.name[..], browser.session.started),
        ("alice", house.now())
    );
    assert_eq!(browser.session.roles, ["dba"]);
    assert_eq!(browser.session.expires, house.now() + 12 * 3_600);
    assert!(browser.is_live());
    let line = audited(&house, "sign_in.begun");
    for part in [
        r#""via":"browser""#,
        r#""connection":null"#,
        r#""fingerprint":null"#,
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains(browser.token.expose()));
    // The state has the hash alone.
    let found = house
        .state
        .sign_ins()
        .of_token(browser.token.expose(), house.now());
    assert_eq!(found.unwrap(), None);
    // Once its time is over, nothing is left.
    let over = house.later(12 * 3_600);
    let answer = browser.ask_of(&over, BrowserSessionQuestion::Who);
    assert_eq!(refused(answer).kind, Kind::NotSignedIn);
}

#[test]
fn whatever_is_wrong_is_answered_alike_and_takes_one_hash() {
    let (house, _, authenticator) = house_with("alice");
    let right = code(&house, &authenticator);
    let stranger = Stranger::at(&house, HERE);
    let mut answers = Vec::new();
    for (name, password, code) in [
        ("nobody", PASSWORD, right.as_str()),
        ("alice", "wrong horse battery", &right),
        ("alice", PASSWORD, "000000"),
        ("alice", PASSWORD, ""),
    ] {
        let before = house.service.hashes();
        answers.push(refused(stranger.try_to(name, password, code)));
        assert_eq!(house.service.hashes(), before + 1, "{name}");
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
    assert_eq!(
        (answers[0].kind, &answers[0].reason[..]),
        (Kind::Wrong, "sign-in-wrong")
    );
    for event in house.audit.0.lock().unwrap().iter() {
        let text = serde_json::to_string(event).unwrap();
        assert!(
            !text.contains(PASSWORD) && !text.contains("wrong horse"),
            "{text}"
        );
    }
    // The code was not spent.
    stranger.sign_in("alice", &right);
}

#[test]
fn a_code_signs_in_once_and_each_sign_in_has_a_token_of_its_own() {
    let (house, _, authenticator) = house_with("alice");
    let stranger = Stranger::at(&house, HERE);
    let right = code(&house, &authenticator);
    let first = stranger.sign_in("alice", &right);
    let again = refused(stranger.try_to("alice", PASSWORD, &right));
    assert_eq!((again.kind, &again.reason[..]), (Kind::Wrong, "code-spent"));
    // Nor does it in a terminal.
    let client = house.client("alice");
    client.begin();
    client.answer(&[""]);
    assert_eq!(reason(client.answer(&[PASSWORD, &right])), "code-spent");
    let later = house.later(60);
    let second = Stranger::at(&later, HERE).sign_in("alice", &code(&later, &authenticator));
    assert_ne!(first.token, second.token);
    assert_ne!(first.session.id, second.session.id);
    assert!(first.is_live() && second.is_live());
}

#[test]
fn a_recovery_code_signs_in_once() {
    let house = House::new(RequiredFactor::Off);
    house.signed_up_without_codes("alice");
    let alice = house.state.users().get("alice").unwrap().unwrap();
    let codes = crate::people::recovery::new_recovery_codes();
    let hashes = codes
        .iter()
        .filter_map(|code| crate::people::recovery::recovery_hash(alice.id, code));
    let factor = crate::state::SecondFactor {
        totp: crate::state::TotpSecret {
            secret: OtpSecret::random().to_base32(),
            last_step: 0,
        },
        recovery: hashes.collect(),
    };
    house
        .state
        .users()
        .set_second_factor(alice.id, Some(&factor))
        .unwrap();
    let house = house.with_factor(RequiredFactor::Otp);
    let stranger = Stranger::at(&house, HERE);
    let browser = stranger.sign_in("alice", &codes[0]);
    let account = browser.account();
    assert_eq!((account.recovery_codes_left, account.has_codes), (9, true));
    let again = refused(stranger.try_to("alice", PASSWORD, &codes[0]));
    assert_eq!(again.reason, "sign-in-wrong");
}

#[test]
fn the_configuration_says_what_is_needed() {
    let (house, _, authenticator) = house_with("alice");
    let right = code(&house, &authenticator);
    let off = house.with_factor(RequiredFactor::Off);
    let browser = Stranger::at(&off, HERE).sign_in("alice", "");
    assert!(!browser.account().needs_code);
    let keys = house.with_factor(RequiredFactor::Webauthn);
    let refusal = refused(Stranger::at(&keys, HERE).try_to("alice", PASSWORD, &right));
    assert_eq!(
        (refusal.kind, &refusal.reason[..]),
        (Kind::Forbidden, "security-key-needed")
    );
    assert!(refusal.hint.unwrap().contains("ssh NAME@PROXY login"));
    // It says nothing about the account.
    let nobody = refused(Stranger::at(&keys, HERE).try_to("nobody", "wrong", ""));
    assert_eq!(nobody.reason, "security-key-needed");
}

#[test]
fn people_of_the_identity_provider_are_told_how_and_strangers_learn_nothing() {
    let house = House::with_provider(false);
    let refusal = refused(Stranger::at(&house, HERE).try_to("alice", PASSWORD, ""));
    assert_eq!(
        (refusal.kind, &refusal.reason[..]),
        (Kind::Forbidden, "no-passwords")
    );
    assert!(refusal.hint.unwrap().contains("ssh NAME@PROXY login"));
    let both = House::with_provider(true);
    let of = |name| refused(Stranger::at(&both, HERE).try_to(name, "some password", ""));
    let (nobody, other) = (of("nobody"), of("alice"));
    assert_eq!(nobody, other);
    assert!(nobody.hint.unwrap().contains("ssh NAME@PROXY login"));
}

#[test]
fn wrong_answers_count_with_those_of_ssh() {
    let (house, _, authenticator) = house_with("alice");
    let right = code(&house, &authenticator);
    let stranger = Stranger::at(&house, HERE);
    for _ in 0..5 {
        stranger.try_to("Alice", "wrong horse battery", "");
    }
    let before = house.service.hashes();
    let refusal = refused(stranger.try_to("alice", PASSWORD, &right));
    assert_eq!(
        (refusal.kind, &refusal.reason[..]),
        (Kind::Throttled(10), "sign-in-throttled")
    );
    assert_eq!(house.service.hashes(), before, "nothing is looked at");
    let line = audited(&house, "sign_in.throttled");
    assert!(line.contains(r#""via":"browser""#), "{line}");
    // The same person is not asked from there by ssh, without a key; with the key, and from elsewhere, yes.
    let client = house.client("alice");
    client.begin();
    assert_eq!(reason(client.answer(&[""])), "sign-in-throttled");
    Stranger::at(&house, "198.51.100.9:1").sign_in("alice", &right);
}

/// The process says itself where a browser is: it can claim any address.
#[test]
fn a_process_that_claims_other_addresses_gets_few_tries() {
    let (house, key, authenticator) = house_with("alice");
    let tries = (1..=60).map(|number| {
        let address = format!("198.51.{number}.1:1");
        refused(Stranger::at(&house, &address).try_to("alice", "wrong horse battery", "")).kind
    });
    let looked_at = tries.filter(|kind| *kind == Kind::Wrong).count();
    assert_eq!(looked_at, 30);
    // The person goes on, with the key, in the terminal.
    let client = house.client_with("alice", key.clone());
    signed_in(client.prove());
    client.own(OwnCommand::Logout { everywhere: false });
    house.client_with("alice", key).sign_in(&authenticator);
}

#[test]
fn locked_people_are_told_after_right_answers_only_and_their_browsers_are_out() {
    let (house, _, authenticator) = house_with("alice");
    let browser = Stranger::at(&house, HERE).sign_in("alice", &code(&house, &authenticator));
    house.admin().lock("alice", None).unwrap();
    assert!(!browser.is_live());
    let later = house.later(60);
    let stranger = Stranger::at(&later, HERE);
    let wrong = refused(stranger.try_to("alice", "wrong horse battery", ""));
    assert_eq!(wrong.reason, "sign-in-wrong");
    let right = refused(stranger.try_to("alice", PASSWORD, &code(&later, &authenticator)));
    assert_eq!(
        (right.kind, &right.reason[..]),
        (Kind::Forbidden, "user-locked")
    );
}

#[test]
fn what_ends_sign_ins_ends_browsers() {
    type End = dyn Fn(&House, &SignedIn<'_>);
    let ends: [&End; 4] = [
        &|house, _| {
            let life = std::time::Duration::from_secs(60);
            drop(house.admin().reset("alice", life).unwrap());
        },
        &|house, _| {
            house.admin().remove("alice").unwrap();
        },
        &|_, browser| {
            let all = BrowserSessionQuestion::SignOut { everywhere: true };
            assert_eq!(browser.ask(all), BrowserSessionAnswer::Done);
        },
        &|_, browser| {
            let this = BrowserSessionQuestion::SignOut { everywhere: false };
            assert_eq!(browser.ask(this), BrowserSessionAnswer::Done);
        },
    ];
    for end in ends {
        let (house, _, authenticator) = house_with("alice");
        let browser = Stranger::at(&house, HERE).sign_in("alice", &code(&house, &authenticator));
        end(&house, &browser);
        assert!(!browser.is_live());
    }
}

#[test]
fn the_terminal_shows_and_ends_browsers() {
    let (house, key, authenticator) = house_with("alice");
    let client = house.client_with("alice", key.clone());
    signed_in(client.prove());
    let later = house.later(60);
    let browser = Stranger::at(&later, HERE).sign_in("alice", &code(&later, &authenticator));
    let status = text(client.own(OwnCommand::Status));
    assert!(
        status.contains("another sign-in: in a browser\n  since"),
        "{status}"
    );
    // The key's own end leaves the browser.
    client.own(OwnCommand::Logout { everywhere: false });
    assert!(browser.is_live());
    let last = house.later(120);
    let client = last.client_with("alice", key);
    client.sign_in(&authenticator);
    let answer = client.own(OwnCommand::Logout { everywhere: true });
    assert!(matches!(answer, PeopleAnswer::Text(_)), "{answer:?}");
    assert!(!browser.is_live());
}

#[test]
fn a_changed_password_ends_all_others() {
    let (house, _, authenticator) = house_with("alice");
    let stays = Stranger::at(&house, HERE).sign_in("alice", &code(&house, &authenticator));
    let later = house.later(60);
    let goes = Stranger::at(&later, HERE).sign_in("alice", &code(&later, &authenticator));
    let last = house.later(120);
    let stays = SignedIn {
        stranger: Stranger::at(&last, HERE),
        ..stays
    };
    let right = code(&last, &authenticator);
    for (password, code, new, expected) in [
        (PASSWORD, right.as_str(), "short", "unfit-password"),
        ("wrong horse battery", &right, NEW, "sign-in-wrong"),
        (PASSWORD, "", NEW, "sign-in-wrong"),
    ] {
        assert_eq!(refused(stays.change(password, code, new)).reason, expected);
    }
    assert!(goes.is_live());
    assert_eq!(
        stays.change(PASSWORD, &right, NEW),
        BrowserSessionAnswer::Done
    );
    assert!(stays.is_live() && !goes.is_live());
    let line = audited(&last, "password.changed");
    assert!(line.contains(r#""via":"browser""#), "{line}");
    let nobody = SignedIn {
        token: secret(&"0".repeat(64)),
        ..stays
    };
    let refusal = refused(nobody.change(NEW, &right, PASSWORD));
    assert_eq!(refusal.kind, Kind::NotSignedIn);
}

#[test]
fn nobody_reads_or_ends_what_is_another_persons() {
    let (house, alices_key, authenticator) = house_with("alice");
    let (bobs_key, bobs) = house.signed_up("bob");
    let alice = Stranger::at(&house, HERE).sign_in("alice", &code(&house, &authenticator));
    let later = house.later(60);
    let bob = Stranger::at(&later, HERE).sign_in("bob", &code(&later, &bobs));
    let account = bob.account();
    assert_eq!(account.keys.len(), 1);
    assert_eq!(account.keys[0].fingerprint, bobs_key.fingerprint());
    assert!(
        account
            .sign_ins
            .iter()
            .all(|one| one.id != alice.session.id)
    );
    let this: Vec<_> = account.sign_ins.iter().filter(|one| one.is_this).collect();
    assert_eq!((this.len(), this[0].id), (1, bob.session.id));
    let end = |id| refused(bob.ask(BrowserSessionQuestion::EndSignIn { id }));
    for id in [alice.session.id, Uuid::nil()] {
        assert_eq!(
            (end(id).kind, &end(id).reason[..]),
            (Kind::Missing, "no-such-sign-in")
        );
    }
    let remove = |fingerprint: String| bob.ask(BrowserSessionQuestion::RemoveKey { fingerprint });
    for fingerprint in [alices_key.fingerprint(), String::new(), "%".to_owned()] {
        assert_eq!(refused(remove(fingerprint)).kind, Kind::Missing);
    }
    assert!(alice.is_live());
    assert_eq!(house.fingerprints_of("alice"), [alices_key.fingerprint()]);
    // The person's own can be ended, and the key's sign-ins with it.
    let with_key = account
        .sign_ins
        .iter()
        .find(|one| one.fingerprint.is_some())
        .unwrap();
    assert_eq!(remove(bobs_key.fingerprint()), BrowserSessionAnswer::Done);
    assert_eq!(end(with_key.id).kind, Kind::Missing);
    let id = bob.session.id;
    assert_eq!(
        bob.ask(BrowserSessionQuestion::EndSignIn { id }),
        BrowserSessionAnswer::Done
    );
    assert!(!bob.is_live());
}

#[test]
fn a_token_that_nobody_has_gets_nothing() {
    let (house, _, authenticator) = house_with("alice");
    let browser = Stranger::at(&house, HERE).sign_in("alice", &code(&house, &authenticator));
    let hash = "a".repeat(64);
    let id = browser.session.id;
    for text in [
        "",
        "x",
        &hash,
        &id.to_string(),
        &"9".repeat(4_000),
        "' OR 1=1 --",
    ] {
        let thief = SignedIn {
            stranger: Stranger::at(&house, HERE),
            token: secret(text),
            session: browser.session.clone(),
        };
        for ask in [
            BrowserSessionQuestion::Who,
            BrowserSessionQuestion::Account,
            BrowserSessionQuestion::Hosts {
                after: String::new(),
            },
            BrowserSessionQuestion::SignOut { everywhere: true },
            BrowserSessionQuestion::EndSignIn { id },
            BrowserSessionQuestion::RemoveKey {
                fingerprint: String::new(),
            },
        ] {
            assert_eq!(refused(thief.ask(ask)).kind, Kind::NotSignedIn, "{text:?}");
        }
    }
    assert!(browser.is_live());
}

/// A browser is no key: what it knows opens no connection of ssh.
#[test]
fn a_browsers_sign_in_is_worth_nothing_for_ssh() {
    let (house, key, authenticator) = house_with("alice");
    Stranger::at(&house, HERE).sign_in("alice", &code(&house, &authenticator));
    let later = house.later(12 * 3_600 - 90);
    // That of the sign-up is over for this key, and the browser's is not.
    let over = later.later(60);
    let client = over.client_with("alice", key);
    assert_eq!(client.prove(), PeopleAnswer::AskFirst);
    assert_eq!(reason(client.certificate("postgres")), "not-signed-in");
}
