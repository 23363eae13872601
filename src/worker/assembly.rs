//! Builds the services for clients from the configuration; each part gets what it uses.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch::{Receiver, Sender};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::process::processors;
use super::telemetry;
use crate::audit::AuditLog;
use crate::ca::Revocations;
use crate::config::Config;
use crate::dns::Resolver;
use crate::ipc::{self, Nodes, People, RemoteTelemetry, TelemetryAnswer};
use crate::metrics::Metrics;
use crate::model::chain;
use crate::net::{ConnectionLimits, HandshakeQueue};
use crate::session::Registry;
use crate::ssh::{
    Attempts, Budget, ComputeQueue, Criteria, CurrentSettings, CurrentTrust, Dialler, Freshness,
    FrontAuth, HostCertificates, HostDial, HostExpiry, HostKeys, InnerServices, NodeServices,
    NodesClient, OtherTunnels, OuterServices, PeerParts, Peers, PeopleClient, PolicySource,
    RevocationFile, Router, Settings, SignInChanges, Trust, Tunnels,
};
use crate::sys::clock::Clock;
use crate::sys::process;
use crate::web::{Status, StatusSource};

/// What exists before clients are served.
#[derive(Debug)]
pub(super) struct Inputs {
    /// The CAs' keys.
    pub(super) trust: Trust,
    /// The revocations; updated when they change.
    pub(super) revocations: Receiver<Arc<Revocations>>,
    /// How old they are.
    pub(super) freshness: Freshness,
    /// The settings; updated when they change.
    pub(super) settings: Receiver<Arc<Settings>>,
    /// The time at which connections end because the proxy stops, once that is known.
    pub(super) stopping: Receiver<Option<Instant>>,
    /// Addresses and ports of this proxy's own listeners, SSH's first.
    pub(super) listeners: Vec<SocketAddr>,
    /// Decides about people; `None` where only certificates count.
    pub(super) people: Option<Arc<dyn People>>,
    /// Decides about nodes.
    pub(super) nodes: Arc<dyn Nodes>,
    /// Cancelled when no client is accepted any more.
    pub(super) closing: CancellationToken,
    /// Knows the other proxies; `None` where the state is not shared.
    pub(super) peers: Option<Arc<dyn ipc::Peers>>,
    /// What the auth process has counted.
    pub(super) telemetry: RemoteTelemetry,
    /// Where audit events go.
    pub(super) audit: AuditLog,
    /// DNS.
    pub(super) resolver: Resolver,
}

/// The services for clients, and what they share with the rest of this process.
#[derive(Debug)]
pub(super) struct Assembly {
    /// The services that outer connections use.
    pub(super) outer: Arc<OuterServices>,
    /// How many clients may be connected.
    pub(super) limits: ConnectionLimits,
    /// The rest.
    pub(super) shared: Shared,
}

/// What the rest of the process reads or changes in the services for clients. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// The CAs' keys.
    pub(super) trust: CurrentTrust,
    /// The revocations.
    pub(super) revocations: Receiver<Arc<Revocations>>,
    /// The same as a file for hosts.
    pub(super) revocation_file: Arc<RevocationFile>,
    /// The sign-ins that have ended before they expire.
    pub(super) sign_in_changes: Sender<SignInChanges>,
    /// The settings.
    pub(super) settings: CurrentSettings,
    /// The tunnels that nodes keep open to this process.
    pub(super) tunnels: Tunnels,
    /// The live connections and sessions.
    pub(super) registry: Registry,
    /// The counters.
    pub(super) metrics: Arc<Metrics>,
    /// What the auth process has counted.
    pub(super) telemetry: RemoteTelemetry,
    /// How old the knowledge is of what was revoked.
    pub(super) freshness: Freshness,
    /// Where audit events go; events are counted.
    pub(super) audit: AuditLog,
}

/// Builds the services.
pub(super) fn assemble(config: &Config, inputs: Inputs) -> Assembly {
    let Inputs {
        trust,
        revocations,
        freshness,
        settings,
        stopping,
        listeners,
        people,
        nodes,
        closing,
        peers,
        telemetry: counted,
        audit,
        resolver,
    } = inputs;
    let clock = Clock::System;
    let metrics = telemetry::metrics(clock);
    let observer: Arc<Metrics> = Arc::clone(&metrics);
    let trust = CurrentTrust::new(trust);
    let compute = ComputeQueue::new(processors());
    let peers = peers.map(|service| {
        let address = config.proxy.peer_address();
        let (trust, resolver) = (trust.clone(), resolver.clone());
        Peers::new(service, address, trust, resolver, compute.clone())
    });
    let others = peers
        .clone()
        .map(|peers| Arc::new(peers) as Arc<dyn OtherTunnels>);
    let file = RevocationFile::new(config.cluster_name.clone(), revocations.clone());
    let shared = Shared {
        trust,
        revocations,
        revocation_file: Arc::new(file),
        sign_in_changes: Sender::default(),
        settings: CurrentSettings::new(settings),
        tunnels: Tunnels::with_others(others),
        registry: Registry::default(),
        metrics,
        telemetry: counted,
        freshness,
        audit: audit.observed_by(observer),
    };
    let found = (listeners, resolver);
    let inner = Arc::new(inner(config, &shared, stopping, found, (compute, clock)));
    let nodes = NodeServices {
        client: NodesClient::new(nodes),
        tunnels: shared.tunnels.clone(),
        revocations: Arc::clone(&shared.revocation_file),
        closing,
    };
    let outer = OuterServices {
        auth: inner.auth.clone(),
        people: people.map(PeopleClient::new),
        nodes: Some(Arc::new(nodes)),
        peers: peers.map(|peers| PeerParts {
            peers,
            tunnels: shared.tunnels.clone(),
        }),
        certificates: inner.certificates.clone(),
        policy: inner.policy.clone(),
        settings: shared.settings.clone(),
        budget: budget(),
        compute: inner.compute.clone(),
        metrics: Arc::clone(&shared.metrics),
        audit: shared.audit.clone(),
        inner,
    };
    Assembly {
        outer: Arc::new(outer),
        limits: limits(config),
        shared,
    }
}

fn inner(
    config: &Config,
    shared: &Shared,
    stopping: Receiver<Option<Instant>>,
    (listeners, resolver): (Vec<SocketAddr>, Resolver),
    (compute, clock): (ComputeQueue, Clock),
) -> InnerServices {
    let Shared {
        trust,
        revocations,
        revocation_file: _,
        sign_in_changes,
        settings,
        tunnels,
        registry,
        metrics,
        telemetry: _,
        freshness,
        audit,
    } = shared.clone();
    let cluster = config.cluster_name.clone();
    let resolver = (resolver, tunnels.clone());
    let router = Arc::new(Router::new(cluster, settings.clone(), listeners, resolver));
    let criteria = Criteria {
        freshness,
        trust: trust.clone(),
        revocations: revocations.clone(),
        settings: settings.clone(),
        clock,
    };
    let attempts = Attempts::new(
        HostDial::new(settings.clone(), tunnels),
        HostKeys::new(criteria.clone()),
        settings.clone(),
        compute.clone(),
        Arc::clone(&metrics),
    );
    let dialler = Dialler::new(
        attempts,
        Arc::clone(&router),
        settings.clone(),
        HandshakeQueue::at_hosts(config.upstream.max_starting_per_host),
        HostExpiry::new(audit.clone(), Arc::clone(&metrics), clock),
        Arc::clone(&metrics),
    );
    InnerServices {
        dialler,
        certificates: HostCertificates::new(trust, clock),
        auth: FrontAuth::new(criteria),
        policy: PolicySource::new(
            (revocations, sign_in_changes.subscribe()),
            settings.clone(),
            stopping,
            Arc::clone(&router),
            audit.clone(),
            clock,
        ),
        router,
        settings,
        registry,
        compute,
        metrics,
        audit,
        clock,
    }
}

fn limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        connections: config.proxy.max_connections,
        per_address: config.proxy.max_connections_per_address,
        per_user: config.proxy.max_connections_per_user,
        starting: config.proxy.max_starting,
    }
}

/// The memory budget for clients, computed from the memory that this process may use.
fn budget() -> Budget {
    let budget = Budget::new(process::memory());
    let (all, person) = budget.limits();
    tracing::info!(
        all_mib = all >> 20,
        person_mib = person >> 20,
        "memory for what waits in connections"
    );
    budget
}

impl StatusSource for Shared {
    fn status(&self) -> Status {
        let (trust, settings) = (self.trust.now(), self.settings.now());
        let nodes = settings.inventory.nodes().iter();
        Status {
            user_ca_keys: trust.users.len(),
            host_ca_keys: trust.hosts.len(),
            revocations: self.revocations.borrow().in_force().count(),
            nodes: nodes.map(|node| node.name.clone()).collect(),
            recording: settings.recording.policy,
            recordings: settings.recording.store.directory().to_owned(),
            audit_log: self.audit.path().to_owned(),
            state_age: self.freshness.age(),
            is_stale: self.freshness.is_stale(),
        }
    }

    fn telemetry(&self) -> Option<TelemetryAnswer> {
        match self.telemetry.ask() {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::debug!(%error, "the metrics have nothing new of the auth process");
                None
            }
        }
    }

    fn check_host_ca(&self) -> Result<(), String> {
        let checked = self.trust.now().mint.check_key();
        checked.map_err(|error| chain(&error))
    }
}
