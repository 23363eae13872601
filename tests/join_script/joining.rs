//! A host joins; a second run changes nothing; whatever goes wrong leaves the host as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::double::{Answer, generate, run};
use crate::host::{ScratchHost, TOKEN, each_shell, found, list_number, one_shell, text};

#[test]
fn one_command_joins() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let said = host.join(&["--name", "DB1", "--label=env=prod"]).success();
        assert!(said.contains("is the node db1 of demo"), "{said}");
        assert!(host.is_in_force(), "{}", host.effective());
        assert_eq!(
            text(&host.ours("user_ca.pub")),
            host.proxy.public("user_ca") + "\n"
        );
        assert_eq!(
            text(&host.ours("known_hosts")),
            format!(
                "@cert-authority [proxy.example.com]:3023 {}\n",
                host.proxy.public("host_ca")
            )
        );
        assert_eq!(list_number(&host.ours("revoked.krl")), 1);
        assert_eq!(host.reloads(), 1);
        assert!(
            host.calls("systemctl")
                .contains(&"enable --now rproxy-heartbeat.timer".to_owned())
        );
        assert!(!host.at("etc/systemd/system/rproxy-tunnel.service").exists());

        let asked = host.proxy.last("join");
        assert_eq!(asked.text.lines().next(), Some("rproxy-report 1"));
        assert_eq!(asked.text.lines().last(), Some("end"));
        assert_eq!(asked.values("token"), [TOKEN]);
        assert_eq!(asked.values("name"), ["db1"]);
        assert_eq!(asked.values("label"), ["env=prod"]);
        assert_eq!(asked.values("port"), ["2222"]);
        assert_eq!(asked.values("tunnel"), ["no"]);
        assert!(asked.values("sshd")[0].starts_with("OpenSSH_"));
        for number in ["uptime", "clock"] {
            assert!(
                asked.values(number)[0].parse::<u64>().unwrap() > 0,
                "{number}"
            );
        }

        // The first report has what was installed.
        let report = host.proxy.last("heartbeat");
        assert_eq!(report.values("certificate"), ["1"]);
        assert_eq!(report.values("revocations"), ["1"]);
        assert!(report.values("user-ca")[0].starts_with("SHA256:"));
        assert!(report.values("host-ca")[0].starts_with("SHA256:"));
        assert_eq!(report.values("problem"), Vec::<&str>::new());
        assert_eq!(report.values("token"), Vec::<&str>::new());
        assert_eq!(host.proxy.programs(), ["join", "revocations", "heartbeat"]);
    });
}

#[test]
fn a_second_run_changes_nothing() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&["--label", "env=prod"]);
        // But for questions.
        let calls_of = || {
            let mut calls = host.calls("systemctl");
            calls.retain(|call| !call.starts_with("is-"));
            calls
        };
        let (before, calls) = (host.stamped(), calls_of());
        let said = host.run_with(&host.script(), &[], "").success();
        assert!(said.contains("nothing to change"), "{said}");
        let said = host.join(&["--label", "env=prod"]).success();
        assert!(said.contains("nothing to change"), "{said}");
        host.heartbeat().success();
        assert_eq!(host.stamped(), before);
        assert_eq!(calls_of(), calls);
    });
}

#[test]
fn a_later_run_takes_new_labels() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&["--label", "env=prod", "--label", "role=web"]);
        let said = host.join(&["--label", "env=test"]).success();
        assert!(
            said.contains("changes") && !said.contains("writes"),
            "{said}"
        );
        let labels = text(&host.ours("labels"));
        let labels: Vec<_> = labels
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert_eq!(labels, ["role=web", "env=test"]);
        assert_eq!(
            host.proxy.last("heartbeat").values("label"),
            ["role=web", "env=test"]
        );
    });
}

#[test]
fn a_later_run_takes_a_new_address() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&["--address", "192.0.2.1"]);
        let arguments = ["--address", "192.0.2.2", "--address", "2001:db8::2"];
        let said = host.join(&arguments).success();
        assert!(said.contains("rproxy/proxy\n"), "{said}");
        let addresses = ["192.0.2.2", "2001:db8::2"];
        assert_eq!(host.proxy.last("heartbeat").values("address"), addresses);
        let reloads = host.reloads();
        let said = host.join(&arguments).success();
        assert!(said.contains("nothing to change"), "{said}");
        assert_eq!(host.reloads(), reloads);
    });
}

#[test]
fn a_dry_run_says_what_would_change() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        let before = host.tree();
        let said = host.run_with(&host.script(), &["--dry-run"], "").success();
        for part in [
            "00-rproxy.conf",
            "rproxy-heartbeat.timer",
            "reloads",
            "--leave",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(host.tree(), before);
        assert_eq!(host.proxy.programs(), Vec::<String>::new());
    });
}

#[test]
fn without_a_terminal_it_does_not_go_on_by_itself() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let before = host.tree();
        let said = host
            .run_with(&host.script(), &[], &format!("{TOKEN}\n"))
            .failure();
        assert!(said.contains("--yes"), "{said}");
        assert_eq!(host.tree(), before);
        assert_eq!(host.proxy.programs(), Vec::<String>::new());
    });
}

/// Joins in vain: the host is as it was, but for an empty directory of this boot.
fn nothing_remains(host: &ScratchHost, arguments: &[&str]) -> String {
    let tree = || {
        let mut tree = host.tree();
        tree.remove(&host.at("run/rproxy-node").display().to_string());
        tree
    };
    let before = tree();
    let said = host.join(arguments).failure();
    assert!(tree() == before, "{:?}", tree().keys());
    assert_eq!(host.calls("systemctl"), Vec::<String>::new());
    said
}

#[test]
fn a_refused_token_changes_nothing() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.proxy.refuse(
            "join",
            "rproxy: the token is not known (token-unknown)\n  ask for another\n",
        );
        let said = nothing_remains(&host, &[]);
        assert!(
            said.contains("the token is not known (token-unknown)"),
            "{said}"
        );
        assert_eq!(host.proxy.programs(), ["join"]);
    });
}

#[test]
fn what_is_no_token_is_not_sent() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        for (input, word) in [
            ("\n", "no token was given"),
            ("\r\n", "no token was given"),
            ("", "no token"),
            ("a b\n", "no token"),
            ("$(id)\n", "no token"),
        ] {
            let said = host.run_with(&host.script(), &["--yes"], input).failure();
            assert!(said.contains(word), "{said}");
        }
        assert_eq!(host.proxy.programs(), Vec::<String>::new());
    });
}

/// The file of the token comes from Windows.
#[test]
fn a_token_may_have_another_end_of_its_line() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.run_with(&host.script(), &["--yes"], &format!("{TOKEN}\r\n"))
            .success();
        assert_eq!(host.proxy.last("join").values("token"), [TOKEN]);
    });
}

#[test]
fn a_name_is_given_only_where_the_token_has_none() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        assert_eq!(host.proxy.last("join").values("name"), Vec::<&str>::new());

        let host = ScratchHost::new(shell);
        host.proxy
            .refuse("join", "rproxy: no name is wanted (name-missing)\n");
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("name-missing"), "{said}");
        assert_eq!(host.proxy.programs(), ["join", "join"]);
        let machine = run(std::process::Command::new("uname").arg("-n")).to_lowercase();
        let short = machine.trim().split('.').next().unwrap();
        assert_eq!(host.proxy.last("join").values("name"), [short]);
    });
}

/// The token was spent by a run that could not finish.
#[test]
fn a_spent_token_is_enough_for_the_host_that_has_spent_it() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.proxy
            .refuse("join", "rproxy: the token was used (token-spent)\n");
        let mut answer = Answer::new(&host.proxy);
        answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 4));
        host.proxy.answer("heartbeat", &answer.text());
        host.joined(&[]);
        assert!(host.is_in_force());

        let host = ScratchHost::new(shell);
        host.proxy
            .refuse("join", "rproxy: the token was used (token-spent)\n");
        host.proxy
            .refuse("heartbeat", "rproxy: not a node (not-joined)\n");
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("token-spent"), "{said}");

        // It has left, and is a node still: its last certificate is too new for another one.
        let host = ScratchHost::new(shell);
        host.proxy
            .refuse("join", "rproxy: the token was used (token-spent)\n");
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("token-spent"), "{said}");
    });
}

#[test]
fn an_answer_that_is_cut_or_wrong_is_not_used() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        let good = || {
            let mut answer = Answer::new(&host.proxy);
            answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 1));
            answer
        };
        let whole = good().text();
        let cut = whole.strip_suffix("end\n").unwrap().to_owned();
        let mut no_certificate = good();
        no_certificate.certificate = None;
        generate(&host.proxy.path("stranger"));
        let mut of_stranger = good();
        of_stranger.certificate = Some(host.proxy.certify("stranger", &host.key(), 1));
        let mut for_another = good();
        for_another.certificate = Some(host.proxy.certify(
            "host_ca",
            &host.proxy.path("stranger"),
            1,
        ));
        let mut no_user_ca = good();
        no_user_ca.user_cas = vec!["ssh-ed25519 AAAA".to_owned()];
        for (text, word) in [
            (cut, "not whole"),
            (String::new(), "not whole"),
            (
                whole.replace("name db1", "name db\u{1b}[31m1"),
                "control characters",
            ),
            (no_certificate.text(), "no host certificate"),
            (of_stranger.text(), "not for this host"),
            (for_another.text(), "not for this host"),
            (no_user_ca.text(), "no usable keys"),
        ] {
            host.proxy.answer("join", &text);
            let said = nothing_remains(&host, &[]);
            assert!(said.contains(word), "{word}: {said}");
        }
    });
}

#[test]
fn a_damaged_list_is_not_used() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        let path = host.proxy.path("revocations.answer");
        let list = fs::read(&path).unwrap();
        for damaged in [
            &list[..30],
            b"SSHKRL\n\0 and so on, but no list of keys",
            b"",
        ] {
            fs::write(&path, damaged).unwrap();
            let said = nothing_remains(&host, &[]);
            assert!(said.contains("revocation list"), "{said}");
        }
    });
}

/// With an sshd that refuses its configuration once the snippet is there.
#[test]
fn what_sshd_refuses_is_taken_back() {
    each_shell(|shell| {
        for flag in ["-t", "-T"] {
            let host = ScratchHost::new(shell);
            let sshd = format!(
                "#!/bin/sh\ncase $1 in\n{flag}) if [ -e {}/etc/ssh/rproxy/node.sh ]; then\n\
                 echo 'line 7: I do not like it' >&2\nexit 255\nfi ;;\nesac\nexec {} \"$@\"\n",
                host.at("").display(),
                found("sshd").display()
            );
            host.put_program("sshd", &sshd);
            let said = nothing_remains(&host, &[]);
            assert!(said.contains("I do not like it"), "{said}");
            assert!(said.contains("as it was"), "{said}");
        }
    });
}

#[test]
fn a_broken_configuration_is_repaired_first() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.append("NoSuchKeyword yes\n");
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("NoSuchKeyword"), "{said}");
        assert_eq!(host.proxy.programs(), Vec::<String>::new());
    });
}

/// `ssh` refuses a key that a group can read, as RHEL's hosts have them.
#[test]
fn a_key_that_a_group_can_read_is_used_as_it_is() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        fs::set_permissions(host.key(), fs::Permissions::from_mode(0o640)).unwrap();
        // sshd would refuse it too, where it is not Red Hat's.
        let sshd = format!(
            "#!/bin/sh\nchmod 600 {key}\n{} \"$@\"\nstatus=$?\nchmod 640 {key}\nexit $status\n",
            found("sshd").display(),
            key = host.key().display(),
        );
        host.put_program("sshd", &sshd);
        host.joined(&[]);
        host.heartbeat().success();
        let secret = fs::read(host.key()).unwrap();
        let copies = host
            .tree()
            .into_values()
            .filter(|(_, content)| *content == secret);
        assert_eq!(copies.count(), 1, "the key has a copy");
    });
}

#[test]
fn settings_of_the_administrator_stay() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        generate(&host.at("etc/ssh/their_ca"));
        let theirs = host.at("etc/ssh/their_ca.pub");
        host.append(&format!("TrustedUserCAKeys {}\n", theirs.display()));
        host.joined(&[]);
        let trusted = text(&host.ours("user_ca.pub"));
        assert_eq!(
            trusted,
            format!("{}\n{}", host.proxy.public("user_ca"), text(&theirs))
        );
        assert!(host.is_in_force());

        // Another certificate for the same key would take the place of ours, or ours of it.
        let host = ScratchHost::new(shell);
        host.proxy.sign("host_ca", &host.key(), &["-n", "db1"]);
        let certificate = host.at("etc/ssh/ssh_host_ed25519_key-cert.pub");
        host.append(&format!("HostCertificate {}\n", certificate.display()));
        let said = nothing_remains(&host, &[]);
        assert!(said.contains("HostCertificate"), "{said}");
    });
}

/// The Ansible role has prepared the host: its lines name files that would become ours.
#[test]
fn lines_that_name_our_files_come_off_first() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.make_home();
        fs::copy(host.proxy.path("user_ca.pub"), host.ours("user_ca.pub")).unwrap();
        let snippet = host.at("etc/ssh/sshd_config.d/10-rproxy.conf");
        let line = format!("TrustedUserCAKeys {}\n", host.ours("user_ca.pub").display());
        fs::write(&snippet, line).unwrap();
        let said = nothing_remains(&host, &[]);
        assert!(
            said.contains("10-rproxy.conf names files in") && said.contains("Ansible role"),
            "{said}"
        );
        fs::remove_file(snippet).unwrap();
        host.joined(&[]);
    });
}

/// One list of revoked keys before OpenSSH 10.3, several since.
#[test]
fn a_list_of_the_administrator_stays_in_force() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        let theirs = host.at("etc/ssh/their_list");
        fs::write(&theirs, "").unwrap();
        host.append(&format!("RevokedKeys {}\n", theirs.display()));
        let trial = host.join(&[]).text();
        let line = format!("revokedkeys {}", host.ours("revoked.krl").display());
        if trial.contains("one list") {
            assert!(!host.effective().contains(&line.to_lowercase()));
        } else {
            let both = format!("{line} {}", theirs.display());
            assert!(host.effective().contains(&both.to_lowercase()));
        }
    });
}

#[test]
fn one_run_at_a_time() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        let count = host.proxy.programs().len();
        // A process with the name of the script: a heartbeat, while another run is going on.
        let holder = host.another_run();
        let lock = host.at("run/rproxy-node/lock");
        std::os::unix::fs::symlink(format!("{}:holder.sh", holder.id()), &lock).unwrap();
        host.heartbeat().success();
        assert_eq!(host.proxy.programs().len(), count);
        let said = host.join(&["--label", "a=b"]).failure();
        assert!(said.contains("another run"), "{said}");
        drop(holder);
        // It is gone: its lock is taken over.
        host.heartbeat().success();
        assert_eq!(host.proxy.programs().len(), count + 1);
        assert!(!lock.is_symlink());
    });
}

#[test]
fn wrong_arguments_are_refused() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        for arguments in [
            &["--frob"][..],
            &["--name"],
            &["--name", "a b"],
            &["--name", "-oProxyCommand=x"],
            &["--name", ""],
            &["--name", "../db1"],
            &["--name", "db1\nname db2"],
            &["--name", "d\u{f6}b1"],
            &["--label", "no value"],
            &["--label", "#a=b"],
            &["--label", "=b"],
            &["--label", "a=b\nc=d"],
            &["--label", "a b=c"],
            &["--address", "db1;id"],
        ] {
            host.join(arguments).failure();
        }
        assert!(
            host.run_with(&host.script(), &["--help"], "")
                .success()
                .contains("--dry-run")
        );
        assert_eq!(host.proxy.programs(), Vec::<String>::new());
    });
}
