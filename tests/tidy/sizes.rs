//! How long files and functions are, and how often a name is given.

use std::collections::BTreeMap;
use std::path::Path;

use crate::source::{functions, masked, product, rust_files, text, type_names};
use crate::tidy::complain;

/// The longest that a file may be, its tests not counted.
const LONGEST_FILE: usize = 600;

/// The longest that half of all files may be.
const MEDIAN_FILE: usize = 141;

/// The longest that a function may be, its signature counted.
const LONGEST_FUNCTION: usize = 80;

/// How often a type name may be declared, tests counted: each reader knows one of them.
const MOST_DECLARATIONS: usize = 3;

#[test]
fn no_file_is_too_long() {
    let wrong: Vec<_> = product()
        .into_iter()
        .filter(|source| source.lines > LONGEST_FILE)
        .map(|source| {
            let (file, lines) = (source.path.display(), source.lines);
            format!("{file}: {lines} lines without its tests, {LONGEST_FILE} are allowed")
        })
        .collect();
    complain(&wrong);
}

#[test]
fn most_files_are_short() {
    let mut lines: Vec<_> = product().into_iter().map(|source| source.lines).collect();
    lines.sort_unstable();
    let median = lines[lines.len() / 2];
    assert!(
        median <= MEDIAN_FILE,
        "half of the files have {median} lines or more"
    );
}

#[test]
fn no_function_is_too_long() {
    let mut wrong = Vec::new();
    for source in product() {
        for (name, line, lines) in functions(&source.code) {
            if lines > LONGEST_FUNCTION {
                let file = source.path.display();
                wrong.push(format!(
                    "{file}:{line}: `{name}` has {lines} lines, {LONGEST_FUNCTION} are allowed"
                ));
            }
        }
    }
    complain(&wrong);
}

#[test]
fn a_type_name_means_one_thing() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in ["src", "tests", "benches", "fuzz/src"]
        .into_iter()
        .flat_map(rust_files)
    {
        for name in type_names(&masked(&text(&file))) {
            places.entry(name).or_default().push(shown(&file));
        }
    }
    let wrong: Vec<_> = places
        .into_iter()
        .filter(|(_, places)| places.len() > MOST_DECLARATIONS)
        .map(|(name, places)| format!("{name} is declared {} times: {places:?}", places.len()))
        .collect();
    complain(&wrong);
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}
