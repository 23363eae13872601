//! What the proxy says about itself to the machines that watch over it.
//!
//! Plain values, and one question that takes time: what serves these pages needs to know nothing of
//! SSH, and may stand in another process than what does.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::ipc::TelemetryAnswer;
use crate::session::RecordingPolicy;

/// How things are at the moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// How many keys of the user CA are trusted.
    pub user_ca_keys: usize,
    /// How many keys of the host CA are trusted.
    pub host_ca_keys: usize,
    /// How many lines of the log of revocations are in force.
    pub revocations: usize,
    /// The names of the nodes.
    pub nodes: BTreeSet<String>,
    /// Whether sessions are recorded, and whether they depend on it.
    pub recording: RecordingPolicy,
    /// The directory of recordings; the first session makes it.
    pub recordings: PathBuf,
    /// The file of the audit log.
    pub audit_log: PathBuf,
    /// How old the knowledge is of what was revoked and which sign-ins have ended.
    pub state_age: Duration,
    /// Whether that is too old for a new client to be judged by it.
    pub is_stale: bool,
}

/// What knows it.
pub trait StatusSource: fmt::Debug + Send + Sync + 'static {
    /// How things are now. Does not block.
    fn status(&self) -> Status;

    /// What the process that has the state has counted; `None` if it does not answer. Blocks for a second
    /// at most.
    fn telemetry(&self) -> Option<TelemetryAnswer>;

    /// Whether the key that signs host certificates is within reach. Blocks for ten seconds at most.
    ///
    /// # Errors
    /// Why it is not, for the administrator.
    fn check_host_ca(&self) -> Result<(), String>;
}
