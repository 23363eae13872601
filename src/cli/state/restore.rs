//! `rproxy state restore`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::opening::{check, stop_others, summary};
use super::stored::state_failure;
use super::{Context, Failure, auditing, ui};
use crate::audit::AuditEvent;
use crate::cli::existing_data_dir;
use crate::state::{State, StateError, StatePlace};
use crate::sys::account::Actor;
use crate::sys::clock::Clock;
use crate::sys::fs::{self, FsError, PRIVATE_FILE, Replace, Staged};

/// What a database of SQLite has beside its file while it is open, or after a crash.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Replace the state by a backup
///
/// The proxy must not run. The file that was there stays beside it, under another name; a PostgreSQL
/// database has to be empty. Revocations and signed certificates that the backup does not have are taken
/// over from revoked.jsonl and issued.jsonl at the next start: nothing that was revoked becomes valid.
/// Users, passwords and second factors are those of the backup.
#[derive(Debug, clap::Args)]
pub(crate) struct StateRestoreArgs {
    /// A file that `rproxy state backup` has written
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl StateRestoreArgs {
    pub(super) fn restore(&self, context: &Context) -> Result<String, Failure> {
        let data_dir = existing_data_dir(context)?;
        let failed = |error: StateError| {
            let file = self.file.display();
            state_failure(&format!("cannot restore the state from {file}"), error)
        };
        fs::check_private(data_dir).map_err(|error| failed(error.into()))?;
        let _lock = stop_others(context, "restore")?;
        let place = context.config.state_place();
        let place = place.map_err(|error| failed(error.into()))?;
        let event = AuditEvent::StateRestored {
            from: self.file.display().to_string(),
            actor: Actor::of_this_process(),
        };
        // What cannot be audited is not begun.
        drop(auditing::log(context)?);
        let kept = match &place {
            StatePlace::Sqlite(path) => self.replace(path).map_err(failed)?,
            StatePlace::Postgres(_) => {
                self.fill(&place)?;
                None
            }
        };
        if let Some(kept) = kept {
            ui::note(&format!(
                "the state that was there is now {}",
                kept.display()
            ));
        }
        let state = State::open_existing(&place, Clock::System).map_err(failed)?;
        let status = check(&state)?;
        auditing::tell(context, &event)?;
        Ok(format!("Restored {place}: {}\n", summary(&status)))
    }

    /// Fills an empty database.
    fn fill(&self, place: &StatePlace) -> Result<(), Failure> {
        let restored = State::open(place, Clock::System);
        let restored = restored.and_then(|state| state.restore(&self.file));
        restored.map_err(|error| {
            let is_full = matches!(error, StateError::NotEmpty { .. });
            let failure = state_failure("cannot restore the state", error);
            match is_full {
                true => failure.hint(
                    "make a new database (createdb), and name it in state.url; the one that is \
                     there stays as it is",
                ),
                false => failure,
            }
        })
    }

    /// Puts a new file into the place of the one that is there; gives the name that that one has then.
    fn replace(&self, path: &Path) -> Result<Option<PathBuf>, StateError> {
        let staged = Staged::write(path, b"", PRIVATE_FILE)?;
        let new = StatePlace::Sqlite(staged.temporary().to_owned());
        // Closed again before it is moved: nothing of it is in a file beside it then.
        State::open(&new, Clock::System)?.restore(&self.file)?;
        let kept = match path.exists() {
            true => Some(put_aside(path)?),
            false => None,
        };
        staged.place(Replace::Refuse)?;
        Ok(kept)
    }
}

/// Renames a database with what is beside it.
fn put_aside(path: &Path) -> Result<PathBuf, FsError> {
    let time = Clock::System.now().format("%Y%m%dT%H%M%S%3fZ");
    let kept = with_suffix(path, &format!(".before-{time}"));
    fs::rename(path, &kept)?;
    for beside in BESIDE {
        match fs::rename(&with_suffix(path, beside), &with_suffix(&kept, beside)) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(kept)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
