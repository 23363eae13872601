//! The schema: made once, brought up from every earlier version, and never used when it is newer.

use std::collections::BTreeSet;
use std::path::Path;

use super::user;
use crate::state::db::values;
use crate::state::schema::{OWN_META, TABLES, latest};
use crate::state::testing::{NOW, on_both, on_both_places};
use crate::state::{State, StateError};
use crate::sys::clock::Clock;

const CLOCK: Clock = Clock::Fixed(NOW);

#[test]
fn a_state_is_made_once_and_found_again() {
    on_both_places(|place| {
        let refused = State::open_existing(place, CLOCK).unwrap_err();
        assert!(matches!(refused, StateError::Missing { .. }), "{refused}");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| State::open(place, CLOCK).unwrap());
            }
        });
        user(&State::open(place, CLOCK).unwrap(), "alice");
        let again = State::open_existing(place, CLOCK).unwrap();
        assert!(again.users().get("alice").unwrap().is_some());
        let status = again.check().unwrap();
        assert_eq!((status.schema, status.place), (latest(), place.to_string()));
        assert!(status.bytes > 0);
        assert!(status.rows.contains(&("users", 1)), "{:?}", status.rows);
    });
}

#[test]
fn a_newer_schema_is_refused_with_its_version() {
    on_both_places(|place| {
        let state = State::open(place, CLOCK).unwrap();
        state.meta().set(OWN_META, "77").unwrap();
        for refused in [
            State::open(place, CLOCK),
            State::open_existing(place, CLOCK),
        ] {
            let refused = refused.unwrap_err();
            assert!(
                matches!(refused, StateError::Newer { found: 77, .. }),
                "{refused}"
            );
            assert!(refused.to_string().contains("schema 77"), "{refused}");
        }
        state.meta().set(OWN_META, "0").unwrap();
        let refused = State::open_existing(place, CLOCK).unwrap_err();
        assert!(matches!(refused, StateError::Missing { .. }), "{refused}");
    });
}

/// `tests/data/state` has what each version has left in a database, as SQL.
#[test]
fn what_every_earlier_version_has_written_can_be_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state");
    for version in 1..=latest() {
        let written = directory.join(format!("{version}.sql"));
        let written = std::fs::read_to_string(written).unwrap();
        on_both_places(|place| {
            use crate::state::db::Database;
            use crate::state::place::IfMissing;
            let database = Database::open(place, IfMissing::Make).unwrap();
            database.change_schema(|tx| tx.batch(&written)).unwrap();
            drop(database);
            let state = State::open(place, CLOCK).unwrap();
            assert_eq!(state.check().unwrap().schema, latest());
            let alice = state.users().get("ALICE").unwrap().unwrap();
            assert!(alice.password && alice.totp, "{alice:?}");
            let keys = state.keys().of_user(alice.id).unwrap();
            let [key] = &keys[..] else { panic!("{keys:?}") };
            let live = state.sign_ins().live(alice.id, &key.fingerprint, NOW);
            assert!(live.unwrap().is_some());
            assert_eq!(state.sign_ins().since(0, 9).unwrap().len(), 1);
            let bob = state.users().get("bob").unwrap().unwrap();
            assert_eq!(bob.locked.unwrap().reason, "left");
            assert_eq!(state.invitations().of_user(bob.id).unwrap().len(), 1);
            assert_eq!(
                state
                    .issued()
                    .page(&Default::default(), None, 9)
                    .unwrap()
                    .len(),
                2
            );
            assert_eq!(state.revocations().page(0, 9).unwrap().len(), 2);
            assert_eq!(state.revocations().mark("rotation", "user").unwrap(), 3);
            assert_eq!(
                state.meta().get("cluster").unwrap().as_deref(),
                Some("example.com")
            );
            // The rest of the state can be changed.
            user(&state, "carol");
        });
    }
}

/// What is copied from one database to another one is named table by table.
#[test]
fn the_list_of_tables_is_that_of_the_schema() {
    on_both(|state| {
        let sql = match state.check().unwrap().backend {
            "sqlite" => {
                "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
                 WHERE m.type = 'table'"
            }
            _ => {
                "SELECT table_name::TEXT, column_name::TEXT FROM information_schema.columns
                 WHERE table_schema = 'public'"
            }
        };
        let rows = state.database.read(|tx| tx.query(sql, values![])).unwrap();
        let found: BTreeSet<_> = rows
            .iter()
            .map(|row| {
                (
                    row.text(0).unwrap().to_owned(),
                    row.text(1).unwrap().to_owned(),
                )
            })
            .filter(|(table, _)| table != "meta")
            .collect();
        let of_table = |(table, columns): &(&str, &[&str])| {
            let all = columns
                .iter()
                .map(|column| ((*table).to_owned(), (*column).to_owned()));
            all.collect::<Vec<_>>()
        };
        assert_eq!(found, TABLES.iter().flat_map(of_table).collect());
    });
}
