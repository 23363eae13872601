//! The service that signs with the host CA's key, which only the monitor has.

use std::fmt;

use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;

use super::ca_keys::line;
use super::client::{CallError, Client};

/// Asks for a signature, or whether there could be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningRequest {
    /// Which key signs, and whether it can be used now. Nothing is signed.
    Check,
    /// A signature.
    Sign {
        /// The key that is to sign.
        #[serde(with = "line")]
        key: PublicKey,
        /// A host certificate without its signature (PROTOCOL.certkeys).
        #[serde(with = "hexadecimal")]
        data: Vec<u8>,
    },
}

/// The answer to [`SigningRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningAnswer {
    /// To [`SigningRequest::Check`]: the key that signs; `None` when it cannot be used.
    Key(Option<CaKeyLine>),
    /// The signature as RFC 4253 section 6.6 encodes it.
    Signature(#[serde(with = "hexadecimal")] Vec<u8>),
    /// Not signed. The key that signs, if the CA is open: when it is the one that was asked for, the
    /// signature was refused.
    Refused(Option<CaKeyLine>),
}

/// A CA's public key, as OpenSSH writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaKeyLine(#[serde(with = "line")] pub PublicKey);

/// What signs with the host CA's key.
pub trait Signing: fmt::Debug + Send + Sync {
    /// Answers a request. It may wait for another process, for a bounded time.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&self, request: SigningRequest) -> Result<SigningAnswer, CallError>;
}

/// Has another process sign.
#[derive(Clone, Debug)]
pub struct RemoteSigning(Client);

impl RemoteSigning {
    /// Through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Signing for RemoteSigning {
    fn ask(&self, request: SigningRequest) -> Result<SigningAnswer, CallError> {
        let (answer, _no_files) = self.0.call(&request)?;
        Ok(answer)
    }
}

/// Bytes as hexadecimal digits: JSON has no bytes.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::model::text;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text::hex(bytes))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let byte = |pair: &[u8]| match *pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        };
        let bytes = text.as_bytes().chunks(2).map(byte);
        bytes
            .collect::<Option<_>>()
            .ok_or_else(|| de::Error::custom("not hexadecimal"))
    }
}
