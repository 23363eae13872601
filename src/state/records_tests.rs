//! The records of CAs in the state, with the files that they come from and the copy that they leave.

use std::path::{Path, PathBuf};

use ssh_key::PublicKey;

use super::testing::{NOW, on_both_places};
use super::{State, StateError, StatePlace, records};
use crate::ca::{
    Authorities, CaError, CaKeys, CaKind, CaRecords, Installation, IssueLog as _, IssueRecord,
    IssuedFor, Ledger, RevocationLog, RevocationStore as _, RevokeOutcome, Revoked,
};
use crate::cert::testing::ed25519;
use crate::model::{DataDir, Serial};
use crate::sys::clock::Clock;
use crate::sys::fs::{PRIVATE_FILE, Replace, private_tempdir, write_whole};

const CLOCK: Clock = Clock::Fixed(NOW);

/// A data directory, and the place of its state.
struct RecordsFixture {
    directory: tempfile::TempDir,
    place: StatePlace,
}

impl RecordsFixture {
    fn new(place: &StatePlace) -> Self {
        let directory = private_tempdir();
        let place = place.clone();
        Self { directory, place }
    }

    fn data_dir(&self) -> DataDir {
        DataDir::new(self.directory.path())
    }

    /// As another process sees them.
    fn records(&self) -> CaRecords {
        records(Ok(self.place.clone()), &self.data_dir(), CLOCK)
    }

    fn ledger(&self) -> Ledger {
        Ledger::of(&self.data_dir())
    }

    fn log(&self) -> RevocationLog {
        RevocationLog::new(&self.data_dir(), CLOCK)
    }

    fn put(&self, path: &Path, text: &str) {
        write_whole(path, text.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
    }
}

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn certificate(serial: u64, issued_for: IssuedFor) -> IssueRecord {
    let key = |key: &PublicKey| key.fingerprint(Default::default()).to_string();
    IssueRecord {
        time: CLOCK.now() + chrono::TimeDelta::seconds(serial.cast_signed()),
        kind: CaKind::User,
        serial: Serial::new(serial).unwrap(),
        key_id: format!("user{serial}"),
        principals: vec!["root".to_owned()],
        valid_after: NOW,
        valid_before: NOW + 60,
        public_key: key(ed25519().public_key()),
        ca: key(ed25519().public_key()),
        critical_options: Default::default(),
        issued_for,
    }
}

fn serials(records: &[IssueRecord]) -> Vec<u64> {
    let serials = records.iter().map(|record| record.serial.to_string());
    serials.map(|serial| serial.parse().unwrap()).collect()
}

fn revoke(records: &CaRecords, key_id: &str) -> RevokeOutcome {
    let what = vec![Revoked::of_key_id(key_id.to_owned())];
    records
        .revoked
        .revoke(what, "root", None)
        .unwrap()
        .remove(0)
}

/// The key ids of the records, in their order, with the versions.
fn revoked(found: &crate::ca::Revocations) -> Vec<(u64, String)> {
    let name = |what: &Revoked| match what {
        Revoked::KeyId { key_id, .. } => key_id.clone(),
        other => format!("{other:?}"),
    };
    let records = found.records().iter();
    records.map(|one| (one.version, name(&one.what))).collect()
}

/// As an earlier version has left it.
fn with_files(scene: &RecordsFixture) {
    for serial in 1..=3 {
        let record = certificate(serial, IssuedFor::Signed);
        assert!(scene.ledger().record(&record).unwrap());
    }
    scene
        .ledger()
        .mark_rotation(CaKind::Host, 4, CLOCK)
        .unwrap();
    for key_id in ["alice", "bob"] {
        let what = vec![Revoked::of_key_id(key_id.to_owned())];
        scene.log().revoke(what, "root", None).unwrap();
    }
}

fn listed(names: &[(u64, &str)]) -> Vec<(u64, String)> {
    let names = names.iter();
    names
        .map(|(version, name)| (*version, (*name).to_owned()))
        .collect()
}

#[test]
fn reading_makes_no_state_and_the_first_change_takes_the_files_over() {
    on_both_places(|place| {
        let scene = RecordsFixture::new(place);
        with_files(&scene);
        let before = (
            text(scene.data_dir().ledger()),
            text(scene.data_dir().revocations()),
        );
        let look = |scene: &RecordsFixture| {
            let records = scene.records();
            let issued = serials(&records.issued.issued().unwrap());
            let moves = records.issued.rotation_moves().unwrap().host;
            (issued, moves, revoked(&records.revoked.read().unwrap()))
        };
        let found = look(&scene);
        let expected = listed(&[(1, "alice"), (2, "bob")]);
        assert_eq!(found, (vec![1, 2, 3], 4, expected));
        let missing = State::open_existing(place, CLOCK).unwrap_err();
        assert!(matches!(missing, StateError::Missing { .. }), "{missing}");
        assert_eq!(text(scene.data_dir().ledger()), before.0);

        assert!(matches!(
            revoke(&scene.records(), "alice"),
            RevokeOutcome::Already(_)
        ));
        scene.records().revoked.settle().unwrap();
        assert_eq!(look(&scene), found, "from the state");
        scene.records().revoked.settle().unwrap();
        assert_eq!(look(&scene), found, "nothing is taken over twice");
        let after = (
            text(scene.data_dir().ledger()),
            text(scene.data_dir().revocations()),
        );
        assert_eq!(after, before, "the files are kept as they are");
    });
}

#[test]
fn the_files_go_on_as_a_copy_without_certificates_of_connections() {
    on_both_places(|place| {
        let scene = RecordsFixture::new(place);
        let records = scene.records();
        assert!(
            records
                .issued
                .record(&certificate(1, IssuedFor::Signed))
                .unwrap()
        );
        assert!(
            records
                .issued
                .record(&certificate(2, IssuedFor::Connection))
                .unwrap()
        );
        assert!(
            !records
                .issued
                .record(&certificate(1, IssuedFor::Connection))
                .unwrap()
        );
        records
            .issued
            .mark_rotation(CaKind::User, 2, CLOCK)
            .unwrap();
        revoke(&records, "alice");
        let other = scene.records();
        revoke(&other, "bob");
        let what = Revoked::of_key_id("alice".to_owned());
        records.revoked.lift(vec![what], "root", None).unwrap();

        assert_eq!(serials(&other.issued.issued().unwrap()), [1]);
        assert_eq!(
            serials(&other.issued.issued_for_connections().unwrap()),
            [2]
        );
        assert_eq!(other.issued.count_for_connections().unwrap(), 1);
        let found = other.issued.find(Serial::new(2).unwrap()).unwrap().unwrap();
        assert_eq!(found.issued_for, IssuedFor::Connection);
        // An earlier version sees the same.
        assert_eq!(serials(&scene.ledger().issued().unwrap()), [1]);
        assert_eq!(scene.ledger().rotation_moves().unwrap().user, 2);
        let there = other.revoked.read().unwrap();
        let copy = scene.log().read().unwrap();
        assert_eq!(copy.records(), there.records());
        assert_eq!(there.in_force().count(), 1);
        // What a process that follows is told, from where it is.
        assert_eq!(other.revoked.since(0, 2).unwrap().len(), 2);
        let last = other.revoked.since(2, 10).unwrap();
        assert!(
            matches!(&last[..], [line] if line.contains("lifts")),
            "{last:?}"
        );
        assert!(other.revoked.since(3, 10).unwrap().is_empty());
    });
}

#[test]
fn what_an_earlier_version_adds_after_the_way_back_is_taken_over_at_the_next_start() {
    on_both_places(|place| {
        let scene = RecordsFixture::new(place);
        with_files(&scene);
        scene.records().revoked.settle().unwrap();
        let what = vec![Revoked::of_key_id("carol".to_owned())];
        scene.log().revoke(what, "root", None).unwrap();
        scene
            .ledger()
            .record(&certificate(4, IssuedFor::Signed))
            .unwrap();
        let records = scene.records();
        let found = revoked(&records.revoked.settle().unwrap());
        assert_eq!(found, listed(&[(1, "alice"), (2, "bob"), (3, "carol")]));
        assert_eq!(serials(&records.issued.issued().unwrap()), [1, 2, 3, 4]);
    });
}

/// A second machine with records of its own uses the same database.
#[test]
fn the_files_of_another_machine_are_added_with_versions_of_their_own() {
    on_both_places(|place| {
        let (first, second) = (RecordsFixture::new(place), RecordsFixture::new(place));
        with_files(&first);
        first.records().revoked.settle().unwrap();
        let what = vec![Revoked::of_key_id("mallory".to_owned())];
        second.log().revoke(what, "root", None).unwrap();
        let all = listed(&[(1, "alice"), (2, "bob"), (3, "mallory")]);
        assert_eq!(revoked(&second.records().revoked.settle().unwrap()), all);
        assert_eq!(revoked(&first.records().revoked.read().unwrap()), all);
        first.records().revoked.settle().unwrap();
        assert_eq!(revoked(&first.log().read().unwrap()), all);
    });
}

#[test]
fn damage_in_the_files_is_refused_and_a_copy_that_lacks_something_is_completed() {
    on_both_places(|place| {
        let scene = RecordsFixture::new(place);
        with_files(&scene);
        let file = scene.data_dir().revocations();
        let whole = text(file.clone());
        let first = whole.lines().next().unwrap().to_owned() + "\n";
        let damaged = whole.replacen("key_id", "kex_id", 1);

        // Before they are taken over, the files are what counts.
        scene.put(&file, &first);
        let refused = scene.records().revoked.settle().unwrap_err();
        assert!(matches!(refused, CaError::Older { .. }), "{refused}");
        let refused = scene.records().revoked.read().unwrap_err();
        assert!(matches!(refused, CaError::Older { .. }), "{refused}");
        scene.put(&file, &damaged);
        let refused = scene
            .records()
            .issued
            .record(&certificate(9, IssuedFor::Signed));
        assert!(matches!(refused, Err(CaError::Damaged { line: 1, .. })));
        scene.put(&file, &whole);
        scene.records().revoked.settle().unwrap();

        // Then it is the state.
        scene.put(&file, &damaged);
        let records = scene.records();
        assert_eq!(records.revoked.read().unwrap().records().len(), 2);
        assert!(matches!(
            records.revoked.check_copy(),
            Err(CaError::Damaged { .. })
        ));
        let refused = records.revoked.settle().unwrap_err();
        assert!(
            matches!(refused, CaError::Damaged { line: 1, .. }),
            "{refused}"
        );
        for lacking in [Some(first.as_str()), None] {
            match lacking {
                Some(lacking) => scene.put(&file, lacking),
                None => std::fs::remove_file(&file).unwrap(),
            }
            assert_eq!(records.revoked.settle().unwrap().records().len(), 2);
            assert_eq!(scene.log().read().unwrap().records().len(), 2);
        }
    });
}

#[test]
fn a_copy_that_cannot_be_written_undoes_nothing() {
    on_both_places(|place| {
        let scene = RecordsFixture::new(place);
        scene.records().revoked.settle().unwrap();
        std::fs::create_dir(scene.data_dir().revocations()).unwrap();
        std::fs::create_dir(scene.data_dir().ledger()).unwrap();
        let records = scene.records();
        assert!(matches!(revoke(&records, "alice"), RevokeOutcome::New(_)));
        assert!(
            records
                .issued
                .record(&certificate(1, IssuedFor::Signed))
                .unwrap()
        );
        assert_eq!(
            scene.records().revoked.read().unwrap().in_force().count(),
            1
        );
        assert!(records.revoked.check_copy().is_err());
    });
}

#[test]
fn several_writers_revoke_each_with_a_version_of_its_own() {
    const EACH: u64 = 10;
    on_both_places(|place| {
        let scene = RecordsFixture::new(place);
        with_files(&scene);
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let records = scene.records();
                scope.spawn(move || {
                    for number in 0..EACH {
                        revoke(&records, &format!("user{writer}-{number}"));
                    }
                });
            }
        });
        let found = scene.records().revoked.read().unwrap();
        let versions: Vec<_> = found.records().iter().map(|one| one.version).collect();
        assert_eq!(versions, (1..=2 + 3 * EACH).collect::<Vec<_>>());
        assert_eq!(scene.log().read().unwrap().records(), found.records());
    });
}

/// Certificates of another CA would be refused by the hosts that trust the first one.
#[test]
fn a_machine_without_cas_makes_none_beside_those_of_another_machine() {
    on_both_places(|place| {
        let issued = certificate(1, IssuedFor::Connection);
        let first = RecordsFixture::new(place).records();
        assert!(first.issued.record(&issued).unwrap());
        let second = RecordsFixture::new(place);
        let made = Authorities::make(&Installation {
            data_dir: &second.data_dir(),
            cluster: &"example.com".parse().unwrap(),
            ca_keys: &CaKeys::default(),
            records: second.records(),
            clock: CLOCK,
        });
        match (place, made) {
            // A file is one machine's.
            (StatePlace::Sqlite(_), made) => assert_eq!(made.unwrap().1.len(), 2),
            (StatePlace::Postgres(_), Err(CaError::OfOtherMachines { kind, ca, .. })) => {
                assert_eq!((kind, ca), (CaKind::User, issued.ca));
                assert!(!second.data_dir().ca().join("user_ca").exists());
            }
            (StatePlace::Postgres(_), made) => panic!("{made:?}"),
        }
    });
}
