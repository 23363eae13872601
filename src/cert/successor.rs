//! The certificates by which a key of the host CA names the key that follows it, and the keys of the user CA.
//! With them a host knows where the keys come from that it is to trust, whoever has passed them on: the
//! process that speaks with hosts may be an attacker's.
//!
//! They have the form of a host certificate, because that is what every OpenSSH can verify: `ssh-keygen -L`
//! refuses one whose signature is wrong. They are of no use as a certificate of a host:
//!
//! - the only principal is `host-ca-successor@CLUSTER` or `user-ca@CLUSTER`, and no name and no address of a
//!   host has an `@` ([`HostPrincipal`](crate::model::HostPrincipal));
//! - they have a critical option, each its own. OpenSSH's clients and [`verify_host`](super::verify_host) refuse every host
//!   certificate that has one;
//! - the subject is a key of a CA, which no host has.
//!
//! A host's certificate cannot pass for one either: no CA of ours signs an option or such a name for a host,
//! and [`check_proxy_host`](super::check_proxy_host) refuses both.

use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey};
use thiserror::Error;

use super::template::{CertTemplate, NamedKey, RequestError, SUCCESSOR_OPTION, fit_to_sign};
use super::{CertFault, check_ca_signature, random_serial, shown};
use crate::model::{ClusterName, NameError, Principal};

/// Why a certificate names no successor.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SuccessorError {
    /// A user certificate.
    #[error("it is a user certificate")]
    NotAHost,
    /// Another name, more names, or none.
    #[error("it is for {}", shown::list(.0.iter().map(String::as_str)))]
    Names(Vec<String>),
    /// It lacks the option, or has others.
    #[error("it does not have the critical option {SUCCESSOR_OPTION} alone")]
    Options,
    /// A key that cannot sign certificates.
    #[error("its key cannot be that of a CA")]
    Subject(#[source] RequestError),
    /// Its signature, or the size of a key.
    #[error("it {0}")]
    Fault(#[source] CertFault),
}

/// What the key of a CA signs to name its successor, in this cluster. The comment of the certificate is
/// the successor's plain key, so that a shell script finds it.
///
/// # Errors
/// When the key cannot be that of a CA, or the name of the cluster is too long for a principal.
pub fn successor_template(
    cluster: &ClusterName,
    successor: &PublicKey,
) -> Result<CertTemplate, RequestError> {
    template(NamedKey::HostCaSuccessor, cluster, successor)
}

/// What the host CA signs to name a key of the user CA of this cluster. The comment of the certificate is
/// that key, as for a successor.
///
/// # Errors
/// When the key cannot be that of a CA, or the name of the cluster is too long for a principal.
pub fn user_ca_template(
    cluster: &ClusterName,
    key: &PublicKey,
) -> Result<CertTemplate, RequestError> {
    template(NamedKey::UserCa, cluster, key)
}

fn template(
    named: NamedKey,
    cluster: &ClusterName,
    key: &PublicKey,
) -> Result<CertTemplate, RequestError> {
    let key = fit_to_sign(key.clone())?;
    let plain = PublicKey::new(key.key_data().clone(), "");
    let comment = plain
        .to_openssh()
        .map_err(|_unwritable| RequestError::NotAKey)?;
    let key = PublicKey::new(key.key_data().clone(), comment);
    let principal = principal(named, cluster).map_err(RequestError::Cluster)?;
    let serial = random_serial();
    Ok(CertTemplate::of_ca_key(named, serial, principal, key))
}

/// Whether a certificate names a successor in this cluster, and carries a valid signature of the key that
/// it says has signed it; not whether that key is trusted.
///
/// # Errors
/// The first thing that is otherwise.
pub fn check_successor(
    certificate: &Certificate,
    cluster: &ClusterName,
) -> Result<(), SuccessorError> {
    if certificate.cert_type() != CertType::Host {
        return Err(SuccessorError::NotAHost);
    }
    let has = certificate.valid_principals();
    if !principal(NamedKey::HostCaSuccessor, cluster).is_ok_and(|wanted| has == [wanted.as_str()]) {
        return Err(SuccessorError::Names(has.to_vec()));
    }
    let mut options = certificate.critical_options().keys();
    let is_alone = options.next().map(String::as_str) == Some(SUCCESSOR_OPTION);
    if !is_alone || options.next().is_some() || !certificate.extensions().is_empty() {
        return Err(SuccessorError::Options);
    }
    let subject: &KeyData = certificate.public_key();
    fit_to_sign(PublicKey::from(subject.clone())).map_err(SuccessorError::Subject)?;
    check_ca_signature(certificate).map_err(SuccessorError::Fault)
}

/// The only principal of a certificate that names a key of a CA: no host can have it.
///
/// # Errors
/// When the name of the cluster is too long.
fn principal(named: NamedKey, cluster: &ClusterName) -> Result<Principal, NameError> {
    format!("{}@{cluster}", named.name()).parse()
}
