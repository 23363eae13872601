//! A disk that fills up: the reserve is for live recordings.

use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::metrics;
use crate::support::hostile::offer;
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{World, keys, namespace, skipped};

/// Size of the disk, in MiB. A fiftieth of it is reserved: 655 KiB.
const DISK: u32 = 32;
/// How much is free once the disk is filled, in bytes: less than the reserve.
const LEFT: u64 = 500 << 10;

fn free(path: &Path) -> u64 {
    let space = rustix::fs::statvfs(path).expect("a file system");
    space.f_bavail * space.f_frsize
}

fn audit(data: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(data.join("audit.jsonl")).expect("it is there");
    let line = |line| serde_json::from_str(line).expect("JSON");
    text.lines().map(line).collect()
}

fn recordings(data: &Path) -> Vec<PathBuf> {
    let mut files = keys::files(&data.join("recordings"));
    files.sort();
    files
}

/// With less than the reserve free, no recording begins, and unauthenticated clients cause no audit
/// lines. A live session goes on in strict mode, and its recording is complete.
#[test]
fn the_last_of_it_is_for_recordings_that_run() {
    if !namespace::may_mount() {
        skipped::cannot("a disk of its own takes root, and a kernel that allows it");
        return;
    }
    let world = World::with()
        .disk(DISK)
        .proxy_setting("metrics_listen_addr: 127.0.0.1:0")
        .start();
    let data = world.data_on_disk();
    let mut session = world.ssh().args(["db1", "cat"]).start();
    let mut said = Vec::new();
    let mut speak = |bytes: &[u8]| {
        let stdin = session.stdin.as_mut().expect("a session");
        stdin.write_all(bytes).expect("the session goes on");
        assert_eq!(session.read(bytes.len()), bytes);
        said.extend_from_slice(bytes);
    };
    speak(b"before\n");
    let own = recordings(&data).pop().expect("the session is recorded");

    let filler = vec![0; usize::try_from(free(&data) - LEFT).expect("a small disk")];
    std::fs::write(data.join("filler"), filler).expect("there is room for it");
    assert!(
        free(&data) <= LEFT && free(&data) > LEFT / 2,
        "{}",
        free(&data)
    );

    // The proxy checks the free space once a second: until then sessions may begin.
    let (refused, begun) = world.eventually("a session is refused", || {
        let before = recordings(&data).len();
        let outcome = world.run("db1", "echo unrecorded");
        (outcome.code() != 0).then_some((outcome, before))
    });
    assert!(!refused.text().contains("unrecorded"));
    assert!(
        refused.stderr.contains("rproxy: proxy: "),
        "{}",
        refused.stderr
    );
    assert_eq!(recordings(&data).len(), begun, "none was begun");

    let stranger = world.dir().join("stranger");
    let authority = world.dir().join("stranger_ca");
    keys::generate(&stranger);
    keys::generate(&authority);
    keys::sign(&authority, "mallory", &login(), &[], &stranger);
    let certificate = ssh_key::Certificate::read_file(&keys::with_suffix(&stranger, "-cert.pub"));
    let certificate = certificate
        .and_then(|one| one.to_bytes())
        .expect("readable");
    // Sessions that began above may end meanwhile, which adds lines to the log.
    let failures = || {
        let failed = |event: &&Value| event["event"] == "auth.failure";
        audit(&data).iter().filter(failed).count()
    };
    // The proxy decides after the client has disconnected: the metrics show when.
    let decided = || {
        let scrape = metrics::scrape(&world);
        let refusals = scrape
            .iter()
            .filter(|(name, _)| name.starts_with("rproxy_refusals_total{"));
        refusals.map(|(_, count)| *count).sum::<f64>()
    };
    let offers = Cell::new(0);
    let is_counted_only = || {
        let (written, before) = (failures(), decided());
        assert!(!offer(world.address(), &login(), &stranger, &certificate).accepted);
        offers.set(offers.get() + 1);
        world.eventually("it is decided", || (decided() > before).then_some(()));
        failures() == written
    };
    // The audit log checks it once a second, too.
    world.eventually("strangers have none of what is left", || {
        is_counted_only().then_some(())
    });
    assert!(is_counted_only() && is_counted_only());
    let written = failures();

    // Incompressible, and together a large part of the free space.
    for round in 0..20_u32 {
        let mut bytes = vec![0; 8 << 10];
        rand::fill(&mut bytes[..]);
        bytes[..4].copy_from_slice(&round.to_be_bytes());
        speak(&bytes);
    }
    session.finish().success();
    let ended = world.eventually("the session has ended", || {
        let id = own.file_name().expect("a file").to_string_lossy();
        let ended = |event: &Value| {
            event["event"] == "session.end" && id.starts_with(text(event, "session"))
        };
        audit(&data).into_iter().find(ended)
    });
    assert_eq!(ended["recording"], "complete", "{ended:#}");
    let copy = world.dir().join("copy.cast.zst");
    std::fs::copy(&own, &copy).expect("there is room elsewhere");
    let stored = keys::tool_bytes(
        world
            .rproxy()
            .args(["recordings", "export", "--format=raw", "--stream=stdout"])
            .arg(&copy),
    );
    assert!(stored == said, "{} bytes of {}", stored.len(), said.len());

    // There is free space again, and sessions begin as before.
    std::fs::remove_file(data.join("filler")).expect("our own file");
    assert_eq!(
        world.run("db1", "echo recorded").success().text(),
        "recorded\n"
    );
    // The sums are written at the proxy's exit at the latest.
    let log = std::fs::File::open(data.join("audit.jsonl")).expect("it is there");
    world.stop_proxy();
    let log = std::io::read_to_string(log).expect("it is still open");
    let sums = log.lines().filter(|line| line.contains("refusals.counted"));
    let sums: Vec<Value> = sums
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let counted: u64 = sums
        .iter()
        .flat_map(|sum| {
            let counts = sum["counts"].as_object().expect("counts by reason");
            counts
                .values()
                .map(|count| count.as_u64().unwrap_or_default())
                .collect::<Vec<_>>()
        })
        .sum();
    let refused = u64::try_from(offers.get() - written).expect("all were refused");
    assert_eq!(counted, refused, "{sums:#?}");
}
