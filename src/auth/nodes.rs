//! The service that decides about hosts that join: the room `enrolment`, with what it needs of this process.

use std::sync::Arc;
#[cfg(test)]
use std::time::Duration;

use ssh_key::{Certificate, Fingerprint};
use uuid::Uuid;

use super::authorities::CurrentAuthorities;
use super::caller::caller_number;
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
use crate::model::ClusterName;
use crate::sys::account::Actor;
use crate::sys::clock::{Clock, monotonic};

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
            cluster: config.cluster_name.clone(),
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

    /// The id under which the tunnels to a process are in the state.
    pub(super) fn proxy_of(&self, caller: &CallerProcess) -> Uuid {
        self.service.proxy_of(caller_number(caller))
    }

    /// What has to happen once a minute, also while no host asks for anything.
    pub(super) fn tick(&self) {
        self.service.tick(monotonic());
    }

    /// The same, at this moment of the monotonic clock.
    #[cfg(test)]
    pub(super) fn tick_at(&self, now: Duration) {
        self.service.tick(now);
    }

    /// Forgets a process that has exited, of which nothing is being answered.
    pub(super) fn forget(&self, caller: &CallerProcess) {
        self.service.forget(caller_number(caller));
    }

    /// Another process answers from now on.
    pub(super) fn hand_over(&self) {
        self.service.hand_over();
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
    cluster: ClusterName,
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

    fn user_ca_proofs(&self) -> Result<Vec<String>, CaError> {
        self.authorities.now().user_ca_proofs(&self.cluster)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ssh_key::{HashAlg, PrivateKey};

    use super::super::testing::{laid, parsed};
    use super::*;
    use crate::audit::DeferredLog;
    use crate::cert::testing::ed25519;
    use crate::cert::{PresentedKey, check_ca_signature};
    use crate::enrolment::testing::host_proof;
    use crate::enrolment::{NewToken, TokenAdmin};
    use crate::ipc::{NodeReport, NodesQuestion, SecretText};
    use crate::model::{ConnectionId, TunnelRule};
    use crate::state::State;

    const CONFIG: &str = "cluster_name: example.test\n\
        auth_service: { node_ttl: 10d }\n\
        proxy_service: { public_addr: \"proxy.example.test:3022\" }\n\
        nodes: [{ name: db1, addr: \"db1.internal:22\" }]\n";

    /// The service of a new installation, where nobody signs in.
    struct Provided {
        config: Config,
        nodes: NodesProvider,
        state: State,
        records: CaRecords,
        authorities: CurrentAuthorities,
    }

    fn provided(directory: &Path) -> Provided {
        let config = parsed(directory, CONFIG);
        let ground = laid(&config);
        Provided {
            nodes: NodesProvider::new(&config, &ground),
            config,
            state: ground.state,
            records: ground.records,
            authorities: ground.authorities,
        }
    }

    impl Provided {
        fn token(&self) -> SecretText {
            let (data_dir, cluster) = (&self.config.data_dir, &self.config.cluster_name);
            let audit = DeferredLog::new(data_dir, cluster, Clock::System);
            let new = NewToken {
                names: Vec::new(),
                labels: Vec::new(),
                tunnel: TunnelRule::No,
                uses: 1,
                ttl: Duration::from_secs(600),
            };
            let admin = TokenAdmin::new(&self.state, &audit, Actor::of_this_process());
            let issued = admin.add(new, cluster).unwrap();
            SecretText::new(issued.token.to_string())
        }

        /// A host with this key joins under this name, on a connection of its own.
        fn join(&self, key: &PrivateKey, name: &str) -> NodesAnswer {
            let caller = CallerProcess {
                kind: "worker".to_owned(),
                pid: 7,
            };
            let connection = ConnectionId::new();
            let session = connection.to_string().into_bytes();
            let ask = |ask| {
                let client = "10.0.0.5:50000".parse().unwrap();
                let request = NodesRequest {
                    connection,
                    client,
                    ask,
                };
                self.nodes.answer(&caller, &request)
            };
            let proved = ask(NodesQuestion::Prove(host_proof(key, &session, "join")));
            assert!(matches!(proved, NodesAnswer::Proved(_)), "{proved:?}");
            ask(NodesQuestion::Join {
                token: self.token(),
                report: NodeReport {
                    names: vec![name.to_owned()],
                    ..NodeReport::default()
                },
            })
        }
    }

    fn certificate(answer: NodesAnswer) -> Certificate {
        let NodesAnswer::Installation(installation) = answer else {
            panic!("{answer:?}");
        };
        match PresentedKey::from_line(&installation.certificate.unwrap()).unwrap() {
            PresentedKey::Certificate(certificate) => *certificate,
            PresentedKey::Plain(key) => panic!("{key:?}"),
        }
    }

    #[test]
    fn certificates_are_the_host_cas_and_in_the_ledger_and_the_audit_log() {
        let directory = crate::sys::fs::private_tempdir();
        let provided = provided(directory.path());
        let key = ed25519();
        let issued = certificate(provided.join(&key, "web1"));
        let authorities = provided.authorities.now();
        let host_ca = authorities.of(CaKind::Host).public_key();
        assert_eq!(issued.signature_key(), host_ca.key_data());
        let days = (issued.valid_before() - issued.valid_after()) / 86_400;
        assert_eq!(days, 10);
        let log = std::fs::read_to_string(provided.config.data_dir.audit_log()).unwrap();
        for event in ["certificate.issued", "node.joined", "node.certificate"] {
            let line = log.lines().find(|line| line.contains(event));
            assert!(line.unwrap().contains("web1"), "{log}");
        }
        assert!(log.contains(&issued.serial().to_string()), "{log}");
        // It can be revoked by what the ledger has, and then it is.
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let ledger = std::fs::read_to_string(provided.config.data_dir.ledger()).unwrap();
        assert!(ledger.contains(&fingerprint.to_string()), "{ledger}");
        let ca = HostCa {
            authorities: provided.authorities.clone(),
            records: provided.records.clone(),
            audit: AuditLog::open(
                &provided.config.data_dir,
                provided.config.cluster_name.clone(),
                Clock::System,
            )
            .unwrap(),
            limits: TtlLimits::new(nobody(), Duration::from_secs(1)),
            cluster: provided.config.cluster_name.clone(),
            clock: Clock::System,
        };
        assert!(!ca.is_revoked("web1", &fingerprint).unwrap());
        assert!(ca.successors().is_empty());
        // One for each key of the user CA, made once.
        let proofs = ca.user_ca_proofs().unwrap();
        assert_eq!(proofs.len(), ca.keys().user.len());
        let PresentedKey::Certificate(proof) = PresentedKey::from_line(&proofs[0]).unwrap() else {
            panic!("{proofs:?}");
        };
        check_ca_signature(&proof).unwrap();
        assert_eq!(proof.signature_key(), ca.keys().signs.key_data());
        assert_eq!(proof.public_key(), ca.keys().user[0].key_data());
        assert_eq!(proof.valid_principals(), ["user-ca@example.test"]);
        assert_eq!(ca.user_ca_proofs().unwrap(), proofs);
        assert_eq!(ca.keys(), provided.authorities.keys());
    }

    #[test]
    fn names_of_the_proxy_and_of_the_file_are_taken_and_a_reload_changes_that() {
        let directory = crate::sys::fs::private_tempdir();
        let provided = provided(directory.path());
        let reason = |name: &str| match provided.join(&ed25519(), name) {
            NodesAnswer::Refused(refusal) => refusal.reason,
            other => panic!("{other:?}"),
        };
        for name in [
            "db1",
            "db1.example.test",
            "db1.internal",
            "proxy",
            "proxy.example.test",
            "example.test",
            "localhost",
        ] {
            assert_eq!(reason(name), "name-taken", "{name}");
        }
        let text = "cluster_name: example.test\nauth_service: { node_ttl: 1d }\n";
        provided.nodes.apply(&parsed(directory.path(), text));
        let issued = certificate(provided.join(&ed25519(), "db1"));
        assert_eq!((issued.valid_before() - issued.valid_after()) / 86_400, 1);
    }
}
