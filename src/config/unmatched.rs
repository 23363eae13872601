//! Warns of rules with names that do not exist: usually a typing error, and dangerous if the rule
//! denies.

use crate::access::Rule;
use crate::nodes::Node;

use super::diagnostic::Diagnostics;
use super::rule::{RULE_LABELS, RULE_NODES};
use super::section::{Section, quoted};
use super::wanted_node::WantedNode;

/// Warns of node names and labels that no node of the configuration has.
pub(super) fn warn(
    section: &Section<'_>,
    rule: &Rule,
    nodes: &[Node],
    diagnostics: &mut Diagnostics<'_>,
) {
    let so_far = diagnostics.warnings();
    // Without an inventory, all names are those of DNS.
    if !nodes.is_empty() {
        names(section, rule, nodes, diagnostics);
    }
    let path = section.path_to(RULE_LABELS.name);
    let place = section.place_of(&RULE_LABELS);
    for wanted in &rule.labels {
        let wanted_node = WantedNode {
            names: None,
            labels: vec![wanted.clone()],
        };
        if !nodes.iter().any(|node| wanted_node.is_had_by(node)) {
            let label = quoted(&format!("{}={}", wanted.key, wanted.value));
            let message = format!("no node of the configuration has a label {label}");
            diagnostics.unmatched(place, &path, message, wanted_node);
        }
    }
    if diagnostics.warnings() == so_far && !rule.labels.is_empty() {
        let wanted_node = WantedNode {
            names: rule.nodes.clone(),
            labels: rule.labels.clone(),
        };
        if !nodes.iter().any(|node| wanted_node.is_had_by(node)) {
            let message = "no node of the configuration has all that this rule names".to_owned();
            diagnostics.unmatched(section.place(), section.path(), message, wanted_node);
        }
    }
}

fn names(section: &Section<'_>, rule: &Rule, nodes: &[Node], diagnostics: &mut Diagnostics<'_>) {
    let key = &RULE_NODES;
    let places = section.places(key).into_iter();
    for (pattern, place) in rule.nodes.iter().flatten().zip(places) {
        let wanted_node = WantedNode {
            names: Some(vec![pattern.clone()]),
            labels: Vec::new(),
        };
        if !nodes.iter().any(|node| wanted_node.is_had_by(node)) {
            let message = format!(
                "no node of the configuration is called {}: this is about other hosts alone",
                quoted(&pattern.to_string())
            );
            diagnostics.unmatched(
                Some(place),
                &section.path_to(key.name),
                message,
                wanted_node,
            );
        }
    }
}
