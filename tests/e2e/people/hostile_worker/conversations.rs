//! Questions and answers out of their order, or on another connection than theirs.

use rproxy::ipc::{OwnCommand, PeopleAnswer};

use super::scene::{PASSWORD, WorkerAttack};
use crate::support::taken_worker::{questions, refused};

const FORGOTTEN: (&str, &str) = ("people.refused", "questions-forgotten");
const OUT_OF_TURN: (&str, &str) = ("people.refused", "out-of-turn");
const CHANGED: (&str, &str) = ("people.refused", "user-changed");

pub(super) const ATTACKS: &[WorkerAttack] = &[
    WorkerAttack {
        tries: "answers before questions",
        prepare: |scene| {
            let person = scene.signed_out();
            Box::new(move |scene| {
                let client = scene.client(&person.name);
                let answer = client.answer(&[PASSWORD, &person.authenticator.code()]);
                assert_eq!(refused(answer).reason, "questions-forgotten");
            })
        },
        leaves: FORGOTTEN,
        gains: &[],
    },
    WorkerAttack {
        tries: "the answers of one connection on another",
        prepare: |scene| {
            let person = scene.signed_out();
            let victim = scene.asked(&person);
            Box::new(move |scene| {
                let other = scene.client(&victim.user);
                let answer = other.answer(&[PASSWORD, &person.authenticator.code()]);
                assert_eq!(refused(answer).reason, "questions-forgotten");
            })
        },
        leaves: FORGOTTEN,
        gains: &[],
    },
    WorkerAttack {
        tries: "all answers at once",
        prepare: |scene| {
            let person = scene.signed_out();
            let client = scene.client(&person.name);
            questions(client.begin());
            Box::new(move |_| {
                let code = person.authenticator.code();
                let answer = client.answer(&[&person.name, PASSWORD, &code]);
                assert_eq!(refused(answer).reason, "out-of-turn");
            })
        },
        leaves: OUT_OF_TURN,
        gains: &[],
    },
    WorkerAttack {
        tries: "the password without the code that was asked for",
        prepare: |scene| {
            let person = scene.signed_out();
            let client = scene.asked(&person);
            Box::new(move |_| {
                assert_eq!(refused(client.answer(&[PASSWORD])).reason, "out-of-turn");
            })
        },
        leaves: OUT_OF_TURN,
        gains: &[],
    },
    WorkerAttack {
        tries: "answers of a person who is signed in, to no question",
        prepare: |scene| {
            let client = scene.signed_in(&scene.person());
            Box::new(move |_| {
                let answer = client.answer(&[PASSWORD, PASSWORD, PASSWORD]);
                assert_eq!(refused(answer).reason, "out-of-turn");
            })
        },
        leaves: OUT_OF_TURN,
        gains: &[],
    },
    WorkerAttack {
        tries: "another user name in the middle",
        prepare: |scene| {
            let (person, victim) = (scene.signed_out(), scene.name());
            let mut client = scene.asked(&person);
            client.user = victim;
            Box::new(move |_| {
                let answer = client.answer(&[PASSWORD, &person.authenticator.code()]);
                assert_eq!(refused(answer).reason, "user-changed");
            })
        },
        leaves: CHANGED,
        gains: &[],
    },
    WorkerAttack {
        tries: "another address of the client in the middle",
        prepare: |scene| {
            let person = scene.signed_out();
            let mut client = scene.asked(&person);
            client.client = scene.address();
            Box::new(move |_| {
                let answer = client.answer(&["not this one at all", "000000"]);
                assert_eq!(refused(answer).reason, "user-changed");
            })
        },
        leaves: CHANGED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a user name without end",
        prepare: |_| {
            Box::new(|scene| {
                let client = scene.client(&"x".repeat(30_000));
                assert_eq!(refused(client.begin()).reason, "long-name");
            })
        },
        leaves: ("people.refused", "long-name"),
        gains: &[],
    },
    WorkerAttack {
        tries: "the password of a person in place of an invitation",
        prepare: |scene| {
            let _person = scene.signed_out();
            let client = scene.client("signup");
            questions(client.begin());
            Box::new(move |_| {
                assert_eq!(
                    refused(client.answer(&[PASSWORD])).reason,
                    "invitation-invalid"
                );
            })
        },
        leaves: ("sign_in.failed", "invitation-invalid"),
        gains: &[],
    },
    WorkerAttack {
        tries: "one's own answers with the key of another person",
        prepare: |scene| {
            let (victim, own) = (scene.person(), scene.signed_out());
            let mut client = scene.client(&own.name);
            questions(client.begin());
            questions(client.answer(&[""]));
            let answer = client.answer(&[PASSWORD, &own.authenticator.code()]);
            assert_eq!(answer, PeopleAnswer::ProveKey);
            client.key = victim.key;
            Box::new(move |_| {
                assert_eq!(refused(client.prove()).reason, "key-of-another-user");
            })
        },
        leaves: ("sign_in.failed", "key-of-another-user"),
        gains: &[],
    },
    WorkerAttack {
        tries: "the answers of another person to the questions for the person of the key",
        prepare: |scene| {
            let (victim, own) = (scene.signed_out(), scene.signed_out());
            let client = scene.asked(&victim);
            Box::new(move |_| {
                let answer = client.answer(&[PASSWORD, &own.authenticator.code()]);
                assert_eq!(refused(answer).reason, "sign-in-wrong");
            })
        },
        leaves: ("sign_in.failed", "sign-in-wrong"),
        gains: &[],
    },
    WorkerAttack {
        tries: "another password without the present one",
        prepare: |scene| {
            let client = scene.signed_in(&scene.person());
            questions(client.own(OwnCommand::ChangePassword));
            Box::new(move |_| {
                let new = "a password of the attacker";
                let answer = client.answer(&["not this one at all", new, new]);
                assert_eq!(refused(answer).reason, "sign-in-wrong");
            })
        },
        leaves: ("sign_in.failed", "sign-in-wrong"),
        gains: &[],
    },
    WorkerAttack {
        tries: "another authenticator without a code of the present one",
        prepare: |scene| {
            let client = scene.signed_in(&scene.person());
            questions(client.own(OwnCommand::ChangeSecondFactor));
            Box::new(move |_| {
                let answer = client.answer(&[PASSWORD, "000000"]);
                assert_eq!(refused(answer).reason, "sign-in-wrong");
                // Nor goes it on as if it had been right.
                assert_eq!(refused(client.answer(&["000000"])).reason, "out-of-turn");
            })
        },
        leaves: ("sign_in.failed", "sign-in-wrong"),
        gains: &[],
    },
];

#[test]
fn answers_count_for_their_questions() {
    super::withstands(ATTACKS);
}
