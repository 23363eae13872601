//! Keeps the worker's revocations, the ends of sign-ins and the hosts that have joined up to date with
//! the state, which the auth process reads.
//!
//! A revocation stays in force until a line lifts it, whatever becomes of the state or of the auth
//! process.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::nodes::{NodeDirectory, NodeUpdates};
use crate::ca::{RevocationRecord, Revocations};
use crate::ipc::{CallError, Changes, ChangesAnswer, ChangesRequest};
use crate::ssh::{Freshness, SignInChanges};
use crate::sys::clock;

/// How often to ask: a revocation has to be enforced within a second.
const PERIOD: Duration = Duration::from_millis(200);

/// Why it is not known what is revoked.
#[derive(Debug, Error)]
pub enum FollowError {
    /// There is no answer.
    #[error("cannot ask what is revoked")]
    Call(#[from] CallError),
    /// An answer contains a line that revokes nothing.
    #[error("a line of the revocations makes no sense")]
    Line,
}

/// Follows what is revoked.
#[derive(Debug)]
pub(super) struct Watcher {
    changes: Arc<dyn Changes>,
    /// What is known, for the next request.
    known: ChangesRequest,
    sender: watch::Sender<Arc<Revocations>>,
    freshness: Freshness,
}

/// What one or several answers have brought.
#[derive(Debug, Default)]
struct Brought {
    records: Vec<RevocationRecord>,
    ended: Vec<crate::ipc::SignInChange>,
    nodes: NodeUpdates,
}

impl Watcher {
    /// Asks for all revocations; the receiver gets them now and after each change. How old they are is
    /// noted in `freshness`. The hosts that have joined until now are returned too.
    ///
    /// # Errors
    /// When there is no answer: the worker must not start if it would accept revoked certificates.
    pub(super) fn start(
        changes: Arc<dyn Changes>,
        freshness: Freshness,
    ) -> Result<(Self, watch::Receiver<Arc<Revocations>>, NodeUpdates), FollowError> {
        let (sender, receiver) = watch::channel(Arc::default());
        let mut watcher = Self {
            changes,
            known: ChangesRequest {
                nodes_after: Some(0),
                ..ChangesRequest::default()
            },
            sender,
            freshness,
        };
        let (known, brought) = ask(&*watcher.changes, watcher.known, &watcher.freshness)?;
        watcher.known = known;
        let all = Revocations::of(brought.records);
        watcher.sender.send_replace(Arc::new(all));
        Ok((watcher, receiver, brought.nodes))
    }

    /// Asks again and again, until all receivers are dropped.
    pub(super) async fn run(
        mut self,
        (ended, nodes): (watch::Sender<SignInChanges>, NodeDirectory),
    ) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_told = false;
        while !self.sender.is_closed() {
            ticks.tick().await;
            let (changes, known) = (Arc::clone(&self.changes), self.known);
            let freshness = self.freshness.clone();
            // On another thread: a call waits for its answer, and clients wait to be accepted.
            let asked = tokio::task::spawn_blocking(move || ask(&*changes, known, &freshness));
            match asked.await {
                Ok(Ok((known, brought))) => {
                    is_told = false;
                    self.known = known;
                    self.take(brought, &ended, &nodes);
                }
                Ok(Err(error)) if !is_told => {
                    is_told = true;
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "cannot ask what is revoked; what is known stands");
                }
                Ok(Err(_)) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot ask what is revoked; what is known stands");
                }
            }
        }
    }

    fn take(&self, brought: Brought, ended: &watch::Sender<SignInChanges>, nodes: &NodeDirectory) {
        let Brought {
            records,
            ended: more,
            nodes: joined,
        } = brought;
        ended.send_if_modified(|ended| ended.add(more));
        nodes.take(joined);
        if records.is_empty() {
            return;
        }
        let mut known = Revocations::clone(&self.sender.borrow());
        if known.adopt(&Revocations::of(records)) {
            let version = known.list().version;
            tracing::info!(version, "the revocations have changed");
            self.sender.send_replace(Arc::new(known));
        }
    }
}

/// Asks until there is no more. Returns what is known then, for the next request, and what is new.
fn ask(
    changes: &dyn Changes,
    known: ChangesRequest,
    freshness: &Freshness,
) -> Result<(ChangesRequest, Brought), FollowError> {
    let mut known = known;
    let mut brought = Brought::default();
    loop {
        let asked = clock::monotonic();
        let ChangesAnswer {
            revocations,
            revocations_in_all,
            sign_ins,
            sign_ins_until,
            has_more,
            age_ms,
            nodes,
            nodes_anew,
        } = changes.since(known)?;
        for line in &revocations {
            let record = Revocations::parse(line.as_bytes()).ok_or(FollowError::Line)?;
            brought.records.push(record);
        }
        brought.ended.extend(sign_ins);
        if let Some(last) = nodes.last() {
            known.nodes_after = Some(last.number);
        } else if nodes_anew {
            known.nodes_after = Some(0);
        }
        brought.nodes.add(nodes_anew, nodes);
        known.sign_ins = Some(sign_ins_until);
        known.revocations += revocations.len() as u64;
        if revocations_in_all < known.revocations {
            // Another state than before, which has less. What is known stands, and all of it is read.
            tracing::warn!("revocations were removed; those known stand");
            known.revocations = 0;
        } else if !has_more {
            freshness.note(asked.saturating_sub(Duration::from_millis(age_ms)));
            return Ok((known, brought));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use uuid::Uuid;

    use super::*;
    use crate::ipc::{NodeNews, SignInChange, SignInEnd, SignInNews};
    use crate::worker::nodes::tests::{directory, names, news};

    /// A service with these lines, of which each answer has one.
    #[derive(Debug, Default)]
    struct Written(Mutex<WrittenState>);

    #[derive(Debug, Default)]
    struct WrittenState {
        lines: Vec<String>,
        ends: Vec<SignInChange>,
        nodes: Vec<NodeNews>,
        nodes_anew: bool,
        is_down: bool,
        age_ms: u64,
    }

    impl Written {
        fn change(&self, change: impl FnOnce(&mut WrittenState)) {
            change(&mut self.0.lock().unwrap());
        }

        fn revoke(&self, key_id: &str) {
            self.change(|state| {
                let version = state.lines.len() + 1;
                state.lines.push(format!(
                    r#"{{"time":"2027-01-15T08:00:00Z","version":{version},"by":"root","reason":null,"key_id":"{key_id}"}}"#
                ));
            });
        }
    }

    impl Changes for Written {
        fn since(&self, request: ChangesRequest) -> Result<ChangesAnswer, CallError> {
            let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.is_down {
                return Err(CallError::HungUp);
            }
            let skipped = usize::try_from(request.revocations).unwrap();
            let revocations: Vec<_> = state.lines.iter().skip(skipped).take(1).cloned().collect();
            let ends = state.ends.iter();
            let later = state.nodes.iter().filter(|one| {
                let after = request.nodes_after.expect("the worker wants all nodes");
                one.number > after
            });
            let is_up_to_date = later.clone().next().is_none();
            let nodes: Vec<NodeNews> = later.clone().take(1).cloned().collect();
            Ok(ChangesAnswer {
                has_more: skipped + revocations.len() < state.lines.len()
                    || later.clone().count() > nodes.len(),
                revocations,
                revocations_in_all: state.lines.len() as u64,
                nodes,
                nodes_anew: state.nodes_anew && !is_up_to_date,
                sign_ins: ends
                    .filter(|end| request.sign_ins.is_some_and(|known| end.number > known))
                    .cloned()
                    .collect(),
                sign_ins_until: state.ends.last().map_or(0, |end| end.number),
                age_ms: state.age_ms,
            })
        }
    }

    fn count(receiver: &mut watch::Receiver<Arc<Revocations>>) -> usize {
        receiver.borrow_and_update().records().len()
    }

    #[tokio::test(start_paused = true)]
    async fn revocations_arrive_soon_and_stay() {
        const { assert!(PERIOD.as_millis() <= 200, "a second is the promise") };
        let written = Arc::new(Written::default());
        written.revoke("alice");
        written.revoke("bob");
        let changes: Arc<dyn Changes> = Arc::<Written>::clone(&written);
        let freshness = Freshness::default();
        let (watcher, mut receiver, _) = Watcher::start(changes, freshness).unwrap();
        assert_eq!(count(&mut receiver), 2, "all of them from the start on");
        let watching = tokio::spawn(watcher.run((watch::Sender::default(), directory().0)));
        written.revoke("carol");
        receiver.changed().await.unwrap();
        assert_eq!(count(&mut receiver), 3);
        // While there is no answer, what is known stands.
        written.change(|state| state.is_down = true);
        tokio::time::sleep(10 * PERIOD).await;
        assert_eq!(count(&mut receiver), 3);
        // A state that has less takes nothing back, and what is added to it counts.
        written.change(|state| {
            state.is_down = false;
            state.lines.clear();
        });
        written.revoke("dave");
        receiver.changed().await.unwrap();
        assert_eq!(count(&mut receiver), 4);
        written.revoke("erin");
        receiver.changed().await.unwrap();
        assert_eq!(count(&mut receiver), 5);
        drop(receiver);
        watching.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn ends_of_sign_ins_arrive_and_those_from_before_do_not() {
        let written = Arc::new(Written::default());
        let end = |number| SignInChange {
            number,
            id: Uuid::now_v7(),
            what: SignInNews::Ended(SignInEnd::Locked),
        };
        let (old, new) = (end(1), end(2));
        written.change(|state| state.ends.push(old.clone()));
        let changes: Arc<dyn Changes> = Arc::<Written>::clone(&written);
        let (watcher, receiver, _) = Watcher::start(changes, Freshness::default()).unwrap();
        let sender = watch::Sender::<SignInChanges>::default();
        let mut ended = sender.subscribe();
        let watching = tokio::spawn(watcher.run((sender, directory().0)));
        written.change(|state| state.ends.push(new.clone()));
        ended.changed().await.unwrap();
        assert_eq!(ended.borrow().reason(new.id), Some(SignInEnd::Locked));
        assert_eq!(ended.borrow().reason(old.id), None);
        drop(receiver);
        watching.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_that_join_are_nodes_soon_and_the_earlier_ones_from_the_start_on() {
        let written = Arc::new(Written::default());
        written.change(|state| {
            state.nodes = vec![news(1, "a"), news(2, "b")];
        });
        let changes: Arc<dyn Changes> = Arc::<Written>::clone(&written);
        let (watcher, receiver, joined) = Watcher::start(changes, Freshness::default()).unwrap();
        let (nodes, mut settings) = directory();
        nodes.take(joined);
        assert_eq!(names(&settings.borrow_and_update()), ["a", "b", "db1"]);
        let watching = tokio::spawn(watcher.run((watch::Sender::default(), nodes)));
        written.change(|state| {
            state.nodes.push(news(3, "c"));
        });
        settings.changed().await.unwrap();
        assert_eq!(names(&settings.borrow_and_update()), ["a", "b", "c", "db1"]);
        // Another state than before.
        written.change(|state| {
            state.nodes_anew = true;
            state.nodes = vec![news(4, "d")];
        });
        settings.changed().await.unwrap();
        assert_eq!(names(&settings.borrow_and_update()), ["d", "db1"]);
        drop(receiver);
        watching.await.unwrap();
    }

    #[test]
    fn what_cannot_be_asked_or_understood_keeps_the_worker_from_starting() {
        let written = Arc::new(Written::default());
        let start = || {
            let changes: Arc<dyn Changes> = Arc::<Written>::clone(&written);
            Watcher::start(changes, Freshness::default()).map(drop)
        };
        start().unwrap();
        written.change(|state| state.lines.push("{}".to_owned()));
        assert!(matches!(start(), Err(FollowError::Line)));
        written.change(|state| state.is_down = true);
        assert!(matches!(start(), Err(FollowError::Call(_))));
    }

    #[test]
    fn how_old_the_knowledge_is_is_noted() {
        let written = Arc::new(Written::default());
        written.change(|state| state.age_ms = 50_000);
        let freshness = Freshness::default();
        let changes: Arc<dyn Changes> = Arc::<Written>::clone(&written);
        Watcher::start(changes, freshness.clone()).unwrap();
        assert!(freshness.age() >= Duration::from_secs(50));
    }
}
