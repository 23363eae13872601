//! The section `users`: the roles of the users.

use std::sync::Arc;

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::rule::{pattern, pattern_text};
use super::section::{Section, UniqueNames, quoted};
use super::spelling;
use super::value::yaml_text;
use crate::access::{Role, RoleBinding};

/// `users[].name`.
pub(super) const USER_NAME: Key = Key {
    name: "name",
    form: ValueType::Text("the key id of a certificate, which may have \"*\" and \"?\" in it"),
    default: DefaultValue::Required,
    doc: "Whose certificate it is: the key id, as given to auth sign --user. Upper and lower case \
          differ. Whoever is matched more than once has the roles of all matches.",
};

/// `users[].roles`.
pub(super) const USER_ROLES: Key = Key {
    name: "roles",
    form: ValueType::Texts("the name of a role"),
    default: DefaultValue::Required,
    doc: "The roles that these users have.",
};

/// `users`.
pub const USERS: Key = Key {
    name: "users",
    form: ValueType::Sections(&[USER_NAME, USER_ROLES]),
    default: DefaultValue::Nothing,
    doc: "Who has which roles. Where there are roles, whoever has none may go nowhere.",
};

/// Reads `users`, whose roles must be among these.
pub(super) fn users(
    sections: Vec<Section<'_>>,
    roles: &[Arc<Role>],
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<RoleBinding> {
    let mut seen = UniqueNames::default();
    let mut members = Vec::new();
    for section in sections {
        let name = section.value(&USER_NAME, pattern_text, diagnostics);
        section.is_empty(&USER_ROLES, diagnostics);
        let known = |text: &str| known_role(text, roles);
        let theirs = section.texts(&USER_ROLES, "the name of a role", known, diagnostics);
        let Some(name) = name else { continue };
        let pattern = pattern(&name.value);
        if seen.is_new(name, &section, &USER_NAME, diagnostics) {
            members.extend(pattern.map(|name| RoleBinding {
                name,
                line: section.place().map_or(0, |place| place.line),
                roles: theirs.into_iter().map(|role| role.value).collect(),
            }));
        }
    }
    members
}

/// The role of this name; the message names a similar one.
pub(super) fn known_role(text: &str, roles: &[Arc<Role>]) -> Result<Arc<Role>, String> {
    if let Some(role) = roles.iter().find(|role| role.name == text) {
        return Ok(Arc::clone(role));
    }
    let names = || roles.iter().map(|role| role.name.as_str());
    Err(match spelling::similar(text, names()) {
        Some(similar) => format!("there is no role {}, did you mean {similar}?", quoted(text)),
        None => format!("there is no role {}", quoted(text)),
    })
}

pub(super) fn print_user(member: &RoleBinding) -> String {
    let roles: Vec<String> = member
        .roles
        .iter()
        .map(|role| yaml_text(&role.name))
        .collect();
    format!(
        "  - {{ name: {}, roles: [{}] }}",
        yaml_text(&member.name.to_string()),
        roles.join(", ")
    )
}
