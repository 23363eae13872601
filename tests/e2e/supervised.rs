//! Messages between the proxy and a service manager.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::children::Children;
use crate::support::programs;
use crate::support::proxy::{ProxyProcess, rproxy};

/// Its socket.
struct Systemd(UnixDatagram);

impl Systemd {
    /// Waits until a message has this line, and returns the message.
    fn hears(&self, line: &str) -> String {
        loop {
            let mut buffer = [0; 4096];
            let count = match self.0.recv(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("never told {line}: {error}"),
            };
            let message = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if message.lines().any(|said| said == line) {
                return message;
            }
        }
    }
}

/// A directory with a configuration that has this `proxy_service`.
fn configured(proxy_service: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
    let dir = dir.expect("a directory in /tmp");
    let config = dir.path().join("rproxy.yaml");
    let data = dir.path().join("data");
    let text = format!(
        "cluster_name: example.test\ndata_dir: {}\nproxy_service: {{ {proxy_service} }}\n",
        data.display()
    );
    std::fs::write(&config, text).expect("a writable directory");
    (dir, config)
}

fn pid(proxy: &ProxyProcess) -> Pid {
    let pid = i32::try_from(proxy.pid()).ok().and_then(Pid::from_raw);
    pid.expect("it runs")
}

#[test]
fn a_service_manager_is_told() {
    let children = Children::new(Duration::from_secs(60));
    let (dir, config) = configured("listen_addr: \"127.0.0.1:0\"");
    let socket = dir.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a short path");
    let patience = Some(Duration::from_secs(30));
    manager.set_read_timeout(patience).expect("a socket");
    let systemd = Systemd(manager);

    let mut command = rproxy(&config);
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "100000");
    let mut proxy = ProxyProcess::run(&children, &mut command, &dir.path().join("log"));
    systemd.hears("READY=1");
    systemd.hears("WATCHDOG=1");
    systemd.hears("WATCHDOG=1");

    let pid = pid(&proxy);
    kill_process(pid, Signal::HUP).expect("it runs");
    let reloading = systemd.hears("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    systemd.hears("READY=1");

    kill_process(pid, Signal::TERM).expect("it runs");
    let stopping = systemd.hears("STOPPING=1");
    // Nearly 30 seconds for the connections, and 15 for what is to be done then.
    let needs = "EXTEND_TIMEOUT_USEC=44";
    assert!(stopping.contains(needs), "{stopping}");
    assert_eq!(proxy.wait(), Some(0));
}

/// Socket activation: the service manager has bound the ports, the first for the web, as their
/// names say. The service manager keeps them open, so that no client is refused while the proxy is
/// restarted.
#[test]
fn a_service_manager_gives_the_ports() {
    let children = Children::new(Duration::from_secs(60));
    let bound = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let (web, ssh) = (bound(), bound());
    let (dir, config) = configured(
        "listen_addr: \"127.0.0.1:1\", web_listen_addr: \"127.0.0.1:2\", web_plain_http: yes",
    );
    let start = |log: &str| {
        let file = |listener: &TcpListener| OwnedFd::from(listener.try_clone().expect("a file"));
        let mut command = Command::new(programs::path("bash"));
        command
            .arg("-c")
            .arg(
                "exec 3<&0 4<&1 </dev/null >/dev/null
                export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:ssh
                exec \"$@\"",
            )
            .args(["bash", env!("CARGO_BIN_EXE_rproxy"), "--config"])
            .arg(&config)
            .stdin(file(&web))
            .stdout(file(&ssh));
        ProxyProcess::run_with(&children, &mut command, &dir.path().join(log))
    };
    let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
    let greeting = || {
        let mut client = TcpStream::connect(address(&ssh)).expect("somebody listens");
        let mut greeting = [0; 8];
        client.read_exact(&mut greeting).map(|()| greeting)
    };

    let mut proxy = start("one");
    assert_eq!(proxy.address, address(&ssh));
    assert_eq!(&greeting().expect("a server"), b"SSH-2.0-");
    let mut client = TcpStream::connect(address(&web)).expect("somebody listens");
    client
        .write_all(b"GET /nothing HTTP/1.0\r\n\r\n")
        .expect("a connection");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1."), "{answer}");

    kill_process(pid(&proxy), Signal::TERM).expect("it runs");
    assert_eq!(proxy.wait(), Some(0), "{}", proxy.log());
    // The port stays open; a client that connects now is served by the next process.
    let waiting = std::thread::spawn({
        let address = address(&ssh);
        move || {
            let mut client = TcpStream::connect(address).expect("somebody listens");
            let mut greeting = [0; 8];
            client.read_exact(&mut greeting).expect("a server");
        }
    });
    let _proxy = start("two");
    waiting.join().expect("served");
}
