//! The keys of `auth_service.ca_keys`.

use super::{DefaultValue, Key, ValueType};

/// `auth_service.ca_keys.user.agent` and the like.
pub const CA_AGENT: Key = Key {
    name: "agent",
    form: ValueType::Text("the absolute path of an agent's socket, or SSH_AUTH_SOCK"),
    default: DefaultValue::Nothing,
    doc: "The agent that has the key. SSH_AUTH_SOCK is the agent of whoever runs the command.",
};

/// `auth_service.ca_keys.user.key` and the like.
pub const CA_KEY: Key = Key {
    name: "key",
    form: ValueType::Text(
        "the SHA-256 fingerprint of a key, as `ssh-add -l` prints it: SHA256:...",
    ),
    default: DefaultValue::Nothing,
    doc: "Which of the agent's keys it is. Nothing else is ever accepted from the agent.",
};

/// `auth_service.ca_keys.user.next` and the like.
pub const CA_NEXT: Key = Key {
    name: "next",
    form: ValueType::Section(&[CA_AGENT, CA_KEY]),
    default: DefaultValue::Nothing,
    doc: "The key that the next rotation brings.",
};

/// `auth_service.ca_keys.user`.
pub const CA_USER: Key = Key {
    name: "user",
    form: CA_KEY_PLACES,
    default: DefaultValue::Nothing,
    doc: "The key of the user CA. Without agent and key, it is a file in data_dir.",
};

/// `auth_service.ca_keys.host`.
pub const CA_HOST: Key = Key {
    name: "host",
    form: CA_KEY_PLACES,
    default: DefaultValue::Nothing,
    doc: "The key of the host CA, as above. Clients wait for it, so it should sign without \
          asking anybody.",
};

/// Where the keys of one CA are.
const CA_KEY_PLACES: ValueType = ValueType::Section(&[CA_AGENT, CA_KEY, CA_NEXT]);

/// `auth_service.ca_keys`.
pub const CA_KEYS: Key = Key {
    name: "ca_keys",
    form: ValueType::Section(&[CA_USER, CA_HOST]),
    default: DefaultValue::Nothing,
    doc: "The CA keys that are in agents, and so perhaps in tokens or on other machines. \
          The proxy has their public halves only.",
};
