//! Why a command about people failed, and what to do.

use super::stored::state_failure;
use super::{Exit, Failure};
use crate::people::AdminError;

/// The failure of a command. `doing` is what it was to do, as in "lock alice".
pub(super) fn failure(doing: &str, error: AdminError) -> Failure {
    let message = format!("cannot {doing}");
    match error {
        AdminError::NoSuchUser(name) => no_such(&name),
        AdminError::State(error) => state_failure(&message, error),
        AdminError::Audit(error) => {
            Failure::new(Exit::Failed, "it is done, but the audit log lacks it").because(error)
        }
        error => {
            let hint = error.hint();
            let failure = Failure::new(Exit::Failed, message).because(error);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
    }
}

/// There is no such person.
pub(super) fn no_such(name: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("there is no user {name:?} in the state"),
    )
    .hint("`rproxy users ls` lists them; those of the configuration are in its section users")
}
