//! People join live sessions with their own ssh: `ssh -t NAME@PROXY join SESSION`.

use serde_json::Value;

use crate::support::client::ClientCommand;
use crate::support::recordings::{lines, text};
use crate::support::terminal::Terminal;
use crate::support::{ClientOutcome, World};

/// Roles in which everyone may log in everywhere, and these users may join.
fn roles(joins: &str) -> String {
    format!(
        "recording: {{ pty_input: yes }}\n\
         roles:\n\
         \x20 - {{ name: all, allow: [{{ nodes: [\"*\"] }}] }}\n\
         \x20 - {{ name: see, allow: [{{ nodes: [db1] }}], join: observe }}\n\
         \x20 - {{ name: act, allow: [{{ nodes: [db1] }}], join: type }}\n\
         users:\n\
         \x20 - {{ name: \"*\", roles: [all] }}\n\
         {joins}"
    )
}

const BOB_TYPES: &str = "  - { name: bob, roles: [act] }\n  - { name: carol, roles: [see] }\n";

fn world(joins: &str) -> World {
    World::with().settings(&roles(joins)).start()
}

/// The id of the one session that runs.
fn session(world: &World) -> String {
    let start = world.eventually("a session runs", || world.events("session.start").pop());
    text(&start, "session").to_owned()
}

/// `join` with these arguments.
fn join<'w>(ssh: ClientCommand<'w>, args: &[&str]) -> ClientCommand<'w> {
    ssh.args(["-tt", "127.0.0.1", "join"]).args(args)
}

/// Somebody at a terminal who has joined.
fn joined(ssh: ClientCommand<'_>, session: &str, more: &[&str]) -> Terminal {
    let args = [&[session], more].concat();
    let mut terminal = join(ssh, &args).in_terminal(24, 80);
    terminal.expect("joined (");
    terminal.expect("\r\n");
    terminal
}

/// The lines of a terminal that got these bytes.
fn screen(bytes: &[u8]) -> Vec<String> {
    let mut terminal = avt::Terminal::new(80, 24).expect("a size");
    terminal.feed(String::from_utf8_lossy(bytes).as_ref());
    let rows = terminal.screen().text();
    rows.iter().map(|row| row.trim_end().to_owned()).collect()
}

/// What was typed by whom: names and texts, those of the session's own client without a name.
fn typed(world: &World) -> Vec<(String, String)> {
    let [file] = world.recording_files().try_into().expect("one recording");
    let mut typed: Vec<(String, String)> = Vec::new();
    for line in lines(&file) {
        let (who, what) = match line[1].as_str() {
            Some("i") => (String::new(), line[2].as_str().expect("text").to_owned()),
            Some("j") => {
                let input: Value =
                    serde_json::from_str(line[2].as_str().expect("text")).expect("JSON");
                (
                    text(&input, "user").to_owned(),
                    text(&input, "text").to_owned(),
                )
            }
            _ => continue,
        };
        match typed.last_mut() {
            Some((last, so_far)) if *last == who => so_far.push_str(&what),
            _ => typed.push((who, what)),
        }
    }
    typed
}

#[test]
fn three_people_see_the_same_and_the_recording_says_who_typed() {
    let world = world(BOB_TYPES);
    let (bob, carol) = (world.another_user("bob"), world.another_user("carol"));
    let mut owner = world.shell();
    let id = session(&world);
    let mut bob = joined(world.outer_ssh_as(&bob), &id, &[]);
    let mut carol = joined(world.outer_ssh_as(&carol), &id, &[]);
    owner.expect("rproxy: bob joined (type)");
    owner.expect("rproxy: carol joined (observe)");
    bob.expect("rproxy: carol joined (observe)");
    // Nothing that the observer types arrives.
    carol.type_in("echo not-from-carol\r");
    bob.type_in("echo by-b''ob\r");
    for terminal in [&mut owner, &mut bob, &mut carol] {
        terminal.expect("by-bob\r\n");
    }
    // From an empty screen on, all terminals show the same.
    owner.type_in(
        "printf '\\033[2J\\033[H'; echo 'one two'; printf '\\033[5;9H%s\\r\\n' 'mid''dle'\r",
    );
    for terminal in [&mut owner, &mut bob, &mut carol] {
        terminal.expect("middle");
        terminal.expect("ready> ");
    }
    owner.type_in("exit 3\r");
    let (code, owner) = owner.finish();
    assert_eq!(code, Some(3));
    let (code, bob) = bob.finish();
    assert_eq!(code, Some(0));
    let (code, carol) = carol.finish();
    assert_eq!(code, Some(0));
    let end = "the session has ended";
    let shown = |bytes: &[u8]| {
        let rows = screen(bytes);
        rows.into_iter().take(6).collect::<Vec<_>>()
    };
    let expected = shown(&owner);
    assert_eq!(expected[0], "one two");
    for participant in [&bob, &carol] {
        assert!(String::from_utf8_lossy(participant).contains(end));
        assert_eq!(shown(participant), expected);
        assert!(!String::from_utf8_lossy(participant).contains("not-from-carol"));
    }
    let typed = typed(&world);
    let of = |who: &str| -> String {
        let theirs = typed.iter().filter(|(name, _)| name == who);
        theirs.map(|(_, text)| text.as_str()).collect()
    };
    assert_eq!(of("bob"), "echo by-b''ob\r");
    assert_eq!(of("carol"), "");
    assert!(of("").ends_with("exit 3\r"), "{typed:?}");
    let names = |event: &str| -> Vec<String> {
        let events = world.events(event);
        events
            .iter()
            .map(|event| text(event, "user").to_owned())
            .collect()
    };
    assert_eq!(names("session.joined"), ["bob", "carol"]);
    assert_eq!(names("session.left"), ["bob", "carol"]);
}

#[test]
fn who_leaves_is_gone_and_the_session_goes_on() {
    let world = world(BOB_TYPES);
    let (bob, carol) = (world.another_user("bob"), world.another_user("carol"));
    let mut owner = world.shell();
    let id = session(&world);
    // The beginning of the id is enough.
    let first = joined(world.outer_ssh_as(&bob), &id[..20], &[]);
    first.type_in("\x1d\x1d\x1d");
    let (code, shown) = first.finish();
    assert_eq!(code, Some(0));
    assert!(String::from_utf8_lossy(&shown).contains("you have left, the session goes on"));
    owner.expect("rproxy: bob left");
    let second = joined(world.outer_ssh_as(&carol), &id, &[]);
    second.type_in("\x03");
    assert_eq!(second.finish().0, Some(0));
    owner.expect("rproxy: carol left");
    // A client that is killed leaves nothing behind.
    let killed = joined(world.outer_ssh_as(&carol), &id, &[]);
    drop(killed);
    owner.expect("rproxy: carol left");
    let reasons: Vec<_> = world
        .events("session.left")
        .iter()
        .map(|event| text(event, "reason").to_owned())
        .collect();
    assert_eq!(reasons, ["left", "left", "disconnected"]);
    // To leave types nothing.
    assert_eq!(world.events("session.left")[0]["bytes_typed"], 0);
    let listed = world
        .outer_ssh_as(&bob)
        .args(["127.0.0.1", "join", "--format=json"]);
    let listed: Value = serde_json::from_str(&listed.run().success().text()).expect("JSON");
    assert_eq!(listed[0]["id"], id.as_str());
    assert_eq!(listed[0]["participants"], serde_json::json!([]));
    owner.type_in("exit\r");
    assert_eq!(owner.finish().0, Some(0));
}

fn refused(outcome: &ClientOutcome, why: &str) {
    assert_eq!(outcome.code(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
}

#[test]
fn a_role_without_join_knows_of_no_session() {
    let world = world(BOB_TYPES);
    let (bob, mallory) = (world.another_user("bob"), world.another_user("mallory"));
    let owner = world.shell();
    let id = session(&world);
    let ask = |args: &[&str], user| {
        world
            .outer_ssh_as(user)
            .args(["127.0.0.1", "join"])
            .args(args)
            .run()
    };
    refused(&ask(&[&id], &mallory), "no live session that you may join");
    refused(
        &ask(&[], &mallory),
        "there is no live session here that you may join",
    );
    // Where the policy allows it, a terminal is needed.
    refused(&ask(&[&id], &bob), "ssh -t");
    refused(&ask(&["0000"], &bob), "no live session that you may join");
    assert!(world.events("session.joined").is_empty());
    owner.type_in("exit\r");
    assert_eq!(owner.finish().0, Some(0));
}

#[test]
fn observe_can_be_asked_for_and_a_policy_that_changes_puts_out() {
    let world = world(BOB_TYPES);
    let bob = world.another_user("bob");
    let mut owner = world.shell();
    let id = session(&world);
    let mut observer = joined(world.outer_ssh_as(&bob), &id, &["--observe"]);
    owner.expect("rproxy: bob joined (observe)");
    observer.type_in("echo not-from-bob\r");
    owner.type_in("echo se''en\r");
    observer.expect("seen");
    world.reconfigure(|text| text.replace("join: type", "deny: [{ logins: [nobody] }]"));
    observer.expect("you may no longer join this session");
    let (code, shown) = observer.finish();
    assert_eq!(code, Some(1));
    assert!(!String::from_utf8_lossy(&shown).contains("not-from-bob"));
    owner.expect("rproxy: bob left");
    let [left] = world.events("session.left").try_into().expect("one");
    assert_eq!(text(&left, "reason"), "not-permitted");
    owner.type_in("exit\r");
    assert_eq!(owner.finish().0, Some(0));
    assert!(
        !typed(&world)
            .iter()
            .any(|(_, text)| text.contains("not-from-bob"))
    );
}

/// What a host sends to make terminals answer or act reaches no participant.
#[test]
fn a_participants_terminal_is_not_asked_for_anything() {
    let world = world(BOB_TYPES);
    let bob = world.another_user("bob");
    let mut owner = world.shell();
    let id = session(&world);
    let mut bob = joined(world.outer_ssh_as(&bob), &id, &[]);
    owner.type_in("printf '\\033[c\\033[6n\\033]52;c;c2VjcmV0\\007\\033]0;ti\\007do''ne\\n'\r");
    owner.expect("\x1b[c\x1b[6n\x1b]52;c;c2VjcmV0");
    bob.expect("done");
    owner.type_in("exit\r");
    owner.finish();
    let (_, shown) = bob.finish();
    let shown = String::from_utf8_lossy(&shown);
    for hostile in ["\x1b[c", "\x1b[6n", "\x1b]52", "\x1b]0"] {
        assert!(!shown.contains(hostile), "{hostile:?} in {shown:?}");
    }
}

/// The person may not even sign in again: the session goes on without them at once.
#[test]
fn a_lock_puts_a_participant_out() {
    let world = World::with().signed_in().start();
    world.reconfigure(|text| {
        let joins = "roles: [{ name: everywhere, join: observe,";
        text.replace("roles: [{ name: everywhere,", joins)
    });
    let bob = world.another_user("bob");
    let mut owner = world.shell();
    let id = session(&world);
    let ssh = world.outer_ssh_as(&bob).args(["-l", "bob"]);
    let mut terminal = joined(ssh, &id, &[]);
    owner.expect("rproxy: bob joined (observe)");
    world.users_do(&["lock", "bob"]);
    terminal.expect("locked");
    terminal.finish();
    owner.expect("rproxy: bob left");
    let [left] = world.events("session.left").try_into().expect("one");
    assert_eq!(text(&left, "reason"), "not-permitted");
    owner.type_in("exit\r");
    assert_eq!(owner.finish().0, Some(0));
}

/// What was typed before is in the recording.
#[test]
fn a_killed_proxy_leaves_a_readable_recording() {
    let world = world(BOB_TYPES);
    let bob = world.another_user("bob");
    let mut owner = world.shell();
    let id = session(&world);
    let mut bob = joined(world.outer_ssh_as(&bob), &id, &[]);
    bob.type_in("echo k''ill\r");
    bob.expect("kill\r\n");
    owner.expect("kill\r\n");
    world.kill_proxy();
    assert_eq!(bob.finish().0, Some(255));
    assert_eq!(owner.finish().0, Some(255));
    let exported = world.exported_as_json(&world.recording());
    let typed: String = exported
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|event| event["type"] == "participant-input" && event["user"] == "bob")
        .map(|event| text(&event, "text").to_owned())
        .collect();
    assert_eq!(typed, "echo k''ill\r");
}
