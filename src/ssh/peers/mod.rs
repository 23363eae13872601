//! Other proxies on the same state. A node has its tunnel at one proxy, and the clients of all proxies
//! reach it: where the client is (A), the proxy connects to the proxy of the tunnel (B), and asks for a
//! channel that leads into it.
//!
//! - `directory`: which proxies there are;
//! - `link`: the driver of a connection between two proxies, for both sides;
//! - `client`: A's side;
//! - `server`: B's side;
//! - `status`: the line with which B answers on a channel.
//!
//! Both sides know each other by the host keys that they have announced in the state: A accepts at B's
//! address only B's key, and B accepts only a key of another proxy that is alive. What crosses are the
//! bytes of an SSH connection between A and the host, which is encrypted: B sees no session, and records
//! none. A judges the host's key, as it does for any host.

mod client;
mod directory;
mod link;
mod server;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use directory::{PeerParts, Peers};
pub(crate) use server::{ProvedPeer, serve};

use directory::PeerError;

use super::channel::ChannelStream;
use super::tunnels::{Later, OtherTunnels, TunnelError, TunnelPatience};
use crate::model::{NodeId, chain};

/// How often it is asked again where a node is that was nowhere.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait for the answer whether a node is elsewhere, if it has an address too.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

impl Peers {
    /// Opens a stream to the sshd of a node through its tunnel at another proxy, and may wait until there is
    /// one. Cancel-safe.
    ///
    /// # Errors
    /// What has stood in the way last: at the deadline, or at once if it does not pass by waiting.
    async fn dial_until(
        &self,
        node: NodeId,
        patience: TunnelPatience,
    ) -> Result<ChannelStream, PeerError> {
        let deadline = patience.deadline;
        loop {
            let failure = match self.dial_once(node, deadline).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => failure,
            };
            let is_final = matches!(failure, PeerError::Refused(..)) || !patience.awaits_tunnel;
            if is_final || Instant::now() + LOOK >= deadline {
                return Err(failure);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn dial_once(&self, node: NodeId, deadline: Instant) -> Result<ChannelStream, PeerError> {
        let peer = self.find(node).await?.ok_or(PeerError::Nowhere)?;
        let permit = Arc::clone(&self.0.leading_out).try_acquire_owned();
        let permit = permit.map_err(|_full| PeerError::Crowded)?;
        client::open(self, peer, node, deadline, permit).await
    }
}

impl OtherTunnels for Peers {
    fn dial(
        &self,
        node: NodeId,
        patience: TunnelPatience,
    ) -> Later<'_, Result<ChannelStream, TunnelError>> {
        Box::pin(async move {
            let dialled = self.dial_until(node, patience).await;
            dialled.map_err(|error| match error {
                PeerError::Nowhere => TunnelError::None,
                PeerError::Refused(proxy, why) => {
                    TunnelError::Refused(format!("{why} (its tunnel is at the proxy {proxy})"))
                }
                error => TunnelError::Elsewhere(chain(&error)),
            })
        })
    }

    fn has(&self, node: NodeId) -> Later<'_, bool> {
        Box::pin(async move {
            let found = tokio::time::timeout(ANSWER_TIMEOUT, self.find(node)).await;
            matches!(found, Ok(Ok(Some(_))))
        })
    }
}
