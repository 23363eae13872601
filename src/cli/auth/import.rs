//! `rproxy auth import`: imports an existing key as a CA's key.

use std::path::PathBuf;

use ssh_key::{HashAlg, PublicKey};
use zeroize::Zeroizing;

use super::super::passphrase;
use super::client::AuthClient;
use super::export::ExportType;
use super::failure::ca_failure;
use super::steps::{to_do, told};
use super::{Context, Exit, Failure, ui};
use crate::ca::{CaKind, ImportError, ImportMode, ImportedKey, KeyFile, RotationPhase};
use crate::sys::clock::Clock;

/// Make a key that exists already the key of a CA
///
/// FILE is a private key in OpenSSH's format; its passphrase is asked for, and the copy in the data
/// directory has none. Or it is the .pub file of a key that an agent has: the agent is named in the
/// configuration, as `auth_service.ca_keys`. FILE itself is left as it is.
///
/// If the CA has a key already, say what becomes of it: with --rotate a rotation begins, in
/// which both are trusted; with --overwrite everything that the old key signed counts no more.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthImportArgs {
    /// Which CA
    #[arg(long = "type", value_name = "TYPE")]
    kind: ExportType,
    /// Replace the present key by a rotation, which begins now; `auth rotate` goes on with it
    #[arg(long)]
    rotate: bool,
    /// Replace the present key at once
    #[arg(long, conflicts_with = "rotate")]
    overwrite: bool,
    /// Private key, or public key of an agent's key
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl AuthImportArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.import(context, passphrase::ask)?)
    }

    /// Does it all and gives what is printed. `ask` asks the user for a passphrase.
    pub(super) fn import(
        &self,
        context: &Context,
        ask: impl FnOnce(&str) -> Result<Option<Zeroizing<Vec<u8>>>, Failure>,
    ) -> Result<String, Failure> {
        let kind = CaKind::from(self.kind);
        let key = self.key(ask)?;
        let imported = fingerprint(key.public());
        let is_private = matches!(key, ImportedKey::Private(_));
        let client = AuthClient::new(context);
        let (before, rotation) = client.import(kind, key, self.mode(), &self.refused())?;
        let mut text = if rotation.phase() == RotationPhase::Init {
            told(kind, RotationPhase::Standby, &rotation)
        } else {
            format!("{kind} CA: {imported}\n")
        };
        if let Some(before) = before.filter(|_| rotation.phase() == RotationPhase::Standby) {
            text += &replaced(client, kind, &before)?;
        }
        if is_private {
            text += &format!(
                "The key is in the data directory now, without a passphrase. Remove {}, or lock it \
                 away.\n",
                self.file.display()
            );
        }
        Ok(text)
    }

    fn mode(&self) -> ImportMode {
        match (self.rotate, self.overwrite) {
            (true, _) => ImportMode::Rotate,
            (_, true) => ImportMode::Overwrite,
            _ => ImportMode::First,
        }
    }

    /// The key, unlocked.
    fn key(
        &self,
        ask: impl FnOnce(&str) -> Result<Option<Zeroizing<Vec<u8>>>, Failure>,
    ) -> Result<ImportedKey, Failure> {
        let failed = |error: ImportError| {
            let hint = error.hint(&self.file);
            let failure = Failure::new(Exit::Failed, self.refused()).because(error);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        };
        let locked = match KeyFile::read(&self.file).map_err(failed)? {
            KeyFile::Ready(key) => return Ok(key),
            KeyFile::Locked(locked) => locked,
        };
        let question = format!("Passphrase of {}", self.file.display());
        match ask(&question)? {
            Some(passphrase) => locked.unlock(&passphrase).map_err(failed),
            None => Err(Failure::new(Exit::Failed, self.refused())
                .because("it has a passphrase, and there is no terminal to ask for it")
                .hint("run this on a terminal, as with `ssh -t`")),
        }
    }

    fn refused(&self) -> String {
        format!("cannot import {}", self.file.display())
    }
}

/// What there is to know, and to do, once another key has gone.
fn replaced(client: AuthClient<'_>, kind: CaKind, before: &PublicKey) -> Result<String, Failure> {
    let before = fingerprint(before);
    let records = client
        .issued()
        .map_err(|error| ca_failure("cannot read what was issued", error))?;
    let now = Clock::System.unix_seconds();
    let lost = records
        .iter()
        .filter(|record| record.ca == before && record.valid_before > now)
        .count();
    let mut text =
        format!("The key {before} is trusted no more; certificates that it signed: {lost}\n");
    for line in to_do(kind, RotationPhase::Standby) {
        text += &format!("  {line}\n");
    }
    Ok(text)
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}
