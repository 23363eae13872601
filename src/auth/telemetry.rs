//! The service that says what this process has counted, for the metrics that a worker serves. Answers are
//! made from memory; a thread looks up now and then what only the state knows.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ipc::{Durations, StateTelemetry, TelemetryAnswer};
use crate::metrics::{
    AuthMeters, ClosedSet as _, Histogram, HistogramReading, NodeStanding, StateTask,
};
use crate::model::chain;
use crate::state::{NodeCounts, State, StateError};

/// How often to look at the state.
const PERIOD: Duration = Duration::from_secs(5);

/// Says what was counted.
#[derive(Debug)]
pub(super) struct TelemetryService {
    state: State,
    meters: Arc<AuthMeters>,
    /// When this process started, in seconds since the epoch.
    started: u64,
    restarts: u64,
    seen: Mutex<StateFigures>,
}

/// What was seen when the state was last looked at; nothing if that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct StateFigures {
    bytes: Option<u64>,
    sign_ins: Option<u64>,
    nodes: Option<NodeCounts>,
    tunnelled_nodes: Option<u64>,
}

impl TelemetryService {
    /// A service for a process that starts now, after so many that have ended by themselves.
    pub(super) fn new(state: State, meters: Arc<AuthMeters>, restarts: u64) -> Self {
        Self {
            started: state.now(),
            state,
            meters,
            restarts,
            seen: Mutex::default(),
        }
    }

    /// Looks at the state now and then, on a thread, until the sender of `stop` is dropped.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub(super) fn follow(self: Arc<Self>, stop: Receiver<()>) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("telemetry-reader".to_owned())
            .spawn(move || {
                self.look();
                while stop.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                    self.look();
                }
            })
    }

    fn look(&self) {
        let seen = self.seen_now().unwrap_or_else(|error| {
            // The thread that reads what is revoked says on the log that the state cannot be read.
            tracing::debug!(error = %chain(&error), "cannot look at the state");
            StateFigures::default()
        });
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn seen_now(&self) -> Result<StateFigures, StateError> {
        let (now, nodes) = (self.state.now(), self.state.nodes());
        Ok(StateFigures {
            bytes: Some(self.state.size()?),
            sign_ins: Some(self.state.sign_ins().count(now)?),
            nodes: Some(nodes.count(now)?),
            tunnelled_nodes: Some(nodes.count_tunnelled()?),
        })
    }

    /// What was counted. Does not wait for the state.
    pub(super) fn answer(&self) -> TelemetryAnswer {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (meters, state) = (&self.meters, self.state.meters());
        let durations = |task| {
            let reading = state.time.with(task, Histogram::reading);
            let HistogramReading {
                counts,
                nanoseconds,
            } = reading.unwrap_or_default();
            Durations {
                counts,
                nanoseconds,
            }
        };
        TelemetryAnswer {
            started: self.started,
            restarts: self.restarts,
            sign_ins: meters.sign_ins.readings(),
            refusals: meters.refusals.readings(),
            throttled: meters.throttled.readings(),
            certificates: meters.certificates.readings(),
            node_heartbeats: meters.node_heartbeats.value(),
            node_refusals: meters.node_refusals.value(),
            audit_events: meters.audit_events.readings(),
            audit_failures: meters.audit_failures.value(),
            state: StateTelemetry {
                read: durations(StateTask::Read),
                write: durations(StateTask::Write),
                errors: state.errors.value(),
                bytes: seen.bytes,
                sign_ins: seen.sign_ins,
                nodes: seen.nodes.map(by_standing).unwrap_or_default(),
                tunnelled_nodes: seen.tunnelled_nodes,
            },
        }
    }
}

/// The counts, by the values of the label.
fn by_standing(counts: NodeCounts) -> BTreeMap<String, u64> {
    let standings = NodeStanding::ALL.iter().flat_map(|standing| {
        let count = match standing {
            NodeStanding::Online => counts.online,
            NodeStanding::Offline => counts.offline,
            NodeStanding::Locked => counts.locked,
        };
        let names = standing.values().into_iter();
        names.map(move |name| (name.to_owned(), count))
    });
    standings.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::audit::AuditLog;
    use crate::metrics::SignInMethod;
    use crate::model::DataDir;
    use crate::people::testing::{person, registered_key};
    use crate::state::NewSignIn;
    use crate::state::testing::{NOW, state_at};
    use crate::sys::clock::Clock;

    /// Has two hosts join, one of them locked and the other one with two tunnels.
    fn nodes_in(state: &State) {
        let token = crate::state::testing::token("t", 2, NOW + 60);
        state.tokens().put(&token).unwrap();
        let nodes = state.nodes();
        for name in ["db1", "web1"] {
            let mut node = crate::state::testing::node(name);
            let heartbeat = node.heartbeat.as_mut().unwrap();
            heartbeat.at = NOW;
            nodes.join(&node, "t", NOW).unwrap();
        }
        let db = nodes.by_name("db1").unwrap().unwrap();
        for _ in 0..2 {
            nodes.open_tunnel(db.id, uuid::Uuid::nil(), NOW).unwrap();
        }
        let lock = crate::state::NodeLock {
            at: NOW,
            by: "root".to_owned(),
            reason: None,
        };
        nodes.lock("web1", &lock).unwrap().unwrap();
    }

    #[test]
    fn what_was_counted_is_said_with_what_the_state_has() {
        let directory = crate::sys::fs::private_tempdir();
        let state = state_at(directory.path(), NOW);
        let alice = person(&state, "alice");
        let key = registered_key(&state, &alice);
        nodes_in(&state);
        let meters = Arc::<AuthMeters>::default();
        let service = Arc::new(TelemetryService::new(state.clone(), Arc::clone(&meters), 3));
        let before = service.answer();
        assert_eq!((before.started, before.restarts), (NOW, 3));
        assert_eq!((before.state.bytes, before.state.sign_ins), (None, None));
        assert!(before.state.nodes.is_empty(), "{before:?}");
        for until in [NOW, NOW + 1] {
            let new = NewSignIn {
                user: alice.id,
                fingerprint: key.fingerprint.clone(),
                client: "203.0.113.7".to_owned(),
                started: NOW - 60,
                until,
            };
            state.sign_ins().begin(&new).unwrap().unwrap();
        }
        meters.sign_ins.add(SignInMethod::Local, 2);
        meters.node_heartbeats.add(7);
        meters.node_refusals.add(3);
        let cluster = "example.com".parse().unwrap();
        let data = DataDir::new(directory.path());
        let audit = AuditLog::open(&data, cluster, Clock::Fixed(NOW)).unwrap();
        let audit = audit.observed_by(Arc::<AuthMeters>::clone(&meters));
        let event = crate::audit::AuditEvent::UpgradeRefused {
            message: "no".to_owned(),
        };
        audit.emit(&event).unwrap();
        service.look();
        let after = service.answer();
        assert_eq!((after.node_heartbeats, after.node_refusals), (7, 3));
        let nodes: Vec<_> = after
            .state
            .nodes
            .iter()
            .map(|(name, count)| (&name[..], *count))
            .collect();
        assert_eq!(nodes, [("locked", 1), ("offline", 0), ("online", 1)]);
        assert_eq!(after.state.tunnelled_nodes, Some(1));
        assert_eq!(after.sign_ins["local"], 2);
        assert_eq!(after.audit_events["server.upgrade_refused"], 1);
        assert_eq!(after.audit_failures, 0);
        assert!(after.state.bytes > Some(4_096), "{after:?}");
        assert_eq!(after.state.sign_ins, Some(1), "one of two is over");
        let count = |durations: &Durations| durations.counts.iter().sum::<u64>();
        assert_eq!(count(&after.state.write), count(&before.state.write) + 2);
        assert!(after.state.write.nanoseconds > before.state.write.nanoseconds);
        assert_eq!(after.state.errors, 0);
        // The thread looks at once, and ends when it is told to.
        let (going_on, stop) = channel();
        *service.seen.lock().unwrap() = StateFigures::default();
        let reader = Arc::clone(&service).follow(stop).unwrap();
        drop(going_on);
        reader.join().unwrap();
        assert_eq!(service.answer().state.sign_ins, Some(1));
    }
}
