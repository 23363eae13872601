//! What starts the heartbeat and the tunnel: systemd, `OpenRC` with cron, or cron alone.

use std::process::Command;

use crate::double::{Answer, run};
use crate::host::{Manager, ScratchHost, each_shell, one_shell, text, until};
use crate::script::put_script;
use crate::skipped;

/// A host whose token has a tunnel rule.
fn with_tunnel(shell: &'static str, manager: Manager, rule: &'static str) -> ScratchHost {
    let host = ScratchHost::managed(shell, manager);
    let mut answer = Answer::new(&host.proxy);
    answer.tunnel = rule;
    host.proxy.answer("heartbeat", &answer.text());
    answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 1));
    host.proxy.answer("join", &answer.text());
    host
}

#[test]
fn systemd_keeps_heartbeat_and_tunnel() {
    one_shell(|shell| {
        let host = with_tunnel(shell, Manager::Systemd, "required");
        host.joined(&[]);
        let calls = host.calls("systemctl");
        for unit in ["rproxy-heartbeat.timer", "rproxy-tunnel.service"] {
            assert!(calls.contains(&format!("enable --now {unit}")), "{calls:?}");
        }
        let units = host.at("etc/systemd/system");
        let heartbeat = text(&units.join("rproxy-heartbeat.service"));
        assert!(heartbeat.contains("/node.sh heartbeat\n"), "{heartbeat}");
        assert!(text(&units.join("rproxy-tunnel.service")).contains("Restart=always"));
        assert_eq!(host.proxy.last("heartbeat").values("tunnel"), ["yes"]);
        host.leave().success();
        let calls = host.calls("systemctl");
        for unit in ["rproxy-heartbeat.timer", "rproxy-tunnel.service"] {
            assert!(
                calls.contains(&format!("disable --now {unit}")),
                "{calls:?}"
            );
        }
    });
}

/// systemd itself reads the units.
#[test]
fn systemd_takes_the_units() {
    one_shell(|shell| {
        let host = with_tunnel(shell, Manager::Systemd, "required");
        host.joined(&[]);
        let units = host.at("etc/systemd/system");
        let names = [
            "rproxy-heartbeat.service",
            "rproxy-heartbeat.timer",
            "rproxy-tunnel.service",
        ];
        let mut analyze = Command::new("systemd-analyze");
        analyze
            .args(["verify", "--man=no"])
            .args(names.map(|name| units.join(name)));
        let Ok(output) = analyze.output() else {
            skipped::lacks("systemd-analyze");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let about_ours: Vec<_> = said
            .lines()
            .filter(|line| line.contains("rproxy-"))
            .collect();
        assert!(output.status.success() && about_ours.is_empty(), "{said}");
    });
}

#[test]
fn openrc_has_a_service_and_a_line_of_cron() {
    one_shell(|shell| {
        let host = with_tunnel(shell, Manager::OpenRc, "allowed");
        host.joined(&["--tunnel"]);
        assert!(
            host.calls("rc-update")
                .contains(&"add rproxy-tunnel default".to_owned())
        );
        assert!(host.calls("rc-service").contains(&"sshd reload".to_owned()));
        assert!(text(&host.at("etc/init.d/rproxy-tunnel")).starts_with("#!/sbin/openrc-run\n"));
        let crontab = text(&host.at("etc/crontabs/root"));
        assert!(crontab.contains("* * * * * /bin/sh "), "{crontab}");
        assert_eq!(
            crontab.matches("node.sh ").count(),
            2,
            "the line, and how to remove it: {crontab}"
        );
        host.leave().success();
        assert!(
            host.calls("rc-update")
                .contains(&"del rproxy-tunnel default".to_owned())
        );
    });
}

#[test]
fn cron_alone_starts_both() {
    one_shell(|shell| {
        let host = with_tunnel(shell, Manager::Cron, "required");
        host.joined(&[]);
        let lines = text(&host.at("etc/cron.d/rproxy"));
        assert!(
            lines.contains("* * * * * root /bin/sh ") && lines.contains("/node.sh tunnel "),
            "{lines}"
        );
        assert_eq!(lines.lines().count(), 2);
    });
}

#[test]
fn where_nothing_starts_it_the_administrator_reads_so() {
    one_shell(|shell| {
        let host = ScratchHost::managed(shell, Manager::Nothing);
        let said = host.join(&[]).success();
        assert_eq!(said.matches("once a minute").count(), 1, "{said}");
        assert!(host.is_in_force());
    });
}

#[test]
fn a_tunnel_needs_a_token_that_allows_it() {
    one_shell(|shell| {
        let host = with_tunnel(shell, Manager::Systemd, "no");
        let said = host.join(&["--tunnel"]).failure();
        assert!(
            said.contains("does not allow a tunnel: use one that does"),
            "{said}"
        );
        assert!(!host.ours("").exists());

        // A host that has joined does not take another token.
        let host = with_tunnel(shell, Manager::Systemd, "no");
        host.joined(&[]);
        let said = host.join(&["--tunnel"]).failure();
        assert!(said.contains("leave, and join again"), "{said}");

        // A tunnel leads to sshd on the loopback address.
        let host = with_tunnel(shell, Manager::Systemd, "required");
        host.configure("ListenAddress 192.0.2.7\n");
        let said = host.join(&[]).failure();
        assert!(said.contains("ListenAddress 127.0.0.1"), "{said}");
        assert!(!host.ours("").exists());
    });
}

#[test]
fn the_tunnel_is_that_of_stock_ssh() {
    one_shell(|shell| {
        let host = with_tunnel(shell, Manager::Systemd, "required");
        host.joined(&[]);
        let mut tunnel = host
            .command(&host.ours("node.sh"), &["tunnel"])
            .spawn()
            .unwrap();
        let call = || {
            host.calls("ssh")
                .into_iter()
                .find(|call| call.contains(" -N "))
        };
        until("ssh is started", || call().is_some());
        let call = call().unwrap();
        for part in [
            "-R 22:127.0.0.1:2222 ",
            "ExitOnForwardFailure=yes",
            "ServerAliveInterval=15",
            "StrictHostKeyChecking=yes",
            "-l join",
            "-p 3023",
        ] {
            assert!(call.contains(part), "{part}: {call}");
        }
        // A second one does not run beside it.
        host.run_with(&host.ours("node.sh"), &["tunnel"], "")
            .success();
        assert_eq!(
            host.calls("ssh")
                .iter()
                .filter(|call| call.contains(" -N "))
                .count(),
            1
        );
        // A unit that is stopped has not failed.
        let status = tunnel_ends(&mut tunnel).to_string();
        for unit in ["tunnel", "heartbeat"] {
            let unit = format!("etc/systemd/system/rproxy-{unit}.service");
            let fine = format!("SuccessExitStatus={status}\n");
            assert!(text(&host.at(&unit)).contains(&fine), "{unit}: {status}");
        }
        host.leave().success();
    });
}

/// Ends it as a manager does.
fn tunnel_ends(tunnel: &mut std::process::Child) -> i32 {
    run(Command::new("kill").arg(tunnel.id().to_string()));
    tunnel.wait().unwrap().code().unwrap()
}

/// The proxy refuses it each time: it is tried more seldom.
#[test]
fn a_tunnel_that_is_refused_waits() {
    each_shell(|shell| {
        for (why, is_patient) in [
            (
                "Error: remote port forwarding failed for listen port 22",
                true,
            ),
            ("rproxy: client: the node db1 is locked", true),
            ("Connection refused", false),
        ] {
            let host = with_tunnel(shell, Manager::Systemd, "required");
            host.joined(&[]);
            let slept = host.at("slept");
            host.put_program("ssh", &format!("#!/bin/sh\necho '{why}' >&2\nexit 255\n"));
            let sleep = format!("#!/bin/sh\necho \"$1\" >>{}\n", slept.display());
            host.put_program("sleep", &sleep);
            let mut tunnel = host
                .command(&host.ours("node.sh"), &["tunnel"])
                .spawn()
                .unwrap();
            let seconds = || -> Vec<u32> {
                let text = std::fs::read_to_string(&slept).unwrap_or_default();
                text.lines().map(|line| line.parse().unwrap()).collect()
            };
            until("it was tried four times", || seconds().len() >= 4);
            host.leave().success();
            tunnel.wait().unwrap();
            for (index, pause) in seconds().into_iter().enumerate().skip(1) {
                assert_eq!(pause >= 60, is_patient, "{why}: {index}: {pause}");
            }
        }
    });
}

/// As after `nodes unlock`.
#[test]
fn a_heartbeat_ends_the_wait_of_a_tunnel() {
    each_shell(|shell| {
        let host = with_tunnel(shell, Manager::Systemd, "required");
        host.joined(&[]);
        let tries = host.at("tries");
        let refused = host.at("refused");
        std::fs::create_dir(&refused).unwrap();
        let ssh = format!(
            "#!/bin/sh\necho >>{}\necho 'rproxy: client: the node db1 is locked' >&2\nexit 255\n",
            tries.display()
        );
        put_script(&ssh, &refused.join("ssh"));
        let bin = host.script().with_file_name("bin");
        let mut tunnel = host.command(&host.ours("node.sh"), &["tunnel"]);
        let path = format!(
            "{}:{}:/usr/bin:/bin:/usr/sbin",
            refused.display(),
            bin.display()
        );
        let mut tunnel = tunnel.env("PATH", path).spawn().unwrap();
        let children = || {
            let path = format!("/proc/{0}/task/{0}/children", tunnel.id());
            std::fs::read_to_string(path).unwrap()
        };
        let waits = || {
            let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            let names: Vec<_> = children().split_whitespace().flat_map(name).collect();
            names.iter().any(|name| name.contains("sleep"))
        };
        let count = || text(&tries).lines().count();
        until("it waits", || tries.exists() && count() == 1 && waits());
        let mut answer = Answer::new(&host.proxy);
        answer.tunnel = "required";
        let wanted = answer.text().replace("\nend\n", "\ntunnel-open no\nend\n");
        host.proxy.answer("heartbeat", &wanted);
        host.heartbeat().success();
        until("it waits again", || count() == 2 && waits());
        let left = children();
        tunnel_ends(&mut tunnel);
        for pid in left.split_whitespace() {
            let place = format!("/proc/{pid}");
            until("its child has ended", || {
                !std::path::Path::new(&place).exists()
            });
        }
        host.leave().success();
    });
}

/// An upgraded proxy leaves the tunnel to the process that has its sessions, and wants another one.
#[test]
fn another_tunnel_is_opened_beside() {
    each_shell(|shell| {
        let host = with_tunnel(shell, Manager::Systemd, "required");
        host.joined(&[]);
        let mut tunnel = host
            .command(&host.ours("node.sh"), &["tunnel"])
            .spawn()
            .unwrap();
        let count = || {
            let calls = host.calls("ssh");
            calls.iter().filter(|call| call.contains(" -N ")).count()
        };
        until("ssh is started", || count() == 1);
        host.heartbeat().success();
        let mut answer = Answer::new(&host.proxy);
        answer.tunnel = "required";
        let text = answer.text().replace("\nend\n", "\ntunnel-open no\nend\n");
        host.proxy.answer("heartbeat", &text);
        host.heartbeat().success();
        until("another ssh is started", || count() == 2);
        let children = || {
            let path = format!("/proc/{0}/task/{0}/children", tunnel.id());
            let text = std::fs::read_to_string(path).unwrap();
            text.split_whitespace().count()
        };
        assert_eq!(children(), 2, "the first goes on");
        host.leave().success();
        tunnel.wait().unwrap();
        assert_eq!(count(), 2);
    });
}
