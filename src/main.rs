//! The `rproxy` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    rproxy::cli::run(std::env::args_os())
}
