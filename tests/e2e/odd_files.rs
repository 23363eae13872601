//! Files in `recordings/` that are not recordings: no command hangs at them, and they prevent no
//! recording.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::recordings::{file, text};
use crate::support::{World, keys, programs, skipped};

/// Files whose names come after those of all recordings: a pipe, a socket, a directory, links, and,
/// if this account may create one, a device.
fn put_odd_files(world: &World) -> Vec<PathBuf> {
    let path = |number: usize| {
        let name = format!("ffffffff-ffff-7fff-bfff-fffffffffff{number}.cast.zst");
        world.data().join("recordings").join(name)
    };
    keys::tool(Command::new(programs::path("mkfifo")).arg(path(0)));
    drop(UnixListener::bind(path(1)).expect("a writable directory"));
    std::fs::create_dir(path(2)).expect("a writable directory");
    let link = std::os::unix::fs::symlink::<&std::path::Path, PathBuf>;
    link("/dev/zero".as_ref(), path(3)).expect("a writable directory");
    link("/etc/passwd".as_ref(), path(4)).expect("a writable directory");
    link("/nowhere".as_ref(), path(5)).expect("a writable directory");
    let pipe = path(0);
    link(&pipe, path(6)).expect("a writable directory");
    // A recording, by another name.
    let recording = world.recording();
    link(file(&recording), path(7)).expect("a writable directory");
    let mut paths: Vec<_> = (0..8).map(path).collect();
    let mknod = Command::new(programs::path("mknod"))
        .arg(path(8))
        .args(["c", "1", "5"])
        .output();
    match mknod {
        Ok(made) if made.status.success() => paths.push(path(8)),
        _ => skipped::cannot("devices take root"),
    }
    paths
}

#[test]
fn they_hang_no_command_and_hide_no_recording() {
    let world = World::new();
    world.run("db1", "echo seen").success();
    let recording = world.finished_recording();
    let odd = put_odd_files(&world);
    // Each command has a time limit, after which it is killed.
    let rproxy = |args: &[&str]| {
        let mut command = Command::new(programs::path("timeout"));
        command.args(["--kill-after=5", "60"]);
        command.arg(env!("CARGO_BIN_EXE_rproxy"));
        command.arg("--config").arg(world.dir().join("rproxy.yaml"));
        let output = command.args(args).output().expect("it starts");
        assert_ne!(output.status.code(), Some(124), "{args:?} hangs");
        assert_ne!(output.status.code(), Some(137), "{args:?} hangs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), output.stdout, errors)
    };

    let (code, listed, told) = rproxy(&["recordings", "ls", "--format=json"]);
    assert_eq!(code, Some(0), "{told}");
    let listed: Vec<Value> = serde_json::from_slice(&listed).expect("JSON");
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert_eq!(listed[0]["id"], recording["id"]);
    assert_eq!(
        told.matches("is no regular file").count(),
        odd.len(),
        "{told}"
    );

    let (code, played, told) = rproxy(&["play", "last"]);
    assert_eq!((code, &played[..]), (Some(0), &b"seen\n"[..]), "{told}");
    let export = ["recordings", "export", "--format=raw", "--stream=stdout"];
    let (code, exported, told) = rproxy(&[&export[..], &["last"]].concat());
    assert_eq!((code, &exported[..]), (Some(0), &b"seen\n"[..]), "{told}");

    let (_, _, told) = rproxy(&["play", "ffffffff"]);
    assert!(
        told.contains("no recording has an id that begins with"),
        "{told}"
    );
    for path in &odd {
        let path = path.to_string_lossy();
        let link_to_recording = path.ends_with("7.cast.zst");
        for args in [&["play", &path][..], &[&export[..], &[&path]].concat()] {
            let (code, out, told) = rproxy(args);
            if link_to_recording {
                // A link that is named on the command line stands for its target.
                assert_eq!((code, &out[..]), (Some(0), &b"seen\n"[..]), "{told}");
            } else {
                assert_eq!((code, out.len()), (Some(1), 0), "{path}: {told}");
            }
        }
    }
    let (_, found, told) = rproxy(&["doctor", "--format=json"]);
    let found = String::from_utf8_lossy(&found).into_owned();
    assert!(found.contains("cut-recordings"), "{found}{told}");
    assert!(found.contains("none in the last seven days"), "{found}");
    let (code, completed, told) = rproxy(&["complete", "--word=", "--", "rproxy", "play"]);
    let completed = String::from_utf8_lossy(&completed).into_owned();
    assert_eq!(code, Some(0), "{told}");
    assert!(completed.contains(text(&recording, "id")), "{completed}");
    assert!(!completed.contains("ffffffff"), "{completed}");
}
