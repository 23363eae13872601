//! A rule of a role: the keys of `roles[].allow` and `roles[].deny`.

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::section::{Section, quoted};
use super::value::{label_key, label_value, yaml_text};
use crate::access::{LabelPattern, Pattern, Rule};

/// `roles[].allow[].logins`.
pub(super) const RULE_LOGINS: Key = Key {
    name: "logins",
    form: ValueType::Texts("the name of an account, which may have \"*\" and \"?\" in it"),
    default: DefaultValue::Nothing,
    doc: "Accounts on the hosts. Upper and lower case differ. Without the key, all that the \
          certificate names.",
};

/// `roles[].allow[].nodes`.
pub(super) const RULE_NODES: Key = Key {
    name: "nodes",
    form: ValueType::Texts("the name of a node, which may have \"*\" and \"?\" in it"),
    default: DefaultValue::Nothing,
    doc: "Names in the inventory; of hosts that are not there, the name or the address that the \
          user asks for. Without the key, all of them.",
};

/// `roles[].allow[].labels`.
pub(super) const RULE_LABELS: Key = Key {
    name: "labels",
    form: ValueType::Labels,
    default: DefaultValue::Nothing,
    doc: "Labels that the node must carry, all of them; values may have \"*\" and \"?\" in them. \
          Hosts that are not in the inventory have none.",
};

/// The keys of a rule.
pub(super) const RULE_KEYS: &[Key] = &[RULE_LOGINS, RULE_NODES, RULE_LABELS];

/// Reads a rule.
pub(super) fn rule(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Rule {
    let conditions = [&RULE_LOGINS, &RULE_NODES, &RULE_LABELS];
    let is_empty = conditions
        .map(|key| section.is_empty(key, diagnostics))
        .contains(&true);
    if !is_empty && conditions.iter().all(|key| section.line_of(key).is_none()) {
        let message =
            "names nothing, expected logins, nodes or labels; everything is nodes: [\"*\"]";
        diagnostics.error(section.place(), section.path(), message);
    }
    let labels = section.labels(&RULE_LABELS, label_key, label_pattern, diagnostics);
    Rule {
        line: section.place().map_or(0, |place| place.line),
        logins: patterns(section, &RULE_LOGINS, diagnostics),
        nodes: patterns(section, &RULE_NODES, diagnostics)
            .map(|several| several.into_iter().map(Pattern::folding_case).collect()),
        labels: labels
            .into_iter()
            .filter_map(|(key, value)| {
                let value = pattern(&value)?.folding_case();
                Some(LabelPattern { key, value })
            })
            .collect(),
    }
}

/// `None` without the key.
fn patterns(
    section: &Section<'_>,
    key: &Key,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<Pattern>> {
    section.line_of(key)?;
    let texts = section.texts(key, key.form.item(), pattern_text, diagnostics);
    Some(
        texts
            .iter()
            .filter_map(|text| pattern(&text.value))
            .collect(),
    )
}

/// Checks a pattern and keeps its text: two names of users are the same if their texts are.
pub(super) fn pattern_text(text: &str) -> Result<String, String> {
    match text.parse::<Pattern>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}, found {}", quoted(text))),
    }
}

fn label_pattern(text: &str) -> Result<String, String> {
    label_value(text).and_then(|text| pattern_text(&text))
}

pub(super) fn pattern(text: &str) -> Option<Pattern> {
    text.parse().ok()
}

/// The conditions of a rule, as the file has them.
pub(super) fn rule_text(rule: &Rule) -> String {
    let list = |patterns: &[Pattern]| {
        let words: Vec<String> = patterns
            .iter()
            .map(|one| yaml_text(&one.to_string()))
            .collect();
        words.join(", ")
    };
    let mut conditions = Vec::new();
    for (key, patterns) in [(&RULE_LOGINS, &rule.logins), (&RULE_NODES, &rule.nodes)] {
        let shown = patterns.as_deref().map(list);
        conditions.extend(shown.map(|shown| format!("{}: [{shown}]", key.name)));
    }
    if !rule.labels.is_empty() {
        let pair = |label: &LabelPattern| {
            format!(
                "{}: {}",
                yaml_text(&label.key),
                yaml_text(&label.value.to_string())
            )
        };
        let labels: Vec<String> = rule.labels.iter().map(pair).collect();
        conditions.push(format!("{}: {{ {} }}", RULE_LABELS.name, labels.join(", ")));
    }
    format!("{{ {} }}", conditions.join(", "))
}
