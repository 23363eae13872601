//! The auth process is killed at random instants while many sign up, sign in and get certificates. What
//! was confirmed is there afterwards, and nothing was spent twice.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rproxy::ipc::{PeopleAnswer, PeopleQuestion};
use serde_json::Value;

use crate::support::one_time::CodeGenerator;
use crate::support::recordings::text;
use crate::support::taken_worker::{ClaimedConnection, TakenWorker, answers_of, certificate_for};
use crate::support::{World, keys};

const PASSWORD: &str = "a long and dull password";
/// How many people sign up, each on two connections at once.
const PEOPLE: usize = 24;
/// How often the auth process is killed.
const KILLS: usize = 6;
/// How often something is tried that a death interrupts.
const TRIES: usize = 8;

/// What was confirmed to clients.
#[derive(Default)]
struct Confirmed {
    /// The connections that signed up, by the number of the invitation.
    signed_up: Vec<(usize, ClaimedConnection)>,
    /// Who signed in by a recovery code, and by which.
    recovered: Vec<String>,
    /// Certificates.
    certificates: Vec<String>,
}

/// Asks until there is an answer.
fn ask(client: &ClaimedConnection, ask: PeopleQuestion) -> Option<PeopleAnswer> {
    client.try_ask(ask).ok()
}

/// One attempt to sign up; the recovery codes if it was confirmed.
fn sign_up(client: &ClaimedConnection, invitation: &str) -> Option<Vec<String>> {
    ask(client, PeopleQuestion::Begin)?;
    ask(client, answers_of(&[invitation]))?;
    let PeopleAnswer::Questions(shown) = ask(client, answers_of(&[PASSWORD, PASSWORD]))? else {
        return None;
    };
    let uri = shown
        .banner
        .lines()
        .find(|line| line.starts_with("otpauth://"))?;
    let code = CodeGenerator::scan(uri).code();
    let PeopleAnswer::Questions(shown) = ask(client, answers_of(&[&code]))? else {
        return None;
    };
    let codes = shown
        .banner
        .lines()
        .filter_map(|line| line.strip_prefix("  "));
    let codes = codes.map(str::to_owned).collect();
    ask(client, answers_of(&[""]))?;
    let proved = ask(client, PeopleQuestion::Prove(client.proof()))?;
    matches!(proved, PeopleAnswer::SignedIn(_)).then_some(codes)
}

/// One attempt to sign in with a new key, by a recovery code; whether it was confirmed.
fn recover(worker: &TakenWorker, name: &str, address: SocketAddr, code: &str) -> bool {
    let client = worker.connection(name, address);
    let steps = || {
        ask(&client, PeopleQuestion::Prove(client.proof()))?;
        ask(&client, PeopleQuestion::Begin)?;
        ask(&client, answers_of(&[name]))?;
        ask(&client, answers_of(&[PASSWORD, code]))
    };
    matches!(steps(), Some(PeopleAnswer::SignedIn(_)))
}

/// What one of two connections does with an invitation.
fn person(
    worker: &TakenWorker,
    (number, invitation): (usize, &str),
    address: SocketAddr,
    confirmed: &Mutex<Confirmed>,
) {
    for _ in 0..TRIES {
        let client = worker.connection("signup", address);
        let Some(codes) = sign_up(&client, invitation) else {
            continue;
        };
        let name = format!("person{number}");
        let mut known = confirmed.lock().expect("no panic with it");
        known.signed_up.push((number, client.clone()));
        drop(known);
        for _ in 0..TRIES {
            // After a restart the connection proves its key again.
            let answer = ask(&client, certificate_for("root"));
            match answer {
                Some(PeopleAnswer::Certificate(line)) => {
                    let mut known = confirmed.lock().expect("no panic with it");
                    known.certificates.push(line);
                }
                _ => drop(ask(&client, PeopleQuestion::Prove(client.proof()))),
            }
        }
        std::thread::scope(|scope| {
            for code in &codes[..2] {
                for _ in 0..2 {
                    scope.spawn(|| {
                        if recover(worker, &name, address, code) {
                            let mut known = confirmed.lock().expect("no panic with it");
                            known.recovered.push(code.clone());
                        }
                    });
                }
            }
        });
        return;
    }
}

#[test]
fn what_was_confirmed_is_there_and_nothing_was_spent_twice() {
    let world = World::with()
        .people()
        .time_limit(Duration::from_secs(400))
        .start();
    let Some(worker) = TakenWorker::of(world.worker_pid()) else {
        return;
    };
    let seed = rand::rng().random::<u64>();
    eprintln!("seed: {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let invitations: Vec<_> = (0..PEOPLE)
        .map(|number| world.invite(&format!("person{number}")))
        .collect();
    let confirmed = Mutex::new(Confirmed::default());
    let left = AtomicUsize::new(2 * PEOPLE);
    let revoked = std::thread::scope(|scope| {
        for (number, invitation) in invitations.iter().enumerate() {
            for side in 0..2 {
                let low = u8::try_from(2 * number + side).expect("few");
                let address = SocketAddr::from(([203, 0, 113, low], 50_000));
                let (worker, confirmed, left) = (&worker, &confirmed, &left);
                scope.spawn(move || {
                    person(worker, (number, invitation), address, confirmed);
                    left.fetch_sub(1, Ordering::Relaxed);
                });
            }
        }
        let mut revoked = Vec::new();
        for number in 0..KILLS {
            let millis = random.random_range(0..1_500);
            std::thread::sleep(Duration::from_millis(millis));
            // What others write at the same moment is not lost either.
            let key_id = format!("--key-id=gone{number}");
            keys::tool(
                world
                    .rproxy()
                    .args(["auth", "revoke", "--yes", "--unknown", &key_id]),
            );
            revoked.push(format!("gone{number}"));
            world.kill_auth();
        }
        revoked
    });
    assert_eq!(left.load(Ordering::Relaxed), 0);
    let confirmed = confirmed.into_inner().expect("no panic with it");
    is_consistent(&world, &worker, &confirmed);
    let list = std::fs::read_to_string(world.data().join("revoked.jsonl")).expect("a copy");
    for key_id in revoked {
        assert!(list.contains(&format!("\"{key_id}\"")), "{key_id} is lost");
    }
}

fn is_consistent(world: &World, worker: &TakenWorker, confirmed: &Confirmed) {
    let events = world.audit();
    let of = |name: &str| {
        let found = events.iter().filter(|event| event["event"] == name);
        found.collect::<Vec<&Value>>()
    };
    // Each invitation was spent by one connection at most.
    assert!(!confirmed.signed_up.is_empty(), "nobody got in");
    let numbers: BTreeSet<_> = confirmed
        .signed_up
        .iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(numbers.len(), confirmed.signed_up.len(), "spent twice");
    let spent: Vec<_> = of("invitation.spent")
        .iter()
        .map(|event| text(event, "user").to_owned())
        .collect();
    let distinct: BTreeSet<_> = spent.iter().collect();
    assert_eq!(distinct.len(), spent.len(), "{spent:?}");
    for (number, _) in &confirmed.signed_up {
        assert!(spent.contains(&format!("person{number}")), "{number}");
    }
    let codes: BTreeSet<_> = confirmed.recovered.iter().collect();
    assert_eq!(
        codes.len(),
        confirmed.recovered.len(),
        "a code was spent twice"
    );
    // Who was told to be signed in is: with the key alone, on a new connection.
    for (_, client) in &confirmed.signed_up {
        let again = worker.connection_with("root", client.client, client.key.clone());
        let answer = again.prove();
        assert!(matches!(answer, PeopleAnswer::SignedIn(_)), "{answer:?}");
        again.close();
    }
    // Every certificate is in the ledger and in the audit log.
    let ledger = ["auth", "ls", "--format=json", "--connections"];
    let ledger = keys::tool(world.rproxy().args(ledger));
    assert!(!confirmed.certificates.is_empty(), "no certificate");
    let audited: BTreeSet<_> = of("certificate.issued")
        .iter()
        .map(|event| event["serial"].to_string())
        .collect();
    for line in &confirmed.certificates {
        let certificate = ssh_key::Certificate::from_openssh(line).expect("a certificate");
        let serial = certificate.serial().to_string();
        assert!(ledger.contains(&serial), "{serial} is not in the ledger");
        let is_audited = audited.iter().any(|one| one.contains(&serial));
        assert!(is_audited, "{serial} is not audited");
    }
}
