//! The only place where certificates of users and hosts are signed: it applies every rule and writes the
//! ledger and the audit log, for every process and command.
//!
//! The order is fixed: revocations, lifetime, signature, its line in the ledger on the disk, the audit
//! event; then the certificate is returned. The other certificates that CAs sign give no access: probes,
//! whose private keys are deleted before they are signed ([`super::ProbeCertificate`]), and the proxy's
//! own host certificates, which are valid for at most an hour ([`super::Authority::sign_for_proxy`]).

use std::collections::BTreeMap;

use ssh_key::{Certificate, HashAlg, PublicKey};
use thiserror::Error;

use super::agent_key::SignTimeout;
use super::authorities::Authorities;
use super::error::CaError;
use super::issue_log::{IssueLog, IssueRecord, IssuedFor, issue};
use super::kind::CaKind;
use super::revocation::Revoked;
use super::revocations::Revocations;
use super::ttl::{TtlLimits, TtlTooLong};
use crate::audit::{AuditError, AuditEvent, AuditSink, UnixSeconds};
use crate::cert::{CertTemplate, HostRequest, RequestError, UserRequest, random_serial};
use crate::model::{HostPrincipal, Serial};
use crate::sys::account::Actor;
use crate::sys::clock::Clock;

/// A certificate that is asked for.
#[derive(Clone, Debug)]
pub enum IssueRequest {
    /// Of a person.
    User(UserRequest),
    /// Of a host.
    Host(HostRequest),
}

/// Why no certificate is handed out.
#[derive(Debug, Error)]
pub enum IssueError {
    /// Its key id is revoked, so it would be refused everywhere.
    #[error("the key id {key_id} is revoked{}", because(reason.as_ref()))]
    KeyIdRevoked {
        /// The key id.
        key_id: String,
        /// The reason that was given.
        reason: Option<String>,
    },
    /// Its key is revoked.
    #[error("the key of {key_id} is revoked{}", because(reason.as_ref()))]
    KeyRevoked {
        /// Whose key it is.
        key_id: String,
        /// The reason that was given.
        reason: Option<String>,
    },
    /// It would live longer than the policy allows.
    #[error(transparent)]
    TtlTooLong(#[from] TtlTooLong),
    /// No certificate may have what is asked for, the key does not sign, or the ledger cannot be
    /// written.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// It is signed and in the ledger, and the audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

fn because(reason: Option<&String>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

impl IssueError {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::KeyIdRevoked { key_id, .. } => Some(format!(
                "sign for another name; if it was a mistake: rproxy auth unrevoke \
                 --key-id={key_id}"
            )),
            Self::KeyRevoked { key_id, .. } => Some(format!(
                "on the machine of {key_id}, make a new key: ssh-keygen -t ed25519; copy its \
                 .pub file here and give it with --public-key"
            )),
            Self::TtlTooLong(error) => Some(error.hint()),
            Self::Ca(error) => error.hint(),
            Self::Audit(_) => None,
        }
    }
}

impl IssueRequest {
    /// Applies the rules that every certificate obeys, as far as they are known before a CA is opened.
    /// `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// The first rule that the request breaks.
    pub fn check(&self, limits: &TtlLimits, now: u64) -> Result<(), IssueError> {
        let template = self.template(limits, random_serial(), now);
        template
            .map(drop)
            .map_err(|error| CaError::from(error).into())
    }

    /// Refuses a certificate for a revoked key id or key: it would be refused everywhere.
    ///
    /// # Errors
    /// [`IssueError::KeyIdRevoked`] and [`IssueError::KeyRevoked`].
    pub fn refuse_revoked(&self, revocations: &Revocations) -> Result<(), IssueError> {
        let (key_id, key) = self.subject();
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let Some(record) = revocations.of_subject(self.kind(), key_id, &fingerprint) else {
            return Ok(());
        };
        let (key_id, reason) = (key_id.to_owned(), record.reason.clone());
        Err(match &record.what {
            Revoked::KeyId { .. } => IssueError::KeyIdRevoked { key_id, reason },
            Revoked::PublicKey { .. } | Revoked::Serial { .. } | Revoked::Lifted { .. } => {
                IssueError::KeyRevoked { key_id, reason }
            }
        })
    }

    fn kind(&self) -> CaKind {
        match self {
            Self::User(_) => CaKind::User,
            Self::Host(_) => CaKind::Host,
        }
    }

    /// The key id, and the key.
    fn subject(&self) -> (&str, &PublicKey) {
        match self {
            Self::User(request) => (request.identity.as_str(), &request.public_key),
            Self::Host(request) => {
                let first = request.names.first().map_or("", HostPrincipal::as_str);
                (first, &request.public_key)
            }
        }
    }

    /// Refuses a certificate of a person that would live longer than the policy allows.
    fn refuse_too_long(&self, limits: &TtlLimits) -> Result<(), IssueError> {
        match self {
            Self::User(request) => Ok(limits.check(request.identity.as_str(), request.ttl)?),
            Self::Host(_) => Ok(()),
        }
    }

    fn template(
        &self,
        limits: &TtlLimits,
        serial: Serial,
        now: u64,
    ) -> Result<CertTemplate, RequestError> {
        match self.clone() {
            Self::User(request) => {
                let most = limits.of(request.identity.as_str());
                request.template(serial, now, most)
            }
            Self::Host(request) => request.template(serial, now),
        }
    }
}

/// A certificate and the line that the ledger has of it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, ready to be handed out.
    pub certificate: Certificate,
    /// What was recorded of it; what an audit event tells.
    pub record: IssueRecord,
}

/// What certificates are issued by, and recorded in.
#[derive(Clone, Copy, Debug)]
pub struct IssuingRules<'r> {
    /// How long certificates of people may live.
    pub limits: &'r TtlLimits,
    /// What is revoked.
    pub revocations: &'r Revocations,
    /// Where every certificate is written down.
    pub ledger: &'r dyn IssueLog,
    /// What they are issued for.
    pub issued_for: IssuedFor,
    /// The time.
    pub clock: Clock,
}

/// Issues certificates. Without all of this there is none.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'r> {
    authorities: &'r Authorities,
    rules: IssuingRules<'r>,
    audit: &'r dyn AuditSink,
}

impl<'r> Issuer<'r> {
    /// An issuer that signs with these CAs, by these rules.
    #[must_use]
    pub fn new(
        authorities: &'r Authorities,
        rules: IssuingRules<'r>,
        audit: &'r dyn AuditSink,
    ) -> Self {
        Self {
            authorities,
            rules,
            audit,
        }
    }

    /// Issues a certificate for `actor`: a fresh serial, good from a minute ago for the request's time.
    /// Its line in the ledger is on the disk, and it is audited, when this returns. An agent that has
    /// the CA's key is waited for up to a minute.
    ///
    /// # Errors
    /// When a rule refuses it, the key does not sign, or the ledger or the audit log cannot be written.
    pub fn issue(&self, request: IssueRequest, actor: &Actor) -> Result<Issued, IssueError> {
        let rules = &self.rules;
        request.refuse_revoked(rules.revocations)?;
        request.refuse_too_long(rules.limits)?;
        let authority = self.authorities.of(request.kind());
        let now = rules.clock.unix_seconds();
        let (certificate, record) = issue(rules.ledger, |serial| {
            let template = request.template(rules.limits, serial, now)?;
            let certificate = authority.sign(&template, SignTimeout::Person)?;
            let record = self.record(request.kind(), serial, &certificate);
            Ok((certificate, record))
        })?;
        self.audit.emit(&event(&record, actor))?;
        Ok(Issued {
            certificate,
            record,
        })
    }

    fn record(&self, kind: CaKind, serial: Serial, of: &Certificate) -> IssueRecord {
        let options = of.critical_options().iter();
        IssueRecord {
            time: self.rules.clock.now(),
            kind,
            serial,
            key_id: of.key_id().to_owned(),
            principals: of.valid_principals().to_vec(),
            valid_after: of.valid_after(),
            valid_before: of.valid_before(),
            public_key: of.public_key().fingerprint(HashAlg::Sha256).to_string(),
            ca: of.signature_key().fingerprint(HashAlg::Sha256).to_string(),
            critical_options: options
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<BTreeMap<_, _>>(),
            issued_for: self.rules.issued_for,
        }
    }
}

fn event(record: &IssueRecord, actor: &Actor) -> AuditEvent {
    AuditEvent::CertificateIssued {
        kind: record.kind.into(),
        serial: record.serial,
        key_id: record.key_id.clone(),
        principals: record.principals.clone(),
        valid_after: UnixSeconds(record.valid_after),
        valid_before: UnixSeconds(record.valid_before),
        fingerprint: record.public_key.clone(),
        ca_fingerprint: record.ca.clone(),
        actor: actor.clone(),
    }
}
