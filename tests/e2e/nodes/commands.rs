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

/// The commands that know the hosts of the configuration know a host that has joined.
#[test]
fn a_host_that_has_joined_is_known_to_every_command() {
    let world = World::new();
    let host = world.joined_host("web1", &["--labels=env=prod"]);
    let port = host.sshd.port;
    let completed = |before: &[&str], word: &str| {
        let word = format!("--word={word}");
        let mut complete = world.rproxy();
        complete.args(["complete", &word, "--", "rproxy"]);
        crate::support::keys::tool(complete.args(before))
    };
    let offered = format!("web1\t127.0.0.1:{port} env=prod\n");
    for command in ["show", "lock", "unlock", "rm"] {
        assert_eq!(completed(&["nodes", command], "w"), offered, "{command}");
    }
    assert_eq!(
        completed(&["explain"], "alice@w"),
        format!("alice@{offered}")
    );
    assert_eq!(completed(&["nodes", "rm"], "db"), "", "db1 has not joined");

    let roles = "roles: [{ name: dba, allow: [{ labels: { env: prod } }] }]\n\
                 users: [{ name: alice, roles: [dba] }]\n";
    let explain = |who: &str| rproxy(&world, roles, &["explain", who, "--login=root"]);
    let answer = explain("alice@web1");
    assert!(
        told(&answer.stdout).contains("labels: env=prod"),
        "{answer:?}"
    );
    assert!(answer.status.success());
    assert_eq!(explain("alice@web2").status.code(), Some(77));
    world.about_nodes(&["lock", "web1"]);
    let answer = explain("alice@web1");
    assert_eq!(answer.status.code(), Some(77));
    assert!(told(&answer.stdout).contains("locked"), "{answer:?}");
    world.about_nodes(&["unlock", "web1"]);

    let block = printed(&world, "", &["config"]);
    let hosts = block.lines().find(|line| line.starts_with("Host "));
    let hosts: Vec<&str> = hosts.expect("a line").split(' ').collect();
    assert!(hosts.contains(&"web1"), "{block}");

    let checked = rproxy(&world, NODES, &["serve", "--check"]);
    assert_eq!(checked.status.code(), Some(78));
    let problem = told(&checked.stderr);
    assert!(
        problem.contains("nodes.yaml: nodes: the name web1 of the host "),
        "{problem}"
    );
    assert!(problem.contains("rproxy nodes rm NAME"), "{problem}");
}

/// A lock ends what is live at a host, and the user reads why; what is new is refused.
#[test]
fn a_lock_ends_live_sessions_at_the_host() {
    let world = World::new();
    let _host = world.joined_host("web1", &[]);
    world.eventually("a session at the node", || {
        (world.run("web1", "true").code() == 0).then_some(())
    });
    let mut session = world.ssh().args(["web1", "echo begun; cat"]).start();
    assert_eq!(session.read(6), b"begun\n");
    world.about_nodes(&["lock", "web1", "--reason=broken into"]);
    world.eventually("the session ends", || session.has_ended().then_some(()));
    let stderr = session.finish().stderr;
    assert!(stderr.contains("locked"), "{stderr}");
    let refused = world.run("web1", "true");
    assert_eq!(refused.code(), 255);
    assert!(refused.stderr.contains("locked"), "{}", refused.stderr);
    let shown: Value =
        serde_json::from_str(&world.about_nodes(&["show", "web1", "--format=json"])).expect("JSON");
    assert_eq!(shown["locked"]["reason"], "broken into");
    assert_eq!(shown["state"], "online");
    world.about_nodes(&["unlock", "web1"]);
    world.eventually("a session at the node", || {
        (world.run("web1", "true").code() == 0).then_some(())
    });
}
