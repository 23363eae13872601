//! The certificate and the key that HTTPS shows, read from files and read again when those change.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::sys::fs::{FsError, read_limited};
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
    /// A file cannot be read, or may be read by everybody.
    #[error(transparent)]
    File(#[from] FsError),
    /// A file without what it should have.
    #[error("{} holds no {what} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What the parser says.
        source: pem::Error,
    },
    /// A file without any certificate.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate {} and the key {} cannot be used together", files.certificate.display(), files.key.display())]
    Unusable {
        /// Both.
        files: TlsFiles,
        /// What rustls says.
        source: tokio_rustls::rustls::Error,
    },
}

/// What is shown now, and the files to look at for what is shown next.
pub(super) struct Tls {
    files: TlsFiles,
    watch: FileWatch,
    acceptor: TlsAcceptor,
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
    pub(super) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        // The watch first: what is replaced in between is read twice, not never.
        let watch = FileWatch::new([files.certificate.clone(), files.key.clone()]);
        let acceptor = read(&files)?;
        Ok(Self {
            files,
            watch,
            acceptor,
            is_stale: false,
        })
    }

    /// What to greet the next client with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Looks at the files. What cannot be used changes nothing, and is tried again: a certificate
    /// and its key are seldom replaced in the same instant.
    pub(super) fn refresh(&mut self) {
        let changed = self.watch.changed();
        if !changed && !self.is_stale {
            return;
        }
        match read(&self.files) {
            Ok(acceptor) => {
                self.acceptor = acceptor;
                self.is_stale = false;
                tracing::info!("the certificate of HTTPS was read again");
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

fn read(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let text = read_limited(&files.certificate, MAX_FILE)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|source| TlsError::Pem {
        path: files.certificate.clone(),
        what: "certificate",
        source,
    })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(files.certificate.clone()));
    }
    let key = read_key(files)?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|source| TlsError::Unusable {
        files: files.clone(),
        source,
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The private key. A group may read it, as Debian's `ssl-cert` does; everybody may not.
fn read_key(files: &TlsFiles) -> Result<PrivateKeyDer<'static>, TlsError> {
    let path = &files.key;
    let metadata = std::fs::metadata(path).map_err(FsError::io("inspect", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o007 != 0 {
        let path = path.clone();
        return Err(FsError::TooOpen { path, mode }.into());
    }
    let text = Zeroizing::new(read_limited(path, MAX_FILE)?);
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Pem {
        path: path.clone(),
        what: "private key",
        source,
    })
}
