//! What the connections of a proxy share. Each service is passed only to the parts that use it.

use std::sync::Arc;

use super::budget::Budget;
use super::compute::ComputeQueue;
use super::front_auth::FrontAuth;
use super::host_certificate::HostCertificates;
use super::node::services::NodeServices;
use super::peers::PeerParts;
use super::people_client::PeopleClient;
use super::policy_monitor::PolicySource;
use super::route::Router;
use super::settings::CurrentSettings;
use super::upstream::{Dialler, HostDial};
use crate::audit::AuditLog;
use crate::metrics::Metrics;
use crate::session::Registry;
use crate::sys::clock::Clock;

/// What the outer connections of a proxy share.
#[derive(Debug)]
pub(crate) struct OuterServices {
    /// Decides about the clients' certificates.
    pub(crate) auth: FrontAuth,
    /// Decides about people who sign in; `None` where only certificates count.
    pub(crate) people: Option<PeopleClient>,
    /// What the connections of hosts share; `None` where no hosts join.
    pub(crate) nodes: Option<Arc<NodeServices>>,
    /// The other proxies on the same state; `None` where it is not shared.
    pub(crate) peers: Option<PeerParts>,
    /// Host certificates for the listener's names.
    pub(crate) certificates: HostCertificates,
    /// Reports when a permission is withdrawn.
    pub(crate) policy: PolicySource,
    /// The rest of the configuration.
    pub(crate) settings: CurrentSettings,
    /// The memory budget for clients.
    pub(crate) budget: Budget,
    /// The queue for slow key exchange computations.
    pub(crate) compute: ComputeQueue,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Where audit events go.
    pub(crate) audit: AuditLog,
    /// What the inner connections share.
    pub(crate) inner: Arc<InnerServices>,
}

/// What the inner connections of a proxy share.
#[derive(Debug)]
pub(crate) struct InnerServices<D = HostDial> {
    /// Decides where a target leads, and which nodes a host is.
    pub(crate) router: Arc<Router>,
    /// Connects to hosts.
    pub(crate) dialler: Dialler<D>,
    /// Host certificates for the names that the user's ssh expects.
    pub(crate) certificates: HostCertificates,
    /// Decides about the clients' certificates.
    pub(crate) auth: FrontAuth,
    /// Reports when a permission is withdrawn.
    pub(crate) policy: PolicySource,
    /// The rest of the configuration.
    pub(crate) settings: CurrentSettings,
    /// The live connections and sessions.
    pub(crate) registry: Registry,
    /// The queue for slow key exchange computations.
    pub(crate) compute: ComputeQueue,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Where audit events go.
    pub(crate) audit: AuditLog,
    /// The clock.
    pub(crate) clock: Clock,
}
