//! Revocation: the one place that asks for it, when a certificate is shown and while it is in use.

use super::refusal::{self, Refusal};
use crate::access::{Identity, IdentityProof};
use crate::ca::{CaKind, Revocations};
use crate::cert::{PresentedKey, VerifiedUserCert};

/// What the user reads about a user certificate that is revoked.
pub(crate) fn revoked_user(
    revocations: &Revocations,
    certificate: &VerifiedUserCert,
) -> Option<Refusal> {
    let (_, reason) = revocations.of_certificate(certificate.certificate())?;
    Some(refusal::revoked_user(reason))
}

/// What a person reads whose certificate is revoked, or whose name or key is, without a certificate.
pub(crate) fn revoked_identity(revocations: &Revocations, identity: &Identity) -> Option<Refusal> {
    match identity.proof() {
        IdentityProof::Certificate(certificate)
        | IdentityProof::CertifiedSignIn(certificate, _) => revoked_user(revocations, certificate),
        IdentityProof::SignIn(sign_in) => {
            let key = identity.fingerprint();
            let record = revocations.of_subject(CaKind::User, sign_in.name(), &key)?;
            Some(refusal::revoked_person(record.reason.as_deref()))
        }
    }
}

/// What the user reads about a host's key or certificate that is revoked.
pub(crate) fn revoked_host(revocations: &Revocations, presented: &PresentedKey) -> Option<Refusal> {
    let (_, reason) = revocations.of_key(presented)?;
    Some(refusal::revoked_host(presented, reason))
}
