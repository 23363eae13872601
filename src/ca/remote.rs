//! The host CA's key in another process of this program, which signs what it thinks right.
//!
//! A process that talks to the network has the public half alone, and this way to ask.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;

use signature::Signer;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey, Signature};

use super::agent_error::AgentFault;
use super::agent_key::{self, SignTimeout};
use super::error::CaError;
use crate::cert::CertTemplate;

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

/// Makes a connection to the process that signs.
pub type Connect = Box<dyn Fn() -> io::Result<UnixStream> + Send + Sync>;

/// The way to the process that has the key.
pub struct RemoteHostKey {
    public: PublicKey,
    connect: Connect,
}

impl fmt::Debug for RemoteHostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHostKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl RemoteHostKey {
    /// The key with this public half, behind such connections.
    #[must_use]
    pub fn new(public: PublicKey, connect: Connect) -> Self {
        Self { public, connect }
    }

    fn ask(&self, message: &[u8]) -> Result<Signature, AgentFault> {
        let stream = (self.connect)().map_err(AgentFault::Connect)?;
        agent_key::sign_over(stream, &self.public, message, SignTimeout::Connection)
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
        let check = |stream| agent_key::check_over(stream, &self.public, SignTimeout::Connection);
        let connected = (self.connect)().map_err(AgentFault::Connect);
        connected
            .and_then(check)
            .map_err(|fault| CaError::Remote(Box::new(fault)))
    }
}

/// The way as the key library wants its signers; what went wrong is kept beside its errors.
struct Asking<'k> {
    key: &'k RemoteHostKey,
    failure: RefCell<Option<AgentFault>>,
}

impl Signer<Signature> for Asking<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        let asked = match self.key.ask(message) {
            // It became another version of itself just now.
            Err(AgentFault::HungUp | AgentFault::Io(_)) => self.key.ask(message),
            asked => asked,
        };
        asked.map_err(|fault| {
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
