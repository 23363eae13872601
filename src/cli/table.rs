//! Tables for people: aligned, within the width of the terminal, in colour where that helps.
//!
//! A pipe or a file gets every cell whole and no colour, so that scripts can cut it.

use std::io::{self, IsTerminal};

use unicode_width::UnicodeWidthChar as _;

use crate::model::text;
use crate::sys::tty;

/// What is between two columns.
const GAP: usize = 2;
/// A column is not made narrower than this.
const NARROWEST: usize = 6;

/// Where a table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surface {
    /// Columns of the terminal; `None` for a pipe or a file.
    pub(crate) width: Option<usize>,
    /// Whether it shows colours.
    pub(crate) colours: bool,
}

impl Surface {
    /// Standard output. `NO_COLOR` (no-color.org) and `TERM=dumb` mean no colours.
    pub(crate) fn stdout() -> Self {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return Self::default();
        }
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            width: tty::size(&stdout).map(|(columns, _)| usize::from(columns)),
            colours: !is_dumb && !is_set("NO_COLOR"),
        }
    }
}

/// How a cell stands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tint {
    /// As it is.
    #[default]
    Plain,
    /// The names of columns.
    Head,
    /// In good order, or going on.
    Good,
    /// Worth a look.
    Odd,
    /// Failed, or refused.
    Bad,
}

impl Tint {
    /// ECMA-48 SGR parameters.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Head => Some("1"),
            Self::Good => Some("32"),
            Self::Odd => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// One cell. Names and commands come from users and hosts: what is unsafe on a terminal stands there
/// as U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tint: Tint,
}

impl Cell {
    /// A cell that stands out.
    pub(crate) fn tinted(text: impl AsRef<str>, tint: Tint) -> Self {
        Self {
            text: text::masked(text.as_ref()),
            tint,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::tinted(text, Tint::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

/// Rows of the same number of cells, the names of the columns first.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[Cell; N]>,
    /// Columns that may be cut when the terminal is too narrow, the first one first.
    yielding: &'static [usize],
    /// Columns that are left out when that is not enough, the first one first.
    optional: &'static [usize],
}

impl<const N: usize> Table<N> {
    /// A table without rows. `yielding` numbers the columns that may be cut, most willing first.
    pub(crate) fn new(heads: [&str; N], yielding: &'static [usize]) -> Self {
        let heads = heads.map(|head| Cell::tinted(head, Tint::Head));
        Self {
            rows: vec![heads],
            yielding,
            optional: &[],
        }
    }

    /// The same, with columns that a narrow terminal does without, least important first.
    pub(crate) fn without_if_narrow(self, optional: &'static [usize]) -> Self {
        Self { optional, ..self }
    }

    pub(crate) fn push(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }

    /// The text: columns as wide as their widest cell, the last one not padded, a `…` where
    /// something was cut.
    pub(crate) fn render(&self, surface: Surface) -> String {
        let columns = self.columns(surface.width);
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            // Blanks go in front of a cell, so that none is left at the end of a line.
            let mut blanks = 0;
            for (cell, width) in row.iter().zip(&columns) {
                let Some(width) = *width else {
                    continue;
                };
                let shown = cut(&cell.text, width);
                if !shown.is_empty() {
                    line.push_str(&" ".repeat(blanks));
                    blanks = 0;
                }
                match cell.tint.code().filter(|_| surface.colours) {
                    Some(code) if !shown.is_empty() => {
                        line.push_str(&format!("\u{1b}[{code}m{shown}\u{1b}[0m"));
                    }
                    _ => line.push_str(&shown),
                }
                blanks += width.saturating_sub(columns_of(&shown)) + GAP;
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// The width of each column, in columns of the terminal; `None` for one that is left out.
    fn columns(&self, limit: Option<usize>) -> [Option<usize>; N] {
        let mut columns = [Some(0); N];
        for row in &self.rows {
            for (column, cell) in columns.iter_mut().zip(row) {
                *column = column.map(|width| columns_of(&cell.text).max(width));
            }
        }
        let Some(limit) = limit else {
            return columns;
        };
        for left_out in self.optional {
            let narrowest = self.narrowed(columns, 0);
            if total(&narrowest) <= limit {
                break;
            }
            if let Some(column) = columns.get_mut(*left_out) {
                *column = None;
            }
        }
        self.narrowed(columns, limit)
    }

    /// Columns give way until all of them fit, or none can any more.
    fn narrowed(&self, mut columns: [Option<usize>; N], limit: usize) -> [Option<usize>; N] {
        for yielding in self.yielding {
            let excess = total(&columns).saturating_sub(limit);
            if let Some(Some(width)) = columns.get_mut(*yielding) {
                *width = width.saturating_sub(excess).max(NARROWEST.min(*width));
            }
        }
        columns
    }
}

/// The width of a line.
fn total(columns: &[Option<usize>]) -> usize {
    let shown = columns.iter().flatten();
    let gaps = shown.clone().count().saturating_sub(1) * GAP;
    shown.sum::<usize>() + gaps
}

/// How many columns of a terminal a text takes up: two for each character of East Asia and each emoji,
/// none for marks that stand on another character (Unicode's UAX 11, as wcwidth(3) has it).
fn columns_of(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The text, or its beginning and `…`, in so many columns.
fn cut(text: &str, width: usize) -> String {
    if columns_of(text) <= width {
        return text.to_owned();
    }
    let mut beginning = String::new();
    let mut left = width.saturating_sub(1);
    for c in text.chars() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else {
            break;
        };
        left = rest;
        beginning.push(c);
    }
    beginning.push('…');
    beginning
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<3> {
        let mut table = Table::new(["ID", "STATE", "COMMAND"], &[2, 0]);
        table.push([
            "0123456789".to_owned().into(),
            Cell::tinted("bad", Tint::Bad),
            "echo one two three".to_owned().into(),
        ]);
        table.push([
            "1".to_owned().into(),
            "good".to_owned().into(),
            String::new().into(),
        ]);
        table
    }

    #[test]
    fn a_pipe_gets_everything_and_no_colour() {
        assert_eq!(
            table().render(Surface::default()),
            "ID          STATE  COMMAND\n\
             0123456789  bad    echo one two three\n\
             1           good\n"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_while_columns_yield() {
        for (width, expected) in [
            (37, "0123456789  bad    echo one two three"),
            (30, "0123456789  bad    echo one t…"),
            (22, "012345…  bad    echo …"),
        ] {
            let surface = Surface {
                width: Some(width),
                colours: false,
            };
            let text = table().render(surface);
            assert_eq!(text.lines().nth(1), Some(expected), "{width}");
            assert!(text.lines().all(|line| line.chars().count() <= width));
        }
    }

    /// What a terminal model has in each column of the rows that were printed.
    fn on_a_terminal(text: &str, cols: usize) -> Vec<Vec<char>> {
        let mut terminal = avt::Terminal::new(cols, 10).unwrap();
        terminal.feed(text.replace('\n', "\r\n").as_str());
        let lines = terminal.screen().visible_lines();
        lines
            .map(|line| line.cells().iter().map(avt::Cell::char).collect())
            .collect()
    }

    #[test]
    fn wide_characters_count_twice_and_marks_not_at_all() {
        assert_eq!(columns_of("漢字😀e\u{301}x"), 8);
        let mut table = Table::new(["USER", "HOST", "COMMAND"], &[2, 0]);
        for user in ["漢字", "alice", "😀b"] {
            table.push([user.into(), "db1".into(), "echo 漢字漢字漢字漢字".into()]);
        }
        for width in [24, 25, 30, 80] {
            let surface = Surface {
                width: Some(width),
                colours: false,
            };
            let text = table.render(surface);
            assert!(text.lines().all(|line| columns_of(line) <= width), "{text}");
            let rows = on_a_terminal(&text, width);
            let host = rows[0].iter().position(|c| *c == 'H').unwrap();
            for row in &rows[1..4] {
                assert_eq!(row[host..host + 3], ['d', 'b', '1'], "{width}: {text}");
            }
        }
        let mut accents = Table::new(["A", "B"], &[]);
        accents.push(["e\u{301}".into(), "b".into()]);
        assert_eq!(accents.render(Surface::default()), "A  B\ne\u{301}  b\n");
    }

    #[test]
    fn a_cell_is_safe_on_a_terminal() {
        let mut table = Table::new(["A", "B"], &[]);
        table.push([
            "a\u{1b}[2J\n".into(),
            Cell::tinted("b\u{202e}\u{200b}", Tint::Bad),
        ]);
        let text = table.render(Surface::default());
        assert_eq!(
            text.lines().nth(1),
            Some("a\u{fffd}[2J\u{fffd}  b\u{fffd}\u{fffd}")
        );
    }

    #[test]
    fn columns_are_left_out_where_nothing_else_helps() {
        let table = table().without_if_narrow(&[1]);
        let at = |width| {
            let surface = Surface {
                width: Some(width),
                colours: false,
            };
            table.render(surface).lines().nth(1).map(str::to_owned)
        };
        assert_eq!(at(21).as_deref(), Some("01234…  bad    echo …"));
        assert_eq!(at(20).as_deref(), Some("0123456789  echo on…"));
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let surface = Surface {
            width: Some(30),
            colours: true,
        };
        let text = table().render(surface);
        assert!(text.starts_with("\u{1b}[1mID\u{1b}[0m          \u{1b}[1mSTATE\u{1b}[0m"));
        assert!(
            text.contains("\u{1b}[31mbad\u{1b}[0m    echo one t…\n"),
            "{text:?}"
        );
    }
}
