//! Peers that say what an honest one would not: a hand-driven peer against either role, and
//! a machine in the middle of an honest pair.

mod floods;

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use ssh_encoding::Encode;

use super::compression::CompressionState;
use super::kex::derive::{KeyDerivation, Transcript, Way};
use super::kex::exchange::{ClientExchange, encode_public, respond};
use super::kex::init::{EXT_INFO_CLIENT, STRICT_CLIENT, STRICT_SERVER, propose};
use super::kex::secret::SharedSecret;
use super::packet::{PacketReader, PacketWriter};
use super::signature::SignatureAlgorithm;
use super::tests::host_key;
use super::*;

const IDENT: &str = "SSH-2.0-hostile";
const KEX: Kex = Kex::Curve25519Sha256;

/// Old-style packets, so that sequence numbers matter.
fn algorithms() -> Algorithms {
    Algorithms::default()
        .only_kex(KEX)
        .only_cipher(Cipher::Aes128Ctr)
        .only_mac(Mac::HmacSha256)
}

fn transport(is_server: bool) -> Transport {
    if is_server {
        Transport::server(Arc::new(ServerConfig {
            algorithms: algorithms(),
            ..ServerConfig::new(vec![host_key()])
        }))
    } else {
        Transport::client(Arc::new(ClientConfig {
            algorithms: algorithms(),
            ..ClientConfig::default()
        }))
    }
}

/// A peer that is told what to say, against a transport under test.
struct Puppet {
    tested: Transport,
    tested_is_server: bool,
    input: BytesMut,
    events: Vec<TransportEvent>,
    writer: PacketWriter,
    reader: PacketReader,
    strict: bool,
    ours: Vec<u8>,
    theirs: Vec<u8>,
    session_id: Vec<u8>,
}

impl Puppet {
    /// Has exchanged identifications and heard the other's proposal.
    fn new(tested_is_server: bool) -> Self {
        let mut tested = transport(tested_is_server);
        let mut output = tested.output().split();
        let line = output.iter().position(|byte| *byte == b'\n').expect("line");
        let _ident = output.split_to(line + 1);
        let mut reader = PacketReader::new();
        let theirs = reader.read(&mut output).expect("valid").expect("proposal");
        let mut puppet = Self {
            tested,
            tested_is_server,
            input: BytesMut::new(),
            events: Vec::new(),
            writer: PacketWriter::new(),
            reader,
            strict: false,
            ours: Vec::new(),
            theirs: theirs.to_vec(),
            session_id: Vec::new(),
        };
        puppet.input.put_slice(IDENT.as_bytes());
        puppet.input.put_slice(b"\r\n");
        puppet
    }

    /// Says one payload; the tested side takes it in.
    fn say(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.writer.write(payload, &[]).expect("writes");
        self.input.unsplit(self.writer.output().split());
        loop {
            match self.tested.receive(&mut self.input)? {
                TransportEvent::NeedInput => return Ok(()),
                TransportEvent::HostKey { .. } => self.tested.accept_host_key()?,
                event => self.events.push(event),
            }
        }
    }

    /// The next payload from the tested side.
    fn hear(&mut self) -> Option<Vec<u8>> {
        let output = self.tested.output();
        let payload = self.reader.read(output).expect("valid");
        payload.map(|payload| payload.to_vec())
    }

    fn propose(&mut self, strict: bool) -> Result<(), Error> {
        self.strict = strict;
        let markers: &[&str] = match (self.tested_is_server, strict) {
            (true, true) => &[EXT_INFO_CLIENT, STRICT_CLIENT],
            (false, true) => &[STRICT_SERVER],
            (_, false) => &[],
        };
        self.ours = propose(&algorithms(), markers, &["ssh-ed25519"])?;
        let ours = self.ours.clone();
        self.say(&ours)
    }

    /// The middle of the key exchange: public values, and the peer's new keys.
    fn agree(&mut self) -> Result<(), Error> {
        if self.tested_is_server {
            self.agree_as_client()
        } else {
            self.agree_as_server()
        }
    }

    fn agree_as_client(&mut self) -> Result<(), Error> {
        let (half, public) = ClientExchange::start(KEX)?;
        let mut init = vec![message::KEX_INIT];
        encode_public(&public, &mut init)?;
        self.say(&init)?;
        let reply = self.hear().expect("reply");
        // Key (51), public value (32), signature (83), each behind its length.
        let server_public = reply[1 + 4 + 51 + 4..][..32].to_vec();
        let secret = half.finish(&server_public)?;
        self.finish(&secret, &public, &server_public, host_key().blob(), false)
    }

    fn agree_as_server(&mut self) -> Result<(), Error> {
        let init = self.hear().expect("init");
        let client_public = init[5..].to_vec();
        let (server_public, secret) = respond(KEX, &client_public)?;
        let blob = host_key().blob().to_vec();
        self.finish(&secret, &client_public, &server_public, &blob, true)
    }

    fn finish(
        &mut self,
        secret: &SharedSecret,
        client_public: &[u8],
        server_public: &[u8],
        host_key_blob: &[u8],
        reply: bool,
    ) -> Result<(), Error> {
        let tested = ServerConfig::new(Vec::new()).ident;
        let (client_ident, server_ident) = if self.tested_is_server {
            (IDENT, tested.as_str())
        } else {
            (tested.as_str(), IDENT)
        };
        let (client_init, server_init) = if self.tested_is_server {
            (&self.ours, &self.theirs)
        } else {
            (&self.theirs, &self.ours)
        };
        let hash = Transcript {
            client_ident,
            server_ident,
            client_init,
            server_init,
            host_key: host_key_blob,
            client_public,
            server_public,
        }
        .hash(KEX, secret)?;
        if self.session_id.is_empty() {
            self.session_id = hash.as_ref().to_vec();
        }
        if reply {
            let signature = host_key().sign(SignatureAlgorithm::Ed25519, hash.as_ref())?;
            let mut reply = vec![message::KEX_REPLY];
            for part in [host_key_blob, server_public, &signature] {
                encode_public(part, &mut reply)?;
            }
            self.say(&reply)?;
        }
        assert_eq!(self.hear().expect("new keys"), [message::NEWKEYS]);
        let session_id = self.session_id.clone();
        let derivation = KeyDerivation {
            kex: KEX,
            secret,
            hash: hash.as_ref(),
            session_id: &session_id,
        };
        let (ours, theirs) = if self.tested_is_server {
            (Way::ClientToServer, Way::ServerToClient)
        } else {
            (Way::ServerToClient, Way::ClientToServer)
        };
        let mac = Some(Mac::HmacSha256);
        let opener = derivation.opener(theirs, Cipher::Aes128Ctr, mac)?;
        self.reader
            .change_keys(opener, CompressionState::Off, self.strict);
        self.say(&[message::NEWKEYS])?;
        let sealer = derivation.sealer(ours, Cipher::Aes128Ctr, mac)?;
        self.writer
            .change_keys(sealer, CompressionState::Off, self.strict);
        Ok(())
    }

    fn established(tested_is_server: bool, strict: bool) -> Self {
        let mut puppet = Self::new(tested_is_server);
        puppet.propose(strict).expect("proposal");
        puppet.agree().expect("key exchange");
        assert!(matches!(
            puppet.events.pop(),
            Some(TransportEvent::Established)
        ));
        puppet
    }

    /// The same, after user authentication.
    fn authenticated(tested_is_server: bool, strict: bool) -> Self {
        const SUCCESS: &[u8] = &[message::USERAUTH_SUCCESS];
        let mut puppet = Self::established(tested_is_server, strict);
        if tested_is_server {
            puppet.tested.send(SUCCESS).expect("sends");
            while puppet.hear().expect("success") != SUCCESS {}
        } else {
            puppet.say(SUCCESS).expect("taken");
            assert!(matches!(
                puppet.events.pop(),
                Some(TransportEvent::Packet(_))
            ));
        }
        puppet
    }

    /// Has the keys changed.
    fn rekey(&mut self) -> Result<(), Error> {
        self.propose(self.strict)?;
        self.theirs = self.hear().expect("proposal");
        self.agree()
    }
}

fn violation(result: Result<(), Error>) -> Violation {
    match result {
        Err(Error::Violation(violation)) => violation,
        other => panic!("expected a violation, got {other:?}"),
    }
}

fn is_unexpected(result: Result<(), Error>, number: u8) {
    match violation(result) {
        Violation::Unexpected { message, .. } => assert_eq!(message, number),
        other => panic!("{other}"),
    }
}

/// Messages that have no place in a strict key exchange, harmless as they look.
const INTRUDERS: &[&[u8]] = &[
    &[message::IGNORE, 0, 0, 0, 0],
    &[message::UNIMPLEMENTED, 0, 0, 0, 0],
    &[message::DEBUG, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    &[message::EXT_INFO, 0, 0, 0, 0],
    &[message::PING, 0, 0, 0, 0],
    &[message::SERVICE_REQUEST, 0, 0, 0, 0],
    &[8],
    &[49],
    &[50],
    &[94],
    &[255],
];

#[test]
fn strict_exchange_takes_nothing_before_the_proposal() {
    for is_server in [true, false] {
        let mut puppet = Puppet::new(is_server);
        puppet
            .say(INTRUDERS[0])
            .expect("strictness is not known yet");
        is_unexpected(puppet.propose(true), message::KEXINIT);
    }
}

#[test]
fn strict_exchange_takes_nothing_in_between() {
    for is_server in [true, false] {
        for intruder in INTRUDERS {
            let mut puppet = Puppet::new(is_server);
            puppet.propose(true).expect("proposal");
            is_unexpected(puppet.say(intruder), intruder[0]);
        }
    }
}

#[test]
fn key_exchange_messages_out_of_order_end_the_connection() {
    let out_of_order = [message::NEWKEYS, message::KEX_INIT, message::KEX_REPLY];
    for is_server in [true, false] {
        for strict in [true, false] {
            for number in out_of_order {
                let mut puppet = Puppet::new(is_server);
                is_unexpected(puppet.say(&[number]), number);
                let mut puppet = Puppet::established(is_server, strict);
                is_unexpected(puppet.say(&[number]), number);
            }
            let mut puppet = Puppet::new(is_server);
            puppet.propose(strict).expect("proposal");
            is_unexpected(puppet.say(&[message::NEWKEYS]), message::NEWKEYS);
            let mut puppet = Puppet::new(is_server);
            puppet.propose(strict).expect("proposal");
            is_unexpected(puppet.propose(strict), message::KEXINIT);
        }
    }
}

#[test]
fn old_peers_may_chatter_and_keep_counting() {
    for is_server in [true, false] {
        let mut puppet = Puppet::new(is_server);
        puppet.say(INTRUDERS[0]).expect("tolerated");
        puppet.propose(false).expect("proposal");
        puppet.say(INTRUDERS[2]).expect("tolerated");
        puppet.agree().expect("key exchange");
        // Sequence numbers go into the MAC: this opens only if neither side has reset them.
        puppet.say(&[94, 1]).expect("opens");
        let payload = puppet.events.pop().expect("packet");
        assert!(matches!(payload, TransportEvent::Packet(payload) if payload[..] == [94, 1]));
        puppet.tested.send(&[95, 2]).expect("sends");
        assert_eq!(puppet.hear(), Some(vec![95, 2]));
    }
}

#[test]
fn strict_exchange_counts_from_zero_again_each_time() {
    for is_server in [true, false] {
        let mut puppet = Puppet::authenticated(is_server, true);
        for round in 0..3 {
            puppet.say(&[94, round]).expect("opens");
            puppet.tested.send(&[95, round]).expect("sends");
            assert_eq!(puppet.hear(), Some(vec![95, round]));
            puppet.rekey().expect("key exchange");
        }
    }
}

#[test]
fn unknown_messages_are_answered_by_their_number() {
    let mut puppet = Puppet::established(true, true);
    let _extensions = puppet.hear();
    puppet.say(INTRUDERS[0]).expect("ignored");
    for (sequence, number) in [(1, 8), (2, 19), (3, 22), (4, 49), (5, 128), (6, 255)] {
        puppet.say(&[number, 1, 2]).expect("answered");
        let answer = puppet.hear().expect("answer");
        assert_eq!(answer, [message::UNIMPLEMENTED, 0, 0, 0, sequence]);
    }
    assert!(puppet.hear().is_none());
    assert!(puppet.events.is_empty());
}

#[test]
fn upper_layers_must_wait_for_the_peers_new_keys() {
    for is_server in [true, false] {
        for number in [5, 50, 94, message::PING, message::EXT_INFO] {
            let mut puppet = Puppet::authenticated(is_server, true);
            puppet.propose(true).expect("proposal");
            is_unexpected(puppet.say(&[number, 0, 0, 0, 0]), number);
        }
    }
}

#[test]
fn a_wrong_guess_is_passed_over_once() {
    // Prefers another method, and says that a packet for it follows.
    let preferred = Algorithms {
        kex: vec![Kex::EcdhSha2Nistp521, KEX],
        ..algorithms()
    };
    let mut ours = propose(&preferred, &[], &["ssh-ed25519"]).expect("proposal");
    let flag = ours.len() - 5;
    ours[flag] = 1;
    let mut puppet = Puppet::new(true);
    puppet.ours = ours.clone();
    puppet.say(&ours).expect("proposal");
    puppet.say(&[message::KEX_INIT, 1, 2, 3]).expect("ignored");
    puppet.agree().expect("the second counts");

    let mut puppet = Puppet::new(true);
    puppet.propose(false).expect("proposal");
    let refused = puppet.say(&[message::KEX_INIT, 1, 2, 3]);
    assert!(matches!(violation(refused), Violation::Malformed { .. }));
}

#[test]
fn forged_replies_are_refused() {
    let blob = host_key().blob().to_vec();
    let sign = |message: &[u8]| {
        let signed = host_key().sign(SignatureAlgorithm::Ed25519, message);
        signed.expect("signs")
    };
    let other_kind = [&[0, 0, 0, 7][..], b"ssh-rsa", &blob[15..]].concat();
    let trailing = [&blob[..], &[0]].concat();
    for (blob, signature) in [
        (&blob, sign(b"something else")),
        (&blob, Vec::new()),
        (&blob, vec![0; 83]),
        (&other_kind, sign(b"x")),
        (&trailing, sign(b"x")),
        (&Vec::new(), sign(b"x")),
    ] {
        let mut puppet = Puppet::new(false);
        puppet.propose(true).expect("proposal");
        let init = puppet.hear().expect("init");
        let (public, _) = respond(KEX, &init[5..]).expect("responds");
        let mut reply = vec![message::KEX_REPLY];
        for part in [&blob[..], &public, &signature] {
            part.encode(&mut reply).expect("short");
        }
        let refused = violation(puppet.say(&reply));
        assert!(matches!(refused, Violation::HostKey(_)), "{refused}");
    }
}

#[test]
fn disconnect_is_heard_at_any_time() {
    let goodbye = [&[message::DISCONNECT, 0, 0, 0, 2, 0, 0, 0, 3][..], b"bye"].concat();
    let mut early = Puppet::new(true);
    early.say(&goodbye).expect("heard");
    let mut strict = Puppet::new(false);
    strict.propose(true).expect("proposal");
    strict.say(&goodbye).expect("heard");
    let mut late = Puppet::established(true, true);
    late.say(&goodbye).expect("heard");
    for puppet in [early, strict, late] {
        let [TransportEvent::Disconnected { reason: 2, text }] = &puppet.events[..] else {
            panic!("{:?}", puppet.events);
        };
        assert_eq!(text, "bye");
    }
}

#[test]
fn after_an_error_nothing_is_taken_and_the_peer_can_be_told() {
    let mut puppet = Puppet::established(true, true);
    while puppet.hear().is_some() {}
    let error = puppet.say(&[message::NEWKEYS]).expect_err("out of order");
    let reason = error.disconnect_reason();
    assert_eq!(reason, DisconnectReason::ProtocolError);
    puppet.say(&[94]).expect("thrown away");
    assert!(puppet.events.is_empty());
    puppet.tested.send(&[94]).expect("ignored");
    puppet.tested.disconnect(reason, &error.to_string());
    let goodbye = puppet.hear().expect("goodbye");
    assert_eq!(goodbye[..5], [message::DISCONNECT, 0, 0, 0, 2]);
    assert!(puppet.hear().is_none());
}

#[test]
fn the_transports_own_messages_cannot_be_sent() {
    let mut puppet = Puppet::established(true, true);
    for number in [0, 1, 3, 7, 20, 21, 30, 31, 128, 193] {
        let refused = puppet.tested.send(&[number]);
        assert!(matches!(refused, Err(Error::Misuse(Misuse::Payload))));
    }
}

/// Messages as an attacker might make them up: likely numbers, any content.
fn babble() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        3 => proptest::sample::select(vec![1u8, 2, 3, 4, 5, 7, 20, 21, 30, 31, 52, 94, 192, 193]),
        1 => any::<u8>(),
    ];
    let content = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        proptest::collection::vec(0..3u8, 0..60),
    ];
    (number, content).prop_map(|(number, content)| [&[number][..], &content].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_message_panics(
        messages in proptest::collection::vec(babble(), 1..12),
        is_server: bool,
        stage in 0..3,
    ) {
        let mut puppet = if stage == 2 {
            Puppet::established(is_server, true)
        } else {
            Puppet::new(is_server)
        };
        if stage == 1 {
            puppet.propose(false).expect("proposal");
        }
        for payload in &messages {
            if puppet.say(payload).is_err() {
                break;
            }
        }
    }

    /// What is flipped in the clear part either does not matter (padding) or is noticed: two sides
    /// never go on with different ideas of what was said.
    #[test]
    fn nobody_in_the_middle_changes_the_key_exchange(
        at in 0..4000usize,
        bit in 0..8u8,
        upward: bool,
    ) {
        let (mut client, mut server) = (transport(false), transport(true));
        let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
        let mut passed = 0;
        let mut flip = |bytes: &mut BytesMut| {
            if let Some(byte) = at.checked_sub(passed).and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << bit;
            }
            passed += bytes.len();
        };
        let mut established = [false; 2];
        loop {
            let (mut from_client, mut from_server) =
                (client.output().split(), server.output().split());
            if from_client.is_empty() && from_server.is_empty() {
                break;
            }
            flip(if upward { &mut from_client } else { &mut from_server });
            up.unsplit(from_client);
            down.unsplit(from_server);
            let sides = [(&mut client, &mut down), (&mut server, &mut up)];
            for ((side, input), established) in sides.into_iter().zip(&mut established) {
                loop {
                    match side.receive(input) {
                        Ok(TransportEvent::NeedInput) | Err(_) => break,
                        Ok(TransportEvent::HostKey { .. }) => side.accept_host_key().expect("asked"),
                        Ok(TransportEvent::Established) => *established = true,
                        Ok(event) => panic!("{event:?}"),
                    }
                }
            }
        }
        if established == [true, true] {
            prop_assert_eq!(client.session_id(), server.session_id());
            prop_assert_eq!(client.negotiated(), server.negotiated());
        }
    }
}
