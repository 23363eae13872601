//! The key encapsulation of the hybrids: protects against future quantum computers, in addition to
//! X25519.
//!
//! ML-KEM-768 (draft-ietf-sshm-mlkem-hybrid-kex) and Streamlined NTRU Prime 761 (draft-ietf-sshm-ntruprime-ssh).
//! Neither is used alone: an attacker that breaks one of them still has to break X25519.

use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use zeroize::Zeroizing;

use super::secret::{BAD_PUBLIC, FAILED};
use crate::wire::error::Error;

/// A method of encapsulation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::wire) enum Kem {
    MlKem768,
    Sntrup761,
}

/// The half of the side that begins.
pub(in crate::wire) enum KemKey {
    MlKem768(Box<DecapsulationKey>),
    Sntrup761(Box<sntrup761::DecapsulationKey>),
}

/// A secret that both sides have.
pub(super) type KemSecret = Zeroizing<Vec<u8>>;

impl Kem {
    /// Length of what the client sends.
    pub(super) const fn public_len(self) -> usize {
        match self {
            Self::MlKem768 => 1184,
            Self::Sntrup761 => sntrup761::PUBLIC_KEY_SIZE,
        }
    }

    /// Length of what the server answers.
    pub(super) const fn ciphertext_len(self) -> usize {
        match self {
            Self::MlKem768 => 1088,
            Self::Sntrup761 => sntrup761::CIPHERTEXT_SIZE,
        }
    }

    /// A new key and its public half.
    pub(super) fn generate(self) -> Result<(KemKey, Vec<u8>), Error> {
        match self {
            Self::MlKem768 => {
                let key = DecapsulationKey::generate(&ML_KEM_768).map_err(|_failed| FAILED)?;
                let public = key
                    .encapsulation_key()
                    .and_then(|key| key.key_bytes())
                    .map_err(|_failed| FAILED)?;
                let public = public.as_ref().to_vec();
                Ok((KemKey::MlKem768(Box::new(key)), public))
            }
            Self::Sntrup761 => {
                let (public, key) = sntrup761::generate_key(rand::rng());
                let public = public.as_ref().to_vec();
                Ok((KemKey::Sntrup761(Box::new(key)), public))
            }
        }
    }

    /// The answer to a public half, and the secret.
    pub(super) fn encapsulate(self, public: &[u8]) -> Result<(Vec<u8>, KemSecret), Error> {
        match self {
            Self::MlKem768 => {
                let key =
                    EncapsulationKey::new(&ML_KEM_768, public).map_err(|_rejected| BAD_PUBLIC)?;
                let (ciphertext, secret) = key.encapsulate().map_err(|_failed| BAD_PUBLIC)?;
                let secret = Zeroizing::new(secret.as_ref().to_vec());
                Ok((ciphertext.as_ref().to_vec(), secret))
            }
            Self::Sntrup761 => {
                let key = sntrup761::EncapsulationKey::try_from(public)
                    .map_err(|_wrong_length| BAD_PUBLIC)?;
                let (ciphertext, secret) = key.encapsulate(rand::rng());
                let secret = Zeroizing::new(secret.as_ref().to_vec());
                Ok((ciphertext.as_ref().to_vec(), secret))
            }
        }
    }
}

impl KemKey {
    /// The secret, from the answer. A forged answer leads to a secret that the other side does not have, which the
    /// signature over the exchange brings to light.
    pub(super) fn decapsulate(&self, ciphertext: &[u8]) -> Result<KemSecret, Error> {
        match self {
            Self::MlKem768(key) => {
                let secret = key
                    .decapsulate(Ciphertext::from(ciphertext))
                    .map_err(|_failed| BAD_PUBLIC)?;
                Ok(Zeroizing::new(secret.as_ref().to_vec()))
            }
            Self::Sntrup761(key) => {
                let ciphertext = sntrup761::Ciphertext::try_from(ciphertext)
                    .map_err(|_wrong_length| BAD_PUBLIC)?;
                let secret = key.decapsulate(&ciphertext);
                Ok(Zeroizing::new(secret.as_ref().to_vec()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Kem; 2] = [Kem::MlKem768, Kem::Sntrup761];

    #[test]
    fn lengths_are_those_of_the_methods() {
        for kem in ALL {
            let (key, public) = kem.generate().expect("a key");
            assert_eq!(public.len(), kem.public_len());
            let (ciphertext, secret) = kem.encapsulate(&public).expect("encapsulates");
            assert_eq!(ciphertext.len(), kem.ciphertext_len());
            assert_eq!(key.decapsulate(&ciphertext).expect("decapsulates"), secret);
            let short = &ciphertext[1..];
            assert!(key.decapsulate(short).is_err(), "{kem:?}");
            assert!(kem.encapsulate(&public[1..]).is_err(), "{kem:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever a peer sends in place of a key or an answer, nothing panics, and neither side gets the
        /// secret that the honest side has.
        #[test]
        fn any_bytes_are_survived(
            bytes in prop::collection::vec(any::<u8>(), 1184),
            flip in 0usize..1039,
        ) {
            for kem in ALL {
                // ML-KEM refuses what is not reduced, NTRU Prime takes all for a key.
                let answer = kem.encapsulate(&bytes[..kem.public_len()]);
                prop_assert!(kem == Kem::MlKem768 || answer.is_ok());
            }
            let (key, public) = Kem::Sntrup761.generate().expect("a key");
            let (mut ciphertext, secret) = Kem::Sntrup761.encapsulate(&public).expect("answers");
            ciphertext[flip] ^= 1;
            prop_assert_ne!(key.decapsulate(&ciphertext).expect("a secret"), secret.clone());
            prop_assert_ne!(key.decapsulate(&bytes[..1039]).expect("a secret"), secret);
        }
    }
}
