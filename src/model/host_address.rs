//! Where a host was reached.

use std::fmt;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::NodeId;

/// Where a host was reached: what its queue, its known names and the audit log go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostAddress {
    /// At this address and port.
    Tcp(SocketAddr),
    /// Through the tunnel that this node keeps open.
    Tunnel(NodeId),
}

impl HostAddress {
    /// The address and port; `None` for a tunnel.
    #[must_use]
    pub const fn socket(self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(address),
            Self::Tunnel(_) => None,
        }
    }
}

impl From<SocketAddr> for HostAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// `ADDRESS:PORT`, or `tunnel:NODE-ID`.
impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Tunnel(node) => write!(f, "tunnel:{node}"),
        }
    }
}

/// As [`fmt::Display`] writes it.
impl Serialize for HostAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_the_host_is_reached() {
        let tcp = HostAddress::from("10.0.0.5:22".parse::<SocketAddr>().unwrap());
        assert_eq!(tcp.to_string(), "10.0.0.5:22");
        let node: NodeId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let tunnel = HostAddress::Tunnel(node);
        assert_eq!(tunnel.to_string(), format!("tunnel:{node}"));
        let json = serde_json::to_string(&[tcp, tunnel]).unwrap();
        assert_eq!(json, format!(r#"["10.0.0.5:22","tunnel:{node}"]"#));
        assert_eq!((tunnel.socket(), tcp.socket().is_some()), (None, true));
    }
}
