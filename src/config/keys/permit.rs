//! The keys of `permit`, of the file and of roles.

use super::{COUNT, DefaultValue, Key, ValueType};
use crate::access::PermitKey;

/// `permit.port_forwarding`.
pub const PORT_FORWARDING: Key = Key {
    name: "port_forwarding",
    form: DIRECTION,
    default: DefaultValue::Value("yes"),
    doc: "Which TCP forwardings are allowed, as sshd's AllowTcpForwarding: all, none, those from \
          the user's side (-L, -D, -W), those from the host's side (-R).",
};

/// `permit.permit_open`.
pub const PERMIT_OPEN: Key = Key {
    name: "permit_open",
    form: ValueType::Texts("HOST:PORT, where either may be \"*\", or \"any\" or \"none\" alone"),
    default: DefaultValue::Values(&["any"]),
    doc: "Where forwardings from the user's side may lead, as sshd's PermitOpen. Names are compared \
          as they are written, not looked up.",
};

/// `permit.permit_listen`.
pub const PERMIT_LISTEN: Key = Key {
    name: "permit_listen",
    form: ValueType::Texts(
        "PORT or HOST:PORT, where either may be \"*\", or \"any\" or \"none\" alone",
    ),
    default: DefaultValue::Values(&["any"]),
    doc: "Where forwardings from the host's side may listen, as sshd's PermitListen. HOST is what the \
          client asks for, which is localhost if the user names none; it may have \"*\" and \"?\" in it.",
};

/// `permit.x11`.
pub const X11: Key = Key {
    name: "x11",
    form: ValueType::Switch,
    default: DefaultValue::Value("no"),
    doc: "Whether X11 is forwarded, as sshd's X11Forwarding.",
};

/// `permit.agent`.
pub const AGENT: Key = Key {
    name: "agent",
    form: ValueType::Switch,
    default: DefaultValue::Value("yes"),
    doc: "Whether the user's agent is forwarded on to the host if the user asks for it, as \
          sshd's AllowAgentForwarding.",
};

/// `permit.streamlocal`.
pub const STREAMLOCAL: Key = Key {
    name: "streamlocal",
    form: DIRECTION,
    default: DefaultValue::Value("yes"),
    doc: "Which Unix socket forwardings are allowed, as sshd's AllowStreamLocalForwarding.",
};

/// `permit.nested_ssh`.
pub const NESTED_SSH: Key = Key {
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
pub const ACCEPT_ENV: Key = Key {
    name: "accept_env",
    form: ValueType::Texts("the name of a variable, which may have \"*\" and \"?\" in it"),
    default: DefaultValue::Values(&[
        "LANG",
        "LC_*",
        "TERM",
        "COLORTERM",
        "NO_COLOR",
        "GIT_PROTOCOL",
    ]),
    doc: "Which environment variables pass to the host, as sshd's AcceptEnv. The host's own \
          AcceptEnv still has its say.",
};

/// `permit.max_sessions`.
pub const MAX_SESSIONS: Key = Key {
    name: "max_sessions",
    form: COUNT,
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
