//! Reads the configuration again when the proxy does, and takes what can change while it runs: under which names
//! the proxy is reached. The files of the certificate are looked at all the time.

use std::sync::Arc;

use tokio::sync::watch;

use super::ground::own_hosts;
use crate::config::{Config, ConfigError, Loaded, Source};
use crate::model::chain;
use crate::sys::files::Files;
use crate::web::OwnHosts;

/// What it needs.
#[derive(Debug)]
pub(super) struct WebReload {
    /// Where the configuration comes from.
    pub(super) source: Source,
    pub(super) files: Arc<dyn Files>,
    /// The configuration in force.
    pub(super) config: Config,
    pub(super) own: watch::Sender<OwnHosts>,
}

impl WebReload {
    /// Reads it, on another thread: the monitor opens the file. A configuration with mistakes changes nothing;
    /// a worker tells of them.
    pub(super) async fn run(self) -> Self {
        let (source, files) = (self.source.clone(), Arc::clone(&self.files));
        let loaded = tokio::task::spawn_blocking(move || source.load_with(&*files));
        match loaded.await {
            Ok(Ok(loaded)) => self.take(loaded),
            Ok(Err(error)) => self.keep(&error),
            Err(error) => {
                tracing::error!(%error, "cannot read the configuration, the one before stays");
                self
            }
        }
    }

    fn take(mut self, loaded: Loaded) -> Self {
        let mut config = loaded.config;
        // A worker logs what needs a restart.
        let _needs_restart = config.keep_until_restart(&self.config);
        self.own.send_replace(own_hosts(&config));
        self.config = config;
        self
    }

    fn keep(self, error: &ConfigError) -> Self {
        let error = chain(error);
        tracing::error!(%error, "cannot take over the configuration, the one before stays");
        self
    }
}
