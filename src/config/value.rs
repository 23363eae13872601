//! Converts texts of the file to values, and values to texts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::key::Key;
use super::section::quoted;
use crate::cert::{IpNetwork, IpNetworkError};
use crate::model::text::is_unsafe;
use crate::model::{ClusterName, HostName, Label, parse_duration};

/// Largest count.
const MAX_COUNT: u32 = 1_000_000;
/// Longest duration: 52 weeks.
const MAX_DURATION: Duration = Duration::from_secs(52 * 7 * 86_400);

pub(super) fn count(key: &Key, text: &str) -> Result<u32, String> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| is_number && (1..=MAX_COUNT).contains(number))
        .ok_or_else(|| expected(key, text))
}

pub(super) fn duration(key: &Key, text: &str, least: u64) -> Result<Duration, String> {
    parse_duration(text)
        .ok()
        .filter(|span| (Duration::from_secs(least)..=MAX_DURATION).contains(span))
        .ok_or_else(|| expected(key, text))
}

/// YAML 1.1's booleans and YAML 1.2's, in any case.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => Ok(true),
        "no" | "false" | "off" => Ok(false),
        _ => Err(format!("expected yes or no, found {}", quoted(text))),
    }
}

pub(super) fn cluster_name(key: &Key, text: &str) -> Result<ClusterName, String> {
    text.parse().map_err(|_name_error| expected(key, text))
}

pub(super) fn absolute(key: &Key, text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() && !text.contains('\0') {
        Ok(path)
    } else {
        Err(expected(key, text))
    }
}

/// An address to listen on; `port` is for one without.
pub(super) fn listener(key: &Key, port: u16, text: &str) -> Result<SocketAddr, String> {
    if let Ok(addr) = SocketAddr::from_str(text) {
        return Ok(addr);
    }
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(SocketAddr::new(address, port));
    }
    text.strip_prefix(':')
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .map(|port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        .ok_or_else(|| expected(key, text))
}

/// `host`, `host:port`, `address`, `address:port`, `[address]`, `[address]:port`.
pub(super) fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let wrong = || {
        format!(
            "expected a host name or address with a port, as in db1.example.com:22 or [::1]:22, \
             found {}",
            quoted(text)
        )
    };
    let (host, port) = if IpAddr::from_str(text).is_ok() {
        (text, None)
    } else if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or_else(wrong)?;
        match rest.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None if rest.is_empty() => (address, None),
            None => return Err(wrong()),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let host = match host.parse::<HostName>() {
        Ok(HostName::Name(name)) if !text.starts_with('[') => name,
        Ok(HostName::Address(address)) => address.to_string(),
        _ => return Err(wrong()),
    };
    let Some(digits) = port else {
        return Ok((host, None));
    };
    match digits.parse::<u16>() {
        Ok(port) if port != 0 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((host, Some(port)))
        }
        _ => Err(format!(
            "expected a port from 1 to 65535 after the colon, found {}",
            quoted(text)
        )),
    }
}

/// A network as sshd's source-address reads it: no bit set beyond the mask.
pub(super) fn network(text: &str) -> Result<String, String> {
    match text.parse::<IpNetwork>() {
        Ok(network) => Ok(network.to_string()),
        Err(IpNetworkError::NotANetwork) => Err(format!(
            "expected a network, as in 203.0.113.10/32 or 2001:db8::/64, found {}",
            quoted(text)
        )),
        Err(IpNetworkError::HostBits { masked, single }) => Err(format!(
            "{} has bits set beyond its mask, which sshd refuses: expected {masked} or {single}",
            quoted(text)
        )),
    }
}

pub(super) fn node_name(key: &Key, text: &str) -> Result<String, String> {
    match text.parse() {
        Ok(HostName::Name(name)) => Ok(name),
        _ => Err(expected(key, text)),
    }
}

/// The key of a label: what a target can name before its first `=`.
pub(super) fn label_key(text: &str) -> Result<String, String> {
    if !Label::is_key(text) {
        let message = "expected a label's name without white space and '='";
        return Err(format!("{message}, found {}", quoted(text)));
    }
    Ok(text.to_owned())
}

pub(super) fn label_value(text: &str) -> Result<String, String> {
    if !Label::is_value(text) {
        let message = "expected a label's value without control or invisible characters";
        return Err(format!("{message}, found {}", quoted(text)));
    }
    Ok(text.to_owned())
}

/// What to say about a value that is not what its key wants.
pub(super) fn expected(key: &Key, found: &str) -> String {
    format!("expected {}, found {}", key.form.expected(), quoted(found))
}

/// A boolean as it is printed.
pub(super) fn switch_word(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// A host and a port as one text, as the configuration has them; an IPv6 address is in brackets.
pub fn format_host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// A scalar of YAML in double quotes, so that no reader takes it for anything but a text.
pub fn yaml_text(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_unsafe(c) => {
                quoted.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key::{DefaultValue, ValueType};

    const KEY: Key = Key {
        name: "key",
        form: ValueType::Text("a value"),
        default: DefaultValue::Nothing,
        doc: "A key.",
    };

    #[test]
    fn hosts_and_ports_of_every_form() {
        for (text, host, port) in [
            ("db1", "db1", None),
            ("DB1.example.com:2222", "db1.example.com", Some(2222)),
            ("10.0.0.5", "10.0.0.5", None),
            ("10.0.0.5:22", "10.0.0.5", Some(22)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[2001:DB8::1]:22", "2001:db8::1", Some(22)),
        ] {
            assert_eq!(host_and_port(text), Ok((host.to_owned(), port)), "{text}");
        }
        for bad in [
            "",
            ":22",
            "db1:",
            "db1:0",
            "db1:65536",
            "db1:+22",
            "db1:ssh",
            "db1:22:22",
            "[db1]:22",
            "[::1",
            "[::1]22",
            "::1]:22",
            "env=prod:22",
            "-db1:22",
            "db 1:22",
            "*:22",
        ] {
            assert!(host_and_port(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn networks_are_what_sshd_accepts() {
        for (text, network_text) in [
            ("203.0.113.10", "203.0.113.10/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(network(text).as_deref(), Ok(network_text), "{text}");
        }
        for bad in [
            "",
            "10.0.0.1/24",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "db1",
        ] {
            assert!(network(bad).is_err(), "{bad:?}");
        }
        assert!(network("10.0.0.1/24").unwrap_err().contains("10.0.0.0/24"));
    }

    #[test]
    fn listeners_of_every_form() {
        let listen_addr = |text: &str| listener(&KEY, 3023, text);
        for (text, addr) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            (":3023", "0.0.0.0:3023"),
            ("10.0.0.1", "10.0.0.1:3023"),
            ("::1", "[::1]:3023"),
            ("[::]:22", "[::]:22"),
        ] {
            assert_eq!(listen_addr(text), Ok(addr.parse().unwrap()), "{text}");
        }
        for bad in ["", ":", ":+1", "localhost:3023", "3023", ":65536"] {
            assert!(listen_addr(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_spelling_of_a_boolean() {
        for yes in ["yes", "Yes", "true", "TRUE", "on", "On"] {
            assert_eq!(switch(yes), Ok(true), "{yes}");
        }
        for no in ["no", "NO", "false", "False", "off"] {
            assert_eq!(switch(no), Ok(false), "{no}");
        }
        for bad in ["", "y", "n", "1", "0", "yes "] {
            assert!(switch(bad).is_err(), "{bad:?}");
        }
    }
}
