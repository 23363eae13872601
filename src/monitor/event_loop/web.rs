//! The web process among the others: it is started before the worker, so that a proxy whose web cannot be
//! served does not start; later it is started again whenever it exits, and no session notices.

use super::{Awaited, Monitor, number};
use crate::ipc::MonitorMessage;
use crate::monitor::child::{ChildProcess, ChildRole};
use crate::monitor::children::Processes;
use crate::monitor::error::MonitorError;
use crate::monitor::event::Exited;

impl<P: Processes> Monitor<P> {
    pub(super) fn webs(&self) -> impl Iterator<Item = &ChildProcess> {
        self.children.values().filter(|one| one.is_web())
    }

    /// Starts the web process of this program, or what comes after it if there is no listener for one.
    pub(super) fn start_web_first(&mut self) {
        self.web_restarts.started();
        match self.processes.start_web(&self.listeners) {
            Ok(Some(web)) => {
                self.awaited = Awaited::Web;
                self.children.insert(number(web.pid), web);
            }
            Ok(None) => {
                self.awaited = Awaited::Nothing;
                // The listener is gone, and those of an earlier program would go on answering at it.
                self.retire_webs(None);
                self.start_first_worker();
            }
            Err(error) if self.has_workers() => {
                self.give_up_upgrade(format!("no web process can be started: {error}"));
            }
            Err(error) => self.fail(MonitorError::Start(error)),
        }
    }

    /// A web process accepts clients from now on, so the others finish their answers.
    pub(super) fn web_is_ready(&mut self, pid: i32) {
        self.retire_webs(Some(pid));
        if self.awaited == Awaited::Web {
            self.awaited = Awaited::Nothing;
            if !self.is_stopping() {
                self.start_first_worker();
            }
        }
    }

    /// Has all of them finish but this one.
    fn retire_webs(&mut self, but: Option<i32>) {
        let webs = self.children.values_mut().filter(|one| one.is_web());
        for web in webs.filter(|one| Some(number(one.pid)) != but) {
            if web.role == ChildRole::Serving {
                web.role = ChildRole::Retired;
                web.send(&MonitorMessage::Retire);
            }
        }
    }

    pub(super) fn on_web_exit(&mut self, web: &ChildProcess, exited: Exited) {
        match web.role {
            ChildRole::Retired => {
                tracing::info!("the web process from before an upgrade ended {exited}");
            }
            _ if self.is_stopping() => {}
            ChildRole::Starting(_) if self.awaited == Awaited::Web => {
                self.awaited = Awaited::Nothing;
                match self.has_workers() {
                    true => {
                        self.give_up_upgrade(format!("the new web process ended {exited}"));
                        self.start_web_again();
                    }
                    false => self.fail(MonitorError::NotStarted(web.kind.name, exited)),
                }
            }
            ChildRole::Starting(_) | ChildRole::Serving => {
                tracing::error!("the web process ended {exited}, another one is started");
                self.start_web_again();
            }
        }
        self.forget(web);
        self.end_others_after_workers();
    }

    /// Starts a web process if there is none, at once or later if the last ones have not lived for long.
    fn start_web_again(&mut self) {
        if self.webs().any(|web| web.role != ChildRole::Retired) {
            return;
        }
        self.web_restarts.exited();
        self.attempt_web();
    }

    /// Starts a web process if it is time for one.
    pub(super) fn attempt_web(&mut self) {
        if !self.web_restarts.is_due() || self.is_stopping() {
            return;
        }
        self.web_restarts.started();
        match self.processes.start_web(&self.listeners) {
            Ok(Some(web)) => {
                self.children.insert(number(web.pid), web);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "no web process can be started");
                self.web_restarts.exited();
            }
        }
    }
}
