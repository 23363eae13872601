//! `rproxy tokens ls`.

use serde::Serialize;

use super::{Context, Failure, NodeAccess, failure, ui};
use crate::cli::format::{ListFormat, json_list};
use crate::cli::table::{Cell, Surface, Table, Tint};
use crate::model::Label;
use crate::state::Token;

/// Columns that are cut at a narrow terminal: the labels, the names, who has added it.
const YIELDING: &[usize] = &[3, 2, 7];
/// Columns that a narrow terminal does without: who has added it.
const OPTIONAL: &[usize] = &[7];

/// List the tokens
///
/// The tokens themselves are not known: what is listed are their ids, and what they allow. A token, also one
/// that was spent, is listed until a week after it has expired.
#[derive(Debug, clap::Args)]
pub(crate) struct TokensLsArgs {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    format: ListFormat,
}

impl TokensLsArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::rendered(&self.list(context, Surface::stdout())?)
    }

    /// What is printed on this surface.
    pub(super) fn list(&self, context: &Context, surface: Surface) -> Result<String, Failure> {
        let (tokens, now) = match NodeAccess::to_read(context, "tokens ls", None)? {
            Some(access) => {
                let tokens = access.tokens().list();
                let tokens = tokens.map_err(|error| failure::failure("list the tokens", error))?;
                (tokens, access.now())
            }
            None => (Vec::new(), 0),
        };
        Ok(match self.format {
            ListFormat::Text => table(&tokens, now).render(surface),
            ListFormat::Json => json_list(tokens.iter().map(|token| TokenObject::new(token, now))),
        })
    }
}

/// Whether a host can join with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum TokenStanding {
    Valid,
    Spent,
    Expired,
}

impl TokenStanding {
    fn of(token: &Token, now: u64) -> Self {
        if token.uses == 0 {
            Self::Spent
        } else if token.expires <= now {
            Self::Expired
        } else {
            Self::Valid
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Spent => "spent",
            Self::Expired => "expired",
        }
    }

    fn tint(self) -> Tint {
        match self {
            Self::Valid => Tint::Good,
            Self::Spent | Self::Expired => Tint::Plain,
        }
    }
}

/// One object of `--format json`; the keys are fixed.
#[derive(Serialize)]
struct TokenObject<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    state: TokenStanding,
    names: &'a [String],
    labels: Vec<String>,
    tunnel: &'static str,
    uses: u64,
    created: String,
    expires: String,
    by: &'a str,
}

impl<'a> TokenObject<'a> {
    fn new(token: &'a Token, now: u64) -> Self {
        Self {
            id: token.id.to_string(),
            kind: "node",
            state: TokenStanding::of(token, now),
            names: &token.names,
            labels: token.labels.iter().map(Label::to_string).collect(),
            tunnel: token.tunnel.name(),
            uses: token.uses,
            created: ui::time(token.created),
            expires: ui::time(token.expires),
            by: &token.created_by,
        }
    }
}

fn table(tokens: &[Token], now: u64) -> Table<8> {
    let heads = [
        "ID", "STATE", "NAMES", "LABELS", "TUNNEL", "USES", "EXPIRES", "BY",
    ];
    let mut table = Table::new(heads, YIELDING).without_if_narrow(OPTIONAL);
    for token in tokens {
        let standing = TokenStanding::of(token, now);
        let names = match token.names.is_empty() {
            true => "any".to_owned(),
            false => token.names.join(","),
        };
        let labels: Vec<String> = token.labels.iter().map(Label::listed).collect();
        table.push([
            token.id.to_string().into(),
            Cell::tinted(standing.as_str(), standing.tint()),
            names.into(),
            labels.join(",").into(),
            token.tunnel.name().into(),
            token.uses.to_string().into(),
            ui::time(token.expires).into(),
            token.created_by.as_str().into(),
        ]);
    }
    table
}
