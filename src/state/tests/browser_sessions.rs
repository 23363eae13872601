//! Sign-ins in a browser: found by the hash of their token, and ended by all that ends sign-ins.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{key, user};
use crate::ipc::{SignInEnd, SignInNews};
use crate::state::testing::{NOW, on_both};
use crate::state::{
    Invitation, Lock, MAX_BROWSER_SESSIONS, NewBrowserSession, NewSignIn, SignIn, SignInsOf, State,
    User,
};

const DAY: u64 = 86_400;

fn new(user: &User, token: &str) -> NewBrowserSession {
    NewBrowserSession {
        user: user.id,
        token: token.to_owned(),
        client: "192.0.2.7".to_owned(),
        started: NOW,
        until: NOW + DAY,
    }
}

fn begin(state: &State, user: &User, token: &str) -> SignIn {
    let begun = state.sign_ins().begin_in_browser(&new(user, token));
    begun.unwrap().unwrap().0
}

fn is_live(state: &State, token: &str, now: u64) -> bool {
    state.sign_ins().of_token(token, now).unwrap().is_some()
}

fn announced(state: &State) -> Vec<(Uuid, SignInEnd)> {
    let changes = state.sign_ins().since(0, 1_000).unwrap().into_iter();
    let ends = changes.map(|change| match change.what {
        SignInNews::Ended(reason) => (change.id, reason),
        other => panic!("{other:?}"),
    });
    ends.collect()
}

#[test]
fn a_browser_is_found_by_its_token_until_its_time_is_over() {
    on_both(|state| {
        let (alice, bob) = (user(state, "alice"), user(state, "bob"));
        let of_alice = begin(state, &alice, "a");
        let of_bob = begin(state, &bob, "b");
        let found = |token| state.sign_ins().of_token(token, NOW + DAY - 1).unwrap();
        assert_eq!(found("a"), Some((alice.clone(), of_alice.clone())));
        assert_eq!(found("b"), Some((bob, of_bob)));
        assert_eq!(found("c"), None);
        assert_eq!(found(""), None);
        assert!(!is_live(state, "a", NOW + DAY));
        let all = state.sign_ins().of_user(alice.id, NOW).unwrap();
        assert_eq!(all, [of_alice]);
        assert_eq!(state.sign_ins().count(NOW).unwrap(), 2);
        // It is no sign-in with a key, whatever the key is called.
        let live = state.sign_ins().live(alice.id, "", NOW).unwrap();
        assert_eq!(live, None);
        assert!(
            state
                .sign_ins()
                .was_from(alice.id, "192.0.2.7", NOW - 1)
                .unwrap()
        );
    });
}

#[test]
fn one_token_is_that_of_one_browser() {
    on_both(|state| {
        let (alice, bob) = (user(state, "alice"), user(state, "bob"));
        begin(state, &alice, "a");
        let refused = state.sign_ins().begin_in_browser(&new(&bob, "a"));
        assert!(refused.is_err(), "{refused:?}");
        let (holder, _) = state.sign_ins().of_token("a", NOW).unwrap().unwrap();
        assert_eq!(holder, alice);
    });
}

#[test]
fn what_ends_sign_ins_ends_those_in_browsers_and_announces_it() {
    on_both(|state| {
        let lock = Lock {
            since: NOW,
            reason: String::new(),
            by: "root".to_owned(),
        };
        let mut expected = Vec::new();
        let mut check = |name: &str, reason, end: &dyn Fn(&User, &SignIn)| {
            let one = user(state, name);
            let sign_in = begin(state, &one, name);
            end(&one, &sign_in);
            assert!(!is_live(state, name, NOW), "{name}");
            expected.push((sign_in.id, reason));
            assert_eq!(announced(state), expected, "{name}");
        };
        check("locked", SignInEnd::Locked, &|one, _| {
            state.users().set_locked(one.id, &lock).unwrap();
        });
        check("removed", SignInEnd::Removed, &|one, _| {
            state.users().remove(one.id, NOW).unwrap();
        });
        check("reset", SignInEnd::Reset, &|one, _| {
            let invitation = Invitation {
                user: one.id,
                hash: "cc".to_owned(),
                created: NOW,
                expires: NOW + DAY,
            };
            state.users().reset(&invitation).unwrap();
        });
        check("passwd", SignInEnd::PasswordChanged, &|one, _| {
            let ended = state.users().set_password(one.id, "phc", None, NOW);
            assert_eq!(ended.unwrap().len(), 1);
        });
        check("everywhere", SignInEnd::Logout, &|one, _| {
            let all = SignInsOf::User(one.id);
            state.sign_ins().end(&all, SignInEnd::Logout, NOW).unwrap();
        });
        check("id", SignInEnd::Logout, &|one, sign_in| {
            let this = SignInsOf::OfUser(one.id, sign_in.id);
            state.sign_ins().end(&this, SignInEnd::Logout, NOW).unwrap();
        });
        check("time", SignInEnd::Expired, &|_, _| {
            let over = SignInsOf::Before(NOW + DAY);
            state
                .sign_ins()
                .end(&over, SignInEnd::Expired, NOW)
                .unwrap();
        });
    });
}

#[test]
fn a_key_that_is_removed_ends_no_browser_and_a_user_ends_only_their_own() {
    on_both(|state| {
        let (alice, bob) = (user(state, "alice"), user(state, "bob"));
        state.keys().register(&key(&alice, "SHA256:a")).unwrap();
        let with_key = NewSignIn {
            user: alice.id,
            fingerprint: "SHA256:a".to_owned(),
            client: "192.0.2.7".to_owned(),
            started: NOW,
            until: NOW + DAY,
        };
        let with_key = state.sign_ins().begin(&with_key).unwrap().unwrap();
        let of_alice = begin(state, &alice, "a");
        let ended = state.keys().remove(alice.id, "SHA256:a", NOW).unwrap();
        assert_eq!(ended, Some(vec![with_key.id]));
        let others = SignInsOf::OfUser(bob.id, of_alice.id);
        let ended = state.sign_ins().end(&others, SignInEnd::Logout, NOW);
        assert!(ended.unwrap().is_empty());
        assert!(is_live(state, "a", NOW));
        // The password is changed in this browser, which goes on.
        begin(state, &alice, "a2");
        let keep = Some(of_alice.id);
        state
            .users()
            .set_password(alice.id, "phc", keep, NOW)
            .unwrap();
        assert!(is_live(state, "a", NOW) && !is_live(state, "a2", NOW));
    });
}

#[test]
fn a_locked_or_removed_user_is_not_signed_in() {
    on_both(|state| {
        let (alice, bob) = (user(state, "alice"), user(state, "bob"));
        let lock = Lock {
            since: NOW,
            reason: String::new(),
            by: "root".to_owned(),
        };
        state.users().set_locked(alice.id, &lock).unwrap();
        state.users().remove(bob.id, NOW).unwrap();
        for one in [alice, bob] {
            let begun = state.sign_ins().begin_in_browser(&new(&one, "a")).unwrap();
            assert_eq!(begun, None);
        }
        assert!(!is_live(state, "a", NOW));
    });
}

#[test]
fn one_browser_too_many_ends_the_oldest_of_this_user() {
    on_both(|state| {
        let (alice, bob) = (user(state, "alice"), user(state, "bob"));
        begin(state, &bob, "bob");
        let begun: Vec<_> = (0..MAX_BROWSER_SESSIONS)
            .map(|number| begin(state, &alice, &format!("t{number}")).id)
            .collect();
        let one_more = state.sign_ins().begin_in_browser(&new(&alice, "more"));
        let (_, ended) = one_more.unwrap().unwrap();
        assert_eq!(ended, [begun[0]]);
        assert_eq!(announced(state), [(begun[0], SignInEnd::Logout)]);
        assert!(!is_live(state, "t0", NOW) && is_live(state, "t1", NOW));
        assert!(is_live(state, "more", NOW) && is_live(state, "bob", NOW));
        let live = state.sign_ins().of_user(alice.id, NOW).unwrap();
        let ids: BTreeSet<_> = live.iter().map(|one| one.id).collect();
        assert_eq!(ids.len(), MAX_BROWSER_SESSIONS);
    });
}
