//! `auth_service.ca_keys`: which agents have the CAs' keys.

use ssh_key::{Fingerprint, HashAlg};

use crate::ca::{AgentSocket, CaKeys, KeyInAgent, KeysInAgents};

use super::diagnostic::Diagnostics;
use super::keys;
use super::resolve::expected;
use super::section::Section;

/// Reads the section; what is wrong is noted.
pub(super) fn ca_keys(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> CaKeys {
    let mut of = |key| {
        let section = section.section(key, findings);
        KeysInAgents {
            current: key_in_agent(&section, findings),
            next: key_in_agent(&section.section(&keys::CA_NEXT, findings), findings),
        }
    };
    CaKeys {
        user: of(&keys::CA_USER),
        host: of(&keys::CA_HOST),
    }
}

/// An agent and one of its keys: both or neither. What is wrong is noted.
fn key_in_agent(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Option<KeyInAgent> {
    let agent = section.value(&keys::CA_AGENT, agent_socket, findings);
    let key = section.value(&keys::CA_KEY, fingerprint, findings);
    for (given, missing) in [
        (&keys::CA_AGENT, &keys::CA_KEY),
        (&keys::CA_KEY, &keys::CA_AGENT),
    ] {
        if let (Some(place), None) = (section.place_of(given), section.place_of(missing)) {
            let (given, path) = (given.name, section.path_to(missing.name));
            let expected = missing.form.expected();
            let message = format!("missing beside {given}, expected {expected}");
            findings.error(Some(place), &path, message);
        }
    }
    Some(KeyInAgent {
        agent: agent?.value,
        key: key?.value,
    })
}

fn agent_socket(text: &str) -> Result<AgentSocket, String> {
    AgentSocket::parse(text).ok_or_else(|| expected(&keys::CA_AGENT, text))
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    let parsed = text.parse::<Fingerprint>().ok();
    let sha256 = parsed.filter(|fingerprint| fingerprint.algorithm() == HashAlg::Sha256);
    sha256.ok_or_else(|| expected(&keys::CA_KEY, text))
}
