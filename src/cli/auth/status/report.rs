//! The results of `auth status`: one format for people and one for programs.

use std::fmt;

use serde::Serialize;

use super::super::steps::to_do;
use super::joined::JoinedStatus;
use crate::audit::ForeignSerial;
use crate::ca::{CaKind, Outstanding, Rotation, RotationPhase};
use crate::cli::fleet;
use crate::cli::ui::time;
use crate::model::text::Printable;
use crate::nodes::Node;

/// Most certificates that are listed by name for people.
const MAX_LISTED: usize = 10;

/// All of it.
#[derive(Debug, Serialize)]
pub(in crate::cli::auth) struct Report {
    pub(in crate::cli::auth) authorities: Vec<AuthorityStatus>,
    pub(in crate::cli::auth) nodes: Vec<NodeStatus>,
}

/// One CA.
#[derive(Debug, Serialize)]
pub(in crate::cli::auth) struct AuthorityStatus {
    #[serde(rename = "type")]
    kind: CaKind,
    phase: RotationPhase,
    since: Option<String>,
    next_phase: Option<RotationPhase>,
    next_at: Option<String>,
    keys: Vec<KeyStatus>,
    /// Keys that rotations have replaced, no longer trusted.
    kept_keys: Vec<String>,
    signed_by_leaving_key: Vec<Outstanding>,
    /// The nodes that have joined, during a rotation.
    joined_nodes: Option<JoinedStatus>,
}

/// One key of a CA.
#[derive(Debug, Serialize)]
pub(in crate::cli::auth) struct KeyStatus {
    pub(in crate::cli::auth) name: &'static str,
    pub(in crate::cli::auth) fingerprint: String,
    pub(in crate::cli::auth) signs: bool,
    /// The agent that has it; `None` for a key in a file.
    pub(in crate::cli::auth) agent: Option<String>,
}

/// One host.
#[derive(Debug, Serialize)]
pub(in crate::cli::auth) struct NodeStatus {
    pub(in crate::cli::auth) name: String,
    addr: String,
    login: String,
    /// What it presented, if that is a certificate.
    pub(in crate::cli::auth) host_certificate: Option<HostCertificate>,
    /// Whether what it presented is revoked.
    pub(in crate::cli::auth) revoked: bool,
    /// Why the proxy would not connect to it.
    pub(in crate::cli::auth) problem: Option<String>,
    /// What to do about that.
    pub(in crate::cli::auth) hint: Option<String>,
    pub(in crate::cli::auth) user_authorities: Vec<UserAuthority>,
    /// Why there are no answers.
    pub(in crate::cli::auth) error: Option<String>,
}

/// The certificate that a host has proved to have.
#[derive(Debug, Serialize)]
pub(in crate::cli::auth) struct HostCertificate {
    pub(in crate::cli::auth) serial: ForeignSerial,
    pub(in crate::cli::auth) principals: Vec<String>,
    pub(in crate::cli::auth) valid_before: String,
    pub(in crate::cli::auth) seconds_left: u64,
    /// Whether it is to be renewed.
    pub(in crate::cli::auth) ends_soon: bool,
    pub(in crate::cli::auth) authority: String,
    pub(in crate::cli::auth) authority_name: &'static str,
}

/// A key of the user CA, and whether the host takes certificates of it.
#[derive(Debug, Serialize)]
pub(in crate::cli::auth) struct UserAuthority {
    pub(in crate::cli::auth) fingerprint: String,
    /// `None` where the host's answer tells nothing.
    pub(in crate::cli::auth) accepted: Option<bool>,
}

impl AuthorityStatus {
    pub(in crate::cli::auth) fn new(
        kind: CaKind,
        rotation: Rotation,
        keys: Vec<KeyStatus>,
        kept_keys: Vec<String>,
        outstanding: Vec<Outstanding>,
        joined_nodes: Option<JoinedStatus>,
    ) -> Self {
        Self {
            kind,
            phase: rotation.phase(),
            since: rotation.since().map(time),
            next_phase: rotation.due().map(|(_, phase)| phase),
            next_at: rotation.due().map(|(at, _)| time(at)),
            keys,
            kept_keys,
            signed_by_leaving_key: outstanding,
            joined_nodes,
        }
    }
}

impl NodeStatus {
    pub(in crate::cli::auth) fn new(node: &Node, login: &str) -> Self {
        Self {
            name: node.name.clone(),
            addr: if node.host.contains(':') {
                format!("[{}]:{}", node.host, node.port)
            } else {
                format!("{}:{}", node.host, node.port)
            },
            login: login.to_owned(),
            host_certificate: None,
            revoked: false,
            problem: None,
            hint: None,
            user_authorities: Vec::new(),
            error: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for authority in &self.authorities {
            authority.fmt(f)?;
        }
        let user = self.authorities.iter().find(|one| one.kind == CaKind::User);
        for node in &self.nodes {
            node.show(f, user)?;
        }
        Ok(())
    }
}

impl fmt::Display for AuthorityStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CA: {}", self.kind, self.phase)?;
        if let Some(since) = &self.since {
            write!(f, " since {since}")?;
        }
        if let (Some(phase), Some(at)) = (self.next_phase, &self.next_at) {
            write!(f, ", {phase} at {at}")?;
        }
        writeln!(f)?;
        for key in &self.keys {
            let signs = if key.signs { "signs" } else { "trusted" };
            write!(f, "  {} key {}: {signs}", key.name, key.fingerprint)?;
            match &key.agent {
                Some(agent) => writeln!(f, ", in the agent at {agent}")?,
                None => writeln!(f)?,
            }
        }
        for key in &self.kept_keys {
            writeln!(f, "  kept key {key}: trusted no more")?;
        }
        if !self.kept_keys.is_empty() && self.phase == RotationPhase::Standby {
            let rotate = format!("rproxy auth rotate --type={}", self.kind);
            writeln!(f, "    back to the last one: {rotate} --rollback")?;
            writeln!(f, "    remove what is kept: {rotate} --remove-kept")?;
        }
        if self.phase != RotationPhase::Standby {
            for line in to_do(self.kind, self.phase) {
                writeln!(f, "  {line}")?;
            }
        }
        if let Some(joined) = &self.joined_nodes {
            joined.show(f, self.kind)?;
        }
        let left = &self.signed_by_leaving_key;
        if !left.is_empty() {
            writeln!(
                f,
                "  signed by the key that leaves, and not replaced: {}",
                left.len()
            )?;
            for one in left.iter().take(MAX_LISTED) {
                let until = time(one.valid_before);
                writeln!(
                    f,
                    "    {} (serial {}), until {until}",
                    Printable(&one.key_id),
                    one.serial
                )?;
            }
            if left.len() > MAX_LISTED {
                writeln!(f, "    and {} more", left.len() - MAX_LISTED)?;
            }
        }
        Ok(())
    }
}

impl NodeStatus {
    fn show(&self, f: &mut fmt::Formatter<'_>, user: Option<&AuthorityStatus>) -> fmt::Result {
        writeln!(f, "node {} ({})", self.name, self.addr)?;
        if let Some(certificate) = &self.host_certificate {
            writeln!(
                f,
                "  host certificate: {} key, until {}, for {}",
                certificate.authority_name,
                certificate.valid_before,
                Printable(&certificate.principals.join(","))
            )?;
            if certificate.ends_soon {
                let left = in_words(certificate.seconds_left);
                writeln!(f, "  warning: the host certificate expires in {left}")?;
                writeln!(f, "  hint: {}", fleet::renewing(&self.name))?;
            }
        }
        if let Some(problem) = &self.problem {
            writeln!(f, "  problem: {problem}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "  hint: {hint}")?;
        }
        for asked in &self.user_authorities {
            let keys = user.map_or(&[][..], |user| &user.keys);
            let key = keys.iter().find(|key| key.fingerprint == asked.fingerprint);
            let name = key.map_or("unknown", |key| key.name);
            let answer = match asked.accepted {
                Some(true) => "accepted",
                Some(false) => "not accepted",
                None => "cannot tell, the host takes any certificate",
            };
            writeln!(f, "  user CA, {name} key: {answer} for {}", self.login)?;
        }
        if let Some(error) = &self.error {
            writeln!(f, "  error: {error}")?;
        }
        Ok(())
    }
}

/// A span of time, roughly: days, or of less than two days hours.
fn in_words(seconds: u64) -> String {
    match seconds / 3_600 {
        hours @ 48.. => format!("{} days", hours / 24),
        1 => "1 hour".to_owned(),
        0 => "less than an hour".to_owned(),
        hours => format!("{hours} hours"),
    }
}
