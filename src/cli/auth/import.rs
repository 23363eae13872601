//! `rproxy auth import`: a key that exists elsewhere becomes a CA's.

use std::path::PathBuf;

use ssh_key::{HashAlg, PublicKey};
use zeroize::Zeroizing;

use super::super::passphrase;
use super::export::ExportType;
use super::rotate::{moved, to_do, told};
use super::{Context, Exit, Failure, auditing, ca_failure, ui};
use crate::audit::AuditEvent;
use crate::ca::{
    Authorities, CaKind, ImportError, ImportMode, ImportedKey, KeyFile, Rotation, RotationPhase,
    issued,
};
use crate::sys::account::Actor;
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
        let imported = key.public().clone();
        let is_private = matches!(key, ImportedKey::Private(_));
        let installation = context.config.installation(Clock::System);
        let (before, rotation) = Authorities::import(&installation, kind, key, self.mode())
            .map_err(|error| ca_failure(&self.refused(), error))?;
        auditing::tell(context, &event(kind, &imported, before.as_ref(), &rotation))?;
        if rotation.phase() == RotationPhase::Init {
            auditing::tell(context, &moved(kind, RotationPhase::Standby, &rotation))?;
        }
        let mut text = if rotation.phase() == RotationPhase::Init {
            told(kind, RotationPhase::Standby, &rotation)
        } else {
            format!("{kind} CA: {}\n", fingerprint(&imported))
        };
        if let Some(before) = before.filter(|_| rotation.phase() == RotationPhase::Standby) {
            text += &replaced(context, kind, &before)?;
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

fn event(
    kind: CaKind,
    imported: &PublicKey,
    before: Option<&PublicKey>,
    rotation: &Rotation,
) -> AuditEvent {
    let replaced = before.filter(|_| rotation.phase() == RotationPhase::Standby);
    AuditEvent::AuthorityImported {
        kind: kind.into(),
        fingerprint: fingerprint(imported),
        replaced: replaced.map(fingerprint),
        actor: Actor::of_this_process(),
    }
}

/// What there is to know, and to do, once another key has gone.
fn replaced(context: &Context, kind: CaKind, before: &PublicKey) -> Result<String, Failure> {
    let before = fingerprint(before);
    let records = issued(&context.config.data_dir)
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
