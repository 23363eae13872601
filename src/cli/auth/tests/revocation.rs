//! `auth revoke`, `auth krl` and `auth ls`: what they write, what ssh-keygen makes of it, and what
//! they refuse.

use serde_json::Value;

use super::*;
use crate::ca::IssuedFor;
use crate::cert::krl::{RevocationList, Why};
use crate::cli::table::Surface;
use crate::model::Serial;

/// A scene with a user certificate `alice-cert.pub` and a host certificate `db1-cert.pub`.
fn scene() -> AuthFixture {
    let scene = AuthFixture::new();
    scene.key("alice", &[]);
    scene.ok(&[
        "sign",
        "--user=alice",
        "--logins=root,deploy",
        "--public-key=DIR/alice.pub",
    ]);
    scene.ok(&["sign", "--host=db1", "--out=DIR/db1"]);
    scene
}

fn listed(scene: &AuthFixture, args: &[&str]) -> Vec<Value> {
    let args = [&["ls", "--format=json"], args].concat();
    serde_json::from_str(&scene.ok(&args)).unwrap()
}

fn serial(scene: &AuthFixture, key_id: &str) -> String {
    let all = listed(scene, &[]);
    let entry = all.iter().find(|entry| entry["key_id"] == key_id);
    entry.unwrap()["serial"].as_str().unwrap().to_owned()
}

/// Whether `ssh-keygen -Q` finds the key or certificate on the list.
fn is_revoked(scene: &AuthFixture, file: &str) -> bool {
    let asked = program("ssh-keygen", "openssh-client")
        .args(["-Q", "-f"])
        .args([scene.path("krl"), scene.path(file)])
        .output()
        .unwrap();
    let text = String::from_utf8(asked.stdout).unwrap();
    assert!(text.contains("ok") != text.contains("REVOKED"), "{text}");
    text.contains("REVOKED")
}

fn audited(scene: &AuthFixture, event: &str) -> Vec<Value> {
    let text = scene.read("state/audit.jsonl");
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    events
        .filter(|line: &Value| line["event"] == event)
        .collect()
}

#[test]
fn the_inventory_has_every_certificate_in_the_ledgers_words() {
    let scene = scene();
    let all = listed(&scene, &[]);
    assert_eq!(all.len(), 2);
    let alice = &all[0];
    assert_eq!(alice["type"], "user");
    assert_eq!(alice["key_id"], "alice");
    assert_eq!(alice["principals"], serde_json::json!(["root", "deploy"]));
    assert_eq!(alice["state"], "valid");
    assert_eq!(alice["revoked"], Value::Null);
    for key in [
        "time",
        "serial",
        "valid_after",
        "valid_before",
        "public_key",
        "ca",
        "critical_options",
    ] {
        assert!(!alice[key].is_null(), "{key}");
    }
    let table = scene.ok(&["ls"]);
    let heads = "TYPE  SERIAL";
    assert!(table.starts_with(heads), "{table}");
    assert!(table.contains("  alice   root,deploy  "), "{table}");
}

#[test]
fn what_ends_soon_is_told_apart() {
    let scene = scene();
    let ends = listed(&scene, &[])[0]["valid_before"].as_u64().unwrap();
    let list = |args: &[&str], now: u64| {
        let line = AuthCli::try_parse_from(["auth", "ls", "--format=json"].iter().chain(args));
        let AuthCommand::Ls(args) = line.unwrap().command else {
            panic!("not ls")
        };
        let text = args.list(&scene.context, now, Surface::default()).unwrap();
        let all: Vec<Value> = serde_json::from_str(&text).unwrap();
        let states = all.iter().map(|entry| entry["state"].clone());
        states.collect::<Vec<_>>()
    };
    let hour = 3_600;
    assert_eq!(list(&[], ends - 2 * hour), ["valid", "valid"]);
    assert_eq!(list(&[], ends - hour), ["expiring", "valid"]);
    assert_eq!(list(&[], ends), ["expired", "valid"]);
    assert_eq!(list(&[], 1), ["not-yet-valid", "not-yet-valid"]);
    assert_eq!(list(&["--expiring=90m"], ends - 2 * hour), [""; 0]);
    assert_eq!(list(&["--expiring=2h"], ends - 2 * hour), ["valid"]);
    assert_eq!(list(&["--expiring=53w"], ends), ["valid"]);
    scene.fails(&["ls", "--expiring=soon"], Exit::Usage);
    scene.fails(&["ls", "--expiring=1h", "--revoked"], Exit::Usage);
}

/// There are thousands of them where people sign in.
#[test]
fn certificates_of_connections_are_counted_and_listed_only_on_demand() {
    let scene = scene();
    let before = scene.ok(&["ls"]);
    let records = scene.context.config.installation(Clock::System).records;
    for number in [7, 8] {
        let mut record = records.issued.issued().unwrap().remove(0);
        record.serial = Serial::new(number).unwrap();
        record.issued_for = IssuedFor::Connection;
        assert!(records.issued.record(&record).unwrap());
    }
    let said = scene.ok(&["ls"]);
    let more = said.strip_prefix(&before).unwrap();
    assert!(more.starts_with("and 2 for connections "), "{more}");
    assert_eq!(listed(&scene, &[]).len(), 2);
    assert_eq!(listed(&scene, &["--expiring=53w"]).len(), 2);
    let all = listed(&scene, &["--connections"]);
    let count = |how: &str| all.iter().filter(|one| one["how"] == how).count();
    assert_eq!((all.len(), count("connection")), (4, 2));
    assert!(!scene.read("state/issued.jsonl").contains("connection"));
    // One of them can be revoked as any other.
    let said = scene.ok(&["revoke", "--yes", "--serial=7"]);
    assert!(said.contains("the user certificate of alice"), "{said}");
    scene.ok(&["unrevoke", "--yes", "--serial=7"]);
}

#[test]
fn a_data_directory_without_certificates_lists_none() {
    let scene = AuthFixture::new();
    assert_eq!(listed(&scene, &[]), Vec::<Value>::new());
    assert!(!scene.exists("state/issued.jsonl"), "listing makes nothing");
}

#[test]
fn a_revoked_serial_is_on_the_list_and_the_others_are_not() {
    let scene = scene();
    let number = serial(&scene, "alice");
    let flag = format!("--serial={number}");
    let said = scene.ok(&["revoke", "--yes", &flag, "--reason=laptop stolen"]);
    assert_eq!(
        said,
        format!("Revoked serial {number}, the user certificate of alice (version 1)\n")
    );
    let said = scene.ok(&["krl", "--out=DIR/krl"]);
    assert!(said.starts_with("Version 1 has been written to "), "{said}");
    assert_eq!(scene.mode("krl"), 0o644);
    assert!(is_revoked(&scene, "alice-cert.pub"));
    assert!(!is_revoked(&scene, "alice.pub"));
    assert!(!is_revoked(&scene, "db1-cert.pub"));

    let all = listed(&scene, &[]);
    assert_eq!(all[0]["state"], "revoked");
    assert_eq!(all[0]["revoked"]["reason"], "laptop stolen");
    assert_eq!(all[1]["revoked"], Value::Null);
    assert_eq!(listed(&scene, &["--revoked"]), all[..1]);
    assert!(scene.ok(&["ls"]).contains("  revoked: laptop stolen\n"));

    let events = audited(&scene, "certificate.revoked");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["serial"], number);
    assert_eq!(events[0]["message"], "laptop stolen");

    let said = scene.ok(&["revoke", "--yes", &flag, "--reason=again"]);
    assert!(said.starts_with("Revoked already: serial "), "{said}");
    assert_eq!(audited(&scene, "certificate.revoked").len(), 1);
}

/// What `jq` makes of a serial that is a number: it keeps 53 bits. Such a serial, or a name with a
/// typing error, belongs to no certificate.
#[test]
fn what_is_not_in_the_ledger_is_revoked_only_on_purpose() {
    let scene = scene();
    let listed = listed(&scene, &[]);
    let issued = audited(&scene, "certificate.issued");
    for entry in listed.iter().chain(&issued) {
        assert!(
            entry["serial"].is_string(),
            "a string keeps its digits: {entry}"
        );
    }
    let number: u64 = serial(&scene, "alice").parse().unwrap();
    let rounded = format!("--serial={}", (number ^ 1).max(1));
    let certificate = "--certificate=DIR/db1-cert.pub";
    for nobody in [rounded.as_str(), "--key-id=alcie"] {
        let failure = scene.fails(&["revoke", certificate, nobody], Exit::Failed);
        assert!(
            failure.contains("no certificate in the ledger has it"),
            "{failure}"
        );
        assert!(failure.contains("--unknown"), "{failure}");
        assert!(!scene.exists("state/revoked.jsonl"), "all or nothing");
    }
    let said = scene.ok(&["revoke", "--yes", &rounded, "--unknown"]);
    assert!(said.contains("which is not in the ledger"), "{said}");
    scene.ok(&["revoke", "--yes", "--key-id=alcie", "--unknown"]);
    scene.ok(&["revoke", "--yes", "--key-id=alice"]);
    let revoked = self::listed(&scene, &["--revoked"]);
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0]["key_id"], "alice");
    assert!(revoked[0]["revoked"].get("serial").is_none());
}

/// Earlier versions read the files, and take a serial only as a number.
#[test]
fn files_of_the_data_directory_keep_serials_as_numbers() {
    let scene = scene();
    scene.ok(&["revoke", "--yes", "--certificate=DIR/db1-cert.pub"]);
    for file in ["issued", "revoked"] {
        for line in scene.read(&format!("state/{file}.jsonl")).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            // The ledger's marks are of no certificate.
            let is_mark = line["type"] == "revocations";
            assert!(is_mark || line["serial"].is_u64(), "{line}");
        }
    }
    let all = listed(&scene, &[]);
    let host = all.iter().find(|entry| entry["key_id"] == "db1").unwrap();
    assert_eq!(host["serial"], host["revoked"]["serial"]);
}

#[test]
fn every_flag_revokes_and_several_go_together() {
    let scene = scene();
    scene.key("bob", &[]);
    scene.key("carol", &[]);
    for user in ["bob", "carol"] {
        scene.ok(&[
            "sign",
            &format!("--user={user}"),
            "--logins=root",
            &format!("--public-key=DIR/{user}.pub"),
        ]);
    }
    let fingerprint = listed(&scene, &[])[0]["public_key"].clone();
    let said = scene.ok(&[
        "revoke",
        "--yes",
        "--certificate=DIR/db1-cert.pub",
        "--key-id=bob",
        &format!("--fingerprint={}", fingerprint.as_str().unwrap()),
        "--serial=17",
        "--serial=18",
        "--unknown",
    ]);
    assert_eq!(said.lines().count(), 5, "{said}");
    assert!(said.contains("serial 17, which is not in the ledger"));
    assert!(said.contains("key id bob, which 1 certificate in the ledger has"));
    scene.ok(&["krl", "--out=DIR/krl"]);
    for (file, revoked) in [
        ("db1-cert.pub", true),
        ("db1.pub", false),
        ("bob-cert.pub", true),
        ("bob.pub", false),
        ("alice-cert.pub", true),
        ("alice.pub", true),
        ("carol-cert.pub", false),
    ] {
        assert_eq!(is_revoked(&scene, file), revoked, "{file}");
    }
    assert_eq!(listed(&scene, &["--revoked"]).len(), 3);
}

/// A certificate that everybody refuses is not signed.
#[test]
fn the_revoked_get_no_new_certificate() {
    let scene = scene();
    let fingerprint = listed(&scene, &[])[0]["public_key"].clone();
    let fingerprint = format!("--fingerprint={}", fingerprint.as_str().unwrap());
    scene.ok(&[
        "revoke",
        "--yes",
        "--key-id=mallory",
        "--unknown",
        "--reason=left",
    ]);
    scene.ok(&["revoke", "--yes", &fingerprint]);
    let sign = |user: &str, key: &str| {
        let user = format!("--user={user}");
        let key = format!("--public-key=DIR/{key}.pub");
        let args = ["sign", &user, "--logins=root", &key, "--overwrite"];
        scene
            .run(&args, false)
            .map_err(|failure| failure.to_string())
    };
    scene.key("new", &[]);
    let refused = sign("mallory", "new").unwrap_err();
    assert!(
        refused.contains("key id mallory is revoked: left"),
        "{refused}"
    );
    assert!(!scene.exists("new-cert.pub"));
    let refused = sign("bob", "alice").unwrap_err();
    assert!(refused.contains("the key of bob is revoked"), "{refused}");
    sign("alice", "new").unwrap();
}

#[test]
fn what_cannot_be_revoked_is_refused_and_nothing_is_written() {
    let scene = scene();
    scene.write("text", "not a certificate");
    scene.write("two", &scene.read("db1-cert.pub").repeat(2));
    scene.write("huge", &"A".repeat(1024 * 1024));
    let forged = scene.read("alice-cert.pub").replace("AAAA", "AAAB");
    scene.write("forged", &forged);
    let long = format!("--reason={}", "x".repeat(501));
    let own = scene.ok(&["export", "--type=user"]);
    scene.write("ca.pub", &own);
    let own = ssh_key::PublicKey::from_openssh(&own).unwrap();
    let own = format!(
        "--fingerprint={}",
        own.fingerprint(ssh_key::HashAlg::Sha256)
    );
    let cases: &[(&[&str], Exit, &str)] = &[
        (&["revoke"], Exit::Usage, "--serial"),
        (&["revoke", "--reason=why"], Exit::Usage, "--serial"),
        (&["revoke", "--serial=0"], Exit::Failed, "not a serial"),
        (&["revoke", "--serial=-1"], Exit::Failed, "not a serial"),
        (&["revoke", "--serial=1-9"], Exit::Failed, "not a serial"),
        (
            &["revoke", "--serial=18446744073709551616"],
            Exit::Failed,
            "not a serial",
        ),
        (&["revoke", "--key-id="], Exit::Failed, "a key id is a name"),
        (&["revoke", "--key-id=a\u{1b}b"], Exit::Failed, "\\u{1b}"),
        (
            &["revoke", "--fingerprint=SHA256:?"],
            Exit::Failed,
            "SHA-256",
        ),
        (&["revoke", "--fingerprint=MD5:00"], Exit::Failed, "SHA-256"),
        (&["revoke", &own], Exit::Failed, "CA in use"),
        (&["revoke", "--serial=1", &long], Exit::Failed, "500 bytes"),
        (
            &["revoke", "--serial=1", "--reason= "],
            Exit::Failed,
            "empty",
        ),
        (
            &["revoke", "--serial=1", "--reason=a\nb"],
            Exit::Failed,
            "one line",
        ),
        (
            &["revoke", "--serial=1", "--certificate=DIR/text"],
            Exit::Failed,
            "not one OpenSSH certificate",
        ),
        (
            &["revoke", "--certificate=DIR/two"],
            Exit::Failed,
            "not one OpenSSH certificate",
        ),
        (
            &["revoke", "--certificate=DIR/huge"],
            Exit::Failed,
            "larger",
        ),
        (
            &["revoke", "--certificate=DIR/alice.pub"],
            Exit::Failed,
            "not one OpenSSH certificate",
        ),
        (&["revoke", "--certificate=DIR/forged"], Exit::Failed, ""),
        (&["revoke", "--certificate=DIR/none"], Exit::Failed, "none"),
    ];
    for (args, exit, says) in cases {
        let failure = scene.fails(args, *exit);
        assert!(failure.contains(says), "{args:?}: {failure}");
    }
    assert!(!scene.exists("state/revoked.jsonl"));
    assert_eq!(audited(&scene, "certificate.revoked"), Vec::<Value>::new());
}

/// A serial of another installation, in a certificate that a foreign CA has signed.
#[test]
fn a_certificate_cannot_take_another_ones_serial_along() {
    let scene = scene();
    let number = serial(&scene, "alice");
    scene.key("their_ca", &[]);
    scene.key("mallory", &[]);
    let sign = |serial: &str| {
        let signed = program("ssh-keygen", "openssh-client")
            .args(["-q", "-s"])
            .arg(scene.path("their_ca"))
            .args(["-I", "mallory", "-n", "root", "-z", serial])
            .arg(scene.path("mallory.pub"))
            .output();
        assert_success(signed.as_ref().unwrap());
    };
    let revoke = ["revoke", "--yes", "--certificate=DIR/mallory-cert.pub"];
    sign(&number);
    let refused = scene.fails(&revoke, Exit::Failed);
    assert!(refused.contains("belongs to another"), "{refused}");
    sign("0");
    let refused = scene.fails(&revoke, Exit::Failed);
    assert!(refused.contains("--key=SHA256:"), "{refused}");
    sign("17");
    let said = scene.ok(&revoke);
    assert!(said.contains("not in the ledger"), "{said}");
}

#[test]
fn a_list_replaces_older_lists_only() {
    let scene = scene();
    let krl = ["krl", "--out=DIR/krl"];
    scene.write("krl", "");
    let said = scene.ok(&krl);
    assert!(said.starts_with("Version 0 has been written"), "{said}");
    assert!(!is_revoked(&scene, "alice.pub"));
    scene.ok(&[
        "revoke",
        "--yes",
        "--key-id=bob",
        "--key-id=carol",
        "--unknown",
    ]);
    scene.ok(&krl);
    let written = std::fs::read(scene.path("krl")).unwrap();
    assert!(scene.ok(&krl).ends_with("has version 2 already\n"));
    assert_eq!(std::fs::read(scene.path("krl")).unwrap(), written);

    let mut newer = RevocationList::decode(&written).unwrap();
    newer.version = 3;
    let newer = newer.encode().unwrap();
    let damaged = &written[..written.len() - 1];
    for (there, says) in [
        (&newer[..], "newer than version 2"),
        (damaged, "cut off"),
        (
            b"ssh-ed25519 AAAA somebody's key",
            "not an OpenSSH key revocation list",
        ),
    ] {
        let write = |bytes: &[u8]| {
            use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};
            write_whole(&scene.path("krl"), bytes, PUBLIC_FILE, Replace::Allow).unwrap();
        };
        write(there);
        let refused = scene.fails(&krl, Exit::Failed);
        assert!(refused.contains(says), "{refused}");
        assert_eq!(std::fs::read(scene.path("krl")).unwrap(), there);
    }
    scene.fails(&["krl"], Exit::Usage);
    scene.fails(&["krl", "--out=DIR/none/krl"], Exit::Failed);
    scene.fails(&["krl", "--out=DIR"], Exit::Failed);
    let _listener = std::os::unix::net::UnixListener::bind(scene.path("device")).unwrap();
    let refused = scene.fails(&["krl", "--out=DIR/device"], Exit::Failed);
    assert!(refused.contains("is no regular file"), "{refused}");
    assert!(!scene.path("device").metadata().unwrap().is_file());
}

#[test]
fn what_is_signed_is_audited() {
    let scene = scene();
    let events = audited(&scene, "certificate.issued");
    let all = listed(&scene, &[]);
    assert_eq!(events.len(), all.len());
    for (event, entry) in events.iter().zip(&all) {
        assert_eq!(event["serial"], entry["serial"]);
        assert_eq!(event["fingerprint"], entry["public_key"]);
        assert_eq!(event["ca_fingerprint"], entry["ca"]);
    }
}

/// The list that is written is the one that the proxy goes by.
#[test]
fn the_list_names_the_cluster_and_its_version() {
    let scene = scene();
    scene.ok(&[
        "revoke",
        "--yes",
        "--serial=17",
        "--key-id=bob",
        "--unknown",
    ]);
    scene.ok(&["krl", "--out=DIR/krl"]);
    let list = RevocationList::decode(&std::fs::read(scene.path("krl")).unwrap()).unwrap();
    assert_eq!(list.version, 2);
    assert_eq!(list.comment, "rproxy example.com");
    let certificate = scene.read("alice-cert.pub");
    let certificate = ssh_key::Certificate::from_openssh(&certificate).unwrap();
    assert_eq!(list.why_certificate(&certificate), None::<Why>);
}

#[test]
fn revoking_shows_what_is_hit_and_asks() {
    let scene = scene();
    let asked = scene.fails(&["revoke", "--key-id=alice"], Exit::Failed);
    assert!(
        asked.contains("nothing is revoked") && asked.contains("--yes"),
        "{asked}"
    );
    assert!(!scene.exists("state/revoked.jsonl"));
    let hits = revoke::Hits::read(&client::AuthClient::new(&scene.context), &[]).unwrap();
    let shown = hits.of(&crate::ca::Revoked::of_key_id("alice".to_owned()));
    for part in [
        "which 1 certificate in the ledger has",
        &format!(
            "user alice, serial {}, for root,deploy, until ",
            serial(&scene, "alice")
        ),
        "of people and hosts with this key id to come",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    scene.run(&["revoke", "--key-id=alice"], true).unwrap();
    assert_eq!(listed(&scene, &["--revoked"]).len(), 1);
}

#[test]
fn a_name_of_a_person_and_a_host_is_revoked_as_the_one_that_is_meant() {
    let scene = scene();
    let sign = [
        "sign",
        "--user=db1",
        "--logins=root",
        "--public-key=DIR/alice.pub",
    ];
    scene.ok(&[&sign[..], &["--overwrite"]].concat());
    let refused = scene.fails(&["revoke", "--yes", "--key-id=db1"], Exit::Failed);
    assert!(refused.contains("--type=user or --type=host"), "{refused}");
    let said = scene.ok(&["revoke", "--yes", "--key-id=db1", "--type=user"]);
    assert!(said.contains("user key id db1"), "{said}");
    scene.ok(&["krl", "--out=DIR/krl"]);
    assert!(is_revoked(&scene, "alice-cert.pub"));
    assert!(!is_revoked(&scene, "db1-cert.pub"));
    scene.fails(&[&sign[..], &["--overwrite"]].concat(), Exit::Failed);
    scene.ok(&["sign", "--host=db1", "--out=DIR/db1", "--overwrite"]);
}

#[test]
fn a_mistake_is_lifted_and_said_to_be_one() {
    let scene = scene();
    scene.ok(&[
        "revoke",
        "--yes",
        "--unknown",
        "--key-id=alice",
        "--serial=17",
    ]);
    scene.ok(&["krl", "--out=DIR/krl"]);
    assert!(is_revoked(&scene, "alice-cert.pub"));
    let lift = ["unrevoke", "--key-id=alice", "--reason=wrong alice"];
    scene.fails(&lift, Exit::Failed);
    let said = scene.run(&lift, true).unwrap();
    assert!(said.contains("Revoked no more: key id alice"), "{said}");
    assert!(
        said.contains("(version 3)") && said.contains("auth krl"),
        "{said}"
    );
    scene.ok(&["krl", "--out=DIR/krl"]);
    assert!(!is_revoked(&scene, "alice-cert.pub"));
    assert_eq!(listed(&scene, &["--revoked"]).len(), 0);
    let events = audited(&scene, "revocation.lifted");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["key_id"], "alice");
    assert_eq!(events[0]["message"], "wrong alice");
    let again = scene.fails(&lift, Exit::Failed);
    assert!(again.contains("is not revoked"), "{again}");
    let sign = [
        "sign",
        "--user=alice",
        "--logins=root",
        "--public-key=DIR/alice.pub",
    ];
    scene.ok(&[&sign[..], &["--overwrite"]].concat());
}

/// For a lost laptop: the key, not the person.
#[test]
fn a_key_is_named_by_its_file_or_its_fingerprint() {
    let scene = scene();
    scene.ok(&["revoke", "--yes", "--key=DIR/alice.pub"]);
    assert_eq!(listed(&scene, &["--revoked"]).len(), 1);
    scene.key("new", &[]);
    scene.ok(&[
        "sign",
        "--user=alice",
        "--logins=root",
        "--public-key=DIR/new.pub",
    ]);
    scene
        .run(&["unrevoke", "--key=DIR/alice.pub"], true)
        .unwrap();
    assert_eq!(listed(&scene, &["--revoked"]).len(), 0);
}

#[test]
fn damaged_revocations_are_published_nowhere() {
    let scene = scene();
    scene.ok(&["revoke", "--yes", "--key-id=alice"]);
    scene.ok(&["revoke", "--yes", "--unknown", "--key-id=bob"]);
    // As an earlier version leaves it, which has no state.
    std::fs::remove_file(scene.path("state/state.db")).unwrap();
    let text = scene.read("state/revoked.jsonl");
    scene.write("state/revoked.jsonl", &text.replacen("key_id", "kex_id", 1));
    for command in [
        &["krl", "--out=DIR/krl"][..],
        &["ls"],
        &["revoke", "--yes", "--unknown", "--key-id=carol"],
        &["sign", "--host=db2", "--out=DIR/db2"],
    ] {
        let refused = scene.fails(command, Exit::Failed);
        assert!(refused.contains("line 1 of "), "{refused}");
        assert!(refused.contains("from a backup"), "{refused}");
    }
    assert!(!scene.exists("krl") && !scene.exists("db2"));
}
