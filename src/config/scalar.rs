//! The types of values for a row of the table: how to read a text of the file, how to write the
//! value, and what to warn about.
//!
//! [`Scalar`] is one text. [`Scalar::optional`] makes it an `Option`, [`Scalar::list`] a `Vec`. A
//! [`Composite`] has a reader and a printer of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::diagnostic::Diagnostics;
use super::key::{Key, ValueType};
use super::section::Section;
use super::value;
use crate::model::format_duration;

/// What is shown for a list without items, and for a key that is not given.
pub(super) const NONE: &str = "none";

/// How a field of a section is read, written and shown.
pub(super) trait FieldCodec<F> {
    /// Reads it. `None` only where an error was noted.
    fn read(
        &self,
        section: &Section<'_>,
        key: &Key,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<F>;

    /// The lines of YAML that read back to it, not indented.
    fn print(&self, key: &Key, field: &F) -> Vec<String>;

    /// The value for people, without quotes.
    fn show(&self, field: &F) -> String;
}

/// A value that is one text.
pub(super) struct Scalar<T: 'static> {
    /// What may stand after the key.
    pub(super) form: ValueType,
    read: fn(&Key, &str) -> Result<T, String>,
    show: fn(&T) -> String,
    is_quoted: bool,
    risk: fn(&T) -> Option<&'static str>,
}

impl<T> Scalar<T> {
    /// A value that `read` makes of the file's text, or says what is wrong with it; `show` is its
    /// inverse.
    pub(super) const fn new(
        form: ValueType,
        read: fn(&Key, &str) -> Result<T, String>,
        show: fn(&T) -> String,
    ) -> Self {
        Self {
            form,
            read,
            show,
            is_quoted: false,
            risk: |_| None,
        }
    }

    /// Written in double quotes, so that no reader of YAML takes it for anything but a text.
    pub(super) const fn quoted(self) -> Self {
        Self {
            is_quoted: true,
            ..self
        }
    }

    /// Written in another way.
    pub(super) const fn shown_by(self, show: fn(&T) -> String) -> Self {
        Self { show, ..self }
    }

    /// Warned about where `risk` says what a value costs.
    pub(super) const fn risky(self, risk: fn(&T) -> Option<&'static str>) -> Self {
        Self { risk, ..self }
    }

    /// The same for a key without a default: nothing where it is not given.
    pub(super) const fn optional(self) -> OptionalScalar<T> {
        OptionalScalar {
            form: self.form,
            scalar: self,
        }
    }

    /// A list of such values.
    pub(super) const fn list(self) -> ScalarList<T> {
        let form = match self.form {
            ValueType::Text(what) => ValueType::Texts(what),
            other => other,
        };
        ScalarList { form, item: self }
    }

    fn write(&self, value: &T) -> String {
        let shown = (self.show)(value);
        if self.is_quoted {
            value::yaml_text(&shown)
        } else {
            shown
        }
    }
}

impl<T> FieldCodec<T> for Scalar<T> {
    fn read(
        &self,
        section: &Section<'_>,
        key: &Key,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<T> {
        let found = section.value(key, |text| (self.read)(key, text), diagnostics)?;
        if let Some(message) = (self.risk)(&found.value) {
            diagnostics.warning(found.place, &section.path_to(key.name), message);
        }
        Some(found.value)
    }

    fn print(&self, key: &Key, value: &T) -> Vec<String> {
        vec![format!("{}: {}", key.name, self.write(value))]
    }

    fn show(&self, value: &T) -> String {
        (self.show)(value)
    }
}

/// A value that is one text, or nothing.
pub(super) struct OptionalScalar<T: 'static> {
    /// What may stand after the key.
    pub(super) form: ValueType,
    scalar: Scalar<T>,
}

impl<T> FieldCodec<Option<T>> for OptionalScalar<T> {
    fn read(
        &self,
        section: &Section<'_>,
        key: &Key,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Option<T>> {
        // What is wrong was noted, and the file is refused for it.
        Some(self.scalar.read(section, key, diagnostics))
    }

    fn print(&self, key: &Key, value: &Option<T>) -> Vec<String> {
        let print = |value| self.scalar.print(key, value);
        value.as_ref().map(print).unwrap_or_default()
    }

    fn show(&self, value: &Option<T>) -> String {
        let show = |value| self.scalar.show(value);
        value.as_ref().map_or_else(|| NONE.to_owned(), show)
    }
}

/// A list of texts.
pub(super) struct ScalarList<T: 'static> {
    /// What may stand after the key.
    pub(super) form: ValueType,
    item: Scalar<T>,
}

impl<T> FieldCodec<Vec<T>> for ScalarList<T> {
    fn read(
        &self,
        section: &Section<'_>,
        key: &Key,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Vec<T>> {
        let read = |text: &str| (self.item.read)(key, text);
        let items = section.texts(key, key.form.item(), read, diagnostics);
        for item in &items {
            if let Some(message) = (self.item.risk)(&item.value) {
                diagnostics.warning(item.place, &section.path_to(key.name), message);
            }
        }
        Some(items.into_iter().map(|item| item.value).collect())
    }

    fn print(&self, key: &Key, items: &Vec<T>) -> Vec<String> {
        let items: Vec<String> = items.iter().map(|item| self.item.write(item)).collect();
        vec![format!("{}: [{}]", key.name, items.join(", "))]
    }

    fn show(&self, items: &Vec<T>) -> String {
        if items.is_empty() {
            return NONE.to_owned();
        }
        let items: Vec<String> = items.iter().map(|item| self.item.show(item)).collect();
        items.join(", ")
    }
}

/// A value with a reader and a printer of its own: a section, or one that depends on other keys.
pub(super) struct Composite<F: 'static> {
    /// What may stand after the key.
    pub(super) form: ValueType,
    /// As [`FieldCodec::read`].
    pub(super) read: fn(&Section<'_>, &Key, &mut Diagnostics<'_>) -> Option<F>,
    /// As [`FieldCodec::print`].
    pub(super) print: fn(&Key, &F) -> Vec<String>,
    /// As [`FieldCodec::show`].
    pub(super) show: fn(&F) -> String,
}

impl<F> FieldCodec<F> for Composite<F> {
    fn read(
        &self,
        section: &Section<'_>,
        key: &Key,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<F> {
        (self.read)(section, key, diagnostics)
    }

    fn print(&self, key: &Key, field: &F) -> Vec<String> {
        (self.print)(key, field)
    }

    fn show(&self, field: &F) -> String {
        (self.show)(field)
    }
}

/// `yes` or `no`.
pub(super) const SWITCH: Scalar<bool> = Scalar::new(
    ValueType::Switch,
    |_, text| value::switch(text),
    |on| value::switch_word(*on).to_owned(),
);

/// A number of things.
pub(super) const COUNT: Scalar<u32> = Scalar::new(
    ValueType::Text("a number from 1 to 1000000"),
    value::count,
    u32::to_string,
);

/// A span of time.
pub(super) const DURATION: Scalar<Duration> = Scalar::new(
    ValueType::Text("a duration from 1s to 52w, as in 30s, 10m or 1h30m"),
    |key, text| value::duration(key, text, 1),
    |span| format_duration(*span),
);

/// A span of time, or none.
pub(super) const DURATION_OR_ZERO: Scalar<Duration> = Scalar::new(
    ValueType::Text("a duration up to 52w, as in 30s, 10m or 1h30m, or 0"),
    |key, text| value::duration(key, text, 0),
    |span| format_duration(*span),
);

/// A file or a directory.
pub(super) const PATH: Scalar<PathBuf> = Scalar::new(
    ValueType::Text("an absolute path"),
    value::absolute,
    |path| path.to_string_lossy().into_owned(),
)
.quoted();

/// A network in CIDR form.
pub(super) const NETWORK: Scalar<String> = Scalar::new(
    ValueType::Text("a network, as in 203.0.113.10/32 or 2001:db8::/64"),
    |_, text| value::network(text),
    String::clone,
)
.quoted();

/// An address to listen on, `PORT` where none is given. The words name it with that port.
pub(super) const fn listener<const PORT: u16>(words: &'static str) -> Scalar<SocketAddr> {
    Scalar::new(
        ValueType::Text(words),
        |key, text| value::listener(key, PORT, text),
        SocketAddr::to_string,
    )
    .quoted()
}
