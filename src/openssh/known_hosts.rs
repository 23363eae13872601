//! `@cert-authority` lines of `known_hosts` (sshd(8), "`SSH_KNOWN_HOSTS` FILE FORMAT").

use std::fmt;
use std::str::FromStr;

use ssh_key::public::KeyData;

use super::RenderError;
use super::keys::plain_key;

/// Host patterns as `known_hosts` takes them: `*` and `?` match, a leading `!` excludes, and
/// `[host]:port` names a port other than 22. At least one, at least one of them not negated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPatterns(Vec<String>);

impl HostPatterns {
    /// Every host on every port.
    #[must_use]
    pub fn any() -> Self {
        Self(vec!["*".to_owned()])
    }
}

impl FromStr for HostPatterns {
    type Err = RenderError;

    /// Parses a comma-separated list; white space around a pattern does not count.
    fn from_str(text: &str) -> Result<Self, RenderError> {
        let patterns = text
            .split(',')
            .map(pattern)
            .collect::<Result<Vec<_>, _>>()?;
        if patterns.iter().all(|pattern| pattern.starts_with('!')) {
            return Err(RenderError::OnlyNegated);
        }
        Ok(Self(patterns))
    }
}

impl fmt::Display for HostPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// A line that makes ssh trust this CA for the host certificates of these hosts, without its
/// newline.
///
/// The comment gets no blanks: readers of `known_hosts` in Go take a marker, hosts, a key and one word.
///
/// # Errors
/// As [`super::plain_key`].
pub fn known_hosts_authority(
    hosts: &HostPatterns,
    key: &KeyData,
    comment: &str,
) -> Result<String, RenderError> {
    let comment: Vec<&str> = comment.split(char::is_whitespace).collect();
    Ok(format!(
        "@cert-authority {hosts} {}",
        plain_key(key, &comment.join("-"))?
    ))
}

fn pattern(text: &str) -> Result<String, RenderError> {
    let text = text.trim();
    if text.trim_start_matches('!').is_empty() {
        return Err(RenderError::NoPattern);
    }
    // `|` begins a hashed name, `#` a comment, `@` a marker; a second `!` is no host's name.
    let bad = text.chars().enumerate().find(|(at, c)| {
        !c.is_ascii_graphic() || matches!(c, '|' | '#' | '@' | '"' | '\\') || (*c == '!' && *at > 0)
    });
    match bad {
        Some((_, character)) => Err(RenderError::Pattern {
            pattern: text.to_owned(),
            character,
        }),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

    const KEY: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn line(patterns: &str) -> String {
        let key = ssh_key::PublicKey::from_openssh(KEY).unwrap();
        known_hosts_authority(&patterns.parse().unwrap(), key.key_data(), "host CA").unwrap()
    }

    #[test]
    fn ssh_keygen_finds_the_hosts_that_the_patterns_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        let finds = |patterns: &str, host: &str| {
            let content = line(patterns) + "\n";
            write_whole(&file, content.as_bytes(), PUBLIC_FILE, Replace::Allow).unwrap();
            let found = Command::new("ssh-keygen")
                .args(["-F", host, "-f"])
                .arg(&file)
                .output()
                .expect("ssh-keygen, of Debian's openssh-client");
            String::from_utf8_lossy(&found.stdout).contains("CA")
        };
        assert!(finds("*", "db1"));
        assert!(finds("*", "[127.0.0.1]:3023"));
        assert!(finds("*.example.com, db1", "db1"));
        assert!(finds("*.example.com,db1", "web.example.com"));
        assert!(!finds("*.example.com,db1", "web.example.org"));
        assert!(!finds("!db1,*", "db1"));
        assert!(finds(
            "[proxy.example.com]:3023",
            "[proxy.example.com]:3023"
        ));
    }

    #[test]
    fn patterns_that_would_mean_something_else_are_refused() {
        for bad in [
            "", " ", "a,,b", "a,", "!", "a b", "a\nb", "|1|x|y", "#a", "a!b", "@revoked",
        ] {
            assert!(bad.parse::<HostPatterns>().is_err(), "{bad:?}");
        }
        assert!(matches!(
            "!db1,!db2".parse::<HostPatterns>(),
            Err(RenderError::OnlyNegated)
        ));
    }
}
