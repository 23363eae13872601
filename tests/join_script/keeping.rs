//! Heartbeats: what is new is installed, and nothing else; sshd is reloaded only when it has to be, and never
//! with a configuration that it refuses.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::double::{Answer, generate, run};
use crate::host::{ScratchHost, each_shell, found, list_number, one_shell, text};
use crate::skipped;

/// A host that has joined.
fn joined(shell: &'static str) -> ScratchHost {
    let host = ScratchHost::new(shell);
    host.joined(&[]);
    host
}

/// The answer with a certificate of this serial number.
fn renewed(host: &ScratchHost, serial: u32) -> Answer {
    let mut answer = Answer::new(&host.proxy);
    answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), serial));
    answer
}

fn answer(host: &ScratchHost, answer: &Answer) {
    host.proxy.answer("heartbeat", &answer.text());
}

#[test]
fn a_new_certificate_is_installed_and_sshd_reloaded() {
    each_shell(|shell| {
        let host = joined(shell);
        assert_eq!(host.reloads(), 1);
        answer(&host, &renewed(&host, 2));
        host.heartbeat().success();
        assert_eq!(host.reloads(), 2);
        assert_eq!(host.proxy.last("heartbeat").values("certificate"), ["2"]);
        // The same certificate again is nothing new.
        let before = host.stamped();
        host.heartbeat().success();
        assert_eq!(host.reloads(), 2);
        assert_eq!(host.stamped(), before);
        assert!(host.is_in_force());
    });
}

/// sshd reads both files at each login.
#[test]
fn new_user_cas_and_lists_need_no_reload() {
    one_shell(|shell| {
        let host = joined(shell);
        generate(&host.proxy.path("next_user_ca"));
        host.proxy.revoke(2);
        let mut both = Answer::new(&host.proxy);
        both.user_cas.push(host.proxy.public("next_user_ca"));
        both.revocations = 2;
        answer(&host, &both);
        host.heartbeat().success();
        assert_eq!(
            text(&host.ours("user_ca.pub")),
            both.user_cas.join("\n") + "\n"
        );
        assert_eq!(list_number(&host.ours("revoked.krl")), 2);
        assert_eq!(host.reloads(), 1);
        let report = host.proxy.last("heartbeat");
        assert_eq!(report.values("user-ca").len(), 2);
        assert_eq!(report.values("revocations"), ["2"]);
        // The list is fetched once.
        let fetched = host
            .proxy
            .programs()
            .iter()
            .filter(|program| *program == "revocations")
            .count();
        host.heartbeat().success();
        let programs = host.proxy.programs();
        assert_eq!(
            programs
                .iter()
                .filter(|program| *program == "revocations")
                .count(),
            fetched
        );
    });
}

#[test]
fn a_damaged_or_older_list_keeps_the_installed_one() {
    one_shell(|shell| {
        let host = joined(shell);
        host.proxy.revoke(5);
        let mut newer = Answer::new(&host.proxy);
        newer.revocations = 5;
        answer(&host, &newer);
        host.heartbeat().success();
        let installed = fs::read(host.ours("revoked.krl")).unwrap();

        let path = host.proxy.path("revocations.answer");
        let list = fs::read(&path).unwrap();
        newer.revocations = 6;
        answer(&host, &newer);
        fs::write(&path, &list[..list.len() - 20]).unwrap();
        let said = host.heartbeat().failure();
        assert!(said.contains("cannot read"), "{said}");
        host.proxy.revoke(4);
        let said = host.heartbeat().failure();
        assert!(said.contains("newer"), "{said}");
        assert_eq!(fs::read(host.ours("revoked.krl")).unwrap(), installed);
        // The proxy reads of it, until it is over.
        let problem = host.proxy.last("heartbeat").values("problem").join("");
        assert!(problem.contains("cannot read"), "{problem}");
        host.proxy.revoke(6);
        host.heartbeat().success();
        assert_eq!(list_number(&host.ours("revoked.krl")), 6);
        assert_eq!(
            host.proxy.last("heartbeat").values("problem"),
            Vec::<&str>::new()
        );
    });
}

#[test]
fn a_cut_answer_keeps_what_is_installed() {
    one_shell(|shell| {
        let host = joined(shell);
        let before = host.stamped();
        let whole = renewed(&host, 2).text();
        for length in [0, 20, whole.len() / 2, whole.len() - 4] {
            host.proxy.answer("heartbeat", &whole[..length]);
            let said = host.heartbeat().failure();
            assert!(said.contains("not whole"), "{said}");
        }
        assert_eq!(host.stamped(), before);
        assert_eq!(host.reloads(), 1);
    });
}

/// The administrator has broken `sshd_config`: a reload would end sshd.
#[test]
fn a_broken_configuration_is_not_reloaded() {
    each_shell(|shell| {
        let host = joined(shell);
        let good = text(&host.at("etc/ssh/sshd_config"));
        host.append("NoSuchKeyword yes\n");
        answer(&host, &renewed(&host, 2));
        host.heartbeat().failure();
        assert_eq!(host.reloads(), 1);
        let report = host.proxy.last("heartbeat");
        assert!(
            report.values("problem")[0].contains("NoSuchKeyword"),
            "{}",
            report.text
        );
        // It is installed for when the file is repaired.
        assert_eq!(report.values("certificate"), ["2"]);
        host.heartbeat().failure();
        assert_eq!(host.reloads(), 1);
        fs::write(host.at("etc/ssh/sshd_config"), good).unwrap();
        host.heartbeat().success();
        assert_eq!(host.reloads(), 2);
        host.heartbeat().success();
        assert_eq!(host.reloads(), 2);
        assert_eq!(
            host.proxy.last("heartbeat").values("problem"),
            Vec::<&str>::new()
        );
    });
}

/// What the proxy sends is checked; should sshd refuse it all the same, the old files come back.
#[test]
fn what_sshd_refuses_comes_off_again() {
    one_shell(|shell| {
        let host = joined(shell);
        let certificate = text(&host.ours("host-cert.pub"));
        let sshd = format!(
            "#!/bin/sh\nif ! grep -qF \"$(cat {old})\" {installed}; then\necho 'bad certificate' >&2\nexit 255\nfi\n\
             exec {} \"$@\"\n",
            found("sshd").display(),
            old = host.at("run/old-certificate").display(),
            installed = host.ours("host-cert.pub").display(),
        );
        fs::write(host.at("run/old-certificate"), &certificate).unwrap();
        host.put_program("sshd", &sshd);
        answer(&host, &renewed(&host, 2));
        let said = host.heartbeat().failure();
        assert!(said.contains("bad certificate"), "{said}");
        assert_eq!(text(&host.ours("host-cert.pub")), certificate);
        assert_eq!(host.reloads(), 1);
        answer(&host, &Answer::new(&host.proxy));
        host.heartbeat().success();
        assert!(host.proxy.last("heartbeat").values("problem")[0].contains("bad certificate"));
    });
}

/// Our lines are gone, as after a new `sshd_config`: the next run of the script brings them back.
#[test]
fn lost_lines_are_reported_and_come_back() {
    one_shell(|shell| {
        let host = joined(shell);
        fs::remove_file(host.at("etc/ssh/sshd_config.d/00-rproxy.conf")).unwrap();
        let said = host.heartbeat().failure();
        assert!(said.contains("does not use"), "{said}");
        let said = host
            .run_with(&host.ours("node.sh"), &["--yes"], "")
            .success();
        assert!(said.contains("writes"), "{said}");
        assert!(host.is_in_force());
        host.heartbeat().success();
        assert_eq!(host.reloads(), 2);
    });
}

#[test]
fn a_refused_heartbeat_changes_nothing() {
    one_shell(|shell| {
        let host = joined(shell);
        let before = host.stamped();
        host.proxy
            .refuse("heartbeat", "rproxy: db1 is locked (node-locked)\n");
        let said = host.heartbeat().failure();
        assert!(said.contains("db1 is locked"), "{said}");
        assert_eq!(host.stamped(), before);
        assert_eq!(host.reloads(), 1);
    });
}

/// The proxy does not let its host key in, and says why before.
#[test]
fn who_is_root_at_a_locked_node_reads_why() {
    each_shell(|shell| {
        let host = joined(shell);
        let before = host.stamped();
        host.proxy
            .turn_away("rproxy: client: the node db1 is locked\n  hint: rproxy nodes unlock db1\n");
        let said = host.heartbeat().failure();
        assert!(said.contains("the node db1 is locked"), "{said}");
        assert!(said.contains("refuses this report"), "{said}");
        let said = host.join(&[]).failure();
        assert!(said.contains("rproxy nodes unlock db1"), "{said}");
        assert!(said.contains("refuses this host"), "{said}");
        assert_eq!(host.stamped(), before);
    });
}

/// `nodes rm` on the proxy: the script joins again, with a new token.
#[test]
fn a_removed_node_joins_again() {
    one_shell(|shell| {
        let host = joined(shell);
        host.proxy
            .refuse("heartbeat", "rproxy: this host is no node (not-joined)\n");
        host.heartbeat().failure();
        let said = host.join(&[]).text();
        assert!(said.contains("joins again"), "{said}");
        assert_eq!(
            host.proxy
                .programs()
                .iter()
                .filter(|program| *program == "join")
                .count(),
            2
        );
        assert!(host.is_in_force());
    });
}

#[test]
fn warnings_of_the_proxy_are_shown() {
    one_shell(|shell| {
        let host = joined(shell);
        let mut warned = Answer::new(&host.proxy);
        warned.warnings.push("the clock is 300 seconds ahead");
        answer(&host, &warned);
        let said = host.heartbeat().success();
        assert!(said.contains("300 seconds ahead"), "{said}");
    });
}

/// A file system that is full when the files are written.
#[test]
fn a_full_disk_keeps_the_old_files() {
    one_shell(|shell| {
        let host = joined(shell);
        let Some(_full) = SmallDisk::mount(&host.ours("")) else {
            skipped::cannot("a small file system can be mounted by root only");
            return;
        };
        generate(&host.proxy.path("next_user_ca"));
        let mut news = renewed(&host, 2);
        news.user_cas.push(host.proxy.public("next_user_ca"));
        // More than is left.
        news.host_cas.push(host.proxy.public("next_user_ca"));
        fill(&host.ours("filler"));
        answer(&host, &news);
        let before = host.stamped();
        let said = host.heartbeat().failure();
        assert!(said.contains("cannot write"), "{said}");
        assert_eq!(host.stamped(), before);
        assert_eq!(host.reloads(), 1);
        assert!(host.is_in_force());
        // The next report says so; with space again, all is installed.
        fs::remove_file(host.ours("filler")).unwrap();
        host.heartbeat().success();
        let asked = host.proxy.asked();
        let told = asked
            .iter()
            .any(|asked| asked.values("problem").join("").contains("cannot write"));
        assert!(told);
        assert_eq!(host.proxy.last("heartbeat").values("certificate"), ["2"]);
        assert_eq!(host.reloads(), 2);
    });
}

/// A small file system in place of a directory, with what was there.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(place: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let kept = tempfile::tempdir().unwrap();
        let copy = |from: &Path, to: &Path| {
            run(Command::new("cp").arg("-a").arg(from.join(".")).arg(to));
        };
        copy(place, kept.path());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=192k,mode=755", "none"])
            .arg(place)
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            return None;
        }
        copy(kept.path(), place);
        Some(Self(place.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// Fills what is left of a file system.
fn fill(path: &Path) {
    let mut filled = Command::new("dd");
    filled
        .arg("if=/dev/zero")
        .arg(format!("of={}", path.display()))
        .args(["bs=4k", "count=100"]);
    assert!(
        !filled.output().unwrap().status.success(),
        "it has more space"
    );
}
