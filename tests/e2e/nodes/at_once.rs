//! Several administrators at once while the node reports, and an auth process that is killed while hosts join.

use std::process::{Child, Output, Stdio};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::support::client::Live;
use crate::support::recordings::text;
use crate::support::{ClientOutcome, HostReport, JoiningHost, World, keys};

/// How many administrators type the same.
const ADMINISTRATORS: usize = 4;
/// How many heartbeats are under way then.
const HEARTBEATS: usize = 3;

/// Starts a command for each administrator, and then some heartbeats; gives what became of all.
fn at_once(world: &World, host: &JoiningHost, args: &[&str]) -> (Vec<Output>, Vec<ClientOutcome>) {
    let command = |_| {
        let mut command = world.rproxy();
        let command = command.args(args).stdin(Stdio::null());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("rproxy starts")
    };
    let commands: Vec<Child> = (0..ADMINISTRATORS).map(command).collect();
    let report = host.report();
    let heartbeat = |_| world.heartbeat_begins(host, &report);
    let heartbeats: Vec<Live> = (0..HEARTBEATS).map(heartbeat).collect();
    let ended = commands.into_iter().map(Child::wait_with_output);
    let ended = ended.map(|output| output.expect("it has ended")).collect();
    let heartbeats = heartbeats.into_iter().map(Live::finish);
    (ended, heartbeats.collect())
}

/// How many have succeeded; the others say this.
fn succeeded(outputs: &[Output], otherwise: &str) -> usize {
    let (done, refused): (Vec<_>, Vec<_>) =
        outputs.iter().partition(|output| output.status.success());
    for output in refused {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(otherwise), "{stderr}");
    }
    done.len()
}

/// What each administrator reads is what has happened, and the node is what the last one wanted.
#[test]
fn administrators_who_type_the_same_at_once_do_it_once() {
    let world = World::new();
    let host = world.joined_host("web1", &[]);
    let audited = |name: &str| world.events(name).len();

    let lock = ["nodes", "lock", "web1", "--reason=stolen"];
    let (locked, heartbeats) = at_once(&world, &host, &lock);
    assert_eq!(succeeded(&locked, ""), ADMINISTRATORS);
    for heartbeat in heartbeats {
        let is_whole = heartbeat.text().ends_with("\nend\n");
        assert_eq!(is_whole, heartbeat.code() == 0, "{heartbeat:?}");
    }
    assert_eq!(audited("node.locked"), ADMINISTRATORS);
    let node = world.listed_node("web1").expect("it is there");
    assert_eq!(node["locked"]["reason"], "stolen");
    assert_ne!(world.heartbeat_as(&host, &host.report()).code(), 0);

    let (unlocked, _) = at_once(&world, &host, &["nodes", "unlock", "web1"]);
    let unlocked = succeeded(&unlocked, "the node web1 is not locked");
    assert!(unlocked >= 1);
    assert_eq!(audited("node.unlocked"), unlocked);
    world.heartbeat(&host);

    let (removed, _) = at_once(&world, &host, &["nodes", "rm", "web1"]);
    assert_eq!(succeeded(&removed, "there is no node \"web1\""), 1);
    assert_eq!(audited("node.removed"), 1);
    assert_eq!(world.listed_node("web1"), None);
    let refused = world.heartbeat_as(&host, &host.report());
    super::assert_refused(&world, &refused, "not-joined", "no node has this host key");

    let token = keys::tool(
        world
            .rproxy()
            .args(["tokens", "add", "--type=node", "--format=json"]),
    );
    let token: Value = serde_json::from_str(&token).expect("JSON");
    let id = text(&token, "id");
    let (removed, _) = at_once(&world, &host, &["tokens", "rm", id]);
    assert_eq!(succeeded(&removed, &format!("there is no token {id}")), 1);
    assert_eq!(audited("token.removed"), 1);
}

/// Hosts that join while the auth process is killed.
const HOSTS: usize = 10;

/// A host's key, and what it says.
fn joins(world: &World, token: &str, number: usize) -> Live {
    let key = world.dir().join(format!("key{number}"));
    if !key.exists() {
        keys::generate(&key);
    }
    let report = HostReport {
        names: vec![format!("web{number}")],
        port: 22,
        ..HostReport::default()
    };
    let mut ssh = world.host_ssh(&key).arg("join").start();
    ssh.feed(report.lines(Some(token)).into_bytes());
    ssh
}

/// How many uses the token has left, and how many hosts are in the state.
fn left_and_joined(world: &World) -> (u64, usize) {
    let list = |what: &str| -> Vec<Value> {
        let listed = keys::tool(world.rproxy().args([what, "ls", "--format=json"]));
        serde_json::from_str(&listed).expect("JSON")
    };
    let left = list("tokens")[0]["uses"].as_u64().expect("a number");
    let nodes = list("nodes");
    let joined = nodes.iter().filter(|node| node["source"] == "joined");
    (left, joined.count())
}

/// A use of the token is a host in the state, at whatever moment the process is killed; a host whose answer was
/// lost gets everything with the same token, and the audit log has every host.
#[test]
fn a_join_that_is_cut_by_a_kill_is_whole_or_not_there() {
    let world = World::with().time_limit(Duration::from_secs(300)).start();
    let token = world.node_token(&[&format!("--uses={HOSTS}")]);
    let seed = rand::rng().random::<u64>();
    eprintln!("seed: {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    for number in 0..HOSTS {
        let ssh = joins(&world, &token, number);
        std::thread::sleep(Duration::from_millis(random.random_range(0..500)));
        world.kill_auth();
        let outcome = ssh.finish();
        eprintln!("{number}: {} {}", outcome.code(), outcome.stderr);
        let (left, joined) = left_and_joined(&world);
        assert_eq!(left, (HOSTS - joined) as u64, "after {number}");
        assert!(joined == number || joined == number + 1, "after {number}");
        if outcome.code() == 0 {
            assert_eq!(joined, number + 1, "it was told that it has joined");
        }
        let has_all = |outcome: &ClientOutcome| {
            outcome.code() == 0 && outcome.text().contains("\ncertificate ")
        };
        if !has_all(&outcome) {
            world.eventually("it has joined, with a certificate", || {
                let again = joins(&world, &token, number).finish();
                has_all(&again).then_some(())
            });
        }
        assert_eq!(
            left_and_joined(&world),
            ((HOSTS - number - 1) as u64, number + 1)
        );
    }
    let audited = [world.events("node.joined"), world.events("node.returned")].concat();
    for number in 0..HOSTS {
        let name = format!("web{number}");
        let node = world.listed_node(&name).expect("it has joined");
        let is_of_it = |event: &&Value| event["node"] == node["id"];
        assert!(audited.iter().any(|event| is_of_it(&event)), "{name}");
    }
}
