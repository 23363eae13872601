//! Recordings that were made to harm their viewer: memory is bounded, the terminal is not harmed,
//! and it is restored however a replay ends.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rproxy::model::SessionKind;
use rproxy::recording::{Header, Live, Options, Pty, Stream};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::recordings::text;
use crate::support::terminal::Terminal;
use crate::support::{World, keys, programs};

/// One call on a recording, at a terminal.
type Recorded<'a> = &'a dyn Fn(&mut Live<Vec<u8>>);

/// Writes a recording of a terminal of this size beside the world's own ones.
fn recorded(world: &World, (cols, rows): (u32, u32), calls: Recorded<'_>) -> PathBuf {
    let pty = Pty {
        term: "xterm".into(),
        cols,
        rows,
    };
    let ids = [1, 2].map(|last| format!("01920000-0000-7000-8000-00000000000{last}"));
    let [session, connection] = &ids;
    let header = Header {
        user: "alice".to_owned(),
        login: "deploy".to_owned(),
        target: "db1:22".to_owned(),
        pty: Some(pty),
        ..Header::new(
            session.parse().expect("an id"),
            connection.parse().expect("an id"),
            SessionKind::Shell,
            chrono::DateTime::UNIX_EPOCH,
        )
    };
    let options = Options { pty_input: false };
    let begun = Live::start(Vec::new(), &header, options, Duration::ZERO);
    let mut live = begun.expect("a recording begins");
    calls(&mut live);
    let finished = live.finish(Duration::from_secs(7200)).expect("it ends");
    let path = world.dir().join("hostile.cast.zst");
    let mut file = std::fs::File::options();
    let file = file.create_new(true).write(true).open(&path);
    file.and_then(|mut file| file.write_all(&finished.0))
        .expect("a writable directory");
    path
}

fn output(live: &mut Live<Vec<u8>>, at: u64, text: &[u8]) {
    live.output(Duration::from_secs(at), Stream::Stdout, text);
    live.commit().expect("memory takes it");
}

/// The host has sent little data that produces much output: an export holds a screen and a line,
/// within 96 MiB of data for the whole process.
#[test]
fn an_export_holds_a_screen_whatever_the_host_has_sent() {
    let world = World::new();
    let path = recorded(&world, (65_535, 65_535), &|live| {
        output(live, 0, "A\x1b[65535b".repeat(3600).as_bytes());
        // Rows that become many rows of one column.
        for second in 1..20 {
            output(live, second, "A\x1b[65535b".repeat(300).as_bytes());
            live.resize(Duration::from_secs(second), 1, 65_535);
            output(live, second, b"\x1b#8x");
            live.resize(Duration::from_secs(second), 65_535, 65_535);
        }
    });
    let mut limited = Command::new(programs::path("bash"));
    limited.args(["-c", "ulimit -d 98304; exec \"$@\"", "bash"]);
    limited.arg(world.rproxy().get_program());
    limited.args(world.rproxy().get_args());
    limited.args(["recordings", "export", "--format=text"]);
    let exported = limited.arg(&path).output().expect("bash starts");
    assert!(exported.status.success(), "{exported:?}");
    let written = exported.stdout;
    let longest = written.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert!(longest < Some(70 << 10), "{longest:?}");
    assert!(written.len() < 16 << 20, "{} bytes", written.len());
}

/// Sequences that act on a terminal or deceive its reader.
const HOSTILE: &str = "a\u{1b}]52;c;eA==\u{7}\u{1b}[6n\u{9b}6n\u{202e}b\u{200b}c\r\n";

#[test]
fn an_export_to_a_terminal_is_harmless() {
    let world = World::new();
    let path = recorded(&world, (80, 24), &|live| {
        output(live, 0, HOSTILE.as_bytes());
        output(live, 1, b"\xff\n");
    });
    let path = path.display().to_string();
    for format in [
        &["--format=asciicast"][..],
        &["--format=text"],
        &["--format=json"],
        &["--format=raw", "--stream=stdout"],
        &["--format=raw", "--stream=stdin"],
        &["--format=raw", "--stream=command"],
    ] {
        let export = [&["recordings", "export"], format, &[&path]].concat();
        let rproxy = world.rproxy();
        let terminal = world
            .program_at(Path::new(rproxy.get_program()))
            .args(rproxy.get_args())
            .args(&export)
            .in_terminal(24, 200);
        let (code, shown) = terminal.finish();
        let shown = String::from_utf8(shown).expect("UTF-8");
        assert_eq!(code, Some(0), "{format:?}: {shown}");
        let acts = |c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t');
        assert!(!shown.contains(acts), "{format:?}: {shown:?}");
        assert!(
            !shown.contains(['\u{202e}', '\u{200b}']),
            "{format:?}: {shown:?}"
        );
    }
    // A pipe gets the exact bytes.
    let exact = [
        "recordings",
        "export",
        "--format=raw",
        "--stream=stdout",
        &path,
    ];
    let exact = keys::tool_bytes(world.rproxy().args(exact));
    assert_eq!(exact, [HOSTILE.as_bytes(), b"\xff\n"].concat());
}

/// An account that can create files there chooses their names.
#[test]
fn a_file_name_among_the_recordings_is_harmless() {
    let world = World::new();
    let recordings = world.data().join("recordings");
    std::fs::create_dir_all(&recordings).expect("a writable directory");
    let name = std::ffi::OsStr::from_bytes(b"x\x1b[2J\xe2\x80\xae.cast.zst");
    let file = std::fs::File::options()
        .create_new(true)
        .write(true)
        .open(recordings.join(name));
    drop(file.expect("a writable directory"));
    let listed = world.rproxy().args(["recordings", "ls"]).output();
    let listed = listed.expect("rproxy starts");
    let told = String::from_utf8(listed.stderr).expect("UTF-8");
    assert!(told.contains("x\\u{1b}[2J\\u{202e}.cast.zst"), "{told:?}");
    assert!(!told.contains(['\u{1b}', '\u{202e}']), "{told:?}");
}

/// A replay in a shell at a terminal: what the shell prints before and after it are the modes.
fn in_shell(world: &World, args: &[&str], input: &str) -> Terminal {
    // `exec`, so that the process id is the replay's.
    let script = format!(
        "stty -g >before; sh -c 'echo $$ >pid; exec \"$@\" {input}' sh \"$@\"; status=$?; \
         stty -g >after; printf 'en''ded %s\\n$ ' $status; read -r line"
    );
    let rproxy = world.rproxy();
    world
        .program("bash")
        .args([
            "-c",
            &format!("cd {} || exit; {script}", world.dir().display()),
            "bash",
        ])
        .arg(rproxy.get_program())
        .args(rproxy.get_args())
        .args(args)
        .in_terminal(24, 80)
}

/// Sends a signal to the program that the shell runs.
fn send(world: &World, signal: Signal) {
    let pid = std::fs::read_to_string(world.dir().join("pid")).expect("it runs");
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("it runs");
}

/// Waits for the shell's prompt after this status. Returns all that the terminal has shown.
fn leaves_the_modes_as_they_were(world: &World, mut terminal: Terminal, status: u8) -> Vec<u8> {
    terminal.expect(&format!("ended {status}"));
    terminal.expect("$ ");
    terminal.type_in("\n");
    let (code, all) = terminal.finish();
    assert_eq!(code, Some(0));
    let modes = |name| std::fs::read_to_string(world.dir().join(name)).expect("stty has run");
    let said = String::from_utf8_lossy(&all);
    assert_eq!(modes("before"), modes("after"), "{said:?}");
    all
}

/// Ends the replay once it shows this, and checks the terminal: the modes, the main screen, the
/// cursor, and the prompt below all that was shown.
fn leaves_the_terminal_as_it_was(world: &World, mut terminal: Terminal, end: &End, shown: &str) {
    terminal.expect(shown);
    match end {
        End::Key(key) => terminal.type_in(key),
        End::Signal(signal) => send(world, *signal),
    }
    let all = leaves_the_modes_as_they_were(world, terminal, 130);

    let mut screen = avt::Terminal::with_scrollback(80, 24, Some(100)).expect("a size");
    screen.feed(String::from_utf8_lossy(&all).as_ref());
    assert_eq!(
        screen.active_screen_kind(),
        avt::ScreenKind::Primary,
        "{end:?}"
    );
    assert!(screen.cursor().visible, "{end:?}");
    let lines = screen.screen().text();
    let mut rest = lines.iter();
    for what in ["main screen", "rproxy:", "ended 130", "$"] {
        let is_below = rest.any(|line| line.contains(what));
        assert!(is_below, "{what:?} is not below in {lines:#?}, {end:?}");
    }
}

#[derive(Debug)]
enum End {
    Key(&'static str),
    Signal(Signal),
}

const ENDS: [End; 6] = [
    End::Key("q"),
    End::Key("\x03"),
    End::Signal(Signal::TERM),
    End::Signal(Signal::HUP),
    End::Signal(Signal::INT),
    End::Signal(Signal::QUIT),
];

#[test]
fn a_replay_leaves_the_terminal_as_it_was_however_it_ends() {
    let world = World::new();
    let path = recorded(&world, (80, 24), &|live| {
        output(
            live,
            0,
            b"main screen\r\n\x1b[2;5r\x1b[?6h\x1b[4h\x1b[?7l\x1b[?25l\x1b[31m",
        );
        output(live, 0, b"\x1b[?1049h\x1b[?6h\x1b[Hfull screen");
        output(live, 7000, b"late");
    });
    let path = path.display().to_string();
    for end in &ENDS {
        let terminal = in_shell(&world, &["play", &path], "");
        leaves_the_terminal_as_it_was(&world, terminal, end, "full screen");
    }
    // Without keys the terminal has its own Ctrl-C.
    for end in &ENDS[1..] {
        let terminal = in_shell(&world, &["play", &path], "</dev/null");
        leaves_the_terminal_as_it_was(&world, terminal, end, "full screen");
    }
}

#[test]
fn watching_leaves_the_terminal_as_it_was_however_it_ends() {
    let world = World::new();
    let mut session = world.shell();
    session.type_in(
        "printf 'main scr''een\\n\\033[2;5r\\033[?6h\\033[?25l\\033[?1049h\\033[?6h\\033[Hfull scr''een'\r",
    );
    session.expect("\x1b[Hfull screen");
    let id = {
        let listed = keys::tool(world.rproxy().args(["sessions", "ls", "--format", "json"]));
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        text(&listed[0], "id").to_owned()
    };
    for end in &ENDS {
        let watch = in_shell(&world, &["sessions", "watch", "--from-start", &id], "");
        leaves_the_terminal_as_it_was(&world, watch, end, "full screen");
    }
    session.type_in("exit\r");
    session.finish();
}

/// The echo of the terminal must be on again.
#[test]
fn a_question_for_a_passphrase_leaves_the_terminal_as_it_was() {
    let world = World::new();
    let key = world.dir().join("locked");
    keys::generate(&key);
    let mut lock = Command::new(programs::path("ssh-keygen"));
    lock.args(["-q", "-p", "-P", "", "-N", "secret", "-f"]);
    keys::tool(lock.arg(&key));
    let key = key.display().to_string();
    let import = ["auth", "import", "--type=user", "--rotate", &key];
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut terminal = in_shell(&world, &import, "");
        terminal.expect("Passphrase of ");
        send(&world, signal);
        // It can only be killed in the middle of a read.
        leaves_the_modes_as_they_were(&world, terminal, 128 + 9);
    }
}
