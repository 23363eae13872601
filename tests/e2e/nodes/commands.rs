//! `rproxy tokens` and `rproxy nodes`, as an administrator types them beside a proxy that runs: what is
//! printed, what is audited, what is refused.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::World;
use crate::support::recordings::text;

const NODES: &str = "nodes: [{ name: web1, addr: 10.0.0.7, labels: { env: prod } }]\n";

/// A configuration for the data directory of a world, with these sections.
fn configuration(world: &World, sections: &str) -> PathBuf {
    let file = world.dir().join("nodes.yaml");
    let data = world.data();
    let text = format!(
        "cluster_name: example.test\ndata_dir: {}\nproxy_service: {{ public_addr: proxy.test:22 }}\n{sections}",
        data.display()
    );
    std::fs::write(&file, text).expect("a writable directory");
    file
}

fn rproxy(world: &World, sections: &str, args: &[&str]) -> Output {
    let mut rproxy = Command::new(env!("CARGO_BIN_EXE_rproxy"));
    rproxy.arg("--config").arg(configuration(world, sections));
    rproxy.args(args).output().expect("rproxy starts")
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command prints that succeeds.
fn printed(world: &World, sections: &str, args: &[&str]) -> String {
    let output = rproxy(world, sections, args);
    let stderr = told(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    told(&output.stdout)
}

fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

#[test]
fn a_token_is_added_listed_and_removed() {
    let world = World::new();
    let run = |args: &[&str]| printed(&world, NODES, args);
    let json = |args: &[&str]| -> Value { serde_json::from_str(&run(args)).expect("JSON") };
    assert_eq!(run(&["tokens", "ls", "--format=json"]), "[]\n");
    let added = json(&[
        "tokens",
        "add",
        "--type=node",
        "--names=db1",
        "--labels=env=prod,role=db",
        "--tunnel=allowed",
        "--uses=2",
        "--ttl=1h",
        "--format",
        "json",
    ]);
    assert_eq!(keys(&added), ["expires", "id", "token"]);
    let token = text(&added, "token");
    let listed = json(&["tokens", "ls", "--format=json"]);
    assert_eq!(
        keys(&listed[0]),
        [
            "by", "created", "expires", "id", "labels", "names", "state", "tunnel", "type", "uses"
        ]
    );
    assert_eq!(listed[0]["id"], added["id"]);
    assert_eq!(listed[0]["names"], json!(["db1"]));
    assert_eq!(listed[0]["labels"], json!(["env=prod", "role=db"]));
    assert_eq!(listed[0]["state"], "valid");
    let id = text(&added, "id");
    assert_eq!(
        run(&["tokens", "rm", id]),
        format!("Removed the token {id}\n")
    );
    assert_eq!(run(&["tokens", "ls", "--format=json"]), "[]\n");
    let again = rproxy(&world, NODES, &["tokens", "rm", id]);
    assert_eq!(again.status.code(), Some(1));
    let refused = told(&again.stderr);
    assert!(
        refused.contains(&format!("there is no token {id}")),
        "{refused}"
    );
    assert!(
        refused.contains("\n  hint: `rproxy tokens ls`"),
        "{refused}"
    );

    let audited = world.audit();
    let names = audited.iter().map(|event| text(event, "event"));
    let names: Vec<&str> = names.filter(|name| name.starts_with("token.")).collect();
    assert_eq!(names, ["token.added", "token.removed"]);
    let log = std::fs::read_to_string(world.data().join("audit.jsonl")).expect("it is there");
    assert!(!log.contains(token), "a token is in the audit log");
    let state = std::fs::read(world.data().join("state.db")).expect("it is there");
    let state = String::from_utf8_lossy(&state);
    assert!(!state.contains(token), "a token is in the state");
}

#[test]
fn a_token_without_a_name_can_be_for_no_host_that_is_there() {
    let world = World::new();
    for (args, text) in [
        (&["--names=web1"][..], "web1"),
        (&["--names=proxy.test"], "proxy.test"),
        (&["--ttl=31d"], "30 days at most"),
    ] {
        let args = [&["tokens", "add", "--type=node"], args].concat();
        let output = rproxy(&world, NODES, &args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let stderr = told(&output.stderr);
        assert!(
            stderr.contains(text) && stderr.starts_with("rproxy: "),
            "{stderr}"
        );
        assert!(output.stdout.is_empty());
    }
    assert_eq!(
        printed(&world, NODES, &["tokens", "ls", "--format=json"]),
        "[]\n"
    );
}

#[test]
fn without_joined_hosts_the_configurations_are_listed() {
    let world = World::new();
    let run = |sections: &str, args: &[&str]| printed(&world, sections, args);
    assert_eq!(run("", &["nodes", "ls", "--format=json"]), "[]\n");
    let listed: Value =
        serde_json::from_str(&run(NODES, &["nodes", "ls", "--format=json"])).expect("JSON");
    assert_eq!(
        keys(&listed[0]),
        [
            "address",
            "certificate_expires",
            "id",
            "labels",
            "last_seen",
            "locked",
            "name",
            "problem",
            "source",
            "sshd",
            "state",
            "tunnel",
            "tunnel_proxy",
            "tunnel_rule",
            "tunnel_since",
        ]
    );
    assert_eq!(listed[0]["state"], Value::Null);
    let none = run(
        NODES,
        &["nodes", "ls", "--labels=env=test", "--format=json"],
    );
    assert_eq!(none, "[]\n");
    for command in ["lock", "unlock", "rm"] {
        let output = rproxy(&world, NODES, &["nodes", command, "web1"]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = told(&output.stderr);
        assert!(
            stderr.contains("web1 is a node of the configuration"),
            "{stderr}"
        );
        assert!(stderr.contains("\n  hint: "), "{stderr}");
        let output = rproxy(&world, NODES, &["nodes", command, "db7"]);
        let stderr = told(&output.stderr);
        assert!(stderr.contains("there is no node \"db7\""), "{stderr}");
    }
    let audited = world.audit();
    let reads = audited
        .iter()
        .filter(|event| event["event"] == "nodes.read");
    assert_eq!(reads.count(), 3, "each list that read the state");
}
