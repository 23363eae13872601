//! What has its say before a certificate is handed out, and in which order.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::access::{Permissions, Policy, Role, RoleBinding, RolePermit, Spanned};
use crate::audit::{AuditError, AuditEvent, AuditSink};
use crate::ca::testing::{CaHome, NOW, host_request, no_roles, user_request};
use crate::ca::*;
use crate::cert::testing::ed25519;
use crate::cert::{MAX_USER_TTL, UserRequest};
use crate::sys::account::Actor;
use crate::sys::clock::Clock;
use crate::sys::fs::FsError;

const HOUR: Duration = Duration::from_secs(3_600);

/// An audit log that remembers how many lines the ledger had on the disk when it was told of each event.
#[derive(Debug)]
struct LedgerSink {
    ledger: PathBuf,
    seen: Mutex<Vec<(String, usize)>>,
    is_full: bool,
}

impl AuditSink for LedgerSink {
    fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
        let text = std::fs::read_to_string(&self.ledger).unwrap_or_default();
        let AuditEvent::CertificateIssued { key_id, .. } = event else {
            panic!("{event:?}");
        };
        if self.is_full {
            let source = std::io::ErrorKind::StorageFull.into();
            let path = PathBuf::from("audit.jsonl");
            return Err(AuditError::Write { path, source });
        }
        let seen = (key_id.clone(), text.lines().count());
        self.seen.lock().unwrap().push(seen);
        Ok(())
    }
}

/// The CAs, and what has its say.
struct IssuerFixture {
    home: CaHome,
    authorities: Authorities,
    limits: TtlLimits,
    sink: LedgerSink,
}

impl IssuerFixture {
    fn new() -> Self {
        let home = CaHome::new();
        let authorities = home.open().unwrap();
        let ledger = home.data_dir().ledger();
        Self {
            sink: LedgerSink {
                ledger,
                seen: Mutex::default(),
                is_full: false,
            },
            home,
            authorities,
            limits: no_roles(),
        }
    }

    /// Asks for a certificate, with what is revoked now.
    fn issue(&self, request: IssueRequest) -> Result<Issued, IssueError> {
        let data_dir = self.home.data_dir();
        let log = RevocationLog::new(&data_dir, Clock::Fixed(NOW));
        let rules = IssuingRules {
            limits: &self.limits,
            revocations: &log.read().unwrap(),
            ledger: &Ledger::of(&data_dir),
            issued_for: IssuedFor::Signed,
            clock: Clock::Fixed(NOW),
        };
        let issuer = Issuer::new(&self.authorities, rules, &self.sink);
        issuer.issue(request, &Actor::of_this_process())
    }

    fn revoke(&self, what: Revoked) {
        let log = RevocationLog::new(&self.home.data_dir(), Clock::Fixed(NOW));
        log.revoke(vec![what], "root", Some("laptop stolen"))
            .unwrap();
    }

    /// How many certificates are in the ledger, and which events were audited.
    fn left(&self) -> (usize, Vec<(String, usize)>) {
        let ledger = Ledger::of(&self.home.data_dir());
        let issued = ledger.issued().unwrap_or_default();
        (issued.len(), self.sink.seen.lock().unwrap().clone())
    }
}

fn alice() -> UserRequest {
    user_request(ed25519().public_key())
}

fn for_an_hour() -> IssueRequest {
    IssueRequest::User(UserRequest {
        ttl: HOUR,
        ..alice()
    })
}

#[test]
fn the_audit_log_is_told_once_the_line_is_on_the_disk() {
    let fixture = IssuerFixture::new();
    let issued = fixture.issue(IssueRequest::User(alice())).unwrap();
    let host = IssueRequest::Host(host_request(ed25519().public_key()));
    fixture.issue(host).unwrap();
    let events = vec![("alice".to_owned(), 1), ("db1".to_owned(), 2)];
    assert_eq!(fixture.left(), (2, events));
    assert_eq!(issued.record.serial.number(), issued.certificate.serial());
}

#[test]
fn what_is_revoked_gets_no_certificate() {
    let fixture = IssuerFixture::new();
    fixture.revoke(Revoked::of_key_id("alice".to_owned()));
    let refused = fixture.issue(IssueRequest::User(alice())).unwrap_err();
    assert!(matches!(refused, IssueError::KeyIdRevoked { .. }));
    assert_eq!(
        refused.to_string(),
        "the key id alice is revoked: laptop stolen"
    );
    assert!(refused.hint().unwrap().contains("unrevoke --key-id=alice"));

    let fixture = IssuerFixture::new();
    let key = ed25519().public_key().clone();
    let public_key = key.fingerprint(Default::default()).to_string();
    fixture.revoke(Revoked::PublicKey { public_key });
    let refused = fixture.issue(IssueRequest::Host(host_request(&key)));
    let refused = refused.unwrap_err();
    assert!(matches!(refused, IssueError::KeyRevoked { .. }));
    assert_eq!(
        refused.to_string(),
        "the key of db1 is revoked: laptop stolen"
    );
    assert_eq!(fixture.left(), (0, Vec::new()));
}

#[test]
fn no_certificate_lives_longer_than_the_policy_allows() {
    let mut fixture = IssuerFixture::new();
    let long = IssueRequest::User(UserRequest {
        ttl: MAX_USER_TTL + HOUR,
        ..alice()
    });
    let refused = fixture.issue(long).unwrap_err();
    assert!(matches!(refused, IssueError::TtlTooLong(_)), "{refused}");
    assert_eq!(
        refused.to_string(),
        "certificates of people may live 30h at most, not 31h"
    );
    assert!(refused.hint().unwrap().contains("auth_service.max_ttl"));

    let role = Arc::new(Role {
        name: "dba".to_owned(),
        line: 3,
        allow: None,
        deny: Vec::new(),
        may_connect_from: None,
        max_ttl: Some(Spanned {
            value: HOUR / 2,
            line: 4,
        }),
        join: None,
        permit: RolePermit::default(),
    });
    let member = RoleBinding {
        name: "alice".parse().unwrap(),
        line: 6,
        roles: vec![Arc::clone(&role)],
    };
    let policy = Policy::new("f.yaml", Permissions::default(), vec![role], vec![member]);
    fixture.limits = TtlLimits::new(policy, MAX_USER_TTL);
    let refused = fixture.issue(for_an_hour()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "certificates of alice may live 30m at most, not 1h: role dba, f.yaml:4"
    );
    assert_eq!(refused.hint().unwrap(), "give --ttl=30m or less");
    assert_eq!(fixture.left(), (0, Vec::new()));
    fixture.limits = no_roles();
    fixture.issue(for_an_hour()).unwrap();
}

#[test]
fn a_ledger_that_cannot_be_written_hands_nothing_out() {
    let fixture = IssuerFixture::new();
    std::fs::create_dir(fixture.home.data_dir().ledger()).unwrap();
    let rules = IssuingRules {
        limits: &fixture.limits,
        revocations: &Revocations::default(),
        ledger: &Ledger::of(&fixture.home.data_dir()),
        issued_for: IssuedFor::Signed,
        clock: Clock::Fixed(NOW),
    };
    let issuer = Issuer::new(&fixture.authorities, rules, &fixture.sink);
    let refused = issuer.issue(for_an_hour(), &Actor::of_this_process());
    assert!(matches!(
        refused,
        Err(IssueError::Ca(CaError::Fs(FsError::Io { .. })))
    ));
    assert!(fixture.sink.seen.lock().unwrap().is_empty());
}

/// The certificate is in the ledger, so that it can be revoked; it was not handed out.
#[test]
fn an_audit_log_that_cannot_be_written_hands_nothing_out() {
    let mut fixture = IssuerFixture::new();
    fixture.sink.is_full = true;
    let refused = fixture.issue(for_an_hour()).unwrap_err();
    assert!(matches!(refused, IssueError::Audit(_)), "{refused}");
    assert_eq!(fixture.left(), (1, Vec::new()));
}

#[test]
fn a_process_without_the_private_key_hands_nothing_out() {
    let mut fixture = IssuerFixture::new();
    fixture.authorities = fixture.home.with(Authorities::open_for_proxy).unwrap();
    let refused = fixture.issue(for_an_hour()).unwrap_err();
    assert!(matches!(refused, IssueError::Ca(CaError::Unread(_))));
    assert_eq!(fixture.left(), (0, Vec::new()));
}
