//! SSH over sockets: the life of a connection, told once.
//!
//! 1. [`listener`]: a client connects; each connection lives on one worker thread.
//! 2. `outer`: the client authenticates with a user certificate, forwards its agent, and asks for the
//!    subsystem `proxy:host:port`.
//! 3. `route`: the target is parsed, resolved and authorised; nothing is dialled before.
//! 4. `dial_plan`: its name is looked up; what leads nowhere is refused before anything is signed for it.
//! 5. `connection`: the user's own ssh is terminated inside the channel (`inner`) while the host is
//!    dialled and checked (`upstream`); the agent signs once; then
//! 6. `bridge`: packets cross, through the recording first.
//!
//! ProxyJump forwards no agent to the outer connection. There, `jump` lets the user's ssh in first,
//! asks the agent that it forwards on the inner connection, and dials then.
//!
//! A certificate that is revoked while it is in use ends its connections (`revocation`), and so does a
//! policy that does not have them any more (`policy_monitor`). A proxy that stops says so first, and waits a
//! while.
//!
//! Every refusal becomes a sentence for the user and one audit event (`refusal`).

mod agent;
mod authentication;
mod bridge;
mod budget;
mod caller;
mod channel;
mod client_set;
mod compute;
mod connection;
mod conversation;
mod dial_plan;
mod early;
mod egress;
mod end_reason;
mod endpoint;
mod expiry_warnings;
mod fair_queue;
mod host_certificate;
mod identify;
mod jump;
mod key_rounds;
mod known_hosts;
mod leg;
mod limits;
pub mod listener;
mod login;
mod outer;
mod own_address;
mod policy_monitor;
pub mod probe;
mod proxy_address;
mod reachable;
mod refusal;
mod revocation;
mod route;
mod scope;
mod timers;
mod trust;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ssh_key::Certificate;
use tokio::sync::Mutex;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use crate::access::Policy;
use crate::audit::AuditEvent;
use crate::audit::AuditLog;
use crate::ca::Revocations;
use crate::cert::SourceAddresses;
use crate::dns::Resolver;
use crate::metrics::Metrics;
use crate::model::{ClusterName, HostPrincipal};
use crate::nodes::{Inventory, Whereabouts};
use crate::session::{RecordingSettings, Registry};
use crate::sys::clock::Clock;
use crate::wire::ClientConfig;

pub(crate) use budget::Budget;
pub(crate) use client_set::{ClientSet, ClientTicket};
pub(crate) use compute::ComputeQueue;
pub(crate) use expiry_warnings::ExpiryWarnings;
pub(crate) use fair_queue::HandshakeQueue;
pub(crate) use host_certificate::SigningQueue;
pub(crate) use known_hosts::KnownHostKeys;
pub use limits::ConnectionLimits;
pub(crate) use reachable::RecentlyReachable;
pub use timers::TimeLimits;
pub use trust::{CurrentTrust, Trust};

/// What every connection shares. Built once by `daemon`.
#[derive(Debug)]
pub struct Proxy {
    /// This installation's name.
    pub cluster: ClusterName,
    /// How many clients there may be.
    pub limits: ConnectionLimits,
    /// The rest of what the configuration says, as it changes.
    pub settings: Receiver<Arc<Settings>>,
    /// The CAs' keys.
    pub trust: CurrentTrust,
    /// What is revoked, as it changes.
    pub revocations: Receiver<Arc<Revocations>>,
    /// When connections end because the proxy stops, once it does.
    pub stopping: Receiver<Option<Instant>>,
    /// DNS.
    pub resolver: Resolver,
    /// Where audit events go.
    pub audit: AuditLog,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is live.
    pub registry: Registry,
    /// Transport settings of the connections to hosts.
    pub upstream: Arc<ClientConfig>,
    /// How much memory may be held for clients.
    pub(crate) budget: Budget,
    /// Who computes what takes long in key exchanges.
    pub(crate) workshop: ComputeQueue,
    /// Turns of connections that begin at hosts.
    pub(crate) startups: HandshakeQueue,
    /// Hosts that have answered lately.
    pub(crate) answered: RecentlyReachable,
    /// What hosts are called by their own certificates.
    pub(crate) remembered: KnownHostKeys,
    /// Turns of connections that need a certificate of the host CA.
    pub(crate) minting: SigningQueue,
    /// Where the nodes are whose addresses are names.
    pub(crate) whereabouts: Whereabouts,
    /// Whose turn it is to look that up.
    pub(crate) learning: Mutex<()>,
    /// Addresses and ports of this proxy's own listeners.
    pub listeners: Vec<SocketAddr>,
    /// Hosts that were warned about.
    pub(crate) warned: ExpiryWarnings,
    /// The time.
    pub clock: Clock,
}

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
    /// What everybody reads who logs in through the proxy (`banner_file`).
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

impl Proxy {
    /// The settings in force now.
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// The address that a client's certificate must be good for. `None` for a certificate that is
    /// bound to this proxy: it names egress addresses and no others, or some that were all there was
    /// when it was made. That keeps its holder from going to hosts past the proxy, and is for the
    /// hosts to check.
    fn bound_address(&self, certificate: &Certificate, client: SocketAddr) -> Option<IpAddr> {
        let bound = certificate
            .critical_options()
            .iter()
            .find(|(name, _)| name.as_str() == "source-address")
            .and_then(|(_, list)| list.parse::<SourceAddresses>().ok());
        let settings = self.settings();
        let egress = settings.egress.as_ref();
        let is_to_us =
            bound.is_some_and(|bound| egress.is_some_and(|egress| bound.is_within(egress)));
        (!is_to_us).then(|| canonical(client.ip()))
    }

    /// Emits an audit event. When the audit log fails, the program's log has it.
    pub(crate) fn tell(&self, event: &AuditEvent) {
        if let Err(error) = self.audit.emit(event) {
            tracing::error!(%error, "cannot write the audit log");
        }
    }
}

/// The address of a peer, for certificates with a `source-address`: IPv4 in its own form.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
