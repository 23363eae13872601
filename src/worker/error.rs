//! Why a worker does not run.

use std::io;

use thiserror::Error;

use super::revocations::FollowError;
use crate::audit::AuditError;
use crate::ca::CaError;
use crate::cert::SourceAddressError;
use crate::config::ConfigError;
use crate::model::NameError;
use crate::monitor::WITHOUT_SANDBOX;
use crate::sys::fs::FsError;
use crate::sys::sandbox::SandboxError;
use crate::web::WebError;

/// Why a worker does not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// It cannot be asked what is revoked.
    #[error("cannot use the revocations")]
    Revocations(#[from] FollowError),
    /// The proxy's host key cannot be created.
    #[error("cannot use the CAs")]
    Authorities(#[from] CaError),
    /// The audit log cannot be opened or written.
    #[error("cannot use the audit log")]
    Audit(#[from] AuditError),
    /// In strict mode: recordings cannot be created.
    #[error("cannot use the directory of recordings, and recording.mode is strict")]
    Recordings(#[source] FsError),
    /// The default configuration is invalid.
    #[error("cannot compare the configuration with the defaults")]
    Defaults(#[from] ConfigError),
    /// The networks of `egress_addrs` cannot stand in a certificate.
    #[error("cannot use the egress addresses")]
    Egress(#[from] SourceAddressError),
    /// The operator's banner cannot be read.
    #[error("cannot use banner_file")]
    Banner(#[source] FsError),
    /// The inventory contradicts itself.
    #[error("cannot use the inventory")]
    Inventory(#[from] crate::nodes::InventoryError),
    /// A configured name cannot stand in a certificate.
    #[error("cannot make the listener's host certificate")]
    ListenerName(#[from] NameError),
    /// The system's resolver configuration cannot be read.
    #[error("cannot set up DNS")]
    Dns(#[from] crate::dns::DnsError),
    /// The process cannot be confined.
    #[error("cannot be confined")]
    Confine(#[from] SandboxError),
    /// This process was not started by `rproxy serve`.
    #[error("this command is for rproxy serve, which starts it")]
    NoMonitor(#[source] io::Error),
    /// The file descriptor that was passed is not a listener.
    #[error("cannot use the listener")]
    Listen(#[source] io::Error),
    /// The listener of the web does not work.
    #[error("cannot serve the web")]
    Web(#[from] WebError),
    /// The operating system refuses a thread, a runtime or a signal handler.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

impl ServeError {
    /// What the administrator can do, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Authorities(error) => error.hint(),
            Self::Audit(error) => error.hint(),
            Self::Recordings(FsError::TooOpen { path, .. }) => {
                Some(format!("chmod 0700 {}", path.display()))
            }
            Self::Recordings(_) => Some(
                "have a directory there that the account of the proxy may write to, with mode 0700"
                    .to_owned(),
            ),
            Self::Confine(_) => Some(WITHOUT_SANDBOX.to_owned()),
            _ => None,
        }
    }
}
