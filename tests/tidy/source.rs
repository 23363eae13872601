//! Reads sources as text: what is code, what is a comment, what is only there for tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A file of product code, as far as it is that.
pub(crate) struct Source {
    /// From the root of the project.
    pub(crate) path: PathBuf,
    /// Line by line as in the file. Comments, what stands in literals, and all that is compiled for
    /// tests only is blank.
    pub(crate) code: String,
    /// How many lines the file has without those that are compiled for tests only.
    pub(crate) lines: usize,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn text(file: &Path) -> String {
    std::fs::read_to_string(root().join(file))
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()))
}

/// All files below a directory, by their path from the root.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(dir))
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", dir.display()));
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.expect("a readable directory");
        let path = dir.join(entry.file_name());
        if entry.path().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// All Rust files below a directory, tests too.
pub(crate) fn rust_files(dir: &str) -> Vec<PathBuf> {
    let mut files = files(Path::new(dir));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    assert!(!files.is_empty(), "no sources in {dir}");
    files
}

/// The product code of `src`, without the files that only tests are made of.
pub(crate) fn product() -> Vec<Source> {
    let files = rust_files("src");
    let read: Vec<_> = files.iter().map(|file| (file, text(file))).collect();
    let mut only_tests = BTreeSet::new();
    for (file, text) in &read {
        only_tests.extend(test_modules(file, text));
    }
    read.into_iter()
        .filter(|(file, _)| !file.ancestors().any(|part| only_tests.contains(part)))
        .map(|(file, text)| {
            let (code, lines) = without_tests(&masked(&text));
            let path = file.clone();
            Source { path, code, lines }
        })
        .collect()
}

/// The text with comments and the inside of literals blank; every line where it was.
pub(crate) fn masked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => line_end(bytes, at),
            [b'/', b'*', ..] => comment_end(bytes, at),
            [b'r', b'"' | b'#', ..] if !is_word(bytes, at) => match raw_end(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            [b'"', ..] => string_end(bytes, at),
            [b'\'', ..] => match char_end(text, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            _ => {
                at += 1;
                continue;
            }
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole characters became blanks")
}

/// Whether the byte before belongs to the same word.
fn is_word(bytes: &[u8], at: usize) -> bool {
    at > 0
        && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
        && bytes[at - 1] != b'b'
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
}

fn comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < bytes.len() {
        match &bytes[i..] {
            [b'/', b'*', ..] => (depth, i) = (depth + 1, i + 2),
            [b'*', b'/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

/// The end of `r"..."` and `r#"..."#`; none for a raw identifier.
fn raw_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    let begin = at + 1 + hashes;
    if bytes.get(begin) != Some(&b'"') {
        return None;
    }
    let mut end = b"\"".to_vec();
    end.extend(std::iter::repeat_n(b'#', hashes));
    let rest = &bytes[begin + 1..];
    let length = rest.windows(end.len()).position(|part| part == end)?;
    Some(begin + 1 + length + end.len())
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// The end of a character literal; none for a lifetime.
fn char_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at + 1..];
    let first = rest.chars().next()?;
    if first == '\\' {
        let close = rest[2..].find('\'')?;
        return Some(at + 1 + 2 + close + 1);
    }
    let after = first.len_utf8();
    rest[after..]
        .starts_with('\'')
        .then_some(at + 1 + after + 1)
}

/// What marks an item that is compiled for tests only.
fn is_for_tests(attribute: &str) -> bool {
    let attribute: String = attribute.split_whitespace().collect();
    attribute == "cfg(test)" || attribute.starts_with("cfg(all(test,")
}

/// The attributes that stand at a place, and where they end.
fn attributes(code: &str, mut at: usize) -> (Vec<&str>, usize) {
    let mut found = Vec::new();
    loop {
        let rest = &code[at..];
        let trimmed = rest.trim_start();
        let begin = at + rest.len() - trimmed.len();
        if !trimmed.starts_with("#[") {
            return (found, begin);
        }
        let end = closing(code, begin + 1);
        found.push(&code[begin + 2..end - 1]);
        at = end;
    }
}

/// Behind the bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, c) in code[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth -= 1;
                if depth == 0 {
                    return open + i + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Behind the item, statement or field that begins at `at`.
fn item_end(code: &str, at: usize) -> usize {
    let words: Vec<_> = code[at..].split_whitespace().take(4).collect();
    let has = |keywords: &[&str]| words.iter().any(|word| keywords.contains(word));
    let is_function = has(&["fn"]);
    let ends_with_semicolon = !is_function && has(&["use", "const", "static", "type", "let"]);
    let has_no_commas = has(&["enum", "fn", "impl", "mod", "struct", "trait", "union"]);
    let mut i = at;
    while let Some(c) = code[i..].chars().next() {
        match c {
            '{' if !ends_with_semicolon => return closing(code, i),
            '(' | '[' | '{' => i = closing(code, i),
            ';' => return i + 1,
            ',' if !has_no_commas && !ends_with_semicolon => return i + 1,
            ')' | ']' | '}' => return i,
            _ => i += c.len_utf8(),
        }
    }
    code.len()
}

/// The code without what is compiled for tests only, and how many lines the rest has.
pub(crate) fn without_tests(masked: &str) -> (String, usize) {
    let mut code = masked.to_owned();
    let mut removed = BTreeSet::new();
    let mut at = 0;
    while let Some(found) = code[at..].find("#[") {
        let begin = at + found;
        let (attributes, item) = attributes(&code, begin);
        if !attributes.iter().any(|attribute| is_for_tests(attribute)) {
            at = closing(&code, begin + 1);
            continue;
        }
        let end = item_end(&code, item);
        let first = code[..begin].matches('\n').count();
        removed.extend(first..=first + code[begin..end].matches('\n').count());
        // Byte for byte: the lines, and the places in them, stay where they were.
        let blank: String = code[begin..end]
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect();
        code.replace_range(begin..end, &blank);
        at = end;
    }
    let lines = code.lines().count() - removed.len();
    (code, lines)
}

/// The files and directories of modules that are declared for tests only.
fn test_modules(file: &Path, text: &str) -> Vec<PathBuf> {
    let code = masked(text);
    let directory = module_directory(file);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = code[at..].find("#[") {
        let begin = at + next;
        let (attributes, item) = attributes(&code, begin);
        let declaration = &code[item..item_end(&code, item)];
        let name = declaration
            .trim_end()
            .strip_suffix(';')
            .and_then(|declaration| {
                declaration
                    .split_whitespace()
                    .skip_while(|w| *w != "mod")
                    .nth(1)
            });
        if let Some(name) = name
            && attributes.iter().any(|attribute| is_for_tests(attribute))
        {
            // `#[path = ".."]` is read in the text: literals are blank in the code.
            let named = text[begin..item].split("path = \"").nth(1);
            match named.and_then(|rest| rest.split('"').next()) {
                Some(path) => found.push(file.with_file_name(path)),
                None => {
                    found.push(directory.join(name));
                    found.push(directory.join(format!("{name}.rs")));
                }
            }
        }
        at = closing(&code, begin + 1);
    }
    found
}

/// Where the files of a module's children are.
pub(crate) fn module_directory(file: &Path) -> PathBuf {
    let parent = file.parent().unwrap_or_else(|| Path::new(""));
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => parent.to_owned(),
        Some(stem) => parent.join(stem),
    }
}

/// The places where a word stands as a whole.
pub(crate) fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = usize> + 'c {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !code[..*at].chars().next_back().is_some_and(is_part)
                && !code[at + word.len()..].chars().next().is_some_and(is_part)
        })
}

/// The line that a place is on, from 1.
pub(crate) fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The name of a function and how many lines it has, from its first to its last.
pub(crate) fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let name: String = code[at + 2..]
            .trim_start()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        // `fn(..)` is a type.
        if name.is_empty() {
            continue;
        }
        let end = item_end(code, at);
        let lines = code[at..end].matches('\n').count() + 1;
        found.push((name, line_of(code, at), lines));
    }
    found
}

/// The names of the types that the code declares. A type inside a `trait` or `impl` is that one's own and
/// is left out.
pub(crate) fn type_names(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for keyword in ["enum", "struct", "trait", "union", "type"] {
        for at in words(code, keyword) {
            let line = &code[code[..at].rfind('\n').map_or(0, |end| end + 1)..];
            let is_indented = line.starts_with(' ');
            let before = line[..line.find(keyword).unwrap_or_default()].trim();
            let is_declared = before.is_empty() || before.starts_with("pub");
            let name: String = code[at + keyword.len()..]
                .trim_start()
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let is_name = name.starts_with(|c: char| c.is_ascii_uppercase());
            if is_declared && is_name && !(keyword == "type" && is_indented) {
                found.push(name);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank() {
        let text =
            "a // x\n\"b\\\"{\" c 'd' '\\'' 'life r#\"e\"{\"# f /* g /* h */ i */ j\nb\"k\" 'ä'";
        let code = masked(text);
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>(),
            ["a", "c", "'life", "f", "j", "b"]
        );
        assert_eq!(code.matches('\n').count(), text.matches('\n').count());
        assert_eq!(code.len(), text.len());
    }

    /// Where a test module stands, and how it is declared, changes nothing.
    #[test]
    fn tests_are_left_out_wherever_they_stand() {
        let text = "#[cfg(test)]\nmod tests;\nfn one() {}\n\
                    #[cfg(all(test, target_os = \"linux\"))]\n#[expect(x)]\nmod more {\n fn two() {}\n}\n\
                    fn three() {}\n#[cfg(test)]\nuse a::{B, C};\n#[cfg(not(test))]\nfn four() {}\n\
                    struct S {\n #[cfg(test)]\n five: u8,\n six: u8,\n}\n#[cfg(test)]\nfn seven() {}\n";
        let (code, lines) = without_tests(&masked(text));
        for kept in ["one", "three", "four", "six"] {
            assert!(code.contains(kept), "{kept} in {code}");
        }
        for gone in ["tests", "two", "B", "five", "seven"] {
            assert!(words(&code, gone).next().is_none(), "{gone} in {code}");
        }
        assert_eq!(lines, 7);
        assert_eq!(code.lines().count(), text.lines().count());
        let found = test_modules(Path::new("src/a/b.rs"), text);
        assert_eq!(
            found,
            ["src/a/b/tests", "src/a/b/tests.rs"].map(PathBuf::from)
        );
        let elsewhere = "#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\n";
        assert_eq!(
            test_modules(Path::new("src/a/b.rs"), elsewhere),
            [PathBuf::from("src/a/b_tests.rs")]
        );
    }

    #[test]
    fn functions_and_types_are_found() {
        let code = "fn a(f: fn(u8) -> u8) {\n\n}\nimpl X {\n    type Y = Z;\n    pub fn b(&self) -> [u8; 4] {\n {}\n    }\n}\n\
                    pub(crate) struct Q<T>(T);\ntype R = Q<u8>;\n";
        let found: Vec<_> = functions(code)
            .into_iter()
            .map(|(name, _, lines)| (name, lines))
            .collect();
        assert_eq!(found, [("a".to_owned(), 3), ("b".to_owned(), 3)]);
        assert_eq!(type_names(code), ["Q", "R"]);
    }
}
