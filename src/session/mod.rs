//! The live session: what the relay passes on becomes a recording and audit events.
//!
//! The [`Recorder`] is the relay's tap. In strict mode no session starts without a recording, and the first
//! byte that cannot be recorded ends the connection; in best-effort mode the gap is marked and audited. The
//! [`Registry`] lists live connections and sessions, for commands that list, watch or end them. This room
//! has no sockets.

mod closing;
mod command;
mod context;
mod forwards;
mod killing;
mod leaving;
mod participants;
mod recorded;
mod recorded_session;
mod recorder;
mod recording_start;
mod refusal;
mod registry;
mod resting;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::recording::Options;
use crate::store::Recordings;

pub use command::{Reason, ReasonError, SessionCommand};
pub use context::{EarlyText, SessionContext};
pub use killing::SessionLocation;
pub use participants::{
    ClientNotice, JoinRefusal, JoinRequest, Joiner, Keystrokes, ParticipantRow, Participation,
    ViewPiece,
};
use recorded_session::RecordedSession;
pub use recorder::{Recorder, RecordingLost};
pub use registry::{Inbox, LiveConnection, LiveSession, Registration, Registry};

/// How sessions are recorded.
#[derive(Clone, Debug)]
pub struct RecordingSettings {
    /// Where recordings are stored.
    pub store: Recordings,
    /// What happens when one cannot be written.
    pub policy: RecordingPolicy,
    /// What is stored.
    pub options: Options,
}

/// What happens when a recording cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingPolicy {
    /// No recording, no session.
    Strict,
    /// The session goes on; the gap is marked and audited.
    BestEffort,
    /// Nothing is recorded, by configuration: sessions are audited only.
    Off,
}
