//! Connections of hosts over in-memory streams: what they can ask for, what comes of it, and what a host
//! that is controlled by an attacker cannot do.

mod hostile;

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use super::report::MAX_REPORT;
use super::*;
use crate::ca::Revoked;
use crate::cert::testing::ed25519;
use crate::ipc::KnownNode;
use crate::model::{NodeId, TunnelRule};
use crate::net::{ConnectionLimiter, ConnectionLimits};
use crate::ssh::channel::ChannelStream;
use crate::ssh::leg::{LegError, LegEvent};
use crate::ssh::outer;
use crate::ssh::revocation_file::RevocationFile;
use crate::ssh::testing::test_nodes::{TOKEN, TestNodes, known};
use crate::ssh::testing::user::{TestUser, UserSaw};
use crate::ssh::testing::{CLIENT, SshFixture};
use crate::ssh::tunnels::TunnelError;
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

#[tokio::test(start_paused = true)]
async fn a_host_joins_with_a_token_and_reads_what_to_install() {
    let fixture = NodeFixture::new(Arc::default());
    let mut host = fixture.host().await;
    let refused = host.run("join", REPORT).await;
    assert!(refused.is_refused("report-invalid"), "{refused:?}");
    let report = |token: &str| REPORT.replace("name", &format!("token {token}\nname"));
    let refused = host.run("join", report("rpt_wrong")).await;
    assert!(refused.is_refused("token-unknown"), "{refused:?}");
    assert!(
        refused
            .stderr
            .starts_with("rproxy: join: no (token-unknown)\n  hint: ask\n  id: ")
    );
    let refused = host.run("heartbeat", REPORT).await;
    assert!(refused.is_refused("not-joined"), "{refused:?}");
    let joined = host.run(" join ", report(TOKEN)).await;
    assert_eq!((joined.status, joined.stderr.as_str()), (Some(0), ""));
    let id = fixture.id();
    assert_eq!(
        joined.text(),
        format!(
            "rproxy-node 1\nid {id}\nname db1\ntunnel required\ntunnel-open no\nuser-ca ssh-ed25519 USERS\n\
             host-ca ssh-ed25519 HOSTS\nrevocations 0\nend\n"
        )
    );
    assert_eq!(fixture.nodes.record().reports[0].names, ["db1"]);
    drop(host);
    fixture.over().await;
    fixture.asked("close", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_reports_and_gets_the_revocation_list_as_it_is() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    fixture.proxy.revoke(Revoked::Serial {
        serial: crate::model::Serial::new(7).unwrap(),
        ca_keys: Vec::new(),
    });
    let beat = host.run("heartbeat", REPORT).await;
    let expected = fixture.proxy.revocations.borrow().list().version;
    let line = format!("\nrevocations {expected}\n");
    assert!(beat.text().contains(&line), "{beat:?}");
    assert!(expected > 0);
    for _again in 0..2 {
        let list = host.run("revocations", "").await;
        let cluster = "example.test".parse().unwrap();
        let published = fixture.proxy.revocations.borrow().published(&cluster);
        assert_eq!(list.stdout, published.encode().unwrap());
        assert_eq!(list.status, Some(0));
    }
    assert_eq!(host.run("successors", "").await.text(), "ssh-x A\nend\n");
    let unknown = host.run("ls", "").await;
    assert_eq!((unknown.status, unknown.text()), (Some(127), ""));
    assert_eq!(fixture.refused(), ["exec"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_not_joined_gets_no_list_and_no_tunnel() {
    let fixture = NodeFixture::new(Arc::default());
    let mut host = fixture.host().await;
    let refused = host.run("revocations", "").await;
    assert!(refused.is_refused("not-joined"), "{refused:?}");
    assert_eq!(host.run("successors", "").await.text(), "ssh-x A\nend\n");
    assert!(!host.forward("localhost", 22).await);
}

#[tokio::test(start_paused = true)]
async fn a_report_has_to_arrive_in_time_and_may_not_be_long() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    let long = format!(
        "rproxy-report 1\n{}",
        "future f\n".repeat(MAX_REPORT / 9 + 1)
    );
    let refused = host.run("heartbeat", long).await;
    assert!(refused.is_refused("report-invalid"), "{refused:?}");
    let refused = host.run("heartbeat", "GET / HTTP/1.1\r\n\r\n").await;
    assert!(refused.is_refused("report-invalid"), "{refused:?}");
    // The last line does not come, and the input does not end.
    let number = host.start("heartbeat").await;
    host.say(number, REPORT.strip_suffix("end\n").unwrap());
    let begun = Instant::now();
    let late = host.saw(number).await;
    assert!(late.is_refused("report-late"), "{late:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    // A byte now and then.
    let number = host.start("heartbeat").await;
    let begun = Instant::now();
    for byte in REPORT.as_bytes().chunks(1).take(7) {
        host.say(number, byte);
        host.leg.send_ready().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let late = host.saw(number).await;
    assert!(late.is_refused("report-late"), "{late:?}");
    assert!(begun.elapsed() < Duration::from_secs(40));
    assert!(fixture.nodes.record().reports.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_answer_is_said_to_be_the_reason() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    fixture.nodes.record().is_away = true;
    let refused = host.run("heartbeat", REPORT).await;
    assert!(refused.is_refused("nodes-unavailable"), "{refused:?}");
    let (saw, _leg) = fixture.log_in("join").await;
    assert!(
        !saw.is_in && saw.text().contains("cannot say which node"),
        "{saw:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_locked_is_refused_when_it_proves_its_key() {
    let fixture = NodeFixture::joined();
    fixture.nodes.record().is_locked = true;
    let (saw, leg) = fixture.log_in("join").await;
    assert!(!saw.is_in && saw.text().contains("client: no"), "{saw:?}");
    drop(leg);
    fixture.over().await;
    assert_eq!(
        fixture.proxy.audited_briefly(),
        ["auth.failure node-locked"]
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_plain_key_under_the_name_join_is_a_host_key() {
    let fixture = NodeFixture::joined();
    let (saw, leg) = fixture.log_in("deploy").await;
    assert!(!saw.is_in, "{saw:?}");
    drop(leg);
    let alice = TestUser {
        login: "join",
        ..fixture.proxy.user()
    };
    let (saw, leg) = alice.log_in(fixture.connect()).await;
    assert!(saw.is_in, "{saw:?}");
    assert_eq!(fixture.nodes.asked(), [""; 0]);
    drop(leg);
    fixture.over().await;
    let mut audited = fixture.proxy.audited_briefly();
    audited.sort();
    assert_eq!(audited, ["auth.failure not-a-certificate", "auth.success"]);
}

#[tokio::test(start_paused = true)]
async fn streams_lead_through_the_tunnel_and_its_life_is_reported() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (mut first, one) = fixture.dial(&mut host).await;
    let (mut second, two) = fixture.dial(&mut host).await;
    assert_ne!(one, two);
    echo(&mut first, &mut host, one).await;
    echo(&mut second, &mut host, two).await;
    drop(first);
    let mut ends = Vec::new();
    while ends.len() < 2 {
        ends.extend(host.next().await);
    }
    let recipient = 70 + one;
    assert_eq!(
        ends,
        [Message::Eof { recipient }, Message::Close { recipient }]
    );
    host.send(&Message::Close { recipient: one });
    echo(&mut second, &mut host, two).await;
    // The host's sshd ends the other one.
    host.send(&Message::Eof { recipient: two });
    host.leg.send_ready().await;
    assert_eq!(second.read(&mut [0]).await.unwrap(), 0);
    drop(host);
    fixture.over().await;
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
    fixture.asked("close", 1).await;
    assert_eq!(
        fixture.nodes.asked(),
        ["prove", "tunnel open", "tunnel closed", "close"]
    );
}

#[tokio::test(start_paused = true)]
async fn much_data_is_not_lost_and_waits_for_whoever_reads_slowly() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (mut stream, number) = fixture.dial(&mut host).await;
    // What an idle tunnel counts for, and what it counts for while something waits.
    let idle = fixture.services.budget.held();
    assert!(idle <= 64 * 1024, "{idle}");
    let sent: Vec<u8> = (0..2 * 1024 * 1024_u32)
        .map(|byte| (byte % 251) as u8)
        .collect();
    let sending = sent.clone();
    let host = tokio::spawn(async move {
        for piece in sending.chunks(32 * 1024) {
            host.say(number, piece);
            host.leg.send_ready().await;
        }
        host.send(&Message::Eof { recipient: number });
        host.stay().await
    });
    // The window is used up: nothing is granted before something is read.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(fixture.services.budget.held() >= sent.len());
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert!(read == sent, "{} bytes", read.len());
    drop(stream);
    // Questions whether the host is there are all that is sent.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(fixture.services.budget.held(), idle);
    fixture.shutdown.cancel();
    assert_eq!(host.await.unwrap(), refusal_text());
}

fn refusal_text() -> String {
    crate::ssh::refusal::SHUTTING_DOWN.to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_host_gets_one_forward_and_nothing_else() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    assert!(!host.forward("localhost", 0).await, "a port to be chosen");
    assert!(!host.forward("localhost", 65_536).await);
    assert!(host.forward("localhost", 22).await);
    assert!(!host.forward("localhost", 22).await);
    assert!(!host.forward("0.0.0.0", 2222).await);
    assert!(
        !host
            .global("streamlocal-forward@openssh.com", Bytes::new())
            .await
    );
    for kind in [
        "direct-tcpip",
        "forwarded-tcpip",
        "x11",
        "auth-agent@openssh.com",
        "tun@openssh.com",
    ] {
        let refused = host.open(kind).await.unwrap_err();
        assert!(refused.contains("nothing else"), "{refused}");
    }
    let session = host.open("session").await.unwrap();
    for kind in [
        "pty-req",
        "shell",
        "auth-agent-req@openssh.com",
        "x11-req",
        "signal",
    ] {
        assert!(!host.request(session, kind, "x").await, "{kind}");
    }
    assert!(!host.request(session, "subsystem", "proxy:db1:22").await);
    assert_eq!(
        fixture.refused(),
        [
            "tcpip-forward",
            "tcpip-forward",
            "tcpip-forward",
            "tcpip-forward",
            "streamlocal-forward@openssh.com",
            "direct-tcpip",
            "forwarded-tcpip",
            "x11",
            "auth-agent@openssh.com",
            "tun@openssh.com",
            "pty-req",
            "shell",
            "auth-agent-req@openssh.com",
            "x11-req",
            "signal",
            "subsystem",
        ]
    );
    // What is there is not affected.
    let beat = host.run("heartbeat", REPORT).await;
    assert_eq!(beat.status, Some(0));
    assert!(fixture.shared().tunnels.is_open(fixture.id()));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_tries_again_and_again_is_disconnected() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    for _ in 0..100 {
        host.open("direct-tcpip").await.unwrap_err();
    }
    host.send(&Message::Open {
        kind: Name::from_static("x11"),
        sender: 5,
        window: WINDOW,
        max_packet: 1 << 15,
        data: Bytes::new(),
    });
    let text = host.stay().await;
    assert!(text.contains("too much that is not permitted"), "{text}");
    fixture.over().await;
    assert!(fixture.refused().len() <= 100);
}

/// All hosts share the calls that this process may make, so a stranger with any key must not use them up.
#[tokio::test(start_paused = true)]
async fn programs_of_a_connection_are_bounded() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    for _ in 0..16 {
        assert_eq!(host.run("successors", "").await.status, Some(0));
    }
    let asked = fixture.nodes.asked().len();
    for number in 0..4 {
        let session = host.open("session").await.unwrap();
        assert!(
            !host.request(session, "exec", "successors").await,
            "{number}"
        );
        host.send(&Message::Close { recipient: session });
        assert!(matches!(host.next().await, Some(Message::Close { .. })));
    }
    assert_eq!(fixture.nodes.asked().len(), asked);
    assert!(!fixture.refused().is_empty());
    // A new connection costs a key exchange and a signature, and counts for the limits of its address.
    drop(host);
    let mut host = fixture.host().await;
    assert_eq!(host.run("successors", "").await.status, Some(0));
}

#[tokio::test(start_paused = true)]
async fn sessions_and_connections_of_a_host_are_bounded() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    for _ in 0..4 {
        host.open("session").await.unwrap();
    }
    let refused = host.open("session").await.unwrap_err();
    assert!(refused.contains("too many channels"), "{refused}");
    let _second = fixture.host().await;
    let _third = fixture.host().await;
    let (saw, _leg) = fixture.log_in("join").await;
    assert!(
        !saw.is_in && saw.text().contains("too many connections"),
        "{saw:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_rule_says_no_opens_no_tunnel() {
    let fixture = NodeFixture::new(TestNodes::with(KnownNode {
        tunnel: TunnelRule::No,
        ..known()
    }));
    let mut host = fixture.host().await;
    assert!(!host.forward("localhost", 22).await);
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
    let audited = fixture.proxy.audited();
    assert_eq!(audited[0]["detail"], "the node may open no tunnel");
}

#[tokio::test(start_paused = true)]
async fn a_newer_tunnel_takes_over_and_streams_of_the_older_one_go_on() {
    let fixture = NodeFixture::joined();
    let mut older = fixture.tunnelled().await;
    let (mut stream, number) = fixture.dial(&mut older).await;
    let mut newer = fixture.tunnelled().await;
    let (mut another, of_newer) = fixture.dial(&mut newer).await;
    echo(&mut stream, &mut older, number).await;
    echo(&mut another, &mut newer, of_newer).await;
    drop(stream);
    let stayed = async {
        while let Some(message) = older.next().await {
            if let Message::Close { .. } = message {
                older.send(&Message::Close { recipient: number });
                return older.stay().await;
            }
        }
        String::new()
    };
    let text = timeout(Duration::from_secs(5), stayed).await.unwrap();
    assert!(text.contains("not in use any more"), "{text}");
    echo(&mut another, &mut newer, of_newer).await;
    // Without streams the end comes at once.
    drop(another);
    let _newest = fixture.tunnelled().await;
    newer.accept_close(of_newer).await;
    assert!(newer.stay().await.contains("not in use any more"));
    assert!(fixture.shared().tunnels.is_open(fixture.id()));
}

impl TestHost {
    /// The proxy closes a channel, and so does the host.
    async fn accept_close(&mut self, recipient: u32) {
        while let Some(message) = self.next().await {
            if let Message::Close { .. } = message {
                self.send(&Message::Close { recipient });
                return;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_closes_its_tunnel_can_be_reached_no_longer() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let other = Head::of_data().string(b"localhost").uint32(23).into_bytes();
    assert!(!host.global("cancel-tcpip-forward", other).await);
    let port = Head::of_data().string(b"localhost").uint32(22).into_bytes();
    assert!(host.global("cancel-tcpip-forward", port).await);
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
    assert!(host.stay().await.contains("not in use any more"));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_or_does_not_answer_makes_whoever_dials_wait_no_longer_than_told() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let tunnels = fixture.shared().tunnels.clone();
    let (id, deadline) = (fixture.id(), Instant::now() + FOREVER);
    let refuse = async {
        let number = host.wanted().await;
        host.refuse(number, "Connection refused\x1b[2J");
        host.leg.send_ready().await;
    };
    let (dialled, ()) = tokio::join!(tunnels.dial(id, deadline), refuse);
    let Err(LegError::Tunnel(TunnelError::Refused(text))) = dialled else {
        panic!("{dialled:?}");
    };
    assert_eq!(text, "Connection refused\\u{1b}[2J");
    // It answers, but for the channel: later it is taken for broken.
    let begun = Instant::now();
    let silent = async {
        host.wanted().await;
        let text = host.stay().await;
        (begun.elapsed(), text)
    };
    let dialled = async {
        let dialled = tunnels.dial(id, begun + Duration::from_secs(60)).await;
        assert!(
            matches!(dialled, Err(LegError::Tunnel(TunnelError::Silent))),
            "{dialled:?}"
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
    };
    let ((after, text), ()) = tokio::join!(silent, dialled);
    assert!(text.contains("does not open the channels"), "{text}");
    assert!(after < Duration::from_secs(80), "{after:?}");
    fixture.over().await;
    assert!(!tunnels.is_open(id));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_too_late_is_closed() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let deadline = Instant::now() + Duration::from_secs(1);
    let tunnels = &fixture.shared().tunnels;
    let (dialled, number) = tokio::join!(tunnels.dial(fixture.id(), deadline), host.wanted());
    assert!(dialled.is_err());
    host.send(&Message::OpenConfirmation {
        recipient: number,
        sender: 70,
        window: WINDOW,
        max_packet: 1 << 15,
        data: Bytes::new(),
    });
    host.accept_close(number).await;
    let (mut stream, number) = fixture.dial(&mut host).await;
    echo(&mut stream, &mut host, number).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_died_loses_its_tunnel() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    host.is_dead = true;
    let begun = Instant::now();
    let text = host.stay().await;
    assert!(text.contains("has not answered for 1m"), "{text}");
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    fixture.over().await;
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
}

#[tokio::test(start_paused = true)]
async fn a_lock_ends_the_tunnel_and_what_runs_through_it_after_a_second() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (mut stream, _) = fixture.dial(&mut host).await;
    let begun = Instant::now();
    fixture.shared().tunnels.close(fixture.id());
    assert!(!fixture.shared().tunnels.is_open(fixture.id()), "at once");
    let (text, read) = tokio::join!(host.stay(), async { stream.read(&mut [0]).await.unwrap() });
    assert!(text.contains("locked or removed"), "{text}");
    // Users who are connected through it are told before.
    assert_eq!((read, begun.elapsed()), (0, Duration::from_secs(1)));
}

/// The node was locked while it opened its tunnel: the process that decides knows first.
#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_refused_ends() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    fixture.nodes.record().is_locked = true;
    assert!(host.forward("localhost", 22).await);
    assert!(host.stay().await.contains("locked or removed"));
    fixture.over().await;
    assert!(!fixture.shared().tunnels.is_open(fixture.id()));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_cannot_be_noted_is_used_and_reported_again() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    fixture.nodes.record().is_away = true;
    assert!(host.forward("localhost", 22).await);
    let (mut stream, number) = fixture.dial(&mut host).await;
    echo(&mut stream, &mut host, number).await;
    fixture.asked("tunnel open", 1).await;
    fixture.nodes.record().is_away = false;
    tokio::select! {
        text = host.stay() => panic!("{text}"),
        () = fixture.asked("tunnel open", 2) => {}
    }
    // A process that was restarted has forgotten it, and is told without a question of the host's.
    fixture.nodes.restart();
    tokio::select! {
        text = host.stay() => panic!("{text}"),
        () = fixture.asked("prove", 2) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_retires_ends_its_tunnels_when_nobody_uses_them() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.tunnelled().await;
    let (mut stream, number) = fixture.dial(&mut host).await;
    let reports = fixture.host().await;
    fixture.shared().closing.cancel();
    echo(&mut stream, &mut host, number).await;
    fixture.asked("tunnel closed", 1).await;
    // Connections from before can still open more.
    let (another, more) = fixture.dial(&mut host).await;
    drop((stream, another));
    host.accept_close(number).await;
    host.accept_close(more).await;
    assert_eq!(host.stay().await, refusal_text());
    // What is no tunnel is not affected.
    let mut reports = reports;
    assert_eq!(reports.run("heartbeat", REPORT).await.status, Some(0));
    assert!(!reports.forward("localhost", 22).await);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_asks_for_nothing_is_disconnected() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    let begun = Instant::now();
    assert!(
        host.stay()
            .await
            .contains("nothing was asked for within 30s")
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    let mut host = fixture.host().await;
    host.open("session").await.unwrap();
    let begun = Instant::now();
    assert!(
        host.stay()
            .await
            .contains("nothing was asked for within 5m")
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(300));
    // A tunnel stays.
    let mut host = fixture.tunnelled().await;
    assert!(timeout(FOREVER, host.stay()).await.is_err());
}
