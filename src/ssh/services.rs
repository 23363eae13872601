//! What the connections of a proxy use together: each part by its job, none of it by all.

use std::sync::Arc;

use super::budget::Budget;
use super::compute::ComputeQueue;
use super::front_auth::FrontAuth;
use super::host_certificate::HostCertificates;
use super::policy_monitor::PolicySource;
use super::route::Router;
use super::settings::CurrentSettings;
use super::upstream::{Dialler, TcpDial};
use crate::audit::AuditLog;
use crate::metrics::Metrics;
use crate::session::Registry;
use crate::sys::clock::Clock;

/// What the outer connections of a proxy use together.
#[derive(Debug)]
pub(crate) struct OuterServices {
    /// Who the client is.
    pub(crate) auth: FrontAuth,
    /// What the listener shows.
    pub(crate) certificates: HostCertificates,
    /// What may withdraw a permission.
    pub(crate) policy: PolicySource,
    /// The rest of the configuration.
    pub(crate) settings: CurrentSettings,
    /// How much memory may be held for clients.
    pub(crate) budget: Budget,
    /// Where key exchanges are computed.
    pub(crate) compute: ComputeQueue,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where audit events go.
    pub(crate) audit: AuditLog,
    /// What the connections inside use.
    pub(crate) inner: Arc<InnerServices>,
}

/// What the inner connections of a proxy use together.
#[derive(Debug)]
pub(crate) struct InnerServices<D = TcpDial> {
    /// Which host, and which nodes it is.
    pub(crate) router: Arc<Router>,
    /// The way there.
    pub(crate) dialler: Dialler<D>,
    /// What the user's ssh is shown.
    pub(crate) certificates: HostCertificates,
    /// Decides about their certificates.
    pub(crate) auth: FrontAuth,
    /// What may withdraw a permission.
    pub(crate) policy: PolicySource,
    /// The rest of the configuration.
    pub(crate) settings: CurrentSettings,
    /// What is live.
    pub(crate) registry: Registry,
    /// Where key exchanges are computed.
    pub(crate) compute: ComputeQueue,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where audit events go.
    pub(crate) audit: AuditLog,
    /// The time.
    pub(crate) clock: Clock,
}
