//! The machine of a person: a home with `known_hosts` and nothing else, before and after.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::support::client::ClientCommand;
use crate::support::recordings::text;
use crate::support::{World, keys, namespace, programs, skipped};

/// A home whose `known_hosts` trusts the host CA, as an administrator prints it.
fn home(world: &World) -> PathBuf {
    let home = world.dir().join("home");
    let ssh = home.join(".ssh");
    std::fs::create_dir_all(&ssh).expect("a writable directory");
    std::fs::set_permissions(&ssh, Permissions::from_mode(0o700)).expect("our own directory");
    let line = keys::tool(world.rproxy().args(["auth", "export", "--type=host"]));
    std::fs::write(ssh.join("known_hosts"), line).expect("a writable directory");
    home
}

/// Every directory and file of a home, with its mode, and what is in it.
fn tree(home: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![home.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            let mode = path.symlink_metadata().expect("it is there").mode();
            if path.is_dir() {
                directories.push(path.clone());
            }
            let content = std::fs::read(&path).unwrap_or_default();
            found.insert(path, (mode, content));
        }
    }
    found
}

/// What `users add` prints, typed word for word, and then the host: with plain `ssh`, its defaults, and the
/// home of the account that it runs under.
#[test]
fn two_commands_leave_the_home_as_it_was() {
    let world = World::with().people().start();
    let home = home(&world);
    let ssh = || -> Option<ClientCommand<'_>> {
        let at_home = namespace::at_home(&home, &programs::path("ssh"))?;
        let client = ClientCommand::of(&world.children, at_home, &home);
        Some(world.in_environment(client))
    };
    let (Some(signs_up), Some(logs_in)) = (ssh(), ssh()) else {
        return skipped::cannot("no process may mount anything here");
    };
    let before = tree(&home);
    assert_eq!(before.len(), 2, "{before:?}");

    let login = crate::support::world::login();
    let logins = format!("--logins={login}");
    let added = world.users_do(&[
        "add",
        "alice",
        "--roles=everywhere",
        &logins,
        "--format=json",
    ]);
    let added: serde_json::Value = serde_json::from_str(&added).expect("JSON");
    // The proxy of the test has another port than it tells.
    let command = text(&added, "command").replace("3023", &world.port().to_string());
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words.first(), Some(&"ssh"), "{command}");
    let terminal = signs_up.args(&words[1..]).in_terminal(60, 120);
    World::sign_up_at(terminal, "alice", text(&added, "invitation"));

    let proxy = format!("127.0.0.1:{}", world.port());
    let host = format!("{login}@db1");
    let mut terminal = logs_in
        .args(["-A", "-J", &proxy, &host])
        .in_terminal(24, 80);
    terminal.type_in("echo $((40 + 2)) is the answer; exit 3\r");
    terminal.expect("42 is the answer");
    let (code, shown) = terminal.finish();
    assert_eq!(code, Some(3), "{}", String::from_utf8_lossy(&shown));

    let recording = world.finished_recording();
    assert_eq!(text(&recording, "user"), "alice");
    let said = world.exported(&recording, "stdout");
    assert!(String::from_utf8_lossy(&said).contains("42 is the answer"));
    // Not even `known_hosts` has changed: the line of the CA is for every host.
    assert_eq!(tree(&home), before);
    // The agent holds what it held: one key, and no certificate.
    let listed = world.program("ssh-add").arg("-l").run().success().text();
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(!listed.contains("CERT"), "{listed}");
}
