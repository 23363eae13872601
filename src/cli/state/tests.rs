//! `rproxy state` on both databases.

use std::path::Path;

use clap::Parser;

use super::*;
use crate::config;
use crate::state::StatePlace;
use crate::state::testing::on_both_places;
use crate::sys::clock::Clock;
use crate::sys::fs::FileLock;

#[derive(Debug, Parser)]
struct StateCli {
    #[command(subcommand)]
    command: StateCommand,
}

/// A configuration whose state is at a place.
struct StateFixture {
    directory: tempfile::TempDir,
    context: Context,
}

impl StateFixture {
    fn new(place: &StatePlace) -> Self {
        let directory = crate::sys::fs::private_tempdir();
        let text = match place {
            // Its own, in the data directory.
            StatePlace::Sqlite(_) => "cluster_name: example.com\n".to_owned(),
            StatePlace::Postgres(url) => {
                format!(
                    "cluster_name: example.com\nstate: {{ url: \"{}\" }}\n",
                    url.shown()
                )
            }
        };
        let loaded = config::parse(Path::new("test"), &text, Some(directory.path()));
        let loaded = loaded.unwrap();
        let context = Context {
            config: loaded.config,
            warnings: loaded.warnings,
        };
        Self { directory, context }
    }

    fn run(&self, args: &[&str]) -> Result<String, Failure> {
        let here = self.directory.path().to_str().unwrap();
        let args = args.iter().map(|arg| arg.replace("DIR", here));
        let line = StateCli::try_parse_from(std::iter::once("state".to_owned()).chain(args));
        line.unwrap().command.done(&self.context)
    }

    /// The names of the audit log's events about the state.
    fn audited(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.context.config.data_dir.audit_log());
        let log = log.unwrap_or_default();
        let lines = log.lines();
        let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let names = lines.filter_map(|line| line["event"].as_str().map(str::to_owned));
        names.filter(|name| name.starts_with("state.")).collect()
    }

    /// Revokes something; gives how many revocations there are then.
    fn revoke(&self, key_id: &str) -> usize {
        let records = self.context.config.installation(Clock::System).records;
        let what = crate::ca::Revoked::of_key_id(key_id.to_owned());
        records.revoked.revoke(vec![what], "root", None).unwrap();
        records.revoked.read().unwrap().records().len()
    }
}

fn refused(done: Result<String, Failure>) -> String {
    done.unwrap_err().to_string()
}

#[test]
fn a_state_is_shown_and_backed_up_and_the_backup_restored() {
    on_both_places(|place| {
        let scene = StateFixture::new(place);
        let none = refused(scene.run(&["status"]));
        assert!(none.contains("there is no state yet"), "{none}");
        assert_eq!(scene.revoke("mallory"), 1);
        let shown = scene.run(&["status"]).unwrap();
        assert!(shown.contains("\nrevocations      1\n"), "{shown}");
        let status = scene.run(&["status", "--format=json"]).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let is_file = matches!(place, StatePlace::Sqlite(_));
        assert_eq!(
            status["backend"],
            ["postgres", "sqlite"][usize::from(is_file)]
        );
        assert_eq!(status["schema"], 5);

        let said = scene.run(&["backup", "DIR/copy"]).unwrap();
        assert!(
            said.ends_with(": 0 users, 0 certificates, 1 revocations\n"),
            "{said}"
        );
        assert!(refused(scene.run(&["backup", "DIR/copy"])).contains("copy"));
        assert_eq!(scene.revoke("trudy"), 2);
        let served = FileLock::attempt(&scene.context.config.data_dir.serve_lock());
        for command in [&["restore", "DIR/copy"][..], &["migrate", "--to=sqlite"]] {
            let said = refused(scene.run(command));
            assert!(
                said.contains("the proxy runs") || said.contains("already"),
                "{said}"
            );
        }
        drop(served.unwrap().unwrap());
        if is_file {
            let said = scene.run(&["restore", "DIR/copy"]).unwrap();
            assert!(said.ends_with(", 1 revocations\n"), "{said}");
        } else {
            let said = refused(scene.run(&["restore", "DIR/copy"]));
            assert!(
                said.contains("is not empty") && said.contains("createdb"),
                "{said}"
            );
        }
        let read = ["state.read"; 2];
        let copied = ["state.copied"; 2];
        let restored = ["state.restored"].into_iter().filter(|_| is_file);
        let expected = read.into_iter().chain(copied).chain(restored);
        assert!(
            scene.audited().into_iter().eq(expected),
            "{:?}",
            scene.audited()
        );
    });
}

#[test]
fn a_state_moves_to_another_database_and_back() {
    on_both_places(|place| {
        let StatePlace::Postgres(url) = place else {
            return;
        };
        let file = StateFixture::new(&StatePlace::Sqlite("unused".into()));
        file.revoke("mallory");
        let to = format!("--to={}", url.shown());
        let said = file.run(&["migrate", &to]).unwrap();
        assert!(
            said.contains(": 0 users, 0 certificates, 1 revocations\n"),
            "{said}"
        );
        let (_, lines) = said.split_once("\n\n").unwrap();
        let loaded = config::parse(Path::new("test"), lines, Some(file.directory.path()));
        assert_eq!(loaded.unwrap().config.state_place().unwrap(), *place);
        let again = refused(file.run(&["migrate", &to]));
        assert!(again.contains("is not empty"), "{again}");

        let database = StateFixture::new(place);
        assert_eq!(database.revoke("trudy"), 2);
        let said = database.run(&["migrate", "--to=sqlite"]).unwrap();
        assert!(said.contains("2 revocations\n"), "{said}");
        assert!(said.ends_with("state:\n  url: \"\"\n"), "{said}");
        let already = refused(file.run(&["migrate", "--to=sqlite"]));
        assert!(already.contains("already"), "{already}");
    });
}

#[test]
fn a_password_is_no_argument() {
    let scene = StateFixture::new(&StatePlace::Sqlite("unused".into()));
    let said = refused(scene.run(&["migrate", "--to=postgresql://rproxy:s3cret@h/d"]));
    assert!(
        said.contains("--password-file") && !said.contains("s3cret"),
        "{said}"
    );
    let said = refused(scene.run(&["migrate", "--to=mysql://h/d"]));
    assert!(said.contains("postgresql://"), "{said}");
}
