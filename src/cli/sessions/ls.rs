//! `rproxy sessions ls`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::find;
use crate::cli::format::{ListFormat, json_list};
use crate::cli::table::{Cell, Surface, Table, Tint};
use crate::cli::{Context, Failure, ui};
use crate::control::{RecordingHealth, SessionRow};

/// Longest command in the table, in characters.
const MAX_COMMAND: usize = 60;
/// Columns that are cut at a narrow terminal: the command, the host, the user, the login.
const YIELDING: &[usize] = &[10, 4, 2, 3];
/// Columns that a narrow terminal does without: the kind, bytes each way, the client's address, the
/// login, the time.
const OPTIONAL: &[usize] = &[5, 8, 9, 7, 3, 1];

/// List what is live, oldest first
///
/// A connection on which nothing runs, as that of a control master that waits, is listed with its own
/// id and the kind `connection`.
#[derive(Debug, clap::Args)]
pub(crate) struct SessionsLsArgs {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    format: ListFormat,
}

impl SessionsLsArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let live = find::all(context)?;
        let rows: Vec<SessionRow> = live.into_iter().map(|live| live.row).collect();
        match self.format {
            ListFormat::Text => ui::rendered(&table(&rows).render(Surface::stdout())),
            ListFormat::Json => ui::result(&json(&rows)),
        }
    }
}

/// One object of `--format json`; the keys are fixed, and those of `recordings ls` mean the same.
#[derive(Serialize)]
struct Object<'a> {
    id: String,
    connection: String,
    user: &'a str,
    login: &'a str,
    host: &'a str,
    kind: &'a str,
    command: Option<&'a str>,
    start: String,
    state: &'static str,
    target: &'a str,
    client: String,
    file: Option<&'a str>,
    pty: bool,
    bytes_in: u64,
    bytes_out: u64,
    pid: u32,
}

impl<'a> Object<'a> {
    fn new(row: &'a SessionRow) -> Self {
        Self {
            id: row.id(),
            connection: row.connection.to_string(),
            user: &row.user,
            login: &row.login,
            host: &row.host,
            kind: &row.kind,
            command: row.command.as_deref(),
            start: time(row.start, SecondsFormat::Millis),
            state: row.state.as_str(),
            target: &row.target,
            client: row.client.to_string(),
            file: row.file.as_deref(),
            pty: row.pty,
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            pid: row.pid,
        }
    }
}

fn time(time: DateTime<Utc>, precision: SecondsFormat) -> String {
    time.to_rfc3339_opts(precision, true)
}

fn json(rows: &[SessionRow]) -> String {
    json_list(rows.iter().map(Object::new))
}

fn table(rows: &[SessionRow]) -> Table<11> {
    let heads = [
        "ID", "START", "USER", "LOGIN", "HOST", "KIND", "STATE", "CLIENT", "IN", "OUT", "COMMAND",
    ];
    let mut table = Table::new(heads, YIELDING).without_if_narrow(OPTIONAL);
    for row in rows {
        let state = match row.state {
            RecordingHealth::Recording => Tint::Good,
            RecordingHealth::Incomplete | RecordingHealth::Off => Tint::Odd,
            RecordingHealth::Idle => Tint::Plain,
        };
        let command = row.command.as_deref().unwrap_or("-").chars();
        table.push([
            row.id().into(),
            time(row.start, SecondsFormat::Secs).into(),
            row.user.as_str().into(),
            row.login.as_str().into(),
            row.host.as_str().into(),
            row.kind.as_str().into(),
            Cell::tinted(row.state.as_str(), state),
            row.client.to_string().into(),
            ui::size(row.bytes_in).into(),
            ui::size(row.bytes_out).into(),
            command.take(MAX_COMMAND).collect::<String>().into(),
        ]);
    }
    table
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;

    pub(in crate::cli::sessions) fn row() -> SessionRow {
        SessionRow {
            session: Some("01920000-0000-7000-8000-000000000001".parse().unwrap()),
            connection: "01920000-0000-7000-8000-000000000002".parse().unwrap(),
            user: "alice".to_owned(),
            login: "deploy".to_owned(),
            host: "db1".to_owned(),
            target: "db1:22".to_owned(),
            client: "192.0.2.1:50000".parse().unwrap(),
            kind: "exec".to_owned(),
            command: Some("echo \u{1b}[31m\u{9b}".to_owned()),
            start: DateTime::from_timestamp(1_760_000_000, 0).unwrap(),
            state: RecordingHealth::Recording,
            pty: false,
            bytes_in: 12,
            bytes_out: 3 << 20,
            file: Some("/r/x.cast.zst".to_owned()),
            pid: 7,
        }
    }

    fn idle() -> SessionRow {
        SessionRow {
            session: None,
            kind: "connection".to_owned(),
            command: None,
            state: RecordingHealth::Idle,
            file: None,
            ..row()
        }
    }

    #[test]
    fn the_keys_are_fixed() {
        let text = json(&[row(), idle()]);
        assert!(!text.contains('\u{9b}'));
        let objects: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "id": "01920000-0000-7000-8000-000000000001",
            "connection": "01920000-0000-7000-8000-000000000002",
            "user": "alice",
            "login": "deploy",
            "host": "db1",
            "kind": "exec",
            "command": "echo \u{1b}[31m\u{9b}",
            "start": "2025-10-09T08:53:20.000Z",
            "state": "recording",
            "target": "db1:22",
            "client": "192.0.2.1:50000",
            "file": "/r/x.cast.zst",
            "pty": false,
            "bytes_in": 12,
            "bytes_out": 3_145_728,
            "pid": 7,
        });
        assert_eq!(objects[0], expected);
        assert_eq!(objects[1]["id"], objects[1]["connection"]);
        assert_eq!(objects[1]["state"], "idle");
        assert_eq!(objects[1]["file"], Value::Null);
    }

    #[test]
    fn the_table_is_safe_to_print() {
        let table = table(&[row()]).render(Surface::default());
        let line = table.lines().nth(1).unwrap();
        assert!(
            line.ends_with("192.0.2.1:50000  12B  3.00MiB  echo \u{fffd}[31m\u{fffd}"),
            "{table}"
        );
    }

    #[test]
    fn nothing_live_is_an_empty_table() {
        assert_eq!(json(&[]), "[]\n");
        assert_eq!(table(&[]).render(Surface::default()).lines().count(), 1);
    }
}
