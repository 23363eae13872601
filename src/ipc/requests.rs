//! The requests of all services, and their answers.

use std::ffi::OsString;
use std::io;

use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;

use super::browser::{BrowserAnswer, BrowserRequest};
use super::browser_sessions::{
    BrowserPasswordRequest, BrowserSessionAnswer, BrowserSessionRequest,
};
use super::ca_keys::line;
use super::changes::{ChangesAnswer, ChangesRequest};
use super::hexadecimal;
use super::nodes::{NodesAnswer, NodesRequest};
use super::peers::{PeersAnswer, PeersRequest};
use super::people::{PeopleAnswer, PeopleRequest};
use super::published::{PublishedAnswer, PublishedRequest};
use super::service::Service;
use super::telemetry::{TelemetryAnswer, TelemetryRequest};

/// A request to any service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceRequest {
    /// To [`Service::Files`].
    Files(FileRequest),
    /// To [`Service::Signing`].
    Signing(SigningRequest),
    /// To [`Service::People`].
    People(PeopleRequest),
    /// To [`Service::Browser`].
    Browser(BrowserRequest),
    /// To [`Service::BrowserSessions`].
    BrowserSessions(BrowserSessionRequest),
    /// To [`Service::BrowserPasswords`].
    BrowserPasswords(BrowserPasswordRequest),
    /// To [`Service::Nodes`].
    Nodes(Box<NodesRequest>),
    /// To [`Service::Peers`].
    Peers(PeersRequest),
    /// To [`Service::Changes`].
    Changes(ChangesRequest),
    /// To [`Service::Published`].
    Published(PublishedRequest),
    /// To [`Service::Telemetry`].
    Telemetry(TelemetryRequest),
}

impl ServiceRequest {
    /// The service that handles the request.
    #[must_use]
    pub const fn service(&self) -> Service {
        match self {
            Self::Files(_) => Service::Files,
            Self::Signing(_) => Service::Signing,
            Self::People(_) => Service::People,
            Self::Browser(_) => Service::Browser,
            Self::BrowserSessions(_) => Service::BrowserSessions,
            Self::BrowserPasswords(_) => Service::BrowserPasswords,
            Self::Nodes(_) => Service::Nodes,
            Self::Peers(_) => Service::Peers,
            Self::Changes(_) => Service::Changes,
            Self::Published(_) => Service::Published,
            Self::Telemetry(_) => Service::Telemetry,
        }
    }
}

/// A type of request, and the type of its answer.
pub trait Exchange: Clone + Into<ServiceRequest> {
    /// The service that handles the request.
    const SERVICE: Service;
    /// The type of the answer.
    type Answer: Serialize + DeserializeOwned;
}

impl Exchange for FileRequest {
    const SERVICE: Service = Service::Files;
    type Answer = FileAnswer;
}

impl From<FileRequest> for ServiceRequest {
    fn from(request: FileRequest) -> Self {
        Self::Files(request)
    }
}

impl Exchange for SigningRequest {
    const SERVICE: Service = Service::Signing;
    type Answer = SigningAnswer;
}

impl From<SigningRequest> for ServiceRequest {
    fn from(request: SigningRequest) -> Self {
        Self::Signing(request)
    }
}

impl Exchange for PeopleRequest {
    const SERVICE: Service = Service::People;
    type Answer = PeopleAnswer;
}

impl From<PeopleRequest> for ServiceRequest {
    fn from(request: PeopleRequest) -> Self {
        Self::People(request)
    }
}

impl Exchange for BrowserRequest {
    const SERVICE: Service = Service::Browser;
    type Answer = BrowserAnswer;
}

impl From<BrowserRequest> for ServiceRequest {
    fn from(request: BrowserRequest) -> Self {
        Self::Browser(request)
    }
}

impl Exchange for BrowserSessionRequest {
    const SERVICE: Service = Service::BrowserSessions;
    type Answer = BrowserSessionAnswer;
}

impl From<BrowserSessionRequest> for ServiceRequest {
    fn from(request: BrowserSessionRequest) -> Self {
        Self::BrowserSessions(request)
    }
}

impl Exchange for BrowserPasswordRequest {
    const SERVICE: Service = Service::BrowserPasswords;
    type Answer = BrowserSessionAnswer;
}

impl From<BrowserPasswordRequest> for ServiceRequest {
    fn from(request: BrowserPasswordRequest) -> Self {
        Self::BrowserPasswords(request)
    }
}

impl Exchange for NodesRequest {
    const SERVICE: Service = Service::Nodes;
    type Answer = NodesAnswer;
}

impl From<NodesRequest> for ServiceRequest {
    fn from(request: NodesRequest) -> Self {
        Self::Nodes(Box::new(request))
    }
}

impl Exchange for PeersRequest {
    const SERVICE: Service = Service::Peers;
    type Answer = PeersAnswer;
}

impl From<PeersRequest> for ServiceRequest {
    fn from(request: PeersRequest) -> Self {
        Self::Peers(request)
    }
}

impl Exchange for ChangesRequest {
    const SERVICE: Service = Service::Changes;
    type Answer = ChangesAnswer;
}

impl From<ChangesRequest> for ServiceRequest {
    fn from(request: ChangesRequest) -> Self {
        Self::Changes(request)
    }
}

impl Exchange for PublishedRequest {
    const SERVICE: Service = Service::Published;
    type Answer = PublishedAnswer;
}

impl From<PublishedRequest> for ServiceRequest {
    fn from(request: PublishedRequest) -> Self {
        Self::Published(request)
    }
}

impl Exchange for TelemetryRequest {
    const SERVICE: Service = Service::Telemetry;
    type Answer = TelemetryAnswer;
}

impl From<TelemetryRequest> for ServiceRequest {
    fn from(request: TelemetryRequest) -> Self {
        Self::Telemetry(request)
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilePurpose {
    /// To be read.
    Read,
    /// To be appended to. A missing file is created, accessible to its owner only.
    Append,
}

/// Requests an open file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRequest {
    /// Its path, which has to be in [`AllowedFiles`](super::files::AllowedFiles). It need not be UTF-8.
    pub path: OsString,
    /// What it is opened for.
    pub purpose: FilePurpose,
}

/// The answer to [`FileRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAnswer {
    /// The file descriptor is attached.
    Opened,
    /// The file was not opened: the number of the operating system's error, errno(3).
    Failed(i32),
}

impl FileAnswer {
    /// Why a file was not opened. Errors that are not the operating system's are `EACCES`.
    #[must_use]
    pub fn failed(error: &io::Error) -> Self {
        let denied = Errno::ACCESS.raw_os_error();
        Self::Failed(error.raw_os_error().unwrap_or(denied))
    }
}

/// Requests a signature, or a check whether the key can sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningRequest {
    /// Asks which key signs, and whether it can be used now. Nothing is signed.
    Check,
    /// A signature.
    Sign {
        /// The key that has to sign.
        #[serde(with = "line")]
        key: PublicKey,
        /// A host certificate without its signature (PROTOCOL.certkeys).
        #[serde(with = "hexadecimal")]
        data: Vec<u8>,
    },
}

/// The answer to [`SigningRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningAnswer {
    /// To [`SigningRequest::Check`]: the key that signs; `None` when it cannot be used.
    Key(Option<CaKeyLine>),
    /// The signature as RFC 4253 section 6.6 encodes it.
    Signature(#[serde(with = "hexadecimal")] Vec<u8>),
    /// The signature was refused. Contains the key that signs, if the CA is open: if it is the
    /// requested key, the key itself refused to sign.
    Refused(Option<CaKeyLine>),
}

/// A CA's public key, as OpenSSH writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaKeyLine(#[serde(with = "line")] pub PublicKey);
