//! The schema: made once, brought up from every earlier version, and never used when it is newer.

use std::collections::BTreeSet;

use super::user;
use crate::model::TunnelRule;
use crate::state::db::values;
use crate::state::schema::{MADE_BY, SCHEMA, TABLES, latest};
use crate::state::testing::{NOW, on_both, on_both_places, write_as};
use crate::state::{AuthorizationProgress, ProviderSubject, State, StateError, StatePlace};
use crate::sys::clock::Clock;
use crate::sys::fs::private_tempdir;

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
        let made_by = state.meta().get(MADE_BY).unwrap();
        assert_eq!(made_by.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        state.meta().set(SCHEMA, "77").unwrap();
        state.meta().set(MADE_BY, "9.8.7").unwrap();
        for refused in [
            State::open(place, CLOCK),
            State::open_existing(place, CLOCK),
        ] {
            let refused = refused.unwrap_err();
            assert!(
                matches!(refused, StateError::Newer { found: 77, .. }),
                "{refused}"
            );
            let text = refused.to_string();
            assert!(text.contains("schema 77"), "{refused}");
            let reader = "use rproxy 9.8.7 or a later version";
            assert!(text.ends_with(reader), "{refused}");
        }
        state.meta().set(SCHEMA, "0").unwrap();
        let refused = State::open_existing(place, CLOCK).unwrap_err();
        assert!(matches!(refused, StateError::Missing { .. }), "{refused}");
    });
}

/// Checks that everything is there that a version has written.
fn assert_whole(state: &State, version: u64) {
    assert_eq!(state.check().unwrap().schema, latest());
    let made_by = state.meta().get(MADE_BY).unwrap();
    assert!(made_by.is_some());
    let alice = state.users().get("ALICE").unwrap().unwrap();
    assert!(alice.password && alice.totp, "{alice:?}");
    assert_eq!(alice.provider, None);
    let keys = state.keys().of_user(alice.id).unwrap();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    let live = state.sign_ins().live(alice.id, &key.fingerprint, NOW);
    assert!(live.unwrap().is_some());
    assert_eq!(state.sign_ins().since(0, 9).unwrap().len(), 1);
    let bob = state.users().get("bob").unwrap().unwrap();
    assert_eq!(bob.locked.unwrap().reason, "left");
    assert_eq!(state.invitations().of_user(bob.id).unwrap().len(), 1);
    let issued = state.issued().page(&Default::default(), None, 9).unwrap();
    assert_eq!(issued.len(), 2);
    assert_eq!(state.revocations().page(0, 9).unwrap().len(), 2);
    assert_eq!(state.revocations().mark("rotation", "user").unwrap(), 3);
    let cluster = state.meta().get("cluster").unwrap();
    assert_eq!(cluster.as_deref(), Some("example.com"));
    if version >= 2 {
        let subject = ProviderSubject {
            issuer: "https://id.example.com".to_owned(),
            subject: "248289761001".to_owned(),
        };
        let dora = state.users().of_subject(&subject).unwrap().unwrap();
        assert_eq!((dora.name.as_str(), dora.password), ("dora", false));
        let waiting = state.authorizations().of_ticket("tt", NOW).unwrap();
        assert_eq!(*waiting.unwrap().nonce, "nn");
        let answered = "0196a3b0-0000-7000-8000-000000000032".parse().unwrap();
        let progress = state.authorizations().progress(answered, NOW).unwrap();
        assert_eq!(progress, Some(AuthorizationProgress::Answered));
    }
    if version >= 4 {
        assert_has_nodes(state);
    }
    if version >= 5 {
        let (user, browser) = state.sign_ins().of_token("kk", NOW).unwrap().unwrap();
        assert_eq!((user, browser.fingerprint), (alice, None));
    }
    // The rest of the state can be changed.
    user(state, "carol");
}

/// Checks the nodes that the fourth version has written, and all that belongs to them.
fn assert_has_nodes(state: &State) {
    let token = state.tokens().find("th", NOW).unwrap().unwrap();
    assert_eq!((token.uses, token.tunnel), (2, TunnelRule::Required));
    let nodes = state.nodes();
    let db = nodes.by_name("db1.internal").unwrap().unwrap();
    assert_eq!(db.certificate.as_ref().unwrap().serial, u64::MAX - 1);
    assert_eq!(db.lock.as_ref().unwrap().by, "root");
    assert_eq!(db.heartbeat.as_ref().unwrap().clock_ahead, -3);
    assert_eq!(nodes.by_fingerprint("SHA256:n").unwrap().unwrap(), db);
    let changes = nodes.changes_since(0, 9).unwrap();
    assert!(changes[0].now.is_none(), "{changes:?}");
    assert_eq!(changes[1].now.as_ref(), Some(&db));
    let tunnel = nodes.tunnel_of(db.id).unwrap().unwrap();
    let [proxy] = &state.proxies().list().unwrap()[..] else {
        panic!("one proxy")
    };
    assert_eq!((tunnel.proxy, tunnel.generation), (proxy.id, 5));
}

#[test]
fn what_every_earlier_version_has_written_can_be_read() {
    for version in 1..=latest() {
        on_both_places(|place| {
            write_as(version, place);
            let looked = State::look(place, CLOCK).unwrap();
            assert_eq!(looked.is_some(), version == latest());
            if version < latest() {
                let refused = State::open_existing(place, CLOCK).unwrap_err();
                assert!(matches!(refused, StateError::Older { .. }), "{refused}");
            }
            assert_whole(&State::open(place, CLOCK).unwrap(), version);
            // It is brought up once.
            drop(State::open_existing(place, CLOCK).unwrap());
        });
    }
}

#[test]
fn a_backup_of_every_earlier_version_fills_either_database() {
    let directory = private_tempdir();
    for version in 1..=latest() {
        let file = directory.path().join(format!("{version}.db"));
        write_as(version, &StatePlace::Sqlite(file.clone()));
        let before = std::fs::read(&file).unwrap();
        on_both_places(|place| {
            let state = State::open(place, CLOCK).unwrap();
            state.restore(&file).unwrap();
            assert_whole(&state, version);
            let backup = directory.path().join("again.db");
            state.backup(&backup).unwrap();
            on_both(|target| {
                target.restore(&backup).unwrap();
                assert_eq!(target.check().unwrap().rows, state.check().unwrap().rows);
            });
            std::fs::remove_file(&backup).unwrap();
        });
        assert_eq!(std::fs::read(&file).unwrap(), before, "{version}");
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
