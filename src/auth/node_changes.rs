//! What is known of nodes, to tell others what has changed.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::ipc::{ListedNode, NodeNews, encode};
use crate::model::NodeId;
use crate::state::{JoinedNode, NodeChange};

/// How many bytes one node may have, as it is sent: more than all names and labels that a node may have.
const MAX_NODE_BYTES: usize = 40 * 1024;
/// How many removals are kept in memory. A caller asks several times a second until there is no more: none is
/// so many behind.
const KEPT_REMOVALS: usize = 100_000;

/// The nodes, by the numbers of their last changes.
#[derive(Debug, Default)]
pub(super) struct KnownNodes {
    changes: BTreeMap<u64, SizedNews>,
    numbers: HashMap<NodeId, u64>,
    /// The numbers of the removals that are kept.
    removals: VecDeque<u64>,
}

#[derive(Debug)]
struct SizedNews {
    news: NodeNews,
    /// As it is sent.
    bytes: usize,
}

/// What one answer has of nodes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NodesPage {
    pub(super) nodes: Vec<NodeNews>,
    /// Whether the caller has to forget the nodes that it knows.
    pub(super) is_anew: bool,
    pub(super) has_more: bool,
}

impl KnownNodes {
    /// The number of the last change that is known.
    pub(super) fn last(&self) -> u64 {
        self.changes
            .last_key_value()
            .map_or(0, |(number, _)| *number)
    }

    /// Takes changes, in the order of their numbers.
    pub(super) fn add(&mut self, changes: Vec<NodeChange>) {
        for change in changes {
            let NodeChange { number, id, now } = change;
            if let Some(earlier) = self.numbers.insert(id, number) {
                self.changes.remove(&earlier);
            }
            if now.is_none() {
                self.numbers.remove(&id);
                self.removals.push_back(number);
            }
            let now = now.map(listed);
            let news = sized(NodeNews { number, id, now });
            self.changes.insert(number, news);
        }
        while self.removals.len() > KEPT_REMOVALS
            && let Some(oldest) = self.removals.pop_front()
        {
            // The last change of all stays: its number says how far this is.
            self.changes.remove(&oldest);
        }
    }

    /// The changes after the one with this number, as many as there is room for, in bytes.
    pub(super) fn after(&self, number: u64, room: usize) -> NodesPage {
        let is_anew = number > self.last();
        let number = if is_anew { 0 } else { number };
        let next = number.saturating_add(1);
        let mut page = NodesPage {
            is_anew,
            ..NodesPage::default()
        };
        let mut bytes = 0;
        for (_, SizedNews { news, bytes: more }) in self.changes.range(next..) {
            bytes += more + 1;
            if bytes > room {
                page.has_more = true;
                break;
            }
            page.nodes.push(news.clone());
        }
        page
    }
}

fn listed(node: JoinedNode) -> ListedNode {
    ListedNode {
        name: node.name,
        names: node.names,
        labels: node.labels.iter().map(ToString::to_string).collect(),
        address: node.address,
        port: node.port,
        tunnel: node.tunnel,
        is_locked: node.lock.is_some(),
        fingerprint: node.fingerprint,
    }
}

/// Weighs news. A node that fits in no answer is told as a locked one: nobody may reach it by labels that
/// others do not know.
fn sized(news: NodeNews) -> SizedNews {
    let bytes = weight(&news);
    if bytes <= MAX_NODE_BYTES {
        return SizedNews { news, bytes };
    }
    let NodeNews { number, id, now } = news;
    tracing::error!(node = %id, bytes, "a node has more names and labels than can be passed on; it is not used");
    let now = now.map(|node| ListedNode {
        names: vec![node.name.clone()],
        labels: Vec::new(),
        is_locked: true,
        ..node
    });
    let news = NodeNews { number, id, now };
    let bytes = weight(&news);
    SizedNews { news, bytes }
}

fn weight(news: &NodeNews) -> usize {
    encode(news).map_or(usize::MAX, |bytes| bytes.len())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::TunnelRule;

    const ROOM: usize = 4 * 1024;

    fn node(name: &str) -> JoinedNode {
        JoinedNode {
            id: NodeId::new(),
            name: name.to_owned(),
            names: vec![name.to_owned(), format!("{name}.internal")],
            key: "ssh-ed25519 AAAA".to_owned(),
            fingerprint: "SHA256:n".to_owned(),
            token: Uuid::nil(),
            forced_labels: Vec::new(),
            labels: vec!["env=prod".parse().unwrap()],
            tunnel: TunnelRule::Required,
            address: "10.0.0.5".to_owned(),
            port: 2222,
            joined: 7,
            certificate: None,
            lock: None,
            heartbeat: None,
        }
    }

    fn change(number: u64, node: &JoinedNode) -> NodeChange {
        NodeChange {
            number,
            id: node.id,
            now: Some(node.clone()),
        }
    }

    fn removal(number: u64, id: NodeId) -> NodeChange {
        NodeChange {
            number,
            id,
            now: None,
        }
    }

    fn numbers(page: &NodesPage) -> Vec<u64> {
        page.nodes.iter().map(|news| news.number).collect()
    }

    #[test]
    fn a_node_is_told_as_it_is_now() {
        let mut known = KnownNodes::default();
        assert_eq!(known.after(0, ROOM), NodesPage::default());
        let mut db = node("db1");
        let web = node("web1");
        known.add(vec![change(1, &db), change(2, &web)]);
        assert_eq!(numbers(&known.after(0, ROOM)), [1, 2]);
        db.lock = Some(crate::state::NodeLock {
            at: 9,
            by: "root".to_owned(),
            reason: None,
        });
        known.add(vec![change(3, &db)]);
        let page = known.after(0, ROOM);
        assert_eq!((numbers(&page), page.is_anew), (vec![2, 3], false));
        let expected = ListedNode {
            name: "db1".to_owned(),
            names: vec!["db1".to_owned(), "db1.internal".to_owned()],
            labels: vec!["env=prod".to_owned()],
            address: "10.0.0.5".to_owned(),
            port: 2222,
            tunnel: TunnelRule::Required,
            is_locked: true,
            fingerprint: "SHA256:n".to_owned(),
        };
        let news = &known.after(2, ROOM).nodes;
        assert_eq!(news[0].now.as_ref(), Some(&expected));
        assert_eq!(news.len(), 1);
        known.add(vec![removal(5, db.id)]);
        let page = known.after(3, ROOM);
        assert_eq!((page.nodes[0].id, &page.nodes[0].now), (db.id, &None));
        assert_eq!(numbers(&known.after(0, ROOM)), [2, 5]);
        assert_eq!(
            (known.last(), known.after(5, ROOM)),
            (5, NodesPage::default())
        );
    }

    #[test]
    fn pages_fit_and_have_every_node() {
        let mut known = KnownNodes::default();
        let nodes: Vec<_> = (1..=500)
            .map(|number| node(&format!("db{number}")))
            .collect();
        known.add(
            (1..)
                .zip(&nodes)
                .map(|(number, node)| change(number, node))
                .collect(),
        );
        let (mut told, mut last) = (Vec::new(), 0);
        loop {
            let page = known.after(last, ROOM);
            assert!(encode(&page.nodes).unwrap().len() <= ROOM + 2);
            told.extend(numbers(&page));
            last = *told.last().unwrap();
            if !page.has_more {
                break;
            }
        }
        assert_eq!(told, (1..=500).collect::<Vec<_>>());
        let none = known.after(0, 10);
        assert_eq!((numbers(&none), none.has_more), (vec![], true));
    }

    #[test]
    fn who_knows_another_state_begins_anew() {
        let mut known = KnownNodes::default();
        let db = node("db1");
        known.add(vec![change(1, &db)]);
        let page = known.after(7, ROOM);
        assert_eq!((numbers(&page), page.is_anew), (vec![1], true));
    }

    #[test]
    fn removals_are_bounded_and_pages_go_on_beyond_those_that_are_forgotten() {
        let mut known = KnownNodes::default();
        let nodes: Vec<_> = (1..=50)
            .map(|number| node(&format!("db{number}")))
            .collect();
        let changes = (1..).zip(&nodes);
        known.add(changes.map(|(number, node)| change(number, node)).collect());
        let many = 51..=KEPT_REMOVALS as u64 + 55;
        let removals = many.map(|number| removal(number, NodeId::new()));
        known.add(removals.collect());
        assert_eq!(known.removals.len(), KEPT_REMOVALS);
        assert_eq!(known.changes.len(), KEPT_REMOVALS + nodes.len());
        assert_eq!(known.numbers.len(), nodes.len());
        // A caller that begins reads all nodes, page by page, and is told once where it is.
        let (mut told, mut last) = (0, 0);
        loop {
            let page = known.after(last, 64 * ROOM);
            assert!(!page.is_anew);
            told += page.nodes.iter().filter(|news| news.now.is_some()).count();
            last = page.nodes.last().unwrap().number;
            if !page.has_more {
                break;
            }
        }
        assert_eq!((told, last), (nodes.len(), known.last()));
    }

    #[test]
    fn a_node_that_fits_nowhere_is_used_for_nothing() {
        let mut known = KnownNodes::default();
        let mut large = node("large");
        large.labels = (0..100)
            .map(|number| {
                format!("l{number}={}", "\u{1}".repeat(100))
                    .parse()
                    .unwrap()
            })
            .collect();
        known.add(vec![change(1, &large)]);
        let page = known.after(0, MAX_NODE_BYTES);
        let now = page.nodes[0].now.as_ref().unwrap();
        assert_eq!(
            (&now.name[..], now.labels.len(), now.is_locked),
            ("large", 0, true)
        );
    }
}
