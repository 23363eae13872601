//! Which hosts are open to a person: what a person may see of the inventory.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Node, place};
use crate::access::{Policy, PolicySubject, logins_at};

/// A host that a person may log in to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHost {
    /// The name that users ask for.
    pub host: String,
    /// The logins, or patterns of the policy where the person has no list of logins.
    pub logins: Vec<String>,
    /// The labels.
    pub labels: BTreeMap<String, String>,
}

impl OpenHost {
    /// A node, if the person at the address `from` may log in there now. Nothing tells a person of others.
    #[must_use]
    pub fn of(node: &Node, policy: &Policy, who: &PolicySubject<'_>, from: IpAddr) -> Option<Self> {
        let logins = logins_at(policy, who, &place(node), from);
        let labels = node.labels.iter();
        (!logins.is_empty()).then(|| Self {
            host: node.name.clone(),
            logins,
            labels: labels
                .map(|label| (label.key.clone(), label.value.clone()))
                .collect(),
        })
    }
}
