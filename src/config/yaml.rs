//! YAML as a tree in which every node has its position. The only file that imports the parser.
//!
//! Scalars stay text: a node named `no` is a node named `no`, not a boolean. Anchors and aliases
//! are supported; their expansion and the depth of the tree are limited.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

/// Deepest nesting; the schema needs five levels.
const MAX_DEPTH: usize = 32;
/// Most nodes of one file, unfolded aliases included.
const MAX_NODES: usize = 200_000;

/// Where something stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Line, from 1.
    pub(super) line: usize,
    /// Column in characters, from 1.
    pub(super) column: usize,
    /// How many characters of this line it covers; at least 1. After a quoted text, the parser
    /// counts white space and a comment in.
    pub(super) width: usize,
}

impl Position {
    fn at(marker: Marker) -> Self {
        Self {
            line: marker.line().max(1),
            column: marker.col() + 1,
            width: 1,
        }
    }

    fn of(span: Span) -> Self {
        let start = Self::at(span.start);
        let same_line = span.start.line() == span.end.line();
        let width = if same_line {
            span.end.col().saturating_sub(span.start.col()).max(1)
        } else {
            1
        };
        Self { width, ..start }
    }
}

/// One value of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Position,
    pub(super) content: Content,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Nothing, `~` or `null`, without quotes.
    Null,
    /// A scalar, whatever its quotes.
    Text(String),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file, duplicates included.
    Mapping(Vec<(Node, Node)>),
}

/// Why a text is not one YAML document.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) place: Position,
    pub(super) message: String,
}

impl SyntaxError {
    fn new(place: Position, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
        }
    }
}

/// Parses a file. `None` where it holds nothing but comments.
pub(super) fn parse(text: &str) -> Result<Option<Node>, SyntaxError> {
    let mut tree = Tree::default();
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            SyntaxError::new(
                Position::at(*error.marker()),
                format!("not YAML: {}", error.info()),
            )
        })?;
        tree.on(event, span)?;
    }
    Ok(tree.root)
}

/// A collection whose end has not come yet.
#[derive(Debug)]
struct Open {
    place: Position,
    anchor: usize,
    items: Items,
}

#[derive(Debug)]
enum Items {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<(Node, Node)>,
        key: Option<Node>,
    },
}

/// The tree as it grows, event by event: a stack instead of recursion.
#[derive(Debug, Default)]
struct Tree {
    root: Option<Node>,
    documents: usize,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl Tree {
    fn on(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let place = Position::of(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(SyntaxError::new(
                        place,
                        "a second document begins here, expected one",
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                no_tag(tag.is_some(), place)?;
                let is_null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let content = if is_null {
                    Content::Null
                } else {
                    Content::Text(text.into_owned())
                };
                self.add(Node { place, content }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                no_tag(tag.is_some(), place)?;
                self.begin(place, anchor, Items::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                no_tag(tag.is_some(), place)?;
                let items = Items::Mapping {
                    entries: Vec::new(),
                    key: None,
                };
                self.begin(place, anchor, items)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(named) = self.anchors.get(&anchor) else {
                    return Err(SyntaxError::new(
                        place,
                        "this alias stands inside of what it names",
                    ));
                };
                let content = named.content.clone();
                self.nodes += count(&content, MAX_NODES);
                self.add(Node { place, content }, 0)
            }
        }
    }

    fn begin(&mut self, place: Position, anchor: usize, items: Items) -> Result<(), SyntaxError> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(SyntaxError::new(place, message));
        }
        self.open.push(Open {
            place: Position { width: 1, ..place },
            anchor,
            items,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let content = match open.items {
            Items::Sequence(items) => Content::Sequence(items),
            Items::Mapping { entries, .. } => Content::Mapping(entries),
        };
        let place = open.place;
        self.add(Node { place, content }, open.anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, unfolded aliases included");
            return Err(SyntaxError::new(node.place, message));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::Sequence(items)) => items.push(node),
            Some(Items::Mapping { entries, key }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(())
    }
}

fn no_tag(tagged: bool, place: Position) -> Result<(), SyntaxError> {
    if tagged {
        return Err(SyntaxError::new(place, "tags are not understood here"));
    }
    Ok(())
}

/// Nodes of a subtree, counted up to a limit.
fn count(content: &Content, limit: usize) -> usize {
    let mut total = 0;
    let mut left = vec![content];
    while let Some(content) = left.pop() {
        total += 1;
        if total > limit {
            break;
        }
        match content {
            Content::Null | Content::Text(_) => {}
            Content::Sequence(items) => left.extend(items.iter().map(|item| &item.content)),
            Content::Mapping(entries) => {
                left.extend(
                    entries
                        .iter()
                        .flat_map(|(key, value)| [&key.content, &value.content]),
                );
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flaw(text: &str) -> SyntaxError {
        parse(text).unwrap_err()
    }

    fn entry(text: &str) -> (Node, Node) {
        match parse(text).unwrap().unwrap().content {
            Content::Mapping(mut entries) => entries.remove(0),
            other => panic!("not a mapping: {other:?}"),
        }
    }

    #[test]
    fn every_scalar_knows_its_place() {
        let place = |line, column, width| Position {
            line,
            column,
            width,
        };
        let (key, value) = entry("# head\nname:  proxy  # tail\n");
        assert_eq!((key.place, value.place), (place(2, 1, 4), place(2, 8, 5)));
        let (_, quoted) = entry("name: \"a b\"\n");
        assert_eq!(quoted.place, place(1, 7, 5));
        let (_, umlaut) = entry("nämé: zwölf\n");
        assert_eq!(umlaut.place, place(1, 7, 5));
    }

    #[test]
    fn quotes_decide_between_nothing_and_an_empty_text() {
        assert!(matches!(entry("a:\n").1.content, Content::Null));
        assert!(matches!(entry("a: ~\n").1.content, Content::Null));
        assert!(matches!(entry("a: ''\n").1.content, Content::Text(text) if text.is_empty()));
        assert!(parse("# nothing\n").unwrap().is_none());
    }

    #[test]
    fn aliases_unfold() {
        let text = "a: &labels {env: prod}\nb: *labels\n";
        let Content::Mapping(entries) = parse(text).unwrap().unwrap().content else {
            panic!("not a mapping");
        };
        assert!(matches!(&entries[1].1.content, Content::Mapping(labels) if labels.len() == 1));
        assert_eq!(entries[1].1.place.line, 2);
    }

    #[test]
    fn an_alias_bomb_is_refused_before_it_unfolds() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(flaw(&text).message.starts_with("more than"));
        assert!(
            flaw("a: &a [*a]\n")
                .message
                .contains("inside of what it names")
        );
    }

    #[test]
    fn depth_documents_and_tags_are_bounded() {
        let block: String = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(flaw(&block).message.starts_with("nested deeper"));
        let flow = flaw(&"[".repeat(100_000)).message;
        assert!(flow.contains("recursion limit"), "{flow}");
        assert!(
            flaw("a: 1\n---\nb: 2\n")
                .message
                .contains("second document")
        );
        assert!(flaw("a: !!int 1\n").message.contains("tags"));
    }

    #[test]
    fn syntax_errors_have_their_place() {
        let unclosed = flaw("a: 1\nb: [1, 2\nc: 3\n");
        assert!(unclosed.message.starts_with("not YAML: "), "{unclosed:?}");
        assert!(unclosed.place.line >= 2, "{unclosed:?}");
        let tab = flaw("a:\n\tb: 1\n");
        assert_eq!(tab.place.line, 2, "{tab:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "[\\[\\]{}:,&*a!|>'\"#%@ \t\n-]{0,80}") {
            let _judged = parse(&text);
        }
    }
}
