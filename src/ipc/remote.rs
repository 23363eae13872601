//! The services of the auth process about people and nodes, as a caller uses them.

use std::fmt;

use super::browser::{BrowserAnswer, BrowserRequest};
use super::browser_sessions::{
    BrowserPasswordRequest, BrowserSessionAnswer, BrowserSessionRequest,
};
use super::changes::{ChangesAnswer, ChangesRequest};
use super::client::{CallError, Client};
use super::nodes::{NodesAnswer, NodesRequest};
use super::peers::{PeersAnswer, PeersRequest};
use super::people::{PeopleAnswer, PeopleRequest};
use super::published::{PublishedAnswer, PublishedRequest};
use super::telemetry::{TelemetryAnswer, TelemetryRequest};

/// Decides about people.
pub trait People: fmt::Debug + Send + Sync {
    /// Answers a request. It may wait for another process, for a limited time.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&self, request: PeopleRequest) -> Result<PeopleAnswer, CallError>;
}

/// Asks another process about people.
#[derive(Clone, Debug)]
pub struct RemotePeople(Client);

impl RemotePeople {
    /// Uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl People for RemotePeople {
    fn ask(&self, request: PeopleRequest) -> Result<PeopleAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&request)?;
        Ok(answer)
    }
}

/// Decides about nodes.
pub trait Nodes: fmt::Debug + Send + Sync {
    /// Answers a request. It may wait for another process, for a limited time.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&self, request: NodesRequest) -> Result<NodesAnswer, CallError>;
}

/// Asks another process about nodes.
#[derive(Clone, Debug)]
pub struct RemoteNodes(Client);

impl RemoteNodes {
    /// Uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Nodes for RemoteNodes {
    fn ask(&self, request: NodesRequest) -> Result<NodesAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&request)?;
        Ok(answer)
    }
}

/// Tells proxies that share a state of each other.
pub trait Peers: fmt::Debug + Send + Sync {
    /// Answers a request. It may wait for another process, for a limited time.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&self, request: PeersRequest) -> Result<PeersAnswer, CallError>;
}

/// Asks another process about other proxies.
#[derive(Clone, Debug)]
pub struct RemotePeers(Client);

impl RemotePeers {
    /// Uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Peers for RemotePeers {
    fn ask(&self, request: PeersRequest) -> Result<PeersAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&request)?;
        Ok(answer)
    }
}

/// Answers browsers.
pub trait Browser: fmt::Debug + Send + Sync {
    /// Answers a request. It may wait for another process, for a limited time.
    ///
    /// # Errors
    /// When there is no answer. [`CallError::Refused`] where there is no identity provider.
    fn ask(&self, request: BrowserRequest) -> Result<BrowserAnswer, CallError>;
}

/// Asks another process for a browser.
#[derive(Clone, Debug)]
pub struct RemoteBrowser(Client);

impl RemoteBrowser {
    /// Uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Browser for RemoteBrowser {
    fn ask(&self, request: BrowserRequest) -> Result<BrowserAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&request)?;
        Ok(answer)
    }
}

/// Answers browsers in which people sign in.
pub trait BrowserSessions: fmt::Debug + Send + Sync {
    /// Answers a browser that has a token. It may wait for another process, for a limited time.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&self, request: BrowserSessionRequest) -> Result<BrowserSessionAnswer, CallError>;

    /// Answers a request with a password. It may wait for another process, for a limited time.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask_with_password(
        &self,
        request: BrowserPasswordRequest,
    ) -> Result<BrowserSessionAnswer, CallError>;
}

/// Asks another process for a browser in which a person signs in.
#[derive(Clone, Debug)]
pub struct RemoteBrowserSessions(Client);

impl RemoteBrowserSessions {
    /// Uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl BrowserSessions for RemoteBrowserSessions {
    fn ask(&self, request: BrowserSessionRequest) -> Result<BrowserSessionAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&request)?;
        Ok(answer)
    }

    fn ask_with_password(
        &self,
        request: BrowserPasswordRequest,
    ) -> Result<BrowserSessionAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&request)?;
        Ok(answer)
    }
}

/// Tells what has changed.
pub trait Changes: fmt::Debug + Send + Sync {
    /// Answers a request. It may wait for another process, for a limited time.
    ///
    /// # Errors
    /// When there is no answer.
    fn since(&self, request: ChangesRequest) -> Result<ChangesAnswer, CallError>;
}

/// Asks another process what has changed.
#[derive(Clone, Debug)]
pub struct RemoteChanges(Client);

impl RemoteChanges {
    /// Uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Changes for RemoteChanges {
    fn since(&self, request: ChangesRequest) -> Result<ChangesAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&request)?;
        Ok(answer)
    }
}

/// Tells what everybody may know.
pub trait Published: fmt::Debug + Send + Sync {
    /// Answers a request. It may wait for another process, for a limited time.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&self, request: PublishedRequest) -> Result<PublishedAnswer, CallError>;
}

/// Asks another process for what everybody may know.
#[derive(Clone, Debug)]
pub struct RemotePublished(Client);

impl RemotePublished {
    /// Uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Published for RemotePublished {
    fn ask(&self, request: PublishedRequest) -> Result<PublishedAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&request)?;
        Ok(answer)
    }
}

/// Asks another process what it has counted.
#[derive(Clone, Debug)]
pub struct RemoteTelemetry(Client);

impl RemoteTelemetry {
    /// Uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// What was counted. Waits for a second at most.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn ask(&self) -> Result<TelemetryAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&TelemetryRequest {})?;
        Ok(answer)
    }
}
