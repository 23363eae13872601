//! Two and three proxies on one state, over sockets of this machine: who is accepted as a peer, what is served
//! to one, and how a stream to a node at another proxy begins and ends.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;
use crate::cert::testing::ed25519;
use crate::dns::Resolver;
use crate::ipc::{self, CallError, PeerProxy, PeersAnswer, PeersRequest};
use crate::model::NodeId;
use crate::ssh::channel::{ChannelPort, ChannelStream, Piece, channel};
use crate::ssh::compute::ComputeQueue;
use crate::ssh::leg::{LegError, LegEvent};
use crate::ssh::peers::Peers;
use crate::ssh::testing::user::TestUser;
use crate::ssh::tunnels::{TunnelError, TunnelGuard, TunnelOpener, TunnelPatience, Tunnels};
use crate::wire::connection::{Head, Message, Name};
use tests::{LIMITS, OuterFixture};

/// What the state says. All proxies of a test share it.
#[derive(Clone, Debug, Default)]
struct TestState(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    announced: Vec<PeerProxy>,
    /// Where the nodes are, one answer for each question; the last one stays.
    places: Vec<Option<PeerProxy>>,
    is_down: bool,
}

impl TestState {
    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl ipc::Peers for TestState {
    fn ask(&self, request: PeersRequest) -> Result<PeersAnswer, CallError> {
        let mut known = self.0.lock().unwrap();
        if known.is_down {
            return Ok(PeersAnswer::Unavailable);
        }
        Ok(match request {
            PeersRequest::Announce(_) => PeersAnswer::Noted,
            PeersRequest::Find(_) if known.places.len() > 1 => {
                PeersAnswer::Found(known.places.remove(0))
            }
            PeersRequest::Find(_) => PeersAnswer::Found(known.places.first().cloned().flatten()),
            PeersRequest::Knows(key) => {
                let mut announced = known.announced.iter();
                PeersAnswer::Known(announced.any(|one| one.key.key_data() == key.key_data()))
            }
        })
    }
}

/// A proxy with a listener.
struct TestProxy {
    outer: Arc<OuterFixture>,
    peers: Peers,
    tunnels: Tunnels,
    peer: PeerProxy,
}

impl TestProxy {
    /// One that has announced itself.
    async fn start(state: &TestState) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let outer = OuterFixture::new(LIMITS);
        let trust = outer.proxy.trust.clone();
        let peer = PeerProxy {
            address: address.clone(),
            key: trust.now().mint.host_key().clone(),
        };
        let service = Arc::new(state.clone());
        let resolver = Resolver::from_system().unwrap();
        let peers = Peers::new(
            service,
            Some(address),
            trust,
            resolver,
            ComputeQueue::new(1),
        );
        let tunnels = Tunnels::with_others(Some(Arc::new(peers.clone())));
        let outer = Arc::new(outer.with_peers(peers.clone(), tunnels.clone()));
        state.change(|known| known.announced.push(peer.clone()));
        let serving = Arc::clone(&outer);
        tokio::spawn(async move {
            while let Ok((stream, address)) = listener.accept().await {
                serving.serve(stream, address);
            }
        });
        Self {
            outer,
            peers,
            tunnels,
            peer,
        }
    }

    /// A node opens a tunnel here, whose sshd says everything twice.
    fn node(&self, node: NodeId) -> TunnelGuard {
        self.node_with(node, || {
            let wake = Arc::new(Notify::new());
            let (stream, port) = channel(Arc::clone(&wake));
            tokio::spawn(twice(port, wake));
            Ok(stream)
        })
    }

    /// A node opens a tunnel here, which answers so when a stream is asked for.
    fn node_with(
        &self,
        node: NodeId,
        answer: impl Fn() -> Result<ChannelStream, TunnelError> + Send + 'static,
    ) -> TunnelGuard {
        let (opener, mut requests) = TunnelOpener::new();
        let guard = self.tunnels.open(node, opener);
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                // Who has asked may wait no longer.
                let _gone = request.send(answer());
            }
        });
        guard
    }

    /// Dials, and waits for a tunnel that is not open.
    async fn dial(&self, node: NodeId, seconds: u64) -> Result<ChannelStream, String> {
        self.dial_with(node, (seconds, true)).await
    }

    async fn dial_with(
        &self,
        node: NodeId,
        (seconds, awaits_tunnel): (u64, bool),
    ) -> Result<ChannelStream, String> {
        let patience = TunnelPatience {
            deadline: Instant::now() + Duration::from_secs(seconds),
            awaits_tunnel,
        };
        let dialled = self.tunnels.dial(node, patience).await;
        dialled.map_err(|error| chain(&error))
    }
}

/// A, whose clients ask for a node, and B, where the node has its tunnel.
struct TwoProxies {
    state: TestState,
    a: TestProxy,
    b: TestProxy,
    node: NodeId,
    _guard: TunnelGuard,
}

impl TwoProxies {
    /// Both have announced themselves, and the state says where the tunnel is.
    async fn start() -> Self {
        let state = TestState::default();
        let a = TestProxy::start(&state).await;
        let b = TestProxy::start(&state).await;
        let node = NodeId::new();
        let _guard = b.node(node);
        state.change(|known| known.places = vec![Some(b.peer.clone())]);
        Self {
            state,
            a,
            b,
            node,
            _guard,
        }
    }
}

/// Answers every byte with two, until the other side is done.
async fn twice(port: ChannelPort, wake: Arc<Notify>) {
    while !port.pending().finished {
        while let Some(Piece::Data(data)) = port.next_piece(1 << 20) {
            port.deliver(&data);
            port.deliver(&data);
        }
        if port.output_ended() {
            return;
        }
        wake.notified().await;
    }
}

async fn said(stream: &mut ChannelStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; 2 * text.len()];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_stream_leads_through_the_tunnel_at_another_proxy() {
    let TwoProxies {
        a, b, node, _guard, ..
    } = TwoProxies::start().await;
    let (mut first, mut second) = (
        a.dial(node, 20).await.unwrap(),
        a.dial(node, 20).await.unwrap(),
    );
    assert_eq!(said(&mut first, "one").await, "oneone");
    assert_eq!(said(&mut second, "two").await, "twotwo");
    // A stream that ends ends no other, and the end of one arrives at both sides.
    first.shutdown().await.unwrap();
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
    let large = "x".repeat(3 << 20);
    let (mut reader, mut writer) = tokio::io::split(second);
    let written = large.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(written.as_bytes()).await.unwrap();
        writer
    });
    let mut echoed = vec![0; 2 * large.len()];
    reader.read_exact(&mut echoed).await.unwrap();
    assert!(echoed.iter().all(|byte| *byte == b'x'));
    drop(writing.await.unwrap());
    assert_eq!(
        b.outer.proxy.audited_briefly(),
        ["auth.success", "auth.success"]
    );
    assert!(a.outer.proxy.audited().is_empty());
}

#[tokio::test]
async fn a_tunnel_of_its_own_comes_first() {
    let TwoProxies {
        a, b, node, _guard, ..
    } = TwoProxies::start().await;
    let _here = a.node(node);
    let mut stream = a.dial(node, 20).await.unwrap();
    assert_eq!(said(&mut stream, "a").await, "aa");
    assert!(b.outer.proxy.audited().is_empty(), "nobody has asked there");
}

/// Whoever answers at the address has to have the announced key.
#[tokio::test]
async fn an_impostor_at_the_address_gets_nothing() {
    let TwoProxies {
        state,
        a,
        b,
        node,
        _guard,
    } = TwoProxies::start().await;
    let other = PeerProxy {
        key: ed25519().public_key().clone(),
        ..b.peer.clone()
    };
    state.change(|known| known.places = vec![Some(other)]);
    let error = a.dial(node, 3).await.unwrap_err();
    assert!(error.contains("has not the host key"), "{error}");
    assert!(
        !b.outer
            .proxy
            .audited_briefly()
            .contains(&"auth.success".to_owned())
    );
}

#[tokio::test]
async fn only_a_key_that_another_proxy_has_announced_is_accepted() {
    let TwoProxies {
        state,
        a,
        b,
        node,
        _guard,
    } = TwoProxies::start().await;
    state.change(|known| {
        known.announced.retain(|one| *one == b.peer);
    });
    let error = a.dial(node, 3).await.unwrap_err();
    assert!(error.contains("does not accept this proxy"), "{error}");
    let audited = b.outer.proxy.audited_briefly();
    assert!(!audited.is_empty(), "it was written down");
    assert!(
        audited.iter().all(|one| one == "auth.failure unknown-peer"),
        "{audited:?}"
    );
}

#[tokio::test]
async fn a_node_that_is_nowhere_is_waited_for_until_the_deadline() {
    let TwoProxies { state, a, b, .. } = TwoProxies::start().await;
    let node = NodeId::new();
    state.change(|known| known.places.clear());
    let error = a.dial(node, 2).await.unwrap_err();
    assert!(error.contains("no tunnel open"), "{error}");
    // The state says so, and the tunnel has ended meanwhile.
    state.change(|known| known.places = vec![Some(b.peer.clone())]);
    let error = a.dial(node, 2).await.unwrap_err();
    assert!(error.contains("says: the host has no tunnel"), "{error}");
    state.change(|known| known.is_down = true);
    let error = a.dial(node, 2).await.unwrap_err();
    assert!(
        error.contains("the state of the proxy cannot be read"),
        "{error}"
    );
}

/// The tunnel moves to a third proxy while it is looked for.
#[tokio::test]
async fn a_node_is_found_where_it_has_gone() {
    let TwoProxies { state, a, b, .. } = TwoProxies::start().await;
    let c = TestProxy::start(&state).await;
    let node = NodeId::new();
    let _guard = c.node(node);
    state.change(|known| {
        known.places = vec![None, Some(b.peer.clone()), Some(c.peer.clone())];
    });
    let mut stream = a.dial(node, 60).await.unwrap();
    assert_eq!(said(&mut stream, "c").await, "cc");
    // B does not ask C: a stream crosses one proxy at most.
    assert_eq!(b.outer.proxy.audited_briefly(), ["auth.success"]);
    assert_eq!(c.outer.proxy.audited_briefly(), ["auth.success"]);
}

#[tokio::test]
async fn a_tunnel_that_comes_back_to_this_proxy_is_used() {
    let state = TestState::default();
    let a = TestProxy::start(&state).await;
    let node = NodeId::new();
    let dialling = a.dial(node, 60);
    tokio::pin!(dialling);
    assert!(timeout_soon(&mut dialling).await.is_none());
    let _guard = a.node(node);
    let mut stream = dialling.await.unwrap();
    assert_eq!(said(&mut stream, "a").await, "aa");
}

async fn timeout_soon<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(50), future)
        .await
        .ok()
}

#[tokio::test]
async fn a_stream_ends_with_the_other_proxy() {
    let TwoProxies {
        a, b, node, _guard, ..
    } = TwoProxies::start().await;
    let mut stream = a.dial(node, 20).await.unwrap();
    assert_eq!(said(&mut stream, "x").await, "xx");
    b.outer.shut_down();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
}

/// A proxy whose worker was taken over asks for more than streams to nodes.
#[tokio::test]
async fn another_proxy_is_served_nothing_but_streams_to_nodes() {
    let TwoProxies { a, b, .. } = TwoProxies::start().await;
    for kind in [
        "session",
        "direct-tcpip",
        "forwarded-tcpip",
        "auth-agent@openssh.com",
    ] {
        let refused = a.peers.open_channel(&b.peer, kind, b"db1").await;
        assert!(
            refused.unwrap_err().contains("only streams to nodes"),
            "{kind}"
        );
    }
    for id in [
        &b""[..],
        b"db1",
        &[b'x'; 4_000],
        b"01890a5d-ac96-774b-bcce-b302099a8057 ",
    ] {
        let refused = a.peers.open_channel(&b.peer, "tunnel@rproxy", id).await;
        assert!(refused.unwrap_err().contains("no id of a node"), "{id:?}");
    }
    let audited = b.outer.proxy.audited_briefly();
    let refused = audited
        .iter()
        .filter(|one| *one == "channel.refused not-permitted");
    assert_eq!(refused.count(), 8, "{audited:?}");
}

/// A proxy that an attacker has taken over: it is there, and takes no end of a stream.
#[tokio::test(start_paused = true)]
async fn a_proxy_that_never_closes_a_stream_is_left() {
    let state = TestState::default();
    let b = TestProxy::start(&state).await;
    let a = TestUser {
        login: "peer",
        key: ed25519(),
        certificate: None,
        answer: "",
        pause: Duration::ZERO,
    };
    let key = a.key.public_key().clone();
    let address = "192.0.2.1:3023".to_owned();
    state.change(|known| known.announced.push(PeerProxy { address, key }));
    let (saw, mut leg) = a.log_in(b.outer.connect()).await;
    assert!(saw.is_in, "{saw:?}");
    let say = |leg: &mut Leg<_>, message: &Message| {
        let (head, body) = message.encode();
        leg.transport.send_parts(&head, &body).unwrap();
    };
    let id = NodeId::new().to_string();
    let open = Message::Open {
        kind: Name::from_static("tunnel@rproxy"),
        sender: 0,
        window: 1 << 20,
        max_packet: 1 << 15,
        data: Head::of_data().string(id.as_bytes()).into_bytes(),
    };
    say(&mut leg, &open);
    let mut has_closed = false;
    let text = loop {
        match leg.next().await {
            Ok(LegEvent::Packet(payload)) => match Message::parse(&payload).unwrap() {
                // The question whether it is there.
                Message::GlobalRequest {
                    want_reply: true, ..
                } => {
                    say(&mut leg, &Message::RequestFailure);
                }
                Message::Close { .. } => has_closed = true,
                _ => {}
            },
            Ok(_) => {}
            Err(LegError::Disconnected { text, .. }) => break text,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(has_closed, "the node has no tunnel there");
    assert!(text.contains("does not close"), "{text}");
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_is_given_up() {
    let state = TestState::default();
    let a = TestProxy::start(&state).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = PeerProxy {
        address: silent.local_addr().unwrap().to_string(),
        key: ed25519().public_key().clone(),
    };
    let nowhere = PeerProxy {
        address: "127.0.0.1:1".to_owned(),
        ..peer.clone()
    };
    for place in [peer, nowhere] {
        state.change(|known| known.places = vec![Some(place.clone())]);
        let error = a.dial(NodeId::new(), 2).await.unwrap_err();
        assert!(error.contains("cannot be reached"), "{error}");
    }
}

/// It has no sshd behind its tunnel: that is told at once, and which way was taken.
#[tokio::test]
async fn what_the_ssh_of_the_host_says_at_another_proxy_is_told_at_once() {
    let TwoProxies { a, b, node, .. } = TwoProxies::start().await;
    let _newer = b.node_with(node, || {
        Err(TunnelError::Refused("Connection refused".to_owned()))
    });
    let error = a.dial(node, 3_600).await.unwrap_err();
    let address = &b.peer.address;
    assert_eq!(
        error,
        format!(
            "the host's ssh could not connect to its sshd: Connection refused (its tunnel is at the proxy {address})"
        )
    );
}

/// A host that has an address too is dialled there.
#[tokio::test]
async fn a_tunnel_is_not_waited_for_where_there_is_another_way() {
    let TwoProxies { state, a, b, .. } = TwoProxies::start().await;
    let nowhere = PeerProxy {
        address: "127.0.0.1:1".to_owned(),
        ..b.peer.clone()
    };
    for (place, told) in [
        (None, "the host has no tunnel open"),
        (Some(b.peer.clone()), "says: the host has no tunnel open"),
        (Some(nowhere), "cannot be reached"),
    ] {
        state.change(|known| known.places = vec![place]);
        let error = a
            .dial_with(NodeId::new(), (3_600, false))
            .await
            .unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}
