//! The auth process: it alone has the CAs' keys, and decides what they sign. The monitor starts it before
//! the workers, starts it again when it dies, and passes the workers' calls on to it.
//!
//! It speaks neither SSH nor HTTP with clients or hosts: `tests/tidy` forbids it the rooms that do. Of the
//! network it knows the database of the state, and the identity provider, if the configuration has them. What a worker
//! asks is checked here against what this process knows, because a worker may be controlled by an
//! attacker.
//!
//! - `ground`: the preconditions of the start
//! - `authorities`: the CAs, and the rotation of their keys
//! - `monitor_link`, `signals`: the monitor's messages, and nothing else that it obeys
//! - `dispatcher`, `thread_pool`: the calls, and the threads that work on them
//! - `signing`: the service that signs host certificates
//! - `people`: the services that decide about people, and answer browsers
//! - `nodes`: the service that decides about hosts that join
//! - `identity_provider`: the identity provider, where people sign in with a browser
//! - `peers`: the service for the proxies that share the state
//! - `changes`: the service that tells what was revoked, and which sign-ins have ended
//! - `published`: the service that tells what everybody may know
//! - `telemetry`: the service that says what was counted
//! - `web_certificate`: the certificate of HTTPS that the proxy makes for itself

mod authorities;
mod caller;
mod changes;
mod dispatcher;
mod error;
mod ground;
mod identity_provider;
mod monitor_link;
mod node_changes;
mod nodes;
mod peers;
mod people;
mod published;
mod signals;
mod signing;
mod telemetry;
#[cfg(test)]
mod testing;
mod thread_pool;
mod web_certificate;

use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::Mode;
use zeroize::Zeroize as _;

use authorities::CurrentAuthorities;
use changes::ChangesService;
use dispatcher::{Dispatcher, Providers};
use ground::{Ground, Purpose};
use nodes::NodesProvider;
use peers::PeersService;
use people::{PeopleGround, PeopleProvider};
use published::PublishedService;
use signals::IgnoredSignals;
use signing::SigningService;
use telemetry::TelemetryService;
use web_certificate::WebCertificate;

use crate::audit::{AuditLog, RefusedCalls};
use crate::ca::CaRecords;
use crate::config::{Config, ConfigError, Loaded, Source};
use crate::ipc::{Datagram, MonitorMessage, ProcessMessage, PublicCaKeys, decode};
use crate::metrics::AuthMeters;
use crate::model::chain;
use crate::monitor::{AUTH, MonitorLink};
use crate::sys::files::Files;
use crate::sys::{log, process};

pub use error::AuthProcessError;
pub use identity_provider::{IdentityProviderError, check_provider};
pub use web_certificate::WebCertificateError;

/// How long the calls in progress may take when another auth process has taken over. No call waits for
/// longer than that.
const LAST_ANSWERS: Duration = Duration::from_secs(40);
/// The same when the proxy has stopped, and no process is left that could read an answer.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// How often it is looked whether there are sums of refusals to write down.
const LOOK_FOR_SUMS: Duration = Duration::from_secs(10);
/// How long to wait until the monitor has read earlier messages.
const MONITOR_READS: Duration = Duration::from_millis(50);
/// The mode of new files is the one that they are created with: a confined process cannot change it.
const UMASK: Mode = Mode::WGRP.union(Mode::WOTH);

/// Answers calls until the monitor orders the process to exit, or has exited itself.
///
/// # Errors
/// When the process cannot start.
pub fn work(config: &Config, source: &Source) -> Result<(), AuthProcessError> {
    let (monitor, restarts) = monitor_link::begin()?;
    let _ignored = IgnoredSignals::new().map_err(AuthProcessError::Start)?;
    keep_to_itself();
    let files: Arc<dyn Files> = Arc::new(monitor.files(config, source));
    let Some(ground) = ground::lay(config, Purpose::Serve(Arc::clone(&files)))? else {
        return Err(AuthProcessError::Start(io::ErrorKind::Other.into()));
    };
    let Ground {
        state,
        records,
        authorities,
        audit,
        provider,
        certificate,
    } = ground;
    let meters = Arc::<AuthMeters>::default();
    let audit = audit.observed_by(Arc::<AuthMeters>::clone(&meters));
    // Everything is opened, by the only thread.
    let _confinement = AUTH.confine(config)?;
    log::start().map_err(AuthProcessError::Start)?;
    let signing = Arc::new(SigningService::new(authorities.clone()));
    let changes = Arc::new(ChangesService::new(state.clone(), records.clone())?);
    let (reading_on, stop) = channel();
    let reader = Arc::clone(&changes).follow(stop);
    let reader = reader.map_err(AuthProcessError::Start)?;
    let peers = Arc::new(PeersService::new(state.clone()));
    let cluster = config.cluster_name.clone();
    let published = PublishedService::new(cluster, records.clone(), authorities.clone());
    let telemetry = TelemetryService::new(state.clone(), Arc::clone(&meters), restarts);
    let telemetry = Arc::new(telemetry);
    let (looking_on, stop) = channel();
    let looker = Arc::clone(&telemetry).follow(stop);
    let looker = looker.map_err(AuthProcessError::Start)?;
    let ground = PeopleGround {
        state,
        records: records.clone(),
        authorities: authorities.clone(),
        audit: audit.clone(),
        meters,
        provider,
    };
    let nodes = Arc::new(NodesProvider::new(config, &ground));
    let people = PeopleProvider::new(config, ground)?.map(Arc::new);
    let reload = AuthReload {
        source: source.clone(),
        files,
        audit: audit.clone(),
        config: Mutex::new(config.clone()),
        people: people.clone(),
        nodes: Arc::clone(&nodes),
        certificate: Arc::clone(&certificate),
    };
    let refused = RefusedCalls::new(Arc::new(audit.clone()));
    let renewer = follow_certificate(certificate);
    let (renewing, renewer) = renewer.map_err(AuthProcessError::Start)?;
    let (telling, told) = channel();
    let teller = follow_refusals(audit.clone(), refused.clone(), told);
    let teller = teller.map_err(AuthProcessError::Start)?;
    let providers = Providers {
        signing,
        people,
        nodes: Arc::clone(&nodes),
        peers,
        changes,
        published: Arc::new(published),
        telemetry,
        refused,
    };
    let dispatcher = Dispatcher::start(providers).map_err(AuthProcessError::Start)?;
    announce(&monitor, authorities.keys()).map_err(AuthProcessError::NoMonitor)?;
    let rotations = follow_rotations(config, records, authorities, audit.clone(), monitor.clone());
    let (going_on, rotations) = rotations.map_err(AuthProcessError::Start)?;
    obey(&monitor, dispatcher, &reload);
    nodes.hand_over();
    drop((going_on, reading_on, looking_on, telling, renewing, reload));
    // Nothing uses the state any more then, and it is closed in order.
    thread_pool::join([rotations, reader, looker, teller, renewer], LAST_WRITES);
    Ok(())
}

/// Has the process's memory stay in memory, and its files with its account.
fn keep_to_itself() {
    if let Err(error) = process::lock_memory() {
        // The monitor has the same limit, and has logged what that means.
        tracing::debug!(%error, "memory cannot be locked");
    }
    rustix::process::umask(UMASK);
}

/// Calls are answered from now on.
fn announce(monitor: &MonitorLink, keys: PublicCaKeys) -> io::Result<()> {
    monitor.report(&ProcessMessage::Keys(keys))?;
    monitor.report(&ProcessMessage::Ready)
}

/// Checks whether the process could start, as far as that is possible without creating or changing anything.
///
/// # Errors
/// What [`work`] would fail with.
pub fn rehearse(config: &Config) -> Result<(), AuthProcessError> {
    ground::lay(config, Purpose::Look).map(drop)
}

/// Handles the monitor's messages until one of them is the last.
fn obey(monitor: &MonitorLink, mut dispatcher: Dispatcher, reload: &AuthReload) {
    let limit = loop {
        let Some(Datagram { mut bytes, files }) = monitor.receive() else {
            break LAST_WRITES;
        };
        let message = decode(&bytes);
        // It can contain what a person has typed.
        bytes.zeroize();
        match message {
            Ok(MonitorMessage::Call(call)) => dispatcher.serve(call, files),
            Ok(MonitorMessage::Exited(caller)) => dispatcher.forget(&caller),
            Ok(MonitorMessage::Reload) => {
                reload.run();
                monitor.tell(&ProcessMessage::Reloaded);
            }
            Ok(MonitorMessage::Ping) => monitor.tell(&ProcessMessage::Alive),
            Ok(MonitorMessage::Retire) => break LAST_ANSWERS,
            Ok(MonitorMessage::End) => break LAST_WRITES,
            // As long as workers drain, they call.
            Ok(MonitorMessage::Drain) => {}
            Ok(
                MonitorMessage::Start { .. }
                | MonitorMessage::StartAuth { .. }
                | MonitorMessage::StartWeb { .. }
                | MonitorMessage::Keys(_),
            ) => tracing::warn!("an order that is not for this process"),
            Err(error) => tracing::warn!(%error, "an order that nobody understands"),
        }
    };
    dispatcher.finish(limit);
}

/// What the process does anew when the proxy reloads its configuration.
#[derive(Debug)]
struct AuthReload {
    /// Where the configuration comes from.
    source: Source,
    files: Arc<dyn Files>,
    audit: AuditLog,
    /// The configuration in force.
    config: Mutex<Config>,
    people: Option<Arc<PeopleProvider>>,
    nodes: Arc<NodesProvider>,
    certificate: Arc<WebCertificate>,
}

impl AuthReload {
    fn run(&self) {
        if let Err(error) = self.audit.reopen() {
            let error = chain(&error);
            tracing::error!(%error, "cannot open the audit log anew, the old file stays");
        }
        if let Err(error) = self.take_over() {
            let error = chain(&error);
            tracing::error!(%error, "cannot take over the configuration, the one before stays");
        }
    }

    /// Reads the configuration again, and takes what can change while the proxy runs.
    ///
    /// # Errors
    /// When it has mistakes: then the one before stays in force. A worker tells of them.
    fn take_over(&self) -> Result<(), ConfigError> {
        let Loaded { mut config, .. } = self.source.load_with(&*self.files)?;
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        // A worker logs what needs a restart.
        let _needs_restart = config.keep_until_restart(&current);
        if let Some(people) = &self.people {
            people.apply(&config);
        }
        self.nodes.apply(&config);
        self.certificate.apply(&config);
        *current = config;
        Ok(())
    }
}

/// Writes down on a thread what was refused too often for lines of its own, until the sender of `stop` is
/// dropped, and then once more.
fn follow_refusals(
    audit: AuditLog,
    refused: RefusedCalls,
    stop: Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("refusals".to_owned())
        .spawn(move || {
            loop {
                let is_end = stop.recv_timeout(LOOK_FOR_SUMS) != Err(RecvTimeoutError::Timeout);
                // If an event cannot be written, the program's log has it.
                let _told_already = audit.tell_sums(is_end);
                refused.tell_sums(is_end);
                if is_end {
                    return;
                }
            }
        })
}

/// Renews the certificate of HTTPS on a thread, until the sender is dropped.
fn follow_certificate(
    certificate: Arc<WebCertificate>,
) -> io::Result<(Sender<()>, JoinHandle<()>)> {
    let (going_on, stop) = channel();
    let thread = std::thread::Builder::new()
        .name("certificate".to_owned())
        .spawn(move || certificate.follow(&stop))?;
    Ok((going_on, thread))
}

/// Follows the rotation of the CAs on a thread, until the sender is dropped.
fn follow_rotations(
    config: &Config,
    records: CaRecords,
    authorities: CurrentAuthorities,
    audit: AuditLog,
    monitor: MonitorLink,
) -> io::Result<(Sender<()>, JoinHandle<()>)> {
    let (going_on, stop) = channel();
    let config = config.clone();
    let tell = move |keys: PublicCaKeys| {
        let report = ProcessMessage::Keys(keys);
        loop {
            match monitor.report(&report) {
                Ok(()) => return ControlFlow::Continue(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(MONITOR_READS);
                }
                Err(_) => return ControlFlow::Break(()),
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("authorities".to_owned())
        .spawn(move || authorities::follow(&config, &records, &authorities, &audit, &stop, tell))?;
    Ok((going_on, thread))
}
