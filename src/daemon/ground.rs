//! What a worker stands on: one list of preconditions, in the order in which they are needed. A worker
//! opens what they are about, `serve --check` only looks whether one could.

use std::net::TcpListener;
use std::sync::Arc;

use super::error::ServeError;
use super::public_site::{tls_files, web_server};
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
use crate::web::{Server, WebError};

/// What is done about the preconditions.
#[derive(Debug)]
pub(super) enum Purpose {
    /// They are fulfilled. The listener is the web's, if there is one; the files are opened so.
    Serve(Option<TcpListener>, Arc<dyn Files>),
    /// Nothing is made or changed.
    Look,
}

/// What a worker has then.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) settings: Settings,
    pub(super) audit: AuditLog,
    pub(super) resolver: Resolver,
    pub(super) web: Option<Server>,
}

/// Goes through the list; gives the ground where it is to be stood on.
///
/// # Errors
/// The first precondition that does not hold.
pub(super) fn lay(config: &Config, purpose: Purpose) -> Result<Option<Ground>, ServeError> {
    let files: Arc<dyn Files> = match &purpose {
        Purpose::Serve(_, files) => Arc::clone(files),
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
    let web = match purpose {
        Purpose::Serve(listener, _) => web_server(config, listener, files)?,
        Purpose::Look => {
            let files = tls_files(config);
            files
                .map_or(Ok(()), |files| files.look())
                .map_err(WebError::from)?;
            None
        }
    };
    Ok(audit.map(|audit| Ground {
        settings,
        audit,
        resolver,
        web,
    }))
}

/// In strict mode there is no session without a recording, so that a proxy which cannot make any is of no
/// use to anybody. A full disk is another matter: it may have room again.
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
        // What becomes of each session is told when it begins.
        Err(_) | Ok(()) => Ok(()),
    }
}
