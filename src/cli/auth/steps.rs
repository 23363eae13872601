//! What the administrator has to do in each phase of a rotation, in words.

use std::fmt::Write as _;

use crate::ca::{CaKind, Rotation, RotationPhase};
use crate::cli::ui::time;

/// That a rotation has moved, and what is to be done now.
pub(super) fn told(kind: CaKind, before: RotationPhase, after: &Rotation) -> String {
    let mut text = format!("{kind} CA: {before} -> {}\n", after.phase());
    for line in to_do(kind, after.phase()) {
        let _infallible = writeln!(text, "  {line}");
    }
    match after.due() {
        Some((at, phase)) => {
            let _infallible = writeln!(text, "It goes on to {phase} by itself at {}.", time(at));
        }
        None if after.phase() != RotationPhase::Standby => {
            let _infallible = writeln!(
                text,
                "Then: rproxy auth rotate --type={kind} --phase={}",
                after.phase().next()
            );
        }
        None => {}
    }
    text
}

/// What people have to do in a phase.
pub(super) fn to_do(kind: CaKind, phase: RotationPhase) -> &'static [&'static str] {
    match (kind, phase) {
        (CaKind::User, RotationPhase::Init) => &[
            "The old key signs. Hosts must trust both keys before the next phase:",
            "on the proxy: rproxy auth export --type=user > user_ca.pub",
            "copy user_ca.pub to where TrustedUserCAKeys points, on every host.",
        ],
        (CaKind::User, RotationPhase::UpdateClients) => &[
            "The new key signs user certificates from now on.",
            "Have everybody's certificate signed again; those of the old key count still.",
        ],
        (CaKind::User, RotationPhase::UpdateServers) => &[
            "Check with `rproxy auth status` that every host takes the new key, and that nothing",
            "that is needed is signed by the old one: in standby it counts no more.",
        ],
        (CaKind::User, RotationPhase::Standby) => &[
            "One key is trusted. Copy what `rproxy auth export --type=user` prints on the proxy to every",
            "host once more, so that they trust no other. The key that was replaced is kept: --rollback",
            "goes back to it, and --remove-kept removes it.",
        ],
        (CaKind::User, RotationPhase::Rollback) => &[
            "The old key signs again. Have certificates of the new key signed again; in standby they",
            "count no more.",
        ],
        (CaKind::Host, RotationPhase::Init) => &[
            "The old key signs. Clients must trust both keys before update_servers.",
            "On the proxy: rproxy config --known-hosts; on every client: put what it prints into the",
            "known-hosts file of the block, ~/.ssh/rproxy/CLUSTER.known_hosts.",
        ],
        (CaKind::Host, RotationPhase::UpdateClients) => {
            &["The old key signs still. Have every client trust both keys before the next phase."]
        }
        (CaKind::Host, RotationPhase::UpdateServers) => &[
            "The new key signs host certificates from now on; the proxy shows them already.",
            "On the proxy: sign every host's key again with `rproxy auth sign --host`; copy each certificate",
            "to its host, and have sshd there reload.",
        ],
        (CaKind::Host, RotationPhase::Standby) => &[
            "One key is trusted. Copy what `rproxy config --known-hosts` prints on the proxy to the clients",
            "once more, so that they trust no other. The key that was replaced is kept: --rollback goes back to it, and",
            "--remove-kept removes it.",
        ],
        (CaKind::Host, RotationPhase::Rollback) => &[
            "The old key signs again. Sign every host's key that has a certificate of the new one",
            "again, and have its sshd reload; in standby the new key counts no more.",
        ],
    }
}
