//! The service that says what the auth process has counted. A worker asks it for each scrape of its metrics.
//!
//! The names are values of labels, which are closed sets of the program; another version may have others,
//! and both sides pass over what they do not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Asks what was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryRequest {}

/// The answer to [`TelemetryRequest`], from memory: the state is not asked for it. Counters begin at zero
/// with each auth process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TelemetryAnswer {
    /// When the auth process started, in seconds since the epoch.
    pub started: u64,
    /// How often it was started again, because it had ended by itself.
    pub restarts: u64,
    /// Clients that were signed in, by the method.
    pub sign_ins: BTreeMap<String, u64>,
    /// Clients that were not, by the class of the reason.
    pub refusals: BTreeMap<String, u64>,
    /// Clients that have to wait, by the counter that says so.
    pub throttled: BTreeMap<String, u64>,
    /// Certificates for users, by their purpose.
    pub certificates: BTreeMap<String, u64>,
    /// Heartbeats of nodes that were answered.
    pub node_heartbeats: u64,
    /// Hosts that were refused when they wanted to join, or when they sent a heartbeat.
    pub node_refusals: u64,
    /// Events for the audit log, by their names.
    pub audit_events: BTreeMap<String, u64>,
    /// Events that the audit log did not take.
    pub audit_failures: u64,
    /// The state.
    pub state: StateTelemetry,
}

/// What is known about the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StateTelemetry {
    /// How long reading it took.
    pub read: Durations,
    /// How long changing it took.
    pub write: Durations,
    /// Uses of it that failed because of the database.
    pub errors: u64,
    /// How much room it takes up, in bytes; `None` if that could not be found out lately.
    pub bytes: Option<u64>,
    /// How many sign-ins are not over; `None` if that could not be found out lately.
    pub sign_ins: Option<u64>,
    /// How many nodes have joined, by how they are; empty if that could not be found out lately.
    pub nodes: BTreeMap<String, u64>,
    /// How many nodes have an open tunnel; `None` if that could not be found out lately.
    pub tunnelled_nodes: Option<u64>,
}

/// Durations, counted by upper bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Durations {
    /// How many were within each bound and beyond the one before; at last, those beyond all bounds.
    pub counts: Vec<u64>,
    /// All durations together.
    pub nanoseconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{Service, decode, encode};

    #[test]
    fn what_another_version_does_not_send_counts_as_nothing() {
        let answer: TelemetryAnswer =
            decode(br#"{"started":7,"sign_ins":{"telepathy":1},"weather":"fine"}"#).unwrap();
        assert_eq!(answer.started, 7);
        assert_eq!(answer.sign_ins["telepathy"], 1);
        assert_eq!(answer.state, StateTelemetry::default());
        let _request: TelemetryRequest = decode(br#"{"since":3}"#).unwrap();
        assert_eq!(encode(&TelemetryRequest {}).unwrap(), b"{}");
    }

    /// With every series that there is, and the largest numbers.
    #[test]
    fn the_longest_answer_fits() {
        let most = |count: usize| {
            let names = (0..count).map(|number| (format!("{number:0>24}"), u64::MAX));
            names.collect::<BTreeMap<_, _>>()
        };
        let durations = Durations {
            counts: vec![u64::MAX; 16],
            nanoseconds: u64::MAX,
        };
        let answer = TelemetryAnswer {
            started: u64::MAX,
            restarts: u64::MAX,
            sign_ins: most(8),
            refusals: most(16),
            throttled: most(8),
            certificates: most(8),
            node_heartbeats: u64::MAX,
            node_refusals: u64::MAX,
            audit_events: most(64),
            audit_failures: u64::MAX,
            state: StateTelemetry {
                read: durations.clone(),
                write: durations,
                errors: u64::MAX,
                bytes: Some(u64::MAX),
                sign_ins: Some(u64::MAX),
                nodes: most(8),
                tunnelled_nodes: Some(u64::MAX),
            },
        };
        let length = encode(&answer).unwrap().len();
        assert!(length + 100 < Service::Telemetry.max_answer(), "{length}");
    }
}
