//! The properties of a key of the file: its name, its values, its default, its meaning.

/// One key of the file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name within its section.
    pub name: &'static str,
    /// What may stand after it.
    pub form: ValueType,
    /// What holds where it is not given.
    pub default: DefaultValue,
    /// What it means, in whole sentences.
    pub doc: &'static str,
}

/// What may stand after a key.
#[derive(Clone, Copy, Debug)]
pub enum ValueType {
    /// A text; the words name what it must be.
    Text(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `yes` or `no`.
    Switch,
    /// A list of texts; the words name what each must be.
    Texts(&'static str),
    /// Texts under names of the user's choice.
    Labels,
    /// More keys.
    Section(&'static [Key]),
    /// A list of sections.
    Sections(&'static [Key]),
}

/// What holds where a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value, as the file would have it.
    Value(&'static str),
    /// A list of these values.
    Values(&'static [&'static str]),
    /// A value of the machine or of another key; the words name it.
    Derived(&'static str),
    /// Nothing.
    Nothing,
    /// The key must be given.
    Required,
}

impl ValueType {
    /// What to write, as in "expected a list of networks".
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Text(what) => (*what).to_owned(),
            Self::Choice(words) => words
                .iter()
                .map(|word| format!("{word:?}"))
                .collect::<Vec<_>>()
                .join(" or "),
            Self::Switch => "yes or no".to_owned(),
            Self::Texts(what) => format!("a list, each item {what}"),
            Self::Labels => "labels, as in { env: prod }".to_owned(),
            Self::Section(keys) => format!("a section with the keys {}", names(keys)),
            Self::Sections(keys) => format!("a list of items with the keys {}", names(keys)),
        }
    }

    /// What each item of a list of texts must be; empty for other types.
    #[must_use]
    pub fn item(&self) -> &'static str {
        match self {
            Self::Texts(what) => what,
            _ => "",
        }
    }

    /// The keys below, where there are any.
    #[must_use]
    pub fn keys(&self) -> &'static [Key] {
        match self {
            Self::Section(keys) | Self::Sections(keys) => keys,
            _ => &[],
        }
    }
}

fn names(keys: &[Key]) -> String {
    keys.iter()
        .map(|key| key.name)
        .collect::<Vec<_>>()
        .join(", ")
}
