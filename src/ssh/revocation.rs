//! Revocation: the one place that asks for it, when a certificate is shown and while it is in use.

use super::refusal::{self, Refusal};
use crate::ca::Revocations;
use crate::cert::{PresentedKey, VerifiedUserCert};

/// What the user reads about a user certificate that is revoked.
pub(crate) fn revoked_user(
    revocations: &Revocations,
    certificate: &VerifiedUserCert,
) -> Option<Refusal> {
    let (_, reason) = revocations.of_certificate(certificate.certificate())?;
    Some(refusal::revoked_user(reason))
}

/// What the user reads about a host's key or certificate that is revoked.
pub(crate) fn revoked_host(revocations: &Revocations, presented: &PresentedKey) -> Option<Refusal> {
    let (_, reason) = revocations.of_key(presented)?;
    Some(refusal::revoked_host(presented, reason))
}
