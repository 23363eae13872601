//! `rproxy auth rotate`: move the rotation of a CA's key, and say what is to be done now.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use ssh_key::HashAlg;

use super::export::ExportType;
use super::readiness::{self, Move};
use super::{Context, Exit, Failure, auditing, ca_failure, open_authorities, ui};
use crate::audit::AuditEvent;
use crate::ca::{Authorities, Authority, CaError, CaKind, MoveError, Rotation, RotationPhase};
use crate::model::{Principal, parse_duration_with_units};
use crate::sys::account::Actor;
use crate::sys::clock::Clock;

/// Replace a CA's key, phase by phase, while sessions go on
///
/// The phases are `init`, `update_clients`, `update_servers` and `standby`; in between both keys are
/// exported and trusted. Without --phase the rotation goes to the next one, or begins. The running proxy follows
/// by itself. What there is to do in a phase goes to standard output; `auth status` shows what is left.
/// Where the configuration keeps the key in an agent, the new one is `next` of `auth_service.ca_keys`.
///
/// Before the rotation goes on, every host of the inventory is asked whether it is ready. If somebody
/// would be cut off, they are named and nothing is done, unless --force says so. With --grace-period
/// nobody is asked. The key that was replaced is kept, trusted no more, until --remove-kept: as long as
/// it is there, --rollback leads back to it.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthRotateArgs {
    /// Which CA
    #[arg(long = "type", value_name = "TYPE")]
    kind: ExportType,
    /// Phase to go to: `init`, `update_clients`, `update_servers`, `standby`, or `rollback`
    #[arg(long, value_name = "PHASE")]
    phase: Option<String>,
    /// Begin, and go through all phases in this time without further commands
    #[arg(long, value_name = "DURATION", conflicts_with = "rollback")]
    grace_period: Option<String>,
    /// Go back to the old key, as --phase=rollback does
    #[arg(long, conflicts_with = "phase")]
    rollback: bool,
    /// Go on although hosts or people would be cut off
    #[arg(long)]
    force: bool,
    /// Account that the hosts are asked about
    #[arg(long, value_name = "LOGIN", default_value = "root")]
    login: String,
    /// Remove the keys that were kept for a way back, for good
    #[arg(long, conflicts_with_all = ["phase", "rollback", "grace_period"])]
    remove_kept: bool,
}

impl AuthRotateArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.rotate(context)?)
    }

    /// Moves the rotation; gives what is printed.
    pub(super) fn rotate(&self, context: &Context) -> Result<String, Failure> {
        let kind = CaKind::from(self.kind);
        let phase = self.phase()?;
        let grace = self
            .grace_period
            .as_deref()
            .map(parse_duration_with_units)
            .transpose();
        let grace = grace.map_err(|error| {
            Failure::new(Exit::Usage, "cannot use the value of --grace-period").because(error)
        })?;
        if self.remove_kept {
            return remove_kept(context, kind);
        }
        let change = |rotation: &Rotation, kept, now: u64| match (phase, grace) {
            (None | Some(RotationPhase::Init), Some(_)) => rotation.begin(kind, grace, now),
            (Some(_), Some(_)) => Err(MoveError::LateGrace),
            (Some(phase), None) => rotation.go(kind, phase, kept, now),
            (None, None) => rotation.go(kind, rotation.phase().next(), kept, now),
        };
        let failed = |error| ca_failure(&format!("cannot rotate the {kind} CA"), error);
        let seen = self.look_ahead(context, kind, change)?;
        let installation = context.config.installation(Clock::System);
        let (before, after) = Authorities::rotate(&installation, kind, |rotation, kept, now| {
            if rotation.phase() != seen {
                return Err(MoveError::Overtaken(rotation.phase()));
            }
            change(rotation, kept, now)
        })
        .map_err(failed)?;
        auditing::tell(context, &moved(kind, before.phase(), &after))?;
        Ok(told(kind, before.phase(), &after))
    }

    /// Finds out who would be cut off, and refuses unless that is meant. Gives the phase that the
    /// rotation is in.
    fn look_ahead(
        &self,
        context: &Context,
        kind: CaKind,
        change: impl Fn(&Rotation, Option<u64>, u64) -> Result<Rotation, MoveError>,
    ) -> Result<RotationPhase, Failure> {
        let login: Principal = self.login.parse().map_err(|error| {
            Failure::new(Exit::Usage, "--login is no account's name").because(error)
        })?;
        let failed = |error| ca_failure(&format!("cannot rotate the {kind} CA"), error);
        let look = |authority: &Authority| {
            let rotation = authority.rotation();
            // Which key was kept matters only when it is brought back.
            let kept = authority.kept_keys().first().map(|_key| 0);
            let after = change(&rotation, kept, Clock::System.unix_seconds());
            Ok((rotation.phase(), after.map_err(CaError::from)?.phase()))
        };
        let installation = context.config.installation(Clock::System);
        let seen = Authorities::look(&installation, kind).map_err(failed)?;
        if let Some(seen) =
            seen.filter(|one| one.authority.rotation().phase() == RotationPhase::Standby)
        {
            // There is no second key to ask about.
            return Ok(look(&seen.authority).map_err(failed)?.0);
        }
        let authorities = open_authorities(context)?;
        let (from, to) = look(authorities.of(kind)).map_err(failed)?;
        let wanted = Move { kind, from, to };
        let cut = readiness::cut_off(context, &authorities, wanted, login)?;
        if cut.is_empty() {
            return Ok(from);
        }
        let list = cut.join("\n  ");
        let what = format!("with the {kind} CA in {to} these may be cut off");
        // Who goes back has a reason to.
        if self.force || to == RotationPhase::Rollback {
            ui::note(&format!("rproxy: {what}:\n  {list}"));
            return Ok(from);
        }
        Err(Failure::new(
            Exit::Failed,
            format!("the rotation stays in {from}: {what}"),
        )
        .because(list)
        .hint(format!(
            "`rproxy auth status` says the same; once they are ready, give the command again, \
                 or cut them off with --force; back: rproxy auth rotate --type={kind} --rollback"
        )))
    }

    fn phase(&self) -> Result<Option<RotationPhase>, Failure> {
        if self.rollback {
            return Ok(Some(RotationPhase::Rollback));
        }
        let phase = self
            .phase
            .as_deref()
            .map(str::parse::<RotationPhase>)
            .transpose();
        phase.map_err(|error| {
            let hint = error.hint();
            Failure::new(Exit::Usage, error.to_string()).hint(hint)
        })
    }
}

fn remove_kept(context: &Context, kind: CaKind) -> Result<String, Failure> {
    let installation = context.config.installation(Clock::System);
    let removed = Authorities::remove_kept(&installation, kind)
        .map_err(|error| ca_failure("cannot remove the keys that were kept", error))?;
    let mut text = String::new();
    for key in &removed {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let _infallible = writeln!(text, "Removed: {kind} CA's key {fingerprint}");
        auditing::tell(
            context,
            &AuditEvent::AuthorityKeyRemoved {
                kind: kind.into(),
                fingerprint,
                actor: Actor::of_this_process(),
            },
        )?;
    }
    if removed.is_empty() {
        text += "There is none.\n";
    }
    Ok(text)
}

/// That somebody has moved a rotation.
pub(super) fn moved(kind: CaKind, before: RotationPhase, after: &Rotation) -> AuditEvent {
    AuditEvent::AuthorityRotated {
        kind: kind.into(),
        from: before.name(),
        to: after.phase().name(),
        actor: Some(Actor::of_this_process()),
    }
}

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

/// A time for people and programs (RFC 3339), to the second.
pub(in crate::cli) fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
    time.map_or_else(
        || "never".to_owned(),
        |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}
