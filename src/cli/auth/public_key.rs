//! Reads the public key that has to be signed; if the file contains something else, the error says
//! what.

use std::io::{self, Read};
use std::path::Path;

use ssh_key::{Fingerprint, HashAlg, PublicKey};
use zeroize::Zeroizing;

use super::super::{Exit, Failure};
use crate::cert;
use crate::sys::fs::read_limited;

/// Most that is read, in bytes; an RSA key of 16384 bits has 2.8 KiB.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// Reads a `.pub` file, or standard input for `-`.
///
/// # Errors
/// Says what is there instead of a public key, and what to give.
pub(in crate::cli) fn read(path: &Path) -> Result<PublicKey, Failure> {
    let name = if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let refused = || Failure::new(Exit::Failed, format!("cannot use the key of {name}"));
    // A private key that is given by mistake is not left in memory.
    let bytes = if path == Path::new("-") {
        read_all(io::stdin().lock()).map_err(|error| refused().because(error))?
    } else {
        Zeroizing::new(read_limited(path, MAX_KEY_FILE).map_err(|error| refused().because(error))?)
    };
    let text = str::from_utf8(&bytes).map_err(|_binary| {
        refused().hint("this is no text: give a public key in OpenSSH's format, a .pub file")
    })?;
    match only_key(text) {
        Ok(line) => cert::parse_public_key(line).map_err(|error| {
            let hint = error.hint();
            refused().because(error).hint(hint)
        }),
        Err(Mistake { what, hint }) => {
            Err(Failure::new(Exit::Failed, format!("{name} {what}")).hint(hint))
        }
    }
}

/// The SHA-256 fingerprint of a key that is named by it, or by a `.pub` file.
///
/// # Errors
/// Says that it is neither, or what is in the file instead.
pub(in crate::cli) fn fingerprint(text: &str) -> Result<String, Failure> {
    let fingerprint = text.parse::<Fingerprint>().ok();
    if let Some(sha256) = fingerprint.filter(|one| one.algorithm() == HashAlg::Sha256) {
        return Ok(sha256.to_string());
    }
    let path = Path::new(text);
    if fingerprint.is_some() || !path.exists() {
        return Err(
            Failure::new(Exit::Failed, format!("cannot use the key {text:?}"))
                .because("this is not a SHA-256 fingerprint, and no file")
                .hint("give a .pub file, or what `ssh-keygen -l -f KEY` prints: SHA256:..."),
        );
    }
    Ok(read(path)?.fingerprint(HashAlg::Sha256).to_string())
}

fn read_all(reader: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    reader.take(MAX_KEY_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_KEY_FILE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("larger than the {MAX_KEY_FILE} bytes that are allowed"),
        ));
    }
    Ok(bytes)
}

/// What a text is that is no public key file.
#[derive(Debug, PartialEq, Eq)]
struct Mistake {
    what: &'static str,
    hint: &'static str,
}

/// The one line of the text that may be a key; empty lines and comments do not count.
fn only_key(text: &str) -> Result<&str, Mistake> {
    let counts = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let mut lines = text.lines().map(str::trim).filter(counts);
    let Some(first) = lines.next() else {
        return Err(Mistake {
            what: "is empty",
            hint: "give a public key in OpenSSH's format, a .pub file",
        });
    };
    if first.contains("PRIVATE KEY-----") || first.starts_with("PuTTY-User-Key-File-") {
        return Err(Mistake {
            what: "is a private key, not a public one",
            hint: "give the .pub file beside it, or what `ssh-keygen -y -f KEY` prints; \
                   a private key stays with its owner",
        });
    }
    if first.starts_with("---- BEGIN SSH2") {
        return Err(Mistake {
            what: "is a public key in the format of RFC 4716",
            hint: "convert it with `ssh-keygen -i -f FILE`",
        });
    }
    if lines.next().is_some() {
        return Err(Mistake {
            what: "holds more than one key",
            hint: "a certificate is for one key: give a file with one line",
        });
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_key_is_found_between_comments() {
        assert_eq!(
            only_key("# mine\r\n\r\n  ssh-rsa AAAA me \r\n# end").unwrap(),
            "ssh-rsa AAAA me"
        );
    }

    #[test]
    fn what_is_no_public_key_is_named() {
        let what = |text: &str| only_key(text).unwrap_err().what;
        assert_eq!(what("\n# nothing\n"), "is empty");
        for private in [
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\n",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
            "PuTTY-User-Key-File-3: ssh-ed25519\n",
        ] {
            assert!(what(private).starts_with("is a private key"), "{private:?}");
        }
        assert!(what("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n").contains("RFC 4716"));
        assert!(what("ssh-rsa AAAA a\nssh-rsa AAAA b\n").contains("more than one"));
    }

    #[test]
    fn no_more_is_read_than_a_key_can_have() {
        let endless = read_all(io::repeat(b'a')).unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::InvalidData);
    }
}
