//! `ssh(1)`: -L, -R, -D, -W, -A, -X. What crosses is in the recording of the connection's forwards.

use serde_json::Value;

use crate::support::World;
use crate::support::client::ClientCommand;
use crate::support::ports::free_port;
use crate::support::recordings::text;
use crate::support::service::{ANSWER, ask, bytes, listens, on_port, on_socket};

/// The one recording of forwards, once it is complete.
pub(crate) fn forwards(world: &World) -> Value {
    world.eventually("the recording of the forwards is complete", || {
        let mut recordings = world.recordings();
        recordings.retain(|one| one["kind"] == "forward" && one["state"] == "complete");
        recordings.pop()
    })
}

/// Checks that the recording has the data of one channel, and that its opening was audited.
pub(crate) fn check(world: &World, kind: &str, sent: &[u8], answered: &[u8]) {
    let recording = forwards(world);
    let (client, host) = match kind {
        "forwarded-tcpip" | "forwarded-streamlocal@openssh.com" => (answered, sent),
        _ => (sent, answered),
    };
    assert!(
        world.exported(&recording, "stdin") == client,
        "{recording:#}"
    );
    assert!(
        world.exported(&recording, "stdout") == host,
        "{recording:#}"
    );
    let audit = world.audit();
    let opened = audit
        .iter()
        .find(|event| event["event"] == "forward.opened");
    let opened = opened.unwrap_or_else(|| panic!("nothing was opened: {audit:#?}"));
    assert!(opened.to_string().contains(kind), "{opened:#}");
    assert_eq!(text(opened, "user"), "alice");
}

/// The audit event about something that was refused on a connection.
pub(crate) fn refused(world: &World, what: &str, name: &str) -> Value {
    world.eventually(&format!("{name} is refused and audited"), || {
        world.audit().into_iter().find(|event| {
            event["event"] == "channel.refused" && event["what"] == what && event["name"] == name
        })
    })
}

/// `ssh -N` with a forwarding that must succeed.
pub(crate) fn forwarding<'w>(world: &'w World, option: &str, what: &str) -> ClientCommand<'w> {
    world
        .ssh()
        .args(["-N", "-o", "ExitOnForwardFailure=yes", option, what, "db1"])
}

#[test]
fn a_port_of_the_host() {
    let world = World::new();
    let (service, local) = (on_port(), free_port());
    let ssh = forwarding(&world, "-L", &format!("{local}:127.0.0.1:{service}")).start();
    world.eventually("ssh listens", || listens(local).then_some(()));
    let answer = ask(local, &bytes());
    assert!(answer == [ANSWER, &bytes()].concat());
    drop(ssh);
    check(&world, "direct-tcpip", &bytes(), &answer);
}

/// With port 0, the host chooses a port and reports it.
#[test]
fn a_port_on_the_host() {
    let world = World::new();
    let service = on_port();
    let log = world.dir().join("ssh.log");
    let ssh = forwarding(&world, "-R", &format!("0:127.0.0.1:{service}"))
        .arg("-E")
        .arg(&log)
        .start();
    drop(ssh);
    let ssh = world
        .ssh()
        .args(["-N", "-R", &format!("0:127.0.0.1:{service}"), "-E"])
        .arg(&log)
        .arg("db1")
        .start();
    let port = world.eventually("the host says which port", || {
        let said = std::fs::read_to_string(&log).ok()?;
        let (_, rest) = said.split_once("Allocated port ")?;
        rest.split_whitespace().next()?.parse().ok()
    });
    let answer = ask(port, &bytes());
    assert!(answer == [ANSWER, &bytes()].concat());
    drop(ssh);
    check(&world, "forwarded-tcpip", &bytes(), &answer);
}

#[test]
fn a_named_port_on_the_host() {
    let world = World::new();
    let (service, remote) = (on_port(), free_port());
    let ssh = forwarding(&world, "-R", &format!("{remote}:127.0.0.1:{service}")).start();
    world.eventually("the host listens", || listens(remote).then_some(()));
    let answer = ask(remote, b"question");
    assert!(answer == [ANSWER, b"question"].concat());
    drop(ssh);
    check(&world, "forwarded-tcpip", b"question", &answer);
}

#[test]
fn socks() {
    let world = World::new();
    let (service, local) = (on_port(), free_port());
    let ssh = forwarding(&world, "-D", &local.to_string()).start();
    world.eventually("ssh listens", || listens(local).then_some(()));
    let url = format!("http://127.0.0.1:{service}/page");
    let outcome = world
        .program("curl")
        .args(["-sS", "--socks5", &format!("127.0.0.1:{local}"), &url])
        .run()
        .success();
    assert!(
        outcome.text().starts_with("answer: GET /page"),
        "{}",
        outcome.text()
    );
    drop(ssh);
    let recording = forwards(&world);
    let asked = world.exported(&recording, "stdin");
    assert!(asked.starts_with(b"GET /page"));
    assert!(world.exported(&recording, "stdout") == [ANSWER, &asked].concat());
}

#[test]
fn standard_input_and_output() {
    let world = World::new();
    let destination = format!("127.0.0.1:{}", on_port());
    let outcome = world
        .ssh()
        .args(["-W", &destination, "db1"])
        .stdin(bytes())
        .run()
        .success();
    assert!(outcome.stdout == [ANSWER, &bytes()].concat());
    check(&world, "direct-tcpip", &bytes(), &outcome.stdout);
}

#[test]
fn unix_sockets_both_ways() {
    for (option, kind) in [
        ("-L", "direct-streamlocal@openssh.com"),
        ("-R", "forwarded-streamlocal@openssh.com"),
    ] {
        let world = World::new();
        let (near, far) = (world.dir().join("near"), world.dir().join("far"));
        on_socket(&far);
        let both = format!("{}:{}", near.display(), far.display());
        let ssh = forwarding(&world, option, &both).start();
        // The file is there a moment before somebody listens.
        let connect = || std::os::unix::net::UnixStream::connect(&near).ok();
        let mut stream = world.eventually("it listens", connect);
        std::io::Write::write_all(&mut stream, b"question").expect("a socket");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a socket");
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut answer).expect("a socket");
        assert!(answer == [ANSWER, b"question"].concat(), "{option}");
        drop(ssh);
        check(&world, kind, b"question", &answer);
    }
}

/// The second `ForwardAgent`: the host uses the user's agent, and its requests are recorded.
#[test]
fn an_agent_on_the_host() {
    let world = World::new();
    world.put_certificate_into_agent();
    let outcome = world
        .ssh()
        .args(["-A", "db1", "ssh-add -l"])
        .run()
        .success();
    assert!(
        outcome.text().contains("ED25519-CERT"),
        "{}",
        outcome.text()
    );
    let recording = forwards(&world);
    let asked = world.exported(&recording, "stdout");
    assert_eq!(asked, b"\0\0\0\x01\x0b", "SSH_AGENTC_REQUEST_IDENTITIES");
    let answered = world.exported(&recording, "stdin");
    assert_eq!(answered[4], 12, "SSH_AGENT_IDENTITIES_ANSWER");
}

/// `permit: { x11: no }` is the default: the user reads it from ssh, the session goes on.
#[test]
fn x11_is_refused_by_default() {
    let world = World::new();
    let outcome = world
        .ssh()
        .args(["-Y", "db1", "echo \"<$DISPLAY>\""])
        .env("DISPLAY", "127.0.0.1:99")
        .run()
        .success();
    assert_eq!(outcome.text(), "<>\n");
    assert!(
        outcome.stderr.contains("X11 forwarding request failed"),
        "{}",
        outcome.stderr
    );
    refused(&world, "channel-request", "x11-req");
}

/// The destination of a forward may refuse it: the user reads the host's message.
#[test]
fn nobody_at_the_other_end() {
    let world = World::new();
    let destination = format!("127.0.0.1:{}", free_port());
    let outcome = world.ssh().args(["-W", &destination, "db1"]).run();
    assert_eq!(outcome.code(), 255);
    assert!(
        outcome.stderr.contains("Connection refused"),
        "{}",
        outcome.stderr
    );
}

/// VS Code's way: a shell without a terminal that serves a SOCKS proxy beside.
#[test]
fn an_editors_way() {
    let world = World::new();
    let (service, local) = (on_port(), free_port());
    let mut ssh = world
        .ssh()
        .args(["-T", "-D", &local.to_string(), "db1", "sh"])
        .start();
    let stdin = ssh.stdin.as_mut().expect("it is piped");
    std::io::Write::write_all(stdin, b"echo ready\n").expect("a pipe");
    assert_eq!(ssh.read(6), b"ready\n");
    let url = format!("http://127.0.0.1:{service}/editor");
    let proxy = format!("127.0.0.1:{local}");
    let curl = world
        .program("curl")
        .args(["-sS", "--socks5-hostname", &proxy, &url]);
    assert!(curl.run().success().text().contains("GET /editor"));
    let stdin = ssh.stdin.as_mut().expect("it is piped");
    std::io::Write::write_all(stdin, b"echo done; exit 3\n").expect("a pipe");
    let outcome = ssh.finish();
    assert_eq!((outcome.code(), outcome.text().as_str()), (3, "done\n"));
    forwards(&world);
    let recordings = world.recordings();
    assert_eq!(
        recordings.len(),
        2,
        "one session, one for forwards: {recordings:#?}"
    );
}
