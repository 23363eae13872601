//! A proxy whose worker is taken over, its people, and one attack after the other.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use rproxy::ipc::PeopleAnswer;
use serde_json::Value;
use ssh_key::PrivateKey;

use crate::support::World;
use crate::support::one_time::CodeGenerator;
use crate::support::taken_worker::{ClaimedConnection, TakenWorker, questions};

/// The password of everybody here.
pub(super) const PASSWORD: &str = "a long and dull password";

/// What may be gained: the events that tell of it.
const GAINS: [&str; 11] = [
    "sign_in.begun",
    "key.registered",
    "invitation.spent",
    "certificate.issued",
    "password.changed",
    "second_factor.changed",
    "node.joined",
    "node.returned",
    "node.certificate",
    "node.unlocked",
    "token.added",
];

/// An attack that is prepared.
pub(super) type Act<'s> = Box<dyn FnOnce(&Scene) + 's>;

/// A way to get what a worker may not have.
pub(super) struct WorkerAttack {
    /// What is tried, in words.
    pub(super) tries: &'static str,
    /// Prepares it, as people do who have done nothing wrong; returns the attack itself, which panics if
    /// it gets an answer that it must not get.
    pub(super) prepare: fn(&Scene) -> Act<'_>,
    /// The event that is in the audit log then, and its reason.
    pub(super) leaves: (&'static str, &'static str),
    /// What it may gain all the same: one of many at once is the rightful one.
    pub(super) gains: &'static [&'static str],
}

/// A proxy whose worker is taken over.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) worker: TakenWorker,
    addresses: Cell<u8>,
    people: Cell<u32>,
}

/// A person with an account.
pub(super) struct KnownPerson {
    pub(super) name: String,
    pub(super) key: PrivateKey,
    pub(super) authenticator: CodeGenerator,
    pub(super) recovery: Vec<String>,
}

impl Scene {
    /// A proxy with people who sign in with codes; `None` where this account cannot take a worker over.
    pub(super) fn new() -> Option<Self> {
        Self::of(World::with().people().start())
    }

    /// The same in this world.
    pub(super) fn of(world: World) -> Option<Self> {
        let worker = TakenWorker::of(world.worker_pid())?;
        Some(Self {
            world,
            worker,
            addresses: Cell::new(0),
            people: Cell::new(0),
        })
    }

    /// An address that no other client has.
    pub(super) fn address(&self) -> SocketAddr {
        let number = self.addresses.get();
        self.addresses.set(number + 1);
        SocketAddr::from(([198, 51, 100, number], 50_000))
    }

    /// A client of this user name, with a key and an address of its own.
    pub(super) fn client(&self, user: &str) -> ClaimedConnection {
        self.worker.connection(user, self.address())
    }

    /// A client of a person: its key is the person's.
    pub(super) fn client_of(&self, person: &KnownPerson) -> ClaimedConnection {
        let key = person.key.clone();
        self.worker
            .connection_with(&person.name, self.address(), key)
    }

    /// A client of a person, who is signed in with the key.
    pub(super) fn signed_in(&self, person: &KnownPerson) -> ClaimedConnection {
        let client = self.client_of(person);
        let answer = client.prove();
        assert!(matches!(answer, PeopleAnswer::SignedIn(_)), "{answer:?}");
        client
    }

    /// A client of a person whose sign-ins have ended: the key is proved, and the questions are asked.
    pub(super) fn asked(&self, person: &KnownPerson) -> ClaimedConnection {
        let client = self.client_of(person);
        assert_eq!(client.prove(), PeopleAnswer::AskFirst);
        assert_eq!(questions(client.begin()).prompts.len(), 2);
        client
    }

    /// A new name.
    pub(super) fn name(&self) -> String {
        let number = self.people.get();
        self.people.set(number + 1);
        format!("person{number}")
    }

    /// A new person, signed up and signed in.
    pub(super) fn person(&self) -> KnownPerson {
        let name = self.name();
        let client = self.client("signup");
        questions(client.begin());
        questions(client.answer(&[&self.world.invite(&name)]));
        let shown = questions(client.answer(&[PASSWORD, PASSWORD])).banner;
        let uri = shown.lines().find(|line| line.starts_with("otpauth://"));
        let authenticator = CodeGenerator::scan(uri.expect("a URI"));
        let shown = questions(client.answer(&[&authenticator.code()])).banner;
        let recovery = shown.lines().filter_map(|line| line.strip_prefix("  "));
        let recovery: Vec<String> = recovery.map(str::to_owned).collect();
        assert_eq!(recovery.len(), 10, "{shown}");
        assert_eq!(client.answer(&[""]), PeopleAnswer::ProveKey);
        let answer = client.prove();
        assert!(matches!(answer, PeopleAnswer::SignedIn(_)), "{answer:?}");
        client.close();
        KnownPerson {
            name,
            key: client.key,
            authenticator,
            recovery,
        }
    }

    /// A new person who has signed out everywhere.
    pub(super) fn signed_out(&self) -> KnownPerson {
        let person = self.person();
        let client = self.signed_in(&person);
        let out = client.own(rproxy::ipc::OwnCommand::Logout { everywhere: true });
        assert!(matches!(out, PeopleAnswer::Text(_)), "{out:?}");
        client.close();
        person
    }

    fn gains(&self) -> BTreeMap<&'static str, usize> {
        let gained = |name| (name, self.world.events(name).len());
        GAINS.map(gained).into()
    }

    /// Everything that was audited, after the proxy has ended in order: sums are told then.
    pub(super) fn audited_in_the_end(&self) -> Vec<Value> {
        let worker = self.world.worker_pid();
        self.world.signal_proxy(rustix::process::Signal::TERM);
        self.world.eventually("the worker has ended", || {
            let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
            let state = stat
                .rsplit_once(')')
                .map(|(_, rest)| rest.trim_start().to_owned());
            state
                .is_none_or(|state| state.starts_with('Z'))
                .then_some(())
        });
        // Until now the socket is open here, as if the worker lived.
        self.worker.let_go();
        assert_eq!(self.world.proxy_end(), Some(0));
        self.world.audit()
    }

    /// How often this event with this reason is among these.
    fn count(events: &[Value], (name, reason): (&str, &str)) -> u64 {
        let found = events
            .iter()
            .filter(|event| event["event"] == name && event["reason"] == reason);
        found
            .map(|event| event["count"].as_u64().unwrap_or(1))
            .sum()
    }

    /// Tries attacks, one after the other: each gains nothing, and is audited. Of refused calls of the same
    /// kind, only the first one of a minute has a line of its own: the others are in a sum.
    pub(super) fn withstands(&self, attacks: &[WorkerAttack]) {
        for attack in attacks {
            eprintln!("attack: {}", attack.tries);
            let act = (attack.prepare)(self);
            let is_summed = attack.leaves.0 == "call.refused";
            let since = match is_summed {
                true => 0,
                false => self.world.audit().len(),
            };
            let mut expected = self.gains();
            act(self);
            for gain in attack.gains {
                *expected.get_mut(gain).expect("one of the gains") += 1;
            }
            assert_eq!(self.gains(), expected, "{}", attack.tries);
            self.world
                .eventually(&format!("{} is audited", attack.tries), || {
                    let events = self.world.audit();
                    (Self::count(&events[since..], attack.leaves) > 0).then_some(())
                });
        }
        let events = self.audited_in_the_end();
        for attack in attacks {
            let alike = attacks.iter().filter(|one| one.leaves == attack.leaves);
            let told = Self::count(&events, attack.leaves);
            let tried = u64::try_from(alike.count()).expect("few");
            assert!(told >= tried, "{}: {told} of {tried}", attack.leaves.1);
        }
    }
}
