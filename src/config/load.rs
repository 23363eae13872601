//! Reads a configuration: finds the file, checks it as a whole, and adds the values that depend on
//! the machine.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::effective::Config;
use super::{keys, resolve, yaml};
use crate::model::{ClusterName, DataDir, NameError, text};
use crate::sys::files::{Direct, Files, read_limited};
use crate::sys::fs::FsError;

/// The file that is read where none is named and this one is there.
pub const DEFAULT_FILE: &str = "/etc/rproxy/rproxy.yaml";
/// Largest file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Most problems that one error lists.
const MAX_LISTED: usize = 50;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration")]
    Read(#[source] FsError),
    /// The file is not text.
    #[error("{} is not UTF-8", file.display())]
    Encoding {
        /// The file.
        file: PathBuf,
        /// Where its first bad byte is.
        source: std::str::Utf8Error,
    },
    /// The file is text, and something is wrong with it: everything that is.
    #[error("{} in {}{}", count(problems.len()), file.display(), listed(problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// All problems in the order of the lines; never empty.
        problems: Vec<Diagnostic>,
    },
    /// The file names no cluster, and the machine has no host name.
    #[error("no cluster_name, and the machine's host name gives none")]
    NoClusterName(#[source] NameError),
    /// Neither the file nor the environment says where data may be kept.
    #[error("no data directory: neither data_dir nor XDG_STATE_HOME nor HOME is set")]
    NoDataDir,
}

/// A configuration, and what is legal in it but risky.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values in force.
    pub config: Config,
    /// What is legal but risky, in the order of the lines.
    pub warnings: Vec<Diagnostic>,
}

/// Where a configuration comes from: what the global flags say.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file; without one [`DEFAULT_FILE`] if it is there, else the defaults alone.
    pub file: Option<PathBuf>,
    /// The data directory, above the file's.
    pub data_dir: Option<PathBuf>,
}

impl Source {
    /// Reads it, as it is now.
    ///
    /// # Errors
    /// Every problem of the file at once, each with its line and column.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        self.load_with(&Direct)
    }

    /// As [`Self::load`]; `files` opens the file.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(&self, files: &dyn Files) -> Result<Loaded, ConfigError> {
        load(files, self.file.as_deref(), self.data_dir.as_deref())
    }

    /// The same source, for a program that will read it again: a file that is there now has to be
    /// there then. Its absence would mean the defaults, and those have no roles.
    #[must_use]
    pub fn settled(self) -> Self {
        let default = || {
            Path::new(DEFAULT_FILE)
                .exists()
                .then(|| DEFAULT_FILE.into())
        };
        Self {
            file: self.file.or_else(default),
            ..self
        }
    }
}

impl Config {
    /// What holds without any file, for the same installation.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn defaults(&self) -> Result<Self, ConfigError> {
        let name = format!("{}: \"{}\"", keys::CLUSTER_NAME.name, self.cluster_name);
        let loaded = parse(Path::new(""), &name, Some(self.data_dir.path()))?;
        Ok(loaded.config)
    }
}

fn load(
    files: &dyn Files,
    file: Option<&Path>,
    data_dir: Option<&Path>,
) -> Result<Loaded, ConfigError> {
    let path = file.unwrap_or_else(|| Path::new(DEFAULT_FILE));
    let bytes = match read_limited(files, path, MAX_FILE) {
        Err(error) if error.is_not_found() && file.is_none() => None,
        read => Some(read.map_err(ConfigError::Read)?),
    };
    let sha256 = bytes.as_deref().map(sha256);
    let bytes = bytes.unwrap_or_default();
    let text = std::str::from_utf8(&bytes).map_err(|source| ConfigError::Encoding {
        file: path.to_owned(),
        source,
    })?;
    let mut loaded = parse(path, text, data_dir)?;
    loaded.config.sha256 = sha256;
    let state = loaded.config.state.database.as_ref();
    let has_password = state.is_some_and(|state| state.url.password().is_some());
    let open = [
        open_to_others(path),
        has_password.then(|| password_for_others(path)).flatten(),
    ];
    loaded.warnings.splice(0..0, open.into_iter().flatten());
    Ok(loaded)
}

/// In hex, as sha256sum(1) prints it.
fn sha256(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    text::hex(hash.as_ref())
}

/// Reads a configuration from a text; `file` is its name in messages.
///
/// # Errors
/// As [`Source::load`].
pub fn parse(file: &Path, text: &str, data_dir: Option<&Path>) -> Result<Loaded, ConfigError> {
    let mut diagnostics = Diagnostics::new(file.display().to_string(), text);
    let resolved = match yaml::parse(text) {
        Ok(tree) => resolve::file(tree.as_ref(), &mut diagnostics),
        Err(flaw) => {
            diagnostics.error(Some(flaw.place), "", flaw.message);
            None
        }
    };
    let (problems, warnings) = diagnostics.into_parts();
    let Some(resolved) = resolved.filter(|_| problems.is_empty()) else {
        return Err(ConfigError::Invalid {
            file: file.to_owned(),
            problems,
        });
    };
    // A flag may be relative to where the command runs.
    let flag = data_dir.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let data_dir = match flag.or(resolved.data_dir) {
        Some(directory) => directory,
        None => default_data_dir()?,
    };
    let data_dir = DataDir::new(data_dir);
    let cluster_name = match resolved.cluster_name {
        Some(name) => name,
        None => machine_name()?,
    };
    let config = Config {
        file: file.display().to_string(),
        sha256: None,
        cluster_name,
        data_dir,
        auth: resolved.auth,
        state: resolved.state,
        proxy: resolved.proxy,
        upstream: resolved.upstream,
        permit: resolved.permit,
        nodes: resolved.nodes,
        roles: resolved.roles,
        users: resolved.users,
        recording: resolved.recording,
    };
    Ok(Loaded { config, warnings })
}

/// Whether others may write the file, and so decide what this program does. The same rule as
/// sshd's `StrictModes`.
fn open_to_others(file: &Path) -> Option<Diagnostic> {
    let metadata = std::fs::metadata(file).ok()?;
    let ours = rustix::process::geteuid().as_raw();
    let message = if metadata.mode() & 0o022 != 0 {
        format!(
            "others may write this file (mode {:04o})",
            metadata.mode() & 0o7777
        )
    } else if metadata.uid() != 0 && metadata.uid() != ours {
        format!("user {} may write this file", metadata.uid())
    } else {
        return None;
    };
    let mut diagnostics = Diagnostics::new(file.display().to_string(), "");
    diagnostics.warning(None, "", message);
    diagnostics.into_parts().1.pop()
}

/// Who may read the file, which has a password in it, and should not.
fn password_for_others(file: &Path) -> Option<Diagnostic> {
    let mode = std::fs::metadata(file).ok()?.mode();
    let message = match mode & 0o004 {
        0 => {
            "the process that speaks with clients reads this file, and the url has a password: use \
              password_file"
                .to_owned()
        }
        _ => format!(
            "others may read this file (mode {:04o}), and the url has a password: use password_file",
            mode & 0o7777
        ),
    };
    let mut diagnostics = Diagnostics::new(file.display().to_string(), "");
    diagnostics.warning(None, "state.url", message);
    diagnostics.into_parts().1.pop()
}

/// The machine's host name, without the characters that a cluster's name cannot have.
///
/// # Errors
/// When nothing is left of it.
pub fn machine_name() -> Result<ClusterName, ConfigError> {
    let uname = rustix::system::uname();
    uname
        .nodename()
        .to_string_lossy()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .collect::<String>()
        .parse()
        .map_err(ConfigError::NoClusterName)
}

/// The data directory if neither a flag nor the file names one. A relative `XDG_STATE_HOME` is ignored, as its
/// specification asks for.
///
/// # Errors
/// [`ConfigError::NoDataDir`].
pub fn default_data_dir() -> Result<PathBuf, ConfigError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/rproxy"));
    }
    let directory = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    directory("XDG_STATE_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("rproxy"))
        .ok_or(ConfigError::NoDataDir)
}

fn count(problems: usize) -> String {
    match problems {
        1 => "1 problem".to_owned(),
        several => format!("{several} problems"),
    }
}

/// The problems, one after the other, each on lines of its own.
fn listed(problems: &[Diagnostic]) -> String {
    let mut text: String = problems
        .iter()
        .take(MAX_LISTED)
        .map(|problem| format!("\n{problem}"))
        .collect();
    if problems.len() > MAX_LISTED {
        text.push_str(&format!("\n... and {} more", problems.len() - MAX_LISTED));
    }
    text
}
