//! What the configuration says to the SSH floor, as it changes while the proxy runs.

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

/// Settings of the SSH floor: replaced as a whole when the configuration is read again. A connection
/// takes them anew for each decision.
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
    /// The host and the port under which clients reach the listener, where the configuration has them.
    pub public_addr: Option<(String, u16)>,
    /// Names under which clients reach the listener.
    pub listener_names: Vec<HostPrincipal>,
    /// The networks that hosts see the proxy in; it writes them into user certificates.
    pub egress: Option<SourceAddresses>,
    /// What every user reads who logs in through the proxy (`banner_file`).
    pub greeting: Option<String>,
    /// How long a client may take to authenticate.
    pub login_grace: Duration,
    /// How long the way to a host may take.
    pub connect_timeout: Duration,
    /// What time may do to a live connection.
    pub time: TimeLimits,
    /// How long connections may go on when the proxy stops.
    pub drain: Duration,
}

/// The settings in force. Clones follow the same ones, each at its own pace.
#[derive(Clone, Debug)]
pub struct CurrentSettings(Receiver<Arc<Settings>>);

impl CurrentSettings {
    /// The settings that arrive here.
    #[must_use]
    pub fn new(settings: Receiver<Arc<Settings>>) -> Self {
        Self(settings)
    }

    /// What is in force now.
    #[must_use]
    pub fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// The same; [`CurrentSettings::changed`] waits for what comes after it.
    pub(crate) fn take(&mut self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow_and_update())
    }

    /// Waits until the settings are others than those last taken. May be dropped and called again.
    ///
    /// # Errors
    /// When they change no more: the proxy is about to end.
    pub(crate) async fn changed(&mut self) -> Result<(), RecvError> {
        self.0.changed().await
    }
}
