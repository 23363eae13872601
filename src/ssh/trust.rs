//! The CA keys that the proxy trusts and the host certificates that it presents: replaced as a whole when a
//! CA's key is rotated.

use std::sync::{Arc, PoisonError, RwLock};

use crate::ca::HostCertIssuer;
use crate::cert::TrustedKeys;

/// The CAs' keys as connections use them.
#[derive(Debug)]
pub struct Trust {
    /// User CA keys.
    pub users: TrustedKeys,
    /// Host CA keys.
    pub hosts: TrustedKeys,
    /// Issues the host certificates that clients see.
    pub mint: HostCertIssuer,
}

/// The trust in force. A connection reads it again for each decision. Clones share it.
#[derive(Clone, Debug)]
pub struct CurrentTrust(Arc<RwLock<Arc<Trust>>>);

impl CurrentTrust {
    /// Starts with this trust.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(trust))))
    }

    /// What is in force now.
    #[must_use]
    pub fn now(&self) -> Arc<Trust> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the trust for every decision from now on.
    pub fn replace(&self, trust: Trust) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
    }
}
