//! Every statement of a login and of a sign-in finds its rows by an index, on both databases: it takes as
//! long with a hundred thousand users as with a hundred. So does every statement of a node.

use uuid::Uuid;

use super::{key, node, token, user};
use crate::ca::IssuedFor;
use crate::ipc::SignInEnd;
use crate::model::Serial;
use crate::state::db::values;
use crate::state::testing::statements::{self, NotedStatement};
use crate::state::testing::{NOW, on_both};
use crate::state::{
    AttemptsOf, FailedAttempt, Heartbeat, JoinedNode, LedgerFilter, NewBrowserSession, NewSignIn,
    NodeCertificate, NodeLock, ProxyRow, SignInsOf, State,
};

const FINGERPRINT: &str = "SHA256:alice";

/// What happens when a user signs in, logs in, and ends the sign-in; and what the proxy does every second
/// and every minute.
fn life(state: &State) {
    let users = state.users();
    let alice = users.get("alice").unwrap().unwrap();
    users.of_id(alice.id).unwrap();
    users.password_hash(alice.id).unwrap();
    users.totp(alice.id).unwrap();
    users.spend_totp_step(alice.id, 1).unwrap();
    users.spend_recovery_code(alice.id, "none").unwrap();
    users.replace_hash(alice.id, "old", "new").unwrap();
    let keys = state.keys();
    keys.of_fingerprint(FINGERPRINT).unwrap().unwrap();
    keys.of_user(alice.id).unwrap();
    keys.register(&key(&alice, FINGERPRINT)).unwrap();
    let failed = FailedAttempt {
        account: "alice",
        source: "203.0.113.7",
        fingerprint: None,
    };
    let (account, source) = ("alice", "203.0.113.7");
    let fingerprint = FINGERPRINT;
    state.attempts().record(&failed, NOW).unwrap();
    for of in [
        AttemptsOf::Pair { account, source },
        AttemptsOf::Source(source),
        AttemptsOf::Account(account),
        AttemptsOf::AccountWithKey {
            account,
            fingerprint,
        },
    ] {
        state.attempts().failures(of, NOW - 60).unwrap();
        state.attempts().reset(of).unwrap();
    }
    let sign_ins = state.sign_ins();
    let new = NewSignIn {
        user: alice.id,
        fingerprint: fingerprint.to_owned(),
        client: source.to_owned(),
        started: NOW,
        until: NOW + 60,
    };
    let begun = sign_ins.begin(&new).unwrap().unwrap();
    sign_ins.live(alice.id, fingerprint, NOW).unwrap().unwrap();
    let in_browser = NewBrowserSession {
        user: alice.id,
        token: "t".to_owned(),
        client: source.to_owned(),
        started: NOW,
        until: NOW + 60,
    };
    sign_ins.begin_in_browser(&in_browser).unwrap().unwrap();
    let (_, in_browser) = sign_ins.of_token("t", NOW).unwrap().unwrap();
    sign_ins.of_user(alice.id, NOW).unwrap();
    sign_ins.was_from(alice.id, source, NOW - 60).unwrap();
    sign_ins.since(0, 100).unwrap();
    let end = SignInEnd::Logout;
    sign_ins.end(&SignInsOf::Id(begun.id), end, NOW).unwrap();
    let of_user = SignInsOf::OfUser(alice.id, in_browser.id);
    sign_ins.end(&of_user, end, NOW).unwrap();
    sign_ins.end(&SignInsOf::User(alice.id), end, NOW).unwrap();
    sign_ins.end(&SignInsOf::Before(NOW), end, NOW).unwrap();
    sign_ins.forget_before(NOW - 60).unwrap();
    state.revocations().after(0, 100).unwrap();
    state.invitations().find("none", NOW).unwrap();
    state.invitations().of_user(alice.id).unwrap();
    users.page("", 100).unwrap();
    let issued = LedgerFilter {
        issued_for: Some(IssuedFor::Signed),
        ..LedgerFilter::default()
    };
    state.issued().page(&issued, None, 100).unwrap();
    state.issued().has(Serial::new(7).unwrap()).unwrap();
}

/// What happens when a host joins, reports, opens a tunnel, and is locked; and what the proxies do all the
/// time.
fn life_of_a_node(state: &State, known: &JoinedNode) {
    let (nodes, tokens, proxies) = (state.nodes(), state.tokens(), state.proxies());
    tokens.find("t", NOW).unwrap().unwrap();
    nodes.join(&node("db1"), "t", NOW).unwrap();
    nodes.join(known, "t", NOW).unwrap();
    nodes.by_fingerprint(&known.fingerprint).unwrap().unwrap();
    nodes.by_name("db1").unwrap().unwrap();
    nodes.of_id(known.id).unwrap().unwrap();
    let report = Heartbeat::default();
    for labels in [&known.labels[..], &[]] {
        assert!(
            nodes
                .heartbeat(known.id, &report, labels, "10.0.0.5", 22)
                .unwrap()
        );
    }
    let certificate = NodeCertificate {
        serial: 7,
        begins: NOW,
        expires: NOW + 60,
        authority: "SHA256:ca".to_owned(),
    };
    assert!(nodes.set_certificate(known.id, &certificate).unwrap());
    let proxy = ProxyRow {
        id: Uuid::now_v7(),
        address: "10.0.0.1:3022".to_owned(),
        key: "ssh-ed25519 AAAA".to_owned(),
        seen: NOW,
    };
    proxies.announce(&proxy).unwrap();
    let generation = nodes.open_tunnel(known.id, proxy.id, NOW).unwrap();
    nodes.tunnel_of(known.id).unwrap().unwrap();
    nodes.close_tunnel(known.id, generation).unwrap();
    nodes.close_tunnels_of(proxy.id).unwrap();
    assert_eq!(nodes.changes_since(0, 100).unwrap().len(), 2);
    let lock = NodeLock {
        at: NOW,
        by: "root".to_owned(),
        reason: None,
    };
    nodes.lock("db1", &lock).unwrap().unwrap();
    nodes.unlock("db1").unwrap().unwrap();
    nodes.remove("db1").unwrap().unwrap();
    nodes.forget_removals_before(NOW).unwrap();
    tokens.forget_before(NOW).unwrap();
    proxies.forget_before(NOW).unwrap();
    proxies.remove(proxy.id).unwrap();
}

/// What the database says of how it carries out a statement.
fn plan(state: &State, (sql, values): &NotedStatement) -> String {
    let is_sqlite = state.check().unwrap().backend == "sqlite";
    let explain = if is_sqlite {
        format!("EXPLAIN QUERY PLAN {sql}")
    } else {
        format!("EXPLAIN {sql}")
    };
    let rows = state.database.read(|tx| {
        if !is_sqlite {
            // Where there is an index, it is used then, also for a table of one row.
            tx.batch("SET LOCAL enable_seqscan = off")?;
        }
        tx.query(&explain, values)
    });
    let column = if is_sqlite { 3 } else { 0 };
    let lines: Vec<_> = rows
        .unwrap()
        .iter()
        .map(|row| row.text(column).unwrap().to_owned())
        .collect();
    lines.join("\n")
}

fn assert_use_indexes(state: &State, noted: Vec<NotedStatement>) {
    for statement in noted {
        if statement.0.starts_with("BEGIN") {
            continue;
        }
        let plan = plan(state, &statement);
        let reads_all = plan.contains("Seq Scan")
            || plan
                .lines()
                .any(|line| line.starts_with("SCAN ") && !line.contains("CONSTANT ROW"));
        assert!(!reads_all, "{}:\n{plan}", statement.0);
    }
}

#[test]
fn every_statement_of_a_sign_in_uses_an_index() {
    on_both(|state| {
        let alice = user(state, "alice");
        state.keys().register(&key(&alice, FINGERPRINT)).unwrap();
        let ((), noted) = statements::of(|| life(state));
        assert!(noted.len() > 40, "{}", noted.len());
        assert_use_indexes(state, noted);
    });
}

#[test]
fn every_statement_of_a_node_uses_an_index() {
    on_both(|state| {
        let known = node("web1");
        state.tokens().put(&token("t", 100)).unwrap();
        state.nodes().join(&known, "t", NOW).unwrap();
        let ((), noted) = statements::of(|| life_of_a_node(state, &known));
        assert!(noted.len() > 45, "{}", noted.len());
        assert_use_indexes(state, noted);
    });
}

/// A statement that needs no transaction has none: with PostgreSQL, that is a third of the questions.
#[test]
fn what_is_read_by_one_statement_is_one_statement() {
    on_both(|state| {
        let (_, noted) = statements::of(|| state.users().of_id(Uuid::nil()).unwrap());
        assert_eq!(noted.len(), 1, "{noted:?}");
        let sql = "SELECT COUNT(*) FROM users WHERE id = $1";
        state.database.number(sql, values![Uuid::nil()]).unwrap();
    });
}
