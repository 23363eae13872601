//! Carries out the monitor's orders and handles signals.

use tokio::sync::mpsc;

use super::assembly::Shared;
use super::authorities;
use super::monitor_client::MonitorClient;
use super::signals::Signals;
use super::stop::Stop;
use crate::ipc::{MonitorMessage, ProcessMessage};

/// Carries out the monitor's orders.
#[derive(Debug)]
pub(super) struct CommandLoop {
    pub(super) shared: Shared,
    pub(super) stop: Stop,
    pub(super) monitor: MonitorClient,
    pub(super) reloads: mpsc::Sender<()>,
}

impl CommandLoop {
    pub(super) async fn run(
        self,
        mut messages: mpsc::Receiver<MonitorMessage>,
        mut signals: Signals,
    ) {
        loop {
            let message = tokio::select! {
                Some(message) = messages.recv() => message,
                _ = signals.terminate.recv() => MonitorMessage::Drain,
                _ = signals.interrupt.recv() => MonitorMessage::Drain,
                else => return,
            };
            match message {
                MonitorMessage::Start { .. }
                | MonitorMessage::StartAuth { .. }
                | MonitorMessage::StartWeb { .. }
                | MonitorMessage::Call(_)
                | MonitorMessage::Exited(_) => {
                    tracing::warn!("an order that is not for this process");
                }
                MonitorMessage::Keys(keys) => {
                    authorities::replace(&keys, &self.monitor, &self.shared.trust);
                }
                // A reload that already waits covers this one too.
                MonitorMessage::Reload => {
                    let _waits_already = self.reloads.try_send(());
                }
                MonitorMessage::Drain => {
                    let Shared {
                        settings, audit, ..
                    } = &self.shared;
                    self.stop.drain(settings, audit, &self.monitor);
                }
                MonitorMessage::End => self.stop.end("signal"),
                MonitorMessage::Retire => self.stop.retire(),
                MonitorMessage::Ping => self.monitor.report(&ProcessMessage::Alive),
            }
        }
    }
}
