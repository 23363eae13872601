//! `--leave`: the host is what it was, byte for byte.

use std::fs;

use crate::double::{Answer, generate};
use crate::host::{Manager, ScratchHost, Tree, each_shell, found, one_shell, text};

/// What is not below `run`, which is empty after a restart.
fn kept(host: &ScratchHost) -> Tree {
    let mut tree = host.tree();
    let run = host.at("run").display().to_string();
    tree.retain(|path, _| !path.starts_with(&run));
    tree
}

/// Joins a host, reports, and leaves.
fn there_and_back(host: &ScratchHost, arguments: &[&str]) {
    let before = kept(host);
    let config = text(&host.at("etc/ssh/sshd_config"));
    host.joined(arguments);
    assert!(host.is_in_force(), "{config}");
    host.heartbeat().success();
    let said = host.leave().success();
    assert!(said.contains("rproxy nodes rm db1"), "{said}");
    assert_eq!(kept(host), before, "{config}");
    assert!(!host.at("run/rproxy-node").exists());
}

#[test]
fn every_kind_of_host_is_as_it_was() {
    one_shell(|shell| {
        for manager in [
            Manager::Systemd,
            Manager::OpenRc,
            Manager::Cron,
            Manager::Nothing,
        ] {
            let host = ScratchHost::managed(shell, manager);
            if manager == Manager::OpenRc {
                fs::write(
                    host.at("etc/crontabs/root"),
                    "0 1 * * * true # without an end",
                )
                .unwrap();
            }
            there_and_back(&host, &["--label", "a=b"]);
            assert!(host.proxy.programs().len() > 3);
        }
    });
}

/// A crontab that holds nothing but our lines is ours.
#[test]
fn a_crontab_that_was_not_there_is_gone() {
    one_shell(|shell| {
        let host = ScratchHost::managed(shell, Manager::OpenRc);
        there_and_back(&host, &[]);
    });
}

#[test]
fn every_sshd_config_is_as_it_was() {
    one_shell(|shell| {
        for end in [
            "",
            "Match User nobody\n  X11Forwarding no\n",
            "# without an end",
            "\n\n\n",
            "# rproxy: begin is what others write too\n",
        ] {
            let host = ScratchHost::new(shell);
            host.configure("");
            host.append(end);
            there_and_back(&host, &[]);
        }
        // Settings of the first lines count, and the directory is read too late, or for some users only.
        for first in ["TrustedUserCAKeys", "Match User nobody\nInclude"] {
            let host = ScratchHost::new(shell);
            generate(&host.at("etc/ssh/their_ca"));
            let include = format!("{}/*.conf", host.at("etc/ssh/sshd_config.d").display());
            let config = if first.starts_with("Match") {
                host.configure("");
                format!("{first} {include}\n")
            } else {
                let theirs = host.at("etc/ssh/their_ca.pub");
                host.configure(&format!(
                    "{first} {}\nInclude {include}\n",
                    theirs.display()
                ));
                String::new()
            };
            host.append(&config);
            there_and_back(&host, &[]);
        }
        // Old hosts have no such directory.
        let host = ScratchHost::new(shell);
        host.configure("");
        fs::remove_dir(host.at("etc/ssh/sshd_config.d")).unwrap();
        there_and_back(&host, &[]);
        let host = ScratchHost::new(shell);
        fs::remove_dir(host.at("etc/ssh/sshd_config.d")).unwrap();
        there_and_back(&host, &[]);
    });
}

/// `sshd_config` is a link, or was written by an editor of Windows.
#[test]
fn links_and_other_ends_of_lines_stay() {
    each_shell(|shell| {
        for includes in [true, false] {
            let host = ScratchHost::new(shell);
            if !includes {
                host.configure("");
            }
            let config = host.at("etc/ssh/sshd_config");
            let crlf = text(&config).replace('\n', "\r\n");
            fs::create_dir(host.at("etc/managed")).unwrap();
            fs::write(host.at("etc/managed/sshd_config"), crlf).unwrap();
            fs::remove_file(&config).unwrap();
            std::os::unix::fs::symlink("../managed/sshd_config", &config).unwrap();
            there_and_back(&host, &[]);
            host.joined(&[]);
            assert!(config.is_symlink());
            let is_block = text(&config).starts_with("# rproxy: begin");
            assert_eq!(
                is_block, !includes,
                "the directory is used where it is read"
            );
        }
    });
}

/// Files that were there under our names, as the Ansible role writes them.
#[test]
fn files_that_were_there_come_back() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.make_home();
        for name in ["user_ca.pub", "mine"] {
            fs::write(host.ours(name), "of the administrator\n").unwrap();
        }
        fs::write(host.at("etc/ssh/sshd_config.d/00-rproxy.conf"), "# also\n").unwrap();
        there_and_back(&host, &[]);
    });
}

/// What the administrator has changed meanwhile stays changed.
#[test]
fn changes_of_the_administrator_stay() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.configure("");
        host.joined(&[]);
        let after_joining = text(&host.at("etc/ssh/sshd_config"));
        assert!(
            after_joining.starts_with("# rproxy: begin"),
            "{after_joining}"
        );
        // Lines above ours too.
        fs::write(
            host.at("etc/ssh/sshd_config"),
            format!("# mine\n{after_joining}MaxAuthTries 3\n"),
        )
        .unwrap();
        host.heartbeat().success();
        host.leave().success();
        let left = text(&host.at("etc/ssh/sshd_config"));
        assert!(
            left.starts_with("# mine\nHostKey") && left.ends_with("MaxAuthTries 3\n"),
            "{left}"
        );
        assert!(!left.contains("rproxy"), "{left}");
    });
}

#[test]
fn lines_in_our_file_stay() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        let snippet = host.at("etc/ssh/sshd_config.d/00-rproxy.conf");
        let ours = text(&snippet);
        fs::write(
            &snippet,
            format!("{ours}# mine\nPasswordAuthentication no\n"),
        )
        .unwrap();
        host.leave().success();
        assert_eq!(text(&snippet), "# mine\nPasswordAuthentication no\n");
    });
}

/// Without the file of `RevokedKeys`, sshd would refuse every key.
#[test]
fn lines_that_were_moved_hold_a_host() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.configure("");
        host.joined(&[]);
        let config = host.at("etc/ssh/sshd_config");
        let joined = text(&config);
        // An editor that has changed the ends of all lines, so that our marks are no more.
        fs::write(&config, joined.replace('\n', "\r\n")).unwrap();
        let before = kept(&host);
        let said = host.leave().failure();
        assert!(said.contains("still names files in"), "{said}");
        assert_eq!(kept(&host), before);
        assert!(host.is_in_force());
        fs::write(&config, &joined).unwrap();

        // A copy for one user, which `sshd -T` does not show; also if sshd refuses the rest.
        let list = host.ours("revoked.krl");
        for broken in ["", "NoSuchKeyword yes\n"] {
            host.append(&format!(
                "{broken}Match User nobody\n  RevokedKeys {}\n",
                list.display()
            ));
            let said = host.leave().failure();
            assert!(said.contains("still names files in"), "{said}");
            fs::write(&config, &joined).unwrap();
        }
        // In a comment it does no harm.
        host.append(&format!("# once: RevokedKeys {}\n", list.display()));
        host.leave().success();
    });
}

#[test]
fn a_broken_configuration_does_not_hold_a_host() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        host.append("NoSuchKeyword yes\n");
        let said = host.leave().success();
        assert!(said.contains("as before"), "{said}");
        assert_eq!(host.reloads(), 1);
        assert!(!host.ours("").exists());
    });
}

/// Without our lines sshd would not start: everything stays as it is.
#[test]
fn leaving_is_taken_back_too() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        let snippet = host.at("etc/ssh/sshd_config.d/00-rproxy.conf");
        let sshd = format!(
            "#!/bin/sh\nif [ ! -e {} ]; then\necho 'I miss something' >&2\nexit 255\nfi\nexec {} \"$@\"\n",
            snippet.display(),
            found("sshd").display()
        );
        host.put_program("sshd", &sshd);
        let before = kept(&host);
        let said = host.leave().failure();
        assert!(said.contains("I miss something"), "{said}");
        assert_eq!(kept(&host), before);
        assert!(host.is_in_force());
        let calls = host.calls("systemctl");
        let last = calls.iter().rfind(|call| call.contains("able --now"));
        assert_eq!(last.unwrap(), "enable --now rproxy-heartbeat.timer");
    });
}

#[test]
fn only_a_node_can_leave() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        let before = host.tree();
        let said = host
            .run_with(&host.script(), &["--leave", "--yes"], "")
            .failure();
        assert!(said.contains("has not joined"), "{said}");
        assert_eq!(host.tree(), before);
    });
}

/// A tunnel that cron has started ends too, and so does its ssh.
#[test]
fn the_tunnel_ends() {
    each_shell(|shell| {
        let host = ScratchHost::managed(shell, Manager::Cron);
        let mut answer = Answer::new(&host.proxy);
        answer.tunnel = "required";
        host.proxy.answer("heartbeat", &answer.text());
        answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 1));
        host.proxy.answer("join", &answer.text());
        host.configure("ListenAddress 0.0.0.0\n");
        let before = kept(&host);
        host.joined(&[]);
        let mut tunnel = host
            .command(&host.ours("node.sh"), &["tunnel"])
            .spawn()
            .unwrap();
        crate::host::until("ssh is started", || {
            host.calls("ssh").iter().any(|call| call.contains(" -N "))
        });
        host.leave().success();
        tunnel.wait().unwrap();
        assert_eq!(kept(&host), before);
    });
}
