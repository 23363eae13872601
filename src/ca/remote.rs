//! The host CA's key in another process of this program, which decides what it signs.
//!
//! A process that talks to the network has only the public key, and this service.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use signature::Signer;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, HashAlg, PublicKey, Signature};

use super::agent_error::AgentFault;
use super::agent_key;
use super::error::CaError;
use crate::agent::{AgentError, AgentIdentity};
use crate::cert::CertTemplate;
use crate::ipc::{CaKeyLine, CallError, CallRefusal, Signing, SigningAnswer, SigningRequest};

/// A way to the host CA's key for the proxy's own host certificates. What is behind it decides for itself
/// what it signs: [`super::Authority::sign_for_proxy`].
pub trait SignsHosts: fmt::Debug + Send + Sync {
    /// The key that signs.
    fn public_key(&self) -> &PublicKey;

    /// Makes the certificate. Blocks for as long as the key takes, ten seconds at most.
    ///
    /// # Errors
    /// When the key does not sign.
    fn sign(&self, template: &CertTemplate) -> Result<Certificate, CaError>;

    /// Whether the key is within reach; nothing is signed. Blocks for as long.
    ///
    /// # Errors
    /// When it is not.
    fn check(&self) -> Result<(), CaError>;
}

/// The host CA's key, through the process that has it.
#[derive(Debug)]
pub struct RemoteHostKey {
    public: PublicKey,
    signing: Arc<dyn Signing>,
}

impl RemoteHostKey {
    /// The key with this public half, through this service.
    #[must_use]
    pub fn new(public: PublicKey, signing: Arc<dyn Signing>) -> Self {
        Self { public, signing }
    }

    /// Has the message signed, and verifies the signature.
    fn ask(&self, message: &[u8]) -> Result<Signature, AgentFault> {
        let request = SigningRequest::Sign {
            key: self.public.clone(),
            data: message.to_vec(),
        };
        match self.signing.ask(request).map_err(fault)? {
            SigningAnswer::Signature(blob) => agent_key::check_signed(&self.public, message, &blob),
            SigningAnswer::Refused(key) => {
                // The key that signs tells whether it is another one by now.
                self.expect(key)?;
                let fingerprint = self.public.fingerprint(HashAlg::Sha256);
                Err(AgentFault::Refused(fingerprint))
            }
            SigningAnswer::Key(_) => Err(AgentError::Malformed.into()),
        }
    }

    /// Whether the key that signs, if any, is this one.
    fn expect(&self, key: Option<CaKeyLine>) -> Result<(), AgentFault> {
        let CaKeyLine(key) = key.ok_or(AgentFault::Empty)?;
        let identity = AgentIdentity {
            blob: key.to_bytes()?,
            comment: key.comment().to_string(),
        };
        let wanted = self.public.fingerprint(HashAlg::Sha256);
        agent_key::find_listed(&[identity], &wanted).map(drop)
    }
}

/// What is wrong with the process that signs, in the words for an agent.
fn fault(error: CallError) -> AgentFault {
    match error {
        CallError::HungUp | CallError::Refused(CallRefusal::Busy) => AgentFault::HungUp,
        CallError::Io(error) => AgentFault::Connect(error),
        CallError::Timeout(limit) => AgentFault::Timeout(limit),
        CallError::Nonsense => AgentError::Malformed.into(),
        CallError::Refused(CallRefusal::Forbidden) => AgentError::Refused.into(),
    }
}

impl SignsHosts for RemoteHostKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, template: &CertTemplate) -> Result<Certificate, CaError> {
        let asking = Asking {
            key: self,
            failure: RefCell::default(),
        };
        let signed = template.sign(&asking);
        match asking.failure.take() {
            Some(fault) => Err(CaError::Remote(Box::new(fault))),
            None => Ok(signed?),
        }
    }

    fn check(&self) -> Result<(), CaError> {
        let answer = self.signing.ask(SigningRequest::Check);
        let checked = match answer.map_err(fault) {
            Ok(SigningAnswer::Key(key)) => self.expect(key),
            Ok(_) => Err(AgentError::Malformed.into()),
            Err(fault) => Err(fault),
        };
        checked.map_err(|fault| CaError::Remote(Box::new(fault)))
    }
}

/// The way as the key library wants its signers; what went wrong is kept beside its errors.
struct Asking<'k> {
    key: &'k RemoteHostKey,
    failure: RefCell<Option<AgentFault>>,
}

impl Signer<Signature> for Asking<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        self.key.ask(message).map_err(|fault| {
            self.failure.replace(Some(fault));
            signature::Error::new()
        })
    }
}

impl From<&Asking<'_>> for KeyData {
    fn from(asking: &Asking<'_>) -> Self {
        asking.key.public.key_data().clone()
    }
}
