//! A user's ssh in memory once it is logged in: one session, and the agent that it forwards.

use bytes::Bytes;
use ssh_key::PrivateKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::agent::{self, OnSign};
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::wire::connection::{Head, Message, Name, STDERR};

/// The client's number of its session.
const SESSION: u32 = 5;
/// The client's number of the channel to its agent.
const AGENT: u32 = 9;
const WINDOW: u32 = 1 << 20;
const MAX_PACKET: u32 = 1 << 15;

/// What a session is asked for: the name of a request, and its text where it has one.
pub(crate) type TestRequest = (&'static str, Option<&'static str>);

/// What a client has seen of its session.
#[derive(Debug, Default)]
pub(crate) struct SessionSaw {
    /// The answers to its requests, in their order.
    pub(crate) answers: Vec<bool>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) status: Option<u32>,
    /// It was asked for its agent.
    pub(crate) opened_agent: bool,
    /// Why there is no session.
    pub(crate) refused: Option<String>,
    /// What it was disconnected with.
    pub(crate) goodbye: Option<String>,
}

struct TestSession<'a> {
    leg: &'a mut Leg<DuplexStream>,
    requests: &'a [TestRequest],
    /// The key in its agent.
    key: Option<PrivateKey>,
    /// The server's number of the session.
    number: u32,
    /// The channel to the agent, with the server's number of it.
    agent: Option<(u32, DuplexStream)>,
    saw: SessionSaw,
}

/// Opens a session, requests these things, and stays until the session or the connection ends. The agent
/// holds this key, if any.
pub(crate) async fn session(
    leg: &mut Leg<DuplexStream>,
    requests: &[TestRequest],
    key: Option<PrivateKey>,
) -> SessionSaw {
    let mut session = TestSession {
        leg,
        requests,
        key,
        number: 0,
        agent: None,
        saw: SessionSaw::default(),
    };
    session.send(&Message::Open {
        kind: Name::from_static("session"),
        sender: SESSION,
        window: WINDOW,
        max_packet: MAX_PACKET,
        data: Bytes::new(),
    });
    while session.step().await {}
    session.leg.send_ready().await;
    session.saw
}

/// Stays on a connection without a session until it ends; what it was disconnected with.
pub(crate) async fn stay(leg: &mut Leg<DuplexStream>) -> Option<String> {
    let mut session = TestSession {
        leg,
        requests: &[],
        key: None,
        number: 0,
        agent: None,
        saw: SessionSaw::default(),
    };
    while session.step().await {}
    session.saw.goodbye
}

impl TestSession<'_> {
    fn send(&mut self, message: &Message) {
        let (head, body) = message.encode();
        self.leg.transport.send_parts(&head, &body).unwrap();
    }

    /// Handles what comes next; whether anything can follow.
    async fn step(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let event = match &mut self.agent {
            None => self.leg.next().await,
            Some((number, stream)) => tokio::select! {
                event = self.leg.next() => event,
                read = stream.read(&mut buffer) => {
                    let recipient = *number;
                    let data = Bytes::copy_from_slice(&buffer[..read.unwrap()]);
                    self.send(&Message::Data { recipient, data });
                    return true;
                }
            },
        };
        match event {
            Ok(LegEvent::Packet(payload)) => {
                self.on_message(Message::parse(&payload).unwrap()).await
            }
            Ok(_) => true,
            Err(LegError::Disconnected { text, .. }) => {
                self.saw.goodbye = Some(text);
                false
            }
            Err(_gone) => false,
        }
    }

    async fn on_message(&mut self, message: Message) -> bool {
        match message {
            Message::GlobalRequest {
                want_reply: true, ..
            } => self.send(&Message::RequestFailure),
            Message::OpenConfirmation { sender, .. } => {
                self.number = sender;
                self.ask(sender);
            }
            Message::OpenFailure { text, .. } => {
                self.saw.refused = Some(String::from_utf8_lossy(&text).into_owned());
                return false;
            }
            Message::Success { .. } => self.saw.answers.push(true),
            Message::Failure { .. } => self.saw.answers.push(false),
            Message::Open { sender, .. } => {
                let (near, far) = duplex(1 << 16);
                tokio::spawn(agent::serve(far, self.key.clone(), OnSign::Signs));
                self.agent = Some((sender, near));
                self.saw.opened_agent = true;
                self.send(&Message::OpenConfirmation {
                    recipient: sender,
                    sender: AGENT,
                    window: WINDOW,
                    max_packet: MAX_PACKET,
                    data: Bytes::new(),
                });
            }
            Message::Data { recipient, data } => match &mut self.agent {
                Some((_, stream)) if recipient == AGENT => stream.write_all(&data).await.unwrap(),
                _ => self.saw.stdout.extend_from_slice(&data),
            },
            Message::ExtendedData {
                code: STDERR, data, ..
            } => self.saw.stderr.push_str(&String::from_utf8_lossy(&data)),
            Message::Request { kind, data, .. } if kind.as_str() == "exit-status" => {
                self.saw.status = data.first_chunk().copied().map(u32::from_be_bytes);
            }
            Message::Close { recipient: AGENT } => {
                if let Some((recipient, _stream)) = self.agent.take() {
                    self.send(&Message::Close { recipient });
                }
            }
            Message::Close { .. } => {
                let recipient = self.number;
                self.send(&Message::Close { recipient });
                return false;
            }
            _ => {}
        }
        true
    }

    /// Requests everything at once, as ssh does.
    fn ask(&mut self, recipient: u32) {
        for (kind, text) in self.requests {
            let data = match text {
                Some(text) => Head::of_data().string(text.as_bytes()).into_bytes(),
                None => Bytes::new(),
            };
            self.send(&Message::Request {
                recipient,
                kind: Name::from_static(kind),
                want_reply: true,
                data,
            });
        }
    }
}
