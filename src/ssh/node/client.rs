//! Asks the process that decides about nodes, without blocking the thread of a connection.
//!
//! No more questions are asked at a time than that process answers, and a bounded number waits.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::ipc::{
    CallError, NodeRefusal, Nodes, NodesAnswer, NodesQuestion, NodesRequest, Service, SignedProof,
};
use crate::model::ConnectionId;

/// How many questions of this process are asked at a time.
const AT_ONCE: usize = Service::Nodes.at_once();
/// How many may wait: all hosts may come at the same time, after a restart.
const MAX_WAITING: usize = 4096;
/// How long a question may wait for its turn.
const TURN: Duration = Service::Nodes.timeout();

/// Why a question about a host has no answer.
#[derive(Debug, Error)]
pub(crate) enum NodesError {
    /// Too many wait.
    #[error("too many hosts report at this moment")]
    Crowded,
    /// It had no turn in time.
    #[error("too many hosts report at this moment, and none was done within {} seconds", TURN.as_secs())]
    Late,
    /// The other process does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Asks about hosts, for all connections of this process. Clones share the line.
#[derive(Clone, Debug)]
pub(crate) struct NodesClient {
    nodes: Arc<dyn Nodes>,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl NodesClient {
    /// Asks this service.
    #[must_use]
    pub(crate) fn new(nodes: Arc<dyn Nodes>) -> Self {
        Self {
            nodes,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + MAX_WAITING)),
        }
    }

    /// Asks about the host on this connection.
    pub(crate) fn host(&self, connection: ConnectionId, client: SocketAddr) -> HostClient {
        HostClient(Arc::new(HostConnection {
            nodes: self.clone(),
            connection,
            client,
            is_known: AtomicBool::new(false),
            proof: Mutex::default(),
            has_tunnel: AtomicBool::new(false),
        }))
    }

    /// Cancel-safe: a question that was asked is answered, and the answer is dropped.
    async fn ask(&self, request: NodesRequest) -> Result<NodesAnswer, NodesError> {
        let place = self.places.try_acquire();
        let _place = place.map_err(|_full| NodesError::Crowded)?;
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(TURN, turn).await;
        // The semaphore is never closed.
        let turn = turn
            .map_err(|_elapsed| NodesError::Late)?
            .map_err(|_closed| NodesError::Crowded)?;
        let nodes = Arc::clone(&self.nodes);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = nodes.ask(request);
            drop(turn);
            answer
        });
        Ok(asked.await.unwrap_or(Err(CallError::HungUp))?)
    }
}

/// Asks about the host on one connection. Clones share it; when the last one is dropped, the other process
/// is told that the connection has ended.
#[derive(Clone, Debug)]
pub(crate) struct HostClient(Arc<HostConnection>);

#[derive(Debug)]
struct HostConnection {
    nodes: NodesClient,
    connection: ConnectionId,
    client: SocketAddr,
    /// The other process may remember something about the connection.
    is_known: AtomicBool,
    /// What the host has proved.
    proof: Mutex<Option<SignedProof>>,
    /// The last report of a tunnel was that it is open.
    has_tunnel: AtomicBool,
}

impl HostClient {
    /// Asks. If the other process does not know any more what the host has proved, because it was
    /// restarted, the proof is passed on to it again, and an open tunnel is reported again. Cancel-safe: a
    /// question that was asked is answered, and the answer is dropped.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn ask(&self, ask: NodesQuestion) -> Result<NodesAnswer, NodesError> {
        let Self(host) = self;
        host.is_known.store(true, Ordering::Relaxed);
        if let NodesQuestion::Prove(proof) = &ask {
            *host.proof() = Some(proof.clone());
            return host.ask(ask).await;
        }
        let answer = host.ask(ask.clone()).await?;
        let proof = host.proof().clone();
        let answer = match (is_forgotten(&answer), proof) {
            (true, Some(proof)) => match host.ask(NodesQuestion::Prove(proof)).await? {
                NodesAnswer::Proved(_) => {
                    let is_about_tunnel = matches!(ask, NodesQuestion::Tunnel(_));
                    if host.has_tunnel.load(Ordering::Relaxed) && !is_about_tunnel {
                        host.ask(NodesQuestion::Tunnel(true)).await?;
                    }
                    host.ask(ask.clone()).await?
                }
                refused => refused,
            },
            (_, _) => answer,
        };
        if let (NodesQuestion::Tunnel(is_open), NodesAnswer::Noted) = (&ask, &answer) {
            host.has_tunnel.store(*is_open, Ordering::Relaxed);
        }
        Ok(answer)
    }
}

impl HostConnection {
    async fn ask(&self, ask: NodesQuestion) -> Result<NodesAnswer, NodesError> {
        self.nodes.ask(self.request(ask)).await
    }

    fn proof(&self) -> MutexGuard<'_, Option<SignedProof>> {
        self.proof.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, ask: NodesQuestion) -> NodesRequest {
        NodesRequest {
            connection: self.connection,
            client: self.client,
            ask,
        }
    }
}

fn is_forgotten(answer: &NodesAnswer) -> bool {
    matches!(answer, NodesAnswer::Refused(refusal) if refusal.reason == NodeRefusal::NOT_PROVED)
}

impl Drop for HostConnection {
    fn drop(&mut self) {
        if !self.is_known.load(Ordering::Relaxed) {
            return;
        }
        let (nodes, request) = (self.nodes.clone(), self.request(NodesQuestion::Close));
        // A process that exits need not tell: the other one sees it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = nodes.ask(request).await {
                    tracing::debug!(%error, "cannot tell that the connection of a host has ended");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::testing::CLIENT;
    use crate::ssh::testing::test_nodes::{TestNodes, known};

    fn proof() -> NodesQuestion {
        NodesQuestion::Prove(SignedProof {
            session: vec![1],
            algorithm: "ssh-ed25519".to_owned(),
            key: vec![2],
            host_key: Vec::new(),
            signature: vec![3],
        })
    }

    #[tokio::test]
    async fn a_restart_of_the_other_process_is_not_noticed() {
        let nodes = TestNodes::with(known());
        let host = NodesClient::new(nodes.clone()).host(ConnectionId::new(), CLIENT);
        let report = || NodesQuestion::Heartbeat(crate::ipc::NodeReport::default());
        // Nothing was proved that could be proved again.
        assert!(is_forgotten(&host.ask(report()).await.unwrap()));
        host.ask(proof()).await.unwrap();
        host.ask(NodesQuestion::Tunnel(true)).await.unwrap();
        nodes.restart();
        let answer = host.ask(report()).await.unwrap();
        assert!(matches!(answer, NodesAnswer::Installation(_)), "{answer:?}");
        let again = [
            "heartbeat",
            "prove",
            "tunnel open",
            "heartbeat",
            "prove",
            "tunnel open",
            "heartbeat",
        ];
        assert_eq!(nodes.asked(), again);
        nodes.restart();
        host.ask(NodesQuestion::Tunnel(false)).await.unwrap();
        assert_eq!(
            nodes.asked()[7..],
            ["tunnel closed", "prove", "tunnel closed"]
        );
    }

    #[tokio::test]
    async fn the_end_of_a_connection_is_told_once_and_only_if_something_was_asked() {
        let nodes = TestNodes::with(known());
        let client = NodesClient::new(nodes.clone());
        drop(client.host(ConnectionId::new(), CLIENT));
        let host = client.host(ConnectionId::new(), CLIENT);
        let clone = host.clone();
        host.ask(proof()).await.unwrap();
        drop(host);
        tokio::task::yield_now().await;
        assert_eq!(nodes.asked(), ["prove"]);
        drop(clone);
        while nodes.asked().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(nodes.asked(), ["prove", "close"]);
    }
}
