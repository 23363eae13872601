//! `rproxy sessions watch`.

use super::*;

#[test]
fn a_watcher_sees_what_the_terminal_showed_and_what_it_shows() {
    let world = World::new();
    let mut terminal = world.shell();
    terminal.type_in("printf 'be%s\\n' fore\r");
    terminal.expect("before\r\n");
    terminal.expect("ready> ");
    let id = text(&so_many(&world, 1)[0], "id").to_owned();

    let mut from_start = watch(&world, &["--from-start", &id]).start();
    somebody_watches(&world);
    let mut from_now = watch(&world, &[&id]).in_terminal(24, 80);
    // The terminal as it is now, then new output.
    let screen = from_now.expect("before");
    assert!(screen.contains("\u{1b}[2J"), "{screen:?}");
    from_now.expect("ready>");
    terminal.type_in("printf 'af%s\\033]52;c;eA==\\007\\n' ter\r");
    from_now.expect("after");
    terminal.expect("after");
    terminal.resize(40, 132);
    let wait = "until test \"$(stty size)\" = '40 132'; do sleep 0.05; done";
    terminal.type_in(&format!("{wait}; exit 7\r"));
    let (code, shown) = terminal.finish();
    assert_eq!(code, Some(7));
    from_now.expect("the session's terminal was 132x40, larger than this one");
    from_now.expect("rproxy: the session ended with exit status 7");
    let (code, all) = from_now.finish();
    assert_eq!(code, Some(0));
    assert!(
        find(&all, b"\x1b]52").is_none(),
        "what acts on a terminal is left out"
    );

    // From the start, a pipe gets what the terminal has shown, except sequences that could act on a
    // terminal.
    let mut seen = Vec::new();
    let mut pipe = from_start.stdout.take().expect("piped");
    std::io::Read::read_to_end(&mut pipe, &mut seen).expect("readable");
    let outcome = from_start.finish();
    assert_eq!(outcome.code(), 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("exit status 7"),
        "{}",
        outcome.stderr
    );
    let host_said: Vec<u8> = {
        // ssh itself adds a line about the connection at the end.
        let end = find(&shown, b"Connection to").unwrap_or(shown.len());
        shown[..end].to_vec()
    };
    let plain = |bytes: &[u8]| -> String {
        let text = String::from_utf8_lossy(bytes).replace("\u{1b}]52;c;eA==\u{7}", "");
        // Bracketed paste is for the terminal of the user who types; some sequences can be written
        // in two ways.
        let text = text.replace("\u{1b}[0K", "\u{1b}[K");
        let text = text
            .replace("\u{1b}[?2004h", "")
            .replace("\u{1b}[?2004l", "");
        let text = text.replace('\r', "");
        // Text that is typed before `ssh` has set up the terminal is echoed twice, once by this
        // side.
        let begins = text.find("ready> ").expect("a prompt");
        text[begins..].to_owned()
    };
    assert_eq!(plain(&seen), plain(&host_said));

    let watched = world.events("session.watched");
    assert_eq!(watched.len(), 2, "{watched:#?}");
    for event in &watched {
        assert_eq!(text(event, "code"), "RP2006I");
        assert_eq!(text(event, "session"), id);
        assert_eq!(text(event, "user"), "alice");
    }
    let from_start = watched.iter().filter(|one| one["from_start"] == true);
    assert_eq!(from_start.count(), 1);
}

#[test]
fn ctrl_c_ends_the_watching_and_not_the_session() {
    let world = World::new();
    let mut session = world
        .ssh()
        .args(["db1", "echo out; echo err >&2; exec cat"])
        .start();
    session.read(4);
    let id = text(&so_many(&world, 1)[0], "id").to_owned();
    let mut watch = watch(&world, &["--from-start", &id]).in_terminal(24, 80);
    watch.expect("out\r\n");
    watch.expect("err\r\n");
    watch.type_in("\u{3}");
    watch.expect("the session goes on");
    assert_eq!(watch.finish().0, Some(130));
    assert_eq!(so_many(&world, 1)[0]["id"], id);
    session.feed(b"it does".to_vec());
    assert_eq!(session.finish().success().text(), "it does");
}

/// A watcher that is stopped does not delay the session.
#[test]
fn a_slow_watcher_does_not_slow_the_session() {
    const SIZE: usize = 12 << 20;
    let world = World::new();
    let mut session = world
        .ssh()
        .args([
            "db1",
            "echo go; read go; dd if=/dev/zero bs=64k count=192 2>/dev/null; echo done; exec cat",
        ])
        .start();
    session.read(3);
    let id = text(&so_many(&world, 1)[0], "id").to_owned();
    let mut watch = watch(&world, &["--from-start", &id]).start();
    assert_eq!(watch.read(3), b"go\n");
    let pid = i32::try_from(watch.pid()).ok().and_then(Pid::from_raw);
    let pid = pid.expect("it runs");
    world.pause(pid);
    std::io::Write::write_all(session.stdin.as_mut().expect("open"), b"go\n").expect("it reads");
    // A session that waited for its watcher would not go on.
    assert!(session.read(SIZE).iter().all(|byte| *byte == 0));
    assert_eq!(session.read(5), b"done\n");
    kill_process(pid, Signal::CONT).expect("it runs");
    drop(session.stdin.take());
    session.finish().success();
    // The watcher gets the output that it has missed.
    let shown = watch.finish().success().stdout;
    assert_eq!(shown, b"done\n", "zeros are nothing on a terminal");
}

#[test]
fn what_is_not_recorded_is_not_watched() {
    let world = World::with()
        .auth_setting("session_recording: \"off\"")
        .start();
    let mut session = world.ssh().args(["db1", "echo here; exec cat"]).start();
    session.read(5);
    let [listed] = so_many(&world, 1).try_into().expect("one");
    assert_eq!(text(&listed, "state"), "off");
    assert_eq!(listed["file"], Value::Null);
    let refused = sessions(&world, &["watch", text(&listed, "id")]);
    assert_eq!(refused.status.code(), Some(1));
    let says = stderr(&refused);
    assert!(
        says.contains("is not recorded: there is nothing to watch"),
        "{says}"
    );
    assert_eq!(world.events("session.watched").len(), 0);
    let killed = sessions(&world, &["kill", text(&listed, "id")]);
    assert!(killed.status.success(), "{}", stderr(&killed));
    assert_eq!(session.finish().code(), 255);
}

/// Without an audit event, watching is refused. Killing a session does not need a disk.
#[test]
fn nobody_watches_without_being_put_down_for_it() {
    use std::io::{Read, Write};

    /// In KiB: the state has to fit.
    const LIMIT: u32 = 1024;
    let world = World::with().file_size_limit(LIMIT).start();
    let mut session = world.ssh().args(["db1", "echo here; exec cat"]).start();
    session.read(5);
    let id = text(&so_many(&world, 1)[0], "id").to_owned();
    let socket = socket(&world);
    let ask = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
        let question = format!(
            "{{\"ask\":\"watch\",\"session\":\"{id}\",\"from_start\":true,\"sudo_user\":null}}\n"
        );
        stream.write_all(question.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    };
    // The audit log is nearly as long as a file may be; each question fills it a little, until no more
    // fits.
    let log = world.data().join("audit.jsonl");
    let length = std::fs::metadata(&log).expect("a log").len();
    let missing = u64::from(LIMIT - 8) * 1024 - length;
    let padding = " ".repeat(usize::try_from(missing).expect("a short log")) + "\n";
    let mut log = std::fs::OpenOptions::new()
        .append(true)
        .open(log)
        .expect("a log");
    log.write_all(padding.as_bytes())
        .expect("this process has no limit");
    let refused = (0..200)
        .map(|_| ask())
        .find(|answer| answer != "{\"done\":{}}\n");
    assert_eq!(refused.as_deref(), Some("{\"refused\":\"not-audited\"}\n"));
    let refused = sessions(&world, &["watch", "--from-start", &id]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    let says = stderr(&refused);
    assert!(
        says.contains("nobody watches without being put down"),
        "{says}"
    );

    let killed = sessions(&world, &["kill", &id, "--reason", "full disk"]);
    assert!(killed.status.success(), "{}", stderr(&killed));
    let outcome = session.finish();
    assert_eq!(outcome.code(), 255);
    assert!(outcome.stderr.contains("ended this session: full disk"));
}
