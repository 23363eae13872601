//! The hosts and users that the next phase of a rotation would lock out: every host of the inventory is
//! probed, and what nodes have reported and the ledger are read.

use super::client::AuthClient;
use super::status::fleet::Fleet;
use super::status::joined::lacking_of;
use super::status::report::NodeStatus;
use super::{Context, Failure, ui};
use crate::ca::{Authorities, CaKind, Lack, Lacking, Outstanding, RotationPhase};
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

/// What stands in the way of a move, a line for each host and certificate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    /// What would be cut off, or may be.
    pub(super) cut: Vec<String>,
    /// Nodes that have joined and are offline: they take the keys when they are back.
    pub(super) offline: Vec<String>,
}

/// Finds what would be cut off by a move. A node that has joined is judged by what it answers, and where
/// that says nothing by what it has reported.
///
/// # Errors
/// When the hosts cannot be asked, or the ledger or the state cannot be read.
pub(super) fn look(
    context: &Context,
    authorities: &Authorities,
    wanted: Move,
    login: Principal,
) -> Result<Readiness, Failure> {
    let client = AuthClient::new(context);
    let authority = authorities.of(wanted.kind);
    let joined = client.node_keys()?;
    let lacking = match wanted.to {
        // Nothing that a node lacks keeps a rotation from going back.
        RotationPhase::Init | RotationPhase::Rollback => Vec::new(),
        _ => lacking_of(authority, &joined),
    };
    let mut found = Readiness::default();
    let mut asked = Vec::new();
    if wanted.concerns_hosts() {
        if context.config.nodes.is_empty() && joined.is_empty() {
            ui::note("rproxy: the inventory has no hosts: none was asked whether it is ready");
        }
        let account = login.to_string();
        let staying = wanted.staying(authority.public_keys());
        let staying = staying.unwrap_or_default();
        for status in Fleet::new(context, authorities, login)?.ask()? {
            let answer = match wanted.kind {
                CaKind::User => user_key(&status, &staying, &account),
                CaKind::Host => host_key(&status, &staying),
            };
            if !joined.iter().any(|node| node.name == status.name) {
                found.add(&status.name, answer);
                continue;
            }
            let lack = lacking.iter().find(|node| node.name == status.name);
            found.add_joined(&status.name, answer, lack);
            asked.push(status.name);
        }
    }
    for node in lacking.iter().filter(|node| !asked.contains(&node.name)) {
        let unasked = Answer::Unknown(String::new());
        found.add_joined(&node.name, unasked, Some(node));
    }
    if wanted.to == RotationPhase::Standby {
        let outstanding = client.outstanding(authority)?;
        found.cut.extend(outstanding.iter().map(certificate));
    }
    truncate(&mut found.cut);
    truncate(&mut found.offline);
    Ok(found)
}

fn truncate(lines: &mut Vec<String>) {
    if lines.len() > MAX_NAMED {
        let more = lines.len() - MAX_NAMED;
        lines.truncate(MAX_NAMED);
        lines.push(format!("and {more} more"));
    }
}

/// What a host has answered about the key that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// It is ready.
    Ready,
    /// It is not, and why.
    NotReady(String),
    /// The answer says nothing, and why.
    Unknown(String),
}

impl Readiness {
    /// A host of the configuration: only its answers tell.
    fn add(&mut self, name: &str, answer: Answer) {
        match answer {
            Answer::Ready => {}
            Answer::NotReady(why) | Answer::Unknown(why) => self.cut.push(format!("{name}: {why}")),
        }
    }

    /// A node that has joined, and what its last report lacks.
    fn add_joined(&mut self, name: &str, answer: Answer, lack: Option<&Lacking>) {
        let is_answered = |lack: &Lacking| answer == Answer::Ready && lack.lack != Lack::HostKey;
        match (&answer, lack) {
            (Answer::NotReady(why), _) => self.cut.push(format!("{name}: {why}")),
            (_, Some(lack)) if !is_answered(lack) => {
                let line = format!("{name}: {}", lack.lack.sentence());
                match lack.is_online {
                    true => self.cut.push(line),
                    false => {
                        let seen = time(lack.heard);
                        self.offline.push(format!("{line}, last seen {seen}"));
                    }
                }
            }
            (_, _) => {}
        }
    }
}

/// Whether a host takes certificates of the key that stays.
fn user_key(status: &NodeStatus, staying: &str, login: &str) -> Answer {
    if let Some(error) = &status.error {
        return Answer::Unknown(format!("gave no answer: {error}"));
    }
    let answers = &status.user_authorities;
    let of = |is: &dyn Fn(&str) -> bool| {
        let mut found = answers.iter().filter(|one| is(&one.fingerprint));
        found.find_map(|one| one.accepted)
    };
    match of(&|key| key == staying) {
        Some(true) => Answer::Ready,
        Some(false) if of(&|key| key != staying) == Some(true) => {
            Answer::NotReady(format!("does not trust the key {staying}"))
        }
        Some(false) => Answer::Unknown(format!(
            "lets {login} in with no key; --login names an account that it knows"
        )),
        None if answers.is_empty() => Answer::Unknown("was not asked".to_owned()),
        // One that takes any certificate says nothing about any of them.
        None => Answer::Ready,
    }
}

/// Whether the proxy would still connect to a host.
fn host_key(status: &NodeStatus, staying: &str) -> Answer {
    match (&status.host_certificate, &status.error) {
        (Some(certificate), _) if certificate.authority == staying => Answer::Ready,
        (Some(certificate), _) => Answer::NotReady(format!(
            "shows a certificate of the key {}",
            certificate.authority
        )),
        (None, Some(error)) => Answer::Unknown(format!("gave no answer: {error}")),
        // It has none that could be lost.
        (None, None) => Answer::Ready,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a node that has joined answers counts more than what it has reported, where it says anything.
    #[test]
    fn answers_and_reports_make_one_judgement() {
        let lack = |lack, is_online| Lacking {
            name: "db1".to_owned(),
            lack,
            heard: 0,
            is_online,
        };
        let silent = Answer::Unknown("gave no answer".to_owned());
        let stale = Answer::NotReady("does not trust the key".to_owned());
        let (user, host) = (Lack::UserKey, Lack::HostKey);
        for (answer, lack, cut, offline) in [
            (Answer::Ready, None, 0, 0),
            (silent.clone(), None, 0, 0),
            (stale.clone(), None, 1, 0),
            // The report is a minute old.
            (Answer::Ready, Some(lack(user, true)), 0, 0),
            (silent.clone(), Some(lack(user, true)), 1, 0),
            (silent, Some(lack(user, false)), 0, 1),
            // It is up, and does not report: it would not get the key.
            (stale, Some(lack(user, false)), 1, 0),
            // Whom it knows the proxy by, no answer tells.
            (Answer::Ready, Some(lack(host, true)), 1, 0),
            (Answer::Ready, Some(lack(host, false)), 0, 1),
        ] {
            let mut found = Readiness::default();
            found.add_joined("db1", answer.clone(), lack.as_ref());
            let counts = (found.cut.len(), found.offline.len());
            assert_eq!(counts, (cut, offline), "{answer:?} {lack:?}");
        }
    }
}
