//! How often one node may ask for the same: each answer costs a write to the state.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::NodeId;

/// How long requests are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Requests of one node within [`WINDOW`]: it needs one, and more after failures.
const OF_NODE: u32 = 60;
/// Most nodes that are counted. Beyond that, those whose window is over make room; if there are none, all
/// are counted anew.
const MAX_NODES: usize = 65_536;

/// Counts the requests of each node.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<HashMap<NodeId, PaceWindow>>);

#[derive(Debug)]
struct PaceWindow {
    began: Duration,
    count: u32,
}

impl Pace {
    /// Whether a node may ask once more at `now`, a moment of the monotonic clock. It is counted.
    pub(super) fn admits(&self, node: NodeId, now: Duration) -> bool {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() >= MAX_NODES && !nodes.contains_key(&node) {
            nodes.retain(|_, window| now.saturating_sub(window.began) < WINDOW);
            if nodes.len() >= MAX_NODES {
                nodes.clear();
            }
        }
        let window = nodes.entry(node).or_insert(PaceWindow {
            began: now,
            count: 0,
        });
        if now.saturating_sub(window.began) >= WINDOW {
            *window = PaceWindow {
                began: now,
                count: 0,
            };
        }
        window.count = window.count.saturating_add(1);
        window.count <= OF_NODE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_number_of_requests_for_every_minute() {
        let pace = Pace::default();
        let (first, second) = (NodeId::new(), NodeId::new());
        let at = |seconds: u64| Duration::from_secs(1_000 + seconds);
        for _ in 0..OF_NODE {
            assert!(pace.admits(first, at(0)));
        }
        assert!(!pace.admits(first, at(59)));
        assert!(pace.admits(second, at(59)));
        assert!(pace.admits(first, at(60)));
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let pace = Pace::default();
        for _ in 0..=MAX_NODES {
            assert!(pace.admits(NodeId::new(), Duration::ZERO));
        }
        assert!(pace.0.lock().unwrap().len() <= MAX_NODES);
    }
}
