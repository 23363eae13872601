//! Asks the process that decides about nodes, without blocking the thread of a connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::unanswered::{Asker, Unanswered};
use crate::ipc::{NodeRefusal, Nodes, NodesAnswer, NodesQuestion, NodesRequest, Service};
use crate::model::{ConnectionId, network};
use crate::ssh::asked_connection::AskedConnection;
use crate::ssh::waiting_line::{AskError, WaitingLine};

/// Asks about hosts, for all connections of this process. Clones share the line.
#[derive(Clone, Debug)]
pub(crate) struct NodesClient {
    nodes: Arc<dyn Nodes>,
    line: WaitingLine,
    pub(super) unanswered: Unanswered,
}

impl NodesClient {
    /// Asks this service.
    #[must_use]
    pub(crate) fn new(nodes: Arc<dyn Nodes>) -> Self {
        Self {
            nodes,
            line: WaitingLine::new("hosts report", Service::Nodes.at_once()),
            unanswered: Unanswered::default(),
        }
    }

    /// Asks about the host on this connection.
    pub(crate) fn host(&self, connection: ConnectionId, client: SocketAddr) -> HostClient {
        HostClient(Arc::new(HostConnection {
            nodes: self.clone(),
            connection,
            client,
            asked: AskedConnection::default(),
            proved: OnceLock::new(),
            has_tunnel: AtomicBool::new(false),
        }))
    }

    /// Cancel-safe: a question that was asked is answered, and the answer is dropped.
    async fn ask(&self, asker: Asker, request: NodesRequest) -> Result<NodesAnswer, AskError> {
        let (question, turn) = match &request.ask {
            // Each connection asks so once. Lost, the other process would take the tunnel for open.
            NodesQuestion::Tunnel(false) | NodesQuestion::Close => {
                (None, self.line.sure_turn().await?)
            }
            NodesQuestion::Prove(_)
            | NodesQuestion::Join { .. }
            | NodesQuestion::Heartbeat(_)
            | NodesQuestion::Tunnel(true)
            | NodesQuestion::Successors => {
                let question = self.unanswered.take(asker)?;
                let turn = self.line.turn_within(Service::Nodes.timeout()).await?;
                (Some(question), turn)
            }
        };
        let nodes = Arc::clone(&self.nodes);
        turn.ask(move || {
            let answer = nodes.ask(request);
            drop(question);
            answer
        })
        .await
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
    asked: AskedConnection,
    /// Whose key was proved.
    proved: OnceLock<Asker>,
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
    pub(crate) async fn ask(&self, ask: NodesQuestion) -> Result<NodesAnswer, AskError> {
        let Self(host) = self;
        host.asked.asks();
        if let NodesQuestion::Prove(proof) = &ask {
            host.asked.proves(proof);
            return host.ask(ask).await;
        }
        let answer = host.ask(ask.clone()).await?;
        let answer = match (is_forgotten(&answer), host.asked.proof()) {
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
    async fn ask(&self, ask: NodesQuestion) -> Result<NodesAnswer, AskError> {
        let answer = self.nodes.ask(self.asker(), self.request(ask)).await?;
        if let NodesAnswer::Proved(node) = &answer {
            let strangers = Asker::Strangers(network(self.client.ip()));
            let node = node.as_ref().map(|node| Asker::Node(node.id));
            self.proved.get_or_init(|| node.unwrap_or(strangers));
        }
        Ok(answer)
    }

    /// Whose questions its questions are.
    fn asker(&self) -> Asker {
        let unproved = || Asker::Unproved(network(self.client.ip()));
        self.proved.get().copied().unwrap_or_else(unproved)
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
        let (nodes, asker) = (self.nodes.clone(), self.asker());
        let request = self.request(NodesQuestion::Close);
        self.asked
            .end(async move { nodes.ask(asker, request).await });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;
    use crate::ipc::SignedProof;
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

    /// An attacker on a host that is a node, and on one that is not, with many connections.
    #[tokio::test(start_paused = true)]
    async fn one_host_leaves_the_line_to_others() {
        for (node, most) in [(Some(known()), 16), (None, 256)] {
            let nodes = TestNodes::default();
            nodes.record().node = node;
            let nodes = Arc::new(nodes);
            let client = NodesClient::new(nodes.clone());
            let mut connections = Vec::new();
            for _ in 0..50 {
                let host = client.host(ConnectionId::new(), CLIENT);
                host.ask(proof()).await.unwrap();
                connections.push(host);
            }
            let mut held = Vec::new();
            for _ in 0..Service::Nodes.at_once() {
                held.push(client.line.sure_turn().await.unwrap());
            }
            let mut crowd = JoinSet::new();
            for host in connections.iter().cycle().take(5_000) {
                let host = host.clone();
                crowd.spawn(async move { host.ask(NodesQuestion::Successors).await });
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            // Another node at the same address.
            nodes.record().node = Some(known());
            let other = client.host(ConnectionId::new(), CLIENT);
            let beat = tokio::spawn(async move {
                other.ask(proof()).await?;
                let report = crate::ipc::NodeReport::default();
                other.ask(NodesQuestion::Heartbeat(report)).await
            });
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(held);
            let answer = beat.await.unwrap().unwrap();
            assert!(matches!(answer, NodesAnswer::Installation(_)), "{answer:?}");
            let answers = crowd.join_all().await;
            let answered = answers.iter().filter(|answer| answer.is_ok()).count();
            assert_eq!(answered, most);
            let refused = answers.into_iter().find_map(Result::err).unwrap();
            let refused = refused.to_string();
            assert!(refused.contains("are unanswered"), "{refused}");
            // There is room again.
            connections[0].ask(NodesQuestion::Successors).await.unwrap();
        }
    }

    /// The other process would take its tunnel for open.
    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_connection_is_not_lost_in_a_crowd() {
        let nodes = TestNodes::with(known());
        let client = NodesClient::new(nodes.clone());
        let host = client.host(ConnectionId::new(), CLIENT);
        host.ask(proof()).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..Service::Nodes.at_once() {
            held.push(client.line.sure_turn().await.unwrap());
        }
        let mut crowd = JoinSet::new();
        let now = Duration::ZERO;
        while !matches!(
            client.line.turn_within(now).await,
            Err(AskError::Crowded(_))
        ) {
            let line = client.line.clone();
            crowd.spawn(async move { drop(line.turn().await) });
            tokio::task::yield_now().await;
        }
        let report = NodesQuestion::Heartbeat(crate::ipc::NodeReport::default());
        assert!(matches!(host.ask(report).await, Err(AskError::Crowded(_))));
        drop(host);
        tokio::task::yield_now().await;
        drop(held);
        while nodes.asked().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(nodes.asked(), ["prove", "close"]);
    }
}
