//! Files of one room that use each other in a circle: neither can be read, moved or tested alone.
//!
//! A file uses another if it names something that the other declares. What a `mod.rs` only passes on
//! (`pub use`) counts as its children's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::source::{Source, module_directory, product, words};
use crate::tidy::complain;

/// Circles that stay: the first file in the order of names, how many files it has, and why it may be.
const CIRCLES: &[(&str, usize, &str)] = &[
    (
        "src/relay/relaying.rs",
        2,
        "one state machine (RFC 4254) in two files: the relay, and the step of it that one packet is, which \
         borrows all of it",
    ),
    (
        "src/wire/transport/exchange.rs",
        3,
        "one state machine (RFC 4253) in three files: its packets, its key exchanges, and what of them is \
         computed elsewhere",
    ),
];

#[test]
fn no_files_of_a_room_use_each_other() {
    let sources = product();
    let mut allowed: BTreeMap<_, _> = CIRCLES
        .iter()
        .map(|(first, size, _)| ((*first).to_owned(), *size))
        .collect();
    let mut wrong = Vec::new();
    let house = House::read(&sources);
    for circle in circles(&house) {
        let names: Vec<_> = circle
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        if allowed.remove(&names[0]) != Some(names.len()) {
            wrong.push(format!("a circle of {} files:", names.len()));
            for file in &circle {
                let used = house.uses[file].iter().filter(|used| circle.contains(used));
                let used: Vec<_> = used.map(|used| used.display().to_string()).collect();
                wrong.push(format!("  {} uses {}", file.display(), used.join(", ")));
            }
        }
    }
    let stale = allowed
        .keys()
        .map(|first| format!("{first}: there is no such circle any more"));
    wrong.extend(stale);
    complain(&wrong);
}

/// Which file uses which, within each room.
struct House<'s> {
    uses: BTreeMap<&'s Path, BTreeSet<&'s Path>>,
}

impl<'s> House<'s> {
    fn read(sources: &'s [Source]) -> Self {
        let tree = Tree::read(sources);
        let uses = sources
            .iter()
            .map(|source| (source.path.as_path(), tree.used_by(source)))
            .collect();
        Self { uses }
    }
}

/// The modules of `src`, by their paths: `["ssh", "bridge"]`.
struct Tree<'s> {
    files: BTreeMap<Vec<String>, &'s Source>,
    /// The names that a module and its children know from elsewhere, and the path that each stands for; `*`
    /// for all of a child.
    passed_on: BTreeMap<Vec<String>, Vec<(String, Vec<String>)>>,
}

impl<'s> Tree<'s> {
    fn read(sources: &'s [Source]) -> Self {
        let files: BTreeMap<_, _> = sources
            .iter()
            .map(|source| (module_of(&source.path), source))
            .collect();
        let passed_on = files
            .iter()
            .map(|(module, source)| {
                let all = imports(&source.code)
                    .into_iter()
                    .map(|import| (import.name, import.path))
                    .collect();
                (module.clone(), all)
            })
            .collect();
        Self { files, passed_on }
    }

    /// The other files of its room that a file uses.
    fn used_by(&self, source: &Source) -> BTreeSet<&'s Path> {
        let module = module_of(&source.path);
        let mut used = BTreeSet::new();
        let imported = imports(&source.code);
        let named = paths(&source.code);
        for path in imported
            .into_iter()
            // What is only passed on is not used.
            .filter(|import| !import.is_public)
            .map(|import| import.path)
            .chain(named)
        {
            let Some(absolute) = self.absolute(&module, &path) else {
                continue;
            };
            if absolute.first() != module.first() {
                continue;
            }
            if let Some(file) = self.resolve(&absolute, 0)
                && file != source.path
            {
                used.insert(file);
            }
        }
        used
    }

    /// A path from the root of `src`; none for what another crate has, or what is declared right here.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut base = module.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            child => {
                base.push(child.to_owned());
                if !self.files.contains_key(&base) {
                    return None;
                }
                rest = &rest[1..];
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The file that declares what a path leads to.
    fn resolve(&self, path: &[String], depth: usize) -> Option<&'s Path> {
        if depth > 8 {
            return None;
        }
        let known = (0..=path.len())
            .rev()
            .find(|length| self.files.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(known);
        let Some(name) = rest.first() else {
            return Some(&self.files[module].path);
        };
        let passed_on = self.passed_on.get(module)?;
        for (passed, from) in passed_on {
            if passed != name && passed != "*" {
                continue;
            }
            let Some(absolute) = self.absolute(module, from) else {
                continue;
            };
            if passed == "*" {
                let mut inside = absolute;
                inside.push(name.clone());
                if let Some(file) = self.resolve(&inside, depth + 1) {
                    return Some(file);
                }
            } else {
                return self.resolve(&absolute, depth + 1);
            }
        }
        Some(&self.files[module].path)
    }
}

fn module_of(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix("src").unwrap_or(file);
    let is_mod = inside.file_stem().is_some_and(|stem| stem == "mod");
    let path = match is_mod {
        true => inside.parent().unwrap_or_else(|| Path::new("")).to_owned(),
        false => inside.with_extension(""),
    };
    match path.to_str() {
        Some("lib" | "main") => Vec::new(),
        _ => path
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect(),
    }
}

/// One name that a `use` brings.
struct Import {
    is_public: bool,
    /// What it is called here; `*` for everything.
    name: String,
    path: Vec<String>,
}

/// What the `use` declarations of a file bring.
fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for at in words(code, "use") {
        let line = code[..at].rfind('\n').map_or(0, |end| end + 1);
        let before = code[line..at].trim();
        if !(before.is_empty() || before.starts_with("pub")) {
            continue;
        }
        let Some(end) = code[at..].find(';') else {
            continue;
        };
        let mut leaves = Vec::new();
        spread(&code[at + "use".len()..at + end], &[], &mut leaves);
        for (path, name) in leaves {
            found.push(Import {
                is_public: before.starts_with("pub"),
                name,
                path,
            });
        }
    }
    found
}

/// The single paths of a tree of imports, each with the name that it gets.
fn spread(tree: &str, above: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let mut path = above.to_vec();
        path.extend(parts(&tree[..open]));
        let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
        for part in split(inside) {
            spread(part, &path, leaves);
        }
        return;
    }
    let (tree, given) = match tree.split_once(" as ") {
        Some((tree, given)) => (tree, Some(given.trim().to_owned())),
        None => (tree, None),
    };
    let mut path = above.to_vec();
    path.extend(parts(tree));
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let Some(last) = path.last().cloned() else {
        return;
    };
    if last == "*" {
        path.pop();
    }
    leaves.push((path, given.unwrap_or(last)));
}

fn parts(path: &str) -> impl Iterator<Item = String> + '_ {
    path.split("::")
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
}

/// The parts of a group, inner groups left whole.
fn split(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut found) = (0_usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    found.push(&group[begin..]);
    found.retain(|part| !part.trim().is_empty());
    found
}

/// The paths that stand in the code itself: `super::x::Y`, `crate::x`, `child::f`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = code[at..].find("::") {
        let middle = at + next;
        at = middle + 2;
        let begin = code[..middle]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .map_or(0, |end| end + 1);
        // Only from the first part on, and not what a `use` or a visibility says.
        let line = &code[code[..begin].rfind('\n').map_or(0, |end| end + 1)..begin];
        let is_scope = code[..begin].ends_with("pub(in ");
        if begin == middle || is_scope || code[..begin].ends_with("::") || line.contains("use ") {
            continue;
        }
        let end = code[begin..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .map_or(code.len(), |length| begin + length);
        let path: Vec<_> = parts(&code[begin..end]).collect();
        at = end.max(at);
        if path.len() > 1 {
            found.push(path);
        }
    }
    found
}

/// The circles, each in the order of its files' names.
fn circles<'s>(house: &House<'s>) -> Vec<Vec<&'s Path>> {
    let reach: BTreeMap<_, _> = house
        .uses
        .keys()
        .map(|file| (*file, reachable(house, file)))
        .collect();
    let mut found: BTreeSet<Vec<&Path>> = BTreeSet::new();
    for (file, reached) in &reach {
        if !reached.contains(file) {
            continue;
        }
        let circle: Vec<_> = reach
            .iter()
            .filter(|(other, back)| reached.contains(**other) && back.contains(file))
            .map(|(other, _)| *other)
            .collect();
        found.insert(circle);
    }
    found.into_iter().collect()
}

fn reachable<'s>(house: &House<'s>, from: &Path) -> BTreeSet<&'s Path> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Path> = house.uses[from].iter().copied().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(house.uses.get(file).into_iter().flatten());
        }
    }
    reached
}

#[test]
fn circles_are_found() {
    let source = |path: &str, code: &str| Source {
        path: PathBuf::from(path),
        code: code.to_owned(),
        lines: 1,
    };
    let sources = [
        source(
            "src/a/mod.rs",
            "mod b;\nmod c;\nmod d;\npub use b::{B, inner::Other};\npub use d::*;\n",
        ),
        source("src/a/b.rs", "use super::c::{self, C};\npub struct B;\n"),
        // by the name that the room passes on
        source(
            "src/a/c.rs",
            "use crate::x::Y;\npub struct C;\nfn f(b: super::B) {}\n",
        ),
        source("src/a/d.rs", "pub struct D;\n"),
        source("src/a/e.rs", "use super::D;\n"),
        source("src/x.rs", "use crate::a::D;\npub struct Y;\n"),
    ];
    let found = circles(&House::read(&sources));
    assert_eq!(found, [["src/a/b.rs", "src/a/c.rs"].map(Path::new)]);
    let house = House::read(&sources);
    let used: Vec<_> = house.uses[Path::new("src/a/e.rs")].iter().collect();
    assert_eq!(used, [&Path::new("src/a/d.rs")]);
    // Other rooms are another test's matter.
    assert!(house.uses[Path::new("src/x.rs")].is_empty());
    assert_eq!(
        module_directory(Path::new("src/a/mod.rs")),
        Path::new("src/a")
    );
}
