//! What the policy decides, in every order of its roles, rules and users.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::Label;

pub(super) const FILE: &str = "rproxy.yaml";

fn patterns(words: &[&str]) -> Option<Vec<Pattern>> {
    let parse = |word: &&str| word.parse::<Pattern>().unwrap();
    (!words.is_empty()).then(|| words.iter().map(parse).collect())
}

pub(super) fn rule(line: usize, logins: &[&str], nodes: &[&str], labels: &[(&str, &str)]) -> Rule {
    let fold = |several: Vec<Pattern>| several.into_iter().map(Pattern::folding_case).collect();
    Rule {
        line,
        logins: patterns(logins),
        nodes: patterns(nodes).map(fold),
        labels: labels
            .iter()
            .map(|(key, value)| LabelPattern {
                key: (*key).to_owned(),
                value: value.parse::<Pattern>().unwrap().folding_case(),
            })
            .collect(),
    }
}

/// A role without anything, that begins in this line.
pub(super) fn role(name: &str, line: usize) -> Role {
    Role {
        name: name.to_owned(),
        line,
        allow: None,
        deny: Vec::new(),
        may_connect_from: None,
        max_ttl: None,
        join: None,
        permit: RolePermit::default(),
    }
}

fn permit(line: usize, keys: &[PermitKey], values: Permissions) -> RolePermit {
    RolePermit {
        values,
        lines: keys.iter().map(|key| (*key, line)).collect(),
    }
}

/// These roles, all of them `alice`'s.
pub(super) fn policy(roles: Vec<Role>) -> Policy {
    let roles: Vec<_> = roles.into_iter().map(Arc::new).collect();
    let alice = RoleBinding {
        name: "alice".parse().unwrap(),
        line: 1,
        roles: roles.clone(),
    };
    Policy::new(FILE, Permissions::default(), roles, vec![alice])
}

pub(super) fn place(name: &str, labels: &[&str]) -> RequestedHost {
    RequestedHost {
        name: name.to_owned(),
        labels: labels.iter().map(|label| label.parse().unwrap()).collect(),
        is_locked: false,
    }
}

pub(super) fn ask<'a>(place: &'a RequestedHost, login: &'a str) -> Question<'a> {
    Question {
        who: "alice",
        roles: &[],
        place,
        login,
        from: None,
        life: None,
    }
}

fn says(policy: &Policy, question: &Question<'_>) -> String {
    match policy.judge(question) {
        Ok(grant) => grant.rule().map_or_else(String::new, ToString::to_string),
        Err(barred) => barred.to_string(),
    }
}

#[test]
fn without_roles_everything_is_allowed() {
    let policy = Policy::new(FILE, Permissions::default(), Vec::new(), Vec::new());
    assert!(!policy.has_roles());
    let anywhere = place("anywhere", &[]);
    let grant = policy.judge(&ask(&anywhere, "root")).unwrap();
    assert_eq!((grant.rule(), grant.demands()), (None, &[][..]));
    assert_eq!(grant.permits().permissions(), &Permissions::default());
}

#[test]
fn who_has_no_role_may_go_nowhere() {
    let policy = policy(vec![role("idle", 3)]);
    let db1 = place("db1", &[]);
    let mallory = Question {
        who: "mallory",
        ..ask(&db1, "root")
    };
    assert_eq!(says(&policy, &mallory), "\"mallory\" has no role");
    assert_eq!(
        says(&policy, &ask(&db1, "root")),
        "no allow rule matches in role idle, rproxy.yaml:3"
    );
}

#[test]
fn the_line_that_decides_is_cited() {
    let dba = Role {
        allow: Some(vec![
            rule(5, &["postgres", "dba-*"], &["db*"], &[]),
            rule(6, &[], &[], &[("env", "test")]),
        ]),
        deny: vec![rule(8, &["root"], &[], &[("env", "prod*")])],
        ..role("dba", 3)
    };
    let policy = policy(vec![dba]);
    let allowed = |line: usize| format!("role dba, rproxy.yaml:{line}");
    let denied = |line: usize| format!("denied by role dba, rproxy.yaml:{line}");
    let no_rule = || "no allow rule matches in role dba, rproxy.yaml:3".to_owned();
    for (name, labels, login, verdict) in [
        ("db1", &[][..], "postgres", allowed(5)),
        ("db1", &[], "dba-alice", allowed(5)),
        ("db1", &[], "Postgres", no_rule()),
        ("web1", &[], "postgres", no_rule()),
        ("web1", &["env=test"], "root", allowed(6)),
        ("web1", &["ENV=Test"], "root", allowed(6)),
        ("web1", &["env=testing"], "root", no_rule()),
        ("db1", &["env=prod-eu"], "root", denied(8)),
        ("db1", &["env=prod-eu"], "postgres", allowed(5)),
        ("web1", &["env=prod", "env=test"], "root", denied(8)),
    ] {
        let place = place(name, labels);
        assert_eq!(
            says(&policy, &ask(&place, login)),
            verdict,
            "{login}@{name} {labels:?}"
        );
    }
}

#[test]
fn users_are_patterns_and_roles_add_up() {
    let everywhere = |name: &str, line, node: &str| Role {
        allow: Some(vec![rule(line, &[], &[node], &[])]),
        ..role(name, line)
    };
    let roles: Vec<_> = [everywhere("web", 1, "web*"), everywhere("db", 2, "db*")]
        .into_iter()
        .map(Arc::new)
        .collect();
    let member = |name: &str, role: usize| RoleBinding {
        name: name.parse().unwrap(),
        line: 1,
        roles: vec![Arc::clone(&roles[role]); 2],
    };
    let members = vec![member("*", 0), member("*@dba.example.com", 1)];
    let policy = Policy::new(FILE, Permissions::default(), roles.clone(), members);
    let of = |who| {
        let roles = policy.roles_of(who, &[]);
        roles
            .iter()
            .map(|role| role.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("bob"), ["web"]);
    assert_eq!(of("alice@dba.example.com"), ["web", "db"]);
    assert_eq!(of("alice@DBA.example.com"), ["web"]);
    // What everyone has is not for a name.
    assert!(!policy.has_roles_for("bob"));
    assert!(policy.has_roles_for("alice@dba.example.com"));
}

#[test]
fn demands_hold_where_their_role_applies() {
    let addresses = |text: &str| Spanned {
        value: text.parse().unwrap(),
        line: 7,
    };
    let prod = Role {
        allow: Some(vec![rule(5, &[], &["prod*"], &[])]),
        may_connect_from: Some(addresses("10.0.0.0/8")),
        max_ttl: Some(Spanned {
            value: Duration::from_secs(3600),
            line: 8,
        }),
        ..role("prod", 4)
    };
    let dev = Role {
        allow: Some(vec![rule(11, &[], &["dev*"], &[])]),
        ..role("dev", 10)
    };
    let policy_of = |everywhere: Role| policy(vec![prod.clone(), dev.clone(), everywhere]);
    let free = policy_of(role("free", 20));
    let (inside, outside): (IpAddr, IpAddr) =
        ("10.1.2.3".parse().unwrap(), "192.0.2.1".parse().unwrap());
    let hour = Duration::from_secs(3600);
    let question = |place, from, lifetime| Question {
        from: Some(from),
        life: Some(Life::Certificate(lifetime)),
        ..ask(place, "root")
    };
    let (prod1, dev1) = (place("prod1", &[]), place("dev1", &[]));
    for (place, from, lifetime, verdict) in [
        (&prod1, inside, hour, "role prod, rproxy.yaml:5"),
        // Certificates begin a little before they are made.
        (
            &prod1,
            inside,
            hour + Duration::from_secs(300),
            "role prod, rproxy.yaml:5",
        ),
        (
            &prod1,
            inside,
            2 * hour,
            "the certificate lives 2h, at most 1h are allowed: role prod, rproxy.yaml:8",
        ),
        (
            &prod1,
            inside,
            Duration::from_secs(u64::MAX),
            "the certificate lives for ever, at most 1h are allowed: role prod, rproxy.yaml:8",
        ),
        (
            &prod1,
            outside,
            hour,
            "not from 192.0.2.1, only from 10.0.0.0/8: role prod, rproxy.yaml:7",
        ),
        (&dev1, outside, 20 * hour, "role dev, rproxy.yaml:11"),
    ] {
        assert_eq!(says(&free, &question(place, from, lifetime)), verdict);
    }
    // A role without allow rules restricts its users everywhere.
    let strict = policy_of(Role {
        may_connect_from: Some(addresses("10.1.0.0/16")),
        ..role("strict", 20)
    });
    assert_eq!(
        says(&strict, &question(&dev1, outside, hour)),
        "not from 192.0.2.1, only from 10.1.0.0/16: role strict, rproxy.yaml:7"
    );
    assert!(strict.judge(&question(&dev1, inside, hour)).is_ok());
    // The question has no address: the constraints are the answer.
    let grant = free.judge(&ask(&prod1, "root")).unwrap();
    assert_eq!(grant.demands().len(), 2);
    let (most, rule) = free.max_ttl("alice", &[]).unwrap();
    assert_eq!((most, rule.line()), (hour, 8));
    assert_eq!(free.max_ttl("bob", &[]), None);
    // A sign-in begins when it was made.
    let signed_in = |lifetime| Question {
        life: Some(Life::SignIn(lifetime)),
        ..question(&prod1, inside, hour)
    };
    assert!(free.judge(&signed_in(hour)).is_ok());
    assert_eq!(
        says(&free, &signed_in(hour + Duration::from_secs(60))),
        "the sign-in lasts 1h1m, at most 1h are allowed: role prod, rproxy.yaml:8"
    );
}

#[test]
fn roles_that_an_identity_brings_along_count_like_the_configurations() {
    let dba = Role {
        allow: Some(vec![rule(5, &["postgres"], &["db*"], &[])]),
        ..role("dba", 3)
    };
    let careful = Role {
        deny: vec![rule(9, &[], &["db2"], &[])],
        ..role("careful", 8)
    };
    let policy = policy(vec![dba, careful]);
    let (db1, db2) = (place("db1", &[]), place("db2", &[]));
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let (one, both) = (names(&["dba", "gone"]), names(&["careful", "dba"]));
    let bob = |place, roles| Question {
        who: "bob",
        roles,
        ..ask(place, "postgres")
    };
    assert!(policy.judge(&bob(&db1, &one)).is_ok());
    assert!(policy.judge(&bob(&db2, &one)).is_ok());
    assert!(policy.judge(&bob(&db1, &both)).is_ok());
    assert_eq!(
        says(&policy, &bob(&db2, &both)),
        "denied by role careful, rproxy.yaml:9"
    );
    assert_eq!(
        says(&policy, &bob(&db1, &names(&["gone"]))),
        "\"bob\" has no role"
    );
    // Those that the configuration gives by name stay, and count once.
    assert_eq!(policy.roles_of("alice", &one).len(), 2);
}

#[test]
fn roles_stand_above_the_section_and_restrict_each_other() {
    use PermitKey::{AcceptEnv, MaxSessions, PermitOpen, PortForwarding, X11};
    let values = |yes: bool, open: &[&str], env: &[&str], sessions| Permissions {
        x11: yes,
        port_forwarding: if yes {
            Direction::Local
        } else {
            Direction::Both
        },
        permit_open: EndpointPatterns::from_words(open.iter().copied(), EndpointPattern::open)
            .unwrap(),
        accept_env: NamePatterns::new(env.iter().map(|name| name.parse().unwrap()).collect()),
        max_sessions: sessions,
        ..Permissions::default()
    };
    let everywhere = || Some(vec![rule(2, &[], &[], &[])]);
    let keys = [X11, PortForwarding, PermitOpen, AcceptEnv, MaxSessions];
    let dev = Role {
        allow: everywhere(),
        permit: permit(10, &keys, values(true, &["db1:*", "web:80"], &["A*"], 3)),
        ..role("dev", 1)
    };
    let ops = Role {
        allow: everywhere(),
        permit: permit(
            20,
            &keys[2..],
            values(false, &["*:80", "db1:22"], &["*B"], 5),
        ),
        ..role("ops", 2)
    };
    let elsewhere = Role {
        allow: Some(vec![rule(3, &[], &["other"], &[])]),
        permit: permit(30, &[X11], values(false, &[], &[], 1)),
        ..role("elsewhere", 3)
    };
    let both = policy(vec![dev, ops, elsewhere]);
    let db1 = place("db1", &[]);
    let grant = both.judge(&ask(&db1, "root")).unwrap();
    let granted = grant.permits().permissions();
    // One role alone names these, and stands above the default.
    assert!(granted.x11);
    assert_eq!(granted.port_forwarding, Direction::Local);
    // Both name these.
    for (host, port, may) in [
        ("web", 80, true),
        ("db1", 80, true),
        ("db1", 22, true),
        ("db1", 5432, false),
        ("web2", 80, false),
    ] {
        assert_eq!(granted.may_open(host, port), may, "{host}:{port}");
    }
    assert!(granted.accepts_env("AB") && !granted.accepts_env("A") && !granted.accepts_env("B"));
    assert_eq!(granted.max_sessions, 3);
    let cited = |key| {
        let cited = grant.permits().decided_by(key);
        cited.iter().map(RuleRef::line).collect::<Vec<_>>()
    };
    assert_eq!(cited(X11), [10]);
    assert_eq!(cited(PermitOpen), [10, 20]);
    assert_eq!(cited(PermitKey::Agent), Vec::<usize>::new());
}

/// A rule over a small world, so that rules meet.
pub(super) fn words(words: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(proptest::sample::select(words), 0..3)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let labels: &[(&str, &str)] = &[("env", "prod"), ("env", "*"), ("role", "db")];
    let labels = proptest::collection::vec(proptest::sample::select(labels), 0..2);
    (
        words(&["root", "r*", "alice"]),
        words(&["db*", "db1", "web?"]),
        labels,
        1usize..100,
    )
        .prop_map(|(logins, nodes, labels, line)| rule(line, &logins, &nodes, &labels))
}

pub(super) fn any_role() -> impl Strategy<Value = Role> {
    let rules = || proptest::collection::vec(any_rule(), 0..3);
    let networks = proptest::sample::select(&["10.0.0.0/8", "10.1.0.0/16", "::/0"][..]);
    let span = (1u64..4).prop_map(|hours| Duration::from_secs(3600 * hours));
    let permit = (
        any::<bool>(),
        1u32..4,
        proptest::collection::btree_set(0usize..9, 0..4),
    );
    (
        proptest::option::of(rules()),
        rules(),
        proptest::option::of(networks),
        proptest::option::of(span),
        permit,
    )
        .prop_map(
            |(allow, deny, networks, span, (yes, sessions, keys))| Role {
                allow,
                deny,
                may_connect_from: networks.map(|text| Spanned {
                    value: text.parse().unwrap(),
                    line: 1,
                }),
                max_ttl: span.map(|value| Spanned { value, line: 2 }),
                permit: RolePermit {
                    values: Permissions {
                        x11: yes,
                        agent: !yes,
                        max_sessions: sessions,
                        ..Permissions::default()
                    },
                    lines: keys
                        .into_iter()
                        .map(|index| (PermitKey::ALL[index], 3))
                        .collect::<BTreeMap<_, _>>(),
                },
                ..role("r", 1)
            },
        )
}

fn any_place() -> impl Strategy<Value = RequestedHost> {
    let name = proptest::sample::select(&["db1", "db2", "web1", "other"][..]);
    let labels = proptest::sample::subsequence(vec!["env=prod", "env=test", "role=db"], 0..3);
    (name, labels).prop_map(|(name, labels)| place(name, &labels))
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) place: RequestedHost,
    login: &'static str,
    pub(super) from: IpAddr,
    pub(super) lifetime: Duration,
}

pub(super) fn asked() -> impl Strategy<Value = Asked> {
    let login = proptest::sample::select(&["root", "alice", "bob"][..]);
    let from = proptest::sample::select(&["10.1.2.3", "10.9.9.9", "192.0.2.1", "::1"][..]);
    (any_place(), login, from, 1u64..5).prop_map(|(place, login, from, hours)| Asked {
        place,
        login,
        from: from.parse().unwrap(),
        lifetime: Duration::from_secs(3600 * hours),
    })
}

impl Asked {
    fn of(&self, policy: &Policy) -> Result<Grant, PolicyDenial> {
        policy.judge(&Question {
            from: Some(self.from),
            life: Some(Life::Certificate(self.lifetime)),
            ..ask(&self.place, self.login)
        })
    }
}

/// What a verdict comes to, without what is cited.
fn outcome(verdict: &Result<Grant, PolicyDenial>) -> Option<(bool, bool, u32)> {
    let granted = verdict.as_ref().ok()?.permits().permissions();
    Some((granted.x11, granted.agent, granted.max_sessions))
}

proptest! {
    #[test]
    fn the_order_of_roles_and_rules_decides_nothing(
        (roles, shuffled) in proptest::collection::vec(any_role(), 1..5)
            .prop_flat_map(|roles| (Just(roles.clone()), Just(roles).prop_shuffle())),
        asked in asked(),
    ) {
        let mut turned = shuffled;
        for role in &mut turned {
            role.deny.reverse();
            role.allow.iter_mut().for_each(|rules| rules.reverse());
        }
        let (one, other) = (asked.of(&policy(roles)), asked.of(&policy(turned)));
        prop_assert_eq!(outcome(&one), outcome(&other));
    }

    #[test]
    fn deny_beats_allow(
        roles in proptest::collection::vec(any_role(), 1..4),
        denies in any_role(),
        asked in asked(),
        at in any::<proptest::sample::Index>(),
    ) {
        let hit = denies.deny.iter().any(|rule| rule.matches(asked.login, &asked.place));
        let mut more = roles.clone();
        more.insert(at.index(roles.len() + 1), Role { allow: Some(vec![rule(1, &[], &[], &[])]), ..denies });
        if hit {
            prop_assert!(matches!(asked.of(&policy(more)), Err(PolicyDenial::Denied(_))));
        }
    }

    #[test]
    fn another_role_that_allows_nothing_never_widens_who_may_go_where(
        roles in proptest::collection::vec(any_role(), 1..4),
        more in any_role(),
        asked in asked(),
    ) {
        let mut restricted = roles.clone();
        restricted.push(Role { allow: None, ..more });
        if asked.of(&policy(roles)).is_err() {
            prop_assert!(asked.of(&policy(restricted)).is_err());
        }
    }

    #[test]
    fn whoever_gets_in_has_a_rule_that_allows_it(
        roles in proptest::collection::vec(any_role(), 1..4),
        asked in asked(),
    ) {
        let allowed = roles.iter().flat_map(|role| role.allow.iter().flatten())
            .any(|rule| rule.matches(asked.login, &asked.place));
        if asked.of(&policy(roles)).is_ok() {
            prop_assert!(allowed);
        }
    }

    #[test]
    fn both_of_two_permits_is_what_both_have(
        one in proptest::collection::vec(("(a|b|a\\*|\\?b|\\*)", "(1|2|\\*)"), 0..4),
        other in proptest::collection::vec(("(a|b|a\\*|\\?b|\\*)", "(1|2|\\*)"), 0..4),
        host in "(a|b|ab|c)",
        port in 1u32..4,
    ) {
        let read = |patterns: &[(String, String)]| Permissions {
            permit_listen: EndpointPatterns::Only(patterns.iter().map(|(host, port)| {
                EndpointPattern::listen(&format!("{host}:{port}")).unwrap()
            }).collect()),
            ..Permissions::default()
        };
        let (one, other) = (read(&one), read(&other));
        let both = Permissions {
            permit_listen: one.permit_listen.and(&other.permit_listen),
            ..Permissions::default()
        };
        prop_assert_eq!(
            both.may_listen(&host, port),
            one.may_listen(&host, port) && other.may_listen(&host, port)
        );
    }
}

#[test]
fn labels_of_a_node_are_what_the_inventory_has() {
    let label: Label = "env=prod".parse().unwrap();
    let prod = RequestedHost {
        name: "db1".to_owned(),
        labels: vec![label],
        is_locked: false,
    };
    assert!(rule(1, &[], &[], &[("env", "p*")]).matches("root", &prod));
    assert!(!rule(1, &[], &[], &[("env", "p*"), ("role", "*")]).matches("root", &prod));
}

/// Only who may go there otherwise reads that it is locked, whatever else stands in the way.
#[test]
fn a_locked_node_is_denied_to_all_and_only_those_who_may_go_there_read_so() {
    let locked = |name: &str| RequestedHost {
        is_locked: true,
        ..place(name, &[])
    };
    let free = Policy::new(FILE, Permissions::default(), Vec::new(), Vec::new());
    let (db1, vault) = (locked("db1"), locked("vault"));
    assert_eq!(free.judge(&ask(&db1, "root")), Err(PolicyDenial::Locked));
    assert_eq!(
        free.judge_any_login(&ask(&db1, "")),
        Err(PolicyDenial::Locked)
    );
    assert!(free.logins_allowed(&ask(&db1, "")).is_empty());
    let policy = policy(vec![Role {
        allow: Some(vec![rule(1, &["deploy"], &["db1"], &[])]),
        ..role("ops", 1)
    }]);
    assert_eq!(
        policy.judge(&ask(&db1, "deploy")),
        Err(PolicyDenial::Locked)
    );
    assert_eq!(
        policy.judge_any_login(&ask(&db1, "")),
        Err(PolicyDenial::Locked)
    );
    assert!(policy.logins_allowed(&ask(&db1, "")).is_empty());
    for denied in [
        policy.judge(&ask(&db1, "root")).unwrap_err(),
        policy.judge(&ask(&vault, "deploy")).unwrap_err(),
        policy.judge_any_login(&ask(&vault, "")).unwrap_err(),
    ] {
        assert!(matches!(denied, PolicyDenial::NotAllowed(_)), "{denied}");
    }
    let open = place("db1", &[]);
    let _grant = policy.judge(&ask(&open, "deploy")).unwrap();
}
