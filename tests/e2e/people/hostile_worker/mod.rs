//! The worker is taken over: an attacker speaks with the real monitor and the real auth process as the
//! worker does, and tries to sign in as others, to get certificates, to read secrets, to spend an
//! invitation twice, to guess; and to join, report and open tunnels as hosts that it is not. Nothing of it works, and each attempt is in the audit log.

mod certificates;
mod conversations;
mod floods;
mod guesses;
mod hosts;
mod messages;
mod proofs;
mod proxies;
mod scene;

use scene::{Scene, WorkerAttack};

/// Tries these attacks in a world of their own.
fn withstands(attacks: &[WorkerAttack]) {
    if let Some(scene) = Scene::new() {
        scene.withstands(attacks);
    }
}

/// The attacks differ, and are as many as it takes.
#[test]
fn there_are_more_than_fifty_attacks() {
    let all = [
        proofs::ATTACKS,
        conversations::ATTACKS,
        certificates::ATTACKS,
        guesses::ATTACKS,
        messages::ATTACKS,
        hosts::ATTACKS,
        proxies::ATTACKS,
    ];
    let names: Vec<_> = all.iter().copied().flatten().map(|one| one.tries).collect();
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    assert!(names.len() > 50, "{}", names.len());
}
