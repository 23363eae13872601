//! The identity provider, as the rules about people use it.

use std::fmt;
use std::sync::Arc;

use crate::oidc::{Authorization, ProviderError, VerifiedSubject};

/// Sends browsers to an identity provider, and verifies what it answers.
pub trait IdentityProvider: fmt::Debug + Send + Sync {
    /// The random texts of a new authorization. It fails where the provider is known to be out of reach;
    /// it waits for the provider for a second or two at most.
    ///
    /// # Errors
    /// Why no browser can sign in there now.
    fn begin(&self) -> Result<Authorization, ProviderError>;

    /// The page of the provider to which a browser has to go.
    ///
    /// # Errors
    /// When the provider does not say which one it is.
    fn url_of(&self, pending: &Authorization) -> Result<String, ProviderError>;

    /// Redeems the code with which a browser has come back. `iss` is the provider's name for itself, if
    /// it has said it to the browser (RFC 9207).
    ///
    /// # Errors
    /// When the provider refuses, does not answer, or what it says does not verify.
    fn redeem(
        &self,
        pending: &Authorization,
        code: &str,
        iss: Option<&str>,
    ) -> Result<VerifiedSubject, ProviderError>;
}

/// How people sign in with a browser.
#[derive(Clone, Debug)]
pub struct BrowserSignIn {
    /// The identity provider.
    pub provider: Arc<dyn IdentityProvider>,
    /// Where browsers find this proxy, as in `https://proxy.example.com:3080`.
    pub origin: String,
}
