//! HTTP: what everybody may ask for (`app`: the CAs' public keys, the list of revocations, the pages with which
//! people sign in at an identity provider, the interface for browsers and its API) and, on a listener of its
//! own, metrics and health checks for monitoring (`telemetry`).
//!
//! It cannot hurt the SSH side: each listener has a thread of its own, few connections, a time and a size for
//! everything. It decides about no person: what browsers bring is passed on to the process that has the state.
//!
//! - `server`, `connection`, `slots`, `tls`: a listener, and what bounds its clients
//! - `app`, `guard`, `hosts`, `headers`: what the web serves, to which requests, and with which headers
//! - `api`: the interface for programs; `files`, `assets`: the one for browsers
//! - `site`, `public_site`, `keys`, `krl`, `page`: pages as rows of a table, and those for everybody
//! - `sign_in`, `callback`, `browser_cookie`, `html`: signing in at an identity provider
//! - `telemetry`, `health`, `status`, `probe`: monitoring

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
mod purpose;
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
