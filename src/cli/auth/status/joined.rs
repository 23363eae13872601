//! How far the nodes that have joined are in a rotation, from what they have reported.

use std::fmt;

use serde::Serialize;
use ssh_key::HashAlg;

use crate::ca::{Authority, CaKind, Lack, Lacking, NodeKeys, RotationPhase, lacking};
use crate::cli::ui::time;
use crate::model::text::Printable;

/// Most nodes that are listed by name for people.
const MAX_LISTED: usize = 20;

/// The nodes that have what the present phase of a rotation brings, and those that do not.
#[derive(Debug, Serialize)]
pub(in crate::cli::auth) struct JoinedStatus {
    /// How many have it.
    ready: usize,
    /// How many there are that are not locked.
    all: usize,
    missing: Vec<MissingNode>,
    /// When the rotation goes on by itself at the latest, if it waits for nodes now.
    waits_until: Option<String>,
}

/// A node that does not have all of it yet.
#[derive(Debug, Serialize)]
struct MissingNode {
    name: String,
    /// `user_key`, `host_key` or `certificate`.
    lacks: &'static str,
    #[serde(skip)]
    lack: Lack,
    online: bool,
    last_seen: String,
}

impl JoinedStatus {
    /// `None` if no rotation is under way, or no host has joined. `now` is in seconds since the epoch.
    pub(in crate::cli::auth) fn of(
        authority: &Authority,
        nodes: &[NodeKeys],
        now: u64,
    ) -> Option<Self> {
        let rotation = authority.rotation();
        let all = nodes.iter().filter(|node| !node.is_locked).count();
        if rotation.phase() == RotationPhase::Standby || all == 0 {
            return None;
        }
        let lacking = lacking_of(authority, nodes);
        let is_held = lacking.iter().any(|node| node.is_online) && rotation.overdue(now).is_some();
        let latest = rotation.latest().filter(|latest| is_held && *latest > now);
        Some(Self {
            ready: all - lacking.len(),
            all,
            missing: lacking.into_iter().map(MissingNode::of).collect(),
            waits_until: latest.map(time),
        })
    }
}

/// The nodes that lack what the present phase of a CA's rotation brings.
pub(in crate::cli::auth) fn lacking_of(authority: &Authority, nodes: &[NodeKeys]) -> Vec<Lacking> {
    let phase = authority.rotation().phase();
    let keys = authority.public_keys();
    let staying = match phase {
        RotationPhase::Rollback => keys.first(),
        _ => keys.last(),
    };
    let staying = staying.map(|key| key.fingerprint(HashAlg::Sha256).to_string());
    lacking(authority.kind(), phase, &staying.unwrap_or_default(), nodes)
}

impl MissingNode {
    fn of(node: Lacking) -> Self {
        Self {
            name: node.name,
            lacks: node.lack.name(),
            lack: node.lack,
            online: node.is_online,
            last_seen: time(node.heard),
        }
    }
}

impl JoinedStatus {
    /// Writes lines that stand below those of the CA.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>, kind: CaKind) -> fmt::Result {
        let Self { ready, all, .. } = self;
        writeln!(
            f,
            "  nodes that have joined: {ready} of {all} have what this phase brings"
        )?;
        for node in self.missing.iter().take(MAX_LISTED) {
            write!(f, "    {} {}", Printable(&node.name), node.lack.sentence())?;
            match node.online {
                true => writeln!(f)?,
                false => writeln!(f, " (offline, last seen {})", node.last_seen)?,
            }
        }
        if self.missing.len() > MAX_LISTED {
            writeln!(f, "    and {} more", self.missing.len() - MAX_LISTED)?;
        }
        if let Some(latest) = &self.waits_until {
            writeln!(
                f,
                "    the rotation of the {kind} CA waits for them until {latest}"
            )?;
        }
        Ok(())
    }
}
