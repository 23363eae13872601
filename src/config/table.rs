//! The table of keys: one row for each key of a section, and everything that is generated from it.
//!
//! `section!` declares a section. A row contains a key's name, its values, its default, its meaning,
//! whether a reload applies it, and which of two values protects less. None of these can be left
//! out: an incomplete row does not compile. From the rows are generated
//!
//! - the struct with one field for each row,
//! - a constant for each [`Key`], and one for the section with all of its keys, from
//!   which the documentation is printed,
//! - `read`, which notes all mistakes at once, and `print`, which writes what reads back to the same,
//! - `keep_until_restart`, which a reload calls, and `weaker`, which an auditor reads.
//!
//! ```text
//! section! {
//!     RECORDING = "recording", RecordingConfig, "How sessions are recorded.", [Clone, Copy] {
//!         PTY_INPUT = "pty_input" => pty_input: bool {
//!             value: SWITCH,                        // Scalar, list, Option or Composite
//!             default: DefaultValue::Value("no"),   // as the file would have it
//!             reload: OnReload::Applied,            // or NeedsRestart
//!             protection: Protection::WHILE_ON,     // when a change protects less
//!             doc: "Whether what is typed into a terminal is stored, passwords included.",
//!         }
//!     }
//! }
//! ```
//!
//! Several keys that make one field are named after the first, with `+`; their rows are constants
//! beside the reader. A `Composite` names the reader and the printer. A section within a section is
//! declared with its whole path, and is named after the rows: `sections { KEY => field: Struct, }`.
//!
//! To add a key takes one row here, and, for a type of value that no other key has, a `Scalar` with a
//! reader and a printer. What then uses the field is another matter: `worker::settings` gives it to the
//! rooms below. Tests name what is still missing: a line in `contrib/rproxy.example.yaml`
//! (`tests/config.rs`), the printed table of `docs/configuration.md` (`RPROXY_TEST_BLESS=1 cargo test
//! --test docs`), and a case in `weaker` for a key that protects something. A new section is a struct
//! of this kind; `Config` and the four functions that take it apart do not compile without it.

use super::key::Key;
use super::scalar::FieldCodec;
use crate::audit::Weaker;

/// What a running proxy does with a value that has changed when it reads the file again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnReload {
    /// New decisions go by the new value.
    Applied,
    /// The old value holds until a restart, and the key is named.
    NeedsRestart,
}

/// Which of two values of a key protects less.
pub(super) enum Protection<F: 'static> {
    /// None does: names, places, and sizes.
    Unaffected,
    /// The second one, where this says so.
    Weaker(fn(old: &F, new: &F) -> bool),
    /// The same, and another key than the row's is named.
    WeakerBy(&'static Key, fn(old: &F, new: &F) -> bool),
}

impl Protection<bool> {
    /// A switch that protects while it is on.
    pub(super) const WHILE_ON: Self = Self::Weaker(|old, new| *old && !*new);
}

/// The entry of a row in the list of what protects less; `None` where nothing does.
pub(super) fn weaker_field<F>(
    (section, key): (&str, &Key),
    protection: &Protection<F>,
    codec: &impl FieldCodec<F>,
    (old, new): (&F, &F),
) -> Option<Weaker> {
    let (key, is_weaker) = match protection {
        Protection::Unaffected => return None,
        Protection::Weaker(is_weaker) => (key, is_weaker),
        Protection::WeakerBy(key, is_weaker) => (*key, is_weaker),
    };
    is_weaker(old, new).then(|| Weaker {
        key: format!("{section}.{}", key.name),
        from: codec.show(old),
        to: codec.show(new),
    })
}

/// The name of a section within the section that it is in, from its whole path.
pub(super) const fn last_part(path: &'static str) -> &'static str {
    let mut name = path;
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'.' {
            name = match std::str::from_utf8(after) {
                Ok(name) => name,
                Err(_) => path,
            };
        }
        rest = after;
    }
    name
}

/// Declares a section of the file; see the head of this file.
macro_rules! section {
    (
        $SECTION:ident = $section:literal, $struct:ident, $about:literal, [$($derive:ident),*] {
            $(
                $KEY:ident = $name:literal $(+ $MORE:ident)* => $field:ident: $type:ty {
                    value: $codec:expr,
                    default: $default:expr,
                    reload: $reload:expr,
                    protection: $protection:expr,
                    doc: $doc:literal,
                }
            )*
        }
        $(sections { $($INNER:ident => $inner:ident: $inner_struct:ident,)* })?
    ) => {
        #[doc = concat!("`", $section, "`.")]
        #[derive($($derive,)* Debug, PartialEq, Eq)]
        pub struct $struct {
            $(
                #[doc = concat!("`", $name, "`.")]
                pub $field: $type,
            )*
            $($(
                #[doc = concat!("`", $section, ".", stringify!($inner), "`.")]
                pub $inner: $inner_struct,
            )*)?
        }

        #[doc = concat!("`", $section, "`.")]
        pub(in $crate::config) const $SECTION: $crate::config::key::Key = $crate::config::key::Key {
            name: $crate::config::table::last_part($section),
            form: $crate::config::key::ValueType::Section(&[
                $($KEY, $($MORE,)*)*
                $($($INNER,)*)?
            ]),
            default: $crate::config::key::DefaultValue::Nothing,
            doc: $about,
        };

        $(
            #[doc = concat!("`", $section, ".", $name, "`.")]
            pub(in $crate::config) const $KEY: $crate::config::key::Key = $crate::config::key::Key {
                name: $name,
                form: $codec.form,
                default: $default,
                doc: $doc,
            };
        )*

        impl $struct {
            /// Reads the section. `None` only where an error was noted, each of them.
            pub(in $crate::config) fn read(
                section: &$crate::config::section::Section<'_>,
                diagnostics: &mut $crate::config::diagnostic::Diagnostics<'_>,
            ) -> Option<Self> {
                use $crate::config::scalar::FieldCodec;
                // All of them are read before the first that is missing ends it.
                $(let $field = $codec.read(section, &$KEY, diagnostics);)*
                $($(
                    let $inner = section.section(&$INNER, diagnostics);
                    let $inner = $inner_struct::read(&$inner, diagnostics);
                )*)?
                Some(Self { $($field: $field?,)* $($($inner: $inner?,)*)? })
            }

            /// The section as YAML that reads back to the same.
            pub(in $crate::config) fn print(&self) -> Vec<String> {
                use $crate::config::scalar::FieldCodec;
                let mut lines = vec![format!("{}:", $SECTION.name)];
                $({
                    let printed = $codec.print(&$KEY, &self.$field);
                    lines.extend(printed.iter().map(|line| format!("  {line}")));
                })*
                $($({
                    let printed = self.$inner.print();
                    lines.extend(printed.iter().map(|line| format!("  {line}")));
                })*)?
                lines
            }

            /// The keys that protect less here than in `old`.
            pub(in $crate::config) fn weaker(&self, old: &Self) -> Vec<$crate::audit::Weaker> {
                let mut found = Vec::new();
                $({
                    let protection: $crate::config::table::Protection<$type> = $protection;
                    found.extend($crate::config::table::weaker_field(
                        ($section, &$KEY),
                        &protection,
                        &$codec,
                        (&old.$field, &self.$field),
                    ));
                })*
                $($(found.extend(self.$inner.weaker(&old.$inner));)*)?
                found
            }

            /// Takes from `old` what a running proxy cannot change; the keys that differed.
            pub(in $crate::config) fn keep_until_restart(&mut self, old: &Self) -> Vec<String> {
                let mut kept = Vec::new();
                $(
                    let needs_restart = $reload == $crate::config::table::OnReload::NeedsRestart;
                    if needs_restart && self.$field != old.$field {
                        self.$field.clone_from(&old.$field);
                        kept.push(concat!($section, ".", $name).to_owned());
                    }
                )*
                $($(kept.extend(self.$inner.keep_until_restart(&old.$inner));)*)?
                kept
            }

            /// The keys of which no value protects less than another.
            #[cfg(test)]
            pub(in $crate::config) fn unprotected() -> Vec<&'static str> {
                let mut keys = Vec::new();
                $({
                    let protection: $crate::config::table::Protection<$type> = $protection;
                    if let $crate::config::table::Protection::Unaffected = protection {
                        keys.push(concat!($section, ".", $name));
                    }
                })*
                $($(keys.extend($inner_struct::unprotected());)*)?
                keys
            }
        }
    };
}

pub(super) use section;

/// One row is all that a key takes: everything else comes from it.
#[cfg(test)]
#[expect(unreachable_pub, reason = "sections of the file are public")]
mod tests {
    use std::time::Duration;

    use super::{OnReload, Protection};
    use crate::audit::Weaker;
    use crate::config::diagnostic::Diagnostics;
    use crate::config::key::DefaultValue;
    use crate::config::scalar::{COUNT, DURATION};
    use crate::config::section::Section;
    use crate::config::yaml;

    section! {
        DOORS = "queues.doors", Doors, "Where clients enter.", [Clone] {
            WIDTH = "width" => width: u32 {
                value: COUNT,
                default: DefaultValue::Value("1"),
                reload: OnReload::NeedsRestart,
                protection: Protection::Weaker(|old, new| new > old),
                doc: "How many clients enter at a time.",
            }
        }
    }

    section! {
        QUEUES = "queues", Queues, "How clients wait.", [Clone] {
            LENGTH = "length" => length: u32 {
                value: COUNT.risky(|length| (*length > 100).then_some("the queue is long")),
                default: DefaultValue::Value("8"),
                reload: OnReload::NeedsRestart,
                protection: Protection::Unaffected,
                doc: "Most clients that wait.",
            }
            PATIENCE = "patience" => patience: Option<Duration> {
                value: DURATION.optional(),
                default: DefaultValue::Nothing,
                reload: OnReload::Applied,
                protection: Protection::Weaker(|old, new| old.is_some() && new.is_none()),
                doc: "How long each of them waits.",
            }
        }
        sections { DOORS => doors: Doors, }
    }

    /// The section, its problems and its warnings.
    fn read(text: &str) -> (Option<Queues>, Vec<String>, Vec<String>) {
        let tree = yaml::parse(text).unwrap();
        let mut diagnostics = Diagnostics::new("f", text);
        let root = Section::root(tree.as_ref(), &[QUEUES], &mut diagnostics);
        let section = root.section(&QUEUES, &mut diagnostics);
        let read = Queues::read(&section, &mut diagnostics);
        let (problems, warnings) = diagnostics.into_parts();
        let shown =
            |list: Vec<crate::config::Diagnostic>| list.iter().map(|one| one.headline()).collect();
        (read, shown(problems), shown(warnings))
    }

    fn queues(text: &str) -> Queues {
        read(text).0.unwrap()
    }

    #[test]
    fn a_row_has_a_default_and_is_read_and_printed() {
        let defaults = queues("");
        assert_eq!((defaults.length, defaults.patience), (8, None));
        assert_eq!(
            defaults.print(),
            ["queues:", "  length: 8", "  doors:", "    width: 1"]
        );
        let set = queues("queues: { length: 5, patience: 90s }");
        assert_eq!(
            (set.length, set.patience),
            (5, Some(Duration::from_secs(90)))
        );
        assert_eq!(
            set.print(),
            [
                "queues:",
                "  length: 5",
                "  patience: 1m30s",
                "  doors:",
                "    width: 1"
            ]
        );
        assert_eq!(queues(&set.print().join("\n")), set);
        assert_eq!(
            QUEUES
                .form
                .keys()
                .iter()
                .map(|key| key.name)
                .collect::<Vec<_>>(),
            ["length", "patience", "doors"]
        );
    }

    #[test]
    fn a_section_within_a_section_is_named_by_its_path() {
        let (old, mut new) = (queues(""), queues("queues: { doors: { width: 2 } }"));
        assert_eq!(new.doors.width, 2);
        assert_eq!(queues(&new.print().join("\n")), new);
        let (from, to) = ("1".to_owned(), "2".to_owned());
        let key = "queues.doors.width".to_owned();
        assert_eq!(new.weaker(&old), [Weaker { key, from, to }]);
        assert_eq!(new.keep_until_restart(&old), ["queues.doors.width"]);
        assert_eq!(new, old);
        let (_, problems, _) = read("queues: { doors: { width: 0, patience: 1s } }");
        assert_eq!(
            problems,
            [
                "f:1:27: queues.doors.width: expected a number from 1 to 1000000, found \"0\"",
                "f:1:30: queues.doors.patience: unknown key here, it belongs in queues",
            ]
        );
    }

    #[test]
    fn all_mistakes_are_noted_and_so_are_risks() {
        let (read_none, problems, _) = read("queues: { length: 0, patience: soon, more: 1 }");
        assert_eq!(read_none, None);
        assert_eq!(
            problems,
            [
                "f:1:19: queues.length: expected a number from 1 to 1000000, found \"0\"",
                "f:1:32: queues.patience: expected a duration from 1s to 52w, as in 30s, 10m or \
                 1h30m, found \"soon\"",
                "f:1:38: queues.more: unknown key, expected one of length, patience, doors",
            ]
        );
        let (_, _, warnings) = read("queues: { length: 101 }");
        assert_eq!(
            warnings,
            ["f:1:19: warning: queues.length: the queue is long"]
        );
    }

    #[test]
    fn a_reload_takes_what_its_row_says() {
        let old = queues("");
        let mut new = queues("queues: { length: 5, patience: 1m }");
        assert_eq!(new.keep_until_restart(&old), ["queues.length"]);
        assert_eq!(
            (new.length, new.patience),
            (8, Some(Duration::from_secs(60)))
        );
        assert!(new.clone().keep_until_restart(&new).is_empty());
    }

    #[test]
    fn what_protects_less_is_named_by_its_row() {
        let (strong, weak) = (queues("queues: { patience: 1m, length: 3 }"), queues(""));
        let (from, to) = ("1m".to_owned(), "none".to_owned());
        let key = "queues.patience".to_owned();
        assert_eq!(weak.weaker(&strong), [Weaker { key, from, to }]);
        assert!(strong.weaker(&weak).is_empty());
        assert_eq!(Queues::unprotected(), ["queues.length"]);
    }
}
