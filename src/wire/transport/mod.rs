//! The transport's state machine: identification, key exchange, packets up and down.
//!
//! Never blocks, never reads a clock, never decides whether a host key is the expected one.

mod config;
mod exchange;
mod extension;
mod outgoing;
mod rekey_allowance;
mod work;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ssh_encoding::{Decode, Encode, Reader};

pub use config::{
    ClientConfig, Directional, Negotiated, PeerExtensions, RekeyLimits, ServerConfig,
    SessionBinding,
};

use self::exchange::Exchange;
use self::outgoing::{HeldPayloads, Replies};
use self::rekey_allowance::RekeyAllowance;
pub use self::work::{Work, Worked};
use super::error::{DisconnectReason, Error, Misuse, Violation};
use super::ident::IdentReader;
use super::message;
use super::packet::{PacketReader, PacketWriter};
use crate::model::text::Printable;

/// Longest text of a disconnect message that we send.
const MAX_DISCONNECT_TEXT: usize = 1024;

/// What [`Transport::receive`] has to say.
#[derive(Debug)]
pub enum TransportEvent {
    /// Nothing more without more input, or without the answer to [`TransportEvent::HostKey`].
    NeedInput,
    /// Client role: the host presents this key or certificate, once, in the first key exchange.
    /// Its signature over the exchange hash is already verified, with the key or with the
    /// certificate's key; everything else about it is not. Nothing goes on before
    /// [`Transport::accept_host_key`].
    HostKey {
        /// Name of the negotiated algorithm.
        algorithm: String,
        /// Encoded key or certificate.
        blob: Vec<u8>,
    },
    /// The first key exchange is complete. Later ones are silent.
    Established,
    /// A packet for the layers above: its payload, from the message number on. It shares the
    /// input's memory, which can be used again when the payload has been dropped.
    Packet(BytesMut),
    /// The peer ends the connection. The text is the peer's: untrusted, but for control characters,
    /// which are taken out.
    Disconnected {
        /// Reason code (RFC 4253 section 11.1).
        reason: u32,
        /// Reason in words.
        text: String,
    },
}

/// One side of an SSH connection's transport layer.
pub struct Transport {
    role: EndpointRole,
    phase: TransportPhase,
    reader: PacketReader,
    writer: PacketWriter,
    peer_ident: Option<String>,
    /// What a server says that has not identified itself.
    said_instead: Option<Vec<u8>>,
    exchange: Exchange,
    /// Both sides do strict key exchange (PROTOCOL 1.10).
    strict: bool,
    /// The client wants to hear about extensions.
    peer_wants_extensions: bool,
    session_id: Option<Vec<u8>>,
    host_key: Option<Vec<u8>>,
    binding: Option<SessionBinding>,
    negotiated: Option<Negotiated>,
    extensions: PeerExtensions,
    /// User authentication has succeeded, as seen in passing.
    authenticated: bool,
    held: HeldPayloads,
    replies: Replies,
    /// When the keys were taken into use, as far as [`tick`](Transport::tick) has told.
    keyed_at: Option<Duration>,
    /// The time, as far as [`tick`](Transport::tick) has told.
    now: Duration,
    /// How often the peer may still ask for new keys.
    rekeys: RekeyAllowance,
    /// How often the peer has said what it can do.
    extension_messages: u32,
    /// What takes long is for the driver.
    defers: bool,
    /// It waits for the driver to take it.
    work: Option<Work>,
    /// What came of it.
    worked: Option<Worked>,
}

#[derive(Clone)]
enum EndpointRole {
    Server(Arc<ServerConfig>),
    Client(Arc<ClientConfig>),
}

impl EndpointRole {
    fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    fn ident(&self) -> &str {
        match self {
            Self::Server(config) => &config.ident,
            Self::Client(config) => &config.ident,
        }
    }

    fn limits(&self) -> RekeyLimits {
        match self {
            Self::Server(config) => config.rekey,
            Self::Client(config) => config.rekey,
        }
    }
}

#[derive(Debug)]
enum TransportPhase {
    /// Could not even start; told at the first chance.
    Unborn(Error),
    /// Waiting for the peer's identification.
    Identification(IdentReader),
    /// In the first key exchange.
    Keying,
    /// Keys are in use.
    Established,
    /// After an error or either side's disconnect: what comes in is thrown away.
    Ended,
}

impl Transport {
    /// A server; its identification and its proposal are in the output at once.
    #[must_use]
    pub fn server(config: Arc<ServerConfig>) -> Self {
        Self::new(EndpointRole::Server(config))
    }

    /// A client; its identification and its proposal are in the output at once.
    #[must_use]
    pub fn client(config: Arc<ClientConfig>) -> Self {
        Self::new(EndpointRole::Client(config))
    }

    fn new(role: EndpointRole) -> Self {
        let peer_is_server = !role.is_server();
        let mut transport = Self {
            role,
            phase: TransportPhase::Identification(IdentReader::new(peer_is_server)),
            reader: PacketReader::new(),
            writer: PacketWriter::new(),
            peer_ident: None,
            said_instead: None,
            exchange: Exchange::Idle,
            strict: false,
            peer_wants_extensions: false,
            session_id: None,
            host_key: None,
            binding: None,
            negotiated: None,
            extensions: PeerExtensions::default(),
            authenticated: false,
            held: HeldPayloads::default(),
            replies: Replies::default(),
            keyed_at: None,
            now: Duration::ZERO,
            rekeys: RekeyAllowance::default(),
            extension_messages: 0,
            defers: false,
            work: None,
            worked: None,
        };
        let ident = format!("{}\r\n", transport.role.ident());
        transport.writer.write_raw(ident.as_bytes());
        if let Err(error) = transport.propose() {
            transport.phase = TransportPhase::Unborn(error);
        }
        transport
    }

    /// Consumes what it can from the front of `input`, decrypting in place, and returns the next
    /// event. To be called until [`TransportEvent::NeedInput`]; what is then left in `input` is the
    /// beginning of a packet and must stay there, untouched, in front of what is read next.
    ///
    /// # Errors
    /// When the connection cannot go on; from then on all input is thrown away.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<TransportEvent, Error> {
        let result = self.advance(input);
        if result.is_err() {
            self.phase = TransportPhase::Ended;
        }
        result
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<TransportEvent, Error> {
        loop {
            match &mut self.phase {
                TransportPhase::Unborn(_) => return Err(self.take_first_error()),
                TransportPhase::Ended => {
                    input.clear();
                    return Ok(TransportEvent::NeedInput);
                }
                TransportPhase::Identification(reader) => {
                    let read = reader.read(input);
                    self.said_instead = reader.first().map(<[u8]>::to_vec);
                    let Some(ident) = read? else {
                        return Ok(TransportEvent::NeedInput);
                    };
                    self.said_instead = None;
                    self.peer_ident = Some(ident);
                    self.phase = TransportPhase::Keying;
                }
                TransportPhase::Keying | TransportPhase::Established => {
                    if self.exchange.awaits_decision() {
                        return Ok(TransportEvent::NeedInput);
                    }
                    if self.exchange.awaits_work() {
                        let Some(worked) = self.worked.take() else {
                            return Ok(TransportEvent::NeedInput);
                        };
                        if let Some(event) = self.go_on(worked)? {
                            return Ok(event);
                        }
                        continue;
                    }
                    let Some(packet) = self.reader.read(input)? else {
                        return Ok(TransportEvent::NeedInput);
                    };
                    if !self.authenticated && rekey_allowance::is_too_much(self.reader.usage()) {
                        return Err(Violation::Unauthenticated.into());
                    }
                    if let Some(event) = self.dispatch(packet)? {
                        return Ok(event);
                    }
                }
            }
        }
    }

    fn take_first_error(&mut self) -> Error {
        match mem::replace(&mut self.phase, TransportPhase::Ended) {
            TransportPhase::Unborn(error) => error,
            _ => Misuse::State("ended").into(),
        }
    }

    fn dispatch(&mut self, packet: BytesMut) -> Result<Option<TransportEvent>, Error> {
        let number = packet.first().copied().unwrap_or_default();
        if self.exchange.skips(number) {
            return Ok(None);
        }
        match number {
            message::DISCONNECT => Ok(Some(self.on_disconnect(&packet))),
            message::KEXINIT => self.on_proposal(&packet),
            message::KEX_INIT => self.on_kex_init(&packet),
            message::KEX_REPLY => self.on_kex_reply(&packet),
            message::NEWKEYS => self.on_new_keys(&packet),
            _ if self.strict && !self.is_established() => {
                Err(unexpected(number, "in a strict key exchange"))
            }
            message::IGNORE | message::DEBUG | message::UNIMPLEMENTED => Ok(None),
            message::EXT_INFO => {
                self.check_moment(number)?;
                self.on_extensions(&packet)?;
                Ok(None)
            }
            message::PING => {
                self.check_moment(number)?;
                self.on_ping(&packet)?;
                Ok(None)
            }
            message::PONG => {
                self.check_moment(number)?;
                Ok(None)
            }
            number if message::is_upper(number) => {
                self.check_moment(number)?;
                if number == message::USERAUTH_SUCCESS && !self.role.is_server() {
                    self.on_authenticated();
                }
                self.rekey_if_used_up()?;
                Ok(Some(TransportEvent::Packet(packet)))
            }
            _ => {
                self.on_unknown()?;
                Ok(None)
            }
        }
    }

    /// Whether the peer may send other than key exchange messages now: not before it has keys, and
    /// not between its proposal and its new keys (RFC 4253 section 7.1).
    fn check_moment(&self, number: u8) -> Result<(), Error> {
        if !self.is_established() {
            return Err(unexpected(number, "before the first key exchange"));
        }
        if self.exchange.peer_is_in() {
            return Err(unexpected(number, "during a key exchange"));
        }
        Ok(())
    }

    /// RFC 8308 section 2.4 has two moments for it, and OpenSSH a third.
    fn on_extensions(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.extension_messages += 1;
        if self.extension_messages > extension::MAX_MESSAGES {
            return Err(unexpected(message::EXT_INFO, "again and again"));
        }
        extension::read(payload, &mut self.extensions)
    }

    fn on_disconnect(&mut self, payload: &[u8]) -> TransportEvent {
        self.phase = TransportPhase::Ended;
        let mut reader = payload.get(1..).unwrap_or_default();
        let reason = u32::decode(&mut reader).unwrap_or_default();
        let text = Vec::<u8>::decode(&mut reader).unwrap_or_default();
        let text = Printable(&String::from_utf8_lossy(&text)).within(MAX_DISCONNECT_TEXT);
        TransportEvent::Disconnected { reason, text }
    }

    fn on_ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        let data = payload.get(1..).unwrap_or_default();
        let mut reader = data;
        let well_formed = reader
            .drain_prefixed()
            .and_then(|_length| reader.ensure_finished());
        if well_formed.is_err() {
            return Err(Violation::Malformed {
                message: message::PING,
                what: "not one string",
            }
            .into());
        }
        self.admit_reply(data.len())?;
        if self.exchange.holds_back() {
            return self.held.push(&[message::PONG], data);
        }
        self.writer.write(&[message::PONG], data)
    }

    /// RFC 4253 section 11.4.
    fn on_unknown(&mut self) -> Result<(), Error> {
        let sequence = self.reader.sequence().wrapping_sub(1).to_be_bytes();
        self.admit_reply(sequence.len())?;
        self.writer.write(&[message::UNIMPLEMENTED], &sequence)
    }

    fn admit_reply(&mut self, length: usize) -> Result<(), Error> {
        let (written, taken) = self.writer.progress();
        let end = written + self.held.len() as u64 + length as u64;
        self.replies.admit(length, end, taken)
    }

    /// Queues one packet of the layers above; `payload` begins with its message number. During a
    /// key exchange it is held back and sent afterwards. After a disconnect it is thrown away.
    ///
    /// # Errors
    /// When the payload is empty or longer than a packet, its number is the transport's own, or
    /// too much is held back ([`held_back`](Self::held_back)).
    pub fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.send_parts(payload, &[])
    }

    /// The same for a payload in two parts, so that bulk data is copied once, into the output.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_parts(&mut self, head: &[u8], body: &[u8]) -> Result<(), Error> {
        if matches!(self.phase, TransportPhase::Ended) {
            return Ok(());
        }
        let ours = |number| message::is_upper(number) || SENDABLE.contains(&number);
        if !head.first().copied().is_some_and(ours) || !PacketWriter::fits(head.len() + body.len())
        {
            return Err(Misuse::Payload.into());
        }
        if self.exchange.holds_back() {
            return self.held.push(head, body);
        }
        self.write_upper(head, body)?;
        self.rekey_if_used_up()
    }

    fn write_upper(&mut self, head: &[u8], body: &[u8]) -> Result<(), Error> {
        self.writer.write(head, body)?;
        if head.first() == Some(&message::USERAUTH_SUCCESS) && self.role.is_server() {
            self.on_authenticated();
        }
        Ok(())
    }

    /// From here on keys may be changed, and delayed compression begins in both directions.
    fn on_authenticated(&mut self) {
        if !mem::replace(&mut self.authenticated, true) {
            self.writer.authenticated();
            self.reader.authenticated();
        }
    }

    /// Sends what a key exchange has held back.
    fn release_held(&mut self) -> Result<(), Error> {
        while let Some(payload) = self.held.pop() {
            self.write_upper(&payload, &[])?;
        }
        self.held.release();
        Ok(())
    }

    /// Bytes for the socket: to be written from the front, and taken off as far as they were.
    pub fn output(&mut self) -> &mut BytesMut {
        self.writer.output()
    }

    /// How many bytes the input must hold before [`receive`](Self::receive) can go on, as far as
    /// is known: for sizing the next read.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.reader.wanted()
    }

    /// Whether a key exchange is under way, the first included.
    #[must_use]
    pub fn is_rekeying(&self) -> bool {
        !matches!(self.exchange, Exchange::Idle)
    }

    /// Bytes held back until the key exchange is over; at most 16 MiB.
    #[must_use]
    pub fn held_back(&self) -> usize {
        self.held.len()
    }

    /// Starts a key exchange if one is due by bytes, packets or time. `now` is the time since any
    /// fixed point, going only forward.
    ///
    /// # Errors
    /// When the proposal cannot be made.
    pub fn tick(&mut self, now: Duration) -> Result<(), Error> {
        self.now = self.now.max(now);
        let keyed_at = *self.keyed_at.get_or_insert(now);
        let overdue = now.saturating_sub(keyed_at) >= self.role.limits().time;
        if overdue && self.may_rekey() {
            return self.start_rekey();
        }
        self.rekey_if_used_up()
    }

    fn rekey_if_used_up(&mut self) -> Result<(), Error> {
        let limits = self.role.limits();
        let used_up = [self.writer.usage(), self.reader.usage()]
            .iter()
            .any(|usage| usage.bytes >= limits.bytes || usage.packets >= limits.packets);
        if used_up && self.may_rekey() {
            return self.start_rekey();
        }
        Ok(())
    }

    fn may_rekey(&self) -> bool {
        self.is_established() && self.authenticated && !self.is_rekeying()
    }

    /// Starts a key exchange, unless one is under way.
    ///
    /// # Errors
    /// Before user authentication: a peer takes a second key exchange there for an attack, as we do.
    pub fn start_rekey(&mut self) -> Result<(), Error> {
        match self.phase {
            TransportPhase::Ended => Ok(()),
            TransportPhase::Established if self.is_rekeying() => Ok(()),
            TransportPhase::Established if self.authenticated => self.propose(),
            _ => Err(Misuse::State("not authenticated").into()),
        }
    }

    /// Queues `SSH_MSG_DISCONNECT`. Later sends are ignored, later input is thrown away. Does
    /// nothing when the peer has disconnected first; works after an error.
    pub fn disconnect(&mut self, reason: DisconnectReason, text: &str) {
        let mut end = text.len().min(MAX_DISCONNECT_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.get(..end).unwrap_or_default();
        let mut payload = vec![message::DISCONNECT];
        payload.extend_from_slice(&reason.code().to_be_bytes());
        let sent = [text, ""]
            .iter()
            .try_for_each(|part| part.encode(&mut payload))
            .map_err(|_too_long| Misuse::Payload.into())
            .and_then(|()| self.writer.write(&payload, &[]));
        // If even this cannot be sent, the connection just ends.
        drop(sent);
        self.phase = TransportPhase::Ended;
    }

    fn is_established(&self) -> bool {
        matches!(self.phase, TransportPhase::Established)
    }

    /// The session identifier: the hash of the first key exchange.
    #[must_use]
    pub fn session_id(&self) -> Option<&[u8]> {
        self.session_id.as_deref()
    }

    /// The peer's identification line, such as `SSH-2.0-OpenSSH_9.2p1 Debian-2`.
    #[must_use]
    pub fn peer_ident(&self) -> Option<&str> {
        self.peer_ident.as_deref()
    }

    /// Client role, as long as the server has not identified itself: the first line that it says instead,
    /// as far as it has come; 256 bytes at most. A server may say something first (RFC 4253 section 4.2);
    /// one that says nothing else speaks no SSH.
    #[must_use]
    pub fn said_instead(&self) -> Option<&[u8]> {
        self.said_instead.as_deref()
    }

    /// What the latest complete key exchange agreed upon.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Client role: the first key exchange, as `session-bind@openssh.com` wants it.
    #[must_use]
    pub fn session_binding(&self) -> Option<&SessionBinding> {
        self.binding.as_ref()
    }

    /// What the peer has said that it can do.
    #[must_use]
    pub fn peer_extensions(&self) -> &PeerExtensions {
        &self.extensions
    }

    /// The server's host key or certificate, encoded as in the first key exchange.
    #[must_use]
    pub fn host_key_blob(&self) -> Option<&[u8]> {
        self.host_key.as_deref()
    }
}

/// What the layers above may send besides their own messages.
const SENDABLE: &[u8] = &[message::IGNORE, message::DEBUG, message::PING];

fn unexpected(message: u8, when: &'static str) -> Error {
    Violation::Unexpected { message, when }.into()
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.role.is_server() {
            "server"
        } else {
            "client"
        };
        f.debug_struct("Transport")
            .field("role", &role)
            .field("phase", &self.phase)
            .field("peer", &self.peer_ident)
            .field("rekeying", &self.is_rekeying())
            .field("strict", &self.strict)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}
