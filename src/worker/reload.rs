//! Reloads the configuration at SIGHUP, and applies what can change in a running proxy. The audit log is
//! opened again, so that an administrator can rename the old file.
//!
//! A configuration with mistakes changes nothing. Live connections notice changed settings
//! themselves, and are judged again.

use std::error::Error;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::monitor_client::MonitorClient;
use super::nodes::NodeDirectory;
use super::settings::settings;
use crate::audit::{AuditEvent, AuditLog, Weaker};
use crate::config::{Config, Loaded, Source, weaker};
use crate::ipc::ProcessMessage;
use crate::model::chain;
use crate::sys::files::Files;

/// Reloads the configuration at each request.
#[derive(Debug)]
pub(super) struct Reload {
    /// Where the configuration comes from.
    pub(super) source: Source,
    /// The configuration in force.
    pub(super) config: Config,
    /// Puts new settings in force, with the hosts that have joined.
    pub(super) nodes: NodeDirectory,
    /// Opens the files of the configuration.
    pub(super) files: Arc<dyn Files>,
    /// Where reloads are audited.
    pub(super) audit: AuditLog,
}

impl Reload {
    /// Handles requests for as long as the proxy runs.
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
                self.audit
                    .emit_or_log(&AuditEvent::ConfigurationRefused { message });
            }
            reporter.report(&ProcessMessage::Reloaded);
        }
        // If the settings' sender was dropped, live connections could not read them any more.
        std::future::pending::<()>().await;
    }

    /// On another thread: the monitor opens the file, and clients must not wait for that.
    async fn reopen_log(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let audit = self.audit.clone();
        tokio::task::spawn_blocking(move || audit.reopen()).await??;
        Ok(())
    }

    async fn reload(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (source, files) = (self.source.clone(), Arc::clone(&self.files));
        let Loaded {
            mut config,
            warnings,
        } = tokio::task::spawn_blocking(move || source.load_with(&*files)).await??;
        let needs_restart = config.keep_until_restart(&self.config);
        let store = self.nodes.now().recording.store.clone();
        let settings = settings(&config, &*self.files, store)?;
        let now = self.nodes.now();
        for warning in &warnings {
            if warning.holds_with(now.inventory.nodes()) {
                tracing::warn!(target: "config", "{}", warning.headline());
            }
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
        self.audit
            .emit_or_log(&in_force("reload", &config, needs_restart, weaker));
        self.config = config;
        self.nodes.replace(settings);
        Ok(())
    }
}

/// The event that this configuration is in force, with the settings that protect less than before.
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
