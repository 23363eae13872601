//! An upgrade from a program that speaks protocol version 1, and the way back to it. The test
//! replaces the earlier program by its recorded messages: its handover, the messages of its
//! workers, its answers.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rproxy::ipc::MessageSocket;
use rproxy::sys::fs::FileLock;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::World;
use crate::support::children::Children;
use crate::support::proxy::{ProxyProcess, rproxy};

/// The end of a worker of version 1.
struct Worker1(MessageSocket);

impl Worker1 {
    fn hears(&self, wanted: &[u8]) {
        loop {
            let message = self
                .0
                .receive()
                .expect("in time")
                .expect("the monitor runs");
            if message.bytes == wanted {
                return;
            }
        }
    }

    fn says(&self, message: &str, file: BorrowedFd<'_>) {
        self.0
            .send(message.as_bytes(), &[file])
            .expect("the monitor runs");
    }

    /// Asks the monitor to open a file. Returns its contents, or the number of the error.
    fn reads(&self, path: &Path) -> Result<String, String> {
        let (ours, theirs) = MessageSocket::pair().expect("sockets");
        ours.set_timeout(Duration::from_secs(20)).expect("a socket");
        let bytes = path.as_os_str().as_encoded_bytes();
        let message = format!(r#"{{"lend":{{"path":{{"Unix":{bytes:?}}},"to_append":false}}}}"#);
        self.says(&message, theirs.as_fd());
        drop(theirs);
        let answer = ours.receive().expect("in time").expect("an answer");
        let Some(file) = answer.files.into_iter().next() else {
            return Err(String::from_utf8_lossy(&answer.bytes).into_owned());
        };
        let mut text = String::new();
        let read = std::fs::File::from(file).read_to_string(&mut text);
        read.expect("it is open to be read");
        Ok(text)
    }

    /// Asks by the agent protocol which key signs; the type of the answer, and how many keys.
    fn asks_for_the_key(&self) -> (u8, u32) {
        let (mut ours, theirs) = UnixStream::pair().expect("sockets");
        self.says(r#""sign""#, theirs.as_fd());
        drop(theirs);
        ours.write_all(&[0, 0, 0, 1, 11]).expect("it is served");
        let mut answer = [0; 9];
        ours.read_exact(&mut answer).expect("an answer");
        let [_, _, _, _, kind, count @ ..] = answer;
        (kind, u32::from_be_bytes(count))
    }
}

fn signal(proxy: &ProxyProcess, signal: Signal) {
    let pid = i32::try_from(proxy.pid()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("it runs"), signal).expect("it runs");
}

/// The monitor of version 1 is replaced by this program. Its worker goes on: it gets the monitor's
/// messages, and answers in the protocol of version 1.
#[test]
fn a_program_of_version_1_becomes_this_one() {
    let children = Children::new(Duration::from_secs(60));
    let dir = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
    let dir = dir.expect("a directory in /tmp");
    let (config, data) = (dir.path().join("rproxy.yaml"), dir.path().join("data"));
    let text = format!(
        "cluster_name: example.test\ndata_dir: {}\nproxy_service: {{ listen_addr: \"127.0.0.1:0\" }}\n",
        data.display()
    );
    std::fs::write(&config, &text).expect("a writable directory");
    let made = std::fs::DirBuilder::new().mode(0o700).create(&data);
    made.expect("a writable directory");
    let lock = FileLock::attempt(&data.join("serve.lock")).expect("a file");
    let lock = lock.expect("nobody has it");

    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("it is bound");
    let process = children.spawn(Command::new("sleep").arg("60"));
    let (monitors_end, worker) = MessageSocket::pair().expect("sockets");
    let limit = Duration::from_secs(30);
    worker.set_timeout(limit).expect("a socket");
    let worker = Worker1(worker);

    let state = format!(
        r#"{{"version":1,"program":"{}","listeners":[{{"port":"ssh","address":"127.0.0.1:0"}}],"workers":[{{"pid":{},"is_serving":true}}]}}"#,
        env!("CARGO_BIN_EXE_rproxy"),
        process.child.id(),
    );
    let (handed, stdin) = MessageSocket::pair().expect("sockets");
    let files = [port.as_fd(), monitors_end.as_fd()];
    handed.send(state.as_bytes(), &files).expect("sent");
    handed.send(b"lock", &[lock.as_fd()]).expect("sent");
    drop((handed, port, monitors_end, lock));

    let mut command = rproxy(&config);
    command
        .env("RPROXY_HANDOVER", "1")
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::null());
    let log = dir.path().join("log");
    let mut proxy = ProxyProcess::run_with(&children, &mut command, &log);
    // The command holds the end of the socket from which the program has received.
    drop(command);
    assert_eq!(proxy.address, address, "the port was handed over");
    worker.hears(br#""retire""#);
    let audit = std::fs::read_to_string(data.join("audit.jsonl")).expect("it is there");
    assert!(audit.contains("server.upgraded"), "{audit}");

    assert_eq!(worker.reads(&config), Ok(text));
    let key = data.join("ca/host_ca");
    assert!(key.is_file());
    assert_eq!(worker.reads(&key), Err("13".to_owned()));
    assert_eq!(worker.asks_for_the_key(), (12, 1));

    signal(&proxy, Signal::HUP);
    worker.hears(br#""reload""#);
    signal(&proxy, Signal::TERM);
    worker.hears(br#""drain""#);
    // When the worker exits, the last process of the proxy has exited.
    drop(worker);
    assert_eq!(proxy.wait(), Some(0));
}

/// The question of an earlier program to its successor, and this program's question to its own.
#[test]
fn the_version_is_one_that_can_be_followed() {
    let ask = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rproxy"));
        let output = command.arg("worker").args(args).output();
        let output = output.expect("it starts");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    assert_eq!(ask(&["--protocol"]), (true, "1\n".to_owned()));
    let current = rproxy::ipc::VERSION;
    for version in rproxy::ipc::OLDEST..=current {
        let answer = ask(&["--protocol", &format!("--from={version}")]);
        assert_eq!(answer, (true, format!("{version}\n")));
    }
    for version in [0, current + 1] {
        let (is_good, printed) = ask(&["--protocol", &format!("--from={version}")]);
        assert!(!is_good && printed.is_empty(), "{version}: {printed}");
    }
}

/// Back to a program of version 1: it understands neither the question nor this program's workers.
/// Sessions go on.
#[test]
fn an_earlier_program_takes_nothing_over() {
    let world = World::with().own_program().start();
    let worker = world.worker_pid();
    let mut session = world.ssh().args(["db1", "cat"]).start();
    let stdin = session.stdin.as_mut().expect("a pipe");
    stdin.write_all(b"begun").expect("it reads");
    assert_eq!(session.read(5), b"begun");
    for answer in ["echo 'unexpected argument' >&2; exit 64", "echo 1"] {
        let script = format!("#!/bin/sh\ncase \"$*\" in *--protocol*) {answer};; esac\n");
        world.replace_program(Some(&script));
        let refusals = || {
            let mut audit = world.audit();
            audit.retain(|event| event["event"] == "server.upgrade_refused");
            audit
        };
        let before = refusals().len();
        world.signal_proxy(Signal::USR2);
        let refused = world.eventually("an answer", || refusals().into_iter().nth(before));
        let message = refused["message"].as_str().expect("a sentence");
        assert!(
            message.ends_with("cannot take over from this version: restart it instead"),
            "{message}"
        );
        assert_eq!(world.worker_pid(), worker);
        let stdin = session.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"again").expect("it reads");
        assert_eq!(session.read(5), b"again");
    }
    session.finish().success();
}
