//! Two honest peers, and hostile bytes, in any order of events.

use super::*;

/// A peer that keeps to the protocol: sends within its window, answers CLOSE with CLOSE.
#[derive(Debug, Default)]
struct RelayPeer {
    channels: BTreeMap<u32, PeerChannel>,
}

/// A peer's end of one channel.
#[derive(Debug, Default)]
struct PeerChannel {
    remote: u32,
    open: bool,
    running: bool,
    window: u32,
    max_packet: u32,
    sent: Vec<u8>,
    received: Vec<u8>,
    got_eof: bool,
    sent_eof: bool,
    sent_close: bool,
    got_close: bool,
    asked: u32,
    answered: u32,
}

const WINDOW: u32 = 64;

impl RelayPeer {
    fn hear(&mut self, message: Message, me: Side) -> Vec<Message> {
        match message {
            Message::Open {
                sender,
                window,
                max_packet,
                ..
            } => {
                let number = 100 + u32::try_from(self.channels.len()).unwrap();
                let line = PeerChannel {
                    remote: sender,
                    open: true,
                    window,
                    max_packet,
                    ..PeerChannel::default()
                };
                self.channels.insert(number, line);
                let (recipient, sender, data) = (sender, number, Bytes::new());
                vec![Message::OpenConfirmation {
                    recipient,
                    sender,
                    window: WINDOW,
                    max_packet: 16,
                    data,
                }]
            }
            Message::OpenConfirmation {
                recipient,
                sender,
                window,
                max_packet,
                ..
            } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!line.open && me == Side::Client);
                (line.open, line.remote, line.window, line.max_packet) =
                    (true, sender, window, max_packet);
                line.asked += 1;
                let data = Head::of_data().string(b"run").into_bytes();
                let kind = Name::from_static("exec");
                vec![Message::Request {
                    recipient: sender,
                    kind,
                    want_reply: true,
                    data,
                }]
            }
            Message::Request {
                recipient,
                kind,
                want_reply,
                ..
            } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!line.got_close);
                line.running |= kind.as_str() == "exec";
                if want_reply && !line.sent_close {
                    vec![Message::Success {
                        recipient: line.remote,
                    }]
                } else {
                    vec![]
                }
            }
            Message::Success { recipient } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                line.answered += 1;
                assert!(line.answered <= line.asked);
                vec![]
            }
            Message::Data { recipient, data } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!line.got_eof && !line.got_close && data.len() <= 16);
                line.received.extend_from_slice(&data);
                let bytes = u32::try_from(data.len()).unwrap();
                if line.sent_close {
                    vec![]
                } else {
                    vec![Message::WindowAdjust {
                        recipient: line.remote,
                        bytes,
                    }]
                }
            }
            Message::WindowAdjust { recipient, bytes } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                line.window += bytes;
                assert!(line.window <= WINDOW, "more was granted than taken");
                vec![]
            }
            Message::Eof { recipient } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!std::mem::replace(&mut line.got_eof, true));
                vec![]
            }
            Message::Close { recipient } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!std::mem::replace(&mut line.got_close, true));
                if std::mem::replace(&mut line.sent_close, true) {
                    vec![]
                } else {
                    vec![Message::Close {
                        recipient: line.remote,
                    }]
                }
            }
            other => panic!("nobody says {other:?}"),
        }
    }

    /// Does one thing on one channel, if it may.
    fn act(&mut self, channel: usize, what: u8, me: Side) -> Option<Message> {
        let (_, line) = self.channels.iter_mut().nth(channel)?;
        let started = match me {
            Side::Client => line.answered > 0,
            Side::Host => line.running,
        };
        if !started || line.sent_close || line.got_close {
            return None;
        }
        let recipient = line.remote;
        match what {
            0..=5 if !line.sent_eof => {
                let length = u32::from(what * 3).min(line.window).min(line.max_packet) as usize;
                line.window -= u32::try_from(length).unwrap();
                let next = line.sent.len();
                let data: Vec<u8> = (next..next + length)
                    .map(|n| u8::try_from(n % 251).unwrap())
                    .collect();
                line.sent.extend_from_slice(&data);
                Some(Message::Data {
                    recipient,
                    data: data.into(),
                })
            }
            6 if !line.sent_eof => {
                line.sent_eof = true;
                Some(Message::Eof { recipient })
            }
            7 => {
                line.asked += 1;
                let kind = Name::from_static("keepalive@openssh.com");
                Some(Message::Request {
                    recipient,
                    kind,
                    want_reply: true,
                    data: Bytes::new(),
                })
            }
            8 => {
                line.sent_close = true;
                Some(Message::Close { recipient })
            }
            _ => None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the order in which two honest peers speak and are heard: each byte arrives once and
    /// in order, windows never grow, replies match, and every channel ends closed on both sides.
    #[test]
    fn any_interleaving_arrives_whole(
        channels in 1usize..5,
        steps in proptest::collection::vec((0u8..4, 0usize..5, 0u8..12), 0..400),
        closing in proptest::collection::vec(0u8..4, 0..40),
    ) {
        let mut world = World::default();
        let mut client = RelayPeer::default();
        let mut host = RelayPeer::default();
        for number in 0..channels {
            let number = u32::try_from(number).unwrap();
            client.channels.insert(number, PeerChannel::default());
            let kind = Name::from_static("session");
            let message = Message::Open {
                kind, sender: number, window: WINDOW, max_packet: 16, data: Bytes::new(),
            };
            world.client(&message);
        }
        let run = |world: &mut World, client: &mut RelayPeer, host: &mut RelayPeer, actor: u8, channel, what| {
            let (side, said) = match actor {
                0 => (Side::Client, client.act(channel, what, Side::Client).into_iter().collect()),
                1 => (Side::Host, host.act(channel, what, Side::Host).into_iter().collect()),
                2 => (Side::Client, world.to_client.pop_front()
                    .map_or_else(Vec::new, |message| client.hear(message, Side::Client))),
                _ => (Side::Host, world.to_host.pop_front()
                    .map_or_else(Vec::new, |message| host.hear(message, Side::Host))),
            };
            for message in said {
                world.says(side, &message);
            }
        };
        for (actor, channel, what) in steps {
            // Closing at random would end most runs before anything happens.
            let what = if what == 8 && channel != 0 { 9 } else { what };
            run(&mut world, &mut client, &mut host, actor, channel, what);
        }
        for actor in closing {
            run(&mut world, &mut client, &mut host, actor, 0, 9);
        }
        while !world.to_client.is_empty() || !world.to_host.is_empty() {
            run(&mut world, &mut client, &mut host, 2, 0, 9);
            run(&mut world, &mut client, &mut host, 3, 0, 9);
        }
        let complete = |from: &PeerChannel, to: &PeerChannel| {
            // A peer that has closed is told no more; what it was told is a beginning of what was sent.
            from.sent.starts_with(&to.received) && (to.sent_close || from.sent == to.received)
        };
        for (number, line) in &client.channels {
            let other = &host.channels[&line.remote_number(&host)];
            prop_assert!(complete(line, other), "channel {number}, to the host");
            prop_assert!(complete(other, line), "channel {number}, to the client");
            prop_assert_eq!(line.sent_close, line.got_close);
            prop_assert_eq!(other.sent_close, other.got_close);
            if !line.sent_close {
                prop_assert_eq!((line.asked, other.asked), (line.answered, other.answered));
                prop_assert_eq!((line.sent_eof, other.sent_eof), (other.got_eof, line.got_eof));
            }
        }
        let closed = client.channels.values().filter(|line| line.got_close).count();
        prop_assert_eq!(world.relay.channels(), channels - closed);
    }

    /// No packet, from either side, in any order, makes the relay panic, whatever is added meanwhile.
    #[test]
    fn any_packets_are_judged_without_a_panic(
        packets in proptest::collection::vec(
            (any::<bool>(), 78u8..102, 0u32..4, proptest::collection::vec(any::<u8>(), 0..30)), 0..60),
    ) {
        let mut world = World::with_session();
        for (client, number, channel, rest) in packets {
            let side = if client { Side::Client } else { Side::Host };
            let mut payload = vec![number];
            payload.extend_from_slice(&channel.to_be_bytes());
            payload.extend_from_slice(&rest);
            let mut out = Vec::new();
            let _judged = world.relay.on_packet(
                side, &Bytes::from(payload), &mut world.witness, &mut out,
            );
            let _bytes = world.inject(1, &rest);
            let _sent = world.notify("a notice");
        }
    }
}

impl PeerChannel {
    /// The host's number of the channel that the relay calls `remote`.
    fn remote_number(&self, host: &RelayPeer) -> u32 {
        host.channels
            .iter()
            .find(|(_, line)| line.remote == self.remote)
            .map(|(number, _)| *number)
            .expect("every channel reaches the host")
    }
}
