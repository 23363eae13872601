//! Both roles against the real `ssh` and `sshd`, and against the library `russh`.
//!
//! `sshd -i` serves one connection over a socket pair and is gone with it; `ssh` connects to a
//! listener on loopback; russh runs in this process. Algorithms that the other side does not know
//! are passed over.

mod against_russh;
mod against_ssh;
mod against_sshd;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::BytesMut;
use ssh_encoding::{Decode, Encode, Reader};
use ssh_key::{Certificate, PrivateKey};
use tempfile::TempDir;

use super::*;
use crate::cert::testing::readable;

const PATIENCE: Duration = Duration::from_secs(120);

/// A transport on a blocking stream.
struct Driver<S> {
    transport: Transport,
    stream: S,
    input: BytesMut,
    /// Key exchanges that came to their end.
    exchanges: u32,
}

impl<S: Read + Write> Driver<S> {
    fn new(transport: Transport, stream: S) -> Self {
        Self {
            transport,
            stream,
            input: BytesMut::new(),
            exchanges: 0,
        }
    }

    fn flush(&mut self) {
        let output = self.transport.output();
        // A peer that has hung up shows when we read.
        let _written: std::io::Result<()> = self.stream.write_all(output);
        output.clear();
    }

    /// The next event that is one; `None` at the end of the stream.
    fn event(&mut self) -> Result<Option<TransportEvent>, Error> {
        loop {
            let was_rekeying = self.transport.is_rekeying();
            let received = self.transport.receive(&mut self.input);
            self.exchanges += u32::from(was_rekeying && !self.transport.is_rekeying());
            match received {
                Ok(TransportEvent::NeedInput) => {}
                Ok(event) => return Ok(Some(event)),
                Err(error) => {
                    let reason = error.disconnect_reason();
                    self.transport.disconnect(reason, &error.to_string());
                    self.flush();
                    return Err(error);
                }
            }
            self.flush();
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                // A signal ends a read that has a time limit.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("reading: {error}"),
            }
        }
    }

    /// The next packet, which must be one of these.
    fn packet(&mut self, numbers: &[u8]) -> BytesMut {
        loop {
            match self.event().expect("protocol").expect("not the end yet") {
                TransportEvent::Packet(payload) if numbers.contains(&payload[0]) => return payload,
                TransportEvent::HostKey { .. } => self.transport.accept_host_key().expect("asked"),
                TransportEvent::Established => {}
                // Host keys after authentication; window and end of file of the session.
                TransportEvent::Packet(payload) if matches!(payload[0], 80 | 93 | 96) => {}
                other => panic!("waiting for {numbers:?}, got {other:?}"),
            }
        }
    }
}

/// Accepts the next session that the peer opens, with this window; the peer's number for it.
fn accept_session<S: Read + Write>(driver: &mut Driver<S>, window: u32) -> u32 {
    let open = driver.packet(&[90]);
    let mut reader = &open[1..];
    reader.drain_prefixed().expect("kind");
    let channel = u32::decode(&mut reader).expect("channel");
    let confirm = Payload::new(91)
        .u32(channel)
        .u32(0)
        .u32(window)
        .u32(32 << 10);
    driver.transport.send(&confirm.0).expect("sends");
    channel
}

/// Builds a payload.
struct Payload(Vec<u8>);

impl Payload {
    fn new(number: u8) -> Self {
        Self(vec![number])
    }

    fn string(mut self, text: impl AsRef<[u8]>) -> Self {
        text.as_ref().encode(&mut self.0).expect("short");
        self
    }

    fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }
}

/// A directory with keys in it.
struct KeyDirectory {
    dir: TempDir,
}

impl KeyDirectory {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("directory"),
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .expect("new file");
        file.write_all(text.as_bytes()).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
        path.display().to_string()
    }

    /// Makes a key with ssh-keygen.
    fn generate(&self, name: &str, kind: &[&str]) -> PrivateKey {
        let path = self.path(name);
        readable(Path::new(&path), || {
            keygen(&[kind, &["-q", "-N", "", "-f", &path]].concat());
        })
    }

    /// Certifies a key as a host's.
    fn certify(&self, name: &str, ca: &str) -> Certificate {
        let (ca, key) = (self.path(ca), self.path(&format!("{name}.pub")));
        keygen(&["-q", "-s", &ca, "-I", "test", "-h", "-n", "127.0.0.1", &key]);
        let path = self.path(&format!("{name}-cert.pub"));
        Certificate::read_file(Path::new(&path)).expect("ssh-keygen's")
    }
}

fn keygen(arguments: &[&str]) {
    let output = Command::new("ssh-keygen").args(arguments).output();
    let output = output.expect("ssh-keygen runs");
    assert!(output.status.success(), "{output:?}");
}

/// Whether the installed OpenSSH knows an algorithm.
fn openssh_knows(kind: &str, name: &str) -> bool {
    let output = Command::new("ssh").args(["-Q", kind]).output();
    let output = output.expect("ssh runs");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .any(|line| line == name)
}

/// Each of ours that OpenSSH has too, as options for it and as our own lists.
fn common() -> Vec<(String, Algorithms)> {
    let ours = Algorithms::default();
    let mut common = Vec::new();
    for kex in Kex::ALL
        .iter()
        .filter(|kex| openssh_knows("kex", kex.name()))
    {
        common.push((format!("KexAlgorithms={kex}"), ours.clone()));
    }
    for cipher in Cipher::ALL {
        assert!(openssh_knows("cipher", cipher.name()));
        common.push((format!("Ciphers={cipher}"), ours.clone()));
    }
    for mac in Mac::ALL {
        let ctr = ours.clone().only_cipher(Cipher::Aes128Ctr);
        common.push((format!("MACs={mac}"), ctr));
    }
    assert!(common.len() >= 17, "{common:?}");
    common
}

fn all_legacy() -> Vec<Legacy> {
    Legacy::all().collect()
}

/// The same for what only a host is offered whose configuration names it.
fn legacy() -> Vec<(String, Algorithms)> {
    let ours = ClientConfig::default()
        .with_legacy(&all_legacy())
        .algorithms;
    let kex = Kex::LEGACY.iter().map(|kex| format!("KexAlgorithms={kex}"));
    let options = kex.chain(Cipher::LEGACY.iter().map(|one| format!("Ciphers={one}")));
    let mut legacy: Vec<_> = options.map(|option| (option, ours.clone())).collect();
    for mac in Mac::LEGACY {
        for cipher in [Cipher::Aes128Ctr, Cipher::Aes128Cbc] {
            let ours = ours.clone().only_cipher(cipher);
            legacy.push((format!("MACs={mac}\nCiphers={cipher}"), ours));
        }
    }
    legacy
}
