//! Labels by file and by program: only what is a label gets into the report, and no program holds it up.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::host::{ScratchHost, each_shell, found, one_shell, until};
use crate::script::put_script;

fn joined(shell: &'static str) -> ScratchHost {
    let host = ScratchHost::new(shell);
    host.joined(&[]);
    host
}

fn program(host: &ScratchHost, name: &str, text: &str) {
    put_script(
        &format!("#!/bin/sh\n{text}\n"),
        &host.ours("labels.d").join(name),
    );
}

fn reported(host: &ScratchHost) -> Vec<String> {
    let report = host.proxy.last("heartbeat");
    report
        .values("label")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[test]
fn files_and_programs_have_labels() {
    each_shell(|shell| {
        let host = joined(shell);
        // The last line lacks its end.
        fs::write(host.ours("labels"), "# of the host\nenv=prod\n\nrack=a b=c").unwrap();
        program(&host, "kernel", "uname -s; echo more");
        program(&host, "umlaut", "printf 'K\\303\\266ln\\n'");
        fs::write(host.ours("labels.d/notes"), "is no program").unwrap();
        host.heartbeat().success();
        assert_eq!(
            reported(&host),
            ["env=prod", "rack=a b=c", "kernel=Linux", "umlaut=K\u{f6}ln"]
        );
        assert_eq!(
            host.proxy.last("heartbeat").values("problem"),
            Vec::<&str>::new()
        );
    });
}

#[test]
fn junk_is_no_label() {
    each_shell(|shell| {
        let host = joined(shell);
        fs::write(
            host.ours("labels"),
            "no value\n=x\na b=c\nenv=prod\nx=\u{1b}[31m\n",
        )
        .unwrap();
        program(&host, "colours", "printf '\\033[31mred\\n'");
        program(&host, "fails", "echo value; exit 3");
        program(&host, "long", "head -c 1000 /dev/zero | tr '\\0' x");
        program(&host, "endless", "cat /dev/zero | tr '\\0' x");
        program(
            &host,
            "many",
            "echo value; head -c 5000 /dev/zero | tr '\\0' '\\n'",
        );
        program(&host, "ok", "echo fine");
        program(&host, "two", "printf 'a\\nlabel env=test\\nend\\n'");
        let said = host.heartbeat().success();
        for name in ["endless", "many"] {
            let why = format!("labels.d/{name}: prints more than 4 KiB");
            assert!(said.contains(&why), "{said}");
        }
        assert_eq!(reported(&host), ["env=prod", "ok=fine", "two=a"]);
        let report = host.proxy.last("heartbeat");
        assert_eq!(report.values("problem").len(), 1);
        assert_eq!(report.text.lines().filter(|line| *line == "end").count(), 1);
    });
}

/// What watches a program is ended as soon as the program has ended, at times before it has begun. In bash it
/// still has the traps of its parent then, one of which removes all that the parent has written.
#[test]
fn what_watches_a_program_does_not_clean_up() {
    let beats = || {
        on_one_processor();
        let host = joined("bash");
        for number in 0..50 {
            let fast = host.ours("labels.d").join(format!("fast{number}"));
            fs::copy(found("true"), fast).unwrap();
        }
        for _ in 0..2 {
            host.heartbeat().success();
        }
    };
    // They take the processor from each other.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(beats);
        }
    });
}

/// This thread, and the processes that it starts.
fn on_one_processor() {
    let allowed = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu));
    let mut one = CpuSet::new();
    one.set(first.unwrap());
    sched_setaffinity(None, &one).unwrap();
}

fn is_group_alive(group: &str) -> bool {
    let member = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // State, parent, and process group come after the name.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut words = rest.split(' ');
        (words.next()? != "Z" && words.nth(1)? == group).then_some(())
    };
    let processes = fs::read_dir("/proc").unwrap();
    processes.filter_map(|entry| member(entry.unwrap())).count() > 0
}

#[test]
fn a_program_that_hangs_is_ended() {
    each_shell(|shell| {
        let host = joined(shell);
        let marker = host.at("run/marker");
        // A child of it would go on after it.
        let sleep = found("sleep");
        let text = format!(
            "echo $$ >{}\n{} 1000 &\nwait",
            marker.display(),
            sleep.display()
        );
        program(&host, "hangs", &text);
        program(&host, "ok", "echo fine");
        let said = host.heartbeat().text();
        assert!(said.contains("five seconds"), "{said}");
        assert_eq!(reported(&host), ["ok=fine"], "{said}");
        let group = fs::read_to_string(marker).unwrap();
        // What was killed is gone a moment later.
        until("its child ends", || !is_group_alive(group.trim()));
    });
}

/// They are run as root.
#[test]
fn what_others_can_write_is_not_run() {
    one_shell(|shell| {
        let host = joined(shell);
        program(&host, "open", "echo value");
        fs::set_permissions(
            host.ours("labels.d/open"),
            fs::Permissions::from_mode(0o777),
        )
        .unwrap();
        symlink(found("true"), host.ours("labels.d/link")).unwrap();
        let said = host.heartbeat().text();
        for name in ["open", "link"] {
            let why = format!("labels.d/{name}: others can write it, or it is a link");
            assert!(said.contains(&why), "{said}");
        }
        assert_eq!(reported(&host), Vec::<String>::new());
    });
}
