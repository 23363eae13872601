//! The program that runs: its path, so that it can be run again.
//!
//! An upgrade replaces the file. So the path is determined at the start, by the name of the command:
//! a symbolic link to the newest version then leads to the next version too.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::processes::ProcessKind;
use super::systemd;
use crate::ipc::VERSION;
use crate::model::chain;
use crate::sys::directory;

/// Set in the environment of a program that takes over.
pub(super) const HANDOVER_VARIABLE: &str = "RPROXY_HANDOVER";
/// The running program, even if its file was replaced or removed.
const RUNNING: &str = "/proc/self/exe";
/// How long a program may take to answer a check.
const CHECK_LIMIT: Duration = Duration::from_secs(30);
/// How often the checked program is polled.
const LOOK: Duration = Duration::from_millis(20);
/// How much of the checked program's output is shown, in bytes.
const MAX_SAID: usize = 2_000;

/// The arguments of the programs that the monitor starts.
#[derive(Clone, Debug)]
pub struct ChildArgs {
    /// Arguments of every process of the table, after its command.
    pub flags: Vec<OsString>,
    /// Arguments that only check the configuration.
    pub check: Vec<OsString>,
    /// Arguments that print [`VERSION`] if the program can take over the processes of that version.
    pub version: Vec<OsString>,
}

impl ChildArgs {
    /// The arguments of a process of this kind.
    pub(super) fn of(&self, kind: &ProcessKind) -> Vec<OsString> {
        let mut args = vec![kind.command.into()];
        args.extend_from_slice(&self.flags);
        args
    }
}

/// The path of the program, and how it was called.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    name: OsString,
}

impl Program {
    /// Determines the path of this process's program.
    pub(super) fn of_this_process() -> Self {
        let name = std::env::args_os().next().unwrap_or_default();
        let path = named(Path::new(&name))
            .filter(|path| is_running(path))
            .or_else(|| std::env::current_exe().ok())
            .unwrap_or_else(|| PathBuf::from(RUNNING));
        Self { path, name }
    }

    /// The path that an earlier version of this process determined.
    pub(super) fn at(path: PathBuf) -> Self {
        let name = std::env::args_os().next().unwrap_or_default();
        Self { path, name }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs this same program, even if another one is installed now.
    pub(super) fn same(&self) -> Command {
        let path = if is_running(&self.path) {
            &self.path
        } else {
            Path::new(RUNNING)
        };
        self.command(path)
    }

    /// A command that runs the program that is installed now.
    pub(super) fn newest(&self) -> Command {
        self.command(&self.path)
    }

    fn command(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.arg0(&self.name).env_remove(HANDOVER_VARIABLE);
        command
    }

    /// Checks whether the program that is installed now would run as this monitor's successor. Blocks
    /// while the program runs.
    ///
    /// # Errors
    /// The reason why it would not, for the administrator.
    pub(super) fn check(&self, launch: &ChildArgs) -> Result<(), String> {
        self.check_place()?;
        self.ask(&launch.check)?;
        // A program that does not know this command is an earlier version.
        let version = self.ask(&launch.version).unwrap_or_default();
        if version.trim() == VERSION.to_string() {
            return Ok(());
        }
        Err(format!(
            "{} cannot take over from this version: restart it instead",
            self.path.display()
        ))
    }

    /// Checks that only root and this account can have written the installed file: any other account
    /// that could would control the next proxy.
    ///
    /// # Errors
    /// The reason, for the administrator.
    pub(super) fn check_place(&self) -> Result<(), String> {
        directory::check_program(&self.path).map_err(|error| chain(&error))
    }

    /// Runs the program; returns its output.
    fn ask(&self, args: &[OsString]) -> Result<String, String> {
        let shown = self.path.display();
        let mut command = self.newest();
        for variable in systemd::VARIABLES {
            command.env_remove(variable);
        }
        let child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| format!("cannot run {shown}: {error}"))?;
        let failed = |error: io::Error| format!("cannot wait for {shown}: {error}");
        // Its output fits into the pipe, or it blocks until the time limit.
        let until = Instant::now() + CHECK_LIMIT;
        while child.try_wait().map_err(failed)?.is_none() {
            if Instant::now() >= until {
                let _gone = child.kill();
                break;
            }
            std::thread::sleep(LOOK);
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        reason.truncate(reason.floor_char_boundary(MAX_SAID));
        Err(format!("{shown}: {}: {reason}", output.status))
    }
}

/// The file that a command's name means: a path, or the first match in the search path.
fn named(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        return std::path::absolute(name).ok();
    }
    let directories = std::env::var_os("PATH")?;
    std::env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Whether this file is the running program.
fn is_running(path: &Path) -> bool {
    let identity = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    identity(path).is_some() && identity(path) == identity(Path::new(RUNNING))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::sys::script::put_script;

    #[test]
    fn a_name_is_a_path_or_is_searched() {
        let sh = named(Path::new("sh")).unwrap();
        assert!(sh.is_absolute() && sh.ends_with("sh"));
        assert_eq!(named(Path::new("/bin/sh")), Some(PathBuf::from("/bin/sh")));
        let relative = named(Path::new("./sh")).unwrap();
        assert!(relative.is_absolute());
        assert_eq!(named(Path::new("no-program-has-this-name")), None);
    }

    #[test]
    fn what_is_in_the_place_must_be_a_successor() {
        let launch = |args: &[&str]| ChildArgs {
            flags: Vec::new(),
            check: args.iter().map(OsString::from).collect(),
            version: vec!["-c".into(), format!("echo {VERSION}").into()],
        };
        let shell = Program::at(PathBuf::from("/bin/sh"));
        assert_eq!(shell.check(&launch(&["-c", "true"])), Ok(()));
        let refused = shell.check(&launch(&["-c", "echo no such key >&2; exit 78"]));
        assert_eq!(
            refused,
            Err("/bin/sh: exit status: 78: no such key".to_owned())
        );
        let mut older = launch(&["-c", "true"]);
        older.version = vec!["-c".into(), "echo 0".into()];
        assert!(shell.check(&older).unwrap_err().contains("restart it"));
        let nothing = Program::at(PathBuf::from("/nowhere/rproxy"));
        let refused = nothing.check(&launch(&[])).unwrap_err();
        assert!(refused.contains("/nowhere"), "{refused}");
    }

    /// A file that another account could have written is not run, not even for the check.
    #[test]
    fn what_others_may_write_is_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("bin");
        std::fs::create_dir(&folder).unwrap();
        let (place, trace) = (folder.join("rproxy"), directory.path().join("it ran"));
        let script = format!("#!/bin/sh\n: >'{}'\necho {VERSION}\n", trace.display());
        put_script(&script, &place);
        let launch = ChildArgs {
            flags: Vec::new(),
            check: Vec::new(),
            version: Vec::new(),
        };
        let refused = |path: &Path| {
            let refused = Program::at(path.to_owned()).check(&launch).unwrap_err();
            assert!(!trace.exists(), "{refused}");
            refused
        };
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        for writable in [0o775, 0o757, 0o777] {
            mode(&place, writable);
            let said = refused(&place);
            assert!(said.contains("others can write"), "{said}");
            assert!(said.contains(&format!("mode {writable:04o}")), "{said}");
        }
        mode(&place, 0o755);
        for writable in [0o775, 0o757, 0o777] {
            mode(&folder, writable);
            assert!(refused(&place).contains("others can write"), "{writable:o}");
        }
        mode(&folder, 0o755);
        // A name that leads to what others may write is no better.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&place, &link).unwrap();
        mode(&folder, 0o777);
        assert!(refused(&link).contains("others can write"));
        mode(&folder, 0o755);
        if rustix::process::geteuid().is_root() {
            let nobody = Some(65534);
            for (path, back) in [(&place, &place), (&folder, &folder)] {
                std::os::unix::fs::chown(path, nobody, None).unwrap();
                assert!(refused(&place).contains("belongs to user 65534"));
                std::os::unix::fs::chown(back, Some(0), None).unwrap();
            }
            std::os::unix::fs::lchown(&link, nobody, None).unwrap();
            assert!(refused(&link).contains("belongs to user 65534"));
        }
        Program::at(place).check(&launch).unwrap();
        assert!(trace.exists());
    }
}
