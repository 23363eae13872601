//! One question, and the answers that several questions have.

use std::path::{Path, PathBuf};

use super::{Exit, Failure, ui};

/// Asks one question.
///
/// # Errors
/// When the terminal goes away, or the user interrupts.
pub(super) fn ask_one<T>(
    explanation: &str,
    question: &str,
    proposed: Option<String>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    ui::note(&format!("\n{explanation}"));
    ui::ask(question, proposed, |typed| read(typed.trim()))
}

/// What an error says.
pub(super) fn said(error: impl ToString) -> String {
    error.to_string()
}

/// A path that means the same wherever the proxy is started.
///
/// # Errors
/// When there is no current directory, or the path is empty.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot use {}", path.display())).because(error)
    })
}
