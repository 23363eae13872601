//! The hosts that a person sees in a browser.

use super::browser_sessions::{HERE, Stranger, code, house_with};
use super::house::House;
use crate::ipc::BrowserHosts;
use crate::nodes::Node;
use crate::people::RequiredFactor;
use crate::state::testing::{node, token};
use crate::state::{Heartbeat, JoinedNode};

fn names(hosts: &BrowserHosts) -> Vec<&str> {
    hosts.hosts.iter().map(|host| host.name.as_str()).collect()
}

#[test]
fn hosts_are_those_of_the_policy_in_the_order_of_their_names() {
    let (house, _, authenticator) = house_with("alice");
    for (name, heartbeat) in [
        ("db-new", Some(house.now())),
        ("db-old", Some(7)),
        ("web-new", None),
    ] {
        let joins = JoinedNode {
            heartbeat: heartbeat.map(|at| Heartbeat {
                at,
                ..Heartbeat::default()
            }),
            ..node(name)
        };
        house
            .state
            .tokens()
            .put(&token(name, 1, house.now() + 60))
            .unwrap();
        house.state.nodes().join(&joins, name, house.now()).unwrap();
    }
    let listed = ["db1", "web1"].map(|name| Node {
        name: name.to_owned(),
        host: "10.0.0.9".to_owned(),
        port: 22,
        ..Node::default()
    });
    let house = house.with_nodes(listed.to_vec());
    let browser = Stranger::at(&house, HERE).sign_in("alice", &code(&house, &authenticator));
    let hosts = browser.hosts("");
    assert_eq!(names(&hosts), ["db-new", "db-old", "db1"]);
    let online: Vec<_> = hosts.hosts.iter().map(|host| host.is_online).collect();
    assert_eq!(online, [Some(true), Some(false), None]);
    assert_eq!(hosts.hosts[0].logins, ["postgres"]);
    assert_eq!(hosts.hosts[0].labels["env"], "prod");
    assert_eq!(
        (hosts.next.as_deref(), names(&browser.hosts("db-old"))),
        (None, vec!["db1"])
    );
    assert!(names(&browser.hosts("zz")).is_empty());
    // Other roles count at once, and a lock of a node soon.
    house
        .admin()
        .set_access(
            "alice",
            crate::people::AccessChange {
                roles: Some(Vec::new()),
                logins: None,
            },
        )
        .unwrap();
    assert!(names(&browser.hosts("")).is_empty());
}

#[test]
fn many_hosts_come_in_pages_that_fit() {
    let house = House::new(RequiredFactor::Off);
    house.signed_up_without_codes("alice");
    let many = (0..2_500).map(|number| Node {
        name: format!("{}{number:05}", if number % 2 == 0 { "db" } else { "web" }),
        host: format!("h{number}"),
        port: 22,
        labels: vec![format!("note={}", "x".repeat(60)).parse().unwrap()],
        ..Node::default()
    });
    let house = house.with_nodes(many.collect());
    let browser = Stranger::at(&house, HERE).sign_in("alice", "");
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = browser.hosts(&after);
        assert!(crate::ipc::encode(&page).unwrap().len() < 60 * 1_024);
        all.extend(page.hosts.iter().map(|host| host.name.clone()));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    let expected: Vec<_> = (0..1_250)
        .map(|number| format!("db{:05}", 2 * number))
        .collect();
    assert_eq!(all, expected);
}
