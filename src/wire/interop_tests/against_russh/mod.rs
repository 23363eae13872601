//! Both roles against `russh`, client and server, in this process.
//!
//! What it can do is asked of its own lists.

mod russh_client;
mod russh_server;

use std::borrow::Cow;
use std::future::Future;
use std::os::unix::net::UnixStream;

use ::russh::{Preferred, cipher, kex, mac};
use ::signature::Signer;
use ssh_key::private::KeypairData;
use ssh_key::{Algorithm, HashAlg, Signature};

use super::signature::SignatureAlgorithm;
use super::*;
use crate::cert::testing::{CertSpec, ed25519, keys};

/// Who logs in.
const USER: &str = "deploy";

/// What the command of a session ends with.
const STATUS: u32 = 7;

/// Most data of one message, and how much may be under way before it has come back.
const CHUNK: usize = 16 << 10;
const IN_FLIGHT: usize = 64 << 10;

/// One algorithm that both sides know: russh offers no other of its kind.
struct Pair {
    name: String,
    ours: Algorithms,
    russh: Preferred,
}

/// Each of these that russh knows too.
fn common(ours: &Algorithms) -> Vec<Pair> {
    let mut common = Vec::new();
    let mut add = |name: &str, ours: Algorithms, russh| {
        let name = name.to_owned();
        common.push(Pair { name, ours, russh });
    };
    for one in &ours.kex {
        if let Ok(theirs) = kex::Name::try_from(one.name()) {
            add(one.name(), ours.clone(), only_kex(theirs));
        }
    }
    for one in &ours.ciphers {
        if let Ok(theirs) = cipher::Name::try_from(one.name()) {
            add(one.name(), ours.clone(), only_cipher(theirs));
        }
    }
    for one in &ours.macs {
        for cipher in ours.ciphers.iter().filter(|cipher| !cipher.is_aead()) {
            let known = mac::Name::try_from(one.name());
            if let (Ok(mac), Ok(cipher)) = (known, cipher::Name::try_from(cipher.name())) {
                let russh = Preferred {
                    mac: Cow::Owned(vec![mac]),
                    ..only_cipher(cipher)
                };
                let name = format!("{} with {}", one.name(), cipher.as_ref());
                add(&name, ours.clone(), russh);
            }
        }
    }
    common
}

fn only_kex(only: kex::Name) -> Preferred {
    // The markers for extensions and for strict key exchange stand in the same list.
    let markers = Preferred::DEFAULT.kex;
    let markers = markers.iter().copied().filter(|name| {
        let name = name.as_ref();
        name.starts_with("ext-info-") || name.starts_with("kex-strict-")
    });
    Preferred {
        kex: std::iter::once(only).chain(markers).collect(),
        ..Preferred::DEFAULT
    }
}

fn only_cipher(only: cipher::Name) -> Preferred {
    Preferred {
        cipher: Cow::Owned(vec![only]),
        ..Preferred::DEFAULT
    }
}

/// A way in: a key of each kind, plain and with a certificate, under each of its names.
struct LoginMethod {
    key: PrivateKey,
    certificate: Option<Certificate>,
    way: SignatureAlgorithm,
}

impl LoginMethod {
    fn all(ca: &PrivateKey) -> Vec<Self> {
        let mut all = Vec::new();
        for (key, way) in ways(SignatureAlgorithm::ALL) {
            for certificate in [None, Some(user_certificate(&key, ca))] {
                all.push(Self {
                    key: key.clone(),
                    certificate,
                    way,
                });
            }
        }
        all
    }

    /// The first that comes to hand, where another thing is tried.
    fn any() -> Self {
        Self {
            key: ed25519(),
            certificate: None,
            way: SignatureAlgorithm::Ed25519,
        }
    }

    /// The name of the public key algorithm.
    fn algorithm(&self) -> &'static str {
        match self.certificate {
            None => self.way.name(),
            Some(_) => self.way.certificate_name(),
        }
    }

    /// The key or the certificate, encoded.
    fn blob(&self) -> Vec<u8> {
        encoded(&self.key, self.certificate.as_ref())
    }

    fn hash(&self) -> Option<HashAlg> {
        match self.way {
            SignatureAlgorithm::RsaSha512 => Some(HashAlg::Sha512),
            SignatureAlgorithm::RsaSha256 => Some(HashAlg::Sha256),
            _ => None,
        }
    }

    fn sign(&self, data: &[u8]) -> Vec<u8> {
        let signature: Signature = match self.key.key_data() {
            KeypairData::Rsa(key) => (key, self.hash()).try_sign(data).expect("signs"),
            other => other.try_sign(data).expect("signs"),
        };
        signature.encode_vec().expect("encodes")
    }
}

fn user_certificate(key: &PrivateKey, ca: &PrivateKey) -> Certificate {
    let spec = CertSpec::user(key).with(|spec| spec.validity = (0, u64::MAX));
    spec.sign(ca)
}

/// A key of each kind with each of these ways in which it signs.
fn ways(ways: &[SignatureAlgorithm]) -> Vec<(PrivateKey, SignatureAlgorithm)> {
    let mut found = Vec::new();
    for key in keys() {
        let algorithm = key.algorithm();
        let kind = match &algorithm {
            Algorithm::Rsa { .. } => "ssh-rsa",
            other => other.as_str(),
        };
        for way in ways.iter().filter(|way| way.key_type() == kind) {
            found.push((key.clone(), *way));
        }
    }
    found
}

/// A host's keys, each plain and with a certificate, with each of these ways to sign.
fn host_keys(
    possible: &[SignatureAlgorithm],
) -> Vec<(PrivateKey, Option<Certificate>, SignatureAlgorithm)> {
    let ca = ed25519();
    let mut found = Vec::new();
    for (key, way) in ways(possible) {
        let spec = CertSpec::host(&key).with(|spec| spec.validity = (0, u64::MAX));
        found.push((key.clone(), Some(spec.sign(&ca)), way));
        found.push((key, None, way));
    }
    found
}

fn encoded(key: &PrivateKey, certificate: Option<&Certificate>) -> Vec<u8> {
    match certificate {
        Some(certificate) => certificate.to_bytes().expect("encodes"),
        None => key.public_key().to_bytes().expect("encodes"),
    }
}

/// A mebibyte that does not repeat.
fn mebibyte() -> Vec<u8> {
    (0..1 << 18).flat_map(u32::to_le_bytes).collect()
}

/// What asks for new keys every hundred kilobytes, or never does.
fn our_limits(often: bool) -> RekeyLimits {
    RekeyLimits {
        bytes: if often { 100_000 } else { u64::MAX },
        ..RekeyLimits::default()
    }
}

fn russh_limits(often: bool) -> ::russh::Limits {
    let bytes = if often { 100_000 } else { 1 << 30 };
    ::russh::Limits::new(bytes, bytes, RekeyLimits::default().time)
}

/// Two ends: ours blocks, theirs is for tokio.
fn streams() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("pair");
    ours.set_read_timeout(Some(PATIENCE)).expect("timeout");
    theirs.set_nonblocking(true).expect("mode");
    (ours, theirs)
}

/// Runs russh's side to its end.
fn run<T>(side: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, side).await })
        .expect("in time")
}
