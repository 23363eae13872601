//! From the file's tree to typed values: one function per section, all problems noted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Permissions, Role, RoleBinding};
use crate::cert::{IpNetwork, IpNetworkError};
use crate::model::text::{is_printable, is_unsafe};
use crate::model::{ClusterName, HostName, Label, parse_duration};
use crate::nodes::{DEFAULT_PORT, Node};

use super::ca_keys::ca_keys;
use super::diagnostic::Diagnostics;
use super::keys;
use super::legacy;
use super::permit::permit;
use super::roles;
use super::section::{Located, Section, quoted};
use super::yaml;
use super::{
    AuthService, HttpsFiles, ProxyService, RecordingConfig, RecordingMode, SessionRecording,
    Upstream, Web,
};

/// The port of the listener where none is given.
const LISTEN_PORT: u16 = 3023;
/// The port of the web where none is given.
const WEB_PORT: u16 = 3080;
/// The port of the metrics where none is given.
const METRICS_PORT: u16 = 3081;
/// Largest count.
const MAX_COUNT: u32 = 1_000_000;
/// Longest duration: 52 weeks.
const MAX_DURATION: Duration = Duration::from_secs(52 * 7 * 86_400);

/// The file's values; what only the machine knows is still open.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) cluster_name: Option<ClusterName>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) auth: AuthService,
    pub(super) proxy: ProxyService,
    pub(super) upstream: Upstream,
    pub(super) permit: Permissions,
    pub(super) nodes: Vec<Node>,
    pub(super) roles: Vec<Arc<Role>>,
    pub(super) users: Vec<RoleBinding>,
    pub(super) recording: RecordingConfig,
}

/// Reads a whole file. `None` only where an error was noted.
pub(super) fn file(tree: Option<&yaml::Node>, findings: &mut Diagnostics<'_>) -> Option<Resolved> {
    let root = Section::open(tree, "", keys::ROOT, findings);
    let cluster_name = root.value(&keys::CLUSTER_NAME, cluster_name, findings);
    let data_dir = root.value(
        &keys::DATA_DIR,
        |text| absolute(&keys::DATA_DIR, text),
        findings,
    );
    let auth = auth_service(&root.section(&keys::AUTH_SERVICE, findings), findings);
    let proxy = proxy_service(&root.section(&keys::PROXY_SERVICE, findings), findings);
    let upstream = upstream(&root.section(&keys::UPSTREAM, findings), findings);
    let permit = permit(&root.section(&keys::PERMIT, findings), findings);
    let nodes = nodes(root.sections(&keys::NODES, findings), findings);
    let roles = roles::roles(root.sections(&keys::ROLES, findings), &nodes, findings);
    let users = roles::users(root.sections(&keys::USERS, findings), &roles, findings);
    if let (true, Some(place)) = (users.is_empty(), root.place_of(&keys::ROLES))
        && !roles.is_empty()
    {
        let message = "nobody has a role, so nobody may go anywhere";
        findings.warning(Some(place), keys::ROLES.name, message);
    }
    let recording = recording(&root.section(&keys::RECORDING, findings), findings);
    Some(Resolved {
        cluster_name: cluster_name.map(|name| name.value),
        data_dir: data_dir.map(|path| path.value),
        auth: auth?,
        proxy: proxy?,
        upstream: upstream?,
        permit: permit?,
        nodes,
        roles,
        users,
        recording: recording?,
    })
}

fn auth_service(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Option<AuthService> {
    let recorded = section.value(&keys::SESSION_RECORDING, session_recording, findings);
    let checked = section.value(&keys::PROXY_CHECKS_HOST_KEYS, switch, findings);
    let max_ttl = &keys::PEOPLE_MAX_TTL;
    let max_ttl = section.value(max_ttl, |text| duration(max_ttl, text, 1), findings);
    let ca_keys = ca_keys(&section.section(&keys::CA_KEYS, findings), findings);
    let (recorded, checked, max_ttl) = (recorded?, checked?, max_ttl?);
    if recorded.value == SessionRecording::Off {
        let path = section.path_to(keys::SESSION_RECORDING.name);
        findings.warning(recorded.place, &path, "no session is recorded");
    }
    if !checked.value {
        let path = section.path_to(keys::PROXY_CHECKS_HOST_KEYS.name);
        let message = "insecure: hosts without a certificate are admitted, anybody on the \
                       network path can be the host";
        findings.warning(checked.place, &path, message);
    }
    Some(AuthService {
        session_recording: recorded.value,
        proxy_checks_host_keys: checked.value,
        max_ttl: max_ttl.value,
        ca_keys,
    })
}

fn proxy_service(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Option<ProxyService> {
    let listen_addr = section.value(&keys::LISTEN_ADDR, listen_addr, findings);
    let public_addr = section.value(&keys::PUBLIC_ADDR, host_and_port, findings);
    let what = "a network, as in 203.0.113.10/32 or 2001:db8::/64";
    let egress = section.texts(&keys::EGRESS_ADDRS, what, network, findings);
    let path = section.path_to(keys::EGRESS_ADDRS.name);
    for everything in egress
        .iter()
        .filter(|network| network.value.ends_with("/0"))
    {
        let message = "every address is in it, so certificates are good from everywhere";
        findings.warning(everything.place, &path, message);
    }
    let banner = &keys::BANNER_FILE;
    let banner = section.value(banner, |text| absolute(banner, text), findings);
    let mut number = |key: &keys::Key| section.value(key, |text| count(key, text), findings);
    let max_connections = number(&keys::MAX_CONNECTIONS);
    let per_address = number(&keys::MAX_CONNECTIONS_PER_ADDRESS);
    let per_user = number(&keys::MAX_CONNECTIONS_PER_USER);
    let max_starting = number(&keys::MAX_STARTING);
    let unanswered = number(&keys::KEEP_ALIVE_COUNT_MAX);
    let mut span =
        |key: &keys::Key, least| section.value(key, |text| duration(key, text, least), findings);
    let grace = span(&keys::LOGIN_GRACE_TIME, 1);
    let idle = span(&keys::CLIENT_IDLE_TIMEOUT, 0);
    let interval = span(&keys::KEEP_ALIVE_INTERVAL, 0);
    let drain = span(&keys::DRAIN_TIMEOUT, 0);
    let expired = section.value(&keys::DISCONNECT_EXPIRED_CERT, switch, findings);
    let sandbox = section.value(&keys::SANDBOX, switch, findings);
    let web = web(section, findings);
    let metrics = metrics(section, findings);
    let listen_addr = listen_addr?.value;
    Some(ProxyService {
        listen_addr,
        public_addr: public_addr
            .map(|addr| addr.value)
            .map(|(host, port)| (host, port.unwrap_or_else(|| listen_addr.port()))),
        egress_addrs: egress.into_iter().map(|network| network.value).collect(),
        banner_file: banner.map(|path| path.value),
        max_connections: max_connections?.value,
        max_connections_per_address: per_address?.value,
        max_connections_per_user: per_user?.value,
        max_starting: max_starting?.value,
        login_grace_time: grace?.value,
        client_idle_timeout: idle?.value,
        disconnect_expired_cert: expired?.value,
        keep_alive_interval: interval?.value,
        keep_alive_count_max: unanswered?.value,
        drain_timeout: drain?.value,
        sandbox: sandbox?.value,
        web: web?,
        metrics_listen_addr: metrics?,
    })
}

/// The listener of the web, if there is to be one. `None` only where an error was noted.
fn web(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Option<Option<Web>> {
    let addr = |text: &str| listener(&keys::WEB_LISTEN_ADDR, WEB_PORT, text);
    let is_wanted = section.has(&keys::WEB_LISTEN_ADDR);
    let listen_addr = section.value(&keys::WEB_LISTEN_ADDR, addr, findings);
    let mut path = |key: &keys::Key| section.value(key, |text| absolute(key, text), findings);
    let cert_file = path(&keys::HTTPS_CERT_FILE);
    let key_file = path(&keys::HTTPS_KEY_FILE);
    let plain = section.value(&keys::WEB_PLAIN_HTTP, switch, findings)?;
    if !is_wanted {
        return Some(None);
    }
    let listen_addr = listen_addr?;
    let path = section.path_to(keys::WEB_LISTEN_ADDR.name);
    let tls = match (cert_file, key_file, plain.value) {
        (Some(cert_file), Some(key_file), false) => Some(HttpsFiles {
            cert_file: cert_file.value,
            key_file: key_file.value,
        }),
        (_, _, false) => {
            let message = "HTTPS needs https_cert_file and https_key_file, or web_plain_http: yes";
            findings.error(listen_addr.place, &path, message.to_owned());
            return None;
        }
        (None, None, true) => None,
        (_, _, true) => {
            let path = section.path_to(keys::WEB_PLAIN_HTTP.name);
            let message = "plain HTTP has no use for https_cert_file and https_key_file";
            findings.error(plain.place, &path, message.to_owned());
            return None;
        }
    };
    if tls.is_none() && !listen_addr.value.ip().is_loopback() {
        let path = section.path_to(keys::WEB_PLAIN_HTTP.name);
        let message = "insecure: anybody on the network path can put keys of their own in the \
                       place of the CAs'";
        findings.warning(plain.place, &path, message);
    }
    Some(Some(Web {
        listen_addr: listen_addr.value,
        tls,
    }))
}

/// The listener of the metrics, if there is to be one. `None` only where an error was noted.
fn metrics(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Option<Option<SocketAddr>> {
    let key = &keys::METRICS_LISTEN_ADDR;
    let addr = section.value(key, |text| listener(key, METRICS_PORT, text), findings);
    match (section.has(key), addr) {
        (false, _) => Some(None),
        (true, addr) => addr.map(|addr| Some(addr.value)),
    }
}

fn upstream(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Option<Upstream> {
    let starting = &keys::MAX_STARTING_PER_HOST;
    let max_starting_per_host = section.value(starting, |text| count(starting, text), findings);
    let timeout = &keys::CONNECT_TIMEOUT;
    let connect_timeout = section.value(timeout, |text| duration(timeout, text, 1), findings);
    Some(Upstream {
        max_starting_per_host: max_starting_per_host?.value,
        connect_timeout: connect_timeout?.value,
    })
}

pub(super) fn count(key: &keys::Key, text: &str) -> Result<u32, String> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| is_number && (1..=MAX_COUNT).contains(number))
        .ok_or_else(|| expected(key, text))
}

pub(super) fn duration(key: &keys::Key, text: &str, least: u64) -> Result<Duration, String> {
    parse_duration(text)
        .ok()
        .filter(|span| (Duration::from_secs(least)..=MAX_DURATION).contains(span))
        .ok_or_else(|| expected(key, text))
}

fn nodes(sections: Vec<Section<'_>>, findings: &mut Diagnostics<'_>) -> Vec<Node> {
    let mut seen: Vec<Located<String>> = Vec::new();
    let mut nodes = Vec::new();
    for section in sections {
        let name = section.value(&keys::NODE_NAME, node_name, findings);
        let addr = section.value(&keys::NODE_ADDR, host_and_port, findings);
        let mut labels: Vec<Label> = section
            .labels(&keys::NODE_LABELS, label_key, label_value, findings)
            .into_iter()
            .map(|(key, value)| Label { key, value })
            .collect();
        labels.sort();
        let called = name.as_ref().map(|name| name.value.as_str());
        let legacy = legacy::algorithms(&section, called, findings);
        let Some(name) = name else {
            continue;
        };
        if let Some(first) = seen.iter().find(|seen| seen.value == name.value) {
            let path = section.path_to(keys::NODE_NAME.name);
            let line = first.place.map_or(0, |place| place.line);
            let message = format!(
                "{:?} is already the name of the node in line {line}",
                name.value
            );
            findings.error(name.place, &path, message);
            continue;
        }
        nodes.extend(addr.map(|addr| addr.value).map(|(host, port)| Node {
            name: name.value.clone(),
            host,
            port: port.unwrap_or(DEFAULT_PORT),
            labels,
            legacy,
        }));
        seen.push(name);
    }
    nodes
}

fn recording(section: &Section<'_>, findings: &mut Diagnostics<'_>) -> Option<RecordingConfig> {
    let mode = section.value(&keys::RECORDING_MODE, recording_mode, findings);
    let pty_input = section.value(&keys::PTY_INPUT, switch, findings);
    let (mode, pty_input) = (mode?, pty_input?);
    if mode.value == RecordingMode::BestEffort {
        let path = section.path_to(keys::RECORDING_MODE.name);
        let message = "sessions go on if their recording cannot be written";
        findings.warning(mode.place, &path, message);
    }
    if pty_input.value {
        let path = section.path_to(keys::PTY_INPUT.name);
        let message = "passwords typed into a terminal are stored in recordings";
        findings.warning(pty_input.place, &path, message);
    }
    Some(RecordingConfig {
        mode: mode.value,
        pty_input: pty_input.value,
    })
}

/// YAML 1.1's booleans and YAML 1.2's, in any case.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => Ok(true),
        "no" | "false" | "off" => Ok(false),
        _ => Err(format!("expected yes or no, found {}", quoted(text))),
    }
}

fn session_recording(text: &str) -> Result<SessionRecording, String> {
    match text {
        "proxy" => Ok(SessionRecording::Proxy),
        "off" => Ok(SessionRecording::Off),
        "node" => Err(
            "\"node\" is not possible: stock sshd records nothing, the proxy does; \
             expected \"proxy\" or \"off\""
                .to_owned(),
        ),
        _ => Err(expected(&keys::SESSION_RECORDING, text)),
    }
}

fn recording_mode(text: &str) -> Result<RecordingMode, String> {
    match text {
        "strict" => Ok(RecordingMode::Strict),
        "best_effort" => Ok(RecordingMode::BestEffort),
        _ => Err(expected(&keys::RECORDING_MODE, text)),
    }
}

fn cluster_name(text: &str) -> Result<ClusterName, String> {
    text.parse()
        .map_err(|_name_error| expected(&keys::CLUSTER_NAME, text))
}

fn absolute(key: &keys::Key, text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() && !text.contains('\0') {
        Ok(path)
    } else {
        Err(expected(key, text))
    }
}

fn listen_addr(text: &str) -> Result<SocketAddr, String> {
    listener(&keys::LISTEN_ADDR, LISTEN_PORT, text)
}

/// An address to listen on; `port` is for one without.
fn listener(key: &keys::Key, port: u16, text: &str) -> Result<SocketAddr, String> {
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
fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
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

fn node_name(text: &str) -> Result<String, String> {
    match text.parse() {
        Ok(HostName::Name(name)) => Ok(name),
        _ => Err(expected(&keys::NODE_NAME, text)),
    }
}

/// The key of a label: what a target can name before its first `=`.
pub(super) fn label_key(text: &str) -> Result<String, String> {
    let is_bad = |c: char| is_unsafe(c) || c.is_whitespace() || c == '=';
    if text.is_empty() || text.contains(is_bad) {
        let message = "expected a label's name without white space and '='";
        return Err(format!("{message}, found {}", quoted(text)));
    }
    Ok(text.to_owned())
}

pub(super) fn label_value(text: &str) -> Result<String, String> {
    if !is_printable(text) {
        let message = "expected a label's value without control or invisible characters";
        return Err(format!("{message}, found {}", quoted(text)));
    }
    Ok(text.to_owned())
}

/// What to say about a value that is not what its key wants.
pub(super) fn expected(key: &keys::Key, found: &str) -> String {
    format!("expected {}, found {}", key.form.expected(), quoted(found))
}

#[cfg(test)]
mod tests {
    use super::*;

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
