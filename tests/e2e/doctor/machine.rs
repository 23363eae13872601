//! Faults of the proxy's machine: files, keys, clock, disk, names, ports.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Findings, configuration, doctor};
use crate::support::client::ClientCommand;
use crate::support::{World, clock, keys, programs, skipped};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a file of ours");
}

fn without_nodes(text: &str) -> String {
    let (before, _) = text.split_once("nodes:").expect("it has nodes");
    before.to_owned()
}

#[test]
fn a_bad_configuration_is_all_that_is_said() {
    let world = World::new();
    let found = Findings::of(doctor(&world, |text| text + "recordng:\n  mode: strict\n"));
    found.error("config", "", &["recordng", "rproxy serve --check"]);
    assert_eq!(found.list.len(), 1, "{}", found.all);
    let mut missing = world.program_at(Path::new(env!("CARGO_BIN_EXE_rproxy")));
    missing = missing.args(["--config", "/nonexistent.yaml", "doctor"]);
    Findings::of(missing).error("config", "", &["--config"]);
}

/// Many faults at once: none may hide another.
#[test]
fn faults_of_files_limits_names_and_ports_are_found_together() {
    let world = World::new();
    let data = world.data();
    let (cert, key) = https_certificate(&world, "https", 1, -10 * 86_400);
    // The port of another program, which listens and sends nothing.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("it is bound").to_string();
    let silent = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().expect("the doctor looks");
        std::io::Write::write_all(&mut stream, b"HTTP/1.0 400 Bad Request\r\n\r\n")
            .expect("it reads");
    });

    chmod(&data, 0o755);
    chmod(&data.join("ca"), 0o750);
    chmod(&data.join("audit.jsonl"), 0o644);
    fs::remove_dir(data.join("recordings")).expect("no session was recorded");
    fs::write(data.join("recordings"), "a file").expect("a writable directory");
    fs::write(data.join("revoked.jsonl"), "nonsense\n").expect("a writable directory");
    chmod(&data.join("revoked.jsonl"), 0o600);
    let ahead = ["-d", "2 hours"];
    keys::tool(
        Command::new("touch")
            .args(ahead)
            .arg(data.join("audit.jsonl")),
    );

    let config = world.dir().join("doctor.yaml");
    let text = without_nodes(&configuration(&world))
        .replace(&format!("listen_addr: {}", world.address()), &format!(
            "listen_addr: {taken}\n  egress_addrs: [203.0.113.10/32]\n  web_listen_addr: 127.0.0.1:1\n  \
             https_cert_file: {cert}\n  https_key_file: {key}"
        ))
        .replace(&format!("public_addr: {}", world.address()), "public_addr: rproxy-test.invalid:3023");
    fs::write(&config, text).expect("a writable directory");
    chmod(&config, 0o666);
    let mut limited = Command::new(programs::path("bash"));
    limited.args(["-c", "ulimit -f 1000; ulimit -n 200; exec \"$@\"", "bash"]);
    let found = Findings::of(
        ClientCommand::of(&world.children, limited, world.dir())
            .arg(env!("CARGO_BIN_EXE_rproxy"))
            .arg("--config")
            .arg(&config)
            .arg("doctor"),
    );
    silent.join().expect("somebody connected");

    found.error("config-mode", "doctor.yaml", &["chmod go-w"]);
    found.error("data-dir", "data", &["chmod 0700"]);
    found.error("data-dir", "data/ca", &["chmod 0700"]);
    found.error("authority", "user", &["chmod 0700"]);
    found.error("state-files", "audit.jsonl", &["chmod 0600"]);
    found.error("recordings-dir", "recordings", &["move", "away"]);
    found.error("revocations", "revoked.jsonl", &["from a backup"]);
    found.error("clock", "", &["set the clock"]);
    found.error("https-certificate", "https.pem", &["renew"]);
    found.error("listener", &taken, &["ss -ltnp"]);
    found.error(
        "public-addr",
        "rproxy-test.invalid",
        &["proxy_service.public_addr", "DNS"],
    );
    found.warning("egress", "203.0.113.10", &["proxy_service.egress_addrs"]);
    found.warning("file-size-limit", "", &["ulimit -f unlimited"]);
    found.warning("open-files", "", &["LimitNOFILE="]);
}

/// People of the state: those who cannot sign in, those whose role is gone, those who are in the
/// configuration too.
#[test]
fn people_who_cannot_sign_in_are_told_of() {
    let world = World::new();
    let config = world.dir().join("doctor.yaml");
    let write = |more: &str| {
        let text = format!("{}{more}\n", without_nodes(&configuration(&world)));
        fs::write(&config, text).expect("a writable directory");
    };
    let users = |args: &[&str]| {
        let rproxy = world.program_at(Path::new(env!("CARGO_BIN_EXE_rproxy")));
        let rproxy = rproxy.arg("--config").arg(&config).arg("users").args(args);
        rproxy.run().success()
    };
    let look = || Findings::of(super::with_config(&world, &config));
    let local = "auth_service: { authentication: { type: local } }";
    let roles = "roles: [{ name: dba, allow: [{ nodes: [\"*\"] }] }]";

    write(&format!("{local}\n{roles}"));
    look().warning("people", "", &["rproxy users add"]);
    for name in ["alice", "bob"] {
        users(&["add", name, "--roles=dba"]);
    }
    look().ok("people", "");
    look().ok("state", "state.db");

    let other = roles.replace("dba", "web");
    write(&format!(
        "{local}\n{other}\nusers: [{{ name: bob, roles: [web] }}]"
    ));
    let found = look();
    found.error("people", "bob", &["rproxy users rm bob"]);
    found.warning("people", "alice", &["add the role"]);

    write(roles);
    look().warning("people", "", &["authentication.type"]);
    chmod(&world.data().join("state.db"), 0o644);
    look().error("state", "state.db", &["chmod 0600"]);
}

/// A certificate of HTTPS and its key, made so many seconds from now.
fn https_certificate(world: &World, name: &str, days: u32, seconds: i64) -> (String, String) {
    let pem = |end: &str| {
        world
            .dir()
            .join(format!("{name}.{end}"))
            .display()
            .to_string()
    };
    let (cert, key) = (pem("pem"), pem("key"));
    keys::tool(
        Command::new(programs::path("openssl"))
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=web"])
            .args(["-days", &days.to_string(), "-out", &cert, "-keyout", &key])
            .env("LD_PRELOAD", clock::wrong_by(seconds, world.dir())),
    );
    (cert, key)
}

#[test]
fn certificates_of_https_are_told_of_in_time() {
    let world = World::new();
    let look = |cert: &str, key: &str| {
        Findings::of(doctor(&world, |text| {
            let files = format!(
                "proxy_service:\n  web_listen_addr: 127.0.0.1:1\n  https_cert_file: {cert}\n  \
                 https_key_file: {key}\n"
            );
            without_nodes(&text).replacen("proxy_service:\n", &files, 1)
        }))
    };
    let (long, key) = https_certificate(&world, "long", 90, 0);
    look(&long, &key).ok("https-certificate", "long.pem");
    let (ending, other) = https_certificate(&world, "ending", 13, 0);
    look(&ending, &other).warning("https-certificate", "ending.pem", &["renew"]);
    look(&long, &other).error("https-certificate", "long.pem", &["https_key_file"]);
    let (ahead, key) = https_certificate(&world, "ahead", 90, 86_400);
    let found = look(&ahead, &key);
    found.error("https-certificate", "ahead.pem", &["clock"]);
    found.error("web-listener", "127.0.0.1:1", &["start the proxy again"]);
    chmod(Path::new(&other), 0o644);
    look(&ending, &other).error("https-certificate", "ending.pem", &["chmod 0600"]);
}

#[test]
fn faults_of_the_authorities_are_found() {
    let world = World::new();
    let ca = |name: &str| world.data().join("ca").join(name);
    let fingerprint = keys::tool(
        Command::new(programs::path("ssh-keygen"))
            .arg("-lf")
            .arg(ca("user_ca.pub")),
    );
    let fingerprint = fingerprint
        .split(' ')
        .nth(1)
        .expect("a fingerprint")
        .to_owned();
    let look = |edit: &dyn Fn(String) -> String| {
        Findings::of(doctor(&world, |text| edit(without_nodes(&text))))
    };
    let as_it_is = |text: String| text;

    // A key that other accounts may read, and a file that is not a key.
    chmod(&ca("user_ca"), 0o644);
    let whole = fs::read(ca("host_ca")).expect("it is there");
    fs::write(ca("host_ca"), "no key").expect("it is ours");
    let found = look(&as_it_is);
    found.error("authority", "user", &["chmod 0600"]);
    found.error("authority", "host", &["restore", "backup"]);
    fs::write(ca("host_ca"), whole).expect("it is ours");
    chmod(&ca("user_ca"), 0o600);

    // The public key of another private key, and a rotation that was not finished.
    let ledger = world.data().join("issued.jsonl");
    let without_rotation = fs::read(&ledger).expect("it is there");
    // The state knows of the rotation too; without it, the files count.
    let state_db = world.data().join("state.db");
    let public = fs::read(ca("host_ca.pub")).expect("it is there");
    fs::copy(ca("user_ca.pub"), ca("host_ca.pub")).expect("it is ours");
    keys::tool(
        world
            .rproxy()
            .args(["auth", "rotate", "--type=user", "--phase=init"]),
    );
    let state = fs::read_to_string(ca("user_rotation.json")).expect("it is there");
    let mut state: serde_json::Value = serde_json::from_str(&state).expect("it is JSON");
    state["since"] = 1_700_000_000.into();
    fs::write(ca("user_rotation.json"), state.to_string()).expect("it is ours");
    let found = look(&as_it_is);
    found.error("authority", "host", &["remove", "host_ca.pub"]);
    found.warning("rotation", "user", &["--phase=update_clients"]);
    fs::write(ca("host_ca.pub"), public).expect("it is ours");
    // From here on only the test changes phases: a running proxy would advance an overdue rotation.
    world.stop_proxy();
    state["schedule"] = serde_json::json!({
        "update_clients": 1_700_000_100, "update_servers": 1_700_000_200, "standby": 1_900_000_000,
    });
    fs::write(ca("user_rotation.json"), state.to_string()).expect("it is ours");
    look(&as_it_is).warning("rotation", "user", &["the running proxy moves it"]);
    fs::remove_file(ca("user_rotation.json")).expect("it is ours");
    look(&as_it_is).error("authority", "user", &["restore", "user_rotation.json"]);
    fs::write(&ledger, without_rotation).expect("it is ours");
    fs::remove_file(&state_db).expect("the proxy has stopped");

    // One key was moved to an agent that has exited; the other key was deleted.
    for kind in ["user", "host"] {
        let private = ca(&format!("{kind}_ca"));
        fs::rename(&private, world.dir().join(format!("{kind}_ca.away"))).expect("it is ours");
    }
    let found = look(&|text| {
        format!(
            "{text}auth_service:\n  ca_keys:\n    user: {{ agent: {}, key: \"{fingerprint}\" }}\n",
            world.dir().join("no-agent").display()
        )
    });
    found.error("authority", "user", &["start the agent"]);
    found.error("authority", "host", &["restore", "host_ca"]);

    // A data directory that does not exist.
    let found = look(&|text| text.replace("/data\n", "/empty\n"));
    found.error("data-dir", "empty", &["the proxy makes it"]);
    found.error("authority", "user", &["rproxy serve"]);
}

#[test]
fn a_proxy_that_does_not_run_and_recordings_that_it_cut_are_found() {
    let world = World::new();
    let terminal = world.shell();
    world.kill_proxy();
    drop(terminal);
    let found = Findings::of(doctor(&world, |text| without_nodes(&text)));
    found.warning("listener", "127.0.0.1", &["systemctl start rproxy"]);
    found.warning("cut-recordings", "recordings", &["was killed"]);
    let found = Findings::of(doctor(&world, |text| {
        let here = format!("listen_addr: {}", world.address());
        without_nodes(&text).replace(&here, "listen_addr: 203.0.113.10:3023")
    }));
    found.error("listener", "203.0.113.10", &["0.0.0.0"]);
}

/// A read-only file system of one MiB, in a mount namespace of its own.
#[test]
fn a_full_disk_that_is_read_only_is_found() {
    let unshare = || Command::new(programs::path("unshare"));
    let is_possible = rustix::process::geteuid().is_root()
        && unshare()
            .args(["-m", "true"])
            .status()
            .is_ok_and(|status| status.success());
    if !is_possible {
        skipped::cannot("a file system of its own takes root, and a kernel that allows it");
        return;
    }
    let world = World::new();
    let recordings = world.data().join("recordings");
    fs::create_dir_all(&recordings).expect("a writable directory");
    chmod(&recordings, 0o700);
    let config = world.dir().join("doctor.yaml");
    fs::write(&config, without_nodes(&configuration(&world))).expect("a writable directory");
    let mut command = unshare();
    command.args(["-m", "sh", "-c"]);
    command.arg("mount -t tmpfs -o ro,size=1m,mode=0700 none \"$1\" && shift && exec \"$@\"");
    let found = Findings::of(
        ClientCommand::of(&world.children, command, world.dir())
            .arg("sh")
            .arg(&recordings)
            .arg(env!("CARGO_BIN_EXE_rproxy"))
            .arg("--config")
            .arg(&config)
            .arg("doctor"),
    );
    found.error("disk-space", "recordings", &["make room"]);
    found.error("recordings-dir", "recordings", &["mount it for writing"]);
}

/// An agent that has the key and does not sign: it is frozen.
#[test]
fn an_authoritys_agent_that_hangs_is_found_in_time() {
    let world = World::with()
        .ca_keys(|children, dir| {
            let key = dir.join("ca_key");
            keys::generate(&key);
            let agent = crate::support::agent::Agent::start(children, &dir.join("ca-agent"));
            agent.add(&key);
            let print = keys::tool(
                Command::new(programs::path("ssh-keygen"))
                    .arg("-lf")
                    .arg(&key),
            );
            let print = print.split(' ').nth(1).expect("a fingerprint");
            let yaml = format!(
                "{{ user: {{ agent: {}, key: \"{print}\" }} }}",
                dir.join("ca-agent").display()
            );
            (agent, yaml)
        })
        .start();
    let agent = world.ca_agent.borrow_mut().take().expect("it has one");
    agent.freeze();
    // A check without a time limit would wait for the agent for ever.
    let found = Findings::of(doctor(&world, |text| without_nodes(&text)));
    found.error("authority", "user", &["hangs"]);
}
