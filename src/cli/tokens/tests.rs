//! The commands from their flags to what they print, with a state of their own.

use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::cli::nodes::testing::{HostsFixture, refused};
use crate::cli::table::Surface;
use crate::sys::clock::Clock;

#[derive(Debug, Parser)]
struct TokensCli {
    #[command(subcommand)]
    command: TokensCommand,
}

fn run(fixture: &HostsFixture, args: &[&str]) -> Result<String, Failure> {
    let line = TokensCli::try_parse_from(std::iter::once(&"tokens").chain(args))
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    match line.command {
        TokensCommand::Add(args) => args.add(&fixture.context),
        TokensCommand::Ls(args) => args.list(&fixture.context, Surface::default()),
        TokensCommand::Rm(args) => args.remove(&fixture.context),
    }
}

fn json(fixture: &HostsFixture, args: &[&str]) -> Value {
    serde_json::from_str(&run(fixture, args).unwrap()).unwrap()
}

#[test]
fn a_token_is_printed_once_and_stored_as_its_hash() {
    let fixture = HostsFixture::new();
    let added = json(&fixture, &["add", "--type=node", "--format=json"]);
    let keys: Vec<_> = added.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["expires", "id", "token"]);
    let token = added["token"].as_str().unwrap();
    assert!(token.starts_with("rpt_"), "{token}");
    let expires: chrono::DateTime<chrono::Utc> =
        added["expires"].as_str().unwrap().parse().unwrap();
    let left = expires.timestamp() - i64::try_from(Clock::System.unix_seconds()).unwrap();
    assert!((1_700..=1_800).contains(&left), "{left}");
    let stored = fixture.state().tokens().list().unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].id.to_string(), added["id"]);
    assert_eq!(stored[0].uses, 1);
    assert!(!format!("{stored:?}").contains(token));
    assert_eq!(fixture.audited(), ["token.added"]);
    assert!(!format!("{:?}", fixture.audit_log()).contains(token));
}

#[test]
fn the_text_has_the_commands_the_token_and_the_end() {
    let fixture = HostsFixture::new();
    let text = run(&fixture, &["add", "--type=node", "--uses=3", "--ttl=2d"]).unwrap();
    for part in [
        "\n    rproxy nodes script > join.sh\n",
        ", until 20",
        "\n    sh join.sh\n",
        "which can be used 3 times:\n\n    rpt_",
    ] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
}

#[test]
fn the_list_has_fixed_keys_and_no_token() {
    let fixture = HostsFixture::new();
    assert_eq!(run(&fixture, &["ls", "--format=json"]).unwrap(), "[]\n");
    let line = [
        "add",
        "--type=node",
        "--names=db1,db2",
        "--labels=env=prod,role=db",
        "--tunnel=required",
        "--uses=2",
        "--format=json",
    ];
    let added = json(&fixture, &line);
    let listed = run(&fixture, &["ls", "--format=json"]).unwrap();
    assert!(!listed.contains(added["token"].as_str().unwrap()));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let (created, by) = (&listed[0]["created"], &listed[0]["by"]);
    assert!(by.is_string());
    let expected = json!([{
        "id": added["id"], "type": "node", "state": "valid", "names": ["db1", "db2"],
        "labels": ["env=prod", "role=db"], "tunnel": "required", "uses": 2, "created": created,
        "expires": added["expires"], "by": by,
    }]);
    assert_eq!(listed, expected);
    let table = run(&fixture, &["ls"]).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "ID", "STATE", "NAMES", "LABELS", "TUNNEL", "USES", "EXPIRES", "BY"
        ]
    );
    assert_eq!(
        rows[1][1..6],
        ["valid", "db1,db2", "env=prod,role=db", "required", "2"]
    );
}

#[test]
fn a_token_is_removed_by_its_id() {
    let fixture = HostsFixture::new();
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    for has_state in [false, true] {
        if has_state {
            fixture.state();
        }
        let told = refused(run(&fixture, &["rm", unknown]));
        assert!(
            told.contains(&format!("there is no token {unknown}")),
            "{told}"
        );
        assert!(told.contains("rproxy tokens ls"), "{told}");
    }
    let added = json(&fixture, &["add", "--type=node", "--format=json"]);
    let id = added["id"].as_str().unwrap();
    let removed = run(&fixture, &["rm", id]).unwrap();
    assert_eq!(removed, format!("Removed the token {id}\n"));
    assert_eq!(run(&fixture, &["ls", "--format=json"]).unwrap(), "[]\n");
    let mut audited = fixture.audited();
    audited.retain(|name| name != "nodes.read");
    assert_eq!(audited, ["token.added", "token.removed"]);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let fixture = HostsFixture::new();
    for (args, text) in [
        (&["--ttl=31d"][..], "30 days at most"),
        (&["--ttl=0s"], "a second at least"),
        (&["--names=web1"], "web1"),
        (&["--names=a b"], "a b"),
        (&["--names=10.0.0.5"], "10.0.0.5"),
        (&["--names=proxy.example.com"], "proxy.example.com"),
    ] {
        let told = refused(run(&fixture, &[&["add", "--type=node"], args].concat()));
        assert!(told.contains(text), "{args:?}: {told}");
    }
    for args in [
        &["add"][..],
        &["add", "--type=user"],
        &["add", "--type=node", "--tunnel=yes"],
        &["add", "--type=node", "--labels=prod"],
        &["add", "--type=node", "--uses=0"],
        &["add", "--type=node", "--ttl=1"],
        &["rm", "1"],
    ] {
        let failure = run(&fixture, args).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage, "{args:?}: {failure}");
    }
    assert!(!fixture.context.config.data_dir.state_db().exists());
    assert!(fixture.audited().is_empty());
}
