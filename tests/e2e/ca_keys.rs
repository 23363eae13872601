//! CAs whose keys the proxy never holds, in an agent or in a token behind it; and CA keys that
//! existed before.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::agent::Agent;
use crate::support::children::Children;
use crate::support::client::Live;
use crate::support::world::login;
use crate::support::{Holds, HostKey, World, keys, programs};

/// Where distributions put the library of `SoftHSM2`.
const SOFTHSM: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
const PIN: &str = "1234";

/// A stock `ssh-agent` with a key for each CA, and a next one for each.
pub(crate) fn in_an_agent(children: &Children, root: &Path) -> (Agent, String) {
    let agent = Agent::start(children, &root.join("ca_agent"));
    for name in ["user", "host", "next_user", "next_host"] {
        let key = root.join(format!("{name}_key"));
        keys::tool(
            Command::new(programs::path("ssh-keygen"))
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(&key),
        );
        agent.add(&key);
    }
    let entry = |name: &str| {
        format!(
            "agent: {}, key: {}",
            agent.socket.display(),
            agent.fingerprint(name)
        )
    };
    let keys = format!(
        "{{ user: {{ {}, next: {{ {} }} }}, host: {{ {}, next: {{ {} }} }} }}",
        entry("user"),
        entry("next_user"),
        entry("host"),
        entry("next_host"),
    );
    (agent, keys)
}

/// A token with an RSA key for users and an ECDSA key for hosts, which never leave it.
fn in_a_token(children: &Children, root: &Path) -> (Agent, String) {
    let library = SOFTHSM
        .iter()
        .find_map(|path| std::fs::canonicalize(path).ok());
    let library =
        library.expect("SoftHSM2 is missing: install the package softhsm2 (Fedora: softhsm)");
    let conf = root.join("softhsm2.conf");
    std::fs::create_dir(root.join("tokens")).unwrap();
    let text = format!("directories.tokendir = {}\n", root.join("tokens").display());
    std::fs::write(&conf, text).unwrap();
    let tool = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(programs::path(name));
        keys::tool(command.args(arguments).env("SOFTHSM2_CONF", &conf))
    };
    tool(
        "softhsm2-util",
        &[
            "--init-token",
            "--free",
            "--label=ca",
            "--pin",
            PIN,
            "--so-pin",
            PIN,
        ],
    );
    let module = library.display().to_string();
    for (kind, name, id) in [("rsa:2048", "user", "01"), ("EC:prime256v1", "host", "02")] {
        let arguments = [
            "--module",
            &module,
            "--token-label=ca",
            "--login",
            "--pin",
            PIN,
            "--keypairgen",
            "--key-type",
            kind,
            "--label",
            name,
            "--id",
            id,
        ];
        tool("pkcs11-tool", &arguments);
    }
    let agent = Agent::start_with(children, &root.join("ca_agent"), |command| {
        command.arg("-P").arg(&library).env("SOFTHSM2_CONF", &conf)
    });
    agent.add_token(&library, PIN);
    let entry = |name: &str| {
        let (socket, key) = (agent.socket.display(), agent.fingerprint(name));
        format!("{name}: {{ agent: {socket}, key: {key} }}")
    };
    let keys = format!("{{ {}, {} }}", entry("user"), entry("host"));
    (agent, keys)
}

/// The output of `ssh-keygen -L` for a certificate.
fn listed(certificate: &Path) -> String {
    let mut command = Command::new(programs::path("ssh-keygen"));
    keys::tool(command.arg("-Lf").arg(certificate))
}

fn certificate_of(key: &Path) -> PathBuf {
    keys::with_suffix(key, "-cert.pub")
}

/// There is no private key below the data directory.
fn assert_holds_no_private_key(world: &World) {
    // Sockets contain no data.
    let files = keys::files(&world.data()).into_iter();
    for file in files.filter(|file| file.is_file()) {
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("PRIVATE KEY"), "{}", file.display());
    }
}

/// The text of a command that must fail with exit code 1.
fn fails(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {text}");
    text
}

fn sign_user(world: &World) -> Command {
    let key = world.user.key.display();
    let mut command = world.rproxy();
    command.args(["auth", "sign", "--user=alice", "--overwrite"]);
    command.arg(format!("--logins={}", login()));
    command.arg(format!("--public-key={key}.pub"));
    command.arg(format!("--out={key}-cert.pub"));
    command
}

#[test]
fn sessions_go_on_keys_in_an_agent_alone() {
    let world = World::with().ca_keys(in_an_agent).start();
    assert_eq!(world.run("db1", "echo hello").success().text(), "hello\n");
    assert_holds_no_private_key(&world);
    let agent = world.ca_agent.borrow();
    let key = agent.as_ref().unwrap().fingerprint("user");
    let ledger = std::fs::read_to_string(world.data().join("issued.jsonl")).unwrap();
    assert!(ledger.contains(&format!("\"ca\":\"{key}\"")), "{ledger}");
    let issued = world.audit();
    let issued = issued
        .iter()
        .find(|event| event["event"] == "certificate.issued");
    assert!(
        issued.unwrap()["ca_fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("SHA256:")
    );
    let certificate = listed(&certificate_of(&world.user.key));
    assert!(
        certificate.contains(&format!("Signing CA: ED25519 {key}")),
        "{certificate}"
    );
}

#[test]
fn sessions_go_on_keys_in_a_token_alone() {
    let world = World::with().ca_keys(in_a_token).start();
    assert_eq!(world.run("db1", "echo hello").success().text(), "hello\n");
    assert_holds_no_private_key(&world);
    let user = listed(&certificate_of(&world.user.key));
    assert!(
        user.contains("Signing CA: RSA ") && user.contains("(using rsa-sha2-512)"),
        "{user}"
    );
    let host = listed(&world.dir().join("db1/host_key-cert.pub"));
    assert!(host.contains("Signing CA: ECDSA "), "{host}");
    let status = keys::tool(world.rproxy().args(["auth", "status", "--login", &login()]));
    assert!(status.contains("only key: accepted"), "{status}");
}

#[test]
fn an_agent_that_dies_is_missed_where_something_is_signed_and_nowhere_else() {
    let world = World::with()
        .node("db1", HostKey::Certified)
        .node("db2", HostKey::Certified)
        .ca_keys(in_an_agent)
        .start();
    world.run("db1", "true").success();
    let agent = world.ca_agent.take().unwrap();
    let socket = agent.socket.clone();
    agent.kill();

    world.run("db1", "true").success();
    let refused = world.run("db2", "true");
    assert_eq!(refused.code(), 255);
    let why = "rproxy: proxy: cannot make a host certificate: the host CA's key does not sign";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    let told = "cannot be connected to";
    world.logged(told);
    let unsigned = fails(&mut sign_user(&world));
    assert!(
        unsigned.contains(told) && unsigned.contains("hint: start the agent there"),
        "{unsigned}"
    );
    for kind in ["user", "host"] {
        keys::tool(
            world
                .rproxy()
                .args(["auth", "export", &format!("--type={kind}")]),
        );
    }
    keys::tool(world.rproxy().args(["auth", "ls"]));
    let status = keys::tool(world.rproxy().args(["auth", "status"]));
    let shown = format!(": signs, in the agent at {}\n", socket.display());
    assert!(
        status.contains(&shown) && status.contains("host certificate: only key"),
        "{status}"
    );
    // On a copy of the running proxy's data.
    let copy = world.dir().join("copy");
    keys::tool(Command::new("cp").arg("-a").arg(world.data()).arg(&copy));
    let serve = fails(world.rproxy().arg("--data-dir").arg(&copy).arg("serve"));
    assert!(
        serve.contains("rproxy: the proxy cannot run") && serve.contains(told),
        "{serve}"
    );

    std::fs::remove_file(&socket).unwrap();
    let again = Agent::start(&world.children, &socket);
    again.add(&world.dir().join("host_key"));
    world.run("db2", "true").success();
    let unsigned = fails(&mut sign_user(&world));
    assert!(unsigned.contains("does not hold the key"), "{unsigned}");
    again.add(&world.dir().join("user_key"));
    keys::tool(&mut sign_user(&world));
    world.run("db1", "true").success();
}

#[test]
fn an_agent_that_hangs_holds_up_only_who_needs_it() {
    let world = World::with()
        .node("db1", HostKey::Certified)
        .node("db2", HostKey::Certified)
        .ca_keys(in_an_agent)
        .start();
    world.run("db1", "true").success();
    world.ca_agent.borrow().as_ref().unwrap().freeze();
    // More connections than certificates that are signed at a time.
    let waiting: Vec<_> = (0..6)
        .map(|_| world.ssh().args(["db2", "true"]).start())
        .collect();
    // All of these have ended before the first waiting one times out.
    for _ in 0..3 {
        world.run("db1", "true").success();
    }
    assert!(!world.proxy_log().contains("cannot make a host certificate"));
    for refused in waiting.into_iter().map(Live::finish) {
        assert_eq!(refused.code(), 255);
        let told = "cannot make a host certificate: the host CA's key d";
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    world.logged("did not answer within 10 seconds");
}

#[test]
fn authorities_rotate_from_one_key_of_an_agent_to_the_next() {
    // The certificate is a file, so that it can be made anew.
    let world = World::with()
        .holds(Holds::BareKey)
        .ca_keys(in_an_agent)
        .start();
    let next = world
        .ca_agent
        .borrow()
        .as_ref()
        .map(|agent| ["next_user", "next_host"].map(|name| agent.fingerprint(name)));
    let [next_user, next_host] = next.unwrap();
    let auth = |arguments: &[&str]| keys::tool(world.rproxy().arg("auth").args(arguments));
    let rotate = |kind: &str, phase: &str| {
        auth(&[
            "rotate",
            &format!("--type={kind}"),
            &format!("--phase={phase}"),
            &format!("--login={}", login()),
        ]);
    };
    let followed = |times: usize| {
        world.eventually("the proxy follows", || {
            let log = world.proxy_log();
            let changes = log.matches("the CAs' keys have changed").count();
            (changes == times).then_some(())
        });
    };
    rotate("user", "init");
    let export = auth(&["export", "--type=user"]);
    assert_eq!(export.lines().count(), 2);
    std::fs::write(world.dir().join("db1/user_ca.pub"), export).unwrap();
    rotate("user", "update_clients");
    keys::tool(&mut sign_user(&world));
    let certificate = listed(&certificate_of(&world.user.key));
    assert!(certificate.contains(&next_user), "{certificate}");
    followed(1);
    world.run("db1", "true").success();
    rotate("user", "update_servers");
    rotate("user", "standby");
    followed(2);
    world.run("db1", "true").success();

    rotate("host", "init");
    std::fs::write(
        world.dir().join("known_hosts"),
        auth(&["export", "--type=host"]),
    )
    .unwrap();
    rotate("host", "update_clients");
    rotate("host", "update_servers");
    world.eventually("the proxy shows certificates of the new key", || {
        let shown = world.ssh().args(["-v", "db1", "true"]).run().success();
        shown
            .stderr
            .contains(&format!("CA ssh-ed25519 {next_host}"))
            .then_some(())
    });
    assert_holds_no_private_key(&world);
    let refused = fails(world.rproxy().args(["auth", "rotate", "--type=user"]));
    assert!(
        refused.contains("auth_service.ca_keys.user.next names no key"),
        "{refused}"
    );
}

#[test]
fn a_team_brings_the_authority_that_its_hosts_trust() {
    let world = World::with().holds(Holds::BareKey).start();
    let team = world.dir().join("team_ca");
    keys::tool(
        Command::new(programs::path("ssh-keygen"))
            .args(["-q", "-t", "ecdsa", "-N", "correct horse", "-C", "", "-f"])
            .arg(&team),
    );
    std::fs::copy(
        team.with_extension("pub"),
        world.dir().join("db1/user_ca.pub"),
    )
    .unwrap();
    let import = |more: &[&str]| {
        let mut command = world.rproxy();
        command
            .args(["auth", "import", "--type=user"])
            .args(more)
            .arg(&team);
        command
    };
    let unasked = fails(&mut import(&[]));
    assert!(unasked.contains("no terminal to ask for it"), "{unasked}");
    let in_terminal = |more: &[&str], passphrase: &str| {
        let rproxy = world.program_at(Path::new(env!("CARGO_BIN_EXE_rproxy")));
        let client = rproxy.args(import(more).get_args());
        let mut terminal = client.in_terminal(24, 200);
        terminal.answer_hidden("Passphrase of ", &format!("{passphrase}\r"));
        let (code, shown) = terminal.finish();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(!shown.contains(passphrase), "{shown}");
        (code, shown)
    };
    let (code, shown) = in_terminal(&["--overwrite"], "incorrect");
    assert!(
        code == Some(1) && shown.contains("the passphrase is wrong"),
        "{shown}"
    );
    let (code, shown) = in_terminal(&[], "correct horse");
    assert!(
        code == Some(1) && shown.contains("the user CA has a key already"),
        "{shown}"
    );
    let (code, shown) = in_terminal(&["--overwrite"], "correct horse");
    assert!(
        code == Some(0) && shown.contains("certificates that it signed: 1"),
        "{shown}"
    );
    world.eventually("the proxy follows", || {
        world
            .proxy_log()
            .contains("the CAs' keys have changed")
            .then_some(())
    });
    assert_eq!(
        world.run("db1", "true").code(),
        255,
        "the old certificate counts no more"
    );
    let mut audit = world.audit();
    audit.retain(|event| event["event"] == "authority.imported");
    assert_eq!(audit.len(), 1, "{audit:#?}");
    assert_eq!(audit[0]["type"], "user");
    assert!(audit[0]["replaced"].is_string(), "{audit:#?}");
    keys::tool(&mut sign_user(&world));
    world.run("db1", "true").success();
}
