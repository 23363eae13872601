//! Puts the built interface (`web/dist`) into the program: a table of its files, for `src/web/assets.rs`.
//!
//! Without Node.js there is no interface to put in, and the table is empty. The files are compressed already,
//! by the interface's own build; here they are only listed.
#![expect(
    clippy::disallowed_methods,
    reason = "files of a build need no particular mode"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the interface's build puts its files.
const BUILT: &str = "web/dist";

fn main() -> io::Result<()> {
    // The whole directory: cargo compares the dates of everything in it.
    println!("cargo::rerun-if-changed={BUILT}");
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join(BUILT);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let mut files = BTreeMap::new();
    if root.join("index.html").is_file() {
        list(&root, "", &mut files)?;
    }
    // Copies: the interface may be built anew while the compiler runs.
    for (at, file) in files.values_mut().enumerate() {
        let copy = out.join(format!("interface-{at}"));
        fs::copy(&*file, &copy)?;
        *file = copy;
    }
    fs::write(out.join("interface.rs"), written(&files))
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

/// All files below a directory, by their paths as URLs have them, with a slash in front.
fn list(dir: &Path, prefix: &str, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
            continue;
        };
        let path = format!("{prefix}/{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &path, files)?;
        } else {
            files.insert(path, entry.path());
        }
    }
    Ok(())
}

/// The table as Rust: path, content, content by brotli, content by gzip.
fn written(files: &BTreeMap<String, PathBuf>) -> String {
    let include = |path: &PathBuf| format!("include_bytes!({path:?})");
    let packed = |path: &str, ending: &str| match files.get(&format!("{path}{ending}")) {
        Some(file) => format!("Some({})", include(file)),
        None => String::from("None"),
    };
    let mut table = String::from("&[\n");
    for (path, file) in files {
        if path.ends_with(".br") || path.ends_with(".gz") {
            continue;
        }
        let (brotli, gzip) = (packed(path, ".br"), packed(path, ".gz"));
        let plain = include(file);
        // Writing to a string cannot fail.
        let _written = writeln!(
            table,
            "    BuiltFile {{ path: {path:?}, plain: {plain}, brotli: {brotli}, gzip: {gzip} }},"
        );
    }
    table.push_str("]\n");
    table
}
