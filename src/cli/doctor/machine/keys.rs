//! The CAs: their keys, their rotations, the revocations; and the TLS certificate.

use crate::cli::ui::time;
use std::sync::Arc;

use ssh_key::HashAlg;

use super::super::checks::{AUTHORITY, HTTPS_CERTIFICATE, REVOCATIONS, ROTATION};
use super::super::report::{Finding, Status};
use super::files::remedy;
use crate::ca::{Authority, CaError, CaKind, Revocations, Rotation, RotationPhase};
use crate::config::Config;
use crate::model::chain;
use crate::sys::clock::Clock;
use crate::sys::fs::FsError;
use crate::web::{TlsError, TlsFiles, Validity};

/// How long a rotation may stay in one phase before the doctor reminds of it, in seconds: a week.
const LONG: u64 = 7 * 86_400;
/// With how much left a certificate of HTTPS is to be renewed, in seconds: two weeks.
const HTTPS_NOTICE: u64 = 14 * 86_400;

/// What the checks of the network go by.
#[derive(Debug)]
pub(super) struct CheckKeys {
    /// The user CA, where its key signs.
    pub(super) user: Option<Arc<Authority>>,
    /// The host CA; its key may be out of reach.
    pub(super) host: Option<Arc<Authority>>,
    /// What is revoked, as far as that can be read.
    pub(super) revocations: Revocations,
}

pub(super) fn examine(config: &Config, now: u64, findings: &mut Vec<Finding>) -> CheckKeys {
    let mut authority = |kind| {
        let authority = match Authority::open(&config.installation(Clock::System), kind) {
            Ok(authority) => Arc::new(authority),
            Err(CaError::None(_) | CaError::NoneOf { .. }) => {
                let detail = "has no key yet";
                let hint = "`rproxy auth init` makes it, and so does `rproxy serve`";
                findings.push(Finding::error(&AUTHORITY, kind, detail, hint));
                return None;
            }
            Err(error) => {
                findings.push(fault(kind, error));
                return None;
            }
        };
        let signs = signing(kind, &authority);
        let is_signing = signs.status == Status::Ok;
        findings.push(signs);
        findings.push(rotation(kind, authority.rotation(), now));
        Some((authority, is_signing))
    };
    let user = authority(CaKind::User);
    let host = authority(CaKind::Host);
    let keys = CheckKeys {
        user: user.and_then(|(user, is_signing)| is_signing.then_some(user)),
        host: host.map(|(host, _)| host),
        revocations: revocations(config, findings),
    };
    findings.extend(https(config, now));
    keys
}

fn fault(kind: CaKind, error: CaError) -> Finding {
    let hint = match &error {
        CaError::Fs(fault) => remedy(fault),
        other => {
            let hint = other.hint();
            hint.unwrap_or_else(|| "restore the key from a backup".to_owned())
        }
    };
    Finding::error(&AUTHORITY, kind, chain(&error), hint)
}

fn signing(kind: CaKind, authority: &Authority) -> Finding {
    if let Err(error) = authority.try_key() {
        return fault(kind, error);
    }
    let key = authority.public_key();
    let fingerprint = key.fingerprint(HashAlg::Sha256);
    let detail = match authority.agent_of(key) {
        Some(agent) => format!("the agent at {agent} signs with {fingerprint}"),
        None => format!("signs with {fingerprint}"),
    };
    Finding::ok(&AUTHORITY, kind, detail)
}

fn rotation(kind: CaKind, rotation: Rotation, now: u64) -> Finding {
    let phase = rotation.phase();
    // It waits for nodes until then.
    let is_late = rotation.latest().is_some_and(|latest| latest <= now);
    if let Some((at, to)) = rotation.overdue(now).filter(|_| is_late) {
        let detail = format!("should have gone from {phase} to {to} at {}", time(at));
        let hint = "the running proxy moves it, or else `rproxy auth status`; see that every host \
                    and client has the keys of that phase";
        return Finding::warning(&ROTATION, kind, detail, hint);
    }
    let Some(since) = rotation.since().filter(|_| phase != RotationPhase::Standby) else {
        return Finding::ok(&ROTATION, kind, "none is under way");
    };
    let detail = format!("in {phase} since {}", time(since));
    if rotation.due().is_none() && now.saturating_sub(since) > LONG {
        let hint = format!(
            "`rproxy auth status` says what is left to do; then \
             `rproxy auth rotate --type={kind} --phase={}`",
            phase.next()
        );
        return Finding::warning(&ROTATION, kind, detail, hint);
    }
    Finding::ok(&ROTATION, kind, detail)
}

fn revocations(config: &Config, findings: &mut Vec<Finding>) -> Revocations {
    let log = config.installation(Clock::System).records.revoked;
    if let Err(error) = log.check_copy() {
        let subject = config.data_dir.revocations();
        let hint = error.hint().unwrap_or_else(|| {
            "the proxy does not start: restore the file, or run this as its owner".to_owned()
        });
        let subject = subject.display();
        findings.push(Finding::error(&REVOCATIONS, subject, chain(&error), hint));
    }
    let subject = log.place();
    match log.read() {
        Ok(revocations) => {
            let detail = match revocations.in_force().count() {
                0 => "nothing is revoked".to_owned(),
                count => format!("{count} in force"),
            };
            findings.push(Finding::ok(&REVOCATIONS, subject, detail));
            revocations
        }
        Err(error) => {
            let hint = error.hint().unwrap_or_else(|| {
                "the proxy does not start without it: restore it, or run this as its owner"
                    .to_owned()
            });
            findings.push(Finding::error(&REVOCATIONS, subject, chain(&error), hint));
            Revocations::default()
        }
    }
}

fn https(config: &Config, now: u64) -> Option<Finding> {
    let given = config.https_files()?;
    let is_own = config.own_https_file().is_some();
    let subject = given.cert_file.display();
    let check = &HTTPS_CERTIFICATE;
    if is_own && !given.cert_file.exists() {
        let detail = "the proxy makes one for itself when it starts";
        return Some(Finding::ok(check, subject, detail));
    }
    let files = TlsFiles {
        certificate: given.cert_file.clone(),
        key: given.key_file.clone(),
    };
    let renew = match is_own {
        true => "start the proxy again: it makes another one",
        false => "renew it; the running proxy reads the new files by itself",
    };
    Some(match files.validity(now, HTTPS_NOTICE) {
        Ok(Validity::Good) if is_own => {
            let fingerprint = files.fingerprint().unwrap_or_default();
            let detail = format!("the proxy's own; browsers show its SHA-256: {fingerprint}");
            Finding::ok(check, subject, detail)
        }
        Ok(Validity::Good) => Finding::ok(check, subject, "good, and fits its key"),
        Ok(Validity::Ending(at)) => {
            Finding::warning(check, subject, format!("expires at {}", time(at)), renew)
        }
        Ok(Validity::Ended(at)) => {
            Finding::error(check, subject, format!("ended {}", time(at)), renew)
        }
        Ok(Validity::Ahead(at)) => {
            let hint = "look at the clock, or wait";
            Finding::error(check, subject, format!("begins {}", time(at)), hint)
        }
        Err(error) => {
            let hint = match &error {
                TlsError::File(FsError::TooOpen { path, .. }) => {
                    format!("chmod 0600 {}", path.display())
                }
                TlsError::File(_) => {
                    "name files that the user that the proxy runs as can read".to_owned()
                }
                _ => {
                    "https_cert_file is the certificate in PEM, then its issuers'; https_key_file \
                      its private key"
                        .to_owned()
                }
            };
            Finding::error(check, subject, chain(&error), hint)
        }
    })
}
