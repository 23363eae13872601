//! Opening reads; ticking moves rotations on, phase by phase, and finishes what a crash has left.

use std::sync::Mutex;
use std::time::Duration;

use crate::audit::{AuditError, AuditEvent, AuditSink};
use crate::ca::testing::{CaHome, NOW, everything_in};
use crate::ca::*;
use crate::sys::clock::Clock;

const KINDS: [CaKind; 2] = [CaKind::User, CaKind::Host];
const GRACE: Duration = Duration::from_secs(300);

/// An audit log that looks at the key directory whenever it is told of a move.
#[derive(Debug)]
struct DirectorySink<'h> {
    home: &'h CaDirectory,
    moves: Mutex<Vec<(String, Vec<String>)>>,
    is_full: bool,
}

/// Where the keys are.
#[derive(Debug)]
struct CaDirectory(std::path::PathBuf);

impl CaDirectory {
    /// The key files of one CA and its state file.
    fn files(&self, kind: CaKind) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter(|name| name.starts_with(&kind.to_string()))
            .filter(|name| name != "host_ca_successors")
            .collect();
        names.sort();
        names
    }

    fn state(&self, kind: CaKind) -> String {
        std::fs::read_to_string(self.0.join(format!("{kind}_rotation.json"))).unwrap_or_default()
    }
}

impl AuditSink for DirectorySink<'_> {
    fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
        let AuditEvent::AuthorityRotated { kind, from, to, .. } = event else {
            panic!("{event:?}");
        };
        let kind = KINDS.into_iter().find(|one| *kind == (*one).into());
        let kind = kind.unwrap();
        assert!(
            self.home.state(kind).contains(to),
            "the state file is first"
        );
        let moved = (format!("{kind} {from} {to}"), self.home.files(kind));
        self.moves.lock().unwrap().push(moved);
        if self.is_full {
            let source = std::io::ErrorKind::StorageFull.into();
            let path = self.home.0.join("audit.jsonl");
            return Err(AuditError::Write { path, source });
        }
        Ok(())
    }
}

/// Two rotations that began at `NOW`, with a grace period.
fn rotating() -> (CaHome, CaDirectory) {
    let home = CaHome::new();
    home.open().unwrap();
    for kind in KINDS {
        let begin = |rotation: &Rotation, _kept, now| rotation.begin(kind, Some(GRACE), now);
        home.with(|installation| Authorities::rotate(installation, kind, begin))
            .unwrap();
    }
    let keys = CaDirectory(home.data_dir().ca());
    (home, keys)
}

fn phases(home: &CaHome, now: u64) -> [RotationPhase; 2] {
    let opened = home.with_clock(Clock::Fixed(now), Authorities::open);
    let authorities = opened.unwrap();
    KINDS.map(|kind| authorities.of(kind).rotation().phase())
}

fn tick(home: &CaHome, now: u64, audit: &dyn AuditSink) {
    home.with_clock(Clock::Fixed(now), |installation| {
        KeyOwner::new(installation.clone(), audit).tick()
    })
    .unwrap();
}

#[test]
fn a_rotation_goes_through_each_phase_when_it_is_ticked_and_never_when_it_is_opened() {
    let (home, keys) = rotating();
    let sink = DirectorySink {
        home: &keys,
        moves: Mutex::default(),
        is_full: false,
    };
    let before = home.with(Authorities::open).unwrap();
    let mut was = RotationPhase::Init;
    for (at, phase) in [
        (99, RotationPhase::Init),
        (100, RotationPhase::UpdateClients),
        (199, RotationPhase::UpdateClients),
        (200, RotationPhase::UpdateServers),
        (300, RotationPhase::Standby),
        (9000, RotationPhase::Standby),
    ] {
        assert_eq!(phases(&home, NOW + at), [was, was], "opened after {at} s");
        tick(&home, NOW + at, &sink);
        assert_eq!(phases(&home, NOW + at), [phase, phase], "after {at} s");
        was = phase;
    }
    let after = home.with(Authorities::open).unwrap();
    for kind in KINDS {
        let (before, after) = (before.of(kind), after.of(kind));
        assert_eq!(after.public_keys(), &before.public_keys()[1..]);
        assert_eq!(after.kept_keys().len(), 1);
    }
    let moves = sink.moves.into_inner().unwrap();
    let told: Vec<_> = moves.iter().map(|(told, _)| told.as_str()).collect();
    assert_eq!(
        told,
        [
            "user init update_clients",
            "host init update_clients",
            "user update_clients update_servers",
            "host update_clients update_servers",
            "user update_servers standby",
            "host update_servers standby",
        ]
    );
}

/// The state file says standby before the old key goes, and so does the audit log.
#[test]
fn the_state_file_is_written_before_a_key_is_deleted() {
    let (home, keys) = rotating();
    let sink = DirectorySink {
        home: &keys,
        moves: Mutex::default(),
        is_full: false,
    };
    tick(&home, NOW + 1000, &sink);
    for (kind, (_, files)) in KINDS.iter().zip(sink.moves.into_inner().unwrap()) {
        for name in ["ca", "ca.pub", "ca_new", "ca_new.pub", "rotation.json"] {
            let name = format!("{kind}_{name}");
            assert!(files.contains(&name), "{name} is not among {files:?}");
        }
        let left = keys.files(*kind);
        assert!(!left.contains(&format!("{kind}_ca_new")), "{left:?}");
    }
}

/// The schedule was requested, so it continues although it cannot be audited.
#[test]
fn a_rotation_goes_on_where_the_audit_log_cannot_be_written() {
    let (home, keys) = rotating();
    let full = DirectorySink {
        home: &keys,
        moves: Mutex::default(),
        is_full: true,
    };
    tick(&home, NOW + 1000, &full);
    assert_eq!(phases(&home, NOW), [RotationPhase::Standby; 2]);
    assert_eq!(full.moves.into_inner().unwrap().len(), 2);
}

#[test]
fn opening_changes_no_byte_and_ticking_none_where_nothing_is_due() {
    let (home, keys) = rotating();
    let audit = DirectorySink {
        home: &keys,
        moves: Mutex::default(),
        is_full: false,
    };
    std::fs::remove_file(keys.0.join("lock")).unwrap();
    for missing in ["user_ca.pub", "host_ca_new.pub"] {
        std::fs::remove_file(keys.0.join(missing)).unwrap();
    }
    let before = everything_in(home.data_dir().path());
    for now in [NOW, NOW + 150, NOW + 1000] {
        let clock = Clock::Fixed(now);
        home.with_clock(clock, Authorities::open).unwrap();
        home.with_clock(clock, Authorities::open_for_proxy).unwrap();
        home.with_clock(clock, |installation| {
            KINDS.map(|kind| Authority::open(installation, kind).unwrap())
        });
    }
    assert_eq!(everything_in(home.data_dir().path()), before);

    tick(&home, NOW, &audit);
    let complete = everything_in(home.data_dir().path());
    assert_eq!(
        complete.len(),
        before.len() + 3,
        "the public keys, and a lock"
    );
    tick(&home, NOW + 99, &audit);
    assert_eq!(everything_in(home.data_dir().path()), complete);
    assert!(audit.moves.into_inner().unwrap().is_empty());
}

#[test]
fn where_there_is_nothing_nothing_is_made() {
    let home = CaHome::new();
    let keys = CaDirectory(home.data_dir().ca());
    let audit = DirectorySink {
        home: &keys,
        moves: Mutex::default(),
        is_full: false,
    };
    home.with(|installation| {
        let none = KeyOwner::new(installation.clone(), &audit).tick();
        assert!(matches!(none, Err(CaError::None(_))));
        let none = Authorities::open(installation);
        assert!(matches!(none, Err(CaError::None(_))));
    });
    assert!(!home.data_dir().path().exists());
}
