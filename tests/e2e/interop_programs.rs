//! Programs that run ssh for backups, synchronisation and terminals, security keys without hardware, and
//! hosts made with libraries.
//!
//! `tests/interop/README.md` lists what each of them can do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::interop_clients::first_line;
use crate::interop_servers::{await_port, refused, speaks_and_listens, trusted_users};
use crate::support::agent::Agent;
use crate::support::children::Running;
use crate::support::others::{compiled, others, python, script};
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{HostKey, World, keys, ports, programs, security_keys, service, skipped};

/// ssh as other programs call it.
fn command(world: &World) -> String {
    let ssh = programs::path("ssh");
    let config = world.dir().join("inner");
    format!("{} -F {}", ssh.display(), config.display())
}

/// A file that `tests/run.sh` installs below `target/tools`.
fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools")
        .join(name)
}

/// A directory with two files.
fn tree(world: &World) -> PathBuf {
    let dir = world.dir().join("tree");
    std::fs::create_dir_all(dir.join("sub")).expect("writable");
    for name in ["with space", "sub/plain"] {
        std::fs::write(dir.join(name), service::bytes()).expect("writable");
    }
    dir
}

/// A shell script in the user's environment, with `$SSH` as other programs call it, `$DIR`, and a tree of
/// files in `$DIR/tree`.
fn runs(script: &str) -> World {
    let world = World::with().time_limit(Duration::from_secs(180)).start();
    tree(&world);
    world
        .program("bash")
        .args(["-euc", script])
        .env("SSH", command(&world))
        .env("DIR", world.dir())
        .env("LC_ALL", "C.UTF-8")
        .run()
        .success();
    let recordings = world.recordings();
    assert!(!recordings.is_empty(), "nothing was recorded");
    world
}

#[test]
fn restic_backs_up_and_restores() {
    if others("restic").is_none() {
        return;
    }
    runs(
        "export RESTIC_PASSWORD=secret\n\
         restic() { command restic --no-cache -q -r \"sftp:db1:$DIR/repository\" \
         -o sftp.command=\"$SSH db1 -s sftp\" \"$@\"; }\n\
         restic init\nrestic backup \"$DIR/tree\"\nrestic check\n\
         restic restore latest --target \"$DIR/back\"\ndiff -r \"$DIR/tree\" \"$DIR/back$DIR/tree\"\n",
    );
}

#[test]
fn borg_backs_up_and_extracts() {
    if others("borg").is_none() {
        return;
    }
    runs(
        "export BORG_RSH=\"$SSH\" BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes\n\
         borg init -e none \"db1:$DIR/repository\"\ncd \"$DIR\"\n\
         borg create \"db1:$DIR/repository::one\" tree\nmkdir back\ncd back\n\
         borg extract \"db1:$DIR/repository::one\"\ndiff -r ../tree tree\n",
    );
}

#[test]
fn unison_synchronises_both_ways() {
    if others("unison").is_none() {
        return;
    }
    runs(
        "sync() { unison \"$DIR/tree\" \"ssh://db1/$DIR/there\" -batch -silent \
         -sshcmd \"${SSH%% *}\" -sshargs \"${SSH#* }\"; }\n\
         sync\ndiff -r \"$DIR/tree\" \"$DIR/there\"\necho changed >\"$DIR/there/sub/plain\"\n\
         sync\ndiff -r \"$DIR/tree\" \"$DIR/there\"\n",
    );
}

#[test]
fn rclone_copies_by_ssh() {
    // The option is newer than the packages of some distributions.
    let newest = tool("rclone/bin/rclone");
    let Some(rclone) = newest
        .is_file()
        .then_some(newest)
        .or_else(|| others("rclone"))
    else {
        return;
    };
    let help = keys::tool(Command::new(&rclone).args(["help", "flags", "sftp-ssh"]));
    if !help.contains("--sftp-ssh ") {
        return skipped::cannot("this rclone has no --sftp-ssh");
    }
    runs(&format!(
        "rclone() {{ {} -q --config /dev/null --sftp-ssh \"$SSH db1\" \"$@\"; }}\n\
         rclone copy \"$DIR/tree\" \":sftp:$DIR/there\"\nrclone copy \":sftp:$DIR/there\" \"$DIR/back\"\n\
         diff -r \"$DIR/tree\" \"$DIR/back\"\n",
        rclone.display()
    ));
}

/// mosh starts its server with `ssh`; then it uses UDP without the proxy.
#[test]
fn mosh_begins_by_ssh() {
    if others("mosh").is_none() {
        return;
    }
    let world = World::new();
    let mut terminal = world
        .program("mosh")
        .args(["--experimental-remote-ip=remote", "--no-init"])
        .arg(format!("--ssh={}", command(&world)))
        .args(["db1", "--", "sh", "-c", "echo came-$((6 * 7)); sleep 1"])
        .env("LC_ALL", "C.UTF-8")
        .in_terminal(24, 80);
    terminal.expect("came-42");
    assert_eq!(terminal.finish().0, Some(0));
    let recording = world.finished_recording();
    assert!(text(&recording, "command").contains("mosh-server"));
    let said = world.exported(&recording, "stdout");
    assert!(String::from_utf8_lossy(&said).contains("MOSH CONNECT"));
}

/// mitogen runs Python on hosts, and installs no files there.
#[test]
fn mitogen_calls_functions_on_hosts() {
    let Some(python) = python("mitogen") else {
        return;
    };
    let world = World::new();
    let ssh = programs::path("ssh");
    let outcome = world
        .program_at(&python)
        .arg(script("mitogen_client.py"))
        .arg(&ssh)
        .arg(world.dir().join("inner"))
        .arg(login())
        .run()
        .success();
    assert_eq!(outcome.text(), "there and back 42\n", "{}", outcome.stderr);
}

/// git-annex starts its own program on the host, and communicates with it.
#[test]
fn git_annex_copies_by_ssh() {
    if others("git-annex").is_none() {
        return;
    }
    let world = runs(
        "export HOME=\"$DIR/home\" GIT_SSH_COMMAND=\"$SSH\" GIT_ANNEX_USE_GIT_SSH=1\n\
         mkdir \"$HOME\"\ngit config --global user.name a\ngit config --global user.email a@example.com\n\
         git init -q --bare \"$DIR/there\"\ngit -C \"$DIR/there\" annex init -q there\n\
         cd \"$DIR\"\ncp -r tree kept\ncd tree\ngit init -q\ngit annex init -q here\n\
         git annex add -q .\ngit commit -q -m one\ngit remote add there \"db1:$DIR/there\"\n\
         git annex copy -q --to there\ngit annex drop -q .\n\
         if diff -r -x .git \"$DIR/kept\" . >/dev/null 2>&1; then exit 3; fi\n\
         git annex get -q --from there\ndiff -r -x .git \"$DIR/kept\" .\n",
    );
    let recordings = world.recordings();
    let asked = |recording: &Value| text(recording, "command").contains("git-annex-shell");
    assert!(recordings.iter().any(asked), "{recordings:#?}");
}

/// Our own security key in software, for Ed25519 only.
#[test]
fn security_keys_log_in() {
    let built = tempfile::tempdir().expect("a temporary directory");
    if let Some(device) = security_keys::own_device(built.path()) {
        logs_in_with(&device, "ed25519-sk", "ED25519-SK-CERT");
    }
}

/// The security key of OpenSSH's own tests, for both types of key.
#[test]
fn security_keys_of_openssh_log_in() {
    if let Some(device) = security_keys::device_of_openssh() {
        logs_in_with(&device, "ed25519-sk", "ED25519-SK-CERT");
        logs_in_with(&device, "ecdsa-sk", "ECDSA-SK-CERT");
    }
}

/// Creates a new key of this type in a device, with these arguments, and a certificate for it.
fn security_key(world: &World, device: &Path, kind: &str, more: &[&str]) -> PathBuf {
    let key = world.dir().join("sk");
    security_keys::generate(&key, device, kind, more);
    keys::tool(
        world
            .rproxy()
            .args(["auth", "sign", "--user=alice", "--logins", &login()])
            .arg("--public-key")
            .arg(keys::with_suffix(&key, ".pub"))
            .arg("--out")
            .arg(&key),
    );
    key
}

/// Starts an agent with this name that has the key and its certificate.
fn security_agent(world: &World, device: &Path, key: &Path, name: &str) -> Agent {
    security_keys::agent(&world.children, &world.dir().join(name), device, key)
}

/// A key whose private half is in a device, here one in software: login at the proxy and at the host, with
/// the agent forwarded. `named` is what sshd calls its certificate.
fn logs_in_with(middleware: &Path, kind: &str, named: &str) {
    let world = World::new();
    let key = security_key(&world, middleware, kind, &[]);
    let agent = security_agent(&world, middleware, &key, "sk-agent");
    let outcome = world
        .ssh()
        .env("SSH_AUTH_SOCK", &agent.socket)
        .args(["db1", "echo in"])
        .run()
        .success();
    assert_eq!(outcome.text(), "in\n");
    let log = world.node().log();
    assert!(log.contains(named), "{log}");
}

/// A key that signs without a touch is refused with a message of its own, as `sshd` refuses it,
/// unless its certificate permits it; `doctor` shows the message. ssh-keygen(1),
/// `no-touch-required`.
#[test]
fn security_keys_that_want_no_touch_need_a_certificate_that_says_so() {
    let world = World::new();
    let Some(middleware) = security_keys::own_device(world.dir()) else {
        return;
    };
    let untouched = ["-O", "no-touch-required"];
    let key = security_key(&world, &middleware, "ed25519-sk", &untouched);
    let agent = security_agent(&world, &middleware, &key, "sk-agent");
    let outcome = world
        .ssh()
        .env("SSH_AUTH_SOCK", &agent.socket)
        .args(["db1", "true"])
        .run();
    assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
    for words in [
        "rproxy: client: the security key signed without a touch",
        "hint: the key was made with `ssh-keygen -O no-touch-required`",
    ] {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    let refusals = world.refusals();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(text(&refusals[0], "reason"), "security-key-not-touched");
    assert_eq!(world.node().connections(), 0);
    let doctor = world
        .program_at(Path::new(env!("CARGO_BIN_EXE_rproxy")))
        .env("SSH_AUTH_SOCK", &agent.socket)
        .env("RPROXY_CONFIG", "/nonexistent")
        .args(["doctor", "--from-client", &world.address().to_string()])
        .args(["--host", "db1", "--ssh-config"])
        .arg(world.dir().join("inner"))
        .run();
    assert_eq!(doctor.code(), 1, "{}", doctor.text());
    for words in ["without a touch", "no-touch-required"] {
        assert!(doctor.text().contains(words), "{}", doctor.text());
    }

    let exported = keys::tool(world.rproxy().args(["auth", "export", "--type=user"]));
    let authority = keys::authority(&world.data(), &exported);
    keys::sign(&authority, "alice", &login(), &untouched, &key);
    let agent = security_agent(&world, &middleware, &key, "waived-agent");
    let ssh = world.ssh().env("SSH_AUTH_SOCK", &agent.socket);
    let outcome = ssh.args(["db1", "echo in"]).run().success();
    assert_eq!(outcome.text(), "in\n");
}

/// Go's x/crypto/ssh: it presents a certificate and checks ours.
#[test]
fn go_host() {
    let Some(go) = others("go") else { return };
    let port = ports::free_port();
    let world = World::with()
        .node("db1", HostKey::Certified)
        .foreign_node("go1", port)
        .time_limit(Duration::from_secs(240))
        .start();
    let program = world.dir().join("go_server");
    let built = Command::new(&go)
        .args(["build", "-o"])
        .arg(&program)
        .arg(script("go_server.go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", world.dir().join("go-cache"))
        .env("GOFLAGS", "")
        .output()
        .expect("go runs");
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        return skipped::lacks(&format!("x/crypto of go ({said})"));
    }
    let mut server = world.children.spawn(
        Command::new(&program)
            .arg(world.host_key("go1"))
            .arg(trusted_users(&world))
            .arg(format!("127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    );
    first_line(server.child.stdout.take().expect("it is piped"));
    speaks_and_listens(&world, "go1");
}

/// Node.js's ssh2 supports no certificates: the proxy refuses its host, or the host refuses the
/// login.
#[test]
fn node_ssh2_host() {
    let modules = tool("node/node_modules");
    let Some(node) = others("node").filter(|_| modules.join("ssh2").is_dir()) else {
        return skipped::lacks("ssh2 of node");
    };
    let port = ports::free_port();
    let start = |world: &World| -> Running {
        let key = world.dir().join("ssh2_host_key");
        keys::generate_as(&key, &["-t", "ecdsa", "-b", "256", "-m", "PEM"]);
        let running = world.children.spawn(
            Command::new(&node)
                .arg(script("ssh2_server.js"))
                .arg(&modules)
                .arg(&key)
                .arg(port.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        await_port(world, port);
        running
    };
    refused(port, &start);
}

/// The same with libssh.
#[test]
fn libssh_host() {
    let program = tempfile::tempdir().expect("a temporary directory");
    let server = program.path().join("libssh_server");
    if !compiled("libssh_server.c", &[], "ssh", &server) {
        return;
    }
    let port = ports::free_port();
    let start = |world: &World| -> Running {
        let key = world.dir().join("libssh_host_key");
        keys::generate(&key);
        let mut running = world.children.spawn(
            Command::new(&server)
                .arg(&key)
                .arg(port.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        // It serves one connection at a time, so the test does not connect to find out whether it
        // listens.
        first_line(running.child.stdout.take().expect("it is piped"));
        running
    };
    refused(port, &start);
}
