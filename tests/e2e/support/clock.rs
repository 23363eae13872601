//! Programs whose clock is wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{keys, programs};

/// A library that, loaded with `LD_PRELOAD`, makes a program's clock wrong by so many seconds.
pub(crate) fn wrong_by(seconds: i64, dir: &Path) -> PathBuf {
    let library = dir.join(format!("clock{seconds}.so"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/support/clock_offset.c");
    keys::tool(
        Command::new(programs::path("cc"))
            .args(["-shared", "-fPIC", &format!("-DOFFSET=({seconds})"), "-o"])
            .arg(&library)
            .arg(source),
    );
    library
}
