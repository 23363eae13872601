//! At SIGHUP the configuration is read again, and what can change in a running proxy does. The audit log
//! is opened anew, for those who rename it in order to keep it.
//!
//! A configuration with mistakes changes nothing. Live connections notice by themselves that the
//! settings are others, and are judged again.

use std::error::Error;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::orders::MonitorClient;
use super::settings::settings;
use crate::audit::{AuditEvent, Weaker};
use crate::config::keys::{self, Key};
use crate::config::{Config, Loaded, Source, weaker};
use crate::model::chain;
use crate::monitor::WorkerMessage;
use crate::ssh::{Proxy, Settings};

/// Reads the configuration again whenever it is told to.
#[derive(Debug)]
pub(super) struct Reload {
    /// Where the configuration comes from.
    pub(super) source: Source,
    /// The one in force.
    pub(super) config: Config,
    /// Where it is put in force.
    pub(super) settings: watch::Sender<Arc<Settings>>,
    /// Whose it is.
    pub(super) proxy: Arc<Proxy>,
}

impl Reload {
    /// Does so for as long as the proxy runs.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<()>, reporter: MonitorClient) {
        while requests.recv().await.is_some() {
            if let Err(error) = self.reopen_log().await {
                let error = chain(&*error);
                tracing::error!(%error, "cannot open the audit log anew, the old file stays");
            }
            if let Err(error) = self.reload().await {
                let message = chain(&*error);
                tracing::error!(
                    "cannot take over the configuration, the one before stays: {message}"
                );
                self.proxy
                    .tell(&AuditEvent::ConfigurationRefused { message });
            }
            reporter.report(&WorkerMessage::Reloaded);
        }
        // The settings must not end before those who go by them.
        std::future::pending::<()>().await;
    }

    /// On a thread: the monitor opens it, and clients do not wait for that.
    async fn reopen_log(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let audit = self.proxy.audit.clone();
        tokio::task::spawn_blocking(move || audit.reopen()).await??;
        Ok(())
    }

    async fn reload(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let source = self.source.clone();
        let Loaded {
            mut config,
            warnings,
        } = tokio::task::spawn_blocking(move || source.load()).await??;
        let needs_restart = keep(&self.config, &mut config);
        let settings = settings(&config)?;
        for warning in &warnings {
            tracing::warn!(target: "config", "{}", warning.headline());
        }
        for key in &needs_restart {
            tracing::warn!(
                "{key} has changed, which needs a restart; until then the old value holds"
            );
        }
        if config.roles.is_empty() && !self.config.roles.is_empty() {
            tracing::warn!("there are no roles any more: what a certificate allows is allowed");
        }
        let weaker = weaker(&self.config, &config);
        for one in &weaker {
            let (key, from, to) = (&one.key, &one.from, &one.to);
            tracing::warn!("{key} protects less than before: {from} became {to}");
        }
        tracing::info!(
            roles = config.roles.len(),
            "the configuration was read again"
        );
        self.proxy
            .tell(&in_force("reload", &config, needs_restart, weaker));
        self.config = config;
        self.settings.send_replace(Arc::new(settings));
        Ok(())
    }
}

/// That this configuration is in force now, and what in it protects less than before.
pub(super) fn in_force(
    at: &'static str,
    config: &Config,
    needs_restart: Vec<String>,
    weaker: Vec<Weaker>,
) -> AuditEvent {
    AuditEvent::ConfigurationReloaded {
        at,
        file: config.sha256.is_some().then(|| config.file.clone()),
        sha256: config.sha256.clone(),
        roles: config.roles.len(),
        needs_restart,
        weaker,
    }
}

/// Gives the new configuration the old values of what a running proxy cannot change; the names of
/// those that differed.
fn keep(old: &Config, new: &mut Config) -> Vec<String> {
    let mut kept = Vec::new();
    macro_rules! keep {
        ($($section:expr, $key:expr => $($field:ident).+;)*) => {$(
            if new.$($field).+ != old.$($field).+ {
                new.$($field).+.clone_from(&old.$($field).+);
                kept.push(path($section, &$key));
            }
        )*};
    }
    let (top, auth) = (None, Some(&keys::AUTH_SERVICE));
    let (proxy, upstream) = (Some(&keys::PROXY_SERVICE), Some(&keys::UPSTREAM));
    keep! {
        top, keys::CLUSTER_NAME => cluster_name;
        top, keys::DATA_DIR => data_dir;
        auth, keys::CA_KEYS => auth.ca_keys;
        proxy, keys::LISTEN_ADDR => proxy.listen_addr;
        proxy, keys::WEB_LISTEN_ADDR => proxy.web;
        proxy, keys::METRICS_LISTEN_ADDR => proxy.metrics_listen_addr;
        proxy, keys::SANDBOX => proxy.sandbox;
        proxy, keys::BANNER_FILE => proxy.banner_file;
        proxy, keys::MAX_CONNECTIONS => proxy.max_connections;
        proxy, keys::MAX_CONNECTIONS_PER_ADDRESS => proxy.max_connections_per_address;
        proxy, keys::MAX_CONNECTIONS_PER_USER => proxy.max_connections_per_user;
        proxy, keys::MAX_STARTING => proxy.max_starting;
        upstream, keys::MAX_STARTING_PER_HOST => upstream.max_starting_per_host;
    }
    kept
}

fn path(section: Option<&Key>, key: &Key) -> String {
    match section {
        Some(section) => format!("{}.{}", section.name, key.name),
        None => key.name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        let data = Some(Path::new("/data"));
        crate::config::parse(Path::new("f"), text, data)
            .unwrap()
            .config
    }

    #[test]
    fn what_needs_a_restart_is_named_and_keeps_its_value() {
        let old = config("cluster_name: c\n");
        let mut new = config(
            "cluster_name: other\n\
             proxy_service: { listen_addr: \":22\", max_starting: 7, login_grace_time: 5s }\n\
             upstream: { max_starting_per_host: 1 }\n\
             permit: { x11: yes }\n",
        );
        let kept = keep(&old, &mut new);
        assert_eq!(
            kept,
            [
                "cluster_name",
                "proxy_service.listen_addr",
                "proxy_service.max_starting",
                "upstream.max_starting_per_host",
            ]
        );
        assert_eq!(new.cluster_name, old.cluster_name);
        assert_eq!(new.proxy.max_starting, old.proxy.max_starting);
        assert!(new.permit.x11, "the rest is the new one's");
        assert_ne!(new.proxy.login_grace_time, old.proxy.login_grace_time);
        assert!(keep(&old, &mut old.clone()).is_empty());
    }
}
