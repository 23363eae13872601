//! The findings: one format for people and one for programs.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

use super::checks::Check;

use crate::model::text::Printable;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, and an administrator should know.
    Warning,
    /// Something does not work.
    Error,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    #[serde(serialize_with = "name")]
    pub(super) check: &'static Check,
    pub(super) status: Status,
    /// What it is about, where there are several: a file, a node, an address.
    subject: String,
    detail: String,
    /// What to do; of what is well there is none.
    hint: Option<String>,
}

fn name<S: Serializer>(check: &&'static Check, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(check.name)
}

impl Finding {
    /// It is well.
    pub(super) fn ok(
        check: &'static Check,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        Self {
            check,
            status: Status::Ok,
            subject: in_one_line(subject),
            detail: in_one_line(detail),
            hint: None,
        }
    }

    /// It works, and an administrator should know.
    pub(super) fn warning(
        check: &'static Check,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
        hint: impl fmt::Display,
    ) -> Self {
        Self {
            status: Status::Warning,
            hint: Some(in_one_line(hint)),
            ..Self::ok(check, subject, detail)
        }
    }

    /// It does not work.
    pub(super) fn error(
        check: &'static Check,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
        hint: impl fmt::Display,
    ) -> Self {
        Self {
            status: Status::Error,
            ..Self::warning(check, subject, detail, hint)
        }
    }
}

/// Hosts and agents say what they like: it stays on its line and does nothing to a terminal.
fn in_one_line(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let lines = text.lines().map(str::trim_end).filter(|l| !l.is_empty());
    let mut line = String::new();
    for part in lines {
        if !line.is_empty() {
            line.push_str("; ");
        }
        line.push_str(&Printable(part).to_string());
    }
    line
}

/// All of it.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct DoctorReport(Vec<Finding>);

impl DoctorReport {
    /// Brings what belongs together together; the order within a group stays.
    pub(super) fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.check.group);
        Self(findings)
    }

    /// Whether something does not work.
    pub(super) fn has_errors(&self) -> bool {
        self.count(Status::Error) > 0
    }

    /// Leaves out what is well.
    pub(super) fn without_ok(self) -> Self {
        let is_trouble = |finding: &Finding| finding.status != Status::Ok;
        Self(self.0.into_iter().filter(is_trouble).collect())
    }

    /// How many there are of each, in a sentence.
    pub(super) fn summary(&self) -> String {
        let plural = |count, word: &str| match count {
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        format!(
            "{}, {}, {} ok",
            plural(self.count(Status::Error), "error"),
            plural(self.count(Status::Warning), "warning"),
            self.count(Status::Ok)
        )
    }

    fn count(&self, status: Status) -> usize {
        let is_it = |finding: &&Finding| finding.status == status;
        self.0.iter().filter(is_it).count()
    }
}

impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut group = None;
        for finding in &self.0 {
            if group != Some(finding.check.group) {
                group = Some(finding.check.group);
                writeln!(f, "{}", finding.check.group.title())?;
            }
            writeln!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7}  {}", self.status.as_str(), self.check.name)?;
        if !self.subject.is_empty() {
            write!(f, " {}", self.subject)?;
        }
        write!(f, ": {}", self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The checks as a table of Markdown, group by group.
pub(super) fn markdown() -> String {
    let mut text = String::new();
    let mut group = None;
    for check in super::checks::ALL {
        if group != Some(check.group) {
            group = Some(check.group);
            let _infallible = write!(
                text,
                "\n### {}\n\n| check | looks at | when it is not ok |\n|---|---|---|\n",
                check.group.heading()
            );
        }
        let cells = [check.about, check.fix].map(|cell| cell.replace('|', "\\|"));
        let _infallible = writeln!(text, "| `{}` | {} |", check.name, cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::checks::{ALL, CONFIG, NODE_SSH};
    use super::*;

    #[test]
    fn a_finding_is_one_line_and_its_hint_another() {
        let findings = vec![
            Finding::error(&NODE_SSH, "db1", "says \u{1b}[2J\r\nand more", "look"),
            Finding::ok(&CONFIG, "", "f.yaml"),
        ];
        let report = DoctorReport::new(findings);
        assert_eq!(
            report.to_string(),
            "configuration\n\
             ok       config: f.yaml\n\
             nodes\n\
             error    node-ssh db1: says \\u{1b}[2J; and more\n  hint: look\n"
        );
        assert_eq!(report.summary(), "1 error, 0 warnings, 1 ok");
        assert!(report.has_errors());
        let json = serde_json::to_value(report.without_ok()).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{
                "check": "node-ssh",
                "status": "error",
                "subject": "db1",
                "detail": "says \\u{1b}[2J; and more",
                "hint": "look",
            }])
        );
    }

    #[test]
    fn every_check_has_a_name_of_its_own_and_stands_in_its_group() {
        let names: BTreeSet<_> = ALL.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.is_sorted_by_key(|check| check.group));
    }
}
