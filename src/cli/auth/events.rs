//! The audit events of commands that change a rotation or a revocation.

use crate::audit::AuditEvent;
use crate::ca::{CaKind, RevocationRecord, Revoked, Rotation, RotationPhase};
use crate::model::Serial;
use crate::sys::account::Actor;

/// That a command has moved a rotation.
pub(super) fn rotated(kind: CaKind, before: RotationPhase, after: &Rotation) -> AuditEvent {
    AuditEvent::AuthorityRotated {
        kind: kind.into(),
        from: before.name(),
        to: after.phase().name(),
        actor: Some(Actor::of_this_process()),
    }
}

/// That something was revoked.
pub(super) fn revoked(record: &RevocationRecord, actor: &Actor) -> AuditEvent {
    let (serial, key_id, fingerprint) = names(&record.what);
    AuditEvent::CertificateRevoked {
        version: record.version,
        serial,
        key_id,
        fingerprint,
        message: record.reason.clone(),
        actor: actor.clone(),
    }
}

/// That a revocation was lifted; `None` of a line that revokes.
pub(super) fn lifted(record: &RevocationRecord, actor: &Actor) -> Option<AuditEvent> {
    let Revoked::Lifted { lifts } = &record.what else {
        return None;
    };
    let (serial, key_id, fingerprint) = names(lifts);
    Some(AuditEvent::RevocationLifted {
        version: record.version,
        serial,
        key_id,
        fingerprint,
        message: record.reason.clone(),
        actor: actor.clone(),
    })
}

/// What the audit log says of it: its serial, key id or key.
fn names(what: &Revoked) -> (Option<Serial>, Option<String>, Option<String>) {
    match what.clone() {
        Revoked::Serial { serial, .. } => (Some(serial), None, None),
        Revoked::KeyId { key_id, .. } => (None, Some(key_id), None),
        Revoked::PublicKey { public_key } => (None, None, Some(public_key)),
        Revoked::Lifted { lifts } => names(&lifts),
    }
}
