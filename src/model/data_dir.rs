//! The data directory, and where everything in it is.

use std::fmt;
use std::path::{Path, PathBuf};

/// The data directory. It names what stands in it; the files within `ca/`, `recordings/` and
/// `control/` are named by the rooms that write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The name of the audit log.
    pub const AUDIT_LOG: &str = "audit.jsonl";
    /// The name of the ledger of issued certificates.
    pub const LEDGER: &str = "issued.jsonl";
    /// The name of the log of revocations.
    pub const REVOCATIONS: &str = "revoked.jsonl";
    /// The name of the state, a database of SQLite.
    pub const STATE: &str = "state.db";

    /// The directory with this path, whether or not it exists.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its own path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The audit log.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.0.join(Self::AUDIT_LOG)
    }

    /// The ledger of issued certificates.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.0.join(Self::LEDGER)
    }

    /// The log of revocations.
    #[must_use]
    pub fn revocations(&self) -> PathBuf {
        self.0.join(Self::REVOCATIONS)
    }

    /// The state, a database of SQLite. SQLite makes files beside it, with `-wal` and `-shm` after
    /// the name.
    #[must_use]
    pub fn state_db(&self) -> PathBuf {
        self.0.join(Self::STATE)
    }

    /// The directory of the CAs' keys.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca")
    }

    /// The directory of the certificate of HTTPS that the proxy makes for itself.
    #[must_use]
    pub fn web(&self) -> PathBuf {
        self.0.join("web")
    }

    /// The directory of recordings.
    #[must_use]
    pub fn recordings(&self) -> PathBuf {
        self.0.join("recordings")
    }

    /// The directory of the control sockets.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    /// The file whose lock the serving monitor holds.
    #[must_use]
    pub fn serve_lock(&self) -> PathBuf {
        self.0.join("serve.lock")
    }
}

/// As paths are shown to the operator.
impl fmt::Display for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_below_it_and_has_a_place_of_its_own() {
        let data = DataDir::new("/data");
        let all = [
            data.audit_log(),
            data.ledger(),
            data.revocations(),
            data.state_db(),
            data.ca(),
            data.web(),
            data.recordings(),
            data.control(),
            data.serve_lock(),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|path| path.parent() == Some(data.path())));
    }
}
