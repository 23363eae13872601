//! The side of the client: connects to the proxy at which a node has its tunnel, and opens the channel that
//! leads there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::directory::{PeerError, Peers, TERMS, TUNNEL, too_late, unreachable};
use super::link::Link;
use super::status::{MAX_REASON, StreamStatus};
use crate::access::{Forbidden, may_dial};
use crate::cert::PresentedKey;
use crate::ipc::PeerProxy;
use crate::model::text::Printable;
use crate::model::{NodeId, UserName, chain};
use crate::net;
use crate::ssh::channel::ChannelStream;
use crate::ssh::endpoint::{Answer, OpenAnswered, OpenRequest, PendingSession, Services};
use crate::ssh::identify::identified;
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::tunnels::OPEN_TIMEOUT;
use crate::wire::auth::{ClientAuth, ClientAuthEvent};
use crate::wire::connection::{Breach, Head, OpenFailure};
use crate::wire::{ClientConfig, DisconnectReason, Transport};

/// How long the other proxy may take to be found, to prove itself and to accept this one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to open the stream: it waits for the node's ssh.
const STREAM_TIMEOUT: Duration = OPEN_TIMEOUT.saturating_add(Duration::from_secs(5));
/// What this side says when it leaves.
const DONE: &str = "the stream is over";

/// Opens a stream to the sshd of a node that has its tunnel at this proxy. The connection ends with the
/// stream; `permit` is given back then.
///
/// # Errors
/// Why there is none.
pub(super) async fn open(
    peers: &Peers,
    peer: PeerProxy,
    node: NodeId,
    deadline: Instant,
    permit: OwnedSemaphorePermit,
) -> Result<ChannelStream, PeerError> {
    let address = &peer.address;
    let leg = connected(peers, &peer, deadline).await?;
    let data = Head::of_data().string(node.to_string().as_bytes());
    let (opened, answer) = oneshot::channel();
    let mut link = Link::new(leg, None);
    let number = link.endpoint.free_number();
    link.endpoint
        .open_with(number, TUNNEL, data.into_bytes(), TERMS);
    let given_up = CancellationToken::new();
    carry(link, opened, (permit, given_up.clone()), address.clone());
    // Whatever the other proxy does with the channel: without a stream, the connection is of no use.
    let gives_up = given_up.drop_guard();
    let until = deadline.min(Instant::now() + STREAM_TIMEOUT);
    let stream = async {
        let answer = answer.await;
        let mut stream = answer.map_err(|_gone| unreachable(address, LegError::Closed))??;
        let status = StreamStatus::read(&mut stream).await;
        match status.map_err(|error| unreachable(address, error))? {
            StreamStatus::Open => Ok(stream),
            StreamStatus::Failed(why) => Err(PeerError::Failed(address.clone(), why)),
            StreamStatus::Refused(why) => Err(PeerError::Refused(address.clone(), why)),
        }
    };
    let stream = timeout_at(until, stream).await;
    let stream = stream.unwrap_or_else(|_elapsed| Err(too_late(address, STREAM_TIMEOUT)))?;
    gives_up.disarm();
    Ok(stream)
}

/// Connects to a proxy, which proves itself and accepts this one.
async fn connected(
    peers: &Peers,
    peer: &PeerProxy,
    deadline: Instant,
) -> Result<Leg<TcpStream>, PeerError> {
    let PeerProxy { address, key } = peer;
    let until = deadline.min(Instant::now() + CONNECT_TIMEOUT);
    let connected = async {
        let stream = connect(peers, address).await?;
        // Keystrokes must not be delayed to be sent together. If the option cannot be set, only latency
        // suffers.
        stream.set_nodelay(true).ok();
        let transport = Transport::client(Arc::<ClientConfig>::default());
        let mut leg = Leg::with(&peers.0.compute, stream, transport);
        match authenticate(peers, &mut leg, address, key).await {
            Ok(()) => Ok(leg),
            Err(error) => {
                let text = error.to_string();
                leg.disconnect(DisconnectReason::ByApplication, &text).await;
                Err(error)
            }
        }
    };
    let connected = timeout_at(until, connected).await;
    connected.unwrap_or_else(|_elapsed| Err(too_late(address, CONNECT_TIMEOUT)))
}

/// Dials the addresses of a proxy, in their order. One that does not answer leaves time for the others.
async fn connect(peers: &Peers, address: &str) -> Result<TcpStream, PeerError> {
    let no_address = || unreachable(address, "its address has no port");
    let (host, port) = address.rsplit_once(':').ok_or_else(no_address)?;
    let port: u16 = port.parse().map_err(|_no_port| no_address())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = peers.0.resolver.resolve(host).await;
    let found = found.map_err(|error| unreachable(address, error))?;
    let limit = CONNECT_TIMEOUT / u32::try_from(found.len().max(1)).unwrap_or(u32::MAX);
    let mut last: Box<dyn std::error::Error + Send + Sync> = LegError::Closed.into();
    for ip in found {
        if let Err(forbidden) = may_connect(peers.0.address.as_deref(), ip) {
            last = forbidden.into();
            continue;
        }
        // Hosts see no connection of this one, so it may come from any address.
        match timeout(limit, net::connect(SocketAddr::new(ip, port), None)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = LegError::from(error).into(),
            Err(_elapsed) => last = LegError::Timeout(limit).into(),
        }
    }
    Err(unreachable(address, last))
}

/// Whether this proxy connects to another one at this address. Each says itself where it is, so one that an
/// attacker controls could lead the others to services that are meant for their machines alone. Proxies of
/// one machine, which reach each other by its loopback addresses, are reached there.
fn may_connect(own: Option<&str>, ip: IpAddr) -> Result<(), Forbidden> {
    let is_on_loopback = || {
        let host = own
            .and_then(|own| own.rsplit_once(':'))
            .map(|(host, _)| host);
        let host = host.unwrap_or_default();
        let ip: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    };
    match may_dial(ip) {
        Err(Forbidden::Loopback(_)) if is_on_loopback() => Ok(()),
        judged => judged,
    }
}

/// Lets the other proxy prove that it has this host key, and proves this proxy's to it.
async fn authenticate(
    peers: &Peers,
    leg: &mut Leg<TcpStream>,
    address: &str,
    key: &ssh_key::PublicKey,
) -> Result<(), PeerError> {
    let broken = |error: LegError| unreachable(address, error);
    let identified = identified(leg).await;
    identified.map_err(|error| unreachable(address, error))?;
    loop {
        match leg.next().await.map_err(broken)? {
            LegEvent::HostKey(blob) => {
                let shown = PresentedKey::decode(&blob);
                // A certificate for that key does as well: the key proves itself.
                if shown.is_ok_and(|shown| shown.key_data() == key.key_data()) {
                    let accepted = leg.transport.accept_host_key();
                    accepted.map_err(|error| broken(error.into()))?;
                } else {
                    return Err(PeerError::Impostor(address.to_owned()));
                }
            }
            LegEvent::Established => break,
            LegEvent::Packet(_) => return Err(broken(LegError::Closed)),
        }
    }
    let mint = || peers.0.trust.now();
    let own = mint().mint.host_key().to_bytes();
    let own = own.map_err(|error| unreachable(address, error))?;
    let session_id = leg.transport.session_id().unwrap_or_default().to_vec();
    let mut auth = ClientAuth::new(session_id, UserName::PEER, "ssh-ed25519", own, None);
    let mut out = Vec::new();
    auth.start(&mut out);
    loop {
        leg.send_all(&mut out).map_err(broken)?;
        let payload = match leg.next().await.map_err(broken)? {
            LegEvent::Packet(payload) => payload,
            LegEvent::HostKey(_) | LegEvent::Established => continue,
        };
        let event = auth.on_packet(&payload, &mut out);
        match event.map_err(|error| broken(error.into()))? {
            ClientAuthEvent::Nothing | ClientAuthEvent::Banner(_) => {}
            ClientAuthEvent::Sign { data } => {
                let signature = mint().mint.sign_as_client(&data);
                let signature = signature.map_err(|error| unreachable(address, error))?;
                let signed = auth.signed(&signature, &mut out);
                signed.map_err(|error| unreachable(address, error))?;
            }
            ClientAuthEvent::Success => return Ok(()),
            ClientAuthEvent::Questions(_) | ClientAuthEvent::Failure { .. } => {
                return Err(PeerError::Unwelcome(address.to_owned()));
            }
        }
    }
}

/// Carries the channel on a task of its own until one side is done with it, or nobody waits for it any more.
fn carry(
    mut link: Link<TcpStream>,
    opened: oneshot::Sender<Result<ChannelStream, PeerError>>,
    (permit, given_up): (OwnedSemaphorePermit, CancellationToken),
    address: String,
) {
    let mut services = ClientServices {
        opened: Some(opened),
        address,
    };
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = link.run(&mut services) => ended,
            () = given_up.cancelled() => Ok(()),
        };
        if let Err(error) = ended {
            let (cause, proxy) = (chain(&error), &services.address);
            tracing::warn!(error = %cause, %proxy, "the connection to the proxy of a host's tunnel ended");
            services.answer(Err(unreachable(proxy, error)));
        }
        let leg = link.hang_up();
        leg.disconnect(DisconnectReason::ByApplication, DONE).await;
        drop(permit);
    });
}

#[cfg(test)]
impl Peers {
    /// Asks another proxy for any channel, as a worker would that was taken over.
    pub(crate) async fn open_channel(
        &self,
        peer: &PeerProxy,
        kind: &'static str,
        id: &[u8],
    ) -> Result<ChannelStream, String> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let leg = connected(self, peer, deadline).await;
        let mut link = Link::new(leg.map_err(|error| chain(&error))?, None);
        let data = Head::of_data().string(id).into_bytes();
        link.endpoint.open_with(0, kind, data, TERMS);
        let (opened, answer) = oneshot::channel();
        let mut services = ClientServices {
            opened: Some(opened),
            address: peer.address.clone(),
        };
        let _ended = link.run(&mut services).await;
        answer.await.unwrap().map_err(|error| chain(&error))
    }
}

/// Nothing is served to the proxy that was connected to.
#[derive(Debug)]
struct ClientServices {
    /// Who waits for the channel.
    opened: Option<oneshot::Sender<Result<ChannelStream, PeerError>>>,
    /// The address of that proxy.
    address: String,
}

impl ClientServices {
    /// Tells who waits, once.
    fn answer(&mut self, answer: Result<ChannelStream, PeerError>) {
        if let Some(opened) = self.opened.take() {
            // Nobody may wait any more: then the channel is closed.
            let _gone = opened.send(answer);
        }
    }
}

impl Services for ClientServices {
    fn open(&mut self, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
        let reason = OpenFailure::AdministrativelyProhibited;
        Ok(request.refuse(reason, "nothing is served here"))
    }

    fn on_request(
        &mut self,
        _session: &mut Option<PendingSession>,
        _kind: &str,
        _data: &Bytes,
    ) -> Result<Answer, Breach> {
        Ok(Answer::Failure)
    }

    fn on_global_request(&mut self, _name: &str, _data: &Bytes) -> Result<Answer, Breach> {
        Ok(Answer::Failure)
    }

    fn on_opened(&mut self, _number: u32, stream: ChannelStream) {
        self.answer(Ok(stream));
    }

    fn on_not_opened(&mut self, _number: u32, text: &Bytes) {
        let why = String::from_utf8_lossy(text);
        let why = Printable(&why).within(MAX_REASON);
        self.answer(Err(PeerError::Failed(self.address.clone(), why)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_leads_no_other_one_to_its_own_machine_or_to_metadata() {
        let may = |own, ip: &str| may_connect(own, ip.parse().unwrap()).is_ok();
        for own in [None, Some("10.0.0.1:3023"), Some("[2001:db8::1]:3023")] {
            for ip in [
                "127.0.0.1",
                "::1",
                "::ffff:127.0.0.1",
                "169.254.169.254",
                "0.0.0.0",
            ] {
                assert!(!may(own, ip), "{ip}");
            }
            assert!(may(own, "10.0.0.2") && may(own, "fd00::2"));
        }
        for own in ["127.0.0.1:3023", "[::1]:3023", "localhost:3023"] {
            assert!(may(Some(own), "127.0.0.1") && may(Some(own), "10.0.0.2"));
            assert!(!may(Some(own), "169.254.169.254"));
        }
    }
}
