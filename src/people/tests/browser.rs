//! Sign-in with a browser: the way there and back, and everything that is no way.

use std::sync::Barrier;
use std::time::Duration;

use super::house::{House, HouseKey, PASSWORD, prompts, questions, reason, refusal, signed_in};
use super::provider::{ALICE, MALLORY, ORIGIN, PersonThere, code, refused, ticket};
use crate::ipc::{BrowserAnswer, OwnCommand, PeopleAnswer};
use crate::oidc::ProviderError;
use crate::people::AdminError;

const WRONG: &str = "2222-2222";

/// Signs in as a person whom the provider vouches for; gives the key.
fn key_of(house: &House, person: PersonThere) -> HouseKey {
    let client = house.client("deploy");
    let code = house.code_for(&client.link(), person);
    assert_eq!(client.answer(&[&code]), PeopleAnswer::ProveKey);
    signed_in(client.prove());
    client.own(OwnCommand::Logout { everywhere: true });
    client.key
}

#[test]
fn a_person_signs_in_with_a_browser_and_a_key() {
    let house = House::with_provider(false);
    let client = house.client("deploy");
    assert_eq!(client.offer(), PeopleAnswer::Useless);
    let asked = questions(client.begin());
    let ticket = ticket(&asked.banner);
    let expected = format!(
        "Open this link in a browser and sign in:\n\n  {ORIGIN}/webapi/oidc/login/{ticket}\n"
    );
    assert_eq!(asked.banner, expected);
    let [prompt] = &asked.prompts[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(prompt.text, "rproxy example.com: code from the browser: ");
    assert!(prompt.echo);
    let code = house.code_for(&ticket, ALICE);
    // Case, dashes and blanks do not count.
    let typed = code.to_lowercase().replace('-', " ");
    assert_eq!(client.answer(&[&typed]), PeopleAnswer::ProveKey);
    assert_eq!(client.offer(), PeopleAnswer::Usable);
    let present = signed_in(client.prove());
    assert_eq!((present.name.as_str(), present.was_asked), ("alice", true));
    assert_eq!(present.roles, ["dba"]);
    assert!(matches!(
        client.certificate("postgres"),
        PeopleAnswer::Certificate(_)
    ));
    let details = house.admin().show("alice").unwrap();
    let provider = details.user.provider.unwrap();
    assert_eq!(provider.subject, ALICE.subject);
    assert!(!details.user.password && !details.user.totp);
    let names = house.audit.names();
    let expected = [
        "authorization.begun",
        "authorization.opened",
        "authorization.answered",
        "user.provided",
        "key.registered",
        "sign_in.begun",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_known_key_is_followed_by_a_link_and_the_provider_says_which_roles() {
    let house = House::with_provider(false);
    let key = key_of(&house, ALICE);
    let client = house.client_with("root", key.clone());
    assert_eq!(client.prove(), PeopleAnswer::AskFirst);
    let promoted = PersonThere {
        name: "alice.a",
        roles: "dba,ops",
        ..ALICE
    };
    let code = house.code_for(&client.link(), promoted);
    let present = signed_in(client.answer(&[&code]));
    assert_eq!(present.name, "alice.a");
    assert_eq!(present.roles, ["dba", "ops"]);
    assert_eq!(house.fingerprints_of("alice.a"), [key.fingerprint()]);
    let provided = house.audit.names().into_iter();
    assert_eq!(provided.filter(|name| *name == "user.provided").count(), 2);
    // As long as the sign-in is live, the key alone is enough.
    let again = PeopleAnswer::SignedIn(crate::ipc::SignedIn {
        was_asked: false,
        ..present
    });
    assert_eq!(house.client_with("root", key).prove(), again);
}

/// Who sends the link of their own terminal to another person, and who opens the link of another.
#[test]
fn who_has_only_the_link_or_only_the_terminal_gets_nothing() {
    let house = House::with_provider(false);
    // Mallory's terminal, and a link that alice opens and signs in with.
    let (mallory, alice) = (house.client("mallory"), house.client("alice"));
    let sent = mallory.link();
    let shown = house.code_for(&sent, ALICE);
    // The code counts in Mallory's terminal alone: alice does not type it there.
    let own = alice.link();
    questions(alice.answer(&[&shown]));
    for _ in 0..4 {
        assert_eq!(
            prompts(mallory.answer(&[WRONG])).len(),
            1,
            "asked for a right one"
        );
    }
    let ended = refusal(mallory.answer(&[WRONG]));
    assert_eq!(
        (ended.reason.as_str(), ended.is_final),
        ("too-many-tries", true)
    );
    assert_eq!(reason(mallory.answer(&[&shown])), "out-of-turn");
    assert_eq!(mallory.prove(), PeopleAnswer::AskFirst);
    // Mallory opens the link of alice's terminal: the code is of no use in Mallory's own one.
    let seen = house.code_for(&own, MALLORY);
    let mallory = house.client("mallory");
    let link = mallory.link();
    questions(mallory.answer(&[&seen]));
    house.follow(&link);
    questions(mallory.answer(&[&seen]));
    assert!(house.admin().list().unwrap().is_empty());
    // Alice would be signed in as Mallory if she typed a code that was told to her; a key of hers that
    // is known is not.
}

#[test]
fn a_known_key_signs_in_no_other_account() {
    let house = House::with_provider(false);
    let key = key_of(&house, ALICE);
    let client = house.client_with("alice", key.clone());
    client.prove();
    let code = house.code_for(&client.link(), MALLORY);
    let refused = refusal(client.answer(&[&code]));
    assert_eq!(
        (refused.reason.as_str(), refused.is_final),
        ("other-account", true)
    );
    assert!(refused.message.contains("alice"), "{refused:?}");
    assert_eq!(house.admin().list().unwrap().len(), 1);
    // The key proves itself only after the code.
    let client = house.client_with("alice", key);
    let code = house.code_for(&client.link(), MALLORY);
    assert_eq!(client.answer(&[&code]), PeopleAnswer::ProveKey);
    assert_eq!(client.offer(), PeopleAnswer::Useless);
    assert_eq!(reason(client.prove()), "key-of-another-user");
}

#[test]
fn a_code_is_right_within_five_tries() {
    let house = House::with_provider(false);
    let client = house.client("alice");
    let link = client.link();
    for (typed, note) in [
        ("", "after you have signed in"),
        (WRONG, "after you have signed in"),
        ("nothing of the kind", "after you have signed in"),
    ] {
        let asked = questions(client.answer(&[typed]));
        assert!(asked.banner.contains(note), "{asked:?}");
    }
    let code = house.code_for(&link, ALICE);
    let asked = questions(client.answer(&[WRONG]));
    assert!(asked.banner.contains("not the code"), "{asked:?}");
    assert_eq!(client.answer(&[&code]), PeopleAnswer::ProveKey);
    // It was spent by that.
    assert_eq!(reason(client.answer(&[&code])), "out-of-turn");

    let client = house.client("alice");
    let link = client.link();
    let code = house.code_for(&link, ALICE);
    for _ in 0..4 {
        questions(client.answer(&[WRONG]));
    }
    assert_eq!(reason(client.answer(&[WRONG])), "too-many-tries");
    assert_eq!(reason(client.answer(&[&code])), "out-of-turn");
    refused(house.open(&link));
    let failures = house.audit.names().into_iter();
    let failures = failures.filter(|name| *name == "sign_in.failed").count();
    assert_eq!(failures, 4 + 5);
}

#[test]
fn a_browser_comes_back_once_with_its_own_state() {
    let house = House::with_provider(false);
    let (one, other) = (house.client("alice"), house.client("bob"));
    let (link, other_link) = (one.link(), other.link());
    // A link can be opened again: what a browser fetches ahead spends nothing.
    let first = house.follow(&link);
    let there = house.follow(&link);
    assert_eq!(first.state, there.state);
    let other_there = house.follow(&other_link);
    assert_ne!(there.state, other_there.state);
    // What the provider has given for one authorization is of no use for another.
    let crossed = there.with_state_of(&other_there).signed_in(MALLORY);
    let told = refused(house.browse(crossed));
    assert!(told.message.contains("nonce"), "{told:?}");
    refused(house.browse(other_there.signed_in(ALICE)));
    let (code, _) = code(house.browse(there.signed_in(ALICE)));
    let told = refused(house.browse(there.signed_in(ALICE)));
    assert!(told.message.contains("was used"), "{told:?}");
    refused(house.open(&link));
    for wrong in ["", "0000", "../../../etc/passwd", &"A".repeat(4_096)] {
        refused(house.open(wrong));
    }
    assert_eq!(one.answer(&[&code]), PeopleAnswer::ProveKey);
    let asked = questions(other.answer(&[&code]));
    assert!(asked.banner.contains("shows no code"), "{asked:?}");
    let events = house.audit.names();
    let refusals = events
        .iter()
        .filter(|name| **name == "authorization.refused");
    assert_eq!(refusals.count(), 8);
}

#[test]
fn a_browser_that_comes_back_sixteen_times_at_once_gets_one_code() {
    let house = House::with_provider(false);
    let client = house.client("alice");
    let there = house.follow(&client.link());
    let barrier = Barrier::new(16);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let come_back = || {
            barrier.wait();
            house.browse(there.signed_in(ALICE))
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(come_back)).collect();
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        answers.collect()
    });
    let mut codes = answers.into_iter();
    let answer = codes.find(|answer| matches!(answer, BrowserAnswer::Code { .. }));
    assert!(codes.all(|answer| !matches!(answer, BrowserAnswer::Code { .. })));
    assert_eq!(house.provider.as_ref().unwrap().redeemed(), 1);
    let (code, _) = code(answer.unwrap());
    assert_eq!(client.answer(&[&code]), PeopleAnswer::ProveKey);
}

/// The browser comes back to another proxy with the same state, or after a restart.
#[test]
fn a_browser_may_come_back_elsewhere() {
    let house = House::with_provider(false);
    let client = house.client("alice");
    let link = client.link();
    let elsewhere = house.later(1);
    let there = elsewhere.follow(&link);
    let (code, _) = code(house.later(2).browse(there.signed_in(ALICE)));
    assert_eq!(client.answer(&[&code]), PeopleAnswer::ProveKey);
    signed_in(client.prove());
}

#[test]
fn a_link_and_its_code_are_of_use_for_five_minutes() {
    let house = House::with_provider(false);
    let (late, later) = (house.client("alice"), house.client("bob"));
    let (link, other) = (late.link(), later.link());
    let there = house.follow(&link);
    let over = house.later(300);
    for answer in [over.open(&link), over.browse(there.signed_in(ALICE))] {
        assert!(refused(answer).hint.unwrap().contains("connect again"));
    }
    let almost = house.later(299);
    let code = almost.code_for(&other, ALICE);
    let waiting = over.client("bob");
    waiting.link();
    questions(waiting.answer(&[&code]));
    assert!(house.admin().list().unwrap().is_empty());
}

#[test]
fn links_that_wait_are_bounded_for_each_source() {
    let house = House::with_provider(false);
    for _ in 0..50 {
        house.client("alice").link();
    }
    let refused = refusal(house.client("alice").begin());
    assert_eq!(
        (refused.reason.as_str(), refused.is_final),
        ("too-many-links", true)
    );
    // Another address is served, and the next link of a conversation takes the place of the one before.
    let mut elsewhere = house.client("alice");
    elsewhere.address = "203.0.113.8:50000".parse().unwrap();
    for _ in 0..60 {
        elsewhere.link();
    }
    house.later(300).client("alice").link();
}

#[test]
fn who_the_provider_vouches_for_may_still_be_refused() {
    let house = House::with_provider(true);
    house.invite("bob");
    for (person, said) in [
        (PersonThere { roles: "", ..ALICE }, "no role"),
        (
            PersonThere {
                name: "Bob",
                ..ALICE
            },
            "another user",
        ),
        // The configuration gives roles to this name.
        (
            PersonThere {
                name: "configured",
                ..ALICE
            },
            "another user",
        ),
        (
            PersonThere {
                name: "alice smith",
                ..ALICE
            },
            "cannot be a user's",
        ),
        (
            PersonThere {
                name: "signup",
                ..ALICE
            },
            "cannot be a user's",
        ),
    ] {
        let client = house.client("alice");
        client.begin();
        let link = ticket(&questions(client.answer(&["browser"])).banner);
        let there = house.follow(&link);
        let told = refused(house.browse(there.signed_in(person)));
        assert!(told.message.contains(said), "{person:?}: {told:?}");
        assert!(told.hint.is_some(), "{told:?}");
    }
    assert_eq!(house.admin().list().unwrap().len(), 1);
}

#[test]
fn a_locked_person_stays_locked_and_a_removed_one_is_new() {
    let house = House::with_provider(false);
    let key = key_of(&house, ALICE);
    let first = house.admin().show("alice").unwrap().user.id;
    // Locked between the browser and the terminal.
    let client = house.client("alice");
    let code = house.code_for(&client.link(), ALICE);
    house.admin().lock("alice", None).unwrap();
    assert_eq!(reason(client.answer(&[&code])), "user-locked");
    let client = house.client_with("alice", key.clone());
    assert_eq!(client.offer(), PeopleAnswer::Useless);
    let there = house.follow(&client.link());
    let told = refused(house.browse(there.signed_in(ALICE)));
    assert!(told.message.contains("locked"), "{told:?}");
    house.admin().remove("alice").unwrap();
    let again = house.client_with("alice", key);
    let code = house.code_for(&again.link(), ALICE);
    assert_eq!(again.answer(&[&code]), PeopleAnswer::ProveKey);
    signed_in(again.prove());
    assert_ne!(house.admin().show("alice").unwrap().user.id, first);
}

#[test]
fn a_name_that_was_taken_meanwhile_changes_nothing() {
    let house = House::with_provider(true);
    let client = house.client("x");
    client.begin();
    let link = ticket(&questions(client.answer(&["browser"])).banner);
    let code = house.code_for(&link, ALICE);
    house.invite("alice");
    let refused = refusal(client.answer(&[&code]));
    assert_eq!(refused.reason, "name-taken");
    assert!(refused.hint.unwrap().contains("rproxy users rm alice"));
    // A person who was here before keeps the old name.
    let bob = PersonThere {
        subject: "1002",
        name: "bob",
        roles: "dba",
    };
    let client = house.client("x");
    client.begin();
    let link = ticket(&questions(client.answer(&["Browser"])).banner);
    let code = house.code_for(&link, bob);
    client.answer(&[&code]);
    signed_in(client.prove());
    client.own(OwnCommand::Logout { everywhere: true });
    let again = house.client_with("x", client.key.clone());
    again.prove();
    let renamed = PersonThere {
        name: "alice",
        ..bob
    };
    let there = house.follow(&again.link());
    let (code, _) = code_of(house.browse(there.signed_in(renamed)));
    assert_eq!(signed_in(again.answer(&[&code])).name, "bob");
}

fn code_of(answer: BrowserAnswer) -> (String, String) {
    code(answer)
}

#[test]
fn a_provider_that_cannot_be_used_keeps_new_sign_ins_out_and_no_others() {
    let house = House::with_provider(false);
    let provider = house.provider.clone().unwrap();
    let client = house.client("alice");
    let code = house.code_for(&client.link(), ALICE);
    client.answer(&[&code]);
    signed_in(client.prove());
    let there = house.follow(&house.client("bob").link());
    let host = "id.example.com:443".to_owned();
    for (fault, said) in [
        (
            ProviderError::Unreachable {
                host: host.clone(),
                reason: "Connection refused".to_owned(),
            },
            "cannot be reached",
        ),
        (ProviderError::Clock { seconds: 130 }, "2m10s behind"),
    ] {
        provider.fails(fault);
        let refused = refusal(house.client("bob").begin());
        assert!(
            refused.is_final && refused.message.contains(said),
            "{refused:?}"
        );
    }
    let told = refused(house.browse(there.signed_in(ALICE)));
    assert!(told.message.contains("2m10s behind"), "{told:?}");
    // Who is signed in stays in.
    assert!(matches!(
        client.certificate("postgres"),
        PeopleAnswer::Certificate(_)
    ));
    let again = house.client_with("root", client.key.clone());
    signed_in(again.prove());
}

#[test]
fn a_person_who_refuses_there_reads_so() {
    let house = House::with_provider(false);
    let client = house.client("alice");
    let there = house.follow(&client.link());
    let mut back = there.signed_in(ALICE);
    if let crate::ipc::BrowserQuestion::Returned { code, error, .. } = &mut back {
        *code = None;
        *error = Some("access_denied".to_owned());
    }
    let told = refused(house.browse(back));
    assert!(told.message.contains("refused"), "{told:?}");
    refused(house.browse(there.signed_in(ALICE)));
    let asked = questions(client.answer(&[WRONG]));
    assert!(asked.banner.contains("shows no code"), "{asked:?}");
}

#[test]
fn where_both_are_possible_the_person_decides_and_then_the_account() {
    let house = House::with_provider(true);
    let local = house.client("signup");
    local.begin();
    local.answer(&[&house.invite("bob")]);
    local.answer(&[PASSWORD, PASSWORD]);
    signed_in(local.prove());
    local.own(OwnCommand::Logout { everywhere: true });

    let client = house.client("deploy");
    let expected = ["rproxy example.com: your name [deploy], or \"browser\" to sign in there: "];
    assert_eq!(prompts(client.begin()), expected);
    let asked = questions(client.answer(&[" Browser "]));
    let code = house.code_for(&ticket(&asked.banner), ALICE);
    assert_eq!(client.answer(&[&code]), PeopleAnswer::ProveKey);
    signed_in(client.prove());
    for command in [OwnCommand::ChangePassword, OwnCommand::ChangeSecondFactor] {
        assert_eq!(reason(client.own(command)), "account-of-provider");
    }
    client.own(OwnCommand::Logout { everywhere: true });
    let reset = house.admin().reset("alice", Duration::from_secs(60));
    assert!(matches!(reset, Err(AdminError::OfProvider(_))), "{reset:?}");

    // A known key decides.
    let of_local = house.client_with("deploy", local.key.clone());
    of_local.prove();
    assert_eq!(
        prompts(of_local.begin()),
        ["rproxy example.com: password for bob: "]
    );
    let of_provider = house.client_with("deploy", client.key.clone());
    of_provider.prove();
    of_provider.link();
    // The name of a provider's user is asked for a password like any other.
    let guessing = house.client("deploy");
    guessing.begin();
    assert_eq!(
        prompts(guessing.answer(&["alice"])),
        ["rproxy example.com: password for alice: "]
    );
    assert_eq!(reason(guessing.answer(&[PASSWORD])), "sign-in-wrong");
    // Without the provider there is no way in for its users, and what a browser brings is refused.
    let without = house.without_provider();
    let client = without.client_with("deploy", client.key.clone());
    client.prove();
    assert_eq!(reason(client.begin()), "no-provider");
    refused(without.open("2222-2222-2222-2222"));
}

#[test]
fn nobody_signs_up_where_the_provider_has_the_accounts() {
    let house = House::with_provider(false);
    let refused = refusal(house.client("signup").begin());
    assert_eq!(
        (refused.reason.as_str(), refused.is_final),
        ("no-sign-up", true)
    );
    assert!(refused.hint.unwrap().contains("ssh NAME@PROXY login"));
}

/// Wrong codes of one address delay that address, and a person whose key is known is served all the same.
#[test]
fn wrong_codes_of_one_address_delay_it() {
    let house = House::with_provider(false);
    let key = key_of(&house, ALICE);
    let throttled = (0..60).find_map(|_| {
        let client = house.client("x");
        let answer = client.begin();
        if let PeopleAnswer::Refused(refusal) = answer {
            return Some(refusal.reason);
        }
        questions(answer);
        (0..5).find_map(|_| match client.answer(&[WRONG]) {
            PeopleAnswer::Refused(refusal) if refusal.reason == "too-many-tries" => None,
            PeopleAnswer::Refused(refusal) => Some(refusal.reason),
            _ => None,
        })
    });
    assert_eq!(throttled.as_deref(), Some("sign-in-throttled"));
    let known = house.client_with("x", key);
    known.prove();
    let code = house.code_for(&known.link(), ALICE);
    signed_in(known.answer(&[&code]));
}
