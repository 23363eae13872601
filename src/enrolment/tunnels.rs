//! Which nodes have a tunnel, and to which process: other processes and proxies read it in the state.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::context::{Context, Unavailable};
use super::host::{HostConnection, ProvedHostKey};
use super::proving::admitted;
use super::refusal::Refused;
use crate::ipc::{ConnectionTable, NodesAnswer};
use crate::model::TunnelRule;
use crate::state::{OpenTunnel, ProxyRow, StateError};

/// After how many seconds a process that has not announced itself is no proxy any more. It is announced
/// once a minute at least.
const STALE: u64 = 180;

/// The ids under which the calling processes have their tunnels in the state.
#[derive(Debug, Default)]
pub(super) struct TunnelOwners(Mutex<HashMap<u64, Uuid>>);

impl TunnelOwners {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of a calling process; it is a new one if the process had none.
    pub(super) fn of(&self, caller: u64) -> Uuid {
        *self.lock().entry(caller).or_insert_with(Uuid::now_v7)
    }

    /// The process has exited: it is announced no more, and its tunnels are none.
    pub(super) fn forget(&self, context: &Context, caller: u64) -> Result<(), Unavailable> {
        let forgotten = self.lock().remove(&caller);
        match forgotten {
            Some(id) => Ok(context.state.proxies().remove(id)?),
            None => Ok(()),
        }
    }

    /// No process reports its tunnels to this one any more: those that it has written down are none.
    pub(super) fn forget_all(&self, context: &Context) -> Result<(), Unavailable> {
        let ids: Vec<Uuid> = self.lock().drain().map(|(_, id)| id).collect();
        for id in ids {
            context.state.proxies().remove(id)?;
        }
        Ok(())
    }

    /// Announces the processes that nobody else announces, and removes those that have ended without a word,
    /// with their tunnels. The tunnels of these connections that are not written down any more are written down
    /// again: another proxy has removed them, because this one could not say for a while that it is there.
    pub(super) fn sweep(
        &self,
        context: &Context,
        table: &ConnectionTable<HostConnection>,
    ) -> Result<(), Unavailable> {
        let proxies = context.state.proxies();
        let (now, known) = (context.now(), proxies.list()?);
        {
            // None is forgotten before it is announced.
            let own = self.lock();
            for id in own.values() {
                // Processes with a key announce themselves, and more often.
                let is_announced = known.iter().any(|one| one.id == *id && !one.key.is_empty());
                if !is_announced {
                    announce(context, *id, now)?;
                }
            }
        }
        proxies.forget_before(now.saturating_sub(STALE))?;
        self.restore(context, table)
    }

    /// Writes down again which tunnels are open.
    fn restore(
        &self,
        context: &Context,
        table: &ConnectionTable<HostConnection>,
    ) -> Result<(), Unavailable> {
        let nodes = context.state.nodes();
        let known = nodes.tunnels()?.into_iter().map(|open| open.generation);
        let known: HashSet<u64> = known.collect();
        for slot in table.all() {
            // The tunnel does not end before it is written down.
            let host = slot.lock();
            let lost = host.tunnel.filter(|open| !known.contains(&open.generation));
            let Some(open) = lost else {
                continue;
            };
            // Nor is its process forgotten.
            let own = self.lock();
            if own.values().any(|id| *id == open.proxy) {
                nodes.restore_tunnel(&open)?;
            }
        }
        Ok(())
    }
}

/// Writes down that a process without a key of its own is there.
fn announce(context: &Context, id: Uuid, now: u64) -> Result<(), StateError> {
    context.state.proxies().announce(&ProxyRow {
        id,
        address: String::new(),
        key: String::new(),
        seen: now,
    })
}

/// A node has opened its tunnel.
pub(super) fn open(
    context: &Context,
    owners: &TunnelOwners,
    host: &mut HostConnection,
    key: &ProvedHostKey,
) -> Result<NodesAnswer, Unavailable> {
    let node = match admitted(context, key)? {
        Ok(Some(node)) => node,
        Ok(None) => return Ok(context.refuse(host, "tunnel", Refused::not_joined())),
        Err(refused) => return Ok(context.refuse(host, "tunnel", refused)),
    };
    if node.tunnel == TunnelRule::No {
        let refused = Refused::no_tunnel(&node.name).of(Some(&node.name));
        return Ok(context.refuse(host, "tunnel", refused));
    }
    if host.tunnel.is_some_and(|open| open.node == node.id) {
        return Ok(NodesAnswer::Noted);
    }
    close(context, host)?;
    let proxy = owners.of(host.caller);
    let known = context.state.proxies().list()?;
    if !known.iter().any(|one| one.id == proxy) {
        announce(context, proxy, context.now())?;
    }
    let since = context.now();
    match context.state.nodes().open_tunnel(node.id, proxy, since) {
        Ok(generation) => {
            host.is_node = true;
            host.tunnel = Some(OpenTunnel {
                node: node.id,
                proxy,
                since,
                generation,
            });
            Ok(NodesAnswer::Noted)
        }
        Err(StateError::NoSuchNode) => {
            let refused = Refused::not_joined().of(Some(&node.name));
            Ok(context.refuse(host, "tunnel", refused))
        }
        Err(error) => Err(error.into()),
    }
}

/// The tunnel of a connection has ended, if it had one.
pub(super) fn close(context: &Context, host: &mut HostConnection) -> Result<(), Unavailable> {
    match host.tunnel.take() {
        Some(open) => {
            let nodes = context.state.nodes();
            Ok(nodes.close_tunnel(open.node, open.generation)?)
        }
        None => Ok(()),
    }
}
