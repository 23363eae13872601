//! The web process: speaks HTTP with browsers and with everybody else, at `web_listen_addr`. The monitor starts
//! it, and passes the listener to it.
//!
//! It has no secret but the key of its certificate, and decides about nobody: what browsers bring is passed on
//! to the process that has the state. It answers from what other processes tell it, so its sandbox keeps
//! neither files nor connections of its own.
//!
//! - `ground`: the preconditions of the start
//! - `monitor_client`: the monitor's messages, and the services that this process may call
//! - `published`: keeps what everybody may read up to date
//! - `reload`: what the process does anew when the proxy reloads its configuration

mod error;
mod ground;
mod monitor_client;
mod published;
mod reload;

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use ground::WebGround;
use monitor_client::MonitorClient;
use published::Follower;
use reload::WebReload;

use crate::config::{Config, Source};
use crate::ipc::{Browser, MonitorMessage, ProcessMessage};
use crate::monitor::WEB;
use crate::sys::files::Files;
use crate::sys::log;
use crate::web::{Ending, WebApp, WebParts};

pub use error::WebServiceError;

/// Serves clients on the listener that the monitor passes, until the monitor orders the process to end, or has
/// exited itself.
///
/// # Errors
/// When the process cannot start.
pub fn work(config: &Config, source: Source) -> Result<(), WebServiceError> {
    let (monitor, listener) = MonitorClient::begin()?;
    let files: Arc<dyn Files> = Arc::new(monitor.files(config, &source));
    let WebGround { server, own } = ground::lay(config, listener, Arc::clone(&files))?;
    let (follower, documents) = Follower::start(Arc::new(monitor.published()))?;
    // Everything was read for the first time, by the only thread.
    let _confinement = WEB.confine(config)?;
    log::start().map_err(WebServiceError::Start)?;
    let authentication = &config.auth.authentication;
    let browser: Option<Arc<dyn Browser>> = match authentication.has_oidc() {
        true => Some(Arc::new(monitor.browser())),
        false => None,
    };
    let parts = WebParts {
        cluster: config.cluster_name.clone(),
        documents,
        browser,
        sign_in: match authentication.has_local() {
            true if authentication.second_factor.has_codes() => vec!["password", "code"],
            true => vec!["password"],
            false => Vec::new(),
        },
        sessions: Arc::new(monitor.sessions()),
        own: own.subscribe(),
    };
    let reload = WebReload {
        source,
        files,
        config: config.clone(),
        own,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(WebServiceError::Start)?;
    runtime.block_on(async {
        // The monitor's messages decide: a signal that reaches all processes of a terminal is none of them.
        let kinds = [
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::user_defined2(),
        ];
        let ignored: io::Result<Vec<_>> = kinds.into_iter().map(signal).collect();
        let _ignored = ignored.map_err(WebServiceError::Start)?;
        let url = server.url();
        match server.fingerprint() {
            Some(fingerprint) => {
                tracing::info!(fingerprint, "the web is at {url}");
            }
            None => tracing::info!("the web is at {url}"),
        }
        let ending = Ending::default();
        let thread = WebApp::new(parts).serve(server, ending.clone())?;
        tokio::spawn(follower.run());
        let gone = ending.clone();
        let messages = monitor.messages(move || gone.over.cancel());
        let messages = messages.map_err(WebServiceError::Start)?;
        monitor.report(&ProcessMessage::Ready);
        tokio::spawn(obey(messages, monitor, reload, ending));
        let ended = tokio::task::spawn_blocking(move || thread.join());
        if !matches!(ended.await, Ok(Ok(()))) {
            tracing::error!("the thread of the web panicked");
        }
        Ok(())
    })
}

/// Checks whether the process could start, as far as that is possible without creating or changing anything.
///
/// # Errors
/// What [`work`] would fail with.
pub fn rehearse(config: &Config) -> Result<(), WebServiceError> {
    ground::look(config)
}

/// Carries out the monitor's orders.
async fn obey(
    mut messages: mpsc::Receiver<MonitorMessage>,
    monitor: MonitorClient,
    mut reload: WebReload,
    ending: Ending,
) {
    while let Some(message) = messages.recv().await {
        match message {
            MonitorMessage::Reload => {
                reload = reload.run().await;
                monitor.report(&ProcessMessage::Reloaded);
            }
            MonitorMessage::Retire => {
                tracing::info!(
                    "another web process accepts from now on, this one ends with its answers"
                );
                ending.closing.cancel();
            }
            MonitorMessage::End => ending.over.cancel(),
            MonitorMessage::Ping => monitor.report(&ProcessMessage::Alive),
            // The web is served for as long as sessions drain.
            MonitorMessage::Drain => {}
            MonitorMessage::Start { .. }
            | MonitorMessage::StartAuth { .. }
            | MonitorMessage::StartWeb { .. }
            | MonitorMessage::Keys(_)
            | MonitorMessage::Call(_)
            | MonitorMessage::Exited(_) => {
                tracing::warn!("an order that is not for this process");
            }
        }
    }
}
