//! The event loop with fake processes and a paused clock.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use serde_json::Value;

use super::*;
use crate::ipc::{
    CallRoute, MessageSocket, PublicCaKeys, ServiceCall, SigningRequest, VERSION, decode,
};
use crate::monitor::auth_gate::CallsFor;
use crate::monitor::processes::{AUTH, ProcessKind, WEB, WORKER};

/// The operations on processes, as recorded.
#[derive(Debug, Default)]
struct Log {
    killed: Vec<i32>,
    checks: usize,
    replacements: usize,
    /// The far ends of the sockets of the processes that were started, in their order. Workers are
    /// numbered from 100 on, web processes from 500 on, auth processes from 900 on.
    started: Vec<(i32, MessageSocket)>,
    /// What each auth process was told about how many there were before it.
    restarts: Vec<u64>,
    no_auth: bool,
    no_worker: bool,
    /// Whether there is a listener of the web.
    has_web: bool,
    no_web: bool,
    no_thread: bool,
}

/// Fake processes, which are only recorded.
#[derive(Clone, Debug, Default)]
struct Written(Rc<RefCell<Log>>);

impl Written {
    fn start(&self, kind: &'static ProcessKind, first: i32) -> io::Result<ChildProcess> {
        let mut log = self.0.borrow_mut();
        let pids = first..first + 100;
        let before = log.started.iter().filter(|(pid, _)| pids.contains(pid));
        let pid = first + i32::try_from(before.count()).unwrap();
        let (near, far) = MessageSocket::pair()?;
        log.started.push((pid, far));
        let role = ChildRole::Starting(Instant::now());
        let pid = Pid::from_raw(pid).unwrap();
        Ok(ChildProcess::new(kind, pid, near, role, VERSION))
    }

    /// How many auth processes were started.
    fn auths(&self) -> usize {
        let log = self.0.borrow();
        log.started.iter().filter(|(pid, _)| *pid >= 900).count()
    }
}

impl Processes for Written {
    fn start_auth(&self, restarts: u64) -> io::Result<ChildProcess> {
        self.0.borrow_mut().restarts.push(restarts);
        if self.0.borrow().no_auth {
            return Err(io::Error::other("no process"));
        }
        self.start(&AUTH, 900)
    }

    fn start_worker(
        &self,
        _listeners: &Listeners,
        _keys: PublicCaKeys,
    ) -> io::Result<ChildProcess> {
        if self.0.borrow().no_worker {
            return Err(io::Error::other("no process"));
        }
        self.start(&WORKER, 100)
    }

    fn start_web(&self, _listeners: &Listeners) -> io::Result<Option<ChildProcess>> {
        let (has_web, no_web) = (self.0.borrow().has_web, self.0.borrow().no_web);
        match (has_web, no_web) {
            (false, _) => Ok(None),
            (true, true) => Err(io::Error::other("no process")),
            (true, false) => self.start(&WEB, 500).map(Some),
        }
    }

    fn kill(&self, pid: Pid) {
        self.0.borrow_mut().killed.push(number(pid));
    }

    fn check(&self) -> io::Result<()> {
        let mut log = self.0.borrow_mut();
        if log.no_thread {
            return Err(io::Error::other("no thread"));
        }
        log.checks += 1;
        Ok(())
    }

    fn replace<'w>(
        &self,
        _listeners: &Listeners,
        _workers: impl Iterator<Item = &'w ChildProcess>,
    ) -> io::Error {
        self.0.borrow_mut().replacements += 1;
        io::Error::other("no program")
    }

    fn program(&self) -> &Path {
        Path::new("/usr/bin/rproxy")
    }
}

mod web;

struct Fixture {
    directory: tempfile::TempDir,
    processes: Written,
    monitor: Monitor<Written>,
}

impl Fixture {
    /// A monitor without a worker.
    async fn empty() -> Self {
        let directory = crate::sys::fs::private_tempdir();
        let text = "cluster_name: example.com\nproxy_service:\n  listen_addr: \"127.0.0.1:0\"\n  \
                    drain_timeout: 100s\n";
        let parsed = crate::config::parse(Path::new("f"), text, Some(directory.path()));
        let config = parsed.unwrap().config;
        let listeners = Listeners::open(&config, Vec::new()).await.unwrap();
        let processes = Written::default();
        let gate = AuthGate::default();
        let monitor = Monitor::new(&config, processes.clone(), listeners, gate, Vec::new());
        Self {
            directory,
            processes,
            monitor,
        }
    }

    /// One with an auth process that is ready, 900, and a worker that serves, 100.
    async fn serving() -> Self {
        let mut fixture = Self::empty().await;
        fixture.begins();
        fixture.says(100, ProcessMessage::Ready);
        fixture
    }

    /// Starts an auth process and, when that is ready, a worker; for the first time or as the program of
    /// an upgrade.
    fn begins(&mut self) {
        self.monitor.begin().unwrap();
        self.auth_is_ready();
    }

    /// The auth process that was started last is ready.
    fn auth_is_ready(&mut self) {
        let pid = 900 + i32::try_from(self.processes.auths()).unwrap() - 1;
        self.says(pid, ProcessMessage::Keys(keys()));
        self.says(pid, ProcessMessage::Ready);
    }

    fn says(&mut self, pid: i32, message: ProcessMessage) {
        let pid = Pid::from_raw(pid).unwrap();
        self.monitor.on_event(MonitorEvent::Message(pid, message));
    }

    fn exits(&mut self, pid: i32, exited: Exited) {
        let pid = Pid::from_raw(pid).unwrap();
        self.monitor.on_event(MonitorEvent::Exited(pid, exited));
    }

    /// The auth processes exit, as they were told to; then the proxy has ended.
    async fn ends(mut self) -> Result<(), MonitorError> {
        let auths: Vec<i32> = self.monitor.auths().map(|one| number(one.pid)).collect();
        for pid in auths {
            assert_eq!(self.sent(pid).last(), Some(&MonitorMessage::End), "{pid}");
            self.exits(pid, Exited::Code(0));
        }
        let (_sender, events) = mpsc::channel(1);
        self.monitor.run(Quiet, events).await
    }

    /// What this process was sent since it was last asked.
    fn sent(&self, pid: i32) -> Vec<MonitorMessage> {
        let log = self.processes.0.borrow();
        let (_, socket) = log.started.iter().find(|(one, _)| *one == pid).unwrap();
        socket.set_timeout(Duration::from_millis(1)).unwrap();
        let mut messages = Vec::new();
        while let Ok(Some(message)) = socket.receive() {
            messages.push(decode(&message.bytes).unwrap());
        }
        messages
    }

    fn role(&self, pid: i32) -> Option<ChildRole> {
        self.monitor.children.get(&pid).map(|one| one.role)
    }

    /// The audit events, each with its message.
    fn audited(&self) -> Vec<(String, Option<String>)> {
        let path = self.directory.path().join("audit.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of = |line: &Value, field: &str| line[field].as_str().map(str::to_owned);
        lines
            .map(|line| (of(&line, "event").unwrap(), of(&line, "message")))
            .collect()
    }

    fn refused(&self, why: &str) {
        let last = self.audited().pop();
        let (event, message) = last.unwrap();
        assert_eq!(event, "server.upgrade_refused");
        assert_eq!(message.as_deref(), Some(why));
    }

    fn is_listening(&self) -> bool {
        !self.monitor.listeners.files().is_empty()
    }
}

/// The keys of CAs.
fn keys() -> PublicCaKeys {
    let text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLnu0BKA3mNaGPdHdb7Zqz0UNxrqtnWhYXnQcLhfPVq c";
    let key = ssh_key::PublicKey::from_openssh(text).unwrap();
    PublicCaKeys {
        user: vec![key.clone()],
        host: vec![key.clone()],
        signs: key,
    }
}

/// No commands.
struct Quiet;

impl Commands for Quiet {
    async fn next(&mut self) -> Command {
        std::future::pending().await
    }
}

/// These commands, and then no more.
struct Given(Vec<Command>);

impl Commands for Given {
    async fn next(&mut self) -> Command {
        match self.0.pop() {
            Some(command) => command,
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_ready_serves_and_the_one_before_it_retires() {
    let mut fixture = Fixture::serving().await;
    assert_eq!(fixture.role(100), Some(ChildRole::Serving));
    assert_eq!(fixture.audited(), [], "the first one is no upgrade");

    fixture.begins();
    assert!(matches!(fixture.role(101), Some(ChildRole::Starting(_))));
    assert_eq!(fixture.role(100), Some(ChildRole::Serving));
    fixture.says(101, ProcessMessage::Ready);
    assert_eq!(fixture.role(100), Some(ChildRole::Retired));
    assert_eq!(fixture.role(101), Some(ChildRole::Serving));
    assert_eq!(fixture.sent(100), [MonitorMessage::Retire]);
    assert_eq!(fixture.sent(101), []);
    assert_eq!(fixture.audited(), [("server.upgraded".to_owned(), None)]);

    // Said twice, it changes nothing; neither does what a retired worker says.
    fixture.says(101, ProcessMessage::Ready);
    fixture.says(100, ProcessMessage::Ready);
    assert_eq!(fixture.role(100), Some(ChildRole::Retired));
    assert_eq!(fixture.audited().len(), 1);

    // The end of the retired one is none of the proxy's.
    fixture.exits(100, Exited::Signal(9));
    assert_eq!(fixture.role(101), Some(ChildRole::Serving));
    assert!(fixture.monitor.failed.is_none() && fixture.is_listening());
}

#[tokio::test(start_paused = true)]
async fn a_new_worker_that_does_not_start_leaves_everything_as_it_was() {
    let mut fixture = Fixture::serving().await;
    fixture.begins();
    fixture.exits(101, Exited::Code(1));
    fixture.refused("the new worker ended with exit code 1");
    assert_eq!(fixture.role(100), Some(ChildRole::Serving));
    assert_eq!(fixture.sent(100), []);

    fixture.processes.0.borrow_mut().no_worker = true;
    fixture.begins();
    fixture.refused("no worker can be started: no process");
    assert_eq!(fixture.monitor.workers().count(), 1);
    assert!(fixture.monitor.failed.is_none() && fixture.is_listening());
}

#[tokio::test(start_paused = true)]
async fn without_a_first_worker_there_is_no_proxy() {
    let mut fixture = Fixture::empty().await;
    fixture.processes.0.borrow_mut().no_worker = true;
    fixture.begins();
    let error = fixture.ends().await.unwrap_err();
    assert!(matches!(error, MonitorError::Start(_)), "{error:?}");

    let mut fixture = Fixture::empty().await;
    fixture.begins();
    fixture.exits(100, Exited::Code(1));
    let end = fixture.ends().await;
    let not_started = matches!(
        end,
        Err(MonitorError::NotStarted("worker", Exited::Code(1)))
    );
    assert!(not_started, "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_serving_worker_is_the_proxys() {
    let mut fixture = Fixture::serving().await;
    fixture.begins();
    fixture.says(101, ProcessMessage::Ready);
    fixture.sent(100);
    fixture.exits(101, Exited::Signal(11));
    assert!(!fixture.is_listening());
    assert_eq!(fixture.sent(100), [MonitorMessage::End]);
    // The first reason is the one that is told.
    fixture.exits(100, Exited::Code(1));
    let end = fixture.ends().await;
    let ended = matches!(end, Err(MonitorError::WorkerEnded(Exited::Signal(11))));
    assert!(ended, "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_told_to_all_and_the_second_one_closes_connections() {
    let mut fixture = Fixture::serving().await;
    fixture.begins();
    fixture.says(101, ProcessMessage::Ready);
    fixture.sent(100);
    fixture.monitor.on_command(Command::Stop);
    for pid in [100, 101] {
        assert_eq!(fixture.sent(pid), [MonitorMessage::Drain], "{pid}");
    }
    assert!(!fixture.is_listening(), "nobody finds a port");
    fixture.monitor.on_command(Command::Stop);
    for pid in [100, 101] {
        assert_eq!(fixture.sent(pid), [MonitorMessage::End], "{pid}");
    }
    for pid in [100, 101] {
        fixture.exits(pid, Exited::Code(0));
    }
    fixture.ends().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_fails_while_the_proxy_stops_is_an_error() {
    let mut fixture = Fixture::serving().await;
    fixture.monitor.on_command(Command::Stop);
    fixture.exits(100, Exited::Code(70));
    let end = fixture.ends().await;
    let ended = matches!(end, Err(MonitorError::WorkerEnded(Exited::Code(70))));
    assert!(ended, "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn stopping_takes_as_long_as_the_most_patient_worker_says() {
    let mut fixture = Fixture::serving().await;
    let until = |fixture: &Fixture| match fixture.monitor.phase {
        MonitorPhase::Stopping(until, told) => (until, told),
        phase => panic!("{phase:?}"),
    };
    // Before a stop it means nothing.
    fixture.says(100, ProcessMessage::Draining { seconds: 9_000 });
    assert_eq!(fixture.monitor.phase, MonitorPhase::Running);
    let begun = Instant::now();
    fixture.monitor.on_command(Command::Stop);
    let limit = Duration::from_secs(100);
    assert_eq!(until(&fixture), (begun + limit, begun));
    fixture.says(100, ProcessMessage::Draining { seconds: 7 });
    assert_eq!(until(&fixture).0, begun + limit, "the longer one holds");
    fixture.says(100, ProcessMessage::Draining { seconds: 700 });
    let longer = begun + Duration::from_secs(700);
    assert_eq!(until(&fixture).0, longer);

    // The service manager is told again in time.
    tokio::time::advance(systemd::AGAIN - Duration::from_millis(1)).await;
    fixture.monitor.on_tick();
    assert_eq!(until(&fixture), (longer, begun));
    tokio::time::advance(Duration::from_millis(1)).await;
    fixture.monitor.on_tick();
    assert_eq!(until(&fixture), (longer, begun + systemd::AGAIN));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_takes_too_long_to_start_is_killed_at_an_upgrade_only() {
    let mut fixture = Fixture::empty().await;
    fixture.begins();
    tokio::time::advance(START_LIMIT * 10).await;
    fixture.monitor.on_tick();
    assert!(
        fixture.processes.0.borrow().killed.is_empty(),
        "alone it may"
    );

    let mut fixture = Fixture::serving().await;
    fixture.begins();
    tokio::time::advance(START_LIMIT).await;
    fixture.monitor.on_tick();
    assert!(fixture.processes.0.borrow().killed.is_empty());
    tokio::time::advance(Duration::from_millis(1)).await;
    fixture.monitor.on_tick();
    assert_eq!(fixture.processes.0.borrow().killed, [101]);
}

#[tokio::test(start_paused = true)]
async fn the_loop_looks_at_the_time_by_itself() {
    let mut fixture = Fixture::serving().await;
    fixture.begins();
    let log = Rc::clone(&fixture.processes.0);
    let (sender, events) = mpsc::channel(4);
    let ends = async move {
        tokio::time::sleep(START_LIMIT + 2 * TICK).await;
        assert_eq!(log.borrow().killed.first(), Some(&101));
        for pid in [101, 100, 900, 901] {
            let pid = Pid::from_raw(pid).unwrap();
            let exited = MonitorEvent::Exited(pid, Exited::Code(0));
            sender.send(exited).await.unwrap();
        }
    };
    let stop = Given(vec![Command::Stop]);
    let (end, ()) = tokio::join!(fixture.monitor.run(stop, events), ends);
    end.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reloads_and_new_keys_are_told_to_all() {
    let mut fixture = Fixture::serving().await;
    fixture.begins();
    fixture.says(101, ProcessMessage::Ready);
    for pid in [100, 900, 901] {
        fixture.sent(pid);
    }
    let key = crate::cert::testing::ed25519().public_key().clone();
    let keys = PublicCaKeys {
        signs: key,
        ..keys()
    };
    fixture.monitor.on_command(Command::Reload);
    // A worker does not say what is trusted, nor does an auth process from before.
    for pid in [101, 900] {
        fixture.says(pid, ProcessMessage::Keys(keys.clone()));
        assert_eq!(
            fixture.sent(100),
            if pid == 101 {
                vec![MonitorMessage::Reload]
            } else {
                vec![]
            }
        );
    }
    fixture.says(901, ProcessMessage::Keys(keys.clone()));
    fixture.says(901, ProcessMessage::Keys(keys.clone()));
    assert_eq!(
        fixture.sent(100),
        [MonitorMessage::Keys(keys.clone())],
        "once"
    );
    assert_eq!(
        fixture.sent(101),
        [MonitorMessage::Reload, MonitorMessage::Keys(keys)]
    );
    for pid in [900, 901] {
        assert_eq!(fixture.sent(pid), [MonitorMessage::Reload], "{pid}");
    }
    for pid in [100, 101, 901] {
        fixture.says(pid, ProcessMessage::Reloaded);
    }
}

#[tokio::test(start_paused = true)]
async fn the_serving_worker_is_pinged_and_has_to_answer() {
    let mut fixture = Fixture::serving().await;
    fixture.begins();
    fixture.monitor.ping();
    assert_eq!(fixture.sent(100), [MonitorMessage::Ping]);
    assert_eq!(fixture.sent(101), [], "it has other things to do");
    let is_alive = |fixture: &Fixture| fixture.monitor.children[&100].is_alive;
    assert!(!is_alive(&fixture));
    fixture.says(100, ProcessMessage::Alive);
    assert!(is_alive(&fixture));
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_is_checked_and_then_done() {
    let mut fixture = Fixture::serving().await;
    let checks = |fixture: &Fixture| fixture.processes.0.borrow().checks;
    fixture.monitor.on_command(Command::Upgrade);
    assert_eq!(checks(&fixture), 1);
    fixture.monitor.on_command(Command::Upgrade);
    assert_eq!(checks(&fixture), 1, "one at a time");
    let checked = MonitorEvent::Checked(Err("it is broken".to_owned()));
    fixture.monitor.on_event(checked);
    fixture.refused("it is broken");
    assert_eq!(fixture.processes.0.borrow().replacements, 0);

    fixture.monitor.on_command(Command::Upgrade);
    assert_eq!(checks(&fixture), 2);
    fixture.monitor.on_event(MonitorEvent::Checked(Ok(())));
    assert_eq!(fixture.processes.0.borrow().replacements, 1);
    // It is this program that goes on, so that was in vain.
    fixture.refused("it cannot be run: no program");
    assert_eq!(fixture.monitor.phase, MonitorPhase::Running);
    assert_eq!(fixture.role(100), Some(ChildRole::Serving));

    fixture.processes.0.borrow_mut().no_thread = true;
    fixture.monitor.on_command(Command::Upgrade);
    fixture.refused("there is no thread to be had: no thread");
    assert_eq!(fixture.monitor.phase, MonitorPhase::Running);
    assert_eq!(fixture.sent(100), []);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_upgrade_while_a_worker_starts_or_the_proxy_stops() {
    let mut fixture = Fixture::serving().await;
    fixture.begins();
    fixture.monitor.on_command(Command::Upgrade);
    fixture.says(101, ProcessMessage::Ready);
    fixture.monitor.on_command(Command::Upgrade);
    assert_eq!(fixture.processes.0.borrow().checks, 1);
    // What was found out before the stop is not done after it.
    fixture.monitor.on_command(Command::Stop);
    fixture.monitor.on_event(MonitorEvent::Checked(Ok(())));
    fixture.monitor.on_command(Command::Upgrade);
    let log = fixture.processes.0.borrow();
    assert_eq!((log.checks, log.replacements), (1, 0));
}

/// A worker may be controlled by an attacker: what it reports about others, or without being asked,
/// changes nothing.
#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_passed_over() {
    let mut fixture = Fixture::serving().await;
    let call = ServiceCall {
        id: 1,
        deadline_ms: 0,
        request: SigningRequest::Check.into(),
    };
    for message in [
        ProcessMessage::Reloaded,
        ProcessMessage::Alive,
        ProcessMessage::Call(call),
    ] {
        fixture.says(100, message.clone());
        fixture.says(999, message);
    }
    fixture.exits(999, Exited::Signal(9));
    fixture.says(900, ProcessMessage::Draining { seconds: 9_000 });
    fixture.monitor.on_event(MonitorEvent::Checked(Ok(())));
    assert_eq!(fixture.processes.0.borrow().replacements, 0);
    assert_eq!(fixture.role(100), Some(ChildRole::Serving));
    assert!(fixture.monitor.failed.is_none() && fixture.is_listening());
    assert_eq!(fixture.audited(), []);
}

#[tokio::test(start_paused = true)]
async fn the_worker_is_started_when_the_auth_process_is_ready() {
    let mut fixture = Fixture::empty().await;
    fixture.monitor.begin().unwrap();
    assert!(fixture.role(900).is_some());
    fixture.says(900, ProcessMessage::Keys(keys()));
    assert!(fixture.role(100).is_none());
    fixture.says(900, ProcessMessage::Ready);
    assert!(fixture.role(100).is_some());
    // Without keys there is nothing that a worker could trust.
    let mut fixture = Fixture::empty().await;
    fixture.monitor.begin().unwrap();
    fixture.says(900, ProcessMessage::Ready);
    assert!(fixture.role(100).is_none());
    let end = fixture.ends().await;
    assert!(matches!(end, Err(MonitorError::Start(_))), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_first_auth_process_there_is_no_proxy() {
    let mut fixture = Fixture::empty().await;
    fixture.processes.0.borrow_mut().no_auth = true;
    let error = fixture.monitor.begin().unwrap_err();
    assert!(matches!(error, MonitorError::Start(_)), "{error:?}");

    let mut fixture = Fixture::empty().await;
    fixture.monitor.begin().unwrap();
    fixture.exits(900, Exited::Code(1));
    assert_eq!(fixture.processes.auths(), 1);
    let end = fixture.ends().await;
    let not_started = matches!(end, Err(MonitorError::NotStarted("auth", Exited::Code(1))));
    assert!(not_started, "{end:?}");

    // A stop before it is ready is no failure.
    let mut fixture = Fixture::empty().await;
    fixture.monitor.begin().unwrap();
    fixture.monitor.on_command(Command::Stop);
    fixture.auth_is_ready();
    assert!(fixture.role(100).is_none());
    fixture.ends().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_auth_process_that_ends_is_started_again_and_sessions_go_on() {
    let mut fixture = Fixture::serving().await;
    fixture.sent(100);
    tokio::time::advance(Duration::from_secs(60)).await;
    fixture.exits(900, Exited::Signal(9));
    assert_eq!(fixture.processes.auths(), 2, "at once");
    // Until one is ready, each further one is started later.
    for count in 3..6 {
        fixture.exits(898 + count, Exited::Code(1));
        assert_eq!(
            fixture.processes.auths() + 1,
            usize::try_from(count).unwrap()
        );
        tokio::time::advance(Duration::from_secs(5)).await;
        fixture.monitor.on_tick();
        assert_eq!(fixture.processes.auths(), usize::try_from(count).unwrap());
    }
    assert_eq!(fixture.processes.0.borrow().restarts, [0, 1, 2, 3, 4]);
    fixture.auth_is_ready();
    assert_eq!(fixture.role(904), Some(ChildRole::Serving));
    assert_eq!(fixture.role(100), Some(ChildRole::Serving));
    assert_eq!(fixture.sent(100), [], "the worker notices nothing");
    assert_eq!(
        fixture.processes.0.borrow().started.len(),
        6,
        "no second worker"
    );
    assert!(fixture.monitor.failed.is_none() && fixture.is_listening());
    assert_eq!(fixture.audited(), []);

    // One that does not become ready is killed.
    fixture.exits(904, Exited::Signal(11));
    tokio::time::advance(START_LIMIT + Duration::from_millis(1)).await;
    fixture.monitor.on_tick();
    tokio::time::advance(START_LIMIT + Duration::from_millis(1)).await;
    fixture.monitor.on_tick();
    assert_eq!(fixture.processes.0.borrow().killed, [905]);
}

/// Sessions that drain need it as well.
#[tokio::test(start_paused = true)]
async fn an_auth_process_is_there_until_the_last_worker_has_ended() {
    let mut fixture = Fixture::serving().await;
    fixture.begins();
    fixture.says(101, ProcessMessage::Ready);
    fixture.sent(901);
    fixture.monitor.on_command(Command::Stop);
    fixture.exits(901, Exited::Signal(9));
    fixture.auth_is_ready();
    fixture.exits(100, Exited::Code(0));
    assert_eq!(
        fixture.sent(902),
        [MonitorMessage::Exited(WORKER.caller(100))]
    );
    fixture.exits(101, Exited::Code(0));
    let last = MonitorMessage::Exited(WORKER.caller(101));
    assert_eq!(fixture.sent(902), [last, MonitorMessage::End]);
    // One that does not obey is killed.
    tokio::time::advance(START_LIMIT + Duration::from_millis(1)).await;
    fixture.monitor.on_tick();
    let mut killed = fixture.processes.0.borrow().killed.clone();
    killed.sort_unstable();
    assert_eq!(killed, [900, 902]);
    for pid in [900, 902] {
        fixture.exits(pid, Exited::Signal(9));
    }
    fixture.ends().await.unwrap();
}

/// The next auth process would answer it after it was told that the worker has exited, or without being told.
#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_longer_than_its_worker_runs() {
    let mut fixture = Fixture::serving().await;
    fixture.begins();
    fixture.says(101, ProcessMessage::Ready);
    fixture.exits(901, Exited::Signal(9));
    let sockets = [100, 101].map(|pid| {
        let (ours, theirs) = MessageSocket::pair().unwrap();
        let route = CallsFor {
            caller: WORKER.caller(pid),
            gate: fixture.monitor.gate.clone(),
        };
        let call = ServiceCall {
            id: 1,
            deadline_ms: u64::MAX,
            request: SigningRequest::Check.into(),
        };
        CallRoute::send(&route, call, theirs).unwrap();
        ours
    });
    fixture.exits(100, Exited::Code(0));
    fixture.auth_is_ready();
    let sent = fixture.sent(902);
    let [MonitorMessage::Exited(exited), MonitorMessage::Call(call)] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(*exited, WORKER.caller(100));
    assert_eq!(call.from, WORKER.caller(101));
    drop(sockets);
}

#[tokio::test(start_paused = true)]
async fn at_an_upgrade_the_new_auth_process_takes_over() {
    let mut fixture = Fixture::serving().await;
    fixture.monitor.begin().unwrap();
    assert_eq!(fixture.sent(900), [], "until the new one is ready");
    fixture.auth_is_ready();
    assert_eq!(fixture.sent(900), [MonitorMessage::Retire]);
    assert_eq!(fixture.role(900), Some(ChildRole::Retired));
    fixture.exits(900, Exited::Code(0));
    assert_eq!(fixture.processes.auths(), 2, "its end is expected");
    fixture.says(101, ProcessMessage::Ready);
    assert_eq!(fixture.role(101), Some(ChildRole::Serving));
}

#[tokio::test(start_paused = true)]
async fn a_new_auth_process_that_does_not_start_leaves_everything_as_it_was() {
    let mut fixture = Fixture::serving().await;
    fixture.monitor.begin().unwrap();
    fixture.exits(901, Exited::Code(1));
    fixture.refused("the new auth process ended with exit code 1");
    assert_eq!(fixture.role(900), Some(ChildRole::Serving));
    assert_eq!(
        fixture.processes.0.borrow().started.len(),
        3,
        "nothing else"
    );

    fixture.processes.0.borrow_mut().no_auth = true;
    fixture.monitor.begin().unwrap();
    fixture.refused("no auth process can be started: no process");
    assert_eq!(fixture.role(900), Some(ChildRole::Serving));
    assert_eq!(fixture.sent(900), []);

    // A program of an earlier version had none: workers from before need one all the same.
    fixture.processes.0.borrow_mut().no_auth = false;
    fixture.exits(900, Exited::Code(0));
    fixture.monitor.begin().unwrap();
    let started = fixture.processes.auths();
    tokio::time::advance(Duration::from_secs(60)).await;
    let newest = 899 + i32::try_from(started).unwrap();
    fixture.exits(newest, Exited::Code(1));
    tokio::time::advance(Duration::from_secs(60)).await;
    fixture.monitor.on_tick();
    assert!(fixture.processes.auths() > started);
    fixture.auth_is_ready();
    assert!(fixture.role(101).is_none(), "the upgrade was refused");
    assert!(fixture.monitor.failed.is_none() && fixture.is_listening());
}
