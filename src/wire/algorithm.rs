//! The algorithms: closed enums, one per kind, and the lists a side offers.

use std::fmt;

use aws_lc_rs::{digest, hmac};

/// A method of key exchange.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kex {
    /// ML-KEM-768 and X25519 together, against quantum computers to come.
    MlKem768X25519Sha256,
    /// Streamlined NTRU Prime 761 and X25519 together: what OpenSSH 9.0 to 9.9 prefers.
    Sntrup761X25519Sha512,
    /// The same under the name it had before it was standardised.
    Sntrup761X25519Sha512Openssh,
    /// X25519 (RFC 8731).
    Curve25519Sha256,
    /// The same under the name it had before it was standardised.
    Curve25519Sha256Libssh,
    /// ECDH over NIST P-256 (RFC 5656).
    EcdhSha2Nistp256,
    /// ECDH over NIST P-384.
    EcdhSha2Nistp384,
    /// ECDH over NIST P-521.
    EcdhSha2Nistp521,
    /// Finite field, 4096 bits (RFC 8268).
    DiffieHellmanGroup16Sha512,
    /// Finite field, 2048 bits (RFC 8268).
    DiffieHellmanGroup14Sha256,
    /// The same with SHA-1 (RFC 4253 section 8.2); legacy.
    DiffieHellmanGroup14Sha1,
}

/// A cipher.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cipher {
    /// AES-128 in Galois/counter mode, as OpenSSH frames it.
    Aes128Gcm,
    /// AES-256 in Galois/counter mode.
    Aes256Gcm,
    /// `ChaCha20` with Poly1305, the packet length encrypted too.
    Chacha20Poly1305,
    /// AES-128 in counter mode; needs a MAC.
    Aes128Ctr,
    /// AES-192 in counter mode; needs a MAC.
    Aes192Ctr,
    /// AES-256 in counter mode; needs a MAC.
    Aes256Ctr,
    /// AES-256 in cipher block chaining mode (RFC 4253 section 6.3); needs a MAC; legacy.
    Aes256Cbc,
    /// AES-192 in cipher block chaining mode; legacy.
    Aes192Cbc,
    /// AES-128 in cipher block chaining mode; legacy.
    Aes128Cbc,
}

/// A message authentication code, for the ciphers that bring none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Mac {
    /// HMAC-SHA-256 over the encrypted packet.
    HmacSha256Etm,
    /// HMAC-SHA-512 over the encrypted packet.
    HmacSha512Etm,
    /// HMAC-SHA-256 over the plain packet (RFC 4253 section 6.4).
    HmacSha256,
    /// HMAC-SHA-512 over the plain packet.
    HmacSha512,
    /// HMAC-SHA-1 over the encrypted packet; legacy.
    HmacSha1Etm,
    /// HMAC-SHA-1 over the plain packet (RFC 4253 section 6.4); legacy.
    HmacSha1,
}

/// A compression method.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Compression {
    /// None.
    None,
    /// zlib (RFC 1950), begun only after user authentication (PROTOCOL 1.2).
    ZlibOpenssh,
}

/// Gives an enum its names on the wire: `ALL`, `LEGACY`, `name`, `from_name`, `Display`.
macro_rules! names {
    (
        $kind:ident: $($variant:ident = $name:literal),+ $(,)?
        $(; legacy: $($old:ident = $old_name:literal),+ $(,)?)?
    ) => {
        impl $kind {
            /// Every one that is offered to all peers, the most preferred first.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Those that only a host is offered whose configuration names them
            /// ([`Legacy`](super::Legacy)).
            pub const LEGACY: &'static [Self] = &[$($(Self::$old),+)?];

            /// The name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    $($(Self::$old => $old_name,)+)?
                }
            }

            /// The one of this name, legacy ones included.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                let mut known = Self::ALL.iter().chain(Self::LEGACY).copied();
                known.find(|one| one.name() == name)
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

names!(Kex:
    MlKem768X25519Sha256 = "mlkem768x25519-sha256",
    Sntrup761X25519Sha512 = "sntrup761x25519-sha512",
    Sntrup761X25519Sha512Openssh = "sntrup761x25519-sha512@openssh.com",
    Curve25519Sha256 = "curve25519-sha256",
    Curve25519Sha256Libssh = "curve25519-sha256@libssh.org",
    EcdhSha2Nistp256 = "ecdh-sha2-nistp256",
    EcdhSha2Nistp384 = "ecdh-sha2-nistp384",
    EcdhSha2Nistp521 = "ecdh-sha2-nistp521",
    DiffieHellmanGroup16Sha512 = "diffie-hellman-group16-sha512",
    DiffieHellmanGroup14Sha256 = "diffie-hellman-group14-sha256";
    legacy:
    DiffieHellmanGroup14Sha1 = "diffie-hellman-group14-sha1",
);

names!(Cipher:
    Aes128Gcm = "aes128-gcm@openssh.com",
    Aes256Gcm = "aes256-gcm@openssh.com",
    Chacha20Poly1305 = "chacha20-poly1305@openssh.com",
    Aes128Ctr = "aes128-ctr",
    Aes192Ctr = "aes192-ctr",
    Aes256Ctr = "aes256-ctr";
    legacy:
    Aes256Cbc = "aes256-cbc",
    Aes192Cbc = "aes192-cbc",
    Aes128Cbc = "aes128-cbc",
);

names!(Mac:
    HmacSha256Etm = "hmac-sha2-256-etm@openssh.com",
    HmacSha512Etm = "hmac-sha2-512-etm@openssh.com",
    HmacSha256 = "hmac-sha2-256",
    HmacSha512 = "hmac-sha2-512";
    legacy:
    HmacSha1Etm = "hmac-sha1-etm@openssh.com",
    HmacSha1 = "hmac-sha1",
);

names!(Compression:
    None = "none",
    ZlibOpenssh = "zlib@openssh.com",
);

impl Kex {
    /// Whether it computes with numbers of thousands of bits.
    #[must_use]
    pub const fn is_finite_field(self) -> bool {
        match self {
            Self::DiffieHellmanGroup16Sha512
            | Self::DiffieHellmanGroup14Sha256
            | Self::DiffieHellmanGroup14Sha1 => true,
            Self::MlKem768X25519Sha256
            | Self::Sntrup761X25519Sha512
            | Self::Sntrup761X25519Sha512Openssh
            | Self::Curve25519Sha256
            | Self::Curve25519Sha256Libssh
            | Self::EcdhSha2Nistp256
            | Self::EcdhSha2Nistp384
            | Self::EcdhSha2Nistp521 => false,
        }
    }

    /// Whether it takes milliseconds, so that it is not for a thread that serves sessions.
    #[must_use]
    pub const fn is_slow(self) -> bool {
        self.is_finite_field()
            || matches!(
                self,
                Self::Sntrup761X25519Sha512 | Self::Sntrup761X25519Sha512Openssh
            )
    }

    /// What one key exchange costs, against the cheapest.
    pub(super) const fn weight(self) -> u64 {
        if self.is_finite_field() { 8 } else { 1 }
    }

    /// The hash of the exchange, which also derives the keys.
    pub(super) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::MlKem768X25519Sha256
            | Self::Curve25519Sha256
            | Self::Curve25519Sha256Libssh
            | Self::EcdhSha2Nistp256
            | Self::DiffieHellmanGroup14Sha256 => &digest::SHA256,
            Self::EcdhSha2Nistp384 => &digest::SHA384,
            Self::Sntrup761X25519Sha512
            | Self::Sntrup761X25519Sha512Openssh
            | Self::EcdhSha2Nistp521
            | Self::DiffieHellmanGroup16Sha512 => &digest::SHA512,
            Self::DiffieHellmanGroup14Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        }
    }
}

impl Cipher {
    /// Whether the cipher authenticates by itself, so that no MAC is negotiated for it.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(
            self,
            Self::Aes128Gcm | Self::Aes256Gcm | Self::Chacha20Poly1305
        )
    }

    /// Length of the key material in bytes.
    pub(super) const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Ctr | Self::Aes128Cbc => 16,
            Self::Aes192Ctr | Self::Aes192Cbc => 24,
            Self::Aes256Gcm | Self::Aes256Ctr | Self::Aes256Cbc => 32,
            Self::Chacha20Poly1305 => 64,
        }
    }

    /// Length of the initial vector in bytes.
    pub(super) const fn iv_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 12,
            Self::Aes128Ctr | Self::Aes192Ctr | Self::Aes256Ctr => 16,
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => 16,
            Self::Chacha20Poly1305 => 0,
        }
    }
}

impl Mac {
    /// Whether it is computed over the encrypted packet, the length in the clear.
    #[must_use]
    pub const fn is_etm(self) -> bool {
        matches!(
            self,
            Self::HmacSha256Etm | Self::HmacSha512Etm | Self::HmacSha1Etm
        )
    }

    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::HmacSha256Etm | Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha512Etm | Self::HmacSha512 => hmac::HMAC_SHA512,
            Self::HmacSha1Etm | Self::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        }
    }

    /// Length of key and tag in bytes: the same for each hash (RFC 4253 section 6.4, RFC 6668).
    pub(super) const fn len(self) -> usize {
        match self {
            Self::HmacSha256Etm | Self::HmacSha256 => 32,
            Self::HmacSha512Etm | Self::HmacSha512 => 64,
            Self::HmacSha1Etm | Self::HmacSha1 => 20,
        }
    }
}

/// What one side offers, the most preferred first. `Default` is everything that is built in and not
/// legacy; no compression comes before compression, so that as a client we never ask for it by
/// default.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Algorithms {
    /// Key exchange.
    pub kex: Vec<Kex>,
    /// Ciphers, in both directions.
    pub ciphers: Vec<Cipher>,
    /// MACs, in both directions.
    pub macs: Vec<Mac>,
    /// Compression, in both directions.
    pub compression: Vec<Compression>,
}

impl Default for Algorithms {
    fn default() -> Self {
        Self {
            kex: Kex::ALL.to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            macs: Mac::ALL.to_vec(),
            compression: Compression::ALL.to_vec(),
        }
    }
}

impl Algorithms {
    /// What clients are offered: everything but key exchange in finite fields. That costs a server
    /// some 20 times what it costs a client that has prepared its half, and every client that knows
    /// certificates of host keys knows a curve too.
    #[must_use]
    pub fn for_clients() -> Self {
        let mut algorithms = Self::default();
        algorithms.kex.retain(|kex| !kex.is_finite_field());
        algorithms
    }

    /// Only this key exchange.
    #[must_use]
    pub fn only_kex(mut self, kex: Kex) -> Self {
        self.kex = vec![kex];
        self
    }

    /// Only this cipher.
    #[must_use]
    pub fn only_cipher(mut self, cipher: Cipher) -> Self {
        self.ciphers = vec![cipher];
        self
    }

    /// Only this MAC; without effect on ciphers that bring their own.
    #[must_use]
    pub fn only_mac(mut self, mac: Mac) -> Self {
        self.macs = vec![mac];
        self
    }

    /// Only this compression.
    #[must_use]
    pub fn only_compression(mut self, compression: Compression) -> Self {
        self.compression = vec![compression];
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_offered_no_finite_fields() {
        let offered = Algorithms::for_clients();
        assert!(offered.kex.iter().all(|kex| !kex.is_finite_field()));
        assert!(offered.kex.contains(&Kex::EcdhSha2Nistp256));
        let all = Algorithms::default().kex;
        assert!(all.iter().any(|kex| kex.is_finite_field()), "hosts are");
    }

    #[test]
    fn names_are_read_back() {
        for kex in Kex::ALL.iter().chain(Kex::LEGACY) {
            assert_eq!(Kex::from_name(kex.name()), Some(*kex));
        }
        for cipher in Cipher::ALL.iter().chain(Cipher::LEGACY) {
            assert_eq!(Cipher::from_name(cipher.name()), Some(*cipher));
        }
        for mac in Mac::ALL.iter().chain(Mac::LEGACY) {
            assert_eq!(Mac::from_name(mac.name()), Some(*mac));
        }
        assert_eq!(Cipher::from_name("3des-cbc"), None);
        assert_eq!(Kex::from_name("diffie-hellman-group1-sha1"), None);
    }
}
