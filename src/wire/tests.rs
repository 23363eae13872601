//! Client and server against each other, in memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use ssh_key::private::{Ed25519Keypair, PrivateKey};

use super::*;

/// A `USERAUTH_SUCCESS`, after which keys may be changed.
const SUCCESS: &[u8] = &[message::USERAUTH_SUCCESS];

pub(super) fn host_key() -> HostKey {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[42; 32]));
    HostKey::new(key, None).expect("usable")
}

fn server_config(algorithms: &Algorithms, rekey: RekeyLimits) -> Arc<ServerConfig> {
    Arc::new(ServerConfig {
        algorithms: algorithms.clone(),
        rekey,
        ..ServerConfig::new(vec![host_key()])
    })
}

fn client_config(algorithms: &Algorithms, rekey: RekeyLimits) -> Arc<ClientConfig> {
    Arc::new(ClientConfig {
        algorithms: algorithms.clone(),
        rekey,
        ..ClientConfig::default()
    })
}

/// One side with what has come in for it.
struct TestSide {
    transport: Transport,
    input: BytesMut,
    received: Vec<Vec<u8>>,
    established: bool,
    host_key: Option<String>,
    disconnected: Option<(u32, String)>,
}

impl TestSide {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            input: BytesMut::new(),
            received: Vec::new(),
            established: false,
            host_key: None,
            disconnected: None,
        }
    }

    /// Takes in `bytes`, `chunk` at a time.
    fn take(&mut self, bytes: &[u8], chunk: usize) -> Result<(), Error> {
        for piece in bytes.chunks(chunk) {
            self.input.put_slice(piece);
            self.run()?;
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), Error> {
        loop {
            match self.transport.receive(&mut self.input)? {
                TransportEvent::NeedInput => return Ok(()),
                TransportEvent::HostKey { algorithm, blob } => {
                    assert_eq!(blob, host_key().blob());
                    assert!(self.host_key.replace(algorithm).is_none(), "asked twice");
                    self.transport.accept_host_key()?;
                }
                TransportEvent::Established => {
                    assert!(!self.established, "established twice");
                    self.established = true;
                }
                TransportEvent::Packet(payload) => self.received.push(payload.to_vec()),
                TransportEvent::Disconnected { reason, text } => {
                    self.disconnected = Some((reason, text));
                }
            }
        }
    }
}

struct Pair {
    client: TestSide,
    server: TestSide,
}

impl Pair {
    fn new(algorithms: &Algorithms) -> Self {
        Self::with_limits(algorithms, RekeyLimits::default())
    }

    fn with_limits(algorithms: &Algorithms, rekey: RekeyLimits) -> Self {
        Self {
            client: TestSide::new(Transport::client(client_config(algorithms, rekey))),
            server: TestSide::new(Transport::server(server_config(algorithms, rekey))),
        }
    }

    /// Established, with user authentication behind it.
    fn authenticated(algorithms: &Algorithms, rekey: RekeyLimits) -> Self {
        let mut pair = Self::with_limits(algorithms, rekey);
        pair.settle(usize::MAX).expect("handshake");
        assert!(pair.client.established && pair.server.established);
        pair.server.transport.send(SUCCESS).expect("sends");
        pair.settle(usize::MAX).expect("success");
        assert_eq!(pair.client.received.pop().as_deref(), Some(SUCCESS));
        pair
    }

    fn upward(&mut self, chunk: usize) -> Result<(), Error> {
        let bytes = self.client.transport.output().split();
        self.server.take(&bytes, chunk)
    }

    fn downward(&mut self, chunk: usize) -> Result<(), Error> {
        let bytes = self.server.transport.output().split();
        self.client.take(&bytes, chunk)
    }

    /// Carries bytes until there are none.
    fn settle(&mut self, chunk: usize) -> Result<(), Error> {
        while !self.client.transport.output().is_empty()
            || !self.server.transport.output().is_empty()
        {
            self.upward(chunk)?;
            self.downward(chunk)?;
        }
        Ok(())
    }
}

fn data(size: usize, fill: u8) -> Vec<u8> {
    let mut payload = vec![fill; size + 1];
    payload[0] = 94;
    payload
}

/// Each cipher, for those that need one each MAC, and compression.
fn suites() -> Vec<Algorithms> {
    let mut suites = Vec::new();
    let macs = || Mac::ALL.iter().chain(Mac::LEGACY);
    for cipher in Cipher::ALL.iter().chain(Cipher::LEGACY) {
        let algorithms = Algorithms::default().only_cipher(*cipher);
        if cipher.is_aead() {
            suites.push(algorithms);
        } else {
            suites.extend(macs().map(|mac| algorithms.clone().only_mac(*mac)));
        }
    }
    let zlib = Algorithms::default().only_compression(Compression::ZlibOpenssh);
    suites.push(zlib.clone());
    suites.push(zlib.only_cipher(Cipher::Aes128Ctr));
    suites
}

#[test]
fn every_key_exchange_connects() {
    for kex in Kex::ALL.iter().chain(Kex::LEGACY) {
        let mut pair = Pair::new(&Algorithms::default().only_kex(*kex));
        pair.settle(usize::MAX).expect("handshake");
        assert!(pair.client.established && pair.server.established, "{kex}");
        let [client, server] = [&pair.client.transport, &pair.server.transport];
        assert_eq!(client.session_id(), server.session_id());
        assert_eq!(client.negotiated(), server.negotiated());
        assert_eq!(client.negotiated().map(|both| both.kex), Some(*kex));
        assert_eq!(client.host_key_blob(), server.host_key_blob());
        let binding = client.session_binding().expect("bound");
        assert_eq!(Some(&*binding.session_id), server.session_id());
        assert_eq!(pair.client.host_key.as_deref(), Some("ssh-ed25519"));
        let extensions = client.peer_extensions();
        assert!(extensions.ping && extensions.hostbound);
        assert!(extensions.server_sig_algs.is_some());
        assert_eq!(server.peer_extensions(), &PeerExtensions::default());
    }
}

#[test]
fn every_cipher_carries_both_ways_in_any_pieces() {
    for algorithms in suites() {
        for chunk in [1, 7, 4096, usize::MAX] {
            let mut pair = Pair::new(&algorithms);
            pair.settle(chunk).expect("handshake");
            let sizes = [0, 1, 15, 16, 17, 1000, 33_000];
            for (n, size) in sizes.into_iter().enumerate() {
                let fill = u8::try_from(n).expect("few");
                let payload = data(size, fill);
                pair.client.transport.send(&payload).expect("sends");
                let (head, body) = payload.split_at(1);
                pair.server.transport.send_parts(head, body).expect("sends");
            }
            pair.settle(chunk).expect("traffic");
            assert_eq!(pair.server.received, pair.client.received);
            assert_eq!(pair.server.received.len(), sizes.len());
            assert_eq!(pair.server.received[6], data(33_000, 6));
        }
    }
}

#[test]
fn largest_payloads_pass() {
    for algorithms in suites() {
        let mut pair = Pair::new(&algorithms);
        pair.settle(usize::MAX).expect("handshake");
        let payload = data(MAX_PACKET - 257, 1);
        pair.client.transport.send(&payload).expect("sends");
        pair.settle(16 * 1024).expect("traffic");
        assert_eq!(pair.server.received, [payload]);
    }
}

#[test]
fn sent_too_early_waits() {
    let mut pair = Pair::new(&Algorithms::default());
    pair.client.transport.send(&data(5, 1)).expect("held");
    pair.server.transport.send(&data(6, 2)).expect("held");
    assert!(pair.client.transport.held_back() > 0);
    pair.settle(usize::MAX).expect("handshake");
    assert_eq!(pair.client.transport.held_back(), 0);
    assert_eq!(pair.server.received, [data(5, 1)]);
    assert_eq!(pair.client.received, [data(6, 2)]);
}

#[test]
fn nothing_proceeds_before_the_host_key_is_accepted() {
    let mut pair = Pair::new(&Algorithms::default());
    pair.upward(usize::MAX).expect("proposal");
    let mut input = pair.server.transport.output().split();
    let client = &mut pair.client.transport;
    assert!(matches!(client.accept_host_key(), Err(Error::Misuse(_))));
    while client.session_id().is_none() {
        let event = client.receive(&mut input).expect("valid");
        if matches!(event, TransportEvent::NeedInput) {
            pair.server
                .take(&client.output().split(), usize::MAX)
                .expect("valid");
            input.unsplit(pair.server.transport.output().split());
        }
    }
    let before = client.output().len();
    assert!(matches!(
        client.receive(&mut input),
        Ok(TransportEvent::NeedInput)
    ));
    assert!(!input.is_empty(), "NEWKEYS waits");
    assert_eq!(client.output().len(), before);
    client.accept_host_key().expect("asked");
    assert!(matches!(
        client.receive(&mut input),
        Ok(TransportEvent::Established)
    ));
}

#[test]
fn compression_begins_after_authentication() {
    let zlib = Algorithms::default().only_compression(Compression::ZlibOpenssh);
    let mut pair = Pair::with_limits(&zlib, RekeyLimits::default());
    pair.settle(usize::MAX).expect("handshake");
    pair.client.transport.send(&data(10_000, 1)).expect("sends");
    assert!(pair.client.transport.output().len() > 10_000);
    pair.settle(usize::MAX).expect("traffic");
    pair.server.transport.send(SUCCESS).expect("sends");
    pair.settle(usize::MAX).expect("traffic");
    // A key exchange starts another stream on both sides.
    for _ in 0..3 {
        for side in [&mut pair.client, &mut pair.server] {
            side.transport.send(&data(10_000, 1)).expect("sends");
            assert!(side.transport.output().len() < 1000);
        }
        pair.settle(usize::MAX).expect("traffic");
        pair.client.transport.start_rekey().expect("starts");
        pair.settle(usize::MAX).expect("key exchange");
    }
    assert_eq!(pair.server.received, vec![data(10_000, 1); 4]);
    assert_eq!(pair.client.received[1..], vec![data(10_000, 1); 3]);
}

#[test]
fn pings_are_answered() {
    let mut pair = Pair::new(&Algorithms::default());
    pair.settle(usize::MAX).expect("handshake");
    let ping = [&[message::PING][..], &[0, 0, 0, 2], b"hi"].concat();
    pair.client.transport.send(&ping).expect("sends");
    pair.upward(usize::MAX).expect("ping");
    assert!(!pair.server.transport.output().is_empty());
    pair.downward(usize::MAX).expect("pong is nothing");
    assert!(pair.client.received.is_empty());
}

#[test]
fn pings_that_nobody_takes_the_answers_of_end() {
    let mut pair = Pair::new(&Algorithms::default());
    pair.settle(usize::MAX).expect("handshake");
    let ping = [&[message::PING][..], &[0, 0, 0, 0]].concat();
    let flooded = (0..100_000).find_map(|_| {
        pair.client.transport.send(&ping).expect("sends");
        pair.upward(usize::MAX).err()
    });
    let flooded = flooded.expect("bounded");
    assert!(matches!(flooded, Error::Violation(Violation::Flood)));
}

#[test]
fn disconnect_reaches_the_peer_and_ends_all() {
    let mut pair = Pair::new(&Algorithms::default());
    pair.settle(usize::MAX).expect("handshake");
    let server = &mut pair.server.transport;
    server.disconnect(DisconnectReason::ByApplication, "enough");
    server.send(&data(1, 1)).expect("ignored");
    pair.settle(usize::MAX).expect("disconnect");
    assert_eq!(pair.client.disconnected, Some((11, "enough".to_owned())));
    assert!(pair.client.received.is_empty());
    let mut input = BytesMut::from(&b"anything"[..]);
    let event = pair.client.transport.receive(&mut input);
    assert!(matches!(event, Ok(TransportEvent::NeedInput)));
    assert!(input.is_empty());
}

#[test]
fn keys_change_by_bytes_packets_and_time_but_not_before_authentication() {
    let algorithms = Algorithms::default().only_kex(Kex::Curve25519Sha256);
    let limits = RekeyLimits {
        bytes: 10_000,
        packets: 20,
        time: Duration::from_secs(60),
    };
    let mut early = Pair::with_limits(&algorithms, limits);
    early.settle(usize::MAX).expect("handshake");
    early
        .client
        .transport
        .send(&data(20_000, 1))
        .expect("sends");
    assert!(!early.client.transport.is_rekeying());

    let starts = |provoke: &dyn Fn(&mut Transport)| {
        let mut pair = Pair::authenticated(&algorithms, limits);
        let before = pair.client.transport.session_id().map(<[u8]>::to_vec);
        provoke(&mut pair.client.transport);
        assert!(pair.client.transport.is_rekeying());
        pair.settle(usize::MAX).expect("key exchange");
        assert!(!pair.client.transport.is_rekeying() && !pair.server.transport.is_rekeying());
        assert_eq!(pair.client.transport.session_id(), before.as_deref());
        pair.client.transport.send(&data(10, 9)).expect("sends");
        pair.settle(usize::MAX).expect("traffic");
        assert_eq!(pair.server.received.last(), Some(&data(10, 9)));
    };
    starts(&|transport| transport.send(&data(20_000, 1)).expect("sends"));
    starts(&|transport| {
        for _ in 0..25 {
            transport.send(&data(1, 1)).expect("sends");
        }
    });
    starts(&|transport| {
        for seconds in [1000, 1059] {
            transport.tick(Duration::from_secs(seconds)).expect("ticks");
            assert!(!transport.is_rekeying());
        }
        transport.tick(Duration::from_secs(1060)).expect("ticks");
    });
}

/// What may happen to a pair.
#[derive(Clone, Debug)]
enum PairStep {
    SendUp(usize),
    SendDown(usize),
    CarryUp(usize),
    CarryDown(usize),
    RekeyByClient,
    RekeyByServer,
    Ping,
}

fn step() -> impl Strategy<Value = PairStep> {
    prop_oneof![
        4 => (0..3000usize).prop_map(PairStep::SendUp),
        4 => (0..3000usize).prop_map(PairStep::SendDown),
        4 => (1..5000usize).prop_map(PairStep::CarryUp),
        4 => (1..5000usize).prop_map(PairStep::CarryDown),
        1 => Just(PairStep::RekeyByClient),
        1 => Just(PairStep::RekeyByServer),
        1 => Just(PairStep::Ping),
    ]
}

/// Carries at most so many bytes.
fn carry(from: &mut TestSide, to: &mut TestSide, most: usize) {
    let output = from.transport.output();
    let bytes = output.split_to(most.min(output.len()));
    to.take(&bytes, usize::MAX)
        .expect("honest peers understand each other");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn keys_change_at_any_moment_and_nothing_is_lost(
        steps in proptest::collection::vec(step(), 1..80),
        suite in 0..suites().len(),
    ) {
        let algorithms = suites().swap_remove(suite).only_kex(Kex::Curve25519Sha256);
        let mut pair = Pair::authenticated(&algorithms, RekeyLimits::default());
        let (mut sent_up, mut sent_down) = (Vec::new(), Vec::new());
        for (n, step) in steps.iter().enumerate() {
            let fill = u8::try_from(n).expect("few");
            let Pair { client, server } = &mut pair;
            match *step {
                PairStep::SendUp(size) => {
                    sent_up.push(data(size, fill));
                    client.transport.send(&data(size, fill)).expect("sends");
                }
                PairStep::SendDown(size) => {
                    sent_down.push(data(size, fill));
                    server.transport.send(&data(size, fill)).expect("sends");
                }
                PairStep::CarryUp(most) => carry(client, server, most),
                PairStep::CarryDown(most) => carry(server, client, most),
                PairStep::RekeyByClient => client.transport.start_rekey().expect("starts"),
                PairStep::RekeyByServer => server.transport.start_rekey().expect("starts"),
                PairStep::Ping => {
                    let ping = [message::PING, 0, 0, 0, 1, 7];
                    client.transport.send(&ping).expect("sends");
                }
            }
        }
        pair.settle(usize::MAX).expect("the rest");
        prop_assert!(!pair.client.transport.is_rekeying());
        prop_assert_eq!(pair.server.received, sent_up);
        prop_assert_eq!(pair.client.received, sent_down);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), ident: bool) {
        let greeting: &[u8] = if ident { b"SSH-2.0-x\r\n" } else { b"" };
        let bytes = [greeting, &bytes].concat();
        let mut server = TestSide::new(Pair::new(&Algorithms::default()).server.transport);
        let mut client = TestSide::new(Pair::new(&Algorithms::default()).client.transport);
        for side in [&mut server, &mut client] {
            // Either outcome is right; what counts is that there is one.
            let _outcome: Result<(), Error> = side.take(&bytes, 97);
        }
    }

    #[test]
    fn no_flipped_bit_passes(at in 0..4000usize, bit in 0..8u8, suite in 0..suites().len()) {
        let algorithms = suites().swap_remove(suite).only_kex(Kex::Curve25519Sha256);
        let mut pair = Pair::new(&algorithms);
        pair.settle(usize::MAX).expect("handshake");
        for fill in 0..4 {
            pair.client.transport.send(&data(1000, fill)).expect("sends");
        }
        let mut bytes = pair.client.transport.output().split();
        bytes[at] ^= 1 << bit;
        let outcome = pair.server.take(&bytes, usize::MAX);
        // A length made longer only makes the reader wait.
        prop_assert!(outcome.is_err() || pair.server.received.len() < 4);
        for (received, fill) in pair.server.received.iter().zip(0..) {
            prop_assert_eq!(received, &data(1000, fill));
        }
    }
}
