//! Certificates that commands have signed.

use std::sync::Arc;

use super::super::Failure;
use super::failure::not_signed;
use crate::audit::AuditLog;
use crate::ca::{
    Authorities, IssueLog, IssueRequest, Issued, IssuedFor, Issuer, IssuingRules, Revocations,
    TtlLimits,
};
use crate::sys::account::Actor;
use crate::sys::clock::Clock;

/// Everything that certificates are issued with, open.
#[derive(Debug)]
pub(in crate::cli) struct CertSigning {
    pub(super) authorities: Authorities,
    pub(super) audit: AuditLog,
    pub(super) actor: Actor,
    pub(super) revocations: Revocations,
    pub(super) limits: TtlLimits,
    pub(super) ledger: Arc<dyn IssueLog>,
    pub(super) clock: Clock,
}

impl CertSigning {
    pub(in crate::cli) fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// Refuses a certificate for a revoked key id or key, before anything is signed.
    ///
    /// # Errors
    /// Says what is revoked.
    pub(super) fn refuse_revoked(&self, request: &IssueRequest) -> Result<(), Failure> {
        let checked = request.refuse_revoked(&self.revocations);
        checked.map_err(not_signed)
    }

    /// Has a certificate signed. It is audited when this returns.
    ///
    /// # Errors
    /// Says why there is none.
    pub(in crate::cli) fn issue(&self, request: IssueRequest) -> Result<Issued, Failure> {
        let rules = IssuingRules {
            limits: &self.limits,
            revocations: &self.revocations,
            ledger: &*self.ledger,
            issued_for: IssuedFor::Signed,
            clock: self.clock,
        };
        Issuer::new(&self.authorities, rules, &self.audit)
            .issue(request, &self.actor)
            .map_err(not_signed)
    }
}
