//! `rproxy auth sign --batch`: host certificates for a list of keys, as `ssh-keyscan` prints it.
//!
//! The whole list is read and checked before anything is signed.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh_key::PublicKey;

use super::client::AuthClient;
use super::{Context, Exit, Failure, ui};
use crate::ca::IssueRequest;
use crate::cert::{HostRequest, parse_public_key, random_serial};
use crate::model::HostPrincipal;
use crate::sys::clock::Clock;
use crate::sys::fs::{self, PUBLIC_FILE, Replace};

/// Largest list, in bytes: some 100,000 keys.
const MAX_LIST: u64 = 64 << 20;
/// Most bad lines that one failure names.
const MAX_NAMED: usize = 20;

/// A list of hosts to sign for.
#[derive(Debug)]
pub(super) struct Batch {
    hosts: Vec<BatchHost>,
}

/// One line of the list.
#[derive(Debug)]
struct BatchHost {
    names: Vec<HostPrincipal>,
    public_key: PublicKey,
}

impl BatchHost {
    fn request(&self, ttl: Duration) -> HostRequest {
        HostRequest {
            names: self.names.clone(),
            public_key: self.public_key.clone(),
            ttl,
            extensions: None,
        }
    }

    /// What its file and its line are called.
    fn name(&self) -> &str {
        self.names.first().map_or("", HostPrincipal::as_str)
    }
}

/// What is wrong with a line, and with which one.
#[derive(Debug)]
struct BadLine {
    number: usize,
    what: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.what)
    }
}

impl Batch {
    /// Reads `NAME[,NAME..] PUBKEY` lines from a file, or from standard input for `-`.
    ///
    /// # Errors
    /// Names every line that cannot be signed, and why.
    pub(super) fn read(path: &Path, ttl: Duration) -> Result<Self, Failure> {
        let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::new(Exit::Failed, "cannot read the list of keys").because(error)
        };
        let bytes = if path == Path::new("-") {
            let mut bytes = Vec::new();
            io::stdin()
                .lock()
                .take(MAX_LIST)
                .read_to_end(&mut bytes)
                .map_err(|error| refused(error.into()))?;
            bytes
        } else {
            fs::read_limited(path, MAX_LIST).map_err(|error| refused(error.into()))?
        };
        let text = String::from_utf8(bytes).map_err(|error| refused(error.into()))?;
        Self::parse(&text, ttl)
    }

    fn parse(text: &str, ttl: Duration) -> Result<Self, Failure> {
        let mut hosts: Vec<BatchHost> = Vec::new();
        let mut lines_by_name = HashMap::new();
        let mut bad = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let host = match parse_line(line, ttl) {
                Ok(host) => host,
                Err(what) => {
                    bad.push(BadLine { number, what });
                    continue;
                }
            };
            if let Some(first) = lines_by_name.insert(host.name().to_owned(), number) {
                let what = format!("{} has a key in line {first} already", host.name());
                bad.push(BadLine { number, what });
            }
            hosts.push(host);
        }
        if !bad.is_empty() {
            return Err(bad_lines(&bad));
        }
        if hosts.is_empty() {
            return Err(
                Failure::new(Exit::Failed, "the list of keys is empty").hint(
                    "give lines of NAME[,NAME..] PUBKEY, as `ssh-keyscan -t ed25519` prints them",
                ),
            );
        }
        Ok(Self { hosts })
    }

    /// Signs for every host. With a directory the certificates go there, each as soon as it is
    /// signed, and their paths are the result; without one they are the result, a line each with
    /// the host's name before it.
    ///
    /// # Errors
    /// What cannot be signed or written. What was signed before stays.
    pub(super) fn sign(
        &self,
        context: &Context,
        directory: Option<&Path>,
        ttl: Duration,
        replace: Replace,
    ) -> Result<String, Failure> {
        let signing = AuthClient::new(context).signing()?;
        let requests = self
            .hosts
            .iter()
            .map(|host| IssueRequest::Host(host.request(ttl)));
        for request in requests {
            signing.refuse_revoked(&request)?;
        }
        let progress = ui::Progress::start(self.hosts.len(), "signing");
        let mut result = String::new();
        for host in &self.hosts {
            let refused = || format!("cannot sign for {}", host.name());
            let issued = signing.issue(IssueRequest::Host(host.request(ttl)))?;
            let certificate = issued.certificate.to_openssh().map_err(|error| {
                Failure::new(Exit::Internal, "cannot encode the certificate").because(error)
            })?;
            match directory {
                None => result += &format!("{} {certificate}\n", host.name()),
                Some(directory) => {
                    let path = file(directory, host);
                    let content = certificate + "\n";
                    fs::write_whole(&path, content.as_bytes(), PUBLIC_FILE, replace)
                        .map_err(|error| Failure::new(Exit::Failed, refused()).because(error))?;
                    result += &format!("{}\n", path.display());
                }
            }
            progress.step();
        }
        Ok(result)
    }

    /// The files that [`Self::sign`] writes in a directory.
    pub(super) fn paths(&self, directory: &Path) -> Vec<PathBuf> {
        self.hosts
            .iter()
            .map(|host| file(directory, host))
            .collect()
    }
}

fn file(directory: &Path, host: &BatchHost) -> PathBuf {
    directory.join(format!("{}-cert.pub", host.name()))
}

fn parse_line(line: &str, ttl: Duration) -> Result<BatchHost, String> {
    let (names, key) = line
        .trim()
        .split_once(char::is_whitespace)
        .ok_or("there is no key after the name")?;
    let names = names
        .split(',')
        .map(|name| {
            name.parse::<HostPrincipal>()
                .map_err(|error| error.to_string())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let public_key = parse_public_key(key.trim()).map_err(|error| error.to_string())?;
    let host = BatchHost { names, public_key };
    // The name becomes a file's.
    if host.name().contains('/') || host.name().starts_with('.') {
        return Err(format!("{:?} cannot be the name of a file", host.name()));
    }
    let template = host
        .request(ttl)
        .template(random_serial(), Clock::System.unix_seconds());
    template.map_err(|error| error.to_string())?;
    Ok(host)
}

fn bad_lines(bad: &[BadLine]) -> Failure {
    let mut named: Vec<_> = bad
        .iter()
        .take(MAX_NAMED)
        .map(ToString::to_string)
        .collect();
    if bad.len() > MAX_NAMED {
        named.push(format!("and {} more", bad.len() - MAX_NAMED));
    }
    Failure::new(
        Exit::Failed,
        "the list of keys cannot be signed, nothing was",
    )
    .because(named.join("\n  "))
    .hint("give lines of NAME[,NAME..] PUBKEY, one key for each host")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_list_has_names_keys_and_comments() {
        let text = format!("# scanned\n\ndb1,db1.example.com {KEY} root@db1\r\n  web1\t{KEY}\n");
        let batch = Batch::parse(&text, HOUR).unwrap();
        let names: Vec<_> = batch.hosts.iter().map(|host| host.names.len()).collect();
        assert_eq!(names, [2, 1]);
        assert_eq!(
            batch.paths(Path::new("/out")),
            [
                Path::new("/out/db1-cert.pub"),
                Path::new("/out/web1-cert.pub")
            ]
        );
    }

    #[test]
    fn every_bad_line_is_named_and_none_is_signed() {
        let text = format!(
            "db1 {KEY}\ndb2\ndb* {KEY}\ndb3 ssh-ed25519 AAAA\n../x {KEY}\ndb1 {KEY}\ndb4,db4 {KEY}\n"
        );
        let refused = Batch::parse(&text, HOUR).unwrap_err().to_string();
        for line in ["line 2", "line 3", "line 4", "line 5", "line 6", "line 7"] {
            assert!(refused.contains(line), "{line}: {refused}");
        }
        assert!(!refused.contains("line 1:"), "{refused}");
        assert!(
            refused.contains("db1 has a key in line 1 already"),
            "{refused}"
        );
    }

    #[test]
    fn a_flood_of_bad_lines_is_cut() {
        let refused = Batch::parse(&"x\n".repeat(1000), HOUR)
            .unwrap_err()
            .to_string();
        assert!(refused.contains("and 980 more"), "{refused}");
        assert!(Batch::parse("# none\n", HOUR).is_err());
    }
}
