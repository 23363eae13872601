//! The keys of `roles` and `users`.

use super::{DURATION, DefaultValue, Key, PERMIT_KEYS, ValueType};

/// `roles[].name`.
pub const ROLE_NAME: Key = Key {
    name: "name",
    form: ValueType::Text("a name"),
    default: DefaultValue::Required,
    doc: "What users[].roles calls the role.",
};

/// `roles[].allow`.
pub const ALLOW: Key = Key {
    name: "allow",
    form: ValueType::Sections(RULE_KEYS),
    default: DefaultValue::Nothing,
    doc: "Where the users of the role may go. A rule matches if everything that it names does; \
          one rule that matches is enough. A role without this key allows nothing, and what else \
          is in it holds wherever its users go.",
};

/// `roles[].deny`.
pub const DENY: Key = Key {
    name: "deny",
    form: ValueType::Sections(RULE_KEYS),
    default: DefaultValue::Nothing,
    doc: "Where the users of the role may not go, whatever allows it: rules as in allow.",
};

/// `roles[].may_connect_from`.
pub const MAY_CONNECT_FROM: Key = Key {
    name: "may_connect_from",
    form: ValueType::Texts("a network, as in 203.0.113.10/32 or 2001:db8::/64"),
    default: DefaultValue::Nothing,
    doc: "From which addresses clients may come to where the role applies. Without the key, from \
          any.",
};

/// `roles[].max_ttl`.
pub const MAX_TTL: Key = Key {
    name: "max_ttl",
    form: DURATION,
    default: DefaultValue::Nothing,
    doc: "How long user certificates may live: auth sign makes no longer ones for the users of the \
          role, and the proxy takes no longer ones to where it applies. Without the key in any of \
          their roles, auth sign goes by auth_service.max_ttl.",
};

/// `roles[].permit`.
pub const ROLE_PERMIT: Key = Key {
    name: "permit",
    form: ValueType::Section(PERMIT_KEYS),
    default: DefaultValue::Nothing,
    doc: "What a connection may carry to where the role applies: the keys that are given here stand \
          in place of those of the section permit. Where several roles give one, all of them must \
          allow it.",
};

/// `roles[].allow[].logins`.
pub const RULE_LOGINS: Key = Key {
    name: "logins",
    form: ValueType::Texts("the name of an account, which may have \"*\" and \"?\" in it"),
    default: DefaultValue::Nothing,
    doc: "Accounts on the hosts. Upper and lower case differ. Without the key, all that the \
          certificate names.",
};

/// `roles[].allow[].nodes`.
pub const RULE_NODES: Key = Key {
    name: "nodes",
    form: ValueType::Texts("the name of a node, which may have \"*\" and \"?\" in it"),
    default: DefaultValue::Nothing,
    doc: "Names in the inventory; of hosts that are not there, the name or the address that the \
          user asks for. Without the key, all of them.",
};

/// `roles[].allow[].labels`.
pub const RULE_LABELS: Key = Key {
    name: "labels",
    form: ValueType::Labels,
    default: DefaultValue::Nothing,
    doc: "Labels that the node must carry, all of them; values may have \"*\" and \"?\" in them. \
          Hosts that are not in the inventory have none.",
};

/// `users[].name`.
pub const USER_NAME: Key = Key {
    name: "name",
    form: ValueType::Text("the key id of a certificate, which may have \"*\" and \"?\" in it"),
    default: DefaultValue::Required,
    doc: "Whose certificate it is: the key id, as given to auth sign --user. Upper and lower case \
          differ. Whoever is matched more than once has the roles of all matches.",
};

/// `users[].roles`.
pub const USER_ROLES: Key = Key {
    name: "roles",
    form: ValueType::Texts("the name of a role"),
    default: DefaultValue::Required,
    doc: "The roles that these users have.",
};

/// The keys of a rule.
const RULE_KEYS: &[Key] = &[RULE_LOGINS, RULE_NODES, RULE_LABELS];

/// `roles`.
pub const ROLES: Key = Key {
    name: "roles",
    form: ValueType::Sections(&[
        ROLE_NAME,
        ALLOW,
        DENY,
        MAY_CONNECT_FROM,
        MAX_TTL,
        ROLE_PERMIT,
    ]),
    default: DefaultValue::Nothing,
    doc: "Who may go where. Without any roles, everything that a certificate allows is allowed.",
};

/// `users`.
pub const USERS: Key = Key {
    name: "users",
    form: ValueType::Sections(&[USER_NAME, USER_ROLES]),
    default: DefaultValue::Nothing,
    doc: "Who has which roles. Where there are roles, whoever has none may go nowhere.",
};
