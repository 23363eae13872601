//! The messages of a process's life cycle: the monitor's orders, and the process's reports.
//!
//! They are JSON, because two versions of this program talk to each other at an upgrade.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::ca_keys::PublicCaKeys;
use super::call::{CallerProcess, ForwardedCall, ServiceCall};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerKind {
    /// SSH.
    Ssh,
    /// HTTP, for all clients.
    Web,
    /// HTTP, for monitoring.
    Metrics,
}

/// From the monitor to a process that it has started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MonitorMessage {
    /// Start with these listeners, whose sockets are attached. Always the first message to a worker,
    /// and sent once.
    Start {
        /// [`super::VERSION`]
        version: u32,
        /// The kinds of the attached sockets, in their order.
        listeners: Vec<ListenerKind>,
        /// The CAs' public keys.
        keys: PublicCaKeys,
        /// Where the listeners are that other processes of this proxy have.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<SocketAddr>,
    },
    /// Start with the listener of the web, whose socket is attached. Always the first message to a web
    /// process, and sent once.
    StartWeb {
        /// [`super::VERSION`]
        version: u32,
    },
    /// Start. Always the first message to the auth process, and sent once.
    StartAuth {
        /// [`super::VERSION`]
        version: u32,
        /// How often an auth process was started again because one had ended by itself.
        #[serde(default)]
        restarts: u64,
    },
    /// A call of another process, which the receiver has to answer; the socket for the answer is
    /// attached.
    Call(ForwardedCall),
    /// A process that may have called has exited: it needs no more answers.
    Exited(CallerProcess),
    /// The CAs' public keys have changed.
    Keys(PublicCaKeys),
    /// Reload the configuration.
    Reload,
    /// Accept no more connections; exit when all are closed or have timed out.
    Drain,
    /// Close the remaining connections.
    End,
    /// Another process of the same kind has taken over. A worker, or a web process, accepts no more
    /// connections and exits when all of its connections are closed; the auth process answers the calls that it has, and
    /// exits.
    Retire,
    /// Answer with [`ProcessMessage::Alive`].
    Ping,
}

/// From a process to the monitor, which has started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessMessage {
    /// A worker or a web process accepts clients; the auth process answers calls, and has sent its first
    /// [`Self::Keys`].
    Ready,
    /// From the auth process: the CAs' public keys, as they are now.
    Keys(PublicCaKeys),
    /// The configuration was reloaded, or that failed.
    Reloaded,
    /// No more clients are accepted; connections may take this long.
    Draining {
        /// Seconds.
        seconds: u64,
    },
    /// The answer to [`MonitorMessage::Ping`].
    Alive,
    /// A call of a service; the socket for the answer is attached.
    Call(ServiceCall),
}

/// A message as bytes.
///
/// # Errors
/// Never for the messages of this room.
pub fn encode(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(message)
}

/// Reads a message.
///
/// # Errors
/// When the bytes are not such a message.
pub fn decode<'m, M: Deserialize<'m>>(bytes: &'m [u8]) -> serde_json::Result<M> {
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use ssh_key::PublicKey;

    use super::*;
    use crate::ipc::{FilePurpose, FileRequest, ServiceRequest, SigningRequest};

    /// Older and newer versions read each other's messages, so these bytes must not change.
    #[test]
    fn messages_look_the_same_in_every_version() {
        let text =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLnu0BKA3mNaGPdHdb7Zqz0UNxrqtnWhYXnQcLhfPVq c";
        let key = PublicKey::from_openssh(text).unwrap();
        let keys = PublicCaKeys {
            user: vec![key.clone()],
            host: vec![key.clone(), key.clone()],
            signs: key.clone(),
        };
        let keys_text =
            format!(r#"{{"user":["{text}"],"host":["{text}","{text}"],"signs":"{text}"}}"#);
        let start = MonitorMessage::Start {
            version: 1,
            listeners: vec![ListenerKind::Ssh, ListenerKind::Web],
            keys: keys.clone(),
            others: Vec::new(),
        };
        let start_text =
            format!(r#"{{"start":{{"version":1,"listeners":["ssh","web"],"keys":{keys_text}}}}}"#);
        let keys_text = format!(r#"{{"keys":{keys_text}}}"#);
        let from = CallerProcess {
            kind: "worker".to_owned(),
            pid: 4711,
        };
        let forwarded = ForwardedCall {
            from: from.clone(),
            call: ServiceCall {
                id: 7,
                deadline_ms: 10_000,
                request: ServiceRequest::Signing(SigningRequest::Check),
            },
        };
        for (order, text) in [
            (start, start_text.as_str()),
            (
                MonitorMessage::StartWeb { version: 6 },
                r#"{"start_web":{"version":6}}"#,
            ),
            (
                MonitorMessage::StartAuth {
                    version: 3,
                    restarts: 2,
                },
                r#"{"start_auth":{"version":3,"restarts":2}}"#,
            ),
            (
                MonitorMessage::Call(forwarded),
                r#"{"call":{"from":{"kind":"worker","pid":4711},"call":{"id":7,"deadline_ms":10000,"request":{"signing":"check"}}}}"#,
            ),
            (
                MonitorMessage::Exited(from),
                r#"{"exited":{"kind":"worker","pid":4711}}"#,
            ),
            (MonitorMessage::Keys(keys.clone()), keys_text.as_str()),
            (MonitorMessage::Reload, r#""reload""#),
            (MonitorMessage::Drain, r#""drain""#),
            (MonitorMessage::End, r#""end""#),
            (MonitorMessage::Retire, r#""retire""#),
            (MonitorMessage::Ping, r#""ping""#),
        ] {
            assert_eq!(encode(&order).unwrap(), text.as_bytes());
            assert_eq!(decode::<MonitorMessage>(text.as_bytes()).unwrap(), order);
        }
        let call = |request| {
            ProcessMessage::Call(ServiceCall {
                id: 7,
                deadline_ms: 10_000,
                request,
            })
        };
        let file = FileRequest {
            path: OsString::from("/f"),
            purpose: FilePurpose::Append,
        };
        let sign = SigningRequest::Sign {
            key: key.clone(),
            data: vec![0xab, 1],
        };
        let sign_text = format!(
            r#"{{"call":{{"id":7,"deadline_ms":10000,"request":{{"signing":{{"sign":{{"key":"{text}","data":"ab01"}}}}}}}}}}"#
        );
        for (report, text) in [
            (ProcessMessage::Ready, r#""ready""#),
            (ProcessMessage::Keys(keys), keys_text.as_str()),
            (ProcessMessage::Reloaded, r#""reloaded""#),
            (
                ProcessMessage::Draining { seconds: 30 },
                r#"{"draining":{"seconds":30}}"#,
            ),
            (ProcessMessage::Alive, r#""alive""#),
            (
                call(ServiceRequest::Files(file)),
                r#"{"call":{"id":7,"deadline_ms":10000,"request":{"files":{"path":{"Unix":[47,102]},"purpose":"append"}}}}"#,
            ),
            (
                call(ServiceRequest::Signing(SigningRequest::Check)),
                r#"{"call":{"id":7,"deadline_ms":10000,"request":{"signing":"check"}}}"#,
            ),
            (call(ServiceRequest::Signing(sign)), sign_text.as_str()),
        ] {
            assert_eq!(encode(&report).unwrap(), text.as_bytes());
            assert_eq!(decode::<ProcessMessage>(text.as_bytes()).unwrap(), report);
        }
        assert!(decode::<ProcessMessage>(br#""exec""#).is_err());
    }
}
