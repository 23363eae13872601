//! Errors and warnings about a configuration file, with their lines.

use std::fmt;

use super::masked::masked;
use super::wanted_node::WantedNode;
use super::yaml::Position;
use crate::model::text::is_unsafe;
use crate::nodes::Node;

/// Most characters of a line that are shown; the rest of it does not help.
const MAX_EXCERPT: usize = 160;
/// Indentation of the line that is shown.
const INDENT: &str = "    ";

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, at a risk that its administrator should know.
    Warning,
}

/// One thing that is wrong or risky, and where: `FILE:LINE:COLUMN: KEY: MESSAGE`, then the line
/// with a caret under the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    file: String,
    place: Option<Position>,
    key: String,
    message: String,
    excerpt: Option<String>,
    /// What is wrong is that no node of the configuration has this.
    unmatched: Option<WantedNode>,
}

impl Diagnostic {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Whether it says that no node of the configuration has what a rule names.
    #[must_use]
    pub fn is_about_nodes(&self) -> bool {
        self.unmatched.is_some()
    }

    /// Whether it still holds if these nodes are in the inventory too: a rule may be about hosts that have
    /// joined, which the file does not have.
    #[must_use]
    pub fn holds_with(&self, nodes: &[Node]) -> bool {
        let is_had = |unmatched: &WantedNode| nodes.iter().any(|node| unmatched.is_had_by(node));
        !self.unmatched.as_ref().is_some_and(is_had)
    }

    /// The path of the key, as in `proxy_service.listen_addr`; empty for the file as a whole.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong and what was expected.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Line and column, both from 1; `None` for the file as a whole.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.map(|place| (place.line, place.column))
    }

    /// The first line alone.
    #[must_use]
    pub fn headline(&self) -> String {
        let mut line = self.file.clone();
        if let Some((row, column)) = self.position() {
            line.push_str(&format!(":{row}:{column}"));
        }
        if self.severity == Severity::Warning {
            line.push_str(": warning");
        }
        if !self.key.is_empty() {
            line.push_str(&format!(": {}", self.key));
        }
        format!("{line}: {}", self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        match &self.excerpt {
            Some(excerpt) => write!(f, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

/// Everything found in one file, in the order of its lines.
#[derive(Debug)]
pub(super) struct Diagnostics<'f> {
    file: String,
    lines: Vec<&'f str>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'f> Diagnostics<'f> {
    pub(super) fn new(file: impl Into<String>, text: &'f str) -> Self {
        Self {
            file: file.into(),
            lines: text.lines().collect(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes something that makes the file unusable.
    pub(super) fn error(&mut self, place: Option<Position>, key: &str, message: impl Into<String>) {
        let found = self.diagnostic(Severity::Error, place, key, message.into());
        self.errors.push(found);
    }

    /// Notes something legal but risky.
    pub(super) fn warning(
        &mut self,
        place: Option<Position>,
        key: &str,
        message: impl Into<String>,
    ) {
        let found = self.diagnostic(Severity::Warning, place, key, message.into());
        self.warnings.push(found);
    }

    /// Notes that no node of the configuration has what a rule names.
    pub(super) fn unmatched(
        &mut self,
        place: Option<Position>,
        key: &str,
        message: String,
        unmatched: WantedNode,
    ) {
        let mut found = self.diagnostic(Severity::Warning, place, key, message);
        found.unmatched = Some(unmatched);
        self.warnings.push(found);
    }

    /// How many warnings there are so far.
    pub(super) fn warnings(&self) -> usize {
        self.warnings.len()
    }

    /// Errors and warnings, each sorted by place.
    pub(super) fn into_parts(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        self.errors.sort_by_key(Diagnostic::position);
        self.warnings.sort_by_key(Diagnostic::position);
        (self.errors, self.warnings)
    }

    fn diagnostic(
        &self,
        severity: Severity,
        place: Option<Position>,
        key: &str,
        message: String,
    ) -> Diagnostic {
        let line = place.and_then(|place| self.lines.get(place.line - 1).map(|line| (place, line)));
        Diagnostic {
            severity,
            file: self.file.clone(),
            place,
            key: key.to_owned(),
            message,
            excerpt: line.map(|(place, line)| excerpt(place, line)),
            unmatched: None,
        }
    }
}

/// The line and its caret. Control characters are replaced one for one: a configuration file must
/// not drive the terminal, and the caret must stay under its value.
fn excerpt(place: Position, line: &str) -> String {
    let before = place.column - 1;
    let width = width(place, line);
    // Where the value begins far to the right, the line is cut on its left.
    let skipped = if before + width > MAX_EXCERPT {
        before.saturating_sub(MAX_EXCERPT / 4)
    } else {
        0
    };
    let shown: String = masked(line)
        .chars()
        .skip(skipped)
        .take(MAX_EXCERPT)
        .map(|c| if is_unsafe(c) { ' ' } else { c })
        .collect();
    let (left, right) = match skipped {
        0 => ("", ""),
        _ => ("… ", "  "),
    };
    let blank = " ".repeat(before - skipped);
    let tildes = "~".repeat((width - 1).min(MAX_EXCERPT));
    let shown = shown.trim_end();
    format!("{INDENT}{left}{shown}\n{INDENT}{right}{blank}^{tildes}")
}

/// How many characters the value itself covers, without what follows its closing quote.
fn width(place: Position, line: &str) -> usize {
    let value: String = line
        .chars()
        .skip(place.column - 1)
        .take(place.width)
        .collect();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value.rfind(quote).and_then(|end| value.get(..=end)),
        _ => None,
    }
    .unwrap_or(&value);
    value.trim_end().chars().count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize, column: usize, width: usize) -> Option<Position> {
        Some(Position {
            line,
            column,
            width,
        })
    }

    #[test]
    fn the_caret_stands_under_the_value() {
        let mut diagnostics = Diagnostics::new("f.yaml", "a: 1\n\tkey: välue\n");
        diagnostics.error(place(2, 7, 5), "a.key", "expected a list");
        let (errors, _) = diagnostics.into_parts();
        assert_eq!(
            errors[0].to_string(),
            "f.yaml:2:7: a.key: expected a list\n     key: välue\n          ^~~~~"
        );
    }

    #[test]
    fn the_caret_ends_with_the_value() {
        for (text, covered, carets) in [
            ("k: 'x'   # c", 9, "^~~"),
            ("k: xy  ", 4, "^~"),
            ("k:", 1, "^"),
        ] {
            let mut diagnostics = Diagnostics::new("f", text);
            diagnostics.error(place(1, 4, covered), "k", "bad");
            let shown = diagnostics.into_parts().0.remove(0).to_string();
            assert_eq!(shown.lines().last().map(str::trim), Some(carets), "{text}");
        }
    }

    #[test]
    fn findings_are_sorted_by_place() {
        let mut diagnostics = Diagnostics::new("f", "a\nb\n");
        diagnostics.warning(place(2, 1, 1), "b", "second");
        diagnostics.warning(place(1, 1, 1), "a", "first");
        diagnostics.warning(None, "", "the file");
        let (errors, warnings) = diagnostics.into_parts();
        assert!(errors.is_empty());
        let messages: Vec<_> = warnings.iter().map(Diagnostic::message).collect();
        assert_eq!(messages, ["the file", "first", "second"]);
        assert_eq!(warnings[0].to_string(), "f: warning: the file");
    }

    #[test]
    fn long_lines_are_cut_and_cannot_drive_the_terminal() {
        let text = format!("{}\u{1b}[31mvalue{}", "x".repeat(500), "y".repeat(500));
        let mut diagnostics = Diagnostics::new("f", &text);
        diagnostics.error(place(1, 506, 5), "k", "bad");
        let (errors, _) = diagnostics.into_parts();
        let shown = errors[0].to_string();
        assert!(!shown.contains('\u{1b}'));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].chars().count() < 200);
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        let under: String = lines[1].chars().skip(caret).take(5).collect();
        assert_eq!(under, "value");
    }
}
