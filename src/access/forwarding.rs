//! What a connection may carry beside its sessions' bytes: forwarded ports and sockets, X11, agents,
//! environment variables.
//!
//! The words and the matching are sshd's: `AllowTcpForwarding`, `PermitOpen`, `PermitListen`,
//! `X11Forwarding`, `AllowAgentForwarding`, `AllowStreamLocalForwarding`, `AcceptEnv`, `MaxSessions`
//! of `sshd_config(5)`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::pattern::fits;

use crate::model::text::is_unsafe;

/// What a host's port patterns say where all ports are meant.
const ANY: &str = "*";
/// Longest pattern, in bytes: a host name of DNS, brackets, a port.
const MAX_PATTERN: usize = 300;

/// Everything that `permit` decides about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Which TCP forwardings there may be.
    pub port_forwarding: Direction,
    /// Where local forwardings (`-L`, `-D`, `-W`, `-J`) may lead.
    pub permit_open: EndpointPatterns,
    /// Where remote forwardings (`-R`) may listen.
    pub permit_listen: EndpointPatterns,
    /// Whether X11 is forwarded.
    pub x11: bool,
    /// Whether the agent is forwarded on to the host.
    pub agent: bool,
    /// Which Unix socket forwardings there may be.
    pub streamlocal: Direction,
    /// Whether a forwarded stream may be SSH, which cannot be read afterwards.
    pub nested_ssh: bool,
    /// Which environment variables pass.
    pub accept_env: NamePatterns,
    /// Most sessions that one connection may have at a time.
    pub max_sessions: u32,
}

/// The environment variables that pass by default: language, terminal, and the version of git's
/// protocol.
pub const DEFAULT_ACCEPT_ENV: [&str; 6] = [
    "LANG",
    "LC_*",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "GIT_PROTOCOL",
];

impl Default for Permissions {
    /// sshd's defaults, and [`DEFAULT_ACCEPT_ENV`].
    fn default() -> Self {
        Self {
            port_forwarding: Direction::Both,
            permit_open: EndpointPatterns::Any,
            permit_listen: EndpointPatterns::Any,
            x11: false,
            agent: true,
            streamlocal: Direction::Both,
            nested_ssh: false,
            accept_env: NamePatterns::new(
                DEFAULT_ACCEPT_ENV
                    .map(|name| NamePattern(name.to_owned()))
                    .into(),
            ),
            max_sessions: 10,
        }
    }
}

impl Permissions {
    /// Whether a local forwarding may lead to this host and port.
    #[must_use]
    pub fn may_open(&self, host: &str, port: u32) -> bool {
        self.port_forwarding.allows_local() && self.permit_open.matches(host, port)
    }

    /// Whether a remote forwarding may listen on this host and port, as the client asks for them:
    /// port 0 leaves the choice to the host, which only a pattern for all ports allows.
    #[must_use]
    pub fn may_listen(&self, host: &str, port: u32) -> bool {
        self.port_forwarding.allows_remote() && self.permit_listen.matches(host, port)
    }

    /// The same without any forwarding.
    #[must_use]
    pub fn without_forwarding(&self) -> Self {
        Self {
            port_forwarding: Direction::Neither,
            x11: false,
            agent: false,
            streamlocal: Direction::Neither,
            ..self.clone()
        }
    }

    /// Whether an environment variable of this name passes.
    #[must_use]
    pub fn accepts_env(&self, name: &str) -> bool {
        self.accept_env.matches(name)
    }
}

/// Forwardings by where the connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the user's side and from the host's.
    Both,
    /// None.
    Neither,
    /// From the user's side only.
    Local,
    /// From the host's side only.
    Remote,
}

impl Direction {
    /// Whether connections from the user's side may be forwarded to the host's.
    #[must_use]
    pub fn allows_local(self) -> bool {
        matches!(self, Self::Both | Self::Local)
    }

    /// Whether connections from the host's side may be forwarded to the user's.
    #[must_use]
    pub fn allows_remote(self) -> bool {
        matches!(self, Self::Both | Self::Remote)
    }

    /// What both allow.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        match (
            self.allows_local() && other.allows_local(),
            self.allows_remote() && other.allows_remote(),
        ) {
            (true, true) => Self::Both,
            (true, false) => Self::Local,
            (false, true) => Self::Remote,
            (false, false) => Self::Neither,
        }
    }
}

/// Why a text is no pattern.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PatternError {
    /// Not a host and a port.
    #[error("{0:?} is not HOST:PORT, where either may be \"*\"")]
    Endpoint(String),
    /// Not a name of an environment variable.
    #[error("{0:?} is not the name of a variable, which may have \"*\" and \"?\" in it")]
    Name(String),
    /// `any` or `none` beside other patterns.
    #[error("{0:?} stands alone or not at all")]
    NotAlone(&'static str),
}

/// Hosts and ports, as in `PermitOpen` and `PermitListen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointPatterns {
    /// All of them.
    Any,
    /// What one of these matches; none without patterns.
    Only(Vec<EndpointPattern>),
}

impl EndpointPatterns {
    /// What a list of words says: `any` or `none` alone, or patterns, each read by `parse`.
    ///
    /// # Errors
    /// When a word is no pattern, or `any` or `none` does not stand alone.
    pub fn from_words<'a>(
        words: impl IntoIterator<Item = &'a str>,
        parse: impl Fn(&str) -> Result<EndpointPattern, PatternError>,
    ) -> Result<Self, PatternError> {
        let words: Vec<&str> = words.into_iter().collect();
        match words.as_slice() {
            ["any"] => Ok(Self::Any),
            [] | ["none"] => Ok(Self::Only(Vec::new())),
            several => several
                .iter()
                .map(|word| match *word {
                    "any" => Err(PatternError::NotAlone("any")),
                    "none" => Err(PatternError::NotAlone("none")),
                    pattern => parse(pattern),
                })
                .collect::<Result<_, _>>()
                .map(Self::Only),
        }
    }

    /// The words that say this.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Any => vec!["any".to_owned()],
            Self::Only(patterns) if patterns.is_empty() => vec!["none".to_owned()],
            Self::Only(patterns) => patterns.iter().map(ToString::to_string).collect(),
        }
    }

    /// What both match.
    #[must_use]
    pub(super) fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Any, several) | (several, Self::Any) => several.clone(),
            (Self::Only(ours), Self::Only(theirs)) => {
                let mut both = Vec::new();
                for one in ours.iter().flat_map(|a| theirs.iter().map(|b| a.and(b))) {
                    both.extend(one.filter(|one| !both.contains(one)));
                }
                Self::Only(both)
            }
        }
    }

    fn matches(&self, host: &str, port: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(host, port)),
        }
    }
}

/// One host and port; no pattern and no port stand for all. No name is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPattern {
    /// Patterns that a name has to match, all of them. In lower case: upper and lower case are the
    /// same in names of hosts.
    host: Vec<NamePattern>,
    port: Option<u16>,
}

impl EndpointPattern {
    /// Reads `HOST:PORT`, `[ADDRESS]:PORT`; `*` for either stands for all. Within a name, wildcards
    /// have no place, as in sshd's `PermitOpen`.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn open(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
            .filter(|pattern| !pattern.has_wildcards())
            .ok_or_else(|| PatternError::Endpoint(text.to_owned()))
    }

    /// Reads what [`EndpointPattern::open`] reads, names with `*` and `?` in them, and a port alone,
    /// which stands for all hosts, as sshd's `PermitListen`.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn listen(text: &str) -> Result<Self, PatternError> {
        match port(text) {
            Some(port) => Ok(Self {
                host: Vec::new(),
                port,
            }),
            None => Self::parse(text).ok_or_else(|| PatternError::Endpoint(text.to_owned())),
        }
    }

    fn has_wildcards(&self) -> bool {
        self.host.iter().any(NamePattern::has_wildcards)
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_PATTERN {
            return None;
        }
        let (host, digits) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            // An address of IPv6 needs its brackets: its last group looks like a port.
            None if host.contains(':') => return None,
            None => host,
        };
        let is_bad = |c: char| c.is_whitespace() || is_unsafe(c) || matches!(c, '[' | ']');
        if host.is_empty() || host.contains(is_bad) {
            return None;
        }
        let host = (host != ANY).then(|| NamePattern(host.to_ascii_lowercase()));
        Some(Self {
            host: host.into_iter().collect(),
            port: port(digits)?,
        })
    }

    /// What both match; `None` where that is nothing.
    fn and(&self, other: &Self) -> Option<Self> {
        let mut host = self.host.clone();
        host.extend(
            other
                .host
                .iter()
                .filter(|one| !self.host.contains(one))
                .cloned(),
        );
        // A plain name is all that is left of patterns that match it.
        if let Some(plain) = host.iter().find(|one| !one.has_wildcards()).cloned() {
            if !host.iter().all(|one| one.matches(plain.as_str())) {
                return None;
            }
            host = vec![plain];
        }
        let port = match (self.port, other.port) {
            (None, port) | (port, None) => port,
            (Some(a), Some(b)) if a == b => Some(a),
            (Some(_), Some(_)) => return None,
        };
        Some(Self { host, port })
    }

    fn matches(&self, host: &str, port: u32) -> bool {
        self.port.is_none_or(|ours| u32::from(ours) == port)
            && self
                .host
                .iter()
                .all(|ours| ours.matches(&host.to_ascii_lowercase()))
    }
}

impl fmt::Display for EndpointPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Several only where several roles have one.
        let hosts: Vec<&str> = self.host.iter().map(NamePattern::as_str).collect();
        match hosts.join("&").as_str() {
            "" => f.write_str(ANY)?,
            host if host.contains(':') => write!(f, "[{host}]")?,
            host => f.write_str(host)?,
        }
        match self.port {
            None => write!(f, ":{ANY}"),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

/// A port from 1 to 65535, or `Some(None)` for `*`.
fn port(text: &str) -> Option<Option<u16>> {
    if text == ANY {
        return Some(None);
    }
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let number: u16 = text.parse().ok()?;
    (is_number && number != 0).then_some(Some(number))
}

/// Names of environment variables, as in `AcceptEnv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePatterns {
    patterns: Vec<NamePattern>,
    /// Further lists, each of which has to match too.
    also: Vec<Vec<NamePattern>>,
}

impl NamePatterns {
    /// A name passes when one of these matches it.
    #[must_use]
    pub fn new(patterns: Vec<NamePattern>) -> Self {
        Self {
            patterns,
            also: Vec::new(),
        }
    }

    /// The lists, each with its patterns in their order; a name passes that all of them match.
    pub fn lists(&self) -> impl Iterator<Item = &[NamePattern]> {
        std::iter::once(&self.patterns)
            .chain(&self.also)
            .map(Vec::as_slice)
    }

    /// What both match.
    #[must_use]
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for list in other.lists() {
            if !both.lists().any(|known| known == list) {
                both.also.push(list.to_vec());
            }
        }
        both
    }

    fn matches(&self, name: &str) -> bool {
        self.lists()
            .all(|list| list.iter().any(|pattern| pattern.matches(name)))
    }
}

/// A name with wildcards: `*` stands for any characters, `?` for exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn has_wildcards(&self) -> bool {
        self.0.contains(['*', '?'])
    }

    /// Whether the whole name fits. Upper and lower case differ.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        fits(self.0.as_bytes(), name.as_bytes(), [b'*', b'?'])
    }
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let is_bad = |c: char| !c.is_ascii_graphic() || matches!(c, '=' | ',' | '"' | '\'');
        if text.is_empty() || text.len() > MAX_PATTERN || text.contains(is_bad) {
            return Err(PatternError::Name(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opening(words: &[&str]) -> Permissions {
        let permit_open =
            EndpointPatterns::from_words(words.iter().copied(), EndpointPattern::open).unwrap();
        Permissions {
            permit_open,
            ..Permissions::default()
        }
    }

    fn listening(words: &[&str]) -> Permissions {
        let permit_listen =
            EndpointPatterns::from_words(words.iter().copied(), EndpointPattern::listen).unwrap();
        Permissions {
            permit_listen,
            ..Permissions::default()
        }
    }

    #[test]
    fn destinations_match_as_in_permitopen() {
        for (words, host, port, allowed) in [
            (&["any"][..], "db1", 5432, true),
            (&["none"], "db1", 5432, false),
            (&[], "db1", 5432, false),
            (&["db1:5432"], "db1", 5432, true),
            (&["db1:5432"], "DB1", 5432, true),
            (&["db1:5432"], "db1", 5433, false),
            (&["db1:5432"], "db1", 5432 + 65536, false),
            (&["db1:5432"], "db1.example.com", 5432, false),
            (&["*:80", "db1:*"], "web", 80, true),
            (&["*:80", "db1:*"], "db1", 1, true),
            (&["*:80", "db1:*"], "web", 81, false),
            (&["[::1]:80"], "::1", 80, true),
            (&["127.0.0.1:80"], "localhost", 80, false),
        ] {
            let permissions = opening(words);
            assert_eq!(
                permissions.may_open(host, port),
                allowed,
                "{words:?} {host}:{port}"
            );
        }
    }

    #[test]
    fn listeners_match_as_in_permitlisten() {
        for (words, host, port, allowed) in [
            (&["8080"][..], "localhost", 8080, true),
            (&["8080"], "", 8080, true),
            (&["8080"], "", 0, false),
            (&["localhost:8080"], "", 8080, false),
            (&["localhost:*"], "localhost", 0, true),
            (&["127.0.0.*:8080"], "127.0.0.9", 8080, true),
            (&["127.0.0.?:8080"], "127.0.0.99", 8080, false),
            (&["*.Example.com:80"], "a.EXAMPLE.com", 80, true),
            (&["[fe80::*]:80"], "fe80::1", 80, true),
            (&["*"], "0.0.0.0", 22, true),
        ] {
            let permissions = listening(words);
            assert_eq!(
                permissions.may_listen(host, port),
                allowed,
                "{words:?} {host}:{port}"
            );
        }
    }

    #[test]
    fn the_direction_stands_above_the_patterns() {
        for (direction, open, listen) in [
            (Direction::Both, true, true),
            (Direction::Neither, false, false),
            (Direction::Local, true, false),
            (Direction::Remote, false, true),
        ] {
            let permissions = Permissions {
                port_forwarding: direction,
                ..Permissions::default()
            };
            assert_eq!(permissions.may_open("db1", 1), open, "{direction:?}");
            assert_eq!(permissions.may_listen("", 0), listen, "{direction:?}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in [
            "",
            ":",
            "db1",
            "db1:",
            ":22",
            "db1:0",
            "db1:+1",
            "db1:65536",
            "::1:80",
            "[::1]",
            "[]:80",
            "[db1:80",
            "db*:80",
            "d?1:80",
            "a b:80",
            "80",
            "*",
        ] {
            assert!(EndpointPattern::open(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "0", "+1", "65536", "db1"] {
            assert!(EndpointPattern::listen(bad).is_err(), "{bad:?}");
        }
        for words in [&["any", "db1:22"][..], &["db1:22", "none"]] {
            let mixed = EndpointPatterns::from_words(words.iter().copied(), EndpointPattern::open);
            assert!(matches!(mixed, Err(PatternError::NotAlone(_))), "{words:?}");
        }
    }

    #[test]
    fn variables_match_as_in_acceptenv() {
        let defaults = Permissions::default();
        for (name, accepted) in [
            ("LANG", true),
            ("LC_ALL", true),
            ("LC_", true),
            ("LANGUAGE", false),
            ("lang", false),
            ("XLC_ALL", false),
            ("LD_PRELOAD", false),
            ("", false),
        ] {
            assert_eq!(defaults.accepts_env(name), accepted, "{name}");
        }
        for (pattern, name, matches) in [
            ("*", "", true),
            ("?", "", false),
            ("?", "a", true),
            ("A*B*C", "AxBxBxC", true),
            ("A*B*C", "AxCxB", false),
            ("**A", "xxA", true),
        ] {
            let pattern: NamePattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(name), matches, "{pattern:?} {name}");
        }
        for bad in ["", "A=B", "A B", "A\n", "\"A\"", "Ä"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn many_wildcards_take_no_time() {
        let pattern: NamePattern = format!("{}C", "*A".repeat(100)).parse().unwrap();
        assert!(!pattern.matches(&"A".repeat(10_000)));
    }

    /// The plainest way to say what a pattern matches; exponential.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                naive(rest, name)
                    || name
                        .split_first()
                        .is_some_and(|(_, name)| naive(pattern, name))
            }
            ([b'?', rest @ ..], [_, name @ ..]) => naive(rest, name),
            ([a, rest @ ..], [b, name @ ..]) => a == b && naive(rest, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_mean_what_the_plain_definition_says(pattern in "[AB*?]{1,8}", name in "[AB]{0,8}") {
            let parsed: NamePattern = pattern.parse().unwrap();
            prop_assert_eq!(parsed.matches(&name), naive(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn endpoints_print_as_they_are_read(host in "([a-z0-9.-]{1,9}|\\*|\\[[0-9a-f:]{1,9}\\])", port in 0u16..) {
            let port = if port == 0 { "*".to_owned() } else { port.to_string() };
            let text = format!("{host}:{port}");
            let parsed = EndpointPattern::open(&text).unwrap();
            prop_assert_eq!(EndpointPattern::open(&parsed.to_string()), Ok(parsed));
        }
    }
}
