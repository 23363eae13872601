//! The programs that a host runs, and what it reads.

use super::*;
use crate::ca::Revoked;
use crate::ssh::node::report::MAX_REPORT;
use crate::ssh::node::unanswered::Asker;
use crate::ssh::testing::test_nodes::TOKEN;

#[tokio::test(start_paused = true)]
async fn a_host_joins_with_a_token_and_reads_what_to_install() {
    let fixture = NodeFixture::new(Arc::default());
    let mut host = fixture.host().await;
    let refused = host.run("join", REPORT).await;
    assert!(refused.is_refused("report-invalid"), "{refused:?}");
    let report = |token: &str| REPORT.replace("name", &format!("token {token}\nname"));
    let refused = host.run("join", report("rpt_wrong")).await;
    assert!(refused.is_refused("token-unknown"), "{refused:?}");
    assert!(
        refused
            .stderr
            .starts_with("rproxy: join: no (token-unknown)\n  hint: ask\n  id: ")
    );
    let refused = host.run("heartbeat", REPORT).await;
    assert!(refused.is_refused("not-joined"), "{refused:?}");
    let joined = host.run(" join ", report(TOKEN)).await;
    assert_eq!((joined.status, joined.stderr.as_str()), (Some(0), ""));
    let id = fixture.id();
    assert_eq!(
        joined.text(),
        format!(
            "rproxy-node 1\nid {id}\nname db1\ntunnel required\ntunnel-open no\nuser-ca ssh-ed25519 USERS\n\
             host-ca ssh-ed25519 HOSTS\nrevocations 0\nend\n"
        )
    );
    assert_eq!(fixture.nodes.record().reports[0].names, ["db1"]);
    drop(host);
    fixture.over().await;
    fixture.asked("close", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_reports_and_gets_the_revocation_list_as_it_is() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    fixture.proxy.revoke(Revoked::Serial {
        serial: crate::model::Serial::new(7).unwrap(),
        ca_keys: Vec::new(),
    });
    let beat = host.run("heartbeat", REPORT).await;
    let expected = fixture.proxy.revocations.borrow().list().version;
    let line = format!("\nrevocations {expected}\n");
    assert!(beat.text().contains(&line), "{beat:?}");
    assert!(expected > 0);
    for _again in 0..2 {
        let list = host.run("revocations", "").await;
        let cluster = "example.test".parse().unwrap();
        let published = fixture.proxy.revocations.borrow().published(&cluster);
        assert_eq!(list.stdout, published.encode().unwrap());
        assert_eq!(list.status, Some(0));
    }
    assert_eq!(host.run("successors", "").await.text(), "ssh-x A\nend\n");
    let unknown = host.run("ls", "").await;
    assert_eq!((unknown.status, unknown.text()), (Some(127), ""));
    assert_eq!(fixture.refused(), ["exec"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_not_joined_gets_no_list_and_no_tunnel() {
    let fixture = NodeFixture::new(Arc::default());
    let mut host = fixture.host().await;
    let refused = host.run("revocations", "").await;
    assert!(refused.is_refused("not-joined"), "{refused:?}");
    assert_eq!(host.run("successors", "").await.text(), "ssh-x A\nend\n");
    assert!(!host.forward("localhost", 22).await);
}

#[tokio::test(start_paused = true)]
async fn a_report_has_to_arrive_in_time_and_may_not_be_long() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    let long = format!(
        "rproxy-report 1\n{}",
        "future f\n".repeat(MAX_REPORT / 9 + 1)
    );
    let refused = host.run("heartbeat", long).await;
    assert!(refused.is_refused("report-invalid"), "{refused:?}");
    let refused = host.run("heartbeat", "GET / HTTP/1.1\r\n\r\n").await;
    assert!(refused.is_refused("report-invalid"), "{refused:?}");
    // The last line does not come, and the input does not end.
    let number = host.start("heartbeat").await;
    host.say(number, REPORT.strip_suffix("end\n").unwrap());
    let begun = Instant::now();
    let late = host.saw(number).await;
    assert!(late.is_refused("report-late"), "{late:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    // A byte now and then.
    let number = host.start("heartbeat").await;
    let begun = Instant::now();
    for byte in REPORT.as_bytes().chunks(1).take(7) {
        host.say(number, byte);
        host.leg.send_ready().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let late = host.saw(number).await;
    assert!(late.is_refused("report-late"), "{late:?}");
    assert!(begun.elapsed() < Duration::from_secs(40));
    assert!(fixture.nodes.record().reports.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_answer_is_said_to_be_the_reason() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    fixture.nodes.record().is_away = true;
    let refused = host.run("heartbeat", REPORT).await;
    assert!(refused.is_refused("nodes-unavailable"), "{refused:?}");
    let (saw, _leg) = fixture.log_in("join").await;
    assert!(
        !saw.is_in && saw.text().contains("cannot say which node"),
        "{saw:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_asks_too_much_at_a_time_is_told_so() {
    let fixture = NodeFixture::joined();
    let mut host = fixture.host().await;
    let (unanswered, node) = (
        &fixture.shared().client.unanswered,
        Asker::Node(fixture.id()),
    );
    let questions: Vec<_> = (0..16).map(|_| unanswered.take(node).unwrap()).collect();
    let refused = host.run("heartbeat", REPORT).await;
    assert!(refused.is_refused("too-many-questions"), "{refused:?}");
    drop(questions);
    assert_eq!(host.run("heartbeat", REPORT).await.status, Some(0));
}
