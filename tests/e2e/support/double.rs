//! Test doubles: a client and a host that speak SSH by the book, up to the moment at which a test has
//! them do otherwise.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rproxy::wire::{ClientConfig, HostKey, ServerConfig, Transport, TransportEvent};
use ssh_encoding::{Decode, Reader};
use ssh_key::{Certificate, PrivateKey};

use super::hostile;
use super::payload::{
    CLOSE, EOF, GLOBAL_REQUEST, OPEN, OPEN_CONFIRMATION, Payload, REQUEST, REQUEST_FAILURE,
    REQUEST_SUCCESS, SERVICE_ACCEPT, SERVICE_REQUEST, SUCCESS, USERAUTH_FAILURE, USERAUTH_PK_OK,
    USERAUTH_REQUEST, USERAUTH_SUCCESS,
};

/// How long a double waits for the other side.
const PATIENCE: Duration = Duration::from_secs(20);

/// One side of a connection.
pub(crate) struct Peer<S> {
    pub(crate) transport: Transport,
    pub(crate) stream: S,
    input: BytesMut,
}

/// A client's end of a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    /// The other side's number.
    pub(crate) recipient: u32,
}

impl Peer<TcpStream> {
    /// A client that has connected.
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("the proxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self::client(stream)
    }

    /// A host that was connected to; its key and its certificate are at `key`.
    pub(crate) fn host(stream: TcpStream, key: &Path) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        let certificate = super::keys::with_suffix(key, "-cert.pub");
        let certificate = certificate
            .exists()
            .then(|| Certificate::read_file(&certificate).expect("a certificate"));
        let key = PrivateKey::read_openssh_file(key).expect("a private key");
        let host_key = HostKey::new(key, certificate).expect("a host key that can sign");
        let config = ServerConfig::new(vec![host_key]);
        Self::new(stream, Transport::server(Arc::new(config)))
    }
}

impl<S: Read + Write> Peer<S> {
    fn new(stream: S, transport: Transport) -> Self {
        Self {
            transport,
            stream,
            input: BytesMut::new(),
        }
    }

    /// A client on a stream.
    pub(crate) fn client(stream: S) -> Self {
        Self::new(stream, Transport::client(Arc::new(ClientConfig::default())))
    }

    /// Sends what is queued; `false` if the other side has closed the connection or reads no more.
    pub(crate) fn flush(&mut self) -> bool {
        let output = self.transport.output();
        let sent = self.stream.write_all(output).is_ok() && self.stream.flush().is_ok();
        output.clear();
        sent
    }

    /// Sends a packet; `false` when the other side has hung up or takes no more.
    pub(crate) fn send(&mut self, payload: &Payload) -> bool {
        self.transport.send(&payload.0).expect("a payload to send");
        self.flush()
    }

    /// Has a packet ready for the next [`Self::flush`].
    pub(crate) fn queue(&mut self, payload: &Payload) {
        self.transport.send(&payload.0).expect("a payload to send");
    }

    /// Waits until the other side has read everything so far.
    pub(crate) fn catch_up(&mut self) {
        let request = Payload::new(GLOBAL_REQUEST)
            .string("keepalive@openssh.com")
            .flag(true);
        self.send(&request);
        self.expect(&[REQUEST_SUCCESS, REQUEST_FAILURE]);
    }

    /// Sends bytes as they are, behind the transport's back.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok() && self.stream.flush().is_ok()
    }

    /// Sends a packet with one bit of it changed on the way.
    pub(crate) fn send_damaged(&mut self, payload: &Payload, at: usize) -> bool {
        self.flush();
        self.transport.send(&payload.0).expect("a payload to send");
        let mut bytes = self.transport.output().split().to_vec();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 1;
        self.send_raw(&bytes)
    }

    /// The next event; `None` if the other side has closed the connection.
    pub(crate) fn event(&mut self) -> Option<TransportEvent> {
        loop {
            let event = self.transport.receive(&mut self.input);
            let event = event.expect("the other side keeps to the protocol");
            self.flush();
            if !matches!(event, TransportEvent::NeedInput) {
                return Some(event);
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("the other side neither answers nor hangs up")
                }
                // A signal ends a read that has a time limit.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_reset) => return None,
            }
        }
    }

    /// The next packet; `None` at the end of the connection.
    pub(crate) fn packet(&mut self) -> Option<BytesMut> {
        loop {
            match self.event()? {
                TransportEvent::Packet(packet) => return Some(packet),
                TransportEvent::HostKey { .. } => {
                    self.transport.accept_host_key().expect("it was asked");
                }
                TransportEvent::Disconnected { .. } => return None,
                TransportEvent::Established | TransportEvent::NeedInput => {}
            }
        }
    }

    /// The next packet with one of these numbers; others are passed over.
    pub(crate) fn expect(&mut self, numbers: &[u8]) -> BytesMut {
        let mut passed = Vec::new();
        loop {
            let Some(packet) = self.packet() else {
                panic!("the connection ended before one of {numbers:?} came, only {passed:?}");
            };
            if numbers.contains(&packet[0]) {
                return packet;
            }
            passed.push(packet[0]);
        }
    }

    /// Reads on until the connection ends; what the other side gave as its reason.
    pub(crate) fn end(&mut self) -> String {
        let mut reason = String::new();
        // Something of ours may still be unsent, and the other side need not read it.
        while let Some(event) = self.event() {
            if let TransportEvent::Disconnected { text, .. } = event {
                reason = text;
            }
        }
        reason
    }

    /// Completes the key exchange.
    pub(crate) fn establish(&mut self) {
        loop {
            match self.event().expect("a key exchange") {
                TransportEvent::HostKey { .. } => {
                    self.transport.accept_host_key().expect("it was asked");
                }
                TransportEvent::Established => return,
                other => panic!("{other:?} during the key exchange"),
            }
        }
    }

    /// As a client: authenticates with a key, and the certificate beside it if there is one.
    pub(crate) fn log_in(&mut self, login: &str, key: &Path) {
        self.ask_for_authentication();
        self.prove(login, key);
        self.expect(&[USERAUTH_SUCCESS]);
    }

    /// As a client: everything before authentication.
    pub(crate) fn ask_for_authentication(&mut self) {
        self.establish();
        self.send(&Payload::new(SERVICE_REQUEST).string("ssh-userauth"));
        self.expect(&[SERVICE_ACCEPT]);
    }

    /// As a client: offers a certificate without a signature (RFC 4252, 7), and waits for the
    /// answer that it is acceptable.
    pub(crate) fn offer(&mut self, login: &str, key: &Path) {
        let query = Payload::new(USERAUTH_REQUEST)
            .string(login)
            .string("ssh-connection")
            .string("publickey")
            .flag(false)
            .string(presented(key).0)
            .string(presented(key).1);
        self.send(&query);
        self.expect(&[USERAUTH_PK_OK]);
    }

    /// As a client: signs with a key for the certificate beside it.
    pub(crate) fn prove(&mut self, login: &str, key: &Path) {
        let signer = PrivateKey::read_openssh_file(key).expect("a private key");
        let session = self.transport.session_id().expect("keys are in use");
        let (algorithm, blob) = presented(key);
        let request = hostile::request(session, login, &signer, (algorithm, &blob));
        self.send(&Payload(request));
    }

    /// As a client: a session channel of ours with this number.
    pub(crate) fn open_session(&mut self, number: u32, window: u32, max_packet: u32) -> Channel {
        self.send(&Payload::open("session", number, window, max_packet));
        let confirmation = self.expect(&[OPEN_CONFIRMATION]);
        let mut fields = &confirmation[5..];
        Channel {
            recipient: u32::decode(&mut fields).expect("a channel number"),
        }
    }

    /// As a client: starts a command, and waits until it has started.
    pub(crate) fn exec(&mut self, channel: Channel, command: &str) {
        let request = Payload::new(REQUEST)
            .u32(channel.recipient)
            .string("exec")
            .flag(true)
            .string(command);
        self.send(&request);
        self.expect(&[SUCCESS]);
    }

    /// As a host: accepts the login, with the first key that is offered.
    pub(crate) fn welcome(&mut self) {
        self.establish();
        self.accept_service();
        let query = self.expect(&[USERAUTH_REQUEST]);
        let mut fields = &query[1..];
        let mut next = || Vec::<u8>::decode(&mut fields).expect("a string");
        let method = (next(), next(), next()).2;
        if method == b"none" {
            let failure = Payload::new(USERAUTH_FAILURE)
                .string("publickey")
                .flag(false);
            self.send(&failure);
            return self.welcome_signed();
        }
        self.answer_query(&query);
    }

    fn accept_service(&mut self) {
        self.expect(&[SERVICE_REQUEST]);
        self.send(&Payload::new(SERVICE_ACCEPT).string("ssh-userauth"));
    }

    fn welcome_signed(&mut self) {
        let query = self.expect(&[USERAUTH_REQUEST]);
        self.answer_query(&query);
    }

    fn answer_query(&mut self, query: &[u8]) {
        let mut fields = &query[1..];
        for _ in 0..3 {
            fields.drain_prefixed().expect("user, service, method");
        }
        let signed = u8::decode(&mut fields).expect("a flag") != 0;
        if !signed {
            let algorithm = Vec::<u8>::decode(&mut fields).expect("an algorithm");
            let blob = Vec::<u8>::decode(&mut fields).expect("a key");
            let answer = Payload::new(USERAUTH_PK_OK).string(algorithm).string(blob);
            self.send(&answer);
            self.expect(&[USERAUTH_REQUEST]);
        }
        self.send(&Payload::new(USERAUTH_SUCCESS));
    }

    /// As a host: accepts the opening of a session, as our channel number 0 with this window.
    pub(crate) fn accept_session(&mut self, window: u32, max_packet: u32) -> Channel {
        let channel = self.queue_session(window, max_packet);
        self.flush();
        channel
    }

    /// The same, but the answer is not sent yet.
    pub(crate) fn queue_session(&mut self, window: u32, max_packet: u32) -> Channel {
        let open = self.expect(&[OPEN]);
        let mut fields = &open[1..];
        fields.drain_prefixed().expect("a type");
        let recipient = u32::decode(&mut fields).expect("a channel number");
        let confirmation = Payload::new(OPEN_CONFIRMATION)
            .u32(recipient)
            .u32(0)
            .u32(window)
            .u32(max_packet);
        self.queue(&confirmation);
        Channel { recipient }
    }

    /// As a host: accepts requests until the session has started. Returns the command, if there is
    /// one.
    pub(crate) fn accept_start(&mut self, channel: Channel) -> String {
        loop {
            let request = self.expect(&[REQUEST]);
            let mut fields = &request[5..];
            let kind = String::decode(&mut fields).expect("a name");
            if u8::decode(&mut fields).expect("a flag") != 0 {
                self.send(&Payload::new(SUCCESS).u32(channel.recipient));
            }
            if matches!(kind.as_str(), "exec" | "shell" | "subsystem") {
                return String::decode(&mut fields).unwrap_or_default();
            }
        }
    }

    /// As a host: ends the session with this status.
    pub(crate) fn exit(&mut self, channel: Channel, status: u32) {
        let exit = Payload::new(REQUEST)
            .u32(channel.recipient)
            .string("exit-status")
            .flag(false)
            .u32(status);
        self.send(&exit);
        self.send(&Payload::new(EOF).u32(channel.recipient));
        self.send(&Payload::new(CLOSE).u32(channel.recipient));
    }
}

/// What is presented of a key, and its algorithm: the certificate beside it, or the public key where
/// the user of the key has signed in.
fn presented(key: &Path) -> (&'static str, Vec<u8>) {
    let path = super::keys::with_suffix(key, "-cert.pub");
    if let Ok(certificate) = Certificate::read_file(&path) {
        let blob = certificate.to_bytes().expect("a certificate has bytes");
        return ("ssh-ed25519-cert-v01@openssh.com", blob);
    }
    let key = PrivateKey::read_openssh_file(key).expect("a private key");
    let blob = key.public_key().to_bytes().expect("a key has bytes");
    ("ssh-ed25519", blob)
}

/// A child's standard input and output as one stream.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
}

impl Read for Pipes {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stdout.read(buffer)
    }
}

impl Write for Pipes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stdin.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stdin.flush()
    }
}
