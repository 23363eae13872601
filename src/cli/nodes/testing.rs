//! A data directory with hosts that have joined, for tests of commands.

use std::path::Path;

use serde_json::Value;
use uuid::Uuid;

use crate::cli::stored;
use crate::cli::{Context, Exit, Failure};
use crate::config;
use crate::model::{Label, NodeId, TunnelRule};
use crate::state::{Heartbeat, JoinedNode, Joining, NodeCertificate, State, Token};
use crate::sys::clock::Clock;

/// A proxy with a host of its own.
pub(in crate::cli) const CONFIG: &str = "\
cluster_name: example.com
proxy_service: { public_addr: proxy.example.com:3024 }
nodes:
  - { name: web1, addr: 10.0.0.7, labels: { env: prod } }
";

/// A data directory, gone with the test.
pub(in crate::cli) struct HostsFixture {
    pub(in crate::cli) context: Context,
    _directory: tempfile::TempDir,
}

impl HostsFixture {
    pub(in crate::cli) fn new() -> Self {
        Self::of(CONFIG)
    }

    pub(in crate::cli) fn of(file: &str) -> Self {
        let directory = crate::sys::fs::private_tempdir();
        let loaded = config::parse(Path::new("r.yaml"), file, Some(directory.path())).unwrap();
        Self {
            context: Context {
                config: loaded.config,
                warnings: loaded.warnings,
            },
            _directory: directory,
        }
    }

    /// The state, which is made where there is none.
    pub(in crate::cli) fn state(&self) -> State {
        stored::made(&self.context).unwrap()
    }

    /// A host joins as the proxy would have it join.
    pub(in crate::cli) fn join(&self, node: &JoinedNode) {
        let state = self.state();
        let token = token();
        state.tokens().put(&token).unwrap();
        let joined = state.nodes().join(node, &token.hash, state.now()).unwrap();
        assert_eq!(joined, Joining::Joined(node.id));
    }

    /// The names of the audit log's events.
    pub(in crate::cli) fn audited(&self) -> Vec<String> {
        let events = self.audit_log();
        let names = events.iter().map(|event| event["event"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }

    pub(in crate::cli) fn audit_log(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.context.config.data_dir.audit_log());
        let log = log.unwrap_or_default();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// What a command has refused to do.
pub(in crate::cli) fn refused(done: Result<String, Failure>) -> String {
    let failure = done.unwrap_err();
    assert_eq!(failure.exit(), Exit::Failed, "{failure}");
    failure.to_string()
}

fn token() -> Token {
    let now = Clock::System.unix_seconds();
    Token {
        id: Uuid::now_v7(),
        hash: Uuid::now_v7().to_string(),
        names: Vec::new(),
        labels: Vec::new(),
        tunnel: TunnelRule::No,
        uses: 1,
        created: now,
        expires: now + 600,
        created_by: "root".to_owned(),
    }
}

/// A host that has reported just now.
pub(in crate::cli) fn node(name: &str, labels: &[&str]) -> JoinedNode {
    let now = Clock::System.unix_seconds();
    let labels: Vec<Label> = labels.iter().map(|label| label.parse().unwrap()).collect();
    JoinedNode {
        id: NodeId::new(),
        name: name.to_owned(),
        names: vec![name.to_owned(), format!("{name}-alias")],
        key: "ssh-ed25519 AAAA".to_owned(),
        fingerprint: format!("SHA256:{name}"),
        token: Uuid::nil(),
        forced_labels: labels.iter().take(1).cloned().collect(),
        labels,
        tunnel: TunnelRule::No,
        address: "10.0.0.5".to_owned(),
        port: 2222,
        joined: now - 4_000,
        certificate: Some(NodeCertificate {
            serial: 7,
            begins: now - 3_600,
            expires: now + 86_400,
            authority: "SHA256:ca".to_owned(),
        }),
        lock: None,
        heartbeat: Some(Heartbeat {
            at: now,
            client: "203.0.113.7".to_owned(),
            sshd: "OpenSSH_9.2p1".to_owned(),
            uptime: 7_260,
            clock_ahead: -3,
            addresses: vec!["10.0.0.5".to_owned()],
            user_cas: vec!["SHA256:user".to_owned()],
            host_cas: vec!["SHA256:ca".to_owned()],
            certificate: Some(7),
            revocations: Some(17),
            ..Heartbeat::default()
        }),
    }
}
