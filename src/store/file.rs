//! A recording's file: its name, and how it is created.

use std::fs::File;
use std::path::Path;

use super::error::StoreError;
use super::lock;
use crate::model::SessionId;
use crate::sys::fs;

/// What the name of every recording ends with.
pub const FILE_SUFFIX: &str = ".cast.zst";

/// The name of a session's recording.
#[must_use]
pub fn file_name(session: SessionId) -> String {
    format!("{session}{FILE_SUFFIX}")
}

/// Creates the file of a session's recording in a private directory, which is made if it is missing,
/// and locks it for as long as it is open.
///
/// # Errors
/// When the file exists or cannot be made or locked.
pub(super) fn create(directory: &Path, session: SessionId) -> Result<File, StoreError> {
    fs::private_dir(directory)?;
    let path = directory.join(file_name(session));
    let file = fs::create_new(&path, fs::PRIVATE_FILE)?;
    lock::take(&file, &path)?;
    Ok(file)
}

/// Creates a recording with this header.
#[cfg(test)]
pub(super) fn start(
    directory: &Path,
    header: &crate::recording::Header,
    options: crate::recording::Options,
    now: std::time::Duration,
) -> Result<crate::recording::Live<File>, StoreError> {
    let file = create(directory, header.session)?;
    Ok(crate::recording::Live::start(file, header, options, now)?)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{FlockOperation, flock};

    use super::*;
    use std::time::Duration;

    use crate::model::SessionKind;
    use crate::recording::Options;
    use crate::recording::testing::header;
    use crate::sys::fs::until_unlocked;

    #[test]
    fn a_recording_on_disk_is_private_locked_and_never_replaced() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let recordings = directory.path().join("recordings");
        let header = header(SessionKind::Shell, true);
        let live = start(&recordings, &header, Options::default(), Duration::ZERO).unwrap();
        let path = recordings.join(file_name(header.session));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        let again = start(&recordings, &header, Options::default(), Duration::ZERO);
        assert!(matches!(again.unwrap_err(), StoreError::File(_)));
        let other = File::open(&path).unwrap();
        assert!(flock(&other, FlockOperation::NonBlockingLockShared).is_err());
        let (file, summary) = live.finish(Duration::from_secs(2)).unwrap();
        drop(file);
        until_unlocked(&path);
        assert_eq!(summary.footer.duration_ms, 2000);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), summary.file_bytes);
    }
}
