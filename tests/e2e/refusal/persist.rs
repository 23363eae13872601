//! With `ControlPersist`, `ssh` discards the output of its ProxyCommand: the user reads refusals on
//! the inner connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::process::Signal;

use crate::support::client::Live;
use crate::support::ports::free_port;
use crate::support::{ClientOutcome, World, programs};

/// Runs `ssh` to `db1` with this ProxyCommand, or with ProxyJump. Returns its outcomes with and
/// without `ControlPersist`.
fn both(world: &World, options: &[&str]) -> [ClientOutcome; 2] {
    let path = format!("ControlPath={}/%C", world.dir().display());
    let persist = [
        "-o",
        "ControlMaster=auto",
        "-o",
        "ControlPersist=1",
        "-o",
        &path,
    ];
    [&[][..], &persist].map(|persist| {
        let outcome = world.program("ssh").args(options).args(persist);
        outcome.args(["db1", "true"]).run()
    })
}

/// In both cases, the user reads the reason, the hint and the id once, and one event is audited.
fn refused(world: &World, options: &[&str], says: &[&str]) {
    for outcome in both(world, options) {
        let told = &outcome.stderr;
        assert_eq!(outcome.code(), 255, "{told}");
        for said in ["rproxy: ", "  hint: ", "  id: "].iter().chain(says) {
            assert_eq!(told.matches(said).count(), 1, "{said:?} in {told}");
        }
    }
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 2, "{refusals:#?}");
    assert_eq!(world.node().connections(), 0);
}

fn by_command(world: &World, subsystem: &str, says: &[&str]) {
    let command = format!(
        "ProxyCommand={} -F {} %r@127.0.0.1 -s {subsystem}",
        programs::path("ssh").display(),
        world.dir().join("outer").display(),
    );
    let inner = world.dir().join("inner").display().to_string();
    refused(world, &["-F", &inner, "-o", &command], says);
}

#[test]
fn agent_forwarding_that_was_forgotten() {
    let world = World::with().without_forwarding().start();
    by_command(&world, "proxy:%h:%p", &["agent forwarding required"]);
}

#[test]
fn another_cluster() {
    let subsystem = "proxy:%h:%p@elsewhere.test";
    by_command(
        &World::new(),
        subsystem,
        &["elsewhere.test is another cluster"],
    );
}

#[test]
fn a_port_that_is_not_the_nodes() {
    by_command(
        &World::new(),
        "proxy:%h:2",
        &["is not in the inventory, only"],
    );
}

#[test]
fn an_unknown_subsystem() {
    let says = ["unknown subsystem", "-p 3023 %r@127.0.0.1 -s proxy:%h:%p"];
    by_command(&World::new(), "gateway:%h:%p", &says);
}

#[test]
fn no_subsystem() {
    let world = World::new();
    let command = format!(
        "ProxyCommand={} -F {} %r@127.0.0.1",
        programs::path("ssh").display(),
        world.dir().join("outer").display(),
    );
    let inner = world.dir().join("inner").display().to_string();
    let says = [
        "no shell here",
        "  hint: on your machine: ",
        "ssh -o ForwardAgent=yes -p 3023 %r@127.0.0.1 -s proxy:%h:%p",
    ];
    refused(&world, &["-F", &inner, "-o", &command], &says);
}

#[test]
fn a_jump_to_a_port_that_is_not_the_nodes() {
    let world = World::new();
    let jump = crate::jump::config(&world);
    let options = ["-F", &jump, "-A", "-p", "2"];
    refused(&world, &options, &["is not in the inventory, only"]);
}

/// One connection to the proxy that all sessions share, with this many channels in use. The
/// channels are forwards to the host whose clients have sent their SSH identification only.
struct Shared<'w> {
    world: &'w World,
    socket: String,
    _master: Live,
    _taken: Vec<TcpStream>,
}

impl<'w> Shared<'w> {
    fn with(world: &'w World, channels: usize) -> Self {
        let socket = world.dir().join("shared").display().to_string();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let control = format!("ControlPath={socket}");
        let forward = format!("{local}:db1:22");
        let master = world
            .outer_ssh()
            .args(["-N", "-M", "-o", &control, "-L", &forward, "127.0.0.1"])
            .start();
        // It creates its socket after it has begun to listen for forwards.
        let place = std::path::Path::new(&socket);
        world.eventually("the master listens", || place.exists().then_some(()));
        let taken = (0..channels).map(|_| {
            let mut stream = TcpStream::connect(local).expect("the master listens");
            stream.write_all(b"SSH-2.0-waiting\r\n").expect("it reads");
            let mut first = [0; 4];
            stream.read_exact(&mut first).expect("the proxy answers");
            assert_eq!(&first, b"SSH-");
            stream
        });
        Self {
            world,
            _taken: taken.collect(),
            socket,
            _master: master,
        }
    }

    /// The ProxyCommand that uses the shared connection.
    fn command(&self, arguments: &str) -> String {
        format!(
            "ProxyCommand={} -F {} -o ControlPath={} {arguments}",
            programs::path("ssh").display(),
            self.world.dir().join("outer").display(),
            self.socket,
        )
    }
}

/// If all channels of a shared connection are in use, `ssh` makes a new connection, as with
/// `MaxSessions` of `sshd`.
#[test]
fn too_many_channels_lead_to_a_connection_of_ones_own() {
    let world = World::new();
    let shared = Shared::with(&world, 64);
    let command = shared.command("%r@127.0.0.1 -s proxy:%h:%p");
    let inner = world.dir().join("inner").display().to_string();
    for outcome in both(&world, &["-F", &inner, "-A", "-o", &command]) {
        assert_eq!(outcome.code(), 0, "{}", outcome.stderr);
    }
}

/// With `-W`, `ssh` exits instead: the user reads the reason on the inner connection.
#[test]
fn too_many_channels_for_a_jump() {
    let says = ["too many channels on one connection", "ControlPath=none"];
    let world = World::new();
    let shared = Shared::with(&world, 64);
    let command = shared.command("-W %h:%p %r@127.0.0.1");
    let inner = world.dir().join("inner").display().to_string();
    refused(&world, &["-F", &inner, "-A", "-o", &command], &says);
}

/// Channels to the agent have a limit of their own: the last session gets one.
#[test]
fn the_last_channel_has_its_agent() {
    let world = World::new();
    let shared = Shared::with(&world, 63);
    let command = shared.command("%r@127.0.0.1 -s proxy:%h:%p");
    let inner = world.dir().join("inner").display().to_string();
    for outcome in both(&world, &["-F", &inner, "-o", &command]) {
        assert_eq!(outcome.code(), 0, "{}", outcome.stderr);
    }
    let mut audit = world.audit();
    audit.retain(|event| event["event"] == "refusal");
    assert!(audit.is_empty(), "{audit:#?}");
}

/// A new session over a shared connection that is about to end.
#[test]
fn a_proxy_that_stops() {
    let world = World::with().proxy_setting("drain_timeout: 0").start();
    // A client that does not disconnect keeps the connection open for a while.
    let shared = Shared::with(&world, 1);
    world.signal_proxy(Signal::TERM);
    world.eventually("it stops", || {
        let mut audit = world.audit();
        audit.retain(|event| event["event"] == "server.draining");
        audit.pop()
    });
    let inner = world.dir().join("inner").display().to_string();
    let command = shared.command("%r@127.0.0.1 -s proxy:%h:%p");
    let path = format!("ControlPath={}/%C", world.dir().display());
    let persist = [
        "-o",
        "ControlMaster=auto",
        "-o",
        "ControlPersist=1",
        "-o",
        &path,
    ];
    let outcome = world
        .program("ssh")
        .args(["-F", &inner, "-o", &command])
        .args(persist)
        .args(["db1", "true"])
        .run();
    assert_eq!(outcome.code(), 255);
    let told = &outcome.stderr;
    let said = "shutting down, connect again in a moment";
    assert_eq!(told.matches(said).count(), 1, "{told}");
}
