//! `rproxy sessions`: live sessions are listed, watched and killed.

mod watching;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::client::{ClientCommand, Live};
use crate::support::recordings::{file, lines, said, text};
use crate::support::terminal::find;
use crate::support::{World, keys, programs, skipped};

/// The live sessions, as JSON.
fn live(world: &World) -> Vec<Value> {
    let listing = keys::tool(world.rproxy().args(["sessions", "ls", "--format", "json"]));
    serde_json::from_str(&listing).unwrap_or_else(|error| panic!("{error}\n{listing}"))
}

/// The live sessions, as soon as there are this many.
fn so_many(world: &World, count: usize) -> Vec<Value> {
    world.eventually("sessions are listed", || {
        let live = live(world);
        (live.len() == count).then_some(live)
    })
}

fn sessions(world: &World, args: &[&str]) -> Output {
    let mut command = world.rproxy();
    command.arg("sessions").args(args);
    command.output().expect("rproxy starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The control socket of the process that serves.
fn socket(world: &World) -> PathBuf {
    let mut sockets = keys::files(&world.data().join("control"));
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    sockets.remove(0)
}

/// `rproxy sessions watch`, with a terminal or a pipe as the caller chooses.
fn watch<'w>(world: &'w World, args: &[&str]) -> ClientCommand<'w> {
    world
        .program_at(Path::new(env!("CARGO_BIN_EXE_rproxy")))
        .arg("--config")
        .arg(world.dir().join("rproxy.yaml"))
        .args(["sessions", "watch"])
        .args(args)
}

/// Waits for the first watcher: from then on the session may end.
fn somebody_watches(world: &World) {
    world.eventually("somebody watches", || {
        (world.events("session.watched").len() == 1).then_some(())
    });
}

/// A master of `ControlMaster`, and the option that shares its connection.
fn master(world: &World) -> (Live, String) {
    let socket = world.dir().join("control");
    let control = format!("ControlPath={}", socket.display());
    let master = world
        .ssh()
        .args(["-N", "-M", "-o", &control, "db1"])
        .start();
    world.eventually("the master listens", || socket.exists().then_some(()));
    (master, control)
}

#[test]
fn what_is_live_is_listed_and_what_has_ended_is_not() {
    let world = World::new();
    assert_eq!(live(&world), Vec::<Value>::new());
    let empty = sessions(&world, &["ls"]);
    assert!(empty.status.success() && empty.stderr.is_empty());
    assert!(empty.stdout.starts_with(b"ID  "), "{empty:?}");

    // A connection without a session has a line of its own.
    let (_master, control) = master(&world);
    let [idle] = so_many(&world, 1).try_into().expect("one");
    assert_eq!(text(&idle, "kind"), "connection");
    assert_eq!(text(&idle, "state"), "idle");
    assert_eq!(idle["id"], idle["connection"]);

    let mut session = world
        .ssh()
        .args([
            "-o",
            &control,
            "db1",
            "head -c 5 | wc -c; echo err >&2; cat",
        ])
        .start();
    std::io::Write::write_all(session.stdin.as_mut().expect("open"), b"12345").expect("it reads");
    assert_eq!(session.read(2), b"5\n");
    let listed = world.eventually("the bytes are counted", || {
        let live = live(&world);
        (live[0]["bytes_out"] == 6).then(|| live[0].clone())
    });
    assert_eq!(listed["bytes_in"], 5);
    assert_eq!(listed["connection"], idle["connection"]);
    let recording = world.recording();
    for field in [
        "id",
        "connection",
        "user",
        "login",
        "host",
        "kind",
        "command",
        "state",
        "target",
        "client",
        "file",
    ] {
        assert_eq!(listed[field], recording[field], "{field}");
    }
    assert_eq!(listed["pty"], false);
    let name = format!("{}.sock", listed["pid"]);
    assert!(socket(&world).ends_with(&name), "{name}");
    assert_eq!(text(&listed, "user"), "alice");
    assert_eq!(text(&listed, "kind"), "exec");

    session.finish().success();
    assert_eq!(text(&so_many(&world, 1)[0], "kind"), "connection");
}

#[test]
fn a_killed_user_reads_why_on_the_terminal() {
    let world = World::new();
    let mut terminal = world.shell();
    let [session] = so_many(&world, 1).try_into().expect("one");
    let id = text(&session, "id");
    assert_eq!(session["pty"], true);
    let watch = watch(&world, &["--from-start", id]).start();
    somebody_watches(&world);
    let mut kill = world.rproxy();
    kill.env("SUDO_USER", "carol");
    kill.args([
        "sessions",
        "kill",
        &id[..30],
        "--reason",
        "maintenance at six",
    ]);
    let killed = kill.output().expect("rproxy starts");
    assert!(killed.status.success(), "{}", stderr(&killed));
    // When `kill` exits, the session has ended.
    assert_eq!(live(&world), Vec::<Value>::new());
    terminal
        .expect("rproxy: proxy: an administrator ended this session: maintenance at six\r\n  id: ");
    terminal.expect(id);
    assert_eq!(terminal.finish().0, Some(255));
    let watched = watch.finish().success();
    assert!(
        watched
            .text()
            .ends_with("[rproxy: the session was broken off here: killed]\r\n"),
        "{watched:?}"
    );
    assert_eq!(watched.stderr, "rproxy: the session has ended\n");

    let recording = world.finished_recording();
    let lines = lines(file(&recording));
    assert!(
        said(&lines, "m").contains(": maintenance at six"),
        "{lines:?}"
    );
    assert!(said(&lines, "g").contains("killed"), "{lines:?}");
    let [event] = world.events("session.killed").try_into().expect("one");
    assert_eq!(text(&event, "code"), "RP2007W");
    assert_eq!(text(&event, "session"), id);
    assert_eq!(event["connection"], session["connection"]);
    assert_eq!(text(&event, "message"), "maintenance at six");
    assert_eq!(event["uid"], rustix::process::geteuid().as_raw());
    assert_eq!(text(&event, "by"), crate::support::world::login());
    assert_eq!(text(&event, "sudo_user"), "carol");
    let end = world.session_end();
    assert_eq!(text(&end, "reason"), "killed");
    assert_eq!(text(&end, "recording"), "complete");

    let again = sessions(&world, &["kill", id]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("nothing live"),
        "{}",
        stderr(&again)
    );
}

#[test]
fn one_of_several_sessions_ends_and_spares_its_siblings() {
    let world = World::new();
    let (mut master, control) = master(&world);
    let start = |command: &str| world.ssh().args(["-o", &control, "db1", command]).start();
    let mut doomed = start("echo doomed; exec cat");
    doomed.read(7);
    let mut spared = start("echo spared; exec cat");
    spared.read(7);
    let all = so_many(&world, 2);
    let id = |command: &str| {
        let is_it = |one: &&Value| text(one, "command").contains(command);
        text(all.iter().find(is_it).expect("it is live"), "id").to_owned()
    };

    let killed = sessions(&world, &["kill", &id("doomed"), "--reason", "too many"]);
    assert!(killed.status.success(), "{}", stderr(&killed));
    assert_eq!(so_many(&world, 1)[0]["id"], id("spared"));
    let outcome = doomed.finish();
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    assert!(
        outcome
            .stderr
            .contains("rproxy: proxy: an administrator ended this session: too many\r\n"),
        "{}",
        outcome.stderr
    );
    // The host's side is closed too: the command has read the end of its input.
    let ended = format!("pgrep -f '{}' | wc -l", "echo [d]oomed; exec cat");
    world.eventually("the command is gone", || {
        let count = world.ssh().args(["-o", &control, "db1", &ended]).run();
        (count.text().trim() == "0").then_some(())
    });

    assert!(!master.has_ended());
    spared.feed(b"still here".to_vec());
    assert_eq!(spared.finish().success().text(), "still here");

    // The connection with everything on it.
    let mut last = start("echo last; exec cat");
    last.read(5);
    let connection = text(&so_many(&world, 1)[0], "connection").to_owned();
    let killed = sessions(&world, &["kill", &connection]);
    assert!(killed.status.success(), "{}", stderr(&killed));
    assert_eq!(last.finish().code(), 255);
    let outcome = master.finish();
    assert_eq!(outcome.code(), 255);
    so_many(&world, 0);
    let events = world.events("session.killed");
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["session"], Value::Null);
    assert_eq!(events[1]["message"], Value::Null);
    assert_eq!(text(&events[1], "connection"), connection);
}

/// All forwards of a connection are one session; after it was killed, the connection forwards
/// nothing more.
#[test]
fn forwards_are_ended_for_good_and_the_shell_stays() {
    let world = World::new();
    let (_master, control) = master(&world);
    let mut session = world
        .ssh()
        .args(["-o", &control, "db1", "echo here; exec cat"])
        .start();
    session.read(5);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let forward = || {
        let args = ["-o", &control, "-W", &address, "db1"];
        world.ssh().args(args).start()
    };
    let mut through = forward();
    let (mut peer, _) = listener.accept().expect("the host connects");
    std::io::Write::write_all(&mut peer, b"hello").expect("open");
    assert_eq!(through.read(5), b"hello");
    let forwards = so_many(&world, 2)
        .into_iter()
        .find(|one| one["kind"] == "forward")
        .expect("the forwards are a session");
    let killed = sessions(&world, &["kill", text(&forwards, "id")]);
    assert!(killed.status.success(), "{}", stderr(&killed));
    assert_eq!(text(&so_many(&world, 1)[0], "kind"), "exec");
    let mut rest = Vec::new();
    let _reset_or_end = std::io::Read::read_to_end(&mut peer, &mut rest);
    assert!(rest.is_empty());
    through.finish();
    let refused = forward().finish();
    assert_ne!(refused.code(), 0);
    assert_eq!(so_many(&world, 1)[0]["kind"], "exec");
    session.feed(b"the shell stays".to_vec());
    assert_eq!(session.finish().success().text(), "the shell stays");
}

/// After an upgrade, sessions of all worker processes are listed, also if one of the processes
/// hangs.
#[test]
fn all_processes_are_asked() {
    let world = World::with().own_program().start();
    let first = socket(&world);
    let mut session = world.ssh().args(["db1", "echo here; exec cat"]).start();
    session.read(5);
    // After an upgrade there are two workers: the old one stays for its session.
    world.signal_proxy(Signal::USR2);
    world.eventually("the new worker serves", || {
        (world.events("server.upgraded").len() == 1).then_some(())
    });
    let mut sockets = keys::files(&world.data().join("control"));
    sockets.retain(|socket| *socket != first);
    let [second] = sockets.try_into().expect("another one");
    let [listed] = so_many(&world, 1).try_into().expect("one");
    assert!(first.ends_with(format!("{}.sock", listed["pid"])));

    let pid = second
        .file_stem()
        .and_then(|stem| stem.to_str()?.parse().ok());
    let pid = pid.and_then(Pid::from_raw).expect("a process");
    world.pause(pid);
    let output = sessions(&world, &["ls", "--format=json"]);
    kill_process(pid, Signal::CONT).expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let says = stderr(&output);
    assert!(says.contains("does not answer"), "{says}");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["id"], listed["id"]);
    drop(session);
}

/// A socket that a killed process has left does not count as a proxy, and does not prevent the next
/// one from starting.
#[test]
fn without_a_proxy_there_is_an_exit_code_for_that() {
    let world = World::new();
    let directory = world.data().join("control");
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("it is there");
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&socket(&world)), 0o600);
    world.kill_proxy();
    let refused = world.eventually("nobody answers", || {
        let refused = sessions(&world, &["ls"]);
        (refused.status.code() == Some(69)).then_some(refused)
    });
    let says = stderr(&refused);
    assert!(
        says.contains("rproxy: no proxy is running here\n  hint: "),
        "{says}"
    );

    let mut gone = Command::new(programs::path("bash"));
    let mut gone = gone.args(["-c", "exit"]).spawn().expect("bash starts");
    gone.wait().expect("it ends");
    let deserted = directory.join(format!("{}.sock", gone.id()));
    drop(std::os::unix::net::UnixListener::bind(&deserted).expect("a socket"));
    assert_eq!(sessions(&world, &["ls"]).status.code(), Some(69));
    world.restart_proxy();
    assert!(!deserted.exists(), "the next one removes it");
    assert!(sessions(&world, &["ls"]).status.success());
    world.stop_proxy();
    assert_eq!(keys::files(&directory), Vec::<PathBuf>::new());
}

/// The directory's mode keeps other accounts out. If it was opened to them, the proxy asks the
/// kernel for the account of a client.
#[test]
fn another_account_is_refused() {
    if !rustix::process::geteuid().is_root() {
        skipped::cannot("only root can ask as another account");
        return;
    }
    let world = World::new();
    let mut session = world.ssh().args(["db1", "echo here; exec cat"]).start();
    session.read(5);
    let id = text(&so_many(&world, 1)[0], "id").to_owned();
    let rproxy = world.dir().join("rproxy");
    programs::put(Path::new(env!("CARGO_BIN_EXE_rproxy")), &rproxy);
    let open = |path: &Path, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).expect("ours");
    };
    let as_nobody = |args: &[&str]| {
        Command::new(programs::path("setpriv"))
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&rproxy)
            .arg("--data-dir")
            .arg(world.data())
            .arg("sessions")
            .args(args)
            .env("HOME", "/nonexistent")
            .output()
            .expect("setpriv starts")
    };
    open(world.dir(), 0o755);
    open(&world.data(), 0o755);
    let refused = as_nobody(&["ls"]);
    assert_eq!(refused.status.code(), Some(77), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("permission denied"),
        "{}",
        stderr(&refused)
    );

    let directory = world.data().join("control");
    open(&directory, 0o755);
    open(&socket(&world), 0o666);
    for args in [["ls", "--format=json"], ["kill", &id], ["watch", &id]] {
        let refused = as_nobody(&args);
        assert_eq!(refused.status.code(), Some(77), "{}", stderr(&refused));
        let says = stderr(&refused);
        assert!(says.contains("answers root and its own account"), "{says}");
        assert!(refused.stdout.is_empty());
    }
    world.logged("somebody else asks");
    assert_eq!(so_many(&world, 1)[0]["id"], id);
    drop(session);
}

/// A client that sends an invalid request, none, or one that is too long, gets an error or is
/// disconnected; other clients are served meanwhile.
#[test]
fn nonsense_on_the_socket_hurts_nobody() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    let world = World::new();
    let socket = socket(&world);
    let connect = || UnixStream::connect(&socket).expect("it listens");
    let long = [b"{\"ask\":\"".as_slice(), &[b'x'; 100_000], b"\"}\n"].concat();
    for question in [
        b"\n".as_slice(),
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"ask\":\"sessions\"",
        b"\xff\xfe\x00\n",
        b"{\"ask\":\"kill\",\"what\":{\"session\":\"../../x\"}}\n",
        &long,
    ] {
        let mut stream = connect();
        // The proxy may close the connection before it has read everything.
        let _closed = stream.write_all(question);
        let _closed = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _reset = stream.read_to_string(&mut answer);
        assert!(
            answer.is_empty() || answer == "{\"refused\":\"not-understood\"}\n",
            "{answer}"
        );
    }
    let unknown = "{\"ask\":\"kill\",\"what\":{\"session\":\"01920000-0000-7000-8000-000000000001\"},\"reason\":null,\"sudo_user\":null}\n";
    let mut stream = connect();
    stream.write_all(unknown.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert_eq!(answer, "{\"refused\":\"not-live\"}\n");

    // Clients that send nothing can take all slots, but only for a short time, and none of SSH.
    world.eventually("all places are taken", || {
        let _silent: Vec<UnixStream> = (0..16).map(|_| connect()).collect();
        let mut answer = String::new();
        let mut stream = connect();
        let _closed = stream.write_all(b"{\"ask\":\"sessions\"}\n");
        let _reset = stream.read_to_string(&mut answer);
        answer.contains("busy").then_some(())
    });
    assert_eq!(world.run("db1", "echo on").success().text(), "on\n");
    world.eventually("there is a place again", || {
        sessions(&world, &["ls"]).status.success().then_some(())
    });
}
