//! The client of an OpenID Connect provider: it sends a browser there and checks what comes back.
//!
//! ```text
//! Provider::authorization ─▶ Authorization (state, nonce, verifier), kept until the browser is back
//! Provider::url_of        ─▶ the link that the browser follows
//! Provider::redeem        ─▶ token request, ID token checked ─▶ VerifiedSubject
//! ```
//!
//! The flow is the authorization code with PKCE (RFC 7636), nothing else. Everything that comes from
//! the provider is bounded in size and time, redirects are not followed, and no secret is in an error.
//!
//! Spec: OpenID Connect Core 1.0 and Discovery 1.0, RFC 6749, RFC 7636, RFC 9207, RFC 9700.

mod authorization;
mod claims;
mod discovery;
mod error;
mod http;
mod id_token;
mod issuer;
mod keys;
mod messages;
mod provider;
mod roots;
mod secret;
mod settings;
mod subject;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use authorization::Authorization;
pub use error::{ProviderError, TokenFault};
pub use issuer::{IssuerUrl, IssuerUrlError};
pub use provider::{Provider, ProviderStatus};
pub use roots::{Roots, RootsError};
pub use secret::{ClientSecret, ClientSecretError};
pub use settings::{ClaimToRoles, ProviderSettings};
pub use subject::VerifiedSubject;
