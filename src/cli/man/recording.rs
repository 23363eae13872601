//! rproxy-recording(5): the normative text of the file format, set as a manual page.
//!
//! It supports as much of Markdown as `FORMAT.md` uses, and changes no word of it.

use roff::{Inline, bold, roman};

use super::page::{Page, marked};

/// The normative text.
const FORMAT: &str = include_str!("../../recording/FORMAT.md");

/// The page.
pub(super) fn page() -> Page {
    let mut page = Page::new("rproxy-recording", "5", "format of rproxy's recordings");
    page.heading("DESCRIPTION");
    let mut lines = FORMAT.lines().peekable();
    while let Some(line) = lines.next() {
        let mut block = vec![line];
        if line.starts_with("```") {
            let inside: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            page.verbatim(inside);
        } else if let Some(title) = line.strip_prefix("## ") {
            page.heading(title);
        } else if !(line.is_empty() || line.starts_with("# ")) {
            while let Some(line) = lines.next_if(|line| !line.is_empty()) {
                block.push(line);
            }
            set(&block, &mut page);
        }
    }
    page.see_also(
        &[
            "rproxy-play(1)",
            "rproxy-recordings-export(1)",
            "zstd(1)",
            "ssh-keygen(1)",
        ]
        .map(str::to_owned),
    );
    page
}

/// A table, a list, or a paragraph.
fn set(block: &[&str], page: &mut Page) {
    let first = block.first().copied().unwrap_or_default();
    if first.starts_with('|') {
        table(block, page);
    } else if first.starts_with("- ") {
        for item in items(block) {
            page.item(&item);
        }
    } else {
        page.paragraphs(&block.join("\n"));
    }
}

/// Lines that begin with a dash, each with those that go on with it.
fn items(block: &[&str]) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in block {
        match (line.strip_prefix("- "), items.last_mut()) {
            (Some(begun), _) => items.push(begun.to_owned()),
            (None, Some(item)) => {
                item.push(' ');
                item.push_str(line.trim_start());
            }
            (None, None) => items.push((*line).to_owned()),
        }
    }
    items
}

/// A row is a term and its meaning; what a third column has is said with that column's head.
fn table(block: &[&str], page: &mut Page) {
    let mut rows = block.iter().map(|row| cells(row));
    let heads = rows.next().unwrap_or_default();
    for row in rows.skip(1) {
        let mut row = row.into_iter();
        let term = row.next().unwrap_or_default();
        let mut meaning = row.next().unwrap_or_default();
        for (head, more) in heads.iter().skip(2).zip(row) {
            meaning.push_str(&format!(". {head}: {more}"));
        }
        page.term(emphatic(&term), &meaning);
    }
}

fn cells(row: &str) -> Vec<String> {
    let inner = row.trim().trim_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

/// A term that is not marked is set in bold whole.
fn emphatic(term: &str) -> Vec<Inline> {
    if term.contains('`') {
        marked(term)
    } else {
        vec![bold(term), roman("")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page without its fonts.
    fn text() -> String {
        let text = String::from_utf8(page().render().unwrap()).unwrap();
        let text = text.replace("\\*(Aq", "'");
        ["\\fB", "\\fI", "\\fR", "\\"]
            .iter()
            .fold(text, |text, code| text.replace(code, ""))
    }

    #[test]
    fn every_word_of_the_text_is_on_the_page() {
        let page = text();
        let page: Vec<_> = page.split_whitespace().collect();
        // Heads of columns are not shown, except where a third one is.
        let is_set = |line: &&str| {
            ![
                "|---", "| what |", "| key ", "| tag ", "| code ", "```", "#",
            ]
            .iter()
            .any(|start| line.starts_with(start))
        };
        let plain: String = FORMAT
            .lines()
            .filter(is_set)
            .flat_map(|line| [line, "\n"])
            .collect();
        let plain = plain.replace(['`', '|', '*'], " ");
        let all = page.join(" ");
        for word in plain.split_whitespace().filter(|word| word.len() > 3) {
            assert!(all.contains(word), "{word}");
        }
    }

    #[test]
    fn tables_and_lists_are_read() {
        let page = text();
        assert!(page.contains(".SH \"3. EVENT LINES\"\n"), "{page}");
        assert!(
            page.contains("\nrpxz\nfooter, section 7. where: last in the file\n"),
            "{page}"
        );
        assert!(page.contains(".IP (bu 2\nq: {"), "{page}");
        assert!(!page.contains('`'));
    }
}
