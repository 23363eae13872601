//! Chooses the machine's address from which hosts are dialled.
//!
//! User certificates contain the addresses of `egress_addrs`, and sshd refuses them from other
//! addresses. On a machine with several addresses, the system might choose one that is not listed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use tokio::net::{TcpSocket, TcpStream};

use crate::cert::SourceAddresses;

/// Connects, from a promised address where the machine has one. Where it has none, something on the
/// way translates addresses, and the system's choice stands.
///
/// # Errors
/// The operating system's.
pub(crate) async fn connect(
    to: SocketAddr,
    promised: Option<&SourceAddresses>,
) -> io::Result<TcpStream> {
    let Some(promised) = promised.filter(|promised| !is_kept(to, promised)) else {
        return TcpStream::connect(to).await;
    };
    for from in promised.single_addresses() {
        // An address that is not the machine's cannot be bound.
        if let Ok(socket) = bound(from, to) {
            return socket.connect(to).await;
        }
    }
    TcpStream::connect(to).await
}

/// Whether the system's own choice is a promised one.
fn is_kept(to: SocketAddr, promised: &SourceAddresses) -> bool {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a datagram socket chooses the address, and sends nothing.
    let chosen = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(to)?;
        socket.local_addr()
    });
    chosen.is_ok_and(|chosen| promised.contains(chosen.ip()))
}

fn bound(from: IpAddr, to: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind((from, 0).into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Loopback has every address of 127.0.0.0/8, and chooses 127.0.0.1 by itself.
    #[tokio::test]
    async fn a_promised_address_is_used_where_the_machine_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        for (promised, from) in [
            (None, "127.0.0.1"),
            (Some("127.0.0.9/32"), "127.0.0.9"),
            (Some("127.0.0.1/32,127.0.0.9/32"), "127.0.0.1"),
            (Some("192.0.2.1/32"), "127.0.0.1"),
            (
                Some("2001:db8::1/128,192.0.2.1/32,127.0.0.9/32"),
                "127.0.0.9",
            ),
            (Some("127.0.0.8/30"), "127.0.0.1"),
        ] {
            let promised: Option<SourceAddresses> = promised.map(|list| list.parse().unwrap());
            let _stream = connect(to, promised.as_ref()).await.unwrap();
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.ip().to_string(), from, "{promised:?}");
        }
    }
}
