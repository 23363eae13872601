//! The one function that decides about host keys.

use ssh_key::{Certificate, Fingerprint};
use thiserror::Error;
use uuid::Uuid;

use super::fault::{check_authority, check_validity};
use super::host_extensions::NODE_ID;
use super::{CertFault, PresentedKey, TrustedKeys, shown};
use crate::model::NodeId;

/// What a host may present.
#[derive(Clone, Copy, Debug)]
pub struct HostPolicy<'a> {
    /// The host CA's keys.
    pub trusted: &'a TrustedKeys,
    /// Admit plain host keys unchecked (`proxy_checks_host_keys: no`). Insecure: it admits plain keys
    /// only, a certificate is checked all the same.
    pub accept_plain_keys: bool,
}

/// Why a host key is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HostKeyError {
    /// No certificate at all.
    #[error("remote host presented a public key, expected a host certificate")]
    PlainKey {
        /// The name that was asked for.
        name: String,
        /// The key's algorithm.
        algorithm: String,
    },
    /// A certificate of type user.
    #[error("remote host presented a user certificate, expected a host certificate")]
    UserCertificate {
        /// The name that was asked for.
        name: String,
    },
    /// What is wrong with certificates of either type.
    #[error("remote host's certificate {fault}")]
    Fault {
        /// The name that was asked for.
        name: String,
        /// What is wrong.
        #[source]
        fault: CertFault,
    },
    /// None of the names is a principal.
    #[error(
        "remote host's certificate is for {}, not for {}",
        shown::list(has.iter().map(String::as_str)),
        shown::list(wanted.iter().map(String::as_str))
    )]
    WrongName {
        /// The names that would do.
        wanted: Vec<String>,
        /// The principals that it has.
        has: Vec<String>,
    },
}

impl HostKeyError {
    /// What the host's administrator does about it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::PlainKey { name, algorithm } => sign_command([name], algorithm),
            Self::UserCertificate { name } => sign_command([name], ED25519),
            Self::Fault {
                name,
                fault: CertFault::Expired(until),
            } => format!(
                "renew the host certificate, it expired at {}: {}",
                shown::time(*until),
                sign_command([name], ED25519)
            ),
            Self::Fault {
                fault: CertFault::NotYetValid(from),
                ..
            } => format!(
                "check the clocks, or wait: the host certificate starts at {}",
                shown::time(*from)
            ),
            Self::Fault {
                name,
                fault: CertFault::WeakKey(_),
            } => short_host_key_hint(name),
            Self::Fault { name, .. } => sign_command([name], ED25519),
            Self::WrongName { wanted, has } => format!(
                "use one of the names in the certificate; or {}",
                sign_command(wanted.first().into_iter().chain(has), ED25519)
            ),
        }
    }
}

/// What the administrator of a host does about an RSA key that is too short, in one line.
#[must_use]
pub fn short_host_key_hint(name: &str) -> String {
    format!(
        "use the host's Ed25519 key, which `ssh-keygen -A` makes if there is none: {}",
        sign_command([&name.to_owned()], ED25519)
    )
}

const ED25519: &str = "ssh-ed25519";
/// A certificate with more than this left need not be renewed, in seconds: 30 days.
const LONGEST_NOTICE: u64 = 30 * 86_400;

/// What gives the host a certificate: its key is on the host and the CA on the proxy, so files have to be
/// carried. The commands may be copied into a shell, and names may come from a hostile host: those with
/// characters that a host name has no need of are left out.
fn sign_command<'a>(names: impl IntoIterator<Item = &'a String>, algorithm: &str) -> String {
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let names: Vec<&str> = names
        .into_iter()
        .map(String::as_str)
        .filter(|name| name.len() <= 255 && !name.starts_with('-') && name.chars().all(is_harmless))
        .collect();
    let host = names.first().copied().unwrap_or("the host");
    let names = match names.as_slice() {
        [] => "NAME".to_owned(),
        names => names.join(","),
    };
    let key = match algorithm {
        "ssh-rsa" => "ssh_host_rsa_key",
        ecdsa if ecdsa.starts_with("ecdsa-") => "ssh_host_ecdsa_key",
        _ => "ssh_host_ed25519_key",
    };
    format!(
        "copy /etc/ssh/{key}.pub from {host} to the proxy; on the proxy: rproxy auth sign \
         --host={names} --public-key={key}.pub; copy {key}-cert.pub to /etc/ssh on {host}; on \
         {host}: `HostCertificate /etc/ssh/{key}-cert.pub` in /etc/ssh/sshd_config, then \
         `systemctl reload ssh`"
    )
}

/// A host key that counts. Made by [`verify_host`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedHost {
    presented: PresentedKey,
}

impl VerifiedHost {
    /// Whether a certificate was checked; `false` only where plain keys are admitted.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.certificate().is_some()
    }

    /// The checked certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.presented.certificate()
    }

    /// What the host presented.
    #[must_use]
    pub fn presented(&self) -> &PresentedKey {
        &self.presented
    }

    /// SHA-256 of the plain key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.presented.fingerprint()
    }

    /// The node that the certificate was made for, which has joined; `None` if it names none, as those of
    /// hosts that were set up by hand. An id that cannot be read is the nil id, which no node has.
    #[must_use]
    pub fn node_id(&self) -> Option<NodeId> {
        let extensions = self.certificate()?.extensions();
        let (_, id) = extensions.iter().find(|(name, _)| *name == NODE_ID)?;
        Some(id.parse().unwrap_or_else(|_| NodeId::from(Uuid::nil())))
    }

    /// The certificate, if it is to be renewed: at `now` it has less than 30 days left, or of a
    /// shorter life less than a third.
    #[must_use]
    pub fn ending(&self, now: u64) -> Option<&Certificate> {
        let certificate = self.certificate()?;
        let (after, before) = (certificate.valid_after(), certificate.valid_before());
        let notice = (before.saturating_sub(after) / 3).min(LONGEST_NOTICE);
        (before.saturating_sub(now) < notice).then_some(certificate)
    }
}

/// Decides whether the host may be talked to at `now` (seconds since the epoch), under any of `names`
/// (host names and addresses, without port; DNS names match without regard to case).
///
/// # Errors
/// The first fault, in the order: type, CA, signature, validity, principals, options.
pub fn verify_host(
    presented: &PresentedKey,
    policy: HostPolicy<'_>,
    names: &[String],
    now: u64,
) -> Result<VerifiedHost, HostKeyError> {
    let name = || names.first().map_or("NAME", String::as_str).to_owned();
    match presented {
        PresentedKey::Plain(_) if policy.accept_plain_keys => {}
        PresentedKey::Plain(key) => {
            return Err(HostKeyError::PlainKey {
                name: name(),
                algorithm: key.algorithm().as_str().to_owned(),
            });
        }
        PresentedKey::Certificate(cert) if !cert.cert_type().is_host() => {
            return Err(HostKeyError::UserCertificate { name: name() });
        }
        PresentedKey::Certificate(cert) => {
            let fault = |fault| HostKeyError::Fault {
                name: name(),
                fault,
            };
            check_authority(cert, policy.trusted).map_err(fault)?;
            check_validity(cert, now).map_err(fault)?;
            check_names(cert, names, fault)?;
            // No critical option is defined for hosts (PROTOCOL.certkeys).
            if let Some(option) = cert.critical_options().keys().next() {
                return Err(fault(CertFault::UnknownCriticalOption(option.clone())));
            }
        }
    }
    Ok(VerifiedHost {
        presented: presented.clone(),
    })
}

fn check_names(
    cert: &Certificate,
    names: &[String],
    fault: impl Fn(CertFault) -> HostKeyError,
) -> Result<(), HostKeyError> {
    let has = cert.valid_principals();
    if has.is_empty() {
        return Err(fault(CertFault::NoPrincipals));
    }
    let is_named = has
        .iter()
        .any(|principal| names.iter().any(|n| n.eq_ignore_ascii_case(principal)));
    if is_named {
        Ok(())
    } else {
        Err(HostKeyError::WrongName {
            wanted: names.to_vec(),
            has: has.to_vec(),
        })
    }
}
