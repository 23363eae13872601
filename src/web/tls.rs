//! The certificate and the key that HTTPS shows, read from files and read again when those change.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, Error as RustlsError, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::model::text;
use crate::sys::files::{Direct, Files, read_limited};
use crate::sys::fs::FsError;
use crate::sys::watch::FileWatch;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// Where they are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those of its issuers.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why they cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or is readable by all users.
    #[error(transparent)]
    File(#[from] FsError),
    /// A file without what it should have.
    #[error("{} holds no {what} in PEM", text::path(path))]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What the parser says.
        source: pem::Error,
    },
    /// A file without any certificate.
    #[error("{} holds no certificate in PEM", text::path(.0))]
    NoCertificate(PathBuf),
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate {} and the key {} cannot be used together", text::path(&files.certificate), text::path(&files.key))]
    Unusable {
        /// Both.
        files: TlsFiles,
        /// What rustls says.
        source: RustlsError,
    },
}

/// When a certificate of HTTPS is good, seen from one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is good now, and was asked about no other time.
    Good,
    /// It is good now and ends within the notice, at this second since the epoch.
    Ending(u64),
    /// It ended at this second.
    Ended(u64),
    /// It begins at this second.
    Ahead(u64),
}

impl TlsFiles {
    /// Reads the files as the listener does, and says whether the certificate is good at `now`, and
    /// will be for another `notice` seconds.
    ///
    /// # Errors
    /// What the listener would not start with.
    pub fn validity(&self, now: u64, notice: u64) -> Result<Validity, TlsError> {
        let (chain, _) = read_both(&Direct, self)?;
        let Some(certificate) = chain.first() else {
            return Err(TlsError::NoCertificate(self.certificate.clone()));
        };
        let unusable = |source| TlsError::Unusable {
            files: self.clone(),
            source,
        };
        let certificate = ParsedCertificate::try_from(certificate).map_err(unusable)?;
        let at = |second| fault_at(&certificate, second);
        Ok(match at(now) {
            Some(CertificateError::ExpiredContext { not_after, .. }) => {
                Validity::Ended(not_after.as_secs())
            }
            Some(CertificateError::Expired) => Validity::Ended(now),
            Some(CertificateError::NotValidYetContext { not_before, .. }) => {
                Validity::Ahead(not_before.as_secs())
            }
            Some(CertificateError::NotValidYet) => Validity::Ahead(now),
            _ => match at(now.saturating_add(notice)) {
                Some(CertificateError::ExpiredContext { not_after, .. }) => {
                    Validity::Ending(not_after.as_secs())
                }
                Some(CertificateError::Expired) => Validity::Ending(now),
                _ => Validity::Good,
            },
        })
    }
}

impl TlsFiles {
    /// The SHA-256 of the certificate, as browsers show it.
    ///
    /// # Errors
    /// What the listener would not start with.
    pub fn fingerprint(&self) -> Result<String, TlsError> {
        read(&Direct, self).map(|shown| shown.fingerprint())
    }

    /// Reads the files as the listener does, whatever their certificate says of its time.
    ///
    /// # Errors
    /// What the listener would not start with.
    pub fn look(&self) -> Result<(), TlsError> {
        read(&Direct, self).map(drop)
    }
}

/// What is wrong with a certificate at a second since the epoch. No signature is trusted here:
/// a certificate is asked for its time before its signature is looked at.
fn fault_at(certificate: &ParsedCertificate<'_>, second: u64) -> Option<CertificateError> {
    let at = UnixTime::since_unix_epoch(Duration::from_secs(second));
    let algorithms = default_provider().signature_verification_algorithms.all;
    let nobody = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(certificate, &nobody, &[], at, algorithms) {
        Err(RustlsError::InvalidCertificate(fault)) => Some(fault),
        _ => None,
    }
}

/// What a client is greeted with.
#[derive(Clone)]
pub(super) struct ShownTls {
    pub(super) acceptor: TlsAcceptor,
    /// The certificate, without those of its issuers.
    pub(super) certificate: Arc<CertificateDer<'static>>,
}

impl std::fmt::Debug for ShownTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShownTls").finish_non_exhaustive()
    }
}

impl ShownTls {
    /// The SHA-256 of the certificate, as browsers show it.
    pub(super) fn fingerprint(&self) -> String {
        fingerprint(&self.certificate)
    }
}

/// The SHA-256 of a certificate, as browsers and `openssl x509 -fingerprint` show it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let hash = digest(&SHA256, certificate);
    let bytes: Vec<String> = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    bytes.join(":")
}

/// Whether a certificate is made out to this name or address.
pub(super) fn is_named(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let parsed = ParsedCertificate::try_from(certificate);
    let name = ServerName::try_from(name);
    match (parsed, name) {
        (Ok(parsed), Ok(name)) => verify_server_name(&parsed, &name).is_ok(),
        _ => false,
    }
}

/// What is shown now, and the files to look at for what is shown next.
pub(super) struct Tls {
    files: TlsFiles,
    /// Who opens them.
    opened_by: Arc<dyn Files>,
    watch: FileWatch,
    shown: ShownTls,
    is_stale: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    pub(super) fn open(files: TlsFiles, opened_by: Arc<dyn Files>) -> Result<Self, TlsError> {
        // The watch first: what is replaced in between is read twice, not never.
        let watch = FileWatch::new([files.certificate.clone(), files.key.clone()]);
        let shown = read(&*opened_by, &files)?;
        Ok(Self {
            files,
            opened_by,
            watch,
            shown,
            is_stale: false,
        })
    }

    /// What to greet the next client with.
    pub(super) fn shown(&self) -> ShownTls {
        self.shown.clone()
    }

    /// Looks at the files. What cannot be used changes nothing, and is tried again: a certificate
    /// and its key are seldom replaced in the same instant.
    pub(super) fn refresh(&mut self) {
        let changed = self.watch.changed();
        if !changed && !self.is_stale {
            return;
        }
        match read(&*self.opened_by, &self.files) {
            Ok(shown) => {
                self.shown = shown;
                self.is_stale = false;
                let fingerprint = self.shown.fingerprint();
                tracing::info!(fingerprint, "the certificate of HTTPS was read again");
            }
            Err(error) => {
                if changed {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the certificate of HTTPS stays as it was");
                }
                self.is_stale = true;
            }
        }
    }
}

fn read(opened_by: &dyn Files, files: &TlsFiles) -> Result<ShownTls, TlsError> {
    let (chain, mut config) = read_both(opened_by, files)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let certificate = chain.into_iter().next();
    let certificate =
        certificate.ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
    Ok(ShownTls {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        certificate: Arc::new(certificate),
    })
}

type Chain = Vec<CertificateDer<'static>>;

/// The certificate with its issuers, and the same with its key, which fits.
fn read_both(opened_by: &dyn Files, files: &TlsFiles) -> Result<(Chain, ServerConfig), TlsError> {
    let text = read_limited(opened_by, &files.certificate, MAX_FILE)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|source| TlsError::Pem {
        path: files.certificate.clone(),
        what: "certificate",
        source,
    })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(files.certificate.clone()));
    }
    let key = read_key(opened_by, files)?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain.clone(), key)
        });
    let config = config.map_err(|source| TlsError::Unusable {
        files: files.clone(),
        source,
    })?;
    Ok((chain, config))
}

/// The private key. It may be readable by a group, as with Debian's `ssl-cert`, but not by all
/// users.
fn read_key(opened_by: &dyn Files, files: &TlsFiles) -> Result<PrivateKeyDer<'static>, TlsError> {
    let path = &files.key;
    let metadata = std::fs::metadata(path).map_err(FsError::io("inspect", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o007 != 0 {
        let path = path.clone();
        return Err(FsError::TooOpen { path, mode }.into());
    }
    let text = Zeroizing::new(read_limited(opened_by, path, MAX_FILE)?);
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Pem {
        path: path.clone(),
        what: "private key",
        source,
    })
}
