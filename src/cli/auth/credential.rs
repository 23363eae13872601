//! The key that `auth sign` certifies, and the names of the resulting files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ssh_key::{Certificate, PublicKey};
use zeroize::Zeroizing;

use super::super::{Exit, Failure, host_files};
use super::files::Output;
use crate::ca::NewHostKey;
use crate::openssh::{self, RenderError};
use crate::sys::fs::{PRIVATE_FILE, PUBLIC_FILE};

/// A key with its place.
#[derive(Debug)]
pub(in crate::cli) enum Credential {
    /// A key made here: the private key goes to `path`, the rest beside it.
    Made { key: NewHostKey, path: PathBuf },
    /// A key that exists: only the certificate is written.
    Given {
        key: PublicKey,
        /// The private key that belongs to it, where the usual names tell.
        private: Option<PathBuf>,
        certificate: PathBuf,
    },
}

impl Credential {
    /// The key that is to be signed.
    pub(in crate::cli) fn public_key(&self) -> &PublicKey {
        match self {
            Self::Made { key, .. } => key.public_key(),
            Self::Given { key, .. } => key,
        }
    }

    /// The files to be written, in the order of writing: the certificate comes last, so that where
    /// it is, the rest is too.
    pub(in crate::cli) fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Made { path, .. } => vec![
                path.clone(),
                with_suffix(path, ".pub"),
                with_suffix(path, "-cert.pub"),
            ],
            Self::Given { certificate, .. } => vec![certificate.clone()],
        }
    }

    /// The same files with what goes into them.
    pub(in crate::cli) fn outputs(
        &self,
        certificate: &Certificate,
    ) -> Result<Vec<Output>, Failure> {
        let encoding =
            |error| Failure::new(Exit::Internal, "cannot encode the certificate").because(error);
        let certificate = certificate.to_openssh().map_err(encoding)?;
        let mut contents = Vec::new();
        if let Self::Made { key, .. } = self {
            let public = key.public_key().to_openssh().map_err(encoding)?;
            contents.push((PRIVATE_FILE, Zeroizing::new(key.private_text().to_owned())));
            contents.push((PUBLIC_FILE, Zeroizing::new(public + "\n")));
        }
        contents.push((PUBLIC_FILE, Zeroizing::new(certificate + "\n")));
        let outputs = self.paths().into_iter().zip(contents);
        Ok(outputs
            .map(|(path, (mode, content))| Output {
                path,
                mode,
                content,
            })
            .collect())
    }

    /// The lines that a host's `sshd_config` needs, with the paths on the host, and the directory there
    /// that the certificate goes to. The private key's line is left out if its path is not known; sshd
    /// finds the key that belongs to a certificate by itself.
    pub(in crate::cli) fn sshd_lines(
        &self,
        is_this_machine: bool,
    ) -> Result<(Vec<String>, PathBuf), Failure> {
        let refused = |error| {
            Failure::new(Exit::Failed, "cannot write the lines for sshd_config").because(error)
        };
        let absolute = |path: &Path| std::path::absolute(path).map_err(refused);
        let on_host = |path: &Path| match is_this_machine {
            true => absolute(path),
            false => host_files::on_host(path).map_err(refused),
        };
        let (private, certificate) = self.sshd_paths();
        let mut lines = Vec::new();
        if let Some(private) = private {
            let there = on_host(&private)?;
            // Of another host's key, the public half was brought here under some name.
            let is_known = matches!(self, Self::Made { .. })
                || private.is_file()
                || there == absolute(&private)?;
            if is_known {
                lines.push(line(&there, openssh::host_key)?);
            }
        }
        let certificate = on_host(&certificate)?;
        lines.push(line(&certificate, openssh::host_certificate)?);
        let directory = certificate.parent().unwrap_or(&certificate);
        Ok((lines, directory.to_owned()))
    }

    /// The private key, where its path is known, and the certificate.
    pub(in crate::cli) fn sshd_paths(&self) -> (Option<PathBuf>, PathBuf) {
        match self {
            Self::Made { path, .. } => (Some(path.clone()), with_suffix(path, "-cert.pub")),
            Self::Given {
                private,
                certificate,
                ..
            } => (private.clone(), certificate.clone()),
        }
    }
}

fn line(path: &Path, render: fn(&Path) -> Result<String, RenderError>) -> Result<String, Failure> {
    render(path).map_err(|error| {
        Failure::new(Exit::Failed, "cannot write the lines for sshd_config")
            .because(error)
            .hint("choose a path without quotes, backslashes and control characters")
    })
}

/// Where the certificate of an existing key goes for this `--out`: a name that ends in `.pub` is the
/// certificate's own, any other is a key's, as it is for a key made here.
pub(in crate::cli) fn certificate_for(out: &Path) -> PathBuf {
    if is_public(out) {
        out.to_owned()
    } else {
        with_suffix(out, "-cert.pub")
    }
}

/// Where `ssh-keygen -s` puts the certificate of a public key: `NAME-cert.pub` for `NAME.pub`.
pub(in crate::cli) fn certificate_beside(public_key: &Path) -> PathBuf {
    match private_beside(public_key) {
        Some(name) => with_suffix(&name, "-cert.pub"),
        None => with_suffix(public_key, "-cert.pub"),
    }
}

/// The private key of `NAME.pub`, as OpenSSH names them.
pub(in crate::cli) fn private_beside(public_key: &Path) -> Option<PathBuf> {
    is_public(public_key).then(|| public_key.with_extension(""))
}

/// Whether the name is one of a public key or a certificate.
pub(in crate::cli) fn is_public(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pub")
}

/// A path with a suffix to its name.
pub(in crate::cli) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_ssh_keygen() {
        let beside = |path: &str| certificate_beside(Path::new(path)).display().to_string();
        assert_eq!(
            beside("/etc/ssh/host.key.pub"),
            "/etc/ssh/host.key-cert.pub"
        );
        assert_eq!(beside("db1"), "db1-cert.pub");
        let named = |path: &str| certificate_for(Path::new(path)).display().to_string();
        assert_eq!(named("/tmp/db1"), "/tmp/db1-cert.pub");
        assert_eq!(named("/tmp/db1-cert.pub"), "/tmp/db1-cert.pub");
        assert_eq!(private_beside(Path::new("a.b.pub")), Some("a.b".into()));
        assert_eq!(private_beside(Path::new("a.b")), None);
    }
}
