//! `rproxy auth`: the CAs, made by `auth init`.

mod batch;
pub(super) mod client;
pub(super) mod credential;
mod events;
mod export;
pub(super) mod failure;
pub(super) mod files;
mod import;
mod init;
mod krl;
mod lift;
mod ls;
pub(super) mod public_key;
mod readiness;
mod revoke;
mod rotate;
mod sign;
mod signing;
mod status;
mod steps;
mod subjects;
#[cfg(test)]
mod tests;

use super::{Context, Exit, Failure, existing_data_dir, ui};

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
