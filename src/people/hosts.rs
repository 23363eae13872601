//! The hosts that there are: those of the configuration, and those that have joined. Which of them a
//! person sees is decided as for `ls` of ssh, by [`OpenHost`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::context::{Context, Unavailable};
use super::settings::PeopleSettings;
use crate::access::PolicySubject;
use crate::ipc::{BrowserHost, BrowserHosts, encode};
use crate::model::NodeId;
use crate::nodes::{Inventory, Node, OpenHost};
use crate::state::{NodeSummary, SignIn, User};
use crate::sys::clock::monotonic;

/// How long what was read of the state is used. Whoever may not log in any more is refused at once all
/// the same, by the host's own way.
const FRESH: Duration = Duration::from_secs(2);
/// Hosts that one request judges at most.
const JUDGED: usize = 1_000;
/// How much of an answer hosts may take, in bytes.
const ROOM: usize = 56 * 1024;

/// The hosts, as they were read last.
#[derive(Debug, Default)]
pub(super) struct HostList(Mutex<Option<Arc<ReadHosts>>>);

#[derive(Debug)]
struct ReadHosts {
    /// By the monotonic clock.
    read: Duration,
    /// The configuration that it was made of.
    settings: Arc<PeopleSettings>,
    inventory: Inventory,
    /// Of the hosts that have joined.
    online: BTreeMap<NodeId, bool>,
}

impl HostList {
    /// The hosts of now. Who comes while they are read waits for that, and reads nothing.
    fn now(&self, context: &Context) -> Result<Arc<ReadHosts>, Unavailable> {
        let settings = context.settings();
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = monotonic();
        if let Some(read) = &*current
            && now.saturating_sub(read.read) < FRESH
            && Arc::ptr_eq(&read.settings, &settings)
        {
            return Ok(Arc::clone(read));
        }
        let joined = context.state.nodes().summaries(context.now())?;
        let online = joined.iter().map(|node| (node.id, node.is_online));
        let online = online.collect();
        let listed = Inventory::new(settings.cluster.clone(), settings.nodes.clone());
        let listed = listed.map_err(|error| Unavailable::new(&error.to_string()))?;
        // Clashes of names are told by the process that connects to hosts.
        let (inventory, _clashes) = listed.with_joined(joined.into_iter().map(node));
        let read = Arc::new(ReadHosts {
            read: now,
            settings,
            inventory,
            online,
        });
        *current = Some(Arc::clone(&read));
        Ok(read)
    }

    /// The hosts that a person at the address `from` may log in to, by their names: some of those after
    /// this one.
    pub(super) fn page(
        &self,
        context: &Context,
        (user, sign_in): (&User, &SignIn),
        from: IpAddr,
        after: &str,
    ) -> Result<BrowserHosts, Unavailable> {
        let read = self.now(context)?;
        let lifetime = Duration::from_secs(sign_in.until.saturating_sub(sign_in.started));
        let who = PolicySubject::signed_in(
            user.name.as_str(),
            &user.roles,
            user.logins.as_deref(),
            lifetime,
        );
        let policy = &read.settings.policy;
        let nodes = read.inventory.nodes();
        let first = nodes.partition_point(|node| node.name.as_str() <= after);
        let nodes = nodes.get(first..).unwrap_or_default();
        let (mut hosts, mut bytes) = (Vec::new(), 0);
        let mut last = None;
        for node in nodes.iter().take(JUDGED) {
            if let Some(open) = OpenHost::of(node, policy, &who, from) {
                let host = read.told(node, open);
                let more = encode(&host).map_or(usize::MAX, |bytes| bytes.len());
                if more > ROOM {
                    tracing::error!(node = %node.name, "a node has more labels than can be passed on; browsers do not list it");
                } else if bytes + more + 1 > ROOM {
                    return Ok(BrowserHosts { hosts, next: last });
                } else {
                    bytes += more + 1;
                    hosts.push(host);
                }
            }
            last = Some(node.name.clone());
        }
        let next = last.filter(|_| nodes.len() > JUDGED);
        Ok(BrowserHosts { hosts, next })
    }
}

impl ReadHosts {
    fn told(&self, node: &Node, open: OpenHost) -> BrowserHost {
        BrowserHost {
            name: open.host,
            labels: open.labels,
            logins: open.logins,
            is_online: node.id.and_then(|id| self.online.get(&id).copied()),
        }
    }
}

/// A host that has joined, as the inventory has it.
fn node(summary: NodeSummary) -> Node {
    let NodeSummary {
        id,
        name,
        names,
        labels,
        tunnel,
        address,
        port,
        is_locked,
        is_online: _,
    } = summary;
    Node {
        also_named: names.into_iter().filter(|other| *other != name).collect(),
        name,
        host: address,
        port,
        labels,
        legacy: Vec::new(),
        id: Some(id),
        tunnel,
        is_locked,
    }
}
