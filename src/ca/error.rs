//! Errors of a CA, each with a hint.

use std::path::PathBuf;

use ssh_key::Fingerprint;
use thiserror::Error;

use super::agent_error::{AgentFault, AgentKeyError};
use super::kind::CaKind;
use super::rotation::MoveError;
use crate::cert::{RequestError, SignError, UnsignedError};
use crate::model::text;
use crate::sys::fs::FsError;

/// Why a CA cannot be opened, or does not sign.
#[derive(Debug, Error)]
pub enum CaError {
    /// A file or directory of the data directory.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// There are no CAs there.
    #[error("there are no CAs in the data directory {}", text::path(.0))]
    None(PathBuf),
    /// One of the two is not there.
    #[error("there is no {kind} CA in the data directory {}", text::path(data_dir))]
    NoneOf {
        /// Which CA.
        kind: CaKind,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The CA is on another machine that shares the state.
    #[error(
        "there is no {kind} CA in the data directory {}, and other machines that share the state sign \
         with {ca}: a second CA is not made",
        text::path(data_dir)
    )]
    OfOtherMachines {
        /// Which CA.
        kind: CaKind,
        /// The data directory.
        data_dir: PathBuf,
        /// The fingerprint of the CA's key.
        ca: String,
    },
    /// A line that says nothing, in a file of which every line counts.
    #[error("line {line} of {} is damaged", text::path(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: u64,
    },
    /// A file that is missing, or one from before.
    #[error(
        "{} is missing or an old copy: it has {has}, the ledger knows of {known}",
        text::path(path)
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// How far it is.
        has: String,
        /// How far the ledger knows that it was.
        known: String,
    },
    /// A key file that holds something else.
    #[error("{} is not an OpenSSH private key file", text::path(path))]
    NotAKey {
        /// The key file.
        path: PathBuf,
        /// What the parser says.
        source: ssh_key::Error,
    },
    /// A public key file that holds something else.
    #[error("{} is not an OpenSSH public key file", text::path(path))]
    NotAPublicKey {
        /// The public key file.
        path: PathBuf,
        /// What the parser says.
        source: ssh_key::Error,
    },
    /// A key file with a passphrase, which the proxy could not ask for.
    #[error("{} is encrypted with a passphrase", text::path(.0))]
    Encrypted(PathBuf),
    /// A key that cannot sign certificates which sshd accepts.
    #[error("{} holds a key of a kind that cannot be a CA", text::path(.0))]
    Unusable(PathBuf),
    /// The public key file is there, the private one is not.
    #[error(
        "{} is missing, but its public key {} is there",
        text::path(path),
        text::path(public_path)
    )]
    PrivateKeyGone {
        /// Where the private key should be.
        path: PathBuf,
        /// The public key that is there.
        public_path: PathBuf,
    },
    /// The public key file holds another key, or none.
    #[error(
        "{} is not the public key of {}",
        text::path(public_path),
        text::path(path)
    )]
    PublicMismatch {
        /// The private key file.
        path: PathBuf,
        /// The public key file.
        public_path: PathBuf,
    },
    /// The configuration keeps the key in an agent, and its file is there too.
    #[error("{} holds a key that the configuration keeps in an agent", text::path(.0))]
    StillHere(PathBuf),
    /// The configuration keeps another key in an agent than the CA has.
    #[error("the key of the {kind} CA is {there}, not {configured} of auth_service.ca_keys")]
    OtherKey {
        /// Which CA.
        kind: CaKind,
        /// The fingerprint of the key in the configuration.
        configured: String,
        /// The CA's.
        there: String,
    },
    /// The configuration keeps the keys in agents and does not say which is the next one.
    #[error("auth_service.ca_keys.{0}.next names no key that could follow the present one")]
    NoNextKey(CaKind),
    /// A private key is brought that the configuration keeps in an agent.
    #[error("the configuration keeps this key of the {0} CA in an agent")]
    InAgent(CaKind),
    /// A public key is brought, and the configuration has no agent for it.
    #[error("auth_service.ca_keys does not say which agent has the key {0}")]
    NoAgentFor(Fingerprint),
    /// A key is brought that the CA has.
    #[error("this is the key of the {0} CA already")]
    HasThisKey(CaKind),
    /// A key is brought, and the CA has another one.
    #[error("the {kind} CA has a key already, {key}")]
    HasKey {
        /// Which CA.
        kind: CaKind,
        /// The key that it has.
        key: Fingerprint,
    },
    /// An agent that has the key did not do its part.
    #[error(transparent)]
    Agent(#[from] AgentKeyError),
    /// The process that has the key did not do its part.
    #[error("the monitor {0}")]
    Remote(#[source] Box<AgentFault>),
    /// A process that talks to the network asks for what it has no use for.
    #[error("not signed for the proxy")]
    NotForProxy(#[from] UnsignedError),
    /// A signature is wanted with a key whose private half this process has not read.
    #[error("this process does not sign with the key {0}")]
    Unread(Fingerprint),
    /// A new key could not be made or encoded.
    #[error("cannot make the key {}", text::path(path))]
    KeyMaking {
        /// Where it was to go.
        path: PathBuf,
        /// What the key library says.
        source: ssh_key::Error,
    },
    /// A rotation says that there is a new key, and there is none.
    #[error("{} is missing, the key that the rotation brings", text::path(.0))]
    NewKeyGone(PathBuf),
    /// The file that says where a rotation stands says something else.
    #[error("{} does not say where the rotation stands", text::path(path))]
    RotationState {
        /// The state file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The rotation does not move that way.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// A key to ask hosts about could not be made.
    #[error("cannot make a throwaway key")]
    Throwaway(#[source] ssh_key::Error),
    /// A new host key could not be made or encoded.
    #[error("cannot make a host key")]
    HostKey(#[source] ssh_key::Error),
    /// The request asks for something that no certificate may have.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// The CA's key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The place where the records are does not do its part, or says what it must not.
    #[error(transparent)]
    Records(Box<dyn std::error::Error + Send + Sync>),
    /// A line of the ledger, or of the revocations, could not be encoded.
    #[error("cannot encode the record")]
    Record(#[source] serde_json::Error),
}

impl CaError {
    /// Whether the process with the key has another one by now.
    #[must_use]
    pub fn is_of_a_replaced_key(&self) -> bool {
        matches!(self, Self::Remote(fault) if matches!(**fault, AgentFault::NotHeld { .. }))
    }

    /// What the administrator can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Fs(error) => return fs_hint(error),
            Self::None(_) | Self::NoneOf { .. } => {
                "name the proxy's data directory with --data-dir or --config and run this as the \
                 account that the proxy runs as; on a new proxy, `rproxy auth init` makes them, and \
                 so does `rproxy serve`"
                    .to_owned()
            }
            Self::OfOtherMachines { .. } => {
                "copy the directory ca of the other proxy's data directory to this one, or name the \
                 agents with its keys in auth_service.ca_keys"
                    .to_owned()
            }
            Self::Damaged { path, .. } | Self::Older { path, .. } => format!(
                "restore {} from a backup, or copy it from the proxy that shares the state; until then \
                 nothing is served, signed or published",
                path.display()
            ),
            Self::NotAKey { path, .. } => format!(
                "restore {} from a backup; it is never replaced on its own",
                path.display()
            ),
            Self::Encrypted(path) => format!(
                "remove the passphrase with ssh-keygen -p -N '' -f {}",
                path.display()
            ),
            Self::Unusable(_) => {
                "a CA has an Ed25519, ECDSA or RSA key, RSA of 2048 bits or more".to_owned()
            }
            Self::NotAPublicKey { path, .. } => format!(
                "put the key there as `ssh-add -L` prints it, or restore {} from a backup",
                path.display()
            ),
            Self::PrivateKeyGone { path, public_path } => format!(
                "restore {}, name the agent that has it in auth_service.ca_keys, or remove {} to \
                 make a new CA, which nobody trusts yet",
                path.display(),
                public_path.display()
            ),
            Self::PublicMismatch { public_path, .. } => format!(
                "remove {}; it is written again from the private key",
                public_path.display()
            ),
            Self::NewKeyGone(path) => format!(
                "restore {} from a backup, name the agent that has it in auth_service.ca_keys, or \
                 go back with `rproxy auth rotate --phase=rollback`",
                path.display()
            ),
            Self::StillHere(path) => format!(
                "remove {} once the agent has the key for good, or take the agent out of \
                 auth_service.ca_keys",
                path.display()
            ),
            Self::OtherKey { .. }
            | Self::NoNextKey(_)
            | Self::InAgent(_)
            | Self::NoAgentFor(_)
            | Self::HasThisKey(_)
            | Self::HasKey { .. } => return self.import_hint(),
            Self::Agent(error) => error.fault().hint().to_owned(),
            Self::RotationState { path, .. } => {
                format!("restore {} from a backup", path.display())
            }
            Self::Move(error) => error.hint(),
            Self::Remote(_)
            | Self::NotForProxy(_)
            | Self::Unread(_)
            | Self::KeyMaking { .. }
            | Self::HostKey(_)
            | Self::Throwaway(_)
            | Self::Sign(_)
            | Self::Records(_)
            | Self::Record(_) => return None,
            Self::Refused(error) => error.hint(),
        };
        Some(hint)
    }
    /// The same where a key is brought, or to be brought, into a CA.
    fn import_hint(&self) -> Option<String> {
        Some(match self {
            Self::OtherKey { kind, .. } => format!(
                "name the key as auth_service.ca_keys.{kind}.next and bring it in with \
                 `rproxy auth rotate --type={kind}`; where nobody trusts the present one yet, \
                 `rproxy auth import --type={kind} --overwrite FILE.pub` replaces it"
            ),
            Self::NoNextKey(kind) => format!(
                "name it there with its agent, or bring a key file with \
                 `rproxy auth import --type={kind} --rotate FILE`"
            ),
            Self::InAgent(kind) => format!(
                "give its public key (`ssh-add -L`), or take it out of auth_service.ca_keys.{kind}"
            ),
            Self::NoAgentFor(key) => format!(
                "write there: {{ agent: SOCKET, key: \"{key}\" }}; as `next` where a rotation \
                 brings it in"
            ),
            Self::HasThisKey(_) => "there is nothing to do".to_owned(),
            Self::HasKey { .. } => "with --rotate both are trusted until the new one has replaced \
                                    the old one; with --overwrite everything that the old one \
                                    signed counts no more, at once"
                .to_owned(),
            _ => return None,
        })
    }
}

fn fs_hint(error: &FsError) -> Option<String> {
    match error {
        FsError::TooOpen { path, .. } => {
            let mode = if path.is_dir() { "0700" } else { "0600" };
            Some(format!("chmod {mode} {}", path.display()))
        }
        FsError::Owner { path, expected, .. } => Some(format!(
            "chown {expected} {}, or run as its owner",
            path.display()
        )),
        _ => None,
    }
}
