//! Diffie-Hellman in finite fields: the 2048 and 4096 bit groups of RFC 3526 with SHA-2 (RFC 8268),
//! for hosts without elliptic curves; the smaller one also with SHA-1, for older hosts.
//!
//! Public values are kept as the body of an mpint, a leading zero byte included.

use std::fmt;

use aws_lc_rs::rand;
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use ssh_encoding::Mpint;
use zeroize::Zeroizing;

use super::secret::SharedSecret;
use crate::wire::error::{Error, Violation};

/// Bits of our exponents: twice 256 bits of strength, more than either group has.
const EXPONENT_BITS: u32 = 512;
const EXPONENT_BYTES: usize = 64;

/// A group; the generator is 2.
#[derive(Clone, Copy, Debug)]
pub(super) enum DhGroup {
    /// Group 14.
    Modp2048,
    /// Group 16.
    Modp4096,
}

impl DhGroup {
    const fn bits(self) -> u32 {
        match self {
            Self::Modp2048 => 2048,
            Self::Modp4096 => 4096,
        }
    }

    fn prime(self) -> Result<Odd<BoxedUint>, Error> {
        let digits = match self {
            Self::Modp2048 => MODP_2048.concat(),
            Self::Modp4096 => MODP_4096.concat(),
        };
        BoxedUint::from_str_radix_vartime(&digits, 16)
            .ok()
            .and_then(|prime| Odd::new(prime).into_option())
            .ok_or(Error::Crypto("prime of the group"))
    }
}

/// A private exponent and its public value.
pub(in crate::wire) struct GroupKey {
    group: DhGroup,
    params: BoxedMontyParams,
    exponent: Zeroizing<BoxedUint>,
    public: Vec<u8>,
}

impl GroupKey {
    pub(super) fn generate(group: DhGroup) -> Result<Self, Error> {
        let params = BoxedMontyParams::new_vartime(group.prime()?);
        let mut bytes = Zeroizing::new([0; EXPONENT_BYTES]);
        rand::fill(&mut *bytes).map_err(|_failed| Error::Crypto("entropy"))?;
        let exponent = BoxedUint::from_be_slice(&*bytes, EXPONENT_BITS)
            .map_err(|_wrong_size| Error::Crypto("exponent"))?;
        let exponent = Zeroizing::new(exponent);
        let two = BoxedUint::from_be_slice(&[2], group.bits())
            .map_err(|_wrong_size| Error::Crypto("generator"))?;
        let public = BoxedMontyForm::new(two, &params).pow(&exponent).retrieve();
        let public = Mpint::from_positive_bytes(&public.to_be_bytes());
        Ok(Self {
            group,
            params,
            exponent,
            public: public.as_bytes().to_vec(),
        })
    }

    pub(super) fn public(&self) -> Vec<u8> {
        self.public.clone()
    }

    /// The secret, from the peer's public value `e` with `1 < e < p - 1` (RFC 4253 section 8; the
    /// two ends are excluded too, because they lead to a secret that can be guessed).
    pub(super) fn secret(&self, peer: &[u8]) -> Result<SharedSecret, Error> {
        let bad = || Error::from(Violation::KeyExchange("bad public value"));
        let peer = Mpint::from_bytes(peer).map_err(|_not_canonical| bad())?;
        let magnitude = peer.as_positive_bytes().ok_or_else(bad)?;
        let peer =
            BoxedUint::from_be_slice(magnitude, self.group.bits()).map_err(|_too_long| bad())?;
        let one = BoxedUint::one_with_precision(self.group.bits());
        let last = self.params.modulus().as_ref().wrapping_sub(&one);
        if peer <= one || peer >= last {
            return Err(bad());
        }
        let secret = BoxedMontyForm::new(peer, &self.params).pow(&self.exponent);
        let secret = Zeroizing::new(secret);
        let secret = Zeroizing::new(secret.retrieve());
        let bytes = Zeroizing::new(secret.to_be_bytes());
        Ok(SharedSecret::number(&bytes))
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupKey({:?}, ..)", self.group)
    }
}

/// RFC 3526 section 3.
const MODP_2048: &[&str] = &[
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74",
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB",
    "9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718",
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
];

/// RFC 3526 section 5.
const MODP_4096: &[&str] = &[
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74",
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB",
    "9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718",
    "3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33",
    "A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7",
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864",
    "D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2",
    "08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A92108011A723C12A787E6D7",
    "88719A10BDBA5B2699C327186AF4E23C1A946834B6150BDA2583E9CA2AD44CE8",
    "DBBBC2DB04DE8EF92E8EFC141FBECAA6287C59474E6BC05D99B2964FA090C3A2",
    "233BA186515BE7ED1F612970CEE2D7AFB81BDD762170481CD0069127D5B05AA9",
    "93B4EA988D8FDDC186FFB7DC90A6C08F4DF435C934063199FFFFFFFFFFFFFFFF",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primes_have_their_size_and_shape() {
        for group in [DhGroup::Modp2048, DhGroup::Modp4096] {
            let prime = group.prime().expect("odd").get();
            assert_eq!(prime.bits(), group.bits());
            let bytes = prime.to_be_bytes();
            assert_eq!(bytes[..8], [0xff; 8]);
            assert_eq!(bytes[bytes.len() - 8..], [0xff; 8]);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_refused() {
        for group in [DhGroup::Modp2048, DhGroup::Modp4096] {
            let key = GroupKey::generate(group).expect("key");
            let prime = group.prime().expect("odd").get();
            let one = BoxedUint::one_with_precision(group.bits());
            let mpint = |n: &BoxedUint| Mpint::from_positive_bytes(&n.to_be_bytes());
            let last = prime.wrapping_sub(&one);
            for bad in [&one, &last, &prime] {
                assert!(key.secret(mpint(bad).as_bytes()).is_err());
            }
            for good in [one.wrapping_add(&one), last.wrapping_sub(&one)] {
                assert!(key.secret(mpint(&good).as_bytes()).is_ok());
            }
            let negative = [0x80, 1];
            assert!(key.secret(&negative).is_err());
            let too_long = [&[1][..], &[0; 600]].concat();
            assert!(key.secret(&too_long).is_err());
        }
    }
}
