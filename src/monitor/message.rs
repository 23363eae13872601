//! What the monitor and its workers say to each other.
//!
//! JSON, because an upgrade has two versions of this program talk. A worker is believed nothing: the one
//! path that it may say is looked up in a list of the monitor's own.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;

/// The version of everything that is said between processes. Whoever changes what stands here or in
/// `handover` in a way that an older version does not understand, counts it up.
pub const VERSION: u32 = 1;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerKind {
    /// SSH.
    Ssh,
    /// HTTP, for everybody.
    Web,
    /// HTTP, for the operator's machines.
    Metrics,
}

/// What everybody may know of the CAs, and a worker has to.
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

/// Public keys as OpenSSH writes them.
mod line {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};
    use ssh_key::PublicKey;

    pub(super) fn serialize<S: Serializer>(key: &PublicKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&key.to_openssh().map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<PublicKey, D::Error> {
        let text = String::deserialize(from)?;
        PublicKey::from_openssh(&text).map_err(de::Error::custom)
    }
}

/// Several of them.
mod lines {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use ssh_key::PublicKey;

    pub(super) fn serialize<S: Serializer>(keys: &[PublicKey], to: S) -> Result<S::Ok, S::Error> {
        let texts: Result<Vec<_>, _> = keys.iter().map(PublicKey::to_openssh).collect();
        texts.map_err(ser::Error::custom)?.serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<Vec<PublicKey>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let keys = texts.iter().map(|text| PublicKey::from_openssh(text));
        keys.collect::<Result<_, _>>().map_err(de::Error::custom)
    }
}

/// From the monitor to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MonitorMessage {
    /// Begin, with these listeners, which come along. The first order, and only that.
    Start {
        /// [`VERSION`]
        version: u32,
        /// What the files are that come along, in their order.
        listeners: Vec<ListenerKind>,
        /// The CAs' keys.
        keys: PublicCaKeys,
    },
    /// The CAs' keys have changed.
    Keys(PublicCaKeys),
    /// Read the configuration again.
    Reload,
    /// Accept nobody any more, and end when everybody is done or has had their time.
    Drain,
    /// End whoever is left.
    End,
    /// Another worker accepts from now on; end when everybody is done.
    Retire,
    /// Say that you live.
    Ping,
}

/// From a worker to the monitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerMessage {
    /// Clients are accepted.
    Ready,
    /// The configuration was read again, or not, but that is over.
    Reloaded,
    /// Nobody is accepted any more; connections may take this long.
    Draining {
        /// Seconds.
        seconds: u64,
    },
    /// The answer to [`MonitorMessage::Ping`].
    Alive,
    /// A connection comes along, to the agent that signs host certificates.
    Sign,
    /// A way comes along on which this file is wanted, open.
    Lend {
        /// Its path, which has to be one of those that are lent. It need not be UTF-8.
        path: OsString,
        /// To be appended to, and not to be read.
        to_append: bool,
    },
}

/// A message as bytes.
///
/// # Errors
/// Never for those of this file.
pub fn encode(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(message)
}

/// Reads a message.
///
/// # Errors
/// When it is none.
pub fn decode<'m, M: Deserialize<'m>>(bytes: &'m [u8]) -> serde_json::Result<M> {
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An older version reads what a newer one writes, and the other way round: these bytes stay.
    #[test]
    fn messages_look_the_same_in_every_version() {
        let text =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLnu0BKA3mNaGPdHdb7Zqz0UNxrqtnWhYXnQcLhfPVq c";
        let key = PublicKey::from_openssh(text).unwrap();
        let keys = PublicCaKeys {
            user: vec![key.clone()],
            host: vec![key.clone(), key.clone()],
            signs: key,
        };
        let keys_text =
            format!(r#"{{"user":["{text}"],"host":["{text}","{text}"],"signs":"{text}"}}"#);
        let start = MonitorMessage::Start {
            version: 1,
            listeners: vec![ListenerKind::Ssh, ListenerKind::Web],
            keys: keys.clone(),
        };
        let start_text =
            format!(r#"{{"start":{{"version":1,"listeners":["ssh","web"],"keys":{keys_text}}}}}"#);
        let keys_text = format!(r#"{{"keys":{keys_text}}}"#);
        for (order, text) in [
            (start, start_text.as_str()),
            (MonitorMessage::Keys(keys), keys_text.as_str()),
            (MonitorMessage::Reload, r#""reload""#),
            (MonitorMessage::Drain, r#""drain""#),
            (MonitorMessage::End, r#""end""#),
            (MonitorMessage::Retire, r#""retire""#),
            (MonitorMessage::Ping, r#""ping""#),
        ] {
            assert_eq!(encode(&order).unwrap(), text.as_bytes());
            assert_eq!(decode::<MonitorMessage>(text.as_bytes()).unwrap(), order);
        }
        for (report, text) in [
            (WorkerMessage::Ready, r#""ready""#),
            (WorkerMessage::Reloaded, r#""reloaded""#),
            (
                WorkerMessage::Draining { seconds: 30 },
                r#"{"draining":{"seconds":30}}"#,
            ),
            (WorkerMessage::Alive, r#""alive""#),
            (WorkerMessage::Sign, r#""sign""#),
            (
                WorkerMessage::Lend {
                    path: OsString::from("/f"),
                    to_append: true,
                },
                r#"{"lend":{"path":{"Unix":[47,102]},"to_append":true}}"#,
            ),
        ] {
            assert_eq!(encode(&report).unwrap(), text.as_bytes());
            assert_eq!(decode::<WorkerMessage>(text.as_bytes()).unwrap(), report);
        }
        assert!(decode::<WorkerMessage>(br#""exec""#).is_err());
    }
}
