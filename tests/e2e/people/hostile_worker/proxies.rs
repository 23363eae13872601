//! What a worker says about the proxy that it is of, and asks about others.

use rproxy::ipc::{
    Announcement, CallError, CallRefusal, PeersAnswer, PeersRequest, SigningAnswer, SigningRequest,
};
use rproxy::model::NodeId;
use serde_json::json;

use super::scene::{Scene, WorkerAttack};
use crate::support::taken_worker::new_key;

pub(super) const ATTACKS: &[WorkerAttack] = &[
    WorkerAttack {
        tries: "an address of the proxy that is none",
        prepare: |_| {
            Box::new(|scene| {
                let long = format!("{}:22", "x".repeat(400));
                for address in ["", "proxy", "proxy:", "proxy:0", ":22", "a b:22", &long] {
                    let forbidden = CallRefusal::Forbidden;
                    assert_eq!(announce(scene, Some(address)), Err(forbidden), "{address}");
                }
            })
        },
        leaves: ("call.refused", "malformed"),
        gains: &[],
    },
    WorkerAttack {
        tries: "to list all proxies, to announce another one, or to remove one",
        prepare: |_| {
            Box::new(|scene| {
                let key = new_key().public_key().to_openssh().expect("a key");
                for request in [
                    json!("list"),
                    json!({"find": "*"}),
                    json!({"find": null}),
                    json!({"remove": NodeId::new()}),
                    json!({"knows": "ssh-ed25519 AAAA"}),
                    json!({"announce": {"address": "a:1"}}),
                    json!({"announce": {"address": "x".repeat(5_000), "key": key}}),
                ] {
                    let call = json!({"call": {
                        "id": 1, "deadline_ms": u64::MAX, "request": {"peers": request},
                    }});
                    let answer = scene.worker.ask(&call.to_string());
                    assert!(answer.is_empty() || answer.ends_with("{\"refused\":\"forbidden\"}}"));
                }
            })
        },
        leaves: ("call.refused", "malformed"),
        gains: &[],
    },
    WorkerAttack {
        tries: "announcements without end",
        prepare: |_| {
            Box::new(|scene| {
                let announced = (0..60).filter(|_| announce(scene, None) == Ok(()));
                assert!(announced.count() <= 30);
                let checked = scene.worker.call(&SigningRequest::Check);
                assert!(matches!(checked, Ok((SigningAnswer::Key(Some(_)), _))));
            })
        },
        leaves: ("call.refused", "too-often"),
        gains: &[],
    },
];

/// Announces a key of its own; why that is refused.
fn announce(scene: &Scene, address: Option<&str>) -> Result<(), CallRefusal> {
    let announcement = Announcement {
        address: address.map(str::to_owned),
        key: new_key().public_key().clone(),
    };
    match scene.worker.call(&PeersRequest::Announce(announcement)) {
        Ok((PeersAnswer::Noted, _)) => Ok(()),
        Err(CallError::Refused(why)) => Err(why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_proxy_is_what_its_worker_is() {
    super::withstands(ATTACKS);
}

/// Its own keys are none of another proxy, and no id that it makes up changes whose they are.
#[test]
fn a_worker_makes_no_proxy_up() {
    let Some(scene) = Scene::new() else { return };
    let keys = [new_key(), new_key()].map(|key| key.public_key().clone());
    for key in &keys {
        let line = key.to_openssh().expect("a key");
        let id = NodeId::new();
        let call = json!({"call": {"id": 1, "deadline_ms": u64::MAX, "request": {"peers": {
            "announce": {"address": "127.0.0.1:22", "key": line, "id": id, "proxy": id},
        }}}});
        let answer = scene.worker.ask(&call.to_string());
        assert!(answer.contains("noted"), "{answer}");
    }
    for key in keys {
        let (answer, _) = scene
            .worker
            .call(&PeersRequest::Knows(key))
            .expect("an answer");
        assert_eq!(answer, PeersAnswer::Known(false));
    }
    let find = PeersRequest::Find(NodeId::new());
    let (answer, _) = scene.worker.call(&find).expect("an answer");
    assert_eq!(answer, PeersAnswer::Found(None));
}
