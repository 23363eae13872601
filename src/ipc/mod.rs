//! What the processes of this program say to each other, and how.
//!
//! Every process that the monitor starts has one [`MessageSocket`] to it, its standard input. On it
//! go the messages of a process's life ([`MonitorMessage`], [`WorkerMessage`]) and *calls*: typed
//! requests to a [`Service`], each with an id, a deadline, a size limit and file descriptors where
//! they are needed. A call carries the socket for its own answer, so answers need no order, a slow
//! answer holds up no other, and the monitor can hand a call on to the process that provides the
//! service.
//!
//! - `socket`: the socket
//! - `version`: which versions of this protocol work together
//! - `lifecycle`, `ca_keys`: what the monitor orders and a process reports
//! - `service`, `requests`: the table of services, their limits, what they are asked
//! - `call`, `client`, `server`: a call, from both sides
//! - `files`, `signing`: the services, as a caller uses them
//!
//! **Invariant**: whoever receives a call believes nothing in it but what it checks against data of
//! its own. Which process may call which service is not decided here but in the monitor's table of
//! processes.

mod ca_keys;
mod call;
mod client;
mod files;
mod lifecycle;
mod requests;
mod server;
mod service;
mod signing;
mod socket;
mod version;

pub use ca_keys::PublicCaKeys;
pub use call::{CallRefusal, ServiceCall};
pub use client::{CallError, Client};
pub use files::{AllowedFiles, RemoteFiles};
pub use lifecycle::{ListenerKind, MonitorMessage, WorkerMessage, decode, encode};
pub use requests::{
    CaKeyLine, Exchange, FileAnswer, FilePurpose, FileRequest, ServiceRequest, SigningAnswer,
    SigningRequest,
};
pub use server::{IncomingCall, Slot, Slots};
pub use service::Service;
pub use signing::{RemoteSigning, Signing};
pub use socket::{Datagram, MAX_FILES, MAX_MESSAGE, MessageSocket};
pub use version::{OLDEST, VERSION, can_follow};

#[cfg(test)]
mod tests;
