//! The user's own ssh: its version, and how it reads its configuration.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::super::checks::SSH_VERSION;
use super::super::child::{self, ProgramOutput};
use super::super::report::Finding;

/// How long it may take if it asks no question.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// ssh, with its configuration.
#[derive(Debug)]
pub(super) struct Ssh {
    config: Option<PathBuf>,
}

impl Ssh {
    pub(super) fn new(config: Option<PathBuf>) -> Self {
        Self { config }
    }

    /// ssh, told which file to read.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        if let Some(config) = &self.config {
            command.arg("-F").arg(config);
        }
        command
    }

    /// Looks which ssh there is; whether there is one.
    pub(super) fn version(&self, findings: &mut Vec<Finding>) -> bool {
        match child::run(Command::new("ssh").arg("-V"), "", PATIENCE) {
            Ok(said) => {
                findings.push(judge_version(said.stderr.trim()));
                true
            }
            Err(error) => {
                let detail = format!("cannot be started: {error}");
                let hint = "install the OpenSSH client (openssh-client, openssh-clients)";
                findings.push(Finding::error(&SSH_VERSION, "", detail, hint));
                false
            }
        }
    }

    /// What it would do for a destination.
    ///
    /// # Errors
    /// What it says about its configuration.
    pub(super) fn effective(&self, arguments: &[&str]) -> Result<Effective, String> {
        Effective::of(child::run(
            self.command().arg("-G").args(arguments),
            "",
            PATIENCE,
        ))
    }
}

/// The version in words, and what is missing in old ones.
fn judge_version(said: &str) -> Finding {
    let check = &SSH_VERSION;
    let newer = "use OpenSSH 8.9 or later";
    let first = said.split([',', ' ']).next().unwrap_or_default();
    match version(said) {
        Some(version) if version < (7, 2) => {
            let detail = format!("{first}: too old to show what it makes of its configuration");
            Finding::error(check, "", detail, newer)
        }
        Some(version) if version < (8, 5) => {
            let detail =
                format!("{first} knows no KnownHostsCommand: it needs the host CA in a file");
            let hint = "`rproxy config --install` writes the file; better use OpenSSH 8.9 or later";
            Finding::warning(check, "", detail, hint)
        }
        Some(version) if version < (8, 9) => {
            let detail = format!("{first} cannot tell an agent which host it signs for");
            let hint = "nothing depends on it, but `ssh-add -h` does not work; use OpenSSH 8.9 or \
                        later for that";
            Finding::warning(check, "", detail, hint)
        }
        Some(_) => Finding::ok(check, "", first),
        None => {
            let detail = format!("is not OpenSSH: {said}");
            Finding::warning(
                check,
                "",
                detail,
                "the block for ssh_config is made for OpenSSH",
            )
        }
    }
}

/// Major and minor number, from `OpenSSH_9.2p1 Debian-2, OpenSSL 3.0`.
fn version(said: &str) -> Option<(u32, u32)> {
    let (_, rest) = said.split_once("OpenSSH_")?;
    let rest = rest.strip_prefix("for_Windows_").unwrap_or(rest);
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What `ssh -G` prints: keywords, here in lower case whatever case they are printed in, and their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Effective(Vec<(String, String)>);

impl Effective {
    /// Reads what ssh has said.
    ///
    /// # Errors
    /// What is wrong with its configuration, in its words.
    pub(super) fn of(said: io::Result<ProgramOutput>) -> Result<Self, String> {
        let said = said.map_err(|error| error.to_string())?;
        if said.is_success() {
            Ok(Self::parse(&said.stdout))
        } else {
            Err(said.complaint().to_owned())
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        let words = text.lines().filter_map(|line| line.split_once(' '));
        let lines =
            words.map(|(keyword, value)| (keyword.to_ascii_lowercase(), value.trim().to_owned()));
        Self(lines.collect())
    }

    /// The first value of a keyword.
    pub(super) fn value(&self, keyword: &str) -> Option<&str> {
        let mut lines = self.0.iter();
        let line = lines.find(|(name, _)| name == keyword);
        line.map(|(_, value)| value.as_str())
    }

    /// All its values.
    pub(super) fn values<'e>(&'e self, keyword: &'e str) -> impl Iterator<Item = &'e str> {
        let lines = self.0.iter().filter(move |(name, _)| name == keyword);
        lines.map(|(_, value)| value.as_str())
    }

    /// A value that is not the word for none.
    pub(super) fn path(&self, keyword: &str) -> Option<&str> {
        self.value(keyword).filter(|value| *value != "none")
    }

    /// The names under which known hosts are looked for, and the one that a certificate has to have.
    pub(super) fn names(&self) -> Names {
        let host = self
            .value("hostname")
            .unwrap_or_default()
            .to_ascii_lowercase();
        if let Some(alias) = self.path("hostkeyalias") {
            return Names {
                looked_for: vec![alias.to_owned()],
                certified: alias.to_owned(),
            };
        }
        let port = self.value("port").unwrap_or("22");
        let looked_for = match port {
            "22" => vec![host.clone()],
            port => vec![format!("[{host}]:{port}"), host.clone()],
        };
        Names {
            looked_for,
            certified: host,
        }
    }
}

/// How ssh calls a server when it looks at its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// In known hosts, one after the other.
    pub(super) looked_for: Vec<String>,
    /// In a certificate.
    pub(super) certified: String,
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Status;
    use super::*;

    #[test]
    fn versions_are_read_from_what_ssh_says() {
        for (said, expected) in [
            (
                "OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19",
                Some((9, 2)),
            ),
            ("OpenSSH_for_Windows_8.1p1, LibreSSL 3.0.2", Some((8, 1))),
            ("OpenSSH_10.0p2, OpenSSL", Some((10, 0))),
            ("Dropbear v2022.83", None),
        ] {
            assert_eq!(version(said), expected, "{said}");
        }
    }

    #[test]
    fn old_ones_are_told_of() {
        for (said, status) in [
            ("OpenSSH_6.6.1p1, OpenSSL", Status::Error),
            ("OpenSSH_7.4p1, OpenSSL", Status::Warning),
            ("OpenSSH_8.8p1, OpenSSL", Status::Warning),
            ("Sun_SSH_1.1", Status::Warning),
            ("OpenSSH_8.9p1, OpenSSL", Status::Ok),
        ] {
            assert_eq!(judge_version(said).status, status, "{said}");
        }
    }

    #[test]
    fn a_server_has_the_names_that_ssh_looks_for() {
        let names = |text: &str| Effective::parse(text).names();
        assert_eq!(
            names("hostname Proxy.example.com\nport 3023\n"),
            Names {
                looked_for: vec![
                    "[proxy.example.com]:3023".to_owned(),
                    "proxy.example.com".to_owned()
                ],
                certified: "proxy.example.com".to_owned(),
            }
        );
        assert_eq!(names("hostname db1\nport 22\n").looked_for, ["db1"]);
        assert_eq!(names("HostName db1\nPort 22\n").looked_for, ["db1"]);
        let alias = names("hostname 10.0.0.5\nport 2222\nhostkeyalias db1\n");
        assert_eq!(
            (alias.looked_for, alias.certified.as_str()),
            (vec!["db1".to_owned()], "db1")
        );
    }
}
