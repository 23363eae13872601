//! The two halves of an exchange: public values, and the resulting secret.
//!
//! X25519 (RFC 8731), the NIST curves (RFC 5656), X25519 with an encapsulated key beside it
//! ([`kem`](super::kem)), and finite fields ([`group`](super::group)).

use std::fmt;

use aws_lc_rs::agreement::{
    Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey, X25519, agree,
};
use aws_lc_rs::digest;
use ssh_encoding::Encode;

use super::group::{DhGroup, GroupKey};
use super::kem::{Kem, KemKey};
use super::secret::{BAD_PUBLIC, FAILED, SharedSecret};
use crate::wire::algorithm::Kex;
use crate::wire::error::Error;

const X25519_PUBLIC: usize = 32;

/// The client's half, kept until the reply comes.
pub(in crate::wire) enum ClientExchange {
    Curve(PrivateKey),
    Hybrid {
        kex: Kex,
        kem: Kem,
        key: KemKey,
        curve: PrivateKey,
    },
    Group(GroupKey),
}

impl ClientExchange {
    /// A fresh half and its public value, as it stands in the message.
    pub(in crate::wire) fn start(kex: Kex) -> Result<(Self, Vec<u8>), Error> {
        match kex.curve() {
            Curve::Alone(algorithm) => {
                let key = PrivateKey::generate(algorithm).map_err(|_failed| FAILED)?;
                let public = public_of(&key)?;
                Ok((Self::Curve(key), public))
            }
            Curve::With(kem) => {
                let (key, mut public) = kem.generate()?;
                let curve = PrivateKey::generate(&X25519).map_err(|_failed| FAILED)?;
                public.extend_from_slice(&public_of(&curve)?);
                let half = Self::Hybrid {
                    kex,
                    kem,
                    key,
                    curve,
                };
                Ok((half, public))
            }
            Curve::None(group) => {
                let key = GroupKey::generate(group)?;
                let public = key.public();
                Ok((Self::Group(key), public))
            }
        }
    }

    /// The secret, from the server's public value.
    pub(in crate::wire) fn finish(self, server_public: &[u8]) -> Result<SharedSecret, Error> {
        match self {
            Self::Curve(key) => curve_secret(&key, server_public, number),
            Self::Hybrid {
                kex,
                kem,
                key,
                curve,
            } => {
                let (ciphertext, point) = parts(server_public, kem.ciphertext_len())?;
                let kem_secret = key.decapsulate(ciphertext)?;
                curve_secret(&curve, point, |secret| hybrid(kex, &kem_secret, secret))
            }
            Self::Group(key) => key.secret(server_public),
        }
    }
}

impl fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientExchange(..)")
    }
}

/// The server's half: the answer to the client's public value, and the secret.
pub(in crate::wire) fn respond(
    kex: Kex,
    client_public: &[u8],
) -> Result<(Vec<u8>, SharedSecret), Error> {
    match kex.curve() {
        Curve::Alone(algorithm) => {
            let key = PrivateKey::generate(algorithm).map_err(|_failed| FAILED)?;
            let secret = curve_secret(&key, client_public, number)?;
            Ok((public_of(&key)?, secret))
        }
        Curve::With(kem) => {
            let (kem_public, point) = parts(client_public, kem.public_len())?;
            let curve = PrivateKey::generate(&X25519).map_err(|_failed| FAILED)?;
            let (mut public, kem_secret) = kem.encapsulate(kem_public)?;
            let secret = curve_secret(&curve, point, |secret| hybrid(kex, &kem_secret, secret))?;
            public.extend_from_slice(&public_of(&curve)?);
            Ok((public, secret))
        }
        Curve::None(group) => {
            let key = GroupKey::generate(group)?;
            let secret = key.secret(client_public)?;
            Ok((key.public(), secret))
        }
    }
}

/// What a method is built on.
enum Curve {
    Alone(&'static Algorithm),
    With(Kem),
    None(DhGroup),
}

impl Kex {
    const fn curve(self) -> Curve {
        match self {
            Self::MlKem768X25519Sha256 => Curve::With(Kem::MlKem768),
            Self::Sntrup761X25519Sha512 | Self::Sntrup761X25519Sha512Openssh => {
                Curve::With(Kem::Sntrup761)
            }
            Self::Curve25519Sha256 | Self::Curve25519Sha256Libssh => Curve::Alone(&X25519),
            Self::EcdhSha2Nistp256 => Curve::Alone(&ECDH_P256),
            Self::EcdhSha2Nistp384 => Curve::Alone(&ECDH_P384),
            Self::EcdhSha2Nistp521 => Curve::Alone(&ECDH_P521),
            Self::DiffieHellmanGroup16Sha512 => Curve::None(DhGroup::Modp4096),
            Self::DiffieHellmanGroup14Sha256 | Self::DiffieHellmanGroup14Sha1 => {
                Curve::None(DhGroup::Modp2048)
            }
        }
    }
}

fn public_of(key: &PrivateKey) -> Result<Vec<u8>, Error> {
    let public = key.compute_public_key().map_err(|_failed| FAILED)?;
    Ok(public.as_ref().to_vec())
}

/// Agrees on a curve. The library refuses points that are not on it, and for X25519 the ones that
/// lead to nothing but zeros (RFC 8731 section 3).
fn curve_secret(
    key: &PrivateKey,
    peer: &[u8],
    encode: impl FnOnce(&[u8]) -> SharedSecret,
) -> Result<SharedSecret, Error> {
    // The library accepts compressed points; RFC 5656 as implementations use it does not.
    let compressed = key.algorithm() != &X25519 && peer.first() != Some(&4);
    if compressed {
        return Err(BAD_PUBLIC);
    }
    let peer = UnparsedPublicKey::new(key.algorithm(), peer);
    agree(key, peer, BAD_PUBLIC, |secret| Ok(encode(secret)))
}

fn number(secret: &[u8]) -> SharedSecret {
    SharedSecret::number(secret)
}

/// Cuts the public value of a hybrid in two.
fn parts(public: &[u8], kem_len: usize) -> Result<(&[u8], &[u8]), Error> {
    public
        .split_at_checked(kem_len)
        .filter(|(_, point)| point.len() == X25519_PUBLIC)
        .ok_or(BAD_PUBLIC)
}

/// `HASH(encapsulated secret || X25519 secret)`, as a string.
fn hybrid(kex: Kex, kem_secret: &[u8], curve_secret: &[u8]) -> SharedSecret {
    let mut context = digest::Context::new(kex.digest());
    context.update(kem_secret);
    context.update(curve_secret);
    SharedSecret::string(context.finish().as_ref())
}

/// Encodes a public value into a message: a string, or for finite fields an mpint, which is kept
/// in a form where the two are the same.
pub(in crate::wire) fn encode_public(public: &[u8], message: &mut Vec<u8>) -> Result<(), Error> {
    public
        .encode(message)
        .map_err(|_too_long| Error::Crypto("public value"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::Violation;

    #[test]
    fn both_sides_agree() {
        for kex in Kex::ALL.iter().chain(Kex::LEGACY) {
            let (client, client_public) = ClientExchange::start(*kex).expect("starts");
            let (server_public, server_secret) = respond(*kex, &client_public).expect("responds");
            let client_secret = client.finish(&server_public).expect("finishes");
            assert_eq!(client_secret.encoded(), server_secret.encoded(), "{kex}");
            assert!(client_secret.encoded().len() > 32);
        }
    }

    #[test]
    fn values_that_lead_nowhere_are_refused() {
        for kex in Kex::ALL.iter().chain(Kex::LEGACY) {
            let (_, good) = ClientExchange::start(*kex).expect("starts");
            let zeros = vec![0; good.len()];
            for bad in [
                &zeros[..],
                &[],
                &[0],
                &[1],
                &good[1..],
                &good[..good.len() - 1],
            ] {
                // A number cut at the end is another number, which is as good as any.
                if matches!(kex.curve(), Curve::None(_)) && bad.len() > 1 && bad != zeros {
                    continue;
                }
                let refused = respond(*kex, bad);
                assert!(
                    matches!(refused, Err(Error::Violation(Violation::KeyExchange(_)))),
                    "{kex} accepts {} bytes",
                    bad.len()
                );
                let (client, _) = ClientExchange::start(*kex).expect("starts");
                assert!(client.finish(bad).is_err(), "{kex}");
            }
        }
    }

    #[test]
    fn hybrid_with_zero_x25519_is_refused() {
        for kex in [Kex::MlKem768X25519Sha256, Kex::Sntrup761X25519Sha512] {
            let (client, mut public) = ClientExchange::start(kex).expect("starts");
            let (mut answer, _) = respond(kex, &public).expect("responds");
            for value in [&mut public, &mut answer] {
                let point = value.len() - X25519_PUBLIC;
                value[point..].fill(0);
            }
            assert!(respond(kex, &public).is_err(), "{kex}");
            assert!(client.finish(&answer).is_err(), "{kex}");
        }
    }
}
