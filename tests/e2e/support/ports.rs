//! Ports for programs that want to be told which one to listen on.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// The smallest port that is given out.
const LOWEST: u32 = 10_000;
/// Where the kernel begins with ports for connections and for listeners on port 0, unless it says
/// otherwise.
const USUAL_EPHEMERAL: u32 = 32_768;

/// A port of loopback at which no program listens. It is given out once, and the kernel gives it to
/// no connection and to no listener on port 0: it stays free until the test uses it.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = first_ephemeral().saturating_sub(LOWEST);
    assert!(count > 1_000, "the kernel gives out ports from {LOWEST} on");
    // Tests of another process begin elsewhere.
    let first = std::process::id().wrapping_mul(997);
    for _ in 0..count {
        let number = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(LOWEST + number % count).expect("a port");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {LOWEST} on");
}

fn first_ephemeral() -> u32 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.unwrap_or_default();
    let first = range.split_whitespace().next();
    first
        .and_then(|first| first.parse().ok())
        .unwrap_or(USUAL_EPHEMERAL)
}
