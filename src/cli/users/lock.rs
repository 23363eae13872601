//! `rproxy users lock` and `rproxy users unlock`.

use super::access::UserAccess;
use super::{Context, Failure, failure, ui};
use crate::session::Reason;

/// Lock a person out
///
/// The person's sign-ins end, and live sessions within a second; the person reads that they are
/// locked. Password, second factor and keys stay, for `rproxy users unlock`. Certificates that `rproxy
/// auth sign` made for this name are another matter: `rproxy auth revoke --key-id`.
#[derive(Debug, clap::Args)]
pub(crate) struct UsersLockArgs {
    /// Name of the person
    #[arg(value_name = "NAME")]
    person: String,
    /// Why, in one line, for the audit log and `rproxy users show`
    #[arg(long, value_name = "TEXT")]
    reason: Option<Reason>,
}

impl UsersLockArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.lock(context)?)
    }

    /// Does it, and gives what is printed.
    pub(super) fn lock(&self, context: &Context) -> Result<String, Failure> {
        let reason = self.reason.as_ref().map(ToString::to_string);
        let ended = UserAccess::to_change(context, &self.person)?
            .admin()
            .lock(&self.person, reason.as_deref())
            .map_err(|error| failure::failure(&format!("lock {}", self.person), error))?;
        Ok(format!("Locked {}{}\n", self.person, sign_ins(ended)))
    }
}

/// Let a locked person sign in again
#[derive(Debug, clap::Args)]
pub(crate) struct UsersUnlockArgs {
    /// Name of the person
    #[arg(value_name = "NAME")]
    person: String,
}

impl UsersUnlockArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.unlock(context)?)
    }

    /// Does it, and gives what is printed.
    pub(super) fn unlock(&self, context: &Context) -> Result<String, Failure> {
        UserAccess::to_change(context, &self.person)?
            .admin()
            .unlock(&self.person)
            .map_err(|error| failure::failure(&format!("unlock {}", self.person), error))?;
        Ok(format!("Unlocked {}\n", self.person))
    }
}

/// How many sign-ins have ended with a change.
pub(super) fn sign_ins(ended: usize) -> String {
    match ended {
        0 => String::new(),
        1 => "; 1 sign-in has ended".to_owned(),
        several => format!("; {several} sign-ins have ended"),
    }
}
