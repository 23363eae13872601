//! What the fuzz targets do with their bytes.
//!
//! Each function takes any bytes and must return: no panic, no loop, no memory beyond what it checks.
//! `tests/fuzz.rs` runs the same functions in the ordinary tests, on stable Rust.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rproxy::access::Permissions;
use rproxy::agent::ReplyDecoder;
use rproxy::cert::{
    PresentedKey, certificate_blob, check_signature, read_signature, security_key_flags,
};
use rproxy::model::{ParticipantId, Target};
use rproxy::recording::Reader;
use rproxy::relay::{
    ChannelKey, Destination, Exit, Note, Peers, RefusedMessage, Relay, RelayedMessage, Side, Start,
    Stream, Tap,
};
use rproxy::ssh::{HostReport, ReportError, ReportReader};
use rproxy::wire::auth::{AuthLimits, ClientAuth, ClientAuthEvent, ServerAuth, ServerAuthEvent};
use rproxy::wire::{ClientConfig, HostKey, ServerConfig, Transport, TransportEvent};
use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::{EcdsaPublicKey, SkEcdsaSha2NistP256};

/// The most that a transport may want to send in answer to a peer that takes nothing.
const MOST_OUTPUT: usize = 4 << 20;

fn key() -> PrivateKey {
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&[7; 32]));
    PrivateKey::new(pair, "").unwrap_or_else(|error| unreachable!("a key from a seed: {error}"))
}

fn server() -> Transport {
    let key = HostKey::new(key(), None).unwrap_or_else(|error| unreachable!("{error}"));
    Transport::server(Arc::new(ServerConfig::new(vec![key])))
}

fn client() -> Transport {
    Transport::client(Arc::new(ClientConfig::default()))
}

/// The transport as a server, whatever its client sends.
pub fn transport_server(data: &[u8]) {
    transport(server(), client(), data);
}

/// The transport as a client, whatever its server sends.
pub fn transport_client(data: &[u8]) {
    transport(client(), server(), data);
}

/// The first byte says what the others are: bytes as they come, packets in the clear after a good
/// identification, or changes to what an honest peer sends.
fn transport(mut tested: Transport, mut honest: Transport, data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let mut input = BytesMut::new();
    match mode % 3 {
        0 => {
            for chunk in rest.chunks(1 + usize::from(mode / 3)) {
                input.extend_from_slice(chunk);
                let _ended = take(&mut tested, &mut input);
            }
        }
        1 => {
            input.extend_from_slice(b"SSH-2.0-x\r\n");
            for payload in strings(rest) {
                input.extend_from_slice(&in_the_clear(payload));
                let _ended = take(&mut tested, &mut input);
            }
        }
        _ => tamper(&mut tested, &mut honest, rest),
    }
    assert!(tested.output().len() + tested.held_back() <= MOST_OUTPUT);
}

/// Runs two transports against each other; pairs of bytes say how far on which bits change.
fn tamper(tested: &mut Transport, honest: &mut Transport, changes: &[u8]) {
    let mut changes = changes.chunks_exact(2);
    let mut to_tested = BytesMut::new();
    let mut to_honest = BytesMut::new();
    for _ in 0..16 {
        let mut sent = honest.output().split();
        if let Some([at, bits]) = changes.next() {
            let at = usize::from(*at) * sent.len() / 256;
            if let Some(byte) = sent.get_mut(at) {
                *byte ^= bits;
            }
        }
        to_tested.extend_from_slice(&sent);
        if !take(tested, &mut to_tested) {
            return;
        }
        to_honest.extend_from_slice(&tested.output().split());
        if !take(honest, &mut to_honest) {
            return;
        }
        let _too_early = honest.send(&[50, 0, 0, 0, 0]);
        let _too_early = honest.start_rekey();
    }
}

/// Takes all that is there; `false` when the connection has ended.
fn take(transport: &mut Transport, input: &mut BytesMut) -> bool {
    loop {
        match transport.receive(input) {
            Ok(TransportEvent::NeedInput) => return true,
            Ok(TransportEvent::HostKey { .. }) => {
                if transport.accept_host_key().is_err() {
                    return false;
                }
            }
            Ok(TransportEvent::Established | TransportEvent::Packet(_)) => {}
            Ok(TransportEvent::Disconnected { text, .. }) => {
                assert!(!text.chars().any(char::is_control));
                return false;
            }
            Err(_) => return false,
        }
    }
}

/// RFC 4253, 6, before there are keys.
fn in_the_clear(payload: &[u8]) -> Vec<u8> {
    let padding = 4 + (8 - (5 + payload.len() + 4) % 8) % 8;
    let length = u32::try_from(1 + payload.len() + padding).unwrap_or_default();
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).unwrap_or_default());
    packet.extend_from_slice(payload);
    packet.resize(packet.len() + padding, 0);
    packet
}

/// Cuts bytes into pieces, each after one byte with its length.
fn strings(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first()?;
        let length = usize::from(*length).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        data = rest;
        Some(piece)
    })
}

/// Server side authentication: what it takes for an attempt has a signature that verifies.
pub fn server_auth(data: &[u8]) {
    let mut auth = ServerAuth::new(vec![1; 32], vec![2; 51], AuthLimits::default());
    let mut out = Vec::new();
    for packet in strings(data) {
        match auth.on_packet(packet, &mut out) {
            Ok(ServerAuthEvent::Nothing) => {}
            Ok(ServerAuthEvent::Query(_)) => auth.accept_query(&mut out),
            Ok(ServerAuthEvent::Attempt(..)) => unreachable!("nobody signed for this session"),
            Ok(ServerAuthEvent::Refused { .. }) => auth.reject(Some("no"), &mut out),
            Ok(ServerAuthEvent::Interactive { .. } | ServerAuthEvent::Answers(_)) => {
                unreachable!("public keys alone are admitted")
            }
            Err(_) => return,
        }
    }
}

/// Client side authentication: no success without a signature, and one signature at most.
pub fn client_auth(data: &[u8]) {
    let blob = key().public_key().to_bytes().unwrap_or_default();
    let mut auth = ClientAuth::new(vec![1; 32], "root", "ssh-ed25519", blob, None);
    let mut out = Vec::new();
    auth.start(&mut out);
    let mut asked = 0;
    for packet in strings(data) {
        match auth.on_packet(packet, &mut out) {
            Ok(ClientAuthEvent::Sign { .. }) => asked += 1,
            Ok(ClientAuthEvent::Success) => unreachable!("nothing was signed"),
            Ok(ClientAuthEvent::Banner(text)) => assert!(text.shown().len() <= 3 * 128 * 1024),
            Ok(ClientAuthEvent::Questions(_)) => unreachable!("no key was taken"),
            Ok(ClientAuthEvent::Nothing | ClientAuthEvent::Failure { .. }) => {}
            Err(_) => return,
        }
        assert!(asked <= 1);
    }
}

/// A witness that sees nothing.
struct Blind;

impl Tap for Blind {
    fn start(&mut self, _: ChannelKey, _: &Start) -> Result<(), String> {
        Ok(())
    }
    fn forward(&mut self, _: ChannelKey, _: &Destination) -> Result<(), String> {
        Ok(())
    }
    fn global(&mut self, _: &RelayedMessage) -> Result<(), String> {
        Ok(())
    }
    fn abandoned(&mut self, _: &Start) {}
    fn data(&mut self, _: ChannelKey, _: Stream, _: &[u8]) {}
    fn injected(&mut self, _: ChannelKey, _: ParticipantId, _: &[u8]) {}
    fn notified(&mut self, _: ChannelKey, _: &str) {}
    fn resize(&mut self, _: ChannelKey, _: u32, _: u32) {}
    fn note(&mut self, _: ChannelKey, _: &Note) {}
    fn exit(&mut self, _: ChannelKey, _: &Exit) {}
    fn closed(&mut self, _: ChannelKey) {}
    fn refused(&mut self, _: RefusedMessage<'_>) {}
}

/// The relay between two sides that say anything: the first byte of each packet says which.
pub fn relay(data: &[u8]) {
    let mut relay = Relay::new(Peers::default(), Arc::new(Permissions::default()));
    let mut out = Vec::new();
    for packet in strings(data) {
        let Some((side, payload)) = packet.split_first() else {
            continue;
        };
        let from = if side % 2 == 0 {
            Side::Client
        } else {
            Side::Host
        };
        let payload = Bytes::copy_from_slice(payload);
        if relay
            .on_packet(from, &payload, &mut Blind, &mut out)
            .is_err()
        {
            return;
        }
        for outgoing in out.drain(..) {
            let (head, body) = outgoing.message.encode();
            assert!(head.len() + body.len() <= payload.len() + 256);
        }
    }
    relay.end_all("the end", &mut out);
}

/// What an agent answers.
pub fn agent_replies(data: &[u8]) {
    let mut decoder = ReplyDecoder::default();
    for chunk in data.chunks(7) {
        if decoder.feed(chunk).is_err() {
            return;
        }
        while let Ok(Some(_)) = decoder.next_reply() {}
    }
}

/// What users ask for: a target is what it prints as.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(target) = Target::from_subsystem(&text) {
        let again = Target::from_subsystem(&format!("proxy:{target}"));
        assert_eq!(
            again.as_ref().map(ToString::to_string).ok(),
            Some(target.to_string())
        );
    }
}

/// What hosts report: pieces of any size say the same as the whole, and no text drives a terminal.
pub fn report(data: &[u8]) {
    let whole = read_report(data, data.len().max(1));
    for size in [1, 7] {
        assert_eq!(read_report(data, size), whole);
    }
    let Ok(HostReport { report, .. }) = whole else {
        return;
    };
    let texts = [&report.names, &report.labels, &report.addresses];
    let texts = texts.into_iter().flatten().chain([&report.sshd]);
    for text in texts.chain(&report.problem) {
        assert!(rproxy::model::text::is_printable(text), "{text:?}");
    }
}

fn read_report(data: &[u8], size: usize) -> Result<HostReport, ReportError> {
    let mut reader = ReportReader::new();
    for piece in data.chunks(size) {
        if reader.take(piece)? {
            break;
        }
    }
    reader.finish()
}

/// Keys and certificates: what is accepted has only this one encoding.
pub fn certificate(data: &[u8]) {
    if let Ok(PresentedKey::Certificate(certificate)) = PresentedKey::decode(data) {
        assert_eq!(certificate_blob(&certificate).ok().as_deref(), Some(data));
    }
}

/// Signatures: none verifies, because none was made with a key.
pub fn signature(data: &[u8]) {
    let Some(signature) = read_signature(data) else {
        return;
    };
    let _flags = security_key_flags(&signature);
    let Ok(EcdsaPublicKey::NistP256(point)) = EcdsaPublicKey::from_sec1_bytes(&GENERATOR) else {
        unreachable!("a point of the curve");
    };
    let security_key = SkEcdsaSha2NistP256::new(point, "ssh:").into();
    for key in [key().public_key().key_data(), &security_key] {
        assert!(check_signature(key, b"what nobody has signed", &signature).is_err());
    }
}

/// The generator of P-256, uncompressed: a public key like any other.
const GENERATOR: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40,
    0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2,
    0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e,
    0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51,
    0xf5,
];

/// Recordings: any file is read to an end.
pub fn recording(data: &[u8]) {
    let Ok(reader) = Reader::open(data) else {
        return;
    };
    // A few kilobytes of zstd can hold gigabytes of events: no fuzzer waits for all of them.
    for event in reader.take(100_000) {
        if event.is_err() {
            return;
        }
    }
}
