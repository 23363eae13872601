//! Rotations with a schedule wait for the nodes that have joined.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::DeferredLog;
use crate::ca::testing::{CaHome, NOW};
use crate::ca::*;
use crate::sys::clock::Clock;

const GRACE: Duration = Duration::from_secs(300);
const KIND: CaKind = CaKind::User;

/// What nodes have reported; `None` if that cannot be read.
#[derive(Debug)]
struct Reports(Option<Vec<NodeKeys>>);

impl NodeReports for Reports {
    fn node_keys(&self) -> Result<Vec<NodeKeys>, CaError> {
        let unreadable = || CaError::Records("the database is away".into());
        self.0.clone().ok_or_else(unreadable)
    }
}

/// A node that trusts these keys of the user CA.
fn node(user_cas: &[String], is_online: bool) -> NodeKeys {
    NodeKeys {
        name: "db1".to_owned(),
        heard: NOW,
        is_online,
        is_locked: false,
        user_cas: user_cas.to_vec(),
        host_cas: Vec::new(),
        certificate: None,
    }
}

fn rotating() -> CaHome {
    let home = CaHome::new();
    home.open().unwrap();
    let begin = |rotation: &Rotation, _kept, now| rotation.begin(KIND, Some(GRACE), now);
    home.with(|installation| Authorities::rotate(installation, KIND, begin))
        .unwrap();
    home
}

/// The phase after a tick at this time, in seconds after the rotation has begun.
fn phase(home: &CaHome, after: u64, reports: Option<Vec<NodeKeys>>) -> RotationPhase {
    home.with_clock(Clock::Fixed(NOW + after), |installation| {
        let mut installation = installation.clone();
        installation.records.nodes = Arc::new(Reports(reports));
        let audit = DeferredLog::new(
            installation.data_dir,
            installation.cluster,
            installation.clock,
        );
        KeyOwner::new(installation.clone(), &audit).tick().unwrap();
        let opened = Authorities::open(&installation).unwrap();
        opened.of(KIND).rotation().phase()
    })
}

#[test]
fn a_node_that_is_online_is_waited_for_until_it_has_the_key_and_not_for_ever() {
    use RotationPhase::{Init, Standby, UpdateClients, UpdateServers};
    let home = rotating();
    let keys = home.keys(KIND).0;
    let stale = || Some(vec![node(&keys[..1], true)]);
    let ready = || Some(vec![node(&keys, true)]);
    assert_eq!(phase(&home, 99, ready()), Init);
    for after in [100, 199] {
        assert_eq!(phase(&home, after, stale()), Init, "{after}");
        assert_eq!(phase(&home, after, None), Init, "nothing is known, {after}");
    }
    // A third later the phase is left, and the next one waits anew.
    assert_eq!(phase(&home, 200, stale()), UpdateClients);
    assert_eq!(phase(&home, 299, stale()), UpdateClients);
    // It is due, and everybody has the key.
    assert_eq!(phase(&home, 299, ready()), UpdateServers);
    assert_eq!(phase(&home, 399, None), UpdateServers);
    assert_eq!(phase(&home, 400, None), Standby);
}

#[test]
fn nodes_that_are_offline_or_locked_hold_nothing_up() {
    let home = rotating();
    let mut locked = node(&[], true);
    locked.is_locked = true;
    let nodes = vec![node(&[], false), locked];
    assert_eq!(phase(&home, 100, Some(nodes)), RotationPhase::UpdateClients);
}
