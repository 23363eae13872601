//! The one place where commands have certificates signed: the rules, what is revoked, the ledger, the
//! audit log.

use ssh_key::{HashAlg, PublicKey};

use super::{Context, Exit, Failure, auditing, ca_failure, open_authorities, revocations};
use crate::audit::{AuditEvent, AuditLog, UnixSeconds};
use crate::ca::{Authorities, CaKind, IssueRecord, Issued, Revocations, Revoked};
use crate::cert::{HostRequest, UserRequest, random_serial};
use crate::model::HostPrincipal;
use crate::sys::account::Actor;
use crate::sys::clock::Clock;

/// What is told when nothing is signed.
pub(super) const REFUSED: &str = "cannot sign the certificate";

/// What is to be signed.
#[derive(Clone, Debug)]
pub(in crate::cli) enum AgentRequest {
    User(UserRequest),
    Host(HostRequest),
}

impl AgentRequest {
    /// Applies the rules before the CA is opened and before any question is asked.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let now = Clock::System.unix_seconds();
        let template = match self.clone() {
            Self::User(request) => request.template(random_serial(), now),
            Self::Host(request) => request.template(random_serial(), now),
        };
        template.map(drop).map_err(|error| {
            let hint = error.hint();
            Failure::new(Exit::Failed, REFUSED)
                .because(error)
                .hint(hint)
        })
    }

    /// Refuses a certificate for a revoked key id or key: it would be refused everywhere.
    pub(super) fn refuse_revoked(&self, revocations: &Revocations) -> Result<(), Failure> {
        let (key_id, key) = self.subject();
        let key_id = key_id.unwrap_or_default();
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let Some(record) = revocations.of_subject(self.kind(), key_id, &fingerprint) else {
            return Ok(());
        };
        let reason = match &record.reason {
            Some(reason) => format!(": {reason}"),
            None => String::new(),
        };
        Err(match &record.what {
            Revoked::KeyId { .. } => Failure::new(Exit::Failed, REFUSED)
                .because(format!("the key id {key_id} is revoked{reason}"))
                .hint(format!(
                    "sign for another name; if it was a mistake: rproxy auth unrevoke \
                     --key-id={key_id}"
                )),
            Revoked::PublicKey { .. } | Revoked::Serial { .. } | Revoked::Lifted { .. } => {
                Failure::new(Exit::Failed, REFUSED)
                    .because(format!("the key of {key_id} is revoked{reason}"))
                    .hint(format!(
                        "on the machine of {key_id}, make a new key: ssh-keygen -t ed25519; copy its \
                         .pub file here and give it with --public-key"
                    ))
            }
        })
    }

    fn kind(&self) -> CaKind {
        match self {
            Self::User(_) => CaKind::User,
            Self::Host(_) => CaKind::Host,
        }
    }

    fn subject(&self) -> (Option<&str>, &PublicKey) {
        match self {
            Self::User(request) => (Some(request.identity.as_str()), &request.public_key),
            Self::Host(request) => {
                let first = request.names.first().map(HostPrincipal::as_str);
                (first, &request.public_key)
            }
        }
    }
}

/// The CAs, and everything that has its say when they sign.
#[derive(Debug)]
pub(in crate::cli) struct Issuer {
    authorities: Authorities,
    audit: AuditLog,
    actor: Actor,
    revocations: Revocations,
}

impl Issuer {
    /// Opens it all.
    pub(in crate::cli) fn open(context: &Context) -> Result<Self, Failure> {
        Ok(Self {
            authorities: open_authorities(context)?,
            audit: auditing::log(context)?,
            actor: Actor::of_this_process(),
            revocations: revocations(context)?,
        })
    }

    pub(in crate::cli) fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    pub(super) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Has a certificate signed. It is audited when this returns.
    pub(in crate::cli) fn issue(&self, request: AgentRequest) -> Result<Issued, Failure> {
        request.refuse_revoked(&self.revocations)?;
        let issued = match request {
            AgentRequest::User(request) => self.authorities.issue_user(request),
            AgentRequest::Host(request) => self.authorities.issue_host(request),
        }
        .map_err(|error| ca_failure(REFUSED, error))?;
        self.audit
            .emit(&event(&issued.record, &self.actor))
            .map_err(|error| Failure::new(Exit::Failed, REFUSED).because(error))?;
        Ok(issued)
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
