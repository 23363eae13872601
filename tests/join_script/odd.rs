//! Hosts that are not as expected, and a proxy that does not answer as it should: the script says what is
//! wrong before it changes anything.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::double::{Answer, run, with};
use crate::host::{ScratchHost, TOKEN, Tree, each_shell, found, one_shell, text};
use crate::skipped;

/// What is on the host, but for an empty directory of this boot.
fn kept(host: &ScratchHost) -> Tree {
    let mut tree = host.tree();
    tree.remove(&host.at("run/rproxy-node").display().to_string());
    tree
}

fn nothing_remains(host: &ScratchHost, arguments: &[&str]) -> String {
    let before = kept(host);
    let said = host.join(arguments).failure();
    let after = kept(host);
    assert!(after == before, "{:?}", after.keys());
    said
}

/// A directory that cannot be written to, by root either.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn mount(place: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let bound = Command::new("mount")
            .arg("--bind")
            .args([place, place])
            .status();
        if !bound.is_ok_and(|status| status.success()) {
            return None;
        }
        let bound = Self(place.to_owned());
        let mut remount = Command::new("mount");
        run(remount.args(["-o", "remount,bind,ro"]).arg(place));
        Some(bound)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

#[test]
fn files_that_cannot_be_written() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let Some(bound) = ReadOnly::mount(&host.at("etc/ssh")) else {
            skipped::cannot("a directory can be made read-only for root by root only");
            return;
        };
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("cannot write to"), "{said}");
        assert_eq!(host.proxy.programs(), Vec::<String>::new());
        drop(bound);

        // It becomes so later.
        host.joined(&[]);
        let before = host.stamped();
        let bound = ReadOnly::mount(&host.at("etc/ssh")).unwrap();
        let mut answer = Answer::new(&host.proxy);
        answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 2));
        host.proxy.answer("heartbeat", &answer.text());
        let said = host.heartbeat().failure();
        assert!(said.contains("cannot write"), "{said}");
        drop(bound);
        assert_eq!(host.stamped(), before);
        assert_eq!(host.reloads(), 1);
        host.heartbeat().success();
        assert_eq!(host.reloads(), 2);
    });
}

/// Runs the script with other programs than those of the machine.
fn join_with(host: &ScratchHost, path: &Path) -> std::process::Output {
    let mut command = host.command(&host.script(), &["--yes"]);
    let bin = host.script().with_file_name("bin");
    let mut child = command
        .env("PATH", format!("{}:{}", bin.display(), path.display()))
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Err(error) = writeln!(stdin, "{TOKEN}") {
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn programs_that_are_missing() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let output = join_with(&host, &host.without_program("mktemp"));
        assert!(output.status.success(), "{output:?}");
        assert!(host.is_in_force());
        let left = host.tree().into_keys();
        let left: Vec<_> = left.filter(|path| path.contains("/run/rproxy.")).collect();
        assert_eq!(left, Vec::<String>::new());
    });
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        let before = kept(&host);
        let output = join_with(&host, &host.without_program("ssh-keygen"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("ssh-keygen is missing: install OpenSSH"),
            "{said}"
        );
        assert_eq!(kept(&host), before);
    });
}

/// What is there is run as root, or trusted by sshd.
#[test]
fn directories_that_others_can_write() {
    each_shell(|shell| {
        let open = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        };
        let host = ScratchHost::new(shell);
        host.make_home();
        open(&host.ours(""));
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("others can write it"), "{said}");
        assert_eq!(host.proxy.programs(), Vec::<String>::new());

        // A link to a directory of somebody else.
        let host = ScratchHost::new(shell);
        let theirs = host.at("home");
        fs::create_dir(&theirs).unwrap();
        symlink(&theirs, host.at("etc/ssh/rproxy")).unwrap();
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("or it is a link"), "{said}");
        assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);

        let host = ScratchHost::new(shell);
        open(&host.at("etc/ssh/sshd_config.d"));
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("others can write its directory"), "{said}");
        assert_eq!(host.proxy.programs(), Vec::<String>::new());
    });
}

/// A link under the name of a file that the script makes for a moment.
#[test]
fn nothing_is_written_through_a_link() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let victim = host.at("victim");
        fs::write(&victim, "of somebody else\n").unwrap();
        host.make_home();
        let snippet = host.at("etc/ssh/sshd_config.d/00-rproxy.conf");
        for file in [&host.ours("user_ca.pub"), &host.ours("proxy"), &snippet] {
            symlink(&victim, with(file, ".rproxy-new")).unwrap();
            symlink(&victim, with(file, ".rproxy-old")).unwrap();
        }
        // A file itself can be a link too: the link is replaced.
        symlink(&victim, host.ours("labels")).unwrap();
        host.joined(&["--label=a=b"]);
        assert_eq!(text(&victim), "of somebody else\n");
        assert!(host.is_in_force());
        assert!(!host.ours("labels").is_symlink());
    });
}

#[test]
fn a_host_key_of_another_type() {
    one_shell(|shell| {
        for (kind, bits) in [("rsa", "2048"), ("ecdsa", "256")] {
            let host = ScratchHost::new(shell);
            for path in [host.key(), with(&host.key(), ".pub")] {
                fs::remove_file(path).unwrap();
            }
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", kind, "-b", bits, "-N", "", "-f"]);
            run(keygen.arg(host.key()));
            host.proxy.know(&host.key());
            let mut answer = Answer::new(&host.proxy);
            answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 1));
            host.proxy.answer("join", &answer.text());
            host.joined(&[]);
            assert!(host.is_in_force());
            host.heartbeat().success();
        }
        let host = ScratchHost::new(shell);
        fs::remove_file(with(&host.key(), ".pub")).unwrap();
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("ssh-keygen -A"), "{said}");
    });
}

/// The script has to be a file, of which it keeps a copy.
#[test]
fn a_script_from_a_pipe_does_nothing() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let before = kept(&host);
        let script = text(&host.script());
        let said = host
            .run_with(Path::new("-s"), &["--", "--yes"], &script)
            .failure();
        assert!(said.contains("put it into a file first"), "{said}");
        assert_eq!(kept(&host), before);
    });
}

/// `ssh` with another way to the proxy.
fn through(host: &ScratchHost, way: &str) {
    let ssh = found("ssh");
    let text = format!(
        "#!/bin/sh\nexec {} -o 'ProxyCommand={way}' \"$@\"\n",
        ssh.display()
    );
    host.put_program("ssh", &text);
}

#[test]
fn a_proxy_that_does_not_speak_ssh() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        for way in [
            "false",
            "echo 220 mail.example.com",
            "head -c 100000 /dev/zero",
        ] {
            through(&host, way);
            let said = nothing_remains(&host, &[]);
            let end = "cannot ask the proxy proxy.example.com; nothing was changed\n";
            assert!(said.ends_with(end), "{said}");
        }
    });
}

#[test]
fn answers_that_are_too_large() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        let mut answer = Answer::new(&host.proxy);
        answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 1));
        let good = answer.text();
        let filler = "warning x\n".repeat(40_000);
        host.proxy.answer(
            "join",
            &good.replace("\nend\n", &format!("\n{filler}end\n")),
        );
        nothing_remains(&host, &[]);
        // More keys than a CA has.
        answer.user_cas = vec![host.proxy.public("user_ca"); 9];
        host.proxy.answer("join", &answer.text());
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("no usable keys"), "{said}");
    });
}

/// It is left after a while, which is shorter here.
#[test]
fn an_answer_that_never_ends() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let sleep = found("sleep");
        host.put_program("sleep", &format!("#!/bin/sh\nexec {} 1\n", sleep.display()));
        host.proxy.hang("join");
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("nothing was changed"), "{said}");
        // The next one is served.
        host.proxy.answer("join", &{
            let mut answer = Answer::new(&host.proxy);
            answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 1));
            answer.text()
        });
        host.put_program(
            "sleep",
            &format!("#!/bin/sh\nexec {} \"$@\"\n", sleep.display()),
        );
        host.joined(&[]);
    });
}

/// What the proxy calls the node stays one value: some programs take `\n` for the end of a line.
#[test]
fn a_name_is_one_word() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        let before = host.stamped();
        let good = Answer::new(&host.proxy).text();
        for name in [
            r"db1\nalso-user-ca /etc/shadow",
            "db1 db2",
            "",
            "DB1",
            "-o",
            "db1\nname db2",
        ] {
            let text = good.replace("name db1", &format!("name {name}"));
            host.proxy.answer("heartbeat", &text);
            let said = host.heartbeat().failure();
            assert!(said.contains("no usable id or name"), "{name}: {said}");
        }
        assert_eq!(host.stamped(), before);
        let text = good.replace("name db1", "name db_1.lan");
        host.proxy.answer("heartbeat", &text);
        host.heartbeat().success();
        assert!(crate::host::text(&host.ours("proxy")).contains("\nname db_1.lan\n"));
        host.join(&["--name", "DB_1", "--label", "a=b"]).success();
    });
}

/// The directory was removed by hand, and our lines are still there.
#[test]
fn a_directory_that_was_removed_comes_back() {
    one_shell(|shell| {
        for lines in ["", "HostbasedAuthentication no\n"] {
            let host = ScratchHost::new(shell);
            if !lines.is_empty() {
                host.configure("");
            }
            host.append(lines);
            host.joined(&[]);
            fs::remove_dir_all(host.ours("")).unwrap();
            host.joined(&[]);
            assert!(host.is_in_force());
            host.heartbeat().success();
            let trusted = text(&host.ours("user_ca.pub"));
            assert_eq!(trusted.lines().count(), 1, "{trusted}");
            let config = text(&host.at("etc/ssh/sshd_config"));
            assert!(config.matches("rproxy: begin").count() < 2, "{config}");
        }
    });
}

/// A change that somebody has made while the script was waiting.
#[test]
fn changes_of_that_moment_stay() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.configure("");
        let config = host.at("etc/ssh/sshd_config");
        let first = format!(
            "[ -e {0}.changed ] || {{ : >{0}.changed; echo MaxAuthTries 3 >>{0}; }}",
            config.display()
        );
        // The lock is a link.
        host.wrap_program("ln", &first);
        host.joined(&[]);
        assert!(host.is_in_force());
        assert!(
            text(&config).ends_with("MaxAuthTries 3\n"),
            "{}",
            text(&config)
        );
    });
}

/// Another run makes the directory of the lock at the same moment.
#[test]
fn the_directory_of_another_run_is_used() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let run = host.at("run/rproxy-node");
        let first = format!(
            "for last; do :; done\n[ \"$last\" != {0} ] || {1} {0}",
            run.display(),
            found("mkdir").display()
        );
        host.wrap_program("mkdir", &first);
        host.joined(&[]);
        assert!(host.is_in_force());
    });
}

#[test]
fn two_runs_at_once() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let before = kept(&host);
        let runs: Vec<_> = (0..3)
            .map(|_| {
                let mut command = host.command(&host.script(), &["--yes"]);
                let mut child = command.spawn().unwrap();
                let mut stdin = child.stdin.take().unwrap();
                writeln!(stdin, "{TOKEN}").unwrap();
                child
            })
            .collect();
        let mut done = 0;
        for child in runs {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => done += 1,
                _ => assert!(said.contains("another run is going on"), "{said}"),
            }
        }
        assert!(done > 0);
        assert!(host.is_in_force());
        assert!(!host.at("run/rproxy-node/lock").is_symlink());
        host.heartbeat().success();
        host.leave().success();
        assert_eq!(kept(&host), before);
    });
}
