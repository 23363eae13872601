//! Packets into an endpoint, and the packets that come out of it.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::Notify;

use super::machine::{ChannelRoom, Endpoint, Outlet};
use super::services::{Answer, OpenAnswered, OpenRequest, Services};
use super::{KeepLimits, PendingSession, SessionServices, serve};
use crate::ssh::channel::{ChannelStream, EARLY_WINDOW, MAX_PACKET, Terms, WINDOW};
use crate::wire::connection::{
    AGENT_REQ_OPENSSH, Breach, DIRECT_TCPIP, EXIT_REFUSED, Head, Message, Name, OpenFailure,
    SESSION, STDERR, exit_status,
};

/// What is taken on a session.
const TERMS: Terms = Terms {
    window: EARLY_WINDOW,
    max_window: WINDOW,
    max_packet: MAX_PACKET,
};
/// What is taken on other channels.
const STREAM_TERMS: Terms = Terms {
    max_window: EARLY_WINDOW,
    ..TERMS
};

/// Starts every program, takes every stream; keeps a session for a relay when told to.
#[derive(Debug, Default)]
struct Served {
    streams: Vec<ChannelStream>,
    opened: Vec<u32>,
    not_opened: Vec<u32>,
    unknown: Vec<String>,
    keeps: bool,
}

impl Services for Served {
    fn open(&mut self, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
        match request.kind() {
            SESSION if self.keeps => {
                let (answered, stream) = request.accept_kept(Terms {
                    window: 0,
                    max_window: 0,
                    max_packet: MAX_PACKET,
                });
                self.streams.push(stream);
                Ok(answered)
            }
            SESSION => Ok(request.accept_session(TERMS)),
            DIRECT_TCPIP if self.keeps => request.keep(),
            DIRECT_TCPIP => {
                let (answered, stream) = request.accept(STREAM_TERMS);
                self.streams.push(stream);
                Ok(answered)
            }
            _ => Ok(request.refuse(OpenFailure::UnknownChannelType, "no")),
        }
    }

    fn on_request(
        &mut self,
        session: &mut Option<PendingSession>,
        kind: &str,
        data: &Bytes,
    ) -> Result<Answer, Breach> {
        match self.keeps {
            true => Ok(Answer::Keep),
            false => serve(self, session, kind, data).map(Answer::from),
        }
    }

    fn on_global_request(&mut self, _name: &str, _data: &Bytes) -> Result<Answer, Breach> {
        Ok(match self.keeps {
            true => Answer::Keep,
            false => Answer::Failure,
        })
    }

    fn on_opened(&mut self, number: u32, stream: ChannelStream) {
        self.opened.push(number);
        self.streams.push(stream);
    }

    fn on_not_opened(&mut self, number: u32, _text: &Bytes) {
        self.not_opened.push(number);
    }
}

impl SessionServices for Served {
    fn on_agent_request(&mut self, _by_rfc: bool) {}

    fn on_shell(&mut self, session: PendingSession) {
        self.streams.push(session.stream);
    }

    fn on_exec(&mut self, session: PendingSession, _command: &Bytes) {
        self.streams.push(session.stream);
    }

    fn on_subsystem(&mut self, session: PendingSession, _name: &Bytes) {
        self.streams.push(session.stream);
    }

    fn on_unknown_request(&mut self, kind: &str) -> Result<(), Breach> {
        self.unknown.push(kind.to_owned());
        Ok(())
    }
}

/// What was sent, as bytes and back.
#[derive(Debug, Default)]
struct Sent(VecDeque<Message>);

impl Outlet for Sent {
    type Error = Breach;

    fn has_room(&mut self) -> bool {
        true
    }

    fn send(&mut self, message: &Message) -> Result<(), Breach> {
        self.0.push_back(Message::parse(&payload(message))?);
        Ok(())
    }
}

fn payload(message: &Message) -> Bytes {
    let (head, body) = message.encode();
    [head.as_slice(), &body].concat().into()
}

struct EndpointFixture {
    endpoint: Endpoint,
    served: Served,
    sent: Sent,
}

impl EndpointFixture {
    fn new() -> Self {
        let limits = KeepLimits {
            packets: 10,
            bytes: 10_000,
        };
        Self {
            endpoint: Endpoint::new(Arc::new(Notify::new()), limits),
            served: Served::default(),
            sent: Sent::default(),
        }
    }

    /// Keeps what belongs to a session for a relay.
    fn keeping() -> Self {
        let mut world = Self::new();
        world.served.keeps = true;
        world
    }

    /// The peer says something.
    fn says(&mut self, message: &Message) -> Result<(), Breach> {
        self.endpoint.on_packet(&payload(message), &mut self.served)
    }

    /// What the endpoint says now.
    fn hears(&mut self) -> Vec<Message> {
        self.endpoint
            .pump(&mut self.sent, ChannelRoom::USUAL)
            .unwrap();
        self.sent.0.drain(..).collect()
    }

    /// The peer opens a channel, with the number 7 on its side.
    fn opens(&mut self, kind: &'static str, window: u32) {
        self.says(&open(kind, 7, window)).unwrap();
    }
}

fn open(kind: &'static str, sender: u32, window: u32) -> Message {
    Message::Open {
        kind: Name::from_static(kind),
        sender,
        window,
        max_packet: 1000,
        data: Bytes::new(),
    }
}

fn request(recipient: u32, kind: &'static str, want_reply: bool) -> Message {
    let data = match kind {
        "exec" | "subsystem" => Head::of_data().string(b"x").into_bytes(),
        _ => Bytes::new(),
    };
    Message::Request {
        recipient,
        kind: Name::from_static(kind),
        want_reply,
        data,
    }
}

fn write(stream: &mut ChannelStream, bytes: &[u8]) -> usize {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(stream).poll_write(&mut context, bytes) {
        std::task::Poll::Ready(Ok(written)) => written,
        _ => 0,
    }
}

fn read(stream: &mut ChannelStream) -> usize {
    let mut room = [0; 64 * 1024];
    let mut buffer = ReadBuf::new(&mut room);
    let mut context = Context::from_waker(Waker::noop());
    let _read = Pin::new(stream).poll_read(&mut context, &mut buffer);
    buffer.filled().len()
}

#[test]
fn a_session_is_granted_little_until_a_program_is_started() {
    let mut world = EndpointFixture::new();
    world.opens(SESSION, 1 << 20);
    let [
        Message::OpenConfirmation {
            window, sender: 0, ..
        },
    ] = world.hears()[..]
    else {
        panic!("no confirmation");
    };
    assert_eq!(window, EARLY_WINDOW);
    world.says(&request(0, "env", true)).unwrap();
    assert_eq!(world.hears(), [Message::Failure { recipient: 7 }]);
    world.says(&request(0, "subsystem", true)).unwrap();
    let granted = Message::WindowAdjust {
        recipient: 7,
        bytes: WINDOW - EARLY_WINDOW,
    };
    assert_eq!(world.hears(), [Message::Success { recipient: 7 }, granted]);
    world.says(&request(0, "exec", true)).unwrap();
    assert_eq!(
        world.hears(),
        [Message::Failure { recipient: 7 }],
        "a second program"
    );
    assert_eq!(world.served.streams.len(), 1);
}

#[test]
fn what_is_not_known_is_told_and_fails() {
    let mut world = EndpointFixture::new();
    world.opens(SESSION, 0);
    world.says(&request(0, "x11-req", true)).unwrap();
    world.says(&request(0, "break", false)).unwrap();
    world.opens("x11", 0);
    let answers = world.hears();
    assert!(
        matches!(
            answers[..],
            [
                Message::OpenConfirmation { .. },
                Message::Failure { recipient: 7 },
                Message::OpenFailure {
                    recipient: 7,
                    reason: 3,
                    ..
                }
            ]
        ),
        "{answers:?}"
    );
    assert_eq!(world.served.unknown, ["x11-req", "break"]);
}

#[test]
fn numbers_are_free_once_both_sides_have_closed() {
    let mut world = EndpointFixture::new();
    world.opens(DIRECT_TCPIP, 100);
    world.hears();
    world.served.streams.clear();
    let last = [
        Message::Eof { recipient: 7 },
        Message::Close { recipient: 7 },
    ];
    assert_eq!(world.hears(), last);
    world.opens(DIRECT_TCPIP, 100);
    assert!(
        matches!(
            world.hears()[..],
            [Message::OpenConfirmation { sender: 1, .. }]
        ),
        "the peer has not closed the first"
    );
    world.says(&Message::Close { recipient: 0 }).unwrap();
    assert_eq!(world.hears(), []);
    world.opens(DIRECT_TCPIP, 100);
    assert!(matches!(
        world.hears()[..],
        [Message::OpenConfirmation { sender: 0, .. }]
    ));
}

#[test]
fn no_answer_follows_a_close() {
    let mut world = EndpointFixture::new();
    world.opens(SESSION, 100);
    world.says(&request(0, "shell", false)).unwrap();
    world.hears();
    world.served.streams.clear();
    assert_eq!(world.hears().last(), Some(&Message::Close { recipient: 7 }));
    world.says(&request(0, AGENT_REQ_OPENSSH, true)).unwrap();
    assert_eq!(world.hears(), []);
}

#[test]
fn what_a_peer_may_not_say_is_a_breach() {
    let late = "a message for a channel that does not exist";
    for (message, breach) in [
        (
            Message::Data {
                recipient: 1,
                data: Bytes::new(),
            },
            Breach::Misplaced(late),
        ),
        (Message::Success { recipient: 0 }, Breach::Reply),
        (Message::Success { recipient: 5 }, Breach::Reply),
        (Message::RequestFailure, Breach::Reply),
        (
            Message::WindowAdjust {
                recipient: 0,
                bytes: u32::MAX,
            },
            Breach::Window,
        ),
        (
            Message::Data {
                recipient: 0,
                data: vec![0; EARLY_WINDOW as usize + 1].into(),
            },
            Breach::Overrun,
        ),
        (
            Message::ExtendedData {
                recipient: 0,
                code: STDERR,
                data: Bytes::new(),
            },
            Breach::Misplaced("extended data"),
        ),
        (
            request(0, "shell", false),
            Breach::Misplaced("a request on a channel that takes none"),
        ),
        (
            Message::OpenFailure {
                recipient: 0,
                reason: 1,
                text: Bytes::new(),
                language: Bytes::new(),
            },
            Breach::Reply,
        ),
    ] {
        let mut world = EndpointFixture::new();
        world.opens(DIRECT_TCPIP, 1);
        assert_eq!(world.says(&message), Err(breach), "{message:?}");
    }
}

#[test]
fn messages_of_authentication_are_ignored() {
    let mut world = EndpointFixture::new();
    for number in 50..=79 {
        let packet = Bytes::from(vec![number, 1, 2]);
        world
            .endpoint
            .on_packet(&packet, &mut world.served)
            .unwrap();
    }
    assert_eq!(world.hears(), []);
}

#[test]
fn answers_to_our_questions_are_counted() {
    let mut world = EndpointFixture::new();
    world.endpoint.ask();
    assert!(matches!(
        world.hears()[..],
        [Message::GlobalRequest {
            want_reply: true,
            ..
        }]
    ));
    world.says(&Message::RequestFailure).unwrap();
    assert_eq!(world.says(&Message::RequestFailure), Err(Breach::Reply));
}

#[test]
fn a_channel_of_ours_is_confirmed_or_refused_once() {
    let mut world = EndpointFixture::new();
    world.endpoint.open(0, "agent-connect", STREAM_TERMS);
    world.endpoint.open(u32::MAX, "agent-connect", STREAM_TERMS);
    assert_eq!(world.hears().len(), 2);
    assert_eq!(
        (
            world.endpoint.channels_of_ours(),
            world.endpoint.free_number()
        ),
        (2, 1)
    );
    let confirmed = Message::OpenConfirmation {
        recipient: 0,
        sender: 3,
        window: 10,
        max_packet: 4,
        data: Bytes::new(),
    };
    world.says(&confirmed).unwrap();
    let refused = Message::OpenFailure {
        recipient: u32::MAX,
        reason: 1,
        text: Bytes::new(),
        language: Bytes::new(),
    };
    world.says(&refused).unwrap();
    assert_eq!(
        (&world.served.opened[..], &world.served.not_opened[..]),
        (&[0][..], &[u32::MAX][..])
    );
    write(&mut world.served.streams[0], b"0123456789abc");
    let data: Vec<_> = world.hears();
    let pieces = [&b"0123"[..], b"4567", b"89"].map(|piece| Message::Data {
        recipient: 3,
        data: Bytes::from_static(piece),
    });
    assert_eq!(
        data, pieces,
        "as much as fits into a message, and into the window"
    );
    assert_eq!(world.says(&confirmed), Err(Breach::Reply));
}

#[test]
fn a_kept_channel_turns_into_what_a_relay_goes_on_with() {
    let mut world = EndpointFixture::keeping();
    world.opens(SESSION, 100);
    world.opens(DIRECT_TCPIP, 5);
    let kept = [
        payload(&open(DIRECT_TCPIP, 7, 5)),
        payload(&request(0, "pty-req", true)),
        payload(&Message::WindowAdjust {
            recipient: 0,
            bytes: 50,
        }),
        payload(&Message::GlobalRequest {
            name: Name::from_static("tcpip-forward"),
            want_reply: true,
            data: Bytes::new(),
        }),
        payload(&request(0, "shell", true)),
    ];
    for packet in &kept[1..] {
        world.endpoint.on_packet(packet, &mut world.served).unwrap();
    }
    world.served.streams[0].handle().stderr("hello");
    let heard = world.hears();
    assert!(
        matches!(
            heard[..],
            [
                Message::OpenConfirmation { window: 0, .. },
                Message::ExtendedData {
                    recipient: 7,
                    code: STDERR,
                    ..
                }
            ]
        ),
        "{heard:?}"
    );
    let takeover = world.endpoint.into_relay(0).unwrap();
    assert_eq!((takeover.peer.number, takeover.peer.window), (7, 95));
    assert_eq!(takeover.packets, kept);
}

#[test]
fn a_released_channel_says_why_and_ends() {
    let mut world = EndpointFixture::keeping();
    world.opens(SESSION, 3);
    for kind in ["pty-req", "env", "shell"] {
        world.says(&request(0, kind, true)).unwrap();
    }
    world
        .says(&Message::WindowAdjust {
            recipient: 0,
            bytes: 2,
        })
        .unwrap();
    world.hears();
    world.endpoint.release(0, &mut world.served).unwrap();
    let stream = world.served.streams.remove(0);
    stream.handle().stderr("sorry");
    stream.handle().exit_status(EXIT_REFUSED);
    drop(stream);
    let recipient = 7;
    let mut expected = vec![Message::Success { recipient }; 3];
    expected.extend([
        Message::ExtendedData {
            recipient,
            code: STDERR,
            data: Bytes::from_static(b"sorry"),
        },
        exit_status(recipient, EXIT_REFUSED),
        Message::Eof { recipient },
        Message::Close { recipient },
    ]);
    assert_eq!(world.hears(), expected);
    world.says(&Message::Close { recipient: 0 }).unwrap();
    world.hears();
    assert!(world.endpoint.is_empty());
}

#[test]
fn what_is_kept_is_bounded() {
    let mut world = EndpointFixture::keeping();
    world.opens(SESSION, 3);
    for _ in 0..10 {
        world.says(&request(0, "env", true)).unwrap();
    }
    assert_eq!(
        world.says(&request(0, "env", true)),
        Err(Breach::TooMuchKept)
    );
}

/// What a peer does, and the service beside it.
#[derive(Clone, Debug)]
enum Op {
    Open {
        session: bool,
        window: u32,
        max_packet: u32,
    },
    Request {
        channel: usize,
        kind: usize,
        want_reply: bool,
    },
    Grant {
        channel: usize,
        bytes: u32,
    },
    Data {
        channel: usize,
        length: u32,
    },
    Eof {
        channel: usize,
    },
    Close {
        channel: usize,
    },
    Write {
        stream: usize,
        length: usize,
    },
    Say {
        stream: usize,
        length: usize,
        status: u32,
    },
    Read {
        stream: usize,
    },
    Drop {
        stream: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let index = || 0usize..4;
    prop_oneof![
        (any::<bool>(), 0u32..5000, 1u32..2000).prop_map(|(session, window, max_packet)| {
            Op::Open {
                session,
                window,
                max_packet,
            }
        }),
        (index(), 0usize..REQUESTS.len(), any::<bool>()).prop_map(|(channel, kind, want_reply)| {
            Op::Request {
                channel,
                kind,
                want_reply,
            }
        }),
        (index(), 0u32..5000).prop_map(|(channel, bytes)| Op::Grant { channel, bytes }),
        (index(), 0u32..40_000).prop_map(|(channel, length)| Op::Data { channel, length }),
        index().prop_map(|channel| Op::Eof { channel }),
        index().prop_map(|channel| Op::Close { channel }),
        (index(), 0usize..10_000).prop_map(|(stream, length)| Op::Write { stream, length }),
        (index(), 0usize..3000, any::<u32>()).prop_map(|(stream, length, status)| Op::Say {
            stream,
            length,
            status
        }),
        index().prop_map(|stream| Op::Read { stream }),
        index().prop_map(|stream| Op::Drop { stream }),
    ]
}

const REQUESTS: [&str; 5] = ["env", AGENT_REQ_OPENSSH, "shell", "exec", "x11-req"];

/// The peer's view of one channel.
#[derive(Debug, Default)]
struct Seen {
    is_session: bool,
    has_program: bool,
    /// Bytes that it takes, and at most in one message.
    takes: u32,
    max_packet: u32,
    /// Bytes that it was granted.
    granted: u32,
    /// Answers that it waits for: whether each is a success.
    expects: VecDeque<bool>,
    said_close: bool,
    heard_eof: bool,
    heard_close: bool,
}

/// A peer that keeps the protocol, and checks that the endpoint does.
#[derive(Debug, Default)]
struct Peer {
    /// By its own numbers, which it never uses twice.
    channels: BTreeMap<u32, Seen>,
    /// The endpoint's numbers of the channels that are not over.
    numbers: BTreeMap<u32, u32>,
    next: u32,
}

impl Peer {
    /// The endpoint's and the own number of a channel on which it may speak.
    fn pick(&self, index: usize) -> Option<(u32, u32)> {
        let open = self.numbers.iter().map(|(theirs, own)| (*theirs, *own));
        let open: Vec<_> = open
            .filter(|(_, own)| !self.channels[own].said_close)
            .collect();
        open.get(index % open.len().max(1)).copied()
    }

    fn hears(&mut self, message: &Message) {
        if let Message::OpenConfirmation {
            recipient,
            sender,
            window,
            ..
        } = message
        {
            assert_eq!(
                self.numbers.insert(*sender, *recipient),
                None,
                "a number in use"
            );
            self.channels.get_mut(recipient).unwrap().granted = *window;
            return;
        }
        let own = message.channel().expect("a message on a channel");
        let seen = self.channels.get_mut(&own).unwrap();
        assert!(!seen.heard_close, "{message:?} after CLOSE");
        match message {
            Message::Data { data, .. } | Message::ExtendedData { data, .. } => {
                let length = u32::try_from(data.len()).unwrap();
                assert!(!seen.heard_eof, "data after EOF");
                assert!(length <= seen.max_packet, "{length} in one message");
                seen.takes = seen.takes.checked_sub(length).expect("the window");
            }
            Message::WindowAdjust { bytes, .. } => {
                seen.granted += bytes;
                assert!(seen.granted <= WINDOW);
            }
            Message::Success { .. } => assert_eq!(seen.expects.pop_front(), Some(true)),
            Message::Failure { .. } => assert_eq!(seen.expects.pop_front(), Some(false)),
            Message::Eof { .. } => {
                assert!(
                    !std::mem::replace(&mut seen.heard_eof, true),
                    "a second EOF"
                );
            }
            Message::Close { .. } => seen.heard_close = true,
            Message::Request {
                want_reply: false, ..
            } => {}
            other => panic!("{other:?}"),
        }
    }

    /// Frees the numbers of channels that both have closed.
    fn forget(&mut self) {
        let channels = &self.channels;
        self.numbers
            .retain(|_, own| !(channels[own].said_close && channels[own].heard_close));
    }

    /// What the peer says for an operation of its own.
    fn act(&mut self, op: &Op) -> Option<Message> {
        if let Op::Open {
            session,
            window,
            max_packet,
        } = *op
        {
            let sender = self.next;
            self.next += 1;
            let seen = Seen {
                is_session: session,
                takes: window,
                max_packet,
                ..Seen::default()
            };
            self.channels.insert(sender, seen);
            return Some(Message::Open {
                kind: Name::from_static(if session { SESSION } else { DIRECT_TCPIP }),
                sender,
                window,
                max_packet,
                data: Bytes::new(),
            });
        }
        let (Op::Request { channel, .. }
        | Op::Grant { channel, .. }
        | Op::Data { channel, .. }
        | Op::Eof { channel }
        | Op::Close { channel }) = *op
        else {
            return None;
        };
        let (recipient, own) = self.pick(channel)?;
        let seen = self.channels.get_mut(&own).unwrap();
        match *op {
            Op::Request {
                kind, want_reply, ..
            } if seen.is_session => {
                let kind = REQUESTS[kind];
                let starts = matches!(kind, "shell" | "exec");
                let succeeds = kind == AGENT_REQ_OPENSSH || starts && !seen.has_program;
                seen.has_program |= starts;
                if want_reply && !seen.heard_close {
                    seen.expects.push_back(succeeds);
                }
                Some(request(recipient, kind, want_reply))
            }
            Op::Grant { bytes, .. } => {
                seen.takes += bytes;
                Some(Message::WindowAdjust { recipient, bytes })
            }
            Op::Data { length, .. } => {
                let length = length.min(seen.granted).min(MAX_PACKET);
                seen.granted -= length;
                let data = vec![0; length as usize].into();
                Some(Message::Data { recipient, data })
            }
            Op::Eof { .. } => Some(Message::Eof { recipient }),
            Op::Close { .. } => {
                seen.said_close = true;
                Some(Message::Close { recipient })
            }
            _ => None,
        }
    }
}

/// What the service does for an operation of its own.
fn serve_streams(op: &Op, streams: &mut Vec<ChannelStream>) {
    let count = streams.len().max(1);
    match *op {
        Op::Write { stream, length } => {
            if let Some(stream) = streams.get_mut(stream % count) {
                write(stream, &vec![1; length]);
            }
        }
        Op::Say {
            stream,
            length,
            status,
        } => {
            if let Some(stream) = streams.get(stream % count) {
                stream.handle().stderr(&"e".repeat(length));
                stream.handle().exit_status(status);
            }
        }
        Op::Read { stream } => {
            if let Some(stream) = streams.get_mut(stream % count) {
                read(stream);
            }
        }
        Op::Drop { stream } if !streams.is_empty() => {
            streams.remove(stream % count);
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn the_protocol_is_kept_whatever_happens(ops in proptest::collection::vec((op(), any::<bool>()), 1..120)) {
        let (mut world, mut peer) = (EndpointFixture::new(), Peer::default());
        for (op, pumps) in ops {
            if let Some(message) = peer.act(&op) {
                prop_assert_eq!(world.says(&message), Ok(()), "{:?}", message);
            }
            serve_streams(&op, &mut world.served.streams);
            world.endpoint.send_answers(&mut world.sent).unwrap();
            if pumps {
                world.endpoint.pump(&mut world.sent, ChannelRoom::USUAL).unwrap();
            }
            for message in world.sent.0.drain(..) {
                peer.hears(&message);
            }
            if pumps {
                peer.forget();
            }
        }
        for (number, seen) in &peer.channels {
            prop_assert!(seen.expects.is_empty(), "channel {} waits for {:?}", number, seen.expects);
        }
    }

    #[test]
    fn any_packets_are_judged_without_a_panic(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
        numbers in proptest::collection::vec(80u8..=100, 20),
    ) {
        let mut world = EndpointFixture::new();
        world.opens(SESSION, 10);
        for (mut packet, number) in packets.into_iter().zip(numbers) {
            packet.insert(0, number);
            if world.endpoint.on_packet(&packet.into(), &mut world.served).is_err() {
                break;
            }
            world.hears();
        }
    }
}
