//! The proxy of a world: its processes, its configuration, its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::World;
use super::files::write;
use crate::support::programs;
use crate::support::proxy::{self, ProxyProcess};

impl World {
    /// Where the proxy listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.borrow().address
    }

    /// The port of the proxy.
    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }

    /// The process id of the proxy's monitor.
    pub(crate) fn proxy_pid(&self) -> u32 {
        self.proxy.borrow().pid()
    }

    /// The process id of the one worker that the proxy has.
    pub(crate) fn worker_pid(&self) -> u32 {
        let workers = self.workers();
        assert_eq!(workers.len(), 1, "one worker, not {workers:?}");
        workers[0]
    }

    /// The process ids of the proxy's workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        self.proxy.borrow().workers()
    }

    /// The process id of the one auth process that the proxy has.
    pub(crate) fn auth_pid(&self) -> u32 {
        let auths = self.proxy.borrow().auths();
        assert_eq!(auths.len(), 1, "one auth process, not {auths:?}");
        auths[0]
    }

    /// The process ids of the proxy's web processes.
    pub(crate) fn webs(&self) -> Vec<u32> {
        self.proxy.borrow().webs()
    }

    /// Kills the auth process (SIGKILL), as soon as there is one.
    pub(crate) fn kill_auth(&self) {
        let running = || self.proxy.borrow().auths().first().copied();
        let pid = self.eventually("an auth process", running);
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.expect("the number of a process");
        kill_process(pid, Signal::KILL).expect("it runs");
    }

    /// The memory that the proxy uses, in KiB (`VmRSS`).
    pub(crate) fn proxy_memory(&self) -> u64 {
        self.proxy.borrow().memory()
    }

    /// The same as the proxy sees it, if it has a disk of its own.
    pub(crate) fn data_on_disk(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.proxy_pid()));
        let data = self.data();
        root.join(data.strip_prefix("/").expect("an absolute path"))
    }

    /// What the proxy has logged.
    pub(crate) fn proxy_log(&self) -> String {
        self.proxy.borrow().log()
    }

    /// Starts or stops reading the pipe of the proxy's log.
    pub(crate) fn read_log(&self, is_read: bool) {
        self.proxy.borrow().read_log(is_read);
    }

    /// Waits until the proxy has logged this, and gives what follows it on its line. Lines are written by a
    /// thread of their own, some time after what they tell of.
    pub(crate) fn logged(&self, text: &str) -> String {
        self.eventually(&format!("the proxy logs {text:?}"), || {
            let log = self.proxy_log();
            let (_, rest) = log.split_once(text)?;
            let (line, _) = rest.split_once('\n')?;
            Some(line.to_owned())
        })
    }

    /// Any signal for the proxy.
    pub(crate) fn signal_proxy(&self, signal: Signal) {
        let pid = i32::try_from(self.proxy_pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), signal).expect("it runs");
    }

    /// Sends SIGSTOP to a process, and waits until it has stopped: each thread stops when it is scheduled.
    pub(crate) fn pause(&self, pid: Pid) {
        kill_process(pid, Signal::STOP).expect("it runs");
        let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
        let is_stopped = |task: &Path| {
            let stat = std::fs::read_to_string(task.join("stat"));
            stat.is_ok_and(|stat| stat.contains(") T "))
        };
        self.eventually("all its threads have stopped", || {
            let tasks = std::fs::read_dir(&tasks).expect("it runs");
            let mut tasks = tasks.map(|task| task.expect("readable").path());
            tasks.all(|task| is_stopped(&task)).then_some(())
        });
    }

    /// Waits for the proxy's end; its exit code.
    pub(crate) fn proxy_end(&self) -> Option<i32> {
        self.proxy.borrow_mut().wait()
    }

    /// SIGKILL for the proxy, at this instant.
    pub(crate) fn kill_proxy(&self) {
        self.proxy.borrow_mut().kill();
    }

    /// SIGKILL for the proxy's monitor alone.
    pub(crate) fn kill_monitor(&self) {
        self.proxy.borrow_mut().kill_monitor();
    }

    /// SIGTERM for the proxy, and its end.
    pub(crate) fn stop_proxy(&self) {
        self.signal_proxy(Signal::TERM);
        assert_eq!(self.proxy_end(), Some(0));
    }

    /// Another proxy in the place of one that has ended, on another port.
    pub(crate) fn restart_proxy(&self) {
        let log = self.dir().join("rproxy.log");
        let proxy = ProxyProcess::start(&self.children, &self.config(), &log, None);
        self.proxy.replace(proxy);
    }

    /// Starts another proxy, with the same configuration and CAs and a data directory of its own. From
    /// now on it is the one that `ssh` goes through and that commands are about; returns the one before.
    pub(crate) fn go_through_another_proxy(&self) -> ProxyProcess {
        let other = self.dir().join("other");
        std::fs::create_dir(&other).expect("a writable directory");
        let mut copy = Command::new("cp");
        let copied = copy.arg("-a").arg(self.data()).arg(&other).status();
        assert!(copied.expect("cp").success());
        for name in ["serve.lock", "control", "recordings", "audit.jsonl"] {
            let path = other.join("data").join(name);
            match path.is_dir() {
                true => std::fs::remove_dir_all(path).expect("a copy"),
                false => std::fs::remove_file(path).expect("a copy"),
            }
        }
        self.edit_configuration(|text| {
            let (before, after) = (self.data(), other.join("data"));
            text.replace(&before.display().to_string(), &after.display().to_string())
        });
        let log = self.dir().join("other.log");
        let proxy = ProxyProcess::start(&self.children, &self.config(), &log, None);
        let before = self.proxy.replace(proxy);
        self.write_client_files(&self.user, true);
        before
    }

    /// `rproxy`, on this world's configuration.
    pub(crate) fn rproxy(&self) -> Command {
        proxy::rproxy(&self.config())
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.path().join("rproxy.yaml")
    }

    /// Edits the proxy's configuration and reloads it. Returns the audit event of the reload.
    pub(crate) fn reconfigure(&self, edit: impl FnOnce(&str) -> String) -> Value {
        let so_far = || {
            let mut events = self.audit();
            events.retain(|event| {
                let name = event["event"].as_str().unwrap_or_default();
                name.starts_with("configuration.")
            });
            events
        };
        let before = so_far().len();
        self.edit_configuration(edit);
        self.signal_proxy(Signal::HUP);
        self.eventually("the configuration is read again", || {
            so_far().into_iter().nth(before)
        })
    }

    /// Edits the proxy's configuration, without a signal for the proxy.
    pub(crate) fn edit_configuration(&self, edit: impl FnOnce(&str) -> String) {
        let text = std::fs::read_to_string(self.config()).expect("it is there");
        write(&self.config(), &edit(&text));
    }

    /// Puts another file in the place of the proxy's program, as a package manager does: a copy of the
    /// same program, or a script.
    pub(crate) fn replace_program(&self, script: Option<&str>) {
        let (place, new) = (self.dir().join("rproxy"), self.dir().join("rproxy.new"));
        match script {
            Some(script) => programs::put_script(script, &new),
            None => programs::put(Path::new(env!("CARGO_BIN_EXE_rproxy")), &new),
        }
        std::fs::rename(&new, &place).expect("a writable directory");
    }
}
