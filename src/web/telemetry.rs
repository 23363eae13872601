//! What the operator's machines ask: `/metrics`, `/healthz`, `/readyz`.
//!
//! Numbers, names of nodes, paths and errors of this machine; nothing of a session, and no person's
//! name. It is meant for the machine itself, or for a network of the operator's.

use std::sync::Arc;
use std::thread::JoinHandle;

use hyper::{StatusCode, header};
use tokio_util::sync::CancellationToken;

use super::WebError;
use super::health::{Health, HealthReport};
use super::page::{ErrorPage, HttpResponse, report};
use super::probe::Probe;
use super::purpose::RequestPurpose;
use super::server::{Ending, Server};
use super::site::{Question, Site, SiteServer};
use super::status::{Status, StatusSource};
use crate::ipc::{StateTelemetry, TelemetryAnswer};
use crate::metrics::{
    Authority, ClosedSet as _, HistogramReading, Metrics, NodeStanding, StateTask, TextFormat,
};
use crate::sys::fs::{self, Space};
use crate::sys::process::{self, Usage};

/// What plain words are.
const TEXT: &str = "text/plain; charset=utf-8";

/// A place on it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    Metrics,
    Liveness,
    Readiness,
}

/// Numbers and the state of a running proxy.
#[derive(Debug)]
pub struct Telemetry {
    source: Arc<dyn StatusSource>,
    metrics: Arc<Metrics>,
    health: Health,
    machine: Probe<Machine>,
    counted: Probe<Option<TelemetryAnswer>>,
}

/// What the machine says.
#[derive(Clone, Copy, Debug)]
struct Machine {
    usage: Usage,
    recordings: Option<Space>,
}

impl Telemetry {
    /// What `metrics` has counted, and what `source` says.
    #[must_use]
    pub fn new(source: Arc<dyn StatusSource>, metrics: Arc<Metrics>, health: Health) -> Self {
        Self {
            source,
            metrics,
            health,
            machine: Probe::default(),
            counted: Probe::default(),
        }
    }

    /// Serves it on a thread of its own until `end`.
    ///
    /// # Errors
    /// When there is no thread or no runtime.
    pub fn serve(self, server: Server, end: CancellationToken) -> Result<JoinHandle<()>, WebError> {
        let ending = Ending {
            closing: end.clone(),
            over: end,
        };
        server.start("metrics", SiteServer(self), ending)
    }

    /// What is counted, with what is only known by looking.
    async fn metrics(&self, accepts: &str) -> Result<HttpResponse, ErrorPage> {
        let status = self.source.status();
        let directory = status.recordings.clone();
        let look = move || Machine {
            usage: process::usage(),
            // It is made by the first session.
            recordings: directory
                .ancestors()
                .find(|path| path.exists())
                .and_then(|path| fs::space(path).ok()),
        };
        let source = Arc::clone(&self.source);
        let ask = move || source.telemetry();
        let (machine, counted) = tokio::join!(self.machine.result(look), self.counted.result(ask));
        self.take(&status, machine);
        self.take_counted(counted.flatten());
        let form = TextFormat::for_client(accepts);
        match self.metrics.text(form) {
            Ok(text) => Ok(report(StatusCode::OK, form.content_type(), text)),
            Err(error) => Err(ErrorPage::failed("cannot write the metrics", &error)),
        }
    }

    /// Takes over what was found by looking.
    fn take(&self, status: &Status, machine: Option<Machine>) {
        let metrics: &Metrics = &self.metrics;
        let count = |number: usize| Some(u32::try_from(number).map_or(f64::MAX, f64::from));
        for authority in Authority::ALL {
            let keys = match authority {
                Authority::User => status.user_ca_keys,
                Authority::Host => status.host_ca_keys,
            };
            metrics
                .authority_keys
                .with(*authority, |reading| reading.set(count(keys)));
        }
        metrics.revocations.set(count(status.revocations));
        metrics.state_age.set(Some(status.state_age.as_secs_f64()));
        let is_listed = |node: &str| status.nodes.contains(node);
        metrics.host_certificates.retain(is_listed);
        let (usage, space) = match machine {
            Some(machine) => (machine.usage, machine.recordings),
            None => (Usage::default(), None),
        };
        metrics
            .process_cpu
            .set(usage.cpu.map(|time| time.as_secs_f64()));
        metrics.process_resident.set(usage.resident.map(float));
        metrics.process_open_fds.set(usage.open_files.map(float));
        metrics.process_max_fds.set(usage.max_files.map(float));
        metrics
            .recordings_free
            .set(space.map(|space| float(space.free)));
        metrics
            .recordings_size
            .set(space.map(|space| float(space.size)));
    }

    /// Takes over what another process has counted. While it does not answer, its counters stay: they
    /// begin anew when it has started again.
    fn take_counted(&self, counted: Option<TelemetryAnswer>) {
        let metrics: &Metrics = &self.metrics;
        let is_up = if counted.is_some() { 1.0 } else { 0.0 };
        metrics.auth_up.set(Some(is_up));
        let Some(counted) = counted else {
            metrics.live_sign_ins.set(None);
            metrics.state_size.set(None);
            take_nodes(metrics, &StateTelemetry::default());
            return;
        };
        metrics.auth_start.set(Some(float(counted.started)));
        metrics.auth_restarts.set(Some(float(counted.restarts)));
        metrics.sign_ins.take(&counted.sign_ins);
        metrics.sign_in_refusals.take(&counted.refusals);
        metrics.throttled.take(&counted.throttled);
        metrics.user_certificates.take(&counted.certificates);
        let heartbeats = float(counted.node_heartbeats);
        metrics.node_heartbeats.set(Some(heartbeats));
        let refusals = float(counted.node_refusals);
        metrics.node_refusals.set(Some(refusals));
        take_nodes(metrics, &counted.state);
        metrics.auth_audit_events.take(&counted.audit_events);
        let failures = float(counted.audit_failures);
        metrics.auth_audit_failures.set(Some(failures));
        let state = counted.state;
        for (task, durations) in [
            (StateTask::Read, state.read),
            (StateTask::Write, state.write),
        ] {
            let reading = HistogramReading {
                counts: durations.counts,
                nanoseconds: durations.nanoseconds,
            };
            metrics
                .state
                .with(task, |histogram| histogram.set(Some(reading)));
        }
        metrics.state_errors.set(Some(float(state.errors)));
        metrics.state_size.set(state.bytes.map(float));
        metrics.live_sign_ins.set(state.sign_ins.map(float));
    }
}

/// Takes over how many nodes there are.
fn take_nodes(metrics: &Metrics, state: &StateTelemetry) {
    for standing in NodeStanding::ALL {
        let names = standing.values();
        let count = names.first().and_then(|name| state.nodes.get(*name));
        let count = count.copied().map(float);
        metrics.nodes.with(*standing, |nodes| nodes.set(count));
    }
    let tunnelled = state.tunnelled_nodes.map(float);
    metrics.tunnelled_nodes.set(tunnelled);
}

/// As Prometheus has all numbers. Of more than 8 PiB, a few bytes are lost.
fn float(number: u64) -> f64 {
    number as f64
}

impl Site for Telemetry {
    type Resource = Resource;

    const RESOURCES: &'static [(&'static str, Resource)] = &[
        ("/metrics", Resource::Metrics),
        ("/healthz", Resource::Liveness),
        ("/readyz", Resource::Readiness),
    ];

    fn purpose(place: Resource) -> RequestPurpose {
        match place {
            Resource::Metrics => RequestPurpose::Reading,
            Resource::Liveness | Resource::Readiness => RequestPurpose::Health,
        }
    }

    /// What is asked beyond the path is passed over: probes add parameters of their own.
    async fn at(&self, place: Resource, question: Question<'_>) -> Result<HttpResponse, ErrorPage> {
        let accepts: Vec<_> = question
            .headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        match place {
            Resource::Metrics => self.metrics(&accepts.join(",")).await,
            Resource::Liveness => Ok(told(&self.health.liveness().await)),
            Resource::Readiness => Ok(told(&self.health.readiness().await)),
        }
    }
}

fn told(health: &HealthReport) -> HttpResponse {
    let status = if health.is_good() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    report(status, TEXT, health.text())
}
