//! What the outer connections of a proxy use together.

use std::sync::Arc;

use crate::audit::AuditLog;
use crate::metrics::Metrics;
use crate::ssh::budget::Budget;
use crate::ssh::compute::ComputeQueue;
use crate::ssh::connection::InnerServices;
use crate::ssh::front_auth::FrontAuth;
use crate::ssh::host_certificate::HostCertificates;
use crate::ssh::policy_monitor::PolicySource;
use crate::ssh::settings::CurrentSettings;

/// What outer connections use.
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
