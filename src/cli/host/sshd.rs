//! The host's own sshd: how it reads a configuration. It only checks (`sshd -T`, `-t`), and does
//! not serve.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::super::auth::failure::ca_failure;
use super::{Exit, Failure};
use crate::ca::NewHostKey;
use crate::openssh;
use crate::sys::fs::{self, PRIVATE_FILE, Staged};

/// Largest `sshd_config` that is read, in bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// Where the configuration usually is.
const USUAL_CONFIG: &str = "/etc/ssh/sshd_config";
/// Where sshd is when the search path does not have it, as an ordinary user's does not.
const USUAL_PLACES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// The keys that sshd has where its configuration names none, as `sshd_config`(5) has them.
const DEFAULT_KEYS: [&str; 3] = [
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
];

/// Which configuration is the host's.
#[derive(Clone, Copy, Debug)]
pub(super) enum HostConfig<'p> {
    /// The host is this machine: its usual configuration, or this one.
    Here(Option<&'p Path>),
    /// The host is another machine: a copy of its configuration, if there is one.
    Elsewhere(Option<&'p Path>),
}

/// An sshd program, and the configuration that the host runs it with.
#[derive(Debug)]
pub(super) struct Sshd {
    program: PathBuf,
    config: Option<Vec<u8>>,
    /// Another machine's keys are not here, and sshd says nothing without one.
    is_elsewhere: bool,
}

impl Sshd {
    /// Finds the program; `None` where there is none. A configuration that was not named may be
    /// missing: sshd's defaults are then what the host runs with.
    ///
    /// # Errors
    /// When a file cannot be read, or a named one is not there.
    pub(super) fn find(
        program: Option<&Path>,
        config: HostConfig<'_>,
    ) -> Result<Option<Self>, Failure> {
        let program = match program {
            Some(named) if !named.is_file() => {
                let message = format!("there is no sshd at {}", named.display());
                return Err(Failure::new(Exit::Failed, message));
            }
            Some(named) => Some(named.to_owned()),
            None => search(),
        };
        let (path, is_elsewhere) = match config {
            HostConfig::Here(None) => (Some(Path::new(USUAL_CONFIG)), false),
            HostConfig::Here(named) => (named, false),
            HostConfig::Elsewhere(named) => (named, true),
        };
        let content = path.map(|path| match fs::read_limited(path, MAX_CONFIG) {
            Err(missing) if missing.is_not_found() && path == Path::new(USUAL_CONFIG) => {
                Ok(Vec::new())
            }
            read => read.map_err(|error| {
                Failure::new(Exit::Failed, "cannot read the host's configuration")
                    .because(error)
                    .hint("name another with --sshd-config")
            }),
        });
        let config = content.transpose()?;
        Ok(program.map(|program| Self {
            program,
            config,
            is_elsewhere,
        }))
    }

    /// Whether it asks with the host's own configuration.
    pub(super) fn knows_the_host(&self) -> bool {
        self.config.is_some()
    }

    /// The host keys that are in force now; none where sshd does not tell, because this
    /// account may not read them.
    pub(super) fn host_keys(&self, beside: &Path) -> Vec<PathBuf> {
        let Ok(told) = self.ask("-T", "", beside) else {
            return Vec::new();
        };
        let is_told = told.output.status.success();
        let text = String::from_utf8_lossy(&told.output.stdout);
        let keys: Vec<_> = host_keys_in(&text)
            .map(PathBuf::from)
            .filter(|key| is_told && told.lent.as_ref() != Some(key))
            .collect();
        match told.lent {
            Some(_) if is_told && keys.is_empty() => DEFAULT_KEYS.map(PathBuf::from).to_vec(),
            _ => keys,
        }
    }

    /// Has sshd check the host's configuration with `snippet` in front of it, where an `Include`
    /// would put it.
    ///
    /// # Errors
    /// What sshd says.
    pub(super) fn check(&self, snippet: &str, beside: &Path) -> Result<(), Failure> {
        let refused = || Failure::new(Exit::Failed, "sshd refuses the configuration");
        let output = self.ask("-t", snippet, beside)?.output;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<_> = said
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        Err(refused()
            .because(said.join("\n  "))
            .hint("the host's own configuration is checked along with it: see `sshd -t`"))
    }

    fn ask(&self, flag: &str, snippet: &str, beside: &Path) -> Result<SshdOutput, Failure> {
        let cannot = || Failure::new(Exit::Failed, "cannot ask sshd");
        let stage = |name: &str, content: &[u8]| {
            Staged::write(&beside.join(name), content, PRIVATE_FILE)
                .map_err(|error| cannot().because(error))
        };
        let lent = match self.is_elsewhere {
            false => None,
            true => {
                let key = NewHostKey::generate("");
                let key = key.map_err(|error| ca_failure("cannot make a host key", error))?;
                Some(stage("host_key.check", key.private_text().as_bytes())?)
            }
        };
        let lent_line = match &lent {
            None => String::new(),
            Some(key) => {
                openssh::host_key(key.temporary()).map_err(|error| cannot().because(error))?
            }
        };
        // First in the file, or it might stand in a `Match` block.
        let config = self.config.as_deref().unwrap_or_default();
        let parts = [
            lent_line.as_bytes(),
            b"\n",
            snippet.as_bytes(),
            b"\n",
            config,
        ];
        let file = stage("sshd_config.check", &parts.concat())?;
        let output = Command::new(&self.program)
            .arg(flag)
            .arg("-f")
            .arg(file.temporary())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| cannot().because(error))?;
        Ok(SshdOutput {
            output,
            lent: lent.map(|key| key.temporary().to_owned()),
        })
    }
}

/// What sshd says, and the key that it was lent to say anything.
struct SshdOutput {
    output: Output,
    lent: Option<PathBuf>,
}

/// The host keys in what `sshd -T` prints. Releases before 10.4 write keywords in lower case, later ones
/// as the manual does.
fn host_keys_in(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (keyword, value) = line.split_once(' ')?;
        keyword.eq_ignore_ascii_case("hostkey").then_some(value)
    })
}

fn search() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(USUAL_PLACES.iter().map(PathBuf::from))
        .map(|directory| directory.join(OsStr::new("sshd")))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::host_keys_in;

    #[test]
    fn host_keys_are_found_however_keywords_are_written() {
        for text in [
            "port 22\nhostkey /etc/a\nhostkey /etc/B c\nhostkeyagent none\n",
            "Port 22\nHostKey /etc/a\nHostKey /etc/B c\nHostKeyAgent none\n",
        ] {
            let keys: Vec<_> = host_keys_in(text).collect();
            assert_eq!(keys, ["/etc/a", "/etc/B c"]);
        }
    }
}
