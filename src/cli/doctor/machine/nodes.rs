//! Every node: its address, its host key, and which users it accepts.
//!
//! Stock sshd reports whether it would accept a certificate, without its private key. A certificate
//! that is not valid yet or has expired tests the host's clock; one that is bound to the configured
//! egress addresses tests which address the host sees.

use std::sync::Arc;

use ssh_key::Certificate;
use ssh_key::public::KeyData;

use super::super::super::fleet::{self, Silence};
use super::super::checks::{
    NODE_CLOCK, NODE_EGRESS, NODE_HOST_KEY, NODE_NAME, NODE_PORT, NODE_SSH, NODE_USER_CA,
};
use super::super::report::Finding;
use super::keys::CheckKeys;
use super::release;
use crate::ca::{Authority, CaError, ClockSkewProbe, ProbeCertificate, Revocations, RotationPhase};
use crate::cert::{HostPolicy, PresentedKey, TrustedKeys, short_host_key_hint, verify_host};
use crate::cli::ui::time;
use crate::cli::{Exit, Failure};
use crate::config::Config;
use crate::dns::Resolver;
use crate::model::{Principal, chain};
use crate::nodes::Node;
use crate::ssh::probe::{Answers, ProbeError};

/// What all nodes are asked, and what their answers are held against.
#[derive(Debug)]
struct Questions {
    login: Principal,
    now: u64,
    host_authority: Option<TrustedKeys>,
    checks_host_keys: bool,
    revocations: Revocations,
    user: Option<UserQuestions>,
}

/// What they are asked about the user CA.
#[derive(Debug)]
struct UserQuestions {
    /// One of each key.
    usual: Vec<ProbeCertificate>,
    /// The key that signs.
    signing: KeyData,
    phase: RotationPhase,
    /// Of the key that signs, good from the promised addresses only.
    bound: Option<Certificate>,
    trials: ClockSkewProbe,
    /// Of a key of no CA: a node that takes it asks for no certificate of ours.
    control: Certificate,
}

/// What a node says about the user CA.
struct Taken {
    usual: Vec<bool>,
    bound: Option<bool>,
    control: bool,
}

/// `hosts` are those of the inventory that are dialled.
pub(super) fn examine(
    config: &Config,
    hosts: &[Node],
    keys: &CheckKeys,
    login: &Principal,
    now: u64,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    if hosts.is_empty() {
        return Ok(());
    }
    let user = keys.user.as_deref();
    let user = user.map(|user| UserQuestions::new(user, config, login, now));
    let questions = Arc::new(Questions {
        login: login.clone(),
        now,
        host_authority: keys.host.as_ref().map(|host| host.trusted()),
        checks_host_keys: config.auth.proxy_checks_host_keys,
        revocations: keys.revocations.clone(),
        user: user.transpose()?,
    });
    let found = fleet::each(hosts, |node, resolver| {
        let questions = Arc::clone(&questions);
        async move { questions.examine(&node, &resolver).await }
    })?;
    findings.extend(found.into_iter().flatten());
    Ok(())
}

impl UserQuestions {
    fn new(
        user: &Authority,
        config: &Config,
        login: &Principal,
        now: u64,
    ) -> Result<Self, Failure> {
        let cannot = |error: CaError| {
            Failure::new(Exit::Failed, "cannot make the certificates to ask with").because(error)
        };
        let signing = user.public_key().key_data().clone();
        let networks = &config.proxy.egress_addrs;
        let bound = if networks.is_empty() {
            None
        } else {
            let bound = user.throwaways(login, networks, now).map_err(cannot)?;
            let of_signing = |one: &ProbeCertificate| *one.authority.key_data() == signing;
            bound
                .into_iter()
                .find(of_signing)
                .map(|one| one.certificate)
        };
        Ok(Self {
            usual: user.throwaways(login, &[], now).map_err(cannot)?,
            phase: user.rotation().phase(),
            bound,
            trials: user.trials(login, now).map_err(cannot)?,
            control: fleet::control(login)?,
            signing,
        })
    }

    /// In the order in which [`Self::taken`] reads the answers. sshd ends a connection after a few
    /// that it refuses: what it most likely takes comes first.
    fn certificates(&self) -> Vec<Certificate> {
        let usual = self.usual.iter().map(|one| &one.certificate);
        usual
            .chain(&self.bound)
            .chain([&self.control])
            .cloned()
            .collect()
    }

    fn taken(&self, mut answers: Vec<bool>) -> Option<Taken> {
        let control = answers.pop()?;
        let bound = match &self.bound {
            Some(_) => Some(answers.pop()?),
            None => None,
        };
        Some(Taken {
            usual: answers,
            bound,
            control,
        })
    }
}

impl Questions {
    async fn examine(&self, node: &Node, resolver: &Resolver) -> Vec<Finding> {
        let name = &node.name;
        let certificates = self.user.as_ref().map(UserQuestions::certificates);
        let certificates = certificates.unwrap_or_default();
        let login = self.login.as_str();
        let (address, answers) = match fleet::ask(node, resolver, login, &certificates).await {
            Ok(answers) => answers,
            Err(silence) => return vec![silent(name, &silence)],
        };
        let mut findings = vec![
            Finding::ok(&NODE_SSH, name, format!("answers at {address}")),
            release::judge(name, &answers.software),
            self.host_key(node, &answers.host_key),
        ];
        if let Some(user) = &self.user {
            let found = self.user_ca(user, node, resolver, answers).await;
            findings.extend(found);
        }
        findings
    }

    fn host_key(&self, node: &Node, presented: &PresentedKey) -> Finding {
        let (check, name) = (&NODE_HOST_KEY, node.name.as_str());
        if let Some((_, reason)) = self.revocations.of_key(presented) {
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            let detail = format!("is revoked{reason}");
            let hint = format!(
                "it needs a new key and a certificate for it; on the proxy: rproxy host setup \
                 --host={name} --out-dir=DIR; then copy DIR to {name}"
            );
            return Finding::error(check, name, detail, hint);
        }
        let Some(trusted) = &self.host_authority else {
            return Finding::ok(check, name, "there is no host CA to hold it against");
        };
        let policy = HostPolicy {
            trusted,
            accept_plain_keys: !self.checks_host_keys,
        };
        let names = [name.to_owned()];
        match verify_host(presented, policy, &names, self.now) {
            Ok(host) => match (host.certificate(), host.ending(self.now)) {
                (_, Some(ending)) => {
                    let detail = format!("expires at {}", time(ending.valid_before()));
                    Finding::warning(check, name, detail, renewing(node))
                }
                (Some(certificate), None) => {
                    let detail = format!("good until {}", time(certificate.valid_before()));
                    Finding::ok(check, name, detail)
                }
                (None, _) => {
                    let detail = "a plain key, which proxy_checks_host_keys lets pass unchecked";
                    let hint =
                        format!("{}; then set proxy_checks_host_keys to yes", renewing(node));
                    Finding::warning(check, name, detail, hint)
                }
            },
            Err(error) => {
                let hint = error.hint();
                Finding::error(check, name, error, hint)
            }
        }
    }

    async fn user_ca(
        &self,
        user: &UserQuestions,
        node: &Node,
        resolver: &Resolver,
        answers: Answers,
    ) -> Vec<Finding> {
        let name = &node.name;
        let taken = answers.accepted.map(|answers| user.taken(answers));
        let taken = match taken {
            Ok(Some(taken)) => taken,
            Ok(None) => return Vec::new(),
            Err(error) => {
                let hint = format!(
                    "it ends connections early; on {name}: see MaxAuthTries and PerSourcePenalties \
                     in sshd_config, and docs/hosts.md"
                );
                let detail = chain(&error);
                return vec![Finding::warning(&NODE_USER_CA, name, detail, hint)];
            }
        };
        if taken.control {
            let detail = "takes any certificate, also of a stranger's CA: nothing can be told";
            let hint = "it is no stock sshd: see who answers there";
            return vec![Finding::warning(&NODE_USER_CA, name, detail, hint)];
        }
        let asked = || user.usual.iter().zip(&taken.usual);
        let signs = |one: &ProbeCertificate| *one.authority.key_data() == user.signing;
        if !asked().any(|(one, is_taken)| signs(one) && *is_taken) {
            return vec![self.refused(user, node, resolver).await];
        }
        let login = &self.login;
        let mut findings = Vec::new();
        let lacks_other = asked().any(|(one, is_taken)| !signs(one) && !is_taken);
        findings.push(if lacks_other && user.phase == RotationPhase::Init {
            let detail = "does not take the key yet that the rotation brings";
            let hint = format!(
                "on the proxy: rproxy auth export --type=user > user_ca.pub; copy user_ca.pub to \
                 where TrustedUserCAKeys points on {name}, before the next phase"
            );
            Finding::warning(&NODE_USER_CA, name, detail, hint)
        } else {
            let detail = format!("takes certificates for {login}");
            Finding::ok(&NODE_USER_CA, name, detail)
        });
        match taken.bound {
            None => {}
            Some(true) => {
                let detail = "sees the proxy under a promised address";
                findings.push(Finding::ok(&NODE_EGRESS, name, detail));
            }
            Some(false) => {
                let detail = "sees the proxy under an address that is not in egress_addrs, and \
                              refuses every user's certificate";
                let hint = format!(
                    "on {name}: `journalctl -u ssh` shows the proxy's address as {name} sees it; on \
                     the proxy: set proxy_service.egress_addrs to it, and have users' certificates \
                     signed again"
                );
                findings.push(Finding::error(&NODE_EGRESS, name, detail, hint));
            }
        }
        findings
    }

    /// Why a host takes no certificate of the key that signs: its clock, or it does not know the key.
    async fn refused(&self, user: &UserQuestions, node: &Node, resolver: &Resolver) -> Finding {
        let (name, login) = (&node.name, &self.login);
        let trials = [user.trials.behind.clone(), user.trials.ahead.clone()];
        let asked = fleet::ask(node, resolver, login.as_str(), &trials).await;
        let taken = asked.ok().and_then(|(_, answers)| answers.accepted.ok());
        let clock = |which: &str| {
            let detail = format!(
                "its clock is {which}: it takes certificates of another time, and none of now"
            );
            let hint = format!(
                "on {name}: set the clock, and have it kept: `timedatectl set-ntp true`, or chrony"
            );
            Finding::error(&NODE_CLOCK, name, detail, hint)
        };
        match taken.as_deref() {
            Some([true, false]) => clock("more than a minute behind"),
            Some([false, true]) => clock("ahead"),
            _ => {
                let detail = format!("takes no certificate of the user CA for {login}");
                if node.id.is_some() {
                    let hint = format!(
                        "{}; if the account is closed or does not exist there, ask about another with \
                         --login",
                        reporting(name)
                    );
                    return Finding::error(&NODE_USER_CA, name, detail, hint);
                }
                let hint = format!(
                    "on the proxy: rproxy auth export --type=user > user_ca.pub; copy user_ca.pub to \
                     {name}; on {name}: name the file with TrustedUserCAKeys in sshd_config (or use \
                     rproxy host setup, which writes all of it); if the account is closed or does \
                     not exist there, ask about another with --login"
                );
                Finding::error(&NODE_USER_CA, name, detail, hint)
            }
        }
    }
}

/// How a host gets a new certificate.
fn renewing(node: &Node) -> String {
    match node.id {
        Some(_) => reporting(&node.name),
        None => fleet::renewing(&node.name),
    }
}

/// How a host that has joined gets what it lacks: with its next report.
fn reporting(name: &str) -> String {
    format!(
        "the host gets it with its reports; on {name}: `sh /etc/ssh/rproxy/node.sh heartbeat` says what keeps \
         it from that"
    )
}

/// Why there are no answers.
fn silent(name: &str, silence: &Silence) -> Finding {
    let detail = chain(silence);
    match silence {
        Silence::Address(_) => Finding::error(
            &NODE_NAME,
            name,
            detail,
            "correct nodes[].addr, or DNS; /etc/hosts counts too",
        ),
        Silence::Probe(ProbeError::Connect(..) | ProbeError::Timeout(_)) => Finding::error(
            &NODE_PORT,
            name,
            detail,
            format!(
                "on {name}: start sshd, open the firewall for the proxy; or correct the port in nodes[].addr"
            ),
        ),
        Silence::Probe(ProbeError::ShortHostKey(..)) => {
            Finding::error(&NODE_HOST_KEY, name, detail, short_host_key_hint(name))
        }
        Silence::Probe(_) => Finding::error(
            &NODE_SSH,
            name,
            detail,
            format!(
                "correct the port in nodes[].addr; if sshd is there and ends connections at once, on \
                 {name}: see MaxStartups and PerSourcePenalties in sshd_config (docs/hosts.md)"
            ),
        ),
    }
}
