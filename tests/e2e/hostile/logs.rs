//! Peers that try to fill the disk with log lines about them: the lines are bounded in bytes, and
//! the rest is written as a sum.

use crate::support::hostile::offer;
use crate::support::payload::{Payload, REQUEST};
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{World, keys};

use super::{Bystander, Inner};

/// The sizes of the audit log and of the program's log.
fn sizes(world: &World) -> [u64; 2] {
    let size = |path| std::fs::metadata(path).map_or(0, |file| file.len());
    [
        size(world.data().join("audit.jsonl")),
        size(world.dir().join("rproxy.log")),
    ]
}

/// By how much both have grown since then, in bytes.
fn growth(world: &World, before: [u64; 2]) -> [u64; 2] {
    let [audit, log] = sizes(world);
    [audit - before[0], log - before[1]]
}

/// How many refusals with this reason the log has: in lines, and in sums that name `by`.
fn refused(world: &World, reason: &str, by: (&str, &str)) -> (u64, u64) {
    let (event_name, word) = reason.split_once('/').expect("event and reason");
    let (mut lines, mut counted) = (0, 0);
    for event in world.audit() {
        if event["event"] == event_name && event["reason"] == word {
            lines += 1;
        }
        if text(&event, "event") == "refusals.counted" {
            assert_eq!(event[by.0], by.1, "{event:#}");
            counted += event["counts"][reason].as_u64().unwrap_or_default();
        }
    }
    (lines, counted)
}

/// A certificate of the attacker's own CA with a key id of 4 KiB of control characters, over and
/// over, from several connections at once.
#[test]
fn a_strangers_key_id_does_not_fill_the_disk() {
    const THREADS: u64 = 4;
    const OFFERS: u64 = 60;
    let world = World::new();
    let bystander = Bystander::start(&world);
    let key = world.dir().join("stranger");
    let authority = world.dir().join("stranger_ca");
    keys::generate(&key);
    keys::generate(&authority);
    keys::sign(&authority, &"\u{1}".repeat(4096), &login(), &[], &key);
    let certificate = ssh_key::Certificate::read_file(&keys::with_suffix(&key, "-cert.pub"));
    let certificate = certificate.expect("a certificate");
    assert_eq!(certificate.key_id().len(), 4096);
    let certificate = certificate.to_bytes().expect("it has bytes");

    let before = sizes(&world);
    let (address, login) = (world.address(), login());
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                for _ in 0..OFFERS {
                    assert!(!offer(address, &login, &key, &certificate).accepted);
                }
            });
        }
    });
    let [audit, log] = growth(&world, before);
    println!(
        "{} offers: {audit} bytes of audit, {log} of log",
        THREADS * OFFERS
    );
    // Written out they would be 24 KiB each, twice. An address has 16 KiB for every minute, of which there
    // may be several on a slow machine.
    assert!(audit < 128 << 10, "{audit}");
    assert!(log < 256 << 10, "{log}");
    bystander.unharmed();

    world.stop_proxy();
    let strangers = ("client_ip", "127.0.0.1");
    let (lines, counted) = refused(&world, "auth.failure/unknown-authority", strangers);
    assert!(
        lines > 0 && counted > lines,
        "{lines} lines, {counted} counted"
    );
    assert_eq!(lines + counted, THREADS * OFFERS, "none is lost");
}

/// Refused requests of a client with a certificate, each with a long name of control characters.
#[test]
fn refused_requests_of_a_person_do_not_fill_the_disk() {
    const REQUESTS: u64 = 4_000;
    let world = World::new();
    let bystander = Bystander::start(&world);
    let before = sizes(&world);
    let mut inner = Inner::log_in(&world, "db1");
    let channel = inner.peer.open_session(0, 1 << 20, 1 << 15);
    let name = [1; 200];
    for _ in 0..REQUESTS {
        let request = Payload::new(REQUEST).u32(channel.recipient).string("env");
        inner
            .peer
            .send(&request.flag(false).string(name).string("x"));
    }
    // The session works.
    inner.peer.exec(channel, "true");
    drop(inner);
    let [audit, log] = growth(&world, before);
    println!("{REQUESTS} requests: {audit} bytes of audit, {log} of log");
    // Written out, each would be 2 KB, twice. A user has 1 MiB per minute.
    assert!(audit < 3 << 20, "{audit}");
    assert!(log < 3 << 20, "{log}");
    bystander.unharmed();

    world.stop_proxy();
    let (lines, counted) = refused(&world, "channel.refused/not-permitted", ("user", "alice"));
    assert!(
        lines > 0 && counted > lines,
        "{lines} lines, {counted} counted"
    );
    assert_eq!(lines + counted, REQUESTS, "none is lost");
}
