//! How a target names its host.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

use super::label::Label;
use super::target_error::TargetError;
use super::text::is_unsafe;

/// Longest host text, in bytes: a DNS name in presentation form (RFC 1035, 2.3.4).
const MAX_HOST: usize = 253;

/// How the target names its host, in lower case: host names do not distinguish case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "String")]
pub enum HostName {
    /// A DNS name, or a name of the inventory.
    Name(String),
    /// A literal address.
    Address(IpAddr),
    /// A label that one node of the inventory carries.
    Label(Label),
}

impl From<HostName> for String {
    fn from(host: HostName) -> Self {
        host.to_string()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
            Self::Label(label) => label.fmt(f),
        }
    }
}

impl FromStr for HostName {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let bad = || TargetError::BadHost(text.to_owned());
        let unbracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(address) = unbracketed.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        if unbracketed.is_some() || text.len() > MAX_HOST {
            return Err(bad());
        }
        if text.contains('=') {
            let printable = text.chars().all(|c| !is_unsafe(c) && !c.is_whitespace());
            return match text.parse() {
                Ok(label) if printable => Ok(Self::Label(label)),
                _ => Err(bad()),
            };
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |part: &str| {
            !part.is_empty()
                && part.len() <= 63
                && !part.starts_with('-')
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        if name.split('.').all(is_label) {
            Ok(Self::Name(name.to_ascii_lowercase()))
        } else {
            Err(bad())
        }
    }
}
