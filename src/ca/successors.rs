//! How a host that was off during rotations finds the key of the host CA of today: for each key that a
//! rotation has replaced, a certificate by which that key names the next one. The file
//! `host_ca_successors` (0644) has one in each line, the oldest first; anybody may read them. A host
//! that trusts some earlier key goes through the lines once, and trusts the subject of each line whose
//! signer it trusts.
//!
//! A line is made when a rotation begins, because both keys are certainly there then; and in a rollback
//! the key that goes names the one that stays. Only lines that lead to the key of today are kept, and of
//! those the newest [`MOST`]: a key that was withdrawn must not be reached by hosts that come back.
//!
//! [`crate::cert::check_successor`] says what such a certificate has, and why no host can use one as its own,
//! and no host's certificate passes for one. What it cannot do: a key that was stolen names any key as its
//! successor, to hosts that still trust it. Hosts that were off since before have to join again.

use std::path::PathBuf;

use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey};

use super::agent_key::SignTimeout;
use super::error::CaError;
use super::key::CaKey;
use super::keystore::{Halves, Keystore};
use super::kind::CaKind;
use super::rotation::{Rotation, RotationPhase, Which};
use crate::cert::{PresentedKey, SignError, check_successor, successor_template};
use crate::model::{chain, text};
use crate::sys::fs::{self, PUBLIC_FILE, Replace};

/// Most lines that are kept.
const MOST: usize = 32;
/// Most bytes of lines that are kept: a line for RSA keys of 16384 bits has 12 KiB, and all have to fit into
/// one answer of the process that has them.
const MOST_BYTES: usize = 48 * 1024;
/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// That one key is followed by another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Successor {
    /// The key that signed.
    signer: KeyData,
    /// The key that follows it.
    key: KeyData,
    /// The certificate, as a line without its end.
    line: String,
}

impl Successor {
    /// Reads a line, and verifies it.
    fn parse(keystore: &Keystore<'_>, line: &str) -> Option<Self> {
        let Ok(PresentedKey::Certificate(certificate)) = PresentedKey::from_line(line) else {
            return None;
        };
        let cluster = keystore.installation().cluster;
        check_successor(&certificate, cluster).ok()?;
        Self::of(&certificate).ok()
    }

    fn of(certificate: &Certificate) -> Result<Self, ssh_key::Error> {
        let key = certificate.public_key().clone();
        let mut certificate = certificate.clone();
        // The comment is not signed: it is written again from what is.
        certificate.set_comment(PublicKey::new(key.clone(), "").to_openssh()?);
        Ok(Self {
            signer: certificate.signature_key().clone(),
            key,
            line: certificate.to_openssh()?,
        })
    }
}

/// The certificates, as lines without their ends, the oldest first. A line that is damaged is left out, and
/// said in the log: the other lines are of use without it.
///
/// # Errors
/// When the file is there and cannot be read.
pub(super) fn lines(keystore: &Keystore<'_>) -> Result<Vec<String>, CaError> {
    let all = read(keystore)?.into_iter();
    Ok(all.map(|one| one.line).collect())
}

/// Has the present key of the host CA name the key that a rotation brings. Does nothing for the user CA: a
/// host that knows the proxy is told its keys.
///
/// # Errors
/// When the key does not sign, or the file cannot be written.
pub(super) fn announce(keystore: &Keystore<'_>, kind: CaKind) -> Result<(), CaError> {
    if kind == CaKind::Host
        && let Some(old) = keystore.read(kind, Which::Old, Halves::Both)?
    {
        let new = keystore.new_key(kind)?;
        name(keystore, &old, new.public(), SignTimeout::Person)?;
    }
    Ok(())
}

/// The same where the rotation does not depend on it: if the key does not sign, the log says so.
pub(super) fn announce_if_possible(keystore: &Keystore<'_>, kind: CaKind) {
    if let Err(error) = announce(keystore, kind) {
        warn(&error);
    }
}

/// Has every line lead to the key that stays by this rotation, and makes the line that the rotation
/// needs if it is missing. Can be done again at any point. What does not succeed is said in the log: a rotation
/// goes on without it, and hosts that are off meanwhile have to join again.
pub(super) fn settle(keystore: &Keystore<'_>, kind: CaKind, rotation: &Rotation) {
    if kind == CaKind::Host
        && let Err(error) = attempt(keystore, rotation)
    {
        warn(&error);
    }
}

fn warn(error: &CaError) {
    let error = chain(error);
    tracing::warn!(%error, "hosts that are off now may not find the new key of the host CA");
}

fn attempt(keystore: &Keystore<'_>, rotation: &Rotation) -> Result<(), CaError> {
    let kind = CaKind::Host;
    let public = |which| match keystore.read(kind, which, Halves::Public) {
        // What is rolled back may be gone.
        Err(CaError::NewKeyGone(_)) if rotation.phase() == RotationPhase::Rollback => Ok(None),
        read => read.map(|key| key.map(|key| key.public().clone())),
    };
    let Some(old) = public(Which::Old)? else {
        return Ok(());
    };
    let (goes, stays) = match rotation.phase() {
        RotationPhase::Standby => (None, old),
        RotationPhase::Rollback => (public(Which::New)?.map(|key| (Which::New, key)), old),
        RotationPhase::Init | RotationPhase::UpdateClients | RotationPhase::UpdateServers => {
            let new = public(Which::New)?.ok_or_else(|| keystore.new_gone(kind))?;
            (Some((Which::Old, old)), new)
        }
    };
    // What leads elsewhere is removed, also if the key that goes does not sign.
    let known = keep(keystore, read(keystore)?, &stays)?;
    let Some((which, going)) = goes else {
        return Ok(());
    };
    let is_named =
        |one: &Successor| one.signer == *going.key_data() && one.key == *stays.key_data();
    if known.iter().any(is_named) {
        return Ok(());
    }
    match keystore.read(kind, which, Halves::Both)? {
        Some(key) => name(keystore, &key, &stays, SignTimeout::Connection),
        None => Ok(()),
    }
}

/// Has a key name the one that follows it, and keeps what leads there.
fn name(
    keystore: &Keystore<'_>,
    signer: &CaKey,
    successor: &PublicKey,
    patience: SignTimeout,
) -> Result<(), CaError> {
    let template = successor_template(keystore.installation().cluster, successor)?;
    let certificate = signer.sign(&template, patience)?;
    let made = Successor::of(&certificate).map_err(SignError::Key)?;
    let mut all = read(keystore)?;
    all.retain(|one| one.signer != made.signer);
    all.push(made);
    write(keystore, &leading_to(all, successor.key_data()))
}

/// Keeps of the lines of the file those that lead to this key; gives them.
fn keep(
    keystore: &Keystore<'_>,
    all: Vec<Successor>,
    key: &PublicKey,
) -> Result<Vec<Successor>, CaError> {
    let before = all.len();
    let kept = leading_to(all, key.key_data());
    if kept.len() != before {
        write(keystore, &kept)?;
    }
    Ok(kept)
}

fn write(keystore: &Keystore<'_>, all: &[Successor]) -> Result<(), CaError> {
    let lines = all.iter().map(|one| one.line.clone() + "\n");
    let text: String = lines.collect();
    Ok(fs::write_whole(
        &path(keystore),
        text.as_bytes(),
        PUBLIC_FILE,
        Replace::Allow,
    )?)
}

/// Of these, the oldest first, those by which one comes to this key in one pass; of each signer the newest
/// one, and the newest ones if there are too many.
fn leading_to(all: Vec<Successor>, key: &KeyData) -> Vec<Successor> {
    let mut known = vec![key.clone()];
    let mut room = MOST_BYTES;
    let mut kept = Vec::new();
    for one in all.into_iter().rev() {
        if !known.contains(&one.key) || known.contains(&one.signer) {
            continue;
        }
        let Some(left) = room.checked_sub(one.line.len() + 1) else {
            break;
        };
        if kept.len() == MOST {
            break;
        }
        room = left;
        known.push(one.signer.clone());
        kept.push(one);
    }
    kept.reverse();
    kept
}

fn read(keystore: &Keystore<'_>) -> Result<Vec<Successor>, CaError> {
    let path = path(keystore);
    let bytes = match fs::read_limited(&path, MAX_FILE) {
        Err(missing) if missing.is_not_found() => return Ok(Vec::new()),
        read => read?,
    };
    let mut all = Vec::new();
    for (line, number) in String::from_utf8_lossy(&bytes).lines().zip(1..) {
        match Successor::parse(keystore, line) {
            Some(one) => all.push(one),
            None => tracing::warn!(
                "line {number} of {} is damaged: hosts that need it have to join again, or restore \
                 the file from a backup",
                text::path(&path)
            ),
        }
    }
    Ok(all)
}

fn path(keystore: &Keystore<'_>) -> PathBuf {
    keystore.path("host_ca_successors")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::testing::ed25519;

    fn key() -> KeyData {
        ed25519().public_key().key_data().clone()
    }

    /// That each of these keys is followed by the next one, in lines of this length.
    fn chain_of(keys: &[KeyData], length: usize) -> Vec<Successor> {
        let pairs = keys.windows(2);
        let successors = pairs.map(|pair| Successor {
            signer: pair[0].clone(),
            key: pair[1].clone(),
            line: "x".repeat(length),
        });
        successors.collect()
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let keys: Vec<_> = (0..50).map(|_| key()).collect();
        let last = keys.last().unwrap();
        let all = chain_of(&keys, 600);
        let kept = leading_to(all.clone(), last);
        assert_eq!(kept, all[all.len() - MOST..]);
        let long = chain_of(&keys, MOST_BYTES / 4 - 1);
        assert_eq!(leading_to(long.clone(), last), long[long.len() - 4..]);
        assert_eq!(leading_to(all, &keys[20]).len(), 20);
    }

    #[test]
    fn what_leads_elsewhere_or_in_a_circle_is_removed() {
        let [a, b, c] = [key(), key(), key()];
        let circle = chain_of(&[a.clone(), b.clone(), c.clone(), b.clone()], 1);
        let kept = leading_to(circle.clone(), &b);
        assert_eq!(kept, [circle[0].clone(), circle[2].clone()]);
        assert_eq!(leading_to(kept, &a), []);
    }
}
