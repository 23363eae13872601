//! Packets sealed by one transport and opened by another.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use rproxy::wire::{
    Algorithms, Cipher, ClientConfig, HostKey, ServerConfig, Transport, TransportEvent, message,
};
use ssh_key::private::{Ed25519Keypair, PrivateKey};

use super::{Result, Work};

/// The data in one of OpenSSH's packets, in bytes.
const BULK: usize = 32 * 1024;
/// Packets in one run.
const PACKETS: usize = 16;
/// The head of a `CHANNEL_DATA` message, as far as the codec looks at it.
const HEAD: &[u8] = &[94, 0, 0, 0, 0, 0, 0, 0, 0];

pub(super) fn seal_aes128() -> Result<Work> {
    seal(Cipher::Aes128Gcm, BULK)
}

pub(super) fn open_aes128() -> Result<Work> {
    open(Cipher::Aes128Gcm, BULK)
}

pub(super) fn seal_aes256() -> Result<Work> {
    seal(Cipher::Aes256Gcm, BULK)
}

pub(super) fn open_aes256() -> Result<Work> {
    open(Cipher::Aes256Gcm, BULK)
}

pub(super) fn seal_chacha() -> Result<Work> {
    seal(Cipher::Chacha20Poly1305, BULK)
}

pub(super) fn open_chacha() -> Result<Work> {
    open(Cipher::Chacha20Poly1305, BULK)
}

pub(super) fn open_small() -> Result<Work> {
    open(Cipher::Aes128Gcm, 1)
}

fn seal(cipher: Cipher, size: usize) -> Result<Work> {
    let (mut client, _server) = established(cipher)?;
    let body = vec![7; size];
    Ok(Work {
        bytes: PACKETS * size,
        operations: PACKETS,
        run: Box::new(move || {
            client.output().clear();
            for _ in 0..PACKETS {
                client.send_parts(HEAD, black_box(&body))?;
            }
            black_box(client.output());
            Ok(())
        }),
    })
}

fn open(cipher: Cipher, size: usize) -> Result<Work> {
    let (mut client, mut server) = established(cipher)?;
    let body = vec![7; size];
    let mut input = BytesMut::new();
    Ok(Work {
        bytes: PACKETS * size,
        operations: PACKETS,
        run: Box::new(move || {
            for _ in 0..PACKETS {
                client.send_parts(HEAD, black_box(&body))?;
            }
            input.extend_from_slice(client.output());
            client.output().clear();
            for _ in 0..PACKETS {
                match server.receive(&mut input)? {
                    TransportEvent::Packet(payload) => drop(black_box(payload)),
                    other => return Err(format!("{other:?} instead of a packet").into()),
                }
            }
            Ok(())
        }),
    })
}

/// A client and a server after key exchange and user authentication.
fn established(cipher: Cipher) -> Result<(Transport, Transport)> {
    let algorithms = Algorithms {
        ciphers: vec![cipher],
        ..Algorithms::default()
    };
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[42; 32]));
    let mut server = Transport::server(Arc::new(ServerConfig {
        algorithms: algorithms.clone(),
        ..ServerConfig::new(vec![HostKey::new(key, None)?])
    }));
    let mut client = Transport::client(Arc::new(ClientConfig {
        algorithms,
        ..ClientConfig::default()
    }));
    let (mut to_client, mut to_server) = (BytesMut::new(), BytesMut::new());
    for round in 0..9 {
        // The transport bounds the data before authentication.
        if round == 8 {
            server.send(&[message::USERAUTH_SUCCESS])?;
        }
        to_server.unsplit(client.output().split());
        settle(&mut server, &mut to_server)?;
        to_client.unsplit(server.output().split());
        settle(&mut client, &mut to_client)?;
    }
    Ok((client, server))
}

fn settle(transport: &mut Transport, input: &mut BytesMut) -> Result<()> {
    loop {
        match transport.receive(input)? {
            TransportEvent::NeedInput => return Ok(()),
            TransportEvent::HostKey { .. } => transport.accept_host_key()?,
            _ => {}
        }
    }
}
