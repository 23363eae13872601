//! The running proxy: build everything, bind, serve, drain.
//!
//! Maps the configuration onto the rooms; decides nothing about SSH itself.

mod authorities;
mod reload;
mod revocations;
mod settings;
mod supervisor;
mod telemetry;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use reload::Reload;
use revocations::Watcher;
use settings::settings;

use crate::audit::{AuditEvent, AuditLog};
use crate::ca::{Authorities, CaError, RevocationLog, Revocations};
use crate::cert::SourceAddressError;
use crate::config::{Config, SessionRecording, Source};
use crate::control;
use crate::dns::Resolver;
use crate::metrics::Metrics;
use crate::model::{NameError, chain};
use crate::session::Registry;
use crate::ssh::listener::Workers;
use crate::ssh::{Answered, CurrentTrust, Limits, Minting, Proxy, Settings, Startups, Warned};
use crate::sys::clock::Clock;
use crate::web::{PublicKeys, PublicSite, Server, TlsFiles, WebError};
use crate::wire::ClientConfig;

/// How long connections may take to say goodbye when the proxy stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the proxy does not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The authorities cannot be opened, or the host authority's key does not sign.
    #[error("cannot use the certificate authorities")]
    Authorities(#[from] CaError),
    /// The audit log cannot be opened or written.
    #[error("cannot use the audit log")]
    Audit(#[from] crate::audit::AuditError),
    /// The networks of `egress_addrs` cannot stand in a certificate.
    #[error("cannot use the egress addresses")]
    Egress(#[from] SourceAddressError),
    /// The inventory contradicts itself.
    #[error("cannot use the inventory")]
    Inventory(#[from] crate::nodes::InventoryError),
    /// A configured name cannot stand in a certificate.
    #[error("cannot make the listener's host certificate")]
    ListenerName(#[from] NameError),
    /// The system's resolver configuration cannot be read.
    #[error("cannot set up DNS")]
    Dns(#[from] crate::dns::DnsError),
    /// The port is taken, or may not be used.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
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
            _ => None,
        }
    }
}

/// Runs the proxy until it is told to stop by SIGTERM or SIGINT. At SIGHUP the configuration is read
/// again from its source.
///
/// # Errors
/// When it cannot start.
pub fn serve(config: &Config, source: Source) -> Result<(), ServeError> {
    raise_file_limit();
    let log = RevocationLog::new(&config.data_dir, Clock::System);
    let (watcher, revocations) = Watcher::start(log)?;
    let authorities = authorities::open(config)?;
    let (sender, settings) = watch::channel(Arc::new(settings(config)?));
    let proxy = Arc::new(build(config, &authorities, revocations, settings)?);
    let reload = Reload {
        source,
        config: config.clone(),
        settings: sender,
        proxy: Arc::clone(&proxy),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Start)?;
    let shutdown = CancellationToken::new();
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    runtime.block_on(async {
        let hangup = signal(SignalKind::hangup()).map_err(ServeError::Start)?;
        let address = config.proxy.listen_addr;
        let listen_error = |error| ServeError::Listen(address, error);
        let listener = TcpListener::bind(address).await.map_err(listen_error)?;
        let bound = listener.local_addr().map_err(listen_error)?;
        let public = watch::Sender::new(Arc::new(authorities::public_keys(&authorities)));
        let web = serve_web(config, &proxy, &public, &shutdown)?;
        let control = serve_control(config, &proxy);
        let telemetry = telemetry::bind(config)?;
        let workers = Workers::start(&proxy, count, &shutdown, DRAIN).map_err(ServeError::Start)?;
        let telemetry = telemetry
            .map(|bound| bound.serve(&proxy, &workers, &shutdown))
            .transpose()?;
        stop_on_signals(shutdown.clone()).map_err(ServeError::Start)?;
        tokio::spawn(watcher.run());
        tokio::spawn(reload.run(hangup));
        proxy.audit.emit(&AuditEvent::ServerStarted {
            version: env!("CARGO_PKG_VERSION"),
            listen_addr: bound,
            session_recording: config.auth.session_recording == SessionRecording::Proxy,
            proxy_checks_host_keys: config.auth.proxy_checks_host_keys,
        })?;
        tracing::info!("listening on {bound}");
        let following = tokio::spawn(authorities::follow(
            Arc::clone(&proxy),
            config.clone(),
            authorities,
            public,
            shutdown.clone(),
        ));
        supervisor::ready();
        tokio::spawn(supervisor::live());
        workers.accept(&listener, &shutdown).await;
        supervisor::stopping();
        following.abort();
        drop(listener);
        tracing::info!("stopping: no new connections, telling the users");
        workers.join();
        // Until now: whoever waits for the last sessions may want to see or to end them.
        drop(control);
        if web.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the web panicked");
        }
        // It says until the end how far that is.
        telemetry.into_iter().for_each(telemetry::Serving::end);
        Ok(proxy
            .audit
            .emit(&AuditEvent::ServerStopped { reason: "signal" })?)
    })
}

/// Starts the listener of the web, where the configuration has one.
fn serve_web(
    config: &Config,
    proxy: &Proxy,
    public: &watch::Sender<Arc<PublicKeys>>,
    shutdown: &CancellationToken,
) -> Result<Option<JoinHandle<()>>, WebError> {
    let Some(web) = &config.proxy.web else {
        return Ok(None);
    };
    let tls = web.tls.as_ref().map(|tls| TlsFiles {
        certificate: tls.cert_file.clone(),
        key: tls.key_file.clone(),
    });
    let server = Server::bind(web.listen_addr, tls)?;
    tracing::info!("the web is at {}", server.url());
    let site = PublicSite::new(
        config.cluster_name.clone(),
        public.subscribe(),
        proxy.revocations.clone(),
    );
    Ok(Some(site.serve(server, shutdown.clone())?))
}

/// Starts the control socket. The proxy does its work without it, so nobody is kept from it where there
/// can be none.
fn serve_control(config: &Config, proxy: &Proxy) -> Option<control::Running> {
    let directory = control::directory(&config.data_dir);
    let started = control::Server::bind(&directory)
        .and_then(|server| server.start(proxy.registry.clone(), proxy.audit.clone()));
    match started {
        Ok(running) => Some(running),
        Err(error) => {
            let error = chain(&error);
            tracing::error!(%error, "there is no control socket: sessions cannot be listed or ended");
            None
        }
    }
}

fn build(
    config: &Config,
    authorities: &Authorities,
    revocations: watch::Receiver<Arc<Revocations>>,
    settings: watch::Receiver<Arc<Settings>>,
) -> Result<Proxy, ServeError> {
    let clock = Clock::System;
    let metrics = telemetry::metrics(clock);
    let audit = AuditLog::open(&config.data_dir, config.cluster_name.clone(), clock)?;
    let observer: Arc<Metrics> = Arc::clone(&metrics);
    Ok(Proxy {
        cluster: config.cluster_name.clone(),
        limits: Limits {
            connections: config.proxy.max_connections,
            per_address: config.proxy.max_connections_per_address,
            per_user: config.proxy.max_connections_per_user,
            starting: config.proxy.max_starting,
        },
        settings,
        trust: CurrentTrust::new(authorities::trust(authorities)?),
        revocations,
        resolver: Resolver::from_system()?,
        audit: audit.observed_by(observer),
        metrics,
        registry: Registry::default(),
        upstream: Arc::new(ClientConfig::default()),
        startups: Startups::new(config.upstream.max_starting_per_host),
        answered: Answered::default(),
        minting: Minting::default(),
        warned: Warned::default(),
        clock,
    })
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

/// Cancels the token at the first SIGTERM or SIGINT.
fn stop_on_signals(shutdown: CancellationToken) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    });
    Ok(())
}
