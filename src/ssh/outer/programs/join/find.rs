//! The live sessions that the policy lets a client join.

use std::sync::Arc;

use chrono::SecondsFormat;
use serde::Serialize;

use super::super::context::ProgramContext;
use crate::access::JoinGrant;
use crate::model::text::Printable;
use crate::session::{LiveConnection, LiveSession, ParticipantRow};

/// How many ids an ambiguous one is answered with.
const MAX_CANDIDATES: usize = 5;
/// The columns' names.
const TITLES: [&str; 6] = ["ID", "USER", "LOGIN@HOST", "SINCE", "MAY", "JOINED"];

/// A session that the client may join.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) connection: Arc<LiveConnection>,
    pub(super) session: Arc<LiveSession>,
    pub(super) grant: JoinGrant,
}

/// Why there is not exactly one session.
#[derive(Debug)]
pub(super) enum NotFound {
    /// There is none that the client may join.
    None,
    /// There are several.
    Several(Vec<String>),
}

impl NotFound {
    /// A sentence; `list` is the command that lists sessions.
    pub(super) fn text(&self, wanted: &str, list: &str) -> String {
        match self {
            Self::None => format!(
                "no live session that you may join has an id that begins with {wanted:?}\n  hint: {list}\n  \
                 hint: sessions from before an upgrade of the proxy, and those of another proxy, \
                 cannot be joined from here"
            ),
            Self::Several(ids) => {
                let shown: Vec<_> = ids
                    .iter()
                    .take(MAX_CANDIDATES)
                    .map(String::as_str)
                    .collect();
                format!(
                    "{} ids begin with {wanted:?}\n  hint: one is {}",
                    ids.len(),
                    shown.join("\n  hint: one is ")
                )
            }
        }
    }
}

/// All sessions that the client may join, oldest first.
fn joinable(context: &ProgramContext) -> Vec<Found> {
    let settings = context.services.settings.now();
    let inner = &context.services.inner;
    let who = (&context.caller.identity, context.from());
    let mut found = Vec::new();
    for connection in inner.registry.connections() {
        let Ok(grant) = inner.router.judge_join(&settings, who, &connection) else {
            continue;
        };
        found.extend(connection.sessions().into_iter().map(|session| Found {
            connection: Arc::clone(&connection),
            session,
            grant: grant.clone(),
        }));
    }
    found
}

/// The session whose id is this, or the only one whose id begins with it.
///
/// # Errors
/// There is none, or several.
pub(super) fn one(context: &ProgramContext, wanted: &str) -> Result<Found, NotFound> {
    let wanted = wanted.to_ascii_lowercase();
    let mut found = joinable(context);
    found.retain(|one| one.session.id.to_string().starts_with(&wanted));
    match found.len() {
        0 | 1 => found.pop().ok_or(NotFound::None),
        _ => Err(NotFound::Several(
            found.iter().map(|one| one.session.id.to_string()).collect(),
        )),
    }
}

/// A line of the list.
#[derive(Debug, Serialize)]
pub(super) struct JoinableRow {
    id: String,
    user: String,
    login: String,
    host: String,
    since: String,
    may: &'static str,
    participants: Vec<ParticipantRow>,
}

/// The sessions with a terminal that the client may join, oldest first.
pub(super) fn rows(context: &ProgramContext) -> Vec<JoinableRow> {
    let found = joinable(context).into_iter();
    found
        .filter(|found| found.session.pty)
        .map(|found| JoinableRow {
            id: found.session.id.to_string(),
            user: found.connection.user.clone(),
            login: found.connection.login.clone(),
            host: found.connection.host.clone(),
            since: found
                .session
                .start
                .to_rfc3339_opts(SecondsFormat::Secs, true),
            may: found.grant.mode().word(),
            participants: found.session.participants(),
        })
        .collect()
}

/// The same as a table.
pub(super) fn table(rows: &[JoinableRow]) -> String {
    let mut lines = vec![TITLES.map(str::to_owned)];
    lines.extend(rows.iter().map(JoinableRow::cells));
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

impl JoinableRow {
    fn cells(&self) -> [String; 6] {
        let there = self.participants.iter();
        let there: Vec<String> = there
            .map(|one| format!("{} ({})", one.user, one.mode))
            .collect();
        let shown = |text: &str| Printable(text).to_string();
        [
            self.id.clone(),
            shown(&self.user),
            shown(&format!("{}@{}", self.login, self.host)),
            self.since.clone(),
            self.may.to_owned(),
            shown(&there.join(", ")),
        ]
    }
}
