//! Keys and certificates: what `rproxy auth` issues, and with `ssh-keygen` what it never would.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::programs;

/// The contents of a user's certificate, and the key that signs it.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) issuer: Issuer,
    /// The login names; `None` for the login of the test's own user.
    pub(crate) principals: Option<String>,
}

/// The key that signs.
#[derive(Clone, Debug)]
pub(crate) enum Issuer {
    /// `rproxy auth sign --user`.
    Rproxy,
    /// `ssh-keygen` with the cluster's own user CA and these further arguments.
    UserAuthority(&'static [&'static str]),
    /// `ssh-keygen` with a CA that is not trusted.
    Stranger,
}

impl Default for Certificate {
    fn default() -> Self {
        Self {
            issuer: Issuer::Rproxy,
            principals: None,
        }
    }
}

/// Runs a tool that must succeed and writes text.
pub(crate) fn tool(command: &mut Command) -> String {
    String::from_utf8_lossy(&tool_bytes(command)).into_owned()
}

/// Runs a tool that must succeed; its output is shown when it does not.
pub(crate) fn tool_bytes(command: &mut Command) -> Vec<u8> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output.stdout
}

/// A new Ed25519 key pair.
pub(crate) fn generate(path: &Path) {
    generate_as(path, &["-t", "ed25519"]);
}

/// A new key pair of the kind that these arguments of ssh-keygen say.
pub(crate) fn generate_as(path: &Path, kind: &[&str]) {
    tool(
        Command::new(programs::path("ssh-keygen"))
            .args(kind)
            .args(["-q", "-N", "", "-C", "", "-f"])
            .arg(path),
    );
}

/// A certificate made by `ssh-keygen`, written where it writes it: `KEY-cert.pub`.
pub(crate) fn sign(authority: &Path, id: &str, names: &str, more: &[&str], key: &Path) {
    tool(
        Command::new(programs::path("ssh-keygen"))
            .args(["-q", "-I", id, "-n", names, "-z", "7", "-s"])
            .arg(authority)
            .args(more)
            .arg(with_suffix(key, ".pub")),
    );
}

/// The CA's private key, found in the data directory by its public half.
///
/// The tests know that it is an OpenSSH private key file; its name is the product's business.
pub(crate) fn authority(data: &Path, exported: &str) -> PathBuf {
    let wanted = exported
        .split_whitespace()
        .find(|word| word.starts_with("AAAA"))
        .expect("an exported CA has a key");
    files(data)
        .into_iter()
        .filter(|path| path.extension().is_none_or(|extension| extension != "pub"))
        .filter(|path| {
            std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("-----BEGIN OPENSSH"))
        })
        .find(|path| {
            tool(
                Command::new(programs::path("ssh-keygen"))
                    .arg("-y")
                    .arg("-f")
                    .arg(path),
            )
            .contains(wanted)
        })
        .expect("the CA's key is in the data directory")
}

/// `KEY` and a suffix: `KEY.pub`, `KEY-cert.pub`.
pub(crate) fn with_suffix(key: &Path, suffix: &str) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// All files below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.expect("a readable directory").path())
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
