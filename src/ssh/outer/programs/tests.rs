//! Programs over in-memory connections, as ssh asks for them.

use crate::model::TunnelRule;
use crate::nodes::Node;
use crate::ssh::outer::tests::{LIMITS, OuterFixture};
use crate::ssh::testing::app;
use crate::ssh::testing::client::{SessionSaw, TestRequest};

const TERMINAL: TestRequest = ("pty-req", Some("xterm"));

/// A proxy with four hosts and roles: alice may log in to two of them.
fn with_roles() -> OuterFixture {
    let outer = OuterFixture::new(LIMITS);
    outer.proxy.configure(
        "nodes:
  - { name: db1, addr: 10.0.0.5, labels: { env: prod, tier: db } }
  - { name: db2, addr: 10.0.0.6, labels: { env: prod } }
  - { name: web1, addr: 10.0.0.7 }
  - { name: web2, addr: 10.0.0.8 }
roles:
  - name: dba
    allow: [{ logins: [deploy], nodes: [db1] }, { nodes: ['web*'] }]
    deny: [{ nodes: [web2] }]
users:
  - { name: alice, roles: [dba] }
",
    );
    outer
}

async fn output(outer: &OuterFixture, requests: &[TestRequest]) -> (String, SessionSaw) {
    let saw = outer.session(requests).await;
    (String::from_utf8(saw.stdout.clone()).unwrap(), saw)
}

fn run(outer: &OuterFixture) -> Vec<(String, Option<u64>)> {
    let events = outer.proxy.audited();
    let run = events
        .iter()
        .filter(|event| event["event"] == "program.run");
    run.map(|event| {
        assert_eq!(event["user"], "alice");
        let program = event["program"].as_str().unwrap().to_owned();
        (program, event["exit_status"].as_u64())
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn help_is_shown_where_it_is_asked_for_and_at_a_terminal() {
    let outer = OuterFixture::new(LIMITS);
    let (text, saw) = output(&outer, &[("exec", Some("help"))]).await;
    assert_eq!((saw.status, saw.stderr.as_str()), (Some(0), ""));
    for part in [
        "rproxy example.test: you are alice\n",
        "  ls [--format json]                          the hosts",
        "ProxyCommand=\"ssh -o ForwardAgent=yes -p 3023 %r@PROXY -s proxy:%h:%p\"",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    // A terminal in raw mode goes to the next line only.
    let (raw, saw) = output(&outer, &[TERMINAL, ("shell", None)]).await;
    assert_eq!((&saw.answers[..], saw.status), (&[true, true][..], Some(0)));
    assert_eq!(raw, text.replace('\n', "\r\n"));
    let told = [("help".to_owned(), Some(0)), ("help".to_owned(), Some(0))];
    assert_eq!(run(&outer), told);
}

#[tokio::test(start_paused = true)]
async fn ls_has_the_hosts_that_the_policy_permits_and_no_other() {
    let outer = with_roles();
    let (text, saw) = output(&outer, &[("exec", Some("ls"))]).await;
    assert_eq!(
        text,
        "HOST  LOGINS        LABELS\n\
         db1   deploy        env=prod tier=db\n\
         web1  alice,deploy\n"
    );
    assert_eq!(saw.status, Some(0));
    let (json, _) = output(&outer, &[("exec", Some("ls --format json"))]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let expected = serde_json::json!([
        { "host": "db1", "logins": ["deploy"], "labels": { "env": "prod", "tier": "db" } },
        { "host": "web1", "logins": ["alice", "deploy"], "labels": {} },
    ]);
    assert_eq!(json, expected);
    // Who may go nowhere gets no table, and scripts get a list.
    outer
        .proxy
        .configure("roles: [{ name: dba, allow: [{ nodes: [none] }] }]\n");
    let (text, saw) = output(&outer, &[("exec", Some("ls"))]).await;
    assert_eq!((text.as_str(), saw.status), ("", Some(1)));
    assert!(
        saw.stderr.contains("no host of this proxy's list"),
        "{saw:?}"
    );
    let (json, saw) = output(&outer, &[("exec", Some("ls --format json"))]).await;
    assert_eq!((json.as_str(), saw.status), ("[]\n", Some(0)));
}

#[tokio::test(start_paused = true)]
async fn ls_has_hosts_that_have_joined_where_the_policy_permits_them_and_none_that_is_locked() {
    let outer = with_roles();
    let joined = |name: &str, is_locked| Node {
        name: name.to_owned(),
        labels: vec!["env=test".parse().unwrap()],
        is_locked,
        ..app(TunnelRule::Required)
    };
    let hosts = [("web3", false), ("web4", true), ("vault", false)];
    let hosts = hosts.map(|(name, is_locked)| joined(name, is_locked));
    outer.proxy.join(hosts.to_vec());
    let (text, _) = output(&outer, &[("exec", Some("ls"))]).await;
    assert_eq!(
        text,
        "HOST  LOGINS        LABELS\n\
         db1   deploy        env=prod tier=db\n\
         web1  alice,deploy\n\
         web3  alice,deploy  env=test\n"
    );
}

#[tokio::test(start_paused = true)]
async fn status_says_who_it_is_and_until_when() {
    let outer = OuterFixture::new(LIMITS);
    let (text, saw) = output(&outer, &[("exec", Some("status"))]).await;
    assert_eq!(saw.status, Some(0));
    let key = outer
        .proxy
        .alice
        .public_key()
        .fingerprint(ssh_key::HashAlg::Sha256);
    for part in [
        "alice, by a certificate\n".to_owned(),
        "  logins   alice, deploy\n".to_owned(),
        format!("  key      {key}\n"),
        "  address  192.0.2.1\n".to_owned(),
    ] {
        assert!(text.contains(&part), "{part:?} is not in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_arguments_are_answered_with_the_usage() {
    let outer = OuterFixture::new(LIMITS);
    let saw = outer.session(&[("exec", Some("ls db1"))]).await;
    assert_eq!(saw.status, Some(2));
    assert_eq!(saw.stderr, "usage: ls [--format json]\n");
    assert_eq!(run(&outer), [("ls".to_owned(), Some(2))]);
}
