//! Merges the hosts that have joined with the nodes of the configuration to one inventory, in which a
//! name never means two.
//!
//! What the configuration says counts. A host says of itself which names it wants and at which address
//! it is; the process that lets it join refuses names that are taken, and here nothing relies on that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use super::inventory::without_cluster;
use super::{Inventory, Node};
use crate::model::{ClusterName, NodeId};

/// A host has joined under a name that is taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameClash {
    /// The name.
    pub name: String,
    /// The host that has joined.
    pub id: NodeId,
    /// The host's own name; the same as `name` if it is not reached at all.
    pub node: String,
    /// The node that has the name.
    pub holder: String,
    /// Whether the configuration has the node that has the name.
    pub is_listed: bool,
}

impl fmt::Display for NameClash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            id,
            node,
            holder,
            is_listed,
        } = self;
        let whose = match is_listed {
            true => "a node of the configuration",
            false => "another host that has joined",
        };
        write!(
            f,
            "the name {name} of the host {id} that has joined is taken by {holder}, {whose}; "
        )?;
        match name == node {
            true => write!(
                f,
                "the host is not reached until one of them has another name"
            ),
            false => write!(f, "the host is reached as {node}"),
        }
    }
}

/// The names that are taken, without the cluster's name behind them.
#[derive(Debug)]
struct Taken<'c> {
    cluster: &'c ClusterName,
    /// Each with the node that has it, and whether the configuration lists that.
    names: BTreeMap<String, (String, bool)>,
}

impl Taken<'_> {
    fn holder(&self, name: &str) -> Option<&(String, bool)> {
        self.names.get(self.plain(name))
    }

    fn take(&mut self, name: &str, holder: &str, is_listed: bool) {
        let name = self.plain(name).to_owned();
        let holder = (holder.to_owned(), is_listed);
        self.names.entry(name).or_insert(holder);
    }

    fn plain<'n>(&self, name: &'n str) -> &'n str {
        without_cluster(name, self.cluster).unwrap_or(name)
    }
}

impl Inventory {
    /// The nodes of the configuration, and these hosts that have joined: instead of those that joined
    /// before. Of two hosts that have joined, the one that joined first keeps a name. The clashes, in
    /// their order.
    ///
    /// A host whose own name is taken is no node. Of its other names, those that are taken do not count.
    #[must_use]
    pub fn with_joined(&self, joined: impl IntoIterator<Item = Node>) -> (Self, Vec<NameClash>) {
        let listed = self.nodes.iter().filter(|node| node.id.is_none());
        let mut merged = Self {
            cluster: self.cluster.clone(),
            nodes: listed.cloned().collect(),
            aliases: BTreeMap::new(),
            joined: BTreeSet::new(),
        };
        let mut taken = Taken {
            cluster: &self.cluster,
            names: BTreeMap::new(),
        };
        for node in &merged.nodes {
            taken.take(&node.name, &node.name, true);
        }
        for node in &merged.nodes {
            if node.host.parse::<IpAddr>().is_err() {
                taken.take(&node.host.to_ascii_lowercase(), &node.name, true);
            }
        }
        let mut joined: Vec<Node> = joined.into_iter().collect();
        // The ids begin with the time.
        joined.sort_by_key(|node| node.id);
        let mut clashes = Vec::new();
        for mut node in joined {
            let Some(id) = node.id else {
                continue;
            };
            merged.joined.insert(id);
            node.name.make_ascii_lowercase();
            let clash = |taken: &Taken<'_>, name: &str, node: &str| {
                taken.holder(name).map(|(holder, is_listed)| NameClash {
                    name: name.to_owned(),
                    id,
                    node: node.to_owned(),
                    holder: holder.clone(),
                    is_listed: *is_listed,
                })
            };
            if let Some(clash) = clash(&taken, &node.name, &node.name) {
                clashes.push(clash);
                continue;
            }
            taken.take(&node.name, &node.name, false);
            for mut alias in std::mem::take(&mut node.also_named) {
                alias.make_ascii_lowercase();
                match clash(&taken, &alias, &node.name) {
                    Some(clash) if clash.holder != node.name => clashes.push(clash),
                    _ if alias == node.name => {}
                    _ => {
                        taken.take(&alias, &node.name, false);
                        merged.aliases.insert(alias.clone(), node.name.clone());
                        node.also_named.push(alias);
                    }
                }
            }
            merged.nodes.push(node);
        }
        merged.nodes.sort_by(|a, b| a.name.cmp(&b.name));
        (merged, clashes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::HostWay;
    use crate::model::{Target, TunnelRule};
    use crate::nodes::{DEFAULT_PORT, Match, ResolveError};

    fn listed(name: &str, host: &str) -> Node {
        Node {
            name: name.to_owned(),
            host: host.to_owned(),
            port: DEFAULT_PORT,
            ..Node::default()
        }
    }

    fn joined(names: &[&str], host: &str, tunnel: TunnelRule) -> Node {
        let mut names = names.iter().map(ToString::to_string);
        Node {
            name: names.next().unwrap(),
            also_named: names.collect(),
            id: Some(NodeId::new()),
            tunnel,
            ..listed("", host)
        }
    }

    fn inventory(nodes: Vec<Node>) -> Inventory {
        Inventory::new("example.com".parse().unwrap(), nodes).unwrap()
    }

    fn resolve(inventory: &Inventory, target: &str) -> Result<Match, ResolveError> {
        inventory.resolve(&Target::from_subsystem(&format!("proxy:{target}")).unwrap())
    }

    /// The node that a name leads to.
    fn node(inventory: &Inventory, target: &str) -> Option<Node> {
        resolve(inventory, target).ok()?.node
    }

    fn told(clashes: &[NameClash]) -> Vec<String> {
        let texts = clashes.iter().map(|clash| {
            let text = clash.to_string();
            text.replace(&clash.id.to_string(), "ID")
        });
        texts.collect()
    }

    #[test]
    fn a_host_that_has_joined_is_found_by_all_its_names_and_shows_any_of_them() {
        let base = inventory(vec![listed("web1", "10.0.0.1")]);
        let db1 = joined(&["db1", "Primary"], "10.0.0.5", TunnelRule::No);
        let (merged, clashes) = base.with_joined([db1.clone()]);
        assert!(clashes.is_empty());
        for name in ["db1", "DB1.example.com", "primary", "primary.example.com"] {
            let found = resolve(&merged, &format!("{name}:22")).unwrap();
            assert_eq!(found.node.as_ref().unwrap().id, db1.id, "{name}");
            assert!(found.names.contains(&"db1".to_owned()));
            assert!(found.names.contains(&name.to_ascii_lowercase()));
        }
        assert_eq!(merged.nodes().len(), 2);
        assert!(merged.has_joined(db1.id.unwrap()) && !base.has_joined(db1.id.unwrap()));
        // The next merge begins with the configuration again.
        let (empty, _) = merged.with_joined([]);
        assert_eq!(empty.nodes(), base.nodes());
        assert!(!empty.has_joined(db1.id.unwrap()));
    }

    #[test]
    fn what_the_configuration_says_counts_and_clashes_are_told() {
        let base = inventory(vec![
            listed("db1", "db1.internal"),
            listed("web1", "10.0.0.1"),
        ]);
        let taken = joined(&["DB1", "other"], "10.0.0.9", TunnelRule::Required);
        let first = joined(&["app", "web1", "db1.internal"], "10.0.0.8", TunnelRule::No);
        let second = joined(&["app.example.com"], "10.0.0.7", TunnelRule::No);
        let hosts = [second.clone(), first.clone(), taken.clone()];
        let (merged, clashes) = base.with_joined(hosts);
        assert_eq!(
            told(&clashes),
            [
                "the name db1 of the host ID that has joined is taken by db1, a node of the configuration; the host is not reached until one of them has another name",
                "the name web1 of the host ID that has joined is taken by web1, a node of the configuration; the host is reached as app",
                "the name db1.internal of the host ID that has joined is taken by db1, a node of the configuration; the host is reached as app",
                "the name app.example.com of the host ID that has joined is taken by app, another host that has joined; the host is not reached until one of them has another name",
            ]
        );
        assert_eq!(node(&merged, "db1:22").unwrap().id, None);
        assert_eq!(node(&merged, "db1.internal:22").unwrap().name, "db1");
        assert_eq!(node(&merged, "web1:22").unwrap().id, None);
        assert_eq!(node(&merged, "other:22"), None);
        assert_eq!(node(&merged, "app.example.com:22").unwrap().id, first.id);
        // It has joined all the same: connections that it had go on.
        assert!(merged.has_joined(taken.id.unwrap()) && merged.has_joined(second.id.unwrap()));
    }

    /// What a host says about its address leads nobody into its tunnel, and away from nothing.
    #[test]
    fn an_address_leads_to_the_node_of_the_configuration_and_never_into_a_tunnel() {
        let base = inventory(vec![listed("web1", "10.0.0.1")]);
        let evil = |tunnel| joined(&["a"], "10.0.0.1", tunnel);
        for tunnel in TunnelRule::ALL {
            let (merged, _) = base.with_joined([evil(tunnel)]);
            assert_eq!(node(&merged, "10.0.0.1:22").unwrap().name, "web1");
            let places = merged.places_by_text("10.0.0.1", 22);
            assert_eq!(places.len(), 1, "{tunnel:?}");
            let (alone, _) = inventory(Vec::new()).with_joined([evil(tunnel)]);
            let found = node(&alone, "10.0.0.1:22").map(|node| node.way());
            let direct = (tunnel == TunnelRule::No).then_some(HostWay::Direct);
            assert_eq!(found, direct, "{tunnel:?}");
            // The policy goes by every node that may be there.
            let places = alone.places_by_text("10.0.0.1", 22).len();
            assert_eq!(places, usize::from(tunnel != TunnelRule::Required));
            // Its certificate is for its own names.
            let named = merged.places_named_by(&["10.0.0.1".to_owned()], 22);
            assert_eq!(named.first().unwrap().name, "web1");
            assert!(
                alone
                    .places_named_by(&["10.0.0.1".to_owned()], 22)
                    .is_empty()
            );
        }
    }

    #[test]
    fn the_rule_for_tunnels_says_how_a_node_is_reached() {
        let way = |tunnel| joined(&["a"], "10.0.0.1", tunnel).way();
        assert_eq!(way(TunnelRule::No), HostWay::Direct);
        assert!(matches!(
            way(TunnelRule::Allowed),
            HostWay::TunnelOrDirect(_)
        ));
        assert!(matches!(way(TunnelRule::Required), HostWay::Tunnel(_)));
        let by_hand = Node {
            tunnel: TunnelRule::Required,
            ..listed("a", "10.0.0.1")
        };
        assert_eq!(by_hand.way(), HostWay::Direct);
    }

    const NAMES: [&str; 8] = [
        "a",
        "b",
        "c",
        "a.example.com",
        "B.example.com",
        "c.internal",
        "A",
        "b.example.org",
    ];
    const HOSTS: [&str; 5] = ["10.0.0.1", "10.0.0.2", "c.internal", "b", "10.0.0.3"];

    fn names() -> impl Strategy<Value = Vec<usize>> {
        proptest::collection::vec(0..NAMES.len(), 1..4)
    }

    proptest! {
        /// A name never means two nodes, each node is found by each of its names, and what the
        /// configuration leads to stays.
        #[test]
        fn no_name_leads_to_two_nodes(
            listed_nodes in proptest::collection::vec((0..NAMES.len(), 0..HOSTS.len()), 0..4),
            joined_nodes in proptest::collection::vec((names(), 0..HOSTS.len(), 0usize..3), 0..6),
        ) {
            let mut nodes: Vec<Node> = Vec::new();
            for (name, host) in listed_nodes {
                let node = listed(&NAMES[name].to_ascii_lowercase(), HOSTS[host]);
                if nodes.iter().all(|other| other.name != node.name) {
                    nodes.push(node);
                }
            }
            let base = inventory(nodes);
            let hosts: Vec<Node> = joined_nodes
                .iter()
                .map(|(names, host, rule)| {
                    let names: Vec<&str> = names.iter().map(|name| NAMES[*name]).collect();
                    joined(&names, HOSTS[*host], TunnelRule::ALL[*rule])
                })
                .collect();
            let (merged, clashes) = base.with_joined(hosts.clone());
            for target in NAMES.iter().chain(&HOSTS) {
                let target = format!("{target}:22");
                if let Some(before) = node(&base, &target) {
                    prop_assert_eq!(node(&merged, &target), Some(before));
                }
            }
            for one in merged.nodes() {
                for name in std::iter::once(&one.name).chain(&one.also_named) {
                    let found = node(&merged, &format!("{name}:22"));
                    prop_assert_eq!(found.as_ref(), Some(one), "{}", name);
                    let bearers = merged.nodes().iter().filter(|other| {
                        other.name == *name || other.also_named.contains(name)
                    });
                    prop_assert_eq!(bearers.count(), 1);
                }
            }
            // A host is a node, or it is told that it is none.
            for host in &hosts {
                let is_node = merged.nodes().iter().any(|one| one.id == host.id);
                let is_told = clashes.iter().any(|clash| {
                    Some(clash.id) == host.id && clash.name == clash.node
                });
                prop_assert!(is_node != is_told);
            }
            // The order in which they arrive changes nothing.
            let (other, _) = base.with_joined(hosts.into_iter().rev());
            prop_assert_eq!(other.nodes(), merged.nodes());
        }
    }
}
