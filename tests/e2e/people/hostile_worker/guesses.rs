//! What counts once is spent twice, and what is secret is guessed.

use rproxy::ipc::PeopleAnswer;

use super::scene::{KnownPerson, PASSWORD, Scene, WorkerAttack};
use crate::support::taken_worker::{ClaimedConnection, questions, refused};

/// How many clients try at the same time: as many calls as the auth process works on.
const AT_ONCE: usize = 16;

pub(super) const ATTACKS: &[WorkerAttack] = &[
    WorkerAttack {
        tries: "one invitation on sixteen connections at once",
        prepare: |scene| {
            let invitation = scene.world.invite(&scene.name());
            let clients: Vec<_> = (0..AT_ONCE).map(|_| invited(scene, &invitation)).collect();
            Box::new(move |_| {
                let signed_in = at_once(&clients, ClaimedConnection::prove);
                assert_eq!(signed_in, 1);
            })
        },
        leaves: ("sign_in.failed", "invitation-invalid"),
        gains: &["invitation.spent", "key.registered", "sign_in.begun"],
    },
    WorkerAttack {
        tries: "an invitation that was used",
        prepare: |scene| {
            let invitation = scene.world.invite(&scene.name());
            let client = invited(scene, &invitation);
            assert!(matches!(client.prove(), PeopleAnswer::SignedIn(_)));
            Box::new(move |scene| {
                let client = scene.client("signup");
                questions(client.begin());
                let answer = client.answer(&[&invitation]);
                assert_eq!(refused(answer).reason, "invitation-invalid");
            })
        },
        leaves: ("sign_in.failed", "invitation-invalid"),
        gains: &[],
    },
    WorkerAttack {
        tries: "an invitation that a reset has replaced, in the middle of a sign-up",
        prepare: |scene| {
            let name = scene.name();
            let client = invited(scene, &scene.world.invite(&name));
            let _newer = scene.world.reset(&name);
            Box::new(move |_| {
                assert_eq!(refused(client.prove()).reason, "invitation-invalid");
            })
        },
        leaves: ("sign_in.failed", "invitation-invalid"),
        gains: &[],
    },
    WorkerAttack {
        tries: "to guess invitations",
        prepare: |scene| {
            let _invitation = scene.world.invite(&scene.name());
            Box::new(|scene| {
                let address = scene.address();
                let looked_at = (0..60).filter(|_| {
                    let client = scene.worker.connection("signup", address);
                    let PeopleAnswer::Questions(_) = client.begin() else {
                        return false;
                    };
                    let answer = client.answer(&["AAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGG"]);
                    refused(answer).reason == "invitation-invalid"
                });
                let looked_at = looked_at.count();
                assert!((1..=50).contains(&looked_at), "{looked_at}");
            })
        },
        leaves: ("sign_in.failed", "invitation-invalid"),
        gains: &[],
    },
    WorkerAttack {
        tries: "to guess codes with the right password, from one address",
        prepare: |scene| {
            let person = scene.signed_out();
            Box::new(move |scene| {
                let address = scene.address();
                let guess = |number| by_name(scene, &person, address, &code(number));
                assert_eq!((0..50).filter(|number| guess(*number)).count(), 5);
            })
        },
        leaves: ("sign_in.throttled", "account"),
        gains: &[],
    },
    WorkerAttack {
        tries: "to guess codes with the right password, from many addresses",
        prepare: |scene| {
            let person = scene.signed_out();
            Box::new(move |scene| {
                let guess = |number: u8| {
                    let address = std::net::SocketAddr::from(([203, 0, 113, number], 50_000));
                    by_name(scene, &person, address, &code(number.into()))
                };
                assert_eq!((0..80).filter(|number| guess(*number)).count(), 30);
            })
        },
        leaves: ("sign_in.throttled", "everywhere"),
        gains: &[],
    },
    WorkerAttack {
        tries: "to guess codes with the right password and the right key",
        prepare: |scene| {
            let person = scene.signed_out();
            Box::new(move |scene| {
                let looked_at = (0..50).filter(|number| {
                    let client =
                        scene
                            .worker
                            .connection_with("root", scene.address(), person.key.clone());
                    assert_eq!(client.prove(), PeopleAnswer::AskFirst);
                    let PeopleAnswer::Questions(_) = client.begin() else {
                        return false;
                    };
                    let answer = client.answer(&[PASSWORD, &code(*number)]);
                    is_wrong(&refused(answer).reason)
                });
                assert_eq!(looked_at.count(), 5);
            })
        },
        leaves: ("sign_in.throttled", "key"),
        gains: &[],
    },
    WorkerAttack {
        tries: "to guess recovery codes",
        prepare: |scene| {
            let person = scene.signed_out();
            Box::new(move |scene| {
                let address = scene.address();
                let guess = |_: &u32| by_name(scene, &person, address, "AAAA-BBBB-CCCC-DDDD");
                assert_eq!((0..20).filter(guess).count(), 5);
            })
        },
        leaves: ("sign_in.throttled", "account"),
        gains: &[],
    },
    WorkerAttack {
        tries: "many passwords at the same instant",
        prepare: |scene| {
            let person = scene.signed_out();
            let address = scene.address();
            let clients: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let client = scene.worker.connection(&person.name, address);
                    questions(client.begin());
                    questions(client.answer(&[""]));
                    client
                })
                .collect();
            Box::new(move |scene| {
                let before = scene.world.events("sign_in.failed").len();
                let guess =
                    |client: &ClaimedConnection| client.answer(&["not this one at all", "000000"]);
                assert_eq!(at_once(&clients, guess), 0);
                let failed = scene.world.events("sign_in.failed").len() - before;
                assert_eq!(failed, 5, "the others were not looked at");
            })
        },
        leaves: ("sign_in.throttled", "account"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a code that was used",
        prepare: |scene| {
            let person = scene.signed_out();
            let client = scene.asked(&person);
            Box::new(move |_| {
                let code = person.authenticator.last_code();
                let answer = client.answer(&[PASSWORD, &code]);
                assert_eq!(refused(answer).reason, "code-spent");
            })
        },
        leaves: ("sign_in.failed", "code-spent"),
        gains: &[],
    },
    WorkerAttack {
        tries: "one recovery code on sixteen connections at once",
        prepare: |scene| {
            let person = scene.signed_out();
            // With keys that are known to nobody: none of the clients counts for another's key.
            let clients: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let client = scene.client(&person.name);
                    assert_eq!(client.prove(), PeopleAnswer::AskFirst);
                    questions(client.begin());
                    questions(client.answer(&[""]));
                    client
                })
                .collect();
            Box::new(move |_| {
                let code = &person.recovery[0];
                let spend = |client: &ClaimedConnection| client.answer(&[PASSWORD, code]);
                assert_eq!(at_once(&clients, spend), 1);
            })
        },
        leaves: ("sign_in.failed", "sign-in-wrong"),
        gains: &["key.registered", "sign_in.begun"],
    },
];

/// A client that has signed up as far as its key.
fn invited(scene: &Scene, invitation: &str) -> ClaimedConnection {
    let client = scene.client("signup");
    questions(client.begin());
    questions(client.answer(&[invitation]));
    let shown = questions(client.answer(&[PASSWORD, PASSWORD])).banner;
    let uri = shown.lines().find(|line| line.starts_with("otpauth://"));
    let authenticator = crate::support::one_time::CodeGenerator::scan(uri.expect("a URI"));
    questions(client.answer(&[&authenticator.code()]));
    assert_eq!(client.answer(&[""]), PeopleAnswer::ProveKey);
    client
}

/// How many of these clients get in that do this at the same time. All others are refused.
fn at_once(
    clients: &[ClaimedConnection],
    act: impl Fn(&ClaimedConnection) -> PeopleAnswer + Sync,
) -> usize {
    let barrier = std::sync::Barrier::new(clients.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter()
            .map(|client| {
                scope.spawn(|| {
                    barrier.wait();
                    act(client)
                })
            })
            .collect();
        let answers = threads
            .into_iter()
            .map(|one| one.join().expect("an answer"));
        let is_in = |answer: &PeopleAnswer| match answer {
            PeopleAnswer::SignedIn(_) => true,
            PeopleAnswer::Refused(_) => false,
            other => panic!("{other:?}"),
        };
        answers.filter(is_in).count()
    })
}

/// A code; with luck that one test of hundreds may have, the right one.
fn code(number: u32) -> String {
    format!("{:06}", 100_000 + number * 7_919)
}

/// Tries a code for a person from an address, without a key; whether it was looked at.
fn by_name(scene: &Scene, person: &KnownPerson, client: std::net::SocketAddr, code: &str) -> bool {
    let client = scene.worker.connection(&person.name, client);
    questions(client.begin());
    match client.answer(&[""]) {
        PeopleAnswer::Questions(_) => {
            let answer = client.answer(&[PASSWORD, code]);
            is_wrong(&refused(answer).reason)
        }
        answer => {
            assert_eq!(refused(answer).reason, "sign-in-throttled");
            false
        }
    }
}

/// Whether the reason says that the answers were looked at. A guess can be the code of another time.
fn is_wrong(reason: &str) -> bool {
    match reason {
        "sign-in-wrong" | "clock-off" => true,
        "sign-in-throttled" => false,
        other => panic!("{other}"),
    }
}

#[test]
fn what_counts_once_is_spent_once_and_nothing_is_guessed() {
    super::withstands(ATTACKS);
}
