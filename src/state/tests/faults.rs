//! Databases that fail: each says why, and the state goes on by itself as soon as the database does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{node, token, user};
use crate::state::testing::server::PostgresServer;
use crate::state::testing::{NOW, on_both_places};
use crate::state::{Joining, NewUser, State, StateError, StatePlace};
use crate::sys::clock::Clock;
use crate::sys::fs::{FsError, PRIVATE_FILE, Replace, private_tempdir, write_whole};
use crate::sys::skipped;

const CLOCK: Clock = Clock::Fixed(NOW);

fn open(path: &Path) -> Result<State, StateError> {
    State::open(&StatePlace::Sqlite(path.to_owned()), CLOCK)
}

fn new_user(name: &str) -> NewUser {
    NewUser {
        name: name.parse().unwrap(),
        roles: Vec::new(),
        logins: None,
        created: NOW,
    }
}

#[test]
fn what_is_no_state_or_is_open_to_others_is_refused() {
    let directory = private_tempdir();
    let path = |name: &str| directory.path().join(name);
    write_whole(&path("text"), &[b'x'; 4096], PRIVATE_FILE, Replace::Refuse).unwrap();
    let refused = open(&path("text")).unwrap_err();
    assert!(matches!(refused, StateError::Damaged { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("restore a backup"), "{text}");
    drop(open(&path("state.db")).unwrap());
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    let found = std::fs::metadata(path("state.db")).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
    std::fs::set_permissions(path("state.db"), mode(0o640)).unwrap();
    let refused = open(&path("state.db")).unwrap_err();
    assert!(
        matches!(refused, StateError::Fs(FsError::TooOpen { .. })),
        "{refused}"
    );
    let refused = open(&path("no/such/directory")).unwrap_err();
    assert!(
        matches!(&refused, StateError::Fs(error) if error.is_not_found()),
        "{refused}"
    );
}

#[test]
fn what_root_makes_belongs_to_the_owner_of_the_directory() {
    if !rustix::process::geteuid().is_root() {
        return skipped::cannot("only root can make files for other accounts");
    }
    let directory = private_tempdir();
    std::os::unix::fs::chown(directory.path(), Some(65534), Some(65534)).unwrap();
    let state = open(&directory.path().join("state.db")).unwrap();
    user(&state, "alice");
    let mut files: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), entry.metadata().unwrap().uid()))
        .collect();
    files.sort();
    let expected = ["state.db", "state.db-shm", "state.db-wal"];
    assert_eq!(files, expected.map(|name| (name.into(), 65534)));
}

#[test]
fn a_damaged_page_is_reported() {
    let directory = private_tempdir();
    let path = directory.path().join("state.db");
    let state = open(&path).unwrap();
    for number in 0..200 {
        user(&state, &format!("user{number}"));
    }
    // Everything is in the file itself then.
    let backup = directory.path().join("backup.db");
    state.backup(&backup).unwrap();
    let file = std::fs::File::options().write(true).open(&backup).unwrap();
    let length = file.metadata().unwrap().len();
    for page in 1..length / 4096 {
        file.write_all_at(&[0xff; 64], page * 4096).unwrap();
    }
    let damaged = open(&backup).and_then(|state| state.users().list());
    let damaged = damaged.unwrap_err();
    assert!(matches!(damaged, StateError::Damaged { .. }), "{damaged}");
}

/// The user of a test binary that runs this test again, as another process.
const CHILD: &str = "RPROXY_TEST_STATE_WRITER";

/// Starts a process that adds users to a state, from `user1` on, and prints a line for each that was
/// confirmed, or the failure. It waits for a line of input before each.
/// Before that, the shell carries out `first`.
fn writer(url: &str, first: &str) -> std::process::Child {
    let test = "state::tests::faults::the_writer_of_the_other_tests";
    // The signal would end the process where the operating system reports an error otherwise.
    let script = format!("trap '' XFSZ; {first} exec \"$@\"");
    let mut command = match first.starts_with("mount") {
        true => Command::new("unshare"),
        false => Command::new("sh"),
    };
    if first.starts_with("mount") {
        command.args(["-m", "sh"]);
    }
    command.args(["-c", &script, "sh"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(CHILD, url);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn place(url: &str) -> StatePlace {
    match url.parse() {
        Ok(url) => StatePlace::Postgres(url),
        Err(_) => StatePlace::Sqlite(url.into()),
    }
}

/// Not a test of its own: what [`writer`] starts.
#[test]
fn the_writer_of_the_other_tests() {
    let Ok(url) = std::env::var(CHILD) else {
        return;
    };
    let state = State::open(&place(&url), CLOCK).unwrap();
    let first = state.users().list().unwrap().len() + 1;
    let mut input = std::io::stdin().lines();
    for number in first.. {
        if !matches!(input.next(), Some(Ok(_))) {
            return;
        }
        match adds(&state, number) {
            Ok(name) => println!("added {name}"),
            Err(error) => println!("failed {error}"),
        }
    }
}

/// How many hosts can join with the token [`TOKEN`], where there is one.
const HOSTS: u64 = 100_000;
/// Its hash.
const TOKEN: &str = "t";

/// Adds a user, and has a host join if there is a token; gives the user's name.
fn adds(state: &State, number: usize) -> Result<String, StateError> {
    let user = state.users().add(new_user(&format!("user{number}")))?;
    if state.tokens().by_hash_any(TOKEN)?.is_some() {
        let host = node(&format!("host{number}"));
        let joining = state.nodes().join(&host, TOKEN, NOW)?;
        assert_eq!(joining, Joining::Joined(host.id));
    }
    Ok(user.name.to_string())
}

#[test]
fn what_was_confirmed_outlives_kills_at_any_moment() {
    on_both_places(|place| {
        let url = match place {
            StatePlace::Sqlite(path) => path.to_str().unwrap().to_owned(),
            StatePlace::Postgres(url) => url.shown().to_owned(),
        };
        let state = State::open(place, CLOCK).unwrap();
        state.tokens().put(&token(TOKEN, HOSTS)).unwrap();
        let mut confirmed = Vec::new();
        for round in 0..10_u32 {
            let mut child = writer(&url, "");
            let mut input = child.stdin.take().unwrap();
            input.write_all(&b"\n".repeat(10_000)).unwrap();
            let output = BufReader::new(child.stdout.take().unwrap());
            let lines = output.lines().map_while(Result::ok);
            let mut added = lines.filter_map(|line| {
                assert!(!line.contains("failed "), "{line}");
                Some(line.split_once("added ")?.1.to_owned())
            });
            // It is killed while it writes what comes next.
            confirmed.extend(added.by_ref().take(1 + 7 * round as usize % 20));
            child.kill().unwrap();
            confirmed.extend(added);
            child.wait().unwrap();
            let users = state.users().list().unwrap();
            for name in &confirmed {
                let found = users.iter().any(|user| user.name.as_str() == name);
                assert!(found, "round {round}: {name} is missing");
            }
            // A use of the token is a host that is there.
            let nodes = state.nodes().list().unwrap().len();
            assert!(nodes >= confirmed.len(), "round {round}: {nodes} hosts");
            let left = state.tokens().by_hash_any(TOKEN).unwrap().unwrap().uses;
            assert_eq!(left + nodes as u64, HOSTS, "round {round}");
        }
        assert!(confirmed.len() >= 10);
    });
}

#[test]
fn a_limit_of_the_process_is_reported_and_nothing_is_lost() {
    let directory = private_tempdir();
    let path = directory.path().join("state.db");
    let state = open(&path).unwrap();
    let before = state.users().list().unwrap().len();
    // No file of the process may grow beyond 512 KiB (or 1 MiB, by the shell); the log beside the state
    // would.
    let mut child = writer(path.to_str().unwrap(), "ulimit -f 1024;");
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    input.write_all(&b"\n".repeat(300)).unwrap();
    drop(input);
    let lines: Vec<_> = output.lines().map(Result::unwrap).collect();
    let count = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    let (added, failed) = (count("added "), count("failed "));
    assert!(added > 0 && failed > 0, "{added} added, {failed} failed");
    let reason = lines.iter().find(|line| line.contains("failed ")).unwrap();
    assert!(reason.contains("cannot be read or written"), "{reason}");
    child.wait().unwrap();
    // Nothing that failed is there, and nothing that was confirmed is missing.
    assert_eq!(state.users().list().unwrap().len(), before + added);
    user(&state, "bob");
}

#[test]
fn a_full_disk_is_reported_and_used_again_when_it_has_room() {
    let may_mount = Command::new("unshare").args(["-m", "true"]).output();
    if !may_mount.is_ok_and(|output| output.status.success()) {
        return skipped::cannot("only root can mount a small disk");
    }
    let directory = private_tempdir();
    let path = directory.path().display();
    let state = format!("{path}/state.db");
    // The disk is the child's alone.
    let mount = format!(
        "mount -t tmpfs -o size=2m,mode=700 tmpfs {path} && head -c 1000000 /dev/zero >{path}/ballast;"
    );
    let mut child = writer(&state, &format!("{mount} "));
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut lines = output.lines().map(Result::unwrap);
    let mut next = |word: &str| {
        input.write_all(b"\n").unwrap();
        let is_answer = |line: &String| line.contains("added ") || line.contains("failed ");
        let line = lines.find(is_answer).unwrap();
        line.contains(word).then_some(line)
    };
    assert!(next("added ").is_some());
    let failed = (0..1000).find_map(|_| next("failed ")).unwrap();
    assert!(failed.contains("no room for the state at"), "{failed}");
    // The other side of the mount, through the child that sees it.
    let ballast = format!("/proc/{}/root{path}/ballast", child.id());
    std::fs::remove_file(ballast).unwrap();
    assert!(next("added ").is_some());
    drop(input);
    child.wait().unwrap();
}

#[test]
fn a_file_that_may_not_be_written_is_reported() {
    if rustix::process::geteuid().is_root() {
        return skipped::cannot("root may write all files");
    }
    let directory = private_tempdir();
    let path = directory.path().join("state.db");
    user(&open(&path).unwrap(), "alice");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    let refused = open(&path).and_then(|state| state.users().add(new_user("bob")));
    let refused = refused.unwrap_err();
    let is_clear = matches!(
        refused,
        StateError::ReadOnly { .. } | StateError::Disk { .. }
    );
    assert!(is_clear, "{refused}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    user(&open(&path).unwrap(), "bob");
}

#[test]
fn a_server_that_goes_away_and_comes_back_is_used_again() {
    // Its own: the others are not to be disturbed.
    let Some(server) = PostgresServer::start() else {
        return skipped::lacks("PostgreSQL");
    };
    let url = server.database();
    let state = State::open(&place(&url), CLOCK).unwrap();
    for (number, end) in ["stop", "kill"].into_iter().enumerate() {
        user(&state, &format!("before{number}"));
        server.tell(end);
        let gone = state.users().list().unwrap_err();
        assert!(matches!(gone, StateError::Unreachable { .. }), "{gone}");
        assert!(gone.is_transient());
        let gone = state.users().add(new_user("nobody")).unwrap_err();
        assert!(matches!(gone, StateError::Unreachable { .. }), "{gone}");
        assert_eq!(state.meters().errors.value(), 2 * (number as u64 + 1));
        server.tell("start");
        user(&state, &format!("after{number}"));
        assert_eq!(state.users().list().unwrap().len(), 2 * (number + 1));
    }
    // Connections that were kept and have broken are no failure for whoever comes next.
    server.tell("stop");
    server.tell("start");
    user(&state, "last");
}

#[test]
fn a_server_that_could_lose_what_it_has_confirmed_is_refused() {
    on_both_places(|place| {
        let StatePlace::Postgres(url) = place else {
            return;
        };
        let text = format!("{}&options=-c%20synchronous_commit%3Doff", url.shown());
        let lax = StatePlace::Postgres(text.parse().unwrap());
        let refused = State::open(&lax, CLOCK).unwrap_err();
        assert!(matches!(refused, StateError::Unsafe { .. }), "{refused}");
        let nowhere = "postgresql://rproxy@/rproxy?host=/nonexistent";
        let nowhere = StatePlace::Postgres(nowhere.parse().unwrap());
        let refused = State::open(&nowhere, CLOCK).unwrap_err();
        assert!(
            matches!(refused, StateError::Unreachable { .. }),
            "{refused}"
        );
    });
}
