//! Whether some login is allowed, against the judgement of each.

use proptest::prelude::*;

use super::policy_tests::{FILE, any_role, ask, asked, place, policy, role, rule, words};
use super::*;

#[test]
fn some_login_is_allowed_where_no_list_names_the_logins() {
    let db1 = place("db1", &[]);
    let any = |allow: &[&str], deny: &[&str]| {
        let dba = Role {
            allow: Some(vec![rule(5, allow, &["db*"], &[])]),
            deny: vec![rule(8, deny, &["db1"], &[])],
            ..role("dba", 3)
        };
        let verdict = policy(vec![dba]).judge_any_login(&ask(&db1, ""));
        verdict.map_err(|why| why.to_string())
    };
    assert_eq!(any(&["postgres", "dba-*"], &["dba-*", "root"]), Ok(()));
    assert_eq!(any(&[], &["root", "?", "a*"]), Ok(()));
    let denied = || Err("denied by role dba, rproxy.yaml:8".to_owned());
    assert_eq!(any(&["postgres"], &["post*"]), denied());
    assert_eq!(any(&["dba-*"], &["*-*", "root"]), denied());
    assert_eq!(any(&["*"], &["?", "??*"]), denied());
    // No login has such a name.
    assert!(any(&["\u{202e}root"], &["x"]).is_err());
    let bob = Question {
        who: "bob",
        ..ask(&db1, "")
    };
    let verdict = policy(vec![role("idle", 3)]).judge_any_login(&bob);
    assert_eq!(verdict.unwrap_err().to_string(), "\"bob\" has no role");
    let free = Policy::new(FILE, Permissions::default(), Vec::new(), Vec::new());
    assert_eq!(free.judge_any_login(&bob), Ok(()));
}

#[test]
fn a_search_among_patterns_that_overlap_in_every_way_ends() {
    let words: Vec<String> = ('a'..='z').map(|c| format!("*{c}?????{c}*")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let dba = Role {
        allow: Some(vec![rule(5, &["*"], &["db*"], &[])]),
        deny: vec![
            rule(8, &["*"], &["db1"], &[]),
            rule(9, &words, &["db1"], &[]),
        ],
        ..role("dba", 3)
    };
    // It is not known, so each login is judged when it is asked for.
    let verdict = policy(vec![dba]).judge_any_login(&ask(&place("db1", &[]), ""));
    assert_eq!(verdict, Ok(()));
}

#[test]
fn what_the_rules_name_can_be_listed() {
    let dba = Role {
        allow: Some(vec![
            rule(5, &["postgres", "dba-*", "root"], &["db*"], &[]),
            rule(6, &[], &["web1"], &[]),
        ]),
        deny: vec![rule(8, &["root"], &["db1"], &[])],
        ..role("dba", 3)
    };
    let policy = policy(vec![dba]);
    let at = |name: &str| policy.logins_allowed(&ask(&place(name, &[]), ""));
    assert_eq!(at("db1"), ["dba-*", "postgres"]);
    assert_eq!(at("web1"), ["*"]);
    assert_eq!(at("mail"), Vec::<String>::new());
    let free = Policy::new(FILE, Permissions::default(), Vec::new(), Vec::new());
    assert_eq!(free.logins_allowed(&ask(&place("db1", &[]), "")), ["*"]);
}

/// Patterns that names of four characters of `a`, `b`, `z` and the names of [`any_rule`] tell apart.
const LOGINS: &[&str] = &["a", "b", "a*", "*b", "?", "??", "*", "a?", "*a*", "root"];

/// One login at least of every group that [`LOGINS`] and the patterns of [`any_rule`] tell apart.
fn all_logins() -> Vec<String> {
    let mut all: Vec<String> = ["root", "alice", "r", "rb", "rab", "raz", "rza"]
        .map(str::to_owned)
        .into();
    let mut longest = vec![String::new()];
    for _ in 0..4 {
        let longer = |name: &String| ["a", "b", "z"].map(|c| format!("{name}{c}"));
        longest = longest.iter().flat_map(longer).collect();
        all.extend(longest.iter().cloned());
    }
    all.push("rz".to_owned());
    all
}

proptest! {
    #[test]
    fn some_login_is_allowed_exactly_if_one_of_all_is(
        roles in proptest::collection::vec(any_role(), 1..4),
        allow in words(LOGINS),
        deny in proptest::collection::vec(words(LOGINS), 0..3),
        asked in asked(),
    ) {
        let mut roles = roles;
        roles.push(Role {
            allow: Some(vec![rule(1, &allow, &[], &[])]),
            deny: deny.iter().map(|words| rule(2, words, &["db?"], &[])).collect(),
            ..role("more", 1)
        });
        let (policy, all) = (policy(roles), all_logins());
        let question = |login| Question {
            from: Some(asked.from),
            life: Some(Life::SignIn(asked.lifetime)),
            ..ask(&asked.place, login)
        };
        let expected = all.iter().any(|login| policy.judge(&question(login)).is_ok());
        prop_assert_eq!(policy.judge_any_login(&question("")).is_ok(), expected);
    }
}
