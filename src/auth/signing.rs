//! The service that signs host certificates with the host CA's key, as the proxy presents them, and
//! signs nothing else.
//!
//! The calling process may be controlled by an attacker. It cannot get a signature by the user CA's
//! key, a certificate that is valid for more than an hour, or a signature of anything but a
//! certificate.

use ssh_encoding::Encode as _;
use ssh_key::PublicKey;
use thiserror::Error;

use super::authorities::CurrentAuthorities;
use crate::ca::{CaError, CaKind};
use crate::ipc::{CaKeyLine, CallError, Signing, SigningAnswer, SigningRequest};
use crate::model::chain;
use crate::sys::clock::Clock;

/// Signs with the key of the CA that is open now.
#[derive(Debug)]
pub(super) struct SigningService(CurrentAuthorities);

/// Why there is no signature.
#[derive(Debug, Error)]
enum SignError {
    /// A caller may not ask for it.
    #[error("it may not be signed")]
    Forbidden(#[source] BoxedError),
    /// The key does not sign.
    #[error("it could not be signed")]
    Failed(#[source] BoxedError),
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

impl From<ssh_key::Error> for SignError {
    fn from(error: ssh_key::Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<ssh_encoding::Error> for SignError {
    fn from(error: ssh_encoding::Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl SigningService {
    /// A service for these CAs.
    pub(super) fn new(current: CurrentAuthorities) -> Self {
        Self(current)
    }

    /// The key that signs; with `is_checked` only if it can be used now.
    fn key(&self, is_checked: bool) -> Option<PublicKey> {
        let authorities = self.0.now();
        let host = authorities.of(CaKind::Host);
        if is_checked && let Err(error) = host.check_key() {
            tracing::warn!(error = %chain(&error), "the host CA's key is out of reach");
            return None;
        }
        Some(host.public_key().clone())
    }

    /// Signs a host certificate; returns the signature as RFC 4253 section 6.6 encodes it.
    fn sign(&self, key: &[u8], data: &[u8]) -> Result<Vec<u8>, SignError> {
        let authorities = self.0.now();
        let host = authorities.of(CaKind::Host);
        if host.public_key().to_bytes()? != key {
            // A process may not know yet that a rotation has come to its next phase.
            let is_other = |one: &PublicKey| one.to_bytes().is_ok_and(|bytes| bytes == key);
            return Err(match host.public_keys().iter().any(is_other) {
                true => SignError::Failed("it is with another key of the host CA".into()),
                false => SignError::Forbidden("it is not with the host CA's key".into()),
            });
        }
        let signature = host.sign_for_proxy(data, Clock::System.unix_seconds());
        let signature = signature.map_err(|error| match error {
            CaError::NotForProxy(_) => SignError::Forbidden(Box::new(error)),
            _ => SignError::Failed(Box::new(error)),
        })?;
        let mut blob = Vec::new();
        signature.encode(&mut blob)?;
        Ok(blob)
    }

    /// Answers a request; the log says why one is refused.
    pub(super) fn answer(&self, request: SigningRequest) -> Signed {
        let mut is_permitted = true;
        let answer = match request {
            SigningRequest::Check => SigningAnswer::Key(self.key(true).map(CaKeyLine)),
            SigningRequest::Sign { key, data } => {
                let key = key.to_bytes().unwrap_or_default();
                match self.sign(&key, &data) {
                    Ok(signature) => SigningAnswer::Signature(signature),
                    Err(error) => {
                        is_permitted = matches!(error, SignError::Failed(_));
                        tracing::warn!(reason = %chain(&error), "a worker gets no signature");
                        SigningAnswer::Refused(self.key(false).map(CaKeyLine))
                    }
                }
            }
        };
        Signed {
            answer,
            is_permitted,
        }
    }
}

/// The answer to a request for a signature.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) answer: SigningAnswer,
    /// Whether a caller may ask this. If so, a refusal is that of the key.
    pub(super) is_permitted: bool,
}

impl Signing for SigningService {
    fn ask(&self, request: SigningRequest) -> Result<SigningAnswer, CallError> {
        Ok(self.answer(request).answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ssh_key::Certificate;
    use ssh_key::certificate::CertType;

    use super::*;
    use crate::auth::testing::{OpenCas, forbidden, unsigned};
    use crate::ca::{HostCertIssuer, RemoteHostKey, SignsHosts as _};

    fn service(cas: &OpenCas) -> SigningService {
        SigningService::new(cas.current.clone())
    }

    #[test]
    fn the_proxys_own_certificates_are_signed() {
        let cas = OpenCas::new();
        let key = cas.key(CaKind::Host).clone();
        let remote = RemoteHostKey::new(key.clone(), Arc::new(service(&cas)));
        assert_eq!(remote.public_key(), &key);
        remote.check().unwrap();
        let issuer = HostCertIssuer::new(Arc::new(remote)).unwrap();
        let now = Clock::System.unix_seconds();
        let minted = issuer.mint(&["db1".parse().unwrap()], now).unwrap();
        let certificate: &Certificate = &minted.certificate;
        assert_eq!(certificate.signature_key(), key.key_data());
        let answer = service(&cas).ask(SigningRequest::Sign {
            key: key.clone(),
            data: unsigned(CertType::Host, 3_600, &key),
        });
        assert!(matches!(answer, Ok(SigningAnswer::Signature(_))));
    }

    #[test]
    fn a_worker_that_was_taken_gets_nothing_else() {
        let cas = OpenCas::new();
        let host = CaKeyLine(cas.key(CaKind::Host).clone());
        for (key, data) in forbidden(&cas) {
            let signed = service(&cas).answer(SigningRequest::Sign { key, data });
            assert_eq!(signed.answer, SigningAnswer::Refused(Some(host.clone())));
            assert!(!signed.is_permitted, "it is written down");
        }
    }
}
