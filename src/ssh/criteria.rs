//! What decisions about certificates and host keys are made by.

use std::sync::Arc;

use tokio::sync::watch::Receiver;

use super::freshness::Freshness;
use super::settings::CurrentSettings;
use super::trust::CurrentTrust;
use crate::ca::Revocations;
use crate::sys::clock::Clock;

/// What a certificate or a host key is judged by. Each decision uses what is in force at that time.
#[derive(Clone, Debug)]
pub(crate) struct Criteria {
    /// The CA keys.
    pub(crate) trust: CurrentTrust,
    /// What is revoked.
    pub(crate) revocations: Receiver<Arc<Revocations>>,
    /// How old the knowledge is of what is revoked.
    pub(crate) freshness: Freshness,
    /// The rest of the configuration.
    pub(crate) settings: CurrentSettings,
    /// The clock, for the validity of certificates.
    pub(crate) clock: Clock,
}
