//! `rproxy users`, as an administrator types it: what is printed, what is audited, what is refused.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::World;
use crate::support::recordings::text;

const SETTINGS: &str = "auth_service: { authentication: { type: local } }\n\
                        roles: [{ name: dba, allow: [{ nodes: [\"*\"] }] }]\n";

/// A configuration for the data directory of a world, with these sections.
fn configuration(world: &World, sections: &str) -> PathBuf {
    let file = world.dir().join("users.yaml");
    let data = world.data();
    let text = format!(
        "cluster_name: example.test\ndata_dir: {}\nproxy_service: {{ public_addr: proxy.test:22 }}\n{sections}",
        data.display()
    );
    std::fs::write(&file, text).expect("a writable directory");
    file
}

fn rproxy(world: &World, sections: &str, args: &[&str]) -> Output {
    let file = configuration(world, sections);
    let mut rproxy = Command::new(env!("CARGO_BIN_EXE_rproxy"));
    rproxy.arg("--config").arg(file).args(args);
    rproxy.output().expect("rproxy starts")
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_user_is_added_listed_locked_and_removed() {
    let world = World::new();
    let users = |args: &[&str]| {
        let output = rproxy(&world, SETTINGS, args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            told(&output.stderr)
        );
        told(&output.stdout)
    };
    let json = |args: &[&str]| -> Value { serde_json::from_str(&users(args)).expect("JSON") };
    let added = json(&["users", "add", "alice", "--roles=dba", "--format=json"]);
    assert_eq!(added["command"], "ssh signup@proxy.test");
    let invitation = text(&added, "invitation").to_owned();
    let again = json(&["users", "reset", "alice", "--ttl=2d", "--format=json"]);
    assert_ne!(text(&again, "invitation"), invitation);
    users(&["users", "lock", "alice", "--reason=laptop lost"]);
    let listed = json(&["users", "ls", "--format=json"]);
    assert_eq!(listed[0]["state"], "locked");
    assert_eq!(listed[0]["locked"]["reason"], "laptop lost");
    users(&["users", "unlock", "alice"]);
    assert_eq!(
        json(&["users", "show", "alice", "--format=json"])["state"],
        "invited"
    );
    users(&["users", "rm", "alice"]);
    assert_eq!(users(&["users", "ls", "--format=json"]), "[]\n");

    let audited = world.audit();
    let names: Vec<&str> = audited
        .iter()
        .map(|event| text(event, "event"))
        .filter(|name| name.starts_with("user.") || name.starts_with("invitation."))
        .collect();
    assert_eq!(
        names,
        [
            "user.added",
            "invitation.created",
            "user.reset",
            "invitation.created",
            "user.locked",
            "user.unlocked",
            "user.removed",
        ]
    );
    let log = std::fs::read_to_string(world.data().join("audit.jsonl")).expect("it is there");
    for secret in [invitation.as_str(), text(&again, "invitation")] {
        assert!(!log.contains(secret), "an invitation is in the audit log");
    }
}

#[test]
fn a_name_in_the_configuration_and_in_the_state_is_named() {
    let world = World::new();
    let without_local = SETTINGS.split_once('\n').expect("two lines").1;
    let added = rproxy(
        &world,
        without_local,
        &["users", "add", "alice", "--roles=dba"],
    );
    assert!(added.status.success(), "{}", told(&added.stderr));
    let warning = told(&added.stderr);
    assert!(
        warning.contains("auth_service.authentication.type"),
        "{warning}"
    );

    let both = format!("{SETTINGS}users:\n  - {{ name: Alice, roles: [dba] }}\n");
    let checked = rproxy(&world, &both, &["serve", "--check"]);
    assert_eq!(checked.status.code(), Some(78));
    let problem = told(&checked.stderr);
    assert!(
        problem.contains("users.yaml:7: users: alice is in the state too"),
        "{problem}"
    );
    assert!(problem.contains("rproxy users rm NAME"), "{problem}");
    let refused = rproxy(&world, &both, &["users", "add", "ALICE", "--roles=dba"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused.stderr).contains("has the name under users in line 7"));

    let pattern = format!("{SETTINGS}users:\n  - {{ name: \"al*\", roles: [dba] }}\n");
    let checked = rproxy(&world, &pattern, &["serve", "--check"]);
    let problem = told(&checked.stderr);
    assert!(!problem.contains("is in the state too"), "{problem}");
}
