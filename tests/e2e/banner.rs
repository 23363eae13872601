//! Banners of hosts and of the proxy, which users read when they log in.

use std::path::Path;

use crate::support::{HostKey, World};

/// A world whose host has this banner, which is written once its directory is known.
fn world(more: &str) -> World {
    World::with()
        .tuned_node(
            "db1",
            HostKey::Certified,
            &format!("Banner {}\n{more}", place().display()),
        )
        .start()
}

/// Where sshd reads its banner: one file for each test, by its thread's name.
fn place() -> std::path::PathBuf {
    let name = std::thread::current()
        .name()
        .unwrap_or_default()
        .replace("::", "-");
    std::env::temp_dir().join(format!("rp-banner-{}-{name}", std::process::id()))
}

/// Removes the file at the end.
struct Banner;

impl Banner {
    fn write(text: &[u8]) -> Self {
        std::fs::write(place(), text).expect("writable");
        Self
    }
}

impl Drop for Banner {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(place());
    }
}

/// Banners of every size arrive unchanged. The capacity of a pipe is the limit here: the `ssh` of
/// the ProxyCommand makes stderr, which both share, non-blocking.
#[test]
fn a_hosts_banner_reaches_the_user_whole() {
    let world = world("");
    for size in [0, 10, 1_000, 60_000] {
        let text = "abcdefghi\n".repeat(size / 10);
        let _banner = Banner::write(text.as_bytes());
        let outcome = world.run("db1", "echo in").success();
        assert_eq!(outcome.text(), "in\n");
        assert!(
            outcome.stderr == text,
            "{size}: {} bytes",
            outcome.stderr.len()
        );
        let jump = crate::jump::config(&world);
        let outcome = world
            .program("ssh")
            .args(["-F", &jump, "-A", "db1", "echo in"])
            .run()
            .success();
        assert_eq!(outcome.text(), "in\n");
        assert!(
            outcome.stderr == text,
            "{size}: {} bytes by jump",
            outcome.stderr.len()
        );
    }
    let _banner = Banner::write(b"abcdefghi\n");
    let quiet = world.ssh().args(["-q", "db1", "true"]).run().success();
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_banner_comes_before_a_denial() {
    let _banner = Banner::write(b"keep out\n");
    let world = world("DenyUsers *\n");
    for by_jump in [false, true] {
        let outcome = match by_jump {
            false => world.run("db1", "true"),
            true => {
                let jump = crate::jump::config(&world);
                world
                    .program("ssh")
                    .args(["-F", &jump, "-A", "db1", "true"])
                    .run()
            }
        };
        assert_eq!(outcome.code(), 255);
        let told = &outcome.stderr;
        let (banner, refusal) = (told.find("keep out\n"), told.find("rproxy: host auth"));
        assert!(banner.is_some() && banner < refusal, "{told}");
    }
}

#[test]
fn a_banner_is_harmless_and_recorded_as_it_was_read_and_sent() {
    let hostile = "\u{1b}]0;title\u{7}wel\u{202e}come\u{200b}\r\n\u{9b}2J".as_bytes();
    let hostile = [hostile, b"\xa0\xff"].concat();
    let _banner = Banner::write(&hostile);
    let world = world("");
    let outcome = world.run("db1", "true").success();
    assert!(
        outcome.stderr.starts_with("]0;titlewelcome\n2J"),
        "{}",
        outcome.stderr
    );
    let events = events(&world);
    assert!(events.contains(r#"]0;titlewelcome\n2J"#), "{events}");
    let hex: String = hostile.iter().map(|byte| format!("{byte:02x}")).collect();
    let exact = format!(r#""text_hex":"{hex}""#);
    assert!(events.contains(&exact), "{events}");
}

/// The proxy's banner, with ProxyCommand and ProxyJump, before the host's.
#[test]
fn the_operators_banner_is_read_by_everybody_and_recorded() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("banner");
    std::fs::write(&file, "sessions here are recorded\n").expect("writable");
    let world = with_banner_file(&file);
    let outcome = world.run("db1", "true").success();
    assert_eq!(outcome.stderr.trim_end(), "sessions here are recorded");
    assert!(events(&world).contains("sessions here are recorded"));
    let jump = crate::jump::config(&world);
    let jumped = ["-F", &jump, "-A", "db1", "true"];
    let outcome = world.program("ssh").args(jumped).run().success();
    assert_eq!(outcome.stderr.trim_end(), "sessions here are recorded");

    std::fs::write(&file, "another text\n").expect("writable");
    let event = world.reconfigure(str::to_owned);
    assert_eq!(event["event"], "configuration.reloaded", "{event:#}");
    let outcome = world.run("db1", "true").success();
    assert_eq!(outcome.stderr.trim_end(), "another text");
}

fn with_banner_file(file: &Path) -> World {
    World::with()
        .proxy_setting(&format!("banner_file: {}", file.display()))
        .start()
}

fn events(world: &World) -> String {
    let recording = world.finished_recording();
    world.exported_as_json(&recording)
}
