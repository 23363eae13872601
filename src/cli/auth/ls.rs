//! `rproxy auth ls`: the inventory of issued certificates.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use serde_json::Value;

use super::super::table::{Surface, Table};
use super::client::AuthClient;
use super::failure::ca_failure;
use super::{Context, Exit, Failure, existing_data_dir, ui};
use crate::ca::{IssueRecord, RevocationRecord, Revocations};
use crate::cli::format::ListFormat;
use crate::model::text;
use crate::model::{DurationError, parse_duration_with_units};
use crate::sys::clock::Clock;

/// Columns that are cut at a narrow terminal: the state with its reason, the principals, the key id.
const YIELDING: &[usize] = &[5, 3, 2];

/// List issued certificates, oldest first
///
/// The state is valid, expiring (in the last tenth of its life), expired, not-yet-valid or revoked.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthLsArgs {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    format: ListFormat,
    /// Only valid certificates that end within this time, as in 90m, 12h, 30d
    #[arg(long, value_name = "DURATION")]
    expiring: Option<String>,
    /// Only revoked certificates
    #[arg(long, conflicts_with = "expiring")]
    revoked: bool,
    /// Also certificates that were issued for single connections of signed-in users
    #[arg(long)]
    connections: bool,
}

/// What a certificate is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum CertificateState {
    Valid,
    Expiring,
    Expired,
    NotYetValid,
    Revoked,
}

impl CertificateState {
    fn of(record: &IssueRecord, is_revoked: bool, now: u64) -> Self {
        let life = record.valid_before.saturating_sub(record.valid_after);
        let left = record.valid_before.saturating_sub(now);
        if is_revoked {
            Self::Revoked
        } else if now < record.valid_after {
            Self::NotYetValid
        } else if left == 0 {
            Self::Expired
        } else if left <= life / 10 {
            Self::Expiring
        } else {
            Self::Valid
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
        }
    }

    fn is_good(self) -> bool {
        matches!(self, Self::Valid | Self::Expiring)
    }
}

/// One object of `--format json`: the ledger's fields, and these.
#[derive(Serialize)]
struct IssuedRow<'a> {
    #[serde(flatten)]
    issued: &'a IssueRecord,
    state: CertificateState,
    revoked: Option<&'a RevocationRecord>,
}

impl AuthLsArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        self.list(context, Clock::System.unix_seconds(), Surface::stdout())
            .and_then(|list| ui::rendered(&list))
    }

    /// What is printed at a time, for this surface.
    pub(super) fn list(
        &self,
        context: &Context,
        now: u64,
        surface: Surface,
    ) -> Result<String, Failure> {
        let within = self.expiring.as_deref().map(within).transpose()?;
        existing_data_dir(context)?;
        let client = AuthClient::new(context);
        let failed = |error| ca_failure("cannot read the ledger", error);
        let mut ledger = client.issued().map_err(failed)?;
        let mut left_out = 0;
        if self.connections {
            ledger.extend(client.issued_for_connections().map_err(failed)?);
            ledger.sort_by_key(|record| record.time);
        } else if within.is_none() && !self.revoked {
            left_out = client.count_for_connections().map_err(failed)?;
        }
        let revocations = client.revocations()?;
        let mut rows = rows(&ledger, &revocations, now);
        rows.retain(|row| {
            let ends_soon = within.is_none_or(|within| {
                row.state.is_good()
                    && row.issued.valid_before.saturating_sub(now) <= within.as_secs()
            });
            ends_soon && (!self.revoked || row.revoked.is_some())
        });
        match self.format {
            ListFormat::Text if left_out == 0 => Ok(table(&rows).render(surface)),
            ListFormat::Text => Ok(format!(
                "{}and {left_out} for connections of signed-in users: --connections lists them\n",
                table(&rows).render(surface)
            )),
            ListFormat::Json => json(&rows),
        }
    }
}

fn within(text: &str) -> Result<Duration, Failure> {
    parse_duration_with_units(text).map_err(|error| {
        let exit = match error {
            DurationError::Syntax(_) => Exit::Usage,
            DurationError::Overflow(_) => Exit::Failed,
        };
        Failure::new(exit, "cannot use the value of --expiring").because(error)
    })
}

fn rows<'a>(
    ledger: &'a [IssueRecord],
    revocations: &'a Revocations,
    now: u64,
) -> Vec<IssuedRow<'a>> {
    let row = |issued| {
        let revoked = revocations.of_issued(issued);
        IssuedRow {
            issued,
            state: CertificateState::of(issued, revoked.is_some(), now),
            revoked,
        }
    };
    ledger.iter().map(row).collect()
}

fn json(rows: &[IssuedRow<'_>]) -> Result<String, Failure> {
    let failed =
        |error| Failure::new(Exit::Internal, "cannot write the list as JSON").because(error);
    let mut list = Vec::new();
    for row in rows {
        let mut object = serde_json::to_value(row).map_err(failed)?;
        spell_serial(&mut object);
        object.get_mut("revoked").map(spell_serial);
        list.push(object);
    }
    let text = serde_json::to_string_pretty(&list).map_err(failed)?;
    Ok(format!("{}\n", text::json(&text)))
}

/// The files have serials as numbers. Programs that read what is printed may round those.
fn spell_serial(object: &mut Value) {
    if let Some(serial) = object.get_mut("serial")
        && serial.is_number()
    {
        *serial = Value::String(serial.to_string());
    }
}

fn table(rows: &[IssuedRow<'_>]) -> Table<6> {
    let heads = [
        "TYPE",
        "SERIAL",
        "KEY ID",
        "PRINCIPALS",
        "VALID UNTIL",
        "STATE",
    ];
    let mut table = Table::new(heads, YIELDING);
    for row in rows {
        let issued = row.issued;
        let reason = row.revoked.and_then(|record| record.reason.as_deref());
        let state = match reason {
            Some(reason) => format!("{}: {reason}", row.state.as_str()),
            None => row.state.as_str().to_owned(),
        };
        let cells = [
            issued.kind.to_string(),
            issued.serial.to_string(),
            issued.key_id.clone(),
            issued.principals.join(","),
            until(issued.valid_before),
            state,
        ];
        table.push(cells.map(Into::into));
    }
    table
}

fn until(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    time.and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .map_or_else(
            || "forever".to_owned(),
            |time| time.to_rfc3339_opts(SecondsFormat::Secs, true),
        )
}
