//! How the commands fail: the errors of the CAs, with hints.

use super::super::{Exit, Failure};
use crate::ca::{CaError, IssueError};

/// The text when nothing is signed.
pub(super) const NOT_SIGNED: &str = "cannot sign the certificate";

/// Why there is no certificate.
pub(super) fn not_signed(error: IssueError) -> Failure {
    with_hint(NOT_SIGNED, error.hint(), error)
}

/// What is wrong with a CA, with what to do about it.
pub(in crate::cli) fn ca_failure(message: &str, error: CaError) -> Failure {
    with_hint(message, error.hint(), error)
}

fn with_hint(
    message: &str,
    hint: Option<String>,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Failure {
    let failure = Failure::new(Exit::Failed, message).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
