//! The section `permit`, of the file and of roles: what a connection may carry.

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::scalar::COUNT;
use super::section::{Section, quoted};
use super::value::{count, expected, switch, switch_word, yaml_text};
use crate::access::{
    DEFAULT_ACCEPT_ENV, Direction, EndpointPattern, EndpointPatterns, NamePattern, NamePatterns,
    PatternError, Permissions, PermitKey,
};

/// `permit.port_forwarding`.
pub(super) const PORT_FORWARDING: Key = Key {
    name: "port_forwarding",
    form: DIRECTION,
    default: DefaultValue::Value("yes"),
    doc: "Which TCP forwardings are allowed, as sshd's AllowTcpForwarding: all, none, those from \
          the user's side (-L, -D, -W), those from the host's side (-R).",
};

/// `permit.permit_open`.
pub(super) const PERMIT_OPEN: Key = Key {
    name: "permit_open",
    form: ValueType::Texts("HOST:PORT, where either may be \"*\", or \"any\" or \"none\" alone"),
    default: DefaultValue::Values(&["any"]),
    doc: "Where forwardings from the user's side may lead, as sshd's PermitOpen. Names are compared \
          as they are written, not looked up.",
};

/// `permit.permit_listen`.
pub(super) const PERMIT_LISTEN: Key = Key {
    name: "permit_listen",
    form: ValueType::Texts(
        "PORT or HOST:PORT, where either may be \"*\", or \"any\" or \"none\" alone",
    ),
    default: DefaultValue::Values(&["any"]),
    doc: "Where forwardings from the host's side may listen, as sshd's PermitListen. HOST is what the \
          client asks for, which is localhost if the user names none; it may have \"*\" and \"?\" in it.",
};

/// `permit.x11`.
pub(super) const X11: Key = Key {
    name: "x11",
    form: ValueType::Switch,
    default: DefaultValue::Value("no"),
    doc: "Whether X11 is forwarded, as sshd's X11Forwarding.",
};

/// `permit.agent`.
pub(super) const AGENT: Key = Key {
    name: "agent",
    form: ValueType::Switch,
    default: DefaultValue::Value("yes"),
    doc: "Whether the user's agent is forwarded on to the host if the user asks for it, as \
          sshd's AllowAgentForwarding.",
};

/// `permit.streamlocal`.
pub(super) const STREAMLOCAL: Key = Key {
    name: "streamlocal",
    form: DIRECTION,
    default: DefaultValue::Value("yes"),
    doc: "Which Unix socket forwardings are allowed, as sshd's AllowStreamLocalForwarding.",
};

/// `permit.nested_ssh`.
pub(super) const NESTED_SSH: Key = Key {
    name: "nested_ssh",
    form: ValueType::Choice(&["deny", "allow"]),
    default: DefaultValue::Value("deny"),
    doc: "What becomes of SSH inside a forwarded stream or inside a session, as with ProxyCommand \
          \"ssh HOST nc ...\". \"deny\": a forward is closed as soon as a line begins SSH; behind something \
          else, as CONNECT or SOCKS, and in a session, it ends where a key exchange begins in the first \
          MiB of either direction, for nobody can read its recording. \"allow\": it is recorded as it is, \
          encrypted.",
};

/// `permit.accept_env`.
pub(super) const ACCEPT_ENV: Key = Key {
    name: "accept_env",
    form: ValueType::Texts("the name of a variable, which may have \"*\" and \"?\" in it"),
    default: DefaultValue::Values(&DEFAULT_ACCEPT_ENV),
    doc: "Which environment variables pass to the host, as sshd's AcceptEnv. The host's own \
          AcceptEnv still has its say.",
};

/// `permit.max_sessions`.
pub(super) const MAX_SESSIONS: Key = Key {
    name: "max_sessions",
    form: COUNT.form,
    default: DefaultValue::Value("10"),
    doc: "Most sessions at a time over one connection, as sshd's MaxSessions.",
};

/// The keys of `permit`, here and in roles, in the order of [`PermitKey::ALL`].
pub(super) const PERMIT_KEYS: &[Key] = &[
    PORT_FORWARDING,
    PERMIT_OPEN,
    PERMIT_LISTEN,
    X11,
    AGENT,
    STREAMLOCAL,
    NESTED_SSH,
    ACCEPT_ENV,
    MAX_SESSIONS,
];

/// The key of the file that a permit is.
#[must_use]
pub const fn of_permit(key: PermitKey) -> &'static Key {
    match key {
        PermitKey::PortForwarding => &PORT_FORWARDING,
        PermitKey::PermitOpen => &PERMIT_OPEN,
        PermitKey::PermitListen => &PERMIT_LISTEN,
        PermitKey::X11 => &X11,
        PermitKey::Agent => &AGENT,
        PermitKey::Streamlocal => &STREAMLOCAL,
        PermitKey::NestedSsh => &NESTED_SSH,
        PermitKey::AcceptEnv => &ACCEPT_ENV,
        PermitKey::MaxSessions => &MAX_SESSIONS,
    }
}

/// `permit`.
pub const PERMIT: Key = Key {
    name: "permit",
    form: ValueType::Section(PERMIT_KEYS),
    default: DefaultValue::Nothing,
    doc: "What a connection may carry. The defaults are sshd's; of the environment, language, \
          terminal and the version of git's protocol pass.",
};

/// Which way something may go.
const DIRECTION: ValueType = ValueType::Choice(&["yes", "no", "local", "remote"]);

/// Reads the section. `None` only where an error was noted.
pub(super) fn permit(
    section: &Section<'_>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Permissions> {
    let mut direction = |key| section.value(key, |text| direction(key, text), diagnostics);
    let port_forwarding = direction(&PORT_FORWARDING);
    let streamlocal = direction(&STREAMLOCAL);
    let permit_open = endpoints(section, &PERMIT_OPEN, EndpointPattern::open, diagnostics);
    let listen = EndpointPattern::listen;
    let permit_listen = endpoints(section, &PERMIT_LISTEN, listen, diagnostics);
    let x11 = section.value(&X11, switch, diagnostics);
    let agent = section.value(&AGENT, switch, diagnostics);
    let nested_ssh = section.value(&NESTED_SSH, nested_ssh, diagnostics);
    let what = "the name of a variable";
    let accept_env = section.texts(&ACCEPT_ENV, what, variable, diagnostics);
    let sessions = &MAX_SESSIONS;
    let max_sessions = section.value(sessions, |text| count(sessions, text), diagnostics);
    let nested_ssh = nested_ssh?;
    if nested_ssh.value {
        let path = section.path_to(NESTED_SSH.name);
        let message = "the recordings of forwarded SSH connections cannot be read by anybody";
        diagnostics.warning(nested_ssh.place, &path, message);
    }
    for wildcard in accept_env.iter().filter(|name| name.value.as_str() == "*") {
        let path = section.path_to(ACCEPT_ENV.name);
        let message = "every variable passes, those that change what programs do included";
        diagnostics.warning(wildcard.place, &path, message);
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
    key: &Key,
    parse: impl Fn(&str) -> Result<EndpointPattern, PatternError>,
    diagnostics: &mut Diagnostics<'_>,
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
    let words = section.texts(key, key.form.item(), check, diagnostics);
    let texts = words.iter().map(|word| word.value.as_str());
    match EndpointPatterns::from_words(texts, &parse) {
        Ok(patterns) => Some(patterns),
        Err(error) => {
            let place = words.first().and_then(|word| word.place);
            diagnostics.error(place, &section.path_to(key.name), error.to_string());
            None
        }
    }
}

fn variable(text: &str) -> Result<NamePattern, String> {
    text.parse().map_err(|_error: PatternError| {
        let what = ACCEPT_ENV.form.item();
        format!("expected {what}, found {}", quoted(text))
    })
}

/// sshd's words, where `all` is `yes`.
fn direction(key: &Key, text: &str) -> Result<Direction, String> {
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
        _ => Err(expected(&NESTED_SSH, text)),
    }
}

/// The keys of `permit` with the values that say this.
#[must_use]
pub fn permit_values(permit: &Permissions) -> [(PermitKey, String); 9] {
    PermitKey::ALL.map(|key| (key, permit_value(permit, key)))
}

/// The value of one key of `permit`.
pub(super) fn permit_value(permit: &Permissions, key: PermitKey) -> String {
    let list = |words: Vec<String>| {
        let words: Vec<String> = words.iter().map(|word| yaml_text(word)).collect();
        format!("[{}]", words.join(", "))
    };
    let endpoints = |patterns: &EndpointPatterns| list(patterns.words());
    let names = |names: &[NamePattern]| {
        let names = names.iter().map(|name| name.as_str().to_owned());
        list(names.collect())
    };
    match key {
        PermitKey::PortForwarding => direction_word(permit.port_forwarding).to_owned(),
        PermitKey::PermitOpen => endpoints(&permit.permit_open),
        PermitKey::PermitListen => endpoints(&permit.permit_listen),
        PermitKey::X11 => switch_word(permit.x11).to_owned(),
        PermitKey::Agent => switch_word(permit.agent).to_owned(),
        PermitKey::Streamlocal => direction_word(permit.streamlocal).to_owned(),
        PermitKey::NestedSsh if permit.nested_ssh => "allow".to_owned(),
        PermitKey::NestedSsh => "deny".to_owned(),
        PermitKey::AcceptEnv => {
            // Several lists only where several roles have one.
            let lists: Vec<String> = permit.accept_env.lists().map(names).collect();
            lists.join(" and ")
        }
        PermitKey::MaxSessions => permit.max_sessions.to_string(),
    }
}

pub(super) fn print_permit(permit: &Permissions) -> Vec<String> {
    let values = permit_values(permit)
        .into_iter()
        .map(|(key, value)| format!("  {}: {value}", of_permit(key).name));
    std::iter::once(format!("{}:", PERMIT.name))
        .chain(values)
        .collect()
}

fn direction_word(value: Direction) -> &'static str {
    match value {
        Direction::Both => "yes",
        Direction::Neither => "no",
        Direction::Local => "local",
        Direction::Remote => "remote",
    }
}
