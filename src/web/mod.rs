//! HTTP: public data (the CAs' public keys, the list of revocations), the pages with which people sign in
//! at an identity provider and, on a listener of its own, metrics and health checks for monitoring.
//!
//! It cannot hurt the SSH side: each listener has a thread of its own, few connections, one request on
//! each, no bodies, and a time for everything. It has no secrets and decides about no person: what browsers
//! bring is passed on to the process that has the state. `Site` is what there is; a page more is a row in
//! its table.

mod api;
mod app;
mod assets;
mod browser_cookie;
mod callback;
mod connection;
mod files;
mod guard;
mod headers;
mod health;
mod hosts;
mod html;
mod keys;
mod krl;
mod page;
mod probe;
mod public_site;
mod server;
mod sign_in;
mod site;
mod slots;
mod status;
mod telemetry;
mod tls;

use std::io;

use thiserror::Error;

pub use app::{WebApp, WebParts};
pub use health::Health;
pub use hosts::OwnHosts;
pub use keys::{PublicDocuments, PublicKeys};
pub use server::{Ending, Server};
pub use status::{Status, StatusSource};
pub use telemetry::Telemetry;
pub use tls::{TlsError, TlsFiles, Validity};

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum WebError {
    /// What should be a listener does not listen.
    #[error("cannot use the listener")]
    Listen(#[source] io::Error),
    /// There is no usable certificate.
    #[error("cannot serve HTTPS")]
    Tls(#[from] TlsError),
    /// The operating system refuses a thread or a runtime.
    #[error("cannot start")]
    Start(#[source] io::Error),
}
