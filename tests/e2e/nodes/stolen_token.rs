//! A token in the hands of a thief: what it does not give.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::assert_refused;
use crate::support::recordings::text;
use crate::support::{HostReport, World, keys};

/// A token for one name forces it, and its labels; a refusal does not use it up.
#[test]
fn it_gives_no_other_name_and_no_other_labels() {
    let world = World::new();
    let token = world.node_token(&["--names=web1", "--labels=env=prod"]);
    let thief = world.new_host("db9");
    let report = thief.report();
    let outcome = world.join_as(&thief, &token, &report);
    let said = "this token does not allow the name db9";
    let event = assert_refused(&world, &outcome, "token-names", said);
    assert_eq!(text(&event, "what"), "join");
    assert!(text(&event, "client_addr").starts_with("127.0.0.1:"));
    let listed = keys::tool(
        std::process::Command::new(crate::support::programs::path("ssh-keygen"))
            .arg("-lf")
            .arg(thief.key()),
    );
    assert!(listed.contains(text(&event, "fingerprint")), "{listed}");

    let report = HostReport {
        names: vec!["web1".to_owned()],
        labels: vec!["env=test".to_owned()],
        ..report
    };
    let outcome = world.join_as(&thief, &token, &report);
    let said = "the host's token sets the label env=prod, and the host asks for env=test";
    assert_refused(&world, &outcome, "label-forced", said);
    assert_eq!(world.listed_node("web1"), None);

    let web = world.new_host("web1");
    world.join_as(&web, &token, &web.report()).success();
    let node = world.listed_node("web1").expect("it has joined");
    assert_eq!(node["labels"], serde_json::json!(["env=prod"]));
    assert_eq!(world.events("node.joined").len(), 1);
}

/// Names of others are not given, whatever the token allows.
#[test]
fn it_gives_no_name_that_another_host_has() {
    let world = World::new();
    let _web = world.joined_host("web1", &[]);
    let token = world.node_token(&["--uses=9"]);
    let thief = world.new_host("thief");
    let names = [
        ("web1", "the name web1 is taken"),
        ("WEB1", "the name"),
        ("db1", "the name db1 is taken"),
        ("127.0.0.1", "127.0.0.1"),
    ];
    for (name, said) in names {
        let report = HostReport {
            names: vec!["good".to_owned(), name.to_owned()],
            ..thief.report()
        };
        let outcome = world.join_as(&thief, &token, &report);
        assert_eq!(outcome.code(), 1, "{name}: {}", outcome.text());
        assert!(outcome.stderr.contains(said), "{name}: {}", outcome.stderr);
        assert_eq!(outcome.text(), "");
    }
    assert_eq!(world.listed_node("good"), None);
    let refused = world.events("node.refused");
    let taken = refused
        .iter()
        .filter(|event| event["reason"] == "name-taken");
    assert!(taken.count() >= 2, "{refused:?}");
}

#[test]
fn it_is_used_once_and_a_made_up_one_never() {
    let world = World::new();
    let token = world.node_token(&[]);
    let web = world.new_host("web1");
    world.join_as(&web, &token, &web.report()).success();
    let thief = world.new_host("thief");
    let outcome = world.join_as(&thief, &token, &thief.report());
    let said = "this token was used as often as it is valid for";
    assert_refused(&world, &outcome, "token-spent", said);
    let other = format!("{}x", &token[..token.len() - 1]);
    for wrong in [
        other.as_str(),
        "rpt_",
        "x",
        token.trim_start_matches("rpt_"),
    ] {
        let outcome = world.join_as(&thief, wrong, &thief.report());
        let said = "there is no such token";
        let event = assert_refused(&world, &outcome, "token-unknown", said);
        assert!(!event.to_string().contains(&token), "{event}");
    }
    assert_eq!(world.listed_node("thief"), None);
    let log = std::fs::read_to_string(world.data().join("audit.jsonl"));
    assert!(!log.expect("the audit log").contains(&token));
    assert!(!world.proxy_log().contains(&token));
}

#[test]
fn it_is_of_no_use_after_its_time() {
    let world = World::with().moving_clock().start();
    let token = world.node_token(&["--ttl=30m"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.as_ref().map_or(0, Duration::as_secs);
    world.set_clock(now + 31 * 60);
    let thief = world.new_host("thief");
    let outcome = world.join_as(&thief, &token, &thief.report());
    assert_refused(&world, &outcome, "token-expired", "this token has expired");
    assert_eq!(world.listed_node("thief"), None);
}

/// One of them is in before the others, and all others read the same.
#[test]
fn it_lets_one_of_sixteen_in_that_come_at_once() {
    let world = World::new();
    let token = world.node_token(&[]);
    let waiting: Vec<_> = (0..16)
        .map(|number| {
            let key = world.dir().join(format!("key{number}"));
            keys::generate(&key);
            let report = HostReport {
                names: vec![format!("web{number}")],
                port: 22,
                ..HostReport::default()
            };
            let ssh = world.host_ssh(&key).arg("join").start();
            (ssh, report)
        })
        .collect();
    let outcomes: Vec<_> = waiting
        .into_iter()
        .map(|(mut ssh, report)| {
            ssh.feed(report.lines(Some(&token)).into_bytes());
            ssh
        })
        // All have what they need before the first is waited for.
        .collect::<Vec<_>>()
        .into_iter()
        .map(|ssh| ssh.finish())
        .collect();
    let (joined, refused): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|outcome| outcome.code() == 0);
    assert_eq!(joined.len(), 1, "{outcomes:?}");
    assert!(joined[0].text().ends_with("\nend\n"));
    for outcome in &refused {
        assert_refused(&world, outcome, "token-spent", "this token was used");
    }
    world.eventually("each refusal is audited", || {
        let refused = world.events("node.refused");
        (refused.len() == 15).then_some(())
    });
    assert_eq!(world.events("node.joined").len(), 1);
}
