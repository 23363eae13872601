//! A call: one request to a service, and its answer.
//!
//! The request goes to the monitor in [`super::WorkerMessage::Call`], with one end of a socket pair.
//! The answer comes back on the other end, and nothing else does. When the process that works on the
//! call exits, or becomes another version of itself, the end of that socket says so.

use serde::{Deserialize, Serialize};

use super::requests::ServiceRequest;

/// A call, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCall {
    /// Tells the caller's calls apart, in logs and in the answer.
    pub id: u64,
    /// Until when the caller waits: milliseconds of the machine's monotonic clock.
    pub deadline_ms: u64,
    /// What is asked for.
    pub request: ServiceRequest,
}

/// Why a call is not worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallRefusal {
    /// The caller has as many calls of this service as it may have.
    Busy,
    /// The caller may not call this service, or the request is longer than it may be.
    Forbidden,
}

/// An answer, as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Response<A> {
    /// [`ServiceCall::id`]
    pub(super) id: u64,
    pub(super) outcome: Outcome<A>,
}

/// What has become of a call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome<A> {
    Answer(A),
    Refused(CallRefusal),
}
