//! Foreign programs other than OpenSSH's. If one is not installed, its tests are skipped
//! ([`skipped::lacks`]).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{programs, skipped};

/// A program of others, if it is installed.
pub(crate) fn others(name: &str) -> Option<PathBuf> {
    found(name, programs::other(name))
}

/// Python with a module, if it is installed.
pub(crate) fn python(module: &str) -> Option<PathBuf> {
    found(module, programs::python_with(module))
}

/// Passes on the path of the program of this name; if there is none, the test counts as skipped.
pub(crate) fn found(name: &str, path: Option<PathBuf>) -> Option<PathBuf> {
    if path.is_none() {
        skipped::lacks(name);
    }
    path
}

/// Compiles a program of `tests/interop`; `false` without the headers of a library.
pub(crate) fn compiled(source: &str, arguments: &[&str], library: &str, program: &Path) -> bool {
    let compiled = Command::new(programs::path("cc"))
        .args(arguments)
        .arg("-o")
        .arg(program)
        .arg(script(source))
        .arg(format!("-l{library}"))
        .stderr(Stdio::null())
        .status();
    let is_compiled = compiled.expect("cc runs").success();
    if !is_compiled {
        skipped::lacks(&format!("a header of {library}"));
    }
    is_compiled
}

/// A script of `tests/interop`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(name)
}
