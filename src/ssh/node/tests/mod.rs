//! Connections of hosts over in-memory streams: what they can ask for, what comes of it, and what a host
//! that is controlled by an attacker cannot do.

mod ends;
mod hostile;
mod limits;
mod programs;
mod streams;

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::cert::testing::ed25519;
use crate::model::NodeId;
use crate::net::{ConnectionLimiter, ConnectionLimits};
use crate::ssh::channel::ChannelStream;
use crate::ssh::leg::{LegError, LegEvent};
use crate::ssh::outer;
use crate::ssh::revocation_file::RevocationFile;
use crate::ssh::testing::test_nodes::{TestNodes, known};
use crate::ssh::testing::user::{TestUser, UserSaw};
use crate::ssh::testing::{CLIENT, SshFixture};
use crate::ssh::tunnels::Tunnels;
use crate::wire::connection::{Head, Message, Name, OpenFailure, STDERR};

const FOREVER: Duration = Duration::from_secs(24 * 3600);
const WINDOW: u32 = 1 << 20;
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 50,
    per_address: 50,
    per_user: 3,
    starting: 50,
};
const REPORT: &str = "rproxy-report 1\nname db1\nport 22\nend\n";

/// A proxy at which hosts join.
struct NodeFixture {
    proxy: SshFixture,
    nodes: Arc<TestNodes>,
    services: Arc<OuterServices>,
    door: ConnectionLimiter,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl NodeFixture {
    fn new(nodes: Arc<TestNodes>) -> Self {
        let proxy = SshFixture::new();
        let shared = NodeServices {
            client: NodesClient::new(nodes.clone()),
            tunnels: Tunnels::default(),
            revocations: Arc::new(RevocationFile::new(
                "example.test".parse().unwrap(),
                proxy.revocations.subscribe(),
            )),
            closing: CancellationToken::new(),
        };
        let services = OuterServices {
            nodes: Some(Arc::new(shared)),
            ..proxy.outer()
        };
        Self {
            services: Arc::new(services),
            nodes,
            proxy,
            door: ConnectionLimiter::new(LIMITS),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// One at which `db1` has joined.
    fn joined() -> Self {
        Self::new(TestNodes::with(known()))
    }

    fn shared(&self) -> &NodeServices {
        self.services.nodes.as_ref().unwrap()
    }

    fn id(&self) -> NodeId {
        self.nodes.record().node.as_ref().unwrap().id
    }

    fn connect(&self) -> DuplexStream {
        let (near, far) = duplex(1 << 20);
        let guard = self.door.admit(CLIENT.ip()).unwrap();
        let (shutdown, tasks) = (self.shutdown.clone(), self.tasks.clone());
        let services = Arc::clone(&self.services);
        self.tasks
            .spawn(outer::serve(services, near, CLIENT, guard, shutdown, tasks));
        far
    }

    /// What a client with a plain key sees under this user name.
    async fn log_in(&self, login: &'static str) -> (UserSaw, Leg<DuplexStream>) {
        let user = TestUser {
            login,
            key: ed25519(),
            certificate: None,
            answer: "",
            pause: Duration::ZERO,
        };
        user.log_in(self.connect()).await
    }

    async fn host(&self) -> TestHost {
        let (saw, leg) = self.log_in("join").await;
        assert!(saw.is_in, "{saw:?}");
        TestHost::new(leg)
    }

    /// A node that has opened its tunnel.
    async fn tunnelled(&self) -> TestHost {
        let mut host = self.host().await;
        assert!(host.forward("localhost", 22).await);
        host
    }

    /// Dials the node while its host does what it does.
    async fn dial(&self, host: &mut TestHost) -> (ChannelStream, u32) {
        let deadline = Instant::now() + FOREVER;
        let dialled = self.shared().tunnels.dial(self.id(), deadline);
        let (stream, number) = tokio::join!(dialled, host.accept());
        (stream.unwrap(), number)
    }

    /// Somebody dials, and the host is asked for the stream of this number.
    async fn begin_to_dial(
        &self,
        host: &mut TestHost,
    ) -> (JoinHandle<Result<ChannelStream, LegError>>, u32) {
        let tunnels = self.shared().tunnels.clone();
        let (id, deadline) = (self.id(), Instant::now() + FOREVER);
        let dialled = tokio::spawn(async move { tunnels.dial_here(id, deadline).await });
        (dialled, host.wanted().await)
    }

    fn refused(&self) -> Vec<String> {
        let events = self.proxy.audited();
        let refused = events
            .iter()
            .filter(|event| event["event"] == "channel.refused");
        refused
            .map(|event| {
                assert_eq!(event["user"], "node:db1");
                event["name"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// The opening and the ends of tunnels, as they are audited.
    fn tunnels_audited(&self) -> Vec<String> {
        let mut events = self.proxy.audited_briefly();
        events.retain(|event| event.starts_with("tunnel."));
        events
    }

    /// Waits until the process that decides about nodes was asked this so often.
    async fn asked(&self, kind: &str, times: usize) {
        let asked = async {
            while self
                .nodes
                .asked()
                .iter()
                .filter(|asked| **asked == kind)
                .count()
                < times
            {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        timeout(FOREVER, asked).await.expect(kind);
    }

    /// Waits until every connection has ended.
    async fn over(&self) {
        self.tasks.close();
        let over = timeout(FOREVER, self.tasks.wait()).await;
        over.expect("the connections end");
    }
}

/// What a host has seen of a program.
#[derive(Debug, Default)]
struct ProgramSaw {
    stdout: Vec<u8>,
    stderr: String,
    status: Option<u32>,
}

impl ProgramSaw {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// It was refused for this reason, as the script of a host looks for it.
    fn is_refused(&self, reason: &str) -> bool {
        self.stdout.is_empty()
            && self.status == Some(1)
            && self.stderr.contains(&format!("({reason})\n"))
    }
}

/// The ssh of a host, which does what it is told.
struct TestHost {
    leg: Leg<DuplexStream>,
    /// It answers no questions whether it is there.
    is_dead: bool,
}

impl TestHost {
    fn new(leg: Leg<DuplexStream>) -> Self {
        Self {
            leg,
            is_dead: false,
        }
    }

    fn send(&mut self, message: &Message) {
        let (head, body) = message.encode();
        self.leg.transport.send_parts(&head, &body).unwrap();
    }

    /// The next message that is no question whether the host is there; `None` at the end.
    async fn next(&mut self) -> Option<Message> {
        loop {
            match self.leg.next().await {
                Ok(LegEvent::Packet(payload)) => match Message::parse(&payload).unwrap() {
                    Message::GlobalRequest {
                        want_reply: true, ..
                    } if !self.is_dead => self.send(&Message::RequestFailure),
                    Message::GlobalRequest { .. } | Message::WindowAdjust { .. } => {}
                    message => return Some(message),
                },
                Ok(_) => {}
                Err(_gone) => return None,
            }
        }
    }

    /// Stays until the connection ends; the text of the disconnect.
    async fn stay(&mut self) -> String {
        loop {
            match self.leg.next().await {
                Ok(LegEvent::Packet(payload)) => {
                    if let Ok(Message::GlobalRequest {
                        want_reply: true, ..
                    }) = Message::parse(&payload)
                        && !self.is_dead
                    {
                        self.send(&Message::RequestFailure);
                    }
                }
                Ok(_) => {}
                Err(LegError::Disconnected { text, .. }) => return text,
                Err(other) => return other.to_string(),
            }
        }
    }

    async fn global(&mut self, name: &'static str, data: Bytes) -> bool {
        self.send(&Message::GlobalRequest {
            name: Name::from_static(name),
            want_reply: true,
            data,
        });
        match self.next().await {
            Some(Message::RequestSuccess { data }) => {
                assert!(data.is_empty());
                true
            }
            Some(Message::RequestFailure) => false,
            other => panic!("{other:?}"),
        }
    }

    async fn forward(&mut self, address: &str, port: u32) -> bool {
        let data = Head::of_data().string(address.as_bytes()).uint32(port);
        self.global("tcpip-forward", data.into_bytes()).await
    }

    /// Opens a channel; its number at the proxy.
    async fn open(&mut self, kind: &'static str) -> Result<u32, String> {
        self.send(&Message::Open {
            kind: Name::from_static(kind),
            sender: 5,
            window: WINDOW,
            max_packet: 1 << 15,
            data: Bytes::new(),
        });
        match self.next().await {
            Some(Message::OpenConfirmation { sender, .. }) => Ok(sender),
            Some(Message::OpenFailure { text, .. }) => {
                Err(String::from_utf8(text.to_vec()).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Asks for something on a channel.
    async fn request(&mut self, recipient: u32, kind: &'static str, text: &str) -> bool {
        self.send(&Message::Request {
            recipient,
            kind: Name::from_static(kind),
            want_reply: true,
            data: Head::of_data().string(text.as_bytes()).into_bytes(),
        });
        match self.next().await {
            Some(Message::Success { .. }) => true,
            Some(Message::Failure { .. }) => false,
            other => panic!("{other:?}"),
        }
    }

    /// Starts a program; its number at the proxy.
    async fn start(&mut self, command: &str) -> u32 {
        let number = self.open("session").await.unwrap();
        assert!(self.request(number, "exec", command).await);
        number
    }

    fn say(&mut self, recipient: u32, data: impl AsRef<[u8]>) {
        let data = Bytes::copy_from_slice(data.as_ref());
        self.send(&Message::Data { recipient, data });
    }

    /// What comes of a program until its channel is closed.
    async fn saw(&mut self, number: u32) -> ProgramSaw {
        let mut saw = ProgramSaw::default();
        loop {
            match self.next().await.expect("the connection is there") {
                Message::Data { data, .. } => saw.stdout.extend_from_slice(&data),
                Message::ExtendedData {
                    code: STDERR, data, ..
                } => saw.stderr.push_str(std::str::from_utf8(&data).unwrap()),
                Message::Request { kind, data, .. } if kind.as_str() == "exit-status" => {
                    saw.status = data.first_chunk().copied().map(u32::from_be_bytes);
                }
                Message::Close { .. } => break,
                _ => {}
            }
        }
        self.send(&Message::Close { recipient: number });
        saw
    }

    /// Runs a program with this input.
    async fn run(&mut self, command: &str, input: impl AsRef<[u8]>) -> ProgramSaw {
        let number = self.start(command).await;
        for piece in input.as_ref().chunks(8 * 1024) {
            self.say(number, piece);
            self.leg.send_ready().await;
            // Until it is granted again.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.send(&Message::Eof { recipient: number });
        self.saw(number).await
    }

    /// The proxy opens a channel through the tunnel, which leads where it was asked for; its number at the
    /// proxy.
    async fn wanted(&mut self) -> u32 {
        let Some(Message::Open {
            kind, sender, data, ..
        }) = self.next().await
        else {
            panic!("no channel is opened");
        };
        assert_eq!(kind.as_str(), "forwarded-tcpip");
        let expected = Head::of_data().string(b"localhost").uint32(22);
        let expected = expected.string(b"127.0.0.1").uint32(0).into_bytes();
        assert_eq!(data, expected);
        sender
    }

    /// The same; the host opens it.
    async fn accept(&mut self) -> u32 {
        let recipient = self.wanted().await;
        self.send(&Message::OpenConfirmation {
            recipient,
            sender: 70 + recipient,
            window: WINDOW,
            max_packet: 1 << 15,
            data: Bytes::new(),
        });
        self.leg.send_ready().await;
        recipient
    }

    /// The proxy closes a channel, and so does the host.
    async fn accept_close(&mut self, recipient: u32) {
        while let Some(message) = self.next().await {
            if let Message::Close { .. } = message {
                self.send(&Message::Close { recipient });
                return;
            }
        }
    }

    fn refuse(&mut self, recipient: u32, text: &'static str) {
        self.send(&Message::OpenFailure {
            recipient,
            reason: OpenFailure::ConnectFailed as u32,
            text: Bytes::from_static(text.as_bytes()),
            language: Bytes::new(),
        });
    }
}

/// What is said on a stream arrives at the host, and the other way round.
async fn echo(stream: &mut ChannelStream, host: &mut TestHost, number: u32) {
    stream.write_all(b"SSH-2.0-a").await.unwrap();
    let Some(Message::Data { recipient, data }) = host.next().await else {
        panic!("no data");
    };
    assert_eq!((recipient, &data[..]), (70 + number, &b"SSH-2.0-a"[..]));
    host.say(number, b"SSH-2.0-b");
    host.leg.send_ready().await;
    let mut read = [0; 9];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"SSH-2.0-b");
}

fn refusal_text() -> String {
    crate::ssh::refusal::SHUTTING_DOWN.to_owned()
}
