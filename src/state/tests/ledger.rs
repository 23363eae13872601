//! The rows of the ledger and of the revocations.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};

use crate::ca::{CaKind, IssueRecord, IssuedFor};
use crate::model::Serial;
use crate::state::testing::{NOW, on_both};
use crate::state::{LedgerFilter, PageEnd, RevocationRow};

/// A certificate of this serial, which is issued as many seconds after the first.
pub(super) fn record(serial: u64, key_id: &str) -> IssueRecord {
    let begin = DateTime::from_timestamp(NOW.cast_signed(), 0).unwrap();
    IssueRecord {
        time: begin + TimeDelta::seconds(serial.cast_signed()) + TimeDelta::microseconds(5),
        kind: CaKind::User,
        issued_for: IssuedFor::Connection,
        serial: Serial::new(serial).unwrap(),
        key_id: key_id.to_owned(),
        principals: vec!["root".to_owned(), "deploy".to_owned()],
        valid_after: NOW,
        valid_before: NOW + serial,
        public_key: format!("SHA256:{key_id}"),
        ca: "SHA256:ca".to_owned(),
        critical_options: BTreeMap::from([("source-address".to_owned(), "::1".to_owned())]),
    }
}

#[test]
fn a_certificate_is_read_as_it_was_written() {
    on_both(|state| {
        let mut host = record(u64::from(u32::MAX), "db1");
        host.kind = CaKind::Host;
        host.serial = Serial::new(u64::MAX).unwrap();
        host.valid_before = u64::MAX;
        assert!(state.issued().add(&host).unwrap());
        let mut other = record(1, "alice");
        other.serial = host.serial;
        assert!(!state.issued().add(&other).unwrap());
        assert!(state.issued().has(host.serial).unwrap());
        assert!(!state.issued().has(Serial::new(1).unwrap()).unwrap());
        let page = state
            .issued()
            .page(&LedgerFilter::default(), None, 10)
            .unwrap();
        let [found] = &page[..] else {
            panic!("{page:?}")
        };
        let shown = |record: &IssueRecord| format!("{record:?}");
        assert_eq!(shown(found), shown(&host));
    });
}

#[test]
fn the_ledger_is_read_page_by_page_and_filtered() {
    on_both(|state| {
        for serial in 1..=25 {
            let name = ["alice", "bob"][usize::from(serial % 2 == 0)];
            let issued_for = match serial % 5 {
                0 => IssuedFor::Signed,
                _ => IssuedFor::Connection,
            };
            let mut record = record(serial, name);
            record.issued_for = issued_for;
            if serial > 20 {
                // Issued at the same moment.
                record.time = super::ledger::record(30, name).time;
            }
            assert!(state.issued().add(&record).unwrap());
        }
        let all = LedgerFilter::default();
        let mut serials = Vec::new();
        let mut after = None;
        loop {
            let page = state.issued().page(&all, after.as_ref(), 4).unwrap();
            let Some(last) = page.last() else { break };
            after = Some(PageEnd::of(last));
            serials.extend(page.iter().map(|row| row.serial.number()));
        }
        assert_eq!(serials, (1..=25).collect::<Vec<_>>());
        let count = |filter: &LedgerFilter| state.issued().count(filter).unwrap();
        assert_eq!(count(&all), 25);
        let of_alice = LedgerFilter {
            key_id: Some("alice".to_owned()),
            ..all.clone()
        };
        assert_eq!(count(&of_alice), 13);
        let signed = LedgerFilter {
            issued_for: Some(IssuedFor::Signed),
            kind: Some(CaKind::User),
            public_key: Some("SHA256:alice".to_owned()),
            ..of_alice
        };
        assert_eq!(count(&signed), 3);
        let found = state.issued().page(&signed, None, 2).unwrap();
        let serials = found.iter().map(|row| row.serial.number());
        assert_eq!(serials.collect::<Vec<_>>(), [5, 15]);
        let rest = state
            .issued()
            .page(&signed, found.last().map(PageEnd::of).as_ref(), 2);
        assert_eq!(rest.unwrap().len(), 1);
        let later = LedgerFilter {
            valid_after: Some(NOW + 10),
            since: Some(record(12, "").time),
            ..all.clone()
        };
        assert_eq!(count(&later), 14);
        let one = LedgerFilter {
            serial: Serial::new(7),
            ..all
        };
        assert_eq!(count(&one), 1);
    });
}

#[test]
fn revocations_are_appended_behind_the_last_one_that_is_known() {
    on_both(|state| {
        let revocations = state.revocations();
        let row = |version: u64| RevocationRow {
            version,
            line: format!("{{\"version\":{version}}}"),
        };
        assert_eq!(revocations.last_version().unwrap(), 0);
        assert!(revocations.append(0, &[row(1), row(2)]).unwrap());
        assert!(!revocations.append(0, &[row(1)]).unwrap());
        assert!(!revocations.append(1, &[row(3)]).unwrap());
        assert!(!revocations.append(2, &[row(3), row(3)]).unwrap());
        assert!(!revocations.append(2, &[row(2)]).unwrap());
        assert!(revocations.append(2, &[row(7)]).unwrap());
        assert_eq!(revocations.page(1, 10).unwrap(), [row(2), row(7)]);
        assert_eq!(revocations.page(0, 2).unwrap(), [row(1), row(2)]);
        assert_eq!(revocations.after(2, 10).unwrap(), [row(7)]);
        assert_eq!(
            (
                revocations.count().unwrap(),
                revocations.last_version().unwrap()
            ),
            (3, 7)
        );
    });
}

#[test]
fn a_mark_never_goes_back() {
    on_both(|state| {
        let revocations = state.revocations();
        assert_eq!(revocations.mark("rotation", "user").unwrap(), 0);
        for moves in [3, 2, 5] {
            revocations.set_mark("rotation", "user", moves).unwrap();
        }
        assert_eq!(revocations.mark("rotation", "user").unwrap(), 5);
        assert_eq!(revocations.mark("rotation", "host").unwrap(), 0);
    });
}
