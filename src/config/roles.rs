//! The sections `roles` and `users`: who may go where.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{
    LabelPattern, Pattern, PermitKey, Role, RoleBinding, RolePermit, Rule, Spanned,
};
use crate::cert::SourceAddresses;
use crate::model::text::is_printable;
use crate::nodes::Node;

use super::diagnostic::Diagnostics;
use super::keys::{self, Key};
use super::permit::permit;
use super::resolve::{duration, label_key, label_value, network};
use super::section::{Located, Section, quoted};
use super::unmatched;

/// Reads `roles`. What they name of these nodes should be there.
pub(super) fn roles(
    sections: Vec<Section<'_>>,
    nodes: &[Node],
    findings: &mut Diagnostics<'_>,
) -> Vec<Arc<Role>> {
    let mut seen = UniqueNames::default();
    let mut roles = Vec::new();
    for section in sections {
        let name = section.value(&keys::ROLE_NAME, plain_name, findings);
        let role = Role {
            name: name
                .as_ref()
                .map_or_else(String::new, |name| name.value.clone()),
            line: section.place().map_or(0, |place| place.line),
            allow: rules(&section, &keys::ALLOW, nodes, findings),
            deny: rules(&section, &keys::DENY, nodes, findings).unwrap_or_default(),
            may_connect_from: may_connect_from(&section, findings),
            max_ttl: max_ttl(&section, findings),
            permit: role_permit(&section, findings),
        };
        if name.is_some_and(|name| seen.is_new(name, &section, &keys::ROLE_NAME, findings)) {
            roles.push(Arc::new(role));
        }
    }
    roles
}

/// Reads `users`, whose roles must be among these.
pub(super) fn users(
    sections: Vec<Section<'_>>,
    roles: &[Arc<Role>],
    findings: &mut Diagnostics<'_>,
) -> Vec<RoleBinding> {
    let mut seen = UniqueNames::default();
    let mut members = Vec::new();
    for section in sections {
        let name = section.value(&keys::USER_NAME, pattern_text, findings);
        section.is_empty(&keys::USER_ROLES, findings);
        let known = |text: &str| known_role(text, roles);
        let theirs = section.texts(&keys::USER_ROLES, "the name of a role", known, findings);
        let Some(name) = name else { continue };
        let pattern = pattern(&name.value);
        if seen.is_new(name, &section, &keys::USER_NAME, findings) {
            members.extend(pattern.map(|name| RoleBinding {
                name,
                line: section.place().map_or(0, |place| place.line),
                roles: theirs.into_iter().map(|role| role.value).collect(),
            }));
        }
    }
    members
}

/// Names that may stand once only.
#[derive(Default)]
struct UniqueNames(Vec<Located<String>>);

impl UniqueNames {
    fn is_new(
        &mut self,
        name: Located<String>,
        section: &Section<'_>,
        key: &Key,
        findings: &mut Diagnostics<'_>,
    ) -> bool {
        let first = self.0.iter().find(|seen| seen.value == name.value);
        if let Some(line) = first.and_then(|first| Some(first.place?.line)) {
            let message = format!(
                "{} is given twice, first in line {line}",
                quoted(&name.value)
            );
            findings.error(name.place, &section.path_to(key.name), message);
            return false;
        }
        self.0.push(name);
        true
    }
}

fn known_role(text: &str, roles: &[Arc<Role>]) -> Result<Arc<Role>, String> {
    if let Some(role) = roles.iter().find(|role| role.name == text) {
        return Ok(Arc::clone(role));
    }
    let names = || roles.iter().map(|role| role.name.as_str());
    Err(match keys::similar(text, names()) {
        Some(similar) => format!("there is no role {}, did you mean {similar}?", quoted(text)),
        None => format!("there is no role {}", quoted(text)),
    })
}

/// `None` without the key.
fn rules(
    section: &Section<'_>,
    key: &Key,
    nodes: &[Node],
    findings: &mut Diagnostics<'_>,
) -> Option<Vec<Rule>> {
    if section.is_empty(key, findings) {
        return None;
    }
    section.line_of(key)?;
    let sections = section.sections(key, findings);
    Some(
        sections
            .iter()
            .map(|section| {
                let rule = rule(section, findings);
                unmatched::warn(section, &rule, nodes, findings);
                rule
            })
            .collect(),
    )
}

fn rule(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Rule {
    let conditions = [&keys::RULE_LOGINS, &keys::RULE_NODES, &keys::RULE_LABELS];
    let is_empty = conditions
        .map(|key| section.is_empty(key, findings))
        .contains(&true);
    if !is_empty && conditions.iter().all(|key| section.line_of(key).is_none()) {
        let message =
            "names nothing, expected logins, nodes or labels; everything is nodes: [\"*\"]";
        findings.error(section.place(), section.path(), message);
    }
    let labels = section.labels(&keys::RULE_LABELS, label_key, label_pattern, findings);
    Rule {
        line: section.place().map_or(0, |place| place.line),
        logins: patterns(section, &keys::RULE_LOGINS, findings),
        nodes: patterns(section, &keys::RULE_NODES, findings)
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
    findings: &mut Diagnostics<'_>,
) -> Option<Vec<Pattern>> {
    section.line_of(key)?;
    let texts = section.texts(key, key.form.item(), pattern_text, findings);
    Some(
        texts
            .iter()
            .filter_map(|text| pattern(&text.value))
            .collect(),
    )
}

fn may_connect_from(
    section: &Section<'_>,
    findings: &mut Diagnostics<'_>,
) -> Option<Spanned<SourceAddresses>> {
    let key = &keys::MAY_CONNECT_FROM;
    section.is_empty(key, findings);
    let networks = section.texts(key, key.form.item(), network, findings);
    let networks: Vec<_> = networks.into_iter().map(|network| network.value).collect();
    Some(Spanned {
        value: networks.join(",").parse().ok()?,
        line: section.line_of(key)?,
    })
}

fn max_ttl(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Option<Spanned<Duration>> {
    let key = &keys::MAX_TTL;
    let span = section.value(key, |text| duration(key, text, 1), findings)?;
    Some(Spanned {
        value: span.value,
        line: section.line_of(key)?,
    })
}

fn role_permit(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> RolePermit {
    let section = section.section(&keys::ROLE_PERMIT, findings);
    let values = permit(&section, findings).unwrap_or_default();
    let lines = PermitKey::ALL
        .into_iter()
        .filter_map(|key| Some((key, section.line_of(keys::of_permit(key))?)))
        .collect();
    RolePermit { values, lines }
}

fn plain_name(text: &str) -> Result<String, String> {
    if text.is_empty() || !is_printable(text) {
        return Err(format!("expected a name, found {}", quoted(text)));
    }
    Ok(text.to_owned())
}

/// A pattern stays a text until all of its section is read: it is what tells two of them apart.
fn pattern_text(text: &str) -> Result<String, String> {
    match text.parse::<Pattern>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}, found {}", quoted(text))),
    }
}

fn label_pattern(text: &str) -> Result<String, String> {
    label_value(text).and_then(|text| pattern_text(&text))
}

fn pattern(text: &str) -> Option<Pattern> {
    text.parse().ok()
}
