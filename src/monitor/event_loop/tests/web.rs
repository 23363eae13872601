//! The web process among the others.

use super::*;

impl Fixture {
    /// One with a web process that serves, 500, beside the auth process 900 and the worker 100.
    async fn with_web() -> Self {
        let mut fixture = Self::empty().await;
        fixture.processes.0.borrow_mut().has_web = true;
        fixture.begins();
        assert!(fixture.role(100).is_none(), "the web process comes first");
        fixture.says(500, ProcessMessage::Ready);
        fixture.says(100, ProcessMessage::Ready);
        fixture
    }

    fn is_starting(&self, pid: i32) -> bool {
        matches!(self.role(pid), Some(ChildRole::Starting(_)))
    }
}

#[tokio::test(start_paused = true)]
async fn the_worker_is_started_when_the_web_process_is_ready() {
    let fixture = Fixture::with_web().await;
    assert_eq!(fixture.role(500), Some(ChildRole::Serving));
    assert_eq!(fixture.role(100), Some(ChildRole::Serving));
    assert_eq!(fixture.audited(), [], "the first one is no upgrade");
}

#[tokio::test(start_paused = true)]
async fn without_a_first_web_process_there_is_no_proxy() {
    let mut fixture = Fixture::empty().await;
    fixture.processes.0.borrow_mut().has_web = true;
    fixture.begins();
    fixture.exits(500, Exited::Code(1));
    let error = fixture.ends().await.unwrap_err();
    let is_named = matches!(error, MonitorError::NotStarted("web", Exited::Code(1)));
    assert!(is_named, "{error:?}");

    let mut fixture = Fixture::empty().await;
    fixture.processes.0.borrow_mut().has_web = true;
    fixture.processes.0.borrow_mut().no_web = true;
    fixture.begins();
    let error = fixture.ends().await.unwrap_err();
    assert!(matches!(error, MonitorError::Start(_)), "{error:?}");
}

/// Sessions go on: the worker is told nothing, and the auth process is told who is gone.
#[tokio::test(start_paused = true)]
async fn a_web_process_that_ends_is_started_again_and_sessions_go_on() {
    let mut fixture = Fixture::with_web().await;
    fixture.sent(900);
    fixture.exits(500, Exited::Signal(9));
    assert!(fixture.is_starting(501));
    assert_eq!(fixture.sent(100), []);
    let gone = MonitorMessage::Exited(WEB.caller(500));
    assert_eq!(fixture.sent(900), [gone]);
    // One that does not live for long is started again later.
    fixture.exits(501, Exited::Code(1));
    assert!(fixture.role(502).is_none());
    tokio::time::advance(Duration::from_secs(6)).await;
    fixture.monitor.on_tick();
    assert!(fixture.is_starting(502));
    fixture.says(502, ProcessMessage::Ready);
    assert_eq!(fixture.role(502), Some(ChildRole::Serving));
    assert_eq!(fixture.role(100), Some(ChildRole::Serving));
    assert!(fixture.monitor.failed.is_none() && fixture.is_listening());
}

#[tokio::test(start_paused = true)]
async fn at_an_upgrade_the_new_web_process_takes_over() {
    let mut fixture = Fixture::with_web().await;
    fixture.begins();
    assert!(fixture.is_starting(501) && fixture.role(101).is_none());
    assert_eq!(fixture.role(500), Some(ChildRole::Serving));
    fixture.says(501, ProcessMessage::Ready);
    assert_eq!(fixture.sent(500), [MonitorMessage::Retire]);
    assert_eq!(fixture.role(500), Some(ChildRole::Retired));
    assert!(fixture.is_starting(101));
    fixture.says(101, ProcessMessage::Ready);
    assert_eq!(fixture.role(100), Some(ChildRole::Retired));
    // The old one has answered, and is not started again.
    fixture.exits(500, Exited::Code(0));
    assert!(fixture.role(502).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_new_web_process_that_does_not_start_leaves_everything_as_it_was() {
    let mut fixture = Fixture::with_web().await;
    fixture.begins();
    fixture.exits(501, Exited::Code(1));
    fixture.refused("the new web process ended with exit code 1");
    assert_eq!(fixture.role(500), Some(ChildRole::Serving));
    assert_eq!(fixture.role(100), Some(ChildRole::Serving));
    assert!(fixture.role(101).is_none() && fixture.role(502).is_none());
    assert_eq!(fixture.sent(500), []);

    // If the old one is gone meanwhile, there is another one.
    fixture.begins();
    fixture.exits(500, Exited::Signal(9));
    assert!(fixture.is_starting(502) && fixture.role(503).is_none());
    fixture.exits(502, Exited::Code(1));
    fixture.refused("the new web process ended with exit code 1");
    tokio::time::advance(Duration::from_secs(6)).await;
    fixture.monitor.on_tick();
    assert!(fixture.is_starting(503));
}

/// The web is served until the last session has ended, and calls are answered for as long.
#[tokio::test(start_paused = true)]
async fn the_web_process_ends_after_the_last_worker_and_before_the_auth_process() {
    let mut fixture = Fixture::with_web().await;
    fixture.sent(900);
    fixture.monitor.on_command(Command::Stop);
    assert_eq!(fixture.sent(500), []);
    fixture.exits(100, Exited::Code(0));
    assert_eq!(fixture.sent(500), [MonitorMessage::End]);
    assert!(!fixture.sent(900).contains(&MonitorMessage::End));
    fixture.exits(500, Exited::Code(0));
    fixture.ends().await.unwrap();

    // One that does not end is killed.
    let mut fixture = Fixture::with_web().await;
    fixture.monitor.on_command(Command::Stop);
    fixture.exits(100, Exited::Code(0));
    tokio::time::advance(START_LIMIT + Duration::from_secs(1)).await;
    fixture.monitor.on_tick();
    assert!(fixture.processes.0.borrow().killed.contains(&500));
}
