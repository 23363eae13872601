//! Where the nodes are whose `addr` is a name: what their names led to when they were looked up last.
//!
//! A policy is about machines, and a machine has many names. What is dialled for one of them is compared
//! with what all others lead to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::inventory::exact_or_all;
use super::{Inventory, Node, plain};
use crate::dns::Resolver;
use crate::model::NodeId;

/// How long a name is not looked up again.
const FRESH: Duration = Duration::from_secs(10);
/// How long is waited for all names together. For those that do not answer, what is known stays.
const PATIENCE: Duration = Duration::from_secs(2);

/// The addresses of nodes' names.
#[derive(Debug, Default)]
pub struct Whereabouts(Mutex<BTreeMap<String, CachedAddresses>>);

#[derive(Clone, Debug)]
struct CachedAddresses {
    looked: Instant,
    addresses: Vec<IpAddr>,
}

impl Whereabouts {
    /// Looks up the names of all nodes that were not looked up lately.
    pub async fn learn(&self, inventory: &Inventory, resolver: &Resolver) {
        let due = self.due(inventory);
        if due.is_empty() {
            return;
        }
        for (name, addresses) in resolver.resolve_all(due, PATIENCE).await {
            self.note(&name, addresses);
        }
    }

    /// The names whose turn it is; they have had it. Those that no node has any more are forgotten.
    fn due(&self, inventory: &Inventory) -> Vec<String> {
        let names: Vec<&str> = inventory
            .nodes()
            .iter()
            .map(|node| node.host.as_str())
            .filter(|host| host.parse::<IpAddr>().is_err())
            .collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| names.contains(&name.as_str()));
        let now = Instant::now();
        let mut due = Vec::new();
        for name in names {
            match known.get_mut(name) {
                Some(seen) if now.duration_since(seen.looked) < FRESH => {}
                Some(seen) => {
                    seen.looked = now;
                    due.push(name.to_owned());
                }
                None => {
                    let seen = CachedAddresses {
                        looked: now,
                        addresses: Vec::new(),
                    };
                    known.insert(name.to_owned(), seen);
                    due.push(name.to_owned());
                }
            }
        }
        due
    }

    /// A name leads to these addresses.
    pub(super) fn note(&self, name: &str, addresses: Vec<IpAddr>) {
        let seen = CachedAddresses {
            looked: Instant::now(),
            addresses,
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), seen);
    }

    /// The nodes at an address: those that are dialled at exactly this port; where none is, all that are
    /// there at any port.
    #[must_use]
    pub fn nodes_at<'i>(&self, inventory: &'i Inventory, address: SocketAddr) -> Vec<&'i Node> {
        let at = plain(address.ip());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = |node: &&Node| match node.host.parse::<IpAddr>() {
            Ok(own) => node.has_address() && plain(own) == at,
            Err(_) => known
                .get(&node.host)
                .is_some_and(|seen| seen.addresses.iter().any(|own| plain(*own) == at)),
        };
        exact_or_all(inventory.nodes().iter().filter(is_there), address.port())
    }

    /// The nodes at an address, for a user who goes to the host `joined`, whose certificate says which host it
    /// is; `None` for all other targets. Hosts that have joined report their addresses themselves: none of
    /// them can block the way to another one.
    #[must_use]
    pub fn nodes_for<'i>(
        &self,
        inventory: &'i Inventory,
        address: SocketAddr,
        joined: Option<NodeId>,
    ) -> Vec<&'i Node> {
        let mut nodes = self.nodes_at(inventory, address);
        if joined.is_some() {
            nodes.retain(|node| node.id.is_none() || node.id == joined);
        }
        nodes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::RequestedHost;
    use crate::model::Target;
    use crate::nodes::Match;

    const NAMES: [&str; 4] = ["a.internal", "b.internal", "c.internal", "d.internal"];

    fn address(number: usize) -> IpAddr {
        IpAddr::from([10, 99, 0, u8::try_from(number).unwrap()])
    }

    /// A node that is dialled by its address, or by a name.
    fn node(number: usize, host: usize, by_name: bool, port: u16) -> Node {
        Node {
            name: format!("node{number}"),
            host: match by_name {
                true => NAMES[host].to_owned(),
                false => address(host).to_string(),
            },
            port,
            ..Node::default()
        }
    }

    /// Every place that is judged for a target, as the proxy and `explain` do it.
    fn judged(inventory: &Inventory, known: &Whereabouts, text: &str) -> Option<Vec<String>> {
        let target = Target::from_subsystem(&format!("proxy:{text}")).unwrap();
        let found = match inventory.resolve(&target) {
            Ok(found) => found,
            Err(_) => Match::outside(&target)?,
        };
        let mut places: Vec<RequestedHost> = vec![inventory.place(&target)];
        places.extend(inventory.places_by_text(&found.host, found.port));
        let addresses = match found.host.parse() {
            Ok(address) => vec![address],
            Err(_) => NAMES
                .iter()
                .position(|name| *name == found.host)
                .map(|host| vec![address(host)])?,
        };
        for address in addresses {
            let address = SocketAddr::new(address, found.port);
            let nodes = known.nodes_at(inventory, address);
            places.extend(nodes.into_iter().map(crate::nodes::place));
        }
        Some(places.into_iter().map(|place| place.name).collect())
    }

    proptest! {
        /// However a machine is asked for that a node is dialled at, the node is judged.
        #[test]
        fn every_way_to_a_node_is_judged_as_the_node(
            made in proptest::collection::vec((0usize..4, any::<bool>(), 0usize..3), 1..6),
            way in 0usize..4,
            asked_port in 0usize..4,
        ) {
            let ports = [22, 2222, 2200];
            let nodes: Vec<_> = made
                .iter()
                .enumerate()
                .map(|(number, (host, by_name, port))| node(number, *host, *by_name, ports[*port]))
                .collect();
            let inventory = Inventory::new("c".parse().unwrap(), nodes.clone()).unwrap();
            let known = Whereabouts::default();
            for (host, name) in NAMES.iter().enumerate() {
                known.note(name, vec![address(host)]);
            }
            for (number, (host, _, port)) in made.iter().enumerate() {
                let port = match asked_port {
                    3 => 4444,
                    0 => ports[*port],
                    other => ports[other],
                };
                let text = match way {
                    0 => format!("{}:{port}", NAMES[*host]),
                    1 => format!("{}:{port}", address(*host)),
                    2 => format!("[::ffff:{}]:{port}", address(*host)),
                    _ => format!("{}:{port}", NAMES[*host].to_ascii_uppercase()),
                };
                let judged = judged(&inventory, &known, &text).expect("it resolves");
                let own = format!("node{number}");
                let others_have_the_port = made
                    .iter()
                    .any(|(other, _, its)| other == host && ports[*its] == port);
                if ports[made[number].2] == port || !others_have_the_port {
                    prop_assert!(judged.contains(&own), "{text}: {judged:?} lacks {own}");
                }
            }
        }
    }

    #[test]
    fn what_stands_for_an_address_is_that_address() {
        let inventory = Inventory::new("c".parse().unwrap(), vec![node(0, 0, true, 22)]).unwrap();
        let known = Whereabouts::default();
        let at = |text: &str| {
            let nodes = known.nodes_at(&inventory, text.parse().unwrap());
            nodes
                .into_iter()
                .map(|node| node.name.clone())
                .collect::<Vec<_>>()
        };
        assert!(at("10.99.0.0:22").is_empty());
        known.note(NAMES[0], vec![address(0)]);
        for text in [
            "10.99.0.0:22",
            "10.99.0.0:2222",
            "[::ffff:10.99.0.0]:22",
            "[64:ff9b::a63:0]:22",
            "[2002:a63:0::1]:22",
        ] {
            assert_eq!(at(text), ["node0"], "{text}");
        }
        assert!(at("10.99.0.1:22").is_empty());
    }
}
