//! Interactive sessions: a user, a terminal, a shell.

use crate::support::World;
use crate::support::recordings::{file, lines, said, text};

/// RFC 4254, 6.2 and 6.7: the terminal's size, and its changes.
#[test]
fn window_size_and_its_changes_arrive() {
    let world = World::new();
    let mut terminal = world.shell();
    terminal.type_in("stty size; tty; echo TERM=$TERM\r");
    let seen = terminal.expect("TERM=xterm-256color");
    assert!(seen.contains("24 80"), "{seen}");
    assert!(seen.contains("/dev/pts/"), "{seen}");

    terminal.resize(50, 132);
    terminal
        .type_in("until test \"$(stty size)\" = '50 132'; do sleep 0.05; done; echo re''sized\r");
    terminal.expect("resized");
    terminal.type_in("exit 3\r");
    let (code, _) = terminal.finish();
    assert_eq!(code, Some(3));

    let recorded = lines(file(&world.finished_recording()));
    assert_eq!(recorded[0]["term"]["cols"], 80);
    assert_eq!(recorded[0]["term"]["rows"], 24);
    assert!(said(&recorded, "r").contains("132x50"));
}

/// Ctrl-C is a byte that the host's terminal turns into SIGINT.
#[test]
fn ctrl_c_interrupts_the_command_not_the_session() {
    let world = World::new();
    let mut terminal = world.shell();
    // The command prints that it runs: before that, Ctrl-C would interrupt the shell.
    terminal.type_in("sh -c \"echo be'gi'ns; exec sleep 1000\"\r");
    terminal.expect("begins");
    terminal.type_in("\x03");
    terminal.expect("ready> ");
    terminal.type_in("echo status=$?\r");
    terminal.expect("status=130");
    terminal.type_in("exit\r");
    // A shell at the end of its input exits with the status of its last command.
    assert_eq!(terminal.finish().0, Some(0));
}

/// A full-screen editor: raw mode, cursor movement, the alternate screen.
#[test]
fn vim_edits_a_file() {
    let world = World::new();
    let edited = world.dir().join("edited.txt");
    std::fs::write(&edited, "first line\n").expect("a writable directory");
    let command = format!("vim -N -u NONE -i NONE -n {}", edited.display());
    let mut terminal = world
        .ssh()
        .args(["-tt", "db1", &command])
        .in_terminal(24, 80);
    terminal.expect("first line");
    terminal.type_in("osecond line, åäö\x1b");
    terminal.expect("second line");
    terminal.type_in(":wq\r");
    let (code, _) = terminal.finish();
    assert_eq!(code, Some(0));
    let written = std::fs::read_to_string(&edited).expect("vim has written it");
    assert_eq!(written, "first line\nsecond line, åäö\n");
}

/// The recording has what the terminal showed, byte for byte.
#[test]
fn recording_holds_what_the_terminal_showed() {
    let world = World::new();
    let mut terminal = world
        .ssh()
        .args([
            "-q",
            "-tt",
            "db1",
            "printf 'caf\\303\\251 \\377\\376 \\033[1mbold\\033[0m\\n'; exit 9",
        ])
        .in_terminal(24, 80);
    terminal.expect("bold");
    let (code, shown) = terminal.finish();
    assert_eq!(code, Some(9));

    let recording = world.finished_recording();
    assert_eq!(recording["exit_status"], 9);
    let stored = world.exported(&recording, "stdout");
    assert_eq!(
        String::from_utf8_lossy(&stored),
        String::from_utf8_lossy(&shown)
    );
    assert!(stored == shown);
}

/// A password that is typed with echo off is not in the recording; the recording says only that
/// something was typed.
#[test]
fn a_typed_password_is_not_recorded() {
    let world = World::new();
    type_password(&world);
    let recording = world.finished_recording();
    let recorded = lines(file(&recording));
    assert_eq!(said(&recorded, "i"), "");
    assert!(said(&recorded, "o").contains("length=14"));
    let withheld = recorded.iter().filter(|line| line[1] == "w");
    let count: usize = withheld
        .map(|line| line[2].as_str().unwrap_or_default().parse::<usize>())
        .map(|count| count.expect("a decimal number"))
        .sum();
    assert_eq!(count, 15, "fourteen characters and Return");
    for format in ["asciicast", "text", "json"] {
        let exported = crate::support::keys::tool(world.rproxy().args([
            "recordings",
            "export",
            &format!("--format={format}"),
            text(&recording, "id"),
        ]));
        assert!(!exported.contains("hunter2"), "{format}: {exported}");
    }
}

/// `recording.pty_input: yes` stores what is typed, passwords included.
#[test]
fn typed_input_is_recorded_when_asked_for() {
    let world = World::with()
        .settings("recording:\n  pty_input: yes")
        .start();
    type_password(&world);
    let recorded = lines(file(&world.finished_recording()));
    assert_eq!(said(&recorded, "i"), "hunter2-secret\r");
}

fn type_password(world: &World) {
    let mut terminal = world
        .ssh()
        .args(["-tt", "db1"])
        .arg("bash --norc -c 'read -rs -p Password: secret; echo; echo length=${#secret}'")
        .in_terminal(24, 80);
    terminal.expect("Password:");
    terminal.type_in("hunter2-secret\r");
    terminal.expect("length=14");
    assert_eq!(terminal.finish().0, Some(0));
}
