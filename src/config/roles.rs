//! The section `roles`: where the users of a role may go.

use std::sync::Arc;
use std::time::Duration;

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::permit::{PERMIT_KEYS, of_permit, permit, permit_values};
use super::rule::{RULE_KEYS, rule, rule_text};
use super::scalar::{DURATION, NETWORK};
use super::section::{Section, UniqueNames, quoted};
use super::unmatched;
use super::value::{duration, expected, network, yaml_text};
use crate::access::{JoinMode, PermitKey, Role, RolePermit, Rule, Spanned};
use crate::cert::SourceAddresses;
use crate::model::format_duration;
use crate::model::text::is_printable;
use crate::nodes::Node;

/// `roles[].name`.
pub(super) const ROLE_NAME: Key = Key {
    name: "name",
    form: ValueType::Text("a name"),
    default: DefaultValue::Required,
    doc: "What users[].roles calls the role.",
};

/// `roles[].allow`.
pub(super) const ALLOW: Key = Key {
    name: "allow",
    form: ValueType::Sections(RULE_KEYS),
    default: DefaultValue::Nothing,
    doc: "Where the users of the role may go. A rule matches if everything that it names does; \
          one rule that matches is enough. A role without this key allows nothing, and what else \
          is in it holds wherever its users go.",
};

/// `roles[].deny`.
pub(super) const DENY: Key = Key {
    name: "deny",
    form: ValueType::Sections(RULE_KEYS),
    default: DefaultValue::Nothing,
    doc: "Where the users of the role may not go, whatever allows it: rules as in allow.",
};

/// `roles[].may_connect_from`.
pub const MAY_CONNECT_FROM: Key = Key {
    name: "may_connect_from",
    form: NETWORK.list().form,
    default: DefaultValue::Nothing,
    doc: "From which addresses clients may come to where the role applies. Without the key, from \
          any.",
};

/// `roles[].max_ttl`.
pub const MAX_TTL: Key = Key {
    name: "max_ttl",
    form: DURATION.form,
    default: DefaultValue::Nothing,
    doc: "How long user certificates may live: auth sign makes no longer ones for the users of the \
          role, and the proxy takes no longer ones to where it applies. Without the key in any of \
          their roles, auth sign goes by auth_service.max_ttl.",
};

/// `roles[].join`.
pub const JOIN: Key = Key {
    name: "join",
    form: ValueType::Choice(JoinMode::WORDS),
    default: DefaultValue::Nothing,
    doc: "Whether the users of the role may join the live sessions of others, at the hosts and under \
          the logins that the role allows: \"observe\" to see them, \"type\" to type into them, too. \
          What keeps them from logging in there keeps them from joining. Without the key, they may \
          not join.",
};

/// `roles[].permit`.
pub(super) const ROLE_PERMIT: Key = Key {
    name: "permit",
    form: ValueType::Section(PERMIT_KEYS),
    default: DefaultValue::Nothing,
    doc: "What a connection may carry to where the role applies: the keys that are given here stand \
          in place of those of the section permit. Where several roles give one, all of them must \
          allow it.",
};

/// `roles`.
pub const ROLES: Key = Key {
    name: "roles",
    form: ValueType::Sections(&[
        ROLE_NAME,
        ALLOW,
        DENY,
        MAY_CONNECT_FROM,
        MAX_TTL,
        JOIN,
        ROLE_PERMIT,
    ]),
    default: DefaultValue::Nothing,
    doc: "Who may go where. Without any roles, everything that a certificate allows is allowed.",
};

/// Reads `roles`. What they name of these nodes should be there.
pub(super) fn roles(
    sections: Vec<Section<'_>>,
    nodes: &[Node],
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<Arc<Role>> {
    let mut seen = UniqueNames::default();
    let mut roles = Vec::new();
    for section in sections {
        let name = section.value(&ROLE_NAME, plain_name, diagnostics);
        if section.line_of(&JOIN).is_some() && section.line_of(&ALLOW).is_none() {
            let message = "the role allows no hosts, so there are no sessions to join";
            diagnostics.warning(
                section.place_of(&JOIN),
                &section.path_to(JOIN.name),
                message,
            );
        }
        let role = Role {
            name: name
                .as_ref()
                .map_or_else(String::new, |name| name.value.clone()),
            line: section.place().map_or(0, |place| place.line),
            allow: rules(&section, &ALLOW, nodes, diagnostics),
            deny: rules(&section, &DENY, nodes, diagnostics).unwrap_or_default(),
            may_connect_from: may_connect_from(&section, diagnostics),
            max_ttl: max_ttl(&section, diagnostics),
            join: join(&section, diagnostics),
            permit: role_permit(&section, diagnostics),
        };
        if name.is_some_and(|name| seen.is_new(name, &section, &ROLE_NAME, diagnostics)) {
            roles.push(Arc::new(role));
        }
    }
    roles
}

/// `None` without the key.
fn rules(
    section: &Section<'_>,
    key: &Key,
    nodes: &[Node],
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<Rule>> {
    if section.is_empty(key, diagnostics) {
        return None;
    }
    section.line_of(key)?;
    let sections = section.sections(key, diagnostics);
    Some(
        sections
            .iter()
            .map(|section| {
                let rule = rule(section, diagnostics);
                unmatched::warn(section, &rule, nodes, diagnostics);
                rule
            })
            .collect(),
    )
}

fn may_connect_from(
    section: &Section<'_>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Spanned<SourceAddresses>> {
    let key = &MAY_CONNECT_FROM;
    section.is_empty(key, diagnostics);
    let networks = section.texts(key, key.form.item(), network, diagnostics);
    let networks: Vec<_> = networks.into_iter().map(|network| network.value).collect();
    Some(Spanned {
        value: networks.join(",").parse().ok()?,
        line: section.line_of(key)?,
    })
}

fn max_ttl(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Spanned<Duration>> {
    let key = &MAX_TTL;
    let span = section.value(key, |text| duration(key, text, 1), diagnostics)?;
    Some(Spanned {
        value: span.value,
        line: section.line_of(key)?,
    })
}

fn join(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Spanned<JoinMode>> {
    let key = &JOIN;
    let mode = |text: &str| JoinMode::of_word(text).ok_or_else(|| expected(key, text));
    Some(Spanned {
        value: section.value(key, mode, diagnostics)?.value,
        line: section.line_of(key)?,
    })
}

fn role_permit(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> RolePermit {
    let section = section.section(&ROLE_PERMIT, diagnostics);
    let values = permit(&section, diagnostics).unwrap_or_default();
    let lines = PermitKey::ALL
        .into_iter()
        .filter_map(|key| Some((key, section.line_of(of_permit(key))?)))
        .collect();
    RolePermit { values, lines }
}

fn plain_name(text: &str) -> Result<String, String> {
    if text.is_empty() || !is_printable(text) {
        return Err(format!("expected a name, found {}", quoted(text)));
    }
    Ok(text.to_owned())
}

pub(super) fn print_role(role: &Role) -> Vec<String> {
    let mut lines = vec![format!("  - name: {}", yaml_text(&role.name))];
    for (key, rules) in [
        (&ALLOW, role.allow.as_deref()),
        (&DENY, Some(role.deny.as_slice())),
    ] {
        let Some(rules) = rules.filter(|rules| !rules.is_empty()) else {
            continue;
        };
        lines.push(format!("    {}:", key.name));
        lines.extend(
            rules
                .iter()
                .map(|rule| format!("      - {}", rule_text(rule))),
        );
    }
    if let Some(networks) = &role.may_connect_from {
        let networks = networks.value.to_string();
        let networks: Vec<String> = networks.split(',').map(yaml_text).collect();
        let name = MAY_CONNECT_FROM.name;
        lines.push(format!("    {name}: [{}]", networks.join(", ")));
    }
    if let Some(span) = role.max_ttl {
        let name = MAX_TTL.name;
        lines.push(format!("    {name}: {}", format_duration(span.value)));
    }
    if let Some(join) = role.join {
        lines.push(format!("    {}: {}", JOIN.name, join.value));
    }
    if !role.permit.lines.is_empty() {
        lines.push(format!("    {}:", ROLE_PERMIT.name));
        for (key, value) in permit_values(&role.permit.values) {
            if role.permit.lines.contains_key(&key) {
                lines.push(format!("      {}: {value}", of_permit(key).name));
            }
        }
    }
    lines
}
