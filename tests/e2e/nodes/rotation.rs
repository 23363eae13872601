//! The keys of both CAs are replaced under hosts that have joined, while sessions are opened: none is
//! refused, and no host is touched by hand. Each host only sends heartbeats and installs the answers.

use std::time::Duration;

use serde_json::Value;

use crate::rotation::{Sessions, proxy_follows, replace};
use crate::support::client::ClientCommand;
use crate::support::{Holds, JoiningHost, World, keys};
use crate::web::plain;

/// Hosts of the fleet, each with an sshd of its own.
const HOSTS: usize = 20;
/// Hosts that send heartbeats at the same time.
const AT_ONCE: usize = 5;
/// Hundreds of sessions and heartbeats take long on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);

struct JoinedFleet {
    world: World,
    hosts: Vec<JoiningHost>,
}

impl JoinedFleet {
    fn new(hosts: usize) -> Self {
        // The certificate is a file, so that it is replaced in one step.
        let world = plain().holds(Holds::BareKey).time_limit(LIMIT).start();
        let token = world.node_token(&[&format!("--uses={hosts}")]);
        let join = |number: usize| {
            let host = world.new_host(&format!("h{number}"));
            let joined = world.join_as(&host, &token, &host.report()).success();
            host.install(&world, &joined.text());
            host
        };
        let hosts = (1..=hosts).map(join).collect();
        Self { world, hosts }
    }

    fn auth(&self, args: &[&str]) -> String {
        keys::tool(self.world.rproxy().arg("auth").args(args))
    }

    fn names(&self) -> Vec<String> {
        self.hosts.iter().map(|host| host.name.clone()).collect()
    }

    /// Begins the rotation of a CA. Nobody has its new key then.
    fn begin(&self, kind: &str) {
        self.auth(&["rotate", &format!("--type={kind}"), "--phase=init"]);
        proxy_follows(&self.world);
        assert_eq!(self.ready(kind), 0);
        self.update_listed();
    }

    /// How many hosts have reported what the present phase brings.
    fn ready(&self, kind: &str) -> u64 {
        let status = self.auth(&["status", "--no-connect", "--format=json"]);
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let authorities = status["authorities"].as_array().expect("two CAs");
        let mut of_kind = authorities.iter().filter(|one| one["type"] == kind);
        let joined = &of_kind.next().expect("it is there")["joined_nodes"];
        joined["ready"].as_u64().expect("a rotation is under way")
    }

    /// Goes on to the next phase once every host has what this one brings; hosts send heartbeats until
    /// then.
    fn go_on(&self, kind: &str, phase: &str) {
        let mut rotate = self.world.rproxy();
        rotate.args(["auth", "rotate", &format!("--type={kind}"), "--wait"]);
        rotate.arg(format!("--phase={phase}"));
        rotate.arg(format!("--login={}", crate::support::world::login()));
        let dir = self.world.dir();
        let mut rotate = ClientCommand::of(&self.world.children, rotate, dir).start();
        // The first heartbeats bring what is new, the second ones say that it is there.
        for _ in 0..2 {
            for hosts in self.hosts.chunks(AT_ONCE) {
                if !rotate.has_ended() {
                    self.world.heartbeats(hosts);
                }
            }
        }
        rotate.finish().success();
        proxy_follows(&self.world);
        self.update_listed();
    }

    fn heartbeats(&self) {
        for hosts in self.hosts.chunks(AT_ONCE) {
            self.world.heartbeats(hosts);
        }
    }

    /// The host of the configuration, which has not joined: somebody has to bring it what is new.
    fn update_listed(&self) {
        let dir = self.world.dir().join("db1");
        replace(
            &dir.join("user_ca.pub"),
            &self.auth(&["export", "--type=user"]),
        );
        let key = dir.join("host_key");
        self.auth(&[
            "sign",
            "--host=db1",
            &format!("--public-key={}.pub", key.display()),
            &format!("--out={}-cert.pub", key.display()),
            "--overwrite",
        ]);
        self.world.node().reload(&self.world.children);
    }

    /// The users' part of a rotation: the keys by which they know the proxy.
    fn update_clients(&self) {
        let export = self.auth(&["export", "--type=host"]);
        replace(&self.world.dir().join("known_hosts"), &export);
    }

    /// The fingerprint of the only key of a CA.
    fn only_key(&self, kind: &str) -> String {
        let status = self.auth(&["status", "--no-connect", "--format=json"]);
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let authorities = status["authorities"].as_array().expect("two CAs");
        let mut of_kind = authorities.iter().filter(|one| one["type"] == kind);
        let keys = of_kind.next().expect("it is there")["keys"].clone();
        let keys = keys.as_array().expect("keys");
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys[0]["fingerprint"].as_str().expect("text").to_owned()
    }
}

/// What a host reports to have, as lines of its report.
fn has(host: &JoiningHost, word: &str) -> Vec<String> {
    let report = host.report().lines(None);
    let lines = report.lines().filter_map(|line| line.strip_prefix(word));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_full_rotation_of_both_authorities_refuses_nobody_and_touches_no_host() {
    let fleet = JoinedFleet::new(HOSTS);
    let before = [fleet.only_key("user"), fleet.only_key("host")];
    let sessions = Sessions::begin(&fleet.world, &fleet.names());
    sessions.go_on("standby");

    fleet.begin("user");
    sessions.go_on("user init");
    fleet.go_on("user", "update_clients");
    sessions.go_on("user update_clients, old certificate");
    fleet.world.sign_user_again();
    sessions.go_on("user update_clients, new certificate");
    fleet.go_on("user", "update_servers");
    sessions.go_on("user update_servers");
    fleet.go_on("user", "standby");
    sessions.go_on("user standby");
    fleet.heartbeats();
    sessions.go_on("user standby, one key");

    fleet.begin("host");
    sessions.go_on("host init");
    fleet.update_clients();
    fleet.go_on("host", "update_clients");
    sessions.go_on("host update_clients");
    fleet.go_on("host", "update_servers");
    assert_eq!(fleet.ready("host"), 0, "the new key has signed nothing yet");
    sessions.go_on("host update_servers");
    fleet.go_on("host", "standby");
    fleet.update_clients();
    sessions.go_on("host standby");
    fleet.heartbeats();
    sessions.go_on("host standby, one key");
    sessions.end();

    let [user, host] = [fleet.only_key("user"), fleet.only_key("host")];
    assert!(!before.contains(&user) && !before.contains(&host));
    for one in &fleet.hosts {
        assert_eq!(has(one, "user-ca "), [user.as_str()], "{}", one.name);
        assert_eq!(has(one, "host-ca "), [host.as_str()], "{}", one.name);
        let certificate = one.certificate().expect("it has one");
        assert!(certificate.contains(&host), "{certificate}");
    }
}

/// The host knows neither of the keys of today; nobody touches it, and it needs no new token.
#[test]
fn a_host_that_was_off_through_both_rotations_comes_back() {
    let fleet = JoinedFleet::new(1);
    let host = &fleet.hosts[0];
    host.sshd.stop();
    for (kind, times) in [("user", 1), ("host", 2)] {
        for _ in 0..times {
            for phase in ["init", "update_clients", "update_servers", "standby"] {
                let (kind, phase) = (format!("--type={kind}"), format!("--phase={phase}"));
                fleet.auth(&["rotate", &kind, &phase, "--force"]);
            }
            proxy_follows(&fleet.world);
        }
    }
    fleet.update_clients();
    fleet.world.sign_user_again();
    host.sshd.start_again(&fleet.world.children);
    assert_ne!(
        fleet.world.run("h1", "true").code(),
        0,
        "it trusts the old user CA"
    );

    let refused = fleet.world.heartbeat_as(host, &host.report());
    assert_eq!(refused.code(), 255);
    let stderr = &refused.stderr;
    assert!(stderr.contains("Host key verification failed"), "{stderr}");
    host.follow_successors(&fleet.world);
    fleet.world.heartbeat(host);
    fleet.world.run("h1", "true").success();
    assert_eq!(has(host, "host-ca "), [fleet.only_key("host")]);
    assert_eq!(has(host, "user-ca "), [fleet.only_key("user")]);
}
