//! Programs whose clock is wrong.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{keys, programs};

/// The variable that makes a program load a library before others.
pub(crate) const PRELOAD: &str = "LD_PRELOAD";

/// A library that, loaded with `LD_PRELOAD`, makes a program's clock wrong by so many seconds.
pub(crate) fn wrong_by(seconds: i64, dir: &Path) -> PathBuf {
    let library = dir.join(format!("clock{seconds}.so"));
    compile(&format!("-DOFFSET=({seconds})"), &library);
    library
}

fn compile(definition: &str, library: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/support/clock_offset.c");
    keys::tool(
        Command::new(programs::path("cc"))
            .args(["-shared", "-fPIC", definition, "-o"])
            .arg(library)
            .arg(source)
            .arg("-ldl"),
    );
}

/// A clock that the test moves while programs run that have loaded its library.
#[derive(Debug)]
pub(crate) struct MovingClock {
    pub(crate) library: PathBuf,
    file: File,
    ahead: Cell<i64>,
}

impl MovingClock {
    /// One that shows the right time.
    pub(super) fn new(dir: &Path) -> Self {
        let path = dir.join("clock");
        std::fs::write(&path, 0_i64.to_ne_bytes()).expect("a writable directory");
        let library = dir.join("clock.so");
        compile(&format!("-DOFFSET_FILE=\"{}\"", path.display()), &library);
        let file = File::options()
            .write(true)
            .open(path)
            .expect("our own file");
        let ahead = Cell::new(0);
        Self {
            library,
            file,
            ahead,
        }
    }

    /// From now on it shows this time, in seconds after the epoch. Gives how far ahead it is.
    pub(super) fn set(&self, time: u64) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let ahead = time - now.as_ref().map_or(0, Duration::as_secs);
        self.ahead.set(i64::try_from(ahead).expect("some days"));
        let bytes = self.ahead.get().to_ne_bytes();
        self.file.write_all_at(&bytes, 0).expect("our own file");
        ahead
    }

    /// How far ahead it is, in seconds.
    pub(super) fn ahead(&self) -> i64 {
        self.ahead.get()
    }
}
