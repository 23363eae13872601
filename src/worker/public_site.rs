//! The web listener.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::watch;

use super::assembly::Shared;
use crate::config::Config;
use crate::ipc::Browser;
use crate::sys::files::Files;
use crate::web::{PublicKeys, PublicSite, Server, TlsFiles, WebError};

/// The web server, if it is configured.
pub(super) fn web_server(
    config: &Config,
    listener: Option<TcpListener>,
    files: Arc<dyn Files>,
) -> Result<Option<Server>, WebError> {
    let (Some(_), Some(listener)) = (&config.proxy.web, listener) else {
        return Ok(None);
    };
    let server = Server::new(listener, tls_files(config).map(|tls| (tls, files)))?;
    tracing::info!("the web is at {}", server.url());
    Ok(Some(server))
}

/// The TLS files of the web server, if they are configured.
pub(super) fn tls_files(config: &Config) -> Option<TlsFiles> {
    let files = config.proxy.web.as_ref()?.tls.as_ref()?;
    Some(TlsFiles {
        certificate: files.cert_file.clone(),
        key: files.key_file.clone(),
    })
}

/// What the web server shows. `browser` answers people who sign in at an identity provider.
pub(super) fn site(
    config: &Config,
    shared: &Shared,
    public: &watch::Sender<Arc<PublicKeys>>,
    browser: impl Browser + 'static,
) -> PublicSite {
    let has_provider = config.auth.authentication.has_oidc();
    PublicSite::new(
        config.cluster_name.clone(),
        public.subscribe(),
        Arc::clone(&shared.revocation_file),
        has_provider.then(|| Arc::new(browser) as Arc<dyn Browser>),
    )
}
