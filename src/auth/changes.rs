//! The service that tells what was revoked, and what has become of sign-ins and nodes. A thread reads the state
//! several times a second; answers are made from what it has read.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::AuthProcessError;
use super::node_changes::KnownNodes;
use crate::ca::CaRecords;
use crate::ipc::{ChangesAnswer, ChangesRequest, Service, SignInChange, SignInNews, encode};
use crate::model::chain;
use crate::state::{State, StateError};
use crate::sys::clock;

/// How often the state is read. What is revoked has to be enforced within a second.
const PERIOD: Duration = Duration::from_millis(200);
/// How many rows are read at once.
const PAGE: usize = 1_000;
/// How many bytes of revocations are in one answer, as they are sent; at least one line is.
const MAX_BYTES: usize = 40 * 1024;
/// How many changes of sign-ins are in one answer.
const MAX_CHANGES: usize = 100;
/// How many bytes of them are in one answer, without what JSON adds; at least one is.
const MAX_CHANGES_BYTES: usize = 16 * 1024;
/// How many bytes of an answer are left over, for what JSON adds.
const MARGIN: usize = 1024;
/// How many changes of sign-ins are kept in memory. Older ones are read when a caller asks for them.
const KEPT_CHANGES: usize = 10_000;

/// Tells what has changed.
#[derive(Debug)]
pub(super) struct ChangesService {
    state: State,
    records: CaRecords,
    known: Mutex<Known>,
}

/// What was read from the state.
#[derive(Debug)]
struct Known {
    /// The lines of the revocations.
    revocations: Vec<String>,
    /// The last changes of sign-ins; all of those after `changes_after`.
    changes: VecDeque<SignInChange>,
    changes_after: u64,
    nodes: KnownNodes,
    /// When the last successful reading began, as a time of the machine's monotonic clock.
    read_at: Duration,
}

impl ChangesService {
    /// Reads the state for the first time.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn new(state: State, records: CaRecords) -> Result<Self, AuthProcessError> {
        let known = Known {
            revocations: Vec::new(),
            changes: VecDeque::new(),
            changes_after: state.sign_ins().last_end()?,
            nodes: KnownNodes::default(),
            read_at: clock::monotonic(),
        };
        let service = Self {
            state,
            records,
            known: Mutex::new(known),
        };
        service.read()?;
        Ok(service)
    }

    /// Reads the state again and again, on a thread, until the sender of `stop` is dropped.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub(super) fn follow(self: Arc<Self>, stop: Receiver<()>) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("changes-reader".to_owned())
            .spawn(move || {
                let mut is_told = false;
                while stop.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                    match self.read() {
                        Ok(()) if is_told => {
                            tracing::info!("the state can be read again");
                            is_told = false;
                        }
                        Ok(()) => {}
                        Err(error) => {
                            if !is_told {
                                let error = chain(&error);
                                tracing::error!(%error, "cannot read the state; what is known stands");
                            }
                            is_told = true;
                        }
                    }
                }
            })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what has been added. Answers are made meanwhile.
    fn read(&self) -> Result<(), AuthProcessError> {
        let began = clock::monotonic();
        loop {
            let have = self.known().revocations.len() as u64;
            let more = self.records.revoked.since(have, PAGE)?;
            let is_last = more.len() < PAGE;
            self.known().revocations.extend(more);
            if is_last {
                break;
            }
        }
        loop {
            let last = self.known().last_change();
            let more = self.state.sign_ins().since(last, PAGE)?;
            let is_last = more.len() < PAGE;
            self.known().add_changes(more);
            if is_last {
                break;
            }
        }
        loop {
            let last = self.known().nodes.last();
            let more = self.state.nodes().changes_since(last, PAGE)?;
            let is_last = more.len() < PAGE;
            self.known().nodes.add(more);
            if is_last {
                break;
            }
        }
        self.known().read_at = began;
        Ok(())
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When the caller asks for changes that have to be read from the state, and that fails.
    pub(super) fn since(&self, request: ChangesRequest) -> Result<ChangesAnswer, StateError> {
        let mut answer = self.known().answer(request);
        if let Some(known) = request.sign_ins
            && known < self.known().changes_after
        {
            let older = self.state.sign_ins().since(known, MAX_CHANGES)?;
            answer.sign_ins = that_fit(older.iter());
            answer.sign_ins_until = answer.sign_ins.last().map_or(known, |last| last.number);
            answer.has_more |= older.len() >= MAX_CHANGES || answer.sign_ins.len() < older.len();
            // None of them is in the state any more.
            if answer.sign_ins.is_empty() {
                answer.sign_ins_until = self.known().changes_after;
                answer.has_more = true;
            }
        }
        if let Some(known) = request.nodes_after {
            self.known().add_nodes(known, &mut answer);
        }
        Ok(answer)
    }
}

impl Known {
    /// Adds the changes of nodes after the one with this number, as far as they fit beside the rest.
    fn add_nodes(&self, number: u64, answer: &mut ChangesAnswer) {
        if self.nodes.last() == number {
            return;
        }
        let most = Service::Changes.max_answer().saturating_sub(MARGIN);
        let used = encode(answer).map_or(most, |bytes| bytes.len());
        let page = self.nodes.after(number, most.saturating_sub(used));
        answer.nodes = page.nodes;
        answer.nodes_anew = page.is_anew;
        answer.has_more |= page.has_more;
    }

    fn last_change(&self) -> u64 {
        self.changes
            .back()
            .map_or(self.changes_after, |end| end.number)
    }

    fn add_changes(&mut self, more: Vec<SignInChange>) {
        self.changes.extend(more);
        while self.changes.len() > KEPT_CHANGES
            && let Some(oldest) = self.changes.pop_front()
        {
            self.changes_after = oldest.number;
        }
    }

    /// The answer from memory.
    fn answer(&self, request: ChangesRequest) -> ChangesAnswer {
        let skipped = usize::try_from(request.revocations).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let lines = self.revocations.iter().skip(skipped).take_while(|line| {
            let is_first = bytes == 0;
            // Quotes are escaped, and the line is quoted itself.
            bytes += line.len() + line.bytes().filter(|byte| b"\"\\".contains(byte)).count() + 3;
            is_first || bytes <= MAX_BYTES
        });
        let revocations: Vec<String> = lines.cloned().collect();
        let sign_ins = match request.sign_ins {
            Some(known) => {
                let changes = self.changes.iter();
                that_fit(changes.filter(|change| change.number > known))
            }
            None => Vec::new(),
        };
        let sign_ins_until = match (request.sign_ins, sign_ins.last()) {
            (Some(_), Some(last)) => last.number,
            _ => self.last_change(),
        };
        let has_more = skipped.saturating_add(revocations.len()) < self.revocations.len()
            || sign_ins_until < self.last_change();
        let age = clock::monotonic().saturating_sub(self.read_at);
        ChangesAnswer {
            revocations,
            revocations_in_all: self.revocations.len() as u64,
            sign_ins,
            sign_ins_until,
            nodes: Vec::new(),
            nodes_anew: false,
            has_more,
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// As many changes as one answer can have; at least one if there is one.
fn that_fit<'c>(changes: impl Iterator<Item = &'c SignInChange>) -> Vec<SignInChange> {
    let mut bytes = 0;
    changes
        .take(MAX_CHANGES)
        .take_while(|change| {
            let is_first = bytes == 0;
            bytes += size(change);
            is_first || bytes <= MAX_CHANGES_BYTES
        })
        .cloned()
        .collect()
}

/// Bytes of a change, without what JSON adds.
fn size(change: &SignInChange) -> usize {
    let access = match &change.what {
        SignInNews::Ended(_) => 0,
        SignInNews::Access(access) => {
            let roles = access.roles.iter().map(String::len);
            let logins = access.logins.iter().flatten();
            roles.chain(logins.map(|login| login.as_str().len())).sum()
        }
    };
    access.saturating_add(size_of::<uuid::Uuid>())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ca::Revoked;
    use crate::ipc::{Service, SignInEnd, UserAccess, encode};
    use crate::model::DataDir;
    use crate::state::{self, StatePlace};
    use crate::sys::clock::Clock;

    struct Home {
        directory: tempfile::TempDir,
        service: ChangesService,
    }

    impl Home {
        fn new() -> Self {
            let directory = crate::sys::fs::private_tempdir();
            let data_dir = DataDir::new(directory.path());
            let place = StatePlace::Sqlite(data_dir.state_db());
            let state = State::open(&place, Clock::System).unwrap();
            let records = state::records_in(&state, place, &data_dir);
            records.revoked.settle().unwrap();
            let service = ChangesService::new(state, records).unwrap();
            Self { directory, service }
        }

        fn revoke(&self, key_ids: impl IntoIterator<Item = String>) {
            let what = key_ids.into_iter().map(Revoked::of_key_id).collect();
            let revoked = &self.service.records.revoked;
            revoked.revoke(what, "root", None).unwrap();
        }

        fn since(&self, revocations: u64, sign_ins: Option<u64>) -> ChangesAnswer {
            let request = ChangesRequest {
                revocations,
                sign_ins,
                nodes_after: None,
            };
            self.service.since(request).unwrap()
        }

        fn nodes_after(&self, number: u64) -> ChangesAnswer {
            let request = ChangesRequest {
                nodes_after: Some(number),
                ..ChangesRequest::default()
            };
            self.service.since(request).unwrap()
        }
    }

    /// Has hosts join with these numbers.
    fn join(home: &Home, numbers: std::ops::RangeInclusive<u64>) {
        let state = &home.service.state;
        let token = state::testing::token("t", 1_000, state.now() + 60);
        state.tokens().put(&token).unwrap();
        for number in numbers {
            let mut node = state::testing::node(&format!("db{number}"));
            node.labels = vec![format!("what={}", "x".repeat(200)).parse().unwrap()];
            state.nodes().join(&node, "t", state.now()).unwrap();
        }
    }

    fn ends(numbers: std::ops::RangeInclusive<u64>) -> Vec<SignInChange> {
        let end = |number| SignInChange {
            number,
            id: Uuid::now_v7(),
            what: SignInNews::Ended(SignInEnd::Logout),
        };
        numbers.map(end).collect()
    }

    #[test]
    fn what_is_revoked_is_told_once_it_was_read() {
        let home = Home::new();
        let before = home.since(0, None);
        assert_eq!((before.revocations.len(), before.has_more), (0, false));
        home.revoke(["alice".to_owned()]);
        home.service.read().unwrap();
        let answer = home.since(0, None);
        assert!(answer.revocations[0].contains("alice"), "{answer:?}");
        assert_eq!((answer.revocations_in_all, answer.has_more), (1, false));
        assert_eq!(home.since(1, None).revocations.len(), 0);
        // A caller that knows more than there is sees that.
        assert_eq!(home.since(7, None).revocations_in_all, 1);
        assert!(home.directory.path().is_dir());
    }

    #[test]
    fn a_long_list_comes_in_several_answers_that_fit() {
        let home = Home::new();
        home.revoke((0..2_500).map(|number| format!("\"user\" {number}")));
        home.service.read().unwrap();
        let mut known = 0;
        loop {
            let answer = home.since(known, Some(0));
            assert!(encode(&answer).unwrap().len() < Service::Changes.max_answer());
            assert!(!answer.revocations.is_empty());
            known += answer.revocations.len() as u64;
            if !answer.has_more {
                break;
            }
        }
        assert_eq!(known, 2_500);
    }

    #[test]
    fn ends_are_told_in_their_order_to_those_who_do_not_know_them() {
        let home = Home::new();
        home.service.known().add_changes(ends(1..=250));
        let none = home.since(0, None);
        assert_eq!((none.sign_ins.len(), none.sign_ins_until), (0, 250));
        let mut known = 30;
        let mut told = Vec::new();
        loop {
            let answer = home.since(0, Some(known));
            known = answer.sign_ins_until;
            told.extend(answer.sign_ins.iter().map(|end| end.number));
            if !answer.has_more {
                break;
            }
        }
        assert_eq!(told, (31..=250).collect::<Vec<_>>());
        assert!(home.since(0, Some(250)).sign_ins.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_older_ends_are_looked_for_in_the_state() {
        let home = Home::new();
        let count = KEPT_CHANGES as u64 + 5;
        home.service.known().add_changes(ends(1..=count));
        assert_eq!(home.service.known().changes.len(), KEPT_CHANGES);
        // The state of this test has none of them.
        let answer = home.since(0, Some(2));
        assert_eq!((answer.sign_ins.len(), answer.sign_ins_until), (0, 5));
        assert!(answer.has_more);
        assert_eq!(home.since(0, Some(5)).sign_ins[0].number, 6);
    }

    #[test]
    fn many_roles_come_in_several_answers_that_fit() {
        let home = Home::new();
        let role = "r".repeat(1_000);
        let changes = (1..=60).map(|number| SignInChange {
            number,
            id: Uuid::now_v7(),
            what: SignInNews::Access(UserAccess {
                roles: vec![role.clone(); 5],
                logins: Some(vec!["deploy".parse().unwrap()]),
            }),
        });
        home.service.known().add_changes(changes.collect());
        let (mut known, mut told) = (0, 0);
        loop {
            let answer = home.since(0, Some(known));
            assert!(encode(&answer).unwrap().len() < Service::Changes.max_answer());
            assert!(!answer.sign_ins.is_empty());
            told += answer.sign_ins.len();
            known = answer.sign_ins_until;
            if !answer.has_more {
                break;
            }
        }
        assert_eq!((known, told), (60, 60));
    }

    #[test]
    fn nodes_are_told_to_those_who_ask_as_soon_as_they_were_read() {
        let home = Home::new();
        join(&home, 1..=300);
        assert_eq!(home.nodes_after(0).nodes, []);
        home.service.read().unwrap();
        assert_eq!(home.since(0, None).nodes, [], "not asked for");
        // Beside as much else as there can be.
        home.revoke((0..500).map(|number| format!("user {number} {}", "x".repeat(200))));
        home.service.known().add_changes(ends(1..=250));
        home.service.read().unwrap();
        let mut known = ChangesRequest {
            revocations: 0,
            sign_ins: Some(0),
            nodes_after: Some(0),
        };
        let mut names = std::collections::BTreeSet::new();
        loop {
            let answer = home.service.since(known).unwrap();
            assert!(encode(&answer).unwrap().len() <= Service::Changes.max_answer());
            assert!(!answer.nodes_anew);
            known.revocations += answer.revocations.len() as u64;
            known.sign_ins = Some(answer.sign_ins_until);
            known.nodes_after = answer
                .nodes
                .last()
                .map_or(known.nodes_after, |last| Some(last.number));
            names.extend(answer.nodes.into_iter().map(|news| news.now.unwrap().name));
            if !answer.has_more {
                break;
            }
        }
        assert_eq!((names.len(), known.nodes_after), (300, Some(300)));
        assert_eq!((known.revocations, known.sign_ins), (500, Some(250)));
        home.service.state.nodes().remove("db7").unwrap().unwrap();
        home.service.read().unwrap();
        let answer = home.nodes_after(300);
        assert_eq!((answer.nodes[0].number, &answer.nodes[0].now), (301, &None));
        let anew = home.nodes_after(400);
        assert!(anew.nodes_anew && anew.has_more, "{anew:?}");
    }

    #[test]
    fn what_is_known_gets_older_until_it_is_read_again() {
        let home = Home::new();
        home.service.known().read_at = clock::monotonic() - Duration::from_secs(100);
        assert!(home.since(0, None).age_ms >= 100_000);
        home.service.read().unwrap();
        assert!(home.since(0, None).age_ms < 100_000);
    }
}
