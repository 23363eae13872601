//! The inventory: by name, then by label, and never a guess between two.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use thiserror::Error;

use crate::access::RequestedHost;
use crate::model::{ClusterName, HostName, Label, NodeId, Target};

use super::{DEFAULT_PORT, Node, plain};

/// Why a list of nodes is not an inventory.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InventoryError {
    /// Two nodes have the same name.
    #[error("two nodes have the name {0:?}")]
    Duplicate(String),
}

/// Why the inventory has no single answer for a target.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ResolveError {
    /// No node has this name or label; for names and addresses, DNS is next.
    #[error("{0} is not in the inventory")]
    NotFound(String),
    /// Several nodes carry the label.
    #[error("{label} is carried by more than one node: {}", listed(candidates))]
    Ambiguous {
        /// The label that was asked for.
        label: String,
        /// All nodes that carry it, sorted by name. One that is locked counts too: a lock must not lead users
        /// to another node.
        candidates: Vec<RequestedHost>,
    },
    /// The node is known, and what listens on the other port is none of its business.
    #[error("port {port} of {name} is not in the inventory, only its own port is")]
    Port {
        /// The node's name.
        name: String,
        /// The port that was asked for.
        port: u16,
    },
    /// The target names a cluster that is not this one.
    #[error("{0} is another cluster")]
    Cluster(ClusterName),
}

/// The names, and which of them are locked.
fn listed(candidates: &[RequestedHost]) -> String {
    let texts = candidates.iter().map(|one| match one.is_locked {
        true => format!("{} (locked)", one.name),
        false => one.name.clone(),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// Where a target leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The node; `None` where the target is not in the inventory, so that only [`super::may_dial`]
    /// stands between the client and the address.
    pub node: Option<Node>,
    /// The host to dial: an address, or a name for DNS.
    pub host: String,
    /// The port to dial.
    pub port: u16,
    /// The names of which the host's certificate must carry one: what was asked for, then the
    /// inventory's name, in lower case. A label is no name.
    pub names: Vec<String>,
}

impl Match {
    /// What to dial for a target outside the inventory; port 22 where it leaves the port open.
    /// `None` for labels: only the inventory knows those.
    #[must_use]
    pub fn outside(target: &Target) -> Option<Self> {
        let host = match &target.host {
            HostName::Label(_) => return None,
            host => host.to_string(),
        };
        Some(Self {
            node: None,
            names: vec![host.clone()],
            host,
            port: target.port.unwrap_or(DEFAULT_PORT),
        })
    }
}

/// All nodes: those that the configuration lists, and those that have joined
/// ([`Inventory::with_joined`]).
#[derive(Clone, Debug)]
pub struct Inventory {
    pub(super) cluster: ClusterName,
    /// Sorted by name.
    pub(super) nodes: Vec<Node>,
    /// The names of nodes that have more than one, and the name by which the node is sorted.
    pub(super) aliases: BTreeMap<String, String>,
    /// The hosts that have joined, also those that are no nodes because their names are taken.
    pub(super) joined: BTreeSet<NodeId>,
}

impl Inventory {
    /// The inventory of a cluster, sorted by name.
    ///
    /// # Errors
    /// When two nodes have the same name; upper and lower case are the same.
    pub fn new(cluster: ClusterName, mut nodes: Vec<Node>) -> Result<Self, InventoryError> {
        for node in &mut nodes {
            node.name.make_ascii_lowercase();
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let twice = nodes.windows(2).find_map(|pair| match pair {
            [a, b] if a.name == b.name => Some(a.name.clone()),
            _ => None,
        });
        match twice {
            Some(name) => Err(InventoryError::Duplicate(name)),
            None => Ok(Self {
                cluster,
                nodes,
                aliases: BTreeMap::new(),
                joined: BTreeSet::new(),
            }),
        }
    }

    /// All nodes, sorted by name.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Finds the one node that a target means: by its name, by its name with the cluster's name
    /// behind it, by a label that no other node carries, or by the very address or name, and port, that it is
    /// dialled at.
    ///
    /// A node's own port stands when the target leaves the port open, asks for 22, or for that very
    /// port; any other is refused.
    ///
    /// # Errors
    /// [`ResolveError::NotFound`] means that [`Match::outside`] and DNS are next; all others are
    /// final.
    pub fn resolve(&self, target: &Target) -> Result<Match, ResolveError> {
        if let Some(other) = target.cluster.as_ref().filter(|name| !self.is_here(name)) {
            return Err(ResolveError::Cluster(other.clone()));
        }
        let node = match self.candidates(target).as_slice() {
            [] => return Err(ResolveError::NotFound(target.host.to_string())),
            [node] => *node,
            several => {
                return Err(ResolveError::Ambiguous {
                    label: target.host.to_string(),
                    candidates: several.iter().copied().map(place).collect(),
                });
            }
        };
        match target.port {
            None | Some(DEFAULT_PORT) => {}
            Some(port) if port == node.port => {}
            Some(port) => {
                let name = node.name.clone();
                return Err(ResolveError::Port { name, port });
            }
        }
        let mut names = match &target.host {
            HostName::Label(_) => Vec::new(),
            host => vec![host.to_string()],
        };
        if !names.contains(&node.name) {
            names.push(node.name.clone());
        }
        Ok(Match {
            host: node.host.clone(),
            port: node.port,
            node: Some(node.clone()),
            names,
        })
    }

    /// The node of exactly this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        let found = self
            .nodes
            .binary_search_by(|node| node.name.as_str().cmp(name));
        self.nodes.get(found.ok()?)
    }

    /// The node with this id.
    #[must_use]
    pub fn node_of(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == Some(id))
    }

    /// Whether the host with this id is one of those that have joined.
    #[must_use]
    pub fn has_joined(&self, id: NodeId) -> bool {
        self.joined.contains(&id)
    }

    /// The hosts that the policy has to permit for a target: the node that it names, each node that
    /// has the label, or the name or address itself. At least one. Whether they can be reached is not
    /// checked.
    #[must_use]
    pub fn places(&self, target: &Target) -> Vec<RequestedHost> {
        let mut places: Vec<RequestedHost> =
            self.candidates(target).into_iter().map(place).collect();
        if places.is_empty() {
            places.push(unlisted(target));
        }
        places
    }

    /// The place of a target that [`Inventory::resolve`] has one answer for, or none.
    #[must_use]
    pub fn place(&self, target: &Target) -> RequestedHost {
        match self.candidates(target).first() {
            Some(node) => place(node),
            None => unlisted(target),
        }
    }

    /// The place of this name as the inventory has it now.
    #[must_use]
    pub fn place_named(&self, name: &str) -> RequestedHost {
        match self.node(name) {
            Some(node) => place(node),
            None => RequestedHost {
                name: name.to_owned(),
                labels: Vec::new(),
                is_locked: false,
            },
        }
    }

    /// The places of the nodes that are dialled at this very name or address and port; where none is, of
    /// all that are there at any port. Nothing is looked up.
    #[must_use]
    pub fn places_by_text(&self, host: &str, port: u16) -> Vec<RequestedHost> {
        let is_there = |node: &&Node| node.has_address() && is_same_host(node, host);
        let nodes = self.nodes.iter().filter(is_there);
        exact_or_all(nodes, port).into_iter().map(place).collect()
    }

    /// The same for the nodes of the configuration alone: an address that a host has reported itself
    /// says nothing about the host that has it in its certificate.
    fn listed_places_by_text(&self, host: &str, port: u16) -> Vec<RequestedHost> {
        let is_there = |node: &&Node| node.id.is_none() && is_same_host(node, host);
        let nodes = self.nodes.iter().filter(is_there);
        exact_or_all(nodes, port).into_iter().map(place).collect()
    }

    /// The places of the nodes that one of these principals of a host certificate names: by the node's
    /// name, with the cluster's behind it or not, or by what is dialled for it, at this port.
    #[must_use]
    pub fn places_named_by(&self, principals: &[String], port: u16) -> Vec<RequestedHost> {
        let mut places: Vec<RequestedHost> = Vec::new();
        for principal in principals {
            let principal = principal.to_ascii_lowercase();
            let named = self.by_own_name(&principal).map(place);
            let dialled = self.listed_places_by_text(&principal, port);
            for one in named.into_iter().chain(dialled) {
                if !places.contains(&one) {
                    places.push(one);
                }
            }
        }
        places
    }

    /// All nodes that a target may mean; several only for a label.
    fn candidates(&self, target: &Target) -> Vec<&Node> {
        match &target.host {
            HostName::Name(name) => self.by_name(name, target.port).into_iter().collect(),
            HostName::Address(address) => {
                self.by_address(*address, target.port).into_iter().collect()
            }
            HostName::Label(label) => {
                let carries = |node: &&Node| node.labels.iter().any(|own| is_same(own, label));
                self.nodes.iter().filter(carries).collect()
            }
        }
    }

    fn is_here(&self, cluster: &ClusterName) -> bool {
        self.cluster.as_str().eq_ignore_ascii_case(cluster.as_str())
    }

    fn by_name(&self, name: &str, port: Option<u16>) -> Option<&Node> {
        let port = port.unwrap_or(DEFAULT_PORT);
        self.by_own_name(name)
            .or_else(|| self.dialled_at(name, port))
    }

    fn by_own_name(&self, name: &str) -> Option<&Node> {
        let called = |name: &str| {
            self.node(name)
                .or_else(|| self.node(self.aliases.get(name)?))
        };
        called(name).or_else(|| called(without_cluster(name, &self.cluster)?))
    }

    /// The node that is dialled at this host and port. A node of the configuration comes first.
    fn dialled_at(&self, host: &str, port: u16) -> Option<&Node> {
        let is_dialled =
            |node: &&Node| node.host == host && node.port == port && node.is_found_by_address();
        let all = || self.nodes.iter().filter(is_dialled);
        all()
            .find(|node| node.id.is_none())
            .or_else(|| all().next())
    }

    /// The node that is dialled at exactly this address and port: several may share an address.
    fn by_address(&self, address: IpAddr, port: Option<u16>) -> Option<&Node> {
        let address = address.to_canonical().to_string();
        self.dialled_at(&address, port.unwrap_or(DEFAULT_PORT))
    }
}

/// The name before the cluster's, for a name in lower case that has it.
pub(super) fn without_cluster<'n>(name: &'n str, cluster: &ClusterName) -> Option<&'n str> {
    let cluster = cluster.as_str().to_ascii_lowercase();
    name.strip_suffix(&cluster)?.strip_suffix('.')
}

/// Whether a target's label is a node's: ssh folds the case of the host that it hands to a
/// ProxyCommand.
fn is_same(own: &Label, asked: &Label) -> bool {
    own.key.eq_ignore_ascii_case(&asked.key) && own.value.eq_ignore_ascii_case(&asked.value)
}

/// Whether this is what is dialled for a node; addresses are compared as such.
fn is_same_host(node: &Node, host: &str) -> bool {
    match (node.host.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        (Ok(own), Ok(other)) => plain(own) == plain(other),
        _ => node.host.eq_ignore_ascii_case(host),
    }
}

/// A node as the policy sees it.
#[must_use]
pub fn place(node: &Node) -> RequestedHost {
    RequestedHost {
        name: node.name.clone(),
        labels: node.labels.clone(),
        is_locked: node.is_locked,
    }
}

/// The place of a target that the inventory does not have. An IPv4 address in IPv6 clothes goes by its
/// own name.
fn unlisted(target: &Target) -> RequestedHost {
    let name = match &target.host {
        HostName::Address(address) => address.to_canonical().to_string(),
        host @ (HostName::Name(_) | HostName::Label(_)) => host.to_string(),
    };
    RequestedHost {
        name: name.to_ascii_lowercase(),
        labels: Vec::new(),
        is_locked: false,
    }
}

/// The nodes with this port; all of them where none has. Where the configuration has one with this port,
/// the hosts that have joined and report the same address do not count.
pub(super) fn exact_or_all<'i>(nodes: impl Iterator<Item = &'i Node>, port: u16) -> Vec<&'i Node> {
    let all: Vec<&Node> = nodes.collect();
    let mut exact: Vec<&Node> = all
        .iter()
        .copied()
        .filter(|node| node.port == port)
        .collect();
    if exact.iter().any(|node| node.id.is_none()) {
        exact.retain(|node| node.id.is_none());
    }
    if exact.is_empty() { all } else { exact }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, host: &str, port: u16, labels: &[&str]) -> Node {
        Node {
            name: name.to_owned(),
            host: host.to_owned(),
            port,
            labels: labels.iter().map(|label| label.parse().unwrap()).collect(),
            ..Node::default()
        }
    }

    fn inventory() -> Inventory {
        let nodes = vec![
            node("web1", "127.0.0.1", 2201, &["env=prod", "role=web"]),
            node("DB1", "10.0.0.5", 22, &["env=prod", "role=db"]),
            node("web2", "127.0.0.1", 2202, &["env=test", "role=web"]),
        ];
        Inventory::new("example.com".parse().unwrap(), nodes).unwrap()
    }

    fn resolve(target: &str) -> Result<Match, ResolveError> {
        inventory().resolve(&Target::from_subsystem(&format!("proxy:{target}")).unwrap())
    }

    fn found(target: &str) -> (String, u16, Vec<String>) {
        let found = resolve(target).unwrap_or_else(|error| panic!("{target}: {error}"));
        assert!(found.node.is_some());
        (found.host, found.port, found.names)
    }

    #[test]
    fn names_do_not_distinguish_case_and_may_carry_the_cluster() {
        let db1 = ("10.0.0.5".to_owned(), 22, vec!["db1".to_owned()]);
        assert_eq!(found("db1:22"), db1);
        assert_eq!(found("DB1:"), db1);
        assert_eq!(found("db1:0@Example.com"), db1);
        let (_, _, names) = found("db1.example.com:22");
        assert_eq!(names, ["db1.example.com", "db1"]);
        assert!(matches!(
            resolve("db1.example.org:22"),
            Err(ResolveError::NotFound(_))
        ));
        assert!(matches!(
            resolve("db1example.com:22"),
            Err(ResolveError::NotFound(_))
        ));
    }

    #[test]
    fn a_nodes_own_port_stands() {
        for target in ["web1:22", "web1:0", "web1:", "web1:2201"] {
            assert_eq!(found(target).1, 2201, "{target}");
        }
        assert_eq!(
            resolve("web1:2202"),
            Err(ResolveError::Port {
                name: "web1".to_owned(),
                port: 2202
            })
        );
        assert!(matches!(
            resolve("env=test:80"),
            Err(ResolveError::Port { .. })
        ));
    }

    #[test]
    fn labels_find_one_node_or_list_the_candidates() {
        assert_eq!(found("role=db:22").2, ["db1"]);
        assert_eq!(found("ENV=Test:22").2, ["web2"]);
        let ambiguous = resolve("role=web:22").unwrap_err();
        assert_eq!(
            ambiguous.to_string(),
            "role=web is carried by more than one node: web1, web2"
        );
        assert!(matches!(
            resolve("role=mail:22"),
            Err(ResolveError::NotFound(_))
        ));
    }

    #[test]
    fn an_address_finds_the_node_with_that_very_port() {
        assert_eq!(found("127.0.0.1:2202").2, ["127.0.0.1", "web2"]);
        assert_eq!(found("::ffff:10.0.0.5:22").0, "10.0.0.5");
        assert!(matches!(
            resolve("127.0.0.1:22"),
            Err(ResolveError::NotFound(_))
        ));
    }

    #[test]
    fn another_cluster_is_refused_by_name() {
        let refused = resolve("db1:22@example.org").unwrap_err();
        assert_eq!(refused.to_string(), "example.org is another cluster");
    }

    #[test]
    fn outside_of_the_inventory_the_target_stands_as_it_is() {
        let outside =
            |text: &str| Match::outside(&Target::from_subsystem(&format!("proxy:{text}")).unwrap());
        assert_eq!(
            outside("Mail.example.org:"),
            Some(Match {
                node: None,
                host: "mail.example.org".to_owned(),
                port: 22,
                names: vec!["mail.example.org".to_owned()],
            })
        );
        assert_eq!(outside("[2001:db8::1]:2222").unwrap().port, 2222);
        assert_eq!(outside("env=prod:22"), None);
    }

    #[test]
    fn two_nodes_of_one_name_are_no_inventory() {
        let nodes = vec![
            node("a", "10.0.0.1", 22, &[]),
            node("A", "10.0.0.2", 22, &[]),
        ];
        let refused = Inventory::new("c".parse().unwrap(), nodes);
        assert_eq!(
            refused.unwrap_err(),
            InventoryError::Duplicate("a".to_owned())
        );
    }
}
