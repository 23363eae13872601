//! `rproxy recordings ls`.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{Context, Exit, Failure, existing_data_dir, ui};
use crate::recording::export::printable_json;
use crate::recording::listing::{self, Entry, Listing};
use crate::recording::{ExitNote, Header, Verbatim};

/// Longest command in the table, in characters.
const MAX_COMMAND: usize = 60;

/// List recordings, oldest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// A table
    Text,
    /// An array of objects
    Json,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        existing_data_dir(context)?;
        let listing = listing::list(&super::directory(&context.config)).map_err(|error| {
            Failure::new(Exit::Failed, "cannot list the recordings").because(error)
        })?;
        for (path, error) in &listing.unreadable {
            ui::note(&format!("rproxy: skipping {}: {error}", path.display()));
        }
        ui::result(&match self.format {
            Format::Text => table(&listing),
            Format::Json => json(&listing),
        })
    }
}

/// One object of `--format json`; the keys are fixed.
#[derive(Serialize)]
struct Row<'a> {
    id: String,
    connection: String,
    user: &'a str,
    login: &'a str,
    host: &'a str,
    kind: &'static str,
    command: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_hex: Option<String>,
    start: String,
    end: Option<String>,
    exit_status: Option<u32>,
    exit_signal: Option<Cow<'a, str>>,
    state: &'static str,
    target: &'a str,
    client: Option<&'a str>,
    file: String,
}

impl<'a> Row<'a> {
    fn new(entry: &'a Entry) -> Self {
        let header = &entry.header;
        let (exit_status, exit_signal) = match &entry.exit {
            ExitNote::Status(status) => (Some(*status), None),
            ExitNote::Signal(signal) => (None, Some(signal.name.text())),
            ExitNote::Unknown => (None, None),
        };
        Self {
            id: header.session.to_string(),
            connection: header.connection.to_string(),
            user: &header.user,
            login: &header.login,
            host: host(header),
            kind: header.kind.as_str(),
            command: header.command.as_ref().map(Verbatim::text),
            command_hex: header.command.as_ref().and_then(Verbatim::hex),
            start: time(header.start),
            end: entry.end.map(time),
            exit_status,
            exit_signal,
            state: entry.standing.as_str(),
            target: &header.target,
            client: header.client.as_deref(),
            file: entry.file.display().to_string(),
        }
    }
}

/// The inventory's name, else the host as it was asked for.
pub(in crate::cli) fn host(header: &Header) -> &str {
    let asked = header.target.rsplit_once(':');
    let asked = asked.map_or(header.target.as_str(), |(host, _port)| host);
    header.node.as_deref().unwrap_or(asked)
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn json(listing: &Listing) -> String {
    let rows = listing.entries.iter().map(|entry| {
        // A row is strings and numbers: it always has a JSON form.
        serde_json::to_value(Row::new(entry)).unwrap_or(Value::Null)
    });
    format!("{}\n", printable_json(&Value::Array(rows.collect())))
}

fn table(listing: &Listing) -> String {
    let heads = [
        "ID", "START", "USER", "LOGIN", "HOST", "KIND", "STATE", "EXIT", "COMMAND",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(listing.entries.iter().map(|entry| {
        let row = Row::new(entry);
        let exit = match (row.exit_status, row.exit_signal) {
            (Some(status), _) => status.to_string(),
            (None, Some(signal)) => signal.into_owned(),
            (None, None) => "-".to_owned(),
        };
        let command = row.command.as_deref().unwrap_or("-");
        let command = command.chars().take(MAX_COMMAND).collect();
        let start = entry.header.start;
        [
            row.id,
            start.to_rfc3339_opts(SecondsFormat::Secs, true),
            row.user.to_owned(),
            row.login.to_owned(),
            row.host.to_owned(),
            row.kind.to_owned(),
            row.state.to_owned(),
            exit,
            command,
        ]
        .map(|cell| ui::cell(&cell))
    }));
    ui::aligned(&rows)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::recording::listing::Standing;
    use crate::recording::{Kind, Pty};

    fn entry() -> Entry {
        Entry {
            header: Header {
                session: "01920000-0000-7000-8000-000000000001".parse().unwrap(),
                connection: "01920000-0000-7000-8000-000000000002".parse().unwrap(),
                cluster: "example.com".to_owned(),
                user: "alice".to_owned(),
                login: "deploy".to_owned(),
                target: "[2001:db8::1]:22".to_owned(),
                node: None,
                address: None,
                kind: Kind::Exec,
                command: Some("echo \u{1b}[31m\u{9b}".into()),
                client: None,
                serial: None,
                fingerprint: None,
                start: DateTime::from_timestamp(1_760_000_000, 0).unwrap(),
                pty: None::<Pty>,
            },
            standing: Standing::Complete,
            end: DateTime::from_timestamp(1_760_000_061, 500_000_000),
            exit: ExitNote::Status(3),
            file: Path::new("/r/x.cast.zst").to_owned(),
        }
    }

    fn listing() -> Listing {
        Listing {
            entries: vec![entry()],
            unreadable: Vec::new(),
        }
    }

    #[test]
    fn the_keys_are_fixed() {
        let text = json(&listing());
        assert!(!text.contains('\u{9b}'));
        let rows: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!([{
            "id": "01920000-0000-7000-8000-000000000001",
            "connection": "01920000-0000-7000-8000-000000000002",
            "user": "alice",
            "login": "deploy",
            "host": "[2001:db8::1]",
            "kind": "exec",
            "command": "echo \u{1b}[31m\u{9b}",
            "start": "2025-10-09T08:53:20.000Z",
            "end": "2025-10-09T08:54:21.500Z",
            "exit_status": 3,
            "exit_signal": null,
            "state": "complete",
            "target": "[2001:db8::1]:22",
            "client": null,
            "file": "/r/x.cast.zst",
        }]);
        assert_eq!(rows, expected);
    }

    #[test]
    fn the_table_is_safe_to_print() {
        let table = table(&listing());
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("ID  "));
        assert!(
            lines[1].ends_with("exec  complete  3     echo \u{fffd}[31m\u{fffd}"),
            "{table}"
        );
    }

    #[test]
    fn no_recordings_are_an_empty_array() {
        assert_eq!(json(&Listing::default()), "[]\n");
    }
}
