//! The commands from their flags to what they print, with a state of their own.

use std::path::Path;

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::cli::table::Surface;
use crate::config;
use crate::state::{NewUser, ProviderSubject, State};
use crate::sys::clock::Clock;

/// A proxy with two roles, and a user of the file.
const CONFIG: &str = "\
cluster_name: example.com
auth_service: { authentication: { type: local } }
proxy_service: { public_addr: proxy.example.com }
roles:
  - { name: dba, allow: [{ nodes: [\"db*\"] }] }
  - { name: web, allow: [{ nodes: [\"web*\"] }] }
users:
  - { name: bob, roles: [web] }
  - { name: \"*\", roles: [web] }
";

#[derive(Debug, Parser)]
struct UsersCli {
    #[command(subcommand)]
    command: UsersCommand,
}

/// A data directory, gone with the test.
struct UsersFixture {
    context: Context,
    _directory: tempfile::TempDir,
}

impl UsersFixture {
    fn new() -> Self {
        Self::of(CONFIG)
    }

    fn of(file: &str) -> Self {
        let directory = crate::sys::fs::private_tempdir();
        let loaded = config::parse(Path::new("r.yaml"), file, Some(directory.path())).unwrap();
        Self {
            context: Context {
                config: loaded.config,
                warnings: loaded.warnings,
            },
            _directory: directory,
        }
    }

    fn run(&self, args: &[&str]) -> Result<String, Failure> {
        let line = UsersCli::try_parse_from(std::iter::once(&"users").chain(args))
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        let context = &self.context;
        match line.command {
            UsersCommand::Add(args) => args.add(context),
            UsersCommand::Ls(args) => args.list(context, Surface::default()),
            UsersCommand::Show(args) => args.show(context),
            UsersCommand::Set(args) => args.set(context),
            UsersCommand::Lock(args) => args.lock(context),
            UsersCommand::Unlock(args) => args.unlock(context),
            UsersCommand::Reset(args) => args.reset(context),
            UsersCommand::Rm(args) => args.remove(context),
        }
    }

    fn ok(&self, args: &[&str]) -> String {
        self.run(args).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    fn fails(&self, args: &[&str]) -> String {
        let failure = self.run(args).unwrap_err();
        assert_eq!(failure.exit(), Exit::Failed, "{args:?}: {failure}");
        failure.to_string()
    }

    fn state(&self) -> State {
        stored::existing(&self.context).unwrap().unwrap()
    }

    /// The names of the audit log's events.
    fn audited(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.context.config.data_dir.audit_log());
        let event = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["event"].as_str().unwrap().to_owned()
        };
        log.unwrap_or_default().lines().map(event).collect()
    }
}

#[test]
fn what_a_person_has_to_do_is_one_command_and_an_invitation() {
    let fixture = UsersFixture::new();
    let added = fixture.json(&["add", "alice", "--roles=dba,web,dba", "--format=json"]);
    let keys: Vec<_> = added.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["command", "expires", "invitation", "name"]);
    assert_eq!(added["name"], "alice");
    assert_eq!(added["command"], "ssh -p 3023 signup@proxy.example.com");
    let expires = added["expires"].as_str().unwrap();
    let expires: chrono::DateTime<chrono::Utc> = expires.parse().unwrap();
    let left = expires.timestamp() - i64::try_from(Clock::System.unix_seconds()).unwrap();
    assert!((3_500..=3_600).contains(&left), "{left}");
    let invitation = added["invitation"].as_str().unwrap();
    let state = fixture.state();
    let user = state.users().get("ALICE").unwrap().unwrap();
    let stored = state.invitations().of_user(user.id).unwrap();
    assert_eq!(stored.len(), 1);
    assert!(!format!("{stored:?}").contains(invitation));
    assert_eq!(user.roles, ["dba", "web"]);
    assert_eq!(user.logins, None);
    assert_eq!(fixture.audited(), ["user.added", "invitation.created"]);
    let log = std::fs::read_to_string(fixture.context.config.data_dir.audit_log()).unwrap();
    assert!(!log.contains(invitation));
}

#[test]
fn the_text_has_the_command_the_invitation_and_the_end() {
    let fixture = UsersFixture::of(&CONFIG.replace("proxy.example.com", "\"[2001:db8::5]:22\""));
    let text = fixture.ok(&["add", "alice", "--roles=dba", "--logins=postgres,root"]);
    assert!(text.contains("\n    ssh signup@2001:db8::5\n"), "{text}");
    assert!(text.starts_with("Send this to alice"), "{text}");
    assert!(text.contains(", until 20"), "{text}");
    let logins = fixture
        .state()
        .users()
        .get("alice")
        .unwrap()
        .unwrap()
        .logins;
    let logins: Vec<String> = logins.unwrap().into_iter().map(String::from).collect();
    assert_eq!(logins, ["postgres", "root"]);
}

#[test]
fn without_a_public_address_the_command_has_a_gap() {
    let fixture = UsersFixture::of(&CONFIG.replace("public_addr: proxy.example.com", ""));
    let added = fixture.json(&["add", "alice", "--roles=dba", "--format=json"]);
    assert_eq!(added["command"], "ssh -p 3023 signup@PROXY");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let fixture = UsersFixture::new();
    for (args, text) in [
        (&["add", "alice", "--roles=dbaa"][..], "did you mean dba?"),
        (
            &["add", "bob", "--roles=dba"],
            "r.yaml has the name under users in line 8",
        ),
        (
            &["add", "BOB", "--roles=dba"],
            "r.yaml has the name under users",
        ),
        (
            &["add", "signup", "--roles=dba"],
            "has a meaning of its own",
        ),
        (&["add", "al ice", "--roles=dba"], "not allowed"),
        (
            &["add", "alice", "--roles=dba", "--ttl=31d"],
            "30 days at most",
        ),
        (
            &["add", "alice", "--roles=dba", "--ttl=0s"],
            "a second at least",
        ),
        (
            &["add", "alice", "--roles=dba", "--logins=a,,b"],
            "a name is empty",
        ),
        (
            &["show", "alice"],
            "there is no user \"alice\" in the state",
        ),
        (
            &["lock", "alice"],
            "there is no user \"alice\" in the state",
        ),
        (
            &["unlock", "alice"],
            "there is no user \"alice\" in the state",
        ),
        (
            &["reset", "alice"],
            "there is no user \"alice\" in the state",
        ),
        (&["rm", "alice"], "there is no user \"alice\" in the state"),
    ] {
        let told = fixture.fails(args);
        assert!(told.contains(text), "{args:?}: {told}");
    }
    assert!(!fixture.context.config.data_dir.state_db().exists());
    assert!(fixture.audited().is_empty());
    for args in [
        &["add", "alice"][..],
        &["add", "alice", "--roles=dba", "--ttl=1"],
    ] {
        assert_eq!(
            fixture.run(args).unwrap_err().exit(),
            Exit::Usage,
            "{args:?}"
        );
    }
}

#[test]
fn a_name_is_given_once_whatever_its_case() {
    let fixture = UsersFixture::new();
    fixture.ok(&["add", "alice", "--roles=dba"]);
    let told = fixture.fails(&["add", "Alice", "--roles=web"]);
    assert!(told.contains("there is a user Alice already"), "{told}");
    assert!(told.contains("rproxy users reset"), "{told}");
}

#[test]
fn the_list_and_the_report_have_fixed_keys() {
    let fixture = UsersFixture::new();
    assert_eq!(fixture.ok(&["ls", "--format=json"]), "[]\n");
    fixture.ok(&["add", "zoe", "--roles=web", "--logins=deploy"]);
    fixture.ok(&["add", "alice", "--roles=dba"]);
    fixture.ok(&["lock", "zoe", "--reason=on leave"]);
    let rows = fixture.json(&["ls", "--format=json"]);
    let created = rows[0]["created"].clone();
    let alice = serde_json::json!({
        "name": "alice", "state": "invited", "roles": ["dba"], "logins": null,
        "created": created, "locked": null, "password": false, "otp": false, "provider": null,
    });
    assert_eq!(rows[0], alice);
    assert_eq!(rows[1]["state"], "locked");
    assert_eq!(rows[1]["logins"], serde_json::json!(["deploy"]));
    assert_eq!(rows[1]["locked"]["reason"], "on leave");
    let table = fixture.ok(&["ls"]);
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["NAME", "STATE", "ROLES", "LOGINS", "ADDED"]);
    assert_eq!(lines[1][..4], ["alice", "invited", "dba", "all"]);
    assert_eq!(lines[2][..4], ["zoe", "locked", "web", "deploy"]);
    let shown = fixture.json(&["show", "ALICE", "--format=json"]);
    let keys: Vec<_> = shown.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        [
            "created",
            "invited_until",
            "keys",
            "locked",
            "logins",
            "name",
            "otp",
            "password",
            "provider",
            "recovery_codes",
            "roles",
            "sign_ins",
            "state",
        ]
    );
    let text = fixture.ok(&["show", "zoe"]);
    assert!(text.contains("state:         locked\n"), "{text}");
    assert!(text.contains(": on leave\n"), "{text}");
    assert!(text.contains("invitation:    valid until 20"), "{text}");
    // Each look is audited, with who was asked for.
    let log = std::fs::read_to_string(fixture.context.config.data_dir.audit_log()).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut reads: Vec<Value> = lines.collect();
    reads.retain(|line| line["event"] == "users.read");
    let asked: Vec<_> = reads
        .iter()
        .map(|line| (&line["how"], &line["user"]))
        .collect();
    let (ls, show) = (serde_json::json!("ls"), serde_json::json!("show"));
    let (all, alice, zoe) = (
        Value::Null,
        serde_json::json!("ALICE"),
        serde_json::json!("zoe"),
    );
    let expected = [(&ls, &all), (&ls, &all), (&show, &alice), (&show, &zoe)];
    assert_eq!(asked, expected);
    assert!(reads.iter().all(|line| line["by"].is_string()), "{reads:?}");
}

#[test]
fn what_cannot_be_audited_is_not_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = UsersFixture::new();
    fixture.ok(&["add", "alice", "--roles=dba"]);
    let log = fixture.context.config.data_dir.audit_log();
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o644)).unwrap();
    for args in [&["ls"][..], &["show", "alice"]] {
        let told = fixture.fails(args);
        assert!(told.contains("cannot say who reads it"), "{told}");
    }
}

#[test]
fn roles_and_logins_are_set() {
    let fixture = UsersFixture::new();
    fixture.ok(&["add", "alice", "--roles=dba", "--logins=postgres"]);
    assert_eq!(
        fixture.ok(&["set", "ALICE", "--roles=web,dba,web"]),
        "Changed alice: roles web, dba; logins postgres\n"
    );
    assert_eq!(
        fixture.ok(&["set", "alice", "--all-logins"]),
        "Changed alice: roles web, dba; logins all\n"
    );
    assert_eq!(
        fixture.ok(&["set", "alice", "--roles=web", "--logins=deploy,root"]),
        "Changed alice: roles web; logins deploy,root\n"
    );
    assert_eq!(fixture.audited()[2..], ["user.changed"; 3]);
    let told = fixture.fails(&["set", "alice", "--roles=webb"]);
    assert!(told.contains("did you mean web?"), "{told}");
    let told = fixture.fails(&["set", "alice", "--logins=a,,b"]);
    assert!(told.contains("a name is empty"), "{told}");
    let told = fixture.fails(&["set", "carol", "--roles=web"]);
    assert!(
        told.contains("there is no user \"carol\" in the state"),
        "{told}"
    );
    for args in [
        &["set", "alice"][..],
        &["set", "alice", "--logins=root", "--all-logins"],
    ] {
        assert_eq!(
            fixture.run(args).unwrap_err().exit(),
            Exit::Usage,
            "{args:?}"
        );
    }
    assert_eq!(fixture.audited().len(), 5);
}

#[test]
fn a_user_of_the_provider_is_active_and_has_roles_from_there() {
    let fixture = UsersFixture::new();
    fixture.ok(&["add", "carol", "--roles=dba"]);
    let subject = ProviderSubject {
        issuer: "https://id.example.com".to_owned(),
        subject: "248289761001".to_owned(),
    };
    let new = NewUser {
        name: "alice".parse().unwrap(),
        roles: vec!["web".to_owned()],
        logins: None,
        created: Clock::System.unix_seconds(),
    };
    fixture
        .state()
        .users()
        .add_of_subject(new, &subject)
        .unwrap();
    let shown = fixture.json(&["show", "alice", "--format=json"]);
    assert_eq!(shown["state"], "active");
    assert_eq!(shown["provider"]["subject"], "248289761001");
    let text = fixture.ok(&["show", "alice"]);
    assert!(
        text.contains("provider:      https://id.example.com, subject 248289761001\n"),
        "{text}"
    );
    assert!(
        !text.contains("invitation") && !text.contains("password"),
        "{text}"
    );
    let told = fixture.fails(&["set", "alice", "--roles=dba"]);
    assert!(told.contains("come from the identity provider"), "{told}");
    fixture.ok(&["set", "alice", "--logins=deploy"]);
}

#[test]
fn locks_are_set_and_lifted() {
    let fixture = UsersFixture::new();
    fixture.ok(&["add", "alice", "--roles=dba"]);
    assert_eq!(fixture.ok(&["lock", "alice"]), "Locked alice\n");
    assert_eq!(fixture.ok(&["unlock", "alice"]), "Unlocked alice\n");
    let told = fixture.fails(&["unlock", "alice"]);
    assert!(told.contains("is not locked"), "{told}");
    let failure = fixture.run(&["lock", "alice", "--reason="]).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage, "{failure}");
    assert_eq!(fixture.audited()[2..], ["user.locked", "user.unlocked"]);
}

#[test]
fn a_reset_gives_another_invitation_and_a_removal_none() {
    let fixture = UsersFixture::new();
    let first = fixture.json(&["add", "alice", "--roles=dba", "--format=json"]);
    let second = fixture.json(&["reset", "alice", "--ttl=2h", "--format=json"]);
    assert_ne!(first["invitation"], second["invitation"]);
    let state = fixture.state();
    let user = state.users().get("alice").unwrap().unwrap();
    assert_eq!(state.invitations().of_user(user.id).unwrap().len(), 1);
    assert_eq!(fixture.ok(&["rm", "alice"]), "Removed alice\n");
    assert_eq!(fixture.ok(&["ls", "--format=json"]), "[]\n");
    let told = fixture.fails(&["rm", "alice"]);
    assert!(told.contains("rproxy users ls"), "{told}");
}

#[test]
fn a_long_list_is_printed_in_pages() {
    let users = UsersFixture::new();
    for name in ["carol", "Alice", "dave"] {
        users.run(&["add", name, "--roles=dba"]).unwrap();
    }
    let names = |args: &[&str]| {
        let list = users.run(&[&["ls"], args].concat()).unwrap();
        let lines = list.lines().skip(1);
        let first = |line: &str| {
            line.split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        (lines.map(first).collect::<Vec<_>>(), list)
    };
    assert_eq!(names(&[]).0, ["Alice", "carol", "dave"]);
    let (some, text) = names(&["--limit=2"]);
    assert_eq!(some, ["Alice", "carol", "and"]);
    let more = "and more: --after=carol lists the next ones, --limit=0 all\n";
    assert!(text.ends_with(more), "{text}");
    assert_eq!(names(&["--limit=2", "--after=Carol"]).0, ["dave"]);
    assert_eq!(names(&["--limit=0"]).0.len(), 3);
    let json = users.run(&["ls", "--format=json", "--limit=1"]).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&json)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
