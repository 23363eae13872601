//! The hosts and users that the next phase of a rotation would lock out: every host of the inventory is
//! probed, and the ledger is read.

use super::client::AuthClient;
use super::status::fleet::Fleet;
use super::status::report::NodeStatus;
use super::{Context, Failure, ui};
use crate::ca::{Authorities, CaKind, Outstanding, RotationPhase};
use crate::cli::ui::time;
use crate::model::Principal;
use crate::model::text::Printable;
use ssh_key::{HashAlg, PublicKey};

/// Most that are named.
const MAX_NAMED: usize = 20;

/// A move of a rotation that a command asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) kind: CaKind,
    pub(super) from: RotationPhase,
    pub(super) to: RotationPhase,
}

impl Move {
    /// Whether the hosts of the inventory have a say in it.
    fn concerns_hosts(self) -> bool {
        match (self.kind, self.to) {
            (_, RotationPhase::Init) => false,
            (CaKind::User, _) | (CaKind::Host, RotationPhase::Standby) => true,
            (CaKind::Host, _) => false,
        }
    }

    /// The key that everything depends on afterwards; `None` where it is not there yet.
    fn staying(self, keys: &[PublicKey]) -> Option<String> {
        let is_back = self.to == RotationPhase::Rollback || self.from == RotationPhase::Rollback;
        let key = if is_back { keys.first() } else { keys.last() };
        key.map(|key| key.fingerprint(HashAlg::Sha256).to_string())
    }
}

/// A line for each host and certificate that would be cut off, or may be. Empty where there is none.
///
/// # Errors
/// When the hosts cannot be asked, or the ledger cannot be read.
pub(super) fn cut_off(
    context: &Context,
    authorities: &Authorities,
    wanted: Move,
    login: Principal,
) -> Result<Vec<String>, Failure> {
    let mut cut = Vec::new();
    if wanted.concerns_hosts() {
        if context.config.nodes.is_empty() {
            ui::note("rproxy: the inventory has no hosts: none was asked whether it is ready");
        }
        let account = login.to_string();
        let staying = wanted.staying(authorities.of(wanted.kind).public_keys());
        let staying = staying.unwrap_or_default();
        for status in Fleet::new(context, authorities, login)?.ask()? {
            let why = match wanted.kind {
                CaKind::User => user_key(&status, &staying, &account),
                CaKind::Host => host_key(&status, &staying),
            };
            cut.extend(why.map(|why| format!("{}: {why}", status.name)));
        }
    }
    if wanted.to == RotationPhase::Standby {
        let client = AuthClient::new(context);
        let outstanding = client.outstanding(authorities.of(wanted.kind))?;
        cut.extend(outstanding.iter().map(certificate));
    }
    if cut.len() > MAX_NAMED {
        let more = cut.len() - MAX_NAMED;
        cut.truncate(MAX_NAMED);
        cut.push(format!("and {more} more"));
    }
    Ok(cut)
}

/// Why a host may refuse certificates of the key that stays.
fn user_key(status: &NodeStatus, staying: &str, login: &str) -> Option<String> {
    if let Some(error) = &status.error {
        return Some(format!("gave no answer: {error}"));
    }
    let answers = &status.user_authorities;
    let of = |is: &dyn Fn(&str) -> bool| {
        let mut found = answers.iter().filter(|one| is(&one.fingerprint));
        found.find_map(|one| one.accepted)
    };
    match of(&|key| key == staying) {
        Some(true) => None,
        Some(false) if of(&|key| key != staying) == Some(true) => {
            Some(format!("does not trust the key {staying}"))
        }
        Some(false) => Some(format!(
            "lets {login} in with no key; --login names an account that it knows"
        )),
        // One that takes any certificate says nothing about any of them.
        None if answers.is_empty() => Some("was not asked".to_owned()),
        None => None,
    }
}

/// Why the proxy would not connect to a host any more.
fn host_key(status: &NodeStatus, staying: &str) -> Option<String> {
    match (&status.host_certificate, &status.error) {
        (Some(certificate), _) if certificate.authority == staying => None,
        (Some(certificate), _) => Some(format!(
            "shows a certificate of the key {}",
            certificate.authority
        )),
        (None, Some(error)) => Some(format!("gave no answer: {error}")),
        // It has none that could be lost.
        (None, None) => None,
    }
}

fn certificate(one: &Outstanding) -> String {
    format!(
        "certificate of {}: serial {}, until {}, is of the key that goes",
        Printable(&one.key_id),
        one.serial,
        time(one.valid_before)
    )
}
