//! A call: one request to a service, and its answer.
//!
//! The request is sent to the monitor in [`super::ProcessMessage::Call`], with one end of a socket
//! pair. Only the answer is sent on the other end. When the process that handles the call exits, or
//! replaces itself at an upgrade, the socket is closed.

use serde::{Deserialize, Serialize};

use super::requests::ServiceRequest;

/// A call, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCall {
    /// Distinguishes the caller's calls, in logs and in the answer.
    pub id: u64,
    /// How long the caller waits: a time of the machine's monotonic clock, in milliseconds.
    pub deadline_ms: u64,
    /// The request.
    pub request: ServiceRequest,
}

/// A process that calls, as the monitor knows it. The process itself does not say who it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallerProcess {
    /// The name of its kind, in the monitor's table of processes.
    pub kind: String,
    /// Its process id.
    pub pid: i32,
}

/// A call that the monitor passes on to the process that provides the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedCall {
    /// The process that has made the call.
    pub from: CallerProcess,
    /// The call, as it was made.
    pub call: ServiceCall,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallRefusal {
    /// The caller has the maximum number of calls of this service.
    Busy,
    /// The caller may not call this service, or the request is too long.
    Forbidden,
}

/// An answer, as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Response<A> {
    /// [`ServiceCall::id`]
    pub(super) id: u64,
    pub(super) outcome: Outcome<A>,
}

/// The result of a call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome<A> {
    Answer(A),
    Refused(CallRefusal),
}
