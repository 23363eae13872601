//! How much memory authenticated clients can make the proxy use: the bounds of ARCHITECTURE.md,
//! measured.

use std::time::Duration;

use crate::support::World;
use crate::support::double::Peer;
use crate::support::payload::{IGNORE, Payload, REQUEST};
use crate::support::proxy::peak_of;
use crate::support::world::login;

use super::{Bystander, Inner};

/// Ignored messages before each message that is kept.
const NOISE: usize = 112 * 1024;
/// By how much the proxy may grow in such an attack, in KiB. Each attack sends several times as
/// much, and the proxy would hold that if a byte kept the buffer of its read.
const BOUND: u64 = 64 * 1024;

fn noise() -> Payload {
    Payload::new(IGNORE).string(vec![0; NOISE])
}

/// By how much the proxy has grown at most since it had so many KiB.
fn growth(world: &World, before: u64, what: &str) -> u64 {
    let grown = peak_of(world.proxy_pid()).saturating_sub(before);
    println!("{what}: {grown} KiB held at most");
    grown
}

/// A channel without a request, which gets a byte after very many ignored messages, over and over.
#[test]
fn a_byte_on_a_channel_without_a_purpose_keeps_nothing_else() {
    const BYTES: usize = 1_500;
    let world = World::new();
    let bystander = Bystander::start(&world);
    let mut client = Peer::connect(world.address());
    client.log_in(&login(), &world.user.key);
    let channel = client.open_session(0, 1 << 20, 1 << 15);
    let before = peak_of(world.proxy_pid());
    for _ in 0..BYTES {
        client.queue(&noise());
        client.send(&Payload::data(channel.recipient, b"x"));
    }
    client.catch_up();
    assert!(growth(&world, before, "bytes without a purpose") < BOUND);
    // Before a request, the channel accepts only little data.
    let more = vec![0; 15 * 1024];
    client.send(&Payload::data(channel.recipient, &more));
    let end = client.end();
    assert!(end.contains("data beyond the window"), "{end}");
    bystander.unharmed();
}

/// Variables for sessions that never start, each after very much that is ignored.
#[test]
fn an_environment_keeps_nothing_else() {
    const SESSIONS: u32 = 10;
    const VARIABLES: u32 = 120;
    let world = World::new();
    let bystander = Bystander::start(&world);
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let before = peak_of(world.proxy_pid());
    for number in 0..SESSIONS {
        let channel = peer.open_session(number, 1 << 20, 1 << 15);
        for variable in 0..VARIABLES {
            peer.queue(&noise());
            let request = Payload::new(REQUEST)
                .u32(channel.recipient)
                .string("env")
                .flag(false)
                .string(format!("LC_{variable}"))
                .string("C");
            peer.send(&request);
        }
    }
    peer.catch_up();
    assert!(growth(&world, before, "variables") < BOUND);
    drop(inner);
    bystander.unharmed();
}

/// The sessions of one user grant the host the largest window, and read nothing. The proxy may have
/// 512 MiB, of which this user may have 64 MiB. In the end, new sessions of the user are refused,
/// existing ones go on, and other users notice nothing.
#[test]
fn windows_that_are_never_read() {
    const LIMIT: u32 = 512 * 1024;
    const PERSON: u64 = 64 * 1024;
    let world = World::with()
        .data_limit(LIMIT)
        .alone()
        .time_limit(Duration::from_secs(400))
        .start();
    let mallory = world.another_user("mallory");
    let mut bystander = Bystander::start(&world);
    let before = peak_of(world.proxy_pid());
    let mut deaf = Vec::new();
    // Compressors are freed after a second, so that the budget may have room again.
    let (refused, stock) = loop {
        match Inner::log_in_as(&world, &mallory, "db1") {
            Ok(mut inner) => {
                let channel = inner.peer.open_session(0, u32::MAX, 1 << 15);
                inner.peer.exec(channel, "exec cat /dev/zero");
                deaf.push(inner);
            }
            Err(refused) => {
                let stock = world.ssh_as(&mallory).args(["db1", "true"]).run();
                if stock.code() != 0 {
                    break (refused, stock);
                }
            }
        }
        bystander.speak();
        assert!(deaf.len() < 200, "as many as that hold 64 MiB");
    };
    println!("{} sessions that read nothing", deaf.len());
    let reason = "hold as much of the proxy's memory as one person may";
    assert!(refused.contains(reason), "{refused}");
    assert_eq!(stock.code(), 255);
    assert!(stock.stderr.contains(reason), "{}", stock.stderr);
    let reasons: Vec<_> = world
        .refusals()
        .into_iter()
        .map(|one| one["reason"].clone())
        .collect();
    assert!(
        reasons
            .iter()
            .any(|reason| reason == "too-much-memory-of-user"),
        "{reasons:?}"
    );
    // The user's budget, and half as much again, because buffers grow by doubling.
    let grown = growth(&world, before, "windows that are never read");
    assert!(grown < PERSON * 3 / 2, "{grown} KiB");
    // Other users are not limited.
    let other = world.run("db1", "head -c 5M /dev/zero").success();
    assert_eq!(other.stdout.len(), 5 << 20);
    // A session that reads its data goes on, whatever the user's other sessions do.
    let one = deaf.pop().expect("there are some");
    drop(deaf);
    world.eventually("there is room again", || {
        let again = world.ssh_as(&mallory).args(["db1", "echo again"]).run();
        (again.text() == "again\n").then_some(())
    });
    drop(one);
    bystander.speak();
    bystander.session.finish().success();
}
