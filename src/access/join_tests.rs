//! Who may join live sessions, case by case.

use super::policy_tests::{ask, place, policy, role, rule};
use super::testing::sign_in;
use super::{
    Identity, JoinDenial, JoinMode, Life, Policy, PolicyDenial, Question, Role, Spanned, may_join,
};
use crate::cert::testing::ed25519;
use crate::model::Login;

fn joining(mode: JoinMode, line: usize, role: Role) -> Role {
    Role {
        join: Some(Spanned { value: mode, line }),
        ..role
    }
}

/// A role that allows these logins at these nodes.
fn allows(name: &str, logins: &[&str], nodes: &[&str]) -> Role {
    Role {
        allow: Some(vec![rule(2, logins, nodes, &[])]),
        ..role(name, 1)
    }
}

/// What alice, who has all of these roles, may do in a session of `deploy` at `db1`: the mode and its
/// line.
fn verdict(roles: Vec<Role>) -> Result<(JoinMode, usize), JoinDenial> {
    let db1 = place("db1", &["env=prod"]);
    let grant = policy(roles).judge_join(&ask(&db1, "deploy"))?;
    Ok((grant.mode(), grant.rule().line()))
}

#[test]
fn a_role_lets_its_users_join_where_it_allows_them_to_log_in() {
    use JoinMode::{Observe, Type};
    let dba = || allows("dba", &["deploy"], &["db*"]);
    let web = || allows("web", &["deploy"], &["web*"]);
    let root = || allows("root", &["root"], &["db*"]);
    for (what, roles, expected) in [
        (
            "observe",
            vec![joining(Observe, 7, dba())],
            Ok((Observe, 7)),
        ),
        ("type", vec![joining(Type, 7, dba())], Ok((Type, 7))),
        ("no join", vec![dba()], Err(JoinDenial::NoJoin)),
        (
            "join of a role that allows other hosts",
            vec![dba(), joining(Type, 7, web())],
            Err(JoinDenial::NoJoin),
        ),
        (
            "join of a role that allows another login",
            vec![dba(), joining(Type, 7, root())],
            Err(JoinDenial::NoJoin),
        ),
        (
            "join of a role that allows nothing",
            vec![dba(), joining(Type, 7, role("all", 1))],
            Err(JoinDenial::NoJoin),
        ),
        (
            "what roles allow adds up",
            vec![joining(Observe, 7, dba()), joining(Type, 9, dba())],
            Ok((Type, 9)),
        ),
        (
            "in any order",
            vec![joining(Type, 9, dba()), joining(Observe, 7, dba())],
            Ok((Type, 9)),
        ),
    ] {
        assert_eq!(verdict(roles), expected, "{what}");
    }
}

#[test]
fn what_keeps_a_person_from_logging_in_keeps_them_from_joining() {
    let dba = || joining(JoinMode::Type, 7, allows("dba", &["deploy"], &["db*"]));
    let denied = Role {
        deny: vec![rule(9, &["deploy"], &["db1"], &[])],
        ..role("no", 8)
    };
    let refused = verdict(vec![dba(), denied]).unwrap_err();
    assert!(
        matches!(refused, JoinDenial::Login(PolicyDenial::Denied(ref rule)) if rule.line() == 9),
        "{refused:?}"
    );
    let office = Role {
        may_connect_from: Some(Spanned {
            value: "10.0.0.0/8".parse().unwrap(),
            line: 3,
        }),
        max_ttl: Some(Spanned {
            value: std::time::Duration::from_secs(60),
            line: 4,
        }),
        ..dba()
    };
    let policy = policy(vec![office]);
    let db1 = place("db1", &[]);
    let question = Question {
        from: Some("192.0.2.1".parse().unwrap()),
        ..ask(&db1, "deploy")
    };
    let elsewhere = policy.judge_join(&question).unwrap_err();
    assert!(
        matches!(elsewhere, JoinDenial::Login(PolicyDenial::Address { .. })),
        "{elsewhere:?}"
    );
    let question = Question {
        life: Some(Life::SignIn(std::time::Duration::from_secs(61))),
        ..ask(&db1, "deploy")
    };
    let long = policy.judge_join(&question).unwrap_err();
    assert!(
        matches!(long, JoinDenial::Login(PolicyDenial::Lifetime { .. })),
        "{long:?}"
    );
    let locked = super::RequestedHost {
        is_locked: true,
        ..place("db1", &[])
    };
    assert_eq!(
        policy.judge_join(&ask(&locked, "deploy")),
        Err(JoinDenial::Login(PolicyDenial::Locked))
    );
    let stranger = policy.judge_join(&Question {
        who: "mallory",
        ..ask(&db1, "deploy")
    });
    assert_eq!(
        stranger,
        Err(JoinDenial::Login(PolicyDenial::NoRole(
            "mallory".to_owned()
        )))
    );
}

#[test]
fn nobody_joins_without_roles() {
    let policy = Policy::new("f", super::Permissions::default(), Vec::new(), Vec::new());
    let db1 = place("db1", &[]);
    assert!(policy.judge(&ask(&db1, "deploy")).is_ok());
    assert_eq!(
        policy.judge_join(&ask(&db1, "deploy")),
        Err(JoinDenial::NoJoin)
    );
}

#[test]
fn two_places_have_the_stricter_mode() {
    let roles = || {
        vec![
            joining(JoinMode::Type, 7, allows("a", &[], &["db1"])),
            joining(JoinMode::Observe, 9, allows("b", &[], &["db2"])),
        ]
    };
    let policy = policy(roles());
    let at = |name: &str| {
        policy
            .judge_join(&ask(&place(name, &[]), "deploy"))
            .unwrap()
    };
    for both in [at("db1").and(at("db2")), at("db2").and(at("db1"))] {
        assert_eq!((both.mode(), both.rule().line()), (JoinMode::Observe, 9));
    }
}

/// A person whose account has a list of logins joins none under another one, whatever roles allow.
#[test]
fn the_logins_of_the_proof_count() {
    let everywhere = joining(JoinMode::Type, 7, allows("all", &["*"], &["*"]));
    let policy = policy(vec![everywhere]);
    let key = ed25519();
    let identity = |logins: Option<Vec<Login>>| {
        Identity::new(sign_in("alice", key.public_key(), |confirmed| {
            confirmed.logins = logins;
        }))
    };
    let db1 = place("db1", &[]);
    let join = |identity: &Identity, login: &str| {
        let login: Login = login.parse().unwrap();
        let from = "192.0.2.1".parse().unwrap();
        may_join(&policy, identity, &db1, &login, from).map(|grant| grant.mode())
    };
    let listed = identity(Some(vec!["deploy".parse().unwrap()]));
    assert_eq!(join(&listed, "deploy"), Ok(JoinMode::Type));
    assert_eq!(
        join(&listed, "root"),
        Err(JoinDenial::OtherLogin("root".to_owned()))
    );
    assert_eq!(join(&identity(None), "root"), Ok(JoinMode::Type));
}
