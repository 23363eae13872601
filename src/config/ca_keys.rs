//! `auth_service.ca_keys`: which agents hold the CAs' keys.

use ssh_key::{Fingerprint, HashAlg};

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::scalar::{Composite, NONE};
use super::section::Section;
use super::value::{expected, yaml_text};
use crate::ca::{AgentSocket, CaKeys, KeyInAgent, KeysInAgents};

/// `auth_service.ca_keys.user.agent` and the like.
pub(super) const CA_AGENT: Key = Key {
    name: "agent",
    form: ValueType::Text("the absolute path of an agent's socket, or SSH_AUTH_SOCK"),
    default: DefaultValue::Nothing,
    doc: "The agent that has the key. SSH_AUTH_SOCK is the agent of whoever runs the command.",
};

/// `auth_service.ca_keys.user.key` and the like.
pub(super) const CA_KEY: Key = Key {
    name: "key",
    form: ValueType::Text(
        "the SHA-256 fingerprint of a key, as `ssh-add -l` prints it: SHA256:...",
    ),
    default: DefaultValue::Nothing,
    doc: "Which of the agent's keys it is. Nothing else is ever accepted from the agent.",
};

/// `auth_service.ca_keys.user.next` and the like.
pub(super) const CA_NEXT: Key = Key {
    name: "next",
    form: ValueType::Section(&[CA_AGENT, CA_KEY]),
    default: DefaultValue::Nothing,
    doc: "The key that the next rotation brings.",
};

/// `auth_service.ca_keys.user`.
pub(super) const CA_USER: Key = Key {
    name: "user",
    form: CA_KEY_PLACES,
    default: DefaultValue::Nothing,
    doc: "The key of the user CA. Without agent and key, it is a file in data_dir.",
};

/// `auth_service.ca_keys.host`.
pub(super) const CA_HOST: Key = Key {
    name: "host",
    form: CA_KEY_PLACES,
    default: DefaultValue::Nothing,
    doc: "The key of the host CA, as above. Clients wait for it, so it should sign without \
          asking anybody.",
};

/// Where the keys of one CA are.
const CA_KEY_PLACES: ValueType = ValueType::Section(&[CA_AGENT, CA_KEY, CA_NEXT]);

/// The keys of both CAs that are in agents; those that are not named are files.
pub(super) const KEYS_IN_AGENTS: Composite<CaKeys> = Composite {
    form: ValueType::Section(&[CA_USER, CA_HOST]),
    read: |section, key, diagnostics| {
        let section = section.section(key, diagnostics);
        Some(read(&section, diagnostics))
    },
    print,
    // An audit event names the keys of the CAs elsewhere: where they are protects nothing.
    show: |_| NONE.to_owned(),
};

/// Reads the section; what is wrong is noted.
fn read(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> CaKeys {
    let mut of = |key| {
        let section = section.section(key, diagnostics);
        KeysInAgents {
            current: key_in_agent(&section, diagnostics),
            next: key_in_agent(&section.section(&CA_NEXT, diagnostics), diagnostics),
        }
    };
    CaKeys {
        user: of(&CA_USER),
        host: of(&CA_HOST),
    }
}

/// An agent and one of its keys: both or neither. What is wrong is noted.
fn key_in_agent(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<KeyInAgent> {
    let agent = section.value(&CA_AGENT, agent_socket, diagnostics);
    let key = section.value(&CA_KEY, fingerprint, diagnostics);
    for (given, missing) in [(&CA_AGENT, &CA_KEY), (&CA_KEY, &CA_AGENT)] {
        if let (Some(place), None) = (section.place_of(given), section.place_of(missing)) {
            let (given, path) = (given.name, section.path_to(missing.name));
            let expected = missing.form.expected();
            let message = format!("missing beside {given}, expected {expected}");
            diagnostics.error(Some(place), &path, message);
        }
    }
    Some(KeyInAgent {
        agent: agent?.value,
        key: key?.value,
    })
}

fn agent_socket(text: &str) -> Result<AgentSocket, String> {
    AgentSocket::parse(text).ok_or_else(|| expected(&CA_AGENT, text))
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    let parsed = text.parse::<Fingerprint>().ok();
    let sha256 = parsed.filter(|fingerprint| fingerprint.algorithm() == HashAlg::Sha256);
    sha256.ok_or_else(|| expected(&CA_KEY, text))
}

/// The keys that are in agents; nothing where all are files.
fn print(key: &Key, keys: &CaKeys) -> Vec<String> {
    let pair = |key: &KeyInAgent| {
        let (agent, key) = (key.agent.to_string(), key.key.to_string());
        format!("agent: {}, key: {}", yaml_text(&agent), yaml_text(&key))
    };
    let mut lines = Vec::new();
    for (name, keys) in [("user", &keys.user), ("host", &keys.host)] {
        let current = keys.current.as_ref().map(pair);
        let next = keys
            .next
            .as_ref()
            .map(|next| format!("next: {{ {} }}", pair(next)));
        let given: Vec<_> = current.into_iter().chain(next).collect();
        if !given.is_empty() {
            lines.push(format!("  {name}: {{ {} }}", given.join(", ")));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, format!("{}:", key.name));
    }
    lines
}
