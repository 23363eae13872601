//! Faults of a user's machine: agent, certificate, ssh's configuration, known hosts, the way to the proxy.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use ssh_encoding::base64::{Base64, Encoding};

use super::Findings;
use crate::support::agent::Agent;
use crate::support::agent_messages::{framed, listing, read_message};
use crate::support::client::ClientCommand;
use crate::support::hostile::string;
use crate::support::{Holds, World, clock, keys};

/// The doctor on the user's machine, for `db1`, with the files that `ssh` reads there.
pub(super) fn doctor(world: &World) -> ClientCommand<'_> {
    to(world, &world.address().to_string(), "inner")
}

fn to<'w>(world: &'w World, proxy: &str, config: &str) -> ClientCommand<'w> {
    world
        .program_at(Path::new(env!("CARGO_BIN_EXE_rproxy")))
        // There is no configuration of the proxy here, and none is needed.
        .env("RPROXY_CONFIG", "/nonexistent")
        .args(["doctor", "--from-client", proxy, "--host", "db1"])
        .arg("--ssh-config")
        .arg(world.dir().join(config))
}

/// A changed copy of what ssh reads, for both connections.
fn changed(world: &World, edit: impl Fn(&str) -> String) -> &'static str {
    let read = |name: &str| fs::read_to_string(world.dir().join(name)).expect("it is there");
    let outer = world.dir().join("outer").display().to_string();
    let write = |name: &str, text: String| {
        fs::write(world.dir().join(name), text).expect("a writable directory");
    };
    write("changed-outer", edit(&read("outer")));
    write(
        "changed",
        edit(&read("inner")).replace(&outer, &format!("{}/changed-outer", world.dir().display())),
    );
    "changed"
}

fn with_agent(world: &World, agent: &Agent) -> Findings {
    Findings::of(doctor(world).env("SSH_AUTH_SOCK", &agent.socket))
}

/// A key with a certificate of the user CA, as `ssh-keygen` makes it with these arguments.
fn certified(world: &World, name: &str, principals: &str, more: &[&str]) -> PathBuf {
    let exported = keys::tool(world.rproxy().args(["auth", "export", "--type=user"]));
    let authority = keys::authority(&world.data(), &exported);
    let key = world.dir().join(name);
    keys::generate(&key);
    keys::sign(&authority, name, principals, more, &key);
    key
}

#[test]
fn faults_of_agents_are_found() {
    let world = World::new();
    let address = world.address().to_string();

    let none = doctor(&world).env("SSH_AUTH_SOCK", "");
    Findings::of(none).error("agent", "", &["ssh-agent", "ssh-add"]);

    let dead = world.dir().join("dead");
    drop(UnixListener::bind(&dead).expect("a socket"));
    let found = Findings::of(doctor(&world).env("SSH_AUTH_SOCK", &dead));
    found.error("agent", "dead", &["gone", "ssh-agent"]);

    let agent = Agent::start(&world.children, &world.dir().join("second"));
    with_agent(&world, &agent).error("agent-keys", "", &["ssh-add", "ssh-add -X"]);

    // The key alone, no certificate anywhere.
    let bare = world.dir().join("bare");
    keys::generate(&bare);
    agent.add_bare(&bare);
    let found = with_agent(&world, &agent);
    found.error(
        "certificate",
        "",
        &["rproxy auth sign --user", "CertificateFile"],
    );
    found.error("proxy-login", "127.0.0.1", &[]);

    // The certificate is for another key than the agent has.
    let certificate = keys::with_suffix(&world.user.key, "-cert.pub");
    let config = changed(&world, |text| {
        format!("CertificateFile {}\n{text}", certificate.display())
    });
    let found = Findings::of(to(&world, &address, config).env("SSH_AUTH_SOCK", &agent.socket));
    found.error("certificate", "", &["ssh-add"]);

    agent.freeze();
    with_agent(&world, &agent).error("agent", "second", &["hangs"]);
}

/// A user who signs in has a key and no certificate, and `ssh` has to pass on the proxy's questions.
#[test]
fn users_who_sign_in_need_a_key_and_have_to_be_asked() {
    let world = World::with().people().start();
    world.sign_up("alice", &world.invite("alice"));
    let address = world.address().to_string();
    let look = |config: &str| Findings::of(to(&world, &address, config).arg("--signs-in"));
    // `ssh` of the tests never asks.
    let found = look("inner");
    found.error("questions", "", &["remove BatchMode"]);
    found.ok("certificate", "");
    found.ok("proxy-login", "127.0.0.1");
    let config = changed(&world, |text| text.replace("BatchMode yes", "BatchMode no"));
    look(config).is_well();
    world.asking_ssh("alice").arg("logout").run().success();
    let found = look(config);
    found.is_well();
    assert!(found.all.contains("to sign in now: ssh "), "{}", found.all);
    let found = Findings::of(to(&world, &address, config));
    found.error("certificate", "", &["rproxy auth sign --user"]);
}

/// Types of keys that are newer than this program, in the agent and in a file, are named.
#[test]
fn keys_of_unknown_kinds_are_found() {
    const NEW: &str = "ssh-mldsa44-ed25519";
    let world = World::new();
    let encoded = |name: &str| [string(name.as_bytes()), string(&[7; 1344])].concat();
    let socket = world.dir().join("new");
    let listener = UnixListener::bind(&socket).expect("a short path");
    let plain = encoded(&format!("{NEW}@openssh.com"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            while read_message(&mut stream).is_some() {
                let answer = framed(&listing(&[&plain]));
                stream.write_all(&answer).unwrap_or_default();
            }
        }
    });
    let name = format!("{NEW}-cert-v01@openssh.com");
    let file = world.dir().join("new-cert.pub");
    let line = format!("{name} {}\n", Base64::encode_string(&encoded(&name)));
    fs::write(&file, line).expect("a writable directory");
    let config = changed(&world, |text| {
        format!("CertificateFile {}\n{text}", file.display())
    });
    let found = to(&world, &world.address().to_string(), config);
    let found = Findings::of(found.env("SSH_AUTH_SOCK", &socket));
    let said = ["does not know this kind of key", "ssh-keygen -t ed25519"];
    found.warning("agent-keys", "", &said);
    found.warning("certificate", "new-cert.pub", &said);
    assert!(found.all.contains(&name), "{}", found.all);
}

/// As on a desktop: the agent has the key and keeps no certificates; the certificate is in a file
/// that `ssh` does not know.
#[test]
fn an_agent_that_keeps_no_certificates_is_found() {
    let world = World::with().holds(Holds::NoAgent).start();
    let home = world.dir().join(".ssh");
    let keyring = world.dir().join("keyring");
    for dir in [&home, &keyring] {
        fs::create_dir(dir).expect("a writable directory");
    }
    let certificate = keys::with_suffix(&world.user.key, "-cert.pub");
    fs::rename(certificate, home.join("alice-cert.pub")).expect("a writable directory");
    let agent = Agent::start(&world.children, &keyring.join("ssh"));
    agent.add_bare(&world.user.key);
    let found = with_agent(&world, &agent);
    found.error(
        "certificate",
        "",
        &["CertificateFile", "alice-cert.pub", "GNOME Keyring"],
    );
    assert!(
        found.all.contains("GNOME Keyring has the key"),
        "{}",
        found.all
    );

    let told = changed(&world, |text| {
        format!("CertificateFile {}/alice-cert.pub\n{text}", home.display())
    });
    let found = to(&world, &world.address().to_string(), told);
    Findings::of(found.env("SSH_AUTH_SOCK", &agent.socket)).is_well();
}

/// The proxy takes the first certificate that has the login which is named to it.
#[test]
fn a_certificate_that_the_proxy_would_pass_over_is_found() {
    let world = World::with()
        .certificate(crate::support::Certificate {
            issuer: crate::support::Issuer::Rproxy,
            principals: Some("somebody-else".to_owned()),
        })
        .start();
    world.add_certificate("alice-ops", &crate::support::world::login(), &[]);
    let of_login = |text: &str| text.replace("%r@", "somebody-else@");
    let found = Findings::of(to(
        &world,
        &world.address().to_string(),
        changed(&world, of_login),
    ));
    found.error("certificate-choice", "", &["%r@127.0.0.1"]);
    assert!(found.all.contains("that of alice-ops is"), "{}", found.all);
    Findings::of(doctor(&world)).is_well();
}

#[test]
fn faults_of_certificates_are_found() {
    let world = World::new();
    let address = world.address().to_string();
    let agent = |name: &str, key: &Path| {
        let agent = Agent::start(&world.children, &world.dir().join(name));
        agent.add(key);
        agent
    };
    let login = crate::support::world::login();

    let expired = certified(&world, "expired", &login, &["-V", "-2d:-1d"]);
    let expired = agent("a1", &expired);
    let found = with_agent(&world, &expired);
    found.error("certificate-time", "", &["rproxy auth sign --user"]);
    found.error("proxy-login", "127.0.0.1", &["get a new certificate"]);
    expired.add(&world.user.key);
    let found = with_agent(&world, &expired);
    found.warning("certificate-time", "", &["ssh-add -d"]);
    found.ok("proxy-login", "");

    let ahead = certified(&world, "ahead", &login, &["-V", "+1d:+2d"]);
    with_agent(&world, &agent("a2", &ahead)).error("certificate-time", "", &["set the clock"]);

    let found = Findings::of(doctor(&world).args(["--login", "somebody"]));
    found.error(
        "login",
        "somebody",
        &["User in ssh_config", "--logins=somebody"],
    );

    let config = changed(&world, |text| format!("IdentitiesOnly yes\n{text}"));
    let found = Findings::of(to(&world, &address, config));
    found.error("identities-only", "", &["IdentityFile", "IdentitiesOnly"]);

    keys::tool(
        world
            .rproxy()
            .args(["auth", "revoke", "--yes", "--key-id", "alice"]),
    );
    world
        .eventually("the proxy knows", || {
            let found = Findings::of(doctor(&world));
            found.all.contains("certificate revoked").then_some(found)
        })
        .error(
            "proxy-login",
            "127.0.0.1",
            &["ask the people who run this proxy"],
        );
}

#[test]
fn faults_of_sshs_configuration_are_found() {
    let world = World::new();
    let address = world.address().to_string();
    let look = |edit: &dyn Fn(&str) -> String| {
        let config = changed(&world, edit);
        Findings::of(to(&world, &address, config))
    };

    let straight = look(&|text| {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("ProxyCommand"));
        lines.collect::<Vec<_>>().join("\n")
    });
    straight.error(
        "proxy-command",
        "db1",
        &["on the proxy: ", "on your machine: "],
    );
    straight.ok("login", &crate::support::world::login());
    let elsewhere = look(&|text| text.replace("%r@127.0.0.1", "-p 9 %r@127.0.0.1"));
    elsewhere.error("proxy-command", "db1", &["rproxy config"]);
    let other = look(&|text| text.replace("-s proxy:%h:%p", "-W %h:%p"));
    other.error("proxy-command", "db1", &["rproxy config"]);
    look(&|text| format!("Nonsense yes\n{text}")).error("ssh-config", "", &["ssh -G"]);

    let long = "x".repeat(100);
    let several = look(&|text| {
        let text = text.replace("ForwardAgent yes", "ForwardAgent no");
        let text = text.replace("StrictHostKeyChecking yes", "StrictHostKeyChecking no");
        format!("ControlMaster auto\nControlPath /tmp/{long}\n{text}")
    });
    several.error("forward-agent", "", &["ForwardAgent=yes", "ProxyCommand"]);
    several.warning("host-key-checking", "the proxy", &["remove it"]);
    several.error("control-path", "the host", &["%C"]);

    // With ProxyJump, the agent is forwarded on the host's connection.
    let by_jump = |more: &str| {
        let lines = format!(
            "{more}\nHost db1\n ProxyJump 127.0.0.1:{}\nHost *\n BatchMode yes\n IdentityFile none\n \
             UserKnownHostsFile {}\n GlobalKnownHostsFile none\n",
            world.port(),
            world.dir().join("known_hosts").display()
        );
        fs::write(world.dir().join("jump"), lines).expect("a writable directory");
        Findings::of(to(&world, &address, "jump"))
    };
    by_jump("").error("forward-agent", "", &["ssh -A"]);
    by_jump("ForwardAgent yes").is_well();
}

#[test]
fn faults_of_known_hosts_and_of_the_way_are_found() {
    let world = World::new();
    let known = world.dir().join("known_hosts");
    let known_hosts = |text: String| {
        fs::write(world.dir().join("other_hosts"), text).expect("a writable directory");
        let config = changed(&world, |text| {
            let other = world.dir().join("other_hosts").display().to_string();
            text.replace(&known.display().to_string(), &other)
                .replace("StrictHostKeyChecking yes", "StrictHostKeyChecking no")
        });
        Findings::of(to(&world, &world.address().to_string(), config))
    };

    let found = known_hosts(String::new());
    found.error(
        "known-hosts",
        "127.0.0.1",
        &["on the proxy: ", "--type=host", "on your machine: "],
    );
    found.error(
        "known-hosts",
        "db1",
        &["on the proxy: ", "on your machine: "],
    );
    found.error("proxy-login", "127.0.0.1", &["known-hosts"]);
    let left = fs::read_to_string(world.dir().join("other_hosts")).expect("it is there");
    assert_eq!(left, "", "nothing is learnt");

    // Another CA: another server answers, or the proxy has a new CA key.
    let stranger = world.dir().join("stranger");
    keys::generate(&stranger);
    let public = fs::read_to_string(keys::with_suffix(&stranger, ".pub")).expect("it is there");
    let found = known_hosts(format!("@cert-authority * {public}"));
    found.ok("known-hosts", "127.0.0.1");
    found.error(
        "shown-key",
        "127.0.0.1",
        &["rproxy auth export --type=host"],
    );

    // A name that the certificate does not have.
    let config = changed(&world, |text| format!("HostKeyAlias bastion\n{text}"));
    let found = Findings::of(to(&world, &world.address().to_string(), config));
    found.error("shown-key", "bastion", &["public_addr"]);

    // For a clock that is two hours ahead, the certificate that the proxy has just made has
    // expired.
    let library = clock::wrong_by(7_200, world.dir());
    let found = Findings::of(doctor(&world).env("LD_PRELOAD", library));
    found.error("client-clock", "", &["set the clock"]);

    let found = Findings::of(to(&world, "rproxy-test.invalid:3023", "inner"));
    found.error("proxy-name", "rproxy-test.invalid", &["DNS"]);
    let web = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let web_address = web.local_addr().expect("it is bound").to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = web.accept().expect("the doctor looks");
        stream
            .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            .expect("it reads");
    });
    let found = Findings::of(to(&world, &web_address, "inner"));
    found.error("proxy-port", &web_address, &["port"]);
    let quoted = r#"is no SSH server: it answers \"HTTP/1.0 400 Bad Request\""#;
    assert!(found.all.contains(quoted), "{}", found.all);
    server.join().expect("somebody connected");
    world.kill_proxy();
    Findings::of(doctor(&world)).error("proxy-port", "127.0.0.1", &["firewall"]);
}

/// The doctor reads the block of `rproxy config` as `ssh` does: its known hosts come from a
/// command.
#[test]
fn the_block_that_rproxy_config_prints_is_well() {
    let world = World::new();
    let block = keys::tool(
        world
            .rproxy()
            .args(["config", &format!("--proxy=127.0.0.1:{}", world.port())]),
    );
    fs::write(
        world.dir().join("block"),
        format!("{block}\nHost *\n IdentityFile none\n"),
    )
    .expect("a writable directory");
    Findings::of(to(&world, &world.address().to_string(), "block")).is_well();
}
