//! The service that decides about hosts that join: the room `enrolment`, with what it needs of this process.

use std::sync::Arc;

use ssh_key::{Certificate, Fingerprint};

use super::authorities::CurrentAuthorities;
use super::caller_number;
use super::people::PeopleGround;
use crate::access::Policy;
use crate::audit::AuditLog;
use crate::ca::{
    CaError, CaKind, CaRecords, IssueError, IssueRequest, IssuedFor, Issuer, IssuingRules,
    TtlLimits,
};
use crate::cert::HostRequest;
use crate::config::Config;
use crate::enrolment::{EnrolmentParts, EnrolmentService, EnrolmentSettings, IssuesForHosts};
use crate::ipc::{CallerProcess, NodesAnswer, NodesRequest, PublicCaKeys};
use crate::sys::account::Actor;
use crate::sys::clock::Clock;

/// Decides about hosts, by the configuration in force.
#[derive(Debug)]
pub(super) struct NodesProvider {
    service: EnrolmentService,
}

impl NodesProvider {
    /// The service. It is there however users authenticate.
    pub(super) fn new(config: &Config, ground: &PeopleGround) -> Self {
        let host_ca = HostCa {
            authorities: ground.authorities.clone(),
            records: ground.records.clone(),
            audit: ground.audit.clone(),
            limits: TtlLimits::new(nobody(), config.auth.max_ttl),
            clock: ground.state.clock(),
        };
        let parts = EnrolmentParts {
            state: ground.state.clone(),
            audit: Arc::new(ground.audit.clone()),
            issuer: Arc::new(host_ca),
            settings: settings(config),
            meters: Arc::clone(&ground.meters),
        };
        Self {
            service: EnrolmentService::new(parts),
        }
    }

    /// Answers a request of a process.
    pub(super) fn answer(&self, caller: &CallerProcess, request: &NodesRequest) -> NodesAnswer {
        self.service.answer(caller_number(caller), request)
    }

    /// Forgets a process that has exited.
    pub(super) fn forget(&self, caller: &CallerProcess) {
        self.service.forget(caller_number(caller));
    }

    /// Takes what can change while the proxy runs.
    pub(super) fn apply(&self, config: &Config) {
        self.service.replace_settings(settings(config));
    }
}

/// What the configuration says about hosts that join.
fn settings(config: &Config) -> EnrolmentSettings {
    let proxy = config.listener_names().unwrap_or_default();
    let file = config.nodes.iter();
    let file = file.flat_map(|node| [node.name.clone(), node.host.to_ascii_lowercase()]);
    EnrolmentSettings {
        cluster: config.cluster_name.clone(),
        node_ttl: config.auth.node_ttl,
        proxy_names: proxy.iter().map(ToString::to_string).collect(),
        file_names: file.collect(),
    }
}

/// A policy without roles: the lifetime of host certificates is not a matter of roles.
fn nobody() -> Policy {
    Policy::new(
        "",
        crate::access::Permissions::default(),
        Vec::new(),
        Vec::new(),
    )
}

/// The host CA, for hosts that have joined.
#[derive(Debug)]
struct HostCa {
    authorities: CurrentAuthorities,
    records: CaRecords,
    audit: AuditLog,
    limits: TtlLimits,
    clock: Clock,
}

impl IssuesForHosts for HostCa {
    fn issue(&self, request: HostRequest) -> Result<Certificate, IssueError> {
        let revocations = self.records.revoked.shared()?;
        let authorities = self.authorities.now();
        let rules = IssuingRules {
            limits: &self.limits,
            revocations: &revocations,
            ledger: &*self.records.issued,
            issued_for: IssuedFor::Signed,
            clock: self.clock,
        };
        let issuer = Issuer::new(&authorities, rules, &self.audit);
        let issued = issuer.issue(IssueRequest::Host(request), &Actor::of_this_process())?;
        Ok(issued.certificate)
    }

    fn keys(&self) -> PublicCaKeys {
        self.authorities.keys()
    }

    fn is_revoked(&self, key_id: &str, key: &Fingerprint) -> Result<bool, CaError> {
        let revocations = self.records.revoked.shared()?;
        Ok(revocations.of_subject(CaKind::Host, key_id, key).is_some())
    }

    fn successors(&self) -> Vec<String> {
        self.authorities.now().successors().to_vec()
    }
}
