//! Why the auth process does not run.

use std::io;

use thiserror::Error;

use super::identity_provider::IdentityProviderError;
use super::web_certificate::WebCertificateError;
use crate::audit::AuditError;
use crate::ca::CaError;
use crate::monitor::WITHOUT_SANDBOX;
use crate::people::HashFailed;
use crate::state::StateError;
use crate::sys::fs::FsError;
use crate::sys::sandbox::SandboxError;

/// Why the auth process does not run.
#[derive(Debug, Error)]
pub enum AuthProcessError {
    /// The CAs cannot be opened, the host CA's key does not sign, or the revocations cannot be read.
    #[error("cannot use the CAs")]
    Authorities(#[from] CaError),
    /// The state cannot be opened.
    #[error("cannot use the state")]
    State(#[from] StateError),
    /// The file of `state.password_file` cannot be read.
    #[error("cannot read the password of the state's database")]
    Password(#[source] FsError),
    /// There is no memory for the hash of a password.
    #[error("cannot check passwords")]
    Passwords(#[from] HashFailed),
    /// The audit log cannot be opened.
    #[error("cannot use the audit log")]
    Audit(#[from] AuditError),
    /// The identity provider of the configuration cannot be used.
    #[error("cannot use the identity provider of auth_service.authentication.oidc")]
    IdentityProvider(#[from] IdentityProviderError),
    /// There is no certificate of HTTPS.
    #[error("cannot have a certificate of HTTPS of its own")]
    WebCertificate(#[from] WebCertificateError),
    /// The process cannot be confined.
    #[error("cannot be confined")]
    Confine(#[from] SandboxError),
    /// This process was not started by `rproxy serve`.
    #[error("this command is for rproxy serve, which starts it")]
    NoMonitor(#[source] io::Error),
    /// The operating system refuses a thread or a signal handler.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

impl AuthProcessError {
    /// What the administrator can do, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Authorities(error) => error.hint(),
            Self::Audit(error) => error.hint(),
            Self::IdentityProvider(error) => error.hint(),
            Self::Confine(_) => Some(WITHOUT_SANDBOX.to_owned()),
            Self::Password(FsError::TooOpen { path, .. }) => {
                Some(format!("chmod 0600 {}", path.display()))
            }
            Self::State(_)
            | Self::Password(_)
            | Self::Passwords(_)
            | Self::WebCertificate(_)
            | Self::NoMonitor(_)
            | Self::Start(_) => None,
        }
    }
}
