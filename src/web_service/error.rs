//! Why the web process does not run.

use std::io;

use thiserror::Error;

use super::published::PublishedError;
use crate::monitor::WITHOUT_SANDBOX;
use crate::sys::sandbox::SandboxError;
use crate::web::WebError;

/// Why the web process does not run.
#[derive(Debug, Error)]
pub enum WebServiceError {
    /// This process was not started by `rproxy serve`.
    #[error("this command is for rproxy serve, which starts it")]
    NoMonitor(#[source] io::Error),
    /// The listener does not work.
    #[error("cannot serve the web")]
    Web(#[from] WebError),
    /// It cannot be asked what everybody may know.
    #[error("cannot ask for the CAs' public keys")]
    Published(#[from] PublishedError),
    /// The process cannot be confined.
    #[error("cannot be confined")]
    Confine(#[from] SandboxError),
    /// The operating system refuses a thread, a runtime or a signal handler.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

impl WebServiceError {
    /// What the administrator can do, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Confine(_) => Some(WITHOUT_SANDBOX.to_owned()),
            _ => None,
        }
    }
}
