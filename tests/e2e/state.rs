//! `rproxy state`: the state is looked at, backed up and restored beside a proxy, and after it.

use std::fs;
use std::process::Command;

use crate::support::World;
use crate::support::keys;

/// Runs a command that is refused; gives what it says.
fn refused(mut command: Command) -> String {
    let output = command.output().expect("rproxy starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

fn state(world: &World, args: &[&str]) -> Command {
    let mut command = world.rproxy();
    command.arg("state").args(args).current_dir(world.dir());
    command
}

fn auth(world: &World, args: &[&str]) -> String {
    keys::tool(world.rproxy().arg("auth").args(args))
}

fn revocations(world: &World) -> u64 {
    let status = keys::tool(&mut state(world, &["status", "--format=json"]));
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["backend"], "sqlite");
    status["rows"]["revocations"].as_u64().expect("a number")
}

#[test]
fn a_backup_is_written_beside_the_proxy_and_restored_without_losing_a_revocation() {
    let world = World::new();
    auth(
        &world,
        &["revoke", "--yes", "--unknown", "--key-id=mallory"],
    );
    assert_eq!(revocations(&world), 1);
    let shown = keys::tool(&mut state(&world, &["status"]));
    assert!(
        shown.contains("state.db\n") && shown.contains("\nschema"),
        "{shown}"
    );

    let said = keys::tool(&mut state(&world, &["backup", "copy"]));
    assert!(said.ends_with("1 revocations\n"), "{said}");
    let again = refused(state(&world, &["backup", "copy"]));
    assert!(again.contains("copy"), "{again}");
    auth(&world, &["revoke", "--yes", "--unknown", "--key-id=trudy"]);

    let running = refused(state(&world, &["restore", "copy"]));
    assert!(running.contains("the proxy runs"), "{running}");
    let running = refused(state(
        &world,
        &["migrate", "--to=postgresql://nobody@/x?host=/nowhere"],
    ));
    assert!(running.contains("the proxy runs"), "{running}");
    world.stop_proxy();
    let broken = world.dir().join("broken");
    fs::write(&broken, "no database").expect("writable");
    let said = refused(state(&world, &["restore", "broken"]));
    assert!(said.contains("broken"), "{said}");
    assert_eq!(revocations(&world), 2, "nothing has changed");

    let said = keys::tool(&mut state(&world, &["restore", "copy"]));
    assert!(
        said.contains("state.db: ") && said.ends_with("1 revocations\n"),
        "{said}"
    );
    assert_eq!(revocations(&world), 1);
    let names = fs::read_dir(world.data()).expect("it is there").flatten();
    let names: Vec<_> = names
        .map(|e| e.file_name().into_string().expect("UTF-8"))
        .collect();
    let kept = names
        .iter()
        .filter(|name| name.starts_with("state.db.before-"));
    assert_eq!(kept.count(), 1, "{names:?}");

    // What the backup lacks was revoked, and stays so.
    world.restart_proxy();
    assert_eq!(revocations(&world), 2);
}

#[test]
fn a_state_that_is_damaged_or_not_there_is_refused() {
    let world = World::new();
    world.stop_proxy();
    let file = world.data().join("state.db");
    let kept = world.data().join("kept.db");
    fs::copy(&file, &kept).expect("it is ours");
    fs::write(&file, "no database ".repeat(100)).expect("it is ours");
    for command in [&["status"][..], &["backup", "copy"]] {
        let said = refused(state(&world, command));
        assert!(
            said.contains("state.db") && said.contains("restore"),
            "{said}"
        );
    }
    fs::remove_file(&file).expect("it is ours");
    let said = refused(state(&world, &["status"]));
    assert!(said.contains("there is no state yet"), "{said}");
    assert!(!file.exists(), "looking makes none");
    fs::rename(&kept, &file).expect("it is ours");
    assert_eq!(revocations(&world), 0);
}
