//! The configuration file: read, checked as a whole, turned into typed values.
//!
//! No room below this floor imports it: `daemon` hands each room its own part. Every problem of a
//! file is found in one run, each with its line; nothing is guessed and nothing unknown is passed
//! over.

mod ca_keys;
mod diagnostic;
pub mod keys;
mod legacy;
mod permit;
mod print;
mod resolve;
mod roles;
mod section;
mod unmatched;
mod weaker;
mod yaml;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::access::{Permissions, Policy, Role, RoleBinding};
use crate::ca::{CaKeys, Installation};
use crate::model::{ClusterName, NameError, text};
use crate::nodes::Node;
use crate::sys::clock::Clock;
use crate::sys::fs::{FsError, read_limited};

use diagnostic::Diagnostics;

pub use diagnostic::{Diagnostic, Severity};
pub use print::{permit_values, to_yaml};
pub use weaker::weaker;

/// The file that is read where none is named and this one is there.
pub const DEFAULT_FILE: &str = "/etc/rproxy/rproxy.yaml";
/// Largest file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Most problems that one error lists.
const MAX_LISTED: usize = 50;

/// The configuration in force: the file's values, with defaults where it is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file's name, as it was given.
    pub file: String,
    /// The SHA-256 of what the file had in it, in hex; `None` where there is none, and the defaults hold.
    pub sha256: Option<String>,
    /// `cluster_name`.
    pub cluster_name: ClusterName,
    /// `data_dir`, or the `--data-dir` flag.
    pub data_dir: PathBuf,
    /// `auth_service`.
    pub auth: AuthService,
    /// `proxy_service`.
    pub proxy: ProxyService,
    /// `upstream`.
    pub upstream: Upstream,
    /// `permit`.
    pub permit: Permissions,
    /// `nodes`.
    pub nodes: Vec<Node>,
    /// `roles`.
    pub roles: Vec<Arc<Role>>,
    /// `users`.
    pub users: Vec<RoleBinding>,
    /// `recording`.
    pub recording: RecordingConfig,
}

impl Config {
    /// What the CAs are opened with.
    #[must_use]
    pub fn installation(&self, clock: Clock) -> Installation<'_> {
        Installation {
            data_dir: &self.data_dir,
            cluster: &self.cluster_name,
            ca_keys: &self.auth.ca_keys,
            clock,
        }
    }

    /// What holds without any file, for the same installation.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn defaults(&self) -> Result<Self, ConfigError> {
        let name = format!("{}: \"{}\"", keys::CLUSTER_NAME.name, self.cluster_name);
        let loaded = parse(Path::new(""), &name, Some(&self.data_dir))?;
        Ok(loaded.config)
    }

    /// Who may go where, as `file` has it.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let (roles, users) = (self.roles.clone(), self.users.clone());
        Policy::new(&self.file, self.permit.clone(), roles, users)
    }
}

/// `auth_service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthService {
    /// `session_recording`.
    pub session_recording: SessionRecording,
    /// `proxy_checks_host_keys`: `false` admits plain host keys.
    pub proxy_checks_host_keys: bool,
    /// `max_ttl`: how long certificates of people may live whose roles do not say it.
    pub max_ttl: Duration,
    /// `ca_keys`: the CAs' keys that agents have.
    pub ca_keys: CaKeys,
}

/// `auth_service.session_recording`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRecording {
    /// Every session is recorded.
    Proxy,
    /// No session is recorded.
    Off,
}

/// `proxy_service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyService {
    /// `listen_addr`.
    pub listen_addr: SocketAddr,
    /// `public_addr`: host and port under which clients reach the listener.
    pub public_addr: Option<(String, u16)>,
    /// `egress_addrs`: networks in CIDR form.
    pub egress_addrs: Vec<String>,
    /// `banner_file`: what everybody reads before they log in.
    pub banner_file: Option<PathBuf>,
    /// `max_connections`.
    pub max_connections: u32,
    /// `max_connections_per_address`.
    pub max_connections_per_address: u32,
    /// `max_connections_per_user`.
    pub max_connections_per_user: u32,
    /// `max_starting`: clients that have not authenticated yet.
    pub max_starting: u32,
    /// `login_grace_time`, at least a second.
    pub login_grace_time: Duration,
    /// `client_idle_timeout`; zero for never.
    pub client_idle_timeout: Duration,
    /// `disconnect_expired_cert`.
    pub disconnect_expired_cert: bool,
    /// `keep_alive_interval`; zero for never.
    pub keep_alive_interval: Duration,
    /// `keep_alive_count_max`.
    pub keep_alive_count_max: u32,
    /// `drain_timeout`: how long connections may go on when the proxy is to stop.
    pub drain_timeout: Duration,
    /// `sandbox`: whether the worker is confined.
    pub sandbox: bool,
    /// The listener of the web, where there is one.
    pub web: Option<Web>,
    /// `metrics_listen_addr`.
    pub metrics_listen_addr: Option<SocketAddr>,
}

/// What `proxy_service` says about the web.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// `web_listen_addr`.
    pub listen_addr: SocketAddr,
    /// The files of HTTPS; `None` for plain HTTP, with `web_plain_http`.
    pub tls: Option<HttpsFiles>,
}

/// The files of HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsFiles {
    /// `https_cert_file`.
    pub cert_file: PathBuf,
    /// `https_key_file`.
    pub key_file: PathBuf,
}

/// `upstream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `max_starting_per_host`: connections that have not authenticated at the host yet.
    pub max_starting_per_host: u32,
    /// `connect_timeout`, at least a second.
    pub connect_timeout: Duration,
}

/// `recording`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingConfig {
    /// `mode`.
    pub mode: RecordingMode,
    /// `pty_input`: whether what is typed into a PTY is stored.
    pub pty_input: bool,
}

/// `recording.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingMode {
    /// No recording, no session.
    Strict,
    /// A session goes on without its recording; the gap is marked and audited.
    BestEffort,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration")]
    Read(#[source] FsError),
    /// The file is not text.
    #[error("{} is not UTF-8", file.display())]
    Encoding {
        /// The file.
        file: PathBuf,
        /// Where its first bad byte is.
        source: std::str::Utf8Error,
    },
    /// The file is text, and something is wrong with it: everything that is.
    #[error("{} in {}{}", count(problems.len()), file.display(), listed(problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// All problems in the order of the lines; never empty.
        problems: Vec<Diagnostic>,
    },
    /// The file names no cluster, and the machine has no host name.
    #[error("no cluster_name, and the machine's host name gives none")]
    NoClusterName(#[source] NameError),
    /// Neither the file nor the environment says where data may be kept.
    #[error("no data directory: neither data_dir nor XDG_STATE_HOME nor HOME is set")]
    NoDataDir,
}

/// A configuration and what somebody should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values in force.
    pub config: Config,
    /// What is legal but risky, in the order of the lines.
    pub warnings: Vec<Diagnostic>,
}

/// Where a configuration comes from: what the global flags say.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file; without one [`DEFAULT_FILE`] if it is there, else the defaults alone.
    pub file: Option<PathBuf>,
    /// The data directory, above the file's.
    pub data_dir: Option<PathBuf>,
}

impl Source {
    /// Reads it, as it is now.
    ///
    /// # Errors
    /// Every problem of the file at once, each with its line and column.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        load(self.file.as_deref(), self.data_dir.as_deref())
    }

    /// The same source, for a program that will read it again: a file that is there now has to be
    /// there then. Its absence would mean the defaults, and those have no roles.
    #[must_use]
    pub fn settled(self) -> Self {
        let default = || {
            Path::new(DEFAULT_FILE)
                .exists()
                .then(|| DEFAULT_FILE.into())
        };
        Self {
            file: self.file.or_else(default),
            ..self
        }
    }
}

fn load(file: Option<&Path>, data_dir: Option<&Path>) -> Result<Loaded, ConfigError> {
    let path = file.unwrap_or_else(|| Path::new(DEFAULT_FILE));
    let bytes = match read_limited(path, MAX_FILE) {
        Err(error) if error.is_not_found() && file.is_none() => None,
        read => Some(read.map_err(ConfigError::Read)?),
    };
    let sha256 = bytes.as_deref().map(sha256);
    let bytes = bytes.unwrap_or_default();
    let text = std::str::from_utf8(&bytes).map_err(|source| ConfigError::Encoding {
        file: path.to_owned(),
        source,
    })?;
    let mut loaded = parse(path, text, data_dir)?;
    loaded.config.sha256 = sha256;
    if let Some(open) = open_to_others(path) {
        loaded.warnings.insert(0, open);
    }
    Ok(loaded)
}

/// In hex, as sha256sum(1) prints it.
fn sha256(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    text::hex(hash.as_ref())
}

/// Reads a configuration from a text; `file` is its name in messages.
///
/// # Errors
/// As [`Source::load`].
pub fn parse(file: &Path, text: &str, data_dir: Option<&Path>) -> Result<Loaded, ConfigError> {
    let mut findings = Diagnostics::new(file.display().to_string(), text);
    let resolved = match yaml::parse(text) {
        Ok(tree) => resolve::file(tree.as_ref(), &mut findings),
        Err(flaw) => {
            findings.error(Some(flaw.place), "", flaw.message);
            None
        }
    };
    let (problems, warnings) = findings.into_parts();
    let Some(resolved) = resolved.filter(|_| problems.is_empty()) else {
        return Err(ConfigError::Invalid {
            file: file.to_owned(),
            problems,
        });
    };
    // A flag may be relative to where the command runs.
    let flag = data_dir.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let data_dir = match flag.or(resolved.data_dir) {
        Some(directory) => directory,
        None => default_data_dir()?,
    };
    let cluster_name = match resolved.cluster_name {
        Some(name) => name,
        None => machine_name()?,
    };
    let config = Config {
        file: file.display().to_string(),
        sha256: None,
        cluster_name,
        data_dir,
        auth: resolved.auth,
        proxy: resolved.proxy,
        upstream: resolved.upstream,
        permit: resolved.permit,
        nodes: resolved.nodes,
        roles: resolved.roles,
        users: resolved.users,
        recording: resolved.recording,
    };
    Ok(Loaded { config, warnings })
}

/// Whether others may write the file, and so decide what this program does. The same rule as
/// sshd's `StrictModes`.
fn open_to_others(file: &Path) -> Option<Diagnostic> {
    let metadata = std::fs::metadata(file).ok()?;
    let ours = rustix::process::geteuid().as_raw();
    let message = if metadata.mode() & 0o022 != 0 {
        format!(
            "others may write this file (mode {:04o})",
            metadata.mode() & 0o7777
        )
    } else if metadata.uid() != 0 && metadata.uid() != ours {
        format!("user {} may write this file", metadata.uid())
    } else {
        return None;
    };
    let mut findings = Diagnostics::new(file.display().to_string(), "");
    findings.warning(None, "", message);
    findings.into_parts().1.pop()
}

/// The machine's host name, without the characters that a cluster's name cannot have.
fn machine_name() -> Result<ClusterName, ConfigError> {
    let uname = rustix::system::uname();
    uname
        .nodename()
        .to_string_lossy()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .collect::<String>()
        .parse()
        .map_err(ConfigError::NoClusterName)
}

/// Where data is kept if nobody says so. A relative `XDG_STATE_HOME` is ignored, as its
/// specification asks for.
fn default_data_dir() -> Result<PathBuf, ConfigError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/rproxy"));
    }
    let directory = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    directory("XDG_STATE_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("rproxy"))
        .ok_or(ConfigError::NoDataDir)
}

fn count(problems: usize) -> String {
    match problems {
        1 => "1 problem".to_owned(),
        several => format!("{several} problems"),
    }
}

/// The problems, one after the other, each on lines of its own.
fn listed(problems: &[Diagnostic]) -> String {
    let mut text: String = problems
        .iter()
        .take(MAX_LISTED)
        .map(|problem| format!("\n{problem}"))
        .collect();
    if problems.len() > MAX_LISTED {
        text.push_str(&format!("\n... and {} more", problems.len() - MAX_LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ssh_key::Fingerprint;

    use super::*;
    use crate::access::{Direction, EndpointPattern, EndpointPatterns, NamePatterns};
    use crate::ca::{AgentSocket, KeyInAgent, KeysInAgents};

    fn parsed(text: &str) -> Config {
        match parse(Path::new("f"), text, Some(Path::new("/data"))) {
            Ok(loaded) => loaded.config,
            Err(error) => panic!("{error}\n{text}"),
        }
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = parsed("# nothing\n");
        assert_eq!(config.data_dir, Path::new("/data"));
        assert_eq!(config.auth.session_recording, SessionRecording::Proxy);
        assert!(config.auth.proxy_checks_host_keys);
        assert_eq!(config.auth.max_ttl, crate::cert::MAX_USER_TTL);
        assert_eq!(config.proxy.listen_addr, "0.0.0.0:3023".parse().unwrap());
        assert_eq!(config.proxy.public_addr, None);
        assert!(config.proxy.egress_addrs.is_empty() && config.nodes.is_empty());
        assert_eq!(config.recording.mode, RecordingMode::Strict);
        assert!(!config.recording.pty_input);
        assert_eq!(config.upstream.max_starting_per_host, 8);
        assert_eq!(config.permit, Permissions::default());
    }

    #[test]
    fn an_empty_list_permits_nothing_and_an_empty_key_is_silent() {
        let permit = |text| parsed(text).permit;
        let nothing =
            permit("permit: { permit_open: [], permit_listen: [none], accept_env: [] }\n");
        assert!(!nothing.may_open("db1", 1) && !nothing.may_listen("", 1));
        assert!(!nothing.accepts_env("LANG"));
        let silent = permit("permit:\n  permit_open:\n  accept_env:\n");
        assert_eq!(silent, Permissions::default());
    }

    #[test]
    fn empty_sections_mean_the_defaults_too() {
        let sections = "auth_service:\nproxy_service:\nupstream:\npermit:\nnodes:\nrecording:\n";
        assert_eq!(parsed(sections), parsed(""));
    }

    #[test]
    fn the_flag_stands_above_the_file() {
        let text = "data_dir: /file\n";
        let loaded = |flag| parse(Path::new("f"), text, flag).unwrap().config.data_dir;
        assert_eq!(loaded(None), Path::new("/file"));
        assert_eq!(loaded(Some(Path::new("/flag"))), Path::new("/flag"));
        assert!(loaded(Some(Path::new("here"))).is_absolute());
    }

    #[test]
    fn the_hash_is_that_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rproxy.yaml");
        let text = "cluster_name: c\n";
        crate::sys::fs::write_whole(
            &file,
            text.as_bytes(),
            0o600,
            crate::sys::fs::Replace::Refuse,
        )
        .unwrap();
        let source = Source {
            file: Some(file),
            data_dir: Some(directory.path().to_owned()),
        };
        let config = source.load().unwrap().config;
        let expected = "bdb08fc5bcf61215a2008a59ec9fb7eaedb89c7f4e5cb2b996a86a92cbd39ab7";
        assert_eq!(config.sha256.as_deref(), Some(expected));
        assert_eq!(config.defaults().unwrap().sha256, None);
    }

    #[test]
    fn a_flood_of_problems_is_cut() {
        let text: String = (0..1000).map(|n| format!("wrong{n}: 1\n")).collect();
        let error = parse(Path::new("f"), &text, None).unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with("1000 problems in f\n"), "{shown}");
        assert!(shown.ends_with("\n... and 950 more"), "{shown}");
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-z0-9_]([a-z0-9-]{0,10}[a-z0-9])?"
    }

    fn permissions() -> impl Strategy<Value = Permissions> {
        let direction = || {
            use Direction::{Both, Local, Neither, Remote};
            proptest::sample::select(vec![Both, Neither, Local, Remote])
        };
        let endpoints = || {
            let some = proptest::collection::vec(("([a-z0-9.]{1,5}|\\[::1\\]|\\*)", 1u16..), 0..4)
                .prop_map(|endpoints| {
                    let parse = |(host, port)| EndpointPattern::open(&format!("{host}:{port}"));
                    EndpointPatterns::Only(
                        endpoints
                            .into_iter()
                            .map(parse)
                            .map(Result::unwrap)
                            .collect(),
                    )
                });
            prop_oneof![Just(EndpointPatterns::Any), some]
        };
        let names = proptest::collection::vec("[A-Z_*?]{1,6}", 0..4);
        (
            (direction(), direction()),
            (endpoints(), endpoints()),
            names,
            proptest::array::uniform3(proptest::bool::ANY),
            1u32..1000,
        )
            .prop_map(
                |((tcp, unix), (open, listen), names, [x11, agent, nested], sessions)| {
                    Permissions {
                        port_forwarding: tcp,
                        permit_open: open,
                        permit_listen: listen,
                        x11,
                        agent,
                        streamlocal: unix,
                        nested_ssh: nested,
                        accept_env: NamePatterns::new(
                            names.iter().map(|name| name.parse().unwrap()).collect(),
                        ),
                        max_sessions: sessions,
                    }
                },
            )
    }

    fn ca_keys() -> impl Strategy<Value = CaKeys> {
        let agent = prop_oneof![
            Just(AgentSocket::Environment),
            "/[^\0]{0,20}".prop_map(|path| AgentSocket::Path(PathBuf::from(path))),
        ];
        let key = (agent, any::<[u8; 32]>()).prop_map(|(agent, key)| KeyInAgent {
            agent,
            key: Fingerprint::Sha256(key),
        });
        let key = || proptest::option::of(key.clone());
        let keys = || (key(), key()).prop_map(|(current, next)| KeysInAgents { current, next });
        (keys(), keys()).prop_map(|(user, host)| CaKeys { user, host })
    }

    /// Text of this pattern in which everything is seen.
    fn visible(pattern: &'static str) -> impl Strategy<Value = String> {
        pattern.prop_filter("visible", |text| text::is_printable(text))
    }

    proptest! {
        #[test]
        fn what_is_printed_loads_back(
            cluster in "[a-zA-Z0-9._-]{1,20}",
            directory in "/[^\0]{0,20}",
            switches: [bool; 4],
            counts in proptest::array::uniform6(1u32..=1_000_000),
            seconds in proptest::array::uniform4(1u64..31_449_600),
            permit in permissions(),
            ca_keys in ca_keys(),
            max_ttl in (1u64..=52 * 7 * 86_400).prop_map(Duration::from_secs),
            listen: (u32, u16),
            web in proptest::option::of((proptest::bool::ANY, "/[^\0]{0,20}")),
            public in proptest::option::of((name(), 1u16..)),
            nodes in proptest::collection::btree_map(
                name(),
                (name(), 1u16.., proptest::collection::btree_map(visible("[^=\\s\\p{C}]{1,8}"), visible("\\PC{0,8}"), 0..3)),
                0..4,
            ),
        ) {
            let [off, checks, best_effort, pty_input] = switches;
            let config = Config {
                file: "f".to_owned(),
                sha256: None,
                cluster_name: cluster.parse().unwrap(),
                data_dir: PathBuf::from(directory),
                auth: AuthService {
                    session_recording: if off { SessionRecording::Off } else { SessionRecording::Proxy },
                    proxy_checks_host_keys: checks,
                    max_ttl,
                    ca_keys,
                },
                proxy: ProxyService {
                    listen_addr: SocketAddr::new(std::net::Ipv4Addr::from(listen.0).into(), listen.1),
                    public_addr: public,
                    egress_addrs: vec!["10.0.0.0/8".to_owned(), "2001:db8::/32".to_owned()],
                    banner_file: Some(PathBuf::from("/etc/rproxy/banner")),
                    max_connections: counts[0],
                    max_connections_per_address: counts[1],
                    max_connections_per_user: counts[2],
                    max_starting: counts[3],
                    login_grace_time: Duration::from_secs(seconds[0]),
                    client_idle_timeout: Duration::from_secs(seconds[1] - 1),
                    disconnect_expired_cert: pty_input,
                    keep_alive_interval: Duration::from_secs(seconds[2] - 1),
                    keep_alive_count_max: counts[4],
                    drain_timeout: Duration::from_secs(seconds[0] - 1),
                    sandbox: checks,
                    web: web.map(|(is_plain, path)| Web {
                        listen_addr: SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), listen.1),
                        tls: (!is_plain).then(|| HttpsFiles {
                            cert_file: PathBuf::from(&path),
                            key_file: PathBuf::from(&path),
                        }),
                    }),
                    metrics_listen_addr: checks.then(|| SocketAddr::new(std::net::Ipv4Addr::from(listen.0).into(), listen.1)),
                },
                upstream: Upstream {
                    max_starting_per_host: counts[5],
                    connect_timeout: Duration::from_secs(seconds[3]),
                },
                permit,
                nodes: nodes.into_iter().map(|(name, (host, port, labels))| Node {
                    name,
                    host,
                    port,
                    labels: labels
                        .into_iter()
                        .map(|(key, value)| crate::model::Label { key, value })
                        .collect(),
                    legacy: crate::wire::Legacy::all().take(usize::from(port) % 8).collect(),
                }).collect(),
                roles: Vec::new(),
                users: Vec::new(),
                recording: RecordingConfig {
                    mode: if best_effort { RecordingMode::BestEffort } else { RecordingMode::Strict },
                    pty_input,
                },
            };
            let text = to_yaml(&config);
            let loaded = match parse(Path::new("f"), &text, None) {
                Ok(loaded) => loaded.config,
                Err(error) => return Err(TestCaseError::fail(format!("{error}\n{text}"))),
            };
            prop_assert_eq!(loaded, config);
        }
    }
}
