//! Names with a grammar: principals, logins, the cluster's name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::host_name::HostName;
use super::text::is_unsafe;

/// Longest name of any kind, in bytes: what a DNS name may have.
const MAX_NAME: usize = 255;
/// Longest name of a person, in bytes.
const MAX_USER_NAME: usize = 64;

/// Why a text is not a name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Nothing is left after trimming.
    #[error("a name is empty")]
    Empty,
    /// Longer than 255 bytes.
    #[error("the name is {0} bytes long, at most {MAX_NAME} are allowed")]
    TooLong(usize),
    /// A character that sshd or ssh would read as more than one name, or as a pattern.
    #[error("the name {name:?} contains {character:?}, which is not allowed")]
    Character {
        /// The text as given.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// Where a host's name has to be, something else.
    #[error("{0:?} is neither a host name nor an address")]
    NotAHost(String),
    /// The name of a person is longer than [`UserName::MAX`].
    #[error("the name is {0} bytes long, at most {MAX_USER_NAME} are allowed")]
    LongUserName(usize),
    /// The name of a person begins with a character that is allowed further behind only.
    #[error("the name {0:?} has to begin with a letter, a digit or \"_\"")]
    Start(String),
    /// The proxy uses the name itself.
    #[error("the name {0:?} has a meaning of its own here")]
    Reserved(String),
}

/// A principal of a certificate: one login or one host name, never a list and never a pattern.
///
/// Commas are refused because sshd up to 10.2 splits principals on them (CVE-2026-35414); `*`, `?`
/// and `!` because `known_hosts` and `AuthorizedPrincipals` read them as patterns; what shows nothing or
/// turns the reading direction because two names that look the same must be the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Principal(String);

impl Principal {
    /// The name as the certificate carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Principal {
    type Err = NameError;

    /// Trims surrounding white space, then checks every character.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_bad =
            |c: char| is_unsafe(c) || c.is_whitespace() || matches!(c, ',' | '*' | '?' | '!');
        checked(text.trim(), is_bad).map(Self)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A principal of a host certificate: a host name or an address, in lower case and without a port, as ssh
/// looks for it. Parsed, it is nothing else.
///
/// The proxy's own certificates also show a label, where the user has asked for one
/// ([`HostPrincipal::asked`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HostPrincipal(Principal);

impl HostPrincipal {
    /// The name as the certificate carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host as a user has asked for it, which may be by a label.
    ///
    /// # Errors
    /// When the label has a character that no principal may have.
    pub fn asked(host: &HostName) -> Result<Self, NameError> {
        host.to_string().parse().map(Self)
    }
}

impl FromStr for HostPrincipal {
    type Err = NameError;

    /// Trims surrounding white space. The first character that no host name and no address has is named.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let is_bad = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
        let text = checked(text, is_bad)?;
        match text.parse() {
            Ok(host @ (HostName::Name(_) | HostName::Address(_))) => Self::asked(&host),
            Ok(HostName::Label(_)) | Err(_) => Err(NameError::NotAHost(text)),
        }
    }
}

impl From<HostPrincipal> for Principal {
    fn from(host: HostPrincipal) -> Self {
        host.0
    }
}

impl fmt::Display for HostPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The Unix account on the host: the user name of the inner connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Login(String);

impl Login {
    /// The name as it goes to the host.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Login {
    type Err = NameError;

    /// What cannot be shown is refused, everything else is the host's to judge.
    fn from_str(text: &str) -> Result<Self, NameError> {
        checked(text, is_unsafe).map(Self)
    }
}

impl From<Login> for String {
    fn from(login: Login) -> Self {
        login.0
    }
}

impl TryFrom<String> for Login {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a person, as the state and the configuration have it. In a certificate it is the key id.
///
/// Case does not count when names are compared ([`Self::folded`]): two people cannot differ in case
/// alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct UserName(String);

impl UserName {
    /// The longest name, in bytes.
    pub const MAX: usize = MAX_USER_NAME;
    /// User names of the listener that have a meaning of their own, so that no person may have them.
    pub const RESERVED: [&str; 3] = [Self::SIGN_UP, Self::JOIN, Self::PEER];
    /// The user name under which a person signs up.
    pub const SIGN_UP: &str = "signup";
    /// The user name under which a host joins, and reports how it is.
    pub const JOIN: &str = "join";
    /// The user name of other proxies on the same state.
    pub const PEER: &str = "peer";

    /// Whether this is [`Self::SIGN_UP`]; case does not count.
    #[must_use]
    pub fn is_sign_up(user: &str) -> bool {
        user.eq_ignore_ascii_case(Self::SIGN_UP)
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name by which two are compared.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for UserName {
    type Err = NameError;

    /// ASCII letters and digits, and `-`, `_`, `.`, `+`, `@`; at most [`Self::MAX`] bytes, none of
    /// [`Self::RESERVED`], and no `-`, `+`, `.` or `@` in front.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_bad =
            |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '@'));
        let text = checked(text, is_bad)?;
        if text.len() > Self::MAX {
            return Err(NameError::LongUserName(text.len()));
        }
        if text.starts_with(['-', '+', '.', '@']) {
            return Err(NameError::Start(text));
        }
        let mut reserved = Self::RESERVED.iter();
        match reserved.any(|name| text.eq_ignore_ascii_case(name)) {
            true => Err(NameError::Reserved(text)),
            false => Ok(Self(text)),
        }
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl TryFrom<String> for UserName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of this installation, written after `@` in `proxy:host:port@cluster`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ClusterName(String);

impl ClusterName {
    /// The name as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = NameError;

    /// Letters, digits, `-`, `_` and `.`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_bad = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        checked(text, is_bad).map(Self)
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn checked(text: &str, is_bad: impl Fn(char) -> bool) -> Result<String, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong(text.len()));
    }
    match text.chars().find(|c| is_bad(*c)) {
        Some(character) => Err(NameError::Character {
            name: text.to_owned(),
            character,
        }),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_trimmed() {
        assert_eq!("  deploy ".parse::<Principal>().unwrap().as_str(), "deploy");
    }

    #[test]
    fn principals_refuse_lists_patterns_and_control_characters() {
        for bad in [
            "", "  ", "a,b", "a b", "a\nb", "*", "db?", "!root", "a\u{7f}", "a\tb",
        ] {
            assert!(bad.parse::<Principal>().is_err(), "{bad:?} was accepted");
        }
        assert!("x".repeat(256).parse::<Principal>().is_err());
        assert!("x".repeat(255).parse::<Principal>().is_ok());
    }

    #[test]
    fn people_have_names_that_ssh_can_name() {
        for good in ["alice", "Alice.B", "a", "_x", "7", "alice+ops@example.com"] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        let long = "x".repeat(UserName::MAX + 1);
        for bad in [
            "", "-a", "@a", ".a", "+a", "a b", "a/b", "signup", "Join", "\u{e4}", &long,
        ] {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?} was accepted");
        }
        let folded = |name: &str| name.parse::<UserName>().unwrap().folded();
        assert_eq!(folded("ALICE"), folded("alice"));
    }

    #[test]
    fn principals_that_look_the_same_are_the_same() {
        for bad in [
            "ro\u{200b}ot",
            "\u{202e}toor",
            "root\u{feff}x",
            "ro\u{ad}ot",
        ] {
            assert!(bad.parse::<Principal>().is_err(), "{bad:?} was accepted");
        }
        for good in ["CORP\\alice", "müller", "web$deploy", "alice@example.com"] {
            assert!(good.parse::<Principal>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn a_hosts_principal_is_a_host_name_or_an_address_and_nothing_else() {
        for (given, kept) in [
            ("db1", "db1"),
            (" DB1.Example.COM ", "db1.example.com"),
            ("db_1.internal", "db_1.internal"),
            ("10.0.0.5", "10.0.0.5"),
            ("2001:DB8:0::5", "2001:db8::5"),
        ] {
            let name: HostPrincipal = given.parse().unwrap();
            assert_eq!(name.as_str(), kept, "{given}");
        }
        for bad in [
            "",
            "a\\tb",
            "a\tb",
            "a/b",
            "a b",
            "a,b",
            "db*",
            "env=prod",
            "alice@db1",
            "db1:22",
            "[::1]",
            "[db1]:22",
            "-db1",
            ".db1",
            "a..b",
            "10.0.0.5/32",
            "fe80::1%eth0",
            "a'b",
            "a\"b",
            "a;b",
            "a$b",
            "bücher.example",
            "~db1",
            "ssh://db1",
            "::g",
        ] {
            assert!(
                bad.parse::<HostPrincipal>().is_err(),
                "{bad:?} was accepted"
            );
        }
        assert!("x".repeat(64).parse::<HostPrincipal>().is_err());
    }

    #[test]
    fn a_label_is_shown_to_whoever_asks_for_one() {
        let label: HostName = "env=prod".parse().unwrap();
        assert_eq!(HostPrincipal::asked(&label).unwrap().as_str(), "env=prod");
        let several: HostName = "env=a,b".parse().unwrap();
        assert!(HostPrincipal::asked(&several).is_err());
    }

    #[test]
    fn the_refused_character_is_named() {
        assert_eq!(
            "a,b".parse::<Principal>().unwrap_err(),
            NameError::Character {
                name: "a,b".to_owned(),
                character: ','
            }
        );
    }

    #[test]
    fn logins_refuse_control_characters_only() {
        assert!("web$deploy".parse::<Login>().is_ok());
        assert!("a\0b".parse::<Login>().is_err());
    }
}
