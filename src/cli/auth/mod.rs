//! `rproxy auth`: the CAs, made by `auth init`.

mod batch;
pub(super) mod credential;
mod export;
pub(super) mod files;
mod import;
mod init;
pub(super) mod issue;
mod krl;
mod lift;
mod ls;
pub(super) mod public_key;
mod readiness;
mod revoke;
mod rotate;
mod sign;
mod status;
mod subjects;
#[cfg(test)]
mod tests;

use super::{Context, Exit, Failure, auditing, existing_data_dir, ui};
use crate::ca::{Authorities, CaError, RevocationLog, Revocations};
use crate::sys::clock::Clock;

pub(super) use rotate::time;

/// Make, export, import and rotate the CA keys; sign, list and revoke certificates
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AuthCommand {
    Export(export::AuthExportArgs),
    Import(import::AuthImportArgs),
    Init(init::AuthInitArgs),
    Krl(krl::AuthKrlArgs),
    Ls(ls::AuthLsArgs),
    Revoke(revoke::AuthRevokeArgs),
    Sign(sign::AuthSignArgs),
    Rotate(rotate::AuthRotateArgs),
    Status(status::AuthStatusArgs),
    Unrevoke(lift::AuthLiftArgs),
}

impl AuthCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Export(args) => args.run(context),
            Self::Import(args) => args.run(context),
            Self::Init(args) => args.run(context),
            Self::Krl(args) => args.run(context),
            Self::Ls(args) => args.run(context),
            Self::Revoke(args) => args.run(context),
            Self::Sign(args) => args.run(context),
            Self::Rotate(args) => args.run(context),
            Self::Status(args) => args.run(context),
            Self::Unrevoke(args) => args.run(context),
        }
    }
}

/// Opens the CAs of the data directory. Nothing is made that is not there.
///
/// # Errors
/// What is wrong with the data directory or a key in it, with a hint.
pub(crate) fn open_authorities(context: &Context) -> Result<Authorities, Failure> {
    Authorities::open(&context.config.installation(Clock::System))
        .map_err(|error| ca_failure("cannot open the CAs", error))
}

/// What is revoked.
fn revocations(context: &Context) -> Result<Revocations, Failure> {
    existing_data_dir(context)?;
    let log = RevocationLog::new(&context.config.data_dir, Clock::System);
    log.read()
        .map_err(|error| ca_failure("cannot read the revocations", error))
}

pub(super) fn ca_failure(message: &str, error: CaError) -> Failure {
    let hint = error.hint();
    let failure = Failure::new(Exit::Failed, message).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
