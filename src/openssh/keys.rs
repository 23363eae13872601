//! Lines with a public key: `TrustedUserCAKeys` and `authorized_keys`.

use ssh_key::PublicKey;
use ssh_key::public::KeyData;

use super::RenderError;

use crate::model::text;

/// A public key as one line without its newline: `ssh-ed25519 AAAA... comment`.
///
/// This is what sshd's `TrustedUserCAKeys` file and `ssh-keygen` read as it is.
///
/// # Errors
/// For a comment with a control character, and for a key that cannot be encoded.
pub fn plain_key(key: &KeyData, comment: &str) -> Result<String, RenderError> {
    if !text::is_printable(comment) {
        return Err(RenderError::Comment(comment.to_owned()));
    }
    PublicKey::new(key.clone(), comment.trim())
        .to_openssh()
        .map(|line| line.trim_end().to_owned())
        .map_err(RenderError::Key)
}

/// A line of `authorized_keys` that admits certificates of this CA (sshd(8),
/// `cert-authority`), without its newline.
///
/// # Errors
/// As [`plain_key`].
pub fn authorized_keys_authority(key: &KeyData, comment: &str) -> Result<String, RenderError> {
    Ok(format!("cert-authority {}", plain_key(key, comment)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn key() -> KeyData {
        PublicKey::from_openssh(KEY).unwrap().key_data().clone()
    }

    #[test]
    fn a_key_is_one_line_with_its_comment() {
        assert_eq!(
            plain_key(&key(), "user CA example.com").unwrap(),
            format!("{KEY} user CA example.com")
        );
        assert_eq!(plain_key(&key(), "").unwrap(), KEY);
        assert_eq!(
            authorized_keys_authority(&key(), "c").unwrap(),
            format!("cert-authority {KEY} c")
        );
    }

    #[test]
    fn a_comment_cannot_add_a_line() {
        assert!(matches!(
            plain_key(&key(), "x\nssh-ed25519 AAAA"),
            Err(RenderError::Comment(_))
        ));
    }
}
