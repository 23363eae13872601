//! The messages between the processes of this program.
//!
//! Every process that the monitor starts has one [`MessageSocket`] to it, its standard input. It
//! carries the messages of the process's life cycle ([`MonitorMessage`], [`ProcessMessage`]) and
//! *calls*: typed requests to a [`Service`], each with an id, a deadline, a size limit and, if
//! needed, file descriptors. A call carries the socket for its own answer, so answers may arrive in
//! any order, a slow answer does not delay others, and the monitor can pass a call on to the
//! process that provides the service.
//!
//! - `socket`: the socket
//! - `version`: which versions of this protocol work together
//! - `lifecycle`, `ca_keys`: the monitor's orders and a process's reports
//! - `service`, `requests`: the table of services, their limits, their requests
//! - `call`, `client`, `server`: a call, from both sides
//! - `forwarding`: a call on its way from one process to another, through the monitor
//! - `files`, `signing`, `remote`: the services, as a caller uses them
//! - `people`, `browser`, `browser_sessions`, `changes`, `hexadecimal`: requests about people, and what they
//!   consist of
//! - `seen`, `connection_table`: which connection a signature was made for, and what else the services about
//!   people and nodes remember of connections
//! - `nodes`, `peers`: requests about hosts that join, and about other proxies on the same state
//! - `published`: what everybody may know, for the web
//! - `telemetry`: what the auth process has counted
//!
//! **Invariant**: the receiver of a call trusts nothing in it that it has not checked against its
//! own data. Which process may call which service is decided in the monitor's table of processes.

mod browser;
mod browser_sessions;
mod ca_keys;
mod call;
mod changes;
mod client;
mod connection_table;
mod files;
mod forwarding;
mod hexadecimal;
mod lifecycle;
mod nodes;
mod peers;
mod people;
mod published;
mod remote;
mod requests;
mod seen;
mod server;
mod service;
mod signing;
mod socket;
mod telemetry;
mod version;

pub use browser::{BrowserAnswer, BrowserQuestion, BrowserRefusal, BrowserRequest};
pub use browser_sessions::{
    BrowserAccount, BrowserAccountSignIn, BrowserHost, BrowserHosts, BrowserKey,
    BrowserPasswordQuestion, BrowserPasswordRequest, BrowserSession, BrowserSessionAnswer,
    BrowserSessionQuestion, BrowserSessionRefusal, BrowserSessionRefusalKind,
    BrowserSessionRequest,
};
pub use ca_keys::PublicCaKeys;
pub use call::{CallRefusal, CallerProcess, ForwardedCall, ServiceCall};
pub use changes::{
    ChangesAnswer, ChangesRequest, ListedNode, NodeNews, SignInChange, SignInEnd, SignInNews,
    UserAccess,
};
pub use client::{CallError, CallRoute, Client};
pub use connection_table::{ConnectionSlot, ConnectionTable};
pub use files::{AllowedFiles, RemoteFiles};
pub use forwarding::ForwardingCall;
pub use lifecycle::{ListenerKind, MonitorMessage, ProcessMessage, decode, encode};
pub use nodes::{
    KnownNode, NodeInstallation, NodeRefusal, NodeReport, NodesAnswer, NodesQuestion, NodesRequest,
};
pub use peers::{Announcement, PeerProxy, PeersAnswer, PeersRequest};
pub use people::{
    OwnCommand, PeopleAnswer, PeopleQuestion, PeopleRefusal, PeopleRequest, Prompt, Questions,
    SecretText, SignedIn, SignedProof,
};
pub use published::{LIST_PIECE, PublishedAnswer, PublishedRequest};
pub use remote::{
    Browser, BrowserSessions, Changes, Nodes, Peers, People, Published, RemoteBrowser,
    RemoteBrowserSessions, RemoteChanges, RemoteNodes, RemotePeers, RemotePeople, RemotePublished,
    RemoteTelemetry,
};
pub use requests::{
    CaKeyLine, Exchange, FileAnswer, FilePurpose, FileRequest, ServiceRequest, SigningAnswer,
    SigningRequest,
};
pub use seen::{SeenSessions, SessionDigest, SessionOwner};
pub use server::{IncomingCall, Slot, Slots};
pub use service::{CALL_BURST, Provider, Service};
pub use signing::{RemoteSigning, Signing};
pub use socket::{Datagram, MAX_FILES, MAX_MESSAGE, MessageSocket};
pub use telemetry::{Durations, StateTelemetry, TelemetryAnswer, TelemetryRequest};
pub use version::{OLDEST, VERSION, can_follow};

#[cfg(test)]
mod tests;
