//! The service that signs with the host CA's key, which only the monitor has.

use std::fmt;

use super::client::{CallError, Client};
use super::requests::{SigningAnswer, SigningRequest};

/// Signs with the host CA's key.
pub trait Signing: fmt::Debug + Send + Sync {
    /// Answers a request. It may wait for another process, for a limited time.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&self, request: SigningRequest) -> Result<SigningAnswer, CallError>;
}

/// Asks another process to sign.
#[derive(Clone, Debug)]
pub struct RemoteSigning(Client);

impl RemoteSigning {
    /// Uses this client.
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
