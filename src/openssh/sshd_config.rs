//! Lines of `sshd_config`(5) that name a file.

use std::path::Path;

use super::RenderError;

use crate::model::text::is_unsafe;

/// `HostKey PATH`: the private host key.
///
/// # Errors
/// For a path that cannot be written; see [`RenderError::Path`].
pub fn host_key(path: &Path) -> Result<String, RenderError> {
    line("HostKey", path)
}

/// `HostCertificate PATH`: the certificate of one of the host keys.
///
/// # Errors
/// As [`host_key`].
pub fn host_certificate(path: &Path) -> Result<String, RenderError> {
    line("HostCertificate", path)
}

/// `TrustedUserCAKeys PATH`: the CAs whose user certificates sshd accepts.
///
/// # Errors
/// As [`host_key`].
pub fn trusted_user_ca_keys(path: &Path) -> Result<String, RenderError> {
    line("TrustedUserCAKeys", path)
}

/// `RevokedKeys PATH`: a KRL, or a list of keys, that sshd refuses.
///
/// # Errors
/// As [`host_key`].
pub fn revoked_keys(path: &Path) -> Result<String, RenderError> {
    line("RevokedKeys", path)
}

/// Paths are absolute: sshd reads a relative one against the directory it happens to run in.
///
/// Quotes stand only where they are needed. A backslash or a double quote is read differently by
/// sshd before and after 8.7, so a path with one has no form that holds for both.
fn line(keyword: &str, path: &Path) -> Result<String, RenderError> {
    let refused = || RenderError::Path(path.to_owned());
    let text = path.to_str().filter(|_| path.is_absolute());
    let text = text.ok_or_else(refused)?;
    if text
        .chars()
        .any(|c| is_unsafe(c) || matches!(c, '"' | '\\'))
    {
        return Err(refused());
    }
    let needs_quotes = |c: char| c.is_whitespace() || matches!(c, '#' | '\'' | '=');
    if text.contains(needs_quotes) {
        Ok(format!("{keyword} \"{text}\""))
    } else {
        Ok(format!("{keyword} {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_is_quoted() {
        assert_eq!(
            host_key(Path::new("/etc/ssh/db1")).unwrap(),
            "HostKey /etc/ssh/db1"
        );
        assert_eq!(
            host_certificate(Path::new("/etc/my keys/db#1-cert.pub")).unwrap(),
            "HostCertificate \"/etc/my keys/db#1-cert.pub\""
        );
    }

    #[test]
    fn a_path_that_sshd_would_read_as_another_is_refused() {
        for bad in ["db1", "/a\"b", "/a\nHostKey /b", "/a\\b"] {
            assert!(trusted_user_ca_keys(Path::new(bad)).is_err(), "{bad:?}");
        }
    }
}
