//! The opening of a session, as either peer of a bridge speaks it.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::wire::connection::{Head, Message, Name};
use crate::wire::message::USERAUTH_SUCCESS;

/// More than everything that is said.
const WINDOW: u32 = 1 << 20;
const MAX_PACKET: u32 = 1 << 15;

/// Queues a message.
pub(in crate::ssh::bridge) fn send<S>(leg: &mut Leg<S>, message: &Message)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (head, body) = message.encode();
    let sent = leg.transport.send_parts(&head, &body);
    sent.expect("a message to send");
}

/// The next message. A host accepts every user, without authentication; a user opens a session once it
/// is in.
pub(in crate::ssh::bridge) async fn next<S>(leg: &mut Leg<S>) -> Result<Message, LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match leg.next().await? {
            LegEvent::HostKey(_) => {
                let accepted = leg.transport.accept_host_key();
                accepted.expect("it was asked");
            }
            LegEvent::Established => {
                if leg.transport.session_binding().is_none() {
                    let sent = leg.transport.send(&[USERAUTH_SUCCESS]);
                    sent.expect("a message to send");
                }
            }
            LegEvent::Packet(payload) if payload[0] == USERAUTH_SUCCESS => {
                let open = Message::Open {
                    kind: Name::from_static("session"),
                    sender: 0,
                    window: WINDOW,
                    max_packet: MAX_PACKET,
                    data: Bytes::new(),
                };
                send(leg, &open);
            }
            LegEvent::Packet(payload) => {
                let message = Message::parse(&payload);
                return Ok(message.expect("the proxy keeps to the protocol"));
            }
        }
    }
}

/// The user's request for a command.
pub(in crate::ssh::bridge) fn exec(recipient: u32, want_reply: bool) -> Message {
    Message::Request {
        recipient,
        kind: Name::from_static("exec"),
        want_reply,
        data: Head::of_data().string(b"cat").into_bytes(),
    }
}

/// The host's answer to a request for a session.
pub(in crate::ssh::bridge) fn confirmation(recipient: u32) -> Message {
    Message::OpenConfirmation {
        recipient,
        sender: 0,
        window: WINDOW,
        max_packet: MAX_PACKET,
        data: Bytes::new(),
    }
}
