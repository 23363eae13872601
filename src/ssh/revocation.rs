//! Revocation: the one place that asks for it.

use std::net::SocketAddr;

use ssh_key::Certificate;

use super::Proxy;
use super::authentication::bad_certificate;
use super::refusal::Refusal;
use crate::audit::Party;
use crate::ca::Revocations;
use crate::cert::{PresentedKey, VerifiedHost, VerifiedUserCert, verify_user};

/// A stable name for the audit log.
pub(crate) const REVOKED: &str = "certificate-revoked";

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
    .map_err(|error| bad_certificate(&error))?;
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
    let text = with_reason("certificate revoked", reason);
    Some(
        Refusal::new(Party::Client, REVOKED, text)
            .hint("ask the people who run this proxy about a new one"),
    )
}

/// What the user reads about a host's key or certificate that is revoked.
pub(crate) fn revoked_host(revocations: &Revocations, presented: &PresentedKey) -> Option<Refusal> {
    let (_, reason) = revocations.of_key(presented)?;
    let what = match presented {
        PresentedKey::Certificate(_) => "remote host's certificate revoked",
        PresentedKey::Plain(_) => "remote host's key revoked",
    };
    Some(
        Refusal::new(Party::HostCertificate, REVOKED, with_reason(what, reason))
            .hint("tell the people who run this proxy: the host needs a new key, and a certificate for it; on the proxy: rproxy host setup"),
    )
}

fn with_reason(text: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text.to_owned(),
    }
}
