//! The node that a rule is about.

use crate::access::{LabelPattern, Pattern};
use crate::nodes::Node;

/// What a rule names, of which a warning says that no node of the configuration has it. A host that has
/// joined may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedNode {
    /// One of these names; `None` for any.
    pub(super) names: Option<Vec<Pattern>>,
    /// All of these labels.
    pub(super) labels: Vec<LabelPattern>,
}

impl WantedNode {
    /// Whether a node has it.
    pub(super) fn is_had_by(&self, node: &Node) -> bool {
        let is_called = |names: &Vec<Pattern>| names.iter().any(|name| name.matches(&node.name));
        let mut labels = self.labels.iter();
        self.names.as_ref().is_none_or(is_called)
            && labels.all(|wanted| wanted.is_among(&node.labels))
    }
}
