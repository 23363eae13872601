//! Host certificates that expire soon: rproxy warns once a day.

use serde_json::Value;

use crate::support::recordings::text;
use crate::support::{HostKey, World, keys};

fn warnings(world: &World) -> Vec<Value> {
    let mut audit = world.audit();
    audit.retain(|event| event["event"] == "host_certificate.expiring");
    audit
}

fn status(world: &World, args: &[&str]) -> String {
    keys::tool(world.rproxy().args(["auth", "status"]).args(args))
}

/// The proxy sees such a certificate several times and warns once; `auth status` warns each time.
#[test]
fn the_proxy_tells_once() {
    let world = World::with()
        .node("db1", HostKey::Ending)
        .node("db2", HostKey::Certified)
        .start();
    for host in ["db1", "db2", "db1"] {
        world.run(host, "true").success();
    }
    let told = world.eventually("the warning", || warnings(&world).pop());
    assert_eq!(text(&told, "code"), "RP3003W");
    assert_eq!(text(&told, "host"), "db1");
    assert_eq!(text(&told, "seen_by"), "proxy");
    assert_eq!(told["serial"], "7");
    assert!(text(&told, "valid_before").ends_with('Z'));
    let shown = status(&world, &[]);
    let warning = "  warning: the host certificate expires in 10 days\n";
    assert_eq!(shown.matches(warning).count(), 1, "{shown}");
    assert_eq!(warnings(&world).len(), 1);
}

/// `auth status` sees the certificate first.
#[test]
fn the_status_tells_too() {
    let world = World::with().node("db1", HostKey::Ending).start();
    for _ in 0..2 {
        let shown: Value = serde_json::from_str(&status(&world, &["--format=json"])).expect("JSON");
        assert_eq!(shown["nodes"][0]["host_certificate"]["ends_soon"], true);
    }
    world.run("db1", "true").success();
    let told = warnings(&world);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(text(&told[0], "seen_by"), "auth status");
}
