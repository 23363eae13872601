//! Users, their credentials, keys, sign-ins, invitations and failed attempts.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{key, user};
use crate::ipc::{SignInEnd, SignInNews, UserAccess};
use crate::model::Login;
use crate::state::testing::{NOW, on_both};
use crate::state::{
    AttemptsOf, FailedAttempt, Failures, Invitation, Lock, NewSignIn, NewUser, SecondFactor,
    SignIn, SignInsOf, SignUp, State, StateError, TotpSecret, User,
};

const DAY: u64 = 86_400;

fn invitation(user: &User, hash: &str) -> Invitation {
    Invitation {
        user: user.id,
        hash: hash.to_owned(),
        created: NOW,
        expires: NOW + DAY,
    }
}

/// Signs a user in with a key that is registered.
fn sign_in(state: &State, user: &User, fingerprint: &str) -> Option<SignIn> {
    let new = NewSignIn {
        user: user.id,
        fingerprint: fingerprint.to_owned(),
        client: "192.0.2.7".to_owned(),
        started: NOW,
        until: NOW + DAY,
    };
    state.sign_ins().begin(&new).unwrap()
}

fn second_factor(secret: &str, last_step: u64) -> SecondFactor {
    SecondFactor {
        totp: TotpSecret {
            secret: Zeroizing::new(secret.to_owned()),
            last_step,
        },
        recovery: vec!["r1".to_owned(), "r2".to_owned()],
    }
}

/// The ends that were written, as the sign-in and its reason.
fn ends(state: &State, after: u64) -> Vec<(u64, Uuid, SignInEnd)> {
    let ends = state.sign_ins().since(after, 100).unwrap();
    let all = ends.into_iter().map(|end| match end.what {
        SignInNews::Ended(reason) => (end.number, end.id, reason),
        other => panic!("{other:?}"),
    });
    all.collect()
}

#[test]
fn other_roles_are_announced_for_live_sign_ins_in_one_order_with_ends() {
    on_both(|state| {
        let (alice, bob) = (user(state, "alice"), user(state, "bob"));
        state.keys().register(&key(&alice, "SHA256:a")).unwrap();
        state.keys().register(&key(&bob, "SHA256:b")).unwrap();
        let first = sign_in(state, &alice, "SHA256:a").unwrap();
        let second = sign_in(state, &alice, "SHA256:a").unwrap();
        let of_bob = sign_in(state, &bob, "SHA256:b").unwrap();
        let users = state.users();
        assert!(
            users
                .set_access(alice.id, &["dba".to_owned()], None, NOW)
                .unwrap()
        );
        let logins = ["root".parse().unwrap()];
        assert!(users.set_access(bob.id, &[], Some(&logins), NOW).unwrap());
        assert!(!users.set_access(Uuid::nil(), &[], None, NOW).unwrap());
        let end = SignInsOf::Id(first.id);
        state.sign_ins().end(&end, SignInEnd::Logout, NOW).unwrap();
        let told = state.sign_ins().since(0, 100).unwrap();
        let told: Vec<_> = told
            .into_iter()
            .map(|change| (change.number, change.id, change.what))
            .collect();
        let access = |roles: &[&str], logins: Option<&[Login]>| {
            SignInNews::Access(UserAccess {
                roles: roles.iter().map(ToString::to_string).collect(),
                logins: logins.map(<[Login]>::to_vec),
            })
        };
        // What the user of the one that is over may do is of no interest.
        let expected = [
            (2, second.id, access(&["dba"], None)),
            (3, of_bob.id, access(&[], Some(&logins))),
            (4, first.id, SignInNews::Ended(SignInEnd::Logout)),
        ];
        assert_eq!(told, expected);
        assert_eq!(state.sign_ins().since(2, 1).unwrap().len(), 1);
    });
}

#[test]
fn a_user_is_found_whatever_the_case_of_the_name() {
    on_both(|state| {
        let alice = NewUser {
            name: "Alice".parse().unwrap(),
            roles: vec!["dba".to_owned(), "dev".to_owned()],
            logins: Some(vec!["deploy".parse().unwrap()]),
            created: NOW,
        };
        let added = state.users().add(alice.clone()).unwrap();
        assert_eq!(state.users().get("aLICE").unwrap(), Some(added.clone()));
        assert_eq!(state.users().of_id(added.id).unwrap(), Some(added.clone()));
        let again = NewUser {
            name: "alice".parse().unwrap(),
            ..alice
        };
        let refused = state.users().add(again).unwrap_err();
        assert!(matches!(refused, StateError::NameTaken(_)), "{refused}");
        let bob = user(state, "bob");
        assert_eq!(state.users().list().unwrap(), [added.clone(), bob]);
        for nobody in ["", "carol", "signup", "a b", "alice\0", "ÄÖ", "%"] {
            assert_eq!(state.users().get(nobody).unwrap(), None, "{nobody:?}");
        }
        let logins = ["root".parse().unwrap()];
        let roles = ["dev".to_owned()];
        assert!(
            state
                .users()
                .set_access(added.id, &roles, Some(&logins), NOW)
                .unwrap()
        );
        let found = state.users().of_id(added.id).unwrap().unwrap();
        assert_eq!(
            (found.roles, found.logins),
            (roles.to_vec(), Some(logins.to_vec()))
        );
    });
}

#[test]
fn a_lock_ends_the_sign_ins_and_prevents_others() {
    on_both(|state| {
        let (alice, bob) = (user(state, "alice"), user(state, "bob"));
        state.keys().register(&key(&alice, "SHA256:a")).unwrap();
        state.keys().register(&key(&bob, "SHA256:b")).unwrap();
        let (first, second) = (
            sign_in(state, &alice, "SHA256:a").unwrap(),
            sign_in(state, &alice, "SHA256:a").unwrap(),
        );
        let of_bob = sign_in(state, &bob, "SHA256:b").unwrap();
        let lock = Lock {
            since: NOW,
            reason: "left".to_owned(),
            by: "root".to_owned(),
        };
        let ended = state.users().set_locked(alice.id, &lock).unwrap();
        assert_eq!(ended, [first.id, second.id]);
        let locked = state.users().get("alice").unwrap().unwrap();
        assert_eq!(locked.locked, Some(lock.clone()));
        assert_eq!(
            state.sign_ins().live(alice.id, "SHA256:a", NOW).unwrap(),
            None
        );
        assert_eq!(sign_in(state, &alice, "SHA256:a"), None);
        let refused = state.keys().register(&key(&alice, "SHA256:c"));
        assert!(matches!(refused, Err(StateError::NoSuchUser)));
        let live = state.sign_ins().live(bob.id, "SHA256:b", NOW).unwrap();
        assert_eq!(live, Some(of_bob));
        assert!(state.users().unlock(alice.id).unwrap());
        assert!(!state.users().unlock(alice.id).unwrap());
        assert!(sign_in(state, &alice, "SHA256:a").is_some());
        let refused = state.users().set_locked(Uuid::now_v7(), &lock);
        assert!(matches!(refused, Err(StateError::NoSuchUser)));
    });
}

#[test]
fn what_belongs_to_a_removed_user_goes_too_and_the_ends_stay() {
    on_both(|state| {
        let alice = user(state, "alice");
        state.keys().register(&key(&alice, "SHA256:a")).unwrap();
        state.invitations().put(&invitation(&alice, "i")).unwrap();
        let factor = second_factor("SECRET", 1);
        state
            .users()
            .set_second_factor(alice.id, Some(&factor))
            .unwrap();
        let begun = sign_in(state, &alice, "SHA256:a").unwrap();
        assert_eq!(state.users().remove(alice.id, NOW).unwrap(), [begun.id]);
        assert_eq!(ends(state, 0), [(1, begun.id, SignInEnd::Removed)]);
        let rows = state.check().unwrap().rows;
        let left: Vec<_> = rows.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(left, [&("counters", 3), &("sign_in_ends", 1)]);
        let refused = state.users().remove(alice.id, NOW);
        assert!(matches!(refused, Err(StateError::NoSuchUser)));
        let refused = state.invitations().put(&invitation(&alice, "i"));
        assert!(matches!(refused, Err(StateError::NoSuchUser)));
        // The name is free, and the next one of it is another user.
        assert_ne!(user(state, "alice").id, alice.id);
    });
}

#[test]
fn a_key_is_registered_for_one_user() {
    on_both(|state| {
        let (alice, bob) = (user(state, "alice"), user(state, "bob"));
        let first = key(&alice, "SHA256:a");
        state.keys().register(&first).unwrap();
        state.keys().register(&first).unwrap();
        let refused = state.keys().register(&key(&bob, "SHA256:a"));
        assert!(matches!(refused, Err(StateError::KeyTaken(_))));
        let found = state.keys().of_fingerprint("SHA256:a").unwrap();
        assert_eq!(found, Some((alice.clone(), first.clone())));
        assert_eq!(state.keys().of_fingerprint("SHA256:b").unwrap(), None);
        let second = key(&alice, "SHA256:b");
        state.keys().register(&second).unwrap();
        assert_eq!(state.keys().of_user(alice.id).unwrap(), [first, second]);
        let (with_a, with_b) = (
            sign_in(state, &alice, "SHA256:a").unwrap(),
            sign_in(state, &alice, "SHA256:b").unwrap(),
        );
        assert_eq!(state.keys().remove(bob.id, "SHA256:a", NOW).unwrap(), None);
        let removed = state.keys().remove(alice.id, "SHA256:a", NOW).unwrap();
        assert_eq!(removed, Some(vec![with_a.id]));
        assert_eq!(ends(state, 0), [(1, with_a.id, SignInEnd::KeyRemoved)]);
        assert_eq!(state.sign_ins().of_user(alice.id, NOW).unwrap(), [with_b]);
        assert_eq!(sign_in(state, &alice, "SHA256:a"), None);
        let used = state.keys().of_user(alice.id).unwrap().remove(0).used;
        assert_eq!(used, Some(NOW));
    });
}

#[test]
fn an_invitation_is_spent_with_all_that_was_set_up_or_not_at_all() {
    on_both(|state| {
        let (alice, bob) = (user(state, "alice"), user(state, "bob"));
        state.keys().register(&key(&bob, "SHA256:b")).unwrap();
        state.invitations().put(&invitation(&alice, "i")).unwrap();
        let sign_up = SignUp {
            invitation: "i".to_owned(),
            password: Zeroizing::new("$argon2id$1".to_owned()),
            second_factor: Some(second_factor("SECRET", 5)),
            key: key(&alice, "SHA256:b"),
        };
        let taken = state.users().sign_up(&sign_up, NOW);
        assert!(matches!(taken, Err(StateError::KeyTaken(_))), "{taken:?}");
        let of_another = SignUp {
            key: key(&bob, "SHA256:c"),
            ..sign_up.clone()
        };
        assert!(!state.users().sign_up(&of_another, NOW).unwrap());
        let sign_up = SignUp {
            key: key(&alice, "SHA256:a"),
            ..sign_up
        };
        assert!(!state.users().sign_up(&sign_up, NOW + DAY).unwrap());
        assert_eq!(state.users().get("alice").unwrap(), Some(alice.clone()));
        assert!(state.users().sign_up(&sign_up, NOW + DAY - 1).unwrap());
        assert!(!state.users().sign_up(&sign_up, NOW).unwrap());
        let found = state.users().get("alice").unwrap().unwrap();
        assert!(found.password && found.totp);
        let hash = state.users().password_hash(alice.id).unwrap();
        assert_eq!(hash.as_deref().map(String::as_str), Some("$argon2id$1"));
        let totp = state.users().totp(alice.id).unwrap().unwrap();
        assert_eq!((totp.secret.as_str(), totp.last_step), ("SECRET", 5));
        assert_eq!(state.keys().of_user(alice.id).unwrap().len(), 1);
    });
}

#[test]
fn invitations_end_and_are_dropped() {
    on_both(|state| {
        let alice = user(state, "alice");
        for hash in ["i", "j", "k"] {
            state.invitations().put(&invitation(&alice, hash)).unwrap();
        }
        let found = |hash: &str, now| state.invitations().find(hash, now).unwrap().is_some();
        assert!(found("i", NOW + DAY - 1));
        assert!(!found("i", NOW + DAY));
        assert!(!state.invitations().spend("i", NOW + DAY).unwrap());
        assert!(state.invitations().spend("i", NOW).unwrap());
        assert!(!state.invitations().spend("i", NOW).unwrap());
        assert!(!found("i", NOW));
        assert_eq!(state.invitations().of_user(alice.id).unwrap().len(), 2);
        assert_eq!(state.invitations().drop_of_user(alice.id).unwrap(), 2);
        assert!(!found("j", NOW));
    });
}

#[test]
fn codes_are_used_once_and_never_after_later_ones() {
    on_both(|state| {
        let alice = user(state, "alice");
        let users = state.users();
        assert!(!users.spend_totp_step(alice.id, 7).unwrap());
        users
            .set_second_factor(alice.id, Some(&second_factor("SECRET", 5)))
            .unwrap();
        let spend = |step| users.spend_totp_step(alice.id, step).unwrap();
        let spent = [5, 6, 6, 8, 7, 9].map(spend);
        assert_eq!(spent, [false, true, false, true, false, true]);
        let spend = |hash| users.spend_recovery_code(alice.id, hash).unwrap();
        assert_eq!(["r1", "r1", "r3"].map(spend), [true, false, false]);
        assert_eq!(users.recovery_codes_left(alice.id).unwrap(), 1);
        users.set_second_factor(alice.id, None).unwrap();
        assert!(users.totp(alice.id).unwrap().is_none());
        assert_eq!(users.recovery_codes_left(alice.id).unwrap(), 0);
    });
}

#[test]
fn a_changed_password_ends_the_other_sign_ins_and_a_reset_all() {
    on_both(|state| {
        let alice = user(state, "alice");
        state.keys().register(&key(&alice, "SHA256:a")).unwrap();
        let begun = [(); 3].map(|()| sign_in(state, &alice, "SHA256:a").unwrap().id);
        let [first, second, third] = begun;
        let ended = state
            .users()
            .set_password(alice.id, "$1", Some(second), NOW);
        assert_eq!(ended.unwrap(), [first, third]);
        let ended = state.users().reset(&invitation(&alice, "i")).unwrap();
        assert_eq!(ended, [second]);
        let expected = [
            (1, first, SignInEnd::PasswordChanged),
            (2, third, SignInEnd::PasswordChanged),
            (3, second, SignInEnd::Reset),
        ];
        assert_eq!(ends(state, 0), expected);
        assert_eq!(ends(state, 2), expected[2..]);
        assert_eq!(state.sign_ins().last_end().unwrap(), 3);
        let found = state.users().get("alice").unwrap().unwrap();
        assert!(!found.password && !found.totp);
        assert!(state.keys().of_user(alice.id).unwrap().is_empty());
        assert_eq!(state.invitations().of_user(alice.id).unwrap().len(), 1);
    });
}

#[test]
fn a_sign_in_ends_by_itself_and_is_ended_once() {
    on_both(|state| {
        let alice = user(state, "alice");
        state.keys().register(&key(&alice, "SHA256:a")).unwrap();
        let begun = sign_in(state, &alice, "SHA256:a").unwrap();
        let live = |now| state.sign_ins().live(alice.id, "SHA256:a", now).unwrap();
        let count = |now| state.sign_ins().count(now).unwrap();
        assert_eq!((count(NOW + DAY - 1), count(NOW + DAY)), (1, 0));
        assert_eq!(live(NOW + DAY - 1), Some(begun.clone()));
        assert_eq!(live(NOW + DAY), None);
        let end = |which, now| {
            state
                .sign_ins()
                .end(&which, SignInEnd::Expired, now)
                .unwrap()
        };
        assert!(end(SignInsOf::Before(NOW + DAY - 1), NOW).is_empty());
        assert_eq!(end(SignInsOf::Before(NOW + DAY), NOW), [begun.id]);
        assert!(end(SignInsOf::Id(begun.id), NOW).is_empty());
        assert_eq!(ends(state, 0), [(1, begun.id, SignInEnd::Expired)]);
        assert!(
            state
                .sign_ins()
                .was_from(alice.id, "192.0.2.7", NOW - 1)
                .unwrap()
        );
        assert!(
            !state
                .sign_ins()
                .was_from(alice.id, "192.0.2.7", NOW)
                .unwrap()
        );
        assert!(!state.sign_ins().was_from(alice.id, "192.0.2.8", 0).unwrap());
        state.sign_ins().forget_before(NOW + 1).unwrap();
        assert!(ends(state, 0).is_empty());
        assert_eq!(state.sign_ins().last_end().unwrap(), 1);
    });
}

#[test]
fn the_newest_failed_attempts_are_kept() {
    on_both(|state| {
        let attempts = state.attempts();
        for second in 0..10 {
            let failed = FailedAttempt {
                account: "alice",
                source: "203.0.113.7",
                fingerprint: None,
            };
            attempts.record(&failed, NOW + second).unwrap();
        }
        let count = |since| {
            let of = AttemptsOf::Account("alice");
            attempts.failures(of, NOW + since).unwrap().count
        };
        attempts.keep(20).unwrap();
        assert_eq!(count(0), 10);
        attempts.keep(4).unwrap();
        assert_eq!((count(0), count(6)), (4, 4));
    });
}

#[test]
fn failed_attempts_are_counted_by_account_source_and_key() {
    on_both(|state| {
        let attempts = state.attempts();
        let record = |account, source, fingerprint, now| {
            let failed = FailedAttempt {
                account,
                source,
                fingerprint,
            };
            attempts.record(&failed, now).unwrap();
        };
        let long = "x".repeat(10_000);
        record("alice", "192.0.2.1", None, NOW);
        record("ALICE", "192.0.2.1", None, NOW + 1);
        record("alice", "192.0.2.2", None, NOW + 2);
        record("alice", "192.0.2.1", Some("SHA256:a"), NOW + 3);
        record("bob\0\u{202e}", "192.0.2.1", None, NOW + 4);
        record(&long, "192.0.2.3", None, NOW + 5);
        let count = |of, since| {
            let Failures { count, last } = attempts.failures(of, since).unwrap();
            (count, last.saturating_sub(NOW))
        };
        let (account, source) = ("Alice", "192.0.2.1");
        let pair = AttemptsOf::Pair { account, source };
        let fingerprint = "SHA256:a";
        let with_key = AttemptsOf::AccountWithKey {
            account,
            fingerprint,
        };
        assert_eq!(count(pair, 0), (2, 1));
        assert_eq!(count(pair, NOW + 1), (1, 1));
        assert_eq!(count(pair, NOW + 2), (0, 0));
        assert_eq!(count(AttemptsOf::Source(source), 0), (3, 4));
        assert_eq!(count(AttemptsOf::Account(account), 0), (3, 2));
        assert_eq!(count(with_key, 0), (1, 3));
        assert_eq!(count(AttemptsOf::Account("bob\0\u{202e}"), 0), (1, 4));
        assert_eq!(count(AttemptsOf::Account(&long), 0), (1, 5));
        attempts.reset(pair).unwrap();
        assert_eq!(count(AttemptsOf::Account(account), 0), (1, 2));
        record("carol", "192.0.2.9", None, NOW + 2 * DAY);
        assert_eq!(count(AttemptsOf::Source(source), 0), (0, 0));
    });
}

#[test]
fn of_several_processes_one_settles_a_name() {
    on_both(|state| {
        let meta = state.meta();
        assert_eq!(meta.get("cluster").unwrap(), None);
        assert_eq!(meta.settle("cluster", "one").unwrap(), "one");
        assert_eq!(meta.settle("cluster", "two").unwrap(), "one");
        meta.set("cluster", "three").unwrap();
        assert_eq!(meta.get("cluster").unwrap().as_deref(), Some("three"));
    });
}
