//! Techniques to evade recording, and advisories about programs of this kind: each is recorded
//! completely, or refused and audited.
//!
//! `docs/THREATS.md` has the result of each; the last test here compares the two.

mod advisories;
mod agents;
mod channels;
mod groups;
mod techniques;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::World;
use crate::support::double::{Channel, Peer, Pipes};
use crate::support::payload::{FAILURE, Payload, REQUEST, SUCCESS};

/// Checks all streams of the one session.
fn recorded(world: &World, stdin: &[u8], stdout: &[u8], stderr: &[u8]) -> Value {
    let recording = world.finished_recording();
    for (stream, bytes) in [("stdin", stdin), ("stdout", stdout), ("stderr", stderr)] {
        let stored = world.exported(&recording, stream);
        assert!(
            stored == bytes,
            "{stream}: {:?}, not {:?}",
            String::from_utf8_lossy(&stored),
            String::from_utf8_lossy(bytes)
        );
    }
    recording
}

/// This many recordings, all of them complete.
fn all_complete(world: &World, count: usize) -> Vec<Value> {
    world.eventually("all recordings are complete", || {
        let recordings = world.recordings();
        let complete = recordings.iter().filter(|one| one["state"] == "complete");
        (complete.count() == count && recordings.len() == count).then_some(recordings)
    })
}

/// Sends a request on a channel; the number of the reply.
fn ask_channel(peer: &mut Peer<Pipes>, channel: Channel, name: &str, fields: &[&str]) -> u8 {
    let request = Payload::new(REQUEST)
        .u32(channel.recipient)
        .string(name)
        .flag(true);
    let request = fields
        .iter()
        .fold(request, |request, field| request.string(field));
    peer.send(&request);
    peer.expect(&[SUCCESS, FAILURE])[0]
}

/// The tests of this room, by their files.
const SOURCES: &[(&str, &str)] = &[
    ("advisories", include_str!("advisories.rs")),
    ("agents", include_str!("agents.rs")),
    ("channels", include_str!("channels.rs")),
    ("groups", include_str!("groups.rs")),
    ("techniques", include_str!("techniques.rs")),
];

/// The source of a module of the tests here, or of the program.
fn source(module: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = module.replace("::", "/");
    let in_tests = root.join("tests/e2e").join(&path);
    [in_tests, root.join("src").join(&path)]
        .iter()
        .flat_map(|path| [path.with_extension("rs"), path.join("mod.rs")])
        .find_map(|path| std::fs::read_to_string(path).ok())
}

/// Every test that the documentation names exists, and every test here is named there; it has a row
/// for each technique and each group.
#[test]
fn the_documentation_names_these_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/THREATS.md")).expect("the page is there");
    let named: BTreeSet<&str> = page.split('`').filter(|word| word.contains("::")).collect();
    assert!(named.len() > 80, "{named:?}");
    for name in &named {
        let (module, test) = name.rsplit_once("::").expect("it has one");
        let source = source(module).unwrap_or_else(|| panic!("{name}: there is no such module"));
        assert!(
            source.contains(&format!("fn {test}(")),
            "{name} does not exist"
        );
    }
    for (module, source) in SOURCES {
        for (before, line) in source.lines().zip(source.lines().skip(1)) {
            let test = line
                .strip_prefix("fn ")
                .and_then(|rest| rest.split_once("()"));
            let (true, Some((test, _))) = (before == "#[test]", test) else {
                continue;
            };
            let name = format!("threats::{module}::{test}");
            assert!(
                named.contains(name.as_str()),
                "{name} is not in docs/THREATS.md"
            );
        }
    }
    let rows = (1..=30).map(|number| format!("| A{number} |"));
    for row in rows.chain((1..=15).map(|number| format!("| T{number} |"))) {
        assert!(page.contains(&row), "{row} is missing");
    }
}
