//! The techniques, by their numbers in `docs/THREATS.md`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{FAILURE, ask_channel, recorded};
use crate::forwards::{forwarding, refused};
use crate::hostile::Inner;
use crate::support::payload::{CLOSE, GLOBAL_REQUEST, OPEN_FAILURE, Payload, REQUEST_FAILURE};
use crate::support::ports::free_port;
use crate::support::recordings::{file, text};
use crate::support::service::{ask, bytes, listens, on_port};
use crate::support::world::login;
use crate::support::{Certificate, HostKey, Issuer, World, keys};

#[test]
fn a01_a_command_that_looks_like_a_transfer() {
    let world = World::new();
    let command = "true scp -t x; cat; echo rsync --server >&2";
    let outcome = world.ssh().args(["db1", command]).stdin("hidden").run();
    assert_eq!(outcome.success().text(), "hidden");
    let recording = recorded(&world, b"hidden", b"hidden", b"rsync --server\n");
    assert_eq!(text(&recording, "command"), command);
}

#[test]
fn a02_no_terminal() {
    let world = World::new();
    let typed = "echo typed\necho error >&2\n";
    let outcome = world.ssh().args(["-T", "db1"]).stdin(typed).run().success();
    assert_eq!(outcome.text(), "typed\n");
    recorded(&world, typed.as_bytes(), b"typed\n", b"error\n");
}

#[test]
fn a03_standard_error_only() {
    let world = World::new();
    let outcome = world
        .ssh()
        .args(["db1", "sh 1>&2"])
        .stdin("echo here\n")
        .run();
    assert_eq!(outcome.success().stderr, "here\n");
    recorded(&world, b"echo here\n", b"", b"here\n");
}

#[test]
fn a04_other_subsystems() {
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, "Subsystem odd /bin/cat\n")
        .start();
    let outcome = world.ssh().args(["-s", "db1", "odd"]).stdin(bytes()).run();
    assert!(outcome.success().stdout == bytes());
    recorded(&world, &bytes(), &bytes(), b"");
}

#[test]
fn a05_ssh_inside_a_forward() {
    let world = World::new();
    let (sshd, local) = (world.node().port, free_port());
    let ssh = forwarding(&world, "-L", &format!("{local}:127.0.0.1:{sshd}")).start();
    world.eventually("ssh listens", || listens(local).then_some(()));
    assert_eq!(ask(local, b""), b"", "not a byte of the host's greeting");
    let event = refused(&world, "data", "nested SSH");
    assert_eq!(text(&event, "user"), "alice");
    drop(ssh);

    let destination = format!("127.0.0.1:{sshd}");
    let outcome = world.ssh().args(["-W", &destination, "db1"]).run();
    assert_eq!(outcome.text(), "");
}

#[test]
fn a06_a_forward_before_any_session() {
    let world = World::new();
    let (service, local) = (on_port(), free_port());
    let ssh = forwarding(&world, "-L", &format!("{local}:127.0.0.1:{service}")).start();
    world.eventually("ssh listens", || listens(local).then_some(()));
    let answer = ask(local, b"early");
    drop(ssh);
    crate::forwards::check(&world, "direct-tcpip", b"early", &answer);
    assert_eq!(world.recordings().len(), 1, "there was no session at all");
}

/// The only forward that is not a stream; `forwards` tests the others.
#[test]
fn a07_a_tunnel_device() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let open = Payload::open("tun@openssh.com", 0, 1 << 20, 1 << 15);
    inner.peer.send(&open.u32(1).u32(0));
    inner.peer.expect(&[OPEN_FAILURE]);
    refused(&world, "channel", "tun@openssh.com");
}

#[test]
fn a10_many_sessions_of_one_connection() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    for round in 0..10 {
        // The same number each time.
        let channel = inner.peer.open_session(0, 1 << 20, 1 << 15);
        inner.peer.exec(channel, &format!("echo {round}"));
        inner.peer.expect(&[CLOSE]);
        inner.peer.send(&Payload::new(CLOSE).u32(channel.recipient));
    }
    drop(inner);
    let complete = world.eventually("all are complete", || {
        let mut recordings = world.recordings();
        recordings.retain(|one| one["state"] == "complete");
        (recordings.len() == 10).then_some(recordings)
    });
    let stored: BTreeSet<_> = complete
        .iter()
        .map(|recording| world.exported(recording, "stdout"))
        .collect();
    let expected: BTreeSet<_> = (0..10)
        .map(|round| format!("{round}\n").into_bytes())
        .collect();
    assert_eq!(stored, expected);
}

#[test]
fn a11_input_without_an_echo() {
    let world = World::new();
    let typed = b"stty -echo 2>/dev/null\nbase64 -d >/dev/null <<E\neA==\nE\n";
    world.ssh().args(["-T", "db1"]).stdin(typed).run().success();
    recorded(&world, typed, b"", b"");
}

/// A login from one host to another is output of the first one, and its requests to the agent are
/// recorded.
#[test]
fn a13_from_host_to_host() {
    let world = World::new();
    world.put_certificate_into_agent();
    let command = format!(
        "ssh -A -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
         -o LogLevel=ERROR -p {} {}@127.0.0.1 'echo nested'",
        world.node().port,
        login()
    );
    let outcome = world.ssh().args(["-A", "db1", &command]).run().success();
    assert_eq!(outcome.text(), "nested\n");
    let (session, forwards) = world.eventually("both are complete", || {
        let all = world.recordings();
        let kind = |kind: &str| {
            let wanted = |one: &&Value| one["kind"] == kind && one["state"] == "complete";
            all.iter().find(wanted).cloned()
        };
        Some((kind("exec")?, kind("forward")?))
    });
    assert_eq!(world.exported(&session, "stdout"), b"nested\n");
    assert!(!world.exported(&forwards, "stdout").is_empty());
}

#[test]
fn a16_terminal_tricks() {
    let world = World::new();
    let tricks =
        b"\x1b[?1049hls\rrm\x1b[2Dab\x1b]8;;http://x\x07y\xe2\x80\xae\xe2\x80\x8b\x1b[8mz\x08\x08";
    let outcome = world
        .ssh()
        .args(["db1", "cat"])
        .stdin(tricks)
        .run()
        .success();
    assert_eq!(outcome.stdout, tricks);
    recorded(&world, tricks, tricks, b"");
}

#[test]
fn a17_absurd_windows() {
    let world = World::new();
    // The host prints each size that it gets, so that the test sends the next one only after it.
    // The host also prints other output all the time: `ssh` may not notice a new size until
    // something else wakes it.
    let command = r#"echo ready; last=
                     until [ "$last" = "24 80" ]; do
                         now=$(stty size); [ "$now" = "$last" ] || echo "size $now."
                         last=$now; printf .; sleep 0.1
                     done; seq 1 50"#;
    let mut terminal = world.ssh().args(["-tt", "db1", command]).in_terminal(0, 0);
    terminal.expect("ready");
    for (rows, cols) in [(1, 1), (65_535, 1), (1, 65_535), (65_535, 65_535), (24, 80)] {
        terminal.resize(rows, cols);
        terminal.expect(&format!("size {rows} {cols}."));
    }
    terminal.expect("50");
    assert_eq!(terminal.finish().0, Some(0));
    let recording = world.finished_recording();
    let id = text(&recording, "id");
    for format in ["asciicast", "text", "json"] {
        let format = format!("--format={format}");
        keys::tool(world.rproxy().args(["recordings", "export", &format, id]));
    }
}

#[test]
fn a18_escapes_for_the_auditor() {
    let world = World::new();
    let attack = "printf 'seen\\033]52;c;aGk=\\007\\033]0;title\\007\\033[c\\033P$q\\033\\\\'";
    world.run("db1", attack).success();
    let recording = world.finished_recording();
    let shown = keys::tool(world.rproxy().args(["play", text(&recording, "id")]));
    assert!(shown.contains("seen"), "{shown:?}");
    for escape in ["\x1b]52", "\x1b]0", "\x1b[c", "\x1bP"] {
        assert!(!shown.contains(escape), "{escape:?} in {shown:?}");
    }
}

#[test]
fn a19_the_environment() {
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, "AcceptEnv *\n")
        .start();
    let outcome = world
        .ssh()
        .args(["-o", "SetEnv=LD_PRELOAD=/nowhere.so GIT_SSH_COMMAND=x"])
        .args([
            "db1",
            "echo \"<$LD_PRELOAD$GIT_SSH_COMMAND> <$LANG> <$LC_ALL>\"",
        ])
        .env("LANG", "de_DE.UTF-8")
        .env("LC_ALL", "C")
        .run()
        .success();
    assert_eq!(outcome.text(), "<> <de_DE.UTF-8> <C>\n");
    refused(&world, "channel-request", "env");
}

#[test]
fn a20_an_option_of_the_certificate() {
    let options = &["-O", "extension:no-recording@example.com"];
    let certificate = Certificate {
        issuer: Issuer::UserAuthority(options),
        principals: None,
    };
    let world = World::with().certificate(certificate).start();
    world.run("db1", "echo recorded").success();
    recorded(&world, b"", b"recorded\n", b"");
}

#[test]
fn a21_output_without_end() {
    let world = World::new();
    let outcome = world.run("db1", "seq 1 1000000").success();
    recorded(&world, b"", &outcome.stdout, b"");
}

#[test]
fn a25_a_jump() {
    let world = World::new();
    let config = crate::jump::config(&world);
    let outcome = world
        .program("ssh")
        .args(["-F", &config, "-A", "db1", "tee /dev/stderr"])
        .stdin(bytes())
        .run()
        .success();
    assert!(outcome.stdout == bytes());
    recorded(&world, &bytes(), &bytes(), &bytes());
}

#[test]
fn a26_unknown_messages() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    peer.send(&Payload::open("unknown@example.com", 9, 1 << 20, 1 << 15));
    peer.expect(&[OPEN_FAILURE]);
    let global = Payload::new(GLOBAL_REQUEST).string("unknown-global@example.com");
    peer.send(&global.flag(true));
    peer.expect(&[REQUEST_FAILURE]);
    let channel = peer.open_session(0, 1 << 20, 1 << 15);
    assert_eq!(
        ask_channel(peer, channel, "unknown-request@example.com", &[]),
        FAILURE
    );
    for (what, name) in [
        ("channel", "unknown@example.com"),
        ("global-request", "unknown-global@example.com"),
        ("channel-request", "unknown-request@example.com"),
    ] {
        refused(&world, what, name);
    }
}

#[test]
fn a28_a_host_under_another_name() {
    let world = World::with().node("db1", HostKey::Named("db2")).start();
    let outcome = world.run("db1", "true");
    assert_eq!(outcome.code(), 255);
    assert!(outcome.stderr.contains("rproxy: "), "{}", outcome.stderr);
    assert_eq!(world.refusals().len(), 1);
}

#[test]
fn a29_others_recordings() {
    let world = World::new();
    world.run("db1", "true").success();
    let recording = world.finished_recording();
    let mode = |path: &Path| {
        let permissions = std::fs::metadata(path).expect("it is there").permissions();
        std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o077
    };
    let path = file(&recording);
    assert_eq!(mode(path), 0);
    assert_eq!(mode(path.parent().expect("a directory")), 0);
    // The proxy has no service that reads recordings.
    let outcome = world.outer_ssh().args(["127.0.0.1", "-s", "sftp"]).run();
    assert_ne!(outcome.code(), 0);
    assert_eq!(outcome.text(), "");
}
