//! Programs that run over `ssh`: their data arrives, and is recorded.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::client::Live;
use crate::support::others::others;
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{HostKey, World, programs, service, skipped};

/// ssh as other programs call it.
fn command(world: &World) -> String {
    let ssh = programs::path("ssh");
    format!(
        "{} -F {}",
        ssh.display(),
        world.dir().join("inner").display()
    )
}

/// A directory with files of awkward names.
fn tree(world: &World) -> PathBuf {
    let dir = world.dir().join("tree");
    std::fs::create_dir_all(dir.join("sub")).expect("writable");
    for name in [
        "plain",
        "with space",
        "sub/new\nline",
        "sub/-dash",
        "sub/åäö",
    ] {
        std::fs::write(dir.join(name), service::bytes()).expect("writable");
    }
    dir
}

/// Whether two directories hold the same.
fn same(world: &World, one: &str, other: &str) {
    let dir = world.dir();
    world
        .program("diff")
        .arg("-r")
        .arg(dir.join(one))
        .arg(dir.join(other))
        .run()
        .success();
}

/// scp(1): over sftp, and with its old protocol.
#[test]
fn scp_both_ways() {
    let world = World::new();
    let awkward = tree(&world).join("sub/new\nline");
    let dir = world.dir().display().to_string();
    for (option, there, back) in [("-s", "there", "back"), ("-O", "there-o", "back-o")] {
        let scp = |from: String, to: String| {
            world
                .program("scp")
                .args([
                    option,
                    "-q",
                    "-r",
                    "-p",
                    "-F",
                    &format!("{dir}/inner"),
                    &from,
                    &to,
                ])
                .run()
                .success();
        };
        scp(format!("{dir}/tree"), format!("db1:{dir}/{there}"));
        scp(format!("db1:{dir}/{there}"), format!("{dir}/{back}"));
        same(&world, "tree", back);
        // The old protocol ends names at the end of a line: scp writes such names another way.
        std::fs::remove_file(&awkward).unwrap_or_default();
    }
    let kinds: Vec<_> = world
        .recordings()
        .iter()
        .map(|recording| text(recording, "kind").to_owned())
        .collect();
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "subsystem").count(),
        2,
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "exec").count(),
        2,
        "{kinds:?}"
    );
}

#[test]
fn rsync_both_ways() {
    let rsync = programs::path("rsync");
    let world = World::new();
    tree(&world);
    let dir = world.dir().display().to_string();
    let name = rsync.display().to_string();
    for (from, to) in [
        (format!("{dir}/tree/"), format!("db1:{dir}/there")),
        (format!("db1:{dir}/there/"), format!("{dir}/back")),
    ] {
        world
            .program(&name)
            .args(["-a", "-e", &command(&world), &from, &to])
            .run()
            .success();
    }
    same(&world, "tree", "back");
}

#[test]
fn git_pushes_and_clones() {
    let world = World::new();
    let dir = world.dir().display().to_string();
    let script = format!(
        "set -e; cd {dir}; git init -q --bare hub.git; git init -q work; cd work; \
         git config user.email a@example.com; git config user.name a; \
         head -c 300000 /dev/urandom > file; git add file; git commit -q -m first; \
         git push -q db1:{dir}/hub.git HEAD:refs/heads/main; cd ..; \
         git clone -q -b main db1:{dir}/hub.git clone; cmp work/file clone/file"
    );
    world
        .program("bash")
        .args(["-c", &script])
        .env("GIT_SSH_COMMAND", command(&world))
        .run()
        .success();
    let commands: Vec<_> = world
        .recordings()
        .iter()
        .map(|recording| text(recording, "command").to_owned())
        .collect();
    assert!(
        commands
            .iter()
            .any(|one| one.starts_with("git-receive-pack")),
        "{commands:?}"
    );
    assert!(
        commands
            .iter()
            .any(|one| one.starts_with("git-upload-pack")),
        "{commands:?}"
    );
}

/// The tasks of a playbook: facts of the hosts, files, commands.
const PLAYBOOK: &str = r#"
- hosts: all
  tasks:
    - copy: { content: "of {{ inventory_hostname }}", dest: "DIR/{{ inventory_hostname }}.txt" }
    - command: "cat DIR/{{ inventory_hostname }}.txt"
      register: said
      loop: [1, 2, 3]
    - assert:
        that: "said.results | map(attribute='stdout') | unique == ['of ' ~ inventory_hostname]"
    - fetch: { src: "DIR/{{ inventory_hostname }}.txt", dest: "DIR/fetched/", flat: true }
    - raw: exit 3
      register: failed
      failed_when: failed.rc != 3
"#;

/// Ansible with its defaults, which keeps one connection to each host (`ControlPersist`), with
/// modules copied to the host, and with modules piped into it.
#[test]
fn ansible_with_and_without_pipelining() {
    let Some(ansible) = others("ansible-playbook") else {
        return;
    };
    for pipelining in ["False", "True"] {
        let world = World::with()
            .node("db1", HostKey::Certified)
            .node("db2", HostKey::Certified)
            .start();
        let dir = world.dir().display().to_string();
        let python = programs::path("python3").display().to_string();
        let config = format!(
            "[defaults]\ninventory = {dir}/hosts\nremote_tmp = {dir}/remote\nlocal_tmp = {dir}/local\n\
             interpreter_python = {python}\n[ssh_connection]\npipelining = {pipelining}\n\
             ssh_args = -F {dir}/inner -o ControlMaster=auto -o ControlPersist=30s\n\
             control_path_dir = {dir}/control\n"
        );
        for (name, text) in [
            ("ansible.cfg", config),
            ("hosts", "db1\ndb2\n".to_owned()),
            ("play.yaml", PLAYBOOK.replace("DIR", &dir)),
        ] {
            std::fs::write(world.dir().join(name), text).expect("a writable directory");
        }
        let outcome = world
            .program_at(&ansible)
            .arg(world.dir().join("play.yaml"))
            .env("ANSIBLE_CONFIG", world.dir().join("ansible.cfg"))
            .env("LC_ALL", "C.UTF-8")
            .run();
        assert_eq!(outcome.code(), 0, "{}\n{}", outcome.text(), outcome.stderr);
        for node in world.nodes() {
            let fetched = world.dir().join(format!("fetched/{}.txt", node.name));
            let fetched = std::fs::read_to_string(fetched).expect("it was fetched");
            assert_eq!(fetched, format!("of {}", node.name));
            assert_eq!(node.connections(), 1, "{}: one for all tasks", node.name);
        }
        let recordings = world.eventually("all sessions are recorded", || {
            let recordings = world.recordings();
            let complete = recordings.iter().all(|one| one["state"] == "complete");
            complete.then_some(recordings)
        });
        let connections: BTreeSet<_> = recordings
            .iter()
            .map(|one| text(one, "connection"))
            .collect();
        assert_eq!(connections.len(), 2);
        assert!(recordings.len() > 10, "{} sessions", recordings.len());
        let copies = recordings
            .iter()
            .filter(|one| one["kind"] == "subsystem")
            .count();
        // Ansible copies the playbook's files with sftp in any case: one to each host, and one
        // back.
        assert_eq!(copies > 4, pipelining == "False", "{copies} by sftp");
    }
}

/// lftp's `sftp://`, which runs ssh in a terminal of its own.
#[test]
fn lftp_mirrors_both_ways() {
    let Some(lftp) = others("lftp") else {
        return;
    };
    let world = World::new();
    let tree = tree(&world);
    std::fs::remove_file(tree.join("sub/new\nline")).expect("it is there");
    let dir = world.dir().display().to_string();
    let script = format!(
        "set sftp:connect-program \"{} -a -x\"; set net:max-retries 1; set cmd:fail-exit yes; \
         open -u {},none sftp://db1; mirror -R {dir}/tree {dir}/there; mirror {dir}/there {dir}/back",
        command(&world),
        login()
    );
    world
        .program_at(&lftp)
        .args(["--norc", "-c", &script])
        .run()
        .success();
    same(&world, "tree", "back");
    let recordings = world.recordings();
    assert!(!recordings.is_empty());
    assert!(recordings.iter().all(|one| one["kind"] == "subsystem"));
}

/// A mounted file system, which is unmounted at the end of the test.
struct Mount<'w> {
    world: &'w World,
    at: PathBuf,
    sshfs: Live,
}

impl<'w> Mount<'w> {
    /// `None`, with a message, if this account may not mount.
    fn new(world: &'w World, sshfs: &Path, there: &Path) -> Option<Self> {
        let at = world.dir().join("mounted");
        std::fs::create_dir(&at).expect("a writable directory");
        let mut mount = Self {
            world,
            sshfs: world
                .program_at(sshfs)
                .arg("-f")
                .arg("-F")
                .arg(world.dir().join("inner"))
                .arg(format!("db1:{}", there.display()))
                .arg(&at)
                .start(),
            at,
        };
        let mounted = world.eventually("sshfs mounts or gives up", || {
            if mount.is_mounted() {
                return Some(true);
            }
            mount.sshfs.has_ended().then_some(false)
        });
        if mounted {
            return Some(mount);
        }
        skipped::cannot("sshfs cannot mount here");
        None
    }

    fn is_mounted(&self) -> bool {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        mounts.contains(&format!(" {} fuse.sshfs ", self.at.display()))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        if self.is_mounted() {
            let unmounting = self.world.program("fusermount3").arg("-u").arg(&self.at);
            unmounting.run();
        }
    }
}

/// sshfs: files that are written to the mounted directory are on the host.
#[test]
fn sshfs_mounts() {
    let Some(sshfs) = others("sshfs") else {
        return;
    };
    let world = World::new();
    let tree = tree(&world);
    let Some(mount) = Mount::new(&world, &sshfs, &tree) else {
        return;
    };
    same(&world, "tree", "mounted");
    std::fs::write(mount.at.join("written"), service::bytes()).expect("a mounted directory");
    std::fs::rename(mount.at.join("plain"), mount.at.join("moved")).expect("a mounted directory");
    drop(mount);
    let stored = std::fs::read(tree.join("written")).expect("it is on the host");
    assert!(stored == service::bytes());
    assert!(tree.join("moved").exists() && !tree.join("plain").exists());
    let recording = world.finished_recording();
    assert_eq!(text(&recording, "command"), "sftp");
    assert!(world.exported(&recording, "stdin").len() > service::bytes().len());
}
