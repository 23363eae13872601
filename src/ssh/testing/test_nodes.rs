//! A process that decides about nodes, in memory: one host key, the node that has it, and who asks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ipc::{
    CallError, KnownNode, NodeInstallation, NodeRefusal, NodeReport, Nodes, NodesAnswer,
    NodesQuestion, NodesRequest,
};
use crate::model::{NodeId, TunnelRule};

/// The only token that is valid.
pub(crate) const TOKEN: &str = "rpt_right";

/// Decides about one node as the real process does.
#[derive(Debug, Default)]
pub(crate) struct TestNodes(Mutex<NodesRecord>);

/// What it knows, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct NodesRecord {
    /// The node that every host key is of; `None` before it has joined.
    pub(crate) node: Option<KnownNode>,
    pub(crate) is_locked: bool,
    /// It does not answer.
    pub(crate) is_away: bool,
    /// The reports so far.
    pub(crate) reports: Vec<NodeReport>,
    asked: Vec<&'static str>,
    /// The connections that have proved a key.
    proved: BTreeSet<String>,
}

/// The node `db1`, which may have a tunnel.
pub(crate) fn known() -> KnownNode {
    KnownNode {
        id: NodeId::new(),
        name: "db1".to_owned(),
        tunnel: TunnelRule::Required,
    }
}

impl TestNodes {
    /// Every host key is of this node.
    pub(crate) fn with(node: KnownNode) -> Arc<Self> {
        let nodes = Self::default();
        nodes.record().node = Some(node);
        Arc::new(nodes)
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, NodesRecord> {
        self.0.lock().unwrap()
    }

    /// Everything that connections have proved is forgotten.
    pub(crate) fn restart(&self) {
        self.record().proved.clear();
    }

    /// The kinds of questions so far.
    pub(crate) fn asked(&self) -> Vec<&'static str> {
        self.record().asked.clone()
    }
}

impl Nodes for TestNodes {
    fn ask(&self, request: NodesRequest) -> Result<NodesAnswer, CallError> {
        let mut record = self.record();
        record.asked.push(kind(&request.ask));
        match record.is_away {
            true => Err(CallError::HungUp),
            false => Ok(record.decide(request)),
        }
    }
}

impl NodesRecord {
    fn decide(&mut self, request: NodesRequest) -> NodesAnswer {
        let connection = request.connection.to_string();
        if matches!(request.ask, NodesQuestion::Close) {
            self.proved.remove(&connection);
            return NodesAnswer::Noted;
        }
        if self.is_locked {
            return refused(NodeRefusal::NODE_LOCKED);
        }
        if let NodesQuestion::Prove(_) = request.ask {
            self.proved.insert(connection);
            return NodesAnswer::Proved(self.node.clone());
        }
        if !self.proved.contains(&connection) {
            return refused(NodeRefusal::NOT_PROVED);
        }
        match (request.ask, self.node.clone()) {
            (NodesQuestion::Successors, _) => NodesAnswer::Successors(vec!["ssh-x A".to_owned()]),
            (NodesQuestion::Join { token, report }, _) => match token.expose() == TOKEN {
                true => {
                    let node = self.node.get_or_insert_with(known).clone();
                    self.installation(node, report)
                }
                false => refused("token-unknown"),
            },
            (_, None) => refused(NodeRefusal::NOT_JOINED),
            (NodesQuestion::Heartbeat(report), Some(node)) => self.installation(node, report),
            (_, Some(_)) => NodesAnswer::Noted,
        }
    }

    fn installation(&mut self, node: KnownNode, report: NodeReport) -> NodesAnswer {
        self.reports.push(report);
        NodesAnswer::Installation(NodeInstallation {
            id: node.id,
            name: node.name,
            tunnel: node.tunnel,
            has_tunnel: false,
            certificate: None,
            user_cas: vec!["ssh-ed25519 USERS".to_owned()],
            host_cas: vec!["ssh-ed25519 HOSTS".to_owned()],
            user_ca_proofs: Vec::new(),
            successors: Vec::new(),
            warnings: Vec::new(),
        })
    }
}

fn refused(reason: &str) -> NodesAnswer {
    NodesAnswer::Refused(NodeRefusal {
        reason: reason.to_owned(),
        message: "no".to_owned(),
        hint: Some("ask".to_owned()),
    })
}

fn kind(question: &NodesQuestion) -> &'static str {
    match question {
        NodesQuestion::Prove(_) => "prove",
        NodesQuestion::Join { .. } => "join",
        NodesQuestion::Heartbeat(_) => "heartbeat",
        NodesQuestion::Tunnel(true) => "tunnel open",
        NodesQuestion::Tunnel(false) => "tunnel closed",
        NodesQuestion::Successors => "successors",
        NodesQuestion::Close => "close",
    }
}
