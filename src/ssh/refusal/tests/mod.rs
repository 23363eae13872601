//! Every reason, every constructor: the leg, the stable name, the sentence and the hint, word for word.

mod client;
mod foreign;
mod host;
mod node;
mod peers;
mod proxy;
mod sign_in;

use std::collections::BTreeSet;
use std::time::Duration;

use super::reason::RefusalReason;
use super::*;
use crate::access::{Denial, PolicyDenial};
use crate::audit::Party;
use crate::cert::testing::{CertSpec, ed25519};
use crate::cert::{CertFault, HostKeyError, OfferError, PresentedKey, UserCertError};
use crate::model::text::is_printable;
use crate::model::{Login, Target};
use crate::net::LimitExceeded;
use crate::session::testing::permit;
use crate::wire::{Legacy, NoCommonAlgorithm};

/// What a refusal must be.
struct Expected {
    refusal: Refusal,
    leg: Party,
    name: &'static str,
    /// The sentence, and the hint behind a line break.
    text: String,
}

fn row(refusal: Refusal, leg: Party, name: &'static str, text: impl Into<String>) -> Expected {
    let text = text.into();
    Expected {
        refusal,
        leg,
        name,
        text,
    }
}

/// What the user reads of it: the sentence, and the hint behind a line break.
fn told(refusal: &Refusal) -> String {
    let text = refusal.text("ID");
    let (_leg, rest) = text
        .split_once(": ")
        .and_then(|(_, rest)| rest.split_once(": "))
        .unwrap();
    let text = rest.strip_suffix("\r\n  id: ID\r\n").unwrap();
    text.replace("\r\n  hint: ", "\n")
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn target() -> Target {
    Target::from_subsystem("proxy:db1.example.com:22").unwrap()
}

fn plain() -> PresentedKey {
    PresentedKey::decode(&ed25519().public_key().to_bytes().unwrap()).unwrap()
}

fn certificate() -> PresentedKey {
    let (authority, key) = (ed25519(), ed25519());
    let certificate = CertSpec::host(&key).sign(&authority);
    PresentedKey::decode(&certificate.to_bytes().unwrap()).unwrap()
}

fn lacking(kind: &'static str, legacy: &[Legacy]) -> NoCommonAlgorithm {
    NoCommonAlgorithm {
        kind,
        offered: "ssh-mldsa44-ed25519@openssh.com".to_owned(),
        legacy: legacy.to_vec(),
    }
}

fn all() -> Vec<Expected> {
    let permit = permit();
    [
        client::client_rows(),
        client::agent_rows(),
        proxy::target_rows(),
        host::host_rows(&permit),
        host::host_login_rows(&permit),
        proxy::proxy_rows(),
        sign_in::sign_in_rows(),
        node::node_rows(),
        peers::peer_rows(),
        foreign::foreign_rows(&permit),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_refusal_says_what_it_always_said() {
    for Expected {
        refusal,
        leg,
        name,
        text,
    } in all()
    {
        assert_eq!(told(&refusal), text);
        assert_eq!((refusal.leg, refusal.reason), (leg, name), "{text}");
    }
}

#[test]
fn every_reason_of_the_table_is_used_on_each_of_its_legs_and_no_other() {
    let used: BTreeSet<_> = all()
        .iter()
        .map(|row| (row.refusal.reason, row.refusal.leg as u8))
        .collect();
    let listed: BTreeSet<_> = RefusalReason::ALL
        .iter()
        .flat_map(|reason| reason.legs().iter().map(|leg| (reason.name(), *leg as u8)))
        .collect();
    assert_eq!(used, listed);
}

#[test]
fn stable_names_are_unique_and_in_kebab_case() {
    let names: BTreeSet<_> = RefusalReason::ALL
        .iter()
        .map(|reason| reason.name())
        .collect();
    assert_eq!(names.len(), RefusalReason::ALL.len());
    let is_kebab = |name: &str| {
        let mut parts = name.split('-');
        parts.all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase()))
    };
    for name in names {
        assert!(is_kebab(name), "{name}");
    }
}

/// Names that documents tell people to look for.
#[test]
fn documents_name_reasons_that_exist() {
    for (document, text, names) in [
        (
            "docs/hosts.md",
            include_str!("../../../../docs/hosts.md"),
            &["not-ssh", "host-dropped", "name-lost"][..],
        ),
        (
            "docs/sessions.md",
            include_str!("../../../../docs/sessions.md"),
            &["killed"],
        ),
        (
            "ARCHITECTURE.md",
            include_str!("../../../../ARCHITECTURE.md"),
            &["too-much-memory", "too-much-memory-of-user"],
        ),
    ] {
        for name in names {
            assert!(text.contains(&format!("`{name}`")), "{document}: {name}");
            let mut all = RefusalReason::ALL.iter();
            assert!(all.any(|reason| reason.name() == *name), "{name}");
        }
    }
}

/// A key that agents offer as a matter of course tells less than one that should have served.
#[test]
fn refusals_are_worth_telling_in_this_order() {
    let expired = bad_certificate(&UserCertError::Fault(CertFault::Expired(1)));
    let foreign = bad_certificate(&UserCertError::HostCertificate);
    let login: Login = "root".parse().unwrap();
    let way_out = another_certificate_first(&Denial::OtherKey, &login, str::to_owned, "%r@proxy");
    let order = [plain_key(&plain()), foreign, expired, way_out].map(|refusal| refusal.worth);
    let expected = [Worth::PlainKey, Worth::Foreign, Worth::Usual, Worth::WayOut];
    assert_eq!(order, expected);
    assert!(order.is_sorted());
    for (error, worth) in foreign::offer_errors() {
        let is_foreign =
            worth == "unsupported-algorithm" && matches!(error, OfferError::Algorithm(_));
        let expected = if is_foreign {
            Worth::Foreign
        } else {
            Worth::Usual
        };
        assert_eq!(unusable_key(&error).worth, expected, "{error}");
    }
}

#[test]
fn what_others_have_said_does_not_act_on_the_users_terminal() {
    let refusal = host_certificate_not_minted(&"no \u{1b}[2J\u{202e} \u{9b}6n");
    assert!(is_printable(&refusal.line(1)), "{}", refusal.line(1));
    let text = refusal.text(1);
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().all(is_printable), "{text:?}");
}

#[test]
fn the_audit_log_learns_more_than_the_user() {
    let denial = Denial::Policy {
        host: "db1".to_owned(),
        login: None,
        why: Box::new(PolicyDenial::NoRole("alice".to_owned())),
    };
    let refusal = Refusal::from(&denial).with_finding(&"db1 is not in the inventory");
    let event = format!("{:?}", refusal.event(testing::origin()));
    assert!(
        event.contains(r#"rule: Some("\"alice\" has no role; db1 is not in the inventory")"#),
        "{event}"
    );
    assert!(!refusal.text(1).contains("inventory"));
    // Without a rule there is nothing to add to.
    let refusal = shutting_down().with_finding(&"x");
    assert!(format!("{:?}", refusal.event(testing::origin())).contains("rule: None"));
}

#[test]
fn what_was_not_audited_is_counted_in_the_audit_log_alone() {
    let refusal = crowded_out(LimitExceeded::Connections(9));
    assert_eq!(refusal.after_unaudited(0), refusal);
    let audited = refusal.after_unaudited(7);
    assert_eq!(
        audited.message,
        "too many connections: the limit is 9; 7 more of these before"
    );
}

#[test]
fn lines_name_the_leg_and_the_id() {
    let refusal = shutting_down();
    assert_eq!(
        refusal.line("ID"),
        "rproxy: proxy: shutting down, connect again in a moment (id ID)"
    );
    assert_eq!(
        refusal.disconnect_text("ID"),
        "rproxy: shutting down, connect again in a moment (id ID)"
    );
    assert_eq!(refusal.line("ID"), format!("{SHUTTING_DOWN} (id ID)"));
    let legs = [
        (agent_not_forwarded(), "rproxy: client: "),
        (
            bad_host_key(&HostKeyError::UserCertificate {
                name: String::new(),
            }),
            "rproxy: host certificate: ",
        ),
        (no_host_session(&"no"), "rproxy: host authentication: "),
    ];
    for (refusal, start) in legs {
        assert!(
            refusal.line("ID").starts_with(start),
            "{}",
            refusal.line("ID")
        );
    }
    assert_eq!(
        not_authenticated(minutes(2), "ID"),
        "rproxy: client: not authenticated within 2m (id ID)"
    );
    assert_eq!(
        not_identified(Duration::from_secs(10), "ID"),
        "rproxy: client: no SSH identification within 10s (id ID)"
    );
    assert_eq!(login_broken(&"no"), "rproxy: client: no");
}
