//! The inventory, for commands: the hosts of the configuration, and those that have joined.

use std::collections::{HashMap, HashSet};

use super::{Exit, Failure, ui};
use crate::config::{Config, Diagnostic};
use crate::model::{NodeId, TunnelRule, chain};
use crate::nodes::{Inventory, NameClash, Node};
use crate::state::{JoinedNode, OpenTunnel, ProxyRow, State, StateError};
use crate::sys::clock::Clock;

/// The hosts of the inventory. Of a name that is in the configuration and has joined, the configuration
/// counts.
#[derive(Debug)]
pub(crate) struct HostList {
    listed: Vec<Node>,
    joined: Vec<JoinedNode>,
    /// The newest tunnel of each node that has one.
    tunnels: HashMap<NodeId, OpenTunnel>,
    proxies: Vec<ProxyRow>,
    now: u64,
}

impl HostList {
    /// Reads the state, if there is one: nothing is made or changed.
    ///
    /// # Errors
    /// When the state is there and cannot be read.
    pub(crate) fn read(config: &Config) -> Result<Self, StateError> {
        match State::look(&config.state_place()?, Clock::System)? {
            Some(state) => Self::of(config, &state),
            None => Ok(Self::without_state(config)),
        }
    }

    /// The same, of a state that is open.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(crate) fn of(config: &Config, state: &State) -> Result<Self, StateError> {
        let mut tunnels = HashMap::new();
        for tunnel in state.nodes().tunnels()? {
            tunnels.entry(tunnel.node).or_insert(tunnel);
        }
        Ok(Self {
            joined: state.nodes().list()?,
            tunnels,
            proxies: state.proxies().list()?,
            now: state.now(),
            ..Self::without_state(config)
        })
    }

    /// The hosts of the configuration.
    pub(crate) fn without_state(config: &Config) -> Self {
        Self {
            listed: config.nodes.clone(),
            joined: Vec::new(),
            tunnels: HashMap::new(),
            proxies: Vec::new(),
            now: 0,
        }
    }

    /// All of them, for commands that can do without the hosts that have joined: on a machine without the
    /// state, or as an account that may not read it. The user is told.
    pub(crate) fn readable(config: &Config) -> Self {
        Self::read(config).unwrap_or_else(|error| {
            ui::note(&format!(
                "rproxy: warning: hosts that have joined are not known, the state cannot be read: {}",
                chain(&error)
            ));
            Self::without_state(config)
        })
    }

    /// The hosts of the configuration.
    pub(crate) fn listed(&self) -> &[Node] {
        &self.listed
    }

    /// The hosts that have joined and are not in the configuration.
    pub(crate) fn joined(&self) -> impl Iterator<Item = &JoinedNode> {
        let listed = self
            .listed
            .iter()
            .map(|node| node.name.to_ascii_lowercase());
        let listed: HashSet<String> = listed.collect();
        let joined = self.joined.iter();
        joined.filter(move |node| !listed.contains(node.name.as_str()))
    }

    /// The names of the configuration that a host has joined with, too.
    pub(crate) fn names_in_both(&self) -> Vec<&str> {
        let has_joined = |name: &&str| self.joined.iter().any(|node| has_name(node, name));
        let names = self.listed.iter().map(|node| node.name.as_str());
        names.filter(has_joined).collect()
    }

    /// The names of all hosts: those of the configuration in its order, then all names of those that have
    /// joined.
    pub(crate) fn names(&self) -> Vec<String> {
        let listed = self.listed.iter().map(|node| node.name.clone());
        let joined = self.joined().flat_map(|node| node.names.clone());
        listed.chain(joined).collect()
    }

    /// The inventory as the proxy has it.
    ///
    /// # Errors
    /// As [`Inventory::new`].
    pub(crate) fn inventory(&self, config: &Config) -> Result<Inventory, Failure> {
        // Clashes of names are the proxy's to tell, and `serve --check`'s.
        let (inventory, _clashes) = self.merged(config)?;
        Ok(inventory)
    }

    /// The names of hosts that have joined, which the configuration has for other hosts: these count.
    ///
    /// # Errors
    /// As [`Inventory::new`].
    pub(crate) fn clashes(&self, config: &Config) -> Result<Vec<NameClash>, Failure> {
        let (_inventory, mut clashes) = self.merged(config)?;
        clashes.retain(|clash| clash.is_listed);
        Ok(clashes)
    }

    fn merged(&self, config: &Config) -> Result<(Inventory, Vec<NameClash>), Failure> {
        let listed = Inventory::new(config.cluster_name.clone(), self.listed.clone());
        let listed = listed.map_err(|error| {
            Failure::new(Exit::Configuration, "cannot make the inventory").because(error)
        })?;
        Ok(listed.with_joined(self.joined.iter().map(as_node)))
    }

    /// The hosts that are dialled at an address: not those behind tunnels, and none that is locked.
    pub(crate) fn dialled(&self) -> Vec<Node> {
        let joined = self.joined();
        let joined = joined.filter(|node| node.lock.is_none() && !self.is_tunnelled(node));
        let listed = self.listed.iter().cloned();
        listed.chain(joined.map(as_node)).collect()
    }

    /// The tunnel that a host keeps open.
    pub(crate) fn tunnel_of(&self, node: &JoinedNode) -> Option<&OpenTunnel> {
        self.tunnels.get(&node.id)
    }

    /// Where other proxies reach the proxy at which a tunnel ends, if it has said so.
    pub(crate) fn proxy_of(&self, tunnel: &OpenTunnel) -> Option<&str> {
        let proxy = self.proxies.iter().find(|proxy| proxy.id == tunnel.proxy);
        let address = proxy.map(|proxy| proxy.address.as_str());
        address.filter(|address| !address.is_empty())
    }

    /// Whether a host that has joined is reached through its tunnel, and not at its address.
    pub(crate) fn is_tunnelled(&self, node: &JoinedNode) -> bool {
        match node.tunnel {
            TunnelRule::No => false,
            TunnelRule::Allowed => self.tunnel_of(node).is_some(),
            TunnelRule::Required => true,
        }
    }

    /// Whether the host with this id has joined, and is reached through its tunnel.
    pub(crate) fn is_behind_tunnel(&self, id: NodeId) -> bool {
        let mut joined = self.joined.iter();
        joined.any(|node| node.id == id && self.is_tunnelled(node))
    }

    /// Whether a host that has joined reports.
    pub(crate) fn is_online(&self, node: &JoinedNode) -> bool {
        node.is_online(self.now)
    }
}

/// The warnings about a configuration that hold with the hosts that have joined. If the state cannot be read,
/// all do: that is for others to tell.
pub(crate) fn that_hold<'w>(config: &Config, warnings: &'w [Diagnostic]) -> Vec<&'w Diagnostic> {
    // A database that cannot be reached is waited for.
    if !warnings.iter().any(Diagnostic::is_about_nodes) {
        return warnings.iter().collect();
    }
    let hosts = HostList::read(config).unwrap_or_else(|_told| HostList::without_state(config));
    let joined: Vec<Node> = hosts.joined().map(as_node).collect();
    let warnings = warnings.iter();
    warnings
        .filter(|warning| warning.holds_with(&joined))
        .collect()
}

/// A host that has joined, as the inventory has it.
fn as_node(node: &JoinedNode) -> Node {
    let others = node.names.iter().filter(|other| **other != node.name);
    Node {
        name: node.name.clone(),
        also_named: others.cloned().collect(),
        host: node.address.clone(),
        port: node.port,
        labels: node.labels.clone(),
        legacy: Vec::new(),
        id: Some(node.id),
        tunnel: node.tunnel,
        is_locked: node.lock.is_some(),
    }
}

/// When a host that has joined has last reported, in seconds since the epoch.
pub(crate) fn last_seen(node: &JoinedNode) -> u64 {
    let heartbeat = node.heartbeat.as_ref();
    heartbeat.map_or(node.joined, |heartbeat| heartbeat.at)
}

/// Whether this is one of the names of a host that has joined.
pub(crate) fn has_name(node: &JoinedNode, name: &str) -> bool {
    let mut names = node.names.iter().chain([&node.name]);
    names.any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::nodes::testing::{HostsFixture, node};

    #[test]
    fn a_rule_about_hosts_that_have_joined_is_no_risk() {
        let fixture = HostsFixture::of(
            "cluster_name: example.com
nodes: [{ name: web1, addr: 10.0.0.7 }]
roles:
  - name: dba
    allow:
      - { nodes: [\"db*\"], labels: { role: db } }
      - { nodes: [web1], labels: { role: web } }
      - { labels: { role: dbb } }
",
        );
        let told = || {
            let context = &fixture.context;
            let mut told = that_hold(&context.config, &context.warnings);
            told.retain(|warning| warning.is_about_nodes());
            let told = told.into_iter();
            told.map(|warning| format!("{}: {}", warning.key(), warning.message()))
                .collect::<Vec<_>>()
        };
        let label = |rule: usize, value: &str| {
            format!(
                "roles[0].allow[{rule}].labels: no node of the configuration has a label \"role={value}\""
            )
        };
        let name = "roles[0].allow[0].nodes: no node of the configuration is called \"db*\": \
                    this is about other hosts alone";
        let (db, web, other) = (label(0, "db"), label(1, "web"), label(2, "dbb"));
        assert_eq!(told(), [name, &db, &web, &other]);
        fixture.join(&node("db1", &["role=db"]));
        assert_eq!(told(), [web, other]);
    }
}
