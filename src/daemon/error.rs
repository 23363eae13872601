//! Why a worker does not run.

use std::io;

use thiserror::Error;

use crate::audit::AuditError;
use crate::ca::CaError;
use crate::cert::SourceAddressError;
use crate::config::ConfigError;
use crate::model::NameError;
use crate::sys::fs::FsError;
use crate::sys::sandbox::SandboxError;
use crate::web::WebError;

/// Why the proxy does not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// What is revoked cannot be read, or the proxy's host key cannot be made.
    #[error("cannot use the CAs")]
    Authorities(#[from] CaError),
    /// The audit log cannot be opened or written.
    #[error("cannot use the audit log")]
    Audit(#[from] AuditError),
    /// In strict mode, recordings cannot be made.
    #[error("cannot use the directory of recordings, and recording.mode is strict")]
    Recordings(#[source] FsError),
    /// The defaults are no configuration.
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
    /// The process cannot give up what it does not need.
    #[error("cannot be confined")]
    Confine(#[from] SandboxError),
    /// This process was not started by `rproxy serve`.
    #[error("this command is for rproxy serve, which starts it")]
    NoMonitor(#[source] io::Error),
    /// What should be a listener does not listen.
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
    /// What the administrator can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Authorities(error) => error.hint(),
            Self::Audit(AuditError::Open(FsError::TooOpen { path, .. })) => {
                Some(format!("chmod 0600 {}", path.display()))
            }
            Self::Recordings(FsError::TooOpen { path, .. }) => {
                Some(format!("chmod 0700 {}", path.display()))
            }
            Self::Recordings(_) => Some(
                "have a directory there that the account of the proxy may write to, with mode 0700"
                    .to_owned(),
            ),
            Self::Confine(_) => {
                Some("with `proxy_service.sandbox: no` it runs without, and says so".to_owned())
            }
            _ => None,
        }
    }
}
