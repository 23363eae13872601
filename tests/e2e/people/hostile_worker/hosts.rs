//! Hosts that have not proved themselves, or that are not the node that the worker speaks of.

use std::time::{SystemTime, UNIX_EPOCH};

use rproxy::ipc::{NodeInstallation, NodeReport, NodesAnswer, NodesQuestion, SecretText};
use serde_json::{Value, json};
use ssh_key::Certificate;

use super::scene::{Scene, WorkerAttack};
use crate::support::taken_worker::{ClaimedConnection, new_key, refused_node};

const NOT_PROVED: (&str, &str) = ("node.refused", "not-proved");
const REPLAYED: (&str, &str) = ("node.refused", "key-replayed");
const BAD_SIGNATURE: (&str, &str) = ("node.refused", "bad-signature");
const NAME_TAKEN: (&str, &str) = ("node.refused", "name-taken");
const LOCKED: (&str, &str) = ("node.refused", "node-locked");
const NOT_JOINED: (&str, &str) = ("node.refused", "not-joined");

/// How many connections try at the same time.
const AT_ONCE: usize = 16;

pub(super) const ATTACKS: &[WorkerAttack] = &[
    WorkerAttack {
        tries: "everything about a node whose key was not proved",
        prepare: |scene| {
            let victim = node(scene, "unproved", &[]);
            let token = scene.world.node_token(&[]);
            Box::new(move |scene| {
                let client = host_with(scene, &victim);
                for ask in [
                    heartbeat(),
                    join(&token, &["unproved2"]),
                    NodesQuestion::Tunnel(true),
                    NodesQuestion::Tunnel(false),
                    NodesQuestion::Successors,
                ] {
                    assert_eq!(reason(client.ask_node(ask)), "not-proved");
                }
            })
        },
        leaves: NOT_PROVED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a proof of a host key by the signature of another one",
        prepare: |scene| {
            let victim = node(scene, "forged", &[]);
            Box::new(move |scene| {
                let client = host(scene);
                let algorithm = victim.key.algorithm();
                let proof = client.proof_with(algorithm.as_str(), victim.blob());
                assert_eq!(
                    reason(client.ask_node(NodesQuestion::Prove(proof))),
                    "bad-signature"
                );
                assert_eq!(reason(client.ask_node(heartbeat())), "not-proved");
            })
        },
        leaves: BAD_SIGNATURE,
        gains: &[],
    },
    WorkerAttack {
        tries: "what a host has signed under the name of a user",
        prepare: |scene| {
            let victim = node(scene, "as-user", &[]);
            Box::new(move |scene| {
                let mut client = host_with(scene, &victim);
                for user in ["root", "peer", "Join", ""] {
                    user.clone_into(&mut client.user);
                    assert_eq!(reason(client.prove_host()), "bad-signature", "{user}");
                }
            })
        },
        leaves: BAD_SIGNATURE,
        gains: &[],
    },
    WorkerAttack {
        tries: "the proof of one connection on another one",
        prepare: |scene| {
            let victim = node(scene, "elsewhere", &[]);
            Box::new(move |scene| {
                let proof = NodesQuestion::Prove(victim.proof());
                assert_eq!(reason(host(scene).ask_node(proof)), "key-replayed");
            })
        },
        leaves: REPLAYED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a proof once more after its connection has ended",
        prepare: |scene| {
            let victim = node(scene, "ended", &[]);
            Box::new(move |scene| {
                assert_eq!(victim.ask_node(NodesQuestion::Close), NodesAnswer::Noted);
                assert_eq!(reason(victim.prove_host()), "key-replayed");
                let proof = NodesQuestion::Prove(victim.proof());
                assert_eq!(reason(host(scene).ask_node(proof)), "key-replayed");
                assert_eq!(reason(victim.ask_node(heartbeat())), "not-proved");
            })
        },
        leaves: REPLAYED,
        gains: &[],
    },
    WorkerAttack {
        tries: "another address of the host in the middle",
        prepare: |scene| {
            let mut victim = node(scene, "moved", &[]);
            victim.client = scene.address();
            Box::new(move |_| {
                assert_eq!(reason(victim.ask_node(heartbeat())), "key-replayed");
                // Nothing that was proved on it counts any more.
                assert_eq!(reason(victim.ask_node(heartbeat())), "not-proved");
            })
        },
        leaves: REPLAYED,
        gains: &[],
    },
    WorkerAttack {
        tries: "another host key on the connection of a tunnel",
        prepare: |scene| {
            let mut victim = node(scene, "tunnelled", &["--tunnel=allowed"]);
            let opened = victim.ask_node(NodesQuestion::Tunnel(true));
            assert_eq!(opened, NodesAnswer::Noted);
            victim.key = new_key();
            Box::new(move |scene| {
                assert_eq!(reason(victim.prove_host()), "key-replayed");
                assert_eq!(listed(scene, "tunnelled")["tunnel"], "open");
            })
        },
        leaves: REPLAYED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate in place of a host key",
        prepare: |scene| {
            let (client, installation) = joined(scene, "certified", &[]);
            let certificate = certificate(&installation);
            Box::new(move |scene| {
                let client = host_with(scene, &client);
                let blob = certificate.to_bytes().expect("a certificate has bytes");
                let proof = client.proof_with("ssh-ed25519-cert-v01@openssh.com", blob);
                assert_eq!(
                    reason(client.ask_node(NodesQuestion::Prove(proof))),
                    "unfit-key"
                );
            })
        },
        leaves: ("node.refused", "unfit-key"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a report, a tunnel and the end of a tunnel by a host that is no node",
        prepare: |scene| {
            let victim = node(scene, "open", &["--tunnel=required"]);
            let opened = victim.ask_node(NodesQuestion::Tunnel(true));
            assert_eq!(opened, NodesAnswer::Noted);
            Box::new(|scene| {
                let client = proved(scene);
                assert_eq!(reason(client.ask_node(heartbeat())), "not-joined");
                let tunnel = client.ask_node(NodesQuestion::Tunnel(true));
                assert_eq!(reason(tunnel), "not-joined");
                let ended = client.ask_node(NodesQuestion::Tunnel(false));
                assert_eq!(ended, NodesAnswer::Noted);
                assert_eq!(client.ask_node(NodesQuestion::Close), NodesAnswer::Noted);
                assert_eq!(listed(scene, "open")["tunnel"], "open");
            })
        },
        leaves: NOT_JOINED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a tunnel of a node that may have none",
        prepare: |scene| {
            let client = node(scene, "closed", &["--tunnel=no"]);
            Box::new(move |scene| {
                let tunnel = client.ask_node(NodesQuestion::Tunnel(true));
                assert_eq!(reason(tunnel), "tunnel-not-allowed");
                assert_eq!(listed(scene, "closed")["tunnel"], "no");
            })
        },
        leaves: ("node.refused", "tunnel-not-allowed"),
        gains: &[],
    },
    WorkerAttack {
        tries: "the name of another node, of the configuration and of the proxy",
        prepare: |scene| {
            let _victim = node(scene, "victim", &[]);
            let token = scene.world.node_token(&["--uses=20"]);
            Box::new(move |scene| {
                for name in ["victim", "VICTIM", "db1", "DB1"] {
                    let answer = proved(scene).ask_node(join(&token, &["fine", name]));
                    assert_eq!(reason(answer), "name-taken", "{name}");
                }
                assert_eq!(scene.world.listed_node("fine"), None);
            })
        },
        leaves: NAME_TAKEN,
        gains: &[],
    },
    WorkerAttack {
        tries: "principals of users, patterns and several in one",
        prepare: |scene| {
            let token = scene.world.node_token(&["--uses=20"]);
            Box::new(move |scene| {
                let names = [
                    "root,deploy",
                    "*",
                    "web?",
                    "!web",
                    "user-ca@cluster",
                    "127.0.0.1",
                    "127.1",
                    "web\n",
                    "",
                ];
                for name in names {
                    let answer = proved(scene).ask_node(join(&token, &[name]));
                    assert_eq!(reason(answer), "name-invalid", "{name:?}");
                }
                let many = vec!["web"; 17];
                let answer = proved(scene).ask_node(join(&token, &many));
                assert_eq!(reason(answer), "report-invalid");
            })
        },
        leaves: ("node.refused", "name-invalid"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a name and a label that the token does not give",
        prepare: |scene| {
            let token = scene
                .world
                .node_token(&["--names=web7", "--labels=env=test"]);
            Box::new(move |scene| {
                let other = proved(scene).ask_node(join(&token, &["web8"]));
                assert_eq!(reason(other), "token-names");
                let labelled = NodesQuestion::Join {
                    token: SecretText::new(token),
                    report: NodeReport {
                        labels: vec!["ENV=prod".to_owned()],
                        ..report(&["web7"])
                    },
                };
                assert_eq!(reason(proved(scene).ask_node(labelled)), "label-forced");
            })
        },
        leaves: ("node.refused", "token-names"),
        gains: &[],
    },
    WorkerAttack {
        tries: "one token on sixteen connections at once",
        prepare: |scene| {
            let token = scene.world.node_token(&[]);
            let clients: Vec<_> = (0..AT_ONCE).map(|_| proved(scene)).collect();
            Box::new(move |_| {
                let joined = std::thread::scope(|scope| {
                    let threads: Vec<_> = clients
                        .iter()
                        .zip(0..)
                        .map(|(client, number)| {
                            let ask = join(&token, &[&format!("at-once{number}")]);
                            scope.spawn(move || client.ask_node(ask))
                        })
                        .collect();
                    let answers = threads
                        .into_iter()
                        .map(|one| one.join().expect("an answer"));
                    let joined = answers.filter(|answer| match answer {
                        NodesAnswer::Installation(_) => true,
                        refused => {
                            assert_eq!(reason(refused.clone()), "token-spent");
                            false
                        }
                    });
                    joined.count()
                });
                assert_eq!(joined, 1);
            })
        },
        leaves: ("node.refused", "token-spent"),
        gains: &["node.joined", "node.certificate", "certificate.issued"],
    },
    WorkerAttack {
        tries: "to guess tokens",
        prepare: |scene| {
            let _token = scene.world.node_token(&[]);
            Box::new(|scene| {
                let client = proved(scene);
                let guess = |number: u32| {
                    let token = format!("rpt_{number:032}");
                    reason(client.ask_node(join(&token, &["guess"])))
                };
                let looked_at = (0..40).filter(|number| guess(*number) == "token-unknown");
                assert_eq!(looked_at.count(), 10);
            })
        },
        leaves: ("node.refused", "too-many-tries"),
        gains: &[],
    },
    WorkerAttack {
        tries: "everything for a node that was locked after it had proved its key",
        prepare: |scene| {
            let client = node(scene, "locked", &["--tunnel=allowed"]);
            let token = scene.world.node_token(&[]);
            scene.world.about_nodes(&["lock", "locked"]);
            Box::new(move |scene| {
                for ask in [
                    heartbeat(),
                    NodesQuestion::Tunnel(true),
                    join(&token, &["locked"]),
                    NodesQuestion::Successors,
                ] {
                    assert_eq!(reason(client.ask_node(ask)), "node-locked");
                }
                assert_eq!(
                    reason(host_with(scene, &client).prove_host()),
                    "node-locked"
                );
            })
        },
        leaves: LOCKED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate for a node that was removed after it had proved its key",
        prepare: |scene| {
            let client = node(scene, "removed", &[]);
            scene.world.about_nodes(&["rm", "removed"]);
            Box::new(move |_| {
                assert_eq!(reason(client.ask_node(heartbeat())), "not-joined");
            })
        },
        leaves: NOT_JOINED,
        gains: &[],
    },
    WorkerAttack {
        tries: "a certificate for a host key that was revoked after it had been proved",
        prepare: |scene| {
            let client = node(scene, "revoked", &[]);
            let mut revoke = scene.world.rproxy();
            revoke.args(["auth", "revoke", "--yes", "--key-id=revoked"]);
            crate::support::keys::tool(&mut revoke);
            Box::new(move |_| {
                assert_eq!(reason(client.ask_node(heartbeat())), "key-revoked");
            })
        },
        leaves: ("node.refused", "key-revoked"),
        gains: &[],
    },
    WorkerAttack {
        tries: "reports of one node without end",
        prepare: |scene| {
            let client = node(scene, "busy", &[]);
            Box::new(move |_| {
                let answers = (0..90).map(|_| client.ask_node(heartbeat()));
                let refused = answers.filter(|answer| match answer {
                    NodesAnswer::Installation(_) => false,
                    refused => {
                        assert_eq!(reason(refused.clone()), "too-often");
                        true
                    }
                });
                assert!(refused.count() >= 30);
            })
        },
        leaves: ("node.refused", "too-often"),
        gains: &[],
    },
    WorkerAttack {
        tries: "lists of tokens and nodes, and other certificates",
        prepare: |scene| {
            let client = node(scene, "asks", &[]);
            Box::new(move |scene| {
                for ask in [
                    json!("tokens"),
                    json!("list"),
                    json!("nodes"),
                    json!({"certificate": {"names": ["db1"]}}),
                    json!({"lock": "asks"}),
                    json!({"join": {"token": "x"}}),
                    json!({"tunnel": {"node": "asks"}}),
                ] {
                    assert_eq!(scene.worker.ask(&call(&client, &ask)), "", "{ask}");
                }
            })
        },
        leaves: ("call.refused", "malformed"),
        gains: &[],
    },
    WorkerAttack {
        tries: "a report that is longer than its service takes",
        prepare: |scene| {
            let client = node(scene, "long", &[]);
            Box::new(move |scene| {
                let mut long = report(&[]);
                long.labels = vec!["x".repeat(45_000)];
                let ask = serde_json::to_value(NodesQuestion::Heartbeat(long));
                let answer = scene.worker.ask(&call(&client, &ask.expect("JSON")));
                assert!(answer.ends_with("{\"refused\":\"forbidden\"}}"), "{answer}");
            })
        },
        leaves: ("call.refused", "malformed"),
        gains: &[],
    },
];

/// A connection of a host with a key of its own, which it has not proved.
fn host(scene: &Scene) -> ClaimedConnection {
    scene.client("join")
}

/// The same of a host with the key of another connection.
fn host_with(scene: &Scene, other: &ClaimedConnection) -> ClaimedConnection {
    let address = scene.address();
    scene
        .worker
        .connection_with("join", address, other.key.clone())
}

/// A host that has proved its key, and is no node.
fn proved(scene: &Scene) -> ClaimedConnection {
    let client = host(scene);
    assert_eq!(client.prove_host(), NodesAnswer::Proved(None));
    client
}

/// A host that has joined under this name, and what it was given.
fn joined(scene: &Scene, name: &str, token: &[&str]) -> (ClaimedConnection, NodeInstallation) {
    let client = proved(scene);
    let token = scene.world.node_token(token);
    match client.ask_node(join(&token, &[name])) {
        NodesAnswer::Installation(installation) => (client, installation),
        other => panic!("{other:?}"),
    }
}

fn node(scene: &Scene, name: &str, token: &[&str]) -> ClaimedConnection {
    joined(scene, name, token).0
}

fn listed(scene: &Scene, name: &str) -> Value {
    scene.world.listed_node(name).expect("it has joined")
}

fn report(names: &[&str]) -> NodeReport {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    NodeReport {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        port: 22,
        clock: now.map_or(0, |now| now.as_secs()),
        ..NodeReport::default()
    }
}

fn heartbeat() -> NodesQuestion {
    NodesQuestion::Heartbeat(report(&[]))
}

fn join(token: &str, names: &[&str]) -> NodesQuestion {
    NodesQuestion::Join {
        token: SecretText::new(token.to_owned()),
        report: report(names),
    }
}

fn reason(answer: NodesAnswer) -> String {
    refused_node(answer).reason
}

/// A call about the host on a connection, whatever is asked.
fn call(client: &ClaimedConnection, ask: &Value) -> String {
    let request = json!({"connection": client.id, "client": client.client, "ask": ask});
    let request = json!({"nodes": request});
    json!({"call": {"id": 1, "deadline_ms": u64::MAX, "request": request}}).to_string()
}

fn certificate(installation: &NodeInstallation) -> Certificate {
    let line = installation.certificate.as_ref().expect("a certificate");
    Certificate::from_openssh(line).expect("a certificate")
}

#[test]
fn hosts_are_known_by_what_they_have_proved() {
    super::withstands(ATTACKS);
}

/// What is issued is for the key that was proved, and for the names of its node: whatever else is in the
/// request.
#[test]
fn what_a_worker_gets_for_a_host_is_that_hosts() {
    let Some(scene) = Scene::new() else { return };
    let victim = node(&scene, "victim", &["--labels=env=prod"]);
    let before = listed(&scene, "victim");
    let (client, installation) = joined(&scene, "own", &["--labels=env=test"]);
    let issued = certificate(&installation);
    assert!(issued.cert_type().is_host());
    assert_eq!(issued.public_key(), client.key.public_key().key_data());
    assert_eq!(issued.key_id(), "own");
    for name in issued.valid_principals() {
        assert!(name == "own" || name.starts_with("own."), "{name}");
    }
    assert!(issued.critical_options().is_empty());
    let days = (issued.valid_before() - issued.valid_after()) / 86_400;
    assert_eq!(days, 30);
    let ledger = ["auth", "ls", "--format=json", "--connections"];
    let ledger = crate::support::keys::tool(scene.world.rproxy().args(ledger));
    assert!(ledger.contains(&issued.serial().to_string()), "{ledger}");

    let mut fields = serde_json::to_value(report(&["victim", "db1"])).expect("JSON");
    for (name, value) in [
        ("id", json!(listed(&scene, "victim")["id"])),
        ("node", json!("victim")),
        ("name", json!("victim")),
        ("fingerprint", json!(victim.fingerprint())),
        ("ttl", json!(86_400 * 3_650)),
        ("principals", json!(["root", "victim"])),
        ("tunnel", json!(true)),
        ("labels", json!(["env=prod", "role=db"])),
    ] {
        fields[name] = value;
    }
    let answer = scene
        .worker
        .ask(&call(&client, &json!({"heartbeat": fields})));
    assert!(answer.contains("\"name\":\"own\""), "{answer}");
    assert!(answer.contains("\"certificate\":null"), "{answer}");
    assert!(!answer.contains("victim"), "{answer}");
    let own = listed(&scene, "own");
    assert_eq!(own["labels"], json!(["env=test", "role=db"]));
    let mut after = listed(&scene, "victim");
    after["last_seen"] = before["last_seen"].clone();
    assert_eq!(after, before);
}

/// More connections than a worker may have: the last ones are refused, until others have ended.
#[test]
fn hosts_that_are_no_nodes_are_limited() {
    let Some(scene) = Scene::new() else { return };
    let address = scene.address();
    let (key, open) = (new_key(), |key| {
        scene.worker.connection_with("join", address, key)
    });
    let all: Vec<_> = (0..4_096)
        .map(|_| {
            let client = open(key.clone());
            assert_eq!(client.prove_host(), NodesAnswer::Proved(None));
            client
        })
        .collect();
    let one_more = open(key.clone());
    assert_eq!(reason(one_more.prove_host()), "busy");
    assert_eq!(all[0].ask_node(NodesQuestion::Close), NodesAnswer::Noted);
    assert_eq!(one_more.prove_host(), NodesAnswer::Proved(None));
}
