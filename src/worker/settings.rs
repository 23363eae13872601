//! Converts the configuration to the types of the other rooms.

use std::time::Duration;

use super::error::ServeError;
use crate::cert::{SourceAddressError, SourceAddresses};
use crate::config::{Config, RecordingMode, SessionRecording};
use crate::nodes::Inventory;
use crate::recording::Options;
use crate::session::{RecordingPolicy, RecordingSettings};
use crate::ssh::{Settings, TimeLimits};
use crate::store::Recordings;
use crate::sys::files::{Files, read_limited};

/// Longest banner (`banner_file`), in bytes.
const MAX_BANNER: u64 = 64 * 1024;
/// How long the link of a sign-in with a browser is of use.
const LINK_LIFE: Duration = Duration::from_mins(5);

/// The settings that a running proxy can take over from a configuration. The directory of recordings
/// does not change.
///
/// # Errors
/// When its values contradict each other.
pub(super) fn settings(
    config: &Config,
    files: &dyn Files,
    store: Recordings,
) -> Result<Settings, ServeError> {
    let policy = match (config.auth.session_recording, config.recording.mode) {
        (SessionRecording::Off, _) => RecordingPolicy::Off,
        (SessionRecording::Proxy, RecordingMode::Strict) => RecordingPolicy::Strict,
        (SessionRecording::Proxy, RecordingMode::BestEffort) => RecordingPolicy::BestEffort,
    };
    Ok(Settings {
        policy: config.policy(),
        inventory: Inventory::new(config.cluster_name.clone(), config.nodes.clone())?,
        recording: RecordingSettings {
            store,
            policy,
            options: Options {
                pty_input: config.recording.pty_input,
            },
        },
        checks_host_keys: config.auth.proxy_checks_host_keys,
        public_addr: config.proxy.public_addr.clone(),
        listener_names: config.listener_names()?,
        egress: egress(config)?,
        greeting: greeting(config, files)?,
        login_grace: login_grace(config),
        connect_timeout: config.upstream.connect_timeout,
        time: TimeLimits {
            idle: config.proxy.client_idle_timeout,
            ends_with_certificate: config.proxy.disconnect_expired_cert,
            keep_alive_interval: config.proxy.keep_alive_interval,
            keep_alive_count_max: config.proxy.keep_alive_count_max,
        },
        drain: config.proxy.drain_timeout,
    })
}

/// How long a client may take to authenticate: with an identity provider at least as long as a link is
/// of use, because its terminal waits for a person who signs in with a browser.
fn login_grace(config: &Config) -> Duration {
    let configured = config.proxy.login_grace_time;
    match config.auth.authentication.has_oidc() {
        true => configured.max(LINK_LIFE),
        false => configured,
    }
}

/// The text of `banner_file`; `None` without the key.
fn greeting(config: &Config, files: &dyn Files) -> Result<Option<String>, ServeError> {
    let Some(path) = &config.proxy.banner_file else {
        return Ok(None);
    };
    let text = read_limited(files, path, MAX_BANNER).map_err(ServeError::Banner)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// The networks of `egress_addrs`; `None` without the key.
fn egress(config: &Config) -> Result<Option<SourceAddresses>, SourceAddressError> {
    let networks = &config.proxy.egress_addrs;
    (!networks.is_empty())
        .then(|| networks.join(",").parse())
        .transpose()
}
