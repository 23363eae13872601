//! Probes every host of the inventory at once.

use std::net::SocketAddr;
use std::sync::Arc;

use ssh_key::{Certificate, HashAlg};

use super::super::super::fleet;
use super::super::super::inventory::HostList;
use super::super::client::AuthClient;
use super::super::failure::ca_failure;
use super::super::{Context, Failure, ui};
use super::report::{HostCertificate, NodeStatus, UserAuthority};
use crate::audit::{AuditLog, ForeignSerial};
use crate::ca::{Authorities, CaError, CaKind, Revocations};
use crate::cert::{HostPolicy, PresentedKey, TrustedKeys, verify_host};
use crate::cli::ui::time;
use crate::dns::Resolver;
use crate::model::{Principal, chain};
use crate::nodes::Node;
use crate::ssh::probe::Answers;
use crate::sys::clock::Clock;

/// What all hosts are asked, and what their answers are held against.
#[derive(Debug)]
pub(in crate::cli::auth) struct Fleet {
    nodes: Vec<Node>,
    login: Principal,
    /// One certificate for each key of the user CA, and last a control, of a CA that no host
    /// trusts.
    certificates: Vec<Certificate>,
    user_authorities: Vec<String>,
    host_authorities: TrustedKeys,
    /// Fingerprint and name of the keys of the host CA.
    host_names: Vec<(String, &'static str)>,
    revocations: Revocations,
    /// Where warnings go.
    audit: AuditLog,
}

impl Fleet {
    /// Prepares the questions.
    pub(in crate::cli::auth) fn new(
        context: &Context,
        authorities: &Authorities,
        login: Principal,
    ) -> Result<Self, Failure> {
        let now = Clock::System.unix_seconds();
        let user = authorities.of(CaKind::User);
        let throwaways = match user.throwaways(&login, &[], now) {
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
        certificates.push(fleet::control(&login)?);
        let client = AuthClient::new(context);
        let host = authorities.of(CaKind::Host);
        let names: &[_] = match host.public_keys().len() {
            1 => &["only"],
            _ => &["old", "new"],
        };
        let keys = host.public_keys().iter().map(fingerprint);
        Ok(Self {
            nodes: HostList::readable(&context.config).dialled(),
            login,
            certificates,
            user_authorities,
            host_authorities: host.trusted(),
            host_names: keys.zip(names.iter().copied()).collect(),
            revocations: client.revocations()?,
            audit: client.audit()?,
        })
    }

    /// Asks every host, and waits for all answers, in the order of the inventory.
    pub(in crate::cli::auth) fn ask(self) -> Result<Vec<NodeStatus>, Failure> {
        let fleet = Arc::new(self);
        fleet::each(&fleet.nodes, |node, resolver| {
            let fleet = Arc::clone(&fleet);
            async move { fleet.ask_one(&node, &resolver).await }
        })
    }

    async fn ask_one(&self, node: &Node, resolver: &Resolver) -> NodeStatus {
        let mut status = NodeStatus::new(node, self.login.as_str());
        let login = self.login.as_str();
        match fleet::ask(node, resolver, login, &self.certificates).await {
            Ok((address, answers)) => self.judge(node, address, answers, &mut status),
            Err(silence) => status.error = Some(chain(&silence)),
        }
        status
    }

    fn judge(&self, node: &Node, address: SocketAddr, answers: Answers, status: &mut NodeStatus) {
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
        if let Some((_, reason)) = self.revocations.of_key(&answers.host_key) {
            status.revoked = true;
            status.problem = Some(match reason {
                Some(reason) => format!("the host is revoked: {reason}"),
                None => "the host is revoked".to_owned(),
            });
            status.hint = Some(format!(
                "it needs a new key and a certificate for it; on the proxy: rproxy host setup \
                 --host={} --out-dir=DIR; then copy DIR to the host",
                node.name
            ));
        }
        if let PresentedKey::Certificate(certificate) = &answers.host_key {
            let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
            let authority = authority.to_string();
            let name = self.host_names.iter().find(|(key, _)| *key == authority);
            status.host_certificate = Some(HostCertificate {
                serial: ForeignSerial(certificate.serial()),
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
                // A host that accepts the control accepts every certificate.
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
        let warned =
            self.audit
                .warn_of_ending(&node.name, address.into(), certificate, "auth status");
        if let Err(error) = warned {
            ui::note(&format!("rproxy: {}", chain(&error)));
        }
    }
}
