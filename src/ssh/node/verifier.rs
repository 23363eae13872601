//! Who the client of an outer connection is where hosts join: under the user name `join`, a plain key is
//! the host key of a host, and the process that decides about nodes is asked about it; under the user name
//! `peer`, it is the host key of another proxy. All else is as it is for people.

use std::net::SocketAddr;

use super::client::{HostClient, NodesClient};
use super::host::ProvedHost;
use crate::access::Identity;
use crate::cert::PresentedKey;
use crate::cert::proof::VerifiedRequest;
use crate::ipc::{NodesAnswer, NodesQuestion, SignedProof};
use crate::model::{ConnectionId, UserName};
use crate::ssh::key_rounds::Fit;
use crate::ssh::peers::{Peers, ProvedPeer};
use crate::ssh::refusal::{self, Refusal};
use crate::ssh::verifier::{Decision, Verifier};
use crate::ssh::waiting_line::AskError;
use crate::wire::auth::{Answers, Methods, Offer};

/// Who has authenticated.
#[derive(Debug)]
pub(crate) enum Authenticator {
    /// A person.
    Person(Box<Identity>),
    /// A host.
    Host(Box<ProvedHost>),
    /// Another proxy on the same state.
    Peer(ProvedPeer),
}

impl Authenticator {
    /// What its connections are counted under.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Person(identity) => identity.name().to_owned(),
            Self::Host(host) => host.name(),
            Self::Peer(peer) => peer.name(),
        }
    }
}

/// Decides about the client of one outer connection. `V` decides about people.
pub(crate) struct NodeVerifier<V> {
    people: V,
    /// Asks about the host. `None` where no hosts join.
    host: Option<HostClient>,
    /// Knows other proxies. `None` where the state is not shared.
    peers: Option<Peers>,
}

impl<V> NodeVerifier<V> {
    /// For this connection.
    pub(crate) fn new(
        people: V,
        (nodes, peers): (Option<&NodesClient>, Option<Peers>),
        connection: ConnectionId,
        client: SocketAddr,
    ) -> Self {
        Self {
            people,
            host: nodes.map(|nodes| nodes.host(connection, client)),
            peers,
        }
    }

    /// Who decides about people.
    pub(crate) fn into_people(self) -> V {
        self.people
    }

    /// Whether a host offers its key, and nobody a certificate: somebody's login can be `join`.
    fn is_host(&self, offer: &Offer) -> bool {
        self.is_joining(&offer.user) && matches!(offer.key, PresentedKey::Plain(_))
    }

    fn is_joining(&self, user: &str) -> bool {
        self.host.is_some() && user == UserName::JOIN
    }

    /// The same for another proxy.
    fn peers_of(&self, offer: &Offer) -> Option<&Peers> {
        let is_peer = offer.user == UserName::PEER && matches!(offer.key, PresentedKey::Plain(_));
        self.peers.as_ref().filter(|_| is_peer)
    }
}

impl<V: Verifier<Verdict = Identity> + Send + Sync> NodeVerifier<V> {
    async fn prove(&self, offer: &Offer, proof: &VerifiedRequest) -> Decision<Authenticator> {
        let Some(host) = &self.host else {
            return Decision::Refuse(refusal::plain_key(&offer.key));
        };
        let signed = NodesQuestion::Prove(SignedProof::from(proof.request()));
        match host.ask(signed).await {
            Ok(NodesAnswer::Proved(node)) => {
                let fingerprint = proof.key().fingerprint().to_string();
                let proved = ProvedHost::new(host.clone(), node, fingerprint);
                Decision::Accept(Authenticator::Host(Box::new(proved)))
            }
            Ok(NodesAnswer::Refused(refused)) => Decision::Refuse(refusal::refused_node(&refused)),
            Ok(_) => Decision::Refuse(refusal::nodes_unavailable(&"its answer does not fit")),
            Err(error) => {
                // A host alone can fill its share, and the audit log has it.
                match &error {
                    AskError::TooManyOf(_) => tracing::debug!(%error, "a host asks too much"),
                    _ => tracing::error!(%error, "cannot ask about a host"),
                }
                Decision::Refuse(refusal::nodes_unavailable(&error))
            }
        }
    }
}

impl<V: Verifier<Verdict = Identity> + Send + Sync> Verifier for NodeVerifier<V> {
    type Verdict = Authenticator;

    fn methods(&self) -> Methods {
        self.people.methods()
    }

    fn forgives_queries(&self) -> bool {
        self.people.forgives_queries()
    }

    async fn query(&mut self, offer: &Offer) -> Result<Fit, Refusal> {
        match self.is_host(offer) || self.peers_of(offer).is_some() {
            // Only what was proved is asked about.
            true => Ok(Fit::Good),
            false => self.people.query(offer).await,
        }
    }

    fn takes_early(&self, offer: &Offer) -> bool {
        !self.is_host(offer) && self.peers_of(offer).is_none() && self.people.takes_early(offer)
    }

    async fn attempt(&mut self, offer: &Offer, proof: &VerifiedRequest) -> Decision<Authenticator> {
        if let Some(peers) = self.peers_of(offer) {
            return match peers.admit(proof.key()).await {
                Ok(peer) => Decision::Accept(Authenticator::Peer(peer)),
                Err(refusal) => Decision::End(refusal),
            };
        }
        match self.is_host(offer) {
            true => self.prove(offer, proof).await,
            false => person(self.people.attempt(offer, proof).await),
        }
    }

    fn announcement(&self, user: &str) -> Option<Refusal> {
        match self.is_joining(user) {
            true => None,
            false => self.people.announcement(user),
        }
    }

    async fn begin(&mut self, user: &str) -> Option<Decision<Authenticator>> {
        match self.is_joining(user) {
            true => None,
            false => self.people.begin(user).await.map(person),
        }
    }

    async fn answer(&mut self, answers: Answers) -> Option<Decision<Authenticator>> {
        self.people.answer(answers).await.map(person)
    }
}

/// The same decision, about whoever it is.
fn person(decision: Decision<Identity>) -> Decision<Authenticator> {
    match decision {
        Decision::Accept(identity) => Decision::Accept(Authenticator::Person(Box::new(identity))),
        Decision::RequireAnswers(refusal) => Decision::RequireAnswers(refusal),
        Decision::RequireKey => Decision::RequireKey,
        Decision::Ask(questioning) => Decision::Ask(questioning),
        Decision::Refuse(refusal) => Decision::Refuse(refusal),
        Decision::End(refusal) => Decision::End(refusal),
    }
}
