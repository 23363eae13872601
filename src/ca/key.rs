//! The key of a CA, in a file or in an agent: everything that a CA signs is signed here.

use std::cell::RefCell;

use signature::Signer;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, HashAlg, PublicKey, Signature};

use super::agent_error::AgentKeyError;
use super::agent_key::{AgentKey, SignTimeout};
use super::agent_key_config::AgentSocket;
use super::error::CaError;
use super::file_key::FileKey;
use crate::cert::CertTemplate;

/// One key of one CA.
#[derive(Debug)]
pub(super) enum CaKey {
    /// In a file of the data directory.
    File(FileKey),
    /// In an agent.
    Agent(AgentKey),
    /// In a file whose private half was left where it is: this process signs nothing with it.
    Unread(PublicKey),
}

impl CaKey {
    pub(super) fn public(&self) -> &PublicKey {
        match self {
            Self::File(key) => key.public(),
            Self::Agent(key) => key.public(),
            Self::Unread(key) => key,
        }
    }

    /// The same without a private half.
    pub(super) fn without_private_half(self) -> Self {
        match self {
            Self::File(key) => Self::Unread(key.public().clone()),
            Self::Agent(_) | Self::Unread(_) => self,
        }
    }

    /// The agent that has it.
    pub(super) fn agent(&self) -> Option<&AgentSocket> {
        match self {
            Self::File(_) | Self::Unread(_) => None,
            Self::Agent(key) => Some(key.agent()),
        }
    }

    /// Makes the certificate, which is verified before it is given. May block for as long as an
    /// agent may take.
    pub(super) fn sign(
        &self,
        template: &CertTemplate,
        patience: SignTimeout,
    ) -> Result<Certificate, CaError> {
        match self {
            Self::File(key) => Ok(key.sign(template)?),
            Self::Agent(key) => sign_by_agent(key, template, patience),
            Self::Unread(key) => Err(unread(key)),
        }
    }

    /// Signs these bytes, which the caller has judged.
    pub(super) fn sign_bytes(
        &self,
        message: &[u8],
        patience: SignTimeout,
    ) -> Result<Signature, CaError> {
        match self {
            Self::File(key) => Ok(key.sign_bytes(message)?),
            Self::Agent(key) => Ok(key.sign(message, patience)?),
            Self::Unread(key) => Err(unread(key)),
        }
    }

    /// Whether the key is within reach; an agent is asked for its list.
    pub(super) fn check(&self, patience: SignTimeout) -> Result<(), CaError> {
        match self {
            Self::File(_) | Self::Unread(_) => Ok(()),
            Self::Agent(key) => Ok(key.check(patience)?),
        }
    }

    /// Whether the key signs; an agent is asked for a signature.
    pub(super) fn prove(&self, patience: SignTimeout) -> Result<(), CaError> {
        match self {
            Self::File(key) => Ok(key.prove()?),
            Self::Agent(key) => Ok(key.prove(patience)?),
            Self::Unread(key) => Err(unread(key)),
        }
    }
}

fn unread(key: &PublicKey) -> CaError {
    CaError::Unread(key.fingerprint(HashAlg::Sha256))
}

fn sign_by_agent(
    key: &AgentKey,
    template: &CertTemplate,
    patience: SignTimeout,
) -> Result<Certificate, CaError> {
    let signer = AgentSigner {
        key,
        patience,
        failure: RefCell::default(),
    };
    let signed = template.sign(&signer);
    match signer.failure.take() {
        Some(failure) => Err(failure.into()),
        None => Ok(signed?),
    }
}

/// An agent as the key library wants its signers. The library's errors say nothing; what the agent
/// did is kept beside them.
struct AgentSigner<'k> {
    key: &'k AgentKey,
    patience: SignTimeout,
    failure: RefCell<Option<AgentKeyError>>,
}

impl Signer<Signature> for AgentSigner<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        self.key.sign(message, self.patience).map_err(|error| {
            self.failure.replace(Some(error));
            signature::Error::new()
        })
    }
}

impl From<&AgentSigner<'_>> for KeyData {
    fn from(signer: &AgentSigner<'_>) -> Self {
        signer.key.public().key_data().clone()
    }
}
