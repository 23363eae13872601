//! The authorities that may vouch for a provider's certificate of TLS.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use thiserror::Error;
use ureq::tls::{Certificate, RootCerts};

use crate::model::text;

/// The authorities of TLS that are trusted. They are read once: a confined process cannot read them
/// later.
#[derive(Clone)]
pub struct Roots(Arc<Vec<Certificate<'static>>>);

/// Why there are no authorities.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file of the configuration cannot be read, or has something else in it.
    #[error("{} cannot be used: {reason}", text::path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The system has none.
    #[error(
        "the system has no certificates of authorities: install the package ca-certificates, or name \
         a file with ca_file"
    )]
    None,
}

impl Roots {
    /// The system's authorities, and those in a file in PEM. As OpenSSL does, it looks at the
    /// environment's `SSL_CERT_FILE` and `SSL_CERT_DIR` in place of the system's.
    ///
    /// # Errors
    /// If the file cannot be used, or there is no authority at all.
    pub fn read(file: Option<&Path>) -> Result<Self, RootsError> {
        let mut roots = rustls_native_certs::load_native_certs().certs;
        if let Some(path) = file {
            roots.extend(of_file(path)?);
        }
        if roots.is_empty() {
            return Err(RootsError::None);
        }
        let roots = roots
            .iter()
            .map(|root| Certificate::from_der(root).to_owned());
        Ok(Self(Arc::new(roots.collect())))
    }

    /// None at all: for a provider on this machine, without TLS.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// For the HTTP client.
    pub(super) fn for_client(&self) -> RootCerts {
        RootCerts::Specific(Arc::clone(&self.0))
    }
}

fn of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let found = rustls_native_certs::load_certs_from_paths(Some(path), None);
    let reason = match found.errors.first() {
        Some(error) => text::Printable(&error.to_string()).within(200),
        None if found.certs.is_empty() => "there is no certificate in PEM in it".to_owned(),
        None => return Ok(found.certs),
    };
    Err(RootsError::File {
        path: path.to_owned(),
        reason,
    })
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.0.len())
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "files of a test need no particular mode"
)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        for (content, said) in [
            (None, "No such file"),
            (Some("nothing"), "no certificate in PEM"),
            (
                Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
                "PEM",
            ),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let error = Roots::read(Some(&path)).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("ca.pem"), "{error}");
        }
    }
}
