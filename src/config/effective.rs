//! The configuration in force: the values of the file, and defaults for the rest.

use std::sync::Arc;

use super::auth::AuthService;
use super::keys;
use super::nodes::print_node;
use super::permit::print_permit;
use super::proxy::ProxyService;
use super::recording::RecordingConfig;
use super::roles::print_role;
use super::state::StateConfig;
use super::upstream::Upstream;
use super::users::{known_role, print_user};
use super::value::yaml_text;
use crate::access::{Permissions, Policy, Role, RoleBinding};
use crate::ca::Installation;
use crate::model::{ClusterName, DataDir, UserName};
use crate::nodes::Node;
use crate::state::{self, StatePlace};
use crate::sys::clock::Clock;
use crate::sys::fs::FsError;

/// The configuration in force: the file's values, with defaults where it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file's name, as it was given.
    pub file: String,
    /// The SHA-256 of what the file had in it, in hex; `None` where there is none, and the defaults hold.
    pub sha256: Option<String>,
    /// `cluster_name`.
    pub cluster_name: ClusterName,
    /// `data_dir`, or the `--data-dir` flag.
    pub data_dir: DataDir,
    /// `auth_service`.
    pub auth: AuthService,
    /// `state`.
    pub state: StateConfig,
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
            records: state::records(self.state_place(), &self.data_dir, clock),
            clock,
        }
    }

    /// Where the state is. With `state.password_file`, that file is read.
    ///
    /// # Errors
    /// When it cannot be read, or others may read it.
    pub fn state_place(&self) -> Result<StatePlace, FsError> {
        self.state.place(&self.data_dir)
    }

    /// The policy of `permit`, `roles` and `users`.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let (roles, users) = (self.roles.clone(), self.users.clone());
        Policy::new(&self.file, self.permit.clone(), roles, users)
    }

    /// A role of this configuration.
    ///
    /// # Errors
    /// There is none of this name; a similar name is named.
    pub fn role(&self, name: &str) -> Result<Arc<Role>, String> {
        known_role(name, &self.roles)
    }

    /// The line of `users` that has this name, and no pattern that matches it. Case does not count.
    #[must_use]
    pub fn line_of_user(&self, name: &UserName) -> Option<usize> {
        let is_it = |member: &&RoleBinding| {
            let text = member.name.to_string();
            text.eq_ignore_ascii_case(name.as_str())
        };
        self.users.iter().find(is_it).map(|member| member.line)
    }

    /// Takes from `old`, the configuration in force, what a running proxy cannot change until it is
    /// restarted. The keys that differed, by their paths.
    #[must_use]
    pub fn keep_until_restart(&mut self, old: &Self) -> Vec<String> {
        // A new section has to say here which of its keys a running proxy can change.
        let Self {
            file: _,
            sha256: _,
            cluster_name,
            data_dir,
            auth,
            state,
            proxy,
            upstream,
            permit: _,
            nodes: _,
            roles: _,
            users: _,
            recording,
        } = self;
        let mut kept = Vec::new();
        if *cluster_name != old.cluster_name {
            cluster_name.clone_from(&old.cluster_name);
            kept.push(keys::CLUSTER_NAME.name.to_owned());
        }
        if *data_dir != old.data_dir {
            data_dir.clone_from(&old.data_dir);
            kept.push(keys::DATA_DIR.name.to_owned());
        }
        kept.extend(auth.keep_until_restart(&old.auth));
        kept.extend(state.keep_until_restart(&old.state));
        kept.extend(proxy.keep_until_restart(&old.proxy));
        kept.extend(upstream.keep_until_restart(&old.upstream));
        kept.extend(recording.keep_until_restart(&old.recording));
        kept
    }
}

/// Writes every key, defaults included, as YAML that loads back to the same.
#[must_use]
pub fn to_yaml(config: &Config) -> String {
    let Config {
        file: _,
        sha256: _,
        cluster_name,
        data_dir,
        auth,
        state,
        proxy,
        upstream,
        permit,
        nodes,
        roles,
        users,
        recording,
    } = config;
    let line = |key: &keys::Key, value: &str| format!("{}: {}", key.name, yaml_text(value));
    let mut lines = vec![
        line(&keys::CLUSTER_NAME, cluster_name.as_str()),
        line(&keys::DATA_DIR, &data_dir.path().to_string_lossy()),
    ];
    lines.extend(auth.print());
    lines.extend(state.print());
    lines.extend(proxy.print());
    lines.extend(upstream.print());
    lines.extend(print_permit(permit));
    if nodes.is_empty() {
        lines.push(format!("{}: []", keys::NODES.name));
    } else {
        lines.push(format!("{}:", keys::NODES.name));
        lines.extend(nodes.iter().map(print_node));
    }
    if !roles.is_empty() {
        lines.push(format!("{}:", keys::ROLES.name));
        lines.extend(roles.iter().flat_map(|role| print_role(role)));
    }
    if !users.is_empty() {
        lines.push(format!("{}:", keys::USERS.name));
        lines.extend(users.iter().map(print_user));
    }
    lines.extend(recording.print());
    lines.join("\n") + "\n"
}
