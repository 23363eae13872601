//! The section `permit`, of the file and of roles: what a connection may carry.

use crate::access::{
    Direction, EndpointPattern, EndpointPatterns, NamePattern, NamePatterns, PatternError,
    Permissions,
};

use super::diagnostic::Diagnostics;
use super::keys;
use super::resolve::{count, expected, switch};
use super::section::{Section, quoted};

/// Reads the section. `None` only where an error was noted.
pub(super) fn permit(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Option<Permissions> {
    let mut direction = |key| section.value(key, |text| direction(key, text), findings);
    let port_forwarding = direction(&keys::PORT_FORWARDING);
    let streamlocal = direction(&keys::STREAMLOCAL);
    let permit_open = endpoints(section, &keys::PERMIT_OPEN, EndpointPattern::open, findings);
    let listen = EndpointPattern::listen;
    let permit_listen = endpoints(section, &keys::PERMIT_LISTEN, listen, findings);
    let x11 = section.value(&keys::X11, switch, findings);
    let agent = section.value(&keys::AGENT, switch, findings);
    let nested_ssh = section.value(&keys::NESTED_SSH, nested_ssh, findings);
    let what = "the name of a variable";
    let accept_env = section.texts(&keys::ACCEPT_ENV, what, variable, findings);
    let sessions = &keys::MAX_SESSIONS;
    let max_sessions = section.value(sessions, |text| count(sessions, text), findings);
    let nested_ssh = nested_ssh?;
    if nested_ssh.value {
        let path = section.path_to(keys::NESTED_SSH.name);
        let message = "the recordings of forwarded SSH connections cannot be read by anybody";
        findings.warning(nested_ssh.place, &path, message);
    }
    for wildcard in accept_env.iter().filter(|name| name.value.as_str() == "*") {
        let path = section.path_to(keys::ACCEPT_ENV.name);
        let message = "every variable passes, those that change what programs do included";
        findings.warning(wildcard.place, &path, message);
    }
    Some(Permissions {
        port_forwarding: port_forwarding?.value,
        permit_open: permit_open?,
        permit_listen: permit_listen?,
        x11: x11?.value,
        agent: agent?.value,
        streamlocal: streamlocal?.value,
        nested_ssh: nested_ssh.value,
        accept_env: NamePatterns::new(accept_env.into_iter().map(|name| name.value).collect()),
        max_sessions: max_sessions?.value,
    })
}

/// A list of endpoints. `None` only where an error was noted.
fn endpoints(
    section: &Section<'_>,
    key: &keys::Key,
    parse: impl Fn(&str) -> Result<EndpointPattern, PatternError>,
    findings: &mut Diagnostics<'_>,
) -> Option<EndpointPatterns> {
    let check = |text: &str| match text {
        "any" | "none" => Ok(text.to_owned()),
        pattern => match parse(pattern) {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err(format!(
                "expected {}, found {}",
                key.form.item(),
                quoted(text)
            )),
        },
    };
    let words = section.texts(key, key.form.item(), check, findings);
    let texts = words.iter().map(|word| word.value.as_str());
    match EndpointPatterns::from_words(texts, &parse) {
        Ok(patterns) => Some(patterns),
        Err(error) => {
            let place = words.first().and_then(|word| word.place);
            findings.error(place, &section.path_to(key.name), error.to_string());
            None
        }
    }
}

fn variable(text: &str) -> Result<NamePattern, String> {
    text.parse().map_err(|_error: PatternError| {
        let what = keys::ACCEPT_ENV.form.item();
        format!("expected {what}, found {}", quoted(text))
    })
}

/// sshd's words, where `all` is `yes`.
fn direction(key: &keys::Key, text: &str) -> Result<Direction, String> {
    match (text, switch(text)) {
        ("local", _) => Ok(Direction::Local),
        ("remote", _) => Ok(Direction::Remote),
        ("all", _) | (_, Ok(true)) => Ok(Direction::Both),
        (_, Ok(false)) => Ok(Direction::Neither),
        (_, Err(_)) => Err(expected(key, text)),
    }
}

fn nested_ssh(text: &str) -> Result<bool, String> {
    match text {
        "deny" => Ok(false),
        "allow" => Ok(true),
        _ => Err(expected(&keys::NESTED_SSH, text)),
    }
}
