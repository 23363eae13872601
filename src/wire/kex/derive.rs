//! The exchange hash and the keys that come from it (RFC 4253 sections 7.2 and 8).

use aws_lc_rs::digest;
use ssh_encoding::Encode;
use zeroize::Zeroizing;

use super::secret::SharedSecret;
use crate::wire::algorithm::{Cipher, Kex, Mac};
use crate::wire::cipher::{Decryptor, Encryptor, KeyMaterial};
use crate::wire::error::Error;

/// What both sides have said, in the order in which it is hashed.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Transcript<'a> {
    pub(in crate::wire) client_ident: &'a str,
    pub(in crate::wire) server_ident: &'a str,
    pub(in crate::wire) client_init: &'a [u8],
    pub(in crate::wire) server_init: &'a [u8],
    pub(in crate::wire) host_key: &'a [u8],
    pub(in crate::wire) client_public: &'a [u8],
    pub(in crate::wire) server_public: &'a [u8],
}

impl Transcript<'_> {
    /// The exchange hash `H`.
    pub(in crate::wire) fn hash(
        &self,
        kex: Kex,
        secret: &SharedSecret,
    ) -> Result<digest::Digest, Error> {
        // Public values of finite fields are kept with their leading zero byte, so that all of
        // them are encoded alike.
        let fields = [
            self.client_ident.as_bytes(),
            self.server_ident.as_bytes(),
            self.client_init,
            self.server_init,
            self.host_key,
            self.client_public,
            self.server_public,
        ];
        let mut hashed = Zeroizing::new(Vec::new());
        for field in fields {
            field
                .encode(&mut *hashed)
                .map_err(|_too_long| Error::Crypto("exchange hash"))?;
        }
        let mut context = digest::Context::new(kex.digest());
        context.update(&hashed);
        context.update(secret.encoded());
        Ok(context.finish())
    }
}

/// Which way keys are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::wire) enum Way {
    ClientToServer,
    ServerToClient,
}

/// Derives keys from one exchange.
pub(in crate::wire) struct KeyDerivation<'a> {
    pub(in crate::wire) kex: Kex,
    pub(in crate::wire) secret: &'a SharedSecret,
    pub(in crate::wire) hash: &'a [u8],
    pub(in crate::wire) session_id: &'a [u8],
}

impl KeyDerivation<'_> {
    pub(in crate::wire) fn sealer(
        &self,
        way: Way,
        cipher: Cipher,
        mac: Option<Mac>,
    ) -> Result<Encryptor, Error> {
        self.with_keys(way, cipher, mac, Encryptor::new)
    }

    pub(in crate::wire) fn opener(
        &self,
        way: Way,
        cipher: Cipher,
        mac: Option<Mac>,
    ) -> Result<Decryptor, Error> {
        self.with_keys(way, cipher, mac, Decryptor::new)
    }

    fn with_keys<T>(
        &self,
        way: Way,
        cipher: Cipher,
        mac: Option<Mac>,
        make: impl FnOnce(&KeyMaterial<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let [iv_letter, key_letter, mac_letter] = match way {
            Way::ClientToServer => *b"ACE",
            Way::ServerToClient => *b"BDF",
        };
        let iv = self.derive(iv_letter, cipher.iv_len());
        let key = self.derive(key_letter, cipher.key_len());
        let mac_key = self.derive(mac_letter, mac.map_or(0, Mac::len));
        make(&KeyMaterial {
            cipher,
            mac,
            iv: &iv,
            key: &key,
            mac_key: &mac_key,
        })
    }

    /// `HASH(K || H || letter || session id)`, extended with `HASH(K || H || so far)` until it is
    /// long enough.
    fn derive(&self, letter: u8, length: usize) -> Zeroizing<Vec<u8>> {
        let mut context = self.start();
        context.update(&[letter]);
        context.update(self.session_id);
        let mut key = Zeroizing::new(Vec::with_capacity(length + digest::MAX_OUTPUT_LEN));
        key.extend_from_slice(context.finish().as_ref());
        while key.len() < length {
            let mut context = self.start();
            context.update(&key);
            key.extend_from_slice(context.finish().as_ref());
        }
        key.truncate(length);
        key
    }

    fn start(&self) -> digest::Context {
        let mut context = digest::Context::new(self.kex.digest());
        context.update(self.secret.encoded());
        context.update(self.hash);
        context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_are_extended_as_the_rfc_says() {
        let secret = SharedSecret::string(&[1; 32]);
        let derivation = KeyDerivation {
            kex: Kex::Curve25519Sha256,
            secret: &secret,
            hash: b"H",
            session_id: b"S",
        };
        let sha256 = |parts: &[&[u8]]| digest::digest(&digest::SHA256, &parts.concat());
        let k = [&[0, 0, 0, 32][..], &[1; 32]].concat();
        let k1 = sha256(&[&k, b"H", b"C", b"S"]);
        let k2 = sha256(&[&k, b"H", k1.as_ref()]);
        let k3 = sha256(&[&k, b"H", k1.as_ref(), k2.as_ref()]);
        let expected = [k1.as_ref(), k2.as_ref(), k3.as_ref()].concat();
        assert_eq!(derivation.derive(b'C', 64)[..], expected[..64]);
        assert_eq!(derivation.derive(b'C', 80)[..], expected[..80]);
        assert_eq!(derivation.derive(b'C', 16)[..], expected[..16]);
        assert!(derivation.derive(b'C', 0).is_empty());
    }
}
