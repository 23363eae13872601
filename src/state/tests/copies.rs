//! Backups, and the way from one database to another.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{key, ledger, node, token, user};
use crate::state::testing::{NOW, on_both, on_both_places};
use crate::state::{
    NodeCertificate, NodeLock, ProxyRow, RevocationRow, State, StateError, StatePlace,
};
use crate::sys::clock::Clock;
use crate::sys::fs::{FsError, PRIVATE_FILE, Replace, private_tempdir, write_whole};

const CLOCK: Clock = Clock::Fixed(NOW);

/// Fills a state with something of everything that can be many.
fn fill(state: &State) {
    state.meta().set("cluster", "example.com").unwrap();
    let alice = user(state, "alice");
    state.keys().register(&key(&alice, "SHA256:a")).unwrap();
    for serial in 1..=250 {
        let record = ledger::record(serial, "alice");
        assert!(state.issued().add(&record).unwrap());
    }
    let row = RevocationRow {
        version: 4,
        line: "{}".to_owned(),
    };
    assert!(state.revocations().append(0, &[row]).unwrap());
    fill_with_nodes(state);
}

fn fill_with_nodes(state: &State) {
    let nodes = state.nodes();
    state.tokens().put(&token("t", 9)).unwrap();
    for name in ["db1", "web1", "gone"] {
        nodes.join(&node(name), "t", NOW).unwrap();
    }
    nodes.remove("gone").unwrap().unwrap();
    let lock = NodeLock {
        at: NOW,
        by: "root".to_owned(),
        reason: Some("stolen".to_owned()),
    };
    nodes.lock("web1", &lock).unwrap().unwrap();
    let id = nodes.by_name("db1").unwrap().unwrap().id;
    let certificate = NodeCertificate {
        serial: u64::MAX,
        begins: NOW,
        expires: NOW + 9,
        authority: "SHA256:ca".to_owned(),
    };
    assert!(nodes.set_certificate(id, &certificate).unwrap());
    let proxy = ProxyRow {
        id: uuid::Uuid::now_v7(),
        address: "10.0.0.1:3022".to_owned(),
        key: "ssh-ed25519 AAAA".to_owned(),
        seen: NOW,
    };
    state.proxies().announce(&proxy).unwrap();
    nodes.open_tunnel(id, proxy.id, NOW).unwrap();
}

fn assert_same(one: &State, other: &State) {
    assert_eq!(one.check().unwrap().rows, other.check().unwrap().rows);
    assert_eq!(one.users().list().unwrap(), other.users().list().unwrap());
    let page = |state: &State| {
        let page = state
            .issued()
            .page(&Default::default(), None, 1000)
            .unwrap();
        format!("{page:?}")
    };
    assert_eq!(page(one), page(other));
    assert_eq!(one.tokens().list().unwrap(), other.tokens().list().unwrap());
    let (nodes, others) = (one.nodes(), other.nodes());
    assert_eq!(
        nodes.changes_since(0, 99).unwrap(),
        others.changes_since(0, 99).unwrap()
    );
    assert_eq!(nodes.tunnels().unwrap(), others.tunnels().unwrap());
    assert_eq!(
        one.proxies().list().unwrap(),
        other.proxies().list().unwrap()
    );
    assert_eq!(
        other.meta().get("cluster").unwrap().as_deref(),
        Some("example.com")
    );
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_backup_is_one_private_file_and_fills_either_database() {
    on_both(|state| {
        fill(state);
        let directory = private_tempdir();
        let file = directory.path().join("backup.db");
        state.backup(&file).unwrap();
        assert_eq!(files(directory.path()), ["backup.db"]);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        // What comes later is not in it.
        user(state, "bob");
        let refused = state.backup(&file).unwrap_err();
        assert!(
            matches!(refused, StateError::Fs(FsError::Exists(_))),
            "{refused}"
        );
        let before = std::fs::read(&file).unwrap();
        on_both(|target| {
            target.restore(&file).unwrap();
            assert_eq!(target.users().list().unwrap().len(), 1);
            user(target, "bob");
            let refused = target.restore(&file).unwrap_err();
            let table = "users";
            assert!(
                matches!(&refused, StateError::NotEmpty { table: found, .. } if *found == table),
                "{refused}"
            );
        });
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert_eq!(files(directory.path()), ["backup.db"]);
    });
}

#[test]
fn a_state_moves_from_each_database_to_each() {
    on_both(|state| {
        fill(state);
        on_both(|target| {
            state.copy_to(target).unwrap();
            assert_same(state, target);
            let refused = state.copy_to(target).unwrap_err();
            assert!(matches!(refused, StateError::NotEmpty { .. }), "{refused}");
            // Numbers go on where they were.
            let alice = target.users().get("alice").unwrap().unwrap();
            assert!(target.users().remove(alice.id, NOW).unwrap().is_empty());
        });
    });
}

#[test]
fn what_is_no_backup_changes_nothing() {
    on_both(|state| {
        let directory = private_tempdir();
        let path = |name: &str| directory.path().join(name);
        let missing = state.restore(&path("missing")).unwrap_err();
        assert!(matches!(missing, StateError::Missing { .. }), "{missing}");
        write_whole(
            &path("text"),
            &[b'x'; 10_000],
            PRIVATE_FILE,
            Replace::Refuse,
        )
        .unwrap();
        let damaged = state.restore(&path("text")).unwrap_err();
        assert!(matches!(damaged, StateError::Damaged { .. }), "{damaged}");
        // A backup that was cut.
        let other = State::open(&StatePlace::Sqlite(path("other")), CLOCK).unwrap();
        fill(&other);
        other.backup(&path("backup")).unwrap();
        let whole = std::fs::read(path("backup")).unwrap();
        let half = &whole[..whole.len() / 2];
        write_whole(&path("half"), half, PRIVATE_FILE, Replace::Refuse).unwrap();
        let damaged = state.restore(&path("half")).unwrap_err();
        assert!(matches!(damaged, StateError::Damaged { .. }), "{damaged}");
        assert!(state.users().list().unwrap().is_empty());
        state.restore(&path("backup")).unwrap();
    });
}

#[test]
fn a_backup_is_of_one_moment() {
    on_both_places(|place| {
        let state = State::open(place, CLOCK).unwrap();
        let directory = private_tempdir();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for number in 1..=100 {
                    // The two belong together.
                    let row = RevocationRow {
                        version: number,
                        line: "{}".to_owned(),
                    };
                    let next = RevocationRow {
                        version: 1000 * number,
                        ..row.clone()
                    };
                    let last = 1000 * (number - 1);
                    let row = RevocationRow {
                        version: last + 1,
                        ..row
                    };
                    assert!(state.revocations().append(last, &[row, next]).unwrap());
                }
            });
            for number in 0..5 {
                let file = directory.path().join(number.to_string());
                state.backup(&file).unwrap();
                let copy = State::open(&StatePlace::Sqlite(file), CLOCK).unwrap();
                assert_eq!(copy.revocations().count().unwrap() % 2, 0);
            }
            writer.join().unwrap();
        });
    });
}

/// A large table is one statement, for as long as its rows are written elsewhere.
#[test]
fn a_copy_has_no_time_limit_and_the_next_statement_has_one() {
    on_both_places(|place| {
        let state = State::open(place, CLOCK).unwrap();
        let limit = |is_lifted: bool| {
            let read = state.database.read(|tx| {
                if is_lifted {
                    tx.lift_time_limits()?;
                }
                match place {
                    StatePlace::Sqlite(_) => Ok(None),
                    StatePlace::Postgres(_) => tx.first("SHOW statement_timeout", &[]),
                }
            });
            let row = read.unwrap();
            row.map(|row| row.text(0).unwrap().to_owned())
        };
        let is_postgres = matches!(place, StatePlace::Postgres(_));
        assert_eq!(limit(true), is_postgres.then(|| "0".to_owned()));
        assert_eq!(limit(false), is_postgres.then(|| "15s".to_owned()));
    });
}
