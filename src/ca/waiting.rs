//! Which nodes a rotation with a schedule waits for: those that have joined, are online, and have not reported
//! yet that they have what the present phase brings.
//!
//! Nodes that are offline are not waited for, in any case: when such a node is back, its host key is enough to
//! get everything anew, and the successors of the host CA's keys lead it to the proxy.

use ssh_key::HashAlg;

use super::error::CaError;
use super::keystore::{Halves, Keystore};
use super::kind::CaKind;
use super::node_keys::{Lacking, lacking};
use super::rotation::{Rotation, RotationPhase, Which};
use crate::model::chain;
use crate::model::text::Printable;

/// Most nodes that a line of the log names.
const MAX_NAMED: usize = 20;

/// Whether a move that is due may be made now: nothing is missing, or it was waited for long enough. If it
/// is not known what nodes have, they are waited for. What is left behind is said in the log.
pub(super) fn may_move(
    keystore: &Keystore<'_>,
    kind: CaKind,
    rotation: &Rotation,
    now: u64,
) -> bool {
    let is_late = rotation.latest().is_none_or(|latest| latest <= now);
    let lacking = match left_behind(keystore, kind, rotation.phase()) {
        Ok(lacking) => lacking,
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(%error, "it is not known which nodes have the new key of the {kind} CA");
            return is_late;
        }
    };
    if !is_late && lacking.iter().any(|node| node.is_online) {
        return false;
    }
    if !lacking.is_empty() {
        let mut names: Vec<_> = lacking.iter().take(MAX_NAMED).map(named).collect();
        if lacking.len() > MAX_NAMED {
            names.push(format!("and {} more", lacking.len() - MAX_NAMED));
        }
        tracing::warn!(
            "the rotation of the {kind} CA goes on, though nodes do not have all that {} brings: {}",
            rotation.phase(),
            names.join(", ")
        );
    }
    true
}

fn named(node: &Lacking) -> String {
    let name = Printable(&node.name);
    match node.is_online {
        true => name.to_string(),
        false => format!("{name} (offline)"),
    }
}

fn left_behind(
    keystore: &Keystore<'_>,
    kind: CaKind,
    phase: RotationPhase,
) -> Result<Vec<Lacking>, CaError> {
    let nodes = keystore.installation().records.nodes.node_keys()?;
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    let new = keystore.read(kind, Which::New, Halves::Public)?;
    let new = new.ok_or_else(|| keystore.new_gone(kind))?;
    let staying = new.public().fingerprint(HashAlg::Sha256).to_string();
    Ok(lacking(kind, phase, &staying, &nodes))
}
