//! Revocation: the one place that asks for it.

use std::net::SocketAddr;

use ssh_key::Certificate;

use super::Proxy;
use super::refusal::{self, Refusal};
use crate::ca::Revocations;
use crate::cert::{PresentedKey, VerifiedHost, VerifiedUserCert, verify_user};

/// Decides about a user's certificate: everything that [`verify_user`] asks, and revocation.
///
/// # Errors
/// The refusal for the user.
pub(crate) fn admit_user(
    proxy: &Proxy,
    certificate: &Certificate,
    client: SocketAddr,
) -> Result<VerifiedUserCert, Refusal> {
    let certificate = verify_user(
        certificate,
        &proxy.trust.now().users,
        proxy.bound_address(certificate, client),
        proxy.clock.unix_seconds(),
    )
    .map_err(|error| refusal::bad_certificate(&error))?;
    match revoked_user(&proxy.revocations.borrow(), &certificate) {
        Some(refusal) => Err(refusal),
        None => Ok(certificate),
    }
}

/// Decides whether a host that was verified is revoked.
///
/// # Errors
/// The refusal for the user.
pub(crate) fn admit_host(proxy: &Proxy, host: VerifiedHost) -> Result<VerifiedHost, Refusal> {
    match revoked_host(&proxy.revocations.borrow(), host.presented()) {
        Some(refusal) => Err(refusal),
        None => Ok(host),
    }
}

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
