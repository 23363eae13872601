//! The settings that connections use; they change while the proxy runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::sync::watch::error::RecvError;

use super::timers::TimeLimits;
use crate::access::Policy;
use crate::cert::SourceAddresses;
use crate::model::HostPrincipal;
use crate::nodes::Inventory;
use crate::session::RecordingSettings;

/// The settings of connections: replaced as a whole when the configuration is reloaded. A connection
/// reads them again for each decision.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may go where.
    pub policy: Policy,
    /// The nodes.
    pub inventory: Inventory,
    /// How sessions are recorded.
    pub recording: RecordingSettings,
    /// Whether hosts must present a host certificate.
    pub checks_host_keys: bool,
    /// The host and the port under which clients reach the listener; `None` without `public_addr`.
    pub public_addr: Option<(String, u16)>,
    /// Names under which clients reach the listener.
    pub listener_names: Vec<HostPrincipal>,
    /// The networks from which hosts see the proxy connect; the user CA writes them into user
    /// certificates.
    pub egress: Option<SourceAddresses>,
    /// The banner for every user who logs in through the proxy (`banner_file`).
    pub greeting: Option<String>,
    /// How long a client may take to authenticate.
    pub login_grace: Duration,
    /// How long connecting to a host may take.
    pub connect_timeout: Duration,
    /// The time limits of live connections.
    pub time: TimeLimits,
    /// How long connections may continue when the proxy stops.
    pub drain: Duration,
}

/// The settings in force. Each clone sees every change, independently of the others.
#[derive(Clone, Debug)]
pub struct CurrentSettings(Receiver<Arc<Settings>>);

impl CurrentSettings {
    /// Follows the settings that arrive in this receiver.
    #[must_use]
    pub fn new(settings: Receiver<Arc<Settings>>) -> Self {
        Self(settings)
    }

    /// What is in force now.
    #[must_use]
    pub fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// The settings in force, marked as seen: [`CurrentSettings::changed`] waits for later ones.
    pub(crate) fn take(&mut self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow_and_update())
    }

    /// Waits until the settings differ from those last taken. Cancel-safe: may be dropped and
    /// called again.
    ///
    /// # Errors
    /// When there are no further changes: the proxy is about to exit.
    pub(crate) async fn changed(&mut self) -> Result<(), RecvError> {
        self.0.changed().await
    }
}
