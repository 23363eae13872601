//! Authorizations at the provider, and the users whom it vouches for.

use super::user;
use crate::state::testing::{NOW, on_both};
use crate::state::{
    AuthorizationLimits, AuthorizationProgress, NewAuthorization, NewUser, ProviderSubject, State,
    StateError, VouchedSubject,
};

pub(super) const LIMITS: AuthorizationLimits = AuthorizationLimits {
    of_source: 3,
    in_all: 6,
};
/// When they are over.
const END: u64 = NOW + 300;

/// An authorization of this name.
pub(super) fn authorization(name: &str, source: &str) -> NewAuthorization {
    NewAuthorization {
        ticket: format!("ticket-{name}"),
        state: format!("state-{name}"),
        nonce: format!("nonce-{name}").into(),
        verifier: format!("verifier-{name}").into(),
        connection: "0196a3b0-0000-7000-8000-000000000041".to_owned(),
        client: "192.0.2.7:50000".to_owned(),
        source: source.to_owned(),
        created: NOW,
        expires: END,
    }
}

pub(super) fn vouched() -> VouchedSubject {
    VouchedSubject {
        subject: ProviderSubject {
            issuer: "https://id.example.com".to_owned(),
            subject: "248289761001".to_owned(),
        },
        name: "dora".to_owned(),
        roles: vec!["dba".to_owned()],
    }
}

#[test]
fn an_authorization_goes_one_way_and_each_step_counts_once() {
    use AuthorizationProgress::{Answered, Returned, Waiting};
    on_both(|state| {
        let all = state.authorizations();
        let new = authorization("a", "192.0.2.7/32");
        let id = all.begin(&new, LIMITS).unwrap().unwrap();
        let progress = |now| all.progress(id, now).unwrap();
        assert_eq!((progress(NOW), progress(END)), (Some(Waiting), None));
        // It can be opened again until the browser is back.
        for _ in 0..2 {
            let pending = all.of_ticket("ticket-a", END - 1).unwrap().unwrap();
            assert_eq!((pending.id, pending.nonce.as_str()), (id, "nonce-a"));
            assert_eq!(pending.verifier.as_str(), "verifier-a");
            assert_eq!(pending.client, new.client);
            assert!(!format!("{pending:?}{new:?}").contains("verifier-a"));
        }
        assert!(all.of_ticket("ticket-a", END).unwrap().is_none());
        assert!(all.of_ticket("ticket-b", NOW).unwrap().is_none());
        // No code before the browser is back.
        assert!(!all.answer(id, "code", &vouched(), NOW).unwrap());
        assert!(all.spend(id, "code", NOW).unwrap().is_none());
        assert!(all.take_returned("state-b", NOW).unwrap().is_none());
        assert!(all.take_returned("state-a", END).unwrap().is_none());
        assert_eq!(all.take_returned("state-a", NOW).unwrap().unwrap().id, id);
        assert_eq!(progress(NOW), Some(Returned));
        assert!(all.take_returned("state-a", NOW).unwrap().is_none());
        assert!(all.of_ticket("ticket-a", NOW).unwrap().is_none());
        assert!(!all.answer(id, "code", &vouched(), END).unwrap());
        assert!(all.answer(id, "code", &vouched(), NOW).unwrap());
        assert!(!all.answer(id, "other", &vouched(), NOW).unwrap());
        assert_eq!(progress(NOW), Some(Answered));
        // The code is that of this authorization, and counts once.
        let other = authorization("b", "192.0.2.7/32");
        let other = all.begin(&other, LIMITS).unwrap().unwrap();
        for (id, code, now) in [(other, "code", NOW), (id, "other", NOW), (id, "code", END)] {
            assert!(all.spend(id, code, now).unwrap().is_none());
        }
        assert_eq!(all.spend(id, "code", NOW).unwrap(), Some(vouched()));
        assert!(all.spend(id, "code", NOW).unwrap().is_none());
        assert_eq!(progress(NOW), None);
        all.remove(other).unwrap();
        assert!(all.of_ticket("ticket-b", NOW).unwrap().is_none());
    });
}

fn count(state: &State) -> u64 {
    let rows = state.check().unwrap().rows;
    let mut rows = rows.into_iter();
    rows.find(|(name, _)| *name == "authorizations").unwrap().1
}

#[test]
fn those_that_wait_are_bounded_by_source_and_in_all() {
    on_both(|state| {
        let all = state.authorizations();
        let begin = |name: &str, source: &str| {
            let begun = all.begin(&authorization(name, source), LIMITS).unwrap();
            begun.is_some()
        };
        for name in ["a1", "a2", "a3"] {
            assert!(begin(name, "a"));
        }
        assert!(!begin("a4", "a"));
        assert!(begin("b1", "b") && begin("b2", "b") && begin("c1", "c"));
        // The oldest of the source that has most makes room.
        assert!(begin("d1", "d"));
        assert_eq!(count(state), 6);
        let is_there = |name: &str| all.of_ticket(&format!("ticket-{name}"), NOW).unwrap();
        assert!(is_there("a1").is_none() && is_there("a2").is_some());
        assert!(is_there("b1").is_some() && is_there("d1").is_some());
        // Those whose time is over make room too, and count no more.
        let late = NewAuthorization {
            created: END,
            expires: END + 300,
            ..authorization("a5", "a")
        };
        assert!(all.begin(&late, LIMITS).unwrap().is_some());
        assert_eq!(count(state), 1);
        all.sweep(END + 299).unwrap();
        assert_eq!(count(state), 1);
        all.sweep(END + 300).unwrap();
        assert_eq!(count(state), 0);
    });
}

fn new(name: &str) -> NewUser {
    NewUser {
        name: name.parse().unwrap(),
        roles: vec!["dba".to_owned()],
        logins: None,
        created: NOW,
    }
}

#[test]
fn a_subject_stays_one_user_whatever_its_name() {
    on_both(|state| {
        let users = state.users();
        let subject = vouched().subject;
        user(state, "alice");
        let refused = users.add_of_subject(new("ALICE"), &subject).unwrap_err();
        assert!(matches!(refused, StateError::NameTaken(_)), "{refused}");
        assert!(users.of_subject(&subject).unwrap().is_none());
        let dora = users.add_of_subject(new("dora"), &subject).unwrap();
        assert_eq!(dora.provider.as_ref(), Some(&subject));
        assert_eq!(users.of_subject(&subject).unwrap().as_ref(), Some(&dora));
        // Each of the two alone is another user.
        for other in [
            ProviderSubject {
                issuer: "https://id.example.com/".to_owned(),
                ..subject.clone()
            },
            ProviderSubject {
                subject: "248289761002".to_owned(),
                ..subject.clone()
            },
        ] {
            assert!(users.of_subject(&other).unwrap().is_none());
        }
        let follow = |name: &str, roles: &[&str]| {
            let roles: Vec<_> = roles.iter().map(|role| (*role).to_owned()).collect();
            let name = name.parse().unwrap();
            let followed = users.follow_provider(dora.id, Some(&name), &roles, NOW);
            let followed = followed.unwrap().unwrap();
            (followed.name.to_string(), followed.roles)
        };
        let dba = || vec!["dba".to_owned()];
        assert_eq!(follow("dora.d", &["dba"]), ("dora.d".to_owned(), dba()));
        assert_eq!(follow("Dora.D", &[]), ("Dora.D".to_owned(), Vec::new()));
        // A name that another user has stays that user's.
        assert_eq!(follow("Alice", &["dba"]), ("Dora.D".to_owned(), dba()));
        // A user with a password follows no provider.
        let alice = users.get("alice").unwrap().unwrap();
        let followed = users.follow_provider(alice.id, None, &[], NOW).unwrap();
        assert_eq!(followed.unwrap().roles, dba());
        // Removed and back is a new user.
        users.remove(dora.id, NOW).unwrap();
        let again = users.add_of_subject(new("dora"), &subject).unwrap();
        assert_ne!(again.id, dora.id);
        assert!(
            users
                .follow_provider(dora.id, None, &[], NOW)
                .unwrap()
                .is_none()
        );
    });
}
