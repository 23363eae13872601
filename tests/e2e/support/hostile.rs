//! A client that offers what stock ssh never would: it speaks the transport by the book, and
//! authenticates with bytes that it made itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rproxy::wire::{ClientConfig, Transport, TransportEvent};
use signature::Signer;
use ssh_encoding::Encode;
use ssh_key::{Certificate, PrivateKey};

use super::payload::{
    SERVICE_ACCEPT, SERVICE_REQUEST, USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_REQUEST,
    USERAUTH_SUCCESS,
};

const ED25519: &str = "ssh-ed25519-cert-v01@openssh.com";

/// How the server reacted.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) accepted: bool,
    /// Banners and the text of a disconnect.
    pub(crate) said: String,
}

/// A user certificate whose signature key is itself a certificate: `key` has a good one, and signs
/// another with it as if it were a CA.
pub(crate) fn nested_certificate(key: &Path) -> Vec<u8> {
    let signer = PrivateKey::read_openssh_file(key).expect("a key made by ssh-keygen");
    let path = super::keys::with_suffix(key, "-cert.pub");
    let good = Certificate::read_file(&path).expect("a certificate");
    let principals: Vec<u8> = good
        .valid_principals()
        .iter()
        .flat_map(|principal| string(principal.as_bytes()))
        .collect();

    // PROTOCOL.certkeys, in its order
    let mut blob = string(b"ssh-ed25519-cert-v01@openssh.com");
    blob.extend(string(&[7; 32]));
    let public = signer.public_key().key_data();
    let public = public.ed25519().expect("an Ed25519 key");
    blob.extend(string(public.as_ref()));
    blob.extend(99_u64.to_be_bytes());
    blob.extend(1_u32.to_be_bytes());
    blob.extend(string(good.key_id().as_bytes()));
    blob.extend(string(&principals));
    blob.extend(0_u64.to_be_bytes());
    blob.extend(u64::MAX.to_be_bytes());
    blob.extend(string(b""));
    blob.extend(string(b""));
    blob.extend(string(b""));
    blob.extend(string(&good.to_bytes().expect("a certificate has bytes")));
    let signature = sign(&signer, &blob);
    blob.extend(string(&signature));
    blob
}

/// Offers a certificate, with a good signature by its key, and listens to the answer.
pub(crate) fn offer(server: SocketAddr, login: &str, key: &Path, certificate: &[u8]) -> Verdict {
    let signer = PrivateKey::read_openssh_file(key).expect("a key made by ssh-keygen");
    offer_as(server, login, ED25519, certificate, |data| {
        sign(&signer, data)
    })
}

/// Offers a certificate under this name, with this signature.
pub(crate) fn offer_as(
    server: SocketAddr,
    login: &str,
    algorithm: &str,
    certificate: &[u8],
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> Verdict {
    let mut line = Line::connect(server);
    let mut verdict = Verdict::default();
    let mut established = false;
    loop {
        match line.next() {
            Some(TransportEvent::HostKey { .. }) => {
                line.transport.accept_host_key().expect("it waits");
            }
            Some(TransportEvent::Established) if !established => {
                established = true;
                let mut request = vec![SERVICE_REQUEST];
                request.extend(string(b"ssh-userauth"));
                line.transport.send(&request).expect("after key exchange");
            }
            Some(TransportEvent::Packet(packet)) => match packet.first() {
                Some(&SERVICE_ACCEPT) => {
                    let session = line.transport.session_id().expect("keys are in use");
                    let request = request_as(session, login, algorithm, certificate, &sign);
                    line.transport.send(&request).expect("after key exchange");
                }
                Some(&USERAUTH_BANNER) => {
                    verdict.said += &String::from_utf8_lossy(&packet[5..]);
                }
                Some(&USERAUTH_SUCCESS) => verdict.accepted = true,
                Some(&USERAUTH_FAILURE) => return verdict,
                _ => {}
            },
            Some(TransportEvent::Disconnected { text, .. }) => {
                verdict.said += &text;
                return verdict;
            }
            Some(TransportEvent::Established | TransportEvent::NeedInput) => {}
            None => return verdict,
        }
        if verdict.accepted {
            return verdict;
        }
    }
}

/// RFC 4252, 7: a request with its signature.
pub(super) fn request(
    session: &[u8],
    login: &str,
    signer: &PrivateKey,
    (algorithm, key): (&str, &[u8]),
) -> Vec<u8> {
    request_as(session, login, algorithm, key, |data| sign(signer, data))
}

fn request_as(
    session: &[u8],
    login: &str,
    algorithm: &str,
    certificate: &[u8],
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let mut request = vec![USERAUTH_REQUEST];
    for field in [login, "ssh-connection", "publickey"] {
        request.extend(string(field.as_bytes()));
    }
    request.push(1);
    request.extend(string(algorithm.as_bytes()));
    request.extend(string(certificate));
    let mut signed = string(session);
    signed.extend(&request);
    let signature = sign(&signed);
    request.extend(string(&signature));
    request
}

fn sign(key: &PrivateKey, data: &[u8]) -> Vec<u8> {
    let signature: ssh_key::Signature = key.try_sign(data).expect("a key that can sign");
    signature.encode_vec().expect("a signature has bytes")
}

pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [&length.to_be_bytes(), bytes].concat()
}

/// A transport on a socket.
struct Line {
    socket: TcpStream,
    transport: Transport,
    input: BytesMut,
}

impl Line {
    fn connect(server: SocketAddr) -> Self {
        let socket = TcpStream::connect(server).expect("the proxy listens");
        let patience = Some(Duration::from_secs(20));
        socket.set_read_timeout(patience).expect("a socket");
        Self {
            socket,
            transport: Transport::client(Arc::new(ClientConfig::default())),
            input: BytesMut::new(),
        }
    }

    /// The next event other than a request for more input; `None` if the server has closed the
    /// connection.
    fn next(&mut self) -> Option<TransportEvent> {
        loop {
            let event = self
                .transport
                .receive(&mut self.input)
                .expect("the server keeps to the protocol");
            let output = self.transport.output();
            // A server that has hung up is noticed when it is read from.
            self.socket.write_all(output).unwrap_or_default();
            output.clear();
            if !matches!(event, TransportEvent::NeedInput) {
                return Some(event);
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(count @ 1..) => self.input.extend_from_slice(&buffer[..count]),
                // A signal ends a read that has a time limit.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }
}
