//! Names with a grammar: principals, logins, the cluster's name.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// Longest name of any kind, in bytes: what a DNS name may have.
const MAX_NAME: usize = 255;

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
}

/// A principal of a certificate: one login or one host name, never a list and never a pattern.
///
/// Commas are refused because sshd up to 10.2 splits principals on them (CVE-2026-35414); `*`, `?`
/// and `!` because `known_hosts` and `AuthorizedPrincipals` read them as patterns.
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
            |c: char| c.is_control() || c.is_whitespace() || matches!(c, ',' | '*' | '?' | '!');
        checked(text.trim(), is_bad).map(Self)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The Unix account on the host: the user name of the inner connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
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

    /// Control characters are refused, everything else is the host's to judge.
    fn from_str(text: &str) -> Result<Self, NameError> {
        checked(text, char::is_control).map(Self)
    }
}

impl fmt::Display for Login {
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
