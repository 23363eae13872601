//! The audit events of commands: the account that ran them, and what they did.

use super::{Context, Exit, Failure};
use crate::audit::{AuditError, AuditEvent, AuditLog};
use crate::model::text;
use crate::sys::clock::Clock;
use crate::sys::fs::{FsError, check_private};

/// Opens the audit log of the data directory, for what a command does.
///
/// # Errors
/// When this account cannot write it. Nothing is made in a directory of another account,
/// which could not write it afterwards.
pub(super) fn open(context: &Context) -> Result<AuditLog, AuditError> {
    let config = &context.config;
    match check_private(config.data_dir.path()) {
        Err(fault @ FsError::Owner { .. }) => Err(AuditError::Open(fault)),
        // What is wrong with the directory's mode is not the log's business.
        Ok(()) | Err(_) => {
            AuditLog::open(&config.data_dir, config.cluster_name.clone(), Clock::System)
        }
    }
}

/// The same for commands that have nothing else to say about it.
///
/// # Errors
/// As [`open`], with a hint.
pub(super) fn log(context: &Context) -> Result<AuditLog, Failure> {
    open(context).map_err(|error| {
        let hint = hint(&error);
        let failure = Failure::new(Exit::Failed, "cannot open the audit log");
        failure.because(error).hint(hint)
    })
}

/// Writes down what was done already.
///
/// # Errors
/// When it cannot be written: it is done all the same, which the error says.
pub(super) fn tell(context: &Context, event: &AuditEvent) -> Result<(), Failure> {
    log(context)?.emit(event).map_err(|error| {
        Failure::new(Exit::Failed, "it is done, but the audit log lacks it").because(error)
    })
}

/// Writes down what is about to be read or copied. `nothing` says that it is not, and why.
///
/// # Errors
/// When it cannot be written: then nothing may be read.
pub(super) fn before(context: &Context, nothing: &str, event: &AuditEvent) -> Result<(), Failure> {
    let told = open(context).and_then(|log| log.emit(event));
    told.map_err(|error| {
        let hint = hint(&error);
        Failure::new(Exit::Failed, nothing)
            .because(error)
            .hint(hint)
    })
}

/// What to do about a log that cannot be written.
pub(super) fn hint(error: &AuditError) -> String {
    match error {
        AuditError::Open(FsError::Owner { owner, .. }) => {
            format!("run this as the account that the proxy runs as: sudo -u '#{owner}' rproxy ...")
        }
        AuditError::Open(FsError::TooOpen { path, .. }) => {
            format!("chmod 0600 {}", text::path(path))
        }
        AuditError::Open(_) => "run this as the account that the proxy runs as".to_owned(),
        AuditError::Write { .. } | AuditError::Encode(_) => {
            "`rproxy doctor` says whether there is room on the disk".to_owned()
        }
    }
}
