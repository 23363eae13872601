//! `rproxy state status`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::opening::{check, open};
use super::{Context, Exit, Failure, auditing, ui};
use crate::audit::AuditEvent;
use crate::cli::format::ReportFormat;
use crate::model::text;
use crate::state::StateStatus;
use crate::sys::account::Actor;

/// Show where the state is, its size, and how fast it answers
#[derive(Debug, clap::Args)]
pub(crate) struct StateStatusArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,
}

/// The object of `--format json`.
#[derive(Serialize)]
struct StatusReport<'s> {
    backend: &'s str,
    place: &'s str,
    schema: u64,
    bytes: u64,
    latency_us: u64,
    rows: Map<String, Value>,
}

impl StateStatusArgs {
    pub(super) fn show(&self, context: &Context) -> Result<String, Failure> {
        let state = open(context)?;
        let event = AuditEvent::StateRead {
            actor: Actor::of_this_process(),
        };
        auditing::before(
            context,
            "the state is not read: the audit log cannot say who reads it",
            &event,
        )?;
        let status = check(&state)?;
        match self.format {
            ReportFormat::Text => Ok(text(&status)),
            ReportFormat::Json => json(&status),
        }
    }
}

fn text(status: &StateStatus) -> String {
    let mut lines = vec![
        ("backend".to_owned(), status.backend.to_owned()),
        ("place".to_owned(), status.place.clone()),
        ("schema".to_owned(), status.schema.to_string()),
        ("size".to_owned(), ui::size(status.bytes)),
        (
            "latency".to_owned(),
            format!("{:.1}ms", status.latency.as_secs_f64() * 1000.0),
        ),
    ];
    let rows = status.rows.iter();
    lines.extend(rows.map(|(table, count)| (table.replace('_', " "), count.to_string())));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = lines.iter();
    lines
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

fn json(status: &StateStatus) -> Result<String, Failure> {
    let rows = status.rows.iter();
    let report = StatusReport {
        backend: status.backend,
        place: &status.place,
        schema: status.schema,
        bytes: status.bytes,
        latency_us: u64::try_from(status.latency.as_micros()).unwrap_or(u64::MAX),
        rows: rows
            .map(|(table, count)| ((*table).to_owned(), Value::from(*count)))
            .collect(),
    };
    let failed =
        |error| Failure::new(Exit::Internal, "cannot write the status as JSON").because(error);
    let json = serde_json::to_string_pretty(&report).map_err(failed)?;
    Ok(format!("{}\n", text::json(&json)))
}
