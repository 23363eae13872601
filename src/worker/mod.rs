//! A worker process: builds everything, serves clients, drains. The monitor starts it and passes
//! the listeners to it.
//!
//! Passes the configuration to the rooms; decides nothing about SSH itself.

mod assembly;
mod authorities;
mod command_loop;
mod control_socket;
mod error;
mod ground;
mod monitor_client;
mod nodes;
mod process;
mod reload;
mod revocations;
mod settings;
mod signals;
mod stop;
mod telemetry;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use assembly::{Assembly, Inputs};
use command_loop::CommandLoop;
use ground::{Ground, Purpose};
use monitor_client::{Listeners, MonitorClient};
use nodes::NodeDirectory;
use reload::{Reload, in_force};
use revocations::Watcher;
use signals::Signals;
use stop::Stop;
use telemetry::Serving;

use crate::audit::AuditEvent;
use crate::config::{Config, SessionRecording, Source, weaker};
use crate::control;
use crate::ipc::{self, Changes, People, ProcessMessage};
use crate::ssh::Freshness;
use crate::ssh::listener::ServingThreads;
use crate::store::Recordings;
use crate::sys::files::Files;
use crate::sys::log;

pub use error::ServeError;

/// How long connections may take to send a disconnect when they are ended.
const FAREWELL: Duration = Duration::from_secs(10);

/// Serves clients on the listeners that the monitor passes, until the monitor orders it to stop and the
/// connections have ended or timed out. The configuration is reloaded from `source` when the monitor
/// orders it.
///
/// # Errors
/// When the worker cannot start.
pub fn work(config: &Config, source: Source) -> Result<(), ServeError> {
    let worker = Worker::prepare(config, source)?;
    // Everything above is bound, opened and read for the first time by the only thread. What follows
    // can use the open files, and what the worker's row in the monitor's table of processes permits.
    let _confinement = process::confine(config)?;
    log::start().map_err(ServeError::Start)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Start)?;
    runtime.block_on(worker.serve(config))
}

/// Checks whether a worker could start, as far as that is possible without creating or changing
/// anything. Whether the kernel can confine it, for example, only the worker finds out.
///
/// # Errors
/// What [`work`] would fail with.
pub fn rehearse(config: &Config) -> Result<(), ServeError> {
    ground::lay(config, Purpose::Look).map(drop)
}

/// A worker that has opened and bound everything, and does not serve clients yet.
struct Worker {
    monitor: MonitorClient,
    configuration: Option<String>,
    files: Arc<dyn Files>,
    ssh: Option<TcpListener>,
    metrics: Option<TcpListener>,
    control: Option<control::Server>,
    watcher: Watcher,
    nodes: NodeDirectory,
    reload: Reload,
    stop: Stop,
    assembly: Assembly,
    recordings: Recordings,
}

/// The other servers of a worker, which run until it exits.
struct Beside {
    control: Option<control::ControlHandle>,
    telemetry: Option<Serving>,
}

impl Worker {
    /// Takes what the monitor passes, and opens and reads what is needed, in the order in which errors
    /// are reported.
    fn prepare(config: &Config, source: Source) -> Result<Self, ServeError> {
        let (monitor, listeners, keys) = MonitorClient::begin()?;
        process::raise_file_limit();
        let file = source.file.as_ref();
        let configuration = file.map(|file| file.display().to_string());
        let files: Arc<dyn Files> = Arc::new(monitor.files(config, &source));
        let freshness = Freshness::new(config.state.max_stale);
        let changes: Arc<dyn Changes> = Arc::new(monitor.changes());
        let (watcher, revocations, joined) = Watcher::start(changes, freshness.clone())?;
        let own_listeners = own_listeners(&listeners);
        let Listeners { ssh, metrics, .. } = listeners;
        let Some(ground) = ground::lay(config, Purpose::Serve(Arc::clone(&files)))? else {
            return Err(ServeError::Start(io::ErrorKind::Other.into()));
        };
        let Ground {
            settings,
            audit,
            resolver,
        } = ground;
        let recordings = settings.recording.store.clone();
        let (sender, settings) = watch::channel(Arc::new(settings));
        let stop = Stop::new();
        let inputs = Inputs {
            trust: authorities::trust(&keys, &monitor)?,
            revocations,
            freshness,
            settings,
            stopping: stop.announced(),
            listeners: own_listeners,
            people: config
                .auth
                .authentication
                .has_sign_in()
                .then(|| Arc::new(monitor.people()) as Arc<dyn People>),
            nodes: Arc::new(monitor.nodes()),
            closing: stop.closing.clone(),
            peers: config
                .state
                .database
                .is_some()
                .then(|| Arc::new(monitor.peers()) as Arc<dyn ipc::Peers>),
            telemetry: monitor.telemetry(),
            audit,
            resolver,
        };
        let assembly = assembly::assemble(config, inputs);
        let nodes = NodeDirectory::new(sender, assembly.shared.tunnels.clone());
        nodes.take(joined);
        let reload = Reload {
            source,
            config: config.clone(),
            nodes: nodes.clone(),
            files: Arc::clone(&files),
            audit: assembly.shared.audit.clone(),
        };
        Ok(Self {
            monitor,
            configuration,
            files,
            ssh,
            metrics,
            control: control_socket::bind_control(config),
            watcher,
            nodes,
            reload,
            stop,
            assembly,
            recordings,
        })
    }

    /// Serves until the monitor or a signal orders the worker to stop.
    async fn serve(self, config: &Config) -> Result<(), ServeError> {
        let signals = Signals::new().map_err(ServeError::Start)?;
        let Assembly {
            outer,
            limits,
            shared,
        } = self.assembly;
        let listener = listener(self.ssh).map_err(ServeError::Listen)?;
        let bound = listener.local_addr().map_err(ServeError::Listen)?;
        let control = self.control;
        let control = control.and_then(|server| control_socket::serve_control(server, &shared));
        let (count, over) = (process::processors(), &self.stop.over);
        let threads = ServingThreads::start(&outer, limits, count, over, FAREWELL)
            .map_err(ServeError::Start)?;
        let telemetry = telemetry::serve(
            self.metrics,
            Arc::new(shared.clone()),
            self.files,
            &shared.metrics,
            &threads,
            &self.stop,
        )?;
        let followed = (shared.sign_in_changes.clone(), self.nodes);
        tokio::spawn(self.watcher.run(followed));
        if let Some(parts) = &outer.peers {
            let peers = parts.peers.clone();
            let closing = self.stop.closing.clone();
            tokio::spawn(async move { peers.announce(closing).await });
        }
        tokio::spawn(telemetry::tell_sums(shared.audit.clone()));
        let (reloads, requests) = mpsc::channel(1);
        tokio::spawn(self.reload.run(requests, self.monitor.clone()));
        shared
            .audit
            .emit(&started(config, self.configuration, bound))?;
        let weaker = weaker(&config.defaults()?, config);
        let in_force = in_force("start", config, Vec::new(), weaker);
        shared.audit.emit(&in_force)?;
        tracing::info!("listening on {bound}");
        let gone = self.stop.clone();
        let messages = self.monitor.messages(move || gone.end("monitor-gone"));
        let messages = messages.map_err(ServeError::Start)?;
        self.monitor.report(&ProcessMessage::Ready);
        let commands = CommandLoop {
            shared: shared.clone(),
            stop: self.stop.clone(),
            monitor: self.monitor,
            reloads,
        };
        tokio::spawn(commands.run(messages, signals));
        threads.accept(&listener, &self.stop.closing).await;
        drop(listener);
        let beside = Beside { control, telemetry };
        beside.end(threads, self.recordings, &self.stop).await;
        shared.audit.tell_sums(true)?;
        Ok(shared.audit.emit(&AuditEvent::ServerStopped {
            reason: self.stop.reason(),
        })?)
    }
}

impl Beside {
    /// Waits until the last connection has ended, then stops the other servers.
    async fn end(self, threads: ServingThreads, recordings: Recordings, stop: &Stop) {
        // On another thread: timers and tasks of live connections need this one.
        let ended = tokio::task::spawn_blocking(move || {
            threads.join();
            recordings.settled(FAREWELL)
        });
        match ended.await {
            Ok(true) => {}
            Ok(false) => tracing::error!(
                "the disk has not kept every recording yet: their ends are not audited"
            ),
            Err(_) => tracing::error!("the thread that waits for the workers panicked"),
        }
        // Open while draining, so that sessions can still be listed and killed.
        drop(self.control);
        stop.over.cancel();
        // Open until draining is over, so that monitoring sees how far it is.
        self.telemetry.into_iter().for_each(Serving::end);
    }
}

fn started(config: &Config, configuration: Option<String>, bound: SocketAddr) -> AuditEvent {
    AuditEvent::ServerStarted {
        version: env!("CARGO_PKG_VERSION"),
        listen_addr: bound,
        configuration,
        session_recording: config.auth.session_recording == SessionRecording::Proxy,
        proxy_checks_host_keys: config.auth.proxy_checks_host_keys,
    }
}

fn listener(given: Option<TcpListener>) -> io::Result<tokio::net::TcpListener> {
    let given = given.ok_or(io::ErrorKind::NotConnected)?;
    given.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(given)
}

/// The addresses of all listeners of this proxy.
fn own_listeners(listeners: &Listeners) -> Vec<SocketAddr> {
    let Listeners {
        ssh,
        metrics,
        others,
    } = listeners;
    [ssh, metrics]
        .into_iter()
        .flatten()
        .filter_map(|listener| listener.local_addr().ok())
        .chain(others.iter().copied())
        .collect()
}
