//! The proxy, seen from its client: its name, its port, its key, and the result of a login.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::super::checks::{CLIENT_CLOCK, PROXY_LOGIN, PROXY_NAME, PROXY_PORT, SHOWN_KEY};
use super::super::child::{self, ProgramOutput};
use super::super::report::Finding;
use super::known_hosts::Trusted;
use super::proxy_path::ProxyPath;
use super::ssh::Names;
use crate::cert::{CertFault, HostKeyError, HostPolicy, PresentedKey, verify_host};
use crate::cli::ui::time;
use crate::model::chain;
use crate::ssh::probe::{self, ProbeError};
use crate::wire::ClientConfig;

/// How long the machine's resolver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long ssh may take to authenticate, or to be refused.
const LOGIN_PATIENCE: Duration = Duration::from_secs(30);
/// Longest life of a certificate that tells of the clock, in seconds: the proxy's live an hour.
const SHORT_LIVED: u64 = 86_400;
/// What ssh says once it is in.
const IN: &str = "Authenticated to ";

/// Where the proxy should be, and how it should prove itself.
#[derive(Debug)]
pub(super) struct ProxyTarget<'t> {
    pub(super) host: &'t str,
    pub(super) port: u16,
    pub(super) names: Option<Names>,
    pub(super) trusted: Option<&'t Trusted>,
    pub(super) now: u64,
}

impl ProxyTarget<'_> {
    /// Checks whether a server answers there, and whether it is an SSH server.
    pub(super) async fn examine(&self, findings: &mut Vec<Finding>) -> bool {
        let subject = format!("{}:{}", self.host, self.port);
        // The machine's own way of looking up names is ssh's too.
        let addresses = timeout(PATIENCE, lookup_host((self.host, self.port))).await;
        let addresses: Vec<SocketAddr> = match addresses {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => {
                findings.push(nameless(self.host, &error.to_string()));
                return false;
            }
            Err(_late) => {
                findings.push(nameless(self.host, "the resolver does not answer"));
                return false;
            }
        };
        let shown: Vec<_> = addresses
            .iter()
            .map(|address| address.ip().to_string())
            .collect();
        findings.push(Finding::ok(&PROXY_NAME, self.host, shown.join(", ")));
        let mut silence = None;
        for address in addresses {
            let config = Arc::new(ClientConfig::default());
            match probe::ask(address, config, "doctor", &[]).await {
                Ok(answers) => {
                    let detail = format!("SSH is spoken at {address}");
                    findings.push(Finding::ok(&PROXY_PORT, subject, detail));
                    self.judge(&answers.host_key, findings);
                    return true;
                }
                Err(error) => silence = Some(error),
            }
        }
        if let Some(error) = silence {
            findings.push(silent(&subject, &error));
        }
        false
    }

    fn judge(&self, presented: &PresentedKey, findings: &mut Vec<Finding>) {
        let (Some(names), Some(Some(trusted))) = (&self.names, self.trusted) else {
            return;
        };
        let policy = HostPolicy {
            trusted,
            accept_plain_keys: false,
        };
        let name = std::slice::from_ref(&names.certified);
        let verdict = verify_host(presented, policy, name, self.now);
        let off = match &verdict {
            Err(HostKeyError::Fault { fault, .. }) => match fault {
                CertFault::NotYetValid(from) => Some(("behind", *from)),
                CertFault::Expired(until) => Some(("ahead", *until)),
                _ => None,
            },
            _ => None,
        };
        match (off, verdict) {
            (Some((which, edge)), _) => {
                let detail = format!(
                    "it is {} here, and the proxy's certificate, which is made anew every hour, \
                     says {}: this clock is {which}, or the proxy's is wrong",
                    time(self.now),
                    time(edge)
                );
                let hint = "set the clock, and have it kept: `timedatectl set-ntp true`";
                findings.push(Finding::error(&CLIENT_CLOCK, "", detail, hint));
            }
            (None, Ok(host)) => {
                let detail = "a certificate of the known CA";
                findings.push(Finding::ok(&SHOWN_KEY, &names.certified, detail));
                let lifetime = host.certificate().map(|certificate| {
                    certificate
                        .valid_before()
                        .saturating_sub(certificate.valid_after())
                });
                if lifetime.is_some_and(|lifetime| lifetime <= SHORT_LIVED) {
                    let detail = format!("{}, as the proxy has it", time(self.now));
                    findings.push(Finding::ok(&CLIENT_CLOCK, "", detail));
                }
            }
            (None, Err(error)) => {
                let hint = match &error {
                    HostKeyError::WrongName { .. } => {
                        "use the name that the certificate has; or on the proxy: set this one as \
                         public_addr in its configuration"
                    }
                    _ => {
                        "this is not the proxy that known_hosts means, or its CA has a new key: ask \
                         whoever runs it, and compare with what `rproxy auth export --type=host` \
                         prints on the proxy"
                    }
                };
                findings.push(Finding::error(&SHOWN_KEY, &names.certified, error, hint));
            }
        }
    }
}

fn nameless(host: &str, why: &str) -> Finding {
    let detail = format!("has no address: {why}");
    let hint = "correct the name, or DNS; a VPN may be needed for it";
    Finding::error(&PROXY_NAME, host, detail, hint)
}

fn silent(subject: &str, error: &ProbeError) -> Finding {
    let hint = match error {
        ProbeError::Connect(..) | ProbeError::Timeout(_) => {
            "ask whether the proxy runs (on the proxy: `rproxy doctor`), correct the port, or let the \
             firewall pass it"
        }
        _ => "something else is there than the proxy: correct name and port",
    };
    Finding::error(&PROXY_PORT, subject, chain(error), hint)
}

/// Has ssh itself connect, as far as the proxy's yes or no.
pub(super) fn log_in(way: &ProxyPath, signs_in: bool) -> Finding {
    let subject = way.names_of_proxy().certified;
    match child::run(&mut way.log_in(), "", LOGIN_PATIENCE) {
        Ok(said) if said.stderr.contains(IN) => Finding::ok(&PROXY_LOGIN, subject, "ssh is let in"),
        Ok(said) => match sign_in_first(&said).filter(|_| signs_in) {
            Some(command) => {
                let detail = format!("the proxy asks for the sign-in; to sign in now: {command}");
                Finding::ok(&PROXY_LOGIN, subject, detail)
            }
            None => refused(&subject, &said),
        },
        Err(error) => {
            let hint = "see whether ssh can be started from here";
            Finding::error(&PROXY_LOGIN, subject, error, hint)
        }
    }
}

/// The command that the proxy names to users who have to sign in: it could not ask here.
fn sign_in_first(said: &ProgramOutput) -> Option<&str> {
    let mut lines = said.stderr.lines().map(str::trim);
    let line = lines.find(|line| line.ends_with(" login"))?;
    line.find("ssh ").and_then(|start| line.get(start..))
}

/// Why ssh is not accepted, in the proxy's words if there are any.
fn refused(subject: &str, said: &ProgramOutput) -> Finding {
    let check = &PROXY_LOGIN;
    let lines = || said.stderr.lines().map(str::trim);
    let told = lines().find(|line| line.starts_with("rproxy: "));
    let hinted = lines().find_map(|line| line.strip_prefix("hint: "));
    let complaint = said.complaint();
    if let Some(told) = told {
        let hint = hinted.unwrap_or("on the proxy: the audit log says more");
        return Finding::error(check, subject, told, hint);
    }
    let is = |text: &str| lines().any(|line| line.contains(text));
    let hint = if is("Host key verification failed") || is("host key") {
        "known hosts do not have the proxy's CA, or it is not the proxy: see known-hosts and \
         shown-key"
    } else if is("Permission denied") {
        "the proxy takes none of the keys that ssh offers: see agent and certificate; `ssh -v` \
         shows what it offers"
    } else {
        "`ssh -v` to the proxy shows where it stops"
    };
    Finding::error(check, subject, complaint, hint)
}
