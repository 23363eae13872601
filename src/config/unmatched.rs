//! Warns of rules with names that do not exist: usually a typing error, and dangerous if the rule
//! denies.

use crate::access::Rule;
use crate::model::Label;
use crate::nodes::Node;

use super::diagnostic::Diagnostics;
use super::rule::{RULE_LABELS, RULE_NODES};
use super::section::{Section, quoted};

/// Warns of node names and labels that no node of the inventory has.
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
        if !nodes.iter().any(|node| wanted.is_among(&node.labels)) {
            let label = quoted(&format!("{}={}", wanted.key, wanted.value));
            diagnostics.warning(place, &path, format!("no node has a label {label}"));
        }
    }
    if diagnostics.warnings() == so_far && !rule.labels.is_empty() {
        let names = rule.nodes.as_deref();
        let is_meant = |node: &Node| {
            names.is_none_or(|names| names.iter().any(|name| name.matches(&node.name)))
                && carries_all(rule, &node.labels)
        };
        if !nodes.iter().any(is_meant) {
            let message = "no node has all that this rule names";
            diagnostics.warning(section.place(), section.path(), message);
        }
    }
}

fn names(section: &Section<'_>, rule: &Rule, nodes: &[Node], diagnostics: &mut Diagnostics<'_>) {
    let key = &RULE_NODES;
    let places = section.places(key).into_iter();
    for (pattern, place) in rule.nodes.iter().flatten().zip(places) {
        if !nodes.iter().any(|node| pattern.matches(&node.name)) {
            let message = format!(
                "no node is called {}: this is about hosts outside the inventory alone",
                quoted(&pattern.to_string())
            );
            diagnostics.warning(Some(place), &section.path_to(key.name), message);
        }
    }
}

fn carries_all(rule: &Rule, labels: &[Label]) -> bool {
    rule.labels.iter().all(|wanted| wanted.is_among(labels))
}
