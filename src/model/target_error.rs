//! Why a request is not a target.

use thiserror::Error;

/// Why a subsystem request is not a target.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// The name does not begin with `proxy:`.
    #[error("unknown subsystem {0:?}, expected proxy:host:port or proxy:host:port@cluster")]
    NotProxy(String),
    /// There is no host between the colons.
    #[error("missing host in {0:?}, expected proxy:host:port or proxy:host:port@cluster")]
    NoHost(String),
    /// There is no colon, or no number, where the port should be.
    #[error("bad port in {0:?}, expected a number from 1 to 65535 as in proxy:host:22")]
    BadPort(String),
    /// The host is neither a name, an address nor a label.
    #[error("bad host name {0:?}")]
    BadHost(String),
    /// What stands after `@` is not a cluster name.
    #[error("bad cluster name in {0:?}")]
    BadCluster(String),
}
