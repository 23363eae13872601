//! Two proxies on one PostgreSQL: the client is at one of them, and the host keeps its tunnel at the other.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::tunnels::echoes;
use crate::support::client::Live;
use crate::support::ports::free_port;
use crate::support::proxy::ProxyProcess;
use crate::support::recordings::text;
use crate::support::terminal::Terminal;
use crate::support::world::JoiningHost;
use crate::support::{World, keys, postgres};

/// The node, as users call it.
const NODE: &str = "inner1";
/// How long the way to a host may take.
const CONNECT_TIMEOUT: &str = "20s";

/// Two proxies, and a host that has joined. The client is at proxy A, and commands are about it.
struct Proxies {
    /// The tunnel that the node keeps.
    tunnel: Live,
    /// The proxy of the tunnel.
    b: ProxyProcess,
    host: JoiningHost,
    /// Its proxy is A.
    world: World,
}

impl Proxies {
    /// With the tunnel at B, and a host that is reached in no other way; `None` without PostgreSQL.
    fn start() -> Option<Self> {
        Self::start_with("required")
    }

    /// The same with this rule for tunnels of the host.
    fn start_with(rule: &str) -> Option<Self> {
        let url = postgres::database()?;
        let [a, b] = [free_port(), free_port()];
        let world = World::with()
            .settings(&postgres::section(&url))
            .settings(&format!(
                "upstream: {{ connect_timeout: {CONNECT_TIMEOUT} }}"
            ))
            .port(b)
            .proxy_setting(&format!("peer_addr: 127.0.0.1:{b}"))
            .start();
        let host = world.joined_host(NODE, &[&format!("--tunnel={rule}")]);
        let tunnel = world.tunnel(&host);
        world.edit_configuration(|text| text.replace(&format!(":{b}"), &format!(":{a}")));
        let b = world.go_through_another_proxy();
        Some(Self {
            tunnel,
            b,
            host,
            world,
        })
    }

    /// The data of A, whose configuration is the world's.
    fn data_of_a(&self) -> PathBuf {
        self.world.dir().join("other/data")
    }

    /// The events in the audit log below a data directory.
    fn audit(data: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(data.join("audit.jsonl")).unwrap_or_default();
        let (whole, _begun) = text.rsplit_once('\n').unwrap_or_default();
        let lines = whole.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("JSON")).collect()
    }

    fn events(data: &Path, name: &str) -> Vec<Value> {
        let mut events = Self::audit(data);
        events.retain(|event| event["event"] == name);
        events
    }

    /// Nothing of a session is at B.
    fn assert_b_has_seen_no_session(&self) {
        let data = self.world.data();
        assert!(Self::events(&data, "session.start").is_empty());
        let files = keys::files(&data.join("recordings"));
        assert!(files.is_empty(), "{files:?}");
        let peers = Self::events(&data, "auth.success");
        assert!(
            peers.iter().any(|event| event["user"] == "peer"),
            "{peers:?}"
        );
    }

    /// Stops the worker of B where it is, until what is returned is dropped.
    fn freeze_b(&self) -> Frozen {
        let workers = self.b.workers();
        let [worker] = workers[..] else {
            panic!("{workers:?}");
        };
        let worker = i32::try_from(worker).ok().and_then(Pid::from_raw);
        let frozen = Frozen(worker.expect("a process id"));
        self.world.pause(frozen.0);
        frozen
    }

    /// Where the last session at A has reached its host.
    fn reached_at(&self) -> String {
        let mut starts = Self::events(&self.data_of_a(), "session.start");
        text(&starts.pop().expect("a session"), "host_addr").to_owned()
    }

    /// A shell on the node, at its prompt.
    fn shell(&self) -> Terminal {
        let mut terminal = self
            .world
            .ssh()
            .args(["-tt", NODE, "bash --norc --noprofile"])
            .in_terminal(24, 80);
        terminal.type_in("PS1='rea''dy> '\r");
        terminal.expect("ready> ");
        terminal
    }
}

/// A process that is stopped. It goes on when this is dropped, also by a test that fails.
struct Frozen(Pid);

impl Drop for Frozen {
    fn drop(&mut self) {
        // The test may have killed it.
        kill_process(self.0, Signal::CONT).unwrap_or_default();
    }
}

#[test]
fn a_client_at_one_proxy_reaches_a_host_whose_tunnel_is_at_another() {
    let Some(proxies) = Proxies::start() else {
        return;
    };
    let world = &proxies.world;
    let outcome = world.run(NODE, "echo hello; exit 3");
    assert_eq!((outcome.code(), outcome.text().as_str()), (3, "hello\n"));
    let recording = world.finished_recording();
    assert_eq!(world.exported(&recording, "stdout"), b"hello\n");
    let start = Proxies::events(&proxies.data_of_a(), "session.start").remove(0);
    assert_eq!(start["node"], NODE);
    assert!(text(&start, "host_addr").starts_with("tunnel:"), "{start}");
    // sshd sees an address of the host's own; the serial joins the session with its line.
    assert!(start["egress_addr"].is_null(), "{start}");
    let (serial, log) = (text(&start, "serial"), proxies.host.sshd.log());
    let mut lines = log.lines();
    let line = lines.find(|line| line.starts_with("Accepted publickey "));
    let line = line.expect("a login");
    assert!(line.contains(" from 127.0.0.1 port "), "{line}");
    assert!(line.contains(&format!("(serial {serial})")), "{line}");

    let mut shell = proxies.shell();
    shell.type_in("echo at $((40 + 2)) $(tty)\r");
    shell.expect("at 42 /dev/pts/");
    shell.type_in("exit\r");
    assert_eq!(shell.finish().0, Some(0));

    let sent = crate::bulk::random(3_000_000);
    let dir = world.dir();
    std::fs::write(dir.join("sent"), &sent).expect("a writable directory");
    let batch = format!(
        "put {0}/sent {0}/stored\nget {0}/stored {0}/fetched\n",
        dir.display()
    );
    std::fs::write(dir.join("batch"), batch).expect("a writable directory");
    let sftp = world.program("sftp").arg("-F").arg(dir.join("inner"));
    let sftp = sftp.arg("-b").arg(dir.join("batch")).arg(NODE);
    sftp.run().success();
    let fetched = std::fs::read(dir.join("fetched")).expect("sftp has written it");
    assert!(fetched == sent, "the file has changed on its way");
    proxies.assert_b_has_seen_no_session();
}

#[test]
fn a_node_that_is_locked_loses_its_sessions_through_another_proxy() {
    let Some(mut proxies) = Proxies::start() else {
        return;
    };
    let mut shell = proxies.shell();
    proxies.world.about_nodes(&["lock", NODE]);
    shell.expect("locked");
    assert_eq!(shell.finish().0, Some(255));
    assert_ne!(proxies.world.run(NODE, "true").code(), 0);
    // B has ended the tunnel.
    let (world, tunnel) = (&proxies.world, &mut proxies.tunnel);
    world.eventually("the node's ssh ends", || tunnel.has_ended().then_some(()));
}

/// The host then opens its tunnel at the proxy that is left.
#[test]
fn sessions_through_a_proxy_that_dies_end_and_new_ones_find_another_way() {
    let Some(mut proxies) = Proxies::start() else {
        return;
    };
    let shell = proxies.shell();
    proxies.b.kill();
    assert_eq!(shell.finish().0, Some(255));
    let waiting = proxies.world.ssh().args([NODE, "echo back"]).start();
    proxies.tunnel = proxies.world.tunnel(&proxies.host);
    let outcome = waiting.finish().success();
    assert_eq!(outcome.text(), "back\n");
    proxies
        .world
        .eventually("both sessions have ended at A", || {
            let ends = Proxies::events(&proxies.data_of_a(), "session.end");
            (ends.len() == 2).then_some(())
        });
}

/// A session through a tunnel of proxy A, while B and the tunnels that it has are gone.
#[test]
fn a_proxy_that_dies_costs_no_session_at_the_other() {
    let Some(mut proxies) = Proxies::start() else {
        return;
    };
    let world = &proxies.world;
    let host = world.joined_host("inner2", &["--tunnel=required"]);
    let _tunnel = world.tunnel(&host);
    // The worker learns of a host that has joined a moment later.
    world.eventually("the proxy knows the host", || {
        (world.run("inner2", "true").code() == 0).then_some(())
    });
    let mut session = world.ssh().args(["inner2", "cat"]).start();
    echoes(&mut session, b"before");
    proxies.b.kill();
    let tunnel = &mut proxies.tunnel;
    world.eventually("the ssh of B's node ends", || {
        tunnel.has_ended().then_some(())
    });
    echoes(&mut session, b"after");
    session.finish().success();
    assert_eq!(world.run("inner2", "echo new").success().text(), "new\n");
}

/// Its kernel still accepts connections. Users read which leg has failed; who is connected goes on when it
/// goes on.
#[test]
fn a_proxy_that_falls_silent_holds_no_new_session_up_for_long() {
    let Some(proxies) = Proxies::start() else {
        return;
    };
    let mut shell = proxies.shell();
    let frozen = proxies.freeze_b();
    shell.type_in("echo is $((40 + 2))\r");
    let refused = proxies.world.run(NODE, "true");
    assert_eq!(refused.code(), 255);
    let b = &proxies.b.address;
    let told = format!(
        "the proxy {b}, where the host's tunnel is, cannot be reached: no answer within 10 seconds"
    );
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    drop(frozen);
    shell.expect("is 42");
    shell.type_in("exit\r");
    assert_eq!(shell.finish().0, Some(0));
    let outcome = proxies.world.run(NODE, "echo back");
    assert_eq!((outcome.code(), outcome.text().as_str()), (0, "back\n"));
}

/// Its address, which is one of this machine, is dialled by no proxy that has others.
#[test]
fn a_host_that_may_have_a_tunnel_is_reached_through_it_wherever_it_is() {
    let Some(mut proxies) = Proxies::start_with("allowed") else {
        return;
    };
    let world = &proxies.world;
    world.run(NODE, "true").success();
    let through = proxies.reached_at();
    assert!(through.starts_with("tunnel:"), "{through}");
    proxies.b.kill();
    assert_eq!(world.run(NODE, "true").code(), 255);
    // It opens its tunnel at the proxy of the client.
    proxies.tunnel = world.tunnel(&proxies.host);
    world.eventually("the tunnel is open", || {
        (world.run(NODE, "true").code() == 0).then_some(())
    });
    assert_eq!(proxies.reached_at(), through);
}
