//! The common arguments of `auth revoke` and `auth unrevoke`: serials, key ids, keys, the reason, the
//! confirmation.

use super::{Exit, Failure};

/// Which certificates and keys, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Subjects {
    /// The certificate with this serial
    #[arg(long, value_name = "NUMBER")]
    pub(super) serial: Vec<String>,
    /// All certificates with this key id, also those to come
    #[arg(long, value_name = "ID")]
    pub(super) key_id: Vec<String>,
    /// A key, in all certificates: its .pub file, or SHA256:.., as ssh-keygen -l prints it
    #[arg(long, alias = "fingerprint", value_name = "FILE|FINGERPRINT")]
    pub(super) key: Vec<String>,
    /// Why; it goes to the audit log, and users read it if it ends their connections
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Subjects {
    /// Asks, unless the answer was given.
    ///
    /// # Errors
    /// When the answer is not yes: `nothing` is the message then.
    pub(super) fn confirm(
        &self,
        question: &str,
        nothing: &str,
        ask: impl FnOnce(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        if self.yes || ask(question)? {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, nothing)
            .because("nobody has confirmed it")
            .hint("answer yes on a terminal, or give --yes"))
    }
}
