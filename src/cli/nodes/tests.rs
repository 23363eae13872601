//! The commands from their flags to what they print, with a state of their own.

use clap::Parser;
use serde_json::{Value, json};
use uuid::Uuid;

use super::testing::{HostsFixture, node, refused};
use super::*;
use crate::cli::preconditions;
use crate::cli::table::Surface;
use crate::cli::{Exit, ui};
use crate::model::TunnelRule;
use crate::state::{Heartbeat, JoinedNode, ProxyRow};
use crate::sys::clock::Clock;

#[derive(Debug, Parser)]
struct NodesCli {
    #[command(subcommand)]
    command: NodesCommand,
}

impl HostsFixture {
    fn run(&self, args: &[&str]) -> Result<String, Failure> {
        let line = NodesCli::try_parse_from(std::iter::once(&"nodes").chain(args))
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        let context = &self.context;
        match line.command {
            NodesCommand::Script(args) => args.script(context),
            NodesCommand::Ls(args) => args.list(context, Surface::default()),
            NodesCommand::Show(args) => args.show(context),
            NodesCommand::Lock(args) => args.lock(context),
            NodesCommand::Unlock(args) => args.unlock(context),
            NodesCommand::Rm(args) => args.remove(context),
        }
    }

    fn ok(&self, args: &[&str]) -> String {
        self.run(args).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    fn names(&self, args: &[&str]) -> Vec<Value> {
        let hosts = self.json(&[&["ls", "--format=json"], args].concat());
        let hosts = hosts.as_array().unwrap().iter();
        hosts.map(|host| host["name"].clone()).collect()
    }
}

/// A host whose last three reports are missing.
fn silent(name: &str) -> JoinedNode {
    let joined = node(name, &[]);
    let heartbeat = joined.heartbeat.clone().map(|heartbeat| Heartbeat {
        at: heartbeat.at - 200,
        problem: Some("sshd -t: Bad configuration option".to_owned()),
        ..heartbeat
    });
    JoinedNode {
        heartbeat,
        ..joined
    }
}

#[test]
fn hosts_of_the_configuration_and_of_the_state_are_one_list_with_fixed_keys() {
    let fixture = HostsFixture::new();
    let web1 = json!({
        "name": "web1", "id": null, "source": "configuration", "state": null, "last_seen": null,
        "address": "10.0.0.7:22", "labels": ["env=prod"], "certificate_expires": null, "sshd": null,
        "tunnel": "no", "tunnel_rule": "no", "tunnel_since": null, "tunnel_proxy": null,
        "locked": null, "problem": null,
    });
    assert_eq!(fixture.json(&["ls", "--format=json"]), json!([web1]));
    assert!(!fixture.context.config.data_dir.state_db().exists());
    let db1 = node("db1", &["env=prod", "role=db"]);
    fixture.join(&db1);
    fixture.join(&silent("db2"));
    let hosts = fixture.json(&["ls", "--format=json"]);
    let (at, expires) = (&db1.heartbeat, &db1.certificate);
    let expected = json!({
        "name": "db1", "id": db1.id.to_string(), "source": "joined", "state": "online",
        "last_seen": ui::time(at.as_ref().unwrap().at), "address": "10.0.0.5:2222",
        "labels": ["env=prod", "role=db"],
        "certificate_expires": ui::time(expires.as_ref().unwrap().expires),
        "sshd": "OpenSSH_9.2p1", "tunnel": "no", "tunnel_rule": "no", "tunnel_since": null,
        "tunnel_proxy": null, "locked": null, "problem": null,
    });
    assert_eq!(hosts[0], expected);
    assert_eq!(hosts[1]["state"], "offline");
    assert_eq!(hosts[1]["problem"], "sshd -t: Bad configuration option");
    assert_eq!(hosts[2], web1);
    let table = fixture.ok(&["ls"]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "NAME",
            "STATE",
            "SEEN",
            "ADDRESS",
            "LABELS",
            "CERTIFICATE",
            "SSHD",
            "TUNNEL"
        ]
    );
    assert_eq!(rows[1][..2], ["db1", "online"]);
    assert_eq!(rows[1][4], "env=prod,role=db");
    assert_eq!(rows[2][..2], ["db2", "offline"]);
    assert_eq!(
        rows[3],
        ["web1", "-", "-", "10.0.0.7:22", "env=prod", "-", "-", "no"]
    );
}

#[test]
fn a_host_cannot_seem_to_have_a_label_that_it_does_not_have() {
    let fixture = HostsFixture::new();
    fixture.join(&node("db1", &["zone=a,role=db"]));
    assert!(fixture.names(&["--labels=role=db"]).is_empty());
    let shown = "\"zone=a,role=db\"";
    for args in [&["ls"][..], &["show", "db1"]] {
        let text = fixture.ok(args);
        assert!(text.contains(shown), "{text}");
    }
    let hosts = fixture.json(&["ls", "--format=json"]);
    assert_eq!(hosts[0]["labels"], json!(["zone=a,role=db"]));
}

#[test]
fn a_list_has_the_hosts_that_carry_all_labels() {
    let fixture = HostsFixture::new();
    fixture.join(&node("db1", &["env=prod", "role=db"]));
    fixture.join(&node("db2", &["env=test", "role=db"]));
    assert_eq!(fixture.names(&["--labels=env=prod"]), ["db1", "web1"]);
    assert_eq!(fixture.names(&["--labels=env=prod,role=db"]), ["db1"]);
    assert!(fixture.names(&["--labels=env=pro"]).is_empty());
    let failure = fixture.run(&["ls", "--labels=prod"]).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage, "{failure}");
}

#[test]
fn a_tunnel_is_listed_with_where_it_ends() {
    let fixture = HostsFixture::new();
    let rule = |name: &str, tunnel| JoinedNode {
        tunnel,
        ..node(name, &[])
    };
    let open = rule("db1", TunnelRule::Required);
    fixture.join(&open);
    fixture.join(&rule("db2", TunnelRule::Allowed));
    let state = fixture.state();
    let proxy = ProxyRow {
        id: Uuid::now_v7(),
        address: "10.9.9.9:3023".to_owned(),
        key: "ssh-ed25519 AAAA".to_owned(),
        seen: Clock::System.unix_seconds(),
    };
    state.proxies().announce(&proxy).unwrap();
    let since = Clock::System.unix_seconds();
    state.nodes().open_tunnel(open.id, proxy.id, since).unwrap();
    let hosts = fixture.json(&["ls", "--format=json"]);
    let tunnels: Vec<_> = hosts
        .as_array()
        .unwrap()
        .iter()
        .map(|host| &host["tunnel"])
        .collect();
    assert_eq!(tunnels, ["open", "closed", "no"]);
    assert_eq!(hosts[0]["tunnel_rule"], "required");
    assert_eq!(hosts[0]["tunnel_proxy"], "10.9.9.9:3023");
    assert_eq!(hosts[0]["tunnel_since"], ui::time(since));
    let table = fixture.ok(&["ls"]);
    assert!(
        table
            .lines()
            .any(|line| line.ends_with("open, 10.9.9.9:3023")),
        "{table}"
    );
    let text = fixture.ok(&["show", "db1"]);
    assert!(
        text.contains("tunnel:        required; open since 20"),
        "{text}"
    );
    let text = fixture.ok(&["show", "db2"]);
    assert!(text.contains("tunnel:        allowed; closed\n"), "{text}");
}

#[test]
fn a_host_is_shown_with_what_it_has_reported() {
    let fixture = HostsFixture::new();
    fixture.join(&node("db1", &["env=prod", "role=db"]));
    let shown = fixture.json(&["show", "DB1-alias", "--format=json"]);
    let keys: Vec<_> = shown.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        [
            "address",
            "certificate",
            "certificate_expires",
            "id",
            "joined",
            "labels",
            "last_seen",
            "locked",
            "name",
            "problem",
            "report",
            "source",
            "sshd",
            "state",
            "tunnel",
            "tunnel_proxy",
            "tunnel_rule",
            "tunnel_since",
        ]
    );
    assert_eq!(shown["joined"]["names"], json!(["db1", "db1-alias"]));
    assert_eq!(shown["joined"]["forced_labels"], json!(["env=prod"]));
    assert_eq!(shown["certificate"]["serial"], "7");
    assert_eq!(shown["report"]["clock_ahead"], -3);
    assert_eq!(shown["report"]["user_authorities"], json!(["SHA256:user"]));
    let text = fixture.ok(&["show", "db1"]);
    for line in [
        "other names:   db1-alias\n",
        "address:       10.0.0.5:2222\n",
        "labels:        env=prod, role=db\n",
        "of the token:  env=prod\n",
        "host key:      SHA256:db1\n",
        "reported from: 203.0.113.7\n",
        "up for:        2h1m\n",
        "clock:         3s behind the proxy's\n",
        "revocations:   list 17\n",
    ] {
        assert!(text.contains(line), "{line:?}: {text}");
    }
    let text = fixture.ok(&["show", "web1"]);
    assert!(
        text.contains("source:        the configuration\n"),
        "{text}"
    );
    let told = refused(fixture.run(&["show", "db9"]));
    assert!(told.contains("there is no node \"db9\""), "{told}");
    assert!(told.contains("rproxy nodes ls"), "{told}");
    // Each look is audited, with what was asked for.
    let mut reads = fixture.audit_log();
    reads.retain(|event| event["event"] == "nodes.read");
    let asked: Vec<_> = reads
        .iter()
        .map(|read| (&read["how"], &read["name"]))
        .collect();
    assert_eq!(asked[0], (&json!("nodes show"), &json!("DB1-alias")));
    assert_eq!(asked.len(), 4);
    assert!(reads.iter().all(|read| read["by"].is_string()), "{reads:?}");
}

#[test]
fn what_cannot_be_audited_is_not_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = HostsFixture::new();
    fixture.join(&node("db1", &[]));
    fixture.ok(&["ls"]);
    let log = fixture.context.config.data_dir.audit_log();
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o644)).unwrap();
    for args in [&["ls"][..], &["show", "db1"]] {
        let told = refused(fixture.run(args));
        assert!(told.contains("cannot say who reads it"), "{told}");
    }
}

#[test]
fn locks_are_set_and_lifted_and_a_host_is_removed() {
    let fixture = HostsFixture::new();
    fixture.join(&node("db1", &[]));
    assert_eq!(
        fixture.ok(&["lock", "db1", "--reason=broken into"]),
        "Locked db1\n"
    );
    let hosts = fixture.json(&["ls", "--format=json"]);
    assert_eq!(hosts[0]["locked"]["reason"], "broken into");
    assert!(hosts[0]["locked"]["by"].is_string());
    let text = fixture.ok(&["show", "db1"]);
    assert!(text.contains(": broken into\n"), "{text}");
    let table = fixture.ok(&["ls"]);
    assert!(table.contains("online, locked"), "{table}");
    assert_eq!(fixture.ok(&["unlock", "db1"]), "Unlocked db1\n");
    let told = refused(fixture.run(&["unlock", "db1"]));
    assert!(told.contains("is not locked"), "{told}");
    assert_eq!(fixture.ok(&["rm", "db1"]), "Removed db1\n");
    assert_eq!(fixture.names(&[]), ["web1"]);
    let mut audited = fixture.audited();
    audited.retain(|name| name != "nodes.read");
    assert_eq!(audited, ["node.locked", "node.unlocked", "node.removed"]);
}

#[test]
fn hosts_of_the_configuration_are_not_changed_here() {
    let fixture = HostsFixture::new();
    for has_state in [false, true] {
        if has_state {
            fixture.state();
        }
        for command in ["lock", "unlock", "rm"] {
            let told = refused(fixture.run(&[command, "WEB1"]));
            assert!(told.contains("is a node of the configuration"), "{told}");
            let told = refused(fixture.run(&[command, "db9"]));
            assert!(told.contains("there is no node \"db9\""), "{told}");
        }
    }
    assert!(fixture.audited().is_empty());
    let failure = fixture.run(&["lock", "db1", "--reason="]).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage, "{failure}");
}

#[test]
fn the_script_has_the_proxy_and_the_authority_in_it() {
    let fixture = HostsFixture::new();
    let installation = fixture.context.config.installation(Clock::System);
    crate::ca::Authorities::make(&installation).unwrap();
    let script = fixture.ok(&["script"]);
    let key = std::fs::read_to_string(
        fixture
            .context
            .config
            .data_dir
            .path()
            .join("ca/host_ca.pub"),
    );
    let key = key.unwrap();
    let key: Vec<&str> = key.split(' ').take(2).collect();
    for line in [
        "'proxy.example.com'",
        "'3024'",
        "'example.com'",
        &format!("'{}'", key.join(" ")),
    ] {
        assert!(script.contains(line), "{line}");
    }
    assert!(!script.contains("PRIVATE"));
    let script = fixture.ok(&["script", "--proxy=[2001:db8::5]:22"]);
    assert!(script.contains("'2001:db8::5'") && script.contains("'22'"));
    for proxy in [
        "--proxy=a'b",
        "--proxy=a b:22",
        "--proxy=$(id)",
        "--proxy=h:99999",
    ] {
        let failure = fixture.run(&["script", proxy]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage, "{proxy}");
    }
    let nowhere = HostsFixture::of("cluster_name: example.com\n");
    let told = refused(nowhere.run(&["script"]));
    assert!(told.contains("--proxy=HOST:PORT"), "{told}");
}

#[test]
fn a_name_in_the_configuration_and_in_the_state_is_named() {
    let fixture = HostsFixture::new();
    let config = &fixture.context.config;
    preconditions::names_in_both(config).unwrap();
    fixture.join(&node("db1", &[]));
    preconditions::names_in_both(config).unwrap();
    fixture.join(&node("web1", &["env=test"]));
    let failure = preconditions::names_in_both(config).unwrap_err();
    assert_eq!(failure.exit(), Exit::Configuration);
    let told = failure.to_string();
    assert!(
        told.contains("r.yaml: nodes: the name web1 of the host "),
        "{told}"
    );
    assert!(
        told.contains("is taken by web1, a node of the configuration; the host is not reached"),
        "{told}"
    );
    assert!(told.contains("rproxy nodes rm NAME"), "{told}");
    assert!(!told.contains("users rm"), "{told}");
    // Until then, the configuration counts.
    let hosts = fixture.json(&["ls", "--format=json"]);
    assert_eq!(hosts[1]["name"], "web1");
    assert_eq!(hosts[1]["source"], "configuration");
    assert_eq!(hosts[1]["labels"], json!(["env=prod"]));
    let told = refused(fixture.run(&["rm", "db9"]));
    assert!(told.contains("there is no node"), "{told}");
    // The host that has joined can be removed all the same.
    assert_eq!(fixture.ok(&["rm", "web1"]), "Removed web1\n");
    preconditions::names_in_both(config).unwrap();
}

/// A host that joined before the configuration had the name.
#[test]
fn a_dns_name_of_the_configuration_that_has_joined_is_named_with_what_counts() {
    let fixture =
        HostsFixture::of("cluster_name: example.com\nnodes: [{ name: db1, addr: db1.internal }]\n");
    let names = vec!["app".to_owned(), "db1.internal".to_owned()];
    fixture.join(&JoinedNode {
        names,
        ..node("app", &[])
    });
    let failure = preconditions::names_in_both(&fixture.context.config).unwrap_err();
    let told = failure.to_string();
    assert!(
        told.contains("the name db1.internal of the host "),
        "{told}"
    );
    assert!(
        told.contains("taken by db1, a node of the configuration; the host is reached as app"),
        "{told}"
    );
}
