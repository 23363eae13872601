//! How a program fails.

use std::io;

use crate::ipc::PeopleRefusal;
use crate::ssh::waiting_line::AskError;

/// The exit status of a program that has failed.
pub(super) const FAILED: u32 = 1;

/// Why a program has ended without a result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    /// The client is gone, or does not read.
    #[error("the client is gone")]
    Gone(#[from] io::Error),
    /// The user has interrupted it, or answers no more.
    #[error("interrupted")]
    Interrupted,
    /// The process that decides about people does not answer.
    #[error("{0}")]
    Unanswered(#[from] AskError),
    /// Its answer is not one to the question.
    #[error("the proxy's answer makes no sense")]
    Nonsense,
    /// It was refused.
    #[error("{}", .0.message)]
    Refused(PeopleRefusal),
    /// It does not work like this; what the user can do.
    #[error("{0}")]
    Unusable(String),
}
