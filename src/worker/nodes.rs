//! The hosts that have joined, as the auth process tells of them, and the inventory that they make
//! together with the nodes of the configuration.
//!
//! Each change puts new settings in force, so that live connections are judged again: one whose host
//! was locked or removed ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ipc::{ListedNode, NodeNews};
use crate::model::{Label, LabelError, NodeId};
use crate::nodes::{NameClash, Node};
use crate::ssh::{Settings, Tunnels};

/// Keeps the inventory of the settings. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct NodeDirectory(Arc<DirectoryState>);

#[derive(Debug)]
struct DirectoryState {
    settings: watch::Sender<Arc<Settings>>,
    tunnels: Tunnels,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    joined: BTreeMap<NodeId, Node>,
    /// The clashes that were told.
    clashes: BTreeSet<NameClash>,
}

/// What one or several answers have said about nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeUpdates {
    /// What was known before does not count.
    pub(super) is_anew: bool,
    /// In the order of the changes.
    pub(super) news: Vec<NodeNews>,
}

impl NodeUpdates {
    /// Adds what one more answer says.
    pub(super) fn add(&mut self, is_anew: bool, news: Vec<NodeNews>) {
        if is_anew {
            self.is_anew = true;
            self.news.clear();
        }
        self.news.extend(news);
    }
}

impl NodeDirectory {
    /// The inventory of these settings gets the hosts that join. The tunnels of those that are locked or
    /// removed are closed.
    pub(super) fn new(settings: watch::Sender<Arc<Settings>>, tunnels: Tunnels) -> Self {
        Self(Arc::new(DirectoryState {
            settings,
            tunnels,
            known: Mutex::default(),
        }))
    }

    /// Puts these settings in force, with the hosts that have joined.
    pub(super) fn replace(&self, mut settings: Settings) {
        let mut known = self.lock();
        known.complete(&mut settings);
        self.0.settings.send_replace(Arc::new(settings));
    }

    /// The settings in force.
    pub(super) fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.settings.borrow())
    }

    /// Takes news over.
    pub(super) fn take(&self, brought: NodeUpdates) {
        if brought.news.is_empty() && !brought.is_anew {
            return;
        }
        let mut known = self.lock();
        let before = known.joined.clone();
        if brought.is_anew {
            known.joined.clear();
        }
        for NodeNews { id, now, .. } in brought.news {
            match now.map(|listed| node(id, listed)) {
                Some(Ok(node)) => {
                    known.joined.insert(id, node);
                }
                Some(Err(error)) => {
                    tracing::error!(node = %id, %error, "a host that has joined cannot be used");
                    known.joined.remove(&id);
                }
                None => {
                    known.joined.remove(&id);
                }
            }
        }
        if known.joined == before {
            return;
        }
        tracing::info!(
            nodes = known.joined.len(),
            "the hosts that have joined have changed"
        );
        let mut settings = Settings::clone(&self.now());
        known.complete(&mut settings);
        self.0.settings.send_replace(Arc::new(settings));
        let is_usable = |id: &NodeId| known.joined.get(id).is_some_and(|node| !node.is_locked);
        for id in before.keys().chain(known.joined.keys()) {
            if !is_usable(id) {
                self.0.tunnels.close(*id);
            }
        }
    }

    /// A panic elsewhere cannot leave the nodes half changed: no method calls out before they are whole.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Adds the hosts to the inventory. Each clash of names is told when it begins.
    fn complete(&mut self, settings: &mut Settings) {
        let (inventory, clashes) = settings
            .inventory
            .with_joined(self.joined.values().cloned());
        settings.inventory = inventory;
        let clashes: BTreeSet<NameClash> = clashes.into_iter().collect();
        for clash in clashes.difference(&self.clashes) {
            tracing::warn!("{clash}");
        }
        self.clashes = clashes;
    }
}

/// The node, unless a label makes no sense: without it, the policy might allow more.
fn node(id: NodeId, listed: ListedNode) -> Result<Node, LabelError> {
    let ListedNode {
        name,
        names,
        labels,
        address,
        port,
        tunnel,
        is_locked,
        fingerprint: _,
    } = listed;
    let labels: Result<Vec<Label>, LabelError> = labels.iter().map(|label| label.parse()).collect();
    let mut labels = labels?;
    labels.sort();
    Ok(Node {
        also_named: names.into_iter().filter(|other| *other != name).collect(),
        name,
        host: address,
        port,
        labels,
        legacy: Vec::new(),
        id: Some(id),
        tunnel,
        is_locked,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::model::TunnelRule;
    use crate::ssh::testing::SshFixture;

    /// A directory whose configuration has the node `db1`, and its settings.
    pub(crate) fn directory() -> (NodeDirectory, watch::Receiver<Arc<Settings>>) {
        let proxy = SshFixture::new();
        let settings = proxy.settings.borrow().clone();
        let (sender, receiver) = watch::channel(settings);
        (NodeDirectory::new(sender, proxy.tunnels.clone()), receiver)
    }

    /// A host that has joined under this name.
    pub(crate) fn news(number: u64, name: &str) -> NodeNews {
        NodeNews {
            number,
            id: NodeId::new(),
            now: Some(ListedNode {
                name: name.to_owned(),
                names: vec![name.to_owned(), format!("{name}-too")],
                labels: vec!["role=web".to_owned(), "env=prod".to_owned()],
                address: "10.0.0.8".to_owned(),
                port: 2222,
                tunnel: TunnelRule::Allowed,
                is_locked: false,
                fingerprint: "SHA256:abc".to_owned(),
            }),
        }
    }

    pub(crate) fn names(settings: &Settings) -> Vec<String> {
        let nodes = settings.inventory.nodes().iter();
        nodes.map(|node| node.name.clone()).collect()
    }

    fn updates(news: Vec<NodeNews>) -> NodeUpdates {
        NodeUpdates {
            is_anew: false,
            news,
        }
    }

    fn changed(news: &NodeNews, change: impl FnOnce(&mut ListedNode)) -> NodeNews {
        let mut news = news.clone();
        change(news.now.as_mut().unwrap());
        news
    }

    #[test]
    fn a_host_that_has_joined_is_a_node_with_all_that_it_says() {
        let (nodes, settings) = directory();
        let app = news(1, "app");
        nodes.take(updates(vec![app.clone()]));
        let settings = settings.borrow().clone();
        let node = settings.inventory.node("app").unwrap();
        let labels: Vec<String> = node.labels.iter().map(ToString::to_string).collect();
        assert_eq!(labels, ["env=prod", "role=web"]);
        assert_eq!((node.host.as_str(), node.port), ("10.0.0.8", 2222));
        assert_eq!((node.id, node.tunnel), (Some(app.id), TunnelRule::Allowed));
        assert_eq!(node.also_named, ["app-too"]);
    }

    /// Without a label the policy might allow more.
    #[test]
    fn a_host_whose_labels_make_no_sense_is_no_node() {
        let (nodes, settings) = directory();
        let app = news(1, "app");
        nodes.take(updates(vec![app.clone()]));
        let broken = changed(&app, |node| node.labels.push("nonsense".to_owned()));
        nodes.take(updates(vec![broken]));
        assert_eq!(names(&settings.borrow()), ["db1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_changes_is_told_and_the_configuration_keeps_them() {
        let (nodes, mut settings) = directory();
        let app = news(1, "app");
        nodes.take(updates(vec![app.clone()]));
        assert!(settings.has_changed().unwrap());
        settings.mark_unchanged();
        nodes.take(updates(vec![app]));
        nodes.take(NodeUpdates::default());
        assert!(!settings.has_changed().unwrap());
        let mut reloaded = Settings::clone(&SshFixture::new().settings.borrow());
        reloaded.checks_host_keys = false;
        nodes.replace(reloaded);
        let now = settings.borrow_and_update().clone();
        assert_eq!(names(&now), ["app", "db1"]);
        assert!(!now.checks_host_keys);
        nodes.take(NodeUpdates {
            is_anew: true,
            news: Vec::new(),
        });
        assert_eq!(names(&settings.borrow_and_update()), ["db1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_locked_or_removed_loses_its_tunnel() {
        let proxy = SshFixture::new();
        let sender = watch::Sender::new(proxy.settings.borrow().clone());
        let nodes = NodeDirectory::new(sender, proxy.tunnels.clone());
        let [locked, removed, stays] = [news(1, "a"), news(2, "b"), news(3, "c")];
        nodes.take(updates(vec![
            locked.clone(),
            removed.clone(),
            stays.clone(),
        ]));
        let guards = [&locked, &removed, &stays].map(|of| proxy.open_tunnel(of.id));
        nodes.take(updates(vec![
            changed(&locked, |node| node.is_locked = true),
            NodeNews {
                now: None,
                ..removed
            },
        ]));
        guards[0].closed().await;
        guards[1].closed().await;
        let day = std::time::Duration::from_secs(86_400);
        assert!(timeout(day, guards[2].closed()).await.is_err());
        assert!(nodes.now().inventory.node("a").unwrap().is_locked);
    }

    /// Once per change: what is true still is not told again.
    #[test]
    fn a_clash_of_names_is_told_when_it_begins() {
        let (nodes, _settings) = directory();
        let clashes = || nodes.lock().clashes.len();
        let app = news(1, "app");
        nodes.take(updates(vec![news(2, "db1"), app.clone()]));
        assert_eq!(clashes(), 1);
        assert_eq!(names(&nodes.now()), ["app", "db1"]);
        assert_eq!(nodes.now().inventory.node("db1").unwrap().id, None);
        let told = nodes.lock().clashes.clone();
        nodes.take(updates(vec![changed(&app, |node| node.port = 22)]));
        assert_eq!(nodes.lock().clashes, told);
        nodes.take(NodeUpdates {
            is_anew: true,
            news: vec![app],
        });
        assert_eq!(clashes(), 0);
    }
}
