//! Rotations where hosts have joined: what the commands show, and what they wait for.

use ssh_key::HashAlg;

use super::*;
use crate::ca::{Authorities, CaKind, RotationPhase};
use crate::state::testing::{node, token};
use crate::state::{Heartbeat, JoinedNode, State};

/// An installation with these hosts, which have joined and are online. Nothing answers at their address.
fn joined(names: &[&str]) -> (AuthFixture, State, Vec<JoinedNode>) {
    let scene = AuthFixture::new();
    let state = State::open(&scene.context.config.state_place().unwrap(), Clock::System).unwrap();
    let nodes: Vec<_> = names.iter().map(|name| node(name)).collect();
    for node in &nodes {
        let mut token = token(&node.name, 1, crate::state::testing::NOW + 60);
        token.expires = state.now() + 60;
        state.tokens().put(&token).unwrap();
        state.nodes().join(node, &token.hash, state.now()).unwrap();
        report(&state, node, Vec::new(), 0);
    }
    (scene, state, nodes)
}

/// A node reports these keys of the user CA, so many seconds ago.
fn report(state: &State, node: &JoinedNode, user_cas: Vec<String>, ago: u64) {
    let heartbeat = Heartbeat {
        at: state.now() - ago,
        user_cas,
        ..Heartbeat::default()
    };
    let nodes = state.nodes();
    assert!(
        nodes
            .heartbeat(node.id, &heartbeat, &[], "192.0.2.7", 22)
            .unwrap()
    );
}

fn user_keys(scene: &AuthFixture) -> Vec<String> {
    let installation = scene.context.config.installation(Clock::System);
    let authorities = Authorities::open(&installation).unwrap();
    let keys = authorities.of(CaKind::User).public_keys().iter();
    keys.map(|key| key.fingerprint(HashAlg::Sha256).to_string())
        .collect()
}

fn phase(scene: &AuthFixture) -> RotationPhase {
    let installation = scene.context.config.installation(Clock::System);
    let authorities = Authorities::open(&installation).unwrap();
    authorities.of(CaKind::User).rotation().phase()
}

#[test]
fn a_move_is_refused_as_long_as_a_node_lacks_the_key_and_names_it() {
    let (scene, state, nodes) = joined(&["db1", "db2"]);
    scene.ok(&["rotate", "--type=user"]);
    let keys = user_keys(&scene);
    report(&state, &nodes[0], keys.clone(), 0);
    let refused = scene.fails(&["rotate", "--type=user"], Exit::Failed);
    assert!(
        refused.contains("db2: has not reported that it trusts"),
        "{refused}"
    );
    assert!(
        !refused.contains("db1") && refused.contains("--wait"),
        "{refused}"
    );
    let refused = scene.fails(&["rotate", "--type=user", "--wait=1s"], Exit::Failed);
    assert!(refused.contains("db2: "), "{refused}");
    // The command alone, and `auth status`, show the same.
    for shown in [&["rotate"][..], &["status", "--no-connect"]] {
        let shown = scene.ok(shown);
        assert!(shown.contains("joined: 1 of 2 have what"), "{shown}");
        assert!(shown.contains("    db2 has not reported that"), "{shown}");
    }
    let json = scene.ok(&["status", "--no-connect", "--format=json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let user = &json["authorities"][0]["joined_nodes"];
    assert_eq!((&user["ready"], &user["all"]), (&1.into(), &2.into()));
    assert_eq!(user["missing"][0]["name"], "db2");
    assert_eq!(user["missing"][0]["lacks"], "user_key");
    assert_eq!(user["missing"][0]["online"], true);
    assert!(json["authorities"][1]["joined_nodes"].is_null());
    scene.fails(&["rotate", "--rollback"], Exit::Usage);
    // A node that is offline is named, and holds nothing up.
    report(&state, &nodes[1], Vec::new(), 600);
    let shown = scene.ok(&["rotate"]);
    assert!(shown.contains("(offline, last seen 20"), "{shown}");
    scene.ok(&["rotate", "--type=user"]);
    assert_eq!(phase(&scene), RotationPhase::UpdateClients);
}

#[test]
fn wait_goes_on_when_the_last_node_has_reported() {
    let (scene, state, nodes) = joined(&["db1"]);
    scene.ok(&["rotate", "--type=user"]);
    let keys = user_keys(&scene);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| scene.ok(&["rotate", "--type=user", "--wait"]));
        assert_eq!(phase(&scene), RotationPhase::Init);
        report(&state, &nodes[0], keys, 0);
        let told = waiting.join().unwrap();
        assert!(
            told.starts_with("user CA: init -> update_clients"),
            "{told}"
        );
    });
}

/// The schedule of a rotation waits, too, and says until when.
#[test]
fn a_rotation_that_waits_says_so() {
    let (scene, state, nodes) = joined(&["db1"]);
    scene.ok(&["rotate", "--type=user", "--grace-period=48h"]);
    let now = state.now();
    let (due, next, end) = (now - 60, now + 600, now + 1_260);
    let waits = format!(
        r#"{{"phase":"init","since":1,"schedule":{{"update_clients":{due},"update_servers":{next},"standby":{end}}},"moves":1}}"#
    );
    scene.write("state/ca/user_rotation.json", &waits);
    let shown = scene.ok(&["rotate"]);
    assert!(
        shown.contains("the rotation of the user CA waits for them until 20"),
        "{shown}"
    );
    assert_eq!(phase(&scene), RotationPhase::Init);
    report(&state, &nodes[0], user_keys(&scene), 0);
    let shown = scene.ok(&["rotate"]);
    assert!(!shown.contains("waits for them"), "{shown}");
    assert_eq!(phase(&scene), RotationPhase::UpdateClients);
}
