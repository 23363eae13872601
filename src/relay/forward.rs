//! Forwarded channels: where they lead, and which of them were requested.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::content::Content;
use crate::wire::connection::{
    AGENT_CONNECT, AGENT_CONNECT_OPENSSH, DIRECT_TCPIP, Fields, MalformedMessage,
};

/// Listeners that one connection may have on its host at a time.
const MAX_LISTENERS: usize = 128;

/// Where a forwarded channel leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// From the client to a port that the host connects to (`direct-tcpip`).
    Tcp {
        /// The address of the other end, as sent to the host.
        host: Bytes,
        /// Its port.
        port: u32,
    },
    /// From the client to a Unix socket on the host (`direct-streamlocal@openssh.com`).
    Unix(Bytes),
    /// From a port that the host listens on (`forwarded-tcpip`).
    ListeningTcp {
        /// The address that was asked for.
        host: Bytes,
        /// The port that the host listens on.
        port: u32,
    },
    /// From a Unix socket that the host listens on (`forwarded-streamlocal@openssh.com`).
    ListeningUnix(Bytes),
    /// To the client's X server (`x11`).
    X11,
    /// To the client's agent (`auth-agent@openssh.com`).
    Agent,
}

impl Destination {
    /// Where a channel of this type leads; `None` for types that forward nothing.
    pub(super) fn of(kind: &str, content: &Content) -> Option<Self> {
        let host = || content.text("host");
        let port = content.number("port");
        let path = || content.text("path");
        Some(match kind {
            DIRECT_TCPIP => Self::Tcp { host: host(), port },
            "forwarded-tcpip" => Self::ListeningTcp { host: host(), port },
            "direct-streamlocal@openssh.com" => Self::Unix(path()),
            "forwarded-streamlocal@openssh.com" => Self::ListeningUnix(path()),
            "x11" => Self::X11,
            AGENT_CONNECT | AGENT_CONNECT_OPENSSH => Self::Agent,
            _ => return None,
        })
    }

    /// The type of the channel, as on the wire.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => DIRECT_TCPIP,
            Self::Unix(_) => "direct-streamlocal@openssh.com",
            Self::ListeningTcp { .. } => "forwarded-tcpip",
            Self::ListeningUnix(_) => "forwarded-streamlocal@openssh.com",
            Self::X11 => "x11",
            Self::Agent => AGENT_CONNECT_OPENSSH,
        }
    }

    /// Where it leads, for texts: `host:port` or a path; empty for X11 and the agent.
    #[must_use]
    pub fn address(&self) -> String {
        text(&self.address_bytes())
    }

    /// Where it leads, as the exact bytes.
    #[must_use]
    pub fn address_bytes(&self) -> Bytes {
        match self {
            Self::Tcp { host, port } | Self::ListeningTcp { host, port } => endpoint(host, *port),
            Self::Unix(path) | Self::ListeningUnix(path) => path.clone(),
            Self::X11 | Self::Agent => Bytes::new(),
        }
    }
}

/// `host:port`, with brackets around a host that contains colons.
fn endpoint(host: &[u8], port: u32) -> Bytes {
    let port = format!(":{port}");
    let parts: [&[u8]; 4] = match host.contains(&b':') {
        true => [b"[", host, b"]", port.as_bytes()],
        false => [b"", host, b"", port.as_bytes()],
    };
    parts.concat().into()
}

/// A name on the wire, for the policy and for texts. A name that is not UTF-8 matches no rule.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An address or socket that the host listens on for the client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Listener {
    Tcp { host: Bytes, port: u32 },
    Unix(Bytes),
}

impl Listener {
    /// The listener that a global request opens or closes; `None` for other requests.
    pub(super) fn of(name: &str, content: &Content) -> Option<Self> {
        Some(match name {
            "tcpip-forward" | "cancel-tcpip-forward" => Self::Tcp {
                host: content.text("host"),
                port: content.number("port"),
            },
            "streamlocal-forward@openssh.com" | "cancel-streamlocal-forward@openssh.com" => {
                Self::Unix(content.text("path"))
            }
            _ => return None,
        })
    }

    /// Where it listens, for texts: `host:port` or a path. The host is empty if it has to listen on
    /// all addresses.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Tcp { host, port } => text(&endpoint(host, *port)),
            Self::Unix(path) => text(path),
        }
    }

    /// The port in the host's reply, if the host had to choose one (RFC 4254, 7.1). Some hosts send
    /// a port although they had no choice; it is not passed on.
    pub(super) fn chosen(&self, reply: &Bytes) -> Result<Option<u32>, MalformedMessage> {
        let mut fields = Fields::of_success(reply);
        if reply.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Tcp { port: asked, .. } => {
                let named = fields.uint32()?;
                fields.end()?;
                match asked {
                    0 => Ok(Some(named)),
                    asked if *asked == named => Ok(None),
                    _ => Err(fields.too_long()),
                }
            }
            Self::Unix(_) => Err(fields.too_long()),
        }
    }

    /// The listener at the port that was chosen.
    pub(super) fn at(self, chosen: Option<u32>) -> Self {
        match (self, chosen) {
            (Self::Tcp { host, .. }, Some(port)) => Self::Tcp { host, port },
            (listener, _) => listener,
        }
    }
}

/// The channels that the client has requested from the host.
#[derive(Debug, Default)]
pub(super) struct Expected {
    listeners: BTreeSet<Listener>,
    pub(super) agent: bool,
    pub(super) x11: bool,
}

impl Expected {
    /// Adds a listener; `false` when there are too many.
    #[must_use]
    pub(super) fn listen(&mut self, listener: Listener) -> bool {
        self.listeners.insert(listener);
        self.listeners.len() <= MAX_LISTENERS
    }

    pub(super) fn stop_listening(&mut self, listener: &Listener) {
        self.listeners.remove(listener);
    }

    /// Removes the listeners that match, and returns them.
    pub(super) fn forget(&mut self, is_bad: impl Fn(&Listener) -> bool) -> Vec<Listener> {
        self.listeners
            .extract_if(.., |listener| is_bad(listener))
            .collect()
    }

    /// Whether the client has requested channels of this type.
    pub(super) fn any(&self, kind: &str) -> bool {
        match kind {
            "x11" => self.x11,
            AGENT_CONNECT | AGENT_CONNECT_OPENSSH => self.agent,
            _ => !self.listeners.is_empty(),
        }
    }

    /// Whether the client has requested channels like this one.
    pub(super) fn includes(&self, destination: &Destination) -> bool {
        match destination {
            Destination::Tcp { .. } | Destination::Unix(_) => false,
            Destination::ListeningTcp { host, port } => {
                let (host, port) = (host.clone(), *port);
                self.listeners.contains(&Listener::Tcp { host, port })
            }
            Destination::ListeningUnix(path) => {
                self.listeners.contains(&Listener::Unix(path.clone()))
            }
            Destination::X11 => self.x11,
            Destination::Agent => self.agent,
        }
    }
}
