//! OpenSSH certificates (PROTOCOL.certkeys): read, decide, template, sign.
//!
//! The invariant: what leaves [`verify_user`] or [`verify_host`] has been checked whole, and nothing
//! else makes a [`VerifiedUserCert`] or a [`VerifiedHost`]. This room knows no sockets, no files and
//! no clock: the time is an argument.

mod fault;
mod host;
mod host_extensions;
mod ip_network;
mod key;
pub mod krl;
mod offer_error;
pub mod proof;
mod scheme;
mod shown;
mod signature;
mod signature_error;
mod source_address;
mod successor;
mod template;
mod trust;
mod unsigned;
mod user;
mod webauthn;

pub use fault::{CertFault, check_ca_signature};
pub use host::{HostKeyError, HostPolicy, VerifiedHost, short_host_key_hint, verify_host};
pub use host_extensions::HostExtensions;
pub use ip_network::{IpNetwork, IpNetworkError};
pub use key::{KeyError, MIN_RSA_BITS, PresentedKey, certificate_blob, rsa_bits, weak_rsa_bits};
pub use offer_error::OfferError;
pub use scheme::Scheme;
pub use signature::{check_signature, is_made_by, read_signature, security_key_flags};
pub use signature_error::SignatureError;
pub use source_address::{SourceAddressError, SourceAddresses};
pub use successor::{SuccessorError, check_successor, successor_template, user_ca_template};
pub use template::{
    CertTemplate, HostRequest, MAX_USER_TTL, RequestError, SUCCESSOR_OPTION, SignError,
    USER_CA_OPTION, UserRequest, fit_to_sign, parse_public_key, random_serial,
};
pub use trust::TrustedKeys;
pub use unsigned::{MAX_PROXY_HOST_TTL, UnsignedError, check_proxy_host};
pub use user::{UserCertError, VerifiedUserCert, verify_user};
pub use webauthn::{WEBAUTHN, WEBAUTHN_CERTIFICATE};

#[cfg(test)]
mod browser;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
