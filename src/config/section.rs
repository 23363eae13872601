//! A section of the file, read through its table of keys: every value is read through its key, and
//! problems are collected, not returned.

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::masked::masked;
use super::spelling;
use super::yaml::{Content, Node, Position};

use crate::model::text::{self, Printable};

/// Longest value that is repeated in a message, in characters.
const MAX_QUOTED: usize = 64;

/// One section, or one item of a list of sections.
#[derive(Debug)]
pub(super) struct Section<'f> {
    path: String,
    place: Option<Position>,
    entries: Vec<(&'static str, &'f Node, Position)>,
    complete: bool,
    /// The keys of the file's top level, for names that stand in the wrong section.
    root: &'static [Key],
}

/// A value, and where it stands; a default stands nowhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Option<Position>,
}

impl<'f> Section<'f> {
    /// The file itself, with the keys of its top level.
    pub(super) fn root(
        node: Option<&'f Node>,
        keys: &'static [Key],
        diagnostics: &mut Diagnostics<'_>,
    ) -> Self {
        Self::open(node, String::new(), keys, keys, diagnostics)
    }

    /// Opens a section: unknown and repeated keys are noted here.
    fn open(
        node: Option<&'f Node>,
        path: String,
        keys: &'static [Key],
        root: &'static [Key],
        diagnostics: &mut Diagnostics<'_>,
    ) -> Self {
        let mut section = Self {
            path,
            place: node.map(|node| node.place),
            entries: Vec::new(),
            complete: true,
            root,
        };
        match node.map(|node| (&node.content, node.place)) {
            None | Some((Content::Null, _)) => {}
            Some((Content::Mapping(entries), _)) => section.read(entries, keys, diagnostics),
            Some((other, place)) => {
                let expected = ValueType::Section(keys).expected();
                let message = format!("expected {expected}, found {}", found(other));
                diagnostics.error(Some(place), &section.path, message);
                section.complete = false;
            }
        }
        section
    }

    fn read(
        &mut self,
        entries: &'f [(Node, Node)],
        keys: &'static [Key],
        diagnostics: &mut Diagnostics<'_>,
    ) {
        for (name, value) in entries {
            let Content::Text(text) = &name.content else {
                let message = format!("expected a key, found {}", found(&name.content));
                diagnostics.error(Some(name.place), &self.path, message);
                continue;
            };
            let Some(key) = keys.iter().find(|key| key.name == text) else {
                let message = self.unknown(text, keys);
                diagnostics.error(Some(name.place), &self.path_to(&shorten(text)), message);
                continue;
            };
            if let Some((_, _, first)) = self.entries.iter().find(|(name, ..)| *name == key.name) {
                let message = format!("given twice, first in line {}", first.line);
                diagnostics.error(Some(name.place), &self.path_to(key.name), message);
                continue;
            }
            self.entries.push((key.name, value, name.place));
        }
    }

    /// What to say about a key that is not in its section's table.
    fn unknown(&self, name: &str, keys: &'static [Key]) -> String {
        let has_it = |section: &&Key| section.form.keys().iter().any(|key| key.name == name);
        if let Some(section) = self.root.iter().find(has_it) {
            return format!("unknown key here, it belongs in {}", section.name);
        }
        if self.root.iter().any(|key| key.name == name) {
            return "unknown key here, it belongs at the top level".to_owned();
        }
        match spelling::similar(name, keys.iter().map(|key| key.name)) {
            Some(similar) => format!("unknown key, did you mean {similar}?"),
            None => {
                let names: Vec<_> = keys.iter().map(|key| key.name).collect();
                format!("unknown key, expected one of {}", names.join(", "))
            }
        }
    }

    /// Its own path; empty for the file's top level.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of one of its keys.
    pub(super) fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Where a key stands, if it is given.
    pub(super) fn place_of(&self, key: &Key) -> Option<Position> {
        self.entry(key).map(|(_, place)| place)
    }

    /// The value of a key, or the key's default. `None` where there is neither, and where what is
    /// there was noted as wrong.
    pub(super) fn value<T>(
        &self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<T, String>,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Located<T>> {
        let path = self.path_to(key.name);
        let Some((node, name)) = self.entry(key) else {
            return match key.default {
                DefaultValue::Value(text) => {
                    parse(text).ok().map(|value| Located { value, place: None })
                }
                DefaultValue::Required if self.complete => {
                    let message = format!("missing, expected {}", key.form.expected());
                    diagnostics.error(self.place, &path, message);
                    None
                }
                DefaultValue::Required
                | DefaultValue::Derived(_)
                | DefaultValue::Nothing
                | DefaultValue::Values(_) => None,
            };
        };
        text(node, name, key.form.expected(), &path, parse, diagnostics)
    }

    /// The value of a key, or the key's default, for the reader of another one: nothing is noted.
    pub(super) fn peek<T>(
        &self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = match (self.entry(key), key.default) {
            (Some((node, _)), _) => match &node.content {
                Content::Text(text) => text,
                _ => return None,
            },
            (None, DefaultValue::Value(text)) => text,
            (None, _) => return None,
        };
        parse(text).ok()
    }

    /// Whether the file names this key, with whatever value.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.entry(key)
            .is_some_and(|(node, _)| !matches!(node.content, Content::Null))
    }

    /// Whether the file has a list under this key.
    pub(super) fn is_list(&self, key: &Key) -> bool {
        self.entry(key)
            .is_some_and(|(node, _)| matches!(node.content, Content::Sequence(_)))
    }

    /// Where it begins; `None` where it is not in the file.
    pub(super) fn place(&self) -> Option<Position> {
        self.place
    }

    /// The line of a key that has a value in the file.
    pub(super) fn line_of(&self, key: &Key) -> Option<usize> {
        let (node, place) = self.entry(key)?;
        (!matches!(node.content, Content::Null)).then_some(place.line)
    }

    /// Notes a key that is there and has nothing in it: where nothing would mean everything, it was
    /// forgotten. `false` when there is something, or no such key.
    pub(super) fn is_empty(&self, key: &Key, diagnostics: &mut Diagnostics<'_>) -> bool {
        let Some((node, place)) = self.entry(key) else {
            return false;
        };
        let is_empty = match &node.content {
            Content::Null => true,
            Content::Sequence(items) => items.is_empty(),
            Content::Mapping(entries) => entries.is_empty(),
            Content::Text(_) => false,
        };
        if is_empty {
            let message = format!("is empty, expected {}", key.form.expected());
            diagnostics.error(Some(place), &self.path_to(key.name), message);
        }
        is_empty
    }

    /// The section under a key.
    pub(super) fn section(&self, key: &Key, diagnostics: &mut Diagnostics<'_>) -> Self {
        let node = self.entry(key).map(|(node, _)| node);
        Self::open(
            node,
            self.path_to(key.name),
            key.form.keys(),
            self.root,
            diagnostics,
        )
    }

    /// The sections in the list under a key.
    pub(super) fn sections(&self, key: &Key, diagnostics: &mut Diagnostics<'_>) -> Vec<Self> {
        self.items(key, diagnostics)
            .into_iter()
            .map(|(path, node)| {
                Self::open(Some(node), path, key.form.keys(), self.root, diagnostics)
            })
            .collect()
    }

    /// The texts in the list under a key, or the key's default; those that do not parse are noted
    /// and left out.
    pub(super) fn texts<T>(
        &self,
        key: &Key,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Vec<Located<T>> {
        let is_silent = |(node, _): (&Node, Position)| matches!(node.content, Content::Null);
        if let DefaultValue::Values(values) = key.default
            && self.entry(key).is_none_or(is_silent)
        {
            return values
                .iter()
                .filter_map(|text| parse(text).ok())
                .map(|value| Located { value, place: None })
                .collect();
        }
        if key.default == DefaultValue::Required && self.complete && self.entry(key).is_none() {
            let message = format!("missing, expected {}", key.form.expected());
            diagnostics.error(self.place, &self.path_to(key.name), message);
        }
        self.items(key, diagnostics)
            .into_iter()
            .filter_map(|(path, node)| {
                text(
                    node,
                    node.place,
                    what.to_owned(),
                    &path,
                    &parse,
                    diagnostics,
                )
            })
            .collect()
    }

    /// The texts under names of the user's choice: pairs of name and value. What one of the two
    /// checks refuses is noted and left out.
    pub(super) fn labels(
        &self,
        key: &Key,
        check_name: impl Fn(&str) -> Result<String, String>,
        check_value: impl Fn(&str) -> Result<String, String>,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Vec<(String, String)> {
        let path = self.path_to(key.name);
        let entries = match self.entry(key).map(|(node, _)| (&node.content, node.place)) {
            None | Some((Content::Null, _)) => return Vec::new(),
            Some((Content::Mapping(entries), _)) => entries,
            Some((other, place)) => {
                let message = format!("expected {}, found {}", key.form.expected(), found(other));
                diagnostics.error(Some(place), &path, message);
                return Vec::new();
            }
        };
        let mut seen: Vec<(String, Position)> = Vec::new();
        let mut labels = Vec::new();
        for (name, value) in entries {
            let what = "a label's name".to_owned();
            let Some(label) = text(name, name.place, what, &path, &check_name, diagnostics) else {
                continue;
            };
            let label = label.value;
            let path = format!("{path}.{label}");
            if let Some((_, first)) = seen.iter().find(|(seen, _)| *seen == label) {
                let message = format!("given twice, first in line {}", first.line);
                diagnostics.error(Some(name.place), &path, message);
                continue;
            }
            seen.push((label.clone(), name.place));
            let what = "a label's value".to_owned();
            let value = text(value, name.place, what, &path, &check_value, diagnostics);
            labels.extend(value.map(|value| (label, value.value)));
        }
        labels
    }

    /// Where the items of the list under a key stand.
    pub(super) fn places(&self, key: &Key) -> Vec<Position> {
        match self.entry(key).map(|(node, _)| &node.content) {
            Some(Content::Sequence(items)) => items.iter().map(|item| item.place).collect(),
            _ => Vec::new(),
        }
    }

    /// The items of the list under a key, each with its path.
    fn items(&self, key: &Key, diagnostics: &mut Diagnostics<'_>) -> Vec<(String, &'f Node)> {
        let path = self.path_to(key.name);
        match self.entry(key).map(|(node, _)| (&node.content, node.place)) {
            None | Some((Content::Null, _)) => Vec::new(),
            Some((Content::Sequence(items), _)) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (format!("{path}[{index}]"), item))
                .collect(),
            Some((other, place)) => {
                let message = format!("expected {}, found {}", key.form.expected(), found(other));
                diagnostics.error(Some(place), &path, message);
                Vec::new()
            }
        }
    }

    fn entry(&self, key: &Key) -> Option<(&'f Node, Position)> {
        self.entries
            .iter()
            .find(|(name, ..)| *name == key.name)
            .map(|(_, node, place)| (*node, *place))
    }
}

/// Parses a scalar. A value that is not there is shown by its key's place.
fn text<T>(
    node: &Node,
    key_place: Position,
    expected: String,
    path: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Located<T>> {
    let (place, message) = match &node.content {
        Content::Text(text) => match parse(text) {
            Ok(value) => {
                return Some(Located {
                    value,
                    place: Some(node.place),
                });
            }
            Err(message) => (node.place, message),
        },
        Content::Null => (key_place, format!("has no value, expected {expected}")),
        other => (
            node.place,
            format!("expected {expected}, found {}", found(other)),
        ),
    };
    diagnostics.error(Some(place), path, message);
    None
}

/// What stands there instead.
fn found(content: &Content) -> String {
    match content {
        Content::Null => "nothing".to_owned(),
        Content::Text(text) => quoted(text),
        Content::Sequence(_) => "a list".to_owned(),
        Content::Mapping(_) => "a section".to_owned(),
    }
}

/// A value for a message: short, and harmless on a terminal.
pub(super) fn quoted(text: &str) -> String {
    match text::is_printable(text) {
        true => format!("{:?}", shorten(text)),
        false => format!("\"{}\"", shorten(text)),
    }
}

fn shorten(text: &str) -> String {
    Printable(&masked(text)).within(MAX_QUOTED)
}

/// Names that may stand once only.
#[derive(Default)]
pub(super) struct UniqueNames(Vec<Located<String>>);

impl UniqueNames {
    /// Whether it stands here for the first time; that it does not is noted.
    pub(super) fn is_new(
        &mut self,
        name: Located<String>,
        section: &Section<'_>,
        key: &Key,
        diagnostics: &mut Diagnostics<'_>,
    ) -> bool {
        let first = self.0.iter().find(|seen| seen.value == name.value);
        if let Some(line) = first.and_then(|first| Some(first.place?.line)) {
            let message = format!(
                "{} is given twice, first in line {line}",
                quoted(&name.value)
            );
            diagnostics.error(name.place, &section.path_to(key.name), message);
            return false;
        }
        self.0.push(name);
        true
    }
}
