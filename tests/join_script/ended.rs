//! Runs that are ended in the middle: every file is the old one or the new one, no lock is left, and the next
//! run goes on.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use crate::double::{Answer, run};
use crate::host::{ScratchHost, TOKEN, Tree, each_shell, one_shell, text, until};

/// Programs by which the script changes files. `cp` makes new ones under other names only.
const STEPS: [&str; 3] = ["mv", "ln", "mkdir"];

/// Has each step counted; the one with the number in `at` sends a signal to all processes of the run, before
/// the step itself, which is still done.
fn count_steps(host: &ScratchHost) {
    let place = host.at("").with_file_name("calls").display().to_string();
    for program in STEPS {
        host.wrap_program(
            program,
            &format!(
                "trap '' INT TERM HUP\nread -r n <{place}/steps\nn=$((n + 1))\necho $n >{place}/steps\n\
                 read -r at <{place}/at\n[ $n != \"$at\" ] || kill -s \"$(cat {place}/signal)\" 0"
            ),
        );
    }
}

/// From now on, the step of this number sends a signal; 0 is none.
fn end_at(host: &ScratchHost, number: usize) {
    let signal = ["TERM", "INT", "HUP"][number % 3];
    let place = host.at("").with_file_name("calls");
    for (name, text) in [
        ("at", number.to_string()),
        ("steps", "0".into()),
        ("signal", signal.into()),
    ] {
        fs::write(place.join(name), text).unwrap();
    }
}

fn steps(host: &ScratchHost) -> usize {
    let path = host.at("").with_file_name("calls/steps");
    text(&path).trim().parse().unwrap()
}

/// What is not below `run`; of that, nothing but the mark that a reload is due may be left.
fn kept(host: &ScratchHost) -> Tree {
    let mut tree = host.tree();
    let run = host.at("run").display().to_string();
    let mut of_run = tree
        .keys()
        .filter(|path| path.contains("rproxy") && path.starts_with(&run));
    let allowed = ["rproxy-node", "reload", "problem"];
    let is_allowed = |path: &String| allowed.iter().any(|name| path.ends_with(name));
    assert!(of_run.all(is_allowed), "{:?}", tree.keys());
    tree.retain(|path, _| !path.starts_with(&run));
    for path in tree.keys() {
        assert!(!path.contains(".rproxy-"), "{path}");
    }
    tree
}

/// All steps, a third of them with each shell.
fn each_step(case: impl Fn(&'static str, &mut dyn FnMut(&ScratchHost) -> bool)) {
    let shells = ["dash", "busybox", "bash"];
    each_shell(|shell| {
        let first = 1 + shells.iter().position(|name| *name == shell).unwrap();
        let mut number = first;
        let mut next = |host: &ScratchHost| {
            let is_over = number > first && steps(host) < number - shells.len();
            println!(
                "step {number}{}",
                if is_over { ": there is none" } else { "" }
            );
            end_at(host, if is_over { 0 } else { number });
            number += shells.len();
            !is_over
        };
        case(shell, &mut next);
        assert!(number > 6, "steps were counted");
    });
}

#[test]
fn joining_is_ended_at_each_step() {
    each_step(|shell, next| {
        let host = ScratchHost::new(shell);
        count_steps(&host);
        let before = kept(&host);
        while next(&host) {
            let said = host.join(&["--label", "a=b"]).text();
            let after = kept(&host);
            if !host.ours("").exists() {
                assert_eq!(after, before, "{said}");
                continue;
            }
            // Joined in full: a second run has nothing to change, and starts what was not started.
            let reached = steps(&host);
            assert!(host.is_in_force(), "{said}");
            end_at(&host, 0);
            let said = host.join(&["--label", "a=b"]).success();
            assert!(said.contains("nothing to change"), "{said}");
            assert_eq!(kept(&host), after);
            assert!(host.reloads() > 0);
            host.leave().success();
            assert_eq!(kept(&host), before);
            fs::write(
                host.at("").with_file_name("calls/steps"),
                reached.to_string(),
            )
            .unwrap();
        }
    });
}

#[test]
fn a_heartbeat_is_ended_at_each_step() {
    each_step(|shell, next| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        count_steps(&host);
        end_at(&host, 0);
        let mut serial = 1;
        while next(&host) {
            serial += 1;
            let mut answer = Answer::new(&host.proxy);
            answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), serial));
            host.proxy.answer("heartbeat", &answer.text());
            let reloads = host.reloads();
            let before = text(&host.ours("host-cert.pub"));
            let said = host.heartbeat().text();
            kept(&host);
            assert!(host.is_in_force());
            let reached = steps(&host);
            let now = text(&host.ours("host-cert.pub"));
            assert!(
                now == before || now.trim() == answer.certificate.clone().unwrap(),
                "{said}"
            );
            end_at(&host, 0);
            host.heartbeat().success();
            assert_eq!(
                text(&host.ours("host-cert.pub")).trim(),
                answer.certificate.unwrap()
            );
            assert!(host.reloads() > reloads, "sshd has not read it: {said}");
            fs::write(
                host.at("").with_file_name("calls/steps"),
                reached.to_string(),
            )
            .unwrap();
        }
    });
}

#[test]
fn leaving_is_ended_at_each_step() {
    each_step(|shell, next| {
        let host = ScratchHost::new(shell);
        count_steps(&host);
        end_at(&host, 0);
        let before = kept(&host);
        host.joined(&["--label", "a=b"]);
        let joined = kept(&host);
        while next(&host) {
            let said = host.leave().text();
            let after = kept(&host);
            let reached = steps(&host);
            if after != joined {
                assert_eq!(after, before, "{said}");
                end_at(&host, 0);
                host.joined(&["--label", "a=b"]);
            } else if !said.contains("removes") {
                // It was ended before it has done anything.
            } else {
                assert!(host.is_in_force());
                let calls = host.calls("systemctl");
                let last = calls
                    .iter()
                    .rfind(|call| call.contains("able --now rproxy-heartbeat"));
                assert!(last.unwrap().starts_with("enable"), "{calls:?}");
            }
            fs::write(
                host.at("").with_file_name("calls/steps"),
                reached.to_string(),
            )
            .unwrap();
        }
        end_at(&host, 0);
        host.leave().success();
        assert_eq!(kept(&host), before);
    });
}

/// While the proxy does not finish its answer.
#[test]
fn a_run_that_waits_for_the_proxy_is_ended() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        let before = kept(&host);
        for signal in ["INT", "TERM", "HUP"] {
            let asked = host.proxy.programs().len();
            host.proxy.hang("join");
            let mut command = host.command(&host.script(), &["--yes"]);
            let mut child = command.spawn().unwrap();
            writeln!(child.stdin.take().unwrap(), "{TOKEN}").unwrap();
            until("the proxy is asked", || host.proxy.programs().len() > asked);
            // To its process group, as a terminal does.
            let group = format!("-{}", child.id());
            run(Command::new("kill").args(["-s", signal, "--", &group]));
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(130), "{signal}: {output:?}");
            assert_eq!(kept(&host), before, "{signal}");
        }
        host.joined(&[]);
    });
}

/// A run that was killed before it has started the timer.
#[test]
fn what_was_not_started_is_started_by_the_next_run() {
    one_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        let count = || {
            let calls = host.calls("systemctl");
            calls
                .iter()
                .filter(|call| call.starts_with("enable --now"))
                .count()
        };
        assert_eq!(count(), 1);
        host.wrap_systemctl("is-active) exit 3 ;;");
        let said = host.run_with(&host.script(), &[], "").success();
        assert!(said.contains("nothing to change"), "{said}");
        assert_eq!(count(), 2);
    });
}

/// The lock of a run that was killed while it was taking over a lock.
#[test]
fn locks_of_the_dead_do_not_hold() {
    each_shell(|shell| {
        let host = ScratchHost::new(shell);
        host.joined(&[]);
        let count = || host.proxy.programs().len();
        let before = count();
        for name in ["lock", "lock.taken"] {
            let lock = host.at("run/rproxy-node").join(name);
            // No process has this number.
            std::os::unix::fs::symlink("4194305:node.sh", lock).unwrap();
        }
        host.heartbeat().success();
        assert_eq!(count(), before, "the first one clears up");
        host.heartbeat().success();
        assert!(count() > before);
    });
}
