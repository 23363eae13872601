//! The keys of both CAs are replaced while sessions are opened: none is refused.
//!
//! The test updates the fleet as the texts of `rproxy auth rotate` ask: it exports keys to hosts
//! and clients, and signs certificates again.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rproxy::wire::TransportEvent;
use rustix::fs::{FlockOperation, flock};
use ssh_key::HashAlg;

use crate::support::client::Live;
use crate::support::double::Peer;
use crate::support::{Holds, HostKey, World, keys};
use crate::web::{EXPORT, curl, plain, url};

/// Hosts of the fleet.
const HOSTS: usize = 20;
/// Hundreds of sessions take long on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);

struct RotatedFleet {
    world: World,
}

impl RotatedFleet {
    fn new(hosts: usize) -> Self {
        let names: Vec<String> = (1..=hosts).map(|number| format!("db{number}")).collect();
        // The certificate is a file, so that it is replaced in one step.
        let world = names
            .iter()
            .fold(plain().holds(Holds::BareKey), |world, name| {
                world.node(name, HostKey::Certified)
            })
            .time_limit(LIMIT)
            .start();
        Self { world }
    }

    fn auth(&self, args: &[&str]) -> String {
        keys::tool(self.world.rproxy().arg("auth").args(args))
    }

    fn rotate(&self, kind: &str, phase: &str) {
        let told = self.auth(&[
            "rotate",
            &format!("--type={kind}"),
            &format!("--phase={phase}"),
            &format!("--login={}", crate::support::world::login()),
        ]);
        assert!(told.contains(&format!("-> {phase}\n")), "{told}");
        proxy_follows(&self.world);
    }

    /// The user CA's export on every host; sshd reads it for each connection.
    fn update_hosts(&self) {
        let export = self.auth(&["export", "--type=user"]);
        for node in self.world.nodes() {
            replace(
                &self.world.dir().join(&node.name).join("user_ca.pub"),
                &export,
            );
        }
    }

    /// The host CA's export at the client.
    fn update_clients(&self) {
        let export = self.auth(&["export", "--type=host"]);
        replace(&self.world.dir().join("known_hosts"), &export);
    }

    /// Every host's certificate, in one batch; sshd reads it when it starts. Sessions wait for the
    /// moment in which a reloading sshd does not listen: that one is sshd's own.
    fn sign_hosts(&self) {
        let dir = self.world.dir();
        let mut list = String::new();
        for node in self.world.nodes() {
            let key = std::fs::read_to_string(dir.join(&node.name).join("host_key.pub")).unwrap();
            list += &format!("{} {key}", node.name);
        }
        replace(&dir.join("list"), &list);
        let out = dir.join("signed");
        std::fs::create_dir_all(&out).unwrap();
        let batch = format!("--batch={}", dir.join("list").display());
        let to = format!("--out={}", out.display());
        let signed = self.auth(&["sign", "--host", &batch, &to, "--overwrite"]);
        assert_eq!(signed.lines().count(), self.world.nodes().len());
        // A lock that is shared by one after the other would never be free.
        let closed = dir.join("closed");
        File::create(&closed).unwrap();
        let gate = File::create(dir.join("gate")).unwrap();
        flock(&gate, FlockOperation::LockExclusive).unwrap();
        std::fs::remove_file(closed).unwrap();
        for node in self.world.nodes() {
            let certificate = out.join(format!("{}-cert.pub", node.name));
            std::fs::rename(certificate, dir.join(&node.name).join("host_key-cert.pub")).unwrap();
            node.reload(&self.world.children);
        }
    }

    fn sessions(&self) -> Sessions<'_> {
        let nodes = self.world.nodes().iter();
        let names: Vec<_> = nodes.map(|node| node.name.clone()).collect();
        Sessions::begin(&self.world, &names)
    }

    fn status(&self) -> serde_json::Value {
        let text = self.auth(&[
            "status",
            "--format=json",
            &format!("--login={}", crate::support::world::login()),
        ]);
        serde_json::from_str(&text).unwrap()
    }
}

/// Waits until the running proxy has the keys of the rotation's present phase: it serves those of
/// both CAs, and presents a host certificate signed by the present key.
pub(crate) fn proxy_follows(world: &World) {
    let auth = |args: &[&str]| keys::tool(world.rproxy().arg("auth").args(args));
    let status = auth(&["status", "--no-connect", "--format=json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let host_keys = status["authorities"][1]["keys"].as_array().unwrap().iter();
    let mut signing = host_keys.filter(|key| key["signs"] == true);
    let signing = signing.next().expect("a key that signs")["fingerprint"].as_str();
    let exports = ["user", "host"].map(|kind| {
        let kind = format!("type={kind}");
        let export = auth(&["export", &format!("--{kind}")]);
        (url(world, &format!("{EXPORT}?{kind}")), export)
    });
    world.eventually("the proxy follows the rotation", || {
        let serves = |(url, export): &(String, String)| {
            curl(world, &["-f", url]).success().text() == *export
        };
        let follows = exports.iter().all(serves) && signing == Some(&signed_by(world));
        follows.then_some(())
    });
}

/// The fingerprint of the CA of the host certificate that the proxy presents.
fn signed_by(world: &World) -> String {
    let mut client = Peer::connect(world.address());
    loop {
        let event = client.event().expect("the proxy shows its key");
        if let TransportEvent::HostKey { blob, .. } = event {
            let certificate = ssh_key::Certificate::from_bytes(&blob).expect("a certificate");
            let key = certificate.signature_key();
            return key.fingerprint(HashAlg::Sha256).to_string();
        }
    }
}

/// How many sessions are opened at the same time, each to hosts of its own.
const AT_ONCE: usize = 4;

/// Sessions that are opened all the time.
pub(crate) struct Sessions<'w> {
    world: &'w World,
    loops: Vec<SessionLoop>,
}

/// Sessions that are opened one after the other.
struct SessionLoop {
    running: Live,
    /// Where it notes each session that has succeeded.
    noted: PathBuf,
    hosts: usize,
}

impl SessionLoop {
    /// Opens sessions to these hosts in turn until it is stopped; keeps the outcome of each.
    fn begin(world: &World, number: usize, names: &[String]) -> Self {
        let script = format!(
            "while :; do for host in {}; do \
               test -e stop && exit 0; \
               while test -e closed; do sleep 0.1; done; \
               if flock -s gate ssh -F inner $host true 2> last{number}.err < /dev/null; \
               then echo ok >> sessions{number}; else cat last{number}.err >> refused; fi; \
             done; done",
            names.join(" ")
        );
        Self {
            running: world.program("bash").args(["-c", &script]).start(),
            noted: world.dir().join(format!("sessions{number}")),
            hosts: names.len(),
        }
    }

    fn count(&self) -> usize {
        let text = std::fs::read_to_string(&self.noted).unwrap_or_default();
        text.lines().count()
    }
}

impl<'w> Sessions<'w> {
    /// Opens sessions to these hosts until it is stopped.
    pub(crate) fn begin(world: &'w World, names: &[String]) -> Self {
        File::create(world.dir().join("gate")).unwrap();
        let hosts = names.chunks(names.len().div_ceil(AT_ONCE)).enumerate();
        let loops = hosts.map(|(number, names)| SessionLoop::begin(world, number, names));
        let loops = loops.collect();
        Self { world, loops }
    }

    fn refused(&self) -> String {
        std::fs::read_to_string(self.world.dir().join("refused")).unwrap_or_default()
    }

    /// Waits until a session has succeeded at every host in this phase; none may be refused. The
    /// hosts of a loop take turns, and its present session may have begun before the phase.
    pub(crate) fn go_on(&self, phase: &str) {
        let before: Vec<_> = self.loops.iter().map(SessionLoop::count).collect();
        for (one, before) in self.loops.iter().zip(before) {
            for more in 1..=one.hosts + 1 {
                self.world.eventually(&format!("sessions in {phase}"), || {
                    let refused = self.refused();
                    assert!(refused.is_empty(), "in {phase}: {refused}");
                    (one.count() >= before + more).then_some(())
                });
            }
        }
    }

    pub(crate) fn end(self) {
        File::create(self.world.dir().join("stop")).unwrap();
        let refused = self.refused();
        for one in self.loops {
            one.running.finish();
        }
        assert!(refused.is_empty(), "{refused}");
        std::fs::remove_file(self.world.dir().join("stop")).unwrap();
    }
}

/// In one step, as a configuration tool does it.
pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("next");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// The certificate that every host presents and the CAs that it trusts, from `auth status`: the
/// name of its certificate's CA, and the answers for each user CA.
fn proofs(status: &serde_json::Value) -> Vec<(String, Vec<bool>)> {
    let nodes = status["nodes"].as_array().unwrap();
    let proof = |node: &serde_json::Value| {
        let authority = node["host_certificate"]["authority_name"].as_str();
        let accepted = node["user_authorities"].as_array().unwrap().iter();
        (
            authority.unwrap_or_else(|| panic!("{node}")).to_owned(),
            accepted
                .map(|one| one["accepted"].as_bool().unwrap())
                .collect(),
        )
    };
    nodes.iter().map(proof).collect()
}

fn all(hosts: usize, authority: &str, accepted: &[bool]) -> Vec<(String, Vec<bool>)> {
    vec![(authority.to_owned(), accepted.to_vec()); hosts]
}

#[test]
fn a_full_rotation_of_both_authorities_refuses_nobody() {
    let fleet = RotatedFleet::new(HOSTS);
    assert_eq!(proofs(&fleet.status()), all(HOSTS, "only", &[true]));
    let sessions = fleet.sessions();
    sessions.go_on("standby");

    fleet.rotate("user", "init");
    assert_eq!(proofs(&fleet.status()), all(HOSTS, "only", &[true, false]));
    sessions.go_on("user init");
    fleet.update_hosts();
    assert_eq!(proofs(&fleet.status()), all(HOSTS, "only", &[true, true]));
    fleet.rotate("user", "update_clients");
    let left = &fleet.status()["authorities"][0]["signed_by_leaving_key"];
    assert_eq!(left[0]["key_id"], "alice", "{left}");
    sessions.go_on("user update_clients, old certificate");
    fleet.world.sign_user_again();
    let left = &fleet.status()["authorities"][0]["signed_by_leaving_key"];
    assert_eq!(left.as_array().unwrap().len(), 0, "{left}");
    sessions.go_on("user update_clients, new certificate");
    fleet.rotate("user", "update_servers");
    sessions.go_on("user update_servers");
    fleet.rotate("user", "standby");
    sessions.go_on("user standby");
    fleet.update_hosts();
    assert_eq!(proofs(&fleet.status()), all(HOSTS, "only", &[true]));

    fleet.rotate("host", "init");
    sessions.go_on("host init");
    fleet.update_clients();
    fleet.rotate("host", "update_clients");
    sessions.go_on("host update_clients");
    fleet.rotate("host", "update_servers");
    sessions.go_on("host update_servers, old certificates");
    assert_eq!(proofs(&fleet.status()), all(HOSTS, "old", &[true]));
    fleet.sign_hosts();
    assert_eq!(proofs(&fleet.status()), all(HOSTS, "new", &[true]));
    sessions.go_on("host update_servers, new certificates");
    fleet.rotate("host", "standby");
    fleet.update_clients();
    sessions.go_on("host standby");
    assert_eq!(proofs(&fleet.status()), all(HOSTS, "only", &[true]));
    sessions.end();
}

#[test]
fn every_phase_is_rolled_back_without_refusing_anybody() {
    let fleet = RotatedFleet::new(3);
    let sessions = fleet.sessions();
    for kind in ["user", "host"] {
        for last in ["init", "update_clients", "update_servers"] {
            fleet.rotate(kind, "init");
            fleet.update_hosts();
            fleet.update_clients();
            for phase in ["update_clients", "update_servers"] {
                if last != "init" && (phase == "update_clients" || last == phase) {
                    fleet.rotate(kind, phase);
                }
            }
            fleet.world.sign_user_again();
            fleet.sign_hosts();
            sessions.go_on(&format!("{kind} {last}"));
            fleet.rotate(kind, "rollback");
            sessions.go_on(&format!("{kind} {last}, rolled back"));
            fleet.world.sign_user_again();
            fleet.sign_hosts();
            fleet.rotate(kind, "standby");
            sessions.go_on(&format!("{kind} standby after {last}"));
            fleet.update_hosts();
            fleet.update_clients();
        }
    }
    sessions.end();
}

/// Commands in a row, by an administrator who does not read their output: the host does not know
/// the new key, and no user is cut off.
#[test]
fn going_on_names_who_would_be_cut_off_and_needs_force() {
    let fleet = RotatedFleet::new(1);
    fleet.rotate("user", "init");
    let login = format!("--login={}", crate::support::world::login());
    let move_on = |more: &[&str]| {
        let args = ["auth", "rotate", "--type=user", &login];
        let output = fleet.world.rproxy().args(args).args(more).output();
        let output = output.expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), told)
    };
    for _ in 0..3 {
        let (code, told) = move_on(&[]);
        assert_eq!(code, Some(1), "{told}");
        assert!(
            told.contains("db1: does not trust the key SHA256:"),
            "{told}"
        );
        assert!(
            told.contains("--force") && told.contains("--rollback"),
            "{told}"
        );
    }
    fleet.world.run("db1", "true").success();

    // Hosts that are ready do not hold up the rotation; users with certificates of the old key do.
    fleet.update_hosts();
    fleet.rotate("user", "update_clients");
    fleet.rotate("user", "update_servers");
    let (code, told) = move_on(&[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("certificate of alice: serial "), "{told}");
    fleet.world.run("db1", "true").success();
    let (code, told) = move_on(&["--force"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("certificate of alice: serial "), "{told}");
    proxy_follows(&fleet.world);
    assert_eq!(fleet.world.run("db1", "true").code(), 255);

    // A rollback to the key that was kept.
    let status = fleet.auth(&["status", "--no-connect"]);
    assert!(status.contains("kept key SHA256:"), "{status}");
    fleet.rotate("user", "rollback");
    fleet.world.run("db1", "true").success();
}

/// Once the rotation is over, a certificate of the old key is refused, and the user reads why.
#[test]
fn the_old_key_is_refused_afterwards() {
    let fleet = RotatedFleet::new(1);
    for phase in ["init", "update_clients", "update_servers", "standby"] {
        assert_eq!(fleet.world.run("db1", "true").code(), 0, "before {phase}");
        let phase = format!("--phase={phase}");
        fleet.auth(&["rotate", "--type=user", &phase, "--force"]);
        proxy_follows(&fleet.world);
    }
    let refused = fleet.world.run("db1", "true");
    assert_eq!(refused.code(), 255);
    let why = "which is not a trusted CA key";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
}

/// A connection sees one host key for as long as it lasts, though its session keys change all the
/// time and the CA is replaced meanwhile.
#[test]
fn a_live_connection_keeps_its_host_keys_through_a_rotation() {
    let world = plain().start();
    // The outer leg changes its keys as often as the inner one.
    let outer = world.dir().join("outer");
    let text = std::fs::read_to_string(&outer).unwrap();
    replace(&outer, &format!("RekeyLimit 16K\n{text}"));
    let mut session = world
        .ssh()
        .args(["-v", "-o", "RekeyLimit=16K", "db1", "cat"])
        .start();
    let mut speak = |number: u8| {
        let said = vec![number; 64 * 1024];
        let stdin = session.stdin.as_mut().expect("a session");
        stdin.write_all(&said).expect("the session goes on");
        assert!(session.read(said.len()) == said);
    };
    speak(0);
    let auth = |args: &[&str]| keys::tool(world.rproxy().arg("auth").args(args));
    for (number, phase) in (1..).zip(["init", "update_clients", "update_servers"]) {
        auth(&["rotate", "--type=host", &format!("--phase={phase}")]);
        proxy_follows(&world);
        speak(number);
        if phase == "init" {
            replace(
                &world.dir().join("known_hosts"),
                &auth(&["export", "--type=host"]),
            );
        }
    }
    let outcome = session.finish().success();
    let changes = outcome.stderr.matches("SSH2_MSG_NEWKEYS sent").count();
    assert!(changes > 8, "{changes} times");
}
