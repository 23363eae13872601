//! Every host of the inventory, asked at once.

use std::net::SocketAddr;
use std::sync::Arc;

use ssh_key::{Algorithm, Certificate, HashAlg, PrivateKey};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::rotate::time;
use super::super::{Context, Exit, Failure, audit_log, ca_failure, ui};
use super::report::{HostCertificate, NodeStatus, UserAuthority};
use crate::audit::AuditLog;
use crate::ca::{Authorities, CaError, CaKind};
use crate::cert::{HostPolicy, PresentedKey, TrustedKeys, UserRequest, random_serial, verify_host};
use crate::dns::Resolver;
use crate::model::{Principal, chain};
use crate::nodes::{self, Node};
use crate::ssh::probe::{self, Answers};
use crate::sys::clock::Clock;
use crate::wire::ClientConfig;

/// How many hosts are asked at the same time.
const AT_ONCE: usize = 32;

/// What all hosts are asked, and what their answers are held against.
#[derive(Debug)]
pub(super) struct Fleet {
    nodes: Vec<Node>,
    login: Principal,
    /// One certificate for each key of the user authority, and last the control: of nobody's.
    certificates: Vec<Certificate>,
    user_authorities: Vec<String>,
    host_authorities: TrustedKeys,
    /// Fingerprint and name of the keys of the host authority.
    host_names: Vec<(String, &'static str)>,
    /// Where warnings go.
    audit: AuditLog,
}

impl Fleet {
    /// Prepares the questions.
    pub(super) fn new(
        context: &Context,
        authorities: &Authorities,
        login: Principal,
    ) -> Result<Self, Failure> {
        let throwaways = match authorities.throwaways(&login) {
            Ok(throwaways) => throwaways,
            // What the hosts show can be seen all the same.
            Err(error @ CaError::Agent(_)) => {
                let why = chain(&error);
                ui::note(&format!(
                    "rproxy: the hosts are not asked whom they trust: {why}"
                ));
                Vec::new()
            }
            Err(error) => {
                return Err(ca_failure(
                    "cannot make the certificates to ask with",
                    error,
                ));
            }
        };
        let fingerprint = |key: &ssh_key::PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
        let user_authorities = throwaways.iter().map(|one| fingerprint(&one.authority));
        let user_authorities = user_authorities.collect();
        let mut certificates: Vec<_> = throwaways.into_iter().map(|one| one.certificate).collect();
        certificates.push(control(&login)?);
        let host = authorities.of(CaKind::Host);
        let names: &[_] = match host.public_keys().len() {
            1 => &["only"],
            _ => &["old", "new"],
        };
        let keys = host.public_keys().iter().map(fingerprint);
        Ok(Self {
            nodes: context.config.nodes.clone(),
            login,
            certificates,
            user_authorities,
            host_authorities: host.trusted(),
            host_names: keys.zip(names.iter().copied()).collect(),
            audit: audit_log(context)?,
        })
    }

    /// Asks every host, and waits for all answers, in the order of the inventory.
    pub(super) fn ask(self) -> Result<Vec<NodeStatus>, Failure> {
        if self.nodes.is_empty() {
            return Ok(Vec::new());
        }
        let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::new(Exit::Failed, "cannot ask the hosts").because(error)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| cannot(error.into()))?;
        let resolver = Resolver::from_system().map_err(|error| cannot(error.into()))?;
        let progress = ui::Progress::start(self.nodes.len(), "asking hosts");
        let fleet = Arc::new(self);
        let resolver = Arc::new(resolver);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        runtime.block_on(async {
            let mut asking = JoinSet::new();
            for (index, node) in fleet.nodes.iter().cloned().enumerate() {
                let (fleet, resolver) = (Arc::clone(&fleet), Arc::clone(&resolver));
                let turns = Arc::clone(&turns);
                asking.spawn(async move {
                    let _turn = turns.acquire().await;
                    (index, fleet.ask_one(&node, &resolver).await)
                });
            }
            let mut answers = Vec::new();
            while let Some(answer) = asking.join_next().await {
                answers.push(answer.map_err(|error| cannot(error.into()))?);
                progress.step();
            }
            answers.sort_by_key(|(index, _)| *index);
            Ok(answers.into_iter().map(|(_, status)| status).collect())
        })
    }

    async fn ask_one(&self, node: &Node, resolver: &Resolver) -> NodeStatus {
        let mut status = NodeStatus::new(node, self.login.as_str());
        let addresses = match nodes::addresses(&node.host, node.port, true, resolver).await {
            Ok(addresses) => addresses,
            Err(error) => {
                status.error = Some(chain(&error));
                return status;
            }
        };
        for address in addresses {
            match self.ask_at(node, address).await {
                Ok(answers) => {
                    self.judge(node, address, answers, &mut status);
                    return status;
                }
                Err(error) => status.error = Some(chain(&error)),
            }
        }
        status
    }

    async fn ask_at(&self, node: &Node, address: SocketAddr) -> Result<Answers, probe::ProbeError> {
        let config = Arc::new(ClientConfig::default().with_legacy(&node.legacy));
        probe::ask(address, config, self.login.as_str(), &self.certificates).await
    }

    fn judge(&self, node: &Node, address: SocketAddr, answers: Answers, status: &mut NodeStatus) {
        status.error = None;
        let now = Clock::System.unix_seconds();
        let policy = HostPolicy {
            trusted: &self.host_authorities,
            accept_plain_keys: false,
        };
        let names = std::slice::from_ref(&node.name);
        let mut ends_soon = false;
        match verify_host(&answers.host_key, policy, names, now) {
            Ok(host) => {
                if let Some(certificate) = host.ending(now) {
                    ends_soon = true;
                    self.warn_of(node, address, certificate);
                }
            }
            Err(error) => {
                status.problem = Some(error.to_string());
                status.hint = Some(error.hint());
            }
        }
        if let PresentedKey::Certificate(certificate) = &answers.host_key {
            let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
            let authority = authority.to_string();
            let name = self.host_names.iter().find(|(key, _)| *key == authority);
            status.host_certificate = Some(HostCertificate {
                serial: certificate.serial(),
                principals: certificate.valid_principals().to_vec(),
                valid_before: time(certificate.valid_before()),
                seconds_left: certificate.valid_before().saturating_sub(now),
                ends_soon,
                authority_name: name.map_or("unknown", |(_, name)| name),
                authority,
            });
        }
        match answers.accepted {
            Ok(accepted) => {
                // A host that takes a certificate of nobody's says yes to everything.
                let is_telling = accepted.last() == Some(&false);
                let asked = self.user_authorities.iter().zip(accepted);
                status.user_authorities = asked
                    .map(|(fingerprint, accepted)| UserAuthority {
                        fingerprint: fingerprint.clone(),
                        accepted: is_telling.then_some(accepted),
                    })
                    .collect();
            }
            Err(error) => status.error = Some(chain(&error)),
        }
    }

    fn warn_of(&self, node: &Node, address: SocketAddr, certificate: &Certificate) {
        let warned = self
            .audit
            .warn_of_ending(&node.name, address, certificate, "auth status");
        if let Err(error) = warned {
            ui::note(&format!("rproxy: {}", chain(&error)));
        }
    }
}

/// A certificate that no host can have a reason to take: its authority is forgotten at once.
fn control(login: &Principal) -> Result<Certificate, Failure> {
    let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, "cannot make the certificate to ask with").because(error)
    };
    let key = || {
        PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)
            .map_err(|error| cannot(error.into()))
    };
    let request = UserRequest {
        identity: login.clone(),
        logins: vec![login.clone()],
        public_key: key()?.public_key().clone(),
        ttl: std::time::Duration::from_secs(60),
        source_addresses: Vec::new(),
    };
    let template = request.template(random_serial(), Clock::System.unix_seconds());
    let template = template.map_err(|error| cannot(error.into()))?;
    template.sign(&key()?).map_err(|error| cannot(error.into()))
}
