//! Questions of an auditor: which account has read a recording, which one had a certificate signed,
//! what was changed in the configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::recordings::{file, text};
use crate::support::world::login;
use crate::support::{World, keys, programs};

/// `rproxy` as an administrator runs it: by sudo, as carol.
fn administer(world: &World, args: &[&str]) -> Output {
    let mut command = world.rproxy();
    command.env("SUDO_USER", "carol").args(args);
    command.output().expect("rproxy starts")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The reads of carol; the test itself lists recordings too.
fn reads(world: &World) -> Vec<Value> {
    let mut events = world.events("recording.read");
    events.retain(|event| event["sudo_user"] == "carol");
    events
}

fn assert_by_carol(event: &Value) {
    assert_eq!(text(event, "by"), login(), "{event:#}");
    assert_eq!(
        event["uid"],
        rustix::process::getuid().as_raw(),
        "{event:#}"
    );
    assert_eq!(event["sudo_user"], "carol", "{event:#}");
}

#[test]
fn whoever_reads_a_recording_is_in_the_audit_log() {
    let world = World::new();
    world.run("db1", "echo seen").success();
    let recording = world.finished_recording();
    let (id, path) = (text(&recording, "id"), file(&recording).to_string_lossy());

    let played = administer(&world, &["play", id]);
    assert_eq!(played.stdout, b"seen\n", "{}", told(&played));
    let by_path = administer(&world, &["recordings", "export", "--format=text", &path]);
    assert!(by_path.status.success(), "{}", told(&by_path));
    let listed = administer(&world, &["recordings", "ls", "--user=al*", "--kind=exec"]);
    assert!(listed.status.success(), "{}", told(&listed));
    let none = administer(&world, &["recordings", "ls", "--user=bob"]);
    assert!(none.status.success(), "{}", told(&none));

    let reads = reads(&world);
    reads.iter().for_each(assert_by_carol);
    let hows: Vec<&str> = reads.iter().map(|event| text(event, "how")).collect();
    assert_eq!(hows, ["play", "export", "ls", "ls"]);
    for one in &reads[..2] {
        assert_eq!(one["session"], recording["id"]);
        assert_eq!(one["connection"], recording["connection"]);
        assert_eq!(
            (text(one, "user"), text(one, "login")),
            ("alice", &*login())
        );
        assert!(one["filter"].is_null(), "{one:#}");
    }
    let [.., list, empty] = reads.as_slice() else {
        panic!("{reads:#?}");
    };
    assert!(list["session"].is_null(), "{list:#}");
    assert_eq!(list["filter"], json!({ "kind": "exec", "user": "al*" }));
    assert_eq!(
        (&list["recordings"], &empty["recordings"]),
        (&json!(1), &json!(0))
    );
}

/// A recording is not read if that cannot be audited. A copy elsewhere does not belong to this
/// proxy any more: it is read without a data directory.
#[test]
fn a_recording_stays_closed_if_its_reader_cannot_be_audited() {
    let world = World::new();
    world.run("db1", "echo seen").success();
    let recording = world.finished_recording();
    let (id, path) = (text(&recording, "id"), file(&recording));
    let copy = world.dir().join("copy.cast.zst");
    std::fs::copy(path, &copy).expect("a writable directory");
    world.stop_proxy();
    let before = world.events("recording.read").len();
    let log = world.data().join("audit.jsonl");
    let aside = log.with_extension("aside");

    type Spoil = fn(&Path);
    let spoils: [Spoil; 2] = [
        |log| std::fs::create_dir(log).expect("it is out of the way"),
        |log| {
            std::fs::write(log, "").expect("it is out of the way");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            std::fs::set_permissions(log, mode).expect("our own file");
        },
    ];
    for spoil in spoils {
        std::fs::rename(&log, &aside).expect("our own file");
        spoil(&log);
        let path = path.to_string_lossy();
        let link = world.dir().join("link.cast.zst");
        std::os::unix::fs::symlink(&*path, &link).expect("a writable directory");
        for args in [
            &["play", id][..],
            &["play", &link.to_string_lossy()],
            &[
                "recordings",
                "export",
                "--format=raw",
                "--stream=stdout",
                &path,
            ],
            &["recordings", "ls"],
        ] {
            let refused = administer(&world, args);
            assert_eq!(refused.status.code(), Some(1), "{args:?}");
            assert!(refused.stdout.is_empty(), "{args:?}");
            let told = told(&refused);
            assert!(
                told.contains("the audit log cannot say who reads it"),
                "{told}"
            );
            assert!(told.contains("hint: "), "{told}");
        }
        assert_eq!(
            administer(&world, &["play", &copy.to_string_lossy()]).stdout,
            b"seen\n"
        );
        std::fs::remove_file(&link).expect("our own file");
        if log.is_dir() {
            std::fs::remove_dir(&log).expect("it is empty");
        }
        std::fs::rename(&aside, &log).expect("our own file");
    }
    assert_eq!(world.events("recording.read").len(), before);

    // On another machine, without a proxy.
    let nowhere = world.dir().join("nowhere");
    let elsewhere = Command::new(env!("CARGO_BIN_EXE_rproxy"))
        .args(["--data-dir".as_ref(), nowhere.as_os_str()])
        .args(["play".as_ref(), copy.as_os_str()])
        .output()
        .expect("rproxy starts");
    assert_eq!(elsewhere.stdout, b"seen\n", "{}", told(&elsewhere));
    assert!(!nowhere.exists());
}

#[test]
fn every_administrative_event_says_who_it_was() {
    let world = World::new();
    let out = |name: &str| format!("--out={}", world.dir().join(name).display());
    let own: PathBuf = world.dir().join("own");
    keys::generate(&own);
    let own = own.to_string_lossy();
    let public = format!("--public-key={own}.pub");
    let commands: &[&[&str]] = &[
        &[
            "auth",
            "sign",
            "--user=bob",
            "--logins=root",
            &public,
            &out("bob-cert.pub"),
        ],
        &["auth", "sign", "--host=db9", &out("db9")],
        &["auth", "revoke", "--yes", "--key-id=bob"],
        &["auth", "unrevoke", "--yes", "--key-id=bob"],
        &["auth", "rotate", "--type=user", "--force"],
        &["auth", "rotate", "--type=user", "--force"],
        &["auth", "rotate", "--type=user", "--force"],
        &["auth", "rotate", "--type=user", "--force"],
        &["auth", "rotate", "--type=user", "--remove-kept"],
        &["auth", "import", "--type=host", "--overwrite", &own],
    ];
    for args in commands {
        let output = administer(&world, args);
        assert!(output.status.success(), "{args:?}: {}", told(&output));
    }
    for (name, count) in [
        ("certificate.issued", 2),
        ("certificate.revoked", 1),
        ("revocation.lifted", 1),
        ("authority.rotated", 4),
        ("authority.key_removed", 1),
        ("authority.imported", 1),
    ] {
        let mut events = world.events(name);
        events.retain(|event| event["sudo_user"] == "carol");
        assert_eq!(events.len(), count, "{name}: {events:#?}");
        events.iter().for_each(assert_by_carol);
    }
    let made = world.events("authority.created");
    assert_eq!(made.len(), 2, "{made:#?}");
    for event in made {
        assert_eq!(
            (text(&event, "how"), text(&event, "by")),
            ("auth init", &*login())
        );
        assert_eq!(event["sudo_user"], Value::Null, "nobody used sudo");
    }
}

#[test]
fn a_configuration_that_protects_less_is_named_with_its_hash() {
    let world = World::new();
    let hash = || {
        let file = world.dir().join("rproxy.yaml");
        let line = keys::tool(Command::new(programs::path("sha256sum")).arg(file));
        line.split(' ').next().map(str::to_owned)
    };
    let [start] = world
        .events("configuration.reloaded")
        .try_into()
        .expect("one worker has started");
    assert_eq!(text(&start, "at"), "start");
    assert_eq!(start["sha256"].as_str().map(str::to_owned), hash());
    assert!(text(&start, "file").ends_with("/rproxy.yaml"), "{start:#}");
    assert_eq!(start["weaker"], json!([]));

    let reloaded = world.reconfigure(|config| {
        format!(
            "{config}auth_service: {{ proxy_checks_host_keys: no }}\n\
             recording: {{ mode: best_effort }}\n\
             permit: {{ nested_ssh: allow, agent: no }}\n"
        )
    });
    assert_eq!(text(&reloaded, "at"), "reload");
    assert_eq!(reloaded["sha256"].as_str().map(str::to_owned), hash());
    let weaker = |key: &str, from: &str, to: &str| json!({ "key": key, "from": from, "to": to });
    assert_eq!(
        reloaded["weaker"],
        json!([
            weaker("auth_service.proxy_checks_host_keys", "yes", "no"),
            weaker("permit.nested_ssh", "deny", "allow"),
            weaker("recording.mode", "strict", "best_effort"),
        ])
    );
    world.logged("recording.mode protects less than before");

    // The same configuration again changes nothing, and the earlier one protects no less.
    let again = world.reconfigure(str::to_owned);
    assert_eq!(again["weaker"], json!([]), "{again:#}");
    let back =
        world.reconfigure(|config| config.replace("nested_ssh: allow, agent: no", "x11: no"));
    assert_eq!(
        back["weaker"],
        json!([weaker("permit.agent", "no", "yes")]),
        "{back:#}"
    );
}
