//! The preconditions of the web process, in one list. The process opens the files in question; `serve --check`
//! only checks that they could be opened.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::watch;

use super::error::WebServiceError;
use crate::config::Config;
use crate::sys::files::Files;
use crate::web::{OwnHosts, Server, TlsFiles, WebError};

/// What the process has then.
#[derive(Debug)]
pub(super) struct WebGround {
    pub(super) server: Server,
    /// The proxy's own names.
    pub(super) own: watch::Sender<OwnHosts>,
}

/// Opens what is needed; the files are opened through `files`.
///
/// # Errors
/// The first precondition that is not met.
pub(super) fn lay(
    config: &Config,
    listener: TcpListener,
    files: Arc<dyn Files>,
) -> Result<WebGround, WebServiceError> {
    let tls = tls_files(config).map(|tls| (tls, files));
    let server = Server::new(listener, tls)?;
    let own = watch::Sender::new(own_hosts(config));
    Ok(WebGround { server, own })
}

/// Checks only: nothing is created or changed.
///
/// # Errors
/// As [`lay`].
pub(super) fn look(config: &Config) -> Result<(), WebServiceError> {
    // The proxy's own is made, or made anew, at the start.
    let given = tls_files(config).filter(|_| config.own_https_file().is_none());
    let looked = given.map_or(Ok(()), |files| files.look());
    Ok(looked.map_err(WebError::from)?)
}

/// The names of a proxy with this configuration.
pub(super) fn own_hosts(config: &Config) -> OwnHosts {
    // A name that cannot stand in a certificate stops the worker, which says so.
    let names = config.listener_names().unwrap_or_default();
    let web = config.proxy.web_public_addr.iter();
    let web = web.map(|(host, _port)| host.clone());
    OwnHosts::new(names.iter().map(ToString::to_string).chain(web))
}

/// The files of HTTPS, if they are configured.
fn tls_files(config: &Config) -> Option<TlsFiles> {
    let files = config.https_files()?;
    Some(TlsFiles {
        certificate: files.cert_file,
        key: files.key_file,
    })
}
