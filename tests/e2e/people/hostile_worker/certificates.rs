//! Certificates, and commands of people, without the sign-in that they take.

use rproxy::ipc::{OwnCommand, PeopleAnswer};

use super::scene::{Scene, WorkerAttack};
use crate::support::taken_worker::{new_key, refused};

const NOT_SIGNED_IN: (&str, &str) = ("people.refused", "not-signed-in");
const ENDED: (&str, &str) = ("people.refused", "sign-in-ended");

pub(super) const ATTACKS: &[WorkerAttack] = &[
    WorkerAttack {
        tries: "a certificate before anything is proved",
        prepare: |scene| {
            let person = scene.person();
            Box::new(move |scene| {
                let answer = scene.client(&person.name).certificate("root");
                assert_eq!(refused(answer).reason, "not-signed-in");
            })
        },
        leaves: NOT_SIGNED_IN,
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate with a proved key, and without answers",
        prepare: |scene| {
            let client = scene.asked(&scene.signed_out());
            Box::new(move |_| {
                assert_eq!(refused(client.certificate("root")).reason, "not-signed-in");
            })
        },
        leaves: NOT_SIGNED_IN,
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate for a login that the person may not use",
        prepare: |scene| {
            let client = scene.signed_in(&scene.person());
            Box::new(move |_| {
                for login in ["daemon", "root2", "Root"] {
                    let answer = client.certificate(login);
                    assert_eq!(refused(answer).reason, "login-not-allowed");
                }
            })
        },
        leaves: ("people.refused", "login-not-allowed"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate for no login, or for several in one",
        prepare: |scene| {
            let client = scene.signed_in(&scene.person());
            Box::new(move |scene| {
                for login in ["", "root,daemon", "root\\u0000daemon", "root daemon"] {
                    let (id, client, user) = (client.id, client.client, &client.user);
                    let answer = scene.worker.ask(&format!(
                        "{{\"call\":{{\"id\":1,\"deadline_ms\":{},\"request\":{{\"people\":{{\
                         \"connection\":\"{id}\",\"client\":\"{client}\",\"user\":\"{user}\",\"ask\":\
                         {{\"certificate\":{{\"login\":\"{login}\",\"target\":\"db1\"}}}}}}}}}}}}",
                        u64::MAX
                    ));
                    assert!(!answer.contains("certificate\":"), "{login:?}: {answer}");
                }
            })
        },
        leaves: ("call.refused", "malformed"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate after the person has signed out elsewhere",
        prepare: |scene| {
            let person = scene.person();
            let (client, other) = (scene.signed_in(&person), scene.signed_in(&person));
            let out = other.own(OwnCommand::Logout { everywhere: true });
            assert!(matches!(out, PeopleAnswer::Text(_)), "{out:?}");
            Box::new(move |_| {
                assert_eq!(refused(client.certificate("root")).reason, "sign-in-ended");
            })
        },
        leaves: ENDED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate after the person was locked, and a new proof",
        prepare: |scene| {
            let person = scene.person();
            let client = scene.signed_in(&person);
            scene.world.users_do(&["lock", &person.name]);
            Box::new(move |scene| {
                assert_eq!(refused(client.certificate("root")).reason, "sign-in-ended");
                assert_eq!(scene.client_of(&person).prove(), PeopleAnswer::AskFirst);
            })
        },
        leaves: ENDED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate after the person was removed",
        prepare: |scene| {
            let person = scene.person();
            let client = scene.signed_in(&person);
            scene.world.users_do(&["rm", &person.name]);
            Box::new(move |_| {
                assert_eq!(refused(client.certificate("root")).reason, "sign-in-ended");
            })
        },
        leaves: ENDED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a second certificate for a key of the attacker",
        prepare: |scene| {
            let client = scene.signed_in(&scene.person());
            let first = client.own(certificate_for_new_key());
            assert!(matches!(first, PeopleAnswer::Certificate(_)), "{first:?}");
            Box::new(move |_| {
                for _ in 0..2 {
                    let second = client.own(certificate_for_new_key());
                    assert_eq!(refused(second).reason, "one-key");
                    // The same connection proves its key once more, and is asked once more.
                    assert!(matches!(client.prove(), PeopleAnswer::SignedIn(_)));
                    assert!(matches!(client.begin(), PeopleAnswer::SignedIn(_)));
                }
            })
        },
        leaves: ("people.refused", "one-key"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate in one's own name for the key of another person",
        prepare: |scene| {
            let (own, victim) = (scene.person(), scene.person());
            let client = scene.signed_in(&own);
            Box::new(move |scene| {
                let key = scene.client_of(&victim).blob();
                let answer = client.own(OwnCommand::CertificateFor { key });
                assert_eq!(refused(answer).reason, "key-of-another-user");
            })
        },
        leaves: ("people.refused", "key-of-another-user"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate for a DSA key, and for what is no key",
        prepare: |scene| {
            let client = scene.signed_in(&scene.person());
            Box::new(move |_| {
                let dsa = [&[0, 0, 0, 7][..], b"ssh-dss", &[0; 64]].concat();
                for key in [dsa, Vec::new(), vec![0; 400]] {
                    let answer = client.own(OwnCommand::CertificateFor { key });
                    assert_eq!(refused(answer).reason, "unfit-key");
                }
            })
        },
        leaves: ("people.refused", "unfit-key"),
        gains: &[],
    },
    WorkerAttack {
        tries: "the commands of a person who is not signed in",
        prepare: |scene| {
            let person = scene.signed_out();
            let client = scene.asked(&person);
            Box::new(move |_| {
                for command in [
                    OwnCommand::Status,
                    OwnCommand::Logout { everywhere: true },
                    OwnCommand::Certificate,
                    certificate_for_new_key(),
                    OwnCommand::ChangePassword,
                    OwnCommand::ChangeSecondFactor,
                    OwnCommand::Keys,
                    OwnCommand::RemoveKey {
                        fingerprint: client.fingerprint(),
                    },
                ] {
                    assert_eq!(refused(client.own(command)).reason, "not-signed-in");
                }
            })
        },
        leaves: NOT_SIGNED_IN,
        gains: &[],
    },
    WorkerAttack {
        tries: "to remove the key of another person",
        prepare: |scene| {
            let (own, victim) = (scene.person(), scene.person());
            let client = scene.signed_in(&own);
            Box::new(move |scene| {
                let fingerprint = scene.client_of(&victim).fingerprint();
                let answer = client.own(OwnCommand::RemoveKey { fingerprint });
                assert_eq!(refused(answer).reason, "no-such-key");
                scene.signed_in(&victim);
            })
        },
        leaves: ("people.refused", "no-such-key"),
        gains: &[],
    },
];

fn certificate_for_new_key() -> OwnCommand {
    let key = new_key().public_key().to_bytes();
    OwnCommand::CertificateFor {
        key: key.expect("a key has bytes"),
    }
}

#[test]
fn certificates_take_a_sign_in_that_is_in_force() {
    super::withstands(ATTACKS);
}

/// What is issued is for the person, the login and the key that the attack is about, and in the ledger:
/// the worker has no way to a certificate that is not.
#[test]
fn what_a_worker_gets_is_in_the_ledger() {
    let Some(scene) = Scene::new() else { return };
    let client = scene.signed_in(&scene.person());
    let PeopleAnswer::Certificate(line) = client.certificate("root") else {
        panic!("no certificate");
    };
    let certificate = ssh_key::Certificate::from_openssh(&line).expect("a certificate");
    assert_eq!(certificate.public_key(), client.key.public_key().key_data());
    assert_eq!(certificate.valid_principals(), ["root"]);
    assert_eq!(certificate.key_id(), client.user);
    let seconds = certificate.valid_before() - certificate.valid_after();
    assert!(seconds <= 600, "{seconds}");
    let ledger = ["auth", "ls", "--format=json", "--connections"];
    let ledger = crate::support::keys::tool(scene.world.rproxy().args(ledger));
    assert!(
        ledger.contains(&certificate.serial().to_string()),
        "{ledger}"
    );
}
