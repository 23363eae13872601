//! The rotation of a CA's key, as a state machine. Pure: the time is an argument, files are
//! the keystore's business.
//!
//! ```text
//! standby ─▶ init ─▶ update_clients ─▶ update_servers ─▶ standby
//!              └────────────┴───────────────┴─▶ rollback ─▶ standby
//!                                                  ▲            │
//!                                                  └────────────┘
//! ```
//! The keys are called old and new. Outside of standby both are exported and trusted; which one signs
//! is [`Rotation::signs_with`]'s to say. Standby is reached with one key: the new one, or after a
//! rollback the old one. The other one is kept, no longer trusted, until an administrator removes it:
//! with it a rollback leads back also from standby.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::kind::CaKind;
use crate::model::format_duration;

/// Shortest grace period: a third of it must be a second at least.
const MIN_GRACE: Duration = Duration::from_secs(3);
/// Longest grace period: a year.
const MAX_GRACE: Duration = Duration::from_secs(365 * 86_400);

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationPhase {
    /// There is one key.
    Standby,
    /// The new key is made; hosts and clients are to trust it. The old one signs.
    Init,
    /// Clients change over: user certificates are signed by the new key, clients trust both host
    /// keys.
    UpdateClients,
    /// Servers change over: host certificates are signed by the new key too.
    UpdateServers,
    /// Back to the old key, which signs; the new one is trusted until nothing depends on it.
    Rollback,
}

impl RotationPhase {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Standby,
        Self::Init,
        Self::UpdateClients,
        Self::UpdateServers,
        Self::Rollback,
    ];

    /// Its name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Init => "init",
            Self::UpdateClients => "update_clients",
            Self::UpdateServers => "update_servers",
            Self::Rollback => "rollback",
        }
    }

    /// The phase that comes next when all goes well.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Standby => Self::Init,
            Self::Init => Self::UpdateClients,
            Self::UpdateClients => Self::UpdateServers,
            Self::UpdateServers | Self::Rollback => Self::Standby,
        }
    }

    /// Whether the old key can still be gone back to.
    fn may_roll_back(self) -> bool {
        matches!(self, Self::Init | Self::UpdateClients | Self::UpdateServers)
    }
}

impl fmt::Display for RotationPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RotationPhase {
    type Err = MoveError;

    fn from_str(text: &str) -> Result<Self, MoveError> {
        let written = text.replace('-', "_");
        let found = Self::ALL.into_iter().find(|phase| phase.name() == written);
        found.ok_or_else(|| MoveError::Unknown(text.to_owned()))
    }
}

/// One of the two keys of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The key from before.
    Old,
    /// The key that was made for the rotation.
    New,
}

/// When a rotation moves by itself, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// To `update_clients`.
    pub update_clients: u64,
    /// To `update_servers`.
    pub update_servers: u64,
    /// To `standby`: the end of the grace period.
    pub standby: u64,
}

/// Where a CA's rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    phase: RotationPhase,
    /// When the phase was entered, in seconds since the epoch; 0 where there never was a rotation.
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Schedule>,
    /// In standby, the key that stays, until the other one is out of its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<Which>,
    /// In rollback from standby, the kept key that becomes the old one, until it is in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bring: Option<u64>,
    /// How often it has moved; what is kept is numbered by it.
    #[serde(default)]
    moves: u64,
}

/// Why a rotation does not move.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MoveError {
    /// No phase has this name.
    #[error("there is no phase {0:?}")]
    Unknown(String),
    /// There is nothing to move.
    #[error("no rotation of the {kind} CA is under way, so it cannot go to {to}")]
    NotRotating {
        /// Which CA.
        kind: CaKind,
        /// Where it was to go.
        to: RotationPhase,
    },
    /// There is no key to go back to.
    #[error("the {0} CA has no key from before: nothing was kept, or it was removed")]
    NothingKept(CaKind),
    /// It is in another phase than it was looked at in.
    #[error("somebody else has moved the rotation to {0} meanwhile")]
    Overtaken(RotationPhase),
    /// A second rotation on top of one that is not finished.
    #[error("a rotation of the {kind} CA is under way already, in phase {phase}")]
    UnderWay {
        /// Which CA.
        kind: CaKind,
        /// Where it is.
        phase: RotationPhase,
    },
    /// It is there.
    #[error("the rotation is in phase {0} already")]
    AlreadyThere(RotationPhase),
    /// A phase would be left out, or it would go backwards.
    #[error("the rotation is in phase {from}: next is {}, not {to}", from.next())]
    OutOfOrder {
        /// Where it is.
        from: RotationPhase,
        /// Where it was to go.
        to: RotationPhase,
    },
    /// A rollback cannot be turned around.
    #[error("the rotation is rolled back: next is standby, not {0}")]
    RolledBack(RotationPhase),
    /// It moves by itself.
    #[error("the rotation moves by itself until its grace period is over")]
    Scheduled(RotationPhase),
    /// A grace period is given for a rotation that has begun.
    #[error("a grace period is for a rotation that begins")]
    LateGrace,
    /// A grace period that is too short for its phases, or longer than a year.
    #[error("the grace period of {} is not between 3s and 365d", format_duration(*.0))]
    Grace(Duration),
}

impl MoveError {
    /// What to do instead, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown(_) => {
                "the phases are init, update_clients, update_servers, standby and rollback"
                    .to_owned()
            }
            Self::NotRotating { kind, .. } => {
                format!("begin one with `rproxy auth rotate --type={kind} --phase=init`")
            }
            Self::NothingKept(kind) => {
                format!("`rproxy auth rotate --type={kind}` begins a rotation to another key")
            }
            Self::Overtaken(_) => "`rproxy auth status` shows how it stands now".to_owned(),
            Self::UnderWay { kind, .. } => format!(
                "finish it, or go back with `rproxy auth rotate --type={kind} --phase=rollback`"
            ),
            Self::AlreadyThere(_) => "`rproxy auth status` shows what is left to do".to_owned(),
            Self::OutOfOrder { from, .. } => {
                format!(
                    "give --phase={}, or --phase=rollback to go back",
                    from.next()
                )
            }
            Self::RolledBack(_) => {
                "give --phase=standby once nothing is signed by the new key".to_owned()
            }
            Self::Scheduled(_) => "wait, or go back with --phase=rollback".to_owned(),
            Self::LateGrace => "leave out --grace-period, or roll back and begin again".to_owned(),
            Self::Grace(_) => "give a grace period such as --grace-period=48h".to_owned(),
        }
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            phase: RotationPhase::Standby,
            since: 0,
            schedule: None,
            keep: None,
            bring: None,
            moves: 0,
        }
    }
}

impl Rotation {
    /// The phase that it is in.
    #[must_use]
    pub fn phase(&self) -> RotationPhase {
        self.phase
    }

    /// When the phase was entered, in seconds since the epoch; `None` where there never was one.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        (self.since != 0).then_some(self.since)
    }

    /// When it moves by itself, if it does.
    #[must_use]
    pub fn schedule(&self) -> Option<Schedule> {
        self.schedule
    }

    /// When it next moves by itself, and where to.
    #[must_use]
    pub fn due(&self) -> Option<(u64, RotationPhase)> {
        let schedule = self.schedule?;
        match self.phase {
            RotationPhase::Init => Some((schedule.update_clients, RotationPhase::UpdateClients)),
            RotationPhase::UpdateClients => {
                Some((schedule.update_servers, RotationPhase::UpdateServers))
            }
            RotationPhase::UpdateServers => Some((schedule.standby, RotationPhase::Standby)),
            RotationPhase::Standby | RotationPhase::Rollback => None,
        }
    }

    /// When it should have moved by itself by now, and where to.
    #[must_use]
    pub fn overdue(&self, now: u64) -> Option<(u64, RotationPhase)> {
        self.due().filter(|(at, _)| *at <= now)
    }

    /// The key that is still to be made the only one, in standby.
    pub(super) fn keep(&self) -> Option<Which> {
        self.keep
    }

    /// The kept key that is still to be put into the old one's place.
    pub(super) fn bring(&self) -> Option<u64> {
        self.bring
    }

    /// How often it has moved.
    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    /// The same, once every key is in its place.
    pub(super) fn settled(self) -> Self {
        Self {
            keep: None,
            bring: None,
            ..self
        }
    }

    /// The key that signs. Users get certificates of the new key as soon as all hosts trust it;
    /// hosts one phase later, when every client trusts it too.
    #[must_use]
    pub fn signs_with(&self, kind: CaKind) -> Which {
        match (self.phase, kind) {
            (RotationPhase::UpdateServers, _) | (RotationPhase::UpdateClients, CaKind::User) => {
                Which::New
            }
            (
                RotationPhase::Standby
                | RotationPhase::Init
                | RotationPhase::Rollback
                | RotationPhase::UpdateClients,
                _,
            ) => Which::Old,
        }
    }

    /// Begins a rotation, by hand, or with a grace period to move by itself: a third of it for each
    /// phase. `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// When one is under way, or the grace period is no use.
    pub fn begin(
        &self,
        kind: CaKind,
        grace: Option<Duration>,
        now: u64,
    ) -> Result<Self, MoveError> {
        if self.phase != RotationPhase::Standby {
            return Err(MoveError::UnderWay {
                kind,
                phase: self.phase,
            });
        }
        if let Some(grace) = grace.filter(|grace| !(MIN_GRACE..=MAX_GRACE).contains(grace)) {
            return Err(MoveError::Grace(grace));
        }
        let after = |grace: Duration, thirds: u64| now.saturating_add(grace.as_secs() * thirds / 3);
        Ok(Self {
            phase: RotationPhase::Init,
            since: now,
            schedule: grace.map(|grace| Schedule {
                update_clients: after(grace, 1),
                update_servers: after(grace, 2),
                standby: after(grace, 3),
            }),
            keep: None,
            bring: None,
            moves: self.moves.saturating_add(1),
        })
    }

    /// Has the new key take the old one's place at once, without a phase in which both count.
    ///
    /// # Errors
    /// When a rotation is under way.
    pub(super) fn replaced(&self, kind: CaKind, now: u64) -> Result<Self, MoveError> {
        if self.phase != RotationPhase::Standby {
            return Err(MoveError::UnderWay {
                kind,
                phase: self.phase,
            });
        }
        Ok(Self {
            phase: RotationPhase::Standby,
            since: now,
            schedule: None,
            keep: Some(Which::New),
            bring: None,
            moves: self.moves.saturating_add(1),
        })
    }

    /// Moves by hand. `kept` is the number of the key that was kept last, if one is there.
    ///
    /// # Errors
    /// Every move that the picture above does not have, in words.
    pub fn go(
        &self,
        kind: CaKind,
        to: RotationPhase,
        kept: Option<u64>,
        now: u64,
    ) -> Result<Self, MoveError> {
        match (self.phase, to) {
            (RotationPhase::Standby, RotationPhase::Init) => self.begin(kind, None, now),
            (RotationPhase::Standby, RotationPhase::Rollback) => {
                let bring = Some(kept.ok_or(MoveError::NothingKept(kind))?);
                Ok(Self {
                    bring,
                    ..self.moved(to, now)
                })
            }
            (RotationPhase::Standby, RotationPhase::Standby) => Err(MoveError::AlreadyThere(to)),
            (RotationPhase::Standby, _) => Err(MoveError::NotRotating { kind, to }),
            (from, to) if from == to => Err(MoveError::AlreadyThere(to)),
            (from, RotationPhase::Rollback) if from.may_roll_back() => Ok(self.moved(to, now)),
            (RotationPhase::Rollback, RotationPhase::Standby) => Ok(self.moved(to, now)),
            (RotationPhase::Rollback, to) => Err(MoveError::RolledBack(to)),
            (phase, RotationPhase::Init) => Err(MoveError::UnderWay { kind, phase }),
            (from, to) if from.next() != to => Err(MoveError::OutOfOrder { from, to }),
            (_, to) if self.schedule.is_some() => Err(MoveError::Scheduled(to)),
            (_, to) => Ok(self.moved(to, now)),
        }
    }

    /// When it moves by itself at the latest, though nodes lack what the phase brings: a third of the grace
    /// period after the time that was planned for it.
    #[must_use]
    pub fn latest(&self) -> Option<u64> {
        let schedule = self.schedule?;
        let third = schedule
            .update_servers
            .saturating_sub(schedule.update_clients);
        self.due().map(|(at, _)| at.saturating_add(third))
    }

    /// Moves by itself, as far as the schedule says by now, and each time `may_move` agrees.
    #[must_use]
    pub(super) fn advanced(&self, now: u64, may_move: impl Fn(&Self) -> bool) -> Self {
        let mut rotation = *self;
        while let Some((_, to)) = rotation.overdue(now).filter(|_| may_move(&rotation)) {
            rotation = rotation.moved(to, now);
        }
        rotation
    }

    fn moved(&self, to: RotationPhase, now: u64) -> Self {
        let ends = matches!(to, RotationPhase::Standby | RotationPhase::Rollback);
        Self {
            phase: to,
            since: now,
            schedule: self.schedule.filter(|_| !ends),
            keep: (to == RotationPhase::Standby).then_some(match self.phase {
                RotationPhase::Rollback => Which::Old,
                _ => Which::New,
            }),
            bring: None,
            moves: self.moves.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: Duration = Duration::from_secs(86_400);

    /// No node is waited for.
    fn at_once(_: &Rotation) -> bool {
        true
    }

    /// A rotation by hand in the given phase.
    fn at(phase: RotationPhase) -> Rotation {
        Rotation {
            phase,
            ..Rotation::default()
        }
    }

    #[test]
    fn the_whole_table_of_moves() {
        use RotationPhase::{Init, Rollback, Standby, UpdateClients, UpdateServers};
        let legal = [
            (Standby, Init),
            (Init, UpdateClients),
            (UpdateClients, UpdateServers),
            (UpdateServers, Standby),
            (Init, Rollback),
            (UpdateClients, Rollback),
            (UpdateServers, Rollback),
            (Rollback, Standby),
        ];
        for from in RotationPhase::ALL {
            for to in RotationPhase::ALL {
                let moved = at(from).go(CaKind::User, to, None, NOW);
                assert_eq!(moved.is_ok(), legal.contains(&(from, to)), "{from} {to}");
                match moved {
                    Ok(moved) => assert_eq!((moved.phase(), moved.since()), (to, Some(NOW))),
                    Err(error) => {
                        let said = error.to_string();
                        assert!(
                            said.contains(to.name())
                                || said.contains(from.name())
                                || error == MoveError::NothingKept(CaKind::User),
                            "{said}"
                        );
                        assert!(!error.hint().is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn the_refusal_says_what_comes_next() {
        let skipped = at(RotationPhase::Init)
            .go(CaKind::User, RotationPhase::Standby, None, NOW)
            .unwrap_err();
        assert_eq!(
            skipped.to_string(),
            "the rotation is in phase init: next is update_clients, not standby"
        );
        let idle = at(RotationPhase::Standby)
            .go(CaKind::Host, RotationPhase::UpdateClients, None, NOW)
            .unwrap_err();
        assert_eq!(
            idle.to_string(),
            "no rotation of the host CA is under way, so it cannot go to update_clients"
        );
        assert!(idle.hint().contains("--type=host --phase=init"));
    }

    #[test]
    fn from_standby_a_kept_key_leads_back() {
        let back = at(RotationPhase::Standby)
            .go(CaKind::User, RotationPhase::Rollback, Some(4), NOW)
            .unwrap();
        assert_eq!(
            (back.phase(), back.bring()),
            (RotationPhase::Rollback, Some(4))
        );
        assert_eq!(back.signs_with(CaKind::User), Which::Old);
        let done = back
            .settled()
            .go(CaKind::User, RotationPhase::Standby, None, NOW)
            .unwrap();
        assert_eq!(done.keep(), Some(Which::Old));
        assert!(done.moves() > back.moves());
    }

    #[test]
    fn users_change_over_before_hosts() {
        let signs = |kind, phase| at(phase).signs_with(kind);
        for (phase, user, host) in [
            (RotationPhase::Standby, Which::Old, Which::Old),
            (RotationPhase::Init, Which::Old, Which::Old),
            (RotationPhase::UpdateClients, Which::New, Which::Old),
            (RotationPhase::UpdateServers, Which::New, Which::New),
            (RotationPhase::Rollback, Which::Old, Which::Old),
        ] {
            assert_eq!(signs(CaKind::User, phase), user, "{phase}");
            assert_eq!(signs(CaKind::Host, phase), host, "{phase}");
        }
    }

    #[test]
    fn a_grace_period_is_cut_in_thirds() {
        let begun = Rotation::default()
            .begin(CaKind::User, Some(3 * DAY), NOW)
            .unwrap();
        let at = |days: u64| begun.advanced(NOW + days * 86_400, at_once).phase();
        assert_eq!(
            [at(0), at(1), at(2), at(3), at(400)],
            [
                RotationPhase::Init,
                RotationPhase::UpdateClients,
                RotationPhase::UpdateServers,
                RotationPhase::Standby,
                RotationPhase::Standby
            ]
        );
        assert_eq!(begun.advanced(u64::MAX, at_once).keep(), Some(Which::New));
        assert_eq!(begun.advanced(u64::MAX, at_once).schedule(), None);
        let by_hand = begun.go(CaKind::User, RotationPhase::UpdateClients, None, NOW);
        assert_eq!(
            by_hand,
            Err(MoveError::Scheduled(RotationPhase::UpdateClients))
        );
        let back = begun
            .go(CaKind::User, RotationPhase::Rollback, None, NOW)
            .unwrap();
        assert_eq!(
            back.advanced(u64::MAX, at_once),
            back,
            "a rollback waits for its people"
        );
        for bad in [Duration::from_secs(2), 366 * DAY] {
            let refused = Rotation::default().begin(CaKind::User, Some(bad), NOW);
            assert_eq!(refused, Err(MoveError::Grace(bad)));
        }
    }

    /// Nodes that lack a key hold a move up, for a third of the grace period and no longer.
    #[test]
    fn a_move_that_waits_is_made_after_a_third_at_the_latest() {
        let begun = Rotation::default()
            .begin(CaKind::Host, Some(3 * DAY), NOW)
            .unwrap();
        let day = |days: u64| NOW + days * 86_400;
        assert_eq!(
            (begun.due().unwrap().0, begun.latest()),
            (day(1), Some(day(2)))
        );
        assert_eq!(begun.advanced(day(1), |_| false), begun);
        // What was held up goes on at once, as far as the schedule is by then.
        let late = begun.advanced(day(2), |rotation| rotation.phase() == RotationPhase::Init);
        assert_eq!(late.phase(), RotationPhase::UpdateClients);
        assert_eq!(
            (late.due().unwrap().0, late.latest()),
            (day(2), Some(day(3)))
        );
        assert_eq!(at(RotationPhase::Init).latest(), None);
    }

    #[test]
    fn phases_are_written_and_read_alike() {
        for phase in RotationPhase::ALL {
            assert_eq!(phase.name().parse(), Ok(phase));
            assert_eq!(phase.name().replace('_', "-").parse(), Ok(phase));
        }
        assert!("".parse::<RotationPhase>().is_err());
    }

    /// An operation on a rotation.
    #[derive(Clone, Debug)]
    enum Act {
        Begin(Option<u64>),
        Go(usize),
        Wait(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            proptest::option::of(0_u64..100).prop_map(Act::Begin),
            (0_usize..5).prop_map(Act::Go),
            (0_u64..50).prop_map(Act::Wait),
        ]
    }

    proptest! {
        /// Whatever is done: the key that signs is one that is trusted since an earlier phase, the
        /// new key is kept only through every phase, and what is stored reads back.
        #[test]
        fn no_key_signs_before_it_is_trusted(kind: bool, acts in proptest::collection::vec(act(), 0..40)) {
            let kind = if kind { CaKind::User } else { CaKind::Host };
            let mut now = NOW;
            let mut rotation = Rotation::default();
            let mut visited = Vec::new();
            for act in acts {
                let before = rotation;
                let after = match act {
                    Act::Begin(grace) => before.begin(kind, grace.map(Duration::from_secs), now),
                    Act::Go(index) => before.go(kind, RotationPhase::ALL[index], None, now),
                    Act::Wait(seconds) => {
                        now += seconds;
                        Ok(before)
                    }
                };
                rotation = after.unwrap_or(before).advanced(now, at_once);
                if before.phase() == RotationPhase::Standby && rotation.phase() == RotationPhase::Init {
                    visited.clear();
                }
                visited.push(rotation.phase());
                if rotation.signs_with(kind) == Which::New {
                    prop_assert!(before.phase() != RotationPhase::Standby || rotation.phase() == RotationPhase::Standby);
                }
                match rotation.keep() {
                    Some(Which::New) => prop_assert!(!visited.contains(&RotationPhase::Rollback)),
                    Some(Which::Old) => prop_assert!(visited.contains(&RotationPhase::Rollback)),
                    None => prop_assert!(rotation.phase() != RotationPhase::Standby || before == rotation),
                }
                let text = serde_json::to_string(&rotation).unwrap();
                prop_assert_eq!(serde_json::from_str::<Rotation>(&text).unwrap(), rotation);
            }
        }
    }
}
