//! A worker: build everything, serve, drain. The monitor has started it and gives it the ports.
//!
//! Maps the configuration onto the rooms; decides nothing about SSH itself.

mod assembly;
mod authorities;
mod ground;
mod orders;
mod reload;
mod revocations;
mod settings;
mod stop;
mod telemetry;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use assembly::{Assembly, Inputs, Shared};
use ground::{Ground, Purpose};
use orders::{Listeners, MonitorClient};
use reload::{Reload, in_force};
use revocations::Watcher;
use stop::Stop;

use crate::audit::{AuditError, AuditEvent};
use crate::ca::{CaError, RevocationLog};
use crate::cert::SourceAddressError;
use crate::config::{Config, ConfigError, SessionRecording, Source, weaker};
use crate::control;
use crate::ipc::{MonitorMessage, WorkerMessage};
use crate::model::{NameError, chain};
use crate::monitor::{self, WORKER};
use crate::ssh::listener::ServingThreads;
use crate::sys::clock::Clock;
use crate::sys::files::Files;
use crate::sys::fs::FsError;
use crate::sys::log;
use crate::sys::sandbox::{Confinement, SandboxError};
use crate::web::{PublicKeys, PublicSite, Server, TlsFiles, WebError};

/// How long connections may take to say goodbye when they are ended.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why the proxy does not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// What is revoked cannot be read, or the proxy's host key cannot be made.
    #[error("cannot use the CAs")]
    Authorities(#[from] CaError),
    /// The audit log cannot be opened or written.
    #[error("cannot use the audit log")]
    Audit(#[from] AuditError),
    /// In strict mode, recordings cannot be made.
    #[error("cannot use the directory of recordings, and recording.mode is strict")]
    Recordings(#[source] FsError),
    /// The defaults are no configuration.
    #[error("cannot compare the configuration with the defaults")]
    Defaults(#[from] ConfigError),
    /// The networks of `egress_addrs` cannot stand in a certificate.
    #[error("cannot use the egress addresses")]
    Egress(#[from] SourceAddressError),
    /// The operator's banner cannot be read.
    #[error("cannot use banner_file")]
    Banner(#[source] FsError),
    /// The inventory contradicts itself.
    #[error("cannot use the inventory")]
    Inventory(#[from] crate::nodes::InventoryError),
    /// A configured name cannot stand in a certificate.
    #[error("cannot make the listener's host certificate")]
    ListenerName(#[from] NameError),
    /// The system's resolver configuration cannot be read.
    #[error("cannot set up DNS")]
    Dns(#[from] crate::dns::DnsError),
    /// The process cannot give up what it does not need.
    #[error("cannot be confined")]
    Confine(#[from] SandboxError),
    /// Nobody has started this process who may.
    #[error("this command is for rproxy serve, which starts it")]
    NoMonitor(#[source] io::Error),
    /// What should be a listener does not listen.
    #[error("cannot use the listener")]
    Listen(#[source] io::Error),
    /// The listener of the web does not work.
    #[error("cannot serve the web")]
    Web(#[from] WebError),
    /// The operating system refuses a thread, a runtime or a signal handler.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

impl ServeError {
    /// What the administrator can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Authorities(error) => error.hint(),
            Self::Audit(AuditError::Open(FsError::TooOpen { path, .. })) => {
                Some(format!("chmod 0600 {}", path.display()))
            }
            Self::Recordings(FsError::TooOpen { path, .. }) => {
                Some(format!("chmod 0700 {}", path.display()))
            }
            Self::Recordings(_) => Some(
                "have a directory there that the account of the proxy may write to, with mode 0700"
                    .to_owned(),
            ),
            Self::Confine(_) => {
                Some("with `proxy_service.sandbox: no` it runs without, and says so".to_owned())
            }
            _ => None,
        }
    }
}

/// Serves the clients of the ports that the monitor gives, until the monitor says that it is enough, and
/// connections are done or have had their time. The configuration is read again from its source when the
/// monitor says so.
///
/// # Errors
/// When it cannot start.
pub fn work(config: &Config, source: Source) -> Result<(), ServeError> {
    let (reporter, listeners, keys) = MonitorClient::begin()?;
    raise_file_limit();
    let file = source.file.as_ref();
    let configuration = file.map(|file| file.display().to_string());
    let files: Arc<dyn Files> = Arc::new(reporter.files(config, &source));
    let log = RevocationLog::new(&config.data_dir, Clock::System).opened_by(Arc::clone(&files));
    let (watcher, revocations) = Watcher::start(log)?;
    let own_listeners = own_listeners(&listeners);
    let Listeners { ssh, web, metrics } = listeners;
    let Some(ground) = ground::lay(config, Purpose::Serve(web, Arc::clone(&files)))? else {
        return Err(ServeError::Start(io::ErrorKind::Other.into()));
    };
    let Ground {
        settings,
        audit,
        resolver,
        web,
    } = ground;
    let recordings = settings.recording.store.clone();
    let (sender, settings) = watch::channel(Arc::new(settings));
    let stop = Stop::new();
    let inputs = Inputs {
        trust: authorities::trust(&keys, &reporter)?,
        revocations,
        settings,
        stopping: stop.announced(),
        listeners: own_listeners,
        audit,
        resolver,
    };
    let Assembly {
        outer,
        limits,
        shared,
    } = assembly::assemble(config, inputs);
    let reload = Reload {
        source,
        config: config.clone(),
        settings: sender,
        files: Arc::clone(&files),
        audit: shared.audit.clone(),
    };
    let control = bind_control(config);
    let count = processors();
    // Everything is bound, opened and read for the first time above, by the only thread that there is.
    // What comes below has what is open by now, and what its row in the monitor's table of processes keeps.
    let _kept = confine(config)?;
    log::start().map_err(ServeError::Start)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Start)?;
    runtime.block_on(async {
        let signals = Signals::new().map_err(ServeError::Start)?;
        let listener = listener(ssh).map_err(ServeError::Listen)?;
        let bound = listener.local_addr().map_err(ServeError::Listen)?;
        let public = watch::Sender::new(Arc::new(authorities::public_keys(&keys)));
        let web = web.map(|server| site(config, &shared, &public).serve(server, stop.web.clone()));
        let web = web.transpose()?;
        let control = control.and_then(|server| serve_control(server, &shared));
        let workers = ServingThreads::start(&outer, limits, count, &stop.over, FAREWELL)
            .map_err(ServeError::Start)?;
        let telemetry = telemetry::serve(
            metrics,
            Arc::new(shared.clone()),
            files,
            &shared.metrics,
            &workers,
            &stop,
        )?;
        tokio::spawn(watcher.run());
        tokio::spawn(telemetry::tell_sums(shared.audit.clone()));
        let (reloads, requests) = mpsc::channel(1);
        tokio::spawn(reload.run(requests, reporter.clone()));
        shared.audit.emit(&AuditEvent::ServerStarted {
            version: env!("CARGO_PKG_VERSION"),
            listen_addr: bound,
            configuration,
            session_recording: config.auth.session_recording == SessionRecording::Proxy,
            proxy_checks_host_keys: config.auth.proxy_checks_host_keys,
        })?;
        let weaker = weaker(&config.defaults()?, config);
        let event = in_force("start", config, Vec::new(), weaker);
        shared.audit.emit(&event)?;
        tracing::info!("listening on {bound}");
        let orders = reporter.orders(stop.clone()).map_err(ServeError::Start)?;
        reporter.report(&WorkerMessage::Ready);
        let obedient = CommandLoop {
            shared: shared.clone(),
            stop: stop.clone(),
            reporter,
            reloads,
            public,
        };
        tokio::spawn(obedient.run(orders, signals));
        workers.accept(&listener, &stop.closing).await;
        drop(listener);
        // On a thread: what happens to live connections goes on happening.
        let ended = tokio::task::spawn_blocking(move || {
            workers.join();
            recordings.settled(FAREWELL)
        });
        match ended.await {
            Ok(true) => {}
            Ok(false) => tracing::error!(
                "the disk has not kept every recording yet: their ends are not audited"
            ),
            Err(_) => tracing::error!("the thread that waits for the workers panicked"),
        }
        // Until now: whoever waits for the last sessions may want to see or to end them.
        drop(control);
        stop.over.cancel();
        if web.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the web panicked");
        }
        // It says until the end how far that is.
        telemetry.into_iter().for_each(telemetry::Serving::end);
        shared.audit.tell_sums(true)?;
        Ok(shared.audit.emit(&AuditEvent::ServerStopped {
            reason: stop.reason(),
        })?)
    })
}

/// Looks whether a worker could start, as far as that can be known without making or changing anything:
/// whether the kernel confines it, for one, only the worker learns.
///
/// # Errors
/// What [`work`] would fail with.
pub fn rehearse(config: &Config) -> Result<(), ServeError> {
    ground::lay(config, Purpose::Look).map(drop)
}

/// Gives up what the process does not need any more, unless the configuration says otherwise.
fn confine(config: &Config) -> Result<Option<Confinement>, ServeError> {
    if !config.proxy.sandbox {
        tracing::warn!(
            "proxy_service.sandbox is off: a worker that is taken over has the account's files"
        );
        return Ok(None);
    }
    monitor::prepare(config);
    let held = (WORKER.sandbox)(config).apply()?;
    tracing::info!("confined by {}", held.layers());
    let missing = held.layers().missing();
    if !missing.is_empty() {
        let missing = missing.join("; ");
        tracing::warn!("this kernel cannot confine it as far as it should be: {missing}");
    }
    Ok(Some(held))
}

fn listener(given: Option<std::net::TcpListener>) -> io::Result<TcpListener> {
    let given = given.ok_or(io::ErrorKind::NotConnected)?;
    given.set_nonblocking(true)?;
    TcpListener::from_std(given)
}

/// The web, where the configuration has it.
fn web_server(
    config: &Config,
    listener: Option<std::net::TcpListener>,
    files: Arc<dyn Files>,
) -> Result<Option<Server>, WebError> {
    let (Some(_), Some(listener)) = (&config.proxy.web, listener) else {
        return Ok(None);
    };
    let server = Server::new(listener, tls_files(config).map(|tls| (tls, files)))?;
    tracing::info!("the web is at {}", server.url());
    Ok(Some(server))
}

/// The files of HTTPS, where the configuration has them.
fn tls_files(config: &Config) -> Option<TlsFiles> {
    let files = config.proxy.web.as_ref()?.tls.as_ref()?;
    Some(TlsFiles {
        certificate: files.cert_file.clone(),
        key: files.key_file.clone(),
    })
}

/// What the web shows.
fn site(config: &Config, shared: &Shared, public: &watch::Sender<Arc<PublicKeys>>) -> PublicSite {
    PublicSite::new(
        config.cluster_name.clone(),
        public.subscribe(),
        shared.revocations.clone(),
    )
}

/// Makes the control socket, while this process may. The proxy does its work without it, so nobody is kept
/// from it where there can be none.
fn bind_control(config: &Config) -> Option<control::Server> {
    let bound = control::Server::bind(&config.data_dir.control());
    bound.map_err(no_control).ok()
}

/// Answers at it.
fn serve_control(server: control::Server, shared: &Shared) -> Option<control::ControlHandle> {
    let started = server.start(shared.registry.clone(), shared.audit.clone());
    started.map_err(no_control).ok()
}

fn no_control(error: control::ControlError) {
    let error = chain(&error);
    tracing::error!(%error, "there is no control socket: sessions cannot be listed or ended");
}

/// Where this process listens, whatever for.
fn own_listeners(listeners: &Listeners) -> Vec<SocketAddr> {
    let Listeners { ssh, web, metrics } = listeners;
    [ssh, web, metrics]
        .into_iter()
        .flatten()
        .filter_map(|listener| listener.local_addr().ok())
        .collect()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Every connection needs a few descriptors. The soft limit is low for programs that use `select`,
/// which this one does not.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// The signals that somebody may send to this process itself, or to all of a terminal at once. The
/// monitor's orders are what counts: stopping is stopping, however often it is said, and the rest is
/// passed over.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    _passed_over: [Signal; 2],
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _passed_over: [
                signal(SignalKind::hangup())?,
                signal(SignalKind::user_defined2())?,
            ],
        })
    }
}

/// Does what the monitor says.
#[derive(Debug)]
struct CommandLoop {
    shared: Shared,
    stop: Stop,
    reporter: MonitorClient,
    reloads: mpsc::Sender<()>,
    public: watch::Sender<Arc<PublicKeys>>,
}

impl CommandLoop {
    async fn run(self, mut orders: mpsc::Receiver<MonitorMessage>, mut signals: Signals) {
        loop {
            let order = tokio::select! {
                Some(order) = orders.recv() => order,
                _ = signals.terminate.recv() => MonitorMessage::Drain,
                _ = signals.interrupt.recv() => MonitorMessage::Drain,
                else => return,
            };
            match order {
                MonitorMessage::Start { .. } => {}
                MonitorMessage::Keys(keys) => {
                    authorities::replace(&keys, &self.reporter, &self.shared.trust, &self.public);
                }
                // One that waits to be done is as good as two.
                MonitorMessage::Reload => {
                    let _is_asked_for = self.reloads.try_send(());
                }
                MonitorMessage::Drain => {
                    let Shared {
                        settings, audit, ..
                    } = &self.shared;
                    self.stop.drain(settings, audit, &self.reporter);
                }
                MonitorMessage::End => self.stop.end("signal"),
                MonitorMessage::Retire => self.stop.retire(),
                MonitorMessage::Ping => self.reporter.report(&WorkerMessage::Alive),
            }
        }
    }
}
