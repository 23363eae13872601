//! Which proxy is examined, from which host and account.

use std::path::PathBuf;

/// What `--from-client` and the flags beside it name.
#[derive(Debug)]
pub(in crate::cli::doctor) struct Client {
    /// The proxy's name.
    pub(in crate::cli::doctor) proxy: String,
    /// The port of the proxy.
    pub(in crate::cli::doctor) port: u16,
    /// A host behind it.
    pub(in crate::cli::doctor) host: Option<String>,
    /// The account on that host.
    pub(in crate::cli::doctor) login: Option<String>,
    /// What ssh reads in place of `~/.ssh/config`.
    pub(in crate::cli::doctor) ssh_config: Option<PathBuf>,
    /// Whether the user signs in with a password or a browser, and has no certificate.
    pub(in crate::cli::doctor) signs_in: bool,
}
