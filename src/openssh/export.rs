//! All keys of a CA, as the lines of one of OpenSSH's files: what `rproxy auth export` prints
//! and the web serves.

use std::fmt;
use std::str::FromStr;

use ssh_key::PublicKey;
use ssh_key::certificate::CertType;
use thiserror::Error;

use super::RenderError;
use super::keys::{authorized_keys_authority, plain_key};
use super::known_hosts::{HostPatterns, known_hosts_authority};

/// For which file lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Plain keys, as `TrustedUserCAKeys` reads them.
    Openssh,
    /// With `cert-authority` before each, for `authorized_keys`.
    AuthorizedKeys,
    /// With `@cert-authority PATTERNS` before each, for `known_hosts`.
    KnownHosts,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Openssh, Self::AuthorizedKeys, Self::KnownHosts];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Openssh => "openssh",
            Self::AuthorizedKeys => "authorized-keys",
            Self::KnownHosts => "known-hosts",
        }
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ExportFormat {
    type Err = ExportError;

    fn from_str(text: &str) -> Result<Self, ExportError> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or(ExportError::Unknown)
    }
}

/// Why there is no such export.
#[derive(Debug, Error)]
pub enum ExportError {
    /// No format has this name.
    #[error("the formats are openssh, authorized-keys and known-hosts")]
    Unknown,
    /// A file that is not about users.
    #[error("the format known-hosts is for the host CA, not for the user CA")]
    UsersInKnownHosts,
    /// A file that is not about hosts.
    #[error("the format authorized-keys is for the user CA, not for the host CA")]
    HostsInAuthorizedKeys,
    /// Patterns for lines that have none.
    #[error("patterns of hosts go with the format known-hosts only")]
    PatternsElsewhere,
    /// Patterns that cannot be written.
    #[error("cannot use the patterns of hosts")]
    Patterns(#[source] RenderError),
}

/// What the lines look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export(ExportForm);

#[derive(Clone, Debug, PartialEq, Eq)]
enum ExportForm {
    Plain,
    AuthorizedKeys,
    KnownHosts(HostPatterns),
}

impl Export {
    /// Plain keys, which every CA has.
    #[must_use]
    pub fn plain() -> Self {
        Self(ExportForm::Plain)
    }

    /// The lines of the CA that signs certificates of this type. Without a format, for the
    /// file that is usual: `TrustedUserCAKeys` for users, `known_hosts` for hosts. Without
    /// patterns, for all hosts: a certificate is good for its own names only, and ssh asks for the
    /// node's name through the proxy and for the proxy's name, with its port, before that.
    ///
    /// # Errors
    /// For what does not go together.
    pub fn new(
        authority: CertType,
        format: Option<ExportFormat>,
        hosts: Option<&str>,
    ) -> Result<Self, ExportError> {
        let format = format.unwrap_or(match authority {
            CertType::User => ExportFormat::Openssh,
            CertType::Host => ExportFormat::KnownHosts,
        });
        if hosts.is_some() && format != ExportFormat::KnownHosts {
            return Err(ExportError::PatternsElsewhere);
        }
        let form = match (authority, format) {
            (_, ExportFormat::Openssh) => ExportForm::Plain,
            (CertType::User, ExportFormat::AuthorizedKeys) => ExportForm::AuthorizedKeys,
            (CertType::User, ExportFormat::KnownHosts) => {
                return Err(ExportError::UsersInKnownHosts);
            }
            (CertType::Host, ExportFormat::AuthorizedKeys) => {
                return Err(ExportError::HostsInAuthorizedKeys);
            }
            (CertType::Host, ExportFormat::KnownHosts) => ExportForm::KnownHosts(match hosts {
                None => HostPatterns::any(),
                Some(text) => text.parse().map_err(ExportError::Patterns)?,
            }),
        };
        Ok(Self(form))
    }

    /// One line for each key, with its newline.
    ///
    /// # Errors
    /// As [`plain_key`].
    pub fn lines(&self, keys: &[PublicKey]) -> Result<String, RenderError> {
        let mut text = String::new();
        for key in keys {
            let (data, comment) = (key.key_data(), key.comment().as_str_lossy());
            text += &match &self.0 {
                ExportForm::Plain => plain_key(data, comment),
                ExportForm::AuthorizedKeys => authorized_keys_authority(data, comment),
                ExportForm::KnownHosts(hosts) => known_hosts_authority(hosts, data, comment),
            }?;
            text.push('\n');
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti CA";

    fn lines(
        authority: CertType,
        format: Option<&str>,
        hosts: Option<&str>,
    ) -> Result<String, ExportError> {
        let keys = [PublicKey::from_openssh(KEY).unwrap()];
        let format = format.map(str::parse).transpose()?;
        Ok(Export::new(authority, format, hosts)?.lines(&keys).unwrap())
    }

    #[test]
    fn each_authority_has_its_files() {
        let plain = format!("{KEY}\n");
        for (authority, format, hosts, before) in [
            (CertType::User, None, None, ""),
            (CertType::User, Some("openssh"), None, ""),
            (
                CertType::User,
                Some("authorized-keys"),
                None,
                "cert-authority ",
            ),
            (CertType::Host, None, None, "@cert-authority * "),
            (CertType::Host, Some("openssh"), None, ""),
            (
                CertType::Host,
                None,
                Some("db1, *.a"),
                "@cert-authority db1,*.a ",
            ),
        ] {
            let expected = format!("{before}{plain}");
            assert_eq!(lines(authority, format, hosts).unwrap(), expected);
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_words() {
        for (authority, format, hosts, says) in [
            (CertType::User, Some("pem"), None, "the formats are"),
            (CertType::User, Some("known-hosts"), None, "for the host CA"),
            (
                CertType::Host,
                Some("authorized-keys"),
                None,
                "for the user CA",
            ),
            (CertType::User, None, Some("db1"), "known-hosts only"),
            (
                CertType::Host,
                Some("openssh"),
                Some("db1"),
                "known-hosts only",
            ),
            (CertType::Host, None, Some("a\nb"), "patterns"),
        ] {
            let error = lines(authority, format, hosts).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
