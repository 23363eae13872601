//! The person behind a connection.

use std::sync::Arc;

use crate::cert::VerifiedUserCert;

/// A person, as a verified user certificate names them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: Arc<VerifiedUserCert>,
}

impl Identity {
    /// The only way to an identity: a certificate that passed every check.
    #[must_use]
    pub fn new(certificate: VerifiedUserCert) -> Self {
        Self {
            certificate: Arc::new(certificate),
        }
    }

    /// The person's name: the certificate's key id.
    #[must_use]
    pub fn name(&self) -> &str {
        self.certificate.key_id()
    }

    /// The certificate that proved it.
    #[must_use]
    pub fn certificate(&self) -> &VerifiedUserCert {
        &self.certificate
    }
}
