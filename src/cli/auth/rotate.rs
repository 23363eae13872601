//! `rproxy auth rotate`: moves the rotation of a CA's key, and prints the next steps.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::client::AuthClient;
use super::export::ExportType;
use super::failure::ca_failure;
use super::readiness::{self, Move};
use super::steps::told;
use super::{Context, Exit, Failure, status, ui};
use crate::ca::{Authority, CaError, CaKind, MoveError, Rotation, RotationPhase};
use crate::model::{Principal, parse_duration_with_units};
use crate::sys::clock::Clock;

/// The shortest time that --wait waits before it looks again.
const MIN_PAUSE: Duration = Duration::from_secs(2);
/// The longest.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Replace a CA's key, phase by phase, while sessions go on
///
/// The phases are `init`, `update_clients`, `update_servers` and `standby`; in between both keys are
/// exported and trusted. Without --phase the rotation goes to the next one, or begins. The running proxy follows
/// by itself. What there is to do in a phase goes to standard output; `auth status` shows what is left.
/// Where the configuration keeps the key in an agent, the new one is `next` of `auth_service.ca_keys`.
///
/// Before the rotation goes on, every host of the inventory is asked whether it is ready, and those that
/// have joined also say so in their reports. If somebody would be cut off, they are named and nothing is done,
/// unless --force says so; --wait waits until nobody would be. Hosts that have joined and are offline are
/// named, and not waited for: they take the keys when they are back. With --grace-period nobody is asked;
/// each phase waits for the reports for up to a third of the time longer. The key that was replaced is
/// kept, trusted no more, until --remove-kept: as long as it is there, --rollback leads back to it. Without
/// any flag the command shows how the rotations stand.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthRotateArgs {
    /// Which CA
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<ExportType>,
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
    /// Wait until no host and nobody would be cut off, for this time at most, and go on then
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with_all = ["force", "rollback", "grace_period"]
    )]
    wait: Option<String>,
    /// Account that the hosts are asked about
    #[arg(long, value_name = "LOGIN", default_value = "root")]
    login: String,
    /// Remove the keys that were kept for a way back, for good
    #[arg(long, conflicts_with_all = ["phase", "rollback", "grace_period", "wait"])]
    remove_kept: bool,
}

impl AuthRotateArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.rotate(context)?)
    }

    /// Moves the rotation; gives what is printed.
    pub(super) fn rotate(&self, context: &Context) -> Result<String, Failure> {
        let Some(kind) = self.kind.map(CaKind::from) else {
            return self.show(context);
        };
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
        let client = AuthClient::new(context);
        let seen = self.wait_until_ready(context, kind, change)?;
        let (before, after) = client.rotate(kind, |rotation, kept, now| {
            if rotation.phase() != seen {
                return Err(MoveError::Overtaken(rotation.phase()));
            }
            change(rotation, kept, now)
        })?;
        Ok(told(kind, before.phase(), &after))
    }

    /// How the rotations stand, for a command without flags.
    fn show(&self, context: &Context) -> Result<String, Failure> {
        let is_bare = self.phase.is_none() && self.grace_period.is_none() && self.wait.is_none();
        if !is_bare || self.rollback || self.force || self.remove_kept {
            return Err(Failure::new(Exit::Usage, "--type is missing")
                .hint("say which CA: --type=user or --type=host"));
        }
        let authorities = AuthClient::new(context).authorities()?;
        Ok(status::rotations(context, &authorities)?.to_string())
    }

    /// Looks until nothing stands in the way of a move, as long as --wait says. Gives the phase that the
    /// rotation is in.
    fn wait_until_ready(
        &self,
        context: &Context,
        kind: CaKind,
        change: impl Fn(&Rotation, Option<u64>, u64) -> Result<Rotation, MoveError> + Copy,
    ) -> Result<RotationPhase, Failure> {
        let limit = match self.wait.as_deref() {
            None | Some("") => None,
            Some(time) => {
                let time = parse_duration_with_units(time);
                Some(time.map_err(|error| {
                    Failure::new(Exit::Usage, "cannot use the value of --wait").because(error)
                })?)
            }
        };
        let started = Instant::now();
        let mut told = String::new();
        loop {
            let looked = Instant::now();
            let (seen, refused) = self.look_ahead(context, kind, change)?;
            let Some(Refused { list, failure }) = refused else {
                return Ok(seen);
            };
            let is_over = limit.is_some_and(|limit| started.elapsed() >= limit);
            if self.wait.is_none() || is_over {
                return Err(failure);
            }
            if list != told {
                ui::note(&format!(
                    "rproxy: the rotation stays in {seen} until these are ready:\n  {list}"
                ));
                told = list;
            }
            let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
            std::thread::sleep(pause(looked.elapsed(), left));
        }
    }

    /// Finds the hosts and people that would be cut off, and refuses unless that is meant. Gives the
    /// phase that the rotation is in.
    fn look_ahead(
        &self,
        context: &Context,
        kind: CaKind,
        change: impl Fn(&Rotation, Option<u64>, u64) -> Result<Rotation, MoveError>,
    ) -> Result<(RotationPhase, Option<Refused>), Failure> {
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
        let client = AuthClient::new(context);
        let seen = client.authority(kind).map_err(failed)?;
        if let Some(seen) = seen.filter(|one| one.rotation().phase() == RotationPhase::Standby) {
            // There is no second key to ask about.
            return Ok((look(&seen).map_err(failed)?.0, None));
        }
        let authorities = client.authorities()?;
        let (from, to) = look(authorities.of(kind)).map_err(failed)?;
        let wanted = Move { kind, from, to };
        let found = readiness::look(context, &authorities, wanted, login)?;
        let list = found.cut.join("\n  ");
        let what = format!("with the {kind} CA in {to} these may be cut off");
        // A rollback is for when something is wrong: it is not refused.
        let is_meant = self.force || to == RotationPhase::Rollback;
        if !found.cut.is_empty() && !is_meant {
            return Ok((from, Some(Refused::new(kind, from, what, list))));
        }
        if !found.cut.is_empty() {
            ui::note(&format!("rproxy: {what}:\n  {list}"));
        }
        if !found.offline.is_empty() {
            let list = found.offline.join("\n  ");
            ui::note(&format!(
                "rproxy: these are offline, and take the keys when they are back:\n  {list}"
            ));
        }
        Ok((from, None))
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

/// Why a rotation does not go on.
struct Refused {
    /// Who would be cut off, a line for each.
    list: String,
    failure: Failure,
}

impl Refused {
    fn new(kind: CaKind, from: RotationPhase, what: String, list: String) -> Self {
        let failure = Failure::new(
            Exit::Failed,
            format!("the rotation stays in {from}: {what}"),
        )
        .because(list.clone())
        .hint(format!(
            "`rproxy auth status` says the same; once they are ready, give the command again, \
             let it wait with --wait, or cut them off with --force; back: \
             rproxy auth rotate --type={kind} --rollback"
        ));
        Self { list, failure }
    }
}

fn remove_kept(context: &Context, kind: CaKind) -> Result<String, Failure> {
    let removed = AuthClient::new(context).remove_kept(kind)?;
    let mut text = String::new();
    for fingerprint in &removed {
        let _infallible = writeln!(text, "Removed: {kind} CA's key {fingerprint}");
    }
    if removed.is_empty() {
        text += "There is none.\n";
    }
    Ok(text)
}

/// How long to wait after a look that took so long, if this time is left: looking connects to every host,
/// which is work for the hosts, and a line in the log of each.
fn pause(took: Duration, left: Option<Duration>) -> Duration {
    let pause = took.saturating_mul(3).clamp(MIN_PAUSE, MAX_PAUSE);
    pause.min(left.unwrap_or(MAX_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_fleet_is_asked_less_often() {
        for (took, waits) in [(0, 2_000), (500, 2_000), (4_000, 12_000), (60_000, 30_000)] {
            let pause = pause(Duration::from_millis(took), None);
            assert_eq!(pause, Duration::from_millis(waits), "{took}");
        }
        assert_eq!(pause(Duration::MAX, None), MAX_PAUSE);
        for left in [Duration::ZERO, Duration::from_secs(7)] {
            assert_eq!(pause(Duration::MAX, Some(left)), left);
        }
    }
}
