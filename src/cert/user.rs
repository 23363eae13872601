//! The one function that decides about user certificates.

use std::net::IpAddr;

use ssh_key::public::KeyData;
use ssh_key::{Certificate, Fingerprint, HashAlg};
use thiserror::Error;
use uuid::Uuid;

use super::fault::{check_authority, check_validity};
use super::template::SIGN_IN_EXTENSION;
use super::{CertFault, SourceAddressError, SourceAddresses, TrustedKeys, shown};
use crate::model::Login;

/// Why a user certificate is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UserCertError {
    /// A certificate of type host.
    #[error("a host certificate was presented, expected a user certificate")]
    HostCertificate,
    /// What is wrong with certificates of either type.
    #[error("the user certificate {0}")]
    Fault(#[source] CertFault),
    /// The key id is the identity; a certificate without one names no person.
    #[error("the user certificate has an empty key id")]
    NoKeyId,
    /// The peer's address is outside the `source-address` option.
    #[error("the user certificate may be used from {allowed} only, not from {peer}")]
    SourceAddress {
        /// The networks in the certificate.
        allowed: SourceAddresses,
        /// Where the connection comes from.
        peer: IpAddr,
    },
    /// The `source-address` option does not parse; sshd refuses it too.
    #[error("the user certificate's source-address option is malformed")]
    MalformedSourceAddress(#[source] SourceAddressError),
    /// `verify-required` is a flag, sshd refuses it with a value.
    #[error("the user certificate's verify-required option has a value, which is corrupt")]
    CorruptFlag,
}

impl UserCertError {
    /// What the user or the administrator does about it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::HostCertificate => {
                "present a user certificate (ssh-keygen -L shows a certificate's type)".to_owned()
            }
            Self::Fault(CertFault::Expired(until)) => {
                format!(
                    "get a new certificate, this one expired at {}; on the proxy: rproxy auth sign --user",
                    shown::time(*until)
                )
            }
            Self::Fault(CertFault::NotYetValid(from)) => format!(
                "check the clocks, or wait: the certificate starts {}",
                shown::time(*from)
            ),
            Self::Fault(CertFault::WeakKey(_)) => {
                "on your machine, make a new key: ssh-keygen -t ed25519; then get a certificate for it; \
                 on the proxy: rproxy auth sign --user"
                    .to_owned()
            }
            Self::SourceAddress { .. } => {
                "connect from an address that the certificate names, or get a new certificate"
                    .to_owned()
            }
            Self::Fault(_)
            | Self::NoKeyId
            | Self::MalformedSourceAddress(_)
            | Self::CorruptFlag => "get a certificate from this cluster's user CA; on the proxy: \
                 rproxy auth sign --user=NAME --logins=LOGIN --public-key=FILE"
                .to_owned(),
        }
    }
}

impl From<CertFault> for UserCertError {
    fn from(fault: CertFault) -> Self {
        Self::Fault(fault)
    }
}

/// A user certificate that counts. Made by [`verify_user`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedUserCert {
    certificate: Certificate,
}

impl VerifiedUserCert {
    /// The identity: the name of the person.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.certificate.key_id()
    }

    /// The serial number; 0 if the CA does not number its certificates.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.certificate.serial()
    }

    /// The whole certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certified key.
    #[must_use]
    pub fn public_key(&self) -> &KeyData {
        self.certificate.public_key()
    }

    /// SHA-256 of the certified plain key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.public_key().fingerprint(HashAlg::Sha256)
    }

    /// The principals: never empty.
    #[must_use]
    pub fn principals(&self) -> &[String] {
        self.certificate.valid_principals()
    }

    /// When it ends, in seconds since the epoch; `u64::MAX` is never.
    #[must_use]
    pub fn valid_before(&self) -> u64 {
        self.certificate.valid_before()
    }

    /// How long it lives in all, from its first second to its last; `u64::MAX` for one that never ends.
    #[must_use]
    pub fn lifetime(&self) -> u64 {
        match self.valid_before() {
            u64::MAX => u64::MAX,
            before => before.saturating_sub(self.certificate.valid_after()),
        }
    }

    /// The id of the sign-in that it was made for, if there is one. An id that is malformed reads as one that
    /// no sign-in has.
    #[must_use]
    pub fn sign_in(&self) -> Option<Uuid> {
        let mut extensions = self.certificate.extensions().iter();
        let (_, id) = extensions.find(|(name, _)| name.as_str() == SIGN_IN_EXTENSION)?;
        Some(id.parse().unwrap_or(Uuid::nil()))
    }

    /// The networks that it may be used from (`source-address`); `None` if it may be used from anywhere.
    #[must_use]
    pub fn source_addresses(&self) -> Option<SourceAddresses> {
        let mut options = self.certificate.critical_options().iter();
        let (_, list) = options.find(|(name, _)| name.as_str() == "source-address")?;
        list.parse().ok()
    }

    /// Whether the login is among the principals, letter for letter.
    #[must_use]
    pub fn allows_login(&self, login: &Login) -> bool {
        self.principals().iter().any(|p| p == login.as_str())
    }
}

/// Decides whether `cert` counts as a user certificate at `now` (seconds since the epoch).
///
/// `peer` is where the holder connects from; with `None` a `source-address` option is only checked
/// for its form. Revocation is not decided here.
///
/// # Errors
/// The first fault, in the order: type, CA, signature, validity, key id, principals, options.
pub fn verify_user(
    cert: &Certificate,
    trusted: &TrustedKeys,
    peer: Option<IpAddr>,
    now: u64,
) -> Result<VerifiedUserCert, UserCertError> {
    if !cert.cert_type().is_user() {
        return Err(UserCertError::HostCertificate);
    }
    check_authority(cert, trusted)?;
    check_validity(cert, now)?;
    if cert.key_id().trim().is_empty() {
        return Err(UserCertError::NoKeyId);
    }
    if cert.valid_principals().is_empty() {
        return Err(CertFault::NoPrincipals.into());
    }
    check_critical_options(cert, peer)?;
    Ok(VerifiedUserCert {
        certificate: cert.clone(),
    })
}

fn check_critical_options(cert: &Certificate, peer: Option<IpAddr>) -> Result<(), UserCertError> {
    for (name, value) in cert.critical_options().iter() {
        match name.as_str() {
            // The host's sshd runs the forced command.
            "force-command" => {}
            "source-address" => check_source(value, peer)?,
            // Enforced where the signature is verified: it carries the flag.
            "verify-required" if value.is_empty() => {}
            "verify-required" => return Err(UserCertError::CorruptFlag),
            unknown => return Err(CertFault::UnknownCriticalOption(unknown.to_owned()).into()),
        }
    }
    Ok(())
}

fn check_source(list: &str, peer: Option<IpAddr>) -> Result<(), UserCertError> {
    let allowed: SourceAddresses = list
        .parse()
        .map_err(UserCertError::MalformedSourceAddress)?;
    match peer {
        Some(peer) if !allowed.contains(peer) => {
            Err(UserCertError::SourceAddress { allowed, peer })
        }
        _ => Ok(()),
    }
}
