//! The preconditions of a worker, in one list, in the order in which they are needed. A worker opens
//! the files and directories in question; `serve --check` only checks that they could be opened.

use std::sync::Arc;

use super::error::ServeError;
use super::settings::settings;
use crate::audit::AuditLog;
use crate::config::{Config, RecordingMode, SessionRecording};
use crate::dns::Resolver;
use crate::ssh::Settings;
use crate::store::Recordings;
use crate::sys::clock::Clock;
use crate::sys::feasible;
use crate::sys::files::{Direct, Files};
use crate::sys::fs::{FsError, check_private, private_dir};

/// What to do with the preconditions.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Open and create what is needed; the files are opened through [`Files`].
    Serve(Arc<dyn Files>),
    /// Check only: nothing is created or changed.
    Look,
}

/// What a worker has then.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) settings: Settings,
    pub(super) audit: AuditLog,
    pub(super) resolver: Resolver,
}

/// Goes through the list; returns the result with [`Purpose::Serve`].
///
/// # Errors
/// The first precondition that is not met.
pub(super) fn lay(config: &Config, purpose: Purpose) -> Result<Option<Ground>, ServeError> {
    let files: Arc<dyn Files> = match &purpose {
        Purpose::Serve(files) => Arc::clone(files),
        Purpose::Look => Arc::new(Direct),
    };
    let store = Recordings::new(config.data_dir.recordings());
    let settings = settings(config, &*files, store)?;
    let audit = match &purpose {
        Purpose::Serve(..) => Some(AuditLog::open_with(
            Arc::clone(&files),
            &config.data_dir,
            config.cluster_name.clone(),
            Clock::System,
        )?),
        Purpose::Look => {
            AuditLog::look(&config.data_dir)?;
            None
        }
    };
    rely_on_recordings(config, &purpose)?;
    let resolver = Resolver::from_system_with(Arc::clone(&files))?;
    Ok(audit.map(|audit| Ground {
        settings,
        audit,
        resolver,
    }))
}

/// In strict mode there are no sessions without recordings, so a proxy that cannot create recordings must
/// not start. A full disk is no reason not to start: space may become free.
fn rely_on_recordings(config: &Config, purpose: &Purpose) -> Result<(), ServeError> {
    let directory = config.data_dir.recordings();
    let is_usable =
        |exists: Result<(), FsError>| exists.and_then(|()| feasible::make_in(&directory));
    let usable = match purpose {
        Purpose::Serve(..) => is_usable(private_dir(&directory)),
        Purpose::Look if directory.is_dir() => is_usable(check_private(&directory)),
        Purpose::Look => feasible::make_in(&directory),
    };
    let is_strict = config.auth.session_recording == SessionRecording::Proxy
        && config.recording.mode == RecordingMode::Strict;
    match usable {
        Err(error) if is_strict => Err(ServeError::Recordings(error)),
        // Each session that cannot be recorded is reported when it begins.
        Err(_) | Ok(()) => Ok(()),
    }
}
