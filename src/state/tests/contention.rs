//! Many at once: what is used once is used once, and nothing that was confirmed is lost.

use std::sync::Barrier;

use uuid::Uuid;

use super::authorizations::{LIMITS, authorization, vouched};
use super::{key, node, token, user};
use crate::ipc::SignInEnd;
use crate::state::testing::{NOW, on_both, on_both_places};
use crate::state::{
    AttemptsOf, FailedAttempt, Heartbeat, Invitation, JoinedNode, Joining, NewBrowserSession,
    NewSignIn, NewUser, NodeCertificate, NodeLock, RevocationRow, SecondFactor, SignInsOf, State,
    StateError, TotpSecret,
};
use crate::sys::clock::Clock;

const THREADS: usize = 16;

/// Calls a function in all threads at once, on two states of one database in turn; gives what each has
/// returned.
fn at_once<T: Send>(states: [&State; 2], call: impl Fn(&State, usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(THREADS);
    let (barrier, call) = (&barrier, &call);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                scope.spawn(move || {
                    barrier.wait();
                    call(states[number % 2], number)
                })
            })
            .collect();
        let all = threads.into_iter().map(|thread| thread.join().unwrap());
        all.collect()
    })
}

/// Runs a test with two states of the same database, as two processes have them.
fn on_both_twice(test: impl Fn([&State; 2])) {
    on_both_places(|place| {
        let open = || State::open(place, Clock::Fixed(NOW)).unwrap();
        test([&open(), &open()]);
    });
}

fn how_many(spent: &[bool]) -> usize {
    spent.iter().filter(|spent| **spent).count()
}

#[test]
fn a_browser_comes_back_once_and_its_code_is_used_once_by_sixteen() {
    on_both_twice(|states| {
        let authorizations = states[0].authorizations();
        let id = authorizations
            .begin(&authorization("a", "192.0.2.7/32"), LIMITS)
            .unwrap()
            .unwrap();
        let taken = at_once(states, |state, _| {
            let taken = state.authorizations().take_returned("state-a", NOW);
            taken.unwrap().is_some()
        });
        assert_eq!(how_many(&taken), 1);
        let answered = at_once(states, |state, number| {
            let code = number.to_string();
            let answered = state.authorizations().answer(id, &code, &vouched(), NOW);
            answered.unwrap().then_some(code)
        });
        let codes: Vec<_> = answered.into_iter().flatten().collect();
        let [code] = &codes[..] else {
            panic!("{codes:?}")
        };
        let spent = at_once(states, |state, _| {
            let spent = state.authorizations().spend(id, code, NOW);
            spent.unwrap().is_some()
        });
        assert_eq!(how_many(&spent), 1);
    });
}

/// A user of the provider who signs in twice at once is added once.
#[test]
fn a_subject_is_one_user_by_sixteen() {
    on_both_twice(|states| {
        let added = at_once(states, |state, number| {
            let new = NewUser {
                name: format!("dora{number}").parse().unwrap(),
                roles: Vec::new(),
                logins: None,
                created: NOW,
            };
            let added = state.users().add_of_subject(new, &vouched().subject);
            match added {
                Ok(_) => true,
                Err(StateError::NameTaken(_)) => false,
                Err(error) => panic!("{error}"),
            }
        });
        assert_eq!(how_many(&added), 1);
    });
}

#[test]
fn what_is_used_once_is_used_once_by_sixteen() {
    on_both_twice(|states| {
        let state = states[0];
        let alice = user(state, "alice");
        let invitation = Invitation {
            user: alice.id,
            hash: "i".to_owned(),
            created: NOW,
            expires: NOW + 1,
        };
        state.invitations().put(&invitation).unwrap();
        let spent = at_once(states, |state, _| {
            state.invitations().spend("i", NOW).unwrap()
        });
        assert_eq!(how_many(&spent), 1);
        let factor = SecondFactor {
            totp: TotpSecret {
                secret: "SECRET".to_owned().into(),
                last_step: 1,
            },
            recovery: vec!["r".to_owned()],
        };
        state
            .users()
            .set_second_factor(alice.id, Some(&factor))
            .unwrap();
        let spent = at_once(states, |state, _| {
            state.users().spend_totp_step(alice.id, 2).unwrap()
        });
        assert_eq!(how_many(&spent), 1);
        let spent = at_once(states, |state, _| {
            state.users().spend_recovery_code(alice.id, "r").unwrap()
        });
        assert_eq!(how_many(&spent), 1);
        let spent = at_once(states, |state, number| {
            let row = RevocationRow {
                version: 1,
                line: number.to_string(),
            };
            state.revocations().append(0, &[row]).unwrap()
        });
        assert_eq!(how_many(&spent), 1);
        let settled = at_once(states, |state, number| {
            state.meta().settle("cluster", &number.to_string()).unwrap()
        });
        assert!(
            settled.iter().all(|name| *name == settled[0]),
            "{settled:?}"
        );
    });
}

#[test]
fn all_who_sign_in_at_once_are_signed_in_and_each_end_has_its_number() {
    on_both_twice(|states| {
        let users: Vec<_> = (0..THREADS)
            .map(|number| user(states[0], &format!("user{number}")))
            .collect();
        let begun = at_once(states, |state, number| {
            let user = &users[number];
            let fingerprint = format!("SHA256:{number}");
            state.keys().register(&key(user, &fingerprint)).unwrap();
            let failed = FailedAttempt {
                account: user.name.as_str(),
                source: "192.0.2.1",
                fingerprint: None,
            };
            state.attempts().record(&failed, NOW).unwrap();
            let new = NewSignIn {
                user: user.id,
                fingerprint,
                client: "192.0.2.1".to_owned(),
                started: NOW,
                until: NOW + 1,
            };
            state.sign_ins().begin(&new).unwrap().unwrap()
        });
        for one in &begun {
            let fingerprint = one.fingerprint.as_deref().unwrap();
            let live = states[1].sign_ins().live(one.user, fingerprint, NOW);
            assert_eq!(live.unwrap().as_ref(), Some(one));
        }
        let failures = states[0]
            .attempts()
            .failures(AttemptsOf::Source("192.0.2.1"), 0);
        assert_eq!(failures.unwrap().count, THREADS as u64);
        let ended = at_once(states, |state, number| {
            let which = SignInsOf::Id(begun[number].id);
            // Who follows the ends misses none, however far others are.
            let mut known = 0;
            let ended = state
                .sign_ins()
                .end(&which, SignInEnd::Logout, NOW)
                .unwrap();
            while known < THREADS as u64 {
                let ends = state.sign_ins().since(known, 3).unwrap();
                for end in ends {
                    assert_eq!(end.number, known + 1);
                    known = end.number;
                }
            }
            ended.len()
        });
        assert_eq!(ended.iter().sum::<usize>(), THREADS);
    });
}

#[test]
fn a_user_who_is_locked_while_signing_in_is_not_signed_in() {
    on_both(|state| {
        let alice = user(state, "alice");
        state.keys().register(&key(&alice, "SHA256:a")).unwrap();
        at_once([state, state], |state, number| {
            if number == 7 {
                let lock = crate::state::Lock {
                    since: NOW,
                    reason: String::new(),
                    by: "root".to_owned(),
                };
                state.users().set_locked(alice.id, &lock).unwrap();
                return;
            }
            let new = NewSignIn {
                user: alice.id,
                fingerprint: "SHA256:a".to_owned(),
                client: "192.0.2.1".to_owned(),
                started: NOW,
                until: NOW + 1,
            };
            state.sign_ins().begin(&new).unwrap();
            let in_browser = NewBrowserSession {
                user: alice.id,
                token: format!("t{number}"),
                client: "192.0.2.1".to_owned(),
                started: NOW,
                until: NOW + 1,
            };
            state.sign_ins().begin_in_browser(&in_browser).unwrap();
        });
        assert!(state.sign_ins().of_user(alice.id, NOW).unwrap().is_empty());
    });
}

#[test]
fn a_token_lets_as_many_hosts_join_as_it_has_uses() {
    on_both_twice(|states| {
        for (uses, hash) in [(1, "one"), (3, "three")] {
            states[0].tokens().put(&token(hash, uses)).unwrap();
            let joined = at_once(states, |state, number| {
                let node = node(&format!("{hash}-{number}"));
                let joining = state.nodes().join(&node, hash, NOW).unwrap();
                match joining {
                    Joining::Joined(id) => {
                        assert_eq!(id, node.id);
                        true
                    }
                    Joining::TokenSpent => false,
                    Joining::Returned(_) | Joining::NameTaken(_) => panic!("{joining:?}"),
                }
            });
            assert_eq!(how_many(&joined) as u64, uses);
            let token = states[1].tokens().by_hash_any(hash).unwrap().unwrap();
            assert_eq!(token.uses, 0);
        }
        assert_eq!(states[1].nodes().list().unwrap().len(), 4);
    });
}

#[test]
fn a_name_is_given_once_and_a_host_key_is_one_node_by_sixteen() {
    on_both_twice(|states| {
        states[0].tokens().put(&token("t", 100)).unwrap();
        let joined = at_once(states, |state, _| {
            let joining = state.nodes().join(&node("db1"), "t", NOW).unwrap();
            match joining {
                Joining::Joined(_) => true,
                Joining::NameTaken(name) => {
                    assert_eq!(name, "db1");
                    false
                }
                Joining::Returned(_) | Joining::TokenSpent => panic!("{joining:?}"),
            }
        });
        assert_eq!(how_many(&joined), 1);
        let token = states[0].tokens().find("t", NOW).unwrap().unwrap();
        assert_eq!(token.uses, 99, "a refusal costs nothing");
        let joined = at_once(states, |state, _| {
            let same = JoinedNode {
                fingerprint: "SHA256:same".to_owned(),
                ..node("web1")
            };
            let joining = state.nodes().join(&same, "t", NOW).unwrap();
            match joining {
                Joining::Joined(id) => (true, id),
                Joining::Returned(id) => (false, id),
                Joining::NameTaken(_) | Joining::TokenSpent => panic!("{joining:?}"),
            }
        });
        let (is_first, ids): (Vec<_>, Vec<_>) = joined.into_iter().unzip();
        assert_eq!(how_many(&is_first), 1);
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    });
}

#[test]
fn who_follows_the_changes_of_nodes_misses_none() {
    on_both_twice(|states| {
        states[0].tokens().put(&token("t", 100)).unwrap();
        let seen = at_once(states, |state, number| {
            let joined = node(&format!("db{number}"));
            state.nodes().join(&joined, "t", NOW).unwrap();
            let mut known = 0;
            let mut seen = std::collections::BTreeSet::new();
            while known < THREADS as u64 {
                for change in state.nodes().changes_since(known, 3).unwrap() {
                    assert!(change.number > known);
                    known = change.number;
                    seen.insert(change.id);
                }
            }
            seen.len()
        });
        assert_eq!(seen, [THREADS; THREADS]);
    });
}

/// Administrators lock and remove a node while it reports, opens tunnels and is given certificates.
#[test]
fn a_node_is_removed_once_and_nothing_of_it_is_left() {
    on_both_twice(|states| {
        states[0].tokens().put(&token("t", 100)).unwrap();
        let db = node("db1");
        states[0].nodes().join(&db, "t", NOW).unwrap();
        let lock = |number: usize| NodeLock {
            at: NOW,
            by: format!("admin{number}"),
            reason: None,
        };
        let locked = at_once(states, |state, number| {
            let nodes = state.nodes();
            match number % 4 {
                0 => nodes.lock("db1", &lock(number)).unwrap().is_some(),
                1 => nodes
                    .heartbeat(db.id, &report(number), &[], "10.0.0.6", 22)
                    .unwrap(),
                2 => nodes
                    .set_certificate(db.id, &certificate(number))
                    .map(|_given| true)
                    .unwrap(),
                _ => match nodes.open_tunnel(db.id, Uuid::nil(), NOW) {
                    Ok(_) | Err(StateError::NoSuchNode) => true,
                    Err(error) => panic!("{error}"),
                },
            }
        });
        assert_eq!(locked, [true; THREADS]);
        let found = states[1].nodes().of_id(db.id).unwrap().unwrap();
        assert!(found.lock.is_some_and(|lock| lock.by.starts_with("admin")));
        assert_eq!(found.address, "10.0.0.6");

        let before = states[0].nodes().last_change().unwrap();
        let removed = at_once(states, |state, number| {
            let nodes = state.nodes();
            match number % 3 {
                0 => nodes.remove("db1").unwrap().is_some(),
                1 => {
                    nodes.lock("db1", &lock(number)).unwrap();
                    nodes.unlock("db1").unwrap();
                    false
                }
                _ => {
                    let address = format!("10.0.1.{number}");
                    nodes
                        .heartbeat(db.id, &report(number), &[], &address, 22)
                        .unwrap();
                    false
                }
            }
        });
        assert_eq!(how_many(&removed), 1);
        let nodes = states[1].nodes();
        assert_eq!(nodes.list().unwrap(), []);
        assert_eq!(nodes.tunnels().unwrap(), []);
        assert_eq!(nodes.by_name("db1").unwrap(), None);
        let told = nodes.changes_since(before, 100).unwrap();
        let told: Vec<_> = told.iter().map(|one| (one.id, one.now.is_some())).collect();
        assert_eq!(told, [(db.id, false)]);
        // The name is free.
        let joining = nodes.join(&node("db1"), "t", NOW).unwrap();
        assert!(matches!(joining, Joining::Joined(_)), "{joining:?}");
    });
}

/// A token that is removed while hosts join with it: each host that is in has taken a use of it, and it is
/// removed once.
#[test]
fn a_token_that_is_removed_lets_nobody_in_afterwards() {
    on_both_twice(|states| {
        let many = token("many", 100);
        states[0].tokens().put(&many).unwrap();
        let done = at_once(states, |state, number| {
            if number % 4 == 3 {
                return (state.tokens().remove(many.id).unwrap(), false);
            }
            let joining = state
                .nodes()
                .join(&node(&format!("db{number}")), "many", NOW);
            match joining.unwrap() {
                Joining::Joined(_) => (false, true),
                Joining::TokenSpent => (false, false),
                other => panic!("{other:?}"),
            }
        });
        let (removed, joined): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        assert_eq!(how_many(&removed), 1);
        let list = states[1].nodes().list().unwrap();
        assert_eq!(list.len(), how_many(&joined));
        assert!(list.iter().all(|node| node.token == many.id));
        assert_eq!(states[1].tokens().list().unwrap(), []);
        let late = states[0].nodes().join(&node("late"), "many", NOW).unwrap();
        assert_eq!(late, Joining::TokenSpent);
    });
}

fn report(number: usize) -> Heartbeat {
    Heartbeat {
        at: NOW + number as u64,
        ..Heartbeat::default()
    }
}

fn certificate(number: usize) -> NodeCertificate {
    NodeCertificate {
        serial: number as u64,
        begins: NOW,
        expires: NOW + 60,
        authority: "SHA256:ca".to_owned(),
    }
}
