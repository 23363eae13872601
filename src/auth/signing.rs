//! The service that signs host certificates with the host CA's key, as the proxy presents them, and
//! signs nothing else.
//!
//! The calling process may be controlled by an attacker. It cannot get a signature by the user CA's
//! key, a certificate that is valid for more than an hour, or a signature of anything but a
//! certificate.

use ssh_encoding::Encode as _;
use ssh_key::PublicKey;

use super::authorities::CurrentAuthorities;
use crate::ca::{CaError, CaKind};
use crate::ipc::{CaKeyLine, CallError, Signing, SigningAnswer, SigningRequest};
use crate::model::chain;
use crate::sys::clock::Clock;

/// Signs with the key of the CA that is open now.
#[derive(Debug)]
pub(super) struct SigningService(CurrentAuthorities);

type SignError = Box<dyn std::error::Error + Send + Sync>;

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

    /// Signs a host certificate; returns the signature as RFC 4253 section 6.6 encodes it. `None` if
    /// it is refused; the log says why.
    fn sign(&self, key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        let signed = self.try_sign(key, data);
        signed
            .map_err(|refused| {
                tracing::warn!(reason = %chain(&*refused), "a worker asked for a signature that it does not get");
            })
            .ok()
    }

    fn try_sign(&self, key: &[u8], data: &[u8]) -> Result<Vec<u8>, SignError> {
        let authorities = self.0.now();
        let host = authorities.of(CaKind::Host);
        if host.public_key().to_bytes()? != key {
            return Err("it is not with the host CA's key".into());
        }
        let signature = host
            .sign_for_proxy(data, Clock::System.unix_seconds())
            .map_err(|error: CaError| Box::new(error))?;
        let mut blob = Vec::new();
        signature.encode(&mut blob)?;
        Ok(blob)
    }
}

impl Signing for SigningService {
    fn ask(&self, request: SigningRequest) -> Result<SigningAnswer, CallError> {
        Ok(match request {
            SigningRequest::Check => SigningAnswer::Key(self.key(true).map(CaKeyLine)),
            SigningRequest::Sign { key, data } => {
                let key = key.to_bytes().unwrap_or_default();
                match self.sign(&key, &data) {
                    Some(signature) => SigningAnswer::Signature(signature),
                    None => SigningAnswer::Refused(self.key(false).map(CaKeyLine)),
                }
            }
        })
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
            let answer = service(&cas).ask(SigningRequest::Sign { key, data });
            assert_eq!(answer.unwrap(), SigningAnswer::Refused(Some(host.clone())));
        }
    }
}
