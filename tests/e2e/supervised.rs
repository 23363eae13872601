//! What a service manager is told, and what it tells.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::children::Children;
use crate::support::proxy::{Proxy, rproxy};

/// Its socket.
struct Systemd(UnixDatagram);

impl Systemd {
    /// Waits until a message has this line; gives the message.
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

#[test]
fn a_service_manager_is_told() {
    let children = Children::new(Duration::from_secs(60));
    let dir = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
    let dir = dir.expect("a directory in /tmp");
    let config = dir.path().join("rproxy.yaml");
    let data = dir.path().join("data");
    let text = format!(
        "cluster_name: example.test\ndata_dir: {}\nproxy_service: {{ listen_addr: \"127.0.0.1:0\" }}\n",
        data.display()
    );
    std::fs::write(&config, text).expect("a writable directory");
    let socket = dir.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a short path");
    let patience = Some(Duration::from_secs(30));
    manager.set_read_timeout(patience).expect("a socket");
    let systemd = Systemd(manager);

    let mut command = rproxy(&config);
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "100000");
    let mut proxy = Proxy::run(&children, &mut command, &dir.path().join("log"));
    systemd.hears("READY=1");
    systemd.hears("WATCHDOG=1");
    systemd.hears("WATCHDOG=1");

    let pid = i32::try_from(proxy.pid()).ok().and_then(Pid::from_raw);
    let pid = pid.expect("it runs");
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
