//! The public keys of the CAs, as the monitor sends them to the processes that need them.

use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;

/// The public keys of the CAs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicCaKeys {
    /// The user CA's.
    #[serde(with = "lines")]
    pub user: Vec<PublicKey>,
    /// The host CA's.
    #[serde(with = "lines")]
    pub host: Vec<PublicKey>,
    /// The one of them that signs host certificates.
    #[serde(with = "line")]
    pub signs: PublicKey,
}

/// A public key as OpenSSH writes it.
pub(super) mod line {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};
    use ssh_key::PublicKey;

    pub(in crate::ipc) fn serialize<S: Serializer>(
        key: &PublicKey,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&key.to_openssh().map_err(ser::Error::custom)?)
    }

    pub(in crate::ipc) fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<PublicKey, D::Error> {
        let text = String::deserialize(from)?;
        PublicKey::from_openssh(&text).map_err(de::Error::custom)
    }
}

/// Several of them.
pub(super) mod lines {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use ssh_key::PublicKey;

    pub(in crate::ipc) fn serialize<S: Serializer>(
        keys: &[PublicKey],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let texts: Result<Vec<_>, _> = keys.iter().map(PublicKey::to_openssh).collect();
        texts.map_err(ser::Error::custom)?.serialize(to)
    }

    pub(in crate::ipc) fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<Vec<PublicKey>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let keys = texts.iter().map(|text| PublicKey::from_openssh(text));
        keys.collect::<Result<_, _>>().map_err(de::Error::custom)
    }
}
