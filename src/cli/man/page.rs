//! One page, in the macros of man(7). Only this file knows roff.

use roff::{Inline, Roff, bold, italic, roman};

use crate::cli::{Exit, Failure};

/// A page that is being written, from its top to its end.
pub(super) struct Page {
    name: String,
    section: &'static str,
    body: Roff,
    /// Whether a heading was the last that was written: it begins a paragraph by itself.
    is_begun: bool,
}

impl Page {
    /// A page with its name and what that is in a line.
    pub(super) fn new(name: &str, section: &'static str, about: &str) -> Self {
        let mut page = Self {
            name: name.to_owned(),
            section,
            body: Roff::new(),
            is_begun: false,
        };
        page.heading("NAME");
        page.line([roman(format!("{name} - {}", about.trim()))]);
        page
    }

    /// The name of the file.
    pub(super) fn file(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }

    /// A heading of the first level.
    pub(super) fn heading(&mut self, title: &str) {
        self.body.control("SH", [title.to_uppercase().as_str()]);
        self.is_begun = true;
    }

    /// A heading below that.
    pub(super) fn subheading(&mut self, title: &str) {
        self.body.control("SS", [title]);
        self.is_begun = true;
    }

    /// What may stand between blank lines; a blank line within begins another.
    pub(super) fn paragraphs(&mut self, text: &str) {
        for paragraph in text.split("\n\n").filter(|part| !part.trim().is_empty()) {
            self.begin();
            self.line(marked(paragraph));
        }
    }

    /// A line of text, which is filled as the rest of its paragraph.
    pub(super) fn line(&mut self, inlines: impl Into<Vec<Inline>>) {
        self.body.text(inlines);
        self.is_begun = false;
    }

    fn begin(&mut self) {
        if !self.is_begun {
            self.body.control("PP", []);
        }
    }

    /// A word or a few, and behind or below them what they mean.
    pub(super) fn term(&mut self, term: impl Into<Vec<Inline>>, meaning: &str) {
        self.body.control("TP", []);
        self.line(term);
        self.line(marked(meaning));
    }

    /// An item of a list without order.
    pub(super) fn item(&mut self, text: &str) {
        self.body.control("IP", ["\\(bu", "2"]);
        self.line(marked(text));
    }

    /// Indents what `inner` writes.
    pub(super) fn indented(&mut self, inner: impl FnOnce(&mut Self)) {
        self.body.control("RS", []);
        inner(self);
        self.body.control("RE", []);
    }

    /// Lines that stay as they are, indented.
    pub(super) fn verbatim<'t>(&mut self, lines: impl IntoIterator<Item = &'t str>) {
        self.begin();
        self.body.control("RS", ["4"]).control("nf", []);
        for line in lines {
            // Full lines: roff fills none of them, and breaks at none of their characters.
            self.line([roman(line)]);
        }
        self.body.control("fi", []).control("RE", []);
    }

    /// Other pages, as in `ssh(1)`.
    pub(super) fn see_also(&mut self, pages: &[String]) {
        self.heading("SEE ALSO");
        let mut line = Vec::new();
        for page in pages {
            if !line.is_empty() {
                line.push(roman(", "));
            }
            match page.split_once('(') {
                Some((name, section)) => line.extend([bold(name), roman(format!("({section}"))]),
                None => line.push(roman(page.as_str())),
            }
        }
        self.line(line);
    }

    /// The source of the page.
    ///
    /// # Errors
    /// Never, unless roff has lines that are no text.
    pub(super) fn render(&self) -> Result<Vec<u8>, Failure> {
        // Without a date: pages that are compared must not change with the day.
        let name = self.name.replace('-', "\\-").to_uppercase();
        let (section, version) = (self.section, env!("CARGO_PKG_VERSION"));
        // Names of options and of files are not hyphenated, lines not stretched around them.
        let mut text =
            format!(".TH {name} {section} \"\" \"rproxy {version}\" rproxy\n.nh\n.ad l\n")
                .into_bytes();
        self.body.to_writer(&mut text).map_err(|error| {
            Failure::new(Exit::Internal, format!("cannot render {}", self.file())).because(error)
        })?;
        Ok(text)
    }
}

/// Text as comments and Markdown have it: `` `as typed` ``, `**strong**`, `*new word*`. Its lines are
/// one paragraph.
pub(super) fn marked(text: &str) -> Vec<Inline> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut inlines = Vec::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            inlines.push(bold(part));
            continue;
        }
        for (at, part) in part.split("**").enumerate() {
            if at % 2 == 1 {
                inlines.push(bold(part));
            } else {
                emphasised(part, &mut inlines);
            }
        }
    }
    inlines
}

/// `*word*`. A star that no letter follows stands for itself.
fn emphasised(text: &str, inlines: &mut Vec<Inline>) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('*') {
        let word = after
            .split_once('*')
            .filter(|(word, _)| word.starts_with(char::is_alphabetic));
        let Some((word, behind)) = word else { break };
        inlines.push(roman(before));
        inlines.push(italic(word));
        rest = behind;
    }
    inlines.push(roman(rest));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_fonts() {
        let roff = |text: &str| {
            let mut roff = Roff::new();
            roff.text(marked(text));
            roff.to_roff().trim_end().to_owned()
        };
        assert_eq!(roff("the `--flag`\n  of it"), r"the \fB\-\-flag\fR of it");
        assert_eq!(
            roff("**Text.** in *commits*."),
            r"\fBText.\fR in \fIcommits\fR."
        );
        assert_eq!(roff("`a*` * 2 * 3"), r"\fBa*\fR * 2 * 3");
    }

    #[test]
    fn a_page_begins_with_its_title_and_name() {
        let page = Page::new("a-b", "5", "what it is").render().unwrap();
        let text = String::from_utf8(page).unwrap();
        assert!(text.starts_with(".TH A\\-B 5 \"\" \"rproxy "), "{text}");
        assert!(text.contains(".SH NAME\na\\-b \\- what it is\n"), "{text}");
    }
}
